//! A little world for the tests: manifests, what can be seen of a zone, and a model that walks a plan on facts.
#![allow(dead_code, reason = "each test uses a part of it")]

pub mod arbitrary;
pub mod model;

use std::collections::{BTreeMap, BTreeSet};

use reeve_schema::{Deletion, Zone};
use reeve_state::approval::Approvals;
use reeve_state::audit::{Permissions, audit};
use reeve_state::difference::Recorded;
use reeve_state::limits::Limits;
use reeve_state::observed::{CgroupFacts, InstalledFacts, LinkFacts, ProcessId, RecordedConfig};
use reeve_state::plan::{Input, Plan, ZonePlan, ZonePolicy, plan};
use reeve_state::wanted::{self, Wanted};
use reeve_state::{Fact, HostFacts, Timestamp, ZoneFacts, ZoneState};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

pub const BOOT: &str = "0b5c3a52-0000-4000-8000-000000000001";

/// Everything that a plan is made from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct World {
    pub facts: HostFacts,
    pub recorded: BTreeMap<String, Recorded>,
    #[serde(default)]
    pub policies: BTreeMap<String, ZonePolicy>,
    #[serde(skip)]
    pub wanted: BTreeMap<String, Wanted>,
    /// What the manifests are from; none: they are all there is.
    #[serde(skip)]
    pub source: Option<String>,
    /// What people approved.
    #[serde(default)]
    pub approvals: Approvals,
}

impl World {
    pub fn new() -> Self {
        let facts = HostFacts {
            boot_id: BOOT.into(),
            observed_at: Timestamp(1_000_000),
            zones: BTreeMap::new(),
            bridges: Fact::Absent,
        };
        let (recorded, policies, wanted) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        World { facts, recorded, policies, wanted, source: None, approvals: Approvals::default() }
    }

    pub fn plan(&self) -> Plan {
        plan(&Input {
            wanted: &self.wanted,
            source: self.source.as_deref(),
            facts: &self.facts,
            recorded: &self.recorded,
            policies: &self.policies,
            approvals: &self.approvals,
            now: self.facts.observed_at,
        })
    }

    /// The plan of the only zone, which the audit has nothing against.
    pub fn planned(&self) -> ZonePlan {
        let plan = self.plan();
        let findings = audit(&plan, &self.facts, &self.permissions());
        assert!(findings.is_empty(), "{findings:?}\n{plan:#?}");
        plan.zones[0].clone()
    }

    /// What people said, by rules of the test's own.
    pub fn permissions(&self) -> Permissions {
        let mut destroy = BTreeSet::new();
        for (name, recorded) in &self.recorded {
            if !self.wanted.contains_key(name) && wanted::deletion(&recorded.manifest) == Deletion::Delete {
                destroy.insert(name.clone());
            }
        }
        for (name, wanted) in &self.wanted {
            if self.policies.get(name).is_some_and(|p| p.confirmed.as_deref() == Some(&wanted.digest)) {
                destroy.insert(name.clone());
            }
        }
        Permissions { destroy }
    }

    pub fn want(&mut self, spec: Value, name: &str) {
        self.wanted.insert(name.into(), wants(name, spec));
    }

    /// Puts a zone into the world, in a state, made from what `wanted` says.
    pub fn put(&mut self, wanted: &Wanted, state: ZoneState) {
        let name = wanted.name.clone();
        self.facts.zones.insert(name.clone(), facts_in(wanted, state));
        let recorded = Recorded {
            manifest: wanted.manifest.clone(),
            digest: wanted.digest.clone(),
            state,
            boot_id: BOOT.into(),
            zone_id: state.is_active().then_some(1),
            at: Timestamp(999_000),
            platform: None,
        };
        self.recorded.insert(name, recorded);
    }
}

/// A manifest with this spec over a minimal one. The digest is short and follows from the content.
pub fn wants(name: &str, spec: Value) -> Wanted {
    let mut document = json!({
        "apiVersion": "reeve.dev/v1alpha1", "kind": "Zone",
        "metadata": {"name": name}, "spec": {"root": {"hostUsr": {}}},
    });
    for (key, value) in spec.as_object().expect("a spec is an object") {
        document["spec"][key] = value.clone();
    }
    from_document(&document)
}

/// What a manifest wants.
pub fn from_document(document: &Value) -> Wanted {
    let zone = Zone::deserialize(document).expect("a manifest");
    let wanted = Wanted::new(&zone, "", None, "/var/lib/reeve/zonepaths");
    let text = wanted.manifest.to_string();
    let digest = text.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |h, b| (h ^ u64::from(b)).wrapping_mul(0x100_0000_01b3));
    Wanted { digest: format!("{digest:016x}"), ..wanted }
}

pub fn process(pid: i32) -> Fact<ProcessId> {
    Fact::Known(ProcessId { pid, start_time: 7 })
}

pub fn cgroup_of(manifest: &Value) -> CgroupFacts {
    let limits = Limits::of(manifest);
    CgroupFacts {
        memory_max: Some(limits.memory_max),
        pids_max: Some(limits.pids_max),
        cpu_max: Some(limits.cpu_max),
        cpu_weight: Some(limits.cpu_weight),
    }
}

pub fn links_of(manifest: &Value) -> Vec<LinkFacts> {
    let link = |(n, net): (usize, reeve_schema::manifest::Net)| LinkFacts {
        host_name: format!("rvabcd-1.{n}"),
        up: true,
        master: Some(net.physical.to_string()),
        zone_name: Some(format!("net{n}")),
        addresses: net.address.map(|a| vec![a.to_string()]),
    };
    wanted::net(manifest).into_iter().enumerate().map(link).collect()
}

/// What is seen of a zone in a state.
pub fn facts_in(wanted: &Wanted, state: ZoneState) -> ZoneFacts {
    let mut facts = ZoneFacts::absent(&wanted.name);
    facts.zonepath = wanted::zonepath(&wanted.manifest).map(String::from);
    facts.configured = Fact::Known(RecordedConfig { digest: wanted.digest.clone(), source: wanted.source.clone() });
    if state != ZoneState::Configured {
        facts.installed = Fact::Known(InstalledFacts { at: Timestamp(500_000) });
    }
    if state.is_active() {
        facts.zone_id = Some(1);
        facts.zoneadmd = process(100);
        facts.zsched = process(101);
        facts.environment_processes = Fact::Known(0);
        facts.login_processes = Fact::Known(0);
        facts.namespaces = Fact::Known([("net".to_owned(), 4_026_532_000)].into());
        facts.cgroup = Fact::Known(cgroup_of(&wanted.manifest));
        facts.links = Fact::Known(links_of(&wanted.manifest));
        facts.mounts = Fact::Known(0);
    }
    if matches!(state, ZoneState::Running | ZoneState::ShuttingDown) {
        facts.init = process(102);
        facts.environment = Some(1);
        facts.environment_processes = Fact::Known(3);
    }
    facts.halt_intent = state.is_halting();
    facts
}
