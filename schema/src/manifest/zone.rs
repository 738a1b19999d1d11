//! The zone itself: its document, its metadata and the fields that belong to no resource.

use std::collections::BTreeMap;
use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Approval, CappedCpu, CappedMemory, Dependency, Drift, Fs, Health, HostSelector, Init, Net, Root};
use crate::name::{Hostname, ZoneName};

/// The version of the manifest's form.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum ApiVersion {
    /// The only one so far.
    #[default]
    #[serde(rename = "reeve.dev/v1alpha1")]
    V1Alpha1,
}

/// What kind of thing a document describes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum Kind {
    /// A zone.
    #[default]
    Zone,
}

/// A zone manifest: one YAML document.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Zone {
    /// Always `reeve.dev/v1alpha1`.
    pub api_version: ApiVersion,
    /// Always `Zone`.
    pub kind: Kind,
    /// Name, labels and annotations.
    pub metadata: Metadata,
    /// What is wanted of the zone.
    pub spec: ZoneSpec,
}

impl Zone {
    /// The zone's name.
    #[must_use]
    pub fn name(&self) -> &ZoneName {
        &self.metadata.name
    }

    /// The host name that the zone gets: `spec.hostname`, or else its own name.
    #[must_use]
    pub fn hostname(&self) -> &str {
        self.spec.hostname.as_ref().map_or(self.metadata.name.as_str(), Hostname::as_str)
    }

    /// The zonepath: `spec.zonepath`, or else a folder of the zone's name in `parent` (the default zonepath parent).
    #[must_use]
    pub fn zonepath(&self, parent: &str) -> String {
        let default = || format!("{}/{}", parent.trim_end_matches('/'), self.metadata.name);
        self.spec.zonepath.clone().unwrap_or_else(default)
    }
}

/// What identifies a zone and what people note about it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Metadata {
    /// The zone's name, unique on a host.
    pub name: ZoneName,
    /// Short values to select and group zones by. They change nothing in the zone.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Notes for people and tools. They change nothing in the zone.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}

/// What is wanted of a zone.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ZoneSpec {
    /// The state in which the zone is kept.
    #[serde(default)]
    pub state: DesiredState,
    /// On which hosts the zone is; default: on every one. It decides nothing else: what is loaded for a host has it no more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hosts: Option<HostSelector>,
    /// The zone's folder on the host, an absolute path; default: a folder of the zone's name below the state folder.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = r"^/"))]
    pub zonepath: Option<String>,
    /// What install puts into the zone's root.
    pub root: Root,
    /// File systems besides the root, mounted in this order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fs: Vec<Fs>,
    /// Network interfaces: `net0`, `net1`, ... in the zone, in this order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub net: Vec<Net>,
    /// A limit on memory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub capped_memory: Option<CappedMemory>,
    /// A limit on processor time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub capped_cpu: Option<CappedCpu>,
    /// The zone's share of processor time when zones compete, relative to the others' (`zone.cpu-shares`): 1 to 65535.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65535))]
    pub cpu_shares: Option<u64>,
    /// The most processes and threads that the zone may have at once (`zone.max-processes`), Reeve's own not counted: from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub max_processes: Option<u32>,
    /// The zone's host name; default: its name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hostname: Option<Hostname>,
    /// What runs as the zone's init.
    #[serde(default)]
    pub init: Init,
    /// What waits for a person or for a time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approval: Option<Approval>,
    /// How it is told that the zone does its work while it runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health: Option<Health>,
    /// Zones of the same host that must run before this one comes up; they go down after it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub depends_on: Vec<Dependency>,
    /// What becomes of the zone when its manifest is taken away.
    #[serde(default)]
    pub deletion: Deletion,
    /// What is done about what changes on the host and no manifest asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drift: Option<Drift>,
}

/// The state that a manifest asks for (seed Z4).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum DesiredState {
    /// The root is on the disk, nothing of the zone is in the kernel.
    Installed,
    /// The virtual platform is up, no process of the user's runs in it.
    Ready,
    /// Its init runs.
    #[default]
    Running,
}

impl DesiredState {
    /// The state as a manifest writes it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Installed => "installed",
            Self::Ready => "ready",
            Self::Running => "running",
        }
    }
}

impl fmt::Display for DesiredState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What becomes of a zone whose manifest is gone. A missing file alone never destroys data unless this says so.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Deletion {
    /// It is halted, its data stays, and a person is asked.
    #[default]
    Halt,
    /// It stays as it is.
    Keep,
    /// It is halted, uninstalled and unconfigured; its data is gone.
    Delete,
}
