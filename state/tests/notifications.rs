//! What is told, when, and that it is told once.

use reeve_state::Timestamp;
use reeve_state::condition::{Condition, ConditionStatus, ConditionType};
use reeve_state::notification::{Form, Ledger, Notification, Timing, Troubles, USUAL, add, body};
use serde_json::json;

const MINUTE: u64 = 60_000;
const TIMING: Timing = Timing { after_ms: MINUTE, again_ms: None };

fn condition(kind: ConditionType, status: ConditionStatus) -> Condition {
    Condition {
        kind,
        status,
        reason: "MountBusy".into(),
        message: "held by <1234>".into(),
        last_transition_time: Timestamp(0),
        observed_digest: None,
    }
}

fn halt() -> Troubles {
    let mut troubles = Troubles::new();
    add(&mut troubles, Some("web"), &[condition(ConditionType::HaltBlocked, ConditionStatus::True)], &USUAL);
    troubles
}

/// What is told in a run of looks, each at a time with trouble or without: `+` and `-`.
fn told(looks: &[(u64, bool)], timing: Timing) -> Vec<(u64, char)> {
    let (mut ledger, mut out) = (Ledger::default(), Vec::new());
    for (at, is_bad) in looks {
        let now = Timestamp(*at * MINUTE);
        let mut troubles = if *is_bad { halt() } else { Troubles::new() };
        // A condition that came again is one that came now.
        let before = looks.iter().rev().find(|(when, bad)| when < at && !bad).map_or(0, |(when, _)| when + 1);
        troubles.values_mut().for_each(|trouble| trouble.since = Timestamp(before * MINUTE));
        ledger.note(&troubles, now);
        let due = ledger.due(&troubles, timing, now);
        ledger.sent(&due, now);
        out.extend(due.iter().map(|one| (*at, if one.resolved { '-' } else { '+' })));
        // What is kept is read as it was written.
        let text = serde_json::to_string(&ledger).expect("JSON");
        ledger = serde_json::from_str(&text).expect("the same");
    }
    out
}

#[test]
fn what_lasts_is_told_once_and_once_when_it_is_over() {
    let looks: Vec<(u64, bool)> = (0..20).map(|at| (at, at < 10)).collect();
    assert_eq!(told(&looks, TIMING), [(1, '+'), (11, '-')]);
}

#[test]
fn what_is_over_at_once_is_told_to_nobody() {
    assert_eq!(told(&[(0, true), (1, false), (2, false)], Timing { after_ms: 2 * MINUTE, ..TIMING }), []);
}

#[test]
fn what_comes_and_goes_is_told_as_one() {
    let looks: Vec<(u64, bool)> = (0..30).map(|at| (at, at < 4 || (at < 20 && at % 3 != 0))).collect();
    let slow = Timing { after_ms: 2 * MINUTE, ..TIMING };
    assert_eq!(told(&looks, slow), [(2, '+'), (22, '-')]);
}

#[test]
fn who_forgets_is_told_again() {
    let looks: Vec<(u64, bool)> = (0..7).map(|at| (at, at < 5)).collect();
    let again = Timing { again_ms: Some(2 * MINUTE), ..TIMING };
    assert_eq!(told(&looks, again), [(1, '+'), (3, '+'), (6, '-')]);
}

#[test]
fn it_is_known_when_something_is_due() {
    let mut ledger = Ledger::default();
    let troubles = halt();
    assert_eq!(ledger.wake(&troubles, TIMING), Some(Timestamp(MINUTE)));
    let due = ledger.due(&troubles, TIMING, Timestamp(MINUTE));
    ledger.sent(&due, Timestamp(MINUTE));
    assert_eq!(ledger.wake(&troubles, TIMING), None);
    assert_eq!(ledger.wake(&troubles, Timing { again_ms: Some(MINUTE), ..TIMING }), Some(Timestamp(2 * MINUTE)));
    assert!(ledger.note(&Troubles::new(), Timestamp(90_000)) && !ledger.note(&Troubles::new(), Timestamp(95_000)));
    assert_eq!(ledger.wake(&Troubles::new(), TIMING), Some(Timestamp(90_000 + MINUTE)));
}

#[test]
fn only_trouble_is_told_and_that_of_the_source_once() {
    use ConditionStatus::{False, True, Unknown};
    let mut troubles = Troubles::new();
    let zone = [
        condition(ConditionType::Converged, False),
        condition(ConditionType::SourceFresh, False),
        condition(ConditionType::Degraded, True),
    ];
    add(&mut troubles, Some("web"), &zone, &USUAL);
    let source = [condition(ConditionType::SourceFresh, False), condition(ConditionType::SourceVerified, Unknown)];
    add(&mut troubles, None, &source, &USUAL);
    let found: Vec<(Option<&str>, &str)> =
        troubles.keys().map(|subject| (subject.zone.as_deref(), subject.condition.as_str())).collect();
    assert_eq!(found, [(None, "SourceFresh"), (Some("web"), "Degraded")]);
}

#[test]
fn each_form_says_what_to_do() {
    let one = |resolved| {
        let (subject, trouble) = halt().pop_first().expect("one");
        Notification { subject, trouble, resolved }
    };
    let generic = body(Form::Generic, "web1", &[one(false)], Timestamp(MINUTE));
    assert_eq!(
        generic,
        json!({
            "formatVersion": "1", "host": "web1", "at": "1970-01-01T00:01:00Z",
            "items": [{
                "status": "firing", "zone": "web", "condition": "HaltBlocked", "reason": "MountBusy",
                "message": "held by <1234>", "since": "1970-01-01T00:00:00Z", "command": "reeve describe zone web",
            }],
        })
    );
    let slack = body(Form::Slack, "web1", &[one(false), one(true)], Timestamp(MINUTE));
    let text = "web1: zone web: HaltBlocked (MountBusy): held by &lt;1234&gt; | reeve describe zone web\n\
                resolved: web1: zone web: HaltBlocked (MountBusy)";
    assert_eq!(slack, json!({ "text": text }));
    let many = body(Form::Slack, "web1", &vec![one(true); 30], Timestamp(0));
    assert!(many["text"].as_str().is_some_and(|text| text.ends_with("\nand 10 more: reeve get")), "{many}");
    let alerts = body(Form::Alertmanager, "web1", &[one(false), one(true)], Timestamp(MINUTE));
    assert_eq!(alerts[0]["labels"]["alertname"], "ZoneHaltBlocked");
    assert_eq!(alerts[0]["endsAt"], "1970-01-01T00:06:00Z");
    assert_eq!(alerts[1]["endsAt"], "1970-01-01T00:01:00Z");
}
