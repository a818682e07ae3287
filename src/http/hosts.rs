//! The hosts to which requests for recordings may be sent.

use url::{Host, Url};

use super::error::{HttpError, origin};
use crate::model::SecretUrl;

/// Maximum length of a host name (RFC 1035, 3.1, without the final dot).
const MAX_NAME_LENGTH: usize = 253;

/// The hosts from which a source may download files.
///
/// A name allows the host itself and its subdomains: `example.com` allows `cdn.example.com` but not
/// `evilexample.com`. Only https is allowed. Loopback hosts are an exception: they are allowed,
/// with or without https, if the API of the source is on loopback, as in tests and in the demo
/// cloud. A public API must not be able to direct meetfs to local services.
#[derive(Clone, Debug)]
pub struct AllowedHosts {
    names: Vec<String>,
    allows_loopback: bool,
}

impl AllowedHosts {
    /// Allows the hosts in `names` and their subdomains, and loopback hosts if `api` is on
    /// loopback.
    pub fn new<'a>(names: impl IntoIterator<Item = &'a str>, api: &Url) -> Self {
        Self {
            names: names.into_iter().map(str::to_ascii_lowercase).collect(),
            allows_loopback: is_loopback(api),
        }
    }

    /// Returns the URL if requests may be sent to it.
    ///
    /// # Errors
    /// [`HttpError::HostNotAllowed`], which contains only the host of the URL.
    pub fn check(&self, url: Url) -> Result<SecretUrl, HttpError> {
        let is_allowed = if is_loopback(&url) {
            self.allows_loopback && matches!(url.scheme(), "http" | "https")
        } else {
            url.scheme() == "https" && url.domain().is_some_and(|name| self.allows(name))
        };
        let url = SecretUrl::new(url);
        if is_allowed {
            return Ok(url);
        }
        // The server chooses the host name, and the name becomes part of a message, so its length
        // must be bounded.
        let max_length = "https://".len() + MAX_NAME_LENGTH + ":65535".len();
        let host = origin(&url).chars().take(max_length).collect();
        Err(HttpError::HostNotAllowed { host })
    }

    fn allows(&self, name: &str) -> bool {
        let name = name.trim_end_matches('.');
        name.len() <= MAX_NAME_LENGTH
            && self.names.iter().any(|allowed| {
                name == allowed
                    || name.strip_suffix(allowed.as_str()).is_some_and(|rest| rest.ends_with('.'))
            })
    }
}

/// Whether the host of the URL is this machine: `localhost`, 127.0.0.0/8 or ::1.
fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_allowed(api: &str, target: &str) -> bool {
        let hosts = AllowedHosts::new(["example.com", "Example.ORG"], &Url::parse(api).unwrap());
        hosts.check(Url::parse(target).unwrap()).is_ok()
    }

    #[test]
    fn subdomains_are_allowed_and_suffixes_are_not() {
        let api = "https://api.example.com/v2";
        assert!(is_allowed(api, "https://example.com/rec"));
        assert!(is_allowed(api, "https://ssrweb.example.com/x?Signature=1"));
        assert!(is_allowed(api, "https://a.example.org/"));
        for bad in [
            "https://evilexample.com/",
            "https://example.com.evil.example/",
            "http://example.com/",
            "https://example.com@evil.example/",
            "https://192.0.2.1/",
            "ftp://example.com/",
        ] {
            assert!(!is_allowed(api, bad), "{bad}");
        }
    }

    #[test]
    fn long_host_names_are_truncated_in_the_error() {
        let hosts =
            AllowedHosts::new(["example.com"], &Url::parse("https://api.example.com").unwrap());
        for end in [".evil.example", ".example.com"] {
            let long_url = format!("https://{}{end}/", ["a1"; 300].join("."));
            let error = hosts.check(Url::parse(&long_url).unwrap()).unwrap_err().to_string();
            assert!(error.contains("https://a1.a1") && error.len() < 500, "{error}");
        }
    }

    #[test]
    fn only_a_loopback_api_allows_loopback() {
        assert!(is_allowed("http://127.0.0.1:9/v2", "http://127.0.0.1:10/rec"));
        assert!(is_allowed("http://localhost:9/v2", "http://[::1]:10/rec"));
        assert!(!is_allowed("https://api.example.com/v2", "http://127.0.0.1:10/rec"));
        assert!(!is_allowed("https://api.example.com/v2", "https://localhost/rec"));
        assert!(!is_allowed("http://127.0.0.1:9/v2", "http://192.0.2.1/rec"));
    }

    #[test]
    fn error_does_not_contain_the_url_path() {
        let hosts =
            AllowedHosts::new(["example.com"], &Url::parse("https://api.example.com").unwrap());
        let error =
            hosts.check(Url::parse("https://evil.example/p4th?t0ken=1").unwrap()).unwrap_err();
        let text = format!("{error} {error:?}");
        assert!(
            text.contains("evil.example") && !text.contains("p4th") && !text.contains("t0ken"),
            "{text}"
        );
    }
}
