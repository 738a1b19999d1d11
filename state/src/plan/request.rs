//! Plans for what a person asks for by name, without a look at what the manifest wants.

use std::sync::Arc;

use serde_json::Value;

use super::steps::{Work, steps};
use super::way::{down, height};
use super::{Hold, ZonePlan, step_name};
use crate::difference::Recorded;
use crate::lifecycle::{IllegalTransition, Transition, ZoneState, step};
use crate::observed::{Fact, ZoneFacts, derive_state};
use crate::wanted::{self, Wanted};

/// Why a request is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The table does not have it.
    #[error(transparent)]
    Illegal(#[from] IllegalTransition),
    /// What is there is not known, so nothing is done.
    #[error("{transition}: what is there of the zone is not known: {why}")]
    Unknown {
        /// What was asked for.
        transition: Transition,
        /// What could not be read.
        why: String,
    },
    /// There is neither a recorded configuration nor a manifest to do it from.
    #[error("{transition}: there is no configuration of the zone to do it from")]
    NoConfiguration {
        /// What was asked for.
        transition: Transition,
    },
}

/// The plan for one transition that somebody asks for. It uses the recorded manifest, or the wanted one where nothing is
/// recorded. `boot` from Installed goes through Ready (SEED T3).
///
/// # Errors
/// [`Refusal`]: the state does not allow it, or is not known.
pub fn request(
    transition: Transition,
    wanted: Option<&Wanted>,
    facts: &ZoneFacts,
    recorded: Option<&Recorded>,
) -> Result<ZonePlan, Refusal> {
    let state = match derive_state(facts) {
        Fact::Unknown { why } => return Err(Refusal::Unknown { transition, why }),
        Fact::Known(state) => Some(state),
        Fact::Absent => None,
    };
    let halting = state.is_some_and(ZoneState::is_halting);
    if let Some(why) = facts.why_unknown()
        && !(halting && transition == Transition::Halt)
    {
        return Err(Refusal::Unknown { transition, why });
    }
    let through_ready = transition == Transition::Boot && state == Some(ZoneState::Installed);
    let path = if through_ready { vec![Transition::Ready, Transition::Boot] } else { vec![transition] };
    if !through_ready && (!transition.can_be_asked_for() || step(state, transition).is_err()) {
        return Err(IllegalTransition { from: state, transition }.into());
    }
    let manifest = recorded.map(|r| &r.manifest).or(wanted.map(|w| &w.manifest));
    use Transition::{Boot, Configure, Install, Ready, Reboot};
    if matches!(transition, Configure | Install | Ready | Boot | Reboot) && manifest.is_none() {
        return Err(Refusal::NoConfiguration { transition });
    }
    Ok(laid_out(facts, state, &path, manifest, format!("{transition} was asked for")))
}

/// The plan for a restart that somebody asks for: stop and boot, platform and zone ID stay (SEED T2b).
///
/// # Errors
/// [`Refusal`]: the zone is not running, that is not known, or nothing says what to boot.
pub fn restart(wanted: Option<&Wanted>, facts: &ZoneFacts, recorded: Option<&Recorded>) -> Result<ZonePlan, Refusal> {
    let stop = request(Transition::Stop, wanted, facts, recorded)?;
    let manifest = stop.manifest.as_ref().ok_or(Refusal::NoConfiguration { transition: Transition::Boot })?;
    let path = [Transition::Stop, Transition::Boot];
    Ok(laid_out(facts, Some(ZoneState::Running), &path, Some(manifest), "a restart was asked for".into()))
}

/// The plan that takes a zone down to Installed from wherever it is, or, with `purge`, removes it altogether. Where
/// that is not known: a plan without a step and with the hold `Unknown`.
pub fn take_down(purge: bool, facts: &ZoneFacts, recorded: Option<&Recorded>) -> ZonePlan {
    let from = derive_state(facts);
    let state = from.known().copied();
    let bottom = match (purge, height(state)) {
        (true, _) => None,
        (false, 0..=2) => state,
        (false, _) => Some(ZoneState::Installed),
    };
    let unknown = from.why_unknown().map(String::from).or_else(|| facts.why_unknown());
    let path = match &unknown {
        // Only a halt that was begun goes on.
        Some(_) if state.is_some_and(ZoneState::is_halting) => down(state, Some(ZoneState::Installed)),
        Some(_) => Vec::new(),
        None => down(state, bottom),
    };
    let words = if purge { "taking it down and removing it was asked for" } else { "taking it down was asked for" };
    let mut plan = laid_out(facts, state, &path, recorded.map(|r| &r.manifest), words.into());
    plan.goal = bottom;
    plan.hold = unknown.map(|why| Hold::Unknown { why });
    plan
}

fn laid_out(
    facts: &ZoneFacts,
    state: Option<ZoneState>,
    path: &[Transition],
    manifest: Option<&Arc<Value>>,
    reason: String,
) -> ZonePlan {
    let active = state.is_some_and(ZoneState::is_active);
    let adopt = (active && !path.is_empty() && facts.zoneadmd.is_absent()).then_some(Work::Live(step_name::ADOPT));
    let work: Vec<Work> = adopt.into_iter().chain(path.iter().copied().map(Work::Transition)).collect();
    let (steps, to) = steps(state, &work, wanted::halt_timeout_ms(manifest.map_or(&Value::Null, Arc::as_ref)));
    ZonePlan {
        name: facts.name.clone(),
        from: derive_state(facts),
        to,
        goal: to,
        path: path.to_vec(),
        steps,
        differences: Vec::new(),
        hold: None,
        manifest: manifest.cloned(),
        digest: None,
        source: None,
        after: Vec::new(),
        up_after: Vec::new(),
        down_after: Vec::new(),
        reason,
    }
}
