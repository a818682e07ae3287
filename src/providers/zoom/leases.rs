//! From the download URL of a file to the URL that serves it.
//!
//! ```text
//! listed URL, token in the header ──▶ signed URL                 the usual case
//!      │ refused
//!      ▼ the token is renewed once, if it is the reason
//! URL of the meeting's detail, token of its own in the header ──▶ signed URL
//!      │ refused
//!      ▼
//! the same URL, token in the query ──▶ signed URL                remembered for the host
//! ```

use std::collections::HashSet;

use jiff::civil::Date;
use jiff::{SignedDuration, Timestamp};
use parking_lot::Mutex;
use tokio::time::Instant;

use super::api::{Api, RateLimitLabel};
use super::listing::ListedEntry;
use super::mapping::{self, MappedMeeting};
use super::path_segment;
use super::wire::Detail;
use crate::http::{AllowedHosts, Client, Priority, error::origin};
use crate::model::{DaySpan, Lease, MeetingId};
use crate::providers::toolkit::lease_timeout::within_lease_timeout;
use crate::providers::zoom_share::{
    Credential, CredentialPlacement, DownloadUrl, DownloadUrlCache, ListedUrl, Resolution,
    UrlLookup, UrlResolver, find_url, invalid_redirect_error,
};
use crate::providers::{ErrorClass, LeaseEffort, LeaseRequest, ProviderError};

/// Lifetime that is requested for the download token of a meeting, in seconds: long enough to read
/// a long recording with one lease if the download host serves it itself.
const DOWNLOAD_TOKEN_LIFETIME: i64 = 4 * 3600;

/// The leases of one source.
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

    /// Stores the download URLs of a listing of `span`, which `is_complete` or failed in part.
    pub(crate) fn store(&self, span: DaySpan, is_complete: bool, listed: &mut [ListedEntry]) {
        let urls = |listed: &mut ListedEntry| match listed {
            ListedEntry::New(mapped) => {
                let MappedMeeting { meeting, urls } = &mut **mapped;
                (meeting.id.clone(), meeting.start, Some(std::mem::take(urls)))
            }
            ListedEntry::Known { id, start, .. } => (id.clone(), *start, None),
        };
        self.urls.store(span, is_complete, listed.iter_mut().map(urls));
    }

    /// Stores the download URLs of one meeting during a listing.
    pub(crate) fn insert(&self, meeting: &MeetingId, start: Timestamp, urls: Vec<ListedUrl>) {
        self.urls.insert(meeting, start, urls);
    }

    /// Stores the download URLs of a listing of the trash, which `is_complete` or failed in part.
    pub(crate) fn store_trash(
        &self,
        is_complete: bool,
        listed: Vec<(MeetingId, Timestamp, Vec<ListedUrl>)>,
    ) {
        let all_days = DaySpan { from: Date::MIN, to: Date::MAX };
        let listed = listed.into_iter().map(|(id, start, urls)| (id, start, Some(urls)));
        self.trash_urls.store(all_days, is_complete, listed);
    }

    /// Returns a lease. It starts with the effort of the request and increases it after each
    /// refusal.
    pub(crate) async fn lease(
        &self,
        api: &Api,
        request: LeaseRequest<'_>,
    ) -> Result<Lease, ProviderError> {
        within_lease_timeout(async |deadline| {
            if request.file.meeting.is_in_trash() {
                self.resolve_trashed(api, request, deadline).await
            } else {
                self.resolve(api, request, deadline).await
            }
        })
        .await
    }

    async fn resolve(
        &self,
        api: &Api,
        request @ LeaseRequest { file, effort, priority, version }: LeaseRequest<'_>,
        deadline: Instant,
    ) -> Result<Lease, ProviderError> {
        let listed = self.urls.lookup(file, version);
        let mut is_header_refused = false;
        if effort == LeaseEffort::Listed
            && let UrlLookup::Found(url) = &listed
        {
            let placement = self.placement(url);
            match self.resolve_listed(api, url, placement, priority, deadline).await? {
                Resolution::Lease(lease) => return Ok(lease),
                Resolution::TokenRefused(why) | Resolution::Refused(why) => {
                    is_header_refused = placement == CredentialPlacement::Header;
                    tracing::debug!(source = %file.source, "{why}; requesting new download URLs");
                }
                Resolution::NotFound(why) | Resolution::InvalidRedirect(why) => {
                    tracing::debug!(source = %file.source, "{why}; requesting new download URLs");
                }
            }
        }
        let refetched = self.refetch(api, request, deadline).await;
        let (url, credential) = match refetched {
            // The scope for this call may be missing, while the listed URL works.
            Err(error) if error.class() == ErrorClass::NotAllowed => {
                let url = listed.into_url(|| error)?;
                tracing::debug!(source = %file.source, "using the listed download URL");
                (url, Credential::of(&*api.tokens().current(priority).await?))
            }
            refetched => refetched?,
        };
        if effort < LeaseEffort::LastResort {
            let placement = self.placement(&url);
            match self.resolver.resolve(&url, Some((&credential, placement)), deadline).await? {
                Resolution::Lease(lease) => return Ok(lease),
                Resolution::NotFound(why) => return Err(gone(&why)),
                Resolution::InvalidRedirect(why) => return Err(invalid_redirect_error(&why)),
                Resolution::TokenRefused(_) | Resolution::Refused(_) => {
                    is_header_refused |= placement == CredentialPlacement::Header;
                }
            }
        }
        let in_query = Some((&credential, CredentialPlacement::Query));
        match self.resolver.resolve(&url, in_query, deadline).await? {
            Resolution::Lease(lease) => {
                if is_header_refused {
                    self.remember_query_host(&url);
                }
                Ok(lease)
            }
            Resolution::NotFound(why) => Err(gone(&why)),
            Resolution::InvalidRedirect(why) => Err(invalid_redirect_error(&why)),
            Resolution::TokenRefused(why) | Resolution::Refused(why) => {
                self.query_hosts.lock().remove(&origin(&url.url));
                Err(ProviderError::not_allowed(format!("Zoom refuses this download ({why})"))
                    .with_hint(
                        "Check whether the recording is limited to its host or to signed-in \
                         users, and whether the app may download recordings.",
                    ))
            }
        }
    }

    /// Returns a lease of a file in the trash. Zoom returns no details of a trashed meeting, so the
    /// listed URL is the only one.
    async fn resolve_trashed(
        &self,
        api: &Api,
        LeaseRequest { file, priority, version, .. }: LeaseRequest<'_>,
        deadline: Instant,
    ) -> Result<Lease, ProviderError> {
        let url = self.trash_urls.lookup(file, version).into_url(|| {
            if self.trash_urls.contains(&file.meeting) {
                ProviderError::not_allowed("Zoom lists it there without a download URL")
            } else {
                ProviderError::unavailable("Zoom's trash has not been listed yet")
            }
        })?;
        let placement = self.placement(&url);
        let mut resolution = self.resolve_listed(api, &url, placement, priority, deadline).await?;
        if !matches!(resolution, Resolution::Lease(_)) && placement == CredentialPlacement::Header {
            let credential = Credential::of(&*api.tokens().current(priority).await?);
            let in_query = Some((&credential, CredentialPlacement::Query));
            resolution = self.resolver.resolve(&url, in_query, deadline).await?;
        }
        match resolution {
            Resolution::Lease(lease) => Ok(lease),
            Resolution::NotFound(why) => Err(gone(&why)),
            Resolution::InvalidRedirect(why) => Err(invalid_redirect_error(&why)),
            Resolution::TokenRefused(why) | Resolution::Refused(why) => {
                Err(ProviderError::not_allowed(format!("Zoom returned {why}")))
            }
        }
    }

    /// Resolves a listed URL with the token of the source, which is renewed once if it is refused.
    async fn resolve_listed(
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
        let credential = Credential::of(&*api.tokens().renewed(&token, priority).await?);
        self.resolver.resolve(url, Some((&credential, placement)), deadline).await
    }

    /// Requests the current URL of the file, with the download token of its meeting.
    async fn refetch(
        &self,
        api: &Api,
        LeaseRequest { file, version, priority, .. }: LeaseRequest<'_>,
        deadline: Instant,
    ) -> Result<(DownloadUrl, Credential), ProviderError> {
        let path = format!("/meetings/{}/recordings", path_segment::meeting(file.meeting.as_str()));
        let lifetime = DOWNLOAD_TOKEN_LIFETIME.to_string();
        let query = [("include_fields", "download_access_token"), ("ttl", lifetime.as_str())];
        let timeout = deadline.saturating_duration_since(Instant::now());
        let requested_at = Timestamp::now();
        let reply = api
            .get((RateLimitLabel::Light, priority), &path, &query, timeout)
            .await
            .map_err(|error| error.into_provider_error("the recordings of this meeting"))?;
        let detail = Detail::read(reply);
        let credential = match detail.token {
            Some(secret) => Credential {
                secret,
                expires_at: requested_at
                    .checked_add(SignedDuration::from_secs(DOWNLOAD_TOKEN_LIFETIME))
                    .ok(),
            },
            None => Credential::of(&*api.tokens().current(priority).await?),
        };
        let urls = mapping::download_urls(detail.files, detail.participants);
        let lookup = find_url(&urls, &file.key, version);
        self.urls.replace(&file.meeting, urls);
        let url = lookup.into_url(|| {
            ProviderError::not_found("Zoom no longer lists a download URL of this file")
        })?;
        Ok((url, credential))
    }

    fn placement(&self, url: &DownloadUrl) -> CredentialPlacement {
        if self.query_hosts.lock().contains(&origin(&url.url)) {
            CredentialPlacement::Query
        } else {
            CredentialPlacement::Header
        }
    }

    fn remember_query_host(&self, url: &DownloadUrl) {
        /// A source has one vanity host and a few numbered ones.
        const MAX_HOSTS: usize = 64;
        let host = origin(&url.url);
        let mut query_hosts = self.query_hosts.lock();
        if query_hosts.len() < MAX_HOSTS && query_hosts.insert(host.clone()) {
            tracing::info!(host, "the host accepts the download token in the query only");
        }
    }
}

fn gone(why: &str) -> ProviderError {
    ProviderError::not_found(format!("Zoom no longer has this file ({why})"))
}
