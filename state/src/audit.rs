//! Checks every plan by rules of its own before it is walked; shares no reasoning with the planner.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Severity {
    /// Odd, but harmless.
    Warning,
    /// The plan (of this zone) must not be walked.
    Fatal,
}

/// Something wrong with a plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Finding {
    /// How bad.
    pub severity: Severity,
    /// The rule, as one camelCase word.
    pub rule: String,
    /// The zone; `None` where it is about the plan as a whole.
    pub zone: Option<String>,
    /// In words.
    pub message: String,
}

/// What is allowed beyond what manifests can ask for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Permissions {
    /// Zones whose data may be destroyed.
    pub destroy: BTreeSet<String>,
}
