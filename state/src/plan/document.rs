//! The plan as a document (`reeve plan -o json`): for whoever reads it with a program, or pins what was agreed to. Its form
//! is versioned and has a JSON Schema that is made from these types; what only a walk needs is not in it.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::digest::digest;
use super::{Action, Cost, Hold, Plan, Step, ZonePlan};
use crate::audit::{Finding, Severity};
use crate::difference::{Cause, Difference, Price};
use crate::lifecycle::{Transition, ZoneState, state_name};
use crate::observed::Fact;

/// The version of the form.
pub const FORMAT_VERSION: &str = "1";

/// A plan.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PlanDocument {
    /// `"1"`.
    pub format_version: String,
    /// Always `Plan`.
    pub kind: PlanKind,
    /// `sha256:` over the commit, the manifests, what was observed and what is to be done.
    pub digest: String,
    /// Where the manifests are, a path or `git:REV:PATH`.
    pub source: String,
    /// The commit that they are from; none where they are not out of git.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<String>,
    /// The hosts that were planned from what they published; empty where this host was looked at.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hosts: Vec<ObservedHost>,
    /// Each zone that is wanted or seen, those that come down first.
    pub items: Vec<PlanItem>,
    /// What the audit found.
    pub findings: Vec<PlanFinding>,
    /// All of it together.
    pub summary: Summary,
}

/// The kind of the document.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum PlanKind {
    /// A plan.
    #[default]
    Plan,
}

/// A host that was planned from what it published.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ObservedHost {
    /// Its name.
    pub name: String,
    /// When it looked, RFC 3339 in UTC.
    pub observed_at: String,
    /// How long ago that was, in seconds.
    pub age_seconds: u64,
    /// Whether that is longer ago than was asked for.
    pub too_old: bool,
    /// Whether its signature was verified.
    pub verified: bool,
    /// The commit that is in force there; none where it follows no repository.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<String>,
}

/// One zone of a plan.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PlanItem {
    /// The host, where several are planned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// The zone.
    pub name: String,
    /// What is agreed to with this plan, `sha256:` and 64 hexadecimal digits.
    pub digest: String,
    /// The state that it is in; `none` without a zone, `unknown` where that could not be read.
    pub from: String,
    /// The state that it is in when the steps are done; `none` also where that is not known.
    pub to: String,
    /// The state that is wanted, `none` for no zone.
    pub goal: String,
    /// The transitions, in order.
    pub path: Vec<Transition>,
    /// The steps, in order.
    pub steps: Vec<PlanStep>,
    /// What differs because somebody committed something (causes other than drift).
    pub changes: Vec<PlanDifference>,
    /// What differs although nobody committed anything (causes `drift` and `both`).
    pub drift: Vec<PlanDifference>,
    /// Why it does not go all the way, where it does not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hold: Option<PlanHold>,
    /// The price of the dearest difference; none where nothing differs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub price: Option<Price>,
    /// What all steps cost together.
    pub cost: Cost,
    /// What cannot be taken back, in words; empty where all can.
    pub irreversible: Vec<String>,
    /// Zones whose teardown comes before this zone comes up.
    pub after: Vec<String>,
    /// Zones that it depends on and that come up before it.
    pub up_after: Vec<String>,
    /// Zones that depend on it and go down before it.
    pub down_after: Vec<String>,
    /// Digest of the wanted manifest; none without one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub manifest: Option<String>,
    /// Where the manifest is, `FILE:LINE`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// In words.
    pub reason: String,
}

/// One step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PlanStep {
    /// Its name.
    pub name: String,
    /// The transition that it belongs to; none for what is done on the zone as it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transition: Option<Transition>,
    /// The state before it, `none` without a zone.
    pub from: String,
    /// The state after it.
    pub to: String,
    /// What it costs.
    pub cost: Cost,
}

/// One field that differs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PlanDifference {
    /// Its path in the spec, or one of Reeve's own.
    pub field: String,
    /// What was recorded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recorded: Option<serde_json::Value>,
    /// What is wanted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub desired: Option<serde_json::Value>,
    /// What is seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed: Option<serde_json::Value>,
    /// Where it comes from.
    pub cause: Cause,
    /// What putting it right costs.
    pub price: Price,
    /// What else is said of it, by later versions.
    #[serde(flatten)]
    pub more: BTreeMap<String, serde_json::Value>,
}

/// Why a zone waits.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PlanHold {
    /// In one word, such as `awaitingConfirmation`.
    pub reason: String,
    /// What belongs to that reason.
    #[serde(flatten)]
    pub details: BTreeMap<String, serde_json::Value>,
}

/// Something that the audit found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PlanFinding {
    /// The host, where several are planned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// The zone; none where it is about the plan as a whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
    /// Whether the plan must not be walked because of it.
    pub fatal: bool,
    /// The rule.
    pub rule: String,
    /// In words.
    pub message: String,
}

/// A plan in a few numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Summary {
    /// Zones with steps.
    pub to_do: usize,
    /// Zones that wait and have no step.
    pub waiting: usize,
    /// Zones that are as wanted.
    pub as_wanted: usize,
    /// Zones in which something drifted.
    pub drifted: usize,
    /// Zones whose application environment does not run for a while.
    pub down: usize,
    /// The longest of those whiles, in milliseconds.
    pub downtime_ms: u64,
    /// Zones that lose data.
    pub data_lost: usize,
}

impl PlanDocument {
    /// The document of a plan without any host yet.
    pub fn new(source: &str, commit: Option<&str>) -> Self {
        Self {
            format_version: FORMAT_VERSION.into(),
            kind: PlanKind::Plan,
            digest: String::new(),
            source: source.to_owned(),
            commit: commit.map(str::to_owned),
            hosts: Vec::new(),
            items: Vec::new(),
            findings: Vec::new(),
            summary: Summary::default(),
        }
    }

    /// Adds the plan of a host, `digest` being that of what it stands on; `None` for the host that was looked at.
    pub fn add(&mut self, host: Option<&str>, plan: &Plan, findings: &[Finding], digest: String) {
        self.items.extend(plan.zones.iter().map(|zone| PlanItem::new(host, zone)));
        self.findings.extend(findings.iter().map(|finding| PlanFinding {
            host: host.map(str::to_owned),
            zone: finding.zone.clone(),
            fatal: finding.severity == Severity::Fatal,
            rule: finding.rule.clone(),
            message: finding.message.clone(),
        }));
        self.summary = Summary::of(&self.items);
        self.digest = match host {
            None => digest,
            Some(host) => {
                let whole = serde_json::json!([self.digest, host, digest]);
                format!("{}{}", super::digest::PREFIX, reeve_schema::digest_of(&whole))
            }
        };
    }
}

impl Summary {
    fn of(items: &[PlanItem]) -> Self {
        let count = |which: &dyn Fn(&PlanItem) -> bool| items.iter().filter(|item| which(item)).count();
        let to_do = count(&|item| !item.steps.is_empty());
        let waiting = count(&|item| item.steps.is_empty() && item.hold.is_some());
        Self {
            to_do,
            waiting,
            as_wanted: items.len() - to_do - waiting,
            drifted: count(&|item| !item.drift.is_empty()),
            down: count(&|item| item.cost.downtime_ms > 0),
            downtime_ms: items.iter().map(|item| item.cost.downtime_ms).max().unwrap_or(0),
            data_lost: count(&|item| item.cost.destroys_data),
        }
    }
}

impl PlanItem {
    /// One zone's plan.
    pub fn new(host: Option<&str>, zone: &ZonePlan) -> Self {
        let is_drift = |one: &&Difference| is_drift(one.cause);
        let item = |one: &Difference| PlanDifference::new(one);
        Self {
            host: host.map(str::to_owned),
            name: zone.name.clone(),
            digest: digest(zone),
            from: match &zone.from {
                Fact::Unknown { .. } => "unknown".into(),
                from => state_name(from.known().copied()).into(),
            },
            to: state_name(zone.to).into(),
            goal: state_name(zone.goal).into(),
            path: zone.path.clone(),
            steps: zone.steps.iter().map(PlanStep::new).collect(),
            changes: zone.differences.iter().filter(|one| !is_drift(one)).map(item).collect(),
            drift: zone.differences.iter().filter(is_drift).map(item).collect(),
            hold: zone.hold.as_ref().map(PlanHold::new),
            price: zone.differences.iter().map(|one| one.price).max(),
            cost: cost(&zone.steps),
            irreversible: irreversible(zone),
            after: zone.after.clone(),
            up_after: zone.up_after.clone(),
            down_after: zone.down_after.clone(),
            manifest: zone.digest.clone(),
            source: zone.source.clone(),
            reason: zone.reason.clone(),
        }
    }
}

/// Whether a difference is there although nobody committed anything.
pub fn is_drift(cause: Cause) -> bool {
    matches!(cause, Cause::Drift | Cause::Both)
}

/// What these steps cost together.
pub fn cost(steps: &[Step]) -> Cost {
    steps.iter().fold(Cost::default(), |sum, Step { cost, .. }| Cost {
        total_ms: sum.total_ms.saturating_add(cost.total_ms),
        downtime_ms: sum.downtime_ms.saturating_add(cost.downtime_ms),
        destroys_data: sum.destroys_data || cost.destroys_data,
        new_zone_id: sum.new_zone_id || cost.new_zone_id,
    })
}

/// What of a zone's plan cannot be taken back, in words: what is destroyed, and what ends that ran.
pub fn irreversible(zone: &ZonePlan) -> Vec<String> {
    use super::step_name::{REMOVE_CONFIGURATION, REMOVE_ROOT};
    let mut out = Vec::new();
    let has = |name: &str| zone.steps.iter().any(|step| step.name == name);
    if has(REMOVE_ROOT) {
        out.push("the data of the zone is lost".to_owned());
    }
    if has(REMOVE_CONFIGURATION) {
        out.push("the zone and its configuration are gone".to_owned());
    }
    out
}

impl PlanStep {
    fn new(step: &Step) -> Self {
        Self {
            name: step.name.clone(),
            transition: match step.action {
                Action::Transition(transition) => Some(transition),
                Action::Live => None,
            },
            from: name(step.from),
            to: name(step.to),
            cost: step.cost,
        }
    }
}

fn name(state: Option<ZoneState>) -> String {
    state_name(state).to_owned()
}

impl PlanDifference {
    fn new(one: &Difference) -> Self {
        // By its own document, so that what is added to a difference is here as well.
        let more = serde_json::to_value(one).ok().and_then(|value| match value {
            serde_json::Value::Object(map) => Some(map),
            _ => None,
        });
        const OWN: [&str; 6] = ["field", "recorded", "desired", "observed", "cause", "price"];
        let more = more.into_iter().flatten().filter(|(key, value)| !OWN.contains(&key.as_str()) && !value.is_null());
        Self {
            field: one.field.clone(),
            recorded: one.recorded.clone(),
            desired: one.desired.clone(),
            observed: one.observed.clone(),
            cause: one.cause,
            price: one.price,
            more: more.collect(),
        }
    }
}

impl PlanHold {
    fn new(hold: &Hold) -> Self {
        let mut details: BTreeMap<String, serde_json::Value> = match serde_json::to_value(hold) {
            Ok(serde_json::Value::Object(map)) => map.into_iter().filter(|(_, value)| !value.is_null()).collect(),
            _ => BTreeMap::new(),
        };
        let reason = details.remove("reason").and_then(|reason| reason.as_str().map(str::to_owned));
        // As people write it, where the plan itself has a number.
        for key in ["until", "opens"] {
            if let (Some(time), true) = (hold.until(), details.contains_key(key)) {
                details.insert(key.into(), time.utc().into());
            }
        }
        Self { reason: reason.unwrap_or_default(), details }
    }
}
