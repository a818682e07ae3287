//! Finds the URL from which a file is downloaded.
//!
//! The details of a recording contain the download URLs of all its files and cost one call. One
//! reply therefore supplies the URLs of the video, the audio and the transcript to all readers
//! until the URLs expire. It supplies the URL of a file only once: a second request for the lease
//! of a file means that the URL was refused. A download URL is a credential itself, so it is
//! requested unchanged and without a token. A transcript without a download URL is read from the
//! API, the only server that receives the token.
//!
//! Lock order: the single flight of a recording, then `meeting_hosts`.

use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use jiff::civil::Date;
use jiff::tz::TimeZone;
use lru::LruCache;
use parking_lot::Mutex;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;
use tokio::time::Instant;

use super::api::{Api, ApiError};
use super::listing::ListedRecording;
use super::mapping::{self, DOWNLOAD_PREVENTED, File, Removal};
use super::wire::{DirectUrls, Recording};
use crate::http::{AllowedHosts, Priority};
use crate::model::{DaySpan, FileKey, Lease, Meeting, MeetingId, SecretUrl, current_time};
use crate::providers::toolkit::lease_timeout::within_lease_timeout;
use crate::providers::toolkit::single_flight::{Flight, SingleFlight};
use crate::providers::toolkit::version_facts::VersionFacts;
use crate::providers::{ErrorClass, LeaseEffort, LeaseRequest, ProviderError};

/// Lifetime of download URLs, as documented by Webex. It applies to URLs without an expiry, and to
/// new URLs that have already expired according to the local clock, which must then be wrong.
const DEFAULT_LIFETIME: Duration = Duration::from_secs(3 * 3600);

/// Maximum number of recordings whose download URLs are stored. File sizes are requested after all
/// details have arrived, and a recording that has been evicted by then needs a second call. With 2
/// KiB for each recording, the URLs take at most 16 MiB.
const MAX_RECORDINGS: NonZeroUsize = NonZeroUsize::new(8192).unwrap();

const SUBJECT: &str = "this recording";

/// Obtains the leases of one source.
pub(crate) struct Leases {
    allowed_hosts: AllowedHosts,
    scope: &'static str,
    details_flights: Mutex<LruCache<MeetingId, Arc<DetailsFlight>>>,
    /// The UTC day on which each recording began, and the e-mail address of its meeting host. Some
    /// requests must contain this address.
    meeting_hosts: Mutex<HashMap<MeetingId, (Date, String)>>,
}

/// The last details of one recording, which only one caller at a time requests.
type DetailsFlight = SingleFlight<Option<DetailsReply>>;

/// The download URLs in one reply with details.
struct DetailsReply {
    received_at: Instant,
    /// The version facts of the files at the URLs.
    facts: VersionFacts,
    urls: DirectUrls,
    /// The files whose download URL was taken from this reply.
    served_files: Vec<FileKey>,
}

impl Leases {
    pub(crate) fn new(allowed_hosts: AllowedHosts, scope: &'static str) -> Self {
        let details_flights = Mutex::new(LruCache::new(MAX_RECORDINGS));
        Self { allowed_hosts, scope, details_flights, meeting_hosts: Mutex::default() }
    }

    /// Stores the meeting hosts of a listing of `span`. A listing without failures (`is_complete`)
    /// replaces the stored hosts of these days, which bounds the size of the map.
    pub(crate) fn record_meeting_hosts(
        &self,
        span: DaySpan,
        is_complete: bool,
        listed_recordings: &[ListedRecording],
    ) {
        let mut meeting_hosts = self.meeting_hosts.lock();
        if is_complete {
            meeting_hosts.retain(|id, (day, _)| id.is_in_trash() || !span.contains(*day));
        }
        meeting_hosts.extend(meeting_hosts_of(listed_recordings));
    }

    /// Stores the meeting hosts of a listing of the recycle bin.
    pub(crate) fn record_trash_meeting_hosts(
        &self,
        is_complete: bool,
        listed_recordings: &[ListedRecording],
    ) {
        let mut meeting_hosts = self.meeting_hosts.lock();
        if is_complete {
            meeting_hosts.retain(|id, _| !id.is_in_trash());
        }
        meeting_hosts.extend(
            meeting_hosts_of(listed_recordings)
                .map(|(id, meeting_host)| (id.to_trash_id(), meeting_host)),
        );
    }

    /// Restores the meeting host of each recording from the listing of an earlier run.
    pub(crate) fn restore_meeting_hosts(&self, listed_recordings: &[Arc<Meeting>]) {
        let meeting_hosts = listed_recordings.iter().filter_map(|meeting| {
            let meeting_host = meeting.metadata.text("hostEmail")?;
            let day = TimeZone::UTC.to_datetime(meeting.start).date();
            Some((meeting.id.clone(), (day, meeting_host)))
        });
        self.meeting_hosts.lock().extend(meeting_hosts);
    }

    /// Returns the e-mail address of the meeting host that a request for `recording` must contain,
    /// if any.
    pub(crate) fn meeting_host_of(&self, recording: &MeetingId) -> Option<String> {
        self.meeting_hosts.lock().get(recording).map(|(_, meeting_host)| meeting_host.clone())
    }

    /// Requests the details of a recording and stores its download URLs for readers.
    pub(crate) async fn details(
        &self,
        api: &Api,
        recording: &MeetingId,
        timeout: Duration,
    ) -> Result<Recording, ProviderError> {
        let flight = self.flight(recording);
        let mut flight = flight.enter().await;
        self.fetch_details(api, recording, timeout, Priority::Background, &mut flight).await
    }

    pub(crate) async fn lease(
        &self,
        api: &Api,
        request: LeaseRequest<'_>,
    ) -> Result<Lease, ProviderError> {
        let LeaseRequest { file, effort, priority, .. } = request;
        within_lease_timeout(async |deadline| match File::from_key(&file.key) {
            Some(File::ApiTranscript(id)) => {
                let meeting_host = self.meeting_host_of(&file.meeting);
                transcript_lease(api, id, meeting_host.as_deref(), effort, priority).await
            }
            Some(kind) => self.lease_by_download_url(api, request, kind, deadline).await,
            None => Err(ProviderError::not_found("Webex recordings have no file with this key")),
        })
        .await
    }

    /// Returns a lease with the download URL from the details of the recording.
    async fn lease_by_download_url(
        &self,
        api: &Api,
        request @ LeaseRequest { file, version, priority, .. }: LeaseRequest<'_>,
        kind: File<'_>,
        deadline: Instant,
    ) -> Result<Lease, ProviderError> {
        let flight = self.flight(&file.meeting);
        let mut flight = flight.enter_unless_breaker_open(api.check_breaker()).await?;
        let now = Instant::now();
        let is_usable = flight
            .as_ref()
            .is_some_and(|reply| reply.can_serve(request, flight.waiting_since(), now));
        if !is_usable {
            if let Some(error) = flight.shared_failure() {
                return Err(error.clone());
            }
            let timeout = deadline.saturating_duration_since(now);
            self.fetch_details(api, &file.meeting, timeout, priority, &mut flight).await?;
        }
        let Some(reply) = flight.value_mut() else {
            return Err(ProviderError::unavailable(
                "the details of this recording are not available",
            ));
        };
        if !reply.facts.can_have_version(version) {
            return Err(ProviderError::changed("Webex now has another version of this file"));
        }
        if !reply.served_files.contains(&file.key) {
            reply.served_files.push(file.key.clone());
        }
        let url = reply.url_of(kind).map_err(|error| {
            if error.class() == ErrorClass::NotAllowed && file.meeting.is_in_trash() {
                ProviderError::not_allowed("Webex returns no download URL for this recording")
            } else {
                error
            }
        })?;
        let url = self.allowed_hosts.check(url.expose().clone())?;
        Ok(Lease { url, authorization: None, expires: reply.urls.expiration })
    }

    /// Requests the details and stores the download URLs in `flight`.
    async fn fetch_details(
        &self,
        api: &Api,
        recording: &MeetingId,
        timeout: Duration,
        priority: Priority,
        flight: &mut Flight<'_, Option<DetailsReply>>,
    ) -> Result<Recording, ProviderError> {
        match self.request_details(api, recording, timeout, priority).await {
            Ok(mut details) => {
                // A new URL cannot have expired. If its expiry has passed, the local clock is
                // wrong, and every read would need another call.
                details.direct_urls.expiration =
                    details.direct_urls.expiration.filter(|end| current_time() < *end);
                let urls = details.direct_urls.clone();
                let received_at = Instant::now();
                let facts = mapping::version_facts(&details);
                flight.succeed(Some(DetailsReply {
                    received_at,
                    facts,
                    urls,
                    served_files: Vec::new(),
                }));
                Ok(details)
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

    async fn request_details(
        &self,
        api: &Api,
        recording: &MeetingId,
        timeout: Duration,
        priority: Priority,
    ) -> Result<Recording, ApiError> {
        let meeting_host = self.meeting_host_of(recording);
        let query: Vec<_> = meeting_host
            .as_deref()
            .map(|meeting_host| ("hostEmail", meeting_host))
            .into_iter()
            .collect();
        let path = format!("/recordings/{}", encode_segment(recording.provider_id()));
        let object = api.get(&api.url(&path, &query)?, timeout, priority).await?;
        let details = Recording::parse(Value::Object(object)).ok_or_else(|| {
            ProviderError::unavailable("Webex returned details of a recording without an id")
        })?;
        match mapping::removal(&details) {
            None => Ok(details),
            Some(Removal::Trashed) if recording.is_in_trash() => Ok(details),
            Some(Removal::Trashed) => {
                Err(ProviderError::not_found("this recording is in the recycle bin of Webex")
                    .with_hint("The recording can be restored for 30 days.")
                    .into())
            }
            Some(Removal::Purged) => {
                Err(ProviderError::not_found("this recording was purged from Webex")
                    .with_hint("Webex has no copy of it.")
                    .into())
            }
        }
    }

    fn flight(&self, recording: &MeetingId) -> Arc<DetailsFlight> {
        self.details_flights.lock().get_or_insert(recording.clone(), Arc::default).clone()
    }
}

fn meeting_hosts_of(
    listed_recordings: &[ListedRecording],
) -> impl Iterator<Item = (MeetingId, (Date, String))> {
    listed_recordings.iter().filter_map(|ListedRecording { meeting, meeting_host }| {
        let day = TimeZone::UTC.to_datetime(meeting.start).date();
        meeting_host.clone().map(|meeting_host| (meeting.id.clone(), (day, meeting_host)))
    })
}

impl DetailsReply {
    /// Whether a file can take its download URL from this reply. The reply must have arrived while
    /// the reader waited for it, or the file must not have used the URL yet. After a URL was
    /// refused, only a new URL can succeed.
    fn can_serve(
        &self,
        LeaseRequest { file, version, effort, .. }: LeaseRequest<'_>,
        waiting_since: Instant,
        now: Instant,
    ) -> bool {
        let is_expired = match self.urls.expiration {
            Some(end) => end <= current_time(),
            None => DEFAULT_LIFETIME <= now.saturating_duration_since(self.received_at),
        };
        let is_unused =
            !self.served_files.contains(&file.key) && self.facts.can_have_version(version);
        waiting_since <= self.received_at
            || (effort == LeaseEffort::Listed && is_unused && !is_expired)
    }

    fn url_of(&self, kind: File<'_>) -> Result<&SecretUrl, ProviderError> {
        let urls = &self.urls;
        let url = match kind {
            File::Video => &urls.recording,
            File::Audio => &urls.audio,
            File::Transcript => &urls.transcript,
            File::ApiTranscript(_) => &None,
        };
        let has_no_url =
            urls.recording.is_none() && urls.audio.is_none() && urls.transcript.is_none();
        url.as_ref().ok_or_else(|| {
            if kind == File::Video || has_no_url {
                ProviderError::not_allowed(DOWNLOAD_PREVENTED)
            } else {
                ProviderError::not_found("Webex no longer has this file of the recording")
            }
        })
    }
}

/// Returns the lease of a transcript that the API serves. The lease contains the token of the
/// source, or a new token if the previous one was refused. For a recording of another user, the
/// request must contain `meeting_host` ("Download a Meeting Transcript").
async fn transcript_lease(
    api: &Api,
    id: &str,
    meeting_host: Option<&str>,
    effort: LeaseEffort,
    priority: Priority,
) -> Result<Lease, ProviderError> {
    let mut token = api.tokens().current(priority).await?;
    if LeaseEffort::Listed < effort && api.tokens().can_renew() {
        token = api.tokens().renew(&token, priority).await?;
    }
    let path = format!("/meetingTranscripts/{}/download", encode_segment(id));
    let query: Vec<_> = std::iter::once(("format", "vtt"))
        .chain(meeting_host.map(|meeting_host| ("hostEmail", meeting_host)))
        .collect();
    let url = api.url(&path, &query)?;
    Ok(Lease { url, authorization: Some(token.header()), expires: token.expires_at() })
}

/// Encodes an id as a path segment (RFC 3986, 3.3).
fn encode_segment(id: &str) -> String {
    const UNRESERVED: &AsciiSet =
        &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');
    utf8_percent_encode(id, UNRESERVED).to_string()
}
