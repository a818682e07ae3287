//! Encodes ids as path segments of Zoom's API.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// The characters that are percent-encoded in a path segment (RFC 3986, 3.3).
const ENCODED_CHARACTERS: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~').remove(b'@');

/// Encodes a user id, an e-mail address or `me`.
pub(crate) fn encode_user(user: &str) -> String {
    if user.bytes().all(|byte| byte == b'.') {
        // URL parsers remove a segment of one or two dots, even if it is percent-encoded once
        // (WHATWG URL, 4.4).
        return encode_twice(user);
    }
    utf8_percent_encode(user, ENCODED_CHARACTERS).to_string()
}

/// Encodes the UUID of a meeting twice.
///
/// A UUID that begins with `/` or contains `//` must be encoded twice ("Meetings" in Zoom's API
/// reference). Zoom accepts every other UUID in this form as well.
pub(crate) fn encode_meeting(uuid: &str) -> String {
    encode_twice(uuid)
}

fn encode_twice(id: &str) -> String {
    let encoded_once = utf8_percent_encode(id, NON_ALPHANUMERIC).to_string();
    utf8_percent_encode(&encoded_once, NON_ALPHANUMERIC).to_string()
}

#[cfg(test)]
mod tests {
    use percent_encoding::percent_decode_str;
    use url::Url;

    use super::*;

    #[test]
    fn uuid_is_encoded_twice() {
        assert_eq!(encode_meeting("/aB3xY9+QWeRtYuIoP=="), "%252FaB3xY9%252BQWeRtYuIoP%253D%253D");
        assert_eq!(encode_meeting("a//b"), "a%252F%252Fb");
    }

    #[test]
    fn any_id_stays_one_segment() {
        for id in ["/aB3xY9+QWeRtYuIoP==", "a//b", "..", ".", "%2e%2e", "é ?#&", "kK=="] {
            let url = Url::parse(&format!(
                "https://api.zoom.us/v2/meetings/{}/recordings",
                encode_meeting(id)
            ))
            .unwrap();
            let segments: Vec<_> = url.path_segments().unwrap().collect();
            assert_eq!(segments.len(), 4, "{id}");
            let decoded_once = percent_decode_str(segments[2]).decode_utf8().unwrap().into_owned();
            assert_eq!(percent_decode_str(&decoded_once).decode_utf8().unwrap(), id);
        }
    }

    #[test]
    fn user_is_encoded_once() {
        assert_eq!(encode_user("me"), "me");
        assert_eq!(encode_user("ana+x@example.org"), "ana%2Bx@example.org");
        assert_eq!(encode_user("a/b?c"), "a%2Fb%3Fc");
        let url =
            Url::parse(&format!("https://api.zoom.us/v2/users/{}/recordings", encode_user("..")))
                .unwrap();
        assert_eq!(url.path_segments().unwrap().count(), 4);
    }
}
