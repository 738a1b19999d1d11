//! A plan between two sets of manifests: what would be done on a host where everything is as the first says. Made from
//! files alone, so that a change can be judged where no host is at hand.

use std::collections::BTreeMap;

use reeve::desired;
use reeve::host::Planned;
use reeve::places::Places;
use reeve_schema::{Deletion, ManifestSet};
use reeve_state::audit::{Permissions, audit};
use reeve_state::difference::Recorded;
use reeve_state::observed::{InstalledFacts, ProcessId, RecordedConfig};
use reeve_state::plan::basis::Basis;
use reeve_state::plan::{self, Input};
use reeve_state::wanted::{self, Wanted};
use reeve_state::{Fact, HostFacts, Timestamp, ZoneFacts, ZoneState};

/// What would be done to come from one set to another.
pub fn plan_between(places: &Places, from: &ManifestSet, to: &ManifestSet) -> Planned {
    let set_to = to;
    let (from, to) = (desired::wanted(from, places), desired::wanted(to, places));
    let recorded: BTreeMap<String, Recorded> = from.iter().map(|(name, zone)| (name.clone(), record(zone))).collect();
    let facts = HostFacts {
        boot_id: String::new(),
        observed_at: Timestamp(0),
        zones: from.values().map(|zone| (zone.name.clone(), facts(zone, to.get(&zone.name)))).collect(),
        bridges: Fact::Absent,
    };
    let policies = BTreeMap::new();
    let approvals = desired::approvals(set_to);
    let input = Input {
        wanted: &to,
        source: None,
        facts: &facts,
        recorded: &recorded,
        policies: &policies,
        approvals: &approvals,
        now: Timestamp(0),
    };
    let plan = plan::plan(&input);
    let gone = from.values().filter(|zone| !to.contains_key(&zone.name));
    let destroy = gone.filter(|zone| wanted::deletion(&zone.manifest) == Deletion::Delete);
    let permissions = Permissions { destroy: destroy.map(|zone| zone.name.clone()).collect() };
    let findings = audit(&plan, &facts, &permissions);
    let zones = plan.zones.iter().map(|zone| zone.name.clone()).collect();
    let basis = Basis::new(None, &to, &facts, &recorded, &policies, &zones);
    Planned { facts, plan, findings, basis }
}

fn record(zone: &Wanted) -> Recorded {
    Recorded {
        manifest: zone.manifest.clone(),
        digest: zone.digest.clone(),
        state: zone.goal(),
        boot_id: String::new(),
        zone_id: None,
        at: Timestamp(0),
        platform: None,
    }
}

/// What would be seen of a zone that is as its manifest says. That the two sets are in different places is no difference.
fn facts(zone: &Wanted, to: Option<&Wanted>) -> ZoneFacts {
    let there = || Fact::Known(ProcessId { pid: 0, start_time: 0 });
    let when = |holds: bool| if holds { there() } else { Fact::Absent };
    let (up, running) = (zone.goal().is_active(), zone.goal() == ZoneState::Running);
    // Whether limits and links are as they should be cannot be seen in files: no difference follows from it.
    let unseen = "only manifests are compared";
    ZoneFacts {
        configured: Fact::Known(RecordedConfig {
            digest: zone.digest.clone(),
            source: to.and_then(|to| to.source.clone()),
        }),
        installed: Fact::Known(InstalledFacts { at: Timestamp(0) }),
        zonepath: wanted::zonepath(&zone.manifest).map(str::to_owned),
        zoneadmd: when(up),
        zsched: when(up),
        init: when(running),
        cgroup: if up { Fact::unknown(unseen) } else { Fact::Absent },
        links: if up { Fact::unknown(unseen) } else { Fact::Absent },
        ..ZoneFacts::absent(&zone.name)
    }
}
