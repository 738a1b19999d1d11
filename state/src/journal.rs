//! The format of a zone's journal: the intent that is written before an effect, and the evidence by which what was made
//! is recognised later. It lives in the run folder (tmpfs, written and renamed) and is trusted only for the boot that
//! wrote it. What is torn, foreign or from a newer version is said to be so and never used.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::lifecycle::Transition;
use crate::observed::ProcessId;
use crate::time::Timestamp;

/// The version of the format that this program writes, and the newest that it reads.
pub const VERSION: u32 = 1;

/// How far a step is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Phase {
    /// About to be done.
    Intent,
    /// Seen to be done.
    Done,
    /// Tried, and failed.
    Failed {
        /// The error.
        error: String,
    },
}

/// How to recognise what was made.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Evidence {
    /// Namespaces of zsched: name to inode.
    pub namespaces: BTreeMap<String, u64>,
    /// PID 1 of the outer PID namespace.
    pub zsched: Option<ProcessId>,
    /// The supervisor.
    pub zoneadmd: Option<ProcessId>,
    /// PID 1 of the inner PID namespace.
    pub init: Option<ProcessId>,
    /// N of `env.N`.
    pub environment: Option<u32>,
    /// The zone's cgroup, below the cgroup mount.
    pub cgroup: Option<String>,
    /// Host ends of the zone's links.
    pub links: Vec<String>,
    /// The zone's own file systems, each by its st_dev: what must be seen nowhere before the zone is halted.
    pub superblocks: Vec<u64>,
    /// File handles of the zone's namespaces, as text; empty where the kernel has none (before Linux 6.18). A handle that
    /// the kernel calls stale proves that the namespace is gone.
    pub namespace_handles: Vec<String>,
    /// After a halt, what was seen to be gone: the proof that nothing of the zone lives on.
    pub gone: Vec<String>,
}

/// One entry; the journal of a zone is its newest entry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Entry {
    /// Version of the format.
    pub version: u32,
    /// The host's boot that wrote it.
    pub boot_id: String,
    /// The zone.
    pub zone: String,
    /// Its ID, where it has one.
    pub zone_id: Option<u32>,
    /// The transition under way; `None` for a live step.
    pub transition: Option<Transition>,
    /// The whole path that this is part of.
    pub path: Vec<Transition>,
    /// The step, by its name in the plan.
    pub step: String,
    /// How far it is.
    pub phase: Phase,
    /// When this was written.
    pub at: Timestamp,
    /// What is there so far.
    pub evidence: Arc<Evidence>,
}

impl Entry {
    /// The bytes to write: one line of JSON. The newline at the end is how a torn file is told from a whole one.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = serde_json::to_vec(self).expect("an entry is always a JSON document");
        bytes.push(b'\n');
        bytes
    }

    /// Whether the transition that this entry belongs to was seen to be done: its last step is.
    pub fn is_finished(&self) -> bool {
        use crate::plan::step_name::{HALT, READY, START_INIT};
        let last = match self.transition {
            Some(Transition::Halt) => Some(HALT[4]),
            Some(Transition::Ready) => Some(READY[6]),
            Some(Transition::Reboot) => Some(START_INIT),
            _ => None,
        };
        self.phase == Phase::Done && last.is_none_or(|last| last == self.step)
    }

    /// Whether this entry tells of a halt (or the halting half of a reboot) that was not seen to finish: from the first
    /// step of it until the last one is done.
    pub fn halt_intent(&self) -> bool {
        let halting = crate::plan::step_name::HALT.contains(&self.step.as_str());
        let last = self.step == crate::plan::step_name::HALT[4] && self.phase == Phase::Done;
        matches!(self.transition, Some(Transition::Halt | Transition::Reboot)) && halting && !last
    }
}

/// Why a journal cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Unusable {
    /// It is cut off or not what `encode` writes.
    #[error("the journal is torn: {why}")]
    Torn {
        /// What was found.
        why: String,
    },
    /// Another boot of the host wrote it: nothing that it tells of exists any more.
    #[error("the journal is from another boot of the host ({boot_id})")]
    ForeignBoot {
        /// That boot.
        boot_id: String,
    },
    /// A newer program wrote it.
    #[error("the journal has format {version}, newer than {VERSION}, the newest that this program reads")]
    NewerVersion {
        /// Its version.
        version: u64,
    },
}

/// Reads a journal. The version comes first, then the boot, then the rest: a newer format is never called torn.
///
/// # Errors
/// [`Unusable`], and then nothing in it may be relied on.
pub fn parse(bytes: &[u8], boot_id: &str) -> Result<Entry, Unusable> {
    let torn = |why: String| Unusable::Torn { why };
    let line = bytes.strip_suffix(b"\n").ok_or_else(|| torn(format!("{} bytes, no end of line", bytes.len())))?;
    let value: Value = serde_json::from_slice(line).map_err(|e| torn(e.to_string()))?;
    let version = value["version"].as_u64().ok_or_else(|| torn("no version".into()))?;
    if version > u64::from(VERSION) {
        return Err(Unusable::NewerVersion { version });
    }
    match value["bootId"].as_str() {
        Some(own) if own == boot_id => {}
        Some(other) => return Err(Unusable::ForeignBoot { boot_id: other.to_owned() }),
        None => return Err(torn("no boot ID".into())),
    }
    Entry::deserialize(value).map_err(|e| torn(e.to_string()))
}
