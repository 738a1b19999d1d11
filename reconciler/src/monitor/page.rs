//! The status page: what the controller tells, for people, as HTML. Each page is made by one function without effects from a
//! [`View`]: what the board tells, the newest events, the time. The templates are beside it; they are checked when Reeve is
//! built, and what they put in is escaped without anybody having to think of it ([`escape`]).
//!
//! Every page is whole without a script. The one that is there (`page.js`) asks for the same page again every two seconds and
//! puts what is new into it; without it the browser does so every five.

pub mod escape;
mod list;
mod parts;
mod picture;
mod urgency;
mod zone;

use askama::Template;
use reeve_state::Timestamp;

use super::board::Told;
use crate::store::HostEvent;
pub use list::Ask;
pub use urgency::Urgency;

/// The style sheet, `/page.css`.
pub const STYLE: &str = include_str!("page/page.css");
/// The script, `/page.js`.
pub const SCRIPT: &str = include_str!("page/page.js");
/// The picture that browsers show beside the title, `/icon.svg`.
pub const ICON: &str = include_str!("page/icon.svg");
/// How many of the host's newest events are looked through for a page.
pub const EVENTS: usize = 1000;

/// What does not change while a controller runs.
#[derive(Clone, Debug, Default)]
pub struct About {
    /// The host's name.
    pub host: String,
    /// What is followed: a folder, or a repository.
    pub follows: String,
    /// When the controller was started.
    pub since: Timestamp,
}

/// All that a page is made from.
#[derive(Clone, Copy)]
pub struct View<'a> {
    /// Who tells it.
    pub about: &'a About,
    /// What is told.
    pub told: &'a Told,
    /// What happened last, in the order in which it first came.
    pub events: &'a [HostEvent],
    /// The time.
    pub now: Timestamp,
}

/// What is around every page.
struct Frame<'a> {
    host: &'a str,
    version: &'static str,
    now: String,
}

impl<'a> Frame<'a> {
    fn new(about: &'a About, now: Timestamp) -> Self {
        Self { host: &about.host, version: env!("CARGO_PKG_VERSION"), now: now.utc() }
    }
}

/// The zones of the host, those in trouble first, as far as they are asked for; the source, the controller, the events.
pub fn list(view: &View<'_>, ask: &Ask) -> String {
    rendered(&list::page(view, ask))
}

/// Everything about one zone; none where there is no such zone.
pub fn zone(view: &View<'_>, name: &str) -> Option<String> {
    let zone = view.told.zones.get(name)?;
    Some(rendered(&zone::page(view, name, zone)))
}

/// That something is not there, and what there is.
pub fn missing(view: &View<'_>, what: &str) -> String {
    rendered(&Missing { frame: Frame::new(view.about, view.now), what })
}

#[derive(Template)]
#[template(path = "missing.html")]
struct Missing<'a> {
    frame: Frame<'a>,
    what: &'a str,
}

fn rendered(page: &impl Template) -> String {
    // Nothing in the templates can fail, and a string takes all that is written.
    page.render().unwrap_or_else(|error| {
        tracing::error!("a page could not be made: {error}");
        String::new()
    })
}

#[cfg(test)]
mod tests;
