//! When a change waits for a person or for a time, before it is made of a zone that is there.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::quantity::WindowSpan;
use crate::schedule::{Schedule, TimeZoneName};

/// What waits, and for what. A gate that is not there is open.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Approval {
    /// The gate of changes of the manifest. A manifest is applied whole or not at all: where one of its changes waits, all do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub changes: Option<Gate>,
    /// The gate of drift that is healed: what putting it right costs. Each field waits for itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub drift: Option<Gate>,
    /// Times at which gates that wait for a window are open, or closed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub windows: Vec<Window>,
}

impl Approval {
    /// The most windows of a zone.
    pub const WINDOWS_MAX: usize = 32;
}

/// What waits at a gate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Gate {
    /// The cheapest price that waits.
    #[serde(default)]
    pub from: GatePrice,
    /// What opens it.
    #[serde(default)]
    pub wait: WaitFor,
}

/// A price of a change, as plans have it, cheapest first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum GatePrice {
    /// Everything, also what is done on the running zone.
    Live,
    /// What stops the application environment.
    #[default]
    Restart,
    /// What halts the zone.
    Rebuild,
    /// What installs it anew.
    Reinstall,
}

/// What opens a gate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum WaitFor {
    /// A person's approval of exactly this change, or of putting exactly this drift right (`reeve approve zone`, or an Approval
    /// manifest).
    #[default]
    Approval,
    /// A window; or an approval, for what cannot wait for one.
    Window,
    /// An approval, and then a window.
    Both,
}

/// A time that comes again and again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Window {
    /// Whether the gate is open in it, or closed. Where windows overlap, `deny` wins.
    #[serde(default)]
    pub kind: WindowKind,
    /// When it begins: minute, hour, day of the month, month and day of the week (crontab(5)).
    pub schedule: Schedule,
    /// How long it is, from 1m to 31d. A walk that has begun in it is finished after its end; none is begun then.
    pub duration: WindowSpan,
    /// The time zone of the schedule, as the IANA database names it; default: UTC.
    #[serde(default)]
    pub time_zone: TimeZoneName,
}

/// What a window does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum WindowKind {
    /// The gate is open in it. Without any such window it is open at all times that none denies.
    #[default]
    Allow,
    /// The gate is closed in it.
    Deny,
}

/// A word for changes that wait, in the repository: one YAML document.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ApprovalDocument {
    /// Always `reeve.dev/v1alpha1`.
    pub api_version: super::ApiVersion,
    /// Always `Approval`.
    pub kind: ApprovalKind,
    /// What identifies it.
    pub metadata: ApprovalMetadata,
    /// What is approved.
    pub spec: ApprovalSpec,
}

/// The kind of the document.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum ApprovalKind {
    /// A word for changes.
    #[default]
    Approval,
}

/// What identifies an approval.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ApprovalMetadata {
    /// Its name, for people.
    pub name: crate::name::ManifestName,
}

/// What is approved.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ApprovalSpec {
    /// Digests of changes, as `reeve plan` and `reeve describe zone` show them. Each is of one change of one zone, from
    /// what it is to what it shall be: any other change waits anew.
    pub changes: Vec<crate::schedule::ChangeDigest>,
    /// Whether the data of these zones may be lost by it.
    #[serde(default)]
    pub data_loss: bool,
}
