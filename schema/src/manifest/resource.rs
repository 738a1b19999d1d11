//! Limits on what a zone may use.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::quantity::Quantity;

/// A limit on memory (zonecfg's `capped-memory`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CappedMemory {
    /// The most memory that the zone may use, such as `512Mi`.
    pub physical: Quantity,
}

/// A limit on processor time (zonecfg's `capped-cpu`).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CappedCpu {
    /// Processors' worth of time, such as `1.5`: from 0.01 to 65536.
    #[schemars(range(min = 0.01, max = 65536.0))]
    pub ncpus: f64,
}
