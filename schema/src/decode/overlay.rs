//! Decodes an overlay. Its patch stays a tree: what it makes of a zone is decoded as the zone's own manifest is.

use super::{Document, selector, zone};
use crate::manifest::{HostSelector, ZoneSelector};
use crate::name::ManifestName;
use crate::node::{Node, Value};
use crate::reader::Reader;
use crate::shape::{Shape, must};
use crate::source::{Report, Spot};

pub(super) const OVERLAY: Shape = Shape {
    name: "Overlay",
    what: "an overlay",
    fields: &[
        must("apiVersion", "reeve.dev/v1alpha1"),
        must("kind", "Overlay"),
        must("metadata", "{name: berlin}"),
        must("spec", "{hosts: {names: [web1]}, zones: {names: [web]}, patch: {spec: {state: ready}}}"),
    ],
    later: &[],
    foreign: &[],
};

pub(super) const METADATA: Shape = Shape {
    name: "OverlayMetadata",
    what: "an overlay's metadata",
    fields: &[must("name", "berlin")],
    later: &[],
    foreign: &[],
};

pub(super) const SPEC: Shape = Shape {
    name: "OverlaySpec",
    what: "an overlay's spec",
    fields: &[
        must("hosts", "{matchLabels: {site: berlin}}"),
        must("zones", "{names: [web]}"),
        must("patch", "{spec: {state: ready}}"),
    ],
    later: &[],
    foreign: &[],
};

pub(super) const PATCH: Shape = Shape {
    name: "Patch",
    what: "a patch",
    fields: &[must("spec", "{state: ready}")],
    later: &[],
    foreign: &[("metadata", "nothing: only `spec` can be patched")],
};

/// An overlay of a set.
#[derive(Clone, Debug)]
pub(crate) struct OverlayEntry {
    /// Its name.
    pub name: ManifestName,
    /// Where its name stands.
    pub name_spot: Spot,
    /// On which hosts it acts.
    pub hosts: HostSelector,
    /// On which zones.
    pub zones: ZoneSelector,
    /// Where the selector of zones stands.
    pub zones_spot: Spot,
    /// The fields of the spec that it sets.
    pub patch: Node,
}

/// Reads an overlay's document. `None` if it has a problem.
pub(crate) fn overlay(node: &Node, report: &mut Report) -> Option<OverlayEntry> {
    const EVERY: &str = "`names: [web1]`, `matchLabels: {site: berlin}`; \
                         `matchExpressions: [{key: reeve.dev/host, operator: Exists}]` for every host";
    let mut r = Reader::new(report, Document::Overlay.as_str());
    let map = r.object(node, &OVERLAY)?;
    let name = map.required(&mut r, "metadata", |r, node| {
        let map = r.object(node, &METADATA)?;
        map.required(r, "name", |r, node| Some((r.parsed(node)?, r.spot(node.place))))
    });
    let spec = map.required(&mut r, "spec", |r, node| {
        let map = r.object(node, &SPEC)?;
        let hosts = map.required(r, "hosts", |r, node| selector::hosts(r, node, EVERY));
        let zones = map.required(r, "zones", |r, node| Some((selector::zones(r, node)?, r.spot(node.place))));
        let patch = map.required(r, "patch", patch);
        Some((hosts?, zones?, patch?))
    });
    let whole = map.key("apiVersion").is_some() && map.key("kind").is_some();
    let ((name, name_spot), (hosts, (zones, zones_spot), patch)) = (name?, spec?);
    whole.then_some(OverlayEntry { name, name_spot, hosts, zones, zones_spot, patch })
}

/// Decodes `patch`: the fields of a zone's spec, as they stand.
fn patch(r: &mut Reader, node: &Node) -> Option<Node> {
    let map = r.object(node, &PATCH)?;
    map.required(r, "spec", |r, node| {
        let Value::Map(entries) = &node.value else {
            // Says what is there and what should be.
            r.object(node, &PATCH)?;
            return None;
        };
        let mut whole = Some(());
        for (key, _) in entries {
            if key.text == "hosts" {
                let help = "`hosts` in the zone's own manifest";
                r.at("hosts", |r| r.problem(key.place, "where a zone is cannot be patched", help));
                whole = None;
            } else if zone::SPEC.field(&key.text).is_none() {
                r.unknown(key.place, &key.text, &zone::SPEC);
                whole = None;
            }
        }
        if entries.is_empty() {
            r.problem(node.place, "the patch changes nothing", "such as `spec: {state: ready}`");
            whole = None;
        }
        r.keys_once(node)?;
        whole.map(|()| node.clone())
    })
}
