//! The rules between zones: names, zonepaths, addresses. Each problem stands at the later place and names the earlier.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use crate::decode::Facts;
use crate::path;
use crate::source::{Report, Spot};

/// Checks what the zones of a set have in common. `zonepaths` is the folder of the zonepaths that no manifest names.
pub(crate) fn between_zones(facts: Facts, zonepaths: &str, report: &mut Report) {
    let Facts { names, zonepaths: named, default_zonepaths, addresses, macs, host_directories, .. } = facts;

    // A default zonepath stands where the zone's name does: there is no better place to show.
    let default = default_zonepaths.iter().map(|index| {
        let (name, spot) = &names[*index];
        let path = format!("{}/{name}", zonepaths.trim_end_matches('/'));
        Zonepath { path, zone: Some(*index), spot: spot.clone(), written: false }
    });
    let written = named.into_iter().map(|(path, zone, spot)| Zonepath { path, zone, spot, written: true });
    let mut paths: Vec<Zonepath> = default.chain(written).collect();
    let earlier_of_one_name = earlier_of_one_name(&names);
    paths.retain(|zonepath| zonepath.zone.is_none_or(|index| !earlier_of_one_name.contains_key(&index)));
    // Written ones come last, so that the problem stands where there is something to change.
    paths.sort_by(|a, b| (a.written, &a.spot).cmp(&(b.written, &b.spot)));
    overlapping_zonepaths(&paths, report);
    shared_zonepaths(&paths, host_directories, report);

    for (later, earlier) in &earlier_of_one_name {
        let (name, spot) = &names[*later];
        let message = format!("there is a zone `{name}` already: {}", place(report, &names[*earlier].1));
        report.add(spot.clone(), message, "another name, or one of the two manifests");
    }
    twice(addresses.into_iter().map(|(link, address, spot)| ((link, address), spot)), report, |(link, address)| {
        (format!("the address {address} on `{link}`"), "an address of its own")
    });
    twice(macs.into_iter().map(|(link, mac, spot)| ((link, mac), spot)), report, |(link, mac)| {
        (format!("the hardware address {mac} on `{link}`"), "another one, or none: Reeve then makes one")
    });
}

/// A place as a message names it.
fn place(report: &Report, spot: &Spot) -> String {
    format!("{}:{}:{}", report.file_name(spot.file), spot.place.line, spot.place.column)
}

/// For each zone whose name an earlier zone has, that one.
fn earlier_of_one_name(names: &[(crate::name::ZoneName, Spot)]) -> BTreeMap<usize, usize> {
    let mut order: Vec<usize> = (0..names.len()).collect();
    order.sort_by_key(|index| &names[*index].1);
    let mut first = BTreeMap::new();
    let mut earlier = BTreeMap::new();
    for index in order {
        let before = *first.entry(&names[index].0).or_insert(index);
        if before != index {
            earlier.insert(index, before);
        }
    }
    earlier
}

/// Notes every value that an earlier place has too.
fn twice<K: Ord>(
    values: impl Iterator<Item = (K, Spot)>,
    report: &mut Report,
    say: impl Fn(&K) -> (String, &'static str),
) {
    let mut values: Vec<(K, Spot)> = values.collect();
    values.sort();
    for group in values.chunk_by(|a, b| a.0 == b.0) {
        for (value, spot) in &group[1..] {
            let (what, help) = say(value);
            let message = format!("{what} is taken: {}", place(report, &group[0].1));
            report.add(spot.clone(), message, help);
        }
    }
}

/// A zonepath.
struct Zonepath {
    path: String,
    /// Index of the zone's name.
    zone: Option<usize>,
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
fn shared_zonepaths(paths: &[Zonepath], directories: Vec<(String, Spot)>, report: &mut Report) {
    let by_path = by_path(paths);
    for (directory, spot) in directories {
        let below = || {
            let inside = if directory == "/" { directory.clone() } else { format!("{directory}/") };
            let next = by_path.range::<str, _>((Bound::Included(inside.as_str()), Bound::Unbounded)).next();
            next.filter(|(text, _)| path::within(text, &directory)).map(|(_, zonepaths)| zonepaths[0])
        };
        let Some(zonepath) = holder(&by_path, &directory).or_else(below) else { continue };
        let what = if path::within(&directory, &zonepath.path) { "lies in" } else { "holds" };
        let message = format!("`{directory}` {what} the zonepath `{}`", zonepath.path);
        report.add(spot, message, "a directory of the host apart from all zonepaths");
    }
}
