//! The restart policy as tables.

use reeve_schema::manifest::Restart::{self, Always, Never, OnFailure};
use reeve_state::Timestamp;
use reeve_state::restart::{
    BACKOFF_MAX_MS, Decision, ExitKind, ExitReport, GIVE_UP_AFTER, RESET_AFTER_MS, RestartHistory, StayReason,
    backoff_ms, decide,
};

use ExitKind::{Exited, PoweroffInside, RebootInside, Signaled};

const START: Timestamp = Timestamp(1_000_000);

fn exit(kind: ExitKind, ran_ms: u64) -> ExitReport {
    ExitReport { kind, at: START.plus(ran_ms), environment: 1 }
}

/// The decision on a first end, at the moment of that end.
fn first(policy: Restart, kind: ExitKind) -> Decision {
    let exit = exit(kind, 5);
    let history = RestartHistory::default().started(START, "d").noted(exit);
    decide(policy, &history, exit, exit.at)
}

#[test]
fn what_follows_each_end_under_each_policy() {
    let restart = Decision::Restart { after_ms: 0 };
    let reboot = Decision::Reboot { after_ms: 0 };
    let again = Decision::HaltThenRestart { after_ms: 0 };
    let stay = Decision::Stay { reason: StayReason::InitExited, halted: false };
    let off = Decision::Stay { reason: StayReason::PoweredOffInside, halted: true };
    let table = [
        (Always, [restart, restart, restart, reboot, again]),
        (OnFailure, [stay, restart, restart, reboot, off]),
        (Never, [stay, stay, stay, reboot, off]),
    ];
    for (policy, expected) in table {
        let kinds = [Exited(0), Exited(1), Signaled(9), RebootInside, PoweroffInside];
        assert_eq!(kinds.map(|kind| first(policy, kind)), expected, "{policy:?}");
    }
}

#[test]
fn the_waits_double_up_to_their_bound() {
    let waits: Vec<u64> = (0..=GIVE_UP_AFTER).map(backoff_ms).collect();
    assert_eq!(waits, [0, 0, 100, 200, 400, 800, 1600, 3200, 6400, 10_000, 10_000]);
    assert_eq!(backoff_ms(u32::MAX), BACKOFF_MAX_MS);
}

#[test]
fn ten_short_ends_in_a_row_are_enough() {
    let mut history = RestartHistory::default();
    let mut now = START;
    for end in 1..=GIVE_UP_AFTER {
        history = history.started(now, "d");
        let exit = ExitReport { kind: Exited(1), at: now.plus(10), environment: end };
        history = history.noted(exit);
        match decide(Always, &history, exit, exit.at) {
            Decision::Restart { after_ms } if end < GIVE_UP_AFTER => now = exit.at.plus(after_ms),
            decision => {
                assert_eq!(end, GIVE_UP_AFTER);
                assert_eq!(decision, Decision::Stay { reason: StayReason::GaveUp, halted: false });
            }
        }
    }
    assert_eq!(history.restarts, GIVE_UP_AFTER - 1);
    let exit = history.pending.expect("the last end");
    assert_eq!(history.retried().short_ends, 0);
    assert_eq!(history.retried().pending, None, "after a retry there is nothing to answer: {exit:?}");
}

#[test]
fn a_reboot_loop_gives_up_too() {
    let history = RestartHistory { short_ends: GIVE_UP_AFTER, ..RestartHistory::default() };
    let decision = decide(Never, &history, exit(RebootInside, 1), START);
    assert_eq!(decision, Decision::Stay { reason: StayReason::GaveUp, halted: false });
}

#[test]
fn a_minute_of_running_clears_the_count() {
    let seven = RestartHistory { short_ends: 7, ..RestartHistory::default() }.started(START, "d");
    assert_eq!(seven.noted(exit(Exited(1), RESET_AFTER_MS - 1)).short_ends, 8);
    assert_eq!(seven.noted(exit(Exited(1), RESET_AFTER_MS)).short_ends, 0);
}

#[test]
fn the_same_report_counts_once_and_a_start_answers_it() {
    let exit = exit(Signaled(11), 5);
    let once = RestartHistory::default().started(START, "d").noted(exit);
    assert_eq!(once.noted(exit), once);
    let started = once.started(START.plus(6), "d");
    assert_eq!(started.pending, None);
    assert_eq!(started.noted(exit).pending, None, "an answered end does not come back");
}

#[test]
fn another_manifest_begins_anew() {
    let gone = RestartHistory { short_ends: 9, restarts: 9, ..RestartHistory::default() }.started(START, "old");
    let changed = gone.started(START, "new");
    assert_eq!((changed.short_ends, changed.restarts), (0, 0));
    assert!(!gone.is_about("new") && gone.is_about("old") && RestartHistory::default().is_about("any"));
}

#[test]
fn the_wait_shrinks_with_time_and_never_grows_with_a_clock_set_back() {
    let history = RestartHistory { short_ends: 4, ..RestartHistory::default() };
    let end = exit(Exited(1), 0);
    let wait = |now| match decide(Always, &history, end, now) {
        Decision::Restart { after_ms } => after_ms,
        other => panic!("{other:?}"),
    };
    assert_eq!(wait(end.at), 400);
    assert_eq!(wait(end.at.plus(150)), 250);
    assert_eq!(wait(end.at.plus(10_000)), 0);
    assert_eq!(wait(Timestamp(0)), 400);
}
