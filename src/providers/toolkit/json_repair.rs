//! Parses the JSON object of a reply. The JSON may be invalid in places, and its size is limited.
//!
//! A topic that was cut in the middle of an emoji ends in half a surrogate pair, and a name in an
//! old encoding is not UTF-8. With a strict parser, one such meeting would make the other 300 of
//! the page unreadable. So the elements of a list are parsed one by one.
//!
//! A parsed value takes up to forty times the memory of its text. The memory is estimated before
//! anything is built, so a reply cannot exhaust it.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use thiserror::Error;

/// Upper bound for the memory of one reply, as estimated here. A page of 300 meetings with a dozen
/// files each takes 12 MiB, and a meeting with 10,000 files 30 MiB.
const MAX_MEMORY: usize = 96 * 1024 * 1024;

/// Upper bound for the elements of one list. The providers send 300 at most; a meeting may have
/// thousands of files.
const MAX_ELEMENTS: usize = 20_000;

/// Upper bound for the fields of the object. The replies of the providers have a few dozen.
const MAX_FIELDS: usize = 10_000;

/// Memory of an element, with the spare capacity of its list.
const ELEMENT_MEMORY: usize = 100;

/// Memory of a field besides its name and value, with the spare capacity of its object.
const FIELD_MEMORY: usize = 180;

/// Memory of an object with one field, besides the field.
const OBJECT_MEMORY: usize = 320;

/// Memory of a text besides its bytes.
const TEXT_MEMORY: usize = 24;

/// The reason why the object of a reply cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub(crate) enum UnreadableObject {
    #[error("is not a JSON object")]
    NotAnObject,
    #[error("is too large to be read")]
    TooLarge,
}

/// Returns the object in `bytes`. If it is not valid JSON, an unreadable element of a list at the
/// top level is null. Returns `None` without an object within the bounds.
pub(crate) fn object(bytes: &[u8]) -> Option<Map<String, Value>> {
    read(bytes).ok()
}

/// As [`object`].
///
/// # Errors
/// See [`UnreadableObject`].
pub(crate) fn read(bytes: &[u8]) -> Result<Map<String, Value>, UnreadableObject> {
    let bytes = bytes.strip_prefix(b"\xEF\xBB\xBF".as_slice()).unwrap_or(bytes);
    let text = String::from_utf8_lossy(bytes);
    match read_text(&text) {
        Err(UnreadableObject::NotAnObject) => match without_control_characters(&text) {
            Some(repaired) => read_text(&repaired),
            None => Err(UnreadableObject::NotAnObject),
        },
        done => done,
    }
}

fn read_text(text: &str) -> Result<Map<String, Value>, UnreadableObject> {
    let mut budget = Budget::default();
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let object = Object(&mut budget).deserialize(&mut deserializer);
    match object.and_then(|object| deserializer.end().map(|()| object)) {
        Ok(object) => Ok(object),
        Err(_) if budget.is_exceeded => Err(UnreadableObject::TooLarge),
        Err(_) => Err(UnreadableObject::NotAnObject),
    }
}

/// The memory that is left for one reply.
struct Budget {
    remaining: usize,
    is_exceeded: bool,
}

impl Default for Budget {
    fn default() -> Self {
        Self { remaining: MAX_MEMORY, is_exceeded: false }
    }
}

impl Budget {
    fn charge<E: serde::de::Error>(&mut self, bytes: usize) -> Result<(), E> {
        match self.remaining.checked_sub(bytes) {
            Some(remaining) => self.remaining = remaining,
            None => self.is_exceeded = true,
        }
        self.check()
    }

    fn refuse_if<E: serde::de::Error>(&mut self, is_exceeded: bool) -> Result<(), E> {
        self.is_exceeded |= is_exceeded;
        self.check()
    }

    fn check<E: serde::de::Error>(&self) -> Result<(), E> {
        if self.is_exceeded { Err(E::custom(UnreadableObject::TooLarge)) } else { Ok(()) }
    }
}

/// Reads the object at the top level.
struct Object<'b>(&'b mut Budget);

impl<'de> DeserializeSeed<'de> for Object<'_> {
    type Value = Map<String, Value>;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Self::Value, D::Error> {
        from.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Object<'_> {
    type Value = Map<String, Value>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Self::Value, A::Error> {
        let Self(budget) = self;
        let mut object = Map::new();
        while let Some((name, raw)) = fields.next_entry::<String, &RawValue>()? {
            budget.charge(FIELD_MEMORY + TEXT_MEMORY + name.len())?;
            budget.refuse_if(object.len() == MAX_FIELDS)?;
            let value = if raw.get().starts_with('[') {
                let mut deserializer = serde_json::Deserializer::from_str(raw.get());
                let elements = List(&mut *budget).deserialize(&mut deserializer);
                Value::Array(elements.map_err(A::Error::custom)?)
            } else {
                element(raw, budget).map_err(A::Error::custom)?
            };
            object.insert(name, value);
        }
        Ok(object)
    }
}

/// Reads a list at the top level.
struct List<'b>(&'b mut Budget);

impl<'de> DeserializeSeed<'de> for List<'_> {
    type Value = Vec<Value>;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Self::Value, D::Error> {
        from.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for List<'_> {
    type Value = Vec<Value>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Self::Value, A::Error> {
        let Self(budget) = self;
        let mut list = Vec::new();
        while let Some(raw) = elements.next_element::<&RawValue>()? {
            budget.charge(ELEMENT_MEMORY)?;
            budget.refuse_if(list.len() == MAX_ELEMENTS)?;
            list.push(element(raw, budget).map_err(A::Error::custom)?);
        }
        Ok(list)
    }
}

/// Returns a value; null if it cannot be read.
///
/// # Errors
/// The budget is exceeded.
fn element(raw: &RawValue, budget: &mut Budget) -> Result<Value, serde_json::Error> {
    if let Ok(value) = value(raw.get(), budget) {
        return Ok(value);
    }
    budget.check::<serde_json::Error>()?;
    let repaired = value(&without_half_pairs(raw.get()), budget);
    budget.check::<serde_json::Error>()?;
    Ok(repaired.unwrap_or(Value::Null))
}

fn value(text: &str, budget: &mut Budget) -> Result<Value, serde_json::Error> {
    Memory(budget).deserialize(&mut serde_json::Deserializer::from_str(text))?;
    serde_json::from_str(text)
}

/// Charges the memory of a value without building it.
struct Memory<'b>(&'b mut Budget);

impl<'de> DeserializeSeed<'de> for Memory<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<(), D::Error> {
        from.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Memory<'_> {
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
        self.0.charge(TEXT_MEMORY + text.len())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<(), A::Error> {
        while elements.next_element_seed(Memory(&mut *self.0))?.is_some() {
            self.0.charge(ELEMENT_MEMORY)?;
        }
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<(), A::Error> {
        let mut is_empty = true;
        while fields.next_key_seed(Memory(&mut *self.0))?.is_some() {
            fields.next_value_seed(Memory(&mut *self.0))?;
            self.0.charge(if is_empty { OBJECT_MEMORY + FIELD_MEMORY } else { FIELD_MEMORY })?;
            is_empty = false;
        }
        Ok(())
    }
}

/// Replaces raw control characters, which strings must not contain, by spaces. Returns `None` if
/// there are none.
fn without_control_characters(text: &str) -> Option<String> {
    let has_control_character = text.chars().any(|character| character.is_ascii_control());
    has_control_character.then(|| {
        text.chars()
            .map(|character| if character.is_ascii_control() { ' ' } else { character })
            .collect()
    })
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
    fn non_object_is_rejected() {
        for text in ["", "[]", "3", "<html>", "{\"a\":", "{\"a\" 1}"] {
            assert_eq!(object(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn memory_of_an_object_is_bounded() {
        let many = |element: &str, count: usize| vec![element; count].join(",");
        let fields: Vec<_> = (0..200_000).map(|number| format!("\"{number}\":0")).collect();
        for huge in [
            format!("{{\"meetings\":[{}]}}", many("0", 2_000_000)),
            format!("{{\"meetings\":[{}]}}", many("{\"uuid\":\"a\"}", 200_000)),
            format!("{{\"meetings\":[[{}]]}}", many("[]", 2_000_000)),
            format!("{{\"a\":{{\"b\":[{}]}}}}", many("{\"\":0}", 1_000_000)),
            format!("{{{}}}", fields.join(",")),
            // The repair of a broken text is within the same bounds.
            format!("{{\"x\":\"\\ud800\",\"meetings\":[\n[{}]]}}", many("[]", 2_000_000)),
            format!("{{\"x\":\"\t\",\"meetings\":[{}]}}", many("{\"a\":\"\t\"}", 200_000)),
        ] {
            let start = huge.get(..40).unwrap_or_default();
            assert_eq!(super::read(huge.as_bytes()), Err(UnreadableObject::TooLarge), "{start}");
        }
        let file = r#"{"id":"b3f1","file_type":"MP4","status":"completed","download_url":"https://zoom.us/rec/download/abc"}"#;
        let meeting = format!("{{\"recording_files\":[{}]}}", many(file, 10_000));
        assert_eq!(object(meeting.as_bytes()).unwrap()["recording_files"][9_999]["id"], "b3f1");
    }

    #[test]
    fn deep_nesting_ends_in_null() {
        for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
            let deep = open.repeat(100_000) + "0" + &close.repeat(100_000);
            let text = format!(r#"{{"meetings":[{deep},{{"uuid":"b"}}],"other":{deep},"n":1}}"#);
            let read = read(text.as_bytes());
            assert_eq!(read["meetings"], json!([null, {"uuid": "b"}]));
            assert_eq!(read["n"], 1);
        }
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
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
