//! What is done about drift: what changed on the host and no manifest asked for.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What is done about one field that drifted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Handling {
    /// It is mended.
    #[default]
    Heal,
    /// It is told of, by the condition Drifted, and left as it is.
    Warn,
    /// It is left as it is; only `reeve drift` shows it.
    Ignore,
}

impl Handling {
    /// As a manifest writes it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Heal => "heal",
            Self::Warn => "warn",
            Self::Ignore => "ignore",
        }
    }
}

/// What is done about drift of a zone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Drift {
    /// Of a field that `fields` does not name; without it `heal`. `heal` of `processes` has to be named in `fields`: without that they are only told of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default: Option<Handling>,
    /// By field path; of several that a field begins with, the longest counts.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub fields: BTreeMap<String, Handling>,
    /// How often one field is mended within an hour, 1 to 3600, default 5; one that drifts more often is left as it is and told of.
    #[serde(default = "Drift::default_max_per_hour")]
    #[schemars(range(min = 1, max = 3600))]
    pub max_per_hour: u32,
}

impl Default for Drift {
    fn default() -> Self {
        Self { default: None, fields: BTreeMap::new(), max_per_hour: Self::default_max_per_hour() }
    }
}

impl Drift {
    /// The fields that can drift, each the beginning of paths such as `net.net0.mtu` or `fs./data.options`.
    pub const FIELDS: [&'static str; 17] = [
        "bridge",
        "cappedCpu",
        "cappedMemory",
        "cgroup",
        "cpuShares",
        "devices",
        "environment",
        "files",
        "fs",
        "hostname",
        "maxProcesses",
        "net",
        "processes",
        "routes",
        "state",
        "zoneadmd",
        "zonepath",
    ];

    /// The `maxPerHour` of a manifest that has none.
    #[must_use]
    pub fn default_max_per_hour() -> u32 {
        5
    }

    /// What is done about a field, by its path.
    #[must_use]
    pub fn handling(&self, field: &str) -> Handling {
        let begins = |path: &str| field.strip_prefix(path).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'));
        let named = self.fields.iter().filter(|(path, _)| begins(path)).max_by_key(|(path, _)| path.len());
        let rest = self.default.unwrap_or_default();
        // To mend that a process entered is to kill it: never without its being named.
        let unnamed = if begins("processes") { rest.max(Handling::Warn) } else { rest };
        named.map_or(unnamed, |(_, handling)| *handling)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_path_counts() {
        let mut drift = Drift::default();
        assert_eq!(drift.handling("net.net0.mtu"), Handling::Heal);
        assert_eq!(drift.handling("processes.12"), Handling::Warn);
        drift.default = Some(Handling::Heal);
        assert_eq!(drift.handling("processes.12"), Handling::Warn);
        drift.default = Some(Handling::Ignore);
        assert_eq!(drift.handling("processes.12"), Handling::Ignore);
        drift.fields = [("net".into(), Handling::Warn), ("net.net0".into(), Handling::Heal)].into();
        assert_eq!(drift.handling("net.net0.mtu"), Handling::Heal);
        assert_eq!(drift.handling("net.net01"), Handling::Warn);
        assert_eq!(drift.handling("network"), Handling::Ignore);
    }
}
