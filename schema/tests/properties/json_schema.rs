//! As much of a JSON Schema validator as the manifest's schema needs. A keyword that is not known here is an error, so
//! that the schema cannot come to say what the test does not look at.

use regex_lite::Regex;
use serde_json::Value;

/// Checks a value against a schema, `top` being the one that has the definitions.
pub fn check(top: &Value, schema: &Value, value: &Value) -> Result<(), String> {
    let keywords = schema.as_object().ok_or_else(|| format!("{schema} is no schema"))?;
    for (keyword, rule) in keywords {
        let right = match keyword.as_str() {
            "$schema" | "$id" | "$defs" | "title" | "description" | "default" | "format" => true,
            "$ref" => {
                let name = rule.as_str().and_then(|path| path.strip_prefix("#/$defs/")).unwrap_or_default();
                check(top, &top["$defs"][name], value)?;
                true
            }
            "type" => match rule.as_str().unwrap_or_default() {
                "object" => value.is_object(),
                "array" => value.is_array(),
                "string" => value.is_string(),
                "number" => value.is_number(),
                "integer" => value.is_u64() || value.is_i64(),
                other => return Err(format!("unknown type {other}")),
            },
            "const" => value == rule,
            "enum" => rule.as_array().is_some_and(|values| values.contains(value)),
            "anyOf" => rule.as_array().into_iter().flatten().any(|one| check(top, one, value).is_ok()),
            "oneOf" => {
                let fitting = rule.as_array().into_iter().flatten().filter(|one| check(top, one, value).is_ok());
                fitting.count() == 1
            }
            "pattern" => {
                Regex::new(rule.as_str().unwrap_or_default()).unwrap().is_match(value.as_str().unwrap_or_default())
            }
            "minimum" => value.as_f64() >= rule.as_f64(),
            "maximum" => value.as_f64() <= rule.as_f64(),
            "required" => {
                rule.as_array().into_iter().flatten().all(|name| value.get(name.as_str().unwrap_or_default()).is_some())
            }
            "items" => {
                for item in value.as_array().into_iter().flatten() {
                    check(top, rule, item)?;
                }
                true
            }
            "properties" => {
                for (name, field) in value.as_object().into_iter().flatten() {
                    if let Some(schema) = rule.get(name) {
                        check(top, schema, field).map_err(|why| format!("{name}: {why}"))?;
                    }
                }
                true
            }
            "additionalProperties" => {
                let known = |name: &String| schema["properties"].get(name).is_some();
                for (name, field) in value.as_object().into_iter().flatten().filter(|(name, _)| !known(name)) {
                    match rule {
                        Value::Bool(true) => {}
                        Value::Bool(false) => return Err(format!("unknown field {name}")),
                        rule => check(top, rule, field)?,
                    }
                }
                true
            }
            other => return Err(format!("unknown keyword {other}")),
        };
        if !right {
            return Err(format!("{value} is not {keyword} {rule}"));
        }
    }
    Ok(())
}
