//! The journal: what was written is read, what is torn, foreign or newer is said to be so.

use proptest::prelude::*;
use reeve_state::journal::{Entry, Evidence, Phase, Unusable, VERSION, parse};
use reeve_state::plan::step_name;
use reeve_state::{Timestamp, Transition};

fn entry(transition: Transition, step: &str, phase: Phase) -> Entry {
    Entry {
        version: VERSION,
        boot_id: "boot".into(),
        zone: "web".into(),
        zone_id: Some(7),
        transition: Some(transition),
        path: vec![transition],
        step: step.into(),
        phase,
        at: Timestamp(1),
        evidence: Evidence { environment: Some(2), ..Evidence::default() }.into(),
    }
}

#[test]
fn what_was_written_is_read() {
    let entry = entry(Transition::Boot, step_name::START_INIT, Phase::Failed { error: "execve /x: ENOENT".into() });
    assert_eq!(parse(&entry.encode(), "boot"), Ok(entry));
}

#[test]
fn another_boot_is_foreign_before_it_is_anything_else() {
    let bytes = entry(Transition::Boot, step_name::START_INIT, Phase::Done).encode();
    assert_eq!(parse(&bytes, "later"), Err(Unusable::ForeignBoot { boot_id: "boot".into() }));
}

#[test]
fn a_newer_format_is_not_called_torn() {
    let bytes = b"{\"version\":2,\"everything\":\"else\"}\n";
    assert_eq!(parse(bytes, "boot"), Err(Unusable::NewerVersion { version: 2 }));
    let text = parse(bytes, "boot").expect_err("newer").to_string();
    assert_eq!(text, "the journal has format 2, newer than 1, the newest that this program reads");
}

#[test]
fn every_cut_is_seen() {
    let bytes = entry(Transition::Ready, step_name::READY[2], Phase::Intent).encode();
    for cut in 0..bytes.len() {
        let torn = parse(&bytes[..cut], "boot");
        assert!(matches!(torn, Err(Unusable::Torn { .. })), "{cut}: {torn:?}");
    }
}

#[test]
fn a_halt_is_intended_from_its_first_step_until_its_last_is_done() {
    for transition in [Transition::Halt, Transition::Reboot] {
        for (index, step) in step_name::HALT.into_iter().enumerate() {
            assert!(entry(transition, step, Phase::Intent).halt_intent(), "{step}");
            assert!(entry(transition, step, Phase::Failed { error: "EBUSY".into() }).halt_intent(), "{step}");
            assert_eq!(entry(transition, step, Phase::Done).halt_intent(), index < 4, "{step}");
        }
    }
    assert!(!entry(Transition::Reboot, step_name::READY[0], Phase::Intent).halt_intent());
    assert!(!entry(Transition::Stop, step_name::STOP_INIT, Phase::Intent).halt_intent());
}

#[test]
fn a_transition_is_finished_with_its_last_step() {
    for step in step_name::READY {
        let finished = entry(Transition::Ready, step, Phase::Done).is_finished();
        assert_eq!(finished, step == "resourceControls", "{step}");
    }
    assert!(!entry(Transition::Ready, "resourceControls", Phase::Intent).is_finished());
    assert!(entry(Transition::Stop, step_name::STOP_INIT, Phase::Done).is_finished());
    assert!(!entry(Transition::Reboot, step_name::HALT[4], Phase::Done).is_finished());
}

proptest! {
    #[test]
    fn any_bytes_are_refused_or_read(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        prop_assert!(parse(&bytes, "boot").is_err());
    }
}
