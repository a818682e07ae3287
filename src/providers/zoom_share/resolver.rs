//! Follows the redirects of a download URL to the URL that serves the file.
//!
//! A credential is sent only to the host of the download URL, and only if the source allows this
//! host. Redirects are followed one by one, without the credential.

use std::time::Duration;

use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};
use tokio::time::Instant;
use url::Url;

use super::download_url::DownloadUrl;
use super::probe_verdict::ProbeVerdict;
use super::signed_url;
use crate::http::{AllowedHosts, Client, HttpError, ProbeReply, error::origin, probe, retry};
use crate::model::{BodyKind, Lease, SecretUrl, current_time};
use crate::providers::ProviderError;
use crate::providers::toolkit::token::{Token, bearer_header};

/// Timeout of one probe. A download host usually replies within a second.
const PROBE_TIMEOUT: Duration = Duration::from_secs(10);

/// Maximum number of probes of one URL while its host is unreachable or returns server errors.
const MAX_PROBES: usize = 4;

/// Maximum number of redirects. One redirect is usual, and a vanity host can add one or two.
const MAX_REDIRECTS: usize = 5;

/// The credential that a request for a download URL contains.
pub(crate) struct Credential {
    pub(crate) secret: SecretString,
    pub(crate) expires_at: Option<Timestamp>,
}

impl Credential {
    pub(crate) fn of(token: &Token) -> Self {
        Self { secret: token.secret().clone(), expires_at: token.expires_at() }
    }
}

/// The part of a request that contains the credential.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CredentialPlacement {
    Header,
    Query,
}

/// The result of resolving a download URL.
pub(crate) enum Resolution {
    Lease(Lease),
    /// The host refused the token, but may accept another one.
    TokenRefused(String),
    Refused(String),
    NotFound(String),
    /// The host returned a redirect without a usable URL. The file may still exist.
    InvalidRedirect(String),
}

/// Returns the error of a download whose last reply was [`Resolution::InvalidRedirect`].
pub(crate) fn invalid_redirect_error(reason: &str) -> ProviderError {
    ProviderError::unavailable(reason.to_owned())
        .with_hint("A running mount retries automatically. If the error persists, report it.")
}

/// Resolves download URLs. Sends requests only to the allowed hosts of one source.
pub(crate) struct UrlResolver {
    client: Client,
    hosts: AllowedHosts,
}

impl UrlResolver {
    pub(crate) fn new(client: Client, hosts: AllowedHosts) -> Self {
        Self { client, hosts }
    }

    /// Resolves a download URL. If `credential` is `None`, the URL itself is the credential.
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
                authorization = Some(bearer_header(&credential.secret));
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
            let host = origin(&url);
            match ProbeVerdict::of(&reply, &host, download_url.body, &secret) {
                ProbeVerdict::ServesFile => {
                    return Ok(Resolution::Lease(Lease { url, authorization, expires }));
                }
                ProbeVerdict::Redirect(location) if redirects < MAX_REDIRECTS => {
                    redirects += 1;
                    let Some(next) = redirect_target(url.expose(), location.expose_secret()) else {
                        return Ok(Resolution::InvalidRedirect(format!(
                            "{host} returned a redirect to an invalid URL"
                        )));
                    };
                    url = without_token(&self.hosts.check(next)?);
                    authorization = None;
                    sends_token = false;
                    expires = None;
                    if signed_url::is_signed(url.expose()) {
                        let expires = signed_url::expires_at(url.expose(), current_time());
                        return Ok(Resolution::Lease(Lease { url, authorization, expires }));
                    }
                }
                ProbeVerdict::Redirect(_) => {
                    return Ok(Resolution::Refused(format!(
                        "{host} returned another redirect after {MAX_REDIRECTS} redirects"
                    )));
                }
                // The request contained no token, so no token was refused.
                ProbeVerdict::Unauthorized | ProbeVerdict::TokenRefused(_) if !sends_token => {
                    return Ok(Resolution::Refused(format!("{host} requires a token")));
                }
                // Zoom sometimes returns 401 for a valid token (ZoomNet issue 348), so the request
                // is sent again.
                ProbeVerdict::Unauthorized if !was_unauthorized => was_unauthorized = true,
                ProbeVerdict::Unauthorized => {
                    return Ok(Resolution::TokenRefused(format!("{host} returned status 401")));
                }
                ProbeVerdict::TokenRefused(reason) => {
                    return Ok(Resolution::TokenRefused(reason));
                }
                ProbeVerdict::Refused(reason) => {
                    return Ok(Resolution::Refused(reason));
                }
                ProbeVerdict::NotFound(reason) => {
                    return Ok(Resolution::NotFound(reason));
                }
                ProbeVerdict::InvalidRedirect(reason) => {
                    return Ok(Resolution::InvalidRedirect(reason));
                }
            }
        }
    }

    /// Probes a URL. Retries temporary failures if the deadline allows it.
    async fn probe(
        &self,
        url: &SecretUrl,
        authorization: Option<&SecretString>,
        body: BodyKind,
        deadline: Instant,
    ) -> Result<ProbeReply, ProviderError> {
        /// Maximum length of an error object. Only its contents distinguish it from a JSON file.
        const MAX_ERROR_LENGTH: u64 = 4096;
        let bytes = if body == BodyKind::Json { MAX_ERROR_LENGTH } else { 1 };
        let mut delays = retry::backoff(MAX_PROBES - 1);
        loop {
            let timeout = PROBE_TIMEOUT.min(deadline.saturating_duration_since(Instant::now()));
            let reply = probe(&self.client, url, authorization, bytes, timeout).await;
            let (error, requested_delay) = match reply {
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
            let delay = requested_delay.map_or(delay, |requested_delay| requested_delay.max(delay));
            if deadline <= Instant::now() + delay {
                return Err(error.into());
            }
            tokio::time::sleep(delay).await;
        }
    }
}

/// Returns the target of a redirect from `url` without its fragment, or `None` if the target is not
/// a valid URL.
pub(crate) fn redirect_target(url: &Url, location: &str) -> Option<Url> {
    let mut next = url.join(location).ok()?;
    next.set_fragment(None);
    Some(next)
}

const TOKEN_PARAMETER: &str = "access_token";

/// Appends the token to the query, which may have other parameters (`?type=cc`).
fn with_token(url: &SecretUrl, secret: &SecretString) -> SecretUrl {
    let mut url = url.expose().clone();
    url.query_pairs_mut().append_pair(TOKEN_PARAMETER, secret.expose_secret());
    SecretUrl::new(url)
}

/// Removes the token from the query of a redirect. A redirect can repeat the query of its request,
/// but must not send the token to the next host.
pub(crate) fn without_token(redirect: &SecretUrl) -> SecretUrl {
    let mut url = redirect.expose().clone();
    if let Some(query) = redirect.expose().query()
        && query.split('&').any(is_token_parameter)
    {
        let other_parameters: Vec<_> =
            query.split('&').filter(|parameter| !is_token_parameter(parameter)).collect();
        url.set_query(
            (!other_parameters.is_empty()).then(|| other_parameters.join("&")).as_deref(),
        );
    }
    SecretUrl::new(url)
}

fn is_token_parameter(parameter: &str) -> bool {
    parameter.split('=').next() == Some(TOKEN_PARAMETER)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret_url(text: &str) -> SecretUrl {
        SecretUrl::new(Url::parse(text).unwrap())
    }

    #[test]
    fn token_is_appended_to_the_query() {
        let secret = SecretString::from("a+b/c=");
        let append_token = |text| with_token(&secret_url(text), &secret).expose().to_string();
        assert_eq!(
            append_token("https://zoom.us/rec/x"),
            "https://zoom.us/rec/x?access_token=a%2Bb%2Fc%3D"
        );
        assert_eq!(
            append_token("https://zoom.us/rec/x?type=cc"),
            "https://zoom.us/rec/x?type=cc&access_token=a%2Bb%2Fc%3D"
        );
    }

    #[test]
    fn redirect_target_is_resolved_like_in_browsers() {
        let base = Url::parse("https://zoom.us/rec/download/x?type=cc").unwrap();
        let target = |location| redirect_target(&base, location).map(String::from);
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
    fn redirect_does_not_repeat_the_token() {
        let remove_token = |text| without_token(&secret_url(text)).expose().to_string();
        assert_eq!(
            remove_token("https://zoom.us/x?access_token=s&a=%20b"),
            "https://zoom.us/x?a=%20b"
        );
        assert_eq!(remove_token("https://zoom.us/x?access_token=s"), "https://zoom.us/x");
        assert_eq!(
            remove_token("https://zoom.us/x?Policy=a~b_&c=d"),
            "https://zoom.us/x?Policy=a~b_&c=d"
        );
    }
}
