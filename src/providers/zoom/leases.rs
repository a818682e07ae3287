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

use std::collections::HashSet;

use jiff::civil::Date;
use jiff::{SignedDuration, Timestamp};
use parking_lot::Mutex;
use tokio::time::Instant;

use super::address;
use super::api::{Api, RateLimitLabel};
use super::listing::Listed;
use super::mapping::{self, Mapped};
use super::wire::Detail;
use crate::http::{AllowedHosts, Client, Priority, error::origin};
use crate::model::{DaySpan, FileId, Lease, MeetingId};
use crate::providers::zoom_share::{
    Credential, KeptLinks, LEASE_TIMEOUT, Link, Outcome, Shown, Walker, link_of,
};
use crate::providers::{ErrorClass, LeaseEffort, ProviderError};

/// Life asked for a meeting's own download token, in seconds: long enough to read a long recording under one
/// lease where the download host serves it by itself.
const DOWNLOAD_TOKEN_LIFE: i64 = 4 * 3600;

/// Where leases of one source come from.
pub(crate) struct Leases {
    walker: Walker,
    kept: KeptLinks,
    /// Those of what lies in the trash.
    trashed: KeptLinks,
    /// Hosts that took the credential in the query when they had refused it in the header.
    by_query: Mutex<HashSet<String>>,
}

impl Leases {
    pub(crate) fn new(client: Client, hosts: AllowedHosts) -> Self {
        Self {
            walker: Walker::new(client, hosts),
            kept: KeptLinks::default(),
            trashed: KeptLinks::default(),
            by_query: Mutex::default(),
        }
    }

    /// Takes over the links of a listing of `span`, which was `whole` or failed in part.
    pub(crate) fn learn(&self, span: DaySpan, whole: bool, listed: &mut [Listed]) {
        let links = |listed: &mut Listed| match listed {
            Listed::New(mapped) => {
                let Mapped { meeting, links } = &mut **mapped;
                (meeting.id.clone(), meeting.start, Some(std::mem::take(links)))
            }
            Listed::Known { id, start, .. } => (id.clone(), *start, None),
        };
        self.kept.learn(span, whole, listed.iter_mut().map(links));
    }

    /// Takes over the links of one meeting of a listing that goes on.
    pub(crate) fn learn_one(&self, meeting: &MeetingId, start: Timestamp, links: Vec<Link>) {
        self.kept.put(meeting, start, links);
    }

    /// Takes over the links of a listing of the trash, which was `whole` or failed in part.
    pub(crate) fn learn_trash(&self, whole: bool, links: Vec<(MeetingId, Timestamp, Vec<Link>)>) {
        let ever = DaySpan { from: Date::MIN, to: Date::MAX };
        self.trashed.learn(
            ever,
            whole,
            links.into_iter().map(|(id, start, links)| (id, start, Some(links))),
        );
    }

    /// Finds a lease of `file`, beginning at `effort` and trying harder where that is refused.
    pub(crate) async fn lease(
        &self,
        api: &Api,
        file: &FileId,
        effort: LeaseEffort,
        priority: Priority,
    ) -> Result<Lease, ProviderError> {
        let deadline = Instant::now() + LEASE_TIMEOUT;
        let find = async {
            if file.meeting.is_in_trash() {
                self.find_trashed(api, file, priority, deadline).await
            } else {
                self.find(api, file, effort, priority, deadline).await
            }
        };
        tokio::time::timeout_at(deadline, find).await.unwrap_or_else(|_| {
            Err(ProviderError::unavailable(format!(
                "Zoom gave no download address within {} s",
                LEASE_TIMEOUT.as_secs()
            )))
        })
    }

    async fn find(
        &self,
        api: &Api,
        file: &FileId,
        effort: LeaseEffort,
        priority: Priority,
        deadline: Instant,
    ) -> Result<Lease, ProviderError> {
        let known = self.kept.of(file);
        let mut header_refused = false;
        if effort == LeaseEffort::Listed
            && let Some(link) = &known
        {
            let shown = self.shown_to(link);
            match self.listed(api, link, shown, priority, deadline).await? {
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
        let (link, credential) = match (self.ask_anew(api, file, priority, deadline).await, known) {
            // The permission for this one call may be missing where the link at hand works.
            (Err(error), Some(link)) if error.class() == ErrorClass::NotAllowed => {
                tracing::debug!(source = %file.source, "{error}; going on with the link at hand");
                (link, Credential::of(&*api.tokens().current(priority).await?))
            }
            (fresh, _) => fresh?,
        };
        if effort < LeaseEffort::LastResort {
            let shown = self.shown_to(&link);
            match self.walker.walk(&link, Some((&credential, shown)), deadline).await? {
                Outcome::Lease(lease) => return Ok(lease),
                Outcome::Gone(why) => return Err(gone(&why)),
                Outcome::TokenRefused(_) | Outcome::Refused(_) => {
                    header_refused |= shown == Shown::Header
                }
            }
        }
        match self.walker.walk(&link, Some((&credential, Shown::Query)), deadline).await? {
            Outcome::Lease(lease) => {
                if header_refused {
                    self.remember(&link);
                }
                Ok(lease)
            }
            Outcome::Gone(why) => Err(gone(&why)),
            Outcome::TokenRefused(why) | Outcome::Refused(why) => {
                self.by_query.lock().remove(&origin(&link.address));
                Err(ProviderError::not_allowed(format!(
                    "Zoom refuses this download ({why}); see whether the recording is limited to its host or to signed-in users, and whether the app may download recordings"
                )))
            }
        }
    }

    /// A lease of a file in the trash. Its meeting cannot be asked for, so the listed link is all there is.
    async fn find_trashed(
        &self,
        api: &Api,
        file: &FileId,
        priority: Priority,
        deadline: Instant,
    ) -> Result<Lease, ProviderError> {
        let Some(link) = self.trashed.of(file) else {
            return Err(if self.trashed.has(&file.meeting) {
                ProviderError::not_allowed("Zoom lists it there without a download link")
            } else {
                ProviderError::unavailable("Zoom's trash has not been listed since the start")
            });
        };
        let shown = self.shown_to(&link);
        let mut outcome = self.listed(api, &link, shown, priority, deadline).await?;
        if !matches!(outcome, Outcome::Lease(_)) && shown == Shown::Header {
            let credential = Credential::of(&*api.tokens().current(priority).await?);
            outcome = self.walker.walk(&link, Some((&credential, Shown::Query)), deadline).await?;
        }
        match outcome {
            Outcome::Lease(lease) => Ok(lease),
            Outcome::Gone(why) => Err(gone(&why)),
            Outcome::TokenRefused(why) | Outcome::Refused(why) => {
                Err(ProviderError::not_allowed(format!("Zoom answered with {why}")))
            }
        }
    }

    /// From the link at hand with the source's own token, renewed once if it is refused.
    async fn listed(
        &self,
        api: &Api,
        link: &Link,
        shown: Shown,
        priority: Priority,
        deadline: Instant,
    ) -> Result<Outcome, ProviderError> {
        let token = api.tokens().current(priority).await?;
        let outcome =
            self.walker.walk(link, Some((&Credential::of(&token), shown)), deadline).await?;
        if !matches!(outcome, Outcome::TokenRefused(_)) || !api.tokens().can_renew() {
            return Ok(outcome);
        }
        let token = api.tokens().renewed(&token, priority).await?;
        self.walker.walk(link, Some((&Credential::of(&token), shown)), deadline).await
    }

    /// The file's link as of now, with the token that is made for it.
    async fn ask_anew(
        &self,
        api: &Api,
        file: &FileId,
        priority: Priority,
        deadline: Instant,
    ) -> Result<(Link, Credential), ProviderError> {
        let path = format!("/meetings/{}/recordings", address::meeting(file.meeting.as_str()));
        let life = DOWNLOAD_TOKEN_LIFE.to_string();
        let query = [("include_fields", "download_access_token"), ("ttl", life.as_str())];
        let within = deadline.saturating_duration_since(Instant::now());
        let asked_at = Timestamp::now();
        let reply = api
            .get((RateLimitLabel::Light, priority), &path, &query, within)
            .await
            .map_err(|error| error.about("the recordings of this meeting"))?;
        let detail = Detail::read(reply);
        let credential = match detail.token {
            Some(secret) => Credential {
                secret,
                ends: asked_at.checked_add(SignedDuration::from_secs(DOWNLOAD_TOKEN_LIFE)).ok(),
            },
            None => Credential::of(&*api.tokens().current(priority).await?),
        };
        let links = mapping::links(detail.files, detail.participants);
        let link = link_of(&links, &file.key).ok_or_else(|| {
            ProviderError::not_found("Zoom no longer lists a download link for this file")
        })?;
        self.kept.replace(&file.meeting, links);
        Ok((link, credential))
    }

    fn shown_to(&self, link: &Link) -> Shown {
        if self.by_query.lock().contains(&origin(&link.address)) {
            Shown::Query
        } else {
            Shown::Header
        }
    }

    fn remember(&self, link: &Link) {
        /// A source has one vanity host and a few numbered ones.
        const HOSTS: usize = 64;
        let mut by_query = self.by_query.lock();
        if by_query.len() < HOSTS && by_query.insert(origin(&link.address)) {
            tracing::info!(
                host = origin(&link.address),
                "takes the download token in the query only"
            );
        }
    }
}

fn gone(why: &str) -> ProviderError {
    ProviderError::not_found(format!("Zoom no longer has this file ({why})"))
}
