//! Between zones: who waits for whom, and in which order they stand in the plan.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;
use std::ops::Bound;
use std::path::{Path, PathBuf};

use super::{Hold, ZonePlan};
use crate::difference::Recorded;
use crate::lifecycle::{Transition, ZoneState};
use crate::observed::{Fact, HostFacts, derive_state};
use crate::wanted;

/// What only one zone at a time can have, and who has it now.
#[derive(Default)]
pub(super) struct Holdings {
    /// Addresses of active zones.
    addresses: HashMap<IpAddr, BTreeSet<String>>,
    /// Zonepaths with files in them.
    paths: BTreeMap<PathBuf, BTreeSet<String>>,
}

/// Something that a zone needs and another one has.
struct Clash {
    holder: String,
    what: String,
    /// The transition of the holder that gives it up.
    released_by: Transition,
}

impl Holdings {
    pub(super) fn of(facts: &HostFacts, recorded: &BTreeMap<String, Recorded>) -> Self {
        let mut out = Holdings::default();
        for (name, seen) in &facts.zones {
            let Some(recorded) = recorded.get(name) else { continue };
            // What is not known to be given up is not free.
            let (active, files) = match derive_state(seen) {
                Fact::Known(state) => (state.is_active(), state != ZoneState::Configured),
                Fact::Absent => (false, false),
                Fact::Unknown { .. } => (true, true),
            };
            if active {
                for address in wanted::net(&recorded.manifest).iter().filter_map(|net| net.address) {
                    out.addresses.entry(address.address()).or_default().insert(name.clone());
                }
            }
            if let Some(path) = wanted::zonepath(&recorded.manifest)
                && files
            {
                out.paths.entry(path.into()).or_default().insert(name.clone());
            }
        }
        out
    }

    /// Everything that the plan's bring-up needs and another zone has.
    fn clashes(&self, zone: &ZonePlan) -> Vec<Clash> {
        let Some(manifest) = &zone.manifest else { return Vec::new() };
        let mut out = Vec::new();
        let mut add = |holders: &BTreeSet<String>, what: String, released_by| {
            let others = holders.iter().filter(|holder| **holder != zone.name);
            out.extend(others.map(|holder| Clash { holder: holder.clone(), what: what.clone(), released_by }));
        };
        if zone.path.contains(&Transition::Ready) {
            for address in wanted::net(manifest).iter().filter_map(|net| net.address).map(|a| a.address()) {
                if let Some(holders) = self.addresses.get(&address) {
                    add(holders, format!("the address {address}"), Transition::Halt);
                }
            }
        }
        if zone.path.contains(&Transition::Install)
            && let Some(path) = wanted::zonepath(manifest).map(Path::new)
        {
            let above = path.ancestors().skip(1).filter_map(|above| self.paths.get_key_value(above));
            // Paths sort by their components, so what lies below one follows it without a gap.
            let from = (Bound::Included(path.to_path_buf()), Bound::Unbounded);
            let below = self.paths.range(from).take_while(|(below, _)| below.starts_with(path));
            for (held, holders) in above.chain(below) {
                add(holders, format!("the path {}", held.display()), Transition::Uninstall);
            }
        }
        out
    }
}

/// Zones that need what another zone has and is not about to give up: their number in `zones`, and the hold. A zone that
/// is already held back for that reason is not told again.
pub(super) fn conflicts(zones: &[ZonePlan], holdings: &Holdings) -> Vec<(usize, Hold)> {
    let paths: HashMap<&str, &[Transition]> = zones.iter().map(|z| (z.name.as_str(), z.path.as_slice())).collect();
    let gives_up = |c: &Clash| paths.get(c.holder.as_str()).is_some_and(|path| path.contains(&c.released_by));
    let blocked = |(index, zone): (usize, &ZonePlan)| {
        let clash = holdings.clashes(zone).into_iter().find(|clash| !gives_up(clash))?;
        let told = matches!(zone.hold, Some(Hold::Conflict { .. }));
        (!told).then_some((index, Hold::Conflict { with: clash.holder, what: clash.what }))
    };
    zones.iter().enumerate().filter_map(blocked).collect()
}

/// Fills in `after` and sorts: unfinished halts, teardowns, changes in place, bring-ups, the rest; each by name.
pub(super) fn arrange(zones: &mut [ZonePlan], holdings: &Holdings) {
    for zone in zones.iter_mut() {
        let holders: BTreeSet<String> = holdings.clashes(zone).into_iter().map(|clash| clash.holder).collect();
        zone.after = holders.into_iter().collect();
    }
    zones.sort_by(|a, b| (class(a), &a.name).cmp(&(class(b), &b.name)));
}

fn class(zone: &ZonePlan) -> u8 {
    use Transition::{Halt, Stop, Unconfigure, Uninstall};
    match zone.path.first() {
        Some(Halt) if zone.from.known().is_some_and(|s| s.is_halting()) => 0,
        Some(Halt | Stop | Uninstall | Unconfigure) => 1,
        None if !zone.steps.is_empty() => 2,
        Some(_) => 3,
        None => 4,
    }
}
