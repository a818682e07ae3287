//! The text of `meeting.json`: the metadata of the listing, followed by the fields that the details
//! add.

use std::borrow::Cow;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use xxhash_rust::xxh3::xxh3_64;

use super::details::Details;
use super::meeting::Meeting;
use super::printable::printable_json;
use super::shared_text::SharedText;

/// The text of `meeting.json`, rendered on demand.
///
/// Most documents are never read. The documents of 10,000 meetings with eight files each take 44
/// MB, and rendering them takes longer than the rest of the startup. Therefore a document renders
/// its text on each request, and stores only the length and a hash of the text.
#[derive(Debug)]
pub struct Document {
    meeting: Arc<Meeting>,
    details: Option<Arc<Details>>,
    digest: OnceLock<Digest>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Digest {
    length: u64,
    hash: u64,
}

impl Document {
    /// Creates the document of a listed meeting. `details` is `None` if the provider has no details
    /// for it.
    pub fn new(meeting: Arc<Meeting>, details: Option<Arc<Details>>) -> Self {
        Self { meeting, details, digest: OnceLock::new() }
    }

    pub fn meeting(&self) -> &Arc<Meeting> {
        &self.meeting
    }

    pub fn text(&self) -> Bytes {
        let mut fields = self.meeting.metadata.fields();
        let expires = self.meeting.expires.map(|expires| format!("\"{expires}\""));
        if let Some(expires) = expires.as_deref() {
            match fields.iter_mut().find(|(name, _)| name == "expires") {
                Some((_, value)) => *value = expires,
                None => fields.push((Cow::Borrowed("expires"), expires)),
            }
        }
        for (name, value) in self.details.iter().flat_map(|details| details.metadata.fields()) {
            if fields.iter().all(|(existing_name, _)| *existing_name != name) {
                fields.push((name, value));
            }
        }
        let mut object = String::from("{");
        for (index, (name, value)) in fields.into_iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            object.push_str(&format!("{comma}{}:{value}", serde_json::Value::from(name)));
        }
        object.push('}');
        let mut text = indent(&printable_json(&object));
        text.push(b'\n');
        text.into()
    }

    /// Returns the participants as a CSV table, if they are known.
    pub fn participants(&self) -> Option<Bytes> {
        self.details.as_ref()?.participants.as_ref().map(SharedText::bytes)
    }

    /// Returns the length of the text in bytes.
    pub fn length(&self) -> u64 {
        self.digest().length
    }

    /// Returns a hash of the text.
    pub fn hash(&self) -> u64 {
        self.digest().hash
    }

    fn digest(&self) -> Digest {
        *self.digest.get_or_init(|| {
            let text = self.text();
            Digest { length: text.len() as u64, hash: xxh3_64(&text) }
        })
    }
}

impl PartialEq for Document {
    /// Compares the texts by length and hash.
    fn eq(&self, other: &Self) -> bool {
        std::ptr::eq(self, other) || self.digest() == other.digest()
    }
}

impl Eq for Document {}

/// Formats JSON text with one entry per line and two spaces per level, as
/// `serde_json::to_string_pretty` does.
fn indent(json: &str) -> Vec<u8> {
    let mut output = Vec::with_capacity(json.len() * 2);
    let mut depth = 0_usize;
    let (mut in_string, mut escaped) = (false, false);
    let mut bytes = json.bytes().peekable();
    let start_line = |output: &mut Vec<u8>, depth: usize| {
        output.push(b'\n');
        output.resize(output.len() + 2 * depth, b' ');
    };
    while let Some(byte) = bytes.next() {
        if in_string {
            output.push(byte);
            in_string = byte != b'"' || escaped;
            escaped = byte == b'\\' && !escaped;
            continue;
        }
        match byte {
            b'{' | b'[' => {
                output.push(byte);
                if let Some(end) = bytes.next_if(|next| matches!(next, b'}' | b']')) {
                    output.push(end);
                } else {
                    depth += 1;
                    start_line(&mut output, depth);
                }
            }
            b'}' | b']' => {
                depth = depth.saturating_sub(1);
                start_line(&mut output, depth);
                output.push(byte);
            }
            b',' => {
                output.push(byte);
                start_line(&mut output, depth);
            }
            b':' => output.extend(b": "),
            _ => {
                in_string = byte == b'"';
                output.push(byte);
            }
        }
    }
    output
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Map, Value, json};

    use super::*;
    use crate::model::SourceName;

    fn document(listed: Value, expires: Option<&str>, details: Option<Value>) -> Document {
        let to_metadata = |value: Value| value.as_object().unwrap().clone().into();
        let time = "2026-10-06T07:00:00Z".parse().unwrap();
        let meeting = Meeting {
            source: SourceName::new("acme").unwrap(),
            id: "m".into(),
            topic: String::new(),
            start: time,
            end: time,
            expires: expires.map(|expires| expires.parse().unwrap()),
            files: Vec::new(),
            metadata: to_metadata(listed),
        };
        let details =
            details.map(|details| Details { metadata: to_metadata(details), ..Details::default() });
        Document::new(meeting.into(), details.map(Arc::new))
    }

    #[test]
    fn details_add_fields_but_never_overwrite_listed_ones() {
        let listed_fields =
            json!({"topic": "listed", "recording_files": [{"id": "a"}, {}], "empty": []});
        let details = json!({"topic": "other", "dept": "sales", "expires": "never"});
        let document = document(listed_fields, Some("2026-11-01T00:00:00Z"), Some(details));
        let text = "{\n  \"topic\": \"listed\",\n  \"recording_files\": [\n    {\n      \"id\": \"a\"\n    },\n    {}\n  ],\n  \
                    \"empty\": [],\n  \"expires\": \"2026-11-01T00:00:00Z\",\n  \"dept\": \"sales\"\n}\n";
        assert_eq!(String::from_utf8_lossy(&document.text()), text);
        assert_eq!(document.length(), text.len() as u64);
    }

    #[test]
    fn document_text_is_printable_with_unchanged_values() {
        let topic = "a\u{202e}b\u{9b}2J\u{e0001}\u{1b}";
        let text = document(json!({ "topic": topic }), None, None).text();
        let expected = "{\n  \"topic\": \"a\\u202eb\\u009b2J\\udb40\\udc01\\u001b\"\n}\n";
        assert_eq!(String::from_utf8_lossy(&text), expected);
        assert_eq!(serde_json::from_slice::<Value>(&text).unwrap()["topic"], topic);
    }

    #[test]
    fn expiry_of_the_meeting_replaces_the_listed_field() {
        let document =
            document(json!({"expires": "soon", "z": 1}), Some("2026-11-01T00:00:00Z"), None);
        let text = "{\n  \"expires\": \"2026-11-01T00:00:00Z\",\n  \"z\": 1\n}\n";
        assert_eq!(String::from_utf8_lossy(&document.text()), text);
    }

    #[test]
    fn documents_with_equal_text_are_equal() {
        let document_with_dept =
            |dept| document(json!({"topic": "t"}), None, Some(json!({"dept": dept})));
        assert_eq!(document_with_dept("sales"), document_with_dept("sales"));
        assert_ne!(document_with_dept("sales"), document_with_dept("legal"));
        assert_eq!(String::from_utf8_lossy(&document(json!({}), None, None).text()), "{}\n");
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            any::<String>().prop_map(Value::from),
            "[\"\\\\{}:,\\[\\]]{0,6}".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 40, 5, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
                prop::collection::vec((any::<String>(), inner), 0..5)
                    .prop_map(|fields| Value::Object(Map::from_iter(fields))),
            ]
        })
    }

    proptest! {
        #[test]
        fn indentation_matches_serde_json_pretty_printing(value in any_json()) {
            let expected = serde_json::to_string_pretty(&value).unwrap();
            prop_assert_eq!(String::from_utf8(indent(&value.to_string())).unwrap(), expected);
        }
    }
}
