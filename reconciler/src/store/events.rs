//! `events.jsonl`: what was done and by whom, a line each. When it has grown to its bound, it becomes `events.jsonl.1` and
//! a new one begins.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use reeve_state::Timestamp;
use serde::{Deserialize, Serialize};

/// Where a new file begins.
const FILE_MAX: u64 = 1 << 20;

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
    /// The commit by which it was done, or that it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<String>,
}

/// Adds an event. Events are a convenience: when they cannot be written, that is logged and work goes on.
pub fn add(state: &Path, event: &HostEvent) {
    let path = state.join("events.jsonl");
    let written = (|| {
        let mut line = serde_json::to_vec(event)?;
        line.push(b'\n');
        let mut file = OpenOptions::new().append(true).create(true).mode(0o600).open(&path)?;
        if file.metadata()?.len() > FILE_MAX {
            fs::rename(&path, state.join("events.jsonl.1"))?;
            file = OpenOptions::new().append(true).create(true).mode(0o600).open(&path)?;
        }
        file.write_all(&line)
    })();
    if let Err(error) = written {
        tracing::warn!("{}: {error}", path.display());
    }
}

/// The newest `max` events, oldest first. Lines that are not of the form are skipped.
pub fn newest(state: &Path, max: usize) -> Vec<HostEvent> {
    let mut events: Vec<HostEvent> = ["events.jsonl.1", "events.jsonl"]
        .iter()
        .flat_map(|name| {
            let text = fs::read(state.join(name)).unwrap_or_default();
            let lines: Vec<_> = text.split(|byte| *byte == b'\n').map(serde_json::from_slice).collect();
            lines.into_iter().flatten()
        })
        .collect();
    let surplus = events.len().saturating_sub(max);
    events.drain(..surplus);
    events
}
