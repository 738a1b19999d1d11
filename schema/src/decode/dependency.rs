//! Decodes `dependsOn`.

use super::{Facts, at_most};
use crate::manifest::{Dependency, Until};
use crate::name::ZoneName;
use crate::node::Node;
use crate::reader::Reader;
use crate::shape::{Shape, may, must};

pub(super) const DEPENDENCY: Shape = Shape {
    name: "Dependency",
    what: "a dependency",
    fields: &[must("zone", "db"), may("until", "running")],
    later: &[],
    foreign: &[("name", "`zone:`"), ("condition", "`until:`")],
};

/// What may be waited for.
pub(super) const UNTIL: [(&str, Until); 2] = [("running", Until::Running), ("healthy", Until::Healthy)];

/// Decodes `dependsOn`; each zone that is named goes into `facts`.
pub(super) fn dependencies(r: &mut Reader, node: &Node, facts: &mut Facts) -> Option<Vec<Dependency>> {
    at_most(r, node, Dependency::MAX)?;
    let mut named: Vec<ZoneName> = Vec::new();
    r.list(node, |r, node| {
        let map = r.object(node, &DEPENDENCY)?;
        let zone = map.required(r, "zone", |r, node| {
            let zone = r.parsed::<ZoneName>(node)?;
            if named.contains(&zone) {
                r.problem(node.place, format!("zone `{zone}` is named already"), "each zone once");
                return None;
            }
            named.push(zone.clone());
            Some((zone, r.spot(node.place)))
        });
        let until = map.or_default(r, "until", |r, node| r.choice(node, "state to wait for", &UNTIL));
        let (zone, spot) = zone?;
        facts.dependencies.push((zone.clone(), spot, until == Some(Until::Healthy)));
        Some(Dependency { zone, until: until? })
    })
}
