//! The JSON Schemas of the documents that Reeve makes, from the same types.

use schemars::generate::SchemaSettings;
use serde_json::Value;

use crate::plan::document::PlanDocument;

/// The documents that have a schema, by name.
pub const DOCUMENTS: [&str; 1] = ["plan"];

/// The JSON Schema (draft 2020-12) of a document of [`DOCUMENTS`]; none for another name.
pub fn json_schema(document: &str) -> Option<Value> {
    let generator = SchemaSettings::draft2020_12().into_generator();
    let mut schema = match document {
        "plan" => generator.into_root_schema_for::<PlanDocument>(),
        _ => return None,
    };
    schema.insert("$id".into(), format!("https://reeve.dev/schema/{document}.v1.json").into());
    Some(sorted(schema.to_value()))
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
