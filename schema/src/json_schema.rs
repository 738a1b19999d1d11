//! The JSON Schema of a manifest, from the same types that are decoded.

use schemars::transform::{RecursiveTransform, Transform};
use schemars::{Schema, generate::SchemaSettings};
use serde_json::Value;

use crate::manifest::Zone;

/// The JSON Schema (draft 2020-12) of `kind: Zone`. It knows types and forms; the rules between fields and between zones
/// are [`crate::load`]'s.
#[must_use]
pub fn json_schema() -> Value {
    let generator = SchemaSettings::draft2020_12().into_generator();
    let mut schema = generator.into_root_schema_for::<Zone>();
    RecursiveTransform(no_null).transform(&mut schema);
    schema.insert("$id".into(), "https://reeve.dev/schema/zone.v1alpha1.json".into());
    sorted(schema.to_value())
}

/// A field that may be left out is left out, never null: takes the null out of what serde's `Option` makes.
fn no_null(schema: &mut Schema) {
    let null = Value::from("null");
    if let Some(Value::Array(types)) = schema.get_mut("type") {
        types.retain(|one| *one != null);
        if let [one] = types.as_slice() {
            let one = one.clone();
            schema.insert("type".into(), one);
        }
    }
    if let Some(Value::Array(choices)) = schema.get_mut("anyOf") {
        choices.retain(|choice| choice.get("type") != Some(&null));
        if let [Value::Object(one)] = choices.as_slice() {
            let one = one.clone();
            schema.remove("anyOf");
            for (key, value) in one {
                schema.insert(key, value);
            }
        }
    }
    if schema.get("default") == Some(&Value::Null) {
        schema.remove("default");
    }
}

/// With keys in one order, whatever order serde_json keeps them in.
fn sorted(value: Value) -> Value {
    match value {
        Value::Object(map) => {
            let mut entries: Vec<_> = map.into_iter().collect();
            entries.sort_by(|a, b| a.0.cmp(&b.0));
            entries.into_iter().map(|(key, value)| (key, sorted(value))).collect()
        }
        Value::Array(items) => items.into_iter().map(sorted).collect(),
        plain => plain,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::decode::{SHAPES, WORDS};

    /// The keys of a map, or the texts of a list.
    fn words(value: Option<&Value>) -> BTreeSet<&str> {
        match value {
            Some(Value::Object(map)) => map.keys().map(String::as_str).collect(),
            Some(Value::Array(items)) => items.iter().filter_map(Value::as_str).collect(),
            _ => BTreeSet::new(),
        }
    }

    /// The schema's definition of a type; the zone itself is the schema.
    fn definition<'s>(schema: &'s Value, name: &str) -> &'s Value {
        if name == "Zone" { schema } else { &schema["$defs"][name] }
    }

    #[test]
    fn the_decoder_takes_exactly_the_fields_of_the_schema() {
        let schema = json_schema();
        for shape in SHAPES {
            let definition = definition(&schema, shape.name);
            let fields: BTreeSet<&str> = shape.fields.iter().map(|field| field.name).collect();
            let required: BTreeSet<&str> = shape.fields.iter().filter(|f| f.required).map(|field| field.name).collect();
            if shape.name == "Root" {
                // Exactly one of its fields: the schema has one choice for each.
                let choices = definition["oneOf"].as_array().unwrap();
                let all: BTreeSet<&str> = choices.iter().flat_map(|choice| words(choice.get("properties"))).collect();
                assert_eq!(fields, all);
                assert!(choices.iter().all(|choice| choice["additionalProperties"] == Value::Bool(false)));
                continue;
            }
            assert_eq!(fields, words(definition.get("properties")), "{}", shape.name);
            assert_eq!(required, words(definition.get("required")), "{}", shape.name);
            assert_eq!(definition["additionalProperties"], Value::Bool(false), "{}", shape.name);
            let other = shape.later.iter().copied().chain(shape.foreign.iter().map(|(name, _)| *name));
            assert!(other.into_iter().all(|name| !fields.contains(name)), "{}", shape.name);
        }
    }

    #[test]
    fn every_map_of_the_schema_has_a_decoder() {
        let schema = json_schema();
        let defined = schema["$defs"].as_object().unwrap();
        for (name, definition) in defined.iter().filter(|(_, definition)| definition["type"] == "object") {
            assert!(SHAPES.iter().any(|shape| shape.name == name), "{name}: {definition}");
        }
    }

    #[test]
    fn the_decoder_knows_exactly_the_words_of_the_schema() {
        let schema = json_schema();
        for (name, known) in WORDS {
            let definition = definition(&schema, name);
            let in_schema: BTreeSet<&str> = match definition["oneOf"].as_array() {
                Some(choices) => choices.iter().filter_map(|choice| choice["const"].as_str()).collect(),
                None => words(definition.get("enum")),
            };
            assert_eq!(known().into_iter().collect::<BTreeSet<_>>(), in_schema, "{name}");
        }
    }

    #[test]
    fn nothing_of_the_schema_is_null() {
        assert!(!json_schema().to_string().contains("null"));
    }
}
