//! What is said of a zone to people, in words: the same on a terminal and on the status page. Texts that come from zones and
//! manifests are passed on as they are; whoever shows them makes them safe to be shown there.

use reeve_state::halt::{HaltBlockedReason, HaltStatus};
use reeve_state::health::{HealthState, HealthStatus};
use reeve_state::lifecycle::legal;
use reeve_state::restart::{ExitKind, ExitReport};
use reeve_state::status::{Pending, ZoneStatus};
use reeve_state::suspension::Suspension;
use reeve_state::{Timestamp, Transition, ZoneState};

use crate::time;

/// Since when a zone is in its state, where that is known.
pub fn since(zone: &ZoneStatus) -> Option<Timestamp> {
    let last = zone.history.last().filter(|entry| entry.to == zone.state)?;
    Some(last.at.plus(last.took_ms))
}

/// What may be asked for in a state, in words.
pub fn legal_moves(state: Option<ZoneState>) -> String {
    let moves: Vec<&str> =
        legal(state).into_iter().filter(|one| one.can_be_asked_for()).map(Transition::as_str).collect();
    moves.join(", ")
}

/// What waits for a person or a window, in words.
pub fn pending(pending: &Pending) -> String {
    let what = pending.fields.join(", ");
    match (pending.data_loss, pending.needs_approval, pending.opens) {
        (true, ..) => format!("{what}: somebody must say that data may be lost (reeve approve zone NAME --data-loss)"),
        (false, true, _) => format!("{what}: for approval (reeve approve zone NAME)"),
        (false, false, Some(opens)) => format!("{what}: for a window, which opens {}", time::date(opens)),
        (false, false, None) => format!("{what}: for a window, and none opens within a year"),
    }
}

/// What the health check says, since when, and why.
pub fn health(health: &HealthStatus, now: Timestamp) -> String {
    let state = match health.status {
        HealthState::Unknown => "not known yet",
        HealthState::Healthy => "healthy",
        HealthState::Unhealthy => "unhealthy",
    };
    let why = health.message.as_ref().map_or_else(String::new, |why| format!(": {why}"));
    format!("{state}, for {}{why}", time::age(health.since, now))
}

/// Who suspended a zone, since and until when, and why.
pub fn suspended(suspension: &Suspension) -> String {
    let Suspension { reason, owner, since, until } = suspension;
    let until = until.map_or_else(|| "somebody resumes it".to_owned(), time::date);
    format!("by {owner}, since {}, until {until}: {reason}", time::date(*since))
}

/// How init ended, in words.
pub fn exit(exit: &ExitReport, now: Timestamp) -> String {
    let how = match exit.kind {
        ExitKind::Exited(code) => format!("exited with {code}"),
        ExitKind::Signaled(signal) => format!("ended by signal {signal}"),
        ExitKind::RebootInside => "reboot was asked for inside".to_owned(),
        ExitKind::PoweroffInside => "poweroff was asked for inside".to_owned(),
    };
    format!("{how}, {} ago ({}; environment {})", time::age(exit.at, now), time::date(exit.at), exit.environment)
}

/// What the reason means, in a few words.
pub fn meaning(reason: HaltBlockedReason) -> &'static str {
    match reason {
        HaltBlockedReason::MountBusy => "a file system of the zone is in use",
        HaltBlockedReason::TaskUninterruptible => "a process was killed and does not end",
        HaltBlockedReason::NamespaceReferenced => "something outside keeps a namespace of the zone",
        HaltBlockedReason::DeviceBusy => "a device is in use",
        HaltBlockedReason::NetdevBusy => "a network link does not go away",
        HaltBlockedReason::CgroupBusy => "the cgroup of the zone cannot be removed",
        HaltBlockedReason::DetachedNotFreed => "what was detached by force is still in use",
    }
}

/// Which steps of a halt are done, and which are not.
pub fn halt_steps(halt: &HaltStatus) -> String {
    let done = if halt.completed.is_empty() { "nothing".to_owned() } else { halt.completed.join(", ") };
    format!("done: {done}; to be done: {}", halt.remaining.join(", "))
}

/// When a halt is tried again.
pub fn next_try(halt: &HaltStatus, now: Timestamp) -> String {
    match halt.next_retry {
        Some(at) if at > now => format!("in {}, or as soon as something changes", time::span(at.since(now))),
        Some(_) => "now".to_owned(),
        None => "no controller runs; by hand: reeve halt, or reeve retry".to_owned(),
    }
}
