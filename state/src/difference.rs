//! What differs, field by field: R recorded (seen after the last finished step), D desired now, O observed.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::lifecycle::ZoneState;
use crate::time::Timestamp;

/// What a zone was, seen after its last finished step. Kept in the state folder.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Recorded {
    /// The spec that the zone was made from.
    pub spec: Value,
    /// The state that the step ended in.
    pub state: ZoneState,
    /// The host's boot in which that was.
    pub boot_id: String,
    /// The ID then.
    pub zone_id: Option<u32>,
    /// Digest of the manifest.
    pub digest: String,
    /// When.
    pub at: Timestamp,
}

/// Where a difference comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Cause {
    /// D≠R: somebody changed the manifest.
    Change,
    /// O≠R: something changed on the host.
    Drift,
    /// D≠R and O≠R.
    Both,
    /// R is from an earlier boot of the host.
    HostBoot,
    /// There is no R: new or lost state.
    Adopted,
    /// A walk that did not finish owns the field.
    Unfinished,
}

/// What putting a difference right costs, cheapest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Price {
    /// Done on the running zone.
    Live,
    /// stop and boot.
    Restart,
    /// halt and up again, with a new ID.
    Rebuild,
    /// uninstall and install: data is lost. Never without a person's word.
    Reinstall,
}

/// One field that differs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Difference {
    /// Path in the spec with dots, e.g. `init.command`; `state`; or `platform` for one that is not whole.
    pub field: String,
    /// R.
    pub recorded: Option<Value>,
    /// D.
    pub desired: Option<Value>,
    /// O; `None` where this field is not observed.
    pub observed: Option<Value>,
    /// Where it comes from.
    pub cause: Cause,
    /// What it costs.
    pub price: Price,
}
