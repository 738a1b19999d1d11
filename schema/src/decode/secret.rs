//! Decodes the values of `init.env`: texts and secrets.

use super::absolute;
use crate::manifest::{AgeSecret, EnvValue, FileSecret};
use crate::node::{Node, Value};
use crate::path;
use crate::reader::Reader;
use crate::shape::{Shape, may, must};
use crate::source::Spot;

/// A file beside the manifest that a variable names, for whoever reads it.
#[derive(Clone, Debug)]
pub(crate) struct AgeUse {
    /// The variable.
    pub variable: String,
    /// The path, as written.
    pub path: String,
    /// Where it is written.
    pub spot: Spot,
}

/// An example of a secret out of a file of the host.
const FILE: &str = "/etc/reeve/secrets/db";
/// An example of an encrypted one.
const AGE: &str = "secrets/db.age";

pub(super) const FILE_SECRET: Shape = Shape {
    name: "FileSecret",
    what: "a secret out of a file",
    fields: &[must("fromFile", FILE)],
    later: &[],
    foreign: FOREIGN,
};

pub(super) const AGE_SECRET: Shape = Shape {
    name: "AgeSecret",
    what: "an encrypted secret",
    fields: &[must("fromAge", AGE)],
    later: &[],
    foreign: FOREIGN,
};

/// What is neither of them yet.
const SECRET: Shape = Shape {
    name: "",
    what: "a value that is a map",
    fields: &[may("fromFile", FILE), may("fromAge", AGE)],
    later: &[],
    foreign: FOREIGN,
};

const FOREIGN: &[(&str, &str)] = &[
    ("valueFrom", "`fromFile:` or `fromAge:`"),
    ("secretKeyRef", "`fromFile:` or `fromAge:`"),
    ("file", "`fromFile:`"),
    ("age", "`fromAge:`"),
    ("value", "the text itself without a map, or the file alone"),
    ("ciphertext", "nothing: Reeve fills it in"),
];

/// Decodes the value of a variable; a file that it needs goes into `files`.
pub(super) fn value(r: &mut Reader, node: &Node, variable: &str, files: &mut Vec<AgeUse>) -> Option<EnvValue> {
    let Value::Map(entries) = &node.value else {
        return r.text(node).map(|text| EnvValue::Text(text.to_owned()));
    };
    let has = |key: &str| entries.iter().any(|(found, _)| found.text == key);
    match (has("fromFile"), has("fromAge")) {
        (true, true) => {
            r.problem(node.place, "`fromFile` and `fromAge` contradict each other", "one of the two");
            None
        }
        (true, false) => {
            let map = r.object(node, &FILE_SECRET)?;
            let from_file = map.required(r, "fromFile", from_file)?;
            Some(EnvValue::FromFile(FileSecret { from_file, value: None }))
        }
        (false, true) => {
            let map = r.object(node, &AGE_SECRET)?;
            let from_age = map.required(r, "fromAge", |r, node| {
                let path = from_age(r, node)?;
                files.push(AgeUse { variable: variable.to_owned(), path: path.clone(), spot: r.spot(node.place) });
                Some(path)
            })?;
            Some(EnvValue::FromAge(AgeSecret { from_age, ciphertext: None, value: None }))
        }
        (false, false) => {
            if entries.is_empty() {
                let help = format!("text, `{{fromFile: {FILE}}}` or `{{fromAge: {AGE}}}`");
                r.problem(node.place, "the map is empty: it does not say where the value is", help);
                return None;
            }
            // Every key of it is unknown, and noted.
            r.object(node, &SECRET);
            None
        }
    }
}

/// A file of the host.
fn from_file(r: &mut Reader, node: &Node) -> Option<String> {
    let path = absolute(r, node)?;
    if path::parts(&path).next().is_none() {
        r.problem(node.place, "`/` is no file", format!("the absolute path of a file, such as {FILE}"));
        return None;
    }
    Some(path)
}

/// A file beside the manifest.
fn from_age(r: &mut Reader, node: &Node) -> Option<String> {
    let path = r.text(node)?;
    match path::check_beside(path, ".age", AGE) {
        Ok(()) => Some(path.to_owned()),
        Err(error) => {
            r.problem(node.place, error.message, error.help);
            None
        }
    }
}
