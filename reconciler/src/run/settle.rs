//! What of a plan may be walked now, when everything is settled, and how it ended.

use std::collections::BTreeSet;

use reeve_state::condition::{self, ConditionType};
use reeve_state::health::HealthState;
use reeve_state::plan::{Action, Hold, Step, ZonePlan};
use reeve_state::wanted::{self, Need};
use reeve_state::{Fact, Transition, ZoneState};

use super::engine::Engine;
use crate::host::{Outcome, ZoneOutcome, ZoneResult};
use crate::pass::{Aim, World};

/// Failed walks in a row after which a command that works once gives a zone up.
const TRIES: u32 = 4;
/// The same for a halt that something holds: each try has waited for it.
const HALT_TRIES: u32 = 2;

/// What of a plan may be walked now. Where another zone must be torn down first, that is this zone's own teardown: so two
/// zones that swap what they have do not wait for each other. Where another zone must run first, one that runs stays up
/// until then.
pub fn walkable(engine: &Engine, plan: &ZonePlan) -> Option<ZonePlan> {
    use Transition::{Boot, Configure, Install, Ready, Reboot};
    if plan.steps.is_empty() || !plan.down_after.iter().all(|other| is_torn_down(engine, other)) {
        return None;
    }
    let held: &[Transition] = if !plan.after.iter().all(|other| is_torn_down(engine, other)) {
        &[Configure, Install, Ready, Boot, Reboot]
    } else if !needs_are_met(engine, plan) {
        let in_the_way = || engine.world.plans.values().any(|other| other.after.contains(&plan.name));
        if plan.from.known() == Some(&ZoneState::Running) && !in_the_way() {
            return None;
        }
        &[Ready, Boot, Reboot]
    } else {
        return Some(plan.clone());
    };
    let is_held = |step: &Step| matches!(step.action, Action::Transition(transition) if held.contains(&transition));
    let mut part = plan.clone();
    part.steps.truncate(plan.steps.iter().position(is_held).unwrap_or(plan.steps.len()));
    part.path.retain(|transition| !held.contains(transition));
    part.to = part.steps.last().map_or(plan.from.known().copied(), |step| step.to);
    let moves = part.steps.iter().any(|step| matches!(step.action, Action::Transition(_)));
    moves.then_some(part)
}

/// Whether each zone that it depends on is what it waits for.
fn needs_are_met(engine: &Engine, plan: &ZonePlan) -> bool {
    let Some(manifest) = plan.manifest.as_deref().filter(|_| !plan.up_after.is_empty()) else { return true };
    wanted::depends_on(manifest).iter().all(|Need { zone, healthy }| {
        let is_healthy = || engine.world.health.get(zone).is_some_and(|health| health.status == HealthState::Healthy);
        runs(engine, zone) && (!healthy || is_healthy())
    })
}

/// Whether a zone runs and goes on running.
fn runs(engine: &Engine, zone: &str) -> bool {
    let init = engine.world.facts.zones.get(zone).is_some_and(|facts| facts.init.is_known());
    let goes_down = engine.world.plans.get(zone).is_some_and(|plan| !plan.path.is_empty());
    init && engine.world.state(zone) == Some(ZoneState::Running) && !goes_down
}

fn goes_up(transition: Transition) -> bool {
    matches!(transition, Transition::Configure | Transition::Install | Transition::Ready | Transition::Boot)
}

/// The part of a plan that comes before anything is brought up.
pub fn teardown(plan: &ZonePlan) -> ZonePlan {
    let first_up = plan.steps.iter().position(|step| match step.action {
        Action::Transition(Transition::Reboot) => true,
        Action::Transition(transition) => goes_up(transition),
        Action::Live => false,
    });
    let mut part = plan.clone();
    part.steps.truncate(first_up.unwrap_or(plan.steps.len()));
    part.path.retain(|transition| !goes_up(*transition) && *transition != Transition::Reboot);
    part.to = part.steps.last().map_or(plan.from.known().copied(), |step| step.to);
    part
}

/// What comes after [`teardown`].
pub fn bring_up(plan: &ZonePlan) -> ZonePlan {
    let down = teardown(plan);
    let mut part = plan.clone();
    part.steps.drain(..down.steps.len());
    part.path.retain(|transition| goes_up(*transition) || *transition == Transition::Reboot);
    part.from = down.to.map_or(Fact::Absent, Fact::Known);
    part
}

fn is_torn_down(engine: &Engine, zone: &str) -> bool {
    let busy = engine.zones.get(zone).is_some_and(|entry| entry.busy);
    let goes_down = |plan: &ZonePlan| {
        plan.path.iter().any(|transition| {
            matches!(transition, Transition::Halt | Transition::Stop | Transition::Uninstall | Transition::Reboot)
        })
    };
    !busy && !engine.world.plans.get(zone).is_some_and(goes_down)
}

/// The zones that it is about.
fn zones(engine: &Engine) -> BTreeSet<String> {
    match &engine.world.aim {
        Aim::Down { zones, .. } => zones.clone(),
        Aim::Manifests { .. } => {
            // Zones from elsewhere are left alone: nobody waits for them.
            let plans = engine.world.plans.values().filter(|plan| !matches!(plan.hold, Some(Hold::OtherSource { .. })));
            engine.world.wanted.keys().chain(plans.map(|plan| &plan.name)).cloned().collect()
        }
    }
}

/// Whether nothing is being done, and nothing will be without something happening first.
pub fn is_settled(engine: &Engine) -> bool {
    let open = |name: &String| {
        let blocked = engine.world.outcomes.get(name).is_some_and(|outcome| outcome.halt_blocked.is_some());
        let tries = if blocked { HALT_TRIES } else { TRIES };
        let given_up = engine.zones.get(name).is_some_and(|entry| entry.failures >= tries);
        let plan = engine.world.plans.get(name);
        let waits = plan.is_some_and(|plan| matches!(plan.hold, Some(Hold::Backoff { .. })));
        // What waits for a zone that was given up waits in vain.
        plan.is_some_and(|plan| walkable(engine, plan).is_some() || waits || engine.waits_for_checks(name)) && !given_up
    };
    !engine.zones.values().any(|entry| entry.busy) && !zones(engine).iter().any(open)
}

/// How each zone ended.
pub fn outcome(engine: &Engine) -> Outcome {
    let one = |name: String| {
        let state = engine.world.state(&name);
        ZoneOutcome { result: result(&engine.world, &name), zone: name, state }
    };
    Outcome { zones: zones(engine).into_iter().map(one).collect() }
}

/// How a zone ended, by what is known of it.
pub fn result(world: &World, zone: &str) -> ZoneResult {
    let Some(plan) = world.plans.get(zone) else { return ZoneResult::Converged };
    if let Some(outcome) = world.outcomes.get(zone) {
        if let Some((_, why)) = &outcome.halt_blocked {
            return ZoneResult::Blocked(why.clone());
        }
        if let (Some(why), false) = (&outcome.failed, plan.is_past_failures()) {
            return ZoneResult::Failed(why.clone());
        }
    }
    let conditions = world.statuses.get(zone).map(|status| status.conditions.as_slice()).unwrap_or_default();
    match &plan.hold {
        Some(Hold::Unknown { why }) => ZoneResult::Failed(why.clone()),
        Some(Hold::FilesGone | Hold::SecretUnavailable { .. }) => ZoneResult::Blocked(plan.reason.clone()),
        Some(
            Hold::AwaitingConfirmation { .. }
            | Hold::AwaitingApproval { .. }
            | Hold::AwaitingWindow { .. }
            | Hold::Backoff { .. }
            | Hold::Conflict { .. }
            | Hold::DependsOn { .. }
            | Hold::Drifted { .. }
            | Hold::Suspended { .. }
            | Hold::OtherSource { .. },
        ) => ZoneResult::Waiting(plan.reason.clone()),
        Some(Hold::Stay { .. }) if condition::holds(conditions, ConditionType::GaveUp) => {
            ZoneResult::Blocked(plan.reason.clone())
        }
        Some(Hold::Stay { .. }) => ZoneResult::Waiting(plan.reason.clone()),
        None if plan.steps.is_empty() => ZoneResult::Converged,
        None => ZoneResult::Waiting(plan.reason.clone()),
    }
}
