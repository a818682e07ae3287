//! Reads URLs from headers.

use reqwest::header::{HeaderMap, HeaderName, HeaderValue};

/// Returns the text of a header that contains URLs. Percent-encodes each byte beyond ASCII, which
/// is not allowed in a URL. Browsers and curl do the same, so the server gets the same bytes.
pub fn url_text(value: &HeaderValue) -> String {
    let mut text = String::with_capacity(value.len());
    for byte in value.as_bytes() {
        if byte.is_ascii() {
            text.push(char::from(*byte));
        } else {
            text.push_str(&format!("%{byte:02X}"));
        }
    }
    text.trim().to_owned()
}

/// Returns the URL in a header, or `None` if the header is missing or contains different URLs.
pub(super) fn single_url(headers: &HeaderMap, name: &HeaderName) -> Option<String> {
    let mut urls = headers.get_all(name).iter().map(url_text);
    let url = urls.next().filter(|url| !url.is_empty())?;
    urls.all(|other| other == url).then_some(url)
}

#[cfg(test)]
mod tests {
    use reqwest::header::LOCATION;

    use super::*;

    fn url_from_values(values: &[&[u8]]) -> Option<String> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(LOCATION, HeaderValue::from_bytes(value).unwrap());
        }
        single_url(&headers, &LOCATION)
    }

    #[test]
    fn bytes_beyond_ascii_are_percent_encoded() {
        let utf8 = "/rec/Réunion 1?name=é#é".as_bytes();
        assert_eq!(
            url_from_values(&[utf8]).as_deref(),
            Some("/rec/R%C3%A9union 1?name=%C3%A9#%C3%A9")
        );
        assert_eq!(url_from_values(&[b" /caf\xe9 "]).as_deref(), Some("/caf%E9"));
        assert_eq!(
            url_from_values(&[b"https://zoom.us/a%20b"]).as_deref(),
            Some("https://zoom.us/a%20b")
        );
    }

    #[test]
    fn different_urls_in_a_header_are_ignored() {
        assert_eq!(url_from_values(&[]), None);
        assert_eq!(url_from_values(&[b""]), None);
        assert_eq!(url_from_values(&[b"/a", b"/a"]).as_deref(), Some("/a"));
        assert_eq!(url_from_values(&[b"/a", b"/b"]), None);
    }
}
