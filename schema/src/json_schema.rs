//! The JSON Schemas of the documents, from the same types that are decoded.

use schemars::transform::{RecursiveTransform, Transform};
use schemars::{JsonSchema, Schema, SchemaGenerator, generate::SchemaSettings};
use serde_json::Value;

use crate::configuration::ConfigurationDocument;
use crate::manifest::{ApprovalDocument, Host, Overlay, Zone};

/// A document that has a JSON Schema.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Described {
    /// `kind: Zone`.
    #[default]
    Zone,
    /// `kind: Host`.
    Host,
    /// `kind: Overlay`.
    Overlay,
    /// `kind: Approval`.
    Approval,
    /// `kind: Configuration`.
    Configuration,
}

impl Described {
    /// Every one.
    pub const ALL: [Self; 5] = [Self::Zone, Self::Host, Self::Overlay, Self::Approval, Self::Configuration];

    /// Its name, as in the file `schema/json/NAME.v1alpha1.json`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Zone => "zone",
            Self::Host => "host",
            Self::Overlay => "overlay",
            Self::Approval => "approval",
            Self::Configuration => "configuration",
        }
    }
}

/// The JSON Schema (draft 2020-12) of a document. It knows types and forms; the rules between fields and between
/// documents are [`crate::load`]'s and [`crate::configuration::load`]'s.
#[must_use]
pub fn json_schema(of: Described) -> Value {
    let generator = SchemaSettings::draft2020_12().into_generator();
    let mut schema = match of {
        Described::Zone => root::<Zone>(generator),
        Described::Host => root::<Host>(generator),
        Described::Overlay => root::<Overlay>(generator),
        Described::Approval => root::<ApprovalDocument>(generator),
        Described::Configuration => root::<ConfigurationDocument>(generator),
    };
    RecursiveTransform(no_null).transform(&mut schema);
    schema.insert("$id".into(), format!("https://reeve.dev/schema/{}.v1alpha1.json", of.as_str()).into());
    sorted(schema.to_value())
}

/// The schema of a document's type.
fn root<T: JsonSchema>(generator: SchemaGenerator) -> Schema {
    generator.into_root_schema_for::<T>()
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
    use crate::decode::{Document, SHAPES, WORDS};
    use crate::shape::Shape;

    /// The keys of a map, or the texts of a list.
    fn words(value: Option<&Value>) -> BTreeSet<&str> {
        match value {
            Some(Value::Object(map)) => map.keys().map(String::as_str).collect(),
            Some(Value::Array(items)) => items.iter().filter_map(Value::as_str).collect(),
            _ => BTreeSet::new(),
        }
    }

    /// The schema in which the shapes of a document are.
    fn schema_of(document: Document) -> Value {
        json_schema(match document {
            Document::Zone => Described::Zone,
            Document::Host => Described::Host,
            Document::Overlay => Described::Overlay,
            Document::Approval => Described::Approval,
            Document::Configuration => Described::Configuration,
        })
    }

    /// The schema's definition of a type; the document itself is the schema.
    fn definition<'s>(schema: &'s Value, name: &str) -> &'s Value {
        if schema["title"] == name { schema } else { &schema["$defs"][name] }
    }

    #[test]
    fn the_decoder_takes_exactly_the_fields_of_the_schema() {
        for (document, shapes) in SHAPES {
            let schema = schema_of(document);
            for shape in shapes {
                same_fields(shape, definition(&schema, shape.name));
            }
        }
    }

    fn same_fields(shape: &Shape, definition: &Value) {
        let fields: BTreeSet<&str> = shape.fields.iter().map(|field| field.name).collect();
        let required: BTreeSet<&str> = shape.fields.iter().filter(|f| f.required).map(|field| field.name).collect();
        if shape.name == "Root" {
            // Exactly one of its fields: the schema has one choice for each.
            let choices = definition["oneOf"].as_array().unwrap();
            let all: BTreeSet<&str> = choices.iter().flat_map(|choice| words(choice.get("properties"))).collect();
            assert_eq!(fields, all);
            assert!(choices.iter().all(|choice| choice["additionalProperties"] == Value::Bool(false)));
            return;
        }
        assert_eq!(fields, words(definition.get("properties")), "{}", shape.name);
        assert_eq!(required, words(definition.get("required")), "{}", shape.name);
        assert_eq!(definition["additionalProperties"], Value::Bool(false), "{}", shape.name);
        let other = shape.later.iter().copied().chain(shape.foreign.iter().map(|(name, _)| *name));
        assert!(other.into_iter().all(|name| !fields.contains(name)), "{}", shape.name);
    }

    #[test]
    fn every_map_of_the_schema_has_a_decoder() {
        for (document, shapes) in SHAPES {
            let schema = schema_of(document);
            let defined = schema["$defs"].as_object().unwrap();
            for (name, definition) in defined.iter().filter(|(_, definition)| definition["type"] == "object") {
                assert!(shapes.iter().any(|shape| shape.name == name), "{name}: {definition}");
            }
        }
    }

    #[test]
    fn the_decoder_knows_exactly_the_words_of_the_schema() {
        for (document, name, known) in WORDS {
            let schema = schema_of(document);
            let definition = definition(&schema, name);
            let in_schema: BTreeSet<&str> = match definition["oneOf"].as_array() {
                Some(choices) => choices.iter().filter_map(|choice| choice["const"].as_str()).collect(),
                None => words(definition.get("enum")),
            };
            assert_eq!(known().into_iter().collect::<BTreeSet<_>>(), in_schema, "{name}");
        }
    }

    #[test]
    fn nothing_of_a_schema_is_null() {
        for described in Described::ALL {
            let text = json_schema(described).to_string();
            assert!(!text.contains("\"null\"") && !text.contains(":null"), "{described:?}");
        }
    }
}
