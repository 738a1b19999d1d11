//! Rules about the plan as a whole: names, order, who waits for whom.

use std::collections::BTreeSet;

use super::Findings;
use crate::lifecycle::Transition;
use crate::observed::HostFacts;
use crate::plan::{Action, Plan, ZonePlan};

pub(super) fn check(plan: &Plan, facts: &HostFacts, out: &mut Findings) {
    dependencies(plan, facts, out);
    let mut names = BTreeSet::new();
    for zone in &plan.zones {
        if !names.insert(zone.name.as_str()) {
            out.fatal_for_all("nameUnique", format!("zone {} is planned twice", zone.name));
        }
    }
    let mut brought_up: Option<&str> = None;
    for zone in &plan.zones {
        match (first(zone), brought_up) {
            (Some(t), Some(earlier)) if lowers(t) => out.fatal_for_all(
                "teardownFirst",
                format!("zone {} is torn down after the bring-up of zone {earlier}", zone.name),
            ),
            (Some(t), _) if !lowers(t) => brought_up = Some(&zone.name),
            _ => {}
        }
    }
    for zone in &plan.zones {
        for holder in &zone.after {
            let gives_up = plan.zones.iter().any(|z| z.name == *holder && z.steps.iter().any(|s| gives(s.action)));
            if *holder == zone.name || !gives_up {
                out.fatal("waitsForNobody", &zone.name, format!("it waits for zone {holder}, which gives nothing up"));
            }
        }
    }
}

/// A zone whose manifest names others comes up after each of them, which runs by then; nobody waits for himself by way of
/// others.
fn dependencies(plan: &Plan, facts: &HostFacts, out: &mut Findings) {
    let walks = |zone: &ZonePlan, names: &[&str]| zone.steps.iter().any(|step| names.contains(&step.name.as_str()));
    let find = |name: &str| plan.zones.iter().find(|zone| zone.name == name);
    for zone in plan.zones.iter().filter(|zone| walks(zone, &["zsched", "startInit"])) {
        let named = zone.manifest.as_deref().and_then(|manifest| manifest["spec"]["dependsOn"].as_array());
        for other in named.into_iter().flatten().filter_map(|one| one["zone"].as_str()) {
            let seen = facts.zones.get(other).is_some_and(|seen| seen.init.is_known());
            let starts = find(other).is_some_and(|other| walks(other, &["startInit"]));
            let ends = find(other).is_some_and(|other| walks(other, &["stopInit", "killProcesses"]));
            if !(starts || seen && !ends) {
                let message = format!("it comes up without zone {other}, on which it depends");
                out.fatal("dependsOn", &zone.name, message);
            } else if !zone.up_after.iter().any(|waits| waits == other) {
                out.fatal("dependsOn", &zone.name, format!("it does not wait for zone {other}, on which it depends"));
            }
        }
    }
    for zone in &plan.zones {
        let mut waits: Vec<&str> = zone.up_after.iter().chain(&zone.down_after).map(String::as_str).collect();
        let mut seen = BTreeSet::new();
        while let Some(other) = waits.pop() {
            if other == zone.name {
                out.fatal("waitsForItself", &zone.name, "it waits for zones that wait for it");
                break;
            }
            if let Some(other) = find(other).filter(|zone| seen.insert(zone.name.as_str())) {
                waits.extend(other.up_after.iter().chain(&other.down_after).map(String::as_str));
            }
        }
    }
}

fn first(zone: &ZonePlan) -> Option<Transition> {
    zone.steps.iter().find_map(|step| match step.action {
        Action::Transition(transition) => Some(transition),
        Action::Live => None,
    })
}

fn lowers(transition: Transition) -> bool {
    use Transition::{Halt, Reboot, Stop, Unconfigure, Uninstall};
    matches!(transition, Halt | Stop | Uninstall | Unconfigure | Reboot)
}

fn gives(action: Action) -> bool {
    matches!(action, Action::Transition(Transition::Halt | Transition::Uninstall))
}
