//! Selects the fields of a reply for `meeting.json`. A field must have the same value in every
//! listing, and must not be a credential.

use serde_json::{Map, Value};

/// An unknown field whose name contains one of these strings may be a credential and is omitted.
const SECRET_PARTS: [&str; 8] = ["url", "link", "token", "pass", "pwd", "secret", "key", "path"];

/// An unknown field whose name contains one of these words is omitted. Counts change from one
/// listing to the next, and each change would create a new version of `meeting.json`.
const COUNT_WORDS: [&str; 5] = ["count", "size", "total", "left", "views"];

/// Adds the field `name` if `value` is not `None`.
pub(crate) fn put(document: &mut Map<String, Value>, name: &str, value: Option<impl Into<Value>>) {
    if let Some(value) = value {
        document.insert(name.to_owned(), value.into());
    }
}

/// Whether an unknown field may be shown: its value is a string, number or Boolean, and it is
/// neither a credential nor a count.
pub(crate) fn is_harmless(name: &str, value: &Value) -> bool {
    let is_plain = match value {
        Value::String(text) => !text.is_empty() && !text.contains("://"),
        Value::Number(_) | Value::Bool(_) => true,
        _ => false,
    };
    let lowercase_name = name.to_ascii_lowercase();
    is_plain
        && !SECRET_PARTS.iter().any(|part| lowercase_name.contains(part))
        && !words(name).iter().any(|word| COUNT_WORDS.contains(&word.as_str()))
}

/// Splits a name in `camelCase` or `snake_case` into words, in lower case.
fn words(name: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    for character in name.chars() {
        if character == '_' || character.is_ascii_uppercase() {
            words.push(String::new());
        }
        if let Some(word) = words.last_mut()
            && character != '_'
        {
            word.push(character.to_ascii_lowercase());
        }
    }
    words
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn credentials_and_counts_are_omitted() {
        for name in [
            "recording_count",
            "viewsTotal",
            "fileSize",
            "total_size",
            "views",
            "playbackUrl",
            "hostPassCode",
        ] {
            assert!(!is_harmless(name, &json!("x")), "{name}");
        }
        for name in ["account_id", "countryName", "sizeable", "siteName", "ID"] {
            assert!(is_harmless(name, &json!("x")), "{name}");
        }
        for value in
            [json!("https://example.org/x"), json!(""), json!(null), json!({}), json!(["x"])]
        {
            assert!(!is_harmless("note", &value), "{value}");
        }
    }
}
