//! Drift of any fields, handled in any way, behind any gate: what is put right, what is left, what waits and for what.

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use common::model::walk;
use common::{World, wants};
use proptest::collection::btree_map;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use proptest::test_runner::{Config, FileFailurePersistence};
use reeve_state::approval::gate_of_drift;
use reeve_state::condition::{self, ConditionType};
use reeve_state::difference::{Difference, Price};
use reeve_state::observed::{Platform, Who};
use reeve_state::plan::{Hold, ZonePlan};
use reeve_state::status::{self, Outcome, status};
use reeve_state::{Fact, Timestamp, Transition as T, ZoneState};
use serde_json::{Value, json};

use ZoneState::{Ready, Running};

/// Fields of a platform with what each was and what it may become; none: it is gone, or was not there.
const FIELDS: [(&str, Option<&str>, Option<&str>, Price); 11] = [
    ("hostname", Some("z"), Some("other"), Price::Live),
    ("net.net0.mtu", Some("1500"), Some("1400"), Price::Live),
    ("net.net0", Some("veth"), None, Price::Rebuild),
    ("routes.default", Some("192.0.2.1 dev net0"), Some(""), Price::Live),
    ("fs./data", Some("tmpfs"), None, Price::Rebuild),
    ("fs./data#2", None, Some("tmpfs"), Price::Live),
    ("fs./usr.options", Some("ro,nosuid"), Some("nosuid"), Price::Live),
    ("environment./proc", Some("nosuid"), Some("rw"), Price::Restart),
    ("devices.null", Some("c 1:3 0666"), Some("c 1:5 0666"), Price::Live),
    ("zonepath.mode", Some("0700"), Some("0755"), Price::Live),
    ("files.zone.json", Some("a"), Some("b"), Price::Live),
];

/// A zone that is only ready has no environment of init's to look at.
fn platform(state: ZoneState, drifted: &BTreeSet<&str>) -> Platform {
    let mut out = Platform { looked: Platform::GROUPS.map(String::from).into(), ..Platform::default() };
    let there = |field: &str| state == Running || !field.starts_with("environment");
    for (field, was, is, _) in FIELDS.into_iter().filter(|(field, ..)| there(field)) {
        if let Some(value) = if drifted.contains(field) { is } else { was } {
            out.fields.insert(field.to_owned(), value.to_owned());
        }
    }
    out
}

/// A zone in `state` on which these fields drifted; `stranger` came in from outside.
fn world(spec: Value, state: ZoneState, drifted: &BTreeSet<&str>, stranger: bool) -> World {
    let mut world = World::new();
    let mut spec = spec;
    spec["state"] = json!(state);
    let wanted = wants("z", spec);
    world.put(&wanted, state);
    world.wanted.insert("z".into(), wanted);
    world.recorded.get_mut("z").expect("z").platform = Some(platform(state, &BTreeSet::new()).into());
    let mut now = platform(state, drifted);
    if stranger {
        now.strangers.push(Who {
            pid: 77,
            start_time: 1,
            comm: "sh".into(),
            uid: 0,
            login_uid: None,
            inside: vec!["net".into()],
        });
    }
    world.facts.zones.get_mut("z").expect("z").platform = Some(now.into());
    world
}

fn planned(world: &World) -> ZonePlan {
    world.planned()
}

fn fields(plan: &ZonePlan, of: impl Fn(&Difference) -> bool) -> BTreeSet<String> {
    plan.differences.iter().filter(|one| one.is_drift() && of(one)).map(|one| one.field.clone()).collect()
}

fn config() -> Config {
    let file = FileFailurePersistence::Direct("tests/regressions/drift.txt");
    Config { cases: 500, failure_persistence: Some(Box::new(file)), ..Config::default() }
}

/// `spec.drift` by chance.
fn handling() -> impl Strategy<Value = Value> {
    let word = select(vec!["heal", "warn", "ignore"]);
    let field = select(FIELDS.map(|(field, ..)| field.split('.').next().unwrap_or(field)).to_vec());
    (word.clone(), btree_map(field, word, 0..4))
        .prop_map(|(default, fields): (&str, BTreeMap<&str, &str>)| json!({"default": default, "fields": fields}))
}

/// `spec.approval` by chance; null: none.
fn gate() -> impl Strategy<Value = Value> {
    let from = select(vec!["live", "restart", "rebuild", "reinstall"]);
    prop_oneof![Just(Value::Null), from.prop_map(|from| json!({"drift": {"from": from}}))]
}

/// Any drift, any handling, any gate.
fn any_world() -> impl Strategy<Value = World> {
    let drifted = subsequence(FIELDS.map(|(field, ..)| field).to_vec(), 0..=FIELDS.len());
    (handling(), gate(), select(vec![Ready, Running]), drifted, any::<bool>()).prop_map(
        |(handling, gate, state, drifted, stranger)| {
            let mut spec = json!({"drift": handling});
            if !gate.is_null() {
                spec["approval"] = gate;
            }
            world(spec, state, &drifted.into_iter().collect(), stranger)
        },
    )
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn what_is_acted_on_is_put_right_and_all_else_is_left(mut world in any_world()) {
        let plan = planned(&world);
        let (acted, left) = (fields(&plan, Difference::is_acted_on), fields(&plan, |one| !one.is_acted_on()));
        prop_assert_eq!(plan.steps.is_empty(), acted.is_empty(), "{:#?}", plan);
        let price = plan.differences.iter().filter(|one| one.is_acted_on()).map(|one| one.price).max();
        prop_assert_eq!(plan.path.contains(&T::Halt), price == Some(Price::Rebuild), "{:#?}", plan);
        walk(&mut world, std::slice::from_ref(&plan));
        let again = planned(&world);
        prop_assert!(again.steps.is_empty(), "{:#?}\nthen {:#?}", plan, again);
        let still = fields(&again, |_| true);
        if plan.path.contains(&T::Ready) {
            prop_assert!(still.is_empty(), "a new platform is as it is recorded: {:?}", still);
        } else {
            // A start of init puts its own part right whatever is said of it.
            let left: BTreeSet<String> = match plan.path.contains(&T::Boot) {
                true => left.into_iter().filter(|field| !field.starts_with("environment")).collect(),
                false => left,
            };
            prop_assert_eq!(still, left);
        }
    }

    #[test]
    fn what_waits_is_approved_as_a_whole_and_nothing_else_is(mut world in any_world()) {
        let plan = planned(&world);
        let waits = fields(&plan, |one| one.waiting);
        let change = match &plan.hold {
            Some(Hold::AwaitingApproval { change }) => change.clone(),
            _ => {
                prop_assert!(waits.is_empty());
                return Ok(());
            }
        };
        prop_assert!(change.drift);
        prop_assert_eq!(&waits, &change.fields.iter().cloned().collect());
        world.approvals.add(change.digest.clone(), false);
        let approved = planned(&world);
        prop_assert!(fields(&approved, |one| one.waiting).is_empty());
        prop_assert!(!approved.steps.is_empty());
        // One more that drifts is not what was approved.
        if let Some(platform) = world.facts.zones.get_mut("z").expect("z").platform.as_mut() {
            Arc::make_mut(platform).fields.insert("fs./more#2".into(), "tmpfs".into());
        }
        let more = planned(&world);
        if fields(&more, |one| one.field == "fs./more#2" && one.waiting).len() == 1 {
            prop_assert!(waits.is_subset(&fields(&more, |one| one.waiting)));
        }
    }
}

#[test]
fn of_several_limits_only_those_that_heal_are_written() {
    let spec = json!({
        "maxProcesses": 32,
        "cappedCpu": {"ncpus": 0.2},
        "drift": {"fields": {"cappedCpu": "ignore"}},
    });
    let mut world = world(spec, Running, &BTreeSet::new(), false);
    if let Fact::Known(cgroup) = &mut world.facts.zones.get_mut("z").expect("z").cgroup {
        (cgroup.cpu_max, cgroup.pids_max) = (Some("max 100000".into()), Some("1000".into()));
    }
    let plan = planned(&world);
    assert_eq!(plan.steps.iter().map(|step| step.name.as_str()).collect::<Vec<_>>(), ["applyLimits"]);
    walk(&mut world, std::slice::from_ref(&plan));
    let again = planned(&world);
    assert!(again.steps.is_empty());
    assert_eq!(fields(&again, |_| true), ["cappedCpu".to_owned()].into());
}

#[test]
fn a_drift_waits_from_its_price_on() {
    for (field, _, _, price) in FIELDS {
        for (from, at_least) in [("live", Price::Live), ("restart", Price::Restart), ("rebuild", Price::Rebuild)] {
            let spec = json!({"approval": {"drift": {"from": from}}});
            let plan = planned(&world(spec, Running, &[field].into(), false));
            let waits = matches!(&plan.hold, Some(Hold::AwaitingApproval { .. }));
            assert_eq!(waits, price >= at_least, "{field} {from}: {plan:#?}");
            assert_eq!(plan.steps.is_empty(), waits, "{field} {from}");
        }
    }
}

#[test]
fn a_zone_without_its_supervisor_and_a_change_are_not_drift_that_waits() {
    let spec = json!({"approval": {"drift": {"from": "live"}}});
    let mut alone = world(spec.clone(), Running, &BTreeSet::new(), false);
    alone.facts.zones.get_mut("z").expect("z").zoneadmd = Fact::Absent;
    assert_eq!(planned(&alone).hold, None);
    assert_eq!(planned(&alone).steps.len(), 1, "it is adopted");
    // The host name is changed by somebody and in the manifest as well: a change.
    let mut both = world(spec.clone(), Running, &["zonepath.mode"].into(), false);
    let mut changed = spec;
    changed["cappedMemory"] = json!({"physical": "64Mi"});
    both.want(changed, "z");
    let plan = planned(&both);
    assert!(plan.steps.iter().any(|step| step.name == "record"), "the change is made: {plan:#?}");
    assert!(matches!(&plan.hold, Some(Hold::AwaitingApproval { change }) if change.fields == ["zonepath.mode"]));
}

#[test]
fn a_zone_that_was_killed_is_brought_back_unless_the_gate_is_from_live() {
    let killed = |from: &str| {
        let mut world = world(json!({"approval": {"drift": {"from": from}}}), Running, &BTreeSet::new(), false);
        let wanted = wants("z", json!({"state": "running"}));
        world.facts.zones.insert("z".into(), common::facts_in(&wanted, ZoneState::Installed));
        planned(&world)
    };
    assert_eq!(killed("restart").path, [T::Ready, T::Boot]);
    assert!(matches!(killed("live").hold, Some(Hold::AwaitingApproval { .. })));
    assert!(killed("live").steps.is_empty());
}

#[test]
fn a_window_heals_and_nobody_is_told_before() {
    const MIDNIGHT: Timestamp = Timestamp(1_795_651_200_000);
    let spec = json!({"approval": {
        "drift": {"from": "rebuild", "wait": "window"},
        "windows": [{"schedule": "0 2 * * *", "duration": "1h"}],
    }});
    let mut world = world(spec, Running, &["fs./data", "hostname"].into(), false);
    world.facts.observed_at = MIDNIGHT;
    let plan = planned(&world);
    assert_eq!(plan.wakes_at(), Some(MIDNIGHT.plus(2 * 3_600_000)));
    assert_eq!(plan.steps.iter().map(|step| step.name.as_str()).collect::<Vec<_>>(), ["mend"], "the host name");
    let told = |plan: &ZonePlan| {
        let world = &world;
        let told = status(&status::Input {
            plan,
            facts: &world.facts.zones["z"],
            wanted: world.wanted.get("z"),
            recorded: world.recorded.get("z"),
            policy: &Default::default(),
            outcome: &Outcome::default(),
            halt: None,
            source: &[],
            commit: None,
            previous: None,
            now: MIDNIGHT,
        });
        let one = |kind| condition::find(&told.conditions, kind).map(|one| one.reason.clone());
        (one(ConditionType::Drifted), one(ConditionType::Converged), one(ConditionType::Stalled))
    };
    let words = |a: &str, b: &str| (Some(a.to_owned()), Some(b.to_owned()), None);
    assert_eq!(told(&plan), words("AwaitingWindow", "AwaitingWindow"));
    world.facts.observed_at = MIDNIGHT.plus(2 * 3_600_000);
    assert!(planned(&world).path.contains(&T::Halt), "it is rebuilt in the window");
}

#[test]
fn a_digest_names_the_values_too() {
    let spec = json!({"approval": {"drift": {"from": "live"}}});
    let mut worlds = [0, 1].map(|_| world(spec.clone(), Running, &["hostname"].into(), false));
    let digest = |world: &World| match planned(world).hold {
        Some(Hold::AwaitingApproval { change }) => change.digest,
        other => panic!("{other:?}"),
    };
    assert_eq!(digest(&worlds[0]), digest(&worlds[1]));
    let platform = worlds[1].facts.zones.get_mut("z").and_then(|facts| facts.platform.as_mut()).expect("a platform");
    Arc::make_mut(platform).fields.insert("hostname".into(), "third".into());
    assert_ne!(digest(&worlds[0]), digest(&worlds[1]));
    let mut none = planned(&worlds[0]).differences;
    none.iter_mut().for_each(|one| one.waiting = false);
    let wanted = wants("z", json!({"state": "running"}));
    let open = gate_of_drift("z", None, &wanted, &worlds[0].approvals, Timestamp(0), &mut none);
    assert_eq!(open, None, "without a gate nothing waits");
}
