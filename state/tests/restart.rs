//! The restart policy as tables.

use reeve_schema::manifest::CrashLoop;
use reeve_schema::manifest::Restart::{self, Always, Never, OnFailure};
use reeve_schema::quantity::TimeSpan;
use reeve_state::Timestamp;
use reeve_state::restart::{Decision, ExitKind, ExitReport, RestartHistory, StayReason, backoff_ms, decide};

use ExitKind::{Exited, PoweroffInside, RebootInside, Signaled};

const START: Timestamp = Timestamp(1_000_000);

fn limits() -> CrashLoop {
    CrashLoop::default()
}

fn exit(kind: ExitKind, ran_ms: u64) -> ExitReport {
    ExitReport { kind, at: START.plus(ran_ms), environment: 1 }
}

/// The decision on a first end, at the moment of that end.
fn first(policy: Restart, kind: ExitKind) -> Decision {
    let exit = exit(kind, 5);
    let history = RestartHistory::default().started(START, "d").noted(exit, limits());
    decide(policy, limits(), &history, exit, exit.at)
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
    let waits: Vec<u64> = (0..=10).map(|ends| backoff_ms(limits(), ends)).collect();
    assert_eq!(waits, [0, 0, 100, 200, 400, 800, 1600, 3200, 6400, 10_000, 10_000]);
    assert_eq!(backoff_ms(limits(), u32::MAX), 10_000);
}

#[test]
fn ten_short_ends_in_a_row_are_enough() {
    let mut history = RestartHistory::default();
    let mut now = START;
    for end in 1..=10 {
        history = history.started(now, "d");
        let exit = ExitReport { kind: Exited(1), at: now.plus(10), environment: end };
        history = history.noted(exit, limits());
        match decide(Always, limits(), &history, exit, exit.at) {
            Decision::Restart { after_ms } if end < 10 => now = exit.at.plus(after_ms),
            decision => {
                assert_eq!(end, 10);
                assert_eq!(decision, Decision::Stay { reason: StayReason::GaveUp, halted: false });
            }
        }
    }
    assert_eq!(history.restarts, 10 - 1);
    let exit = history.pending.expect("the last end");
    assert_eq!(history.retried().short_ends, 0);
    assert_eq!(history.retried().pending, None, "after a retry there is nothing to answer: {exit:?}");
}

#[test]
fn a_reboot_loop_gives_up_too() {
    let history = RestartHistory { short_ends: 10, ..RestartHistory::default() };
    let decision = decide(Never, limits(), &history, exit(RebootInside, 1), START);
    assert_eq!(decision, Decision::Stay { reason: StayReason::GaveUp, halted: false });
}

#[test]
fn a_minute_of_running_clears_the_count() {
    let seven = RestartHistory { short_ends: 7, ..RestartHistory::default() }.started(START, "d");
    assert_eq!(seven.noted(exit(Exited(1), 59_999), limits()).short_ends, 8);
    assert_eq!(seven.noted(exit(Exited(1), 60_000), limits()).short_ends, 0);
}

#[test]
fn the_same_report_counts_once_and_a_start_answers_it() {
    let exit = exit(Signaled(11), 5);
    let once = RestartHistory::default().started(START, "d").noted(exit, limits());
    assert_eq!(once.noted(exit, limits()), once);
    let started = once.started(START.plus(6), "d");
    assert_eq!(started.pending, None);
    assert_eq!(started.noted(exit, limits()).pending, None, "an answered end does not come back");
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
    let wait = |now| match decide(Always, limits(), &history, end, now) {
        Decision::Restart { after_ms } => after_ms,
        other => panic!("{other:?}"),
    };
    assert_eq!(wait(end.at), 400);
    assert_eq!(wait(end.at.plus(150)), 250);
    assert_eq!(wait(end.at.plus(10_000)), 0);
    assert_eq!(wait(Timestamp(0)), 400);
}

#[test]
fn the_manifest_sets_the_limits() {
    let ms = TimeSpan::from_millis;
    let limits = CrashLoop { give_up_after: 2, backoff: ms(30), max_backoff: ms(50), reset_after: ms(1000) };
    assert_eq!([1, 2, 3, 4].map(|ends| backoff_ms(limits, ends)), [0, 30, 50, 50]);
    let ended = |short_ends, ran_ms| {
        let before = RestartHistory { short_ends, ..RestartHistory::default() }.started(START, "d");
        let end = exit(Exited(1), ran_ms);
        decide(Always, limits, &before.noted(end, limits), end, end.at)
    };
    assert_eq!(ended(0, 999), Decision::Restart { after_ms: 0 });
    assert_eq!(ended(1, 999), Decision::Stay { reason: StayReason::GaveUp, halted: false });
    assert_eq!(ended(1, 1000), Decision::Restart { after_ms: 0 }, "it ran for long enough");
    let never = CrashLoop { give_up_after: 0, ..limits };
    let history = RestartHistory { short_ends: 1_000_000, ..RestartHistory::default() };
    let end = exit(Exited(1), 1);
    assert_eq!(decide(Always, never, &history, end, end.at), Decision::Restart { after_ms: 50 });
}
