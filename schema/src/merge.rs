//! Merge patches on trees (RFC 7386), so that each value of what comes out still knows where it was written. Stricter than
//! the RFC: what a patch sets must be there, and two patches of one zone must not contradict each other.

use std::collections::BTreeMap;

use serde_json::Value as Json;

use crate::node::{Key, Node, Value};
use crate::source::{Place, push_key};

/// The entries of a map by key, with their indexes; empty for what is no map.
fn index(node: Option<&Node>) -> BTreeMap<&str, usize> {
    match node.map(|node| &node.value) {
        Some(Value::Map(entries)) => entries.iter().enumerate().map(|(at, (key, _))| (key.text.as_str(), at)).collect(),
        _ => BTreeMap::new(),
    }
}

/// The value at an index of a map.
fn at(node: &Node, index: usize) -> Option<&Node> {
    match &node.value {
        Value::Map(entries) => entries.get(index).map(|(_, value)| value),
        _ => None,
    }
}

/// What a patch makes of a value: maps merge, null takes away, everything else replaces.
pub(crate) fn patched(target: Option<&Node>, patch: &Node) -> Node {
    let Value::Map(changes) = &patch.value else { return patch.clone() };
    let (place, entries) = match target {
        Some(Node { place, value: Value::Map(entries) }) => (*place, entries.as_slice()),
        _ => (patch.place, [].as_slice()),
    };
    let known = index(target);
    let mut entries: Vec<Option<(Key, Node)>> = entries.iter().cloned().map(Some).collect();
    for (key, change) in changes {
        let slot = known.get(key.text.as_str()).copied();
        let before = slot.and_then(|slot| entries[slot].take());
        if change.value == Value::Null {
            continue;
        }
        let value = patched(before.as_ref().map(|(_, value)| value), change);
        // The key of what was only merged into stays where it was written.
        let merged =
            matches!(&before, Some((_, Node { value: Value::Map(_), .. }))) && matches!(change.value, Value::Map(_));
        let key = before.filter(|_| merged).map_or_else(|| key.clone(), |(key, _)| key);
        match slot {
            Some(slot) => entries[slot] = Some((key, value)),
            None => entries.push(Some((key, value))),
        }
    }
    Node { place, value: Value::Map(entries.into_iter().flatten().collect()) }
}

/// Tells of every path that a patch sets and that is neither written nor a default: the key's place and the path.
pub(crate) fn missing(
    patch: &Node,
    written: Option<&Node>,
    default: Option<&Json>,
    path: &str,
    tell: &mut impl FnMut(Place, String),
) {
    let Value::Map(changes) = &patch.value else { return };
    let known = index(written);
    for (key, change) in changes {
        let mut path = path.to_owned();
        push_key(&mut path, &key.text);
        let written = known.get(key.text.as_str()).and_then(|slot| at(written?, *slot));
        let default = default.and_then(|value| value.get(&key.text));
        match (written, default) {
            (None, None) => tell(key.place, path),
            _ => missing(change, written, default, &path, tell),
        }
    }
}

/// Puts a patch into one that gathers several. Tells of every path that both set, to different values: the path, the
/// earlier value's place and the later one's. What was there first stays.
pub(crate) fn combine(all: &mut Node, patch: &Node, path: &str, tell: &mut impl FnMut(String, Place, Place)) {
    let (Value::Map(_), Value::Map(changes)) = (&all.value, &patch.value) else {
        if !same(all, patch) {
            tell(path.to_owned(), all.place, patch.place);
        }
        return;
    };
    let known: BTreeMap<String, usize> =
        index(Some(all)).into_iter().map(|(key, slot)| (key.to_owned(), slot)).collect();
    let Value::Map(entries) = &mut all.value else { return };
    for (key, change) in changes {
        let mut path = path.to_owned();
        push_key(&mut path, &key.text);
        match known.get(&key.text) {
            Some(slot) => combine(&mut entries[*slot].1, change, &path, tell),
            None => entries.push((key.clone(), change.clone())),
        }
    }
}

/// Whether two values are the same, wherever they stand.
fn same(a: &Node, b: &Node) -> bool {
    match (&a.value, &b.value) {
        (Value::List(a), Value::List(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
        (Value::Map(a), Value::Map(b)) => {
            let mut pairs = a.iter().zip(b);
            a.len() == b.len() && pairs.all(|((ka, va), (kb, vb))| ka.text == kb.text && same(va, vb))
        }
        (a, b) => a == b,
    }
}

/// How much a tree is: the bytes of its texts, and of each key and value what it takes to keep one.
pub(crate) fn weight(node: &Node) -> usize {
    const EACH: usize = 64;
    let inner: usize = match &node.value {
        Value::Text(text) | Value::Number(text) => text.len(),
        Value::List(items) => items.iter().map(weight).sum(),
        Value::Map(entries) => entries.iter().map(|(key, value)| key.text.len() + EACH + weight(value)).sum(),
        Value::Null | Value::Bool(_) | Value::Broken => 0,
    };
    EACH + inner
}

/// Every value of a tree that is no map with something in it, with the keys that lead there.
pub(crate) fn leaves<'n>(node: &'n Node, path: &mut Vec<&'n str>, tell: &mut impl FnMut(&[&'n str], &'n Node)) {
    match &node.value {
        Value::Map(entries) if !entries.is_empty() => {
            for (key, value) in entries {
                path.push(&key.text);
                leaves(value, path, tell);
                path.pop();
            }
        }
        _ => tell(path, node),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A tree from a document, each value at a place of its own.
    fn tree(value: &Json, next: &mut u32) -> Node {
        *next += 1;
        let place = Place { file: 0, line: *next, column: 1, offset: 0 };
        let value = match value {
            Json::Null => Value::Null,
            Json::Bool(value) => Value::Bool(*value),
            Json::Number(number) => Value::Number(number.to_string()),
            Json::String(text) => Value::Text(text.clone()),
            Json::Array(items) => Value::List(items.iter().map(|item| tree(item, next)).collect()),
            Json::Object(map) => {
                let entry = |(text, value): (&String, &Json)| (Key { place, text: text.clone() }, tree(value, next));
                Value::Map(map.iter().map(entry).collect())
            }
        };
        Node { place, value }
    }

    fn document(node: &Node) -> Json {
        match &node.value {
            Value::Null | Value::Broken => Json::Null,
            Value::Bool(value) => Json::Bool(*value),
            Value::Number(number) => serde_json::from_str(number).unwrap(),
            Value::Text(text) => Json::String(text.clone()),
            Value::List(items) => Json::Array(items.iter().map(document).collect()),
            Value::Map(entries) => entries.iter().map(|(key, value)| (key.text.clone(), document(value))).collect(),
        }
    }

    /// RFC 7386, section 2, as it stands there.
    fn reference(target: Json, patch: &Json) -> Json {
        let Json::Object(changes) = patch else { return patch.clone() };
        let mut target = match target {
            Json::Object(map) => map,
            _ => serde_json::Map::new(),
        };
        for (key, value) in changes {
            let before = target.remove(key);
            if !value.is_null() {
                target.insert(key.clone(), reference(before.unwrap_or(Json::Null), value));
            }
        }
        Json::Object(target)
    }

    fn json() -> impl Strategy<Value = Json> {
        let leaf = prop_oneof![
            Just(Json::Null),
            any::<bool>().prop_map(Json::Bool),
            (0_u32..4).prop_map(Json::from),
            "[ab]".prop_map(Json::String),
        ];
        leaf.prop_recursive(4, 24, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..3).prop_map(Json::Array),
                prop::collection::btree_map("[a-d]", inner, 0..4).prop_map(|map| map.into_iter().collect()),
            ]
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn a_patch_does_what_the_rfc_says(target in json(), patch in json()) {
            let mut next = 0;
            let (written, change) = (tree(&target, &mut next), tree(&patch, &mut next));
            prop_assert_eq!(document(&patched(Some(&written), &change)), reference(target, &patch));
        }

        #[test]
        fn patches_that_do_not_contradict_each_other_may_come_in_any_order(
            target in map(),
            one in prop::collection::vec(0_u8..8, 1..8),
            other in prop::collection::vec(0_u8..8, 1..8),
        ) {
            let mut next = 0;
            let patches = [&one, &other].map(|choices| of_what_is_there(&target, &mut choices.iter().cycle()));
            let [target, one, other] = [&target, &patches[0], &patches[1]].map(|value| tree(value, &mut next));
            missing(&one, Some(&target), None, "", &mut |_, path| panic!("{path} is there"));
            let (mut told, mut all) = (false, one.clone());
            combine(&mut all, &other, "", &mut |_, _, _| told = true);
            let in_order = |first, second| document(&patched(Some(&patched(Some(&target), first)), second));
            if !told {
                prop_assert_eq!(in_order(&one, &other), in_order(&other, &one));
                prop_assert_eq!(in_order(&one, &other), document(&patched(Some(&target), &all)));
            }
        }
    }

    fn map() -> impl Strategy<Value = Json> {
        prop::collection::btree_map("[a-d]", json(), 0..4).prop_map(|map| map.into_iter().collect())
    }

    /// A patch that sets only what a document has: for each key whether, and to what.
    fn of_what_is_there<'c>(target: &Json, choices: &mut impl Iterator<Item = &'c u8>) -> Json {
        let Json::Object(map) = target else { return Json::from(choices.next().copied().unwrap_or(0) % 2) };
        let mut patch = serde_json::Map::new();
        for (key, value) in map {
            match choices.next().copied().unwrap_or(0) {
                0..4 => {}
                4 => drop(patch.insert(key.clone(), Json::Null)),
                5 => drop(patch.insert(key.clone(), Json::from(1))),
                _ => drop(patch.insert(key.clone(), of_what_is_there(value, choices))),
            }
        }
        Json::Object(patch)
    }

    #[test]
    fn what_is_not_there_is_told_with_its_path() {
        let mut next = 0;
        let target: Json = serde_json::from_str(r#"{"a": {"b": 1}, "c": [1]}"#).unwrap();
        let default: Json = serde_json::from_str(r#"{"a": {"d": 1}}"#).unwrap();
        let patch: Json =
            serde_json::from_str(r#"{"a": {"b": 2, "d": 2, "x.y": {"z": 1}}, "c": {"k": 1}, "e": null}"#).unwrap();
        let (target, patch) = (tree(&target, &mut next), tree(&patch, &mut next));
        let mut told = Vec::new();
        missing(&patch, Some(&target), Some(&default), "spec", &mut |_, path| told.push(path));
        assert_eq!(told, ["spec.a[\"x.y\"]", "spec.c.k", "spec.e"]);
    }
}
