//! Finds where the bytes of a file are.
//!
//! The detail of a recording has the download URLs of all its files, and costs a call. One reply
//! therefore serves the video, the audio and the transcript to all readers until its URLs expire.
//! Each reply serves a file once: a second request for the lease of a file means that its URL was
//! refused. A download URL is a credential by itself, so it is used unchanged and without a token.
//! A transcript without a download URL is read from the API, the only host that receives the token.
//!
//! Lock order: the flight of a recording, then `recording_hosts`.

use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use lru::LruCache;
use parking_lot::Mutex;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;
use tokio::time::Instant;

use super::api::{Api, ApiError};
use super::listing::ListedRecording;
use super::mapping::{self, File, PREVENTED, Removal};
use super::wire::{Links, Recording};
use crate::http::{AllowedHosts, Priority};
use crate::model::{DaySpan, FileKey, Lease, Meeting, MeetingId, SecretUrl};
use crate::providers::toolkit::lease_timeout::within_lease_timeout;
use crate::providers::toolkit::single_flight::{Flight, SingleFlight};
use crate::providers::toolkit::version_facts::VersionFacts;
use crate::providers::{ErrorClass, LeaseEffort, LeaseRequest, ProviderError};

/// Lifetime of download URLs without an expiry, or with one that the local clock, if it is wrong,
/// has passed: the one that Webex documents.
const DEFAULT_LIFETIME: Duration = Duration::from_secs(3 * 3600);

/// Recordings whose download URLs are kept. File sizes are requested after all details have
/// arrived, and a recording that is evicted by then costs a second call. At 2 KiB each, this is at
/// most 16 MiB.
const MAX_RECORDINGS: NonZeroUsize = NonZeroUsize::new(8192).unwrap();

const SUBJECT: &str = "this recording";

/// Finds the leases of one source.
pub(crate) struct Leases {
    allowed_hosts: AllowedHosts,
    scope: &'static str,
    details: Mutex<LruCache<MeetingId, Arc<DetailFlight>>>,
    /// The host of each recording and the UTC day it began, for requests that must name the host.
    recording_hosts: Mutex<HashMap<MeetingId, (Date, String)>>,
}

/// The last detail of one recording.
type DetailFlight = SingleFlight<Option<DetailReply>>;

/// The download URLs of one reply.
struct DetailReply {
    received: Instant,
    /// What it says of the contents that the URLs lead to.
    facts: VersionFacts,
    links: Links,
    /// The files that took their download URL from it.
    served: Vec<FileKey>,
}

impl Leases {
    pub(crate) fn new(allowed_hosts: AllowedHosts, scope: &'static str) -> Self {
        let details = Mutex::new(LruCache::new(MAX_RECORDINGS));
        Self { allowed_hosts, scope, details, recording_hosts: Mutex::default() }
    }

    /// Stores the hosts of a listing of `span`. A listing without failures (`is_complete`) replaces
    /// what is known of these days, so the map never outgrows the listing.
    pub(crate) fn record_hosts(
        &self,
        span: DaySpan,
        is_complete: bool,
        listed: &[ListedRecording],
    ) {
        let mut hosts = self.recording_hosts.lock();
        if is_complete {
            hosts.retain(|id, (day, _)| id.is_in_trash() || !span.contains(*day));
        }
        hosts.extend(hosts_of(listed));
    }

    /// Stores the hosts of a listing of the recycle bin.
    pub(crate) fn record_trash_hosts(&self, is_complete: bool, listed: &[ListedRecording]) {
        let mut hosts = self.recording_hosts.lock();
        if is_complete {
            hosts.retain(|id, _| !id.is_in_trash());
        }
        hosts.extend(hosts_of(listed).map(|(id, host)| (id.in_trash(), host)));
    }

    /// Stores the hosts that an earlier run listed.
    pub(crate) fn restore_hosts(&self, listed: &[Arc<Meeting>]) {
        let hosts = listed.iter().filter_map(|meeting| {
            let host = meeting.metadata.text("hostEmail")?;
            let day = TimeZone::UTC.to_datetime(meeting.start).date();
            Some((meeting.id.clone(), (day, host)))
        });
        self.recording_hosts.lock().extend(hosts);
    }

    /// Returns the host to name in a request for a recording.
    pub(crate) fn host_of(&self, recording: &MeetingId) -> Option<String> {
        self.recording_hosts.lock().get(recording).map(|(_, host)| host.clone())
    }

    /// Requests the detail of a recording, and keeps its download URLs for readers.
    pub(crate) async fn details(
        &self,
        api: &Api,
        recording: &MeetingId,
        timeout: Duration,
    ) -> Result<Recording, ProviderError> {
        let flight = self.flight(recording);
        let mut flight = flight.enter().await;
        self.fetch(api, recording, timeout, Priority::Background, &mut flight).await
    }

    /// Finds a lease.
    pub(crate) async fn lease(
        &self,
        api: &Api,
        request: LeaseRequest<'_>,
    ) -> Result<Lease, ProviderError> {
        let LeaseRequest { file, effort, priority, .. } = request;
        within_lease_timeout(async |deadline| match File::of(&file.key) {
            Some(File::Stored(id)) => {
                let host = self.host_of(&file.meeting);
                stored_transcript(api, id, host.as_deref(), effort, priority).await
            }
            Some(kind) => self.linked(api, request, kind, deadline).await,
            None => Err(ProviderError::not_found("Webex has no such file of a recording")),
        })
        .await
    }

    /// Finds a lease by the download URL in the detail of the recording.
    async fn linked(
        &self,
        api: &Api,
        request @ LeaseRequest { file, version, priority, .. }: LeaseRequest<'_>,
        kind: File<'_>,
        deadline: Instant,
    ) -> Result<Lease, ProviderError> {
        let flight = self.flight(&file.meeting);
        let mut flight = flight.enter_if(api.check_breaker()).await?;
        let now = Instant::now();
        let is_usable = flight
            .as_ref()
            .is_some_and(|reply| reply.can_serve(request, flight.waiting_since(), now));
        if !is_usable {
            if let Some(error) = flight.shared_failure() {
                return Err(error.clone());
            }
            let timeout = deadline.saturating_duration_since(now);
            self.fetch(api, &file.meeting, timeout, priority, &mut flight).await?;
        }
        let Some(reply) = flight.value_mut() else {
            return Err(ProviderError::unavailable(
                "the reply about this recording is not available",
            ));
        };
        if !reply.facts.can_be(version) {
            return Err(ProviderError::changed("Webex now has another version of it"));
        }
        if !reply.served.contains(&file.key) {
            reply.served.push(file.key.clone());
        }
        let link = reply.link(kind).map_err(|error| {
            if error.class() == ErrorClass::NotAllowed && file.meeting.is_in_trash() {
                ProviderError::not_allowed("Webex returns no download URL for it")
            } else {
                error
            }
        })?;
        let url = self.allowed_hosts.check(link.expose().clone())?;
        Ok(Lease { url, authorization: None, expires: reply.links.expiration })
    }

    /// Requests the detail, keeps its download URLs in `flight` and returns the rest.
    async fn fetch(
        &self,
        api: &Api,
        recording: &MeetingId,
        timeout: Duration,
        priority: Priority,
        flight: &mut Flight<'_, Option<DetailReply>>,
    ) -> Result<Recording, ProviderError> {
        match self.request_detail(api, recording, timeout, priority).await {
            Ok(mut detail) => {
                // A new URL has not expired. If it has by the local clock, the clock is wrong, and
                // to believe it would cost a call per read.
                detail.links.expiration =
                    detail.links.expiration.filter(|end| Timestamp::now() < *end);
                let links = detail.links.clone();
                let received = Instant::now();
                let facts = mapping::facts(&detail);
                flight.succeed(Some(DetailReply { received, facts, links, served: Vec::new() }));
                Ok(detail)
            }
            Err(error) => {
                let retry_delay = match &error {
                    ApiError::Refused(refusal) => refusal.retry_delay.unwrap_or_default(),
                    ApiError::Failed(_) => Duration::ZERO,
                };
                let error = error.into_provider_error(SUBJECT, self.scope);
                flight.fail(error.clone(), retry_delay);
                Err(error)
            }
        }
    }

    async fn request_detail(
        &self,
        api: &Api,
        recording: &MeetingId,
        timeout: Duration,
        priority: Priority,
    ) -> Result<Recording, ApiError> {
        let host = self.host_of(recording);
        let query: Vec<_> = host.as_deref().map(|host| ("hostEmail", host)).into_iter().collect();
        let path = format!("/recordings/{}", segment(recording.of_provider()));
        let object = api.get(&api.url(&path, &query)?, timeout, priority).await?;
        let detail = Recording::read(Value::Object(object)).ok_or_else(|| {
            ProviderError::unavailable("Webex returned the details of a recording without its id")
        })?;
        match mapping::removal(&detail) {
            None => Ok(detail),
            Some(Removal::Trashed) if recording.is_in_trash() => Ok(detail),
            Some(Removal::Trashed) => {
                Err(ProviderError::not_found("this recording is in the recycle bin of Webex")
                    .with_hint("It can be restored there for 30 days.")
                    .into())
            }
            Some(Removal::Purged) => {
                Err(ProviderError::not_found("this recording was purged from Webex")
                    .with_hint("Webex has no copy of it.")
                    .into())
            }
        }
    }

    fn flight(&self, recording: &MeetingId) -> Arc<DetailFlight> {
        self.details.lock().get_or_insert(recording.clone(), Arc::default).clone()
    }
}

fn hosts_of(listed: &[ListedRecording]) -> impl Iterator<Item = (MeetingId, (Date, String))> {
    listed.iter().filter_map(|ListedRecording { meeting, host }| {
        let day = TimeZone::UTC.to_datetime(meeting.start).date();
        host.clone().map(|host| (meeting.id.clone(), (day, host)))
    })
}

impl DetailReply {
    /// Whether a file can take its download URL from this reply: the reply arrived while the reader
    /// waited for it, or the file has not used it yet. After refused URLs, only a new one is worth
    /// trying.
    fn can_serve(
        &self,
        LeaseRequest { file, version, effort, .. }: LeaseRequest<'_>,
        waiting_since: Instant,
        now: Instant,
    ) -> bool {
        let is_expired = match self.links.expiration {
            Some(end) => end <= Timestamp::now(),
            None => DEFAULT_LIFETIME <= now.saturating_duration_since(self.received),
        };
        let is_unused = !self.served.contains(&file.key) && self.facts.can_be(version);
        waiting_since <= self.received
            || (effort == LeaseEffort::Listed && is_unused && !is_expired)
    }

    fn link(&self, kind: File<'_>) -> Result<&SecretUrl, ProviderError> {
        let links = &self.links;
        let link = match kind {
            File::Video => &links.recording,
            File::Audio => &links.audio,
            File::Transcript => &links.transcript,
            File::Stored(_) => &None,
        };
        let has_none =
            links.recording.is_none() && links.audio.is_none() && links.transcript.is_none();
        link.as_ref().ok_or_else(|| {
            if kind == File::Video || has_none {
                ProviderError::not_allowed(PREVENTED)
            } else {
                ProviderError::not_found("Webex no longer has this file of the recording")
            }
        })
    }
}

/// Returns the lease of a transcript at the API, with the token of the source, or with a new token
/// if one was refused. `host` is named for recordings of others ("Download a Meeting Transcript").
async fn stored_transcript(
    api: &Api,
    id: &str,
    host: Option<&str>,
    effort: LeaseEffort,
    priority: Priority,
) -> Result<Lease, ProviderError> {
    let mut token = api.tokens().current(priority).await?;
    if LeaseEffort::Listed < effort && api.tokens().can_renew() {
        token = api.tokens().renewed(&token, priority).await?;
    }
    let path = format!("/meetingTranscripts/{}/download", segment(id));
    let query: Vec<_> =
        std::iter::once(("format", "vtt")).chain(host.map(|host| ("hostEmail", host))).collect();
    let url = api.url(&path, &query)?;
    Ok(Lease { url, authorization: Some(token.header()), expires: token.expires_at() })
}

/// Encodes an id as a path segment (RFC 3986, 3.3).
fn segment(id: &str) -> String {
    const UNRESERVED: &AsciiSet =
        &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');
    utf8_percent_encode(id, UNRESERVED).to_string()
}
