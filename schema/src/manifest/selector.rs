//! Selectors, in Kubernetes' shape: which hosts a zone or overlay is for, which zones an overlay patches.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::name::{Hostname, ZoneName};

/// Which hosts something is for. All that is given must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct HostSelector {
    /// Names of hosts; one of them must be the host's.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub names: Vec<Hostname>,
    /// Labels that the host must have.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub match_labels: BTreeMap<String, String>,
    /// What else must hold of its labels.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub match_expressions: Vec<Requirement>,
}

impl HostSelector {
    /// Whether a host is meant. `labels` has the label `reeve.dev/host` too.
    #[must_use]
    pub fn matches(&self, name: &str, labels: &BTreeMap<String, String>) -> bool {
        (self.names.is_empty() || self.names.iter().any(|one| one.as_str() == name))
            && labels_match(&self.match_labels, &self.match_expressions, labels)
    }
}

/// Which zones an overlay patches. All that is given must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct ZoneSelector {
    /// Names of zones; one of them must be the zone's.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub names: Vec<ZoneName>,
    /// Labels that the zone must have.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub match_labels: BTreeMap<String, String>,
    /// What else must hold of its labels.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub match_expressions: Vec<Requirement>,
}

impl ZoneSelector {
    /// Whether a zone is meant.
    #[must_use]
    pub fn matches(&self, name: &ZoneName, labels: &BTreeMap<String, String>) -> bool {
        (self.names.is_empty() || self.names.contains(name))
            && labels_match(&self.match_labels, &self.match_expressions, labels)
    }
}

impl ZoneSelector {
    /// How many comparisons one zone can cost.
    pub(crate) fn comparisons(&self) -> usize {
        let values: usize = self.match_expressions.iter().map(|expression| 1 + expression.values.len()).sum();
        1 + self.names.len() + self.match_labels.len() + values
    }
}

/// What must hold of one label.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Requirement {
    /// The label's key.
    pub key: String,
    /// How it is compared.
    pub operator: Operator,
    /// With what: one value at least with `In` and `NotIn`, none with the others.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub values: Vec<String>,
}

impl Requirement {
    fn holds(&self, labels: &BTreeMap<String, String>) -> bool {
        let value = labels.get(&self.key);
        match self.operator {
            Operator::In => value.is_some_and(|value| self.values.contains(value)),
            Operator::NotIn => value.is_none_or(|value| !self.values.contains(value)),
            Operator::Exists => value.is_some(),
            Operator::DoesNotExist => value.is_none(),
        }
    }
}

/// How a label is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum Operator {
    /// It is there and has one of the values.
    In,
    /// It has none of the values, or is not there.
    NotIn,
    /// It is there.
    Exists,
    /// It is not there.
    DoesNotExist,
}

fn labels_match(
    match_labels: &BTreeMap<String, String>,
    expressions: &[Requirement],
    labels: &BTreeMap<String, String>,
) -> bool {
    match_labels.iter().all(|(key, value)| labels.get(key) == Some(value))
        && expressions.iter().all(|expression| expression.holds(labels))
}
