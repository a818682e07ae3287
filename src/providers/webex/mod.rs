//! Meeting recordings of Webex. Each recording is a meeting of its own.
//!
//! - Input: the options of a source and an HTTP client.
//! - Output: meetings, their details, transcripts that are made later, and leases.
//! - The module must not know directories, inodes, blocks or the mount.
//! - Locks: those of `leases` and `transcripts`; none is held while another is taken, except for a
//!   flight of `leases`, which is held across its request.
//! - On failure a listing reports the days that are incomplete; everything else returns an error.
//!
//! Where the peculiarities of Webex are handled:
//!
//! 1. Tokens of apps live two weeks and are renewed with a refresh token, whose lifetime each use
//!    extends: `auth`.
//! 2. A listing takes at most 30 days. Its next page is a complete URL in a header, which may name
//!    another host and may request `null` entries: [`listing`], `pages`, `paging`.
//! 3. A listing shows only the video and no download URL. The details of a recording have the rest
//!    and cost a call each: `leases` shares that reply among readers.
//! 4. Download URLs live three hours and are credentials: they are requested without the token.
//! 5. A transcript without a download URL may be at the API, which needs the token, and is often
//!    made later: `transcripts` finds it, `mapping` names it, `leases` leads to it.
//! 6. The recycle bin is the same list with another status ([`listing`]), without the time of the
//!    deletion. Whether its recordings have download URLs is not documented: `leases` tries.
//! 7. Rate limits are not published. A 429 names a delay, during which the source sends no request:
//!    `api`.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use self::api::Api;
use self::leases::Leases;
use self::listing::RecordingList;
use self::transcripts::Transcripts;
use super::{
    Conventions, LateFiles, LeaseRequest, Listing, Permission, Provider, ProviderError, RecycleBin,
    SourceDescriptor, SourceOptions, TrashEntry, TrashListing,
};
use crate::http::{AllowedHosts, Client, Priority};
use crate::model::{DaySpan, Details, Lease, Meeting, MeetingId};
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

/// The hosts of the files, such as `nsj1wss.webex.com`.
const WEBEX_HOSTS: [&str; 1] = ["webex.com"];

/// Timeout of each call for the details of a meeting. Only the background waits for it, but a
/// reader of the same recording waits for the same call.
const DETAILS_TIMEOUT: Duration = Duration::from_secs(30);

/// Webex's documentation: "Recordings in the recycle bin".
const BIN: RecycleBin = RecycleBin {
    name: "Webex's recycle bin",
    fix: "restore it on the Webex site under Recordings > Deleted",
    days: 30,
};

/// One Webex account.
pub struct Webex {
    descriptor: SourceDescriptor,
    lists: Vec<RecordingList>,
    api: Api,
    leases: Leases,
    /// Whether recordings of others than the token's owner are listed. Requests for one of them
    /// name its host.
    is_for_others: bool,
    is_admin: bool,
    transcripts: Transcripts,
}

impl Webex {
    /// Sends no request.
    pub fn new(options: WebexOptions, client: Client) -> Self {
        let descriptor = identity::descriptor(&options);
        let hosts = AllowedHosts::new(options.allowed_hosts(WEBEX_HOSTS), &options.config.api_url);
        let SourceOptions { source, config, .. } = options;
        let tokens = auth::tokens(&source, &config, client.clone());
        let is_for_others = config.admin || !config.users.is_empty();
        Self {
            descriptor,
            transcripts: Transcripts::new(source, is_for_others),
            is_admin: config.admin,
            lists: listing::recording_lists(&config.users, config.admin),
            api: Api::new(client, config.api_url, tokens),
            leases: Leases::new(hosts, refusal::scope(is_for_others)),
            is_for_others,
        }
    }
}

#[async_trait]
impl Provider for Webex {
    fn descriptor(&self) -> &SourceDescriptor {
        &self.descriptor
    }

    fn conventions(&self) -> Conventions {
        Conventions { meeting_host_field: Some("hostEmail"), ..Conventions::default() }
    }

    fn restore(&self, listed: &[Arc<Meeting>]) {
        if self.is_for_others {
            self.leases.restore_hosts(listed);
        }
    }

    async fn list(&self, span: DaySpan) -> Result<Listing, ProviderError> {
        let found = listing::list(&self.api, self.source(), &self.lists, span).await?;
        self.leases.record_hosts(span, found.failed.is_empty(), &found.recordings);
        let meetings = found.recordings.into_iter().map(|listed| listed.meeting).collect();
        Ok(Listing { meetings, failed: found.failed, ..Listing::default() })
    }

    fn recycle_bin(&self) -> Option<RecycleBin> {
        Some(BIN)
    }

    async fn list_trash(&self, span: DaySpan) -> Result<TrashListing, ProviderError> {
        let trash = listing::trash_lists(&self.lists);
        let found = listing::list(&self.api, self.source(), &trash, span).await?;
        self.leases.record_trash_hosts(found.failed.is_empty(), &found.recordings);
        let failed = listing_failures::most_actionable(&found.failed).cloned();
        let meetings =
            found.recordings.into_iter().map(|it| TrashEntry::new(it.meeting, None)).collect();
        Ok(TrashListing { meetings, failed })
    }

    async fn details(&self, meeting: &MeetingId) -> Result<Option<Details>, ProviderError> {
        let recording = match self.leases.details(&self.api, meeting, DETAILS_TIMEOUT).await {
            Ok(recording) => recording,
            Err(error) if error.is_refusal() => {
                tracing::debug!(source = %self.source(), "a recording has no details: {error}");
                return Ok(None);
            }
            Err(other) => return Err(other),
        };
        let transcripts = match &recording.meeting_id {
            Some(meeting_id) if recording.links.transcript.is_none() => {
                self.transcripts.of_meeting(&self.api, &self.leases, meeting, meeting_id).await
            }
            _ => Vec::new(),
        };
        Ok(Some(Details {
            metadata: metadata::of_recording(&recording).into(),
            files: mapping::files_of_details(self.source(), meeting, &recording, &transcripts),
            derived_from: Some(mapping::video()),
            ..Details::default()
        }))
    }

    async fn late_files(&self, meetings: &[Arc<Meeting>]) -> LateFiles {
        self.transcripts.find_late(&self.api, &self.leases, meetings).await
    }

    async fn permissions(&self) -> Result<Vec<Permission>, ProviderError> {
        let token = self.api.tokens().current(Priority::Background).await?;
        Ok(token.scopes().map(|granted| scopes::of(granted, self.is_admin)).unwrap_or_default())
    }

    async fn finish(&self) {
        self.api.tokens().finish().await;
    }

    async fn lease(&self, request: LeaseRequest<'_>) -> Result<Lease, ProviderError> {
        self.leases.lease(&self.api, request).await
    }
}
