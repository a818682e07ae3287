//! From a file of a recording to the address of its bytes.
//!
//! A recording's detail has the links of all its files, and costs a call. So one reply serves the video, its sound
//! and its words, whoever reads them, until the links end; each reply serves a file once, for who asks again has seen
//! that link refused. A link is a credential by itself: it is used as it is, and no token goes with it. A transcript
//! without a link is read from the interface, which is the one place that the token may be sent to.

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
use super::listing::Listed;
use super::mapping::{self, File, Gone, PREVENTED};
use super::wire::{Links, Recording};
use crate::http::{AllowedHosts, Priority};
use crate::model::{DaySpan, FileId, FileKey, Lease, Meeting, MeetingId, SecretUrl};
use crate::providers::{ErrorClass, LeaseEffort, ProviderError};

/// Bound on finding one lease. A read waits for it, and half of its own deadline should be left for the bytes.
const LEASE_TIMEOUT: Duration = Duration::from_secs(15);

/// Life of links whose end is not said, or has passed by a clock that is wrong here: what Webex documents.
const DEFAULT_LIFETIME: Duration = Duration::from_secs(3 * 3600);

/// Recordings whose links are remembered. Their sizes are asked for after all details are in, and a recording that
/// drops out by then costs a second call; at 2 KiB each this is 16 MiB at most.
const RECORDINGS_KEPT: NonZeroUsize = NonZeroUsize::new(8192).unwrap();

const SUBJECT: &str = "this recording";

/// Where leases of one source come from.
pub(crate) struct Leases {
    hosts: AllowedHosts,
    scope: &'static str,
    slots: Mutex<LruCache<MeetingId, Arc<Slot>>>,
    /// Whose each recording is, and the UTC day it began, where an administrator has to say that.
    owners: Mutex<HashMap<MeetingId, (Date, String)>>,
}

/// What is held of one recording. Locked while its detail is asked for: who comes meanwhile waits, and takes what was
/// brought.
type Slot = tokio::sync::Mutex<Held>;

#[derive(Default)]
struct Held {
    reply: Option<Reply>,
    failure: Option<Failure>,
}

/// The links of one reply.
struct Reply {
    came: Instant,
    links: Links,
    /// The files that have got their link from it.
    served: Vec<FileKey>,
}

/// Why the last question failed. It answers for those who were waiting with it, and while Webex wants to be left alone.
struct Failure {
    at: Instant,
    again: Instant,
    error: ProviderError,
}

impl Leases {
    pub(crate) fn new(hosts: AllowedHosts, scope: &'static str) -> Self {
        let slots = Mutex::new(LruCache::new(RECORDINGS_KEPT));
        Self { hosts, scope, slots, owners: Mutex::default() }
    }

    /// Takes over whose recordings a listing of `span` found. If it was `whole`, recordings of these days that it
    /// does not name are forgotten, so what is kept is never more than what is listed.
    pub(crate) fn learn_hosts(&self, span: DaySpan, whole: bool, listed: &[Listed]) {
        let mut owners = self.owners.lock();
        if whole {
            owners.retain(|id, (day, _)| id.is_in_trash() || !span.contains(*day));
        }
        owners.extend(owned(listed));
    }

    /// Takes over whose recordings lie in the recycle bin, by a listing that was `whole` or failed in part.
    pub(crate) fn learn_trash_hosts(&self, whole: bool, listed: &[Listed]) {
        let mut owners = self.owners.lock();
        if whole {
            owners.retain(|id, _| !id.is_in_trash());
        }
        owners.extend(owned(listed).map(|(id, owner)| (id.in_trash(), owner)));
    }

    /// Takes in whose recordings an earlier run listed.
    pub(crate) fn recall_hosts(&self, listed: &[Arc<Meeting>]) {
        let owned = listed.iter().filter_map(|meeting| {
            let host = meeting.metadata.text("hostEmail")?;
            let day = TimeZone::UTC.to_datetime(meeting.start).date();
            Some((meeting.id.clone(), (day, host)))
        });
        self.owners.lock().extend(owned);
    }

    /// Whom to name when something is asked about a recording.
    pub(crate) fn host_of(&self, recording: &MeetingId) -> Option<String> {
        self.owners.lock().get(recording).map(|(_, host)| host.clone())
    }

    /// Asks what there is of a recording, and keeps its links for those who come to read.
    ///
    /// # Errors
    /// Why nothing is known of it.
    pub(crate) async fn details(
        &self,
        api: &Api,
        recording: &MeetingId,
        within: Duration,
    ) -> Result<Recording, ProviderError> {
        let slot = self.slot(recording);
        let mut held = slot.lock().await;
        self.ask(api, recording, within, Priority::Background, &mut held).await
    }

    /// Finds a lease of `file`.
    pub(crate) async fn lease(
        &self,
        api: &Api,
        file: &FileId,
        effort: LeaseEffort,
        priority: Priority,
    ) -> Result<Lease, ProviderError> {
        let deadline = Instant::now() + LEASE_TIMEOUT;
        let find = async {
            match File::of(&file.key) {
                Some(File::Stored(id)) => {
                    stored(api, id, self.host_of(&file.meeting).as_deref(), effort, priority).await
                }
                Some(wanted) => self.linked(api, file, wanted, effort, priority, deadline).await,
                None => Err(ProviderError::not_found("Webex has no such file of a recording")),
            }
        };
        tokio::time::timeout_at(deadline, find).await.unwrap_or_else(|_| {
            Err(ProviderError::unavailable(format!(
                "Webex gave no download link within {} s",
                LEASE_TIMEOUT.as_secs()
            )))
        })
    }

    async fn linked(
        &self,
        api: &Api,
        file: &FileId,
        wanted: File<'_>,
        effort: LeaseEffort,
        priority: Priority,
        deadline: Instant,
    ) -> Result<Lease, ProviderError> {
        let slot = self.slot(&file.meeting);
        let waiting_since = Instant::now();
        let mut held = match slot.try_lock() {
            Ok(held) => held,
            Err(_somebody_asks) => {
                // The background may be asking an interface that is down, for as long as it may take.
                api.admit().await?;
                slot.lock().await
            }
        };
        let now = Instant::now();
        if !held
            .reply
            .as_ref()
            .is_some_and(|reply| reply.is_good_for(&file.key, effort, waiting_since, now))
        {
            if let Some(failure) =
                held.failure.as_ref().filter(|it| waiting_since < it.at || now < it.again)
            {
                return Err(failure.error.clone());
            }
            self.ask(
                api,
                &file.meeting,
                deadline.saturating_duration_since(now),
                priority,
                &mut held,
            )
            .await?;
        }
        let Some(reply) = &mut held.reply else {
            return Err(ProviderError::unavailable("Webex's answer about this recording was lost"));
        };
        if !reply.served.contains(&file.key) {
            reply.served.push(file.key.clone());
        }
        let link = reply.link(wanted).map_err(|error| {
            if error.class() == ErrorClass::NotAllowed && file.meeting.is_in_trash() {
                ProviderError::not_allowed("Webex gives no download link for it")
            } else {
                error
            }
        })?;
        let address = self.hosts.check(link.expose().clone())?;
        Ok(Lease { url: address, authorization: None, expires: reply.links.expiration })
    }

    /// Asks for the detail, keeps its links in `held` and leaves the rest.
    async fn ask(
        &self,
        api: &Api,
        recording: &MeetingId,
        within: Duration,
        priority: Priority,
        held: &mut Held,
    ) -> Result<Recording, ProviderError> {
        let brought = self.detail(api, recording, within, priority).await;
        let now = Instant::now();
        match brought {
            Ok(mut detail) => {
                // A link that was given this moment has not ended: it is the clock here that is wrong, and to believe
                // it would mean a new question for every read.
                detail.links.expiration =
                    detail.links.expiration.filter(|end| Timestamp::now() < *end);
                let links = detail.links.clone();
                *held = Held {
                    reply: Some(Reply { came: now, links, served: Vec::new() }),
                    failure: None,
                };
                Ok(detail)
            }
            Err(error) => {
                let wait = match &error {
                    ApiError::Refused(refusal) => refusal.wait.unwrap_or_default(),
                    ApiError::Failed(_) => Duration::ZERO,
                };
                let error = error.about(SUBJECT, self.scope);
                held.failure = Some(Failure { at: now, again: now + wait, error: error.clone() });
                Err(error)
            }
        }
    }

    async fn detail(
        &self,
        api: &Api,
        recording: &MeetingId,
        within: Duration,
        priority: Priority,
    ) -> Result<Recording, ApiError> {
        let host = self.host_of(recording);
        let query: Vec<_> = host.as_deref().map(|host| ("hostEmail", host)).into_iter().collect();
        let address =
            api.address(&format!("/recordings/{}", segment(recording.of_provider())), &query)?;
        let reply = api.get(&address, within, priority).await?;
        let detail = Recording::read(Value::Object(reply.object)).ok_or_else(|| {
            ProviderError::unavailable(
                "Webex described a recording without its id; it may be passing",
            )
        })?;
        match mapping::gone(&detail) {
            None => Ok(detail),
            Some(Gone::Deleted) if recording.is_in_trash() => Ok(detail),
            Some(Gone::Deleted) => Err(ProviderError::not_found(
                "this recording lies in Webex's recycle bin; it can be restored there for 30 days",
            )
            .into()),
            Some(Gone::Purged) => Err(ProviderError::not_found(
                "this recording was purged from Webex; no copy is left in the cloud",
            )
            .into()),
        }
    }

    fn slot(&self, recording: &MeetingId) -> Arc<Slot> {
        self.slots.lock().get_or_insert(recording.clone(), Arc::default).clone()
    }
}

/// Whose each recording is, as far as that has to be said, and the day it began.
fn owned(listed: &[Listed]) -> impl Iterator<Item = (MeetingId, (Date, String))> {
    listed.iter().filter_map(|Listed { meeting, host }| {
        let day = TimeZone::UTC.to_datetime(meeting.start).date();
        host.clone().map(|host| (meeting.id.clone(), (day, host)))
    })
}

impl Reply {
    /// Whether the file can have its link from this reply: it came while somebody waited for that, or the file has
    /// not had it yet. Once links were refused, only one that is asked for now will do.
    fn is_good_for(
        &self,
        file: &FileKey,
        effort: LeaseEffort,
        waiting_since: Instant,
        now: Instant,
    ) -> bool {
        let over = match self.links.expiration {
            Some(ends) => ends <= Timestamp::now(),
            None => DEFAULT_LIFETIME <= now.saturating_duration_since(self.came),
        };
        let unused = !self.served.contains(file);
        waiting_since <= self.came || (effort == LeaseEffort::Listed && unused && !over)
    }

    fn link(&self, wanted: File<'_>) -> Result<&SecretUrl, ProviderError> {
        let links = &self.links;
        let link = match wanted {
            File::Video => &links.recording,
            File::Audio => &links.audio,
            File::Transcript => &links.transcript,
            File::Stored(_) => &None,
        };
        let none_at_all =
            links.recording.is_none() && links.audio.is_none() && links.transcript.is_none();
        link.as_ref().ok_or_else(|| {
            if wanted == File::Video || none_at_all {
                ProviderError::not_allowed(PREVENTED)
            } else {
                ProviderError::not_found("Webex no longer has this file of the recording")
            }
        })
    }
}

/// A transcript at the interface, under the source's own token, or under a new one where that was refused. `host` is
/// whose it is, where that has to be said ("Download a Meeting Transcript").
async fn stored(
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
    let address = api.address(&path, &query)?;
    Ok(Lease { url: address, authorization: Some(token.header()), expires: token.ends() })
}

/// An id as a path segment (RFC 3986, 3.3).
fn segment(id: &str) -> String {
    const HARMLESS: &AsciiSet =
        &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');
    utf8_percent_encode(id, HARMLESS).to_string()
}
