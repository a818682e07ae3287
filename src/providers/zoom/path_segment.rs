//! Ids as path segments of Zoom's API.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// The characters of a path segment that need no encoding (RFC 3986, 3.3).
const SEGMENT: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~').remove(b'@');

/// Encodes a user id, an e-mail address or `me`.
pub(crate) fn user(user: &str) -> String {
    if user.bytes().all(|byte| byte == b'.') {
        // A segment of one or two dots, encoded or not, is removed from a path (WHATWG URL, 4.4).
        return twice(user);
    }
    utf8_percent_encode(user, SEGMENT).to_string()
}

/// Encodes the UUID of a meeting twice.
///
/// Zoom does not find a UUID that begins with `/` or contains `//` otherwise ("Meetings" in its API
/// reference), and accepts this form of any other.
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
    fn uuid_is_encoded_twice() {
        assert_eq!(meeting("/aB3xY9+QWeRtYuIoP=="), "%252FaB3xY9%252BQWeRtYuIoP%253D%253D");
        assert_eq!(meeting("a//b"), "a%252F%252Fb");
    }

    #[test]
    fn any_id_stays_one_segment() {
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
    fn user_is_encoded_once() {
        assert_eq!(user("me"), "me");
        assert_eq!(user("ana+x@example.org"), "ana%2Bx@example.org");
        assert_eq!(user("a/b?c"), "a%2Fb%3Fc");
        let url =
            Url::parse(&format!("https://api.zoom.us/v2/users/{}/recordings", user(".."))).unwrap();
        assert_eq!(url.path_segments().unwrap().count(), 4);
    }
}
