//! Files: what is on disk is intent and evidence, never the answer to "is it running?".

use std::fs::File;
use std::time::{SystemTime, UNIX_EPOCH};

use reeve_state::Timestamp;
use serde::{Deserialize, Serialize};

/// Who holds the state folder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Holder {
    /// Process ID.
    pub pid: i32,
    /// Start time of the process, clock ticks since boot.
    pub start_time: u64,
    /// Its command, such as `reeve run`.
    pub command: String,
    /// The folder of manifests it works on, absolute.
    pub source: Option<String>,
    /// Since when.
    pub since: Timestamp,
}

impl std::fmt::Display for Holder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "the state folder is in use by `{}` (process {})", self.command, self.pid)?;
        match &self.source {
            Some(source) => write!(f, " for {source}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Holder {}

/// The state lock, held until dropped or until the process ends, however it ends.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

/// Something that was done to a zone, by whom.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HostEvent {
    /// When.
    pub at: Timestamp,
    /// The zone, where it is about one.
    pub zone: Option<String>,
    /// What, as one CamelCase word.
    pub reason: String,
    /// In words.
    pub message: String,
}

/// Milliseconds since 1970.
pub fn now() -> Timestamp {
    Timestamp(SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64))
}
