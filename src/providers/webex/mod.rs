//! Meeting recordings of Webex. Each recording is shown as a separate meeting.
//!
//! - Input: the options of a source and an HTTP client.
//! - Output: meetings, their details, transcripts that are created later, and leases.
//! - The module must not know directories, inodes, blocks or the mount.
//! - Locks: `leases` and `transcripts` contain locks. No lock is held while another is taken,
//!   except a single flight of `leases`, which is held during its request.
//! - On failure, a listing reports the incomplete days, and every other call returns an error.
//!
//! These modules handle the peculiarities of Webex:
//!
//! 1. The access tokens of apps expire after two weeks: `auth` renews them with a refresh token,
//!    whose lifetime is extended by each use.
//! 2. A listing covers at most 30 days. The URL of the next page is in a header. It may point to
//!    another server, and its page size may be `null`: [`listing`], `pages` and `paging` handle it.
//! 3. A listing contains only the video and no download URL. The details of a recording contain the
//!    other files and cost one call each: `leases` shares that reply among readers.
//! 4. Download URLs expire after three hours and are credentials: `leases` requests them without
//!    the token.
//! 5. A transcript without a download URL is served by the API, which needs the token, and is often
//!    created later: `transcripts` finds it, and `leases` obtains its lease.
//! 6. The recycle bin is the same list with another status and has no deletion times: [`listing`].
//!    It is not documented whether its recordings have download URLs: `leases` requests them.
//! 7. Rate limits are not published. A 429 reply contains a delay, during which the source sends no
//!    request: `api` waits.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use self::api::Api;
use self::leases::Leases;
use self::listing::{RecordingList, RecordingListing};
use self::transcripts::Transcripts;
use super::{
    Conventions, LateFiles, LeaseRequest, Listing, ListingProgress, Permission, Provider,
    ProviderError, RecycleBin, SourceDescriptor, SourceOptions, TrashEntry, TrashListing,
};
use crate::http::{AllowedHosts, Client, Priority};
use crate::model::{DaySpan, Details, Lease, Meeting, MeetingId};
use crate::providers::listing_progress::ListingCounter;
use crate::providers::toolkit::listing_failures;

mod api;
mod auth;
mod factory;
#[cfg(any(fuzzing, test))]
pub mod fuzzing;
mod identity;
mod leases;
mod listing;
mod mapping;
mod metadata;
mod pages;
mod paging;
mod refusal;
mod scopes;
mod transcripts;
mod wire;

pub use factory::WebexFactory;

pub use crate::config::{WebexConfig, WebexCredential};

/// The settings of a Webex source.
pub type WebexOptions = SourceOptions<WebexConfig>;

/// The domains of the servers that store the files, such as `nsj1wss.webex.com`.
const WEBEX_HOSTS: [&str; 1] = ["webex.com"];

/// Timeout of each call for the details of a meeting. The call runs in the background, but a reader
/// of the same recording may wait for it.
const DETAILS_TIMEOUT: Duration = Duration::from_secs(30);

/// The recycle bin as documented by Webex ("Recordings in the recycle bin").
const RECYCLE_BIN: RecycleBin = RecycleBin {
    name: "Webex's recycle bin",
    fix: "restore it on the Webex site under Recordings > Deleted",
    retention_days: 30,
};

/// One Webex account.
pub struct Webex {
    descriptor: SourceDescriptor,
    lists: Vec<RecordingList>,
    api: Api,
    leases: Leases,
    /// Whether the source lists recordings of users other than the token's owner. A request for a
    /// single one of them must contain its meeting host.
    lists_other_users: bool,
    is_admin: bool,
    transcripts: Transcripts,
    counter: ListingCounter,
}

impl Webex {
    /// Creates the provider without sending a request.
    pub fn new(options: WebexOptions, client: Client) -> Self {
        let descriptor = identity::descriptor(&options);
        let hosts = AllowedHosts::new(options.allowed_hosts(WEBEX_HOSTS), &options.config.api_url);
        let SourceOptions { source, config, .. } = options;
        let tokens = auth::tokens(&source, &config, client.clone());
        let lists_other_users = config.uses_admin_list || !config.users.is_empty();
        Self {
            descriptor,
            transcripts: Transcripts::new(source, lists_other_users),
            is_admin: config.uses_admin_list,
            lists: listing::recording_lists(&config.users, config.uses_admin_list),
            api: Api::new(client, config.api_url, tokens),
            leases: Leases::new(hosts, refusal::recordings_scope(lists_other_users)),
            lists_other_users,
            counter: ListingCounter::default(),
        }
    }
}

#[async_trait]
impl Provider for Webex {
    fn descriptor(&self) -> &SourceDescriptor {
        &self.descriptor
    }

    fn listing_progress(&self) -> Option<ListingProgress> {
        self.counter.progress()
    }

    fn conventions(&self) -> Conventions {
        Conventions {
            meeting_host_field: Some(metadata::MEETING_HOST_FIELD),
            ..Conventions::default()
        }
    }

    fn restore(&self, listed: &[Arc<Meeting>]) {
        if self.lists_other_users {
            self.leases.restore_meeting_hosts(listed);
        }
    }

    async fn list(&self, span: DaySpan) -> Result<Listing, ProviderError> {
        let listing =
            listing::list(&self.api, self.source(), &self.lists, span, &self.counter).await?;
        let RecordingListing { recordings, failed, refused_users } = listing;
        let is_complete = failed.is_empty() && refused_users.is_none();
        self.leases.record_meeting_hosts(span, is_complete, &recordings);
        let meetings = recordings.into_iter().map(|listed| listed.meeting).collect();
        Ok(Listing { meetings, failed, refused_users, ..Listing::default() })
    }

    fn recycle_bin(&self) -> Option<RecycleBin> {
        Some(RECYCLE_BIN)
    }

    async fn list_trash(&self, span: DaySpan) -> Result<TrashListing, ProviderError> {
        let lists = listing::trash_lists(&self.lists);
        let listing = listing::list(&self.api, self.source(), &lists, span, &self.counter).await?;
        let refusal = listing.refused_users.and_then(|users| users.errors.into_iter().next());
        let failed = listing_failures::most_actionable_error(&listing.failed).cloned().or(refusal);
        self.leases.record_trash_meeting_hosts(failed.is_none(), &listing.recordings);
        let meetings = listing
            .recordings
            .into_iter()
            .map(|listed| TrashEntry::new(listed.meeting, None))
            .collect();
        Ok(TrashListing { meetings, failed })
    }

    async fn details(&self, meeting: &MeetingId) -> Result<Option<Details>, ProviderError> {
        let recording = match self.leases.details(&self.api, meeting, DETAILS_TIMEOUT).await {
            Ok(recording) => recording,
            Err(error) if error.is_refusal() => {
                tracing::debug!(source = %self.source(), "the details of a recording are not available: {error}");
                return Ok(None);
            }
            Err(error) => return Err(error),
        };
        let transcripts = match &recording.meeting_id {
            Some(meeting_id) if recording.direct_urls.transcript.is_none() => {
                self.transcripts
                    .list_for_meeting(&self.api, &self.leases, meeting, meeting_id)
                    .await
            }
            _ => Vec::new(),
        };
        Ok(Some(Details {
            metadata: metadata::recording_metadata(&recording).into(),
            files: mapping::files_of_details(self.source(), meeting, &recording, &transcripts),
            derived_from: Some(mapping::video_key()),
            ..Details::default()
        }))
    }

    async fn late_files(&self, meetings: &[Arc<Meeting>]) -> LateFiles {
        self.transcripts.find_late_files(&self.api, &self.leases, meetings).await
    }

    async fn permissions(&self) -> Result<Vec<Permission>, ProviderError> {
        let token = self.api.tokens().current(Priority::Background).await?;
        Ok(token
            .scopes()
            .map(|granted| scopes::permissions(granted, self.is_admin))
            .unwrap_or_default())
    }

    async fn finish(&self) {
        self.api.tokens().finish().await;
    }

    async fn lease(&self, request: LeaseRequest<'_>) -> Result<Lease, ProviderError> {
        self.leases.lease(&self.api, request).await
    }
}
