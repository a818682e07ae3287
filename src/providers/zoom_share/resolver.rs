//! Follows the redirects of a download URL to the URL that serves the file.
//!
//! A credential is sent to the host of the download URL alone, and only if that is one of the
//! source's hosts. Redirects are followed here, one by one, without it.

use std::time::Duration;

use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};
use tokio::time::Instant;
use url::Url;

use super::download_url::DownloadUrl;
use super::probe_verdict::ProbeVerdict;
use super::signed_url;
use crate::http::{AllowedHosts, Client, HttpError, ProbeReply, error::origin, probe, retry};
use crate::model::{BodyKind, Lease, SecretUrl};
use crate::providers::ProviderError;
use crate::providers::toolkit::token::{Token, bearer};

/// Timeout of one probe: a download host replies within a second or has lost the request.
const PROBE_TIMEOUT: Duration = Duration::from_secs(10);

/// How often one URL is probed while it fails or is unreachable.
const MAX_PROBES: usize = 4;

/// One redirect is usual; a vanity host can add one or two.
const MAX_REDIRECTS: usize = 5;

/// The credential of a download URL.
pub(crate) struct Credential {
    pub(crate) secret: SecretString,
    pub(crate) expires_at: Option<Timestamp>,
}

impl Credential {
    pub(crate) fn of(token: &Token) -> Self {
        Self { secret: token.secret().clone(), expires_at: token.expires_at() }
    }
}

/// Where a credential is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CredentialPlacement {
    Header,
    Query,
}

/// The result of resolving a download URL.
pub(crate) enum Resolution {
    Lease(Lease),
    /// Another token may be accepted.
    TokenRefused(String),
    Refused(String),
    NotFound(String),
    /// The reply makes no sense, and says nothing about the file.
    InvalidRedirect(String),
}

/// Returns the error of a download whose last reply was [`Resolution::InvalidRedirect`].
pub(crate) fn invalid_redirect_error(why: &str) -> ProviderError {
    ProviderError::unavailable(format!("the download URL led to {why}"))
        .with_hint("A running mount retries automatically. If the error persists, report it.")
}

/// Resolves download URLs within the hosts of one source.
pub(crate) struct UrlResolver {
    client: Client,
    hosts: AllowedHosts,
}

impl UrlResolver {
    pub(crate) fn new(client: Client, hosts: AllowedHosts) -> Self {
        Self { client, hosts }
    }

    /// Resolves a download URL. Without a credential, the URL is its own.
    ///
    /// # Errors
    /// A host is unavailable or not allowed.
    pub(crate) async fn resolve(
        &self,
        download_url: &DownloadUrl,
        credential: Option<(&Credential, CredentialPlacement)>,
        deadline: Instant,
    ) -> Result<Resolution, ProviderError> {
        let mut url = self.hosts.check(download_url.url.expose().clone())?;
        let mut authorization = None;
        match credential {
            Some((credential, CredentialPlacement::Header)) => {
                authorization = Some(bearer(&credential.secret));
            }
            Some((credential, CredentialPlacement::Query)) => {
                url = with_token(&url, &credential.secret);
            }
            None => {}
        }
        let secret =
            credential.map(|(credential, _)| credential.secret.clone()).unwrap_or_default();
        let mut expires = credential.and_then(|(credential, _)| credential.expires_at);
        let mut sends_token = credential.is_some();
        let mut was_unauthorized = false;
        let mut redirects = 0;
        loop {
            let reply =
                self.probe(&url, authorization.as_ref(), download_url.body, deadline).await?;
            match ProbeVerdict::of(&reply, download_url.body, &secret) {
                ProbeVerdict::Serves => {
                    return Ok(Resolution::Lease(Lease { url, authorization, expires }));
                }
                ProbeVerdict::Redirect(location) if redirects < MAX_REDIRECTS => {
                    redirects += 1;
                    let Some(next) = redirect_target(url.expose(), location.expose_secret()) else {
                        let why = with_host("a redirect that cannot be parsed", &url);
                        return Ok(Resolution::InvalidRedirect(why));
                    };
                    url = without_token(&self.hosts.check(next)?);
                    authorization = None;
                    sends_token = false;
                    expires = None;
                    if signed_url::is_signed(url.expose()) {
                        let expires = signed_url::expires_at(url.expose(), Timestamp::now());
                        return Ok(Resolution::Lease(Lease { url, authorization, expires }));
                    }
                }
                ProbeVerdict::Redirect(_) => {
                    return Ok(Resolution::Refused("too many redirects".into()));
                }
                // Without a token in the request, none was refused.
                ProbeVerdict::Unauthorized | ProbeVerdict::TokenRefused(_) if !sends_token => {
                    return Ok(Resolution::Refused(with_host("a request for a token", &url)));
                }
                // Zoom sometimes replies so to a valid token (ZoomNet issue 348).
                ProbeVerdict::Unauthorized if !was_unauthorized => was_unauthorized = true,
                ProbeVerdict::Unauthorized => {
                    return Ok(Resolution::TokenRefused(with_host("status 401", &url)));
                }
                ProbeVerdict::TokenRefused(why) => {
                    return Ok(Resolution::TokenRefused(with_host(&why, &url)));
                }
                ProbeVerdict::Refused(why) => {
                    return Ok(Resolution::Refused(with_host(&why, &url)));
                }
                ProbeVerdict::NotFound(why) => {
                    return Ok(Resolution::NotFound(with_host(&why, &url)));
                }
                ProbeVerdict::InvalidRedirect(why) => {
                    return Ok(Resolution::InvalidRedirect(with_host(&why, &url)));
                }
            }
        }
    }

    /// Probes a URL, repeatedly while it fails and the deadline allows it.
    async fn probe(
        &self,
        url: &SecretUrl,
        authorization: Option<&SecretString>,
        body: BodyKind,
        deadline: Instant,
    ) -> Result<ProbeReply, ProviderError> {
        /// An error object and a JSON file can be distinguished by their content alone.
        const MAX_ERROR_LENGTH: u64 = 4096;
        let bytes = if body == BodyKind::Json { MAX_ERROR_LENGTH } else { 1 };
        let mut delays = retry::backoff(MAX_PROBES - 1);
        loop {
            let timeout = PROBE_TIMEOUT.min(deadline.saturating_duration_since(Instant::now()));
            let reply = probe(&self.client, url, authorization, bytes, timeout).await;
            let (error, requested) = match reply {
                Ok(reply) if reply.status == 429 => {
                    let wait = reply.retry_after.unwrap_or_else(retry::default_retry_after);
                    (HttpError::RateLimited { host: origin(url), wait }, Some(wait))
                }
                Ok(reply) if reply.status >= 500 => (
                    HttpError::ServerError { host: origin(url), status: reply.status },
                    reply.retry_after,
                ),
                Ok(reply) => return Ok(reply),
                Err(error @ (HttpError::Unreachable { .. } | HttpError::TimedOut { .. })) => {
                    (error, None)
                }
                Err(error) => return Err(error.into()),
            };
            let Some(delay) = delays.next() else { return Err(error.into()) };
            let delay = requested.map_or(delay, |requested| requested.max(delay));
            if deadline <= Instant::now() + delay {
                return Err(error.into());
            }
            tokio::time::sleep(delay).await;
        }
    }
}

/// Returns the URL that a redirect from `url` leads to. A fragment is for browsers.
pub(crate) fn redirect_target(url: &Url, location: &str) -> Option<Url> {
    let mut next = url.join(location).ok()?;
    next.set_fragment(None);
    Some(next)
}

fn with_host(why: &str, url: &SecretUrl) -> String {
    format!("{why} from {}", origin(url))
}

const TOKEN_FIELD: &str = "access_token";

/// Appends the token to the query, which may have other parameters (`?type=cc`).
fn with_token(url: &SecretUrl, secret: &SecretString) -> SecretUrl {
    let mut url = url.expose().clone();
    url.query_pairs_mut().append_pair(TOKEN_FIELD, secret.expose_secret());
    SecretUrl::new(url)
}

/// Removes the token from the query. A redirect that repeats the query of its request must not send
/// the token to the next host.
pub(crate) fn without_token(redirect: &SecretUrl) -> SecretUrl {
    let mut url = redirect.expose().clone();
    if let Some(query) = redirect.expose().query()
        && query.split('&').any(is_token_field)
    {
        let rest: Vec<_> = query.split('&').filter(|field| !is_token_field(field)).collect();
        url.set_query((!rest.is_empty()).then(|| rest.join("&")).as_deref());
    }
    SecretUrl::new(url)
}

fn is_token_field(field: &str) -> bool {
    field.split('=').next() == Some(TOKEN_FIELD)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> SecretUrl {
        SecretUrl::new(Url::parse(text).unwrap())
    }

    #[test]
    fn token_is_appended_to_the_query() {
        let secret = SecretString::from("a+b/c=");
        let with = |text| with_token(&address(text), &secret).expose().to_string();
        assert_eq!(
            with("https://zoom.us/rec/x"),
            "https://zoom.us/rec/x?access_token=a%2Bb%2Fc%3D"
        );
        assert_eq!(
            with("https://zoom.us/rec/x?type=cc"),
            "https://zoom.us/rec/x?type=cc&access_token=a%2Bb%2Fc%3D"
        );
    }

    #[test]
    fn redirect_leads_where_a_browser_goes() {
        let from = Url::parse("https://zoom.us/rec/download/x?type=cc").unwrap();
        let target = |location| redirect_target(&from, location).map(String::from);
        for (location, expected) in [
            ("https://ssrweb.zoom.us/a?b=c#part", "https://ssrweb.zoom.us/a?b=c"),
            ("/R%C3%A9union 1.mp4", "https://zoom.us/R%C3%A9union%201.mp4"),
            ("other", "https://zoom.us/rec/download/other"),
            ("../y", "https://zoom.us/rec/y"),
            ("?b=c", "https://zoom.us/rec/download/x?b=c"),
            ("//ssrweb.zoom.us/a", "https://ssrweb.zoom.us/a"),
            ("https://ana:pw@ssrweb.zoom.us/a", "https://ana:pw@ssrweb.zoom.us/a"),
            ("http://[::1]:81/a", "http://[::1]:81/a"),
            ("HTTPS://ZOOM.US:443/a", "https://zoom.us/a"),
            ("https://r%C3%A9union.zoom.us/", "https://xn--runion-bva.zoom.us/"),
        ] {
            assert_eq!(target(location).as_deref(), Some(expected), "{location}");
        }
        for location in ["https://[::1", "https://zoom.us:99999/", "https://", "http://a b/"] {
            assert_eq!(target(location), None, "{location}");
        }
    }

    #[test]
    fn redirect_carries_no_token() {
        let without = |text| without_token(&address(text)).expose().to_string();
        assert_eq!(without("https://zoom.us/x?access_token=s&a=%20b"), "https://zoom.us/x?a=%20b");
        assert_eq!(without("https://zoom.us/x?access_token=s"), "https://zoom.us/x");
        assert_eq!(
            without("https://zoom.us/x?Policy=a~b_&c=d"),
            "https://zoom.us/x?Policy=a~b_&c=d"
        );
    }
}
