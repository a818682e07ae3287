//! Finds where the bytes of a file are.
//!
//! ```text
//! listed download URL ──▶ signed URL                           usually
//!      │ refused, because it is stale
//!      ▼
//! recordings of the meeting: new download URL ──▶ signed URL
//! ```
//!
//! The download URLs are Zoom's and are credentials: they are requested without a token.

use std::borrow::Cow;

use tokio::time::Instant;

use super::api::Api;
use super::mapping::{self, MappedSession};
use super::wire::State;
use crate::http::{AllowedHosts, Client};
use crate::model::{DaySpan, Lease};
use crate::providers::toolkit::lease_timeout::within_lease_timeout;
use crate::providers::zoom_share::{
    DownloadUrl, DownloadUrlCache, Resolution, UrlLookup, UrlResolver, find_url,
    invalid_redirect_error,
};
use crate::providers::{LeaseEffort, LeaseRequest, ProviderError};

/// Finds the leases of one source.
pub(crate) struct Leases {
    resolver: UrlResolver,
    urls: DownloadUrlCache,
}

impl Leases {
    pub(crate) fn new(client: Client, hosts: AllowedHosts) -> Self {
        Self { resolver: UrlResolver::new(client, hosts), urls: DownloadUrlCache::default() }
    }

    /// Stores the download URLs of a listing of `span`, which may be incomplete.
    pub(crate) fn learn(&self, span: DaySpan, whole: bool, listed: &mut [MappedSession]) {
        let links = |mapped: &mut MappedSession| {
            let MappedSession { meeting, links } = mapped;
            (meeting.id.clone(), meeting.start, Some(std::mem::take(links)))
        };
        self.urls.store(span, whole, listed.iter_mut().map(links));
    }

    /// Finds a lease, first with the effort of the request, then with more.
    pub(crate) async fn lease(
        &self,
        api: &Api,
        request: LeaseRequest<'_>,
    ) -> Result<Lease, ProviderError> {
        within_lease_timeout(|deadline| self.find(api, request, deadline)).await
    }

    async fn find(
        &self,
        api: &Api,
        request @ LeaseRequest { file, effort, .. }: LeaseRequest<'_>,
        deadline: Instant,
    ) -> Result<Lease, ProviderError> {
        if effort == LeaseEffort::Listed
            && let UrlLookup::Found(link) = self.urls.lookup(file, request.version)
        {
            match self.resolver.resolve(&link, None, deadline).await? {
                Resolution::Lease(lease) => return Ok(lease),
                Resolution::TokenRefused(why)
                | Resolution::Refused(why)
                | Resolution::NotFound(why)
                | Resolution::InvalidRedirect(why) => {
                    tracing::debug!(source = %file.source, "{why}; requesting the download URLs of the meeting again");
                }
            }
        }
        let link = self.fetch_link(api, request, deadline).await?;
        match self.resolver.resolve(&link, None, deadline).await? {
            Resolution::Lease(lease) => Ok(lease),
            Resolution::NotFound(why) => {
                Err(not_found_upstream(format!("Zoom no longer has this file ({why})")))
            }
            Resolution::InvalidRedirect(why) => Err(invalid_redirect_error(&why)),
            Resolution::TokenRefused(why) | Resolution::Refused(why) => {
                Err(ProviderError::not_allowed(format!(
                    "Zoom refused the download URL of Rapatin ({why})"
                ))
                .with_hint("Check at rapatin.id whether the recording still opens."))
            }
        }
    }

    async fn fetch_link(
        &self,
        api: &Api,
        LeaseRequest { file, version, priority, .. }: LeaseRequest<'_>,
        deadline: Instant,
    ) -> Result<DownloadUrl, ProviderError> {
        let meeting = mapping::meeting_of(&file.key);
        let within = deadline.saturating_duration_since(Instant::now());
        let listed = api.recordings(meeting, within, priority).await?.sessions;
        let session = listed
            .into_iter()
            .find(|session| session.uuid() == file.meeting.as_str())
            .ok_or_else(|| not_found_upstream("Rapatin no longer lists this recording"))?;
        match session.state() {
            State::Ready => {}
            State::Processing => {
                return Err(ProviderError::unavailable("Rapatin is processing this recording"));
            }
            State::Deleted => {
                return Err(not_found_upstream("Rapatin has deleted this recording"));
            }
        }
        let links = mapping::links(meeting, session);
        let lookup = find_url(&links, &file.key, version);
        self.urls.replace(&file.meeting, links);
        lookup
            .into_url(|| not_found_upstream("Rapatin no longer lists a download URL for this file"))
    }
}

fn not_found_upstream(message: impl Into<Cow<'static, str>>) -> ProviderError {
    ProviderError::not_found(message).with_hint("Rapatin keeps recordings for a few days.")
}
