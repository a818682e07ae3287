//! From a link through its redirects to the address that serves the file.
//!
//! A credential goes to the link's own host alone and only if that is one of the source's; redirects are followed
//! here, one by one, without it.

use std::time::Duration;

use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};
use tokio::time::Instant;

use super::answer::{Answer, judge};
use super::{Link, signed};
use crate::http::{AllowedHosts, Client, HttpError, ProbeReply, error::origin, probe, retry};
use crate::model::{BodyKind, Lease, SecretUrl};
use crate::providers::ProviderError;
use crate::providers::toolkit::token::{Token, bearer};

/// Bound on one exchange with a download host: it answers within a second or has lost the request.
const EXCHANGE_TIMEOUT: Duration = Duration::from_secs(10);

/// Times one address is asked when it fails or cannot be reached.
const LOOKS: usize = 4;

/// Redirects followed. One is usual, a vanity host may add one or two.
const REDIRECTS: usize = 5;

/// What a download link is asked with.
pub(crate) struct Credential {
    pub(crate) secret: SecretString,
    pub(crate) ends: Option<Timestamp>,
}

impl Credential {
    pub(crate) fn of(token: &Token) -> Self {
        Self { secret: token.secret().clone(), ends: token.expires_at() }
    }
}

/// How a credential is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shown {
    Header,
    Query,
}

/// What a walk from a link came to.
pub(crate) enum Outcome {
    Lease(Lease),
    /// Perhaps with another token.
    TokenRefused(String),
    Refused(String),
    Gone(String),
}

/// Follows links within the hosts of one source.
pub(crate) struct Walker {
    client: Client,
    hosts: AllowedHosts,
}

impl Walker {
    pub(crate) fn new(client: Client, hosts: AllowedHosts) -> Self {
        Self { client, hosts }
    }

    /// Follows a link to the address that serves the file. Without a credential, the link is its own permission.
    ///
    /// # Errors
    /// A host out of reach or out of bounds.
    pub(crate) async fn walk(
        &self,
        link: &Link,
        credential: Option<(&Credential, Shown)>,
        deadline: Instant,
    ) -> Result<Outcome, ProviderError> {
        let mut at = self.hosts.check(link.address.expose().clone())?;
        let mut authorization = None;
        match credential {
            Some((credential, Shown::Header)) => authorization = Some(bearer(&credential.secret)),
            Some((credential, Shown::Query)) => at = with_token(&at, &credential.secret),
            None => {}
        }
        let secret =
            credential.map(|(credential, _)| credential.secret.clone()).unwrap_or_default();
        let mut ends = credential.and_then(|(credential, _)| credential.ends);
        let mut token_shown = credential.is_some();
        let mut doubted = false;
        let mut redirects = 0;
        loop {
            let glance = self.look(&at, authorization.as_ref(), link.body, deadline).await?;
            match judge(&glance, link.body, &secret) {
                Answer::Serves => {
                    return Ok(Outcome::Lease(Lease { url: at, authorization, expires: ends }));
                }
                Answer::Redirect(location) if redirects < REDIRECTS => {
                    redirects += 1;
                    let Ok(next) = at.expose().join(location.expose_secret()) else {
                        return Ok(Outcome::Refused("a redirect to no address".into()));
                    };
                    at = without_token(&self.hosts.check(next)?);
                    authorization = None;
                    token_shown = false;
                    ends = None;
                    if signed::is_signed(at.expose()) {
                        let ends = signed::ends(at.expose(), Timestamp::now());
                        return Ok(Outcome::Lease(Lease { url: at, authorization, expires: ends }));
                    }
                }
                Answer::Redirect(_) => {
                    return Ok(Outcome::Refused("redirects without an end".into()));
                }
                // Where no token was shown, none was refused.
                Answer::Unauthorised | Answer::TokenRefused(_) if !token_shown => {
                    return Ok(Outcome::Refused(said(&at, "a demand for a token")));
                }
                // Now and then a valid token is answered so (ZoomNet issue 348).
                Answer::Unauthorised if !doubted => doubted = true,
                Answer::Unauthorised => return Ok(Outcome::TokenRefused(said(&at, "status 401"))),
                Answer::TokenRefused(why) => return Ok(Outcome::TokenRefused(said(&at, &why))),
                Answer::Refused(why) => return Ok(Outcome::Refused(said(&at, &why))),
                Answer::Gone(why) => return Ok(Outcome::Gone(said(&at, &why))),
            }
        }
    }

    /// One look at an address, and more of them while it fails and there is time.
    async fn look(
        &self,
        at: &SecretUrl,
        authorization: Option<&SecretString>,
        body: BodyKind,
        deadline: Instant,
    ) -> Result<ProbeReply, ProviderError> {
        /// An error object in place of a JSON file is known by its content alone.
        const WHOLE_ERROR: u64 = 4096;
        let bytes = if body == BodyKind::Json { WHOLE_ERROR } else { 1 };
        let mut waits = retry::backoff(LOOKS - 1);
        loop {
            let within = EXCHANGE_TIMEOUT.min(deadline.saturating_duration_since(Instant::now()));
            let (error, asked) = match probe(&self.client, at, authorization, bytes, within).await {
                Ok(glance) if glance.status == 429 => {
                    let wait = glance.retry_after.unwrap_or_else(retry::default_retry_after);
                    (HttpError::RateLimited { host: origin(at), wait }, Some(wait))
                }
                Ok(glance) if glance.status >= 500 => (
                    HttpError::ServerError { host: origin(at), status: glance.status },
                    glance.retry_after,
                ),
                Ok(glance) => return Ok(glance),
                Err(error @ (HttpError::Unreachable { .. } | HttpError::TimedOut { .. })) => {
                    (error, None)
                }
                Err(error) => return Err(error.into()),
            };
            let Some(backoff) = waits.next() else { return Err(error.into()) };
            let wait = asked.map_or(backoff, |asked| asked.max(backoff));
            if deadline <= Instant::now() + wait {
                return Err(error.into());
            }
            tokio::time::sleep(wait).await;
        }
    }
}

fn said(at: &SecretUrl, why: &str) -> String {
    format!("{why} from {}", origin(at))
}

const TOKEN_FIELD: &str = "access_token";

/// The address with the token behind whatever query it has (`?type=cc` is one).
fn with_token(address: &SecretUrl, secret: &SecretString) -> SecretUrl {
    let mut url = address.expose().clone();
    url.query_pairs_mut().append_pair(TOKEN_FIELD, secret.expose_secret());
    SecretUrl::new(url)
}

/// A redirect that repeats the query it was asked with must not carry the token to the next host.
pub(crate) fn without_token(address: &SecretUrl) -> SecretUrl {
    let mut url = address.expose().clone();
    if let Some(query) = address.expose().query()
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
    use url::Url;

    use super::*;

    fn address(text: &str) -> SecretUrl {
        SecretUrl::new(Url::parse(text).unwrap())
    }

    #[test]
    fn the_token_joins_a_query_and_leaves_the_rest_untouched() {
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
    fn a_redirect_takes_no_token_along() {
        let without = |text| without_token(&address(text)).expose().to_string();
        assert_eq!(without("https://zoom.us/x?access_token=s&a=%20b"), "https://zoom.us/x?a=%20b");
        assert_eq!(without("https://zoom.us/x?access_token=s"), "https://zoom.us/x");
        assert_eq!(
            without("https://zoom.us/x?Policy=a~b_&c=d"),
            "https://zoom.us/x?Policy=a~b_&c=d"
        );
    }
}
