//! What was seen of the platform when the zone came up, against what is seen now: mounts, links, routes, devices and the rest
//! that a manifest does not spell out, each as a field with a text.

use std::collections::BTreeSet;

use super::Price;
use crate::observed::{Platform, Who};

/// A field of the platform that is otherwise than it was.
pub(super) struct Otherwise {
    pub field: String,
    pub recorded: Option<String>,
    pub observed: Option<String>,
    pub price: Price,
    pub who: Option<Who>,
}

/// Every field that is otherwise than `before`, in the order of their names.
pub(super) fn otherwise(before: &Platform, now: &Platform, up: bool) -> Vec<Otherwise> {
    let mut out: Vec<Otherwise> = Vec::new();
    let names: BTreeSet<&String> = before.fields.keys().chain(now.fields.keys()).collect();
    for name in names {
        let group = Platform::group(name);
        let both = before.looked.contains(group) && now.looked.contains(group);
        if !both || !(up || group == "files") {
            continue;
        }
        let (was, is) = (before.fields.get(name), now.fields.get(name));
        // Of what is gone or another one, the details are not told as well.
        let part_of = |one: &Otherwise| name.strip_prefix(one.field.as_str()).is_some_and(|rest| rest.starts_with('.'));
        if holds(group, was, is) || out.iter().any(part_of) || is_lost_above(name, now) {
            continue;
        }
        let price = price(name, group, was.is_some(), is.is_some());
        out.push(Otherwise { field: name.clone(), recorded: was.cloned(), observed: is.cloned(), price, who: None });
    }
    if up {
        out.extend(now.strangers.iter().map(|who| Otherwise {
            field: format!("processes.{}", who.pid),
            recorded: None,
            observed: Some(who.to_string()),
            price: Price::Live,
            who: Some(who.clone()),
        }));
    }
    out
}

/// Whether this is a mount of init's that zsched has not got any more either: then it was not looked for.
fn is_lost_above(name: &str, now: &Platform) -> bool {
    const OWN: [&str; 3] = ["/proc", "/run", "/sys/fs/cgroup"];
    let point = name.strip_prefix("environment.").filter(|point| !OWN.contains(point));
    point.is_some_and(|point| !now.fields.contains_key(&format!("fs.{point}")))
}

/// Whether a field is as it was, or what it became is the zone's own matter.
fn holds(group: &str, was: Option<&String>, is: Option<&String>) -> bool {
    match (group, was, is) {
        (_, was, is) if was == is => true,
        // Links and mounts that the zone's root made in its own namespaces.
        ("net" | "environment", None, Some(_)) => true,
        // A cgroup goes with what was in it: that shows in the state.
        ("cgroup", Some(_), None) => true,
        // One that came since is as it was made.
        ("cgroup", None, Some(is)) => is == "0",
        // It may take more away from itself, never less.
        ("environment", Some(was), Some(is)) => was.split(',').all(|word| is.split(',').any(|other| other == word)),
        // More addresses on a bridge are the host's own matter.
        ("bridge", Some(was), Some(is)) => was.split(' ').all(|word| is.split(' ').any(|other| other == word)),
        ("bridge", None, Some(_)) => true,
        // Without a link that is a port of it, nobody looked at it: that shows in the link.
        ("bridge", Some(_), None) => true,
        _ => false,
    }
}

fn price(name: &str, group: &str, was: bool, is: bool) -> Price {
    match group {
        "environment" => Price::Restart,
        "fs" if name.ends_with(".superblock") || (was && !name.ends_with(".options")) => Price::Rebuild,
        "net" if !is => Price::Rebuild,
        _ => Price::Live,
    }
}
