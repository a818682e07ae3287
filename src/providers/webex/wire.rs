//! Webex's replies. Every field but the id of a recording may be missing or of another type.

use jiff::Timestamp;
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};
use url::Url;

use crate::model::SecretUrl;
use crate::providers::toolkit::serde_lenient;

/// One page of a listing.
pub(crate) struct Page {
    /// The readable entries.
    pub(crate) recordings: Vec<Recording>,
    /// Number of the other entries.
    pub(crate) unreadable: usize,
}

impl Page {
    /// Returns `None` if the reply is not a page.
    pub(crate) fn read(reply: Map<String, Value>) -> Option<Self> {
        let entries = items(reply)?;
        let listed = entries.len();
        let recordings: Vec<_> = entries.into_iter().filter_map(Recording::read).collect();
        Some(Self { unreadable: listed - recordings.len(), recordings })
    }
}

fn items(mut reply: Map<String, Value>) -> Option<Vec<Value>> {
    match reply.remove("items")? {
        Value::Array(entries) => Some(entries),
        Value::Null => Some(Vec::new()),
        _ => None,
    }
}

/// A recording of a listing, or the details of one.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Recording {
    #[serde(default, deserialize_with = "serde_lenient::text")]
    id: Option<String>,
    /// The meeting, which several recordings may share.
    #[serde(default, deserialize_with = "serde_lenient::text")]
    pub(crate) meeting_id: Option<String>,
    #[serde(default, deserialize_with = "serde_lenient::text")]
    pub(crate) topic: Option<String>,
    /// When the file was created.
    #[serde(default, deserialize_with = "serde_lenient::time")]
    pub(crate) create_time: Option<Timestamp>,
    /// When recording began.
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
    /// A web page. Without it, downloads are prevented.
    #[serde(default, deserialize_with = "serde_lenient::text")]
    pub(crate) download_url: Option<String>,
    #[serde(default, rename = "temporaryDirectDownloadLinks", deserialize_with = "links")]
    pub(crate) links: Links,
    /// All other fields, passwords included.
    #[serde(flatten)]
    pub(crate) other: Map<String, Value>,
}

impl Recording {
    /// Returns the listed length in bytes. Zero means that it is unknown.
    pub(crate) fn declared_size(&self) -> Option<u64> {
        self.size_bytes.and_then(|size| u64::try_from(size).ok()).filter(|size| *size > 0)
    }
}

impl Recording {
    /// Returns `None` unless the entry is an object with an id that a path can contain.
    pub(crate) fn read(entry: Value) -> Option<Self> {
        serde_json::from_value::<Self>(entry)
            .ok()
            .filter(|recording| recording.id.as_deref().is_some_and(is_segment))
    }

    /// Returns the id, which is never empty.
    pub(crate) fn id(&self) -> &str {
        self.id.as_deref().unwrap_or_default()
    }
}

/// Segments of dots only, encoded or not, navigate within the path (WHATWG URL, 4.4).
fn is_segment(id: &str) -> bool {
    id.bytes().any(|byte| byte != b'.')
}

/// The download URLs of a recording, valid for three hours. Each may be missing.
#[derive(Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Links {
    #[serde(default, rename = "recordingDownloadLink", deserialize_with = "link")]
    pub(crate) recording: Option<SecretUrl>,
    #[serde(default, rename = "audioDownloadLink", deserialize_with = "link")]
    pub(crate) audio: Option<SecretUrl>,
    #[serde(default, rename = "transcriptDownloadLink", deserialize_with = "link")]
    pub(crate) transcript: Option<SecretUrl>,
    #[serde(default, deserialize_with = "serde_lenient::time")]
    pub(crate) expiration: Option<Timestamp>,
}

fn links<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Links, D::Error> {
    Ok(serde_json::from_value(Value::deserialize(deserializer)?).unwrap_or_default())
}

/// Reads a download URL. Its query is a ticket for exactly this text.
fn link<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<SecretUrl>, D::Error> {
    let text = serde_lenient::as_text(&Value::deserialize(deserializer)?);
    let link = text.as_deref().and_then(|text| Url::parse(text).ok());
    if let (Some(text), Some(link)) = (text, &link)
        && text != link.as_str()
    {
        tracing::debug!("a download URL was changed by normalization and may be refused");
    }
    Ok(link.map(SecretUrl::new))
}

/// A transcript at the API.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Transcript {
    #[serde(default, deserialize_with = "serde_lenient::text")]
    id: Option<String>,
    /// The meeting that it belongs to.
    #[serde(default, deserialize_with = "serde_lenient::text")]
    pub(crate) meeting_id: Option<String>,
    #[serde(default, deserialize_with = "serde_lenient::text")]
    status: Option<String>,
}

impl Transcript {
    /// Returns the id, which is never empty.
    pub(crate) fn id(&self) -> &str {
        self.id.as_deref().unwrap_or_default()
    }

    /// Whether it can be requested. Compliance officers also see deleted ones.
    fn is_available(&self) -> bool {
        let is_deleted =
            self.status.as_deref().is_some_and(|status| status.eq_ignore_ascii_case("deleted"));
        self.id.as_deref().is_some_and(is_segment) && !is_deleted
    }
}

/// Returns the available transcripts of a list, or `None` if the reply is not a list.
pub(crate) fn transcripts(reply: Map<String, Value>) -> Option<Vec<Transcript>> {
    let read = |entry| serde_json::from_value::<Transcript>(entry).ok();
    Some(items(reply)?.into_iter().filter_map(read).filter(Transcript::is_available).collect())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn page(value: Value) -> Page {
        let Value::Object(reply) = value else { panic!() };
        Page::read(reply).unwrap()
    }

    #[test]
    fn bad_entry_hides_no_other() {
        let page = page(json!({"items": [
            7, null, "x", [], {}, {"id": ""}, {"id": null, "topic": "lost"}, {"id": ".."},
            {"id": 42, "topic": ["x"], "timeRecorded": 5, "durationSeconds": "ten", "sizeBytes": {}, "format": 3,
             "status": false, "temporaryDirectDownloadLinks": "none", "createTime": []},
            {"id": "b", "sizeBytes": "16810345", "durationSeconds": 1841.0,
             "temporaryDirectDownloadLinks": {"recordingDownloadLink": "not an address", "audioDownloadLink": 4,
             "transcriptDownloadLink": null, "expiration": "soon"}},
        ]}));
        let ids: Vec<_> = page.recordings.iter().map(Recording::id).collect();
        assert_eq!((ids, page.unreadable), (vec!["42", "b"], 8));
        let last = page.recordings.last().unwrap();
        assert_eq!((last.size_bytes, last.duration_seconds), (Some(16_810_345), Some(1841)));
        assert!(last.links.recording.is_none() && last.links.expiration.is_none());
    }

    #[test]
    fn reply_without_items_is_not_a_page() {
        for reply in [json!({}), json!({"items": {}}), json!({"message": "x"})] {
            assert!(Page::read(reply.as_object().unwrap().clone()).is_none(), "{reply}");
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
            let links: Links =
                serde_json::from_value(json!({"recordingDownloadLink": text})).unwrap();
            assert_eq!(links.recording.unwrap().expose().as_str(), text);
        }
    }
}
