//! What is to be done: a legal path for each zone, its steps and what they cost, and where a zone must wait, why.
//! Planning decides everything and touches nothing.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::difference::Difference;
use crate::lifecycle::{Transition, ZoneState};
use crate::observed::Fact;
use crate::restart::{RestartHistory, StayReason};
use crate::time::Timestamp;

/// What a step does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Action {
    /// A part of a transition.
    Transition(Transition),
    /// Something on the zone as it is, without a transition.
    Live,
}

/// What a step costs. Times are estimates for an idle host.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Cost {
    /// Milliseconds in which the application environment does not run because of it.
    pub downtime_ms: u64,
    /// Milliseconds that it takes.
    pub total_ms: u64,
    /// Whether data is lost.
    pub destroys_data: bool,
    /// Whether the zone gets a new ID.
    pub new_zone_id: bool,
}

/// One step. The steps of one transition follow each other; the first leaves `from` of its edge, the last reaches `to`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Step {
    /// What it belongs to.
    pub action: Action,
    /// The state before it.
    pub from: Option<ZoneState>,
    /// The state after it.
    pub to: Option<ZoneState>,
    /// Its name: one of [`step_name`].
    pub name: String,
    /// What it costs.
    pub cost: Cost,
}

/// The names of steps.
pub mod step_name {
    /// configure: zone.json is written.
    pub const WRITE_CONFIGURATION: &str = "writeConfiguration";
    /// install: the root is put in place.
    pub const INSTALL_ROOT: &str = "installRoot";
    /// ready, in the order of SEED T8.
    pub const READY: [&str; 7] =
        ["zoneadmd", "zoneId", "zsched", "fileSystems", "network", "devices", "resourceControls"];
    /// boot: init is started.
    pub const START_INIT: &str = "startInit";
    /// stop: init and all below it end.
    pub const STOP_INIT: &str = "stopInit";
    /// halt, in the order of SEED T9.
    pub const HALT: [&str; 5] = ["killProcesses", "unconfigureDevices", "unplumb", "unmount", "destroy"];
    /// uninstall: zonepath/root and what belongs to it is removed.
    pub const REMOVE_ROOT: &str = "removeRoot";
    /// unconfigure: zone.json is removed.
    pub const REMOVE_CONFIGURATION: &str = "removeConfiguration";
    /// live: the cgroup's limits are written and read back.
    pub const APPLY_LIMITS: &str = "applyLimits";
    /// live: host ends of links are set up and put into their bridges.
    pub const REPAIR_LINKS: &str = "repairLinks";
    /// live: the spec of the plan becomes the recorded one (zone.json).
    pub const RECORD: &str = "record";
}

/// Why a zone does not go where its manifest wants it, or not yet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "reason")]
pub enum Hold {
    /// Facts that are needed could not be read.
    Unknown {
        /// Which and why.
        why: String,
    },
    /// The restart policy says stay.
    Stay {
        /// Why.
        why: StayReason,
    },
    /// The restart policy says wait.
    Backoff {
        /// Until when.
        until: Timestamp,
    },
    /// Data would be lost; a person must say so first.
    #[serde(rename_all = "camelCase")]
    AwaitingConfirmation {
        /// The fields, or `manifest` where the manifest is gone.
        fields: Vec<String>,
    },
    /// Somebody suspended the zone.
    Suspended,
}

/// What is to be done with one zone.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ZonePlan {
    /// The zone.
    pub name: String,
    /// The state it is in; Absent is no zone.
    pub from: Fact<ZoneState>,
    /// The state it is in when the steps are done; `None` is no zone. While `from` is Unknown: what is wanted.
    pub to: Option<ZoneState>,
    /// The transitions, in order.
    pub path: Vec<Transition>,
    /// The steps, in order.
    pub steps: Vec<Step>,
    /// What differs.
    pub differences: Vec<Difference>,
    /// Why it does not go (all the way), where it does not.
    pub hold: Option<Hold>,
    /// The spec that the steps use and that `record` and `configure` write: the desired one, but fields that wait for
    /// a confirmation are as recorded. `None` where nothing is brought up.
    pub spec: Option<Value>,
    /// Digest of the manifest.
    pub digest: Option<String>,
    /// Zones whose steps must be done before this zone's bring-up begins: they hold what it needs, or it depends on them.
    pub after: Vec<String>,
    /// In words.
    pub reason: String,
}

/// What is to be done with every zone; teardowns first.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Plan {
    /// One entry for each zone that is wanted or seen, also where nothing is to be done.
    pub zones: Vec<ZonePlan>,
}

impl Plan {
    /// Whether no zone has a step.
    pub fn is_empty(&self) -> bool {
        self.zones.iter().all(|z| z.steps.is_empty())
    }

    /// The entry of a zone.
    pub fn zone(&self, name: &str) -> Option<&ZonePlan> {
        self.zones.iter().find(|z| z.name == name)
    }
}

/// What people and earlier passes have said about a zone, beside its manifest.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ZonePolicy {
    /// Starts and ends of its init.
    pub restarts: RestartHistory,
    /// Leave it alone (an unfinished halt still goes on).
    pub suspended: bool,
    /// Digest of a manifest for which somebody confirmed that data may be lost.
    pub confirmed: Option<String>,
}
