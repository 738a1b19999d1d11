//! What several pages show: times, events, values.

use std::fmt;

use reeve_state::Timestamp;
use serde_json::Value;

use crate::store::HostEvent;
use crate::time;

/// So many characters of a text in a list are shown.
const SHORT: usize = 240;

/// A time, as an element: how long ago it was; its date where a mouse asks for it. It holds no text from anywhere else.
pub struct Moment {
    at: Timestamp,
    now: Timestamp,
}

impl Moment {
    pub fn new(at: Timestamp, now: Timestamp) -> Self {
        Self { at, now }
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (date, age) = (self.at.utc(), time::age(self.at, self.now));
        write!(f, "<time datetime=\"{date}\" title=\"{date}\">{age}</time>")
    }
}

/// An event.
pub struct Happened<'a> {
    pub last: Moment,
    pub count: u64,
    /// Since when it comes again and again.
    pub since: Option<Moment>,
    pub zone: Option<&'a str>,
    pub reason: &'a str,
    pub message: &'a str,
}

/// The newest of these events, the newest first.
pub fn happened<'a>(
    events: &'a [HostEvent],
    is_shown: impl Fn(&HostEvent) -> bool,
    most: usize,
    now: Timestamp,
) -> Vec<Happened<'a>> {
    let mut chosen: Vec<&HostEvent> = events.iter().filter(|event| is_shown(event)).collect();
    chosen.sort_by_key(|event| std::cmp::Reverse(event.newest()));
    chosen.truncate(most);
    let one = |event: &'a HostEvent| Happened {
        last: Moment::new(event.newest(), now),
        count: event.count.max(1),
        since: (event.count > 1).then(|| Moment::new(event.at, now)),
        zone: event.zone.as_deref(),
        reason: &event.reason,
        message: &event.message,
    };
    chosen.into_iter().map(one).collect()
}

/// The beginning of a text.
pub fn short(text: &str) -> String {
    match text.char_indices().nth(SHORT) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// The value of a field. The variables of init are not shown: who may read the page may not read them elsewhere.
pub fn value(field: &str, value: Option<&Value>) -> String {
    match value {
        None | Some(Value::Null) => "none".into(),
        Some(_) if field.starts_with("init.env") => "not shown".into(),
        Some(Value::String(text)) => short(text),
        Some(other) => short(&other.to_string()),
    }
}

/// Where a zone's page is. Names of zones have nothing that means anything in an address; what another name had would be
/// the name of no page.
pub fn address(zone: &str) -> String {
    format!("/zones/{zone}")
}
