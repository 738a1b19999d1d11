//! Walks a plan on facts: what the kernel would show afterwards if every step did what it says.

use std::sync::Arc;

use reeve_schema::manifest::CrashLoop;
use reeve_state::difference::{Difference, Price, Recorded};
use reeve_state::observed::{InstalledFacts, RecordedConfig, derive_state};
use reeve_state::plan::{Action, Step, ZonePlan, step_name};
use reeve_state::{Fact, Timestamp, Transition, ZoneFacts, ZoneState};

use super::{World, cgroup_of, links_of, process};

/// Walks the plans of all zones. Panics where a transition does not end in the state that its plan says.
pub fn walk(world: &mut World, zones: &[ZonePlan]) {
    for zone in zones {
        note_exit(world, zone);
        for (index, step) in zone.steps.iter().enumerate() {
            take(world, zone, step);
            let next = zone.steps.get(index + 1);
            if next.is_none_or(|next| next.action != step.action || next.from == step.to && starts(next)) {
                finished(world, zone, step);
            }
        }
    }
}

fn starts(step: &Step) -> bool {
    step.action == Action::Live || step.name == step_name::HALT[0]
}

/// The controller notes an end of init before it walks: after a halt nobody knows of it any more.
fn note_exit(world: &mut World, zone: &ZonePlan) {
    let exit = world.facts.zones.get(&zone.name).and_then(|facts| facts.last_exit);
    if let Some(exit) = exit {
        let policy = world.policies.entry(zone.name.clone()).or_default();
        policy.restarts = policy.restarts.noted(exit, CrashLoop::default());
    }
}

fn finished(world: &mut World, zone: &ZonePlan, step: &Step) {
    let seen = derive_state(&world.facts.zones[&zone.name]);
    let expected = step.to.map_or(Fact::Absent, Fact::Known);
    // A zone whose facts are not all known, or whose files vanished while it was up, shows nothing for sure once it is out
    // of the kernel.
    let vanished = step.to == Some(ZoneState::Installed) && !world.facts.zones[&zone.name].installed.is_known();
    if !matches!(seen, Fact::Unknown { .. }) && !vanished {
        assert_eq!(seen, expected, "after {} of zone {}", step.name, zone.name);
    }
    if let (Some(recorded), Some(state)) = (world.recorded.get_mut(&zone.name), step.to) {
        recorded.state = state;
        recorded.boot_id = world.facts.boot_id.clone();
        recorded.zone_id = world.facts.zones[&zone.name].zone_id;
    }
}

fn take(world: &mut World, zone: &ZonePlan, step: &Step) {
    let now = world.facts.observed_at;
    let facts = world.facts.zones.entry(zone.name.clone()).or_insert_with(|| ZoneFacts::absent(&zone.name));
    match step.name.as_str() {
        step_name::WRITE_CONFIGURATION | step_name::RECORD => {
            let (manifest, digest) =
                (zone.manifest.clone().expect("a manifest"), zone.digest.clone().expect("a digest"));
            facts.configured = Fact::Known(RecordedConfig { digest: digest.clone(), source: zone.source.clone() });
            let (boot_id, zone_id) = (world.facts.boot_id.clone(), facts.zone_id);
            let state = step.to.expect("a state");
            let platform = world.recorded.get(&zone.name).and_then(|before| before.platform.clone());
            let recorded = Recorded { manifest, digest, state, boot_id, zone_id, at: now, platform };
            world.recorded.insert(zone.name.clone(), recorded);
        }
        step_name::INSTALL_ROOT => facts.installed = Fact::Known(InstalledFacts { at: now }),
        step_name::REMOVE_ROOT => facts.installed = Fact::Absent,
        step_name::REMOVE_CONFIGURATION => {
            facts.configured = Fact::Absent;
            world.recorded.remove(&zone.name);
        }
        step_name::START_INIT => start_init(world, zone, now),
        step_name::STOP_INIT => end_processes(facts),
        step_name::MEND => mend(world, zone),
        step_name::ADOPT => facts.zoneadmd = process(200),
        step_name::APPLY_LIMITS => apply_limits(facts, zone),
        step_name::REPAIR_LINKS => facts.links = Fact::Known(links_of(zone.manifest.as_ref().expect("a manifest"))),
        name if step_name::READY.contains(&name) => {
            ready(facts, zone, name);
            let new = world.recorded.get(&zone.name).and_then(|recorded| recorded.platform.clone());
            if let Some(new) = new.filter(|_| name == "resourceControls") {
                facts.platform = Some(new);
            }
        }
        name if step_name::HALT.contains(&name) => halt(facts, name),
        name => panic!("no step {name}"),
    }
}

/// Limits that drifted and are left so keep what they are.
fn apply_limits(facts: &mut ZoneFacts, zone: &ZonePlan) {
    let mut new = cgroup_of(zone.manifest.as_ref().expect("a manifest"));
    if let Fact::Known(old) = &facts.cgroup {
        let left = |field: &str| zone.differences.iter().any(|one| one.field == field && !one.is_acted_on());
        let keep = |field: &str, new: &mut Option<String>, old: &Option<String>| {
            if left(field) {
                new.clone_from(old);
            }
        };
        keep("cappedMemory", &mut new.memory_max, &old.memory_max);
        keep("maxProcesses", &mut new.pids_max, &old.pids_max);
        keep("cappedCpu", &mut new.cpu_max, &old.cpu_max);
        keep("cpuShares", &mut new.cpu_weight, &old.cpu_weight);
    }
    facts.cgroup = Fact::Known(new);
}

/// What is of the platform and can be put back on the zone as it is.
fn mend(world: &mut World, zone: &ZonePlan) {
    let platform = world.facts.zones.get_mut(&zone.name).and_then(|facts| facts.platform.as_mut()).expect("a platform");
    let platform = Arc::make_mut(platform);
    let live = |one: &&Difference| one.is_of_platform() && one.is_acted_on() && one.price == Price::Live;
    for one in zone.differences.iter().filter(live) {
        platform.strangers.retain(|who| one.field != format!("processes.{}", who.pid));
        match one.recorded.as_ref().and_then(|value| value.as_str()) {
            Some(was) => drop(platform.fields.insert(one.field.clone(), was.to_owned())),
            None => drop(platform.fields.remove(&one.field)),
        }
    }
}

/// A start of init makes its own part of the platform anew.
fn environment_anew(world: &mut World, name: &str) {
    let Some(recorded) = world.recorded.get(name).and_then(|recorded| recorded.platform.clone()) else { return };
    let Some(platform) = world.facts.zones.get_mut(name).and_then(|facts| facts.platform.as_mut()) else { return };
    let platform = Arc::make_mut(platform);
    let own = |field: &String| field.starts_with("environment.") || field == "cgroup.environment.freeze";
    platform.fields.retain(|field, _| !own(field));
    platform.fields.extend(recorded.fields.clone().into_iter().filter(|(field, _)| own(field)));
}

fn start_init(world: &mut World, zone: &ZonePlan, now: Timestamp) {
    let facts = world.facts.zones.get_mut(&zone.name).expect("the zone");
    facts.init = process(201);
    facts.environment = Some(facts.environment.unwrap_or(0) + 1);
    facts.environment_processes = Fact::Known(1);
    let policy = world.policies.entry(zone.name.clone()).or_default();
    policy.restarts = policy.restarts.started(now, zone.digest.as_deref().unwrap_or_default());
    environment_anew(world, &zone.name);
}

fn end_processes(facts: &mut ZoneFacts) {
    facts.init = Fact::Absent;
    facts.environment_processes = Fact::Known(0);
}

fn ready(facts: &mut ZoneFacts, zone: &ZonePlan, name: &str) {
    let manifest = zone.manifest.as_ref().expect("a manifest");
    match name {
        "zoneadmd" => {
            facts.zoneadmd = process(200);
            // The journal of this bring-up takes the place of an older one.
            facts.halt_intent = false;
        }
        "zoneId" => facts.zone_id = Some(facts.zone_id.unwrap_or(1) + 1),
        "zsched" => {
            facts.zsched = process(202);
            facts.namespaces = Fact::Known([("net".to_owned(), 4_026_532_001)].into());
        }
        "network" => facts.links = Fact::Known(links_of(manifest)),
        "resourceControls" => {
            facts.cgroup = Fact::Known(cgroup_of(manifest));
            facts.journal = None;
        }
        _ => {}
    }
}

fn halt(facts: &mut ZoneFacts, name: &str) {
    facts.halt_intent = name != "destroy";
    match name {
        "killProcesses" => {
            end_processes(facts);
            facts.login_processes = Fact::Known(0);
        }
        "unplumb" => facts.links = Fact::Absent,
        "unmount" => facts.mounts = Fact::Known(0),
        "destroy" => {
            facts.zsched = Fact::Absent;
            facts.zoneadmd = Fact::Absent;
            facts.namespaces = Fact::Absent;
            facts.cgroup = Fact::Absent;
            facts.zone_id = None;
            facts.journal = None;
            facts.last_exit = None;
        }
        _ => {}
    }
}

/// Whether a plan walks this transition.
pub fn walks(zone: &ZonePlan, transition: Transition) -> bool {
    zone.steps.iter().any(|step| step.action == Action::Transition(transition))
}
