//! Where requests with or for a recording may go.

use url::{Host, Url};

use super::error::{HttpError, origin};
use crate::model::SecretUrl;

/// The hosts a source's downloads may live on.
///
/// An entry stands for itself and everything below it at a dot: `zoom.us` allows `us06web.zoom.us` and not
/// `evilzoom.us`. Only https, except on loopback when the source's own interface is on loopback (tests, the
/// embedded cloud): a public interface must not be able to send a client to local services.
#[derive(Clone, Debug)]
pub struct AllowedHosts {
    names: Vec<String>,
    loopback: bool,
}

impl AllowedHosts {
    /// The provider's own hosts and those the user added; `api` decides whether loopback is allowed.
    pub fn new<'a>(names: impl IntoIterator<Item = &'a str>, api: &Url) -> Self {
        Self {
            names: names.into_iter().map(str::to_ascii_lowercase).collect(),
            loopback: is_loopback(api),
        }
    }

    /// The address, if it may be asked.
    ///
    /// # Errors
    /// [`HttpError::HostNotAllowed`], which names the host alone.
    pub fn check(&self, url: Url) -> Result<SecretUrl, HttpError> {
        let allowed = if is_loopback(&url) {
            self.loopback && matches!(url.scheme(), "http" | "https")
        } else {
            url.scheme() == "https" && url.domain().is_some_and(|name| self.covers(name))
        };
        let address = SecretUrl::new(url);
        if allowed {
            return Ok(address);
        }
        // Whoever names it chose how long it is, and it goes into a message.
        let host =
            origin(&address).chars().take("https://".len() + MAX_NAME + ":65535".len()).collect();
        Err(HttpError::HostNotAllowed { host })
    }

    fn covers(&self, name: &str) -> bool {
        let name = name.trim_end_matches('.');
        name.len() <= MAX_NAME
            && self.names.iter().any(|allowed| {
                name == allowed
                    || name.strip_suffix(allowed.as_str()).is_some_and(|rest| rest.ends_with('.'))
            })
    }
}

/// The longest name that a host can have (RFC 1035, 3.1, without its last dot).
const MAX_NAME: usize = 253;

/// Whether the address names this machine: `localhost`, 127.0.0.0/8 or ::1.
pub fn is_loopback(url: &Url) -> bool {
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

    fn allowed(api: &str, target: &str) -> bool {
        let hosts = AllowedHosts::new(["zoom.us", "Example.ORG"], &Url::parse(api).unwrap());
        hosts.check(Url::parse(target).unwrap()).is_ok()
    }

    #[test]
    fn a_host_is_matched_at_a_dot() {
        let api = "https://api.zoom.us/v2";
        assert!(allowed(api, "https://zoom.us/rec"));
        assert!(allowed(api, "https://ssrweb.zoom.us/x?Signature=1"));
        assert!(allowed(api, "https://a.example.org/"));
        for bad in [
            "https://evilzoom.us/",
            "https://zoom.us.evil.example/",
            "http://zoom.us/",
            "https://zoom.us@evil.example/",
            "https://192.0.2.1/",
            "ftp://zoom.us/",
        ] {
            assert!(!allowed(api, bad), "{bad}");
        }
    }

    #[test]
    fn a_name_that_no_host_can_have_is_refused_in_a_short_message() {
        let hosts = AllowedHosts::new(["zoom.us"], &Url::parse("https://api.zoom.us").unwrap());
        for end in [".evil.example", ".zoom.us"] {
            let long = format!("https://{}{end}/", ["a1"; 300].join("."));
            let error = hosts.check(Url::parse(&long).unwrap()).unwrap_err().to_string();
            assert!(error.contains("https://a1.a1") && error.len() < 500, "{error}");
        }
    }

    #[test]
    fn loopback_is_open_to_a_loopback_interface_only() {
        assert!(allowed("http://127.0.0.1:9/v2", "http://127.0.0.1:10/rec"));
        assert!(allowed("http://localhost:9/v2", "http://[::1]:10/rec"));
        assert!(!allowed("https://api.zoom.us/v2", "http://127.0.0.1:10/rec"));
        assert!(!allowed("https://api.zoom.us/v2", "https://localhost/rec"));
        assert!(!allowed("http://127.0.0.1:9/v2", "http://192.0.2.1/rec"));
    }

    #[test]
    fn a_refused_address_is_named_without_its_path() {
        let hosts = AllowedHosts::new(["zoom.us"], &Url::parse("https://api.zoom.us").unwrap());
        let error =
            hosts.check(Url::parse("https://evil.example/p4th?t0ken=1").unwrap()).unwrap_err();
        let text = format!("{error} {error:?}");
        assert!(
            text.contains("evil.example") && !text.contains("p4th") && !text.contains("t0ken"),
            "{text}"
        );
    }
}
