//! The zoneadmd of the zone that is brought up next: started while nobody waits for it, and told of its zone when there is one.
//! To execute a program takes most of a millisecond, a tenth of what a zone takes to come up.

use std::os::fd::AsFd;
use std::sync::Mutex;

use reeve_kernel::cgroup::Cgroup;
use reeve_kernel::channel::Channel;
use reeve_kernel::wire::Request;
use reeve_schema::ZoneName;

use super::process::{self, Child};
use super::{Places, Zoneadmd};
use crate::error::Result;

/// The name of the process until it has a zone: it is nobody's zoneadmd, and no listing shows it as one.
const NAME: &str = "reeve-next";

/// At most one that waits. It ends with whoever started it.
#[derive(Debug, Default)]
pub struct Next(Mutex<Kept>);

#[derive(Debug, Default)]
struct Kept {
    waiting: Option<(Channel, Child)>,
    /// None is started any more.
    over: bool,
}

impl Next {
    /// Starts one where none waits.
    ///
    /// # Errors
    /// The call that failed.
    pub fn prepare(&self, cgroup: &Cgroup) -> Result<()> {
        let Ok(mut kept) = self.0.lock() else { return Ok(()) };
        if !kept.over && kept.waiting.as_ref().is_none_or(|(_, child)| !child.lives()) {
            // As long as the longest name of a zone: there the name of its zone will be shown.
            let room = " ".repeat(ZoneName::MAX);
            kept.waiting = Some(process::start([NAME, &room], process::null()?.as_fd(), cgroup)?);
        }
        Ok(())
    }

    /// Ends the one that waits, and returns when it is gone. There is none any more afterwards.
    pub fn end(&self) {
        let Ok(mut kept) = self.0.lock() else { return };
        kept.over = true;
        if let Some((_channel, mut child)) = kept.waiting.take() {
            child.kill();
            child.wait();
        }
    }

    fn take(&self) -> Option<(Channel, Child)> {
        self.0.lock().ok()?.waiting.take()
    }

    /// A zoneadmd for this zone: the one that waits, or else a new one. It has no zone to serve yet: the first request is Ready or
    /// Adopt.
    ///
    /// # Errors
    /// The call that failed.
    pub fn start(&self, places: &Places, zone: &str, cgroup: &Cgroup) -> Result<Zoneadmd> {
        if let Some((channel, child)) = self.take().filter(|(_, child)| child.lives()) {
            let log = process::log_file(&places.zone_run(zone))?;
            // Where it cannot be told because it has ended just now, another one does it.
            if channel.send(&Request::Become(zone.to_owned()).to_bytes(), &[log.as_fd()]).is_ok() {
                return Ok(Zoneadmd::new(zone, channel, child));
            }
        }
        Zoneadmd::start(places, zone, cgroup)
    }
}
