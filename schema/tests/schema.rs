//! The JSON Schema that is checked in is the one that `reeve schema` prints (`UPDATE_SCHEMA=1` writes it anew).

use std::fs;
use std::path::Path;

use reeve_schema::json_schema;

#[test]
fn checked_in_schema_is_in_step() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("json/zone.v1alpha1.json");
    let now = format!("{}\n", serde_json::to_string_pretty(&json_schema()).unwrap());
    if std::env::var_os("UPDATE_SCHEMA").is_some() {
        fs::write(&path, &now).unwrap();
    }
    let checked_in = fs::read_to_string(&path).unwrap_or_default();
    assert!(checked_in == now, "schema/json is out of step: run the schema tests with UPDATE_SCHEMA=1");
}
