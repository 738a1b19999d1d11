//! Conditions of a zone, in the shape that Kubernetes has: which there are, how one is set, and what must hold of them
//! together. A status must not change while nothing changes, or whoever watches it is woken for nothing: reasons and
//! messages hold no times, counts or names that differ from look to look.

use serde::{Deserialize, Serialize};

use crate::time::Timestamp;

/// The types of condition. A type `Ready` is not used: it would be taken for the state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum ConditionType {
    /// Always there. True: observed equals desired.
    Converged,
    /// Work is under way or will be without anybody's doing. Only there when True, never with Stalled.
    Reconciling,
    /// A person is needed. Only there when True, never with Reconciling.
    Stalled,
    /// A halt cannot finish.
    HaltBlocked,
    /// Some field differs from what was recorded.
    Drifted,
    /// Running, and the health check fails.
    Degraded,
    /// The restart policy gave up.
    GaveUp,
    /// What Reeve put right comes back again and again.
    DriftReturning,
    /// A step that destroys data, or a zone without a manifest, waits for a person's word.
    AwaitingConfirmation,
    /// One of Reeve's own default limits cannot be enforced on this host.
    LimitsSkipped,
    /// The source's signatures were checked.
    SourceVerified,
    /// The source could be read lately.
    SourceFresh,
}

/// Whether a condition holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum ConditionStatus {
    /// It holds.
    True,
    /// It does not.
    False,
    /// That cannot be told.
    Unknown,
}

/// One condition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Condition {
    /// Which.
    #[serde(rename = "type")]
    pub kind: ConditionType,
    /// Whether it holds.
    pub status: ConditionStatus,
    /// Why, as one CamelCase word: stable, for machines.
    pub reason: String,
    /// Why, for people. Holds nothing that changes from look to look.
    pub message: String,
    /// When `status` last changed.
    pub last_transition_time: Timestamp,
    /// Digest of the manifest that was current when this was said.
    pub observed_digest: Option<String>,
}

/// What is to be said of a condition, before it is known since when.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Claim {
    /// Which.
    #[serde(rename = "type")]
    pub kind: ConditionType,
    /// Whether it holds.
    pub status: ConditionStatus,
    /// Why, as one CamelCase word.
    pub reason: String,
    /// Why, for people.
    pub message: String,
}

impl Claim {
    /// That a condition holds.
    pub fn is_true(kind: ConditionType, reason: impl Into<String>, message: impl Into<String>) -> Self {
        Claim { kind, status: ConditionStatus::True, reason: reason.into(), message: message.into() }
    }

    /// That it does not.
    pub fn is_false(kind: ConditionType, reason: impl Into<String>, message: impl Into<String>) -> Self {
        Claim { status: ConditionStatus::False, ..Self::is_true(kind, reason, message) }
    }
}

impl ConditionStatus {
    /// The word in documents.
    pub const fn as_str(self) -> &'static str {
        match self {
            ConditionStatus::True => "True",
            ConditionStatus::False => "False",
            ConditionStatus::Unknown => "Unknown",
        }
    }
}

impl ConditionType {
    /// The word in documents.
    pub const fn as_str(self) -> &'static str {
        match self {
            ConditionType::Converged => "Converged",
            ConditionType::Reconciling => "Reconciling",
            ConditionType::Stalled => "Stalled",
            ConditionType::HaltBlocked => "HaltBlocked",
            ConditionType::Drifted => "Drifted",
            ConditionType::Degraded => "Degraded",
            ConditionType::GaveUp => "GaveUp",
            ConditionType::DriftReturning => "DriftReturning",
            ConditionType::AwaitingConfirmation => "AwaitingConfirmation",
            ConditionType::LimitsSkipped => "LimitsSkipped",
            ConditionType::SourceVerified => "SourceVerified",
            ConditionType::SourceFresh => "SourceFresh",
        }
    }

    /// Whether the condition is only there while it is True. The others tell something by being False, too.
    pub const fn only_when_true(self) -> bool {
        !matches!(self, ConditionType::Converged | ConditionType::SourceVerified | ConditionType::SourceFresh)
    }

    /// Whether a person is needed while it is True, so that Stalled is, too.
    pub const fn stalls(self) -> bool {
        use ConditionType::{AwaitingConfirmation, DriftReturning, GaveUp, HaltBlocked};
        matches!(self, HaltBlocked | GaveUp | DriftReturning | AwaitingConfirmation)
    }
}

/// Says a condition. Its transition time stays as it was unless its status changes; a condition that is only there when
/// True goes when it is said to be anything else. The list stays sorted by type.
pub fn set(conditions: &mut Vec<Condition>, claim: Claim, digest: Option<&str>, now: Timestamp) {
    if claim.kind.only_when_true() && claim.status != ConditionStatus::True {
        return clear(conditions, claim.kind);
    }
    let old = conditions.iter().find(|c| c.kind == claim.kind && c.status == claim.status);
    let since = old.map_or(now, |c| c.last_transition_time);
    clear(conditions, claim.kind);
    conditions.push(Condition {
        kind: claim.kind,
        status: claim.status,
        reason: claim.reason,
        message: claim.message,
        last_transition_time: since,
        observed_digest: digest.map(str::to_owned),
    });
    conditions.sort_by_key(|c| c.kind);
}

/// Takes a condition away.
pub fn clear(conditions: &mut Vec<Condition>, kind: ConditionType) {
    conditions.retain(|c| c.kind != kind);
}

/// The condition of a type.
pub fn find(conditions: &[Condition], kind: ConditionType) -> Option<&Condition> {
    conditions.iter().find(|c| c.kind == kind)
}

/// Whether a condition is there and True.
pub fn holds(conditions: &[Condition], kind: ConditionType) -> bool {
    find(conditions, kind).is_some_and(|c| c.status == ConditionStatus::True)
}

/// What is wrong with a zone's conditions, taken together; empty where nothing is. Tests run every status through it.
pub fn check(conditions: &[Condition]) -> Vec<String> {
    use ConditionType::{Converged, Reconciling, Stalled};
    let mut out = Vec::new();
    for (index, condition) in conditions.iter().enumerate() {
        let Condition { kind, status, reason, .. } = condition;
        if conditions[..index].iter().any(|c| c.kind == *kind) {
            out.push(format!("{kind:?} is there twice"));
        }
        if kind.only_when_true() && *status != ConditionStatus::True {
            out.push(format!("{kind:?} is there and not True"));
        }
        let camel =
            reason.starts_with(|c: char| c.is_ascii_uppercase()) && reason.chars().all(|c| c.is_ascii_alphanumeric());
        if !camel {
            out.push(format!("the reason of {kind:?} is no CamelCase word: {reason:?}"));
        }
    }
    let stalling = conditions.iter().any(|c| c.kind.stalls());
    if find(conditions, Converged).is_none() {
        out.push("Converged is missing".into());
    }
    if holds(conditions, Reconciling) && holds(conditions, Stalled) {
        out.push("Reconciling and Stalled are both True".into());
    }
    if holds(conditions, Converged) && (holds(conditions, Reconciling) || holds(conditions, Stalled)) {
        out.push("Converged is True beside Reconciling or Stalled".into());
    }
    if stalling != holds(conditions, Stalled) {
        out.push(
            "Stalled comes with HaltBlocked, GaveUp, DriftReturning or AwaitingConfirmation, and with these only"
                .into(),
        );
    }
    out
}
