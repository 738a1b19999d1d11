//! Plans told as stories: the restart policy, confirmations, conflicts, requests, and what a plan costs to make.

mod common;

use common::model::walk;
use common::{World, facts_in, wants};
use reeve_state::audit::{Permissions, audit_zone};
use reeve_state::plan::{Hold, Plan, Refusal, ZonePlan, ZonePolicy, plan_some, request, restart, take_down};
use reeve_state::restart::{ExitKind, ExitReport, RestartHistory, StayReason};
use reeve_state::suspension::Suspension;
use reeve_state::wanted::Wanted;
use reeve_state::{Fact, Timestamp, Transition, ZoneState};
use serde_json::{Value, json};

use Transition as T;
use ZoneState::{Installed, Ready, Running};

/// A zone whose init has just ended on a platform that is up, `short_ends` ends in a row before it.
fn ended(spec: Value, kind: ExitKind, short_ends: u32) -> World {
    let zone = wants("z", spec);
    let mut world = World::new();
    world.put(&zone, Ready);
    world.recorded.get_mut("z").expect("z").state = Running;
    let now = world.facts.observed_at;
    world.facts.zones.get_mut("z").expect("z").last_exit = Some(ExitReport { kind, at: now, environment: 1 });
    let history =
        RestartHistory { short_ends, started_at: Some(now), digest: Some(zone.digest.clone()), ..Default::default() };
    world.policies.insert("z".into(), ZonePolicy { restarts: history, ..ZonePolicy::default() });
    world.wanted.insert("z".into(), zone);
    world
}

fn only(plan: &Plan) -> &ZonePlan {
    assert_eq!(plan.zones.len(), 1);
    &plan.zones[0]
}

#[test]
fn after_the_end_of_init_the_policy_decides() {
    let policy = |restart: &str| json!({"init": {"restart": restart}});
    let stay = |why| Some(Hold::Stay { why });
    let wait = |ms: u64| Some(Hold::Backoff { until: Timestamp(1_000_000 + ms) });
    type Case = (&'static str, ExitKind, u32, Vec<Transition>, Option<Hold>);
    let table: Vec<Case> = vec![
        ("always", ExitKind::Exited(0), 0, vec![T::Boot], None),
        ("always", ExitKind::Exited(0), 3, vec![], wait(400)),
        ("always", ExitKind::Signaled(9), 9, vec![], stay(StayReason::GaveUp)),
        ("on-failure", ExitKind::Exited(0), 0, vec![], stay(StayReason::InitExited)),
        ("never", ExitKind::Exited(1), 0, vec![], stay(StayReason::InitExited)),
        ("never", ExitKind::RebootInside, 0, vec![T::Halt, T::Ready, T::Boot], None),
        ("always", ExitKind::PoweroffInside, 0, vec![T::Halt, T::Ready, T::Boot], None),
        ("always", ExitKind::PoweroffInside, 3, vec![T::Halt], wait(400)),
        ("never", ExitKind::PoweroffInside, 0, vec![T::Halt], stay(StayReason::PoweredOffInside)),
    ];
    for (restart, kind, short_ends, path, hold) in table {
        let plan = ended(policy(restart), kind, short_ends).plan();
        assert_eq!((&only(&plan).path, &only(&plan).hold), (&path, &hold), "{restart} {kind:?} {short_ends}");
    }
}

#[test]
fn it_stays_until_the_manifest_changes_or_somebody_retries() {
    let mut world = ended(json!({"init": {"restart": "never"}}), ExitKind::Exited(1), 0);
    let plan = world.plan();
    assert!(plan.is_empty());
    walk(&mut world, &plan.zones);
    assert!(world.plan().is_empty());
    let mut changed = world.clone();
    changed.want(json!({"init": {"restart": "never"}, "maxProcesses": 9}), "z");
    assert_eq!(only(&changed.plan()).path, [T::Boot]);
    world.facts.zones.get_mut("z").expect("z").last_exit = None;
    let policy = world.policies.get_mut("z").expect("z");
    policy.restarts = policy.restarts.retried();
    assert_eq!(only(&world.plan()).path, [T::Boot]);
}

#[test]
fn waiting_ends_by_itself() {
    let mut world = ended(json!({}), ExitKind::Exited(1), 2);
    let until = world.plan().wake_at().expect("it waits");
    assert_eq!(until, world.facts.observed_at.plus(200));
    world.facts.observed_at = until;
    assert_eq!(only(&world.plan()).path, [T::Boot]);
}

#[test]
fn poweroff_inside_halts_and_comes_back_when_its_time_has_come() {
    let mut world = ended(json!({}), ExitKind::PoweroffInside, 3);
    let plan = world.plan();
    walk(&mut world, &plan.zones);
    assert_eq!(only(&world.plan()).from, Fact::Known(Installed));
    assert!(world.plan().is_empty());
    world.facts.observed_at = world.plan().wake_at().expect("it waits");
    assert_eq!(only(&world.plan()).path, [T::Ready, T::Boot]);
}

#[test]
fn a_process_that_outlives_its_init_is_stopped_before_the_next_boot() {
    let mut world = ended(json!({}), ExitKind::Exited(1), 0);
    let facts = world.facts.zones.get_mut("z").expect("z");
    facts.environment_processes = Fact::Known(1);
    assert_eq!(only(&world.plan()).path, [T::Stop, T::Boot]);
}

#[test]
fn data_is_kept_until_a_person_confirms_and_the_zone_comes_up_as_it_was() {
    let mut world = World::new();
    world.put(&wants("z", json!({})), Installed);
    world.want(json!({"root": {"directory": {"path": "/srv"}}, "maxProcesses": 5}), "z");
    let plan = world.plan();
    let zone = only(&plan);
    assert_eq!(zone.path, [T::Ready, T::Boot]);
    assert_eq!(zone.hold, Some(Hold::AwaitingConfirmation { fields: vec!["root".into()] }));
    let spec = &zone.manifest.as_ref().expect("a manifest")["spec"];
    assert_eq!((&spec["root"], &spec["maxProcesses"]), (&json!({"hostUsr": {}}), &json!(5)));
    walk(&mut world, &plan.zones);
    assert!(world.plan().is_empty());
    world.policies.get_mut("z").expect("z").confirmed = Some(world.wanted["z"].digest.clone());
    let plan = world.plan();
    assert_eq!(only(&plan).path, [T::Halt, T::Uninstall, T::Install, T::Ready, T::Boot]);
    let steps: Vec<&str> = only(&plan).steps.iter().map(|s| s.name.as_str()).collect();
    let at = |name: &str| steps.iter().position(|s| *s == name).expect(name);
    assert!(
        at("removeRoot") < at("record") && at("record") < at("installRoot"),
        "the old path is still known: {steps:?}"
    );
}

#[test]
fn files_that_went_are_not_installed_over() {
    let zone = wants("z", json!({}));
    let mut world = World::new();
    world.put(&zone, ZoneState::Configured);
    world.wanted.insert("z".into(), zone);
    assert_eq!(only(&world.plan()).path, [T::Install, T::Ready, T::Boot], "it was never installed");
    world.facts.zones.get_mut("z").expect("z").root_missing = true;
    assert_eq!((only(&world.plan()).path.len(), &only(&world.plan()).hold), (0, &Some(Hold::FilesGone)));
    world.facts.zones.get_mut("z").expect("z").root_missing = false;
    world.recorded.get_mut("z").expect("z").state = Running;
    assert_eq!(only(&world.plan()).hold, Some(Hold::FilesGone));
    world
        .policies
        .insert("z".into(), ZonePolicy { confirmed: Some(world.wanted["z"].digest.clone()), ..Default::default() });
    assert_eq!(only(&world.plan()).path, [T::Install, T::Ready, T::Boot]);
}

fn addressed(name: &str, address: &str, more: Value) -> Wanted {
    let mut spec = json!({"net": [{"physical": "br0", "address": address}]});
    more.as_object().expect("an object").iter().for_each(|(k, v)| spec[k] = v.clone());
    wants(name, spec)
}

#[test]
fn what_another_zone_keeps_is_not_taken_and_what_it_gives_up_is_waited_for() {
    let keeper = addressed("a", "10.0.0.1/24", json!({"deletion": "keep"}));
    let taker = addressed("b", "10.0.0.1/24", json!({}));
    let mut world = World::new();
    world.put(&keeper, Running);
    world.wanted.insert("b".into(), taker.clone());
    let names = ["b".to_owned()].into();
    let now = world.facts.observed_at;
    let input = reeve_state::plan::Input {
        wanted: &world.wanted,
        source: None,
        facts: &world.facts,
        recorded: &world.recorded,
        policies: &world.policies,
        approvals: &world.approvals,
        now,
    };
    for plan in [world.plan(), plan_some(&input, &names)] {
        let b = plan.zone("b").expect("b");
        assert_eq!(b.hold, Some(Hold::Conflict { with: "a".into(), what: "the address 10.0.0.1".into() }));
        assert!(b.steps.is_empty());
    }
    let mut world = World::new();
    world.put(&addressed("a", "10.0.0.1/24", json!({})), Running);
    world.wanted.insert("b".into(), taker);
    let plan = world.plan();
    assert_eq!(plan.zones.iter().map(|z| z.name.as_str()).collect::<Vec<_>>(), ["a", "b"], "teardown first");
    assert_eq!(plan.zone("b").expect("b").after, ["a"]);
    walk(&mut world, &plan.zones);
    assert!(world.plan().is_empty());
}

#[test]
fn a_suspended_zone_is_left_alone_but_for_its_unfinished_halt() {
    let zone = wants("z", json!({}));
    let suspension = Suspension {
        reason: "a disk is being looked at".into(),
        owner: "ada".into(),
        since: Timestamp(1),
        until: Some(Timestamp(2_000_000)),
    };
    let suspended = ZonePolicy { suspended: Some(suspension), ..ZonePolicy::default() };
    for (state, path) in [(Ready, vec![]), (Installed, vec![]), (ZoneState::Down, vec![T::Halt])] {
        let mut world = World::new();
        world.put(&zone, state);
        world.wanted.insert("z".into(), zone.clone());
        world.policies.insert("z".into(), suspended.clone());
        assert_eq!(only(&world.plan()).path, path, "{state}");
        assert_eq!(only(&world.plan()).hold, Some(Hold::Suspended { until: Some(Timestamp(2_000_000)) }));
        assert_eq!(world.plan().wake_at(), Some(Timestamp(2_000_000)));
        world.facts.observed_at = Timestamp(2_000_000);
        assert_eq!(only(&world.plan()).hold, None, "it is over");
    }
}

#[test]
fn a_zone_without_its_secret_is_left_as_it_is_but_may_go_down() {
    let why = "init.env.A: /etc/a is not there";
    let table = [
        ("running", Running, vec![]),
        ("running", Ready, vec![]),
        ("running", Installed, vec![]),
        ("running", ZoneState::Down, vec![T::Halt]),
        ("ready", Running, vec![T::Stop]),
        ("installed", Running, vec![T::Halt]),
    ];
    for (wanted, state, path) in table {
        let spec = |command: &str| json!({"state": wanted, "init": {"command": [command]}});
        let mut world = World::new();
        world.put(&wants("z", spec("/bin/a")), state);
        world.want(json!({"state": "running"}), "other");
        // Also another change waits: it would start init.
        let lacking = Wanted { unavailable: Some(why.into()), ..wants("z", spec("/bin/b")) };
        world.wanted.insert("z".into(), lacking);
        let plan = world.plan();
        let zone = plan.zone("z").expect("z");
        assert_eq!((&zone.path, &zone.manifest), (&path, &None), "{wanted} from {state}");
        assert_eq!(zone.hold, Some(Hold::SecretUnavailable { why: why.into() }));
        assert!(!plan.zone("other").expect("other").steps.is_empty(), "no other zone waits for it");
        assert_eq!(audit_zone(zone, &world.facts.zones["z"], &Permissions::default()), [], "{wanted} from {state}");
    }
}

#[test]
fn requests_follow_the_table_and_boot_goes_through_ready() {
    let zone = wants("z", json!({}));
    let ask = |t, state| request(t, Some(&zone), &facts_in(&zone, state), None);
    assert_eq!(ask(T::Boot, Installed).expect("legal").path, [T::Ready, T::Boot]);
    assert_eq!(ask(T::Boot, Ready).expect("legal").path, [T::Boot]);
    let reboot = ask(T::Reboot, Running).expect("legal");
    assert_eq!((reboot.path.as_slice(), reboot.steps.len(), reboot.to), ([T::Reboot].as_slice(), 13, Some(Running)));
    let refused = ask(T::Boot, ZoneState::Down).expect_err("illegal").to_string();
    assert_eq!(refused, "boot: not possible from state down; from there: halt");
    assert!(matches!(ask(T::InitExited, Running), Err(Refusal::Illegal(_))), "an event is not asked for");
    let again = restart(Some(&zone), &facts_in(&zone, Running), None).expect("legal");
    assert_eq!((again.path.as_slice(), again.to), ([T::Stop, T::Boot].as_slice(), Some(Running)));
    assert_eq!(audit_zone(&again, &facts_in(&zone, Running), &Permissions::default()), []);
    let refused = restart(Some(&zone), &facts_in(&zone, Ready), None).expect_err("illegal").to_string();
    assert_eq!(refused, "stop: not possible from state ready; from there: boot, halt");
    let missing = request(T::Boot, None, &facts_in(&zone, Ready), None);
    assert_eq!(missing, Err(Refusal::NoConfiguration { transition: T::Boot }));
    let mut blind = facts_in(&zone, Running);
    blind.init = Fact::unknown("EIO");
    assert!(matches!(request(T::Stop, Some(&zone), &blind, None), Err(Refusal::Unknown { .. })));
}

#[test]
fn every_request_and_every_take_down_passes_the_audit() {
    let zone = wants("z", json!({}));
    let all = Permissions { destroy: ["z".to_owned()].into() };
    for state in ZoneState::ALL {
        let mut facts = facts_in(&zone, state);
        for zoneadmd in [facts.zoneadmd.clone(), Fact::Absent] {
            facts.zoneadmd = zoneadmd;
            for transition in T::ALL {
                if let Ok(plan) = request(transition, Some(&zone), &facts, None) {
                    assert_eq!(audit_zone(&plan, &facts, &all), [], "{transition} from {state}");
                }
            }
            for purge in [false, true] {
                let plan = take_down(purge, &facts, None);
                assert_eq!(audit_zone(&plan, &facts, &all), [], "{state} {purge}");
                assert_eq!(plan.to, if purge { None } else { Some(state.min(Installed)) }, "{state} {purge}");
            }
        }
    }
}

#[test]
fn downtime_is_what_a_running_zone_loses() {
    let mut world = World::new();
    world.put(&wants("z", json!({"init": {"haltTimeout": "3s"}})), Running);
    world.want(json!({"init": {"haltTimeout": "3s", "command": ["/bin/x"]}}), "z");
    let plan = world.plan();
    assert_eq!(only(&plan).path, [T::Stop, T::Boot]);
    let downtime: u64 = only(&plan).steps.iter().map(|s| s.cost.downtime_ms).sum();
    assert_eq!(downtime, 3000 + 5 + 1, "stop, record, boot");
    assert!(!only(&plan).steps.iter().any(|s| s.cost.new_zone_id || s.cost.destroys_data));
}

/// Not a bench: that planning a thousand quiet zones stays linear and far from a pass's bound.
#[test]
fn a_thousand_quiet_zones_are_planned_in_no_time() {
    let mut world = World::new();
    for n in 0..1000 {
        let name = format!("z{n}");
        let (a, b) = (n / 250 + 1, n % 250 + 1);
        let zone = wants(&name, json!({"net": [{"physical": "br0", "address": format!("10.0.{a}.{b}/16")}]}));
        world.put(&zone, Running);
        world.wanted.insert(name, zone);
    }
    let once = |_| {
        let started = std::time::Instant::now();
        assert!(world.plan().is_empty());
        started.elapsed()
    };
    let took = (0..10).map(once).min().expect("ten");
    println!("planned 1000 zones in {took:?}");
    assert!(took.as_millis() < 2000, "{took:?}");
}
