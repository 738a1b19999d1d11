//! The state that facts show.

mod common;

use common::{facts_in, wants};
use proptest::prelude::*;
use reeve_state::observed::derive_state;
use reeve_state::{Fact, Transition, ZoneFacts, ZoneState, lifecycle};
use serde_json::json;

use ZoneState::{Configured, Down, Installed, Ready, Running, ShuttingDown};

fn seen(state: ZoneState) -> ZoneFacts {
    facts_in(&wants("z", json!({"net": [{"physical": "br0"}]})), state)
}

#[test]
fn each_state_is_recognised() {
    assert_eq!(derive_state(&ZoneFacts::absent("z")), Fact::Absent);
    for state in ZoneState::ALL {
        assert_eq!(derive_state(&seen(state)), Fact::Known(state));
    }
}

/// What becomes of the state of a zone when one fact is another.
#[test]
fn one_fact_can_change_the_state() {
    type Change = fn(&mut ZoneFacts);
    let table: [(&str, ZoneState, Change, ZoneState); 16] = [
        ("zsched killed under a zone with processes", Running, |f| f.zsched = Fact::Absent, ShuttingDown),
        ("zsched killed under a ready zone", Ready, |f| f.zsched = Fact::Absent, Down),
        ("zoneadmd killed", Running, |f| f.zoneadmd = Fact::Absent, Running),
        ("init gone, a process left", Running, |f| f.init = Fact::Absent, Running),
        ("a login into a ready zone", Ready, |f| f.login_processes = Fact::Known(2), Ready),
        ("a login keeps a halt in shutting_down", Down, |f| f.login_processes = Fact::Known(1), ShuttingDown),
        ("a halt begun on a running zone", Running, |f| f.halt_intent = true, ShuttingDown),
        ("a halt begun on a ready zone", Ready, |f| f.halt_intent = true, Down),
        ("a halt intent left over", Installed, |f| f.halt_intent = true, Installed),
        ("a zoneadmd with a halt to finish", Down, |f| f.zsched = Fact::Absent, Down),
        ("a link left over", Installed, |f| f.links = seen(Ready).links, Down),
        ("a cgroup left over", Installed, |f| f.cgroup = seen(Ready).cgroup, Down),
        ("a mount left over", Installed, |f| f.mounts = Fact::Known(1), Down),
        ("a file system left over", Installed, |f| f.remains = Fact::Known(vec!["file system 0:57".into()]), Down),
        ("processes left over", Installed, |f| f.environment_processes = Fact::Known(1), ShuttingDown),
        ("processes not countable in a halt", Down, |f| f.environment_processes = Fact::unknown("EIO"), ShuttingDown),
    ];
    for (what, state, change, becomes) in table {
        let mut facts = seen(state);
        change(&mut facts);
        assert_eq!(derive_state(&facts), Fact::Known(becomes), "{what}");
    }
}

#[test]
fn files_without_a_configuration_are_adopted() {
    let mut facts = seen(Installed);
    facts.configured = Fact::Absent;
    assert_eq!(derive_state(&facts), Fact::Known(Installed));
    let mut facts = seen(Configured);
    facts.configured = Fact::Absent;
    assert_eq!(derive_state(&facts), Fact::Absent);
}

/// Makes facts unknown by the bits of `which`.
fn veil(facts: &mut ZoneFacts, which: u16) {
    let mut bit = 0;
    let mut hit = || {
        bit += 1;
        which & (1 << (bit - 1)) != 0
    };
    let why = "EACCES";
    if hit() {
        facts.configured = Fact::unknown(why);
    }
    if hit() {
        facts.installed = Fact::unknown(why);
    }
    if hit() {
        facts.zsched = Fact::unknown(why);
    }
    if hit() {
        facts.init = Fact::unknown(why);
    }
    if hit() {
        facts.environment_processes = Fact::unknown(why);
    }
    if hit() {
        facts.login_processes = Fact::unknown(why);
    }
    if hit() {
        facts.cgroup = Fact::unknown(why);
    }
    if hit() {
        facts.links = Fact::unknown(why);
    }
    if hit() {
        facts.mounts = Fact::unknown(why);
    }
    if hit() {
        facts.namespaces = Fact::unknown(why);
    }
}

proptest! {
    /// Taking knowledge away gives the same state, or none, or one from which only a halt is legal that goes on anyway:
    /// never a state that allows to make or destroy what the true one does not.
    #[test]
    fn not_knowing_never_allows_more(state in 0..6_usize, which in 0..1024_u16) {
        let state = ZoneState::ALL[state];
        let mut facts = seen(state);
        veil(&mut facts, which);
        match derive_state(&facts) {
            Fact::Unknown { why } => prop_assert!(!why.is_empty()),
            Fact::Known(derived) if derived == state => {}
            Fact::Known(derived) => {
                prop_assert!(state.is_halting() && derived.is_halting(), "{state} became {derived}");
                prop_assert_eq!(lifecycle::legal(Some(derived)), vec![Transition::Halt]);
            }
            Fact::Absent => prop_assert!(false, "{} became none", state),
        }
    }
}
