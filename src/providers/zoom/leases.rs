//! From a recording's download link to the address its bytes are at.
//!
//! ```text
//! listed link ──header──▶ signed address                      as it should be
//!      │ refused
//!      ▼ token renewed once, if it is the token
//! meeting's detail: fresh link, token of its own ──header──▶ signed address
//!      │ refused
//!      ▼
//! fresh link ──access_token in the query──▶ signed address    remembered for the host
//! ```
//!
//! A credential goes to the link's own host alone and only if that is one of the source's; redirects are
//! followed here, one by one, without it.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use parking_lot::Mutex;
use secrecy::{ExposeSecret, SecretString};
use tokio::time::Instant;

use super::answer::{Answer, judge};
use super::api::Api;
use super::mapping::{self, Link, Mapped};
use super::wire::Detail;
use super::{address, signed};
use crate::http::{AllowedHosts, Client, Glance, HttpError, error::origin, retry};
use crate::model::{BodyKind, DaySpan, FileId, FileKey, Lease, MeetingId, SecretUrl};
use crate::providers::token::{Token, bearer};
use crate::providers::{Effort, ProviderError};

/// Bound on finding one lease. A read waits for it, and half of its own deadline should be left for the bytes.
const LEASE_WITHIN: Duration = Duration::from_secs(15);

/// Bound on one exchange with a download host: it answers within a second or has lost the request.
const EXCHANGE_WITHIN: Duration = Duration::from_secs(10);

/// Times one address is asked when it fails or cannot be reached.
const LOOKS: usize = 4;

/// Redirects followed. One is usual, a vanity host may add one or two.
const REDIRECTS: usize = 5;

/// Life asked for a meeting's own download token, in seconds: long enough to read a long recording under one
/// lease where the download host serves it by itself.
const DOWNLOAD_TOKEN_LIFE: i64 = 4 * 3600;

/// Where leases of one source come from.
pub(super) struct Leases {
    client: Client,
    hosts: AllowedHosts,
    kept: Mutex<HashMap<MeetingId, Kept>>,
    /// Hosts that took the credential in the query when they had refused it in the header.
    by_query: Mutex<HashSet<String>>,
}

/// The links of one listed meeting.
struct Kept {
    /// The UTC day it began.
    day: Date,
    links: Box<[Link]>,
}

/// How a credential is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shown {
    Header,
    Query,
}

/// What a download link is asked with.
struct Credential {
    secret: SecretString,
    ends: Option<Timestamp>,
}

impl Credential {
    fn of(token: &Token) -> Self {
        Self { secret: token.secret().clone(), ends: token.ends() }
    }
}

/// What a walk from a link came to.
enum Outcome {
    Lease(Lease),
    /// Perhaps with another token.
    TokenRefused(String),
    Refused(String),
    Gone(String),
}

impl Leases {
    pub(super) fn new(client: Client, hosts: AllowedHosts) -> Self {
        Self { client, hosts, kept: Mutex::default(), by_query: Mutex::default() }
    }

    /// Takes over the links of a listing of `span`. If it was `whole`, meetings of these days that it does not
    /// name are forgotten, so what is kept is never more than what is listed.
    pub(super) fn learn(&self, span: DaySpan, whole: bool, listed: &mut [Mapped]) {
        let mut kept = self.kept.lock();
        if whole {
            kept.retain(|_, meeting| !span.contains(meeting.day));
        }
        for Mapped { meeting, links } in listed {
            let day = TimeZone::UTC.to_datetime(meeting.start).date();
            let links = std::mem::take(links).into_boxed_slice();
            kept.insert(meeting.id.clone(), Kept { day, links });
        }
    }

    /// Finds a lease of `file`, beginning at `effort` and trying harder where that is refused.
    pub(super) async fn lease(
        &self,
        api: &Api,
        file: &FileId,
        effort: Effort,
    ) -> Result<Lease, ProviderError> {
        let deadline = Instant::now() + LEASE_WITHIN;
        tokio::time::timeout_at(deadline, self.find(api, file, effort, deadline)).await.unwrap_or_else(|_| {
            Err(ProviderError::Unavailable(format!(
                "Zoom gave no download address within {} s",
                LEASE_WITHIN.as_secs()
            )))
        })
    }

    async fn find(
        &self,
        api: &Api,
        file: &FileId,
        effort: Effort,
        deadline: Instant,
    ) -> Result<Lease, ProviderError> {
        let known = self.known(file);
        let mut header_refused = false;
        if effort == Effort::Listed
            && let Some(link) = &known
        {
            let shown = self.shown_to(link);
            match self.listed(api, link, shown, deadline).await? {
                Outcome::Lease(lease) => return Ok(lease),
                Outcome::TokenRefused(why) | Outcome::Refused(why) => {
                    header_refused = shown == Shown::Header;
                    tracing::debug!(source = %file.source, "{why}; asking for the meeting's links anew");
                }
                Outcome::Gone(why) => {
                    tracing::debug!(source = %file.source, "{why}; asking for the meeting's links anew");
                }
            }
        }
        let (link, credential) = match (self.ask_anew(api, file, deadline).await, known) {
            // The permission for this one call may be missing where the link at hand works.
            (Err(ProviderError::NotAllowed(why)), Some(link)) => {
                tracing::debug!(source = %file.source, "{why}; going on with the link at hand");
                (link, Credential::of(&*api.tokens().current().await?))
            }
            (fresh, _) => fresh?,
        };
        if effort < Effort::LastResort {
            let shown = self.shown_to(&link);
            match self.walk(&link, &credential, shown, deadline).await? {
                Outcome::Lease(lease) => return Ok(lease),
                Outcome::Gone(why) => return Err(gone(&why)),
                Outcome::TokenRefused(_) | Outcome::Refused(_) => header_refused |= shown == Shown::Header,
            }
        }
        match self.walk(&link, &credential, Shown::Query, deadline).await? {
            Outcome::Lease(lease) => {
                if header_refused {
                    self.remember(&link);
                }
                Ok(lease)
            }
            Outcome::Gone(why) => Err(gone(&why)),
            Outcome::TokenRefused(why) | Outcome::Refused(why) => {
                self.by_query.lock().remove(&origin(&link.address));
                Err(ProviderError::NotAllowed(format!(
                    "Zoom refuses this download ({why}); see whether the recording is limited to its host or to signed-in users, and whether the app may download recordings"
                )))
            }
        }
    }

    /// From the link at hand with the source's own token, renewed once if it is refused.
    async fn listed(
        &self,
        api: &Api,
        link: &Link,
        shown: Shown,
        deadline: Instant,
    ) -> Result<Outcome, ProviderError> {
        let token = api.tokens().current().await?;
        let outcome = self.walk(link, &Credential::of(&token), shown, deadline).await?;
        if !matches!(outcome, Outcome::TokenRefused(_)) || !api.tokens().can_renew() {
            return Ok(outcome);
        }
        let token = api.tokens().renewed(&token).await?;
        self.walk(link, &Credential::of(&token), shown, deadline).await
    }

    /// The file's link as of now, with the token that is made for it.
    async fn ask_anew(
        &self,
        api: &Api,
        file: &FileId,
        deadline: Instant,
    ) -> Result<(Link, Credential), ProviderError> {
        let path = format!("/meetings/{}/recordings", address::meeting(file.meeting.as_str()));
        let life = DOWNLOAD_TOKEN_LIFE.to_string();
        let query = [("include_fields", "download_access_token"), ("ttl", life.as_str())];
        let within = deadline.saturating_duration_since(Instant::now());
        let asked_at = Timestamp::now();
        let reply = api
            .get(&path, &query, within)
            .await
            .map_err(|error| error.about("the recordings of this meeting"))?;
        let detail = Detail::read(reply);
        let credential = match detail.token {
            Some(secret) => Credential {
                secret,
                ends: asked_at.checked_add(SignedDuration::from_secs(DOWNLOAD_TOKEN_LIFE)).ok(),
            },
            None => Credential::of(&*api.tokens().current().await?),
        };
        let links = mapping::links(detail.files);
        let link = link_of(&links, &file.key).ok_or_else(|| {
            ProviderError::NotFound("Zoom no longer lists a download link for this file".into())
        })?;
        if let Some(kept) = self.kept.lock().get_mut(&file.meeting) {
            kept.links = links.into_boxed_slice();
        }
        Ok((link, credential))
    }

    /// Follows a link to the address that serves the file.
    async fn walk(
        &self,
        link: &Link,
        credential: &Credential,
        shown: Shown,
        deadline: Instant,
    ) -> Result<Outcome, ProviderError> {
        let mut at = self.hosts.check(link.address.expose().clone())?;
        let mut authorization = match shown {
            Shown::Header => Some(bearer(&credential.secret)),
            Shown::Query => {
                at = with_token(&at, &credential.secret);
                None
            }
        };
        let mut ends = credential.ends;
        let mut doubted = false;
        let mut redirects = 0;
        loop {
            let glance = self.look(&at, authorization.as_ref(), link.body, deadline).await?;
            match judge(&glance, link.body, &credential.secret) {
                Answer::Serves => return Ok(Outcome::Lease(Lease { address: at, authorization, ends })),
                Answer::Redirect(location) if redirects < REDIRECTS => {
                    redirects += 1;
                    let Ok(next) = at.expose().join(location.expose_secret()) else {
                        return Ok(Outcome::Refused("a redirect to no address".into()));
                    };
                    at = without_token(&self.hosts.check(next)?);
                    authorization = None;
                    ends = None;
                    if signed::is_signed(at.expose()) {
                        let ends = signed::ends(at.expose(), Timestamp::now());
                        return Ok(Outcome::Lease(Lease { address: at, authorization, ends }));
                    }
                }
                Answer::Redirect(_) => return Ok(Outcome::Refused("redirects without an end".into())),
                // Behind a redirect no token was shown, so none was refused.
                Answer::Unauthorised | Answer::TokenRefused(_) if redirects > 0 => {
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
    ) -> Result<Glance, ProviderError> {
        /// An error object in place of a JSON file is known by its content alone.
        const WHOLE_ERROR: u64 = 4096;
        let bytes = if body == BodyKind::Json { WHOLE_ERROR } else { 1 };
        let mut waits = retry::backoff(LOOKS - 1);
        loop {
            let within = EXCHANGE_WITHIN.min(deadline.saturating_duration_since(Instant::now()));
            let (error, asked) = match self.client.glance(at, authorization, bytes, within).await {
                Ok(glance) if glance.status == 429 => {
                    let wait = glance.retry_after.unwrap_or_else(retry::unstated_wait);
                    (HttpError::RateLimited { host: origin(at), wait }, Some(wait))
                }
                Ok(glance) if glance.status >= 500 => {
                    (HttpError::ServerError { host: origin(at), status: glance.status }, glance.retry_after)
                }
                Ok(glance) => return Ok(glance),
                Err(error @ (HttpError::Unreachable { .. } | HttpError::TimedOut { .. })) => (error, None),
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

    fn known(&self, file: &FileId) -> Option<Link> {
        link_of(&self.kept.lock().get(&file.meeting)?.links, &file.key)
    }

    fn shown_to(&self, link: &Link) -> Shown {
        if self.by_query.lock().contains(&origin(&link.address)) { Shown::Query } else { Shown::Header }
    }

    fn remember(&self, link: &Link) {
        /// A source has one vanity host and a few numbered ones.
        const HOSTS: usize = 64;
        let mut by_query = self.by_query.lock();
        if by_query.len() < HOSTS && by_query.insert(origin(&link.address)) {
            tracing::info!(host = origin(&link.address), "takes the download token in the query only");
        }
    }
}

fn link_of(links: &[Link], key: &FileKey) -> Option<Link> {
    links.iter().find(|link| link.key == *key).cloned()
}

fn gone(why: &str) -> ProviderError {
    ProviderError::NotFound(format!("Zoom no longer has this file ({why})"))
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
fn without_token(address: &SecretUrl) -> SecretUrl {
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
        assert_eq!(with("https://zoom.us/rec/x"), "https://zoom.us/rec/x?access_token=a%2Bb%2Fc%3D");
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
        assert_eq!(without("https://zoom.us/x?Policy=a~b_&c=d"), "https://zoom.us/x?Policy=a~b_&c=d");
    }
}
