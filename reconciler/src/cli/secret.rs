//! Secrets as they are shown: never by their value, of which only the digest is known.

use serde_json::Value;

/// How many characters of a digest are shown.
const SHOWN: usize = 12;

/// Whether a value of a field is a secret.
pub fn is_one(value: &Value) -> bool {
    value.get("fromFile").or_else(|| value.get("fromAge")).is_some()
}

/// A secret in a few words.
pub fn short(secret: &Value) -> String {
    format!("(secret {})", digest(secret))
}

/// What changed from one secret to another; none where one of the two is no secret.
pub fn change(from: &Value, to: &Value) -> Option<String> {
    if !is_one(from) || !is_one(to) {
        return None;
    }
    let (old, new) = (digest(from), digest(to));
    Some(if old == new {
        format!("(secret {new}, the same value in another file)")
    } else {
        format!("(secret {old} > {new})")
    })
}

/// The beginning of the value's digest; where the value was not read, of the encrypted file's.
fn digest(secret: &Value) -> String {
    let text = |name: &str| secret.get(name).and_then(Value::as_str).filter(|text| text.is_ascii());
    let cut = |text: &str| format!("{}…", &text[..text.len().min(SHOWN)]);
    match (text("value"), text("ciphertext"), text("fromFile")) {
        (Some(value), ..) => cut(value),
        (None, Some(ciphertext), _) => format!("not opened, file {}", cut(ciphertext)),
        (None, None, Some(_)) => "not read".into(),
        (None, None, None) => "not opened".into(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_change_is_shown_by_the_digests() {
        let secret = |value: &str| json!({"fromFile": "/etc/db", "value": value});
        let (one, two) = ("0123456789abcdef", "fedcba9876543210");
        assert_eq!(change(&secret(one), &secret(two)).as_deref(), Some("(secret 0123456789ab… > fedcba987654…)"));
        let age = json!({"fromAge": "db.age", "ciphertext": two, "value": one});
        let same = "(secret 0123456789ab…, the same value in another file)";
        assert_eq!(change(&secret(one), &age).as_deref(), Some(same));
        let unopened = json!({"fromAge": "db.age", "ciphertext": two});
        assert_eq!(short(&unopened), "(secret not opened, file fedcba987654…)");
        assert_eq!(change(&json!("text"), &secret(one)), None);
        assert!(!is_one(&json!("fromFile")));
    }
}
