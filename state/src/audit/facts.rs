//! Rules about a zone's plan against what was seen of the zone.

use super::Findings;
use crate::difference::{Difference, Price};
use crate::lifecycle::{Transition, ZoneState, state_name};
use crate::limits::{self, Limits};
use crate::observed::{Fact, ZoneFacts};
use crate::plan::{Action, Hold, ZonePlan};

pub(super) fn check(zone: &ZonePlan, seen: &ZoneFacts, out: &mut Findings) {
    if zone.steps.is_empty() {
        return unanswered(zone, seen, out);
    }
    if let Fact::Unknown { why } = &zone.from {
        out.fatal("stepOnUnknown", &zone.name, format!("it has steps, and its state is not known: {why}"));
        return;
    }
    let from = zone.from.known().copied();
    if !fits(from, seen) {
        out.fatal("stateNotSeen", &zone.name, format!("it starts from {}, which was not seen", state_name(from)));
    }
    unknown(zone, from, seen, out);
    old_environment(zone, seen, out);
    supervisor(zone, from, seen, out);
    unanswered(zone, seen, out);
}

/// Whether the facts can be those of a zone in this state: signs that must be there, and signs that must not.
fn fits(state: Option<ZoneState>, seen: &ZoneFacts) -> bool {
    let some = |n: &Fact<u32>| matches!(n, Fact::Known(1..));
    let environment = seen.init.is_known() || some(&seen.environment_processes);
    let lives = environment || some(&seen.login_processes);
    let unread = [
        seen.cgroup.why_unknown(),
        seen.mounts.why_unknown(),
        seen.links.why_unknown(),
        seen.namespaces.why_unknown(),
        seen.remains.why_unknown(),
        seen.zoneadmd.why_unknown().filter(|_| seen.halt_intent),
    ];
    let clean = unread.iter().all(Option::is_none);
    let counted = [&seen.environment_processes, &seen.login_processes].iter().all(|n| n.why_unknown().is_none())
        && seen.init.why_unknown().is_none();
    let linked = seen.links.known().is_some_and(|l| !l.is_empty());
    let spaces = seen.namespaces.known().is_some_and(|n| !n.is_empty());
    let remains = seen.remains.known().is_some_and(|r| !r.is_empty());
    // Who has a halt to finish is a part of the zone until it has.
    let halter = seen.halt_intent && seen.zoneadmd.is_known();
    let left = some(&seen.mounts) || linked || spaces || remains || halter;
    let platform = seen.zsched.is_known() || seen.cgroup.is_known() || left;
    let alive = seen.zsched.is_known() && !seen.halt_intent;
    let (installed, configured) = (seen.installed.is_known(), seen.configured.is_known());
    if seen.zsched.why_unknown().is_some() {
        return false;
    }
    match state {
        Some(ZoneState::Running) => alive && environment,
        Some(ZoneState::Ready) => alive && !environment,
        Some(ZoneState::ShuttingDown) => !alive && (lives || (!counted && seen.zsched.is_known())),
        Some(ZoneState::Down) => !alive && !lives && counted && platform,
        // Nothing may be left in the kernel, and that must have been seen.
        _ if platform || lives || !clean || !counted => false,
        Some(ZoneState::Installed) => installed,
        Some(ZoneState::Configured) => !installed && configured,
        None => !installed && !configured,
    }
}

/// Nothing is done on facts that could not be read, but that a halt which was begun goes on.
fn unknown(zone: &ZonePlan, from: Option<ZoneState>, seen: &ZoneFacts, out: &mut Findings) {
    let unread = seen.zsched.why_unknown().is_some()
        || seen.init.why_unknown().is_some()
        || seen.environment_processes.why_unknown().is_some()
        || seen.configured.why_unknown().is_some()
        || seen.installed.why_unknown().is_some();
    let halting = matches!(from, Some(ZoneState::ShuttingDown | ZoneState::Down));
    let only_halts = zone.steps.iter().all(|s| matches!(s.action, Action::Live | Action::Transition(Transition::Halt)));
    if unread && !(halting && only_halts) {
        out.fatal("stepOnUnknown", &zone.name, "it has steps, and not everything that they rely on could be read");
    }
}

/// At most one application environment: before a boot, whatever lives of an old one has been stopped or halted.
fn old_environment(zone: &ZonePlan, seen: &ZoneFacts, out: &mut Findings) {
    let mut lives = !matches!(seen.environment_processes, Fact::Absent | Fact::Known(0)) || !seen.init.is_absent();
    for step in &zone.steps {
        match step.action {
            Action::Transition(Transition::Stop | Transition::Halt) => lives = false,
            // A reboot ends the old environment in its first step.
            Action::Transition(Transition::Reboot) => lives = step.name == "startInit",
            Action::Transition(Transition::Boot) if lives => {
                let message = "it boots while processes of an older application environment live";
                return out.fatal("oneEnvironment", &zone.name, message);
            }
            Action::Transition(Transition::Boot) => lives = true,
            _ => {}
        }
    }
}

/// An active zone without its zoneadmd gets one before anything else.
fn supervisor(zone: &ZonePlan, from: Option<ZoneState>, seen: &ZoneFacts, out: &mut Findings) {
    let gone = from.is_some_and(ZoneState::is_active) && seen.zoneadmd.is_absent();
    let adopts = zone.steps.first().is_some_and(|step| step.name == "adopt");
    if gone && !adopts {
        out.fatal(
            "supervisorFirst",
            &zone.name,
            "it is active and has no zoneadmd, and the plan does not begin with one",
        );
    }
}

/// Every difference that the plan tells of is answered by a step, unless the zone is held.
fn unanswered(zone: &ZonePlan, seen: &ZoneFacts, out: &mut Findings) {
    if matches!(zone.hold, Some(Hold::Unknown { .. } | Hold::Suspended { .. })) {
        return;
    }
    let has = |name: &str| zone.steps.iter().any(|step| step.name == name);
    let active = zone.from.known().is_some_and(|state| state.is_active());
    // Drift that is only told of, ignored or came back too often is left as it is.
    let left = |of: &dyn Fn(&str) -> bool| zone.differences.iter().any(|d| of(&d.field) && !d.is_acted_on());
    if active && seen.zoneadmd.is_absent() && !has("adopt") && !left(&|field| field == "zoneadmd") {
        out.fatal("unanswered", &zone.name, "it has no zoneadmd, and no step starts one");
    }
    // What waits at a gate is not recorded before it is let through.
    let waits = zone.hold.as_ref().is_some_and(Hold::keeps_back);
    let held: &[String] = match &zone.hold {
        Some(Hold::FilesGone | Hold::Conflict { .. } | Hold::DependsOn { .. }) => return,
        Some(Hold::AwaitingConfirmation { fields }) => fields,
        _ => &[],
    };
    let own = |field: &str| matches!(field, "state" | "platform" | "zoneadmd");
    let changed =
        zone.differences.iter().find(|d| !own(&d.field) && d.recorded != d.desired && !held.contains(&d.field));
    if let Some(d) = changed
        && !waits
        && !has("record")
        && !has("writeConfiguration")
    {
        out.fatal("unanswered", &zone.name, format!("{} changed, and no step records it", d.field));
    }
    let stays_up = !has("destroy") && matches!(zone.from, Fact::Known(ZoneState::Ready | ZoneState::Running));
    if !stays_up {
        return;
    }
    let live = |d: &&Difference| d.price == Price::Live && d.is_acted_on();
    if zone.differences.iter().filter(live).any(|d| d.field == "net") && !has("repairLinks") {
        out.fatal("unanswered", &zone.name, "its links are not as they should be, and no step repairs them");
    }
    let limits = zone.manifest.as_deref().map(Limits::of);
    if let (Some(limits), Fact::Known(cgroup)) = (limits, &seen.cgroup)
        && !zone.differences.is_empty()
        && !limits.hold_in(cgroup)
        && !has("applyLimits")
        && !left(&|field| limits::FIELDS.iter().any(|(name, _)| *name == field))
    {
        out.fatal("unanswered", &zone.name, "its limits are not those of the manifest, and no step applies them");
    }
    if zone.differences.iter().filter(live).any(Difference::is_of_platform) && !has("mend") {
        out.fatal("unanswered", &zone.name, "its platform is not as it was, and no step mends it");
    }
}
