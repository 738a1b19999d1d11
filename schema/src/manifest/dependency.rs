//! What a zone needs of others.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::name::ZoneName;

/// A zone that must run before this one comes up, and that does not go down before this one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Dependency {
    /// The other zone, one of the same host.
    pub zone: ZoneName,
    /// What is waited for.
    #[serde(default)]
    pub until: Until,
}

/// What a zone waits for of another.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Until {
    /// Its init runs.
    #[default]
    Running,
    /// Its health check succeeded since its init was started, and does not fail.
    Healthy,
}

impl Dependency {
    /// The most that one zone may have.
    pub const MAX: usize = 64;
}
