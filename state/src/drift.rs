//! Drift over time: what was found and since when, what was mended and how often. Kept with the zone's memory, so that each drift
//! is told of once, and one that comes back again and again stops being mended.

use std::collections::{BTreeMap, BTreeSet};

use reeve_schema::manifest::Handling;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::difference::Difference;
use crate::observed::{Who, ZoneFacts};
use crate::time::Timestamp;

/// The time in which mendings are counted, in milliseconds: an hour.
const WINDOW_MS: u64 = 3_600_000;

/// A drift that was told of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Found {
    /// When it was seen first.
    pub since: Timestamp,
    /// What was recorded.
    pub recorded: Option<Value>,
    /// What was seen.
    pub observed: Option<Value>,
}

/// What is remembered of a zone's drift.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct DriftMemory {
    /// Digest of the manifest that the counts are about: another manifest begins anew.
    pub digest: Option<String>,
    /// What is otherwise now, by field.
    pub found: BTreeMap<String, Found>,
    /// When each field was mended, the newest last.
    pub mended: BTreeMap<String, Vec<Timestamp>>,
    /// Fields that are not mended any more until somebody says so.
    pub stopped: BTreeSet<String>,
}

/// Something to be told of a zone's drift.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DriftEvent {
    /// `DriftFound`, `DriftMended`, `DriftGone` (put right by somebody else) or `DriftReturning`.
    pub reason: String,
    /// The field.
    pub field: String,
    /// What it was before.
    pub before: Option<Value>,
    /// What it is now.
    pub after: Option<Value>,
    /// What is done about it.
    pub handling: Handling,
    /// Who did it, where the kernel can tell.
    pub who: Option<Who>,
}

impl DriftEvent {
    /// In words.
    pub fn message(&self) -> String {
        let short = |value: &Option<Value>| match value {
            None | Some(Value::Null) => "none".to_owned(),
            Some(Value::String(text)) => text.clone(),
            Some(other) => other.to_string(),
        };
        let what = format!("{}: {} > {}", self.field, short(&self.before), short(&self.after));
        match self.reason.as_str() {
            "DriftFound" => format!("{what} ({})", self.handling.as_str()),
            "DriftReturning" => format!("{what}: comes back too often, not mended any more (reeve retry mends it)"),
            _ => what,
        }
    }
}

/// Processes come with a number of their own each time: they are counted together.
fn counted(field: &str) -> &str {
    if field.starts_with("processes.") { "processes" } else { field }
}

impl DriftMemory {
    /// Whether a field drifted too often to be mended once more: `max` times in the hour before `now`.
    pub fn returns(&self, field: &str, max: u32, digest: &str, now: Timestamp) -> bool {
        // Who kills the supervisor or the zone again and again is answered each time: without them nothing else can be kept.
        if self.digest.as_deref() != Some(digest) || matches!(field, "state" | "zoneadmd") {
            return false;
        }
        let field = counted(field);
        let recent = |at: &&Timestamp| now.since(**at) < WINDOW_MS;
        let times = self.mended.get(field).map_or(0, |times| times.iter().filter(recent).count());
        self.stopped.contains(field) || u32::try_from(times).is_ok_and(|times| times >= max)
    }

    /// The same memory after somebody asked to try again.
    #[must_use]
    pub fn retried(&self) -> Self {
        Self { found: self.found.clone(), ..Self::default() }
    }

    /// Takes in what differs now and says what is news. `mending` are the fields that were just worked on.
    pub fn take(
        &mut self,
        differences: &[Difference],
        facts: &ZoneFacts,
        mending: &BTreeSet<String>,
        digest: &str,
        now: Timestamp,
    ) -> Vec<DriftEvent> {
        if self.digest.as_deref() != Some(digest) {
            (self.digest, self.mended, self.stopped) = (Some(digest.to_owned()), BTreeMap::new(), BTreeSet::new());
        }
        let mut out = Vec::new();
        let current: BTreeMap<&str, &Difference> =
            differences.iter().filter(|d| d.is_drift()).map(|d| (d.field.as_str(), d)).collect();
        let known = |field: &str| facts.platform.as_ref().is_none_or(|platform| platform.looked_at(field));
        let gone: Vec<String> =
            self.found.keys().filter(|field| !current.contains_key(field.as_str()) && known(field)).cloned().collect();
        for field in gone {
            let Some(found) = self.found.remove(&field) else { continue };
            let mended = mending.contains(&field);
            if mended {
                let times = self.mended.entry(counted(&field).to_owned()).or_default();
                times.retain(|at| now.since(*at) < WINDOW_MS);
                times.push(now);
            }
            let reason = if mended { "DriftMended" } else { "DriftGone" };
            let (before, after) = (found.observed, found.recorded);
            let handling = if mended { Handling::Heal } else { Handling::Warn };
            out.push(DriftEvent { reason: reason.into(), field, before, after, handling, who: None });
        }
        for (field, one) in current {
            let mut tell = |reason: &str| {
                out.push(DriftEvent {
                    reason: reason.into(),
                    field: field.to_owned(),
                    before: one.recorded.clone(),
                    after: one.observed.clone(),
                    handling: one.handling.unwrap_or_default(),
                    who: one.who.clone(),
                });
            };
            if one.returning && self.stopped.insert(counted(field).to_owned()) {
                tell("DriftReturning");
            }
            let before = self.found.get(field);
            if before.is_none_or(|found| found.observed != one.observed) {
                tell("DriftFound");
                let since = before.map_or(now, |found| found.since);
                let found = Found { since, recorded: one.recorded.clone(), observed: one.observed.clone() };
                self.found.insert(field.to_owned(), found);
            }
        }
        out
    }
}
