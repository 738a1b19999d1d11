//! Decodes selectors.

use std::collections::BTreeMap;
use std::str::FromStr;

use super::{at_most, note_key};
use crate::manifest::{HostSelector, Operator, Requirement, ZoneSelector};
use crate::node::{Node, Value};
use crate::reader::{Object, Reader};
use crate::shape::{Shape, may, must};
use crate::text::TextError;

pub(super) const HOSTS: Shape = Shape {
    name: "HostSelector",
    what: "a selector of hosts",
    fields: &[
        may("names", "[web1, web2]"),
        may("matchLabels", "{site: berlin}"),
        may("matchExpressions", "[{key: site, operator: In, values: [berlin]}]"),
    ],
    later: &[],
    foreign: &[("labels", "`matchLabels:`"), ("name", "`names:` with a list")],
};

pub(super) const ZONES: Shape = Shape {
    name: "ZoneSelector",
    what: "a selector of zones",
    fields: &[
        may("names", "[web, shop]"),
        may("matchLabels", "{app: shop}"),
        may("matchExpressions", "[{key: app, operator: In, values: [shop]}]"),
    ],
    later: &[],
    foreign: &[("labels", "`matchLabels:`"), ("name", "`names:` with a list")],
};

pub(super) const REQUIREMENT: Shape = Shape {
    name: "Requirement",
    what: "an expression",
    fields: &[must("key", "site"), must("operator", "In"), may("values", "[berlin, paris]")],
    later: &[],
    foreign: &[],
};

/// How labels are compared.
pub(super) const OPERATORS: [(&str, Operator); 4] = [
    ("In", Operator::In),
    ("NotIn", Operator::NotIn),
    ("Exists", Operator::Exists),
    ("DoesNotExist", Operator::DoesNotExist),
];

/// The most names, expressions and values of a selector.
const ITEMS_MAX: usize = 1000;

/// Decodes a selector of hosts. `every` is what to write where all are meant.
pub(super) fn hosts(r: &mut Reader, node: &Node, every: &str) -> Option<HostSelector> {
    let map = r.object(node, &HOSTS)?;
    let (names, match_labels, match_expressions) = parts(r, node, &map, every)?;
    Some(HostSelector { names, match_labels, match_expressions })
}

/// Decodes a selector of zones.
pub(super) fn zones(r: &mut Reader, node: &Node) -> Option<ZoneSelector> {
    let map = r.object(node, &ZONES)?;
    let every = "`names: [web]` or `matchLabels: {app: shop}`: which zones are patched is always said";
    let (names, match_labels, match_expressions) = parts(r, node, &map, every)?;
    Some(ZoneSelector { names, match_labels, match_expressions })
}

/// What a selector is made of.
type Parts<N> = (Vec<N>, BTreeMap<String, String>, Vec<Requirement>);

/// Decodes the fields of a selector, one of which must say something.
fn parts<N: FromStr<Err = TextError>>(r: &mut Reader, node: &Node, map: &Object, every: &str) -> Option<Parts<N>> {
    let names = map.or_default(r, "names", |r, node| {
        filled(r, node)?;
        r.list(node, |r, node| r.parsed::<N>(node))
    });
    let labels = map.or_default(r, "matchLabels", |r, node| r.text_map(node, note_key));
    let expressions = map.or_default(r, "matchExpressions", |r, node| {
        at_most(r, node, ITEMS_MAX)?;
        r.list(node, requirement)
    });
    let (names, labels, expressions) = (names?, labels?, expressions?);
    let keys_known =
        matches!(&node.value, Value::Map(entries) if entries.iter().all(|(key, _)| HOSTS.field(&key.text).is_some()));
    if names.is_empty() && labels.is_empty() && expressions.is_empty() {
        // An unknown key was noted already.
        if keys_known {
            r.problem(node.place, "the selector is empty", every);
        }
        return None;
    }
    Some((names, labels, expressions))
}

/// Notes a list that is empty or too long.
fn filled(r: &mut Reader, node: &Node) -> Option<()> {
    if node.value == Value::List(Vec::new()) {
        let help = format!("such as {}, or leave the field out", r.example());
        r.problem(node.place, "the list is empty, so that nothing would match", help);
        return None;
    }
    at_most(r, node, ITEMS_MAX)
}

/// Decodes an expression.
fn requirement(r: &mut Reader, node: &Node) -> Option<Requirement> {
    let map = r.object(node, &REQUIREMENT)?;
    let key = map.required(r, "key", |r, node| r.parsed_by(node, |text| note_key(text).map(|()| text.to_owned())));
    let operator = map.required(r, "operator", |r, node| r.choice(node, "operator", &OPERATORS));
    let values = map.or_default(r, "values", |r, node| {
        at_most(r, node, ITEMS_MAX)?;
        r.list(node, |r, node| r.text(node).map(str::to_owned))
    });
    let (key, operator, values) = (key?, operator?, values?);
    let compares = matches!(operator, Operator::In | Operator::NotIn);
    if compares == values.is_empty() {
        let (message, help) = match compares {
            true => ("`In` and `NotIn` need values to compare with", "such as `values: [berlin, paris]`"),
            false => ("`Exists` and `DoesNotExist` compare with no values", "leave `values` out, or `In`"),
        };
        let place = map.key("values").unwrap_or(node.place);
        r.at("values", |r| r.problem(place, message, help));
        return None;
    }
    Some(Requirement { key, operator, values })
}
