//! Rules about the plan as a whole: names, order, who waits for whom.

use std::collections::BTreeSet;

use super::Findings;
use crate::lifecycle::Transition;
use crate::plan::{Action, Plan, ZonePlan};

pub(super) fn check(plan: &Plan, out: &mut Findings) {
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
