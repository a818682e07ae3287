//! Finds transcripts without a download URL, also those that Webex makes after the details of their
//! recording were requested.
//!
//! The details of a recording are requested once, and a transcript may be made later. Late ones are
//! found without requesting the details again: the transcripts of the token's owner are listed by
//! days. That list ignores hosts ("List Meeting Transcripts": `hostEmail` needs `meetingId`). For
//! the recordings of others, the list of compliance officers is tried first; if it is refused, a
//! few meetings at a time are requested one by one.
//!
//! A meeting here is one of Webex's, by its `meetingId`; several recordings may belong to it.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};
use parking_lot::Mutex;
use tokio::time::Instant;

use super::api::{Api, ApiError};
use super::leases::Leases;
use super::pages::Pages;
use super::paging::MAX_PAGE;
use super::refusal::TRANSCRIPTS_SCOPE;
use super::wire::{self, Transcript};
use super::{listing, mapping};
use crate::http::Priority;
use crate::model::{DaySpan, Meeting, MeetingId, RecordingFile, SourceName, line_with_hint};
use crate::providers::{ErrorClass, LateFiles, ProviderError};

/// Timeout of the transcripts of one meeting. Only the background waits for it.
const SEARCH_TIMEOUT: Duration = Duration::from_secs(30);

/// Meetings that one search requests one by one. Every five minutes, this is 240 calls an hour. A
/// company with a hundred meetings a week has all of them searched within half an hour.
const MAX_SINGLE_MEETINGS: usize = 20;

/// The scope of the list of compliance officers ("Meetings API Scopes").
const COMPLIANCE_SCOPE: &str = "spark-compliance:meetings_read";

/// Searches the transcripts of one source.
pub(crate) struct Transcripts {
    source: SourceName,
    is_for_others: bool,
    /// Why transcripts are not permitted. They are not requested again by this process.
    refusal: OnceLock<ProviderError>,
    /// Why the list of compliance officers is not permitted.
    list_refusal: OnceLock<ProviderError>,
    /// Whether a warning about missing transcripts was logged.
    has_warned: AtomicBool,
    /// When each meeting was last requested by itself.
    last_requests: Mutex<HashMap<String, Instant>>,
}

impl Transcripts {
    pub(crate) fn new(source: SourceName, is_for_others: bool) -> Self {
        Self {
            source,
            is_for_others,
            refusal: OnceLock::new(),
            list_refusal: OnceLock::new(),
            has_warned: AtomicBool::new(false),
            last_requests: Mutex::default(),
        }
    }

    /// Returns the transcripts of a meeting that are at the API. The result is empty if the token
    /// may not list them or the API is unavailable: a later search finds them without the details.
    pub(crate) async fn of_meeting(
        &self,
        api: &Api,
        leases: &Leases,
        recording: &MeetingId,
        meeting_id: &str,
    ) -> Vec<Transcript> {
        if self.refusal.get().is_some() {
            return Vec::new();
        }
        let error = match fetch(api, leases, recording, meeting_id).await {
            Ok(transcripts) => return transcripts,
            Err(error) => error,
        };
        match error.class() {
            ErrorClass::NotFound => {}
            ErrorClass::NotAllowed if !self.has_warned.swap(true, Ordering::Relaxed) => {
                let reason = line_with_hint(&error);
                tracing::warn!(source = %self.source, "some transcripts are left out: {reason}");
            }
            _ => {
                tracing::debug!(source = %self.source, "transcripts are searched later: {error}");
            }
        }
        Vec::new()
    }

    /// Searches the transcripts of recordings without one, newest first.
    pub(crate) async fn find_late(
        &self,
        api: &Api,
        leases: &Leases,
        recordings: &[Arc<Meeting>],
    ) -> LateFiles {
        if let Some(error) = self.refusal.get() {
            return LateFiles { failed: Some(error.clone()), ..LateFiles::default() };
        }
        let mut search = Search::new(recordings);
        let failed = self.run(api, leases, &mut search).await.err();
        let derived_from = Some(mapping::video());
        LateFiles { files: search.files(), derived_from, failed }
    }

    async fn run(
        &self,
        api: &Api,
        leases: &Leases,
        search: &mut Search<'_>,
    ) -> Result<(), ProviderError> {
        if self.list_refusal.get().is_none() {
            match self.list_by_days(api, search).await {
                Err(error) if error.is_refusal() => {
                    let refusal =
                        if self.is_for_others { &self.list_refusal } else { &self.refusal };
                    let error = refusal.get_or_init(|| error);
                    if !self.is_for_others {
                        return Err(error.clone());
                    }
                    tracing::debug!(
                        source = %self.source,
                        "transcripts are requested one by one: {error}"
                    );
                }
                listed => return listed,
            }
        }
        self.fetch_one_by_one(api, leases, search).await
    }

    /// Lists the transcripts of all days since the first searched meeting.
    async fn list_by_days(&self, api: &Api, search: &mut Search<'_>) -> Result<(), ProviderError> {
        let (path, scope) = if self.is_for_others {
            ("/admin/meetingTranscripts", COMPLIANCE_SCOPE)
        } else {
            ("/meetingTranscripts", TRANSCRIPTS_SCOPE)
        };
        let today = TimeZone::UTC.to_datetime(Timestamp::now()).date();
        let max = MAX_PAGE.to_string();
        for (site, first_day) in search.first_day_of_site.clone() {
            if self.is_for_others && site.is_none() {
                continue;
            }
            // It is not documented whether days are those of the meeting or of the transcript,
            // which is later. The range covers both.
            let from = first_day.saturating_sub(1.day());
            for window in listing::windows_of(DaySpan { from, to: today.saturating_add(1.day()) }) {
                let [from, to] =
                    [window.from, window.to.saturating_add(1.day())].map(listing::midnight);
                let mut query = vec![("max", max.as_str()), ("from", &from), ("to", &to)];
                query.extend(site.as_deref().map(|site| ("siteUrl", site)));
                let url = api.url(path, &query)?;
                let mut pages = Pages::new(api, "the list of transcripts".into(), scope, url);
                while let Some(reply) = pages.next().await? {
                    let transcripts = wire::transcripts(reply)
                        .ok_or_else(|| pages.bad_reply("sent a list without items"))?;
                    for transcript in transcripts {
                        if let Some(meeting_id) = transcript.meeting_id.clone() {
                            search.add(&meeting_id, vec![transcript]);
                        }
                    }
                }
                if search.is_complete() {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// Requests the meetings whose last request is the longest ago.
    async fn fetch_one_by_one(
        &self,
        api: &Api,
        leases: &Leases,
        search: &mut Search<'_>,
    ) -> Result<(), ProviderError> {
        let mut meeting_ids = search.newest_first.clone();
        {
            let mut last_requests = self.last_requests.lock();
            last_requests.retain(|id, _| search.recordings.contains_key(id));
            // The sort is stable: of those without a request, the newest come first.
            meeting_ids.sort_by_key(|id| last_requests.get(id).copied());
        }
        meeting_ids.truncate(MAX_SINGLE_MEETINGS);
        let mut refusal = None;
        let mut is_permitted = false;
        for id in meeting_ids {
            let recordings = search.recordings.get(&id).into_iter().flatten();
            let Some(recording) = recordings.map(|meeting| &meeting.id).next() else { continue };
            let outcome = fetch(api, leases, recording, &id).await;
            self.last_requests.lock().insert(id.clone(), Instant::now());
            match outcome {
                Ok(transcripts) => {
                    is_permitted = true;
                    search.add(&id, transcripts);
                }
                Err(error) if error.class() == ErrorClass::NotAllowed => {
                    refusal.get_or_insert(error);
                }
                Err(error) if error.class() == ErrorClass::NotFound => is_permitted = true,
                Err(error) => return Err(error),
            }
        }
        match refusal {
            // The refusal for one host does not hold for the others.
            Some(error) if !is_permitted => Err(self.refusal.get_or_init(|| error).clone()),
            Some(error) => Err(error),
            None => Ok(()),
        }
    }
}

/// Requests the transcripts of one meeting, to which `recording` belongs.
async fn fetch(
    api: &Api,
    leases: &Leases,
    recording: &MeetingId,
    meeting_id: &str,
) -> Result<Vec<Transcript>, ProviderError> {
    const SUBJECT: &str = "the transcripts of a meeting";
    let host = leases.host_of(recording);
    let max = MAX_PAGE.to_string();
    let mut query = vec![("meetingId", meeting_id), ("max", max.as_str())];
    query.extend(host.as_deref().map(|host| ("hostEmail", host)));
    let url = api.url("/meetingTranscripts", &query)?;
    match api.get(&url, SEARCH_TIMEOUT, Priority::Background).await {
        Ok(object) => Ok(wire::transcripts(object).unwrap_or_default()),
        Err(ApiError::Refused(refusal)) => {
            Err(refusal.to_provider_error(SUBJECT, TRANSCRIPTS_SCOPE))
        }
        Err(ApiError::Failed(error)) => Err(error),
    }
}

/// The meetings of one search, and the transcripts found so far.
struct Search<'a> {
    /// The recordings of each meeting.
    recordings: HashMap<String, Vec<&'a Arc<Meeting>>>,
    /// The ids of the meetings.
    newest_first: Vec<String>,
    /// The sites, each with the day of its first meeting.
    first_day_of_site: BTreeMap<Option<String>, Date>,
    found: HashMap<String, Vec<Transcript>>,
}

impl<'a> Search<'a> {
    /// `recordings` are the ones to search for, newest first.
    fn new(recordings: &'a [Arc<Meeting>]) -> Self {
        let mut search = Self {
            recordings: HashMap::new(),
            newest_first: Vec::new(),
            first_day_of_site: BTreeMap::new(),
            found: HashMap::new(),
        };
        for recording in recordings {
            let Some(id) = recording.metadata.text("meetingId") else { continue };
            let day = TimeZone::UTC.to_datetime(recording.start).date();
            let site = recording.metadata.text("siteUrl");
            let first_day = search.first_day_of_site.entry(site).or_insert(day);
            *first_day = day.min(*first_day);
            let of_meeting = search.recordings.entry(id.clone()).or_default();
            if of_meeting.is_empty() {
                search.newest_first.push(id);
            }
            of_meeting.push(recording);
        }
        search
    }

    /// Adds transcripts of a meeting, each once.
    fn add(&mut self, meeting_id: &str, transcripts: Vec<Transcript>) {
        if !self.recordings.contains_key(meeting_id) || transcripts.is_empty() {
            return;
        }
        let found = self.found.entry(meeting_id.to_owned()).or_default();
        for transcript in transcripts {
            if found.iter().all(|other| other.id() != transcript.id()) {
                found.push(transcript);
            }
        }
    }

    /// Whether every meeting has a transcript.
    fn is_complete(&self) -> bool {
        self.recordings.len() == self.found.len()
    }

    fn files(&self) -> Vec<RecordingFile> {
        let files = self.found.iter().flat_map(|(meeting_id, transcripts)| {
            let recordings = self.recordings.get(meeting_id).into_iter().flatten();
            recordings.flat_map(move |recording| {
                transcripts
                    .iter()
                    .filter_map(|transcript| mapping::late_transcript(recording, transcript))
            })
        });
        files.collect()
    }
}
