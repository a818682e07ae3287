//! Transcripts that have no link of their own, those among them that are made after their recording was described.
//!
//! A recording is described once, and Webex makes transcripts when it has the time. What is late is found without
//! another description: the transcripts of the token's owner are listed by days. That list takes no host ("List Meeting
//! Transcripts": `hostEmail` is of no use without `meetingId`), so for others the one of compliance officers is tried,
//! and where that is refused meetings are asked about one by one, a few at a time.

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
use crate::model::{DaySpan, Meeting, MeetingId, RecordingFile, SourceName};
use crate::providers::{ErrorClass, LateFiles, ProviderError};

/// Bound on asking about one meeting. Nobody waits for it.
const SEARCH_TIMEOUT: Duration = Duration::from_secs(30);

/// Meetings that are asked about by themselves at a time. Every five minutes that many are 240 calls an hour, and a
/// company with a hundred meetings a week has them all looked at within half an hour.
const ONE_BY_ONE: usize = 20;

/// What the list of compliance officers takes ("Meetings API Scopes").
const COMPLIANCE_SCOPE: &str = "spark-compliance:meetings_read";

/// What is known of a source's right to transcripts.
pub(crate) struct Transcripts {
    source: SourceName,
    is_for_others: bool,
    /// Why there are none to be had for good: that is not asked again by this process.
    refused: OnceLock<ProviderError>,
    /// The same of the list of compliance officers alone.
    list_refused: OnceLock<ProviderError>,
    /// Whether it was said that some are left out.
    is_told: AtomicBool,
    /// When meetings were asked about by themselves last.
    turns: Mutex<HashMap<String, Instant>>,
}

impl Transcripts {
    pub(crate) fn new(source: SourceName, is_for_others: bool) -> Self {
        Self {
            source,
            is_for_others,
            refused: OnceLock::new(),
            list_refused: OnceLock::new(),
            is_told: AtomicBool::new(false),
            turns: Mutex::default(),
        }
    }

    /// The transcripts that the interface has of a held meeting; none where the token may not list them, or where they
    /// cannot be had now: these are found later, and the recording need not be described again for them.
    pub(crate) async fn of_meeting(
        &self,
        api: &Api,
        leases: &Leases,
        recording: &MeetingId,
        held: &str,
    ) -> Vec<Transcript> {
        if self.refused.get().is_some() {
            return Vec::new();
        }
        let error = match ask(api, leases, recording, held).await {
            Ok(found) => return found,
            Err(error) => error,
        };
        match error.class() {
            ErrorClass::NotFound => {}
            ErrorClass::NotAllowed if !self.is_told.swap(true, Ordering::Relaxed) => {
                tracing::warn!(source = %self.source, "some transcripts are left out: {error}");
            }
            _ => {
                tracing::debug!(source = %self.source, "transcripts are looked for later: {error}")
            }
        }
        Vec::new()
    }

    /// Looks for the transcripts of recordings that had none when they were described, `wanting`, newest first.
    pub(crate) async fn late(
        &self,
        api: &Api,
        leases: &Leases,
        wanting: &[Arc<Meeting>],
    ) -> LateFiles {
        if let Some(error) = self.refused.get() {
            return LateFiles { failed: Some(error.clone()), ..LateFiles::default() };
        }
        let mut search = Search::of(wanting);
        let failed = self.look_for(api, leases, &mut search).await.err();
        LateFiles { files: search.files(), derived_from: Some(mapping::video()), failed }
    }

    async fn look_for(
        &self,
        api: &Api,
        leases: &Leases,
        search: &mut Search<'_>,
    ) -> Result<(), ProviderError> {
        if self.list_refused.get().is_none() {
            match self.list(api, search).await {
                Err(error) if error.is_refusal() => {
                    let for_good =
                        if self.is_for_others { &self.list_refused } else { &self.refused };
                    let error = for_good.get_or_init(|| error);
                    if !self.is_for_others {
                        return Err(error.clone());
                    }
                    tracing::debug!(source = %self.source, "transcripts are asked for one by one: {error}");
                }
                listed => return listed,
            }
        }
        self.one_by_one(api, leases, search).await
    }

    /// Lists the transcripts of all days from the first that is looked for.
    async fn list(&self, api: &Api, search: &mut Search<'_>) -> Result<(), ProviderError> {
        let (path, scope) = match self.is_for_others {
            true => ("/admin/meetingTranscripts", COMPLIANCE_SCOPE),
            false => ("/meetingTranscripts", TRANSCRIPTS_SCOPE),
        };
        let today = TimeZone::UTC.to_datetime(Timestamp::now()).date();
        let most = MAX_PAGE.to_string();
        for (site, first) in search.sites.clone() {
            if self.is_for_others && site.is_none() {
                continue;
            }
            // Nobody says whether days are those of the meeting or of the transcript, which is later: both lie within.
            let from = first.saturating_sub(1.day());
            for window in listing::windows_of(DaySpan { from, to: today.saturating_add(1.day()) }) {
                let [from, to] =
                    [window.from, window.to.saturating_add(1.day())].map(listing::midnight);
                let mut query = vec![("max", most.as_str()), ("from", &from), ("to", &to)];
                query.extend(site.as_deref().map(|site| ("siteUrl", site)));
                let address = api.address(path, &query)?;
                let mut pages = Pages::new(api, "the list of transcripts".into(), scope, address);
                while let Some(reply) = pages.next().await? {
                    let listed = wire::transcripts(reply)
                        .ok_or_else(|| pages.odd("sent a list without items"))?;
                    for transcript in listed {
                        if let Some(held) = transcript.meeting_id.clone() {
                            search.found(&held, vec![transcript]);
                        }
                    }
                }
                if search.is_over() {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// Asks about those meetings that have waited longest for it.
    async fn one_by_one(
        &self,
        api: &Api,
        leases: &Leases,
        search: &mut Search<'_>,
    ) -> Result<(), ProviderError> {
        let mut asked = search.order.clone();
        {
            let mut turns = self.turns.lock();
            turns.retain(|held, _| search.held.contains_key(held));
            // Stable: of those that were never asked about, the newest come first.
            asked.sort_by_key(|held| turns.get(held).copied());
        }
        asked.truncate(ONE_BY_ONE);
        let mut refusal = None;
        let mut is_permitted = false;
        for held in asked {
            let recordings = search.held.get(&held).into_iter().flatten();
            let Some(recording) = recordings.map(|meeting| &meeting.id).next() else { continue };
            let answer = ask(api, leases, recording, &held).await;
            self.turns.lock().insert(held.clone(), Instant::now());
            match answer {
                Ok(listed) => {
                    is_permitted = true;
                    search.found(&held, listed);
                }
                Err(error) if error.class() == ErrorClass::NotAllowed => {
                    refusal.get_or_insert(error);
                }
                Err(error) if error.class() == ErrorClass::NotFound => is_permitted = true,
                Err(error) => return Err(error),
            }
        }
        match refusal {
            // One host's word is not everybody's.
            Some(error) if !is_permitted => Err(self.refused.get_or_init(|| error).clone()),
            Some(error) => Err(error),
            None => Ok(()),
        }
    }
}

/// Asks for the transcripts of one held meeting, of which `recording` is one.
async fn ask(
    api: &Api,
    leases: &Leases,
    recording: &MeetingId,
    held: &str,
) -> Result<Vec<Transcript>, ProviderError> {
    const SUBJECT: &str = "the transcripts of a meeting";
    let host = leases.host_of(recording);
    let most = MAX_PAGE.to_string();
    let mut query = vec![("meetingId", held), ("max", most.as_str())];
    query.extend(host.as_deref().map(|host| ("hostEmail", host)));
    let address = api.address("/meetingTranscripts", &query)?;
    match api.get(&address, SEARCH_TIMEOUT, Priority::Background).await {
        Ok(reply) => Ok(wire::transcripts(reply.object).unwrap_or_default()),
        Err(ApiError::Refused(refusal)) => Err(refusal.about(SUBJECT, TRANSCRIPTS_SCOPE)),
        Err(ApiError::Failed(error)) => Err(error),
    }
}

/// What is looked for, and what was found of it.
struct Search<'a> {
    /// The recordings of each held meeting.
    held: HashMap<String, Vec<&'a Arc<Meeting>>>,
    /// The held meetings, newest first.
    order: Vec<String>,
    /// The sites, each with the day of its first meeting.
    sites: BTreeMap<Option<String>, Date>,
    found: HashMap<String, Vec<Transcript>>,
}

impl<'a> Search<'a> {
    fn of(wanting: &'a [Arc<Meeting>]) -> Self {
        let mut search = Self {
            held: HashMap::new(),
            order: Vec::new(),
            sites: BTreeMap::new(),
            found: HashMap::new(),
        };
        for meeting in wanting {
            let Some(held) = meeting.metadata.text("meetingId") else { continue };
            let day = TimeZone::UTC.to_datetime(meeting.start).date();
            let first = search.sites.entry(meeting.metadata.text("siteUrl")).or_insert(day);
            *first = day.min(*first);
            let recordings = search.held.entry(held.clone()).or_default();
            if recordings.is_empty() {
                search.order.push(held);
            }
            recordings.push(meeting);
        }
        search
    }

    /// Takes in what was listed of a held meeting; a transcript that is listed twice counts once.
    fn found(&mut self, held: &str, listed: Vec<Transcript>) {
        if !self.held.contains_key(held) || listed.is_empty() {
            return;
        }
        let known = self.found.entry(held.to_owned()).or_default();
        for transcript in listed {
            if known.iter().all(|other| other.id() != transcript.id()) {
                known.push(transcript);
            }
        }
    }

    /// Whether something was found for everybody.
    fn is_over(&self) -> bool {
        self.held.len() == self.found.len()
    }

    fn files(&self) -> Vec<RecordingFile> {
        let found = self.found.iter().flat_map(|(held, transcripts)| {
            let recordings = self.held.get(held).into_iter().flatten();
            recordings.flat_map(move |meeting| {
                transcripts
                    .iter()
                    .filter_map(|transcript| mapping::late_transcript(meeting, transcript))
            })
        });
        found.collect()
    }
}
