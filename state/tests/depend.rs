//! Zones that depend on others, over any graph of them, cycles included: the order of the plan is one in which everything
//! can be walked, nobody waits for ever, and who waits in vain keeps no other from converging.

mod common;

use std::collections::BTreeSet;

use common::model::walk;
use common::{World, wants};
use proptest::prelude::*;
use reeve_state::audit::{Severity, audit};
use reeve_state::plan::{Hold, Plan, ZonePlan, ZonePolicy, take_down, take_down_in_order};
use reeve_state::wanted::{self, Wanted};
use reeve_state::{Fact, ZoneState};
use serde_json::{Value, json};

use ZoneState::{Installed, Ready, Running};

const NAMES: [&str; 5] = ["a", "b", "c", "d", "e"];

fn depending(name: &str, state: &str, on: &[String]) -> Wanted {
    let on: Vec<Value> = on.iter().map(|zone| json!({"zone": zone})).collect();
    wants(name, json!({"state": state, "dependsOn": on}))
}

/// Zones in any states, wanted in any, depending on any: also on themselves by way of others, and two that lack a secret, so
/// that they stay as they are.
fn worlds() -> impl Strategy<Value = World> {
    let words = ["installed", "ready", "running"];
    let state = prop_oneof![
        1 => Just(None),
        2 => Just(Some(Installed)),
        1 => Just(Some(Ready)),
        3 => Just(Some(Running)),
        1 => Just(Some(ZoneState::Down)),
    ];
    let zone = (state, 0..words.len(), 0..words.len(), any::<[bool; 5]>(), prop::bool::weighted(0.1));
    prop::collection::vec(zone, NAMES.len()).prop_map(move |zones| {
        let mut world = World::new();
        for (index, (state, before, now, on, stuck)) in zones.into_iter().enumerate() {
            let name = NAMES[index];
            // Mostly on zones before it, so that there are long chains and now and then a cycle.
            let on: Vec<String> = NAMES
                .iter()
                .enumerate()
                .filter(|(other, _)| on[*other] && (*other < index || (stuck && *other != index)))
                .map(|(_, name)| (*name).to_owned())
                .collect();
            if let Some(state) = state {
                world.put(&depending(name, words[before], &on), state);
            }
            let wanted = depending(name, words[now], &on);
            let unavailable = (stuck && index % 2 == 0).then(|| "init.env.A: /etc/a is not there".to_owned());
            world.wanted.insert(name.into(), Wanted { unavailable, ..wanted });
        }
        world
    })
}

fn runs(world: &World, zone: &str) -> bool {
    world.facts.zones.get(zone).is_some_and(|facts| facts.init.is_known() && !facts.halt_intent)
}

/// Whether a plan may be walked as things are now.
fn is_free(world: &World, plan: &Plan, zone: &ZonePlan) -> bool {
    let goes_down = |other: &String| {
        let path = plan.zone(other).map(|plan| plan.path.as_slice()).unwrap_or_default();
        path.iter().any(|t| matches!(t, reeve_state::Transition::Halt | reeve_state::Transition::Stop))
    };
    !zone.steps.is_empty()
        && zone.up_after.iter().all(|other| runs(world, other) && !goes_down(other))
        && zone.down_after.iter().all(|other| !goes_down(other))
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(2000) })]

    #[test]
    fn everything_that_can_converge_does_one_zone_after_the_other(mut world in worlds(), pick in any::<prop::sample::Index>()) {
        let mut walked = 0;
        loop {
            let plan = world.plan();
            let findings = audit(&plan, &world.facts, &world.permissions());
            prop_assert_eq!(findings, vec![], "{:#?}", plan);
            let free: Vec<ZonePlan> =
                plan.zones.iter().filter(|zone| is_free(&world, &plan, zone)).cloned().collect();
            if free.is_empty() {
                let open: Vec<&ZonePlan> = plan.zones.iter().filter(|zone| !zone.steps.is_empty()).collect();
                prop_assert!(open.is_empty(), "they wait for ever: {open:#?}");
                break;
            }
            walk(&mut world, &[free[pick.index(free.len())].clone()]);
            walked += 1;
            prop_assert!(walked < 100, "it has no end: {plan:#?}");
        }
        for zone in world.plan().zones {
            match zone.hold {
                None => prop_assert_eq!(zone.from, zone.goal.map_or(Fact::Absent, Fact::Known)),
                Some(Hold::DependsOn { zone: other, healthy }) => {
                    prop_assert!(!healthy && !runs(&world, &other), "{} waits for {other}, which runs", zone.name);
                    let named = wanted::depends_on(&world.wanted[&zone.name].manifest);
                    prop_assert!(named.iter().any(|need| need.zone == other));
                    prop_assert!(zone.from.known().is_some_and(|state| *state >= Installed), "it is installed meanwhile");
                }
                Some(Hold::SecretUnavailable { .. }) => {}
                other => prop_assert!(false, "{other:?}"),
            }
        }
    }

    #[test]
    fn nobody_comes_up_before_what_he_needs(world in worlds(), other in any::<prop::sample::Index>()) {
        let plan = world.plan();
        for zone in plan.zones.iter().filter(|zone| zone.steps.iter().any(|step| step.name == "startInit")) {
            for need in wanted::depends_on(&world.wanted[&zone.name].manifest) {
                prop_assert!(zone.up_after.contains(&need.zone), "{zone:#?}");
            }
        }
        // And the audit would say so.
        let waits: Vec<usize> =
            plan.zones.iter().enumerate().filter(|(_, zone)| !zone.up_after.is_empty()).map(|(index, _)| index).collect();
        if waits.is_empty() {
            return Ok(());
        }
        let mut wrong = plan.clone();
        wrong.zones[waits[other.index(waits.len())]].up_after.clear();
        let findings = audit(&wrong, &world.facts, &world.permissions());
        prop_assert!(findings.iter().any(|found| found.severity == Severity::Fatal && found.rule == "dependsOn"));
    }

    #[test]
    fn all_go_down_in_reverse(world in worlds()) {
        let names: BTreeSet<String> = world.facts.zones.keys().cloned().collect();
        let one = |(name, facts): (&String, _)| take_down(false, facts, world.recorded.get(name));
        let mut plan = Plan { zones: world.facts.zones.iter().map(one).collect() };
        take_down_in_order(&mut plan, &names, &world.facts, &world.recorded);
        let mut done: BTreeSet<String> =
            plan.zones.iter().filter(|zone| zone.steps.is_empty()).map(|zone| zone.name.clone()).collect();
        loop {
            let free: Vec<&ZonePlan> = plan.zones.iter()
                .filter(|zone| !done.contains(&zone.name) && zone.down_after.iter().all(|other| done.contains(other)))
                .collect();
            if free.is_empty() {
                break;
            }
            done.extend(free.iter().map(|zone| zone.name.clone()).collect::<Vec<_>>());
        }
        prop_assert_eq!(done.len(), plan.zones.len(), "they wait for each other: {:#?}", plan);
    }
}

#[test]
fn a_chain_in_both_directions() {
    let chain = [("a", vec!["b".to_owned()]), ("b", vec!["c".to_owned()]), ("c", vec![])];
    let mut world = World::new();
    for (name, on) in &chain {
        world.wanted.insert((*name).into(), depending(name, "running", on));
    }
    let plan = world.plan();
    assert_eq!(plan.zone("a").expect("a").up_after, ["b"]);
    assert_eq!(plan.zone("b").expect("b").up_after, ["c"]);
    assert!(plan.zone("c").expect("c").up_after.is_empty());
    assert!(plan.zones.iter().all(|zone| zone.to == Some(Running) && zone.hold.is_none()));
    for (name, on) in &chain {
        world.put(&depending(name, "running", on), Running);
        world.wanted.insert((*name).into(), depending(name, "installed", on));
    }
    let plan = world.plan();
    assert_eq!(plan.zone("c").expect("c").down_after, ["b"]);
    assert_eq!(plan.zone("b").expect("b").down_after, ["a"]);
    assert!(plan.zone("a").expect("a").down_after.is_empty());
    // One that goes down alone takes nobody with it and waits for nobody.
    world.wanted.insert("a".into(), depending("a", "running", &chain[0].1));
    world.wanted.insert("b".into(), depending("b", "running", &chain[1].1));
    let plan = world.plan();
    assert!(plan.zone("c").expect("c").down_after.is_empty());
    assert!(plan.zone("a").expect("a").path.is_empty() && plan.zone("b").expect("b").path.is_empty());
}

#[test]
fn zones_that_wait_for_each_other_are_held_and_a_third_is_not() {
    let mut world = World::new();
    for (name, on) in [("a", vec!["b".to_owned()]), ("b", vec!["a".to_owned()]), ("c", vec![])] {
        world.wanted.insert(name.into(), depending(name, "running", &on));
    }
    let plan = world.plan();
    let hold = |name: &str| plan.zone(name).expect(name).hold.clone();
    assert_eq!(hold("a"), Some(Hold::DependsOn { zone: "b".into(), healthy: false }));
    assert_eq!(hold("b"), Some(Hold::DependsOn { zone: "a".into(), healthy: false }));
    assert_eq!((hold("c"), plan.zone("c").expect("c").to), (None, Some(Running)));
    assert_eq!(plan.zone("a").expect("a").to, Some(Installed), "it is installed meanwhile");
}

#[test]
fn until_healthy_is_until_a_check_said_so() {
    let mut world = World::new();
    let db = wants("db", json!({"health": {"tcp": {"port": 5432}}}));
    let web = wants("web", json!({"dependsOn": [{"zone": "db", "until": "healthy"}]}));
    world.wanted = [("db".to_owned(), db.clone()), ("web".to_owned(), web)].into();
    assert_eq!(world.plan().zone("web").expect("web").up_after, ["db"], "both come up in this plan");
    world.put(&db, Running);
    let held = world.plan().zone("web").expect("web").hold.clone();
    assert_eq!(held, Some(Hold::DependsOn { zone: "db".into(), healthy: true }));
    world.policies.insert("db".into(), ZonePolicy { healthy: true, ..ZonePolicy::default() });
    let plan = world.plan();
    assert_eq!(plan.zone("web").expect("web").hold, None);
    assert_eq!(plan.zone("web").expect("web").to, Some(Running));
}
