//! What a host publishes of itself, so that a plan can be made where nobody can reach it: what it observed and recorded, as
//! far as a plan depends on it, and no more. Process IDs, the paths of evidence, boot ids and everything that stands for a
//! secret are not in it.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::approval::Approvals;
use crate::difference::Recorded;
use crate::journal::{Entry, Phase};
use crate::observed::{Fact, HostFacts, ProcessId, ZoneFacts};
use crate::plan::ZonePolicy;
use crate::time::Timestamp;

/// The version of the form.
pub const FORMAT_VERSION: &str = "1";
/// What stands for the boot in which the host looked, and for any earlier one.
const BOOTS: [&str; 2] = ["this", "earlier"];
/// What stands for what could not be read, whose words may name paths of the host.
const NOT_READ: &str = "it could not be read on the host";

/// What a host published.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Snapshot {
    /// `"1"`.
    pub format_version: String,
    /// Always `ObservedState`.
    pub kind: SnapshotKind,
    /// The host's name.
    pub host: String,
    /// The labels that its own configuration gives it.
    pub labels: BTreeMap<String, String>,
    /// When it looked.
    pub at: Timestamp,
    /// The commit in force; none where it follows no repository.
    pub commit: Option<String>,
    /// What it follows, as its zones' sources have it.
    pub source: String,
    /// The folder of zonepaths that no manifest names.
    pub zonepaths: String,
    /// What it saw.
    pub facts: HostFacts,
    /// What it recorded, by zone.
    pub recorded: BTreeMap<String, Recorded>,
    /// What was said of its zones.
    pub policies: BTreeMap<String, ZonePolicy>,
    /// What was approved there.
    #[serde(default)]
    pub approvals: Approvals,
}

/// The kind of the document.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum SnapshotKind {
    /// What a host observed.
    #[default]
    ObservedState,
}

impl Snapshot {
    /// The same without what nobody needs for a plan.
    #[must_use]
    pub fn redacted(mut self) -> Self {
        let boot = std::mem::replace(&mut self.facts.boot_id, BOOTS[0].to_owned());
        let name = |id: &str| BOOTS[usize::from(id != boot)].to_owned();
        self.facts.bridges = Fact::Absent;
        for facts in self.facts.zones.values_mut() {
            redact(facts);
        }
        for recorded in self.recorded.values_mut() {
            recorded.boot_id = name(&recorded.boot_id);
            recorded.manifest = Arc::new(without_secrets(&recorded.manifest));
        }
        self
    }
}

/// A manifest without the digests of its secrets' values.
#[must_use]
pub fn without_secrets(manifest: &Value) -> Value {
    let mut manifest = manifest.clone();
    if let Some(env) = manifest.pointer_mut("/spec/init/env").and_then(Value::as_object_mut) {
        for variable in env.values_mut().filter_map(Value::as_object_mut) {
            variable.remove("value");
        }
    }
    manifest
}

fn redact(facts: &mut ZoneFacts) {
    let process = |fact: &mut Fact<ProcessId>| match fact {
        Fact::Known(process) => *process = ProcessId { pid: 0, start_time: 0 },
        Fact::Unknown { why } => NOT_READ.clone_into(why),
        Fact::Absent => {}
    };
    [&mut facts.zoneadmd, &mut facts.zsched, &mut facts.init].into_iter().for_each(process);
    // Whether there are any is enough.
    for count in [&mut facts.environment_processes, &mut facts.login_processes, &mut facts.mounts] {
        if let Fact::Known(number) = count {
            *number = (*number).min(1);
        }
        hide(count);
    }
    (facts.environment, facts.namespaces) = (None, Fact::Absent);
    if let Fact::Known(remains) = &mut facts.remains {
        remains.iter_mut().for_each(|remain| "something of the zone".clone_into(remain));
        remains.truncate(1);
    }
    hide(&mut facts.configured);
    hide(&mut facts.installed);
    hide(&mut facts.cgroup);
    hide(&mut facts.links);
    hide(&mut facts.remains);
    facts.journal = facts.journal.take().map(|entry| Entry {
        boot_id: BOOTS[0].to_owned(),
        evidence: Arc::default(),
        phase: match entry.phase {
            Phase::Failed { .. } => Phase::Failed { error: "it failed".to_owned() },
            phase => phase,
        },
        ..entry
    });
}

fn hide<T>(fact: &mut Fact<T>) {
    if let Fact::Unknown { why } = fact {
        NOT_READ.clone_into(why);
    }
}
