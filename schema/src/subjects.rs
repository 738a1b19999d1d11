//! What a file of manifests is about, whether or not the manifests are right: each document's kind and name, so that it can be
//! told whose zones a change touches. Read by the same tree as the manifests themselves, so that nothing means one thing
//! here and another there.

use serde_json::{Map, Value as Json};

use crate::load::{Limits, SourceFile};
use crate::node::{Node, Value, documents};
use crate::source::Report;

/// One document of a file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Subject {
    /// Its kind, as written.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// All of it, in a form in which two documents are the same if they say the same.
    pub content: String,
}

/// The documents of a file; none where it is no YAML that is read, or a document has no kind or name, or has a key twice.
#[must_use]
pub fn subjects(file: &SourceFile, limits: &Limits) -> Option<Vec<Subject>> {
    if file.text.len() > limits.file_bytes {
        return None;
    }
    let mut report = Report::new([file].into(), 1);
    let nodes = documents(0, file, limits, &mut report);
    if !report.is_empty() {
        return None;
    }
    nodes.iter().map(subject).collect()
}

/// The documents that are in one file and not, or otherwise, in the other.
#[must_use]
pub fn changed(old: &[Subject], new: &[Subject]) -> Vec<Subject> {
    let without = |all: &[Subject], others: &[Subject]| -> Vec<Subject> {
        all.iter().filter(|subject| !others.contains(subject)).cloned().collect()
    };
    let mut changed = [without(old, new), without(new, old)].concat();
    changed.sort();
    changed.dedup_by(|a, b| (&a.kind, &a.name) == (&b.kind, &b.name));
    changed
}

fn subject(node: &Node) -> Option<Subject> {
    let json = json(node)?;
    let text = |value: &Json| value.as_str().map(str::to_owned);
    Some(Subject { kind: text(&json["kind"])?, name: text(&json["metadata"]["name"])?, content: json.to_string() })
}

fn json(node: &Node) -> Option<Json> {
    Some(match &node.value {
        Value::Null => Json::Null,
        Value::Bool(value) => Json::Bool(*value),
        // `1` and `"1"` are not the same.
        Value::Number(text) => Json::Array(vec![Json::String(text.clone())]),
        Value::Text(text) => Json::String(text.clone()),
        Value::List(items) => Json::Array(items.iter().map(json).collect::<Option<_>>()?),
        Value::Map(entries) => {
            let mut map = Map::new();
            for (key, value) in entries {
                if map.insert(key.text.clone(), json(value)?).is_some() {
                    return None;
                }
            }
            Json::Object(map)
        }
        Value::Broken => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Option<Vec<Subject>> {
        subjects(&SourceFile { path: "x.yaml".into(), text: text.into() }, &Limits::default())
    }

    #[test]
    fn documents_are_told_apart_by_kind_and_name() {
        let old =
            read("kind: Zone\nmetadata: {name: a}\nspec: {x: 1}\n---\nkind: Zone\nmetadata: {name: b}\n").unwrap();
        let new =
            read("# moved\nmetadata: {name: b}\nkind: Zone\n---\nkind: Zone\nmetadata: {name: a}\nspec: {x: '1'}\n")
                .unwrap();
        let names: Vec<String> = changed(&old, &new).into_iter().map(|subject| subject.name).collect();
        assert_eq!(names, ["a"]);
        assert_eq!(changed(&old, &[]).len(), 2);
        assert!(changed(&old, &old).is_empty());
    }

    #[test]
    fn what_is_not_clear_is_nothing() {
        for text in [
            "kind: Zone",
            "a: [",
            "kind: Zone\nkind: Host\nmetadata: {name: a}",
            "kind: Zone\nmetadata: {name: 1}",
            "[]",
        ] {
            assert_eq!(read(text), None, "{text}");
        }
        assert_eq!(read("# nothing\n").unwrap().len(), 0);
    }
}
