//! Properties of plans over any observed facts, any manifests, any records. A failing case is kept in
//! `tests/regressions/` and tried first from then on.

mod common;

use common::arbitrary::world;
use common::model::{walk, walks};
use proptest::prelude::*;
use proptest::test_runner::{Config, FileFailurePersistence};
use reeve_state::audit::{Severity, audit};
use reeve_state::condition;
use reeve_state::lifecycle::step;
use reeve_state::observed::derive_state;
use reeve_state::plan::{Action, Plan, ZonePlan, ZonePolicy};
use reeve_state::status::{self, Outcome, status};
use reeve_state::{Fact, Transition, ZoneFacts};

/// A plan in a few lines.
fn brief(plan: &Plan) -> String {
    let line = |z: &ZonePlan| {
        let steps: Vec<&str> = z.steps.iter().map(|s| s.name.as_str()).collect();
        let differs: Vec<_> = z.differences.iter().map(|d| (d.field.as_str(), d.cause, d.price)).collect();
        format!("{}: {:?} to {:?} wanted {:?} by {steps:?} hold {:?} {differs:?}", z.name, z.from, z.to, z.goal, z.hold)
    };
    plan.zones.iter().map(line).collect::<Vec<_>>().join("\n")
}

fn config() -> Config {
    let file = FileFailurePersistence::Direct("tests/regressions/plan_properties.txt");
    Config { cases: 1000, failure_persistence: Some(Box::new(file)), ..Config::default() }
}

/// Whether a step of a plan makes something or destroys something.
fn creates_or_destroys(transition: Transition) -> bool {
    !matches!(transition, Transition::Halt)
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn a_path_uses_only_edges_of_the_table_and_ends_where_it_should(world in world()) {
        for zone in world.plan().zones {
            let Some(from) = (match &zone.from {
                Fact::Known(state) => Some(Some(*state)),
                Fact::Absent => Some(None),
                Fact::Unknown { .. } => None,
            }) else {
                prop_assert!(zone.steps.is_empty());
                continue;
            };
            let end = zone.path.iter().try_fold(from, |at, transition| step(at, *transition));
            prop_assert_eq!(end, Ok(zone.to));
            let wanted = world.wanted.get(&zone.name).map(|w| w.goal());
            if zone.hold.is_none() {
                prop_assert_eq!(zone.to, zone.goal);
                prop_assert!(wanted.is_none() || zone.goal == wanted);
            }
            prop_assert!(!zone.reason.is_empty());
        }
    }

    #[test]
    fn the_second_plan_is_empty(mut world in world()) {
        // Files that vanished under a zone that is up, and what could not be read of one that is halting, are seen once it
        // is down: that takes a second look.
        let veiled = |zone: &ZoneFacts| !zone.installed.is_known() || zone.why_unknown().is_some();
        if world.facts.zones.values().any(veiled) {
            let first = world.plan();
            walk(&mut world, &first.zones);
        }
        let plan = world.plan();
        walk(&mut world, &plan.zones);
        let again = world.plan();
        prop_assert!(again.is_empty(), "{}\nthen {}", brief(&plan), brief(&again));
        for (zone, before) in again.zones.iter().map(|z| (z, plan.zone(&z.name).expect("it was there"))) {
            prop_assert_eq!(&zone.hold, &before.hold, "{}\nthen {}", brief(&plan), brief(&again));
        }
    }

    #[test]
    fn nothing_is_made_or_destroyed_on_what_is_not_known(world in world()) {
        for zone in world.plan().zones {
            let unknown = derive_state(&world.facts.zones[&zone.name]).why_unknown().is_some()
                || world.facts.zones[&zone.name].why_unknown().is_some();
            if unknown {
                prop_assert!(!zone.path.iter().any(|t| creates_or_destroys(*t)), "{zone:#?}");
                prop_assert!(zone.hold.is_some());
            }
        }
    }

    #[test]
    fn nothing_is_started_or_recorded_without_its_secrets(world in world()) {
        let lacking = |name: &String| world.wanted.get(name).is_some_and(|wanted| wanted.unavailable.is_some());
        for zone in world.plan().zones.iter().filter(|zone| lacking(&zone.name)) {
            prop_assert!(zone.hold.is_some() && zone.manifest.is_none(), "{zone:#?}");
            prop_assert!(zone.path.iter().all(|t| matches!(t, Transition::Halt | Transition::Stop)), "{zone:#?}");
        }
    }

    #[test]
    fn data_is_destroyed_only_where_somebody_said_so(world in world()) {
        let allowed = world.permissions().destroy;
        for zone in world.plan().zones {
            let destroys = walks(&zone, Transition::Uninstall) || walks(&zone, Transition::Unconfigure);
            prop_assert!(!destroys || allowed.contains(&zone.name), "{zone:#?}");
        }
    }

    #[test]
    fn the_audit_accepts_every_plan(world in world()) {
        let plan = world.plan();
        prop_assert_eq!(audit(&plan, &world.facts, &world.permissions()), vec![], "{}", brief(&plan));
    }

    #[test]
    fn the_audit_refuses_a_plan_with_a_step_dropped_swapped_or_twice(world in world(), at in any::<prop::sample::Index>()) {
        let plan = world.plan();
        let steps: Vec<(usize, usize)> =
            plan.zones.iter().enumerate().flat_map(|(z, zone)| (0..zone.steps.len()).map(move |s| (z, s))).collect();
        if steps.is_empty() {
            return Ok(());
        }
        let (zone, step) = steps[at.index(steps.len())];
        let refused = |plan: &Plan| {
            audit(plan, &world.facts, &world.permissions()).iter().any(|f| f.severity == Severity::Fatal)
        };
        let mut dropped = plan.clone();
        dropped.zones[zone].steps.remove(step);
        prop_assert!(refused(&dropped), "dropped {step}: {}", brief(&plan));
        let mut twice = plan.clone();
        let copy = twice.zones[zone].steps[step].clone();
        twice.zones[zone].steps.insert(step, copy);
        prop_assert!(refused(&twice), "twice {step}: {}", brief(&plan));
        if step + 1 < plan.zones[zone].steps.len() {
            let mut swapped = plan.clone();
            swapped.zones[zone].steps.swap(step, step + 1);
            prop_assert!(refused(&swapped), "swapped {step}: {}", brief(&plan));
        }
    }

    #[test]
    fn the_audit_refuses_a_plan_for_what_was_not_seen(world in world(), other in world()) {
        // A plan that was made from one look, audited against another: refused, or it is as good as the other's own.
        for zone in world.plan().zones.iter().filter(|z| !z.path.is_empty()) {
            let Some(seen) = other.facts.zones.get(&zone.name) else { continue };
            if derive_state(seen) != zone.from {
                let plan = Plan { zones: vec![zone.clone()] };
                let findings = audit(&plan, &other.facts, &world.permissions());
                prop_assert!(findings.iter().any(|f| f.severity == Severity::Fatal), "{} on {seen:?}", brief(&plan));
            }
        }
    }

    #[test]
    fn conditions_hold_together_before_and_after(mut world in world()) {
        let before = statuses(&world, None);
        for status in &before {
            prop_assert_eq!(condition::check(&status.conditions), Vec::<String>::new());
        }
        let plan = world.plan();
        walk(&mut world, &plan.zones);
        world.facts.observed_at = world.facts.observed_at.plus(5);
        for status in statuses(&world, Some(&before)) {
            prop_assert_eq!(condition::check(&status.conditions), Vec::<String>::new());
            let same = |c: &&condition::Condition| c.last_transition_time.0 == 1_000_000;
            let old = before.iter().find(|s| s.name == status.name).expect("it was there");
            for kept in status.conditions.iter().filter(same) {
                let was = condition::find(&old.conditions, kept.kind);
                prop_assert_eq!(was.map(|c| c.status), Some(kept.status));
            }
        }
    }

    #[test]
    fn a_plan_and_a_world_survive_json(world in world()) {
        let plan = world.plan();
        let text = serde_json::to_string(&plan).expect("a document");
        prop_assert_eq!(serde_json::from_str::<Plan>(&text).expect("a plan"), plan);
        let text = serde_json::to_string(&world.facts).expect("a document");
        prop_assert_eq!(serde_json::from_str::<reeve_state::HostFacts>(&text).expect("facts"), world.facts);
    }
}

fn statuses(world: &common::World, previous: Option<&[status::ZoneStatus]>) -> Vec<status::ZoneStatus> {
    let outcome = Outcome::default();
    let policy = ZonePolicy::default();
    let of = |plan: &ZonePlan| {
        let nothing = ZoneFacts::absent(&plan.name);
        status(&status::Input {
            commit: None,
            source: &[],
            wanted: world.wanted.get(&plan.name),
            facts: world.facts.zones.get(&plan.name).unwrap_or(&nothing),
            recorded: world.recorded.get(&plan.name),
            plan,
            policy: world.policies.get(&plan.name).unwrap_or(&policy),
            outcome: &outcome,
            halt: None,
            previous: previous.and_then(|p| p.iter().find(|s| s.name == plan.name)),
            now: world.facts.observed_at,
        })
    };
    world.plan().zones.iter().map(of).collect()
}

#[test]
fn live_steps_have_no_transition() {
    assert!(serde_json::to_string(&Action::Live).is_ok_and(|text| text == "\"live\""));
}
