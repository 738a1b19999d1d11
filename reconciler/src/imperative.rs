//! What somebody asks of one zone by name: a transition, or another try.

use reeve_state::audit::{self, Permissions, Severity};
use reeve_state::observed::derive_state;
use reeve_state::plan::{request, restart};
use reeve_state::{Fact, lifecycle};

use crate::controller::Controller;
use crate::error::{Error, Result};
use crate::host::{Goal, Host, ZoneOutcome, ZoneResult};
use crate::progress::{Notice, Observer};
use crate::store::events::{self, HostEvent};
use crate::store::zone::ZoneFiles;
use crate::walk;

/// How often a zone is looked at again when somebody else works on it at the same time.
const TRIES: usize = 8;

/// Carries out one transition; with `force_detach`, a halt detaches mounts that are busy.
///
/// # Errors
/// [`Error::Refused`] for no such zone or a transition that is not legal from its state.
pub fn carry_out(host: &Host, zone: &str, goal: Goal, force_detach: bool, observer: &Observer) -> Result<ZoneOutcome> {
    let transition = goal.transition();
    let asked = transition.map_or_else(|| "restart".to_owned(), |transition| transition.to_string());
    for _ in 0..TRIES {
        let seen = host.looker().zone(zone, None);
        if derive_state(&seen.facts).is_absent() {
            return Err(Error::refused(format!("there is no zone {zone}")));
        }
        let plan = match transition {
            Some(transition) => request(transition, None, &seen.facts, seen.recorded.as_ref()),
            None => restart(None, &seen.facts, seen.recorded.as_ref()),
        };
        let plan = plan.map_err(|refusal| Error::refused(format!("zone {zone}: {refusal}")))?;
        // Asked for by name: that is the person's word that data may go.
        let permissions = Permissions { destroy: [zone.to_owned()].into() };
        let findings = audit::audit_zone(&plan, &seen.facts, &permissions);
        if let Some(fatal) = findings.iter().find(|finding| finding.severity == Severity::Fatal) {
            return Err(Error::refused(format!("zone {zone}: {}", fatal.message)));
        }
        let from = lifecycle::state_name(derive_state(&seen.facts).known().copied());
        let walked = walk::walk_by_hand(host, &plan, seen, None, &mut None, observer, force_detach);
        if walked.stale {
            continue;
        }
        let state = derive_state(&walked.seen.facts).known().copied();
        let to = lifecycle::state_name(state);
        let result = match (&walked.outcome.halt_blocked, &walked.outcome.failed) {
            (Some((_, why)), _) => ZoneResult::Blocked(why.clone()),
            (None, Some(why)) => ZoneResult::Failed(why.clone()),
            (None, None) => ZoneResult::Converged,
        };
        let how = if force_detach { ", detaching busy mounts," } else { "" };
        let message = match &result {
            ZoneResult::Converged => format!("{asked}{how} was asked for by hand: {from} > {to}"),
            ZoneResult::Failed(why) | ZoneResult::Blocked(why) | ZoneResult::Waiting(why) => {
                format!("{asked}{how} was asked for by hand and failed: {why}")
            }
        };
        events::add(host.places().state(), &HostEvent::new(host.now(), Some(zone), "ByHand", message));
        tell_next(host, zone, to, observer);
        // Nothing in the kernel tells it of an end that was asked for. Where it cannot be told, its resync will see.
        if let Ok(Some(mut controller)) = Controller::connect(host.places()) {
            let _ = controller.look(zone);
        }
        return Ok(ZoneOutcome { zone: zone.to_owned(), state, result });
    }
    Err(Error::refused(format!("zone {zone}: somebody else is at work on it all the time; try again")))
}

/// Beside a controller, what is asked for by hand may not last.
fn tell_next(host: &Host, zone: &str, now: &str, observer: &Observer) {
    let Ok(Some(holder)) = host.holder() else { return };
    let desired = ZoneFiles::new(host.places(), zone).status().and_then(|status| status.desired);
    let text = match desired {
        Some(desired) if desired.as_str() != now => {
            format!(
                "the controller (`{}`, process {}) wants it {desired} and will bring it there",
                holder.command, holder.pid
            )
        }
        Some(_) => return,
        None => format!("`{}` (process {}) will go by its manifest", holder.command, holder.pid),
    };
    (observer)(Notice::Message { zone: Some(zone.to_owned()), text });
}

/// Makes a zone be tried again: what its init did so far counts no longer.
///
/// # Errors
/// [`Error::Refused`] for no such zone; a file that could not be written.
pub fn retry(host: &Host, zone: &str) -> Result<()> {
    let seen = host.looker().zone(zone, None);
    if matches!(derive_state(&seen.facts), Fact::Absent) {
        return Err(Error::refused(format!("there is no zone {zone}")));
    }
    let files = ZoneFiles::new(host.places(), zone);
    let _lock = files.lock()?;
    let mut memory = files.memory(host.boot_id());
    memory.policy.forgive();
    files.remember_locked(&memory)?;
    let event = HostEvent::new(host.now(), Some(zone), "Retry", "a retry was asked for by hand");
    events::add(host.places().state(), &event);
    Ok(())
}
