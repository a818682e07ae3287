//! What of a cloud's reply may stand in `meeting.json`: the same on every listing, and never a credential.

use serde_json::{Map, Value};

/// Unknown fields with one of these in their name may open something, and are left out.
const SECRETS: [&str; 8] = ["url", "link", "token", "pass", "pwd", "secret", "key", "path"];

/// Unknown fields with one of these words in their name are left out: counts change from one listing to the next
/// and would make every copy of `meeting.json` a new one.
const COUNTS: [&str; 5] = ["count", "size", "total", "left", "views"];

/// Adds a fact, if there is one.
pub(crate) fn put(facts: &mut Map<String, Value>, name: &str, value: Option<impl Into<Value>>) {
    if let Some(value) = value {
        facts.insert(name.to_owned(), value.into());
    }
}

/// Whether a field that nobody has described may be repeated: it is plain, opens nothing and counts nothing.
pub(crate) fn is_harmless(name: &str, value: &Value) -> bool {
    let plain = match value {
        Value::String(text) => !text.is_empty() && !text.contains("://"),
        Value::Number(_) | Value::Bool(_) => true,
        _ => false,
    };
    let lower = name.to_ascii_lowercase();
    plain
        && !SECRETS.iter().any(|part| lower.contains(part))
        && !words(name).iter().any(|word| COUNTS.contains(&word.as_str()))
}

/// The words of a field's name in lower case, `camelCase` and `snake_case` alike.
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
    fn a_field_that_opens_or_counts_something_is_left_out_however_it_is_spelled() {
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
