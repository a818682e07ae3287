//! Finds transcripts without a download URL, including those that Webex creates after the details
//! of their recording were requested.
//!
//! The details of a recording are requested only once, and a transcript may be created later. Late
//! transcripts are found without requesting the details again. For the recordings of the token's
//! owner, the transcripts are listed by day. This list cannot be filtered by meeting host ("List
//! Meeting Transcripts": `hostEmail` needs `meetingId`). For the recordings of other users, the
//! list for compliance officers is tried first. If Webex refuses that list, the meetings are
//! requested one by one, a few in each search.
//!
//! In this module, a meeting is a Webex meeting with a `meetingId`. Several recordings may belong
//! to it.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use jiff::ToSpan;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use parking_lot::Mutex;
use tokio::time::Instant;

use super::api::{Api, ApiError};
use super::leases::Leases;
use super::pages::Pages;
use super::paging::MAX_PAGE_SIZE;
use super::refusal::TRANSCRIPTS_SCOPE;
use super::wire::{self, Transcript};
use super::{listing, mapping};
use crate::http::Priority;
use crate::model::{
    DaySpan, Meeting, MeetingId, RecordingFile, SourceName, current_time, line_with_hint,
};
use crate::providers::{ErrorClass, LateFiles, ProviderError};

/// Timeout of the request for the transcripts of one meeting. Only background tasks wait for it.
const SEARCH_TIMEOUT: Duration = Duration::from_secs(30);

/// Maximum number of meetings that one search requests one by one. With a search every five
/// minutes, this is 240 calls an hour. A company with a hundred meetings a week has all of them
/// searched within half an hour.
const MAX_SINGLE_MEETINGS: usize = 20;

/// The scope that the list for compliance officers needs ("Meetings API Scopes").
const COMPLIANCE_SCOPE: &str = "spark-compliance:meetings_read";

/// Searches for the transcripts of one source.
pub(crate) struct Transcripts {
    source: SourceName,
    lists_other_users: bool,
    /// The error if Webex does not permit transcripts. This process then does not request them
    /// again.
    refusal: OnceLock<ProviderError>,
    /// The error if Webex does not permit the list for compliance officers.
    list_refusal: OnceLock<ProviderError>,
    /// Whether a warning about missing transcripts was logged.
    has_warned: AtomicBool,
    /// The time of the last individual request for each meeting.
    last_requests: Mutex<HashMap<String, Instant>>,
}

impl Transcripts {
    pub(crate) fn new(source: SourceName, lists_other_users: bool) -> Self {
        Self {
            source,
            lists_other_users,
            refusal: OnceLock::new(),
            list_refusal: OnceLock::new(),
            has_warned: AtomicBool::new(false),
            last_requests: Mutex::default(),
        }
    }

    /// Returns the transcripts of a meeting that the API serves. The result is empty if the token
    /// does not permit them or the API is unavailable. A later search finds such transcripts
    /// without requesting the details again.
    pub(crate) async fn list_for_meeting(
        &self,
        api: &Api,
        leases: &Leases,
        recording: &MeetingId,
        meeting_id: &str,
    ) -> Vec<Transcript> {
        if self.refusal.get().is_some() {
            return Vec::new();
        }
        let error = match fetch_transcripts(api, leases, recording, meeting_id).await {
            Ok(transcripts) => return transcripts,
            Err(error) => error,
        };
        match error.class() {
            ErrorClass::NotFound => {}
            ErrorClass::NotAllowed if !self.has_warned.swap(true, Ordering::Relaxed) => {
                let reason = line_with_hint(&error);
                tracing::warn!(source = %self.source, "some transcripts are not listed: {reason}");
            }
            _ => {
                tracing::debug!(source = %self.source, "the search for transcripts is postponed: {error}");
            }
        }
        Vec::new()
    }

    /// Searches for the transcripts of `recordings`, which have no transcript yet and must be
    /// sorted newest first.
    pub(crate) async fn find_late_files(
        &self,
        api: &Api,
        leases: &Leases,
        recordings: &[Arc<Meeting>],
    ) -> LateFiles {
        if let Some(error) = self.refusal.get() {
            return LateFiles { failed: Some(error.clone()), ..LateFiles::default() };
        }
        let mut search = Search::new(recordings);
        let failed = self.find_transcripts(api, leases, &mut search).await.err();
        let derived_from = Some(mapping::video_key());
        LateFiles { files: search.files(), derived_from, failed }
    }

    async fn find_transcripts(
        &self,
        api: &Api,
        leases: &Leases,
        search: &mut Search<'_>,
    ) -> Result<(), ProviderError> {
        if self.list_refusal.get().is_none() {
            match self.list_by_days(api, search).await {
                Err(error) if error.is_refusal() => {
                    let refusal =
                        if self.lists_other_users { &self.list_refusal } else { &self.refusal };
                    let error = refusal.get_or_init(|| error);
                    if !self.lists_other_users {
                        return Err(error.clone());
                    }
                    tracing::debug!(
                        source = %self.source,
                        "transcripts are requested one by one: {error}"
                    );
                }
                result => return result,
            }
        }
        self.fetch_one_by_one(api, leases, search).await
    }

    /// Lists the transcripts of all days since the earliest meeting of the search.
    async fn list_by_days(&self, api: &Api, search: &mut Search<'_>) -> Result<(), ProviderError> {
        let (path, scope) = if self.lists_other_users {
            ("/admin/meetingTranscripts", COMPLIANCE_SCOPE)
        } else {
            ("/meetingTranscripts", TRANSCRIPTS_SCOPE)
        };
        let today = TimeZone::UTC.to_datetime(current_time()).date();
        let max = MAX_PAGE_SIZE.to_string();
        for (site, first_day) in search.first_day_of_site.clone() {
            if self.lists_other_users && site.is_none() {
                continue;
            }
            // Webex does not document whether the days refer to the meeting or to its transcript,
            // which is created later. The range covers both.
            let from = first_day.saturating_sub(1.day());
            for window in listing::windows_of(DaySpan { from, to: today.saturating_add(1.day()) }) {
                let [from, to] =
                    [window.from, window.to.saturating_add(1.day())].map(listing::format_midnight);
                let mut query = vec![("max", max.as_str()), ("from", &from), ("to", &to)];
                query.extend(site.as_deref().map(|site| ("siteUrl", site)));
                let url = api.url(path, &query)?;
                let mut pages = Pages::new(api, "the list of transcripts".into(), scope, url);
                while let Some(reply) = pages.next().await? {
                    let transcripts = wire::parse_transcripts(reply).ok_or_else(|| {
                        pages.incomplete_list_error("the reply has no list of transcripts")
                    })?;
                    for transcript in transcripts {
                        if let Some(meeting_id) = transcript.meeting_id.clone() {
                            search.add_transcripts(&meeting_id, vec![transcript]);
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

    /// Requests the transcripts of up to [`MAX_SINGLE_MEETINGS`] meetings, beginning with the
    /// meetings that were not requested for the longest time.
    async fn fetch_one_by_one(
        &self,
        api: &Api,
        leases: &Leases,
        search: &mut Search<'_>,
    ) -> Result<(), ProviderError> {
        let mut meeting_ids = search.meeting_ids.clone();
        {
            let mut last_requests = self.last_requests.lock();
            last_requests.retain(|id, _| search.recordings.contains_key(id));
            // The sort is stable, so the newest meetings come first among those without a request.
            meeting_ids.sort_by_key(|id| last_requests.get(id).copied());
        }
        meeting_ids.truncate(MAX_SINGLE_MEETINGS);
        let mut refusal = None;
        let mut is_permitted = false;
        for id in meeting_ids {
            let recordings = search.recordings.get(&id).into_iter().flatten();
            let Some(recording) = recordings.map(|meeting| &meeting.id).next() else { continue };
            let outcome = fetch_transcripts(api, leases, recording, &id).await;
            self.last_requests.lock().insert(id.clone(), Instant::now());
            match outcome {
                Ok(transcripts) => {
                    is_permitted = true;
                    search.add_transcripts(&id, transcripts);
                }
                Err(error) if error.class() == ErrorClass::NotAllowed => {
                    refusal.get_or_insert(error);
                }
                Err(error) if error.class() == ErrorClass::NotFound => is_permitted = true,
                Err(error) => return Err(error),
            }
        }
        match refusal {
            // A refusal for one meeting host does not apply to the others.
            Some(error) if !is_permitted => Err(self.refusal.get_or_init(|| error).clone()),
            Some(error) => Err(error),
            None => Ok(()),
        }
    }
}

/// Requests the transcripts of one meeting. `recording` is one of its recordings.
async fn fetch_transcripts(
    api: &Api,
    leases: &Leases,
    recording: &MeetingId,
    meeting_id: &str,
) -> Result<Vec<Transcript>, ProviderError> {
    const SUBJECT: &str = "the transcripts of a meeting";
    let meeting_host = leases.meeting_host_of(recording);
    let max = MAX_PAGE_SIZE.to_string();
    let mut query = vec![("meetingId", meeting_id), ("max", max.as_str())];
    query.extend(meeting_host.as_deref().map(|host| ("hostEmail", host)));
    let url = api.url("/meetingTranscripts", &query)?;
    match api.get(&url, SEARCH_TIMEOUT, Priority::Background).await {
        Ok(object) => Ok(wire::parse_transcripts(object).unwrap_or_default()),
        Err(ApiError::Refused(refusal)) => {
            Err(refusal.to_provider_error(SUBJECT, TRANSCRIPTS_SCOPE))
        }
        Err(ApiError::Failed(error)) => Err(error),
    }
}

/// The meetings of one search, and the transcripts found so far.
struct Search<'a> {
    /// The recordings by meeting id.
    recordings: HashMap<String, Vec<&'a Arc<Meeting>>>,
    /// The ids of the meetings, newest first.
    meeting_ids: Vec<String>,
    /// The sites of the meetings, each with the day of its earliest meeting.
    first_day_of_site: BTreeMap<Option<String>, Date>,
    transcripts: HashMap<String, Vec<Transcript>>,
}

impl<'a> Search<'a> {
    /// Creates a search for the transcripts of `recordings`, which must be sorted newest first.
    fn new(recordings: &'a [Arc<Meeting>]) -> Self {
        let mut search = Self {
            recordings: HashMap::new(),
            meeting_ids: Vec::new(),
            first_day_of_site: BTreeMap::new(),
            transcripts: HashMap::new(),
        };
        for recording in recordings {
            let Some(id) = recording.metadata.text("meetingId") else { continue };
            let day = TimeZone::UTC.to_datetime(recording.start).date();
            let site = recording.metadata.text("siteUrl");
            let first_day = search.first_day_of_site.entry(site).or_insert(day);
            *first_day = day.min(*first_day);
            let recordings_of_meeting = search.recordings.entry(id.clone()).or_default();
            if recordings_of_meeting.is_empty() {
                search.meeting_ids.push(id);
            }
            recordings_of_meeting.push(recording);
        }
        search
    }

    /// Adds transcripts of a meeting, without duplicates.
    fn add_transcripts(&mut self, meeting_id: &str, transcripts: Vec<Transcript>) {
        if !self.recordings.contains_key(meeting_id) || transcripts.is_empty() {
            return;
        }
        let known_transcripts = self.transcripts.entry(meeting_id.to_owned()).or_default();
        for transcript in transcripts {
            if known_transcripts.iter().all(|other| other.id() != transcript.id()) {
                known_transcripts.push(transcript);
            }
        }
    }

    /// Whether a transcript was found for every meeting.
    fn is_complete(&self) -> bool {
        self.recordings.len() == self.transcripts.len()
    }

    fn files(&self) -> Vec<RecordingFile> {
        let files = self.transcripts.iter().flat_map(|(meeting_id, transcripts)| {
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
