//! A host that a set of manifests knows: its name and labels, for selectors and for the check of all hosts.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::ApiVersion;
use crate::name::Hostname;

/// A host manifest: one YAML document.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Host {
    /// Always `reeve.dev/v1alpha1`.
    pub api_version: ApiVersion,
    /// Always `Host`.
    pub kind: HostKind,
    /// Name, labels and annotations.
    pub metadata: HostMetadata,
}

/// The kind of the document.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum HostKind {
    /// A host.
    #[default]
    Host,
}

/// What identifies a host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct HostMetadata {
    /// The host's name, as `uname -n` prints it or its configuration says.
    pub name: Hostname,
    /// Short values to select the host by; those of its own configuration stand before them.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Notes for people and tools.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}
