//! An overlay: fields of some zones that are other ones on some hosts.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{ApiVersion, HostSelector, ZoneSelector};
use crate::name::ManifestName;

/// An overlay manifest: one YAML document.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Overlay {
    /// Always `reeve.dev/v1alpha1`.
    pub api_version: ApiVersion,
    /// Always `Overlay`.
    pub kind: OverlayKind,
    /// The name.
    pub metadata: OverlayMetadata,
    /// What it patches.
    pub spec: OverlaySpec,
}

/// The kind of the document.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum OverlayKind {
    /// An overlay.
    #[default]
    Overlay,
}

/// What identifies an overlay.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct OverlayMetadata {
    /// The overlay's name, unique in the set.
    pub name: ManifestName,
}

/// What an overlay patches, and where.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct OverlaySpec {
    /// On which hosts.
    pub hosts: HostSelector,
    /// Which zones.
    pub zones: ZoneSelector,
    /// With what.
    pub patch: Patch,
}

/// A JSON merge patch (RFC 7386) of zones: maps merge, everything else replaces, null takes away.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Patch {
    /// Fields of the zone's spec, except `hosts`. Each must be in the zone's manifest, or have a default.
    pub spec: BTreeMap<String, Value>,
}
