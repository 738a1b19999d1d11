//! The digest of a manifest: the same for two texts that mean the same.

use std::fmt::Write;

use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::manifest::Zone;

/// SHA-256, in hexadecimal, of the manifest's canonical JSON: keys sorted, no white space, defaults written out.
#[must_use]
pub fn digest(zone: &Zone) -> String {
    // Every map of a manifest has text for keys, so this cannot fail; an empty digest would match nothing.
    let Ok(value) = serde_json::to_value(zone) else {
        return String::new();
    };
    digest_of(&value)
}

/// SHA-256, in hexadecimal, of any document's canonical JSON: the same whatever order its keys are in.
#[must_use]
pub fn digest_of(document: &Value) -> String {
    let mut canonical = String::new();
    write_canonical(document, &mut canonical);
    let mut text = String::with_capacity(64);
    for byte in Sha256::digest(canonical.as_bytes()) {
        let _ = write!(text, "{byte:02x}");
    }
    text
}

/// Writes JSON with sorted keys, whatever order serde_json keeps them in (a feature that any crate can turn on).
fn write_canonical(value: &Value, out: &mut String) {
    match value {
        Value::Object(map) => {
            let mut entries: Vec<_> = map.iter().collect();
            entries.sort_by_key(|(key, _)| *key);
            for (index, (key, value)) in entries.into_iter().enumerate() {
                let _ = write!(out, "{}{}:", if index == 0 { '{' } else { ',' }, Value::from(key.as_str()));
                write_canonical(value, out);
            }
            out.push_str(if map.is_empty() { "{}" } else { "}" });
        }
        Value::Array(items) => {
            out.push('[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                write_canonical(item, out);
            }
            out.push(']');
        }
        plain => drop(write!(out, "{plain}")),
    }
}
