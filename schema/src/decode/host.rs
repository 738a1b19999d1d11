//! Decodes a host manifest.

use super::{Document, labels, note_key};
use crate::manifest::{ApiVersion, Host, HostKind, HostMetadata};
use crate::node::Node;
use crate::reader::Reader;
use crate::shape::{Shape, may, must};
use crate::source::{Report, Spot};

pub(super) const HOST: Shape = Shape {
    name: "Host",
    what: "a host",
    fields: &[must("apiVersion", "reeve.dev/v1alpha1"), must("kind", "Host"), must("metadata", "{name: web1}")],
    later: &[],
    foreign: &[
        ("spec", "nothing: a host has a name and labels; what it follows is in its own configuration"),
        ("status", "nothing: what a host is, is never written in its manifest"),
    ],
};

pub(super) const METADATA: Shape = Shape {
    name: "HostMetadata",
    what: "a host's metadata",
    fields: &[must("name", "web1"), may("labels", "{site: berlin}"), may("annotations", "{owner: the web team}")],
    later: &[],
    foreign: &[],
};

/// Reads a host's document, with the place of its name. `None` if it has a problem.
pub(crate) fn host(node: &Node, report: &mut Report) -> Option<(Host, Spot)> {
    let mut r = Reader::new(report, Document::Host.as_str());
    let map = r.object(node, &HOST)?;
    let metadata = map.required(&mut r, "metadata", |r, node| {
        let map = r.object(node, &METADATA)?;
        let name = map.required(r, "name", |r, node| Some((r.parsed(node)?, r.spot(node.place))));
        let labels = map.or_default(r, "labels", labels);
        let annotations = map.or_default(r, "annotations", |r, node| r.text_map(node, note_key));
        let (name, spot) = name?;
        Some((HostMetadata { name, labels: labels?, annotations: annotations? }, spot))
    });
    let whole = map.key("apiVersion").is_some() && map.key("kind").is_some();
    let (metadata, spot) = metadata?;
    whole.then_some((Host { api_version: ApiVersion::V1Alpha1, kind: HostKind::Host, metadata }, spot))
}
