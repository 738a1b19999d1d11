//! Suspending a zone and resuming it, as somebody asks by name.

use reeve_state::observed::derive_state;
use reeve_state::suspension::Suspension;

use crate::controller::Controller;
use crate::error::{Error, Result};
use crate::host::Host;
use crate::store::events::{self, HostEvent};
use crate::store::zone::ZoneFiles;

/// Suspends a zone: from the return of this on nothing is done to it but an unfinished halt. What was suspended before is
/// suspended anew.
///
/// # Errors
/// [`Error::Refused`] for no such zone; a file that could not be written.
pub fn suspend(host: &Host, zone: &str, suspension: &Suspension) -> Result<()> {
    let files = found(host, zone)?;
    files.suspend(Some(suspension))?;
    tell(host, zone, "Suspended", suspension.words());
    // A walk that is under way ends first; none begins after it.
    drop(files.lock()?);
    Ok(())
}

/// Resumes a zone; the suspension that there was, if any.
///
/// # Errors
/// [`Error::Refused`] for no such zone; a file that could not be removed.
pub fn resume(host: &Host, zone: &str, owner: &str) -> Result<Option<Suspension>> {
    let files = found(host, zone)?;
    let Some(suspension) = files.suspension() else { return Ok(None) };
    files.suspend(None)?;
    tell(host, zone, "Resumed", format!("by {owner}; it was {}", suspension.words()));
    Ok(Some(suspension))
}

fn found(host: &Host, zone: &str) -> Result<ZoneFiles> {
    if derive_state(&host.looker().zone(zone, None).facts).is_absent() {
        return Err(Error::refused(format!("there is no zone {zone}")));
    }
    Ok(ZoneFiles::new(host.places(), zone))
}

fn tell(host: &Host, zone: &str, reason: &str, message: String) {
    let event = HostEvent::new(host.now(), Some(zone), reason, message);
    events::add(host.places().state(), &event);
    // Where it cannot be told, its resync will see, and its walks look for themselves.
    if let Ok(Some(mut controller)) = Controller::connect(host.places()) {
        let _ = controller.look(zone);
    }
}
