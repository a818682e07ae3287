//! What holds of every reply of a cloud.

use meetfs::fuzzing::sign_in;
use meetfs::model::{Meeting, SourceName};
use meetfs::providers::ProviderError;
use secrecy::SecretString;
use serde_json::{Map, Value};

/// A credential that a server was shown and may echo.
pub(crate) const SECRET: &str = "13|t0ken-s3cret-9";

/// What stands in the place of every address and token that opens something.
const CANARY: &str = "https://us06web.zoom.us/rec/c4nary-d0wnload?t=c4nary-d0wnload";

/// Fields that hold such an address or token.
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

/// The status that the first byte stands for, and the rest.
pub(crate) fn split_status(data: &[u8]) -> (u16, &[u8]) {
    const STATUSES: [u16; 16] =
        [200, 206, 302, 400, 401, 403, 404, 410, 416, 422, 423, 428, 429, 500, 503, 504];
    match data.split_first() {
        Some((first, rest)) => (STATUSES[usize::from(first % 16)], rest),
        None => (200, data),
    }
}

/// The reply with something recognisable in every field that opens something; `None` if it is not JSON, or holds
/// that already.
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

/// Nothing that opens anything is told of a meeting.
pub(crate) fn opens_nothing(meetings: &[Meeting]) {
    for meeting in meetings {
        let told = serde_json::to_string(meeting).expect("a meeting can be written down");
        assert!(!told.contains("c4nary"), "{told}");
    }
}

/// As [`opens_nothing`], of details.
pub(crate) fn facts_open_nothing(facts: &Map<String, Value>) {
    let told = serde_json::to_string(facts).expect("facts can be written down");
    assert!(!told.contains("c4nary"), "{told}");
}

/// The file of a sign-in, where there is one, is read as it was written.
pub(crate) fn is_kept_as_it_is(kept: Option<&[u8]>) {
    if let Some(kept) = kept {
        assert_eq!(
            sign_in::reread(kept).as_deref(),
            Some(kept),
            "{}",
            String::from_utf8_lossy(kept)
        );
    }
}

/// A sentence for a person: one line, of bounded length, without the secret.
pub(crate) fn is_a_sentence(error: &ProviderError) {
    let text = error.to_string();
    assert!(!text.contains(SECRET), "{text}");
    assert!(!text.contains(char::is_control), "{text:?}");
    assert!(text.chars().count() < 1000, "{text}");
}
