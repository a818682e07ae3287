//! The metadata of a meeting, stored as JSON text.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

/// The fields of a JSON object in insertion order.
///
/// The fields are kept as compact JSON text. 10,000 meetings with eight files each have half a
/// million fields, most of which are never read. As parsed values, they would take 180 MB. As text,
/// they take 26 MB.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MeetingMetadata(Box<str>);

/// A field name with its unparsed value.
pub(super) type Field<'a> = (Cow<'a, str>, &'a str);

/// The field with the URL of the page that shows the recording, if the provider lists one.
pub const SHARE_URL_FIELD: &str = "share_url";

impl MeetingMetadata {
    /// Returns the JSON text of the object.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the parsed fields.
    pub fn to_map(&self) -> Map<String, Value> {
        serde_json::from_str(&self.0).unwrap_or_default()
    }

    /// Returns the value of a field, or `None` if the field does not exist or is not a string.
    pub fn text(&self, name: &str) -> Option<String> {
        let fields = self.fields();
        let (_, value) = fields.into_iter().find(|(field, _)| field == name)?;
        serde_json::from_str(value).ok()
    }

    pub(super) fn fields(&self) -> Vec<Field<'_>> {
        serde_json::from_str(&self.0).map(|Fields(fields)| fields).unwrap_or_default()
    }
}

impl Default for MeetingMetadata {
    fn default() -> Self {
        Self("{}".into())
    }
}

impl From<Map<String, Value>> for MeetingMetadata {
    fn from(fields: Map<String, Value>) -> Self {
        Self(Value::Object(fields).to_string().into())
    }
}

impl FromIterator<(String, Value)> for MeetingMetadata {
    fn from_iter<I: IntoIterator<Item = (String, Value)>>(fields: I) -> Self {
        Map::from_iter(fields).into()
    }
}

impl Serialize for MeetingMetadata {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let raw_json: &RawValue =
            serde_json::from_str(&self.0).map_err(serde::ser::Error::custom)?;
        raw_json.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for MeetingMetadata {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text: Box<str> = Box::<RawValue>::deserialize(deserializer)?.into();
        if text.starts_with('{') {
            Ok(Self(text))
        } else {
            Err(D::Error::custom("not a JSON object"))
        }
    }
}

struct Fields<'a>(Vec<Field<'a>>);

impl<'de> Deserialize<'de> for Fields<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct FieldsVisitor;

        impl<'de> Visitor<'de> for FieldsVisitor {
            type Value = Fields<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut fields = Vec::new();
                while let Some(FieldName(name)) = map.next_key()? {
                    fields.push((name, map.next_value::<&RawValue>()?.get()));
                }
                Ok(Fields(fields))
            }
        }

        deserializer.deserialize_map(FieldsVisitor)
    }
}

/// A field name, borrowed if it contains no escape sequence.
#[derive(Deserialize)]
struct FieldName<'a>(#[serde(borrow)] Cow<'a, str>);

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn metadata(value: Value) -> MeetingMetadata {
        match value {
            Value::Object(fields) => fields.into(),
            other => panic!("{other} is not an object"),
        }
    }

    #[test]
    fn fields_keep_their_order_and_text() {
        let value = json!({"z": 1, "a \"b\"": "x\ny", "list": [{"k": null}], "expires": -1.5});
        let metadata = metadata(value.clone());
        assert_eq!(Value::Object(metadata.to_map()), value);
        let text = r#"{"z":1,"a \"b\"":"x\ny","list":[{"k":null}],"expires":-1.5}"#;
        assert_eq!(metadata.as_str(), text);
        let stored = serde_json::to_string(&metadata).unwrap();
        assert_eq!(stored, text);
        assert_eq!(serde_json::from_str::<MeetingMetadata>(&stored).unwrap(), metadata);
        let names: Vec<_> =
            metadata.fields().into_iter().map(|(name, _)| name.into_owned()).collect();
        assert_eq!(names, ["z", "a \"b\"", "list", "expires"]);
    }

    #[test]
    fn only_string_fields_are_returned_as_text() {
        let metadata = metadata(
            json!({"host": "ana@example.org", "é": "\u{e9}\u{1f600}", "n": 3, "o": {"host": "x"}}),
        );
        assert_eq!(metadata.text("host").as_deref(), Some("ana@example.org"));
        assert_eq!(metadata.text("é").as_deref(), Some("\u{e9}\u{1f600}"));
        assert_eq!(
            (metadata.text("n"), metadata.text("o"), metadata.text("x")),
            (None, None, None)
        );
    }

    #[test]
    fn text_that_is_not_an_object_is_rejected() {
        for text in ["[]", "null", "3", "\"{}\"", "{\"a\":}", "{", ""] {
            assert!(serde_json::from_str::<MeetingMetadata>(text).is_err(), "{text}");
        }
    }
}
