//! Being told that links changed: a host end of a zone that was set down, or taken out of its bridge.

use std::collections::BTreeSet;

use reeve_kernel::netlink::{LinkEvent, LinkEvents, Rtnl};

use super::ear::Ear;

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
    rtnl: Option<Rtnl>,
}

impl Links {
    /// Opens them.
    pub fn open() -> Self {
        let events = LinkEvents::open().map_err(|error| tracing::warn!("no events about links: {error}")).ok();
        let events = events.and_then(|events| Ear::new(&events).map(|ear| (events, ear)));
        Self { events, rtnl: Rtnl::open().ok() }
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
            let (mut names, mut numbers) = (BTreeSet::new(), BTreeSet::new());
            for event in drained.events {
                match event {
                    LinkEvent::Changed(link) | LinkEvent::Gone(link) => drop(names.insert(link.name)),
                    LinkEvent::AddressAdded(address) | LinkEvent::AddressGone(address) => {
                        numbers.insert(address.ifindex);
                    }
                }
            }
            if let Some(rtnl) = &mut self.rtnl {
                names.extend(numbers.into_iter().filter_map(|number| Some(rtnl.link_by_index(number).ok()??.name)));
            }
            if !names.is_empty() {
                return Changed::Links(names);
            }
        }
    }
}
