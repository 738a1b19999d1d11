//! Conditions of a zone, in the shape that Kubernetes has.

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
