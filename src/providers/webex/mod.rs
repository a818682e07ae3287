//! Webex's meeting recordings.
//!
//! Enters: a token or an app with its refresh token, whose recordings are listed, and base addresses. Leaves:
//! meetings, what is known of each, and leases. Every recording is a meeting of its own.
//!
//! What is odd about this cloud, and where it is dealt with:
//!
//! 1. Tokens of apps live two weeks and are renewed with a refresh token, whose life that extends: [`auth`].
//! 2. A listing takes 30 days at most; its next page is a whole address in a header, which may lead anywhere and may
//!    ask for `null` entries: [`listing`], [`pages`], [`paging`].
//! 3. A listing shows the video alone, and not where it can be downloaded. What else there is, and the links of all of
//!    it, is told recording by recording, which costs a call each: [`leases`] shares that one answer.
//! 4. Links live three hours and are credentials themselves: no token goes with them.
//! 5. A transcript that has no link may still be had from the interface, with the token, and is often made after the
//!    recording was described: [`transcripts`] looks for it, [`mapping`] names it, [`leases`] finds it.
//! 6. What was deleted lies in a recycle bin, whose list is the same with another status ([`listing`]) and does not
//!    say when that was. Whether it still has links is not documented: [`leases`] asks.
//! 7. Limits are not published; a reply says how long to keep quiet, and then nobody of the source asks: [`api`].
//!
//! It never knows how meetings become directories or bytes become blocks.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use url::Url;

use self::api::Api;
use self::leases::Leases;
use self::listing::RecordingList;
use self::transcripts::Transcripts;
use super::{
    LateFiles, LeaseEffort, Listing, Permission, Provider, ProviderError, RecycleBin, TrashEntry,
    TrashListing,
};
use crate::http::{AllowedHosts, Client, Priority};
use crate::model::{DaySpan, Details, FileId, Lease, Meeting, MeetingId, SourceName};
use crate::providers::toolkit::{base_urls, listing_failures};
use crate::providers::{ArchiveIdentity, Conventions};

mod api;
mod auth;
mod factory;
mod facts;
#[cfg(any(fuzzing, test))]
pub mod fuzzing;
mod identity;
mod leases;
mod listing;
mod mapping;
mod pages;
mod paging;
mod refusal;
mod scopes;
mod transcripts;
mod wire;

pub use factory::WebexFactory;

pub use crate::config::WebexCredential;

/// Where Webex keeps its files: hosts such as `nsj1wss.webex.com`.
const WEBEX_HOSTS: [&str; 1] = ["webex.com"];

/// Bound on each call about one meeting's details. Nobody waits for them, but they should not keep others waiting.
const DETAILS_TIMEOUT: Duration = Duration::from_secs(30);

/// The recycle bin, and how long it keeps ("Recordings in the recycle bin").
const BIN: RecycleBin = RecycleBin {
    name: "Webex's recycle bin",
    fix: "restore it on the Webex site under Recordings > Deleted",
    days: 30,
};

/// How a Webex source is reached.
#[derive(Clone, Debug)]
pub struct WebexOptions {
    /// Its configured name.
    pub source: SourceName,
    /// What it is reached with.
    pub credential: WebexCredential,
    /// E-mail addresses of the hosts whose recordings are listed; none means those of the token's owner, or, for an
    /// administrator, of everybody.
    pub hosts: Vec<String>,
    /// Whether the list of the site's administrator is asked for.
    pub admin: bool,
    /// Base address of the interface, `https://webexapis.com/v1` by default.
    pub api_url: Url,
    /// Where tokens are renewed, `https://webexapis.com/v1/access_token` by default.
    pub oauth_url: Url,
    /// Hosts that downloads may live on besides Webex's own.
    pub download_hosts: Vec<String>,
}

/// One account of Webex's.
pub struct Webex {
    source: SourceName,
    identity: ArchiveIdentity,
    base_urls: Vec<Url>,
    lists: Vec<RecordingList>,
    api: Api,
    leases: Leases,
    /// Whether recordings are listed that are not the token's owner's: then their host is named when one is asked for.
    is_for_others: bool,
    is_admin: bool,
    transcripts: Transcripts,
}

impl std::fmt::Debug for Webex {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Webex").field("source", &self.source).finish_non_exhaustive()
    }
}

impl Webex {
    /// The account; nothing is asked yet.
    pub fn new(options: WebexOptions, client: Client) -> Self {
        let identity = identity::of(&options);
        let base_urls = match options.credential {
            // A bare token is never renewed.
            WebexCredential::Token(_) => vec![options.api_url.clone()],
            _ => base_urls::of(&options.oauth_url, &options.api_url),
        };
        let names =
            WEBEX_HOSTS.into_iter().chain(options.download_hosts.iter().map(String::as_str));
        let hosts = AllowedHosts::new(names, &options.api_url);
        let tokens =
            auth::tokens(&options.source, options.credential, options.oauth_url, client.clone());
        let is_for_others = options.admin || !options.hosts.is_empty();
        Self {
            transcripts: Transcripts::new(options.source.clone(), is_for_others),
            source: options.source,
            identity,
            base_urls,
            is_admin: options.admin,
            lists: listing::recording_lists(&options.hosts, options.admin),
            api: Api::new(client, options.api_url, tokens),
            leases: Leases::new(hosts, refusal::scope(is_for_others)),
            is_for_others,
        }
    }
}

#[async_trait]
impl Provider for Webex {
    fn source(&self) -> &SourceName {
        &self.source
    }

    fn identity(&self) -> ArchiveIdentity {
        self.identity.clone()
    }

    fn base_urls(&self) -> Vec<Url> {
        self.base_urls.clone()
    }

    fn conventions(&self) -> Conventions {
        Conventions { host_field: Some("hostEmail"), ..Conventions::default() }
    }

    fn recall(&self, listed: &[Arc<Meeting>]) {
        if self.is_for_others {
            self.leases.restore_hosts(listed);
        }
    }

    async fn list(&self, span: DaySpan) -> Result<Listing, ProviderError> {
        let found = listing::list(&self.api, &self.source, &self.lists, span).await?;
        self.leases.record_hosts(span, found.failed.is_empty(), &found.recordings);
        let meetings = found.recordings.into_iter().map(|listed| listed.meeting).collect();
        Ok(Listing { meetings, failed: found.failed, ..Listing::default() })
    }

    fn recycle_bin(&self) -> Option<RecycleBin> {
        Some(BIN)
    }

    async fn list_trash(&self, span: DaySpan) -> Result<TrashListing, ProviderError> {
        let trash = listing::trash_lists(&self.lists);
        let found = listing::list(&self.api, &self.source, &trash, span).await?;
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
                tracing::debug!(source = %self.source, "nothing more is known of a recording: {error}");
                return Ok(None);
            }
            Err(other) => return Err(other),
        };
        let transcripts = match &recording.meeting_id {
            Some(held) if recording.links.transcript.is_none() => {
                self.transcripts.of_meeting(&self.api, &self.leases, meeting, held).await
            }
            _ => Vec::new(),
        };
        Ok(Some(Details {
            metadata: facts::of_recording(&recording).into(),
            files: mapping::files_of_details(&self.source, meeting, &recording, &transcripts),
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

    async fn lease(
        &self,
        file: &FileId,
        effort: LeaseEffort,
        priority: Priority,
    ) -> Result<Lease, ProviderError> {
        self.leases.lease(&self.api, file, effort, priority).await
    }
}
