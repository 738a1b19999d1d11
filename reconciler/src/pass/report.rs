//! TELL: the status of each zone.

use std::borrow::Cow;

use reeve_state::condition::{self, Claim, Condition, ConditionStatus, ConditionType};
use reeve_state::difference::Recorded;
use reeve_state::health::{HealthState, HealthStatus};
use reeve_state::observed::derive_state;
use reeve_state::plan::{ZonePlan, ZonePolicy};
use reeve_state::status::{self, Outcome, ZoneStatus};
use reeve_state::{ZoneFacts, ZoneState};

use super::World;
use crate::host::Host;
use crate::store::files;
use crate::store::zone::{Memory, ZoneFiles};

/// Tells of a zone: its status, kept in the run folder when it changed.
pub(super) fn report(host: &Host, world: &mut World, plan: &ZonePlan) {
    let name = &plan.name;
    let nothing = ZoneFacts::absent(name);
    let (no_policy, no_outcome) = (ZonePolicy::default(), Outcome::default());
    let zone_files = ZoneFiles::new(host.places(), name);
    let kept = if world.statuses.contains_key(name) { None } else { zone_files.status() };
    let previous = world.statuses.get(name).or(kept.as_ref());
    let health = world.health.get(name).cloned();
    let outcome = with_health(world.outcomes.get(name).unwrap_or(&no_outcome), health.as_ref());
    let told = status::status(&status::Input {
        wanted: world.wanted.get(name),
        facts: world.facts.zones.get(name).unwrap_or(&nothing),
        recorded: world.recorded.get(name),
        plan,
        policy: world.policies.get(name).unwrap_or(&no_policy),
        outcome: &outcome,
        halt: world.memories.get(name).and_then(|memory| memory.halt.as_ref()),
        commit: world.commit.as_deref(),
        source: &world.source_claims,
        previous,
        now: crate::store::now(),
    });
    let told = ZoneStatus { health, ..told };
    let changed = previous != Some(&told);
    if let Some(outcome) = world.outcomes.get_mut(name) {
        outcome.walked.clear();
    }
    if plan.from.is_absent() && plan.goal.is_none() {
        world.statuses.remove(name);
        return;
    }
    if changed {
        let made = if zone_files.run().is_dir() { Ok(()) } else { files::private_folder(zone_files.run()) };
        if let Err(error) = made.and_then(|()| zone_files.write_status(&told)) {
            tracing::warn!("zone {name}: {error}");
        }
    }
    world.statuses.insert(name.clone(), told);
}

/// An outcome with what its health check says of the zone.
fn with_health<'o>(outcome: &'o Outcome, health: Option<&HealthStatus>) -> Cow<'o, Outcome> {
    let Some(health) = health.filter(|health| health.status == HealthState::Unhealthy) else {
        return Cow::Borrowed(outcome);
    };
    let mut outcome = outcome.clone();
    let why = health.message.clone().unwrap_or_default();
    outcome.claims.push(Claim::is_true(ConditionType::Degraded, "HealthCheckFailed", why));
    Cow::Owned(outcome)
}

/// What was converged and is seen elsewhere now is converged no more, though no pass has said so yet.
fn without_a_pass(
    mut conditions: Vec<Condition>,
    desired: Option<ZoneState>,
    state: Option<ZoneState>,
) -> Vec<Condition> {
    let was = condition::find(&conditions, ConditionType::Converged).is_some_and(|c| c.status == ConditionStatus::True);
    if let (true, Some(desired), Some(state)) = (was && desired != state, desired, state) {
        let message = format!("{state}, wanted {desired}; no pass was made over this zone since");
        let claim = Claim::is_false(ConditionType::Converged, "NoPass", message);
        condition::set(&mut conditions, claim, None, crate::store::now());
    }
    conditions
}

/// The status of a zone as it is now, for those who read it without a manifest: what was told last (`kept`) has what only
/// a pass knows.
pub fn status_now(
    facts: &ZoneFacts,
    memory: Option<&Memory>,
    recorded: Option<&Recorded>,
    kept: Option<ZoneStatus>,
) -> ZoneStatus {
    let policy = memory.map(|memory| memory.policy.clone()).unwrap_or_default();
    let from = derive_state(facts);
    let state = from.known().copied();
    let plan = ZonePlan {
        name: facts.name.clone(),
        from,
        to: state,
        goal: state,
        path: Vec::new(),
        steps: Vec::new(),
        differences: Vec::new(),
        hold: None,
        manifest: None,
        digest: None,
        source: None,
        after: Vec::new(),
        up_after: Vec::new(),
        down_after: Vec::new(),
        reason: String::new(),
    };
    // When it is tried again is known to the controller alone.
    let told = kept.as_ref().and_then(|kept| kept.halt.as_ref());
    let found = memory.and_then(|memory| memory.halt.as_ref());
    let halt = found.map(|found| told.filter(|told| told.attempts == found.attempts).unwrap_or(found));
    let now = status::status(&status::Input {
        wanted: None,
        facts,
        recorded,
        plan: &plan,
        policy: &policy,
        outcome: &Outcome::default(),
        halt,
        commit: None,
        source: &[],
        previous: kept.as_ref(),
        now: crate::store::now(),
    });
    match kept {
        Some(kept) => {
            let tells = |conditions: &[Condition]| condition::find(conditions, ConditionType::HaltBlocked).is_some();
            // A halt by hand that got stuck, or came through, since the last pass.
            let conditions = match (tells(&kept.conditions), tells(&now.conditions)) {
                (told, is) if told == is => kept.conditions,
                _ => now.conditions,
            };
            let moved = kept.state != state;
            let conditions = if moved { without_a_pass(conditions, kept.desired, state) } else { conditions };
            ZoneStatus {
                desired: kept.desired,
                manifest_digest: kept.manifest_digest,
                source: kept.source.or(now.source),
                commit: kept.commit,
                pending: kept.pending,
                health: kept.health.filter(|_| now.init_pid.is_some() && now.init_pid == kept.init_pid),
                conditions,
                ..now
            }
        }
        None => {
            // What is wanted of it is not known here, so neither is whether it is there.
            let message = "no pass was made over this zone since the host's boot";
            let claim = Claim::is_true(ConditionType::Converged, "NoPass", message);
            let claim = Claim { status: ConditionStatus::Unknown, ..claim };
            let mut conditions = Vec::new();
            condition::set(&mut conditions, claim, None, crate::store::now());
            if now.halt.is_some() {
                return now;
            }
            ZoneStatus { conditions, ..now }
        }
    }
}
