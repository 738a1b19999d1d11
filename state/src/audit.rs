//! Checks every plan by rules of its own before it is walked. It shares the transition table with the planner and
//! nothing else: not how a state is derived, not how a path is found, not how steps are laid out.

mod facts;
mod order;
mod steps;

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::observed::{HostFacts, ZoneFacts};
use crate::plan::{Plan, ZonePlan};

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Severity {
    /// Odd, but harmless.
    Warning,
    /// The plan (of this zone, or where no zone is named all of it) must not be walked.
    Fatal,
}

/// Something wrong with a plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Finding {
    /// How bad.
    pub severity: Severity,
    /// The rule, as one camelCase word.
    pub rule: String,
    /// The zone; `None` where it is about the plan as a whole.
    pub zone: Option<String>,
    /// In words.
    pub message: String,
}

/// What is allowed beyond what manifests can ask for. The caller makes it from what people said, not from the plan.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Permissions {
    /// Zones whose data may be destroyed: recorded with `deletion: delete` and now without a manifest, confirmed by
    /// somebody, or asked for by name.
    pub destroy: BTreeSet<String>,
}

/// Every rule that a plan breaks; empty for a sound one.
pub fn audit(plan: &Plan, facts: &HostFacts, permissions: &Permissions) -> Vec<Finding> {
    let mut out = Findings(Vec::new());
    order::check(plan, facts, &mut out);
    for zone in &plan.zones {
        let nothing = ZoneFacts::absent(&zone.name);
        let seen = facts.zones.get(&zone.name).unwrap_or(&nothing);
        check_zone(zone, seen, permissions, &mut out);
    }
    out.0
}

/// The same for the plan of one zone, such as one that was asked for by name.
pub fn audit_zone(zone: &ZonePlan, seen: &ZoneFacts, permissions: &Permissions) -> Vec<Finding> {
    let mut out = Findings(Vec::new());
    check_zone(zone, seen, permissions, &mut out);
    out.0
}

fn check_zone(zone: &ZonePlan, seen: &ZoneFacts, permissions: &Permissions, out: &mut Findings) {
    facts::check(zone, seen, out);
    steps::check(zone, permissions, out);
}

/// Where the rules put what they find.
struct Findings(Vec<Finding>);

impl Findings {
    fn fatal(&mut self, rule: &str, zone: &str, message: impl Into<String>) {
        let (rule, message) = (rule.to_owned(), message.into());
        self.0.push(Finding { severity: Severity::Fatal, rule, zone: Some(zone.to_owned()), message });
    }

    fn fatal_for_all(&mut self, rule: &str, message: impl Into<String>) {
        let (rule, message) = (rule.to_owned(), message.into());
        self.0.push(Finding { severity: Severity::Fatal, rule, zone: None, message });
    }

    fn warning(&mut self, rule: &str, zone: &str, message: impl Into<String>) {
        let (rule, message) = (rule.to_owned(), message.into());
        self.0.push(Finding { severity: Severity::Warning, rule, zone: Some(zone.to_owned()), message });
    }
}
