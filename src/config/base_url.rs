//! Parses base URLs, to which secrets may be sent, and names of hosts from which files may be
//! downloaded.

use url::{Host, Url};

use super::value::check_each;
use super::value_problem::ValueProblem;

/// Parses a base URL to which secrets may be sent. Removes a trailing slash.
///
/// No error message contains the URL, because a URL can contain a password.
pub(super) fn parse_base_url(text: String) -> Result<Url, ValueProblem> {
    if text.trim().is_empty() {
        return Err(ValueProblem::Empty {
            hint: "Write a URL that begins with https://, or omit the key to use the provider's URL.",
        });
    }
    let mut url = Url::parse(text.trim()).map_err(ValueProblem::Url)?;
    match url.scheme() {
        "https" => {}
        "http" if is_loopback(&url) => {}
        _ => return Err(ValueProblem::UrlScheme),
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(ValueProblem::UrlUser);
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(ValueProblem::UrlQuery);
    }
    if let Ok(mut segments) = url.path_segments_mut() {
        segments.pop_if_empty();
    }
    Ok(url)
}

/// Whether requests to this URL stay on this machine.
fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    }
}

/// Parses host names. Returns them in lower case, without duplicates.
///
/// Files may be downloaded from these hosts and their subdomains, so a name with a single label,
/// such as `com`, is rejected.
pub(super) fn parse_host_names(names: Vec<String>) -> Result<Vec<String>, ValueProblem> {
    check_each(names, "Write host names such as \"files.example.org\".", parse_host_name)
}

fn parse_host_name(name: String) -> Result<String, ValueProblem> {
    let Ok(Host::Domain(host)) = Host::parse(&name) else { return Err(ValueProblem::HostName) };
    let host = host.strip_suffix('.').unwrap_or(&host).to_owned();
    let is_valid_label = |label: &str| {
        !label.is_empty()
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
    };
    if !host.split('.').all(is_valid_label) {
        return Err(ValueProblem::HostName);
    }
    if !host.contains('.') {
        return Err(ValueProblem::HostTooShort);
    }
    Ok(host)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Diagnostic;

    #[test]
    fn base_url_keeps_path_without_trailing_slash() {
        let url = |text: &str| parse_base_url(text.into()).unwrap().to_string();
        assert_eq!(url("https://api.zoom.us/v2/"), "https://api.zoom.us/v2");
        assert_eq!(url("https://api.example.org:8443/v2"), "https://api.example.org:8443/v2");
    }

    #[test]
    fn plain_http_is_allowed_only_for_loopback_hosts() {
        for loopback in [
            "http://127.0.0.1:8080",
            "http://127.255.0.9",
            "http://[::1]:80/v2",
            "http://LOCALHOST/v2",
        ] {
            assert!(parse_base_url(loopback.into()).is_ok(), "{loopback}");
        }
        for remote in [
            "http://api.zoom.us/v2",
            "http://localhost.example.org",
            "http://127.0.0.1.example.org",
            "http://128.0.0.1",
            "http://0.0.0.0",
            "http://[::]",
            "http://10.0.0.1",
            "ftp://127.0.0.1",
            "file:///etc/passwd",
        ] {
            assert!(
                matches!(parse_base_url(remote.into()), Err(ValueProblem::UrlScheme)),
                "{remote}"
            );
        }
    }

    #[test]
    fn base_url_with_user_or_query_is_rejected() {
        let result = parse_base_url("https://ana:s3cr3t@zoom.us".into());
        assert!(matches!(result, Err(ValueProblem::UrlUser)));
        assert!(matches!(parse_base_url("https://ana@zoom.us".into()), Err(ValueProblem::UrlUser)));
        for url in ["https://zoom.us?k=s3cr3t", "https://zoom.us#s3cr3t"] {
            assert!(matches!(parse_base_url(url.into()), Err(ValueProblem::UrlQuery)));
        }
    }

    #[test]
    fn base_url_without_scheme_hints_at_https() {
        let problem = parse_base_url("api.zoom.us".into()).unwrap_err();
        assert_eq!(problem.hint().unwrap(), "Write a URL that begins with https://.");
    }

    #[test]
    fn base_url_error_does_not_show_the_url() {
        let problem = parse_base_url("https://s3cr3t@:99999".into()).unwrap_err();
        assert!(matches!(problem, ValueProblem::Url(_)));
        assert!(!format!("{problem} {problem:?}").contains("s3cr3t"));
    }

    #[test]
    fn only_host_names_with_two_labels_are_accepted() {
        let hosts =
            vec!["Files.Example.org".into(), "files.example.org.".into(), "cdn.example.org".into()];
        assert_eq!(parse_host_names(hosts).unwrap(), ["files.example.org", "cdn.example.org"]);
        for wrong in [
            "https://example.org",
            "example.org/files",
            "example.org:443",
            "*.example.org",
            ".example.org",
            "a..example.org",
            "127.0.0.1",
            "[::1]",
            "ana:s3cr3t@example.org",
        ] {
            let problem = parse_host_names(vec![wrong.into()]).unwrap_err();
            assert!(matches!(problem, ValueProblem::HostName), "{wrong}");
        }
        for short in ["org", "org."] {
            let problem = parse_host_names(vec![short.into()]).unwrap_err();
            assert!(matches!(problem, ValueProblem::HostTooShort), "{short}");
        }
    }
}
