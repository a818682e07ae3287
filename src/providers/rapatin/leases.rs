//! Finds the signed URL of a recording file.
//!
//! ```text
//! listed download URL ──▶ signed URL                           (usual case)
//!      │ refused, because the URL is stale
//!      ▼
//! recordings of the meeting: new download URL ──▶ signed URL
//! ```
//!
//! The download URLs are Zoom's. They are credentials themselves, so they are requested without a
//! token.

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

/// Obtains the leases of one source.
pub(crate) struct Leases {
    resolver: UrlResolver,
    urls: DownloadUrlCache,
}

impl Leases {
    pub(crate) fn new(client: Client, hosts: AllowedHosts) -> Self {
        Self { resolver: UrlResolver::new(client, hosts), urls: DownloadUrlCache::default() }
    }

    /// Stores the download URLs of a listing of `span`. `is_complete` states whether the listing
    /// contains every session of these days.
    pub(crate) fn store_urls(
        &self,
        span: DaySpan,
        is_complete: bool,
        sessions: &mut [MappedSession],
    ) {
        let take_urls = |mapped: &mut MappedSession| {
            let MappedSession { meeting, download_urls } = mapped;
            (meeting.id.clone(), meeting.start, Some(std::mem::take(download_urls)))
        };
        self.urls.store(span, is_complete, sessions.iter_mut().map(take_urls));
    }

    /// Obtains a lease from the listed download URL. If Zoom refuses that URL, requests the
    /// download URLs of the meeting again.
    pub(crate) async fn lease(
        &self,
        api: &Api,
        request: LeaseRequest<'_>,
    ) -> Result<Lease, ProviderError> {
        within_lease_timeout(|deadline| self.find_lease(api, request, deadline)).await
    }

    async fn find_lease(
        &self,
        api: &Api,
        request @ LeaseRequest { file, effort, .. }: LeaseRequest<'_>,
        deadline: Instant,
    ) -> Result<Lease, ProviderError> {
        if effort == LeaseEffort::Listed
            && let UrlLookup::Found(url) = self.urls.lookup(file, request.version)
        {
            match self.resolver.resolve(&url, None, deadline).await? {
                Resolution::Lease(lease) => return Ok(lease),
                Resolution::TokenRefused(reason)
                | Resolution::Refused(reason)
                | Resolution::NotFound(reason)
                | Resolution::InvalidRedirect(reason) => {
                    tracing::debug!(source = %file.source, "{reason}; requesting the download URLs of the meeting again");
                }
            }
        }
        let url = self.fetch_url(api, request, deadline).await?;
        match self.resolver.resolve(&url, None, deadline).await? {
            Resolution::Lease(lease) => Ok(lease),
            Resolution::NotFound(reason) => {
                Err(not_found_error(format!("Zoom no longer has this file: {reason}")))
            }
            Resolution::InvalidRedirect(reason) => Err(invalid_redirect_error(&reason)),
            Resolution::TokenRefused(reason) | Resolution::Refused(reason) => {
                Err(ProviderError::not_allowed(format!(
                    "Zoom refused the download URL of Rapatin: {reason}"
                ))
                .with_hint("Check at rapatin.id whether the recording can still be played."))
            }
        }
    }

    async fn fetch_url(
        &self,
        api: &Api,
        LeaseRequest { file, version, priority, .. }: LeaseRequest<'_>,
        deadline: Instant,
    ) -> Result<DownloadUrl, ProviderError> {
        let meeting = mapping::meeting_id_of(&file.key);
        let timeout = deadline.saturating_duration_since(Instant::now());
        let sessions = api.list_recordings(meeting, timeout, priority).await?.sessions;
        let session = sessions
            .into_iter()
            .find(|session| session.uuid() == file.meeting.as_str())
            .ok_or_else(|| not_found_error("Rapatin no longer lists this recording"))?;
        match session.state() {
            State::Ready => {}
            State::Processing => {
                return Err(ProviderError::unavailable("Rapatin is processing this recording"));
            }
            State::Deleted => {
                return Err(not_found_error("Rapatin has deleted this recording"));
            }
        }
        let download_urls = mapping::download_urls(meeting, session);
        let lookup = find_url(&download_urls, &file.key, version);
        self.urls.replace(&file.meeting, download_urls);
        lookup.into_url(|| not_found_error("Rapatin no longer lists a download URL for this file"))
    }
}

fn not_found_error(message: impl Into<Cow<'static, str>>) -> ProviderError {
    ProviderError::not_found(message).with_hint("Rapatin keeps recordings for a few days.")
}
