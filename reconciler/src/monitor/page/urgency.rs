//! How a zone is, in one of six words: what stands first in the list, and what somebody who was woken looks for.

use reeve_state::condition::{self, ConditionStatus, ConditionType};
use reeve_state::metrics::Zone;

/// How urgently somebody should look at a zone, the most urgent first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Urgency {
    /// It does not go on without a person.
    NeedsPerson,
    /// Something failed; it is tried again by itself, or there is nothing to try.
    Failing,
    /// Something on the host is not as recorded.
    Drifted,
    /// It is on its way.
    Working,
    /// It is not as wanted, because somebody or something else comes first.
    Waiting,
    /// It is as wanted.
    Fine,
}

/// Reasons of `Converged` that say that something failed, or that a zone ended which is to run.
const FAILURES: [&str; 7] =
    ["StepFailed", "Backoff", "Conflict", "SecretUnavailable", "InitExited", "PoweredOffInside", "Unknown"];

impl Urgency {
    /// That of a zone, which may be being walked just now.
    pub fn of(zone: &Zone, walked: bool) -> Self {
        let conditions = &zone.status.conditions;
        let holds = |kind| condition::holds(conditions, kind);
        let converged = condition::find(conditions, ConditionType::Converged);
        let reason = converged.map_or("Unknown", |converged| converged.reason.as_str());
        let is_fine = converged.is_some_and(|converged| converged.status == ConditionStatus::True);
        if holds(ConditionType::Stalled) {
            Urgency::NeedsPerson
        } else if zone.status.suspended.is_some() {
            Urgency::Waiting
        } else if holds(ConditionType::Degraded) || (!is_fine && FAILURES.contains(&reason)) {
            Urgency::Failing
        } else if holds(ConditionType::Drifted) {
            Urgency::Drifted
        } else if walked || holds(ConditionType::Reconciling) {
            Urgency::Working
        } else if is_fine {
            Urgency::Fine
        } else {
            Urgency::Waiting
        }
    }

    /// In words.
    pub const fn words(self) -> &'static str {
        match self {
            Urgency::NeedsPerson => "needs a person",
            Urgency::Failing => "failing",
            Urgency::Drifted => "drifted",
            Urgency::Working => "on its way",
            Urgency::Waiting => "waiting",
            Urgency::Fine => "as wanted",
        }
    }

    /// The class in the style sheet.
    pub const fn class(self) -> &'static str {
        match self {
            Urgency::NeedsPerson | Urgency::Failing => "bad",
            Urgency::Drifted => "odd",
            Urgency::Working => "work",
            Urgency::Waiting => "wait",
            Urgency::Fine => "fine",
        }
    }

    /// Whether somebody should look at it.
    pub const fn is_trouble(self) -> bool {
        matches!(self, Urgency::NeedsPerson | Urgency::Failing | Urgency::Drifted)
    }
}
