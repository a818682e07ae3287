//! Properties of every reply of a provider.

use meetfs::fuzzing::sign_in;
use meetfs::model::{Meeting, SourceName};
use meetfs::providers::ProviderError;
use secrecy::SecretString;
use serde_json::{Map, Value};

/// A credential that a server has received and may echo.
pub(crate) const SECRET: &str = "13|t0ken-s3cret-9";

/// Replaces every URL and token that grants access.
const CANARY: &str = "https://us06web.zoom.us/rec/c4nary-d0wnload?t=c4nary-d0wnload";

/// Fields with such a URL or token.
const OPENS: [&str; 12] = [
    "download_url",
    "download_access_token",
    "recordingDownloadLink",
    "audioDownloadLink",
    "transcriptDownloadLink",
    "downloadUrl",
    "playbackUrl",
    "vttDownloadLink",
    "txtDownloadLink",
    "token",
    "access_token",
    "refresh_token",
];

pub(crate) fn source() -> SourceName {
    SourceName::new("acme").expect("a legal name")
}

pub(crate) fn secret() -> SecretString {
    SecretString::from(SECRET)
}

/// Splits the first byte off as a status.
pub(crate) fn split_status(data: &[u8]) -> (u16, &[u8]) {
    const STATUSES: [u16; 16] =
        [200, 206, 302, 400, 401, 403, 404, 410, 416, 422, 423, 428, 429, 500, 503, 504];
    match data.split_first() {
        Some((first, rest)) => (STATUSES[usize::from(first % 16)], rest),
        None => (200, data),
    }
}

/// Returns the reply with a marker in every field that grants access; `None` if it is not JSON or
/// already contains the marker.
pub(crate) fn marked(body: &[u8]) -> Option<Vec<u8>> {
    let mut reply: Value = serde_json::from_slice(body).ok()?;
    if reply.to_string().contains("c4nary") {
        return None;
    }
    mark(&mut reply);
    serde_json::to_vec(&reply).ok()
}

fn mark(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                if OPENS.contains(&name.as_str()) {
                    *value = CANARY.into();
                } else {
                    mark(value);
                }
            }
        }
        Value::Array(values) => values.iter_mut().for_each(mark),
        _ => {}
    }
}

/// Fails if a meeting contains a marker.
pub(crate) fn assert_no_credential(meetings: &[Meeting]) {
    for meeting in meetings {
        let told = serde_json::to_string(meeting).expect("a meeting can be written down");
        assert!(!told.contains("c4nary"), "{told}");
    }
}

/// Fails if details contain a marker.
pub(crate) fn assert_no_credential_in_facts(facts: &Map<String, Value>) {
    let told = serde_json::to_string(facts).expect("facts can be written down");
    assert!(!told.contains("c4nary"), "{told}");
}

/// Fails unless a sign-in file is parsed back unchanged.
pub(crate) fn assert_round_trip(kept: Option<&[u8]>) {
    if let Some(kept) = kept {
        assert_eq!(
            sign_in::round_trip(kept).as_deref(),
            Some(kept),
            "{}",
            String::from_utf8_lossy(kept)
        );
    }
}

/// Fails unless the message is one line of bounded length without the secret.
pub(crate) fn assert_one_line_message(error: &ProviderError) {
    let text = error.to_string();
    assert!(!text.contains(SECRET), "{text}");
    assert!(!text.contains(char::is_control), "{text:?}");
    assert!(text.chars().count() < 1000, "{text}");
}
