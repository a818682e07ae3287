//! Resolves the download URL of a file to the URL that serves the file.
//!
//! Each step follows only if the previous step is refused:
//!
//! 1. The listed URL, with the token of the source in the header. This is the usual case. If Zoom
//!    refuses the token, it is renewed once.
//! 2. A newly requested URL, with the download token of the meeting in the header.
//! 3. The same URL, with the token in the query. If this request succeeds, later requests to the
//!    same host start with the token in the query.

use std::collections::HashSet;

use jiff::civil::Date;
use jiff::{SignedDuration, Timestamp};
use parking_lot::Mutex;
use tokio::time::Instant;

use super::api::{Api, RateLimitLabel};
use super::listing::ListedEntry;
use super::mapping::{self, MappedMeeting};
use super::path_segment;
use super::wire::MeetingRecordings;
use crate::http::{AllowedHosts, Client, Priority, error::origin};
#[cfg(test)]
use crate::model::TableSize;
use crate::model::{DaySpan, Lease, MeetingId, current_time};
use crate::providers::toolkit::lease_timeout::within_lease_timeout;
use crate::providers::zoom_share::{
    Credential, CredentialPlacement, DownloadUrl, DownloadUrlCache, ListedUrl, Resolution,
    UrlLookup, UrlResolver, find_url, invalid_redirect_error,
};
use crate::providers::{ErrorClass, LeaseEffort, LeaseRequest, ProviderError};

/// Requested lifetime of the download token of a meeting, in seconds. If the download host serves
/// the file itself, one lease must be sufficient to read a long recording.
const DOWNLOAD_TOKEN_LIFETIME: i64 = 4 * 3600;

/// Issues the leases of one source.
pub(crate) struct Leases {
    resolver: UrlResolver,
    urls: DownloadUrlCache,
    /// The download URLs of files in the trash.
    trash_urls: DownloadUrlCache,
    /// Hosts that accepted a credential in the query after they had refused it in the header.
    query_hosts: Mutex<HashSet<String>>,
}

impl Leases {
    pub(crate) fn new(client: Client, hosts: AllowedHosts) -> Self {
        Self {
            resolver: UrlResolver::new(client, hosts),
            urls: DownloadUrlCache::default(),
            trash_urls: DownloadUrlCache::default(),
            query_hosts: Mutex::default(),
        }
    }

    #[cfg(test)]
    pub(crate) fn table_sizes(&self) -> Vec<TableSize> {
        vec![
            TableSize::new("meetings with download URLs", self.urls.len()),
            TableSize::new("trashed meetings with download URLs", self.trash_urls.len()),
            TableSize::new("hosts with tokens in the query", self.query_hosts.lock().len()),
        ]
    }

    /// Stores the download URLs of a listing of `span`. `is_complete` states whether all days of
    /// the span were listed.
    pub(crate) fn store_urls(&self, span: DaySpan, is_complete: bool, entries: &mut [ListedEntry]) {
        let take_urls = |entry: &mut ListedEntry| match entry {
            ListedEntry::New(mapped) => {
                let MappedMeeting { meeting, urls } = &mut **mapped;
                (meeting.id.clone(), meeting.start, Some(std::mem::take(urls)))
            }
            ListedEntry::Unchanged { id, start, .. } => (id.clone(), *start, None),
        };
        self.urls.store(span, is_complete, entries.iter_mut().map(take_urls));
    }

    /// Stores the download URLs of one meeting during a listing.
    pub(crate) fn store_meeting_urls(
        &self,
        meeting: &MeetingId,
        start: Timestamp,
        urls: Vec<ListedUrl>,
    ) {
        self.urls.insert(meeting, start, urls);
    }

    /// Stores the download URLs of a listing of the trash. `is_complete` states whether the whole
    /// trash was listed.
    pub(crate) fn store_trash_urls(
        &self,
        is_complete: bool,
        meetings: Vec<(MeetingId, Timestamp, Vec<ListedUrl>)>,
    ) {
        let all_days = DaySpan { from: Date::MIN, to: Date::MAX };
        let meetings = meetings.into_iter().map(|(id, start, urls)| (id, start, Some(urls)));
        self.trash_urls.store(all_days, is_complete, meetings);
    }

    /// Returns a lease. Starts with the effort of the request, and increases the effort after each
    /// refusal.
    pub(crate) async fn lease(
        &self,
        api: &Api,
        request: LeaseRequest<'_>,
    ) -> Result<Lease, ProviderError> {
        within_lease_timeout(async |deadline| {
            if request.file.meeting.is_in_trash() {
                self.find_trash_lease(api, request, deadline).await
            } else {
                self.find_lease(api, request, deadline).await
            }
        })
        .await
    }

    async fn find_lease(
        &self,
        api: &Api,
        request @ LeaseRequest { file, effort, priority, version }: LeaseRequest<'_>,
        deadline: Instant,
    ) -> Result<Lease, ProviderError> {
        let listed_url = self.urls.lookup(file, version);
        let mut is_header_refused = false;
        if effort == LeaseEffort::Listed
            && let UrlLookup::Found(url) = &listed_url
        {
            let placement = self.credential_placement(url);
            match self.resolve_listed_url(api, url, placement, priority, deadline).await? {
                Resolution::Lease(lease) => return Ok(lease),
                Resolution::TokenRefused(reason) | Resolution::Refused(reason) => {
                    is_header_refused = placement == CredentialPlacement::Header;
                    tracing::debug!(source = %file.source, "{reason}; requesting new download URLs");
                }
                Resolution::NotFound(reason) | Resolution::InvalidRedirect(reason) => {
                    tracing::debug!(source = %file.source, "{reason}; requesting new download URLs");
                }
            }
        }
        let fetch_result = self.fetch_url_and_token(api, request, deadline).await;
        let (url, credential) = match fetch_result {
            // The scope for this request may be missing although the listed URL works.
            Err(error) if error.class() == ErrorClass::NotAllowed => {
                let url = listed_url.into_url(|| error)?;
                tracing::debug!(source = %file.source, "using the listed download URL");
                (url, Credential::of(&*api.tokens().current(priority).await?))
            }
            result => result?,
        };
        if effort < LeaseEffort::LastResort {
            let placement = self.credential_placement(&url);
            match self.resolver.resolve(&url, Some((&credential, placement)), deadline).await? {
                Resolution::Lease(lease) => return Ok(lease),
                Resolution::NotFound(reason) => return Err(file_not_found(&reason)),
                Resolution::InvalidRedirect(reason) => return Err(invalid_redirect_error(&reason)),
                Resolution::TokenRefused(_) | Resolution::Refused(_) => {
                    is_header_refused |= placement == CredentialPlacement::Header;
                }
            }
        }
        let query_credential = Some((&credential, CredentialPlacement::Query));
        match self.resolver.resolve(&url, query_credential, deadline).await? {
            Resolution::Lease(lease) => {
                if is_header_refused {
                    self.record_query_host(&url);
                }
                Ok(lease)
            }
            Resolution::NotFound(reason) => Err(file_not_found(&reason)),
            Resolution::InvalidRedirect(reason) => Err(invalid_redirect_error(&reason)),
            Resolution::TokenRefused(reason) | Resolution::Refused(reason) => {
                self.query_hosts.lock().remove(&origin(&url.url));
                Err(ProviderError::not_allowed(format!("Zoom refuses this download: {reason}"))
                    .with_hint(
                        "Check whether only the meeting host or signed-in users may view the \
                         recording, and whether the app may download recordings.",
                    ))
            }
        }
    }

    /// Returns a lease of a file in the trash. Zoom returns no details of a trashed meeting, so
    /// only the listed URL can be used.
    async fn find_trash_lease(
        &self,
        api: &Api,
        LeaseRequest { file, priority, version, .. }: LeaseRequest<'_>,
        deadline: Instant,
    ) -> Result<Lease, ProviderError> {
        let url = self.trash_urls.lookup(file, version).into_url(|| {
            if self.trash_urls.contains(&file.meeting) {
                ProviderError::not_allowed(
                    "Zoom lists this file in the recycle bin without a download URL",
                )
            } else {
                ProviderError::unavailable("Zoom's recycle bin has not been listed yet")
            }
        })?;
        let placement = self.credential_placement(&url);
        let mut resolution =
            self.resolve_listed_url(api, &url, placement, priority, deadline).await?;
        if !matches!(resolution, Resolution::Lease(_)) && placement == CredentialPlacement::Header {
            let credential = Credential::of(&*api.tokens().current(priority).await?);
            let query_credential = Some((&credential, CredentialPlacement::Query));
            resolution = self.resolver.resolve(&url, query_credential, deadline).await?;
        }
        match resolution {
            Resolution::Lease(lease) => Ok(lease),
            Resolution::NotFound(reason) => Err(file_not_found(&reason)),
            Resolution::InvalidRedirect(reason) => Err(invalid_redirect_error(&reason)),
            Resolution::TokenRefused(reason) | Resolution::Refused(reason) => {
                Err(ProviderError::not_allowed(format!("Zoom refuses this download: {reason}")))
            }
        }
    }

    /// Resolves a listed URL with the token of the source. Renews the token once if the host
    /// refuses it.
    async fn resolve_listed_url(
        &self,
        api: &Api,
        url: &DownloadUrl,
        placement: CredentialPlacement,
        priority: Priority,
        deadline: Instant,
    ) -> Result<Resolution, ProviderError> {
        let token = api.tokens().current(priority).await?;
        let credential = Credential::of(&token);
        let resolution =
            self.resolver.resolve(url, Some((&credential, placement)), deadline).await?;
        if !matches!(resolution, Resolution::TokenRefused(_)) || !api.tokens().can_renew() {
            return Ok(resolution);
        }
        let credential = Credential::of(&*api.tokens().renew(&token, priority).await?);
        self.resolver.resolve(url, Some((&credential, placement)), deadline).await
    }

    /// Requests the current download URL of a file and the download token of its meeting.
    async fn fetch_url_and_token(
        &self,
        api: &Api,
        LeaseRequest { file, version, priority, .. }: LeaseRequest<'_>,
        deadline: Instant,
    ) -> Result<(DownloadUrl, Credential), ProviderError> {
        let path =
            format!("/meetings/{}/recordings", path_segment::encode_meeting(file.meeting.as_str()));
        let lifetime = DOWNLOAD_TOKEN_LIFETIME.to_string();
        let query = [("include_fields", "download_access_token"), ("ttl", lifetime.as_str())];
        let timeout = deadline.saturating_duration_since(Instant::now());
        let requested_at = current_time();
        let reply = api
            .get((RateLimitLabel::Light, priority), &path, &query, timeout)
            .await
            .map_err(|error| error.into_provider_error("the recordings of this meeting"))?;
        let recordings = MeetingRecordings::parse(reply);
        let credential = match recordings.token {
            Some(secret) => Credential {
                secret,
                expires_at: requested_at
                    .checked_add(SignedDuration::from_secs(DOWNLOAD_TOKEN_LIFETIME))
                    .ok(),
            },
            None => Credential::of(&*api.tokens().current(priority).await?),
        };
        let urls = mapping::download_urls(recordings.files, recordings.participant_files);
        let lookup = find_url(&urls, &file.key, version);
        self.urls.replace(&file.meeting, urls);
        let url = lookup.into_url(|| {
            ProviderError::not_found("Zoom no longer lists a download URL for this file")
        })?;
        Ok((url, credential))
    }

    fn credential_placement(&self, url: &DownloadUrl) -> CredentialPlacement {
        if self.query_hosts.lock().contains(&origin(&url.url)) {
            CredentialPlacement::Query
        } else {
            CredentialPlacement::Header
        }
    }

    fn record_query_host(&self, url: &DownloadUrl) {
        /// Maximum number of stored hosts. A source usually has one vanity host and a few numbered
        /// hosts.
        const MAX_HOSTS: usize = 64;
        let host = origin(&url.url);
        let mut query_hosts = self.query_hosts.lock();
        if query_hosts.len() < MAX_HOSTS && query_hosts.insert(host.clone()) {
            tracing::info!(host, "the host accepts the download token only in the query");
        }
    }
}

fn file_not_found(reason: &str) -> ProviderError {
    ProviderError::not_found(format!("Zoom no longer has this file: {reason}"))
}
