//! Rules about a zone's steps by themselves: edges, order, chain, end, what they may destroy and what they admit to.

use super::{Findings, Permissions};
use crate::lifecycle::{EDGES, Edge, Transition, ZoneState, state_name};
use crate::observed::Fact;
use crate::plan::{Action, Hold, Step, ZonePlan};

/// The steps of a transition, in order. Written out a second time on purpose: SEED T8 and T9.
fn expected(transition: Transition) -> &'static [&'static str] {
    match transition {
        Transition::Configure => &["writeConfiguration"],
        Transition::Install => &["installRoot"],
        Transition::Ready => &["zoneadmd", "zoneId", "zsched", "fileSystems", "network", "devices", "resourceControls"],
        Transition::Boot => &["startInit"],
        Transition::Stop => &["stopInit"],
        Transition::Halt => &["killProcesses", "unconfigureDevices", "unplumb", "unmount", "destroy"],
        Transition::Reboot => &[
            "killProcesses",
            "unconfigureDevices",
            "unplumb",
            "unmount",
            "destroy",
            "zoneadmd",
            "zoneId",
            "zsched",
            "fileSystems",
            "network",
            "devices",
            "resourceControls",
            "startInit",
        ],
        Transition::Uninstall => &["removeRoot"],
        Transition::Unconfigure => &["removeConfiguration"],
        Transition::InitExited => &[],
    }
}

/// The live steps, in the order in which they may stand between two transitions.
const LIVE: [&str; 5] = ["adopt", "applyLimits", "repairLinks", "mend", "record"];

pub(super) fn check(zone: &ZonePlan, permissions: &Permissions, out: &mut Findings) {
    chain(zone, out);
    edges(zone, out);
    live(zone, out);
    halting(zone, out);
    destroying(zone, permissions, out);
    costs(zone, out);
    end(zone, out);
    needs_manifest(zone, out);
}

/// Each step begins where the one before it ended, the first in `from`, the last in `to`.
fn chain(zone: &ZonePlan, out: &mut Findings) {
    let mut at = zone.from.known().copied();
    for step in &zone.steps {
        if step.from != at {
            let message = format!("step {} begins in {}, not in {}", step.name, state_name(step.from), state_name(at));
            out.fatal("chain", &zone.name, message);
        }
        at = step.to;
    }
    if at != zone.to && !matches!(zone.from, Fact::Unknown { .. }) {
        let message = format!("the last step ends in {}, the plan in {}", state_name(at), state_name(zone.to));
        out.fatal("chain", &zone.name, message);
    }
}

/// Runs of steps of one transition are that transition's steps, all of them, in order, along an edge of the table; and
/// together they are the path.
fn edges(zone: &ZonePlan, out: &mut Findings) {
    let mut path = Vec::new();
    let mut rest = zone.steps.as_slice();
    while let Some(step) = rest.first() {
        let Action::Transition(transition) = step.action else {
            rest = &rest[1..];
            continue;
        };
        let names = expected(transition);
        let (run, after) = rest.split_at(names.len().clamp(1, rest.len()));
        if !run.iter().map(|s| s.name.as_str()).eq(names.iter().copied()) || run.iter().any(|s| s.action != step.action)
        {
            return out.fatal("stepOrder", &zone.name, format!("the steps of {transition} are not all there in order"));
        }
        let (from, to) = (run[0].from, run[run.len() - 1].to);
        match EDGES.iter().find(|e| e.transition == transition && e.from == from) {
            Some(edge) if edge.to == to && inner_states_fit(edge, run) => {}
            _ => {
                let message = format!("{transition} from {} to {}", state_name(from), state_name(to));
                out.fatal("edge", &zone.name, format!("not in the table: {message}"));
            }
        }
        path.push(transition);
        rest = after;
    }
    if path != zone.path {
        out.fatal("path", &zone.name, "its steps are not those of its path");
    }
}

/// What is passed between the ends of an edge is one of its ends or one of the states on its way.
fn inner_states_fit(edge: &Edge, run: &[Step]) -> bool {
    let inner = &run[..run.len() - 1];
    inner
        .iter()
        .all(|step| step.to == edge.from || step.to == edge.to || step.to.is_some_and(|s| edge.via.contains(&s)))
}

/// Live steps change no state, are known, come once, and in their order; adopting comes before everything else.
fn live(zone: &ZonePlan, out: &mut Findings) {
    let mut last = None;
    for (index, step) in zone.steps.iter().enumerate().filter(|(_, step)| step.action == Action::Live) {
        let Some(rank) = LIVE.iter().position(|name| *name == step.name) else {
            out.fatal("liveStep", &zone.name, format!("there is no live step {}", step.name));
            continue;
        };
        if step.from != step.to || step.cost.new_zone_id {
            out.fatal("liveStep", &zone.name, format!("{} changes the state or the ID", step.name));
        }
        if last.is_some_and(|last| last >= rank) || (rank == 0 && index != 0) {
            out.fatal("liveStep", &zone.name, format!("{} comes too late or twice", step.name));
        }
        let up = matches!(step.from, Some(ZoneState::Ready | ZoneState::Running));
        if matches!(rank, 1 | 2) && !up {
            let message = format!("{} on a zone that is {}", step.name, state_name(step.from));
            out.fatal("liveStep", &zone.name, message);
        }
        last = Some(rank);
    }
}

/// From shutting_down and down there is only halt.
fn halting(zone: &ZonePlan, out: &mut Findings) {
    let halting = |s: Option<ZoneState>| matches!(s, Some(ZoneState::ShuttingDown | ZoneState::Down));
    let other = zone.steps.iter().find(|step| {
        let halts = matches!(step.action, Action::Transition(Transition::Halt | Transition::Reboot));
        halting(step.from) && !halts && step.name != "adopt"
    });
    if let Some(step) = other {
        let message = format!("{} on a zone that is {}", step.name, state_name(step.from));
        out.fatal("onlyHalt", &zone.name, message);
    }
}

/// What destroys data says so and is permitted.
fn destroying(zone: &ZonePlan, permissions: &Permissions, out: &mut Findings) {
    let removes = |step: &&Step| {
        step.cost.destroys_data
            || matches!(step.action, Action::Transition(Transition::Uninstall | Transition::Unconfigure))
            || step.name.starts_with("remove")
    };
    for step in zone.steps.iter().filter(removes) {
        if !permissions.destroy.contains(&zone.name) {
            let message = format!("{} destroys data, and nobody permitted it", step.name);
            out.fatal("destroys", &zone.name, message);
        }
        if !step.cost.destroys_data {
            out.fatal("cost", &zone.name, format!("{} destroys data and does not say so", step.name));
        }
    }
}

/// A new ID is admitted to where one is given.
fn costs(zone: &ZonePlan, out: &mut Findings) {
    for step in &zone.steps {
        if step.cost.new_zone_id != (step.name == "zoneId") {
            out.warning("cost", &zone.name, format!("{} is wrong about whether it gives a new zone ID", step.name));
        }
        if step.cost.downtime_ms > step.cost.total_ms {
            out.warning("cost", &zone.name, format!("{} says that it costs more downtime than time", step.name));
        }
    }
}

/// Without a hold the zone ends where it is wanted. With one, nothing is brought up that the hold is about: no boot
/// while the restart policy waits or stays, nothing at all for the others.
fn end(zone: &ZonePlan, out: &mut Findings) {
    use Transition::{Boot, Configure, Install, Ready, Reboot, Stop, Unconfigure, Uninstall};
    let forbidden: &[Transition] = match &zone.hold {
        None if zone.to != zone.goal => {
            let message = format!("it ends in {}, wanted is {}", state_name(zone.to), state_name(zone.goal));
            return out.fatal("goal", &zone.name, message);
        }
        // Kept as it is recorded, which may need anything.
        None
        | Some(
            Hold::AwaitingConfirmation { .. }
            | Hold::AwaitingApproval { .. }
            | Hold::AwaitingWindow { .. }
            | Hold::Drifted { .. },
        ) => &[],
        Some(Hold::DependsOn { .. }) => &[Ready, Boot, Reboot],
        Some(Hold::Stay { .. } | Hold::Backoff { .. }) => &[Boot, Reboot],
        Some(Hold::Unknown { .. } | Hold::SecretUnavailable { .. } | Hold::FilesGone | Hold::Conflict { .. }) => {
            &[Configure, Install, Ready, Boot, Reboot]
        }
        Some(Hold::Suspended { .. } | Hold::OtherSource { .. }) => {
            &[Configure, Install, Ready, Boot, Reboot, Stop, Uninstall, Unconfigure]
        }
    };
    let rises = |step: &&Step| matches!(step.action, Action::Transition(t) if forbidden.contains(&t));
    if let Some(step) = zone.steps.iter().find(rises) {
        out.fatal("held", &zone.name, format!("it is held, and {} is walked all the same", step.name));
    }
}

/// What is made or written is made or written from a manifest.
fn needs_manifest(zone: &ZonePlan, out: &mut Findings) {
    use Transition::{Boot, Configure, Install, Ready, Reboot};
    let needs = |step: &&Step| {
        step.name == "record"
            || step.name == "applyLimits"
            || step.name == "repairLinks"
            || step.name == "mend"
            || matches!(step.action, Action::Transition(Configure | Install | Ready | Boot | Reboot))
    };
    if let (None, Some(step)) = (&zone.manifest, zone.steps.iter().find(needs)) {
        out.fatal("manifest", &zone.name, format!("{} has no manifest to go by", step.name));
    }
}
