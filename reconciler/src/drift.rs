//! What nobody committed: each zone as it is now against what is recorded of it, without its manifest.

use reeve_schema::manifest::Handling;
use reeve_state::Timestamp;
use reeve_state::approval;
use reeve_state::difference::{Difference, Price, differences};
use reeve_state::drift::DriftMemory;
use reeve_state::observed::Who;
use reeve_state::wanted::{self, Wanted};
use serde::Serialize;
use serde_json::Value;

use crate::host::Host;
use crate::observe::closer::Resident;
use crate::store::approvals;

/// A field of a zone that drifted.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Drifted {
    /// The zone.
    pub zone: String,
    /// The field.
    pub field: String,
    /// What is recorded.
    pub recorded: Option<Value>,
    /// What is there now.
    pub observed: Option<Value>,
    /// What putting it back costs.
    pub price: Price,
    /// What is done about it.
    pub handling: Handling,
    /// It came back too often, and is not mended any more.
    pub returning: bool,
    /// It waits for approval, or for a window.
    pub waiting: bool,
    /// When a pass saw it first; none where none did yet.
    pub since: Option<Timestamp>,
    /// Who did it; none where the kernel cannot tell.
    pub who: Option<Who>,
}

/// Looks at the host and says what drifted of these zones (none: of all), by zone and field. Takes no lock and changes nothing.
pub fn drifted(host: &Host, zones: &[String]) -> Vec<Drifted> {
    let mut seen = host.looker().host(&mut std::iter::empty());
    host.looker().strangers(&Resident::all(seen.facts.zones.values()));
    let (approvals, now) = (approvals::all(host.places()), crate::store::now());
    let mut out = Vec::new();
    let asked_for = |zone: &String| zones.is_empty() || zones.contains(zone);
    for (zone, facts) in seen.facts.zones.iter_mut().filter(|(zone, _)| asked_for(zone)) {
        let Some(recorded) = seen.recorded.get(zone) else { continue };
        host.looker().closer(facts);
        let mut wanted = Wanted {
            name: zone.clone(),
            manifest: recorded.manifest.clone(),
            digest: recorded.digest.clone(),
            source: None,
            unavailable: None,
        };
        // A zone that was taken to another state by an earlier walk is as it was left, whatever its manifest says.
        let goal = wanted.goal();
        if recorded.state != goal {
            let mut manifest = Value::clone(&wanted.manifest);
            manifest["spec"]["state"] = serde_json::to_value(recorded.state).unwrap_or_default();
            wanted.manifest = manifest.into();
        }
        let remembered = seen.memories.get(zone).map(|memory| memory.policy.drift.clone()).unwrap_or_default();
        let mut found = differences(&wanted, Some(recorded), facts, &seen.facts.boot_id);
        found.retain(Difference::is_drift);
        let max = wanted::drift(&wanted.manifest).max_per_hour;
        for one in found.iter_mut().filter(|one| one.handling == Some(Handling::Heal)) {
            one.returning = remembered.returns(&one.field, max, &wanted.digest, now);
        }
        approval::gate_of_drift(zone, Some(recorded), &wanted, &approvals, now, &mut found);
        out.extend(found.into_iter().map(|one| drift_of(zone, one, &remembered)));
    }
    out
}

fn drift_of(zone: &str, one: Difference, remembered: &DriftMemory) -> Drifted {
    Drifted {
        zone: zone.to_owned(),
        since: remembered.found.get(&one.field).map(|found| found.since),
        field: one.field,
        recorded: one.recorded,
        observed: one.observed,
        price: one.price,
        handling: one.handling.unwrap_or_default(),
        returning: one.returning,
        waiting: one.waiting,
        who: one.who,
    }
}
