//! What is asked about one meeting by itself, in the background: the facts of a past meeting, its recordings once more,
//! for only there are the participants' own audio files, and who was there.
//!
//! Each needs a scope of its own. One that is missing is met once a run and then left alone, and the meeting's details
//! say what they lack, so that it is asked for when the scope is there.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::{Map, Value};

use super::api::{Api, ApiError, RateLimitLabel};
use super::{address, facts, mapping, participants, wire};
use crate::http::Priority;
use crate::model::{Details, MeetingId, SourceName};
use crate::providers::ProviderError;

/// Bound on one call. Nobody waits for it, and Zoom answers these in a second or two.
const DETAILS_TIMEOUT: Duration = Duration::from_secs(30);

/// The most Zoom puts on a page.
const PAGE_SIZE: usize = 300;

/// The largest webinar has 50,000 seats, of which each can be taken more than once.
const MAX_PAGES: usize = 400;

/// One of the things that are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Past,
    Recordings,
    Participants,
}

impl Part {
    const ALL: [Self; 3] = [Self::Past, Self::Recordings, Self::Participants];

    /// Its name in [`Details::missing`].
    fn name(self) -> &'static str {
        match self {
            Self::Past => "past meeting",
            Self::Recordings => "recordings",
            Self::Participants => "participants",
        }
    }

    fn is_lacking(self, known: &Details) -> bool {
        known.missing.iter().any(|lack| lack == self.name())
    }

    /// What a refusal is about.
    fn subject(self) -> &'static str {
        match self {
            Self::Past => "the details of past meetings",
            Self::Recordings => "the recordings of one meeting",
            Self::Participants => "the participants of past meetings",
        }
    }

    /// What is missing without it.
    fn gives(self) -> &'static str {
        match self {
            Self::Past => "meeting.json says less than it could",
            Self::Recordings => "the participants' own audio is not shown",
            Self::Participants => "there is no participants.csv",
        }
    }
}

/// Asks about meetings.
#[derive(Default)]
pub(crate) struct Asker {
    /// By [`Part`]: whether its scope was found missing in this run.
    without_scope: [AtomicBool; Part::ALL.len()],
}

impl Asker {
    /// Everything there is to know about a meeting; `None` where that is nothing, for good.
    ///
    /// # Errors
    /// What may work later.
    pub(crate) async fn ask(
        &self,
        api: &Api,
        source: &SourceName,
        meeting: &MeetingId,
    ) -> Result<Option<Details>, ProviderError> {
        let mut found = Found::default();
        for part in Part::ALL {
            self.add(part, &mut found, api, source, meeting).await?;
        }
        Ok((found.is_something || !found.details.missing.is_empty()).then(|| found.details()))
    }

    /// The same with what was lacking, if it can be had by now.
    ///
    /// # Errors
    /// What may work later.
    pub(crate) async fn complete(
        &self,
        api: &Api,
        source: &SourceName,
        meeting: &MeetingId,
        known: &Details,
    ) -> Result<Details, ProviderError> {
        self.ask_for(|part| part.is_lacking(known), api, source, meeting, known).await
    }

    /// The same with the files as they are now. Who was there does not change, and is not asked again.
    ///
    /// # Errors
    /// What may work later.
    pub(crate) async fn renew(
        &self,
        api: &Api,
        source: &SourceName,
        meeting: &MeetingId,
        known: &Details,
    ) -> Result<Details, ProviderError> {
        let is_wanted = |part: Part| part == Part::Recordings || part.is_lacking(known);
        self.ask_for(is_wanted, api, source, meeting, known).await
    }

    async fn ask_for(
        &self,
        is_wanted: impl Fn(Part) -> bool,
        api: &Api,
        source: &SourceName,
        meeting: &MeetingId,
        known: &Details,
    ) -> Result<Details, ProviderError> {
        let mut found = Found { facts: known.metadata.to_map(), ..Found::default() };
        found.details = Details { missing: Vec::new(), ..known.clone() };
        for part in Part::ALL.into_iter().filter(|part| is_wanted(*part)) {
            self.add(part, &mut found, api, source, meeting).await?;
        }
        Ok(found.details())
    }

    async fn add(
        &self,
        part: Part,
        found: &mut Found,
        api: &Api,
        source: &SourceName,
        meeting: &MeetingId,
    ) -> Result<(), ProviderError> {
        let without_scope = self.without_scope.get(part as usize);
        if without_scope.is_some_and(|known| known.load(Ordering::Relaxed)) {
            found.details.missing.push(part.name().into());
            return Ok(());
        }
        let uuid = address::meeting(meeting.of_provider());
        let answered = match part {
            Part::Past => {
                let path = format!("/past_meetings/{uuid}");
                let reply = api
                    .get((RateLimitLabel::Light, Priority::Background), &path, &[], DETAILS_TIMEOUT)
                    .await;
                reply.map(|reply| found.tell(facts::of_details(&reply)))
            }
            Part::Recordings => {
                let path = format!("/meetings/{uuid}/recordings");
                let reply = api
                    .get((RateLimitLabel::Light, Priority::Background), &path, &[], DETAILS_TIMEOUT)
                    .await;
                reply.map(|reply| found.recordings(source, meeting, reply))
            }
            Part::Participants => {
                let path = format!("/past_meetings/{uuid}/participants");
                people(api, &path).await.map(|people| found.participants(&people))
            }
        };
        let refusal = match answered {
            Ok(()) => return Ok(()),
            Err(ApiError::Refused(refusal)) => refusal,
            Err(ApiError::Failed(error)) => return Err(error),
        };
        let error = refusal.about(part.subject());
        if refusal.is_of_scope() {
            found.details.missing.push(part.name().into());
            if without_scope.is_some_and(|known| !known.swap(true, Ordering::Relaxed)) {
                tracing::warn!(%source, "{}: {error}", part.gives());
            }
            return Ok(());
        }
        if error.is_refusal() {
            tracing::debug!(%source, "nothing more is known of a meeting: {error}");
            return Ok(());
        }
        Err(error)
    }
}

/// Everybody on all pages.
async fn people(api: &Api, path: &str) -> Result<Vec<Value>, ApiError> {
    let mut people = Vec::new();
    let mut next = None;
    let page_size = PAGE_SIZE.to_string();
    for _ in 0..MAX_PAGES {
        let mut query = vec![("page_size", page_size.as_str())];
        query.extend(next.as_deref().map(|next| ("next_page_token", next)));
        let reply = api
            .get((RateLimitLabel::Medium, Priority::Background), path, &query, DETAILS_TIMEOUT)
            .await?;
        let page = wire::People::read(reply);
        people.extend(page.people);
        if people.len() > MAX_PAGES * PAGE_SIZE {
            break;
        }
        next = page.next;
        if next.is_none() {
            return Ok(people);
        }
    }
    let why = format!(
        "Zoom listed the participants of a meeting on more than {MAX_PAGES} pages of {PAGE_SIZE}"
    );
    Err(ProviderError::unavailable(why).into())
}

/// What was found so far.
#[derive(Default)]
struct Found {
    is_something: bool,
    facts: Map<String, Value>,
    details: Details,
}

impl Found {
    fn tell(&mut self, facts: Map<String, Value>) {
        self.is_something = true;
        for (name, value) in facts {
            self.facts.insert(name, value);
        }
    }

    fn recordings(&mut self, source: &SourceName, meeting: &MeetingId, reply: Map<String, Value>) {
        let Ok(described) = serde_json::from_value::<wire::Meeting>(Value::Object(reply)) else {
            return;
        };
        let is_growing = |files: &[wire::File]| files.iter().any(mapping::is_processing);
        if is_growing(&described.recording_files) || is_growing(&described.participant_audio_files)
        {
            // More may come, and then the listing changes as well.
            self.details.missing.push(Part::Recordings.name().into());
        }
        self.tell(facts::of_recordings(&described));
        let files = mapping::participants(source, meeting, described.participant_audio_files);
        self.details.files.retain(|known| files.iter().all(|file| file.id != known.id));
        self.details.files.extend(files);
    }

    fn participants(&mut self, people: &[Value]) {
        self.is_something = true;
        self.details.participants = participants::table(people);
    }

    fn details(self) -> Details {
        Details { metadata: self.facts.into(), ..self.details }
    }
}
