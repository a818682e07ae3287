//! From a recording's download link to the address its bytes are at.
//!
//! ```text
//! listed link ──▶ signed address                              as it should be
//!      │ refused: it has gone stale
//!      ▼
//! the meeting's recordings: fresh link ──▶ signed address
//! ```
//!
//! The links are Zoom's and are their own permission: they are asked with nothing in hand.

use tokio::time::Instant;

use super::api::Api;
use super::mapping::{self, Mapped};
use super::wire::State;
use crate::http::{AllowedHosts, Client, Priority};
use crate::model::{DaySpan, FileId, Lease};
use crate::providers::zoom_share::{
    DownloadUrl, DownloadUrlCache, LEASE_TIMEOUT, Resolution, UrlResolver, find_url,
};
use crate::providers::{LeaseEffort, ProviderError};

/// Where leases of one source come from.
pub(crate) struct Leases {
    resolver: UrlResolver,
    urls: DownloadUrlCache,
}

impl Leases {
    pub(crate) fn new(client: Client, hosts: AllowedHosts) -> Self {
        Self { resolver: UrlResolver::new(client, hosts), urls: DownloadUrlCache::default() }
    }

    /// Takes over the links of a listing of `span`, which was `whole` or failed in part.
    pub(crate) fn learn(&self, span: DaySpan, whole: bool, listed: &mut [Mapped]) {
        let links = |mapped: &mut Mapped| {
            let Mapped { meeting, links } = mapped;
            (meeting.id.clone(), meeting.start, Some(std::mem::take(links)))
        };
        self.urls.store(span, whole, listed.iter_mut().map(links));
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
        tokio::time::timeout_at(deadline, self.find(api, file, effort, priority, deadline))
            .await
            .unwrap_or_else(|_| {
                Err(ProviderError::unavailable(format!(
                    "no download address was found within {} s",
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
        if effort == LeaseEffort::Listed
            && let Some(link) = self.urls.get(file)
        {
            match self.resolver.resolve(&link, None, deadline).await? {
                Resolution::Lease(lease) => return Ok(lease),
                Resolution::TokenRefused(why)
                | Resolution::Refused(why)
                | Resolution::Gone(why) => {
                    tracing::debug!(source = %file.source, "{why}; asking for the meeting's links anew");
                }
            }
        }
        let link = self.ask_anew(api, file, priority, deadline).await?;
        match self.resolver.resolve(&link, None, deadline).await? {
            Resolution::Lease(lease) => Ok(lease),
            Resolution::Gone(why) => Err(gone(&format!("Zoom no longer has this file ({why})"))),
            Resolution::TokenRefused(why) | Resolution::Refused(why) => {
                Err(ProviderError::not_allowed(format!(
                    "Zoom refuses the link that Rapatin gives ({why}); see at rapatin.id whether the recording still opens"
                )))
            }
        }
    }

    /// The file's link as of now.
    async fn ask_anew(
        &self,
        api: &Api,
        file: &FileId,
        priority: Priority,
        deadline: Instant,
    ) -> Result<DownloadUrl, ProviderError> {
        let meeting = mapping::meeting_of(&file.key);
        let within = deadline.saturating_duration_since(Instant::now());
        let listed = api.recordings(meeting, within, priority).await?.sessions;
        let session =
            listed.into_iter().find(|session| session.uuid() == file.meeting.as_str()).ok_or_else(
                || gone("Rapatin no longer lists this recording; it keeps them for a few days"),
            )?;
        match session.state() {
            State::Ready => {}
            State::Processing => {
                return Err(ProviderError::unavailable("Rapatin is processing this recording"));
            }
            State::Deleted => {
                return Err(gone(
                    "Rapatin has deleted this recording; it keeps them for a few days",
                ));
            }
        }
        let links = mapping::links(meeting, session.files);
        let link = find_url(&links, &file.key)
            .ok_or_else(|| gone("Rapatin no longer lists a download link for this file"))?;
        self.urls.replace(&file.meeting, links);
        Ok(link)
    }
}

fn gone(why: &str) -> ProviderError {
    ProviderError::not_found(why.to_owned())
}
