//! Zones that depend on others (`dependsOn`): they come up after them, and go down before them.
//!
//! A zone waits before its bring-up until each zone that it depends on runs, or is healthy where it says so. One that is up stays up when such a zone ends, or
//! is made anew: what it does without is its own matter. Of zones that go down together, those that depend on others go first.

use std::collections::{BTreeMap, BTreeSet};

use super::{Hold, Input, Plan, ZonePlan};
use crate::difference::Recorded;
use crate::lifecycle::{Transition, ZoneState};
use crate::observed::{HostFacts, ZoneFacts, derive_state};
use crate::wanted::{self, Need};

/// Zones that are to come up while one that they depend on neither runs nor is about to: their number in `zones`, and the
/// hold. That includes zones that wait for each other.
pub(super) fn held(zones: &[ZonePlan], input: &Input<'_>) -> Vec<(usize, Hold)> {
    let waiting: Vec<(usize, Vec<Need>)> = zones
        .iter()
        .enumerate()
        .map(|(index, zone)| (index, needs(zone, input)))
        .filter(|(_, n)| !n.is_empty())
        .collect();
    if waiting.is_empty() {
        return Vec::new();
    }
    let will = will_run(zones, input);
    let stuck = |(index, needs): (usize, Vec<Need>)| {
        let Need { zone, healthy } = needs.into_iter().find(|need| !will.has(need))?;
        Some((index, Hold::DependsOn { zone, healthy }))
    };
    waiting.into_iter().filter_map(stuck).collect()
}

/// The zones that a zone with a bring-up depends on.
fn needs(zone: &ZonePlan, input: &Input<'_>) -> Vec<Need> {
    if !comes_up(zone) {
        return Vec::new();
    }
    // What it is brought up with, which may be what it was before a change that waits.
    let wanted = || input.wanted.get(&zone.name).map(|wanted| &wanted.manifest);
    zone.manifest.as_ref().or_else(wanted).map(|manifest| wanted::depends_on(manifest)).unwrap_or_default()
}

/// Zones that zones with a bring-up depend on, and that are what these wait for, or will be when the plan is carried out.
#[derive(Default)]
struct Will {
    /// They run and go on running, or will.
    run: BTreeSet<String>,
    /// They run already and no check has told that they are healthy: that is nothing which the plan does.
    unhealthy: BTreeSet<String>,
}

impl Will {
    fn has(&self, need: &Need) -> bool {
        self.run.contains(&need.zone) && !(need.healthy && self.unhealthy.contains(&need.zone))
    }
}

/// Which those are: never by way of a zone that waits for itself.
fn will_run(zones: &[ZonePlan], input: &Input<'_>) -> Will {
    let plans: BTreeMap<&str, &ZonePlan> = zones.iter().map(|zone| (zone.name.as_str(), zone)).collect();
    let mut will = Will::default();
    for need in zones.iter().flat_map(|zone| needs(zone, input)) {
        let goes = plans.get(need.zone.as_str()).is_some_and(|plan| goes_down(plan));
        if runs(&need.zone, input.facts) && !goes {
            if !input.policies.get(&need.zone).is_some_and(|policy| policy.healthy) {
                will.unhealthy.insert(need.zone.clone());
            }
            will.run.insert(need.zone);
        }
    }
    loop {
        let more: Vec<String> = zones
            .iter()
            .filter(|zone| zone.to == Some(ZoneState::Running) && comes_up(zone) && !will.run.contains(&zone.name))
            .filter(|zone| needs(zone, input).iter().all(|need| will.has(need)))
            .map(|zone| zone.name.clone())
            .collect();
        if more.is_empty() {
            return will;
        }
        will.run.extend(more);
    }
}

/// Fills in who comes up after whom, and who goes down after whom.
pub(super) fn arrange(zones: &mut [ZonePlan], input: &Input<'_>) {
    for zone in zones.iter_mut() {
        let needs = needs(zone, input);
        if needs.is_empty() || matches!(zone.hold, Some(Hold::DependsOn { .. })) {
            continue;
        }
        zone.up_after = needs.into_iter().map(|need| need.zone).collect();
        zone.reason.push_str(&format!("; comes up after {}", zone.up_after.join(", ")));
    }
    if !zones.iter().any(ends_down) {
        return;
    }
    let stays_down = |zone: &ZonePlan| goes_down(zone) && zone.to != Some(ZoneState::Running);
    let planned: BTreeMap<String, bool> = zones.iter().map(|zone| (zone.name.clone(), stays_down(zone))).collect();
    let below = |name: &str| input.wanted.get(name).is_some_and(|wanted| wanted.goal() < ZoneState::Running);
    // One that is not planned now is being walked, or is where it should be.
    let goes = |name: &str| planned.get(name).copied().unwrap_or_else(|| below(name));
    let depends = |name: &str| match (input.wanted.get(name), input.recorded.get(name)) {
        (Some(wanted), _) => wanted::depends_on(&wanted.manifest),
        (None, Some(recorded)) => wanted::depends_on(&recorded.manifest),
        (None, None) => Vec::new(),
    };
    down_in_order(zones, input.facts, &goes, &depends);
}

/// Puts zones that are taken down in order. `down` are all that are, also those that are not in the plan because somebody is
/// at it already.
pub fn take_down_in_order(
    plan: &mut Plan,
    down: &BTreeSet<String>,
    facts: &HostFacts,
    recorded: &BTreeMap<String, Recorded>,
) {
    let depends = |name: &str| recorded.get(name).map(|r| wanted::depends_on(&r.manifest)).unwrap_or_default();
    down_in_order(&mut plan.zones, facts, &|name| down.contains(name), &depends);
}

fn down_in_order(
    zones: &mut [ZonePlan],
    facts: &HostFacts,
    goes: &dyn Fn(&str) -> bool,
    depends: &dyn Fn(&str) -> Vec<Need>,
) {
    let up = |seen: &ZoneFacts| derive_state(seen).known().is_some_and(|state| state.is_active());
    let mut dependents: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (name, _) in facts.zones.iter().filter(|(name, seen)| up(seen) && goes(name)) {
        for other in depends(name) {
            dependents.entry(other.zone).or_default().push(name.clone());
        }
    }
    // Zones that wait for each other, as manifests of different times may have it, wait for nobody.
    let mut left = dependents.clone();
    loop {
        let free: Vec<String> = left
            .iter()
            .filter(|(_, waits)| !waits.iter().any(|other| left.contains_key(other)))
            .map(|(n, _)| n.clone())
            .collect();
        if free.is_empty() {
            break;
        }
        free.iter().for_each(|name| drop(left.remove(name)));
    }
    for zone in zones.iter_mut().filter(|zone| ends_down(zone) && !left.contains_key(&zone.name)) {
        zone.down_after = dependents.remove(&zone.name).unwrap_or_default();
        if !zone.down_after.is_empty() {
            zone.reason.push_str(&format!("; goes down after {}", zone.down_after.join(", ")));
        }
    }
}

fn runs(name: &str, facts: &HostFacts) -> bool {
    facts
        .zones
        .get(name)
        .is_some_and(|seen| derive_state(seen).known() == Some(&ZoneState::Running) && seen.init.is_known())
}

fn comes_up(zone: &ZonePlan) -> bool {
    zone.path.iter().any(|transition| matches!(transition, Transition::Ready | Transition::Boot | Transition::Reboot))
}

fn goes_down(zone: &ZonePlan) -> bool {
    zone.path.iter().any(|transition| matches!(transition, Transition::Stop | Transition::Halt | Transition::Reboot))
}

/// Whether it goes down and does not run at the end. An unfinished halt goes on whoever depends on the zone.
fn ends_down(zone: &ZonePlan) -> bool {
    let halting = zone.from.known().is_some_and(|state| state.is_halting());
    goes_down(zone) && zone.to != Some(ZoneState::Running) && !halting
}
