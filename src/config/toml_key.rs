//! How keys are written in TOML.

use std::borrow::Cow;

/// Returns the key as it is written in the file: in quotes, unless it is a bare key (TOML 1.0,
/// "Keys").
pub(super) fn quote_key(key: &str) -> Cow<'_, str> {
    if !key.is_empty() && key.chars().all(is_bare_key_character) {
        key.into()
    } else {
        // Every escape sequence of JSON has the same meaning in TOML.
        serde_json::Value::from(key).to_string().into()
    }
}

/// Whether a key with this character needs no quotes.
fn is_bare_key_character(character: char) -> bool {
    character.is_ascii_alphanumeric() || matches!(character, '_' | '-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_bare_keys_have_no_quotes() {
        for (key, expected) in
            [("acme", "acme"), ("a-B_3", "a-B_3"), ("my.acme", r#""my.acme""#), ("", r#""""#)]
        {
            assert_eq!(quote_key(key), expected);
            assert!(format!("[source.{expected}]").parse::<toml::Table>().is_ok(), "{key}");
        }
        assert_eq!(quote_key("a\n\"b"), r#""a\n\"b""#);
    }
}
