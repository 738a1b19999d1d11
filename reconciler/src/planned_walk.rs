//! Walking a plan that was made earlier: each zone that it has steps for, if the zone is still as the plan saw it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;

use reeve_state::audit::{self, Permissions, Severity};
use reeve_state::observed::derive_state;
use reeve_state::plan::ZonePlan;

use crate::error::{Error, Result};
use crate::host::{Host, Outcome, Planned, ZoneOutcome, ZoneResult};
use crate::observe::ZoneSeen;
use crate::pass::{self, Scope, World};
use crate::progress::Observer;
use crate::run::settle;
use crate::walk::{self, Walked};

/// How many zones are walked at once.
const AT_ONCE: usize = 8;

/// Walks the plan in waves: those that wait for nobody, then those that waited for them. Then a pass is made over `world`,
/// which has what is wanted, and tells what became of the zones.
///
/// # Errors
/// [`Error::Refused`] when a zone is no longer as the plan saw it, or the audit finds the plan wrong now.
pub fn walk(host: &Host, planned: &Planned, mut world: World, observer: &Observer) -> Result<Outcome> {
    let mut left: Vec<(ZonePlan, ZoneSeen)> = Vec::new();
    for plan in planned.plan.zones.iter().filter(|plan| !plan.steps.is_empty()) {
        left.push((plan.clone(), check(host, planned, plan)?));
    }
    let mut stale = BTreeSet::new();
    while !left.is_empty() {
        let waiting: BTreeSet<&String> = left.iter().map(|(plan, _)| &plan.name).collect();
        let waits: Vec<bool> =
            left.iter().map(|(plan, _)| plan.waits_for().any(|other| waiting.contains(other))).collect();
        let mut waits = waits.into_iter();
        let (wave, mut later): (Vec<_>, Vec<_>) = left.drain(..).partition(|_| !waits.next().unwrap_or(false));
        let walked = match wave.is_empty() {
            false => walk_wave(host, wave, observer),
            true => walk_down(host, &mut later, observer),
        };
        for (name, walked) in walked {
            if walked.stale {
                stale.insert(name.clone());
            }
            let outcome = world.outcomes.entry(name).or_default();
            outcome.walked.extend(walked.outcome.walked);
            (outcome.failed, outcome.halt_blocked) = (walked.outcome.failed, walked.outcome.halt_blocked);
            outcome.claims.extend(walked.outcome.claims);
        }
        left = later;
    }
    pass::pass(host, &mut world, &Scope::All);
    let became = |plan: &ZonePlan| {
        let result = match stale.contains(&plan.name) {
            true => ZoneResult::Failed("somebody else is at work on it".into()),
            false => settle::result(&world, &plan.name),
        };
        ZoneOutcome { zone: plan.name.clone(), state: world.state(&plan.name), result }
    };
    let mut zones: Vec<ZoneOutcome> = planned.plan.zones.iter().map(became).collect();
    zones.sort_by(|a, b| a.zone.cmp(&b.zone));
    Ok(Outcome { zones })
}

fn check(host: &Host, planned: &Planned, plan: &ZonePlan) -> Result<ZoneSeen> {
    let mut seen = host.looker().zone(&plan.name, None);
    // The plan was made with it.
    host.hear_end(&mut seen.facts, &mut seen.memory);
    let stale = |why: &str| Error::refused(format!("the plan is stale: zone {} {why}; plan again", plan.name));
    if derive_state(&seen.facts) != plan.from {
        return Err(stale("is no longer in the state that it was planned from"));
    }
    let then = planned.facts.zones.get(&plan.name);
    if then.is_some_and(|then| then.configured != seen.facts.configured || then.zsched != seen.facts.zsched) {
        return Err(stale("was changed since"));
    }
    if let Some(suspension) = seen.memory.policy.suspended.as_ref().filter(|said| !said.is_over(crate::store::now())) {
        let help = format!("reeve resume {}", plan.name);
        return Err(Error::refused(format!(
            "zone {} is {}; when it may be touched: {help}",
            plan.name,
            suspension.words()
        )));
    }
    // A saved plan shows what it destroys; applying it by name is the person's word.
    let permissions = Permissions { destroy: [plan.name.clone()].into() };
    match audit::audit_zone(plan, &seen.facts, &permissions).into_iter().find(|f| f.severity == Severity::Fatal) {
        Some(fatal) => Err(Error::refused(format!("zone {}: {}", plan.name, fatal.message))),
        None => Ok(seen),
    }
}

/// Takes down zones that wait for each other, as those that swap an address do, each after those that go down before it. What
/// is left of their plans is what comes up again.
fn walk_down(host: &Host, left: &mut Vec<(ZonePlan, ZoneSeen)>, observer: &Observer) -> BTreeMap<String, Walked> {
    let mut all = BTreeMap::new();
    let names: BTreeSet<String> = left.iter().map(|(plan, _)| plan.name.clone()).collect();
    while all.len() < names.len() {
        let is_next = |plan: &ZonePlan| !all.contains_key(&plan.name);
        let is_free =
            |plan: &ZonePlan| !plan.down_after.iter().any(|other| names.contains(other) && !all.contains_key(other));
        let part = |(plan, seen): &(ZonePlan, ZoneSeen)| (settle::teardown(plan), seen.clone());
        let mut wave: Vec<_> = left.iter().filter(|(plan, _)| is_next(plan) && is_free(plan)).map(part).collect();
        if wave.is_empty() {
            wave = left.iter().filter(|(plan, _)| is_next(plan)).map(part).collect();
        }
        all.extend(walk_wave(host, wave, observer));
    }
    let none_went = left.iter().all(|(plan, _)| settle::teardown(plan).steps.is_empty());
    left.retain(|(plan, _)| all.get(&plan.name).is_some_and(is_good));
    for (plan, seen) in left {
        *plan = settle::bring_up(plan);
        (plan.after, plan.down_after) = (Vec::new(), Vec::new());
        if none_went {
            // Nothing else would end the waiting.
            plan.up_after = Vec::new();
        }
        if let Some(done) = all.get(&plan.name) {
            *seen = done.seen.clone();
        }
    }
    all
}

/// Whether all of it was done.
fn is_good(walked: &Walked) -> bool {
    !walked.stale && walked.outcome.failed.is_none() && walked.outcome.halt_blocked.is_none()
}

fn walk_wave(host: &Host, wave: Vec<(ZonePlan, ZoneSeen)>, observer: &Observer) -> BTreeMap<String, Walked> {
    let (queue, done) = (Mutex::new(wave), Mutex::new(BTreeMap::new()));
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                while let Some((plan, seen)) = queue.lock().ok().and_then(|mut queue| queue.pop()) {
                    let walked = walk::walk(host, &plan, seen, plan.source.as_deref(), &mut None, observer);
                    if let Ok(mut done) = done.lock() {
                        done.insert(plan.name.clone(), walked);
                    }
                }
            });
        }
    });
    done.into_inner().unwrap_or_default()
}
