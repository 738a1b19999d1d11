//! What a saved plan stands on: the commit, the manifests and what was observed. A plan is good for as long as none of them
//! moves; where one did, it can be said which and how.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::digest::PREFIX;
use super::{Plan, ZonePolicy};
use crate::difference::Recorded;
use crate::observed::{Fact, HostFacts, LinkFacts, ZoneFacts, derive_state};
use crate::wanted::Wanted;

/// What a plan stands on.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Basis {
    /// The commit that the manifests are from; none where they are not out of git.
    pub commit: Option<String>,
    /// Digest of each manifest, by zone.
    pub manifests: BTreeMap<String, String>,
    /// What was observed of each zone, as far as it matters: without what moves by itself, such as times and how many
    /// processes there are.
    pub observed: BTreeMap<String, BTreeMap<String, Value>>,
}

impl Basis {
    /// What a plan for these zones stands on.
    pub fn new(
        commit: Option<String>,
        wanted: &BTreeMap<String, Wanted>,
        facts: &HostFacts,
        recorded: &BTreeMap<String, Recorded>,
        policies: &BTreeMap<String, ZonePolicy>,
        zones: &BTreeSet<String>,
    ) -> Self {
        let manifests = wanted.iter().map(|(name, wanted)| {
            let unavailable = wanted.unavailable.as_ref().map_or("", |_| " (a secret is missing)");
            (name.clone(), format!("{}{unavailable}", wanted.digest))
        });
        let observed = zones.iter().map(|name| {
            let nothing = ZoneFacts::absent(name);
            let seen = facts.zones.get(name).unwrap_or(&nothing);
            (name.clone(), observed(seen, recorded.get(name), policies.get(name), &facts.boot_id))
        });
        Self { commit, manifests: manifests.collect(), observed: observed.collect() }
    }

    /// The digest of all three, and of what is to be done ([`super::digest`], of each zone).
    pub fn digest(&self, plan: &Plan) -> String {
        let zones: BTreeMap<&str, String> =
            plan.zones.iter().map(|zone| (zone.name.as_str(), super::digest::digest(zone))).collect();
        format!("{PREFIX}{}", reeve_schema::digest_of(&json!({"basis": self, "zones": zones})))
    }

    /// What moved from this to `now`, a line each; empty where nothing did.
    pub fn moved(&self, now: &Self) -> Vec<String> {
        let mut out = Vec::new();
        if self.commit != now.commit {
            let name = |commit: &Option<String>| commit.clone().unwrap_or_else(|| "none".into());
            out.push(format!("the commit was {} and is {} now", name(&self.commit), name(&now.commit)));
        }
        for name in self.manifests.keys().chain(now.manifests.keys()).collect::<BTreeSet<_>>() {
            match (self.manifests.get(name), now.manifests.get(name)) {
                (Some(_), None) => out.push(format!("the manifest of zone {name} is gone")),
                (None, Some(_)) => out.push(format!("zone {name} has a manifest now")),
                (then, now) if then != now => out.push(format!("the manifest of zone {name} changed")),
                _ => {}
            }
        }
        let nothing = BTreeMap::new();
        for name in self.observed.keys().chain(now.observed.keys()).collect::<BTreeSet<_>>() {
            let then = self.observed.get(name).unwrap_or(&nothing);
            let now = now.observed.get(name).unwrap_or(&nothing);
            out.extend(moved_zone(name, then, now));
        }
        out
    }
}

/// What moved of one zone: its state where that did, for the rest follows from it; else each fact.
fn moved_zone(zone: &str, then: &BTreeMap<String, Value>, now: &BTreeMap<String, Value>) -> Vec<String> {
    let text = |value: Option<&Value>| match value {
        None | Some(Value::Null) => "none".to_owned(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    };
    if then.get("state") != now.get("state") {
        let (then, now) = (text(then.get("state")), text(now.get("state")));
        return vec![format!("zone {zone} was {then} and is {now} now")];
    }
    let keys: BTreeSet<&String> = then.keys().chain(now.keys()).collect();
    let moved = keys.into_iter().filter(|key| then.get(*key) != now.get(*key));
    let line = |key: &String| match key.as_str() {
        "platform" => format!("zone {zone} was brought up anew"),
        _ => format!("zone {zone}: {key} was {} and is {} now", text(then.get(key)), text(now.get(key))),
    };
    moved.map(line).collect()
}

/// What of a zone's facts a plan depends on, each by a name that people can read.
fn observed(
    facts: &ZoneFacts,
    recorded: Option<&Recorded>,
    policy: Option<&ZonePolicy>,
    boot_id: &str,
) -> BTreeMap<String, Value> {
    let state = match derive_state(facts) {
        Fact::Known(state) => state.to_string(),
        Fact::Absent => "none".into(),
        Fact::Unknown { why } => format!("unknown ({why})"),
    };
    let there = |fact: bool| if fact { "there" } else { "not there" };
    let mut out: BTreeMap<String, Value> = BTreeMap::new();
    let mut put = |name: &str, value: Value| drop(out.insert(name.to_owned(), value));
    put("state", json!(state));
    put("the configuration", json!(facts.configured.known().map(|configured| configured.digest.clone())));
    put("the place of the configuration", json!(facts.configured.known().and_then(|it| it.source.clone())));
    put("zoneadmd", json!(there(facts.zoneadmd.is_known())));
    put("the zone's ID", json!(facts.zone_id));
    put("platform", json!(facts.zsched.known().map(|zsched| format!("{} {}", zsched.pid, zsched.start_time))));
    put("the limits", json!(facts.cgroup.known()));
    put("the links", json!(facts.links.known().map(|links| links.iter().map(link).collect::<Vec<_>>())));
    put("what an unfinished walk left", json!(facts.unfinished().map(|entry| (&entry.transition, &entry.step))));
    put("the end of init", json!(facts.last_exit.map(|exit| exit.environment)));
    put("the files of the root", json!(facts.root_missing.then_some("missing")));
    put("the record", json!(recorded.map(|recorded| &recorded.digest)));
    put("the boot of the host", json!(recorded.map(|_| boot_id)));
    let policy = policy.cloned().unwrap_or_default();
    put("whether it is suspended", json!(policy.suspended));
    put("what was confirmed", json!(policy.confirmed));
    out
}

/// A link, without the addresses that the kernel gives it by itself.
fn link(link: &LinkFacts) -> Value {
    let own = |address: &&String| !address.starts_with("fe80:");
    let addresses: Option<Vec<&String>> = link.addresses.as_ref().map(|all| all.iter().filter(own).collect());
    json!({"name": link.host_name, "up": link.up, "bridge": link.master, "addresses": addresses})
}
