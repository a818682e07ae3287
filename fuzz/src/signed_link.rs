//! The expiry of a signed URL: an expired one is rejected.

use jiff::Timestamp;
use meetfs::fuzzing::zoom_links;
use url::Url;

pub fn check(data: &[u8]) {
    let Ok(query) = std::str::from_utf8(data) else { return };
    let mut url = Url::parse("https://ssrweb.zoom.us/x.mp4").expect("an address");
    url.set_query(Some(query));
    for now in [Timestamp::MIN, Timestamp::UNIX_EPOCH, Timestamp::MAX] {
        let end = zoom_links::ends(&url, now);
        assert!(end.is_none_or(|end| now < end), "{end:?}");
    }
}
