//! The digest of a zone's plan: the same while the same is to be done, another one as soon as it is not.

mod common;

use common::{World, wants};
use reeve_state::plan::ZonePlan;
use reeve_state::plan::digest::{digest, is_meant, short};
use reeve_state::restart::StayReason;
use reeve_state::{Fact, Timestamp, ZoneState};
use serde_json::json;

fn world(memory: &str) -> World {
    let mut world = World::new();
    world.put(&wants("web", json!({"init": {"command": ["/bin/a"]}})), ZoneState::Running);
    world.want(json!({"init": {"command": ["/bin/b"]}, "cappedMemory": {"physical": memory}}), "web");
    world
}

fn planned(world: &World) -> ZonePlan {
    world.plan().zone("web").expect("web").clone()
}

#[test]
fn it_is_the_same_while_nothing_moves_but_time_and_numbers() {
    let before = planned(&world("64Mi"));
    let mut later = world("64Mi");
    later.facts.observed_at = Timestamp(9_000_000);
    let facts = later.facts.zones.get_mut("web").expect("web");
    (facts.zone_id, facts.zsched, facts.init) = (Some(7), common::process(4711), common::process(4712));
    facts.environment_processes = Fact::Known(40);
    later.recorded.get_mut("web").expect("web").at = Timestamp(8_000_000);
    assert_eq!(digest(&planned(&later)), digest(&before));
    let text = digest(&before);
    assert!(text.starts_with("sha256:") && text.len() == "sha256:".len() + 64, "{text}");
}

#[test]
fn it_is_the_same_for_a_plan_that_waits_and_for_another_file() {
    let plan = planned(&world("64Mi"));
    let hold = Some(reeve_state::plan::Hold::Stay { why: StayReason::InitExited });
    let waiting = ZonePlan { hold, reason: "waits".into(), source: Some("/b.yaml:3".into()), ..plan.clone() };
    assert_eq!(digest(&waiting), digest(&plan));
}

#[test]
fn it_is_another_one_for_another_value_state_cause_or_step() {
    let plan = planned(&world("64Mi"));
    let mut all = vec![digest(&plan), digest(&planned(&world("128Mi")))];
    let mut drifted = world("64Mi");
    if let Fact::Known(cgroup) = &mut drifted.facts.zones.get_mut("web").expect("web").cgroup {
        cgroup.pids_max = Some("3".into());
    }
    all.push(digest(&planned(&drifted)));
    let mut lower = world("64Mi");
    let wanted = lower.wanted["web"].clone();
    lower.put(&wanted, ZoneState::Ready);
    all.push(digest(&planned(&lower)));
    let mut short_of_one = plan.clone();
    short_of_one.steps.pop();
    all.push(digest(&short_of_one));
    all.push(digest(&ZonePlan { name: "other".into(), ..plan.clone() }));
    all.push(digest(&ZonePlan { goal: Some(ZoneState::Ready), ..plan }));
    for (index, one) in all.iter().enumerate() {
        assert!(!all[..index].contains(one), "{index}: {all:#?}");
    }
}

#[test]
fn the_short_form_is_meant_and_a_shorter_one_is_not() {
    let text = digest(&planned(&world("64Mi")));
    assert_eq!(short(&text).len(), "sha256:".len() + 12);
    assert_eq!(short("nothing"), "nothing");
    for given in [text.as_str(), short(&text), &text["sha256:".len()..], &text["sha256:".len()..][..20]] {
        assert!(is_meant(&text, given), "{given}");
    }
    assert!(is_meant(&text, &text.to_ascii_uppercase().replace("SHA256", "sha256")));
    for given in ["", "sha256:", &text[..text.len() - 60], &format!("{text}0"), "sha256:000000000000"] {
        assert!(!is_meant(&text, given), "{given}");
    }
}
