//! The expiry of a signed URL: an expired one is rejected.

use jiff::Timestamp;
use meetfs::fuzzing::zoom_share;
use url::Url;

pub fn check(data: &[u8]) {
    let Ok(query) = std::str::from_utf8(data) else { return };
    let mut url = Url::parse("https://ssrweb.zoom.us/x.mp4").expect("a URL");
    url.set_query(Some(query));
    for now in [Timestamp::MIN, Timestamp::UNIX_EPOCH, Timestamp::MAX] {
        let expiry = zoom_share::url_expiry(&url, now);
        assert!(expiry.is_none_or(|expiry| now < expiry), "{expiry:?}");
    }
}
