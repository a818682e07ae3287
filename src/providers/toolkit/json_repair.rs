//! Reads JSON with an error in one place.
//!
//! A topic that was cut in the middle of an emoji ends in half a surrogate pair, and a name in an
//! old encoding is not UTF-8. With a strict parser, one such meeting would hide three hundred
//! others.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde_json::value::RawValue;
use serde_json::{Map, Value};

/// Returns the object in `bytes`. If it is not valid JSON, an unreadable element of a list at the
/// top level is null.
pub(crate) fn object(bytes: &[u8]) -> Option<Map<String, Value>> {
    let bytes = bytes.strip_prefix(b"\xEF\xBB\xBF".as_slice()).unwrap_or(bytes);
    if let Ok(value) = serde_json::from_slice(bytes) {
        return match value {
            Value::Object(object) => Some(object),
            _ => None,
        };
    }
    let text = without_control_characters(String::from_utf8_lossy(bytes));
    let fields: BTreeMap<String, Box<RawValue>> = serde_json::from_str(&text).ok()?;
    Some(fields.into_iter().map(|(name, raw)| (name, field(&raw))).collect())
}

fn field(raw: &RawValue) -> Value {
    match serde_json::from_str::<Vec<Box<RawValue>>>(raw.get()) {
        Ok(elements) => elements.iter().map(|element| element_of(element)).collect(),
        Err(_no_list) => element_of(raw),
    }
}

fn element_of(raw: &RawValue) -> Value {
    let read = serde_json::from_str(raw.get());
    read.or_else(|_| serde_json::from_str(&without_half_pairs(raw.get()))).unwrap_or(Value::Null)
}

/// Replaces raw control characters, which strings must not contain, by spaces.
fn without_control_characters(text: Cow<'_, str>) -> Cow<'_, str> {
    if !text.chars().any(|character| character.is_ascii_control()) {
        return text;
    }
    text.chars()
        .map(|character| if character.is_ascii_control() { ' ' } else { character })
        .collect()
}

/// Replaces escaped lone surrogates (RFC 8259, 8.2) by the replacement character.
fn without_half_pairs(text: &str) -> String {
    let mut whole = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        let (before, escape) = rest.split_at(at);
        whole.push_str(before);
        let (taken, kept) = match (unit(escape), escape.get(6..).and_then(unit)) {
            (Some(0xD800..=0xDBFF), Some(0xDC00..=0xDFFF)) => (12, escape.get(..12)),
            (Some(0xD800..=0xDFFF), _) => (6, Some("\\ufffd")),
            (Some(_), _) => (6, escape.get(..6)),
            (None, _) => {
                let taken = 1 + escape.chars().nth(1).map_or(0, char::len_utf8);
                (taken, escape.get(..taken))
            }
        };
        whole.push_str(kept.unwrap_or_default());
        rest = escape.get(taken..).unwrap_or_default();
    }
    whole.push_str(rest);
    whole
}

/// The UTF-16 unit that an escape of the form `\uD83C` at the beginning of `text` stands for.
fn unit(text: &str) -> Option<u16> {
    u16::from_str_radix(text.strip_prefix("\\u")?.get(..4)?, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn read(text: &[u8]) -> Value {
        object(text).map_or(Value::Null, Value::Object)
    }

    #[test]
    fn broken_emoji_in_a_meeting_hides_no_other() {
        let text = br#"{"meetings":[{"uuid":"a","topic":"cut \ud83c"},{"uuid":"b","topic":"\ud83c\udf89 \\ud800"}],"next_page_token":""}"#;
        let expected = json!({
            "meetings": [{"uuid": "a", "topic": "cut \u{fffd}"}, {"uuid": "b", "topic": "🎉 \\ud800"}],
            "next_page_token": ""
        });
        assert_eq!(read(text), expected);
    }

    #[test]
    fn invalid_utf8_replaces_one_character_only() {
        let text = b"{\"meetings\":[{\"uuid\":\"a\",\"topic\":\"caf\xe9\tbar\"}]}";
        assert_eq!(read(text), json!({"meetings": [{"uuid": "a", "topic": "caf\u{fffd} bar"}]}));
        assert_eq!(read(b"\xEF\xBB\xBF{\"a\":1}"), json!({"a": 1}));
    }

    #[test]
    fn unreadable_element_is_null_and_others_remain() {
        let deep = "[".repeat(300) + &"]".repeat(300);
        let text = format!(
            r#"{{"meetings":[{{"uuid":"a","x":{deep}}},{{"uuid":"b"}},{{"uuid":"c","n":1e999}}]}}"#
        );
        assert_eq!(read(text.as_bytes()), json!({"meetings": [null, {"uuid": "b"}, null]}));
    }

    #[test]
    fn what_is_no_object_is_nothing() {
        for text in ["", "[]", "3", "<html>", "{\"a\":", "{\"a\" 1}"] {
            assert_eq!(object(text.as_bytes()), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn nothing_makes_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            object(&bytes);
        }

        #[test]
        fn text_with_any_escapes_stays_readable(units in prop::collection::vec(any::<u16>(), 0..20)) {
            let escapes: String = units.iter().map(|unit| format!("\\u{unit:04x}")).collect();
            let text = format!(r#"{{"meetings":[{{"uuid":"a","topic":"{escapes}"}}]}}"#);
            let expected = json!({"meetings": [{"uuid": "a", "topic": String::from_utf16_lossy(&units)}]});
            prop_assert_eq!(read(text.as_bytes()), expected);
        }
    }
}
