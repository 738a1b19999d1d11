//! Where a zone came from: only those are let go whose manifest was where these are from, and another place is recorded.
//! And a failure that comes again and again is one entry of the history.

mod common;

use common::model::walk;
use common::{World, facts_in, wants};
use reeve_state::audit::{Permissions, audit};
use reeve_state::condition::{self, ConditionStatus, ConditionType};
use reeve_state::difference::{Cause, Price};
use reeve_state::plan::{Hold, ZonePlan, ZonePolicy};
use reeve_state::status::{self, HistoryEntry, Outcome, ZoneStatus, status};
use reeve_state::wanted::{Wanted, is_from, source_file};
use reeve_state::{Fact, Timestamp, Transition, ZoneState};
use serde_json::{Value, json};

use ZoneState::{Down, Installed, Running};

fn from(file: &str, name: &str, spec: Value) -> Wanted {
    Wanted { source: Some(format!("{file}:1")), ..wants(name, spec) }
}

#[test]
fn a_path_covers_itself_and_what_is_below_it() {
    for (source, path, covers) in [
        ("/etc/reeve/web.yaml:1", "/etc/reeve", true),
        ("/etc/reeve/web.yaml:1", "/etc/reeve/", true),
        ("/etc/reeve/web.yaml:1", "/etc/reeve/web.yaml", true),
        ("/etc/reeve/web.yaml:1", "/etc/reeve/app.yaml", false),
        ("/etc/reeve-old/web.yaml:1", "/etc/reeve", false),
        ("/etc/reeve/web.yaml:1", "/etc/reeve/sub", false),
        ("/etc/reeve/a:b.yaml:12", "/etc/reeve/a:b.yaml", true),
    ] {
        assert_eq!(is_from(source, path), covers, "{source} {path}");
    }
    assert_eq!(source_file("/a/b.yaml"), "/a/b.yaml");
}

#[test]
fn a_zone_from_elsewhere_is_left_alone_whatever_its_deletion_says() {
    let elsewhere = [Some("/srv/other/web.yaml:1"), Some("/etc/reeve2/web.yaml:1"), None];
    for (deletion, source) in ["halt", "keep", "delete"].into_iter().zip(elsewhere) {
        let zone = Wanted { source: source.map(String::from), ..wants("web", json!({"deletion": deletion})) };
        let mut world = World::new();
        world.put(&zone, Running);
        world.source = Some("/etc/reeve".into());
        let plan = world.plan();
        let file = source.map(|source| source_file(source).to_owned());
        assert_eq!(plan.zones[0].hold, Some(Hold::OtherSource { file }));
        assert_eq!((&plan.zones[0].steps[..], plan.zones[0].to), (&[][..], Some(Running)));
        assert!(plan.zones[0].reason.contains("/etc/reeve"), "{}", plan.zones[0].reason);
        // Its own folder lets it go.
        if source.is_some() {
            world.source = Some("/".into());
            assert_eq!(world.plan().zones[0].steps.is_empty(), deletion == "keep", "{deletion}");
        }
    }
}

#[test]
fn an_unfinished_halt_of_a_zone_from_elsewhere_goes_on_and_no_further() {
    let zone = from("/srv/web.yaml", "web", json!({"deletion": "delete"}));
    let mut world = World::new();
    world.put(&zone, Down);
    world.source = Some("/etc/reeve".into());
    let plan = world.plan();
    assert_eq!((plan.zones[0].path.as_slice(), plan.zones[0].to), ([Transition::Halt].as_slice(), Some(Installed)));
    assert!(audit(&plan, &world.facts, &Permissions::default()).is_empty());
    // The audit refuses a plan that takes more of it.
    let mut wrong = plan.clone();
    let gone = World { source: None, ..world.clone() }.plan();
    wrong.zones[0].steps.clone_from(&gone.zones[0].steps);
    let permissions = Permissions { destroy: ["web".to_owned()].into() };
    assert!(!audit(&wrong, &world.facts, &permissions).is_empty());
}

#[test]
fn the_manifest_wins_and_the_place_is_recorded_without_touching_the_zone() {
    let old = from("/srv/web.yaml", "web", json!({}));
    let new = Wanted { source: Some("/etc/reeve/web.yaml:7".into()), ..old.clone() };
    let mut world = World::new();
    world.put(&old, Running);
    world.source = Some("/etc/reeve".into());
    world.wanted.insert("web".into(), new);
    let plan = world.plan();
    let names: Vec<&str> = plan.zones[0].steps.iter().map(|step| step.name.as_str()).collect();
    assert_eq!(names, ["record"]);
    let [difference] = plan.zones[0].differences.as_slice() else { panic!("{:?}", plan.zones[0].differences) };
    assert_eq!((difference.field.as_str(), difference.cause, difference.price), ("source", Cause::Change, Price::Live));
    assert_eq!(difference.desired, Some(json!("/etc/reeve/web.yaml")));
    walk(&mut world, &plan.zones);
    assert!(world.plan().is_empty(), "once");
    // Another line of the same file is none.
    world.wanted.get_mut("web").expect("web").source = Some("/etc/reeve/web.yaml:90".into());
    assert!(world.plan().is_empty() && world.plan().zones[0].differences.is_empty());
}

fn told(world: &World, plan: &ZonePlan, outcome: &Outcome, previous: Option<&ZoneStatus>, now: u64) -> ZoneStatus {
    status(&status::Input {
        commit: None,
        source: &[],
        wanted: world.wanted.get(&plan.name),
        facts: &world.facts.zones[&plan.name],
        recorded: world.recorded.get(&plan.name),
        plan,
        policy: &ZonePolicy::default(),
        outcome,
        halt: None,
        previous,
        now: Timestamp(now),
    })
}

#[test]
fn the_status_says_that_no_followed_manifest_has_the_zone() {
    let mut world = World::new();
    world.put(&from("/srv/web.yaml", "web", json!({})), Running);
    world.source = Some("/etc/reeve".into());
    let told = told(&world, &world.plan().zones[0], &Outcome::default(), None, 1);
    assert_eq!(condition::check(&told.conditions), [""; 0]);
    let [converged] = told.conditions.as_slice() else { panic!("{:?}", told.conditions) };
    assert_eq!((converged.kind, converged.status), (ConditionType::Converged, ConditionStatus::Unknown));
    assert_eq!((converged.reason.as_str(), told.source.as_deref()), ("NotFollowed", Some("/srv/web.yaml:1")));
    for part in ["/srv/web.yaml", "/etc/reeve", "reeve halt web"] {
        assert!(converged.message.contains(part), "{}", converged.message);
    }
}

#[test]
fn a_failure_that_comes_again_and_again_is_one_entry_of_the_history() {
    let zone = wants("z", json!({}));
    let mut world = World::new();
    world.put(&zone, Installed);
    world.facts.zones.insert("z".into(), facts_in(&zone, Installed));
    let failure = |at: u64, outcome: &str| {
        let entry = HistoryEntry::new(Timestamp(at), Transition::Ready, Some(Installed));
        HistoryEntry { outcome: outcome.into(), took_ms: at, ..entry }
    };
    let mut last: Option<ZoneStatus> = None;
    let mut walked = |entry: HistoryEntry| {
        let outcome = Outcome { walked: vec![entry], ..Outcome::default() };
        let told = told(&world, &world.plan().zones[0], &outcome, last.as_ref(), 1);
        last = Some(told.clone());
        told.history
    };
    walked(failure(1, status::DONE));
    for at in 2..1002 {
        walked(failure(at, "EBUSY"));
    }
    let history = walked(failure(2000, "ENOSPC"));
    assert_eq!(history.len(), 3, "{history:?}");
    let json = serde_json::to_value(&history).expect("JSON");
    assert_eq!((&json[1]["count"], &json[1]["at"], &json[1]["lastAt"]), (&json!(1000), &json!(2), &json!(1001)));
    assert_eq!(json[1]["tookMs"], 1001, "the last one's");
    for single in [&json[0], &json[2]] {
        assert!(single.get("count").is_none() && single.get("lastAt").is_none(), "{single}");
    }
    let back: Vec<HistoryEntry> = serde_json::from_value(json).expect("read again");
    assert_eq!(back, history);
    // What was done is told each time, however often it is done.
    walked(failure(3000, status::DONE));
    assert_eq!(walked(failure(3001, status::DONE)).len(), 5);
}

#[test]
fn what_failed_is_over_once_the_zone_is_as_wanted_whoever_did_it() {
    let zone = wants("z", json!({}));
    let mut world = World::new();
    world.put(&zone, Running);
    world.wanted.insert("z".into(), zone);
    let failed = Outcome { failed: Some("RTM_NEWADDR: EEXIST".into()), ..Outcome::default() };
    let state = |world: &World| {
        let told = told(world, &world.plan().zones[0], &failed, None, 1);
        let converged =
            told.conditions.iter().find(|one| one.kind == ConditionType::Converged).expect("Converged").clone();
        (converged.status, converged.reason)
    };
    assert!(world.plan().is_empty());
    assert_eq!(state(&world), (ConditionStatus::True, "AsWanted".into()));
    world.facts.zones.get_mut("z").expect("z").zoneadmd = Fact::Absent;
    assert!(!world.plan().is_empty());
    assert_eq!(state(&world), (ConditionStatus::False, "StepFailed".into()));
}
