//! Ids as path segments of Zoom's interface.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// What may stand in a path segment as it is and is harmless there (RFC 3986, 3.3).
const SEGMENT: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~').remove(b'@');

/// A user id, an e-mail address or `me`, as a path segment.
pub(crate) fn user(user: &str) -> String {
    if user.bytes().all(|byte| byte == b'.') {
        // Segments of dots alone, encoded or not, are steps within the path (WHATWG URL, 4.4).
        return twice(user);
    }
    utf8_percent_encode(user, SEGMENT).to_string()
}

/// A meeting's UUID as a path segment: encoded twice.
///
/// A UUID that begins with `/` or holds `//` is not found otherwise ("Meetings" in Zoom's interface reference),
/// and any other is taken in this form too.
pub(crate) fn meeting(uuid: &str) -> String {
    twice(uuid)
}

fn twice(id: &str) -> String {
    let once = utf8_percent_encode(id, NON_ALPHANUMERIC).to_string();
    utf8_percent_encode(&once, NON_ALPHANUMERIC).to_string()
}

#[cfg(test)]
mod tests {
    use percent_encoding::percent_decode_str;
    use url::Url;

    use super::*;

    #[test]
    fn a_uuid_is_encoded_twice() {
        assert_eq!(meeting("/aB3xY9+QWeRtYuIoP=="), "%252FaB3xY9%252BQWeRtYuIoP%253D%253D");
        assert_eq!(meeting("a//b"), "a%252F%252Fb");
    }

    #[test]
    fn any_id_stays_one_segment_and_decodes_to_itself() {
        for id in ["/aB3xY9+QWeRtYuIoP==", "a//b", "..", ".", "%2e%2e", "é ?#&", "kK=="] {
            let url =
                Url::parse(&format!("https://api.zoom.us/v2/meetings/{}/recordings", meeting(id)))
                    .unwrap();
            let segments: Vec<_> = url.path_segments().unwrap().collect();
            assert_eq!(segments.len(), 4, "{id}");
            let once = percent_decode_str(segments[2]).decode_utf8().unwrap().into_owned();
            assert_eq!(percent_decode_str(&once).decode_utf8().unwrap(), id);
        }
    }

    #[test]
    fn a_user_is_encoded_once_and_readable() {
        assert_eq!(user("me"), "me");
        assert_eq!(user("ana+x@example.org"), "ana%2Bx@example.org");
        assert_eq!(user("a/b?c"), "a%2Fb%3Fc");
        let url =
            Url::parse(&format!("https://api.zoom.us/v2/users/{}/recordings", user(".."))).unwrap();
        assert_eq!(url.path_segments().unwrap().count(), 4);
    }
}
