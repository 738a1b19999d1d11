//! The rules between zones: names, zonepaths, addresses. Each problem stands at the later place and names the earlier.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use crate::decode::Facts;
use crate::name::ZoneName;
use crate::path;
use crate::source::{Report, Spot};
use crate::suggest;

/// Checks what the zones of one host have in common. `zonepaths` is the folder of the zonepaths that no manifest names.
pub(crate) fn between_zones(zones: &[&Facts], zonepaths: &str, report: &mut Report) {
    // A default zonepath stands where the zone's name does: there is no better place to show.
    let default = zones.iter().enumerate().filter(|(_, facts)| facts.default_zonepath).filter_map(|(zone, facts)| {
        let (name, spot) = facts.name.as_ref()?;
        let path = format!("{}/{name}", zonepaths.trim_end_matches('/'));
        Some(Zonepath { path, zone, spot: spot.clone(), written: false })
    });
    let written = zones.iter().enumerate().filter_map(|(zone, facts)| {
        let (path, spot) = facts.zonepath.clone()?;
        Some(Zonepath { path, zone, spot, written: true })
    });
    let mut paths: Vec<Zonepath> = default.chain(written).collect();
    let names: Vec<Option<&(ZoneName, Spot)>> = zones.iter().map(|facts| facts.name.as_ref()).collect();
    let earlier_of_one_name = earlier_of_one_name(&names);
    paths.retain(|zonepath| !earlier_of_one_name.contains_key(&zonepath.zone));
    // Written ones come last, so that the problem stands where there is something to change.
    paths.sort_by(|a, b| (a.written, &a.spot).cmp(&(b.written, &b.spot)));
    overlapping_zonepaths(&paths, report);
    shared_zonepaths(&paths, zones.iter().flat_map(|facts| &facts.host_directories), report);

    for (later, earlier) in &earlier_of_one_name {
        let (Some((name, spot)), Some((_, first))) = (names[*later], names[*earlier]) else { continue };
        let message = format!("there is a zone `{name}` already: {}", place(report, first));
        report.add(spot.clone(), message, "another name, or one of the two manifests");
    }
    let addresses = zones.iter().flat_map(|facts| &facts.addresses);
    twice(addresses.map(|(link, address, spot)| ((link, address), spot)), report, |(link, address)| {
        (format!("the address {address} on `{link}`"), "an address of its own")
    });
    let macs = zones.iter().flat_map(|facts| &facts.macs);
    twice(macs.map(|(link, mac, spot)| ((link, mac), spot)), report, |(link, mac)| {
        (format!("the hardware address {mac} on `{link}`"), "another one, or none: Reeve then makes one")
    });
}

/// The rules between a zone and those that it depends on: they are there, and no zone depends on itself by way of others.
pub(crate) fn dependencies(zones: &[&Facts], report: &mut Report) {
    let mut by_name: BTreeMap<&ZoneName, &Facts> = BTreeMap::new();
    for facts in zones {
        if let Some((name, _)) = &facts.name {
            by_name.entry(name).or_insert(facts);
        }
    }
    for facts in zones {
        for (zone, spot, healthy) in &facts.dependencies {
            if let Some(other) = by_name.get(zone) {
                if *healthy && !other.health {
                    let message = format!("zone `{zone}` has no health check to wait for");
                    report.add(spot.clone(), message, "`health:` in its manifest, or `until: running`");
                }
                continue;
            }
            let near = suggest::nearest(zone.as_str(), by_name.keys().map(|name| name.as_str()));
            let help = match near {
                Some(near) => format!("did you mean `{near}`?"),
                None => "the name of a zone of the same host".to_owned(),
            };
            report.add(spot.clone(), format!("there is no zone `{zone}` to depend on"), help);
        }
    }
    for cycle in cycles(&by_name) {
        let names: Vec<&str> = cycle.iter().chain(cycle.first()).map(|(name, _)| name.as_str()).collect();
        let Some((_, spot)) = cycle.iter().min_by_key(|(_, spot)| *spot) else { continue };
        if let [zone, _] = names.as_slice() {
            report.add((*spot).clone(), format!("zone `{zone}` depends on itself"), "other zones, or no `dependsOn`");
            continue;
        }
        let at: Vec<String> = cycle.iter().map(|(name, spot)| format!("{name} at {}", place(report, spot))).collect();
        let message = format!("zones depend on each other: {}", names.join(" > "));
        report.add((*spot).clone(), message, format!("take one of these out: {}", at.join(", ")));
    }
}

/// The zones of each cycle, each with the place where it names the next one. A zone is in one cycle at most of those that
/// are found; what is left when that one is mended is found then.
fn cycles<'f>(by_name: &BTreeMap<&'f ZoneName, &'f Facts>) -> Vec<Vec<(&'f ZoneName, &'f Spot)>> {
    let mut done: BTreeSet<&ZoneName> = BTreeSet::new();
    let mut found = Vec::new();
    for start in by_name.keys() {
        // The way from the start to where it is now: the zone, the next of its dependencies, and the place that led on.
        let mut way: Vec<(&ZoneName, usize, Option<&Spot>)> = vec![(start, 0, None)];
        while let Some((zone, next, _)) = way.last_mut() {
            let (zone, at) = (*zone, *next);
            *next += 1;
            let dependencies = by_name.get(zone).map_or(&[][..], |facts| facts.dependencies.as_slice());
            let Some((other, spot, _)) = dependencies.get(at).filter(|_| !done.contains(zone)) else {
                done.insert(zone);
                way.pop();
                continue;
            };
            if let Some(last) = way.last_mut() {
                last.2 = Some(spot);
            }
            if let Some(from) = way.iter().position(|(zone, ..)| *zone == other) {
                found.push(way[from..].iter().filter_map(|(zone, _, spot)| Some((*zone, (*spot)?))).collect());
                done.extend(way.iter().map(|(zone, ..)| *zone));
                break;
            }
            if let Some((name, _)) = by_name.get_key_value(other).filter(|(name, _)| !done.contains(**name)) {
                way.push((name, 0, None));
            }
        }
    }
    found
}

/// A place as a message names it.
pub(crate) fn place(report: &Report, spot: &Spot) -> String {
    format!("{}:{}:{}", report.file_name(spot.place), spot.place.line, spot.place.column)
}

/// For each zone whose name an earlier zone has, that one.
fn earlier_of_one_name(names: &[Option<&(ZoneName, Spot)>]) -> BTreeMap<usize, usize> {
    let mut order: Vec<(&Spot, &ZoneName, usize)> = Vec::new();
    order.extend(names.iter().enumerate().filter_map(|(index, name)| name.map(|(name, spot)| (spot, name, index))));
    order.sort();
    let mut first = BTreeMap::new();
    let mut earlier = BTreeMap::new();
    for (_, name, index) in order {
        let before = *first.entry(name).or_insert(index);
        if before != index {
            earlier.insert(index, before);
        }
    }
    earlier
}

/// Notes every value that an earlier place has too.
fn twice<'s, K: Ord>(
    values: impl Iterator<Item = (K, &'s Spot)>,
    report: &mut Report,
    say: impl Fn(&K) -> (String, &'static str),
) {
    let mut values: Vec<(K, &Spot)> = values.collect();
    values.sort();
    for group in values.chunk_by(|a, b| a.0 == b.0) {
        for (value, spot) in &group[1..] {
            let (what, help) = say(value);
            let message = format!("{what} is taken: {}", place(report, group[0].1));
            report.add((*spot).clone(), message, help);
        }
    }
}

/// A zonepath.
struct Zonepath {
    path: String,
    /// Index of the zone.
    zone: usize,
    /// Where it is written; without that, where the zone's name is.
    spot: Spot,
    /// Whether the manifest has it.
    written: bool,
}

/// Zonepaths by their text; of one text, in the order given.
fn by_path(paths: &[Zonepath]) -> BTreeMap<&str, Vec<&Zonepath>> {
    let mut by_path: BTreeMap<&str, Vec<&Zonepath>> = BTreeMap::new();
    for zonepath in paths {
        by_path.entry(&zonepath.path).or_default().push(zonepath);
    }
    by_path
}

/// The outermost zonepath that is `of` or holds it: one look-up per part of the path, however many zones there are.
fn holder<'p>(by_path: &BTreeMap<&'p str, Vec<&'p Zonepath>>, of: &str) -> Option<&'p Zonepath> {
    let ends = of.char_indices().skip(1).filter(|(_, c)| *c == '/').map(|(at, _)| at).chain([of.len()]);
    ends.filter_map(|end| by_path.get(&of[..end])).flatten().next().copied()
}

/// Notes every zonepath that is another zone's, lies in it or holds it.
fn overlapping_zonepaths(paths: &[Zonepath], report: &mut Report) {
    const HELP: &str = "a folder apart from all other zonepaths";
    let by_path = by_path(paths);
    let mut holds = BTreeSet::new();
    for zonepath in paths {
        let Some(other) = holder(&by_path, &zonepath.path) else { continue };
        if std::ptr::eq(other, zonepath) {
            continue;
        }
        let (path, outer) = (&zonepath.path, &other.path);
        if other.written && !zonepath.written {
            // A folder around all default zonepaths is one mistake, however many zones are in it.
            if holds.insert(outer) {
                let message =
                    format!("the zonepath `{outer}` holds that of another zone: {}", place(report, &zonepath.spot));
                report.add(other.spot.clone(), message, HELP);
            }
            continue;
        }
        let what = if path == outer { "is" } else { "lies in" };
        let message = format!("the zonepath `{path}` {what} that of another zone: {}", place(report, &other.spot));
        report.add(zonepath.spot.clone(), message, HELP);
    }
}

/// Notes every directory of the host that a zone would see and that holds a zonepath or lies in one: what is in a
/// zonepath belongs to its zone, and only its folder's mode 0700 keeps users of the host out of it.
fn shared_zonepaths<'d>(
    paths: &[Zonepath],
    directories: impl Iterator<Item = &'d (String, Spot)>,
    report: &mut Report,
) {
    let by_path = by_path(paths);
    for (directory, spot) in directories {
        let below = || {
            let inside = if directory == "/" { directory.clone() } else { format!("{directory}/") };
            let next = by_path.range::<str, _>((Bound::Included(inside.as_str()), Bound::Unbounded)).next();
            next.filter(|(text, _)| path::within(text, directory)).map(|(_, zonepaths)| zonepaths[0])
        };
        let Some(zonepath) = holder(&by_path, directory).or_else(below) else { continue };
        let what = if path::within(directory, &zonepath.path) { "lies in" } else { "holds" };
        let message = format!("`{directory}` {what} the zonepath `{}`", zonepath.path);
        report.add(spot.clone(), message, "a directory of the host apart from all zonepaths");
    }
}
