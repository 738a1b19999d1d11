//! Being told that links changed: a host end of a zone that was set down, or taken out of its bridge.

use std::collections::BTreeSet;

use reeve_kernel::netlink::{LinkEvent, LinkEvents};

use super::ear::Ear;
use crate::places::Places;

/// What changed.
#[derive(Debug, PartialEq, Eq)]
pub enum Changed {
    /// Links of these names.
    Links(BTreeSet<String>),
    /// Events were lost: anything may have.
    All,
}

/// The kernel's events about links. Without them (a host that refuses the socket) the slow resync sees what changed.
pub struct Links {
    events: Option<(LinkEvents, Ear)>,
    prefix: String,
}

impl Links {
    /// Opens them.
    pub fn open(places: &Places) -> Self {
        let events = LinkEvents::open().map_err(|error| tracing::warn!("no events about links: {error}")).ok();
        let events = events.and_then(|events| Ear::new(&events).map(|ear| (events, ear)));
        Self { events, prefix: format!("rv{}-", places.tag()) }
    }

    /// Returns when links of zones changed.
    pub async fn changed(&mut self) -> Changed {
        loop {
            let Some((events, ear)) = &mut self.events else { return std::future::pending().await };
            Ear::heard(Some(ear)).await;
            let Ok(drained) = events.drain() else { return Changed::All };
            if drained.overrun {
                return Changed::All;
            }
            let names: BTreeSet<String> = drained
                .events
                .into_iter()
                .filter_map(|event| match event {
                    LinkEvent::Changed(link) | LinkEvent::Gone(link) => Some(link.name),
                    LinkEvent::AddressAdded(_) | LinkEvent::AddressGone(_) => None,
                })
                .filter(|name| name.starts_with(&self.prefix))
                .collect();
            if !names.is_empty() {
                return Changed::Links(names);
            }
        }
    }
}
