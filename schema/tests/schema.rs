//! The JSON Schemas that are checked in are those that `reeve schema` prints (`UPDATE_SCHEMA=1` writes them anew).

use std::fs;
use std::path::Path;

use reeve_schema::{Described, json_schema};

#[test]
fn checked_in_schemas_are_in_step() {
    for described in Described::ALL {
        let name = format!("json/{}.v1alpha1.json", described.as_str());
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(&name);
        let now = format!("{}\n", serde_json::to_string_pretty(&json_schema(described)).unwrap());
        if std::env::var_os("UPDATE_SCHEMA").is_some() {
            fs::write(&path, &now).unwrap();
        }
        let checked_in = fs::read_to_string(&path).unwrap_or_default();
        assert!(checked_in == now, "schema/{name} is out of step: run the schema tests with UPDATE_SCHEMA=1");
    }
}
