//! What is done while nobody waits for anything, so that the next one who does waits for less: the next zoneadmd is started, and what
//! the kernel left in the folders of zones that were halted is cleared away. Only for who stays, which is a controller. None of it has
//! to happen: whoever brings a zone up without it takes longer, and does the same.

use std::collections::BTreeSet;
use std::sync::Mutex;

use reeve_state::Transition;
use reeve_state::journal::Entry;

use crate::error::Result;
use crate::host::Inner;
use crate::install;
use crate::store::zone::ZoneFiles;

/// The zones that were halted since the last rest.
#[derive(Debug, Default)]
pub struct Halted(Mutex<BTreeSet<String>>);

impl Halted {
    /// Notes that a zone was halted.
    pub fn note(&self, zone: &str) {
        if let Ok(mut zones) = self.0.lock() {
            zones.insert(zone.to_owned());
        }
    }

    fn take(&self) -> BTreeSet<String> {
        self.0.lock().map(|mut zones| std::mem::take(&mut *zones)).unwrap_or_default()
    }
}

impl Inner {
    /// Does it all. What cannot be done is told to whoever debugs: it will be done, or fail, when it is needed.
    pub fn rest(&self) {
        if let Err(error) = self.prepare_zoneadmd() {
            tracing::debug!("the next zoneadmd: {error}");
        }
        for zone in self.halted().take() {
            if let Err(error) = self.clear_work(&zone) {
                tracing::debug!("zone {zone}: {error}");
            }
        }
    }

    /// Starts the next zoneadmd, where zones were brought up.
    fn prepare_zoneadmd(&self) -> Result<()> {
        self.zoneadmd_cgroup_if_made().map_or(Ok(()), |cgroup| self.next_zoneadmd().prepare(cgroup))
    }

    /// Nobody can bring the zone up while its lock is held, and the newest that the journal has is that it is down.
    fn clear_work(&self, zone: &str) -> Result<()> {
        let files = ZoneFiles::new(self.places(), zone);
        let Some(_lock) = files.lock_if_free()? else { return Ok(()) };
        let is_down = |entry: Entry| entry.transition == Some(Transition::Halt) && entry.is_finished();
        if files.journal(self.boot_id()).is_some_and(is_down) {
            install::clear_work(self.places(), zone)?;
        }
        Ok(())
    }
}
