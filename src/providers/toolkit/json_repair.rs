//! Parses the JSON object of a reply. The JSON may be invalid in places, and its size is limited.
//!
//! A topic that was cut in the middle of an emoji ends in half a surrogate pair, and a name in an
//! old encoding is not UTF-8. With a strict parser, one such meeting would make the 300 other
//! meetings of the page unreadable. The elements of a list are therefore parsed one by one.
//!
//! A parsed value takes up to forty times the memory of its text. The memory is estimated before a
//! value is built, so a reply cannot exhaust the memory.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use thiserror::Error;

/// Upper bound for the estimated memory of one reply, in bytes. A page of 300 meetings with a dozen
/// files each takes 12 MiB, and a meeting with 10,000 files takes 30 MiB.
const MAX_REPLY_BYTES: usize = 96 * 1024 * 1024;

/// Maximum number of elements in one list. The providers send at most 300 meetings on a page, but a
/// meeting may have thousands of files.
const MAX_ELEMENTS: usize = 20_000;

/// Maximum number of fields in the object. The replies of the providers have a few dozen.
const MAX_FIELDS: usize = 10_000;

/// Estimated memory in bytes of a list element, including the spare capacity of the list.
const ELEMENT_BYTES: usize = 100;

/// Estimated memory in bytes of a field without its name and value, including the spare capacity of
/// the object.
const FIELD_BYTES: usize = 180;

/// Estimated memory in bytes of a non-empty object without its fields.
const OBJECT_BYTES: usize = 320;

/// Estimated memory in bytes of a string without its content.
const STRING_BYTES: usize = 24;

/// The reason why the object of a reply cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub(crate) enum UnreadableObject {
    #[error("the reply is not a JSON object")]
    NotAnObject,
    #[error("the reply is too large to be read")]
    TooLarge,
}

/// Parses the object in `bytes`. Returns `None` if they contain another value or exceed the limits.
/// An element of a list at the top level becomes null if it cannot be parsed even after a repair.
pub(crate) fn parse_object(bytes: &[u8]) -> Option<Map<String, Value>> {
    try_parse_object(bytes).ok()
}

/// Parses the object in `bytes` like [`parse_object`], but returns an error instead of `None`.
///
/// # Errors
/// Returns the reason why the object cannot be read.
pub(crate) fn try_parse_object(bytes: &[u8]) -> Result<Map<String, Value>, UnreadableObject> {
    let bytes = bytes.strip_prefix(b"\xEF\xBB\xBF".as_slice()).unwrap_or(bytes);
    let text = String::from_utf8_lossy(bytes);
    match parse_text(&text) {
        Err(UnreadableObject::NotAnObject) => match replace_control_characters(&text) {
            Some(repaired) => parse_text(&repaired),
            None => Err(UnreadableObject::NotAnObject),
        },
        result => result,
    }
}

fn parse_text(text: &str) -> Result<Map<String, Value>, UnreadableObject> {
    let mut budget = Budget::default();
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let object = TopLevelObject(&mut budget).deserialize(&mut deserializer);
    match object.and_then(|object| deserializer.end().map(|()| object)) {
        Ok(object) => Ok(object),
        Err(_) if budget.is_exceeded => Err(UnreadableObject::TooLarge),
        Err(_) => Err(UnreadableObject::NotAnObject),
    }
}

/// The remaining memory for one reply.
struct Budget {
    remaining_bytes: usize,
    is_exceeded: bool,
}

impl Default for Budget {
    fn default() -> Self {
        Self { remaining_bytes: MAX_REPLY_BYTES, is_exceeded: false }
    }
}

impl Budget {
    fn charge<E: serde::de::Error>(&mut self, bytes: usize) -> Result<(), E> {
        match self.remaining_bytes.checked_sub(bytes) {
            Some(remaining_bytes) => self.remaining_bytes = remaining_bytes,
            None => self.is_exceeded = true,
        }
        self.check()
    }

    fn fail_if<E: serde::de::Error>(&mut self, is_exceeded: bool) -> Result<(), E> {
        self.is_exceeded |= is_exceeded;
        self.check()
    }

    fn check<E: serde::de::Error>(&self) -> Result<(), E> {
        if self.is_exceeded { Err(E::custom(UnreadableObject::TooLarge)) } else { Ok(()) }
    }
}

/// Deserializes the object at the top level.
struct TopLevelObject<'b>(&'b mut Budget);

impl<'de> DeserializeSeed<'de> for TopLevelObject<'_> {
    type Value = Map<String, Value>;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Self::Value, D::Error> {
        from.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for TopLevelObject<'_> {
    type Value = Map<String, Value>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Self::Value, A::Error> {
        let Self(budget) = self;
        let mut object = Map::new();
        while let Some((name, raw)) = fields.next_entry::<String, &RawValue>()? {
            budget.charge(FIELD_BYTES + STRING_BYTES + name.len())?;
            budget.fail_if(object.len() == MAX_FIELDS)?;
            let value = if raw.get().starts_with('[') {
                let mut deserializer = serde_json::Deserializer::from_str(raw.get());
                let elements = TopLevelList(&mut *budget).deserialize(&mut deserializer);
                Value::Array(elements.map_err(A::Error::custom)?)
            } else {
                parse_element(raw, budget).map_err(A::Error::custom)?
            };
            object.insert(name, value);
        }
        Ok(object)
    }
}

/// Deserializes a list at the top level.
struct TopLevelList<'b>(&'b mut Budget);

impl<'de> DeserializeSeed<'de> for TopLevelList<'_> {
    type Value = Vec<Value>;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Self::Value, D::Error> {
        from.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for TopLevelList<'_> {
    type Value = Vec<Value>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Self::Value, A::Error> {
        let Self(budget) = self;
        let mut list = Vec::new();
        while let Some(raw) = elements.next_element::<&RawValue>()? {
            budget.charge(ELEMENT_BYTES)?;
            budget.fail_if(list.len() == MAX_ELEMENTS)?;
            list.push(parse_element(raw, budget).map_err(A::Error::custom)?);
        }
        Ok(list)
    }
}

/// Parses a value. Returns null if the value cannot be parsed even after a repair.
///
/// # Errors
/// Returns an error if the budget is exceeded.
fn parse_element(raw: &RawValue, budget: &mut Budget) -> Result<Value, serde_json::Error> {
    if let Ok(value) = parse_value(raw.get(), budget) {
        return Ok(value);
    }
    budget.check::<serde_json::Error>()?;
    let repaired_value = parse_value(&replace_lone_surrogates(raw.get()), budget);
    budget.check::<serde_json::Error>()?;
    Ok(repaired_value.unwrap_or(Value::Null))
}

fn parse_value(text: &str, budget: &mut Budget) -> Result<Value, serde_json::Error> {
    MemoryEstimate(budget).deserialize(&mut serde_json::Deserializer::from_str(text))?;
    serde_json::from_str(text)
}

/// Charges the estimated memory of a value to the budget without building the value.
struct MemoryEstimate<'b>(&'b mut Budget);

impl<'de> DeserializeSeed<'de> for MemoryEstimate<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<(), D::Error> {
        from.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for MemoryEstimate<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E: serde::de::Error>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E: serde::de::Error>(self, _value: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E: serde::de::Error>(self, _value: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E: serde::de::Error>(self, _value: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E: serde::de::Error>(self, _value: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<(), E> {
        self.0.charge(STRING_BYTES + text.len())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<(), A::Error> {
        while elements.next_element_seed(MemoryEstimate(&mut *self.0))?.is_some() {
            self.0.charge(ELEMENT_BYTES)?;
        }
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<(), A::Error> {
        let mut is_empty = true;
        while fields.next_key_seed(MemoryEstimate(&mut *self.0))?.is_some() {
            fields.next_value_seed(MemoryEstimate(&mut *self.0))?;
            self.0.charge(if is_empty { OBJECT_BYTES + FIELD_BYTES } else { FIELD_BYTES })?;
            is_empty = false;
        }
        Ok(())
    }
}

/// Replaces raw control characters, which strings must not contain, with spaces. Returns `None` if
/// there are none.
fn replace_control_characters(text: &str) -> Option<String> {
    let has_control_character = text.chars().any(|character| character.is_ascii_control());
    has_control_character.then(|| {
        text.chars()
            .map(|character| if character.is_ascii_control() { ' ' } else { character })
            .collect()
    })
}

/// Replaces escaped lone surrogates (RFC 8259, 8.2) with the replacement character.
fn replace_lone_surrogates(text: &str) -> String {
    let mut repaired_text = String::with_capacity(text.len());
    let mut remaining_text = text;
    while let Some(index) = remaining_text.find('\\') {
        let (before, escape) = remaining_text.split_at(index);
        repaired_text.push_str(before);
        let (length, replacement) = match (utf16_unit(escape), escape.get(6..).and_then(utf16_unit))
        {
            (Some(0xD800..=0xDBFF), Some(0xDC00..=0xDFFF)) => (12, escape.get(..12)),
            (Some(0xD800..=0xDFFF), _) => (6, Some("\\ufffd")),
            (Some(_), _) => (6, escape.get(..6)),
            (None, _) => {
                let length = 1 + escape.chars().nth(1).map_or(0, char::len_utf8);
                (length, escape.get(..length))
            }
        };
        repaired_text.push_str(replacement.unwrap_or_default());
        remaining_text = escape.get(length..).unwrap_or_default();
    }
    repaired_text.push_str(remaining_text);
    repaired_text
}

/// Returns the UTF-16 code unit of an escape such as `\uD83C` at the beginning of `text`.
fn utf16_unit(text: &str) -> Option<u16> {
    u16::from_str_radix(text.strip_prefix("\\u")?.get(..4)?, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn parse(text: &[u8]) -> Value {
        parse_object(text).map_or(Value::Null, Value::Object)
    }

    #[test]
    fn broken_emoji_does_not_hide_other_meetings() {
        let text = br#"{"meetings":[{"uuid":"a","topic":"cut \ud83c"},{"uuid":"b","topic":"\ud83c\udf89 \\ud800"}],"next_page_token":""}"#;
        let expected = json!({
            "meetings": [{"uuid": "a", "topic": "cut \u{fffd}"}, {"uuid": "b", "topic": "🎉 \\ud800"}],
            "next_page_token": ""
        });
        assert_eq!(parse(text), expected);
    }

    #[test]
    fn invalid_byte_replaces_only_one_character() {
        let text = b"{\"meetings\":[{\"uuid\":\"a\",\"topic\":\"caf\xe9\tbar\"}]}";
        assert_eq!(parse(text), json!({"meetings": [{"uuid": "a", "topic": "caf\u{fffd} bar"}]}));
        assert_eq!(parse(b"\xEF\xBB\xBF{\"a\":1}"), json!({"a": 1}));
    }

    #[test]
    fn unreadable_element_becomes_null() {
        let nested = "[".repeat(300) + &"]".repeat(300);
        let text = format!(
            r#"{{"meetings":[{{"uuid":"a","x":{nested}}},{{"uuid":"b"}},{{"uuid":"c","n":1e999}}]}}"#
        );
        assert_eq!(parse(text.as_bytes()), json!({"meetings": [null, {"uuid": "b"}, null]}));
    }

    #[test]
    fn non_object_is_rejected() {
        for text in ["", "[]", "3", "<html>", "{\"a\":", "{\"a\" 1}"] {
            assert_eq!(parse_object(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn memory_of_an_object_is_limited() {
        let repeat = |element: &str, count: usize| vec![element; count].join(",");
        let fields: Vec<_> = (0..200_000).map(|number| format!("\"{number}\":0")).collect();
        for oversized in [
            format!("{{\"meetings\":[{}]}}", repeat("0", 2_000_000)),
            format!("{{\"meetings\":[{}]}}", repeat("{\"uuid\":\"a\"}", 200_000)),
            format!("{{\"meetings\":[[{}]]}}", repeat("[]", 2_000_000)),
            format!("{{\"a\":{{\"b\":[{}]}}}}", repeat("{\"\":0}", 1_000_000)),
            format!("{{{}}}", fields.join(",")),
            // The repair of a broken string has the same limits.
            format!("{{\"x\":\"\\ud800\",\"meetings\":[\n[{}]]}}", repeat("[]", 2_000_000)),
            format!("{{\"x\":\"\t\",\"meetings\":[{}]}}", repeat("{\"a\":\"\t\"}", 200_000)),
        ] {
            let start = oversized.get(..40).unwrap_or_default();
            assert_eq!(
                super::try_parse_object(oversized.as_bytes()),
                Err(UnreadableObject::TooLarge),
                "{start}"
            );
        }
        let file = r#"{"id":"b3f1","file_type":"MP4","status":"completed","download_url":"https://zoom.us/rec/download/abc"}"#;
        let meeting = format!("{{\"recording_files\":[{}]}}", repeat(file, 10_000));
        assert_eq!(
            parse_object(meeting.as_bytes()).unwrap()["recording_files"][9_999]["id"],
            "b3f1"
        );
    }

    #[test]
    fn deeply_nested_value_becomes_null() {
        for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
            let nested = open.repeat(100_000) + "0" + &close.repeat(100_000);
            let text =
                format!(r#"{{"meetings":[{nested},{{"uuid":"b"}}],"other":{nested},"n":1}}"#);
            let object = parse(text.as_bytes());
            assert_eq!(object["meetings"], json!([null, {"uuid": "b"}]));
            assert_eq!(object["n"], 1);
        }
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            parse_object(&bytes);
        }

        #[test]
        fn string_with_arbitrary_escapes_is_readable(units in prop::collection::vec(any::<u16>(), 0..20)) {
            let escapes: String = units.iter().map(|unit| format!("\\u{unit:04x}")).collect();
            let text = format!(r#"{{"meetings":[{{"uuid":"a","topic":"{escapes}"}}]}}"#);
            let expected = json!({"meetings": [{"uuid": "a", "topic": String::from_utf16_lossy(&units)}]});
            prop_assert_eq!(parse(text.as_bytes()), expected);
        }
    }
}
