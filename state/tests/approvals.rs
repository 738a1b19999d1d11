//! Gates of `spec.approval`: what waits, for what, how the zone is kept meanwhile, and what opens them.

mod common;

use common::{World, wants};
use reeve_state::approval::digest;
use reeve_state::difference::Price;
use reeve_state::plan::{Hold, ZonePlan};
use reeve_state::wanted::Wanted;
use reeve_state::{Fact, Timestamp, Transition, ZoneState};
use serde_json::{Value, json};

use Transition as T;
use ZoneState::Running;

/// 2026-11-26 00:00 UTC.
const MIDNIGHT: Timestamp = Timestamp(1_795_651_200_000);
const HOUR: u64 = 3_600_000;

fn spec(command: &str, more: Value) -> Value {
    let mut spec = json!({"init": {"command": [command]}});
    more.as_object().expect("fields").iter().for_each(|(key, value)| spec[key] = value.clone());
    spec
}

fn gate(from: &str, wait: &str) -> Value {
    let mut approval = json!({"changes": {"from": from, "wait": wait}});
    if wait != "approval" {
        approval["windows"] = json!([{"schedule": "0 2 * * *", "duration": "1h"}]);
    }
    json!({"approval": approval})
}

/// A zone that runs as `old` says and shall be as `new` says.
fn world(old: &Wanted, new: Option<&Wanted>) -> World {
    let mut world = World::new();
    world.facts.observed_at = MIDNIGHT;
    world.put(old, Running);
    if let Some(new) = new {
        world.wanted.insert("z".into(), new.clone());
    }
    world
}

fn planned(world: &World) -> ZonePlan {
    world.planned()
}

fn waits_for(plan: &ZonePlan) -> &'static str {
    match &plan.hold {
        None => "nothing",
        Some(Hold::AwaitingApproval { .. }) => "approval",
        Some(Hold::AwaitingWindow { .. }) => "window",
        Some(_) => "something else",
    }
}

#[test]
fn a_change_waits_from_its_price_on() {
    let cases = [
        // The new fields beside the command; the gate's price; what is waited for.
        (json!({"cappedMemory": {"physical": "64Mi"}}), "live", "approval"),
        (json!({"cappedMemory": {"physical": "64Mi"}}), "restart", "nothing"),
        (json!({"init": {"command": ["/bin/b"]}}), "restart", "approval"),
        (json!({"init": {"command": ["/bin/b"]}}), "rebuild", "nothing"),
        (json!({"hostname": "other"}), "rebuild", "approval"),
        (json!({"state": "ready"}), "restart", "approval"),
        (json!({"state": "ready"}), "rebuild", "nothing"),
        (json!({"state": "installed"}), "rebuild", "approval"),
        (json!({}), "live", "nothing"),
    ];
    for (change, from, expected) in cases {
        let gate = gate(from, "approval");
        let (old, mut new) = (spec("/bin/a", gate.clone()), spec("/bin/a", gate));
        change.as_object().expect("fields").iter().for_each(|(key, value)| new[key] = value.clone());
        let plan = planned(&world(&wants("z", old), Some(&wants("z", new))));
        assert_eq!(waits_for(&plan), expected, "{change} {from}");
        assert_eq!(plan.steps.is_empty(), expected == "approval" || change == json!({}), "{change} {from}");
    }
}

#[test]
fn an_approval_is_of_one_change_alone() {
    let of = |command| wants("z", spec(command, gate("restart", "approval")));
    let (a, b, c) = (of("/bin/a"), of("/bin/b"), of("/bin/c"));
    let mut world = world(&a, Some(&b));
    let Some(Hold::AwaitingApproval { change }) = planned(&world).hold else { panic!("{:#?}", planned(&world)) };
    assert_eq!((change.price, change.fields), (Price::Restart, vec!["init.command".to_owned()]));
    assert_eq!(change.digest, digest("z", world.recorded.get("z"), Some(&b)));
    assert!(planned(&world).reason.contains(&format!("reeve approve zone z {}", change.digest)));
    world.approvals.add(change.digest, false);
    assert_eq!(planned(&world).path, [T::Stop, T::Boot]);
    world.wanted.insert("z".into(), c);
    assert_eq!(waits_for(&planned(&world)), "approval", "another change waits anew");
}

#[test]
fn a_change_cannot_open_its_own_gate() {
    let old = wants("z", spec("/bin/a", gate("restart", "approval")));
    let new = wants("z", spec("/bin/b", json!({})));
    assert_eq!(waits_for(&planned(&world(&old, Some(&new)))), "approval");
    assert_eq!(waits_for(&planned(&world(&new, Some(&old)))), "approval", "nor is a new gate asked too late");
}

#[test]
fn windows_open_by_themselves_and_approvals_open_windows() {
    let of = |command, wait| wants("z", spec(command, gate("restart", wait)));
    let at = |wait, hour: u64, approved: bool| {
        let (old, new) = (of("/bin/a", wait), of("/bin/b", wait));
        let mut world = world(&old, Some(&new));
        world.facts.observed_at = MIDNIGHT.plus(hour * HOUR);
        if approved {
            world.approvals.add(digest("z", world.recorded.get("z"), Some(&new)), false);
        }
        let plan = planned(&world);
        if let Some(Hold::AwaitingWindow { opens, .. }) = &plan.hold {
            let next = if hour < 2 { 2 } else { 26 };
            assert_eq!((*opens, world.plan().wake_at()), (Some(MIDNIGHT.plus(next * HOUR)), *opens));
        }
        waits_for(&plan)
    };
    assert_eq!(
        [at("window", 0, false), at("window", 2, false), at("window", 3, false)],
        ["window", "nothing", "window"]
    );
    assert_eq!(at("window", 0, true), "nothing", "for what cannot wait");
    assert_eq!([at("both", 2, false), at("both", 0, true), at("both", 2, true)], ["approval", "window", "nothing"]);
}

#[test]
fn meanwhile_the_zone_is_kept_as_it_is_recorded() {
    let of = |command| wants("z", spec(command, gate("restart", "approval")));
    let mut world = world(&of("/bin/a"), Some(&of("/bin/b")));
    // Its init is killed by somebody: it is started again, from the old manifest.
    let facts = world.facts.zones.get_mut("z").expect("z");
    (facts.init, facts.environment_processes) = (Fact::Absent, Fact::Known(0));
    let plan = planned(&world);
    assert_eq!((waits_for(&plan), plan.path.as_slice()), ("approval", [T::Boot].as_slice()));
    assert_eq!(plan.manifest.expect("a manifest")["spec"]["init"]["command"], json!(["/bin/a"]));
    assert_eq!(plan.digest, Some(of("/bin/a").digest), "it is still the old one that is recorded");
    // A halt that was begun is finished, and it comes up as it was.
    let facts = world.facts.zones.get_mut("z").expect("z");
    facts.halt_intent = true;
    let plan = planned(&world);
    assert_eq!((waits_for(&plan), plan.path.as_slice()), ("approval", [T::Halt, T::Ready, T::Boot].as_slice()));
}

#[test]
fn a_manifest_that_goes_is_a_change_too() {
    let old = wants("z", spec("/bin/a", gate("rebuild", "approval")));
    let mut world = world(&old, None);
    let plan = planned(&world);
    assert_eq!((waits_for(&plan), plan.steps.len()), ("approval", 0));
    world.approvals.add(digest("z", world.recorded.get("z"), None), false);
    assert_eq!(planned(&world).path, [T::Halt]);
}

#[test]
fn data_goes_only_with_a_word_about_data() {
    let old = wants("z", json!({}));
    let new = wants("z", json!({"root": {"directory": {"path": "/srv/other"}}}));
    let lost = |data_loss: bool, new: Option<&Wanted>| {
        let mut world = world(&old, new);
        world.approvals.add(digest("z", world.recorded.get("z"), new), data_loss);
        let plan = world.plan();
        plan.zones[0].path.clone()
    };
    assert_eq!(lost(false, Some(&new)), []);
    assert_eq!(lost(true, Some(&new)), [T::Halt, T::Uninstall, T::Install, T::Ready, T::Boot]);
    assert_eq!(lost(false, None), [T::Halt], "without a manifest: halted and kept");
    assert_eq!(lost(true, None), [T::Halt, T::Uninstall, T::Unconfigure]);
}

#[test]
fn a_zone_without_a_gate_or_a_record_does_not_wait() {
    let (old, new) = (wants("z", spec("/bin/a", json!({}))), wants("z", spec("/bin/b", json!({}))));
    assert_eq!(waits_for(&planned(&world(&old, Some(&new)))), "nothing");
    let gated = wants("z", spec("/bin/b", gate("live", "approval")));
    let mut fresh = World::new();
    fresh.wanted.insert("z".into(), gated.clone());
    assert_eq!(planned(&fresh).path, [T::Configure, T::Install, T::Ready, T::Boot]);
    let mut adopted = world(&gated, Some(&gated));
    adopted.recorded.clear();
    assert_eq!(waits_for(&planned(&adopted)), "nothing");
}
