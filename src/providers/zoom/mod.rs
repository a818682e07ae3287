//! The provider of Zoom cloud recordings.
//!
//! Input: a credential, the users whose recordings are listed, and base URLs. Output: meetings, the
//! details of past meetings, and leases. The module must not know directories, cache blocks or the
//! mount.
//!
//! Peculiarities of Zoom, and the modules that handle them:
//!
//! 1. Tokens expire after one hour, and a refresh token works only once: [`auth`].
//! 2. Errors can have any HTTP status, and have codes of their own: [`refusal`].
//! 3. A list covers at most one month, a longer list is shortened without an error, and page tokens
//!    expire: [`listing`], [`pages`].
//! 4. An account is listed at once or user by user, including users who have left:
//!    [`recording_owner`].
//! 5. Any field may be missing or have another type: [`wire`], [`mapping`], [`metadata`].
//! 6. The trash is listed user by user, and its files may not be downloadable: [`trash`].
//! 7. Participants and their audio are requested for each meeting, and each request needs its own
//!    scope: [`details`], [`participants`].
//! 8. Download URLs redirect, can return web pages, and can refuse valid tokens: [`leases`] and
//!    [`zoom_share`](crate::providers::zoom_share).

use std::sync::{Arc, OnceLock};

use async_trait::async_trait;

use self::api::{Api, RateLimiters};
use self::details::DetailsReader;
use self::leases::Leases;
use self::listing::{EntryRank, ListedEntry, ListedMeetings};
use self::mapping::MappedMeeting;
use crate::http::{AllowedHosts, Client, Priority};
#[cfg(test)]
use crate::model::TableSize;
use crate::model::{DaySpan, Details, Lease, MeetingId};
use crate::providers::listing_progress::ListingCounter;
use crate::providers::zoom_share::error_object::is_error_object;
use crate::providers::zoom_share::{ZOOM_HOSTS, file_kinds};
use crate::providers::{
    Conventions, KnownMeetings, LeaseRequest, Listing, ListingProgress, Permission, Provider,
    ProviderError, RecycleBin, SourceDescriptor, SourceOptions, TrashListing,
};

mod api;
mod auth;
mod details;
mod factory;
mod file_status;
#[cfg(any(fuzzing, test))]
pub mod fuzzing;
mod identity;
mod leases;
mod listing;
mod mapping;
mod metadata;
mod pages;
mod participants;
mod path_segment;
mod recording_owner;
mod refusal;
mod scopes;
mod token_refusal;
mod trash;
mod wire;

pub use factory::ZoomFactory;

pub use crate::config::{ZoomConfig, ZoomCredential, ZoomPlan};

/// The settings of a Zoom source.
pub type ZoomOptions = SourceOptions<ZoomConfig>;

/// The provider of one Zoom source.
pub struct Zoom {
    descriptor: SourceDescriptor,
    users: Vec<String>,
    api: Api,
    leases: Leases,
    /// The meetings of the last listing.
    known_meetings: OnceLock<Arc<dyn KnownMeetings>>,
    details: DetailsReader,
    counter: ListingCounter,
}

impl Zoom {
    /// Creates the provider. Sends no request.
    pub fn new(options: ZoomOptions, client: Client) -> Self {
        let descriptor = identity::descriptor(&options);
        let hosts = AllowedHosts::new(options.allowed_hosts(ZOOM_HOSTS), &options.config.api_url);
        let SourceOptions { source, config, .. } = options;
        let account = match &config.credential {
            ZoomCredential::ServerToServer { account_id, .. } => account_id.as_str(),
            // The id of the account is not configured.
            ZoomCredential::Token(_) | ZoomCredential::SignedIn { .. } => source.as_str(),
        };
        let rate_limiters = RateLimiters::of(&client, account, config.plan);
        let tokens = auth::tokens(&source, &config, client.clone());
        Self {
            descriptor,
            users: config.users,
            api: Api::new(client.clone(), config.api_url, tokens, rate_limiters),
            leases: Leases::new(client, hosts),
            known_meetings: OnceLock::new(),
            details: DetailsReader::default(),
            counter: ListingCounter::default(),
        }
    }
}

impl Zoom {
    /// Determines whether a meeting has changed since the last listing. For an unchanged meeting,
    /// stores the download URLs and keeps only the id, the start and the rank.
    fn classify(&self, mapped: MappedMeeting) -> ListedEntry {
        if !self.known_meetings.get().is_some_and(|known| known.is_unchanged(&mapped.meeting)) {
            return ListedEntry::New(Box::new(mapped));
        }
        let rank = EntryRank::of(&mapped.meeting, true);
        let MappedMeeting { meeting, urls } = mapped;
        self.leases.store_meeting_urls(&meeting.id, meeting.start, urls);
        ListedEntry::Unchanged { id: meeting.id, start: meeting.start, rank }
    }
}

#[async_trait]
impl Provider for Zoom {
    fn descriptor(&self) -> &SourceDescriptor {
        &self.descriptor
    }

    fn listing_progress(&self) -> Option<ListingProgress> {
        self.counter.progress()
    }

    fn set_known_meetings(&self, meetings: Arc<dyn KnownMeetings>) {
        // Called once, before the first request.
        let _ = self.known_meetings.set(meetings);
    }

    async fn list(&self, span: DaySpan) -> Result<Listing, ProviderError> {
        let owners = recording_owner::resolve(&self.api, &self.users).await?;
        let classify = |mapped| self.classify(mapped);
        let source = self.source();
        let mut listing =
            listing::list(&self.api, source, &owners, span, &classify, &self.counter).await?;
        let is_complete = listing.failed.is_empty() && listing.refused_users.is_none();
        self.leases.store_urls(span, is_complete, &mut listing.meetings);
        let (mut meetings, mut unchanged) = (Vec::new(), Vec::new());
        for listed in listing.meetings {
            match listed {
                ListedEntry::New(mapped) => meetings.push(mapped.meeting),
                ListedEntry::Unchanged { id, .. } => unchanged.push(id),
            }
        }
        let ListedMeetings { failed, refused_users, .. } = listing;
        Ok(Listing { meetings, unchanged, failed, refused_users })
    }

    fn recycle_bin(&self) -> Option<RecycleBin> {
        Some(trash::RECYCLE_BIN)
    }

    async fn list_trash(&self, _span: DaySpan) -> Result<TrashListing, ProviderError> {
        let owners = recording_owner::resolve_users(&self.api, &self.users).await?;
        let (listing, urls) = trash::list(&self.api, self.source(), &owners).await?;
        self.leases.store_trash_urls(listing.failed.is_none(), urls);
        Ok(listing)
    }

    async fn details(&self, meeting: &MeetingId) -> Result<Option<Details>, ProviderError> {
        self.details.fetch(&self.api, self.source(), meeting).await
    }

    async fn complete_details(
        &self,
        meeting: &MeetingId,
        existing: &Details,
    ) -> Result<Details, ProviderError> {
        self.details.complete(&self.api, self.source(), meeting, existing).await
    }

    async fn refetch_details(
        &self,
        meeting: &MeetingId,
        existing: &Details,
    ) -> Result<Details, ProviderError> {
        self.details.renew(&self.api, self.source(), meeting, existing).await
    }

    async fn permissions(&self) -> Result<Vec<Permission>, ProviderError> {
        let token = self.api.tokens().current(Priority::Background).await?;
        Ok(token
            .scopes()
            .map(|granted| scopes::permissions(granted, &self.users))
            .unwrap_or_default())
    }

    fn conventions(&self) -> Conventions {
        Conventions {
            meeting_host_field: Some(metadata::MEETING_HOST_FIELD),
            redundant_view_suffix: Some(file_kinds::CAPTIONED_SUFFIX),
        }
    }

    async fn finish(&self) {
        self.api.tokens().finish().await;
    }

    #[cfg(test)]
    fn table_sizes(&self) -> Vec<TableSize> {
        self.leases.table_sizes()
    }

    fn is_error_body(&self, body: &[u8]) -> bool {
        is_error_object(body)
    }

    async fn lease(&self, request: LeaseRequest<'_>) -> Result<Lease, ProviderError> {
        self.leases.lease(&self.api, request).await
    }
}
