//! The format of a zone's journal: the intent that is written before an effect, and the evidence by which what was made
//! is recognised later. It lives in the run folder and is trusted only for the boot that wrote it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::lifecycle::Transition;
use crate::observed::ProcessId;
use crate::time::Timestamp;

/// The version of the format that this program writes.
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
    /// The transition under way.
    pub transition: Transition,
    /// The whole path that this transition is part of.
    pub path: Vec<Transition>,
    /// The step, by its name in the plan.
    pub step: String,
    /// How far it is.
    pub phase: Phase,
    /// When this was written.
    pub at: Timestamp,
    /// What is there so far.
    pub evidence: Evidence,
}
