//! LOOK: what a pass looks at, and what it need not look at again.

use std::collections::{BTreeMap, BTreeSet};

use reeve_state::{ZoneFacts, wanted};

use super::{Passed, Scope, World};
use crate::error::Result;
use crate::host::Host;
use crate::install;
use crate::observe::HostSeen;
use crate::quiet::{Marks, Quiet};
use crate::store::zone::{Configured, ZoneFiles};

/// What looking came to.
#[derive(Default)]
pub(super) struct Looked {
    /// The zones to plan; none for all.
    pub zones: Option<BTreeSet<String>>,
    /// Zones that are as they were, with nothing to do.
    pub quiet: Vec<String>,
    /// The marks of zones that were looked at, taken before.
    pub marks: BTreeMap<String, Marks>,
}

/// More zones than this are quicker looked at together than one after the other.
const ONE_BY_ONE: usize = 32;

/// Looks at what the scope says.
pub(super) fn look(host: &Host, world: &mut World, scope: &Scope, passed: &mut Passed) -> Looked {
    let (zones, quiet) = match scope {
        Scope::Zones { look, think } => (look.union(think).cloned().collect(), Vec::new()),
        Scope::All => match world.quiet.sift(host) {
            Some((still, others)) if others.len() <= ONE_BY_ONE => {
                // What changed without the zone changing: its manifest.
                let digest = |name: &String| world.plans.get(name).and_then(|plan| plan.digest.as_ref());
                let others: BTreeSet<String> = others
                    .into_iter()
                    .chain(
                        world.wanted.iter().filter(|(name, w)| digest(name) != Some(&w.digest)).map(|(n, _)| n.clone()),
                    )
                    .chain(still.iter().filter(|name| !world.wanted.contains_key(*name)).cloned())
                    .chain(world.wanted.keys().filter(|name| !still.contains(*name)).cloned())
                    .collect();
                let quiet = still.into_iter().filter(|name| !others.contains(name)).collect();
                (others, quiet)
            }
            _ => return look_at_all(host, world, passed),
        },
    };
    let marks = match scope {
        Scope::All => marks(host, world, zones.iter()),
        Scope::Zones { .. } => BTreeMap::new(),
    };
    let again: Vec<String> = match scope {
        Scope::All => zones.iter().cloned().collect(),
        Scope::Zones { look, .. } => look.iter().cloned().collect(),
    };
    for zone in &again {
        // What is left of a zone that is not up may be anywhere; one that is up is where it was.
        let up = world.facts.zones.get(zone).is_some_and(|facts| facts.zsched.is_known());
        let known = world.known(zone).filter(|_| up || *scope != Scope::All);
        let mut seen = host.looker().zone(zone, known);
        host.looker().closer(&mut seen.facts);
        let bad = is_bad(&seen.facts);
        world.absorb(zone, seen);
        if bad {
            set_bad_aside(host, world, zone, passed);
        }
    }
    let zones: BTreeSet<String> = zones.into_iter().chain(world.unquiet().cloned()).collect();
    Looked { zones: Some(zones), quiet, marks }
}

/// The marks of these zones as they are now.
fn marks<'z>(host: &Host, world: &World, zones: impl Iterator<Item = &'z String>) -> BTreeMap<String, Marks> {
    let zonepath = |zone: &String| {
        let wanted = world.wanted.get(zone).and_then(|wanted| wanted::zonepath(&wanted.manifest));
        let found = world.facts.zones.get(zone).and_then(|facts| facts.zonepath.as_deref());
        found.or(wanted).map(str::to_owned)
    };
    let zones: Vec<(&String, Option<String>)> = zones.map(|zone| (zone, zonepath(zone))).collect();
    Quiet::marks(host, zones.iter().map(|(zone, path)| (*zone, path.as_deref())))
}

/// Looks at everything, in one look.
fn look_at_all(host: &Host, world: &mut World, passed: &mut Passed) -> Looked {
    let names: BTreeSet<String> = world.facts.zones.keys().chain(world.wanted.keys()).cloned().collect();
    let marks = marks(host, world, names.iter());
    world.quiet = Quiet::default();
    let mut seen = host.looker().host(&mut world.wanted.keys().map(String::as_str));
    seen.facts.zones.values_mut().for_each(|facts| host.looker().closer(facts));
    take_in(world, seen);
    let is_there = |name: &String| world.wanted.contains_key(name) || world.facts.zones.contains_key(name);
    world.plans.retain(|name, _| is_there(name));
    world.statuses.retain(|name, _| is_there(name));
    let bad: Vec<String> = world.facts.zones.values().filter(|facts| is_bad(facts)).map(|f| f.name.clone()).collect();
    for zone in bad {
        set_bad_aside(host, world, &zone, passed);
    }
    Looked { zones: None, quiet: Vec::new(), marks }
}

pub(super) fn take_in(world: &mut World, seen: HostSeen) {
    world.recorded = seen.recorded;
    world.policies = seen.memories.iter().map(|(name, memory)| (name.clone(), memory.policy.clone())).collect();
    for zone in world.health.clone().into_keys() {
        let healthy = world.is_healthy(&zone);
        world.policies.entry(zone).and_modify(|policy| policy.healthy = healthy);
    }
    world.memories = seen.memories;
    world.facts = seen.facts;
}

fn is_bad(facts: &ZoneFacts) -> bool {
    facts.configured.why_unknown().is_some() || facts.installed.why_unknown().is_some()
}

/// A file that is not usable must not keep its zone from being looked after for ever.
fn set_bad_aside(host: &Host, world: &mut World, zone: &str, passed: &mut Passed) {
    match ZoneFiles::new(host.places(), zone).set_bad_aside() {
        Ok(said) if said.is_empty() => {}
        Ok(said) => {
            passed.said.extend(said.into_iter().map(|text| (zone.to_owned(), text)));
            let seen = host.looker().zone(zone, None);
            world.absorb(zone, seen);
            match restore(host, world, zone) {
                Ok(restored) => passed.said.extend(restored.into_iter().map(|text| (zone.to_owned(), text))),
                Err(error) => passed.said.push((zone.to_owned(), error.to_string())),
            }
            let mut seen = host.looker().zone(zone, None);
            host.looker().closer(&mut seen.facts);
            world.absorb(zone, seen);
        }
        Err(error) => passed.said.push((zone.to_owned(), error.to_string())),
    }
}

/// Writes anew what was set aside, where something else still tells it: the configuration is in the memory of this boot,
/// whose the files are in the zonepath.
fn restore(host: &Host, world: &World, zone: &str) -> Result<Vec<String>> {
    let (Some(facts), places) = (world.facts.zones.get(zone), host.places()) else { return Ok(Vec::new()) };
    let (recorded, wanted) = (world.recorded.get(zone), world.wanted.get(zone));
    let mut restored = Vec::new();
    if let (true, Some(recorded)) = (facts.configured.is_absent(), recorded) {
        let source = wanted.and_then(|wanted| wanted.source.as_deref());
        let (digest, manifest) = (&recorded.digest, recorded.manifest.clone());
        let configured = Configured::new(zone, digest, source, host.boot_id(), serde_json::Value::clone(&manifest));
        ZoneFiles::new(places, zone).configure(&configured)?;
        restored.push("its configuration was written anew from what this boot remembers".to_owned());
    }
    let manifest = recorded.map(|recorded| &recorded.manifest).or(wanted.map(|wanted| &wanted.manifest));
    if let (true, Some(manifest)) = (facts.installed.is_absent(), manifest)
        && install::restore(places, zone, manifest)?
    {
        restored.push("that it is installed was written anew from what its zonepath says".to_owned());
    }
    Ok(restored)
}
