//! The status document of a zone and of the host. It never lives in git.

use serde::{Deserialize, Serialize};

use crate::condition::Condition;
use crate::lifecycle::{Transition, ZoneState};
use crate::restart::ExitReport;
use crate::time::Timestamp;

/// How many entries `history` keeps.
pub const HISTORY: usize = 32;

/// One transition that was walked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HistoryEntry {
    /// When it began.
    pub at: Timestamp,
    /// The move.
    pub transition: Transition,
    /// Where it began.
    pub from: Option<ZoneState>,
    /// Where it ended, as seen.
    pub to: Option<ZoneState>,
    /// `done`, or the error.
    pub outcome: String,
    /// How long it took, in milliseconds.
    pub took_ms: u64,
}

/// One zone.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ZoneStatus {
    /// The name.
    pub name: String,
    /// The state; null where it is not known or there is none.
    pub state: Option<ZoneState>,
    /// The ID, while active.
    pub zone_id: Option<u32>,
    /// PID of init, in the global zone.
    pub init_pid: Option<i32>,
    /// PID of zsched.
    pub zsched_pid: Option<i32>,
    /// PID of zoneadmd.
    pub zoneadmd_pid: Option<i32>,
    /// The zone's addresses.
    pub addresses: Vec<String>,
    /// Its path.
    pub zonepath: Option<String>,
    /// The state that the manifest wants; null without a manifest.
    pub desired: Option<ZoneState>,
    /// Digest of the manifest.
    pub manifest_digest: Option<String>,
    /// Where the manifest came from.
    pub source: Option<String>,
    /// Conditions.
    pub conditions: Vec<Condition>,
    /// Restarts of init since the manifest changed.
    pub restarts: u32,
    /// How init last ended.
    pub last_exit: Option<ExitReport>,
    /// The newest transitions, oldest first, at most [`HISTORY`].
    pub history: Vec<HistoryEntry>,
}

/// All zones of the host, without the global one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HostStatus {
    /// `"1"`.
    pub format_version: String,
    /// The zones, by name.
    pub items: Vec<ZoneStatus>,
}
