//! What is wanted of one zone, as the planner needs it: the manifest's spec as a document, plus the few fields that
//! decide where the zone goes.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::lifecycle::ZoneState;
use crate::restart::RestartPolicy;

/// One zone as its manifest wants it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Wanted {
    /// The name.
    pub name: String,
    /// The spec, in the manifest's own words (camelCase), defaults filled in.
    pub spec: Value,
    /// Digest of the manifest.
    pub digest: String,
    /// Where the manifest came from, for people: a path or a commit.
    pub source: Option<String>,
}

/// What happens to a zone whose manifest is gone; the zone's own recorded configuration says which.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Deletion {
    /// Halt it, keep its files, wait for a person.
    #[default]
    Halt,
    /// Leave it as it is.
    Keep,
    /// Halt, uninstall, unconfigure.
    Delete,
}

/// `spec.state`; running where the manifest does not say.
pub fn goal(spec: &Value) -> ZoneState {
    match spec.get("state").and_then(Value::as_str) {
        Some("installed") => ZoneState::Installed,
        Some("ready") => ZoneState::Ready,
        _ => ZoneState::Running,
    }
}

/// `spec.deletion`; halt where the configuration does not say, or says what this version does not know.
pub fn deletion(spec: &Value) -> Deletion {
    spec.get("deletion").and_then(|v| Deletion::deserialize(v).ok()).unwrap_or_default()
}

/// `spec.init.restart`; always where the manifest does not say.
pub fn restart_policy(spec: &Value) -> RestartPolicy {
    spec.pointer("/init/restart").and_then(|v| RestartPolicy::deserialize(v).ok()).unwrap_or_default()
}
