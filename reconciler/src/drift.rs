//! What nobody committed: each zone as it is now against what is recorded of it, without its manifest.

use reeve_schema::manifest::Handling;
use reeve_state::Timestamp;
use reeve_state::difference::{Difference, Price, differences};
use reeve_state::observed::Who;
use reeve_state::wanted::{self, Wanted};
use serde::Serialize;
use serde_json::Value;

use crate::host::Host;
use crate::observe::closer::Resident;
use crate::store::zone::Memory;

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
    /// When a pass saw it first; none where none did yet.
    pub since: Option<Timestamp>,
    /// Who did it; none where the kernel cannot tell.
    pub who: Option<Who>,
}

/// Looks at the host and says what drifted, by zone and field. Takes no lock and changes nothing.
pub fn drifted(host: &Host) -> Vec<Drifted> {
    let mut seen = host.looker().host(&mut std::iter::empty());
    host.looker().strangers(&Resident::all(seen.facts.zones.values()));
    let mut out = Vec::new();
    for (zone, facts) in &mut seen.facts.zones {
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
        let memory = seen.memories.get(zone).cloned().unwrap_or_default();
        let found = differences(&wanted, Some(recorded), facts, &seen.facts.boot_id);
        out.extend(found.into_iter().filter(Difference::is_drift).map(|one| drift_of(zone, one, &memory, &wanted)));
    }
    out
}

fn drift_of(zone: &str, one: Difference, memory: &Memory, wanted: &Wanted) -> Drifted {
    let drift = wanted::drift(&wanted.manifest);
    let remembered = &memory.policy.drift;
    let handling = one.handling.unwrap_or_default();
    let now = crate::store::now();
    let returning =
        handling == Handling::Heal && remembered.returns(&one.field, drift.max_per_hour, &wanted.digest, now);
    Drifted {
        zone: zone.to_owned(),
        since: remembered.found.get(&one.field).map(|found| found.since),
        field: one.field,
        recorded: one.recorded,
        observed: one.observed,
        price: one.price,
        handling,
        returning,
        who: one.who,
    }
}
