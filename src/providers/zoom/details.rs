//! Details of one meeting: the metadata of a past meeting, the audio of single participants, and
//! the participants.
//!
//! Each of the three needs a scope of its own. A missing scope is met once in the life of the
//! process; the details of each meeting then name what they lack, so that it is requested when the
//! scope is there.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::{Map, Value};

use super::api::{Api, ApiError, RateLimitLabel};
use super::pages::Pages;
use super::{file_status, mapping, metadata, participants, path_segment, wire};
use crate::http::Priority;
use crate::model::{Details, MeetingId, SourceName, line_with_hint};
use crate::providers::ProviderError;
use crate::providers::toolkit::page_guard::PageLimits;

/// Timeout of one call in the background. Zoom answers within a second or two.
const DETAILS_TIMEOUT: Duration = Duration::from_secs(30);

/// The largest webinar has 50,000 seats, and several participants can use one in turn.
const MAX_PARTICIPANTS: usize = 120_000;

/// [`MAX_PARTICIPANTS`] on full pages.
const PAGE_LIMITS: PageLimits =
    PageLimits { max_pages: 400, max_pages_without_new_items: usize::MAX };

/// One of the requests about a meeting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Past,
    Recordings,
    Participants,
}

impl Part {
    const ALL: [Self; 3] = [Self::Past, Self::Recordings, Self::Participants];

    /// Returns its name in [`Details::missing`].
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

    /// Returns the subject of an error message.
    fn subject(self) -> &'static str {
        match self {
            Self::Past => "the details of past meetings",
            Self::Recordings => "the recordings of one meeting",
            Self::Participants => "the participants of past meetings",
        }
    }

    /// Returns what is missing without it.
    fn effect(self) -> &'static str {
        match self {
            Self::Past => "meeting.json is incomplete",
            Self::Recordings => "the audio of single participants is not shown",
            Self::Participants => "participants.csv is not shown",
        }
    }
}

/// Requests the details of meetings.
#[derive(Default)]
pub(crate) struct DetailsReader {
    /// By [`Part`]: whether its scope is known to be missing.
    lacks_scope: [AtomicBool; Part::ALL.len()],
}

impl DetailsReader {
    /// Requests all details of a meeting; `None` if there are none, permanently.
    ///
    /// # Errors
    /// A retry may succeed.
    pub(crate) async fn read(
        &self,
        api: &Api,
        source: &SourceName,
        meeting: &MeetingId,
    ) -> Result<Option<Details>, ProviderError> {
        let mut collected = CollectedDetails::default();
        for part in Part::ALL {
            self.add(part, &mut collected, api, source, meeting).await?;
        }
        let has_details = collected.has_reply || !collected.details.missing.is_empty();
        Ok(has_details.then(|| collected.into_details()))
    }

    /// Requests what `known` lacks.
    ///
    /// # Errors
    /// A retry may succeed.
    pub(crate) async fn complete(
        &self,
        api: &Api,
        source: &SourceName,
        meeting: &MeetingId,
        known: &Details,
    ) -> Result<Details, ProviderError> {
        self.update(|part| part.is_lacking(known), api, source, meeting, known).await
    }

    /// Requests what `known` lacks, and the files again. Participants of a past meeting do not
    /// change.
    ///
    /// # Errors
    /// A retry may succeed.
    pub(crate) async fn renew(
        &self,
        api: &Api,
        source: &SourceName,
        meeting: &MeetingId,
        known: &Details,
    ) -> Result<Details, ProviderError> {
        let is_needed = |part: Part| part == Part::Recordings || part.is_lacking(known);
        self.update(is_needed, api, source, meeting, known).await
    }

    async fn update(
        &self,
        is_needed: impl Fn(Part) -> bool,
        api: &Api,
        source: &SourceName,
        meeting: &MeetingId,
        known: &Details,
    ) -> Result<Details, ProviderError> {
        let mut collected =
            CollectedDetails { metadata: known.metadata.to_map(), ..CollectedDetails::default() };
        collected.details = Details { missing: Vec::new(), ..known.clone() };
        for part in Part::ALL.into_iter().filter(|part| is_needed(*part)) {
            self.add(part, &mut collected, api, source, meeting).await?;
        }
        Ok(collected.into_details())
    }

    async fn add(
        &self,
        part: Part,
        collected: &mut CollectedDetails,
        api: &Api,
        source: &SourceName,
        meeting: &MeetingId,
    ) -> Result<(), ProviderError> {
        let lacks_scope = self.lacks_scope.get(part as usize);
        if lacks_scope.is_some_and(|lacks| lacks.load(Ordering::Relaxed)) {
            collected.details.missing.push(part.name().into());
            return Ok(());
        }
        let uuid = path_segment::meeting(meeting.of_provider());
        let limit = (RateLimitLabel::Light, Priority::Background);
        let outcome = match part {
            Part::Past => {
                let path = format!("/past_meetings/{uuid}");
                let reply = api.get(limit, &path, &[], DETAILS_TIMEOUT).await;
                reply.map(|reply| collected.add_metadata(metadata::of_details(&reply)))
            }
            Part::Recordings => {
                let path = format!("/meetings/{uuid}/recordings");
                let reply = api.get(limit, &path, &[], DETAILS_TIMEOUT).await;
                reply.map(|reply| collected.add_recordings(source, meeting, reply))
            }
            Part::Participants => {
                let path = format!("/past_meetings/{uuid}/participants");
                list_participants(api, &path)
                    .await
                    .map(|participants| collected.add_participants(&participants))
            }
        };
        let refusal = match outcome {
            Ok(()) => return Ok(()),
            Err(ApiError::Refused(refusal)) => refusal,
            Err(ApiError::Failed(error)) => return Err(error),
        };
        let error = refusal.to_provider_error(part.subject());
        if refusal.is_of_scope() {
            collected.details.missing.push(part.name().into());
            if lacks_scope.is_some_and(|lacks| !lacks.swap(true, Ordering::Relaxed)) {
                tracing::warn!(%source, "{}: {}", part.effect(), line_with_hint(&error));
            }
            return Ok(());
        }
        if error.is_refusal() {
            tracing::debug!(%source, "no further details of a meeting: {error}");
            return Ok(());
        }
        Err(error)
    }
}

/// Returns the participants of all pages.
async fn list_participants(api: &Api, path: &str) -> Result<Vec<Value>, ApiError> {
    let mut pages = Pages::new(api, path, [], Part::Participants.subject(), PAGE_LIMITS);
    let mut participants = Vec::new();
    while let Some(reply) = pages.next().await? {
        if reply.is_first {
            participants.clear();
        }
        participants.extend(wire::participants(reply.object));
        if participants.len() > MAX_PARTICIPANTS {
            let what = format!("listed more than {MAX_PARTICIPANTS} participants of a meeting");
            return Err(pages.unexpected(&what).into());
        }
    }
    Ok(participants)
}

/// The details that have arrived so far.
#[derive(Default)]
struct CollectedDetails {
    /// Whether any reply arrived.
    has_reply: bool,
    metadata: Map<String, Value>,
    details: Details,
}

impl CollectedDetails {
    fn add_metadata(&mut self, metadata: Map<String, Value>) {
        self.has_reply = true;
        self.metadata.extend(metadata);
    }

    fn add_recordings(
        &mut self,
        source: &SourceName,
        meeting: &MeetingId,
        reply: Map<String, Value>,
    ) {
        let Ok(described) = serde_json::from_value::<wire::Meeting>(Value::Object(reply)) else {
            return;
        };
        let is_processing = |files: &[wire::File]| files.iter().any(file_status::is_processing);
        if is_processing(&described.recording_files)
            || is_processing(&described.participant_audio_files)
        {
            // More files may follow. The listing changes then, too.
            self.details.missing.push(Part::Recordings.name().into());
        }
        self.add_metadata(metadata::of_recordings(&described));
        let files = mapping::participants(source, meeting, described.participant_audio_files);
        self.details.files.retain(|known| files.iter().all(|file| file.id != known.id));
        self.details.files.extend(files);
    }

    fn add_participants(&mut self, participants: &[Value]) {
        self.has_reply = true;
        self.details.participants = participants::table(participants);
    }

    fn into_details(self) -> Details {
        Details { metadata: self.metadata.into(), ..self.details }
    }
}
