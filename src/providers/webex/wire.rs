//! Parses Webex's replies. Any field except the id of a recording may be missing or have an
//! unexpected type.

use jiff::Timestamp;
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};
use url::Url;

use crate::model::SecretUrl;
use crate::providers::toolkit::serde_lenient;

/// One page of a listing.
pub(crate) struct Page {
    /// The entries that could be parsed.
    pub(crate) recordings: Vec<Recording>,
    /// Number of entries that could not be parsed.
    pub(crate) unreadable_count: usize,
}

impl Page {
    /// Parses a page. Returns `None` if the reply is not a page.
    pub(crate) fn parse(reply: Map<String, Value>) -> Option<Self> {
        let entries = take_items(reply)?;
        let entry_count = entries.len();
        let recordings: Vec<_> = entries.into_iter().filter_map(Recording::parse).collect();
        Some(Self { unreadable_count: entry_count - recordings.len(), recordings })
    }
}

fn take_items(mut reply: Map<String, Value>) -> Option<Vec<Value>> {
    match reply.remove("items")? {
        Value::Array(entries) => Some(entries),
        Value::Null => Some(Vec::new()),
        _ => None,
    }
}

/// A recording from a listing, or the details of a recording.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Recording {
    #[serde(default, deserialize_with = "serde_lenient::text")]
    id: Option<String>,
    /// The id of the meeting. Several recordings may belong to it.
    #[serde(default, deserialize_with = "serde_lenient::text")]
    pub(crate) meeting_id: Option<String>,
    #[serde(default, deserialize_with = "serde_lenient::text")]
    pub(crate) topic: Option<String>,
    /// The time at which the file was created.
    #[serde(default, deserialize_with = "serde_lenient::time")]
    pub(crate) create_time: Option<Timestamp>,
    /// The time at which the recording began.
    #[serde(default, deserialize_with = "serde_lenient::time")]
    pub(crate) time_recorded: Option<Timestamp>,
    #[serde(default, deserialize_with = "serde_lenient::text")]
    pub(crate) host_email: Option<String>,
    #[serde(default, deserialize_with = "serde_lenient::text")]
    pub(crate) format: Option<String>,
    #[serde(default, deserialize_with = "serde_lenient::integer")]
    pub(crate) duration_seconds: Option<i64>,
    #[serde(default, deserialize_with = "serde_lenient::integer")]
    pub(crate) size_bytes: Option<i64>,
    #[serde(default, deserialize_with = "serde_lenient::text")]
    pub(crate) status: Option<String>,
    /// The URL of the download page. It is missing if downloads are prevented.
    #[serde(default, deserialize_with = "serde_lenient::text")]
    pub(crate) download_url: Option<String>,
    #[serde(
        default,
        rename = "temporaryDirectDownloadLinks",
        deserialize_with = "deserialize_direct_urls"
    )]
    pub(crate) direct_urls: DirectUrls,
    /// All other fields, including passwords.
    #[serde(flatten)]
    pub(crate) other_fields: Map<String, Value>,
}

impl Recording {
    /// Returns the length in bytes, or `None` if it is missing or zero.
    pub(crate) fn declared_size(&self) -> Option<u64> {
        self.size_bytes.and_then(|size| u64::try_from(size).ok()).filter(|size| *size > 0)
    }
}

impl Recording {
    /// Parses an entry. Returns `None` unless it is an object with an id that can be a path
    /// segment.
    pub(crate) fn parse(entry: Value) -> Option<Self> {
        serde_json::from_value::<Self>(entry)
            .ok()
            .filter(|recording| recording.id.as_deref().is_some_and(is_path_segment))
    }

    /// Returns the id. It is never empty.
    pub(crate) fn id(&self) -> &str {
        self.id.as_deref().unwrap_or_default()
    }
}

/// Whether an id can be a path segment. A segment that consists only of dots, encoded or not, would
/// refer to another directory of the path (WHATWG URL, 4.4).
fn is_path_segment(id: &str) -> bool {
    id.bytes().any(|byte| byte != b'.')
}

/// The direct download URLs of a recording, which are valid for three hours. Any of them may be
/// missing.
#[derive(Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct DirectUrls {
    #[serde(
        default,
        rename = "recordingDownloadLink",
        deserialize_with = "deserialize_direct_url"
    )]
    pub(crate) recording: Option<SecretUrl>,
    #[serde(default, rename = "audioDownloadLink", deserialize_with = "deserialize_direct_url")]
    pub(crate) audio: Option<SecretUrl>,
    #[serde(
        default,
        rename = "transcriptDownloadLink",
        deserialize_with = "deserialize_direct_url"
    )]
    pub(crate) transcript: Option<SecretUrl>,
    #[serde(default, deserialize_with = "serde_lenient::time")]
    pub(crate) expiration: Option<Timestamp>,
}

fn deserialize_direct_urls<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<DirectUrls, D::Error> {
    Ok(serde_json::from_value(Value::deserialize(deserializer)?).unwrap_or_default())
}

/// Deserializes a download URL. Webex accepts the ticket in its query only if the URL is unchanged.
fn deserialize_direct_url<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<SecretUrl>, D::Error> {
    let text = serde_lenient::as_text(&Value::deserialize(deserializer)?);
    let url = text.as_deref().and_then(|text| Url::parse(text).ok());
    if let (Some(text), Some(url)) = (text, &url)
        && text != url.as_str()
    {
        tracing::debug!("a download URL was changed by normalization and may be refused");
    }
    Ok(url.map(SecretUrl::new))
}

/// A transcript as the transcripts API lists it.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Transcript {
    #[serde(default, deserialize_with = "serde_lenient::text")]
    id: Option<String>,
    /// The id of the meeting that the transcript belongs to.
    #[serde(default, deserialize_with = "serde_lenient::text")]
    pub(crate) meeting_id: Option<String>,
    #[serde(default, deserialize_with = "serde_lenient::text")]
    status: Option<String>,
}

impl Transcript {
    /// Returns the id. It is never empty.
    pub(crate) fn id(&self) -> &str {
        self.id.as_deref().unwrap_or_default()
    }

    /// Whether the transcript can be requested. Compliance officers also see deleted transcripts.
    fn is_available(&self) -> bool {
        let is_deleted =
            self.status.as_deref().is_some_and(|status| status.eq_ignore_ascii_case("deleted"));
        self.id.as_deref().is_some_and(is_path_segment) && !is_deleted
    }
}

/// Parses a list of transcripts and returns the available ones. Returns `None` if the reply is not
/// a list.
pub(crate) fn parse_transcripts(reply: Map<String, Value>) -> Option<Vec<Transcript>> {
    let parse = |entry| serde_json::from_value::<Transcript>(entry).ok();
    Some(
        take_items(reply)?.into_iter().filter_map(parse).filter(Transcript::is_available).collect(),
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn page(value: Value) -> Page {
        let Value::Object(reply) = value else { panic!() };
        Page::parse(reply).unwrap()
    }

    #[test]
    fn unreadable_entry_does_not_hide_others() {
        let page = page(json!({"items": [
            7, null, "x", [], {}, {"id": ""}, {"id": null, "topic": "lost"}, {"id": ".."},
            {"id": 42, "topic": ["x"], "timeRecorded": 5, "durationSeconds": "ten", "sizeBytes": {}, "format": 3,
             "status": false, "temporaryDirectDownloadLinks": "none", "createTime": []},
            {"id": "b", "sizeBytes": "16810345", "durationSeconds": 1841.0,
             "temporaryDirectDownloadLinks": {"recordingDownloadLink": "not an address", "audioDownloadLink": 4,
             "transcriptDownloadLink": null, "expiration": "soon"}},
        ]}));
        let ids: Vec<_> = page.recordings.iter().map(Recording::id).collect();
        assert_eq!((ids, page.unreadable_count), (vec!["42", "b"], 8));
        let last = page.recordings.last().unwrap();
        assert_eq!((last.size_bytes, last.duration_seconds), (Some(16_810_345), Some(1841)));
        assert!(last.direct_urls.recording.is_none() && last.direct_urls.expiration.is_none());
    }

    #[test]
    fn reply_without_items_is_not_a_page() {
        for reply in [json!({}), json!({"items": {}}), json!({"message": "x"})] {
            assert!(Page::parse(reply.as_object().unwrap().clone()).is_none(), "{reply}");
        }
        assert!(page(json!({"items": null})).recordings.is_empty());
    }

    #[test]
    fn download_url_is_unchanged() {
        for path in [
            "/nbr/MultiThreadDownloadServlet",
            "/nbr/MultiThreadDownloadServlet/audio.mp3",
            "/nbr/downloadMedia.do",
        ] {
            let text = format!(
                "https://nsj1wss.webex.com{path}?siteid=2062842&recordid=305462&confid=137680&from=MBS&trackingID=ROUTER_5FBE5EB8-01BB-0AE8-7504-ABDA0A010BBE&language=en_US&userid=3232932&serviceRecordID=305462&ticket=SDJTSwAAAIVCSONLBzRVzLoGYD%2B5YLi%2FGaQmdYU%3D&timestamp=1567125236465&islogin=yes&isprevent=no&ispwd=yes"
            );
            let urls: DirectUrls =
                serde_json::from_value(json!({"recordingDownloadLink": text})).unwrap();
            assert_eq!(urls.recording.unwrap().expose().as_str(), text);
        }
    }
}
