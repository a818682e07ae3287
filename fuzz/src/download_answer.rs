//! The first reply of a download host: a redirect leads to a host of Zoom, and the error repeats no
//! secret.
//!
//! Input: one byte for the status, one for the kind of file; then the media type, the `Location`,
//! and the body, each on its own line.

use meetfs::fuzzing::{http, zoom_share};
use meetfs::http::ProbeReply;
use meetfs::model::BodyKind;
use secrecy::SecretString;
use url::Url;

use super::replies;

pub fn check(data: &[u8]) {
    let (status, data) = replies::split_status(data);
    let [kind, data @ ..] = data else { return };
    let body = [BodyKind::IsoMedia, BodyKind::Json, BodyKind::WebVtt, BodyKind::Opaque]
        [usize::from(kind % 4)];
    let mut parts = data.splitn(3, |byte| *byte == b'\n');
    let mut text =
        || parts.next().and_then(|part| std::str::from_utf8(part).ok()).unwrap_or_default().trim();
    let (media_type, location) = (http::parse_media_type(text()), text());
    let body_start = parts.next().unwrap_or_default();
    zoom_share::is_error_object(body_start);
    let reply = ProbeReply {
        status,
        location: (!location.is_empty()).then(|| SecretString::from(location)),
        media_type,
        retry_after: None,
        body_start: body_start.to_vec(),
    };
    let url = Url::parse("https://us06web.zoom.us/rec/download/x?type=cc").expect("a URL");
    match zoom_share::next_url(&url, &reply, body, &replies::secret()) {
        Ok(next) => {
            let next = next.expose();
            assert_eq!(next.scheme(), "https", "{next}");
            let host = next.host_str().unwrap_or_default().trim_end_matches('.');
            let is_zoom_host = ["zoom.us", "zoomgov.com", "zoom.com.cn"]
                .iter()
                .any(|name| host == *name || host.ends_with(&format!(".{name}")));
            assert!(is_zoom_host, "{next}");
            assert!(
                !next
                    .query()
                    .unwrap_or_default()
                    .split('&')
                    .any(|field| field.starts_with("access_token="))
            );
        }
        Err(message) => {
            assert!(!message.contains(replies::SECRET), "{message}");
            assert!(
                !message.contains(char::is_control) && message.chars().count() < 1000,
                "{message:?}"
            );
        }
    }
}
