//! The state of a zone, derived from facts. Nothing that was written down answers "is it running?": a recorded halt
//! intent says which way a zone goes, the kernel says what is there.

use super::{Fact, ZoneFacts};
use crate::lifecycle::ZoneState;

/// The state that the facts show; `Absent` where there is no such zone.
///
/// `Unknown` where a fact that decides could not be read, with one exception: a halt that was begun, with zsched alive
/// and processes that could not be counted, is `shutting_down`, because its only legal move is to go on halting.
/// So nothing unknown ever leads to a state from which something is created or destroyed.
///
/// A zone with files but without a configuration (lost state) counts as Installed, so that it is adopted and its files
/// are not installed over.
pub fn derive_state(facts: &ZoneFacts) -> Fact<ZoneState> {
    match &facts.zsched {
        Fact::Unknown { why } => Fact::unknown(format!("zsched: {why}")),
        Fact::Known(_) if facts.halt_intent => match living(facts) {
            Fact::Absent => Fact::Known(ZoneState::Down),
            Fact::Known(()) | Fact::Unknown { .. } => Fact::Known(ZoneState::ShuttingDown),
        },
        Fact::Known(_) => with_platform(facts),
        Fact::Absent => without_zsched(facts),
    }
}

/// zsched lives and nobody halts the zone: the application environment decides. It exists as long as one process of it
/// does (SEED Z4), whether or not that is init.
fn with_platform(facts: &ZoneFacts) -> Fact<ZoneState> {
    match (&facts.init, &facts.environment_processes) {
        (Fact::Known(_), _) => Fact::Known(ZoneState::Running),
        (Fact::Unknown { why }, _) => Fact::unknown(format!("init: {why}")),
        (Fact::Absent, Fact::Unknown { why }) => Fact::unknown(format!("environment processes: {why}")),
        (Fact::Absent, Fact::Known(n)) if *n > 0 => Fact::Known(ZoneState::Running),
        (Fact::Absent, _) => Fact::Known(ZoneState::Ready),
    }
}

/// zsched is dead: whatever else is left of the zone in the kernel makes it shutting_down or down.
fn without_zsched(facts: &ZoneFacts) -> Fact<ZoneState> {
    match (living(facts), platform(facts)) {
        (Fact::Known(()), _) => Fact::Known(ZoneState::ShuttingDown),
        (Fact::Unknown { why }, _) | (Fact::Absent, Fact::Unknown { why }) => Fact::unknown(why),
        (Fact::Absent, Fact::Known(())) => Fact::Known(ZoneState::Down),
        (Fact::Absent, Fact::Absent) => on_disk(facts),
    }
}

/// Nothing of the zone is in the kernel: the disk decides.
fn on_disk(facts: &ZoneFacts) -> Fact<ZoneState> {
    match (&facts.configured, &facts.installed) {
        (Fact::Unknown { why }, _) => Fact::unknown(format!("configured: {why}")),
        (_, Fact::Unknown { why }) => Fact::unknown(format!("installed: {why}")),
        (_, Fact::Known(_)) => Fact::Known(ZoneState::Installed),
        (Fact::Known(_), Fact::Absent) => Fact::Known(ZoneState::Configured),
        (Fact::Absent, Fact::Absent) => Fact::Absent,
    }
}

/// Whether a process of the zone other than zsched lives.
fn living(facts: &ZoneFacts) -> Fact<()> {
    let count = |n: &Fact<u32>| match n {
        Fact::Known(0) | Fact::Absent => Fact::Absent,
        Fact::Known(_) => Fact::Known(()),
        Fact::Unknown { why } => Fact::unknown(why.as_str()),
    };
    let init = match &facts.init {
        Fact::Known(_) => Fact::Known(()),
        Fact::Absent => Fact::Absent,
        Fact::Unknown { why } => Fact::unknown(why.as_str()),
    };
    any([
        ("init", init),
        ("environment processes", count(&facts.environment_processes)),
        ("login processes", count(&facts.login_processes)),
    ])
}

/// Whether something of the virtual platform besides zsched is there.
fn platform(facts: &ZoneFacts) -> Fact<()> {
    any([
        ("namespaces", there(&facts.namespaces, |n| !n.is_empty())),
        ("cgroup", there(&facts.cgroup, |_| true)),
        ("links", there(&facts.links, |l| !l.is_empty())),
        ("mounts", there(&facts.mounts, |n| *n > 0)),
        ("remains", there(&facts.remains, |r| !r.is_empty())),
        ("zoneadmd", halter(facts)),
    ])
}

/// A zoneadmd that has a halt to finish: the zone is active as long as it is there.
fn halter(facts: &ZoneFacts) -> Fact<()> {
    if facts.halt_intent { there(&facts.zoneadmd, |_| true) } else { Fact::Absent }
}

/// A fact reduced to whether it is there; what `counts` refuses (an empty list, 0) is not.
fn there<T>(fact: &Fact<T>, counts: impl Fn(&T) -> bool) -> Fact<()> {
    match fact {
        Fact::Known(value) if counts(value) => Fact::Known(()),
        Fact::Known(_) | Fact::Absent => Fact::Absent,
        Fact::Unknown { why } => Fact::unknown(why.as_str()),
    }
}

/// Known if one is, else Unknown if one is (with its name), else Absent.
fn any<const N: usize>(facts: [(&str, Fact<()>); N]) -> Fact<()> {
    if facts.iter().any(|(_, fact)| fact.is_known()) {
        return Fact::Known(());
    }
    facts
        .iter()
        .find_map(|(name, fact)| fact.why_unknown().map(|why| Fact::unknown(format!("{name}: {why}"))))
        .unwrap_or(Fact::Absent)
}
