//! Requests the details of one meeting: the metadata of a past meeting, the audio of individual
//! participants, and the list of participants.
//!
//! Each of the three parts needs its own scope. If a scope is missing, this process does not
//! request the part again. The details of each meeting name the missing parts, so a later run
//! requests them.

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

/// Timeout of one background request. Zoom usually replies within two seconds.
const DETAILS_TIMEOUT: Duration = Duration::from_secs(30);

/// Maximum number of participants of a meeting. The largest webinar has 50,000 seats, and several
/// participants can use one seat in turn.
const MAX_PARTICIPANTS: usize = 120_000;

/// Limits of the list of participants. `max_pages` full pages contain [`MAX_PARTICIPANTS`] entries.
const PAGE_LIMITS: PageLimits =
    PageLimits { max_pages: 400, max_pages_without_new_items: usize::MAX };

/// A part of the details of a meeting. Each part needs its own request and its own scope.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum DetailsPart {
    PastMeeting,
    Recordings,
    Participants,
}

impl DetailsPart {
    const ALL: [Self; 3] = [Self::PastMeeting, Self::Recordings, Self::Participants];

    /// Returns the name of the part in [`Details::missing`].
    fn name(self) -> &'static str {
        match self {
            Self::PastMeeting => "past meeting",
            Self::Recordings => "recordings",
            Self::Participants => "participants",
        }
    }

    fn is_missing_in(self, existing: &Details) -> bool {
        existing.missing_parts.iter().any(|part| part == self.name())
    }

    /// Returns the noun phrase that names the part in error messages.
    fn subject(self) -> &'static str {
        match self {
            Self::PastMeeting => "the details of past meetings",
            Self::Recordings => "the recordings of one meeting",
            Self::Participants => "the participants of past meetings",
        }
    }

    /// Returns the effect of the missing scope, for a warning.
    fn missing_scope_effect(self) -> &'static str {
        match self {
            Self::PastMeeting => "meeting.json is incomplete",
            Self::Recordings => "the audio of individual participants is not shown",
            Self::Participants => "participants.csv is not shown",
        }
    }
}

/// Requests the details of meetings.
#[derive(Default)]
pub(crate) struct DetailsReader {
    /// For each [`DetailsPart`], whether its scope is missing.
    lacks_scope: [AtomicBool; DetailsPart::ALL.len()],
}

impl DetailsReader {
    /// Requests all details of a meeting. Returns `None` if the meeting permanently has no details.
    ///
    /// # Errors
    /// A request failed. A retry may succeed.
    pub(crate) async fn fetch(
        &self,
        api: &Api,
        source: &SourceName,
        meeting: &MeetingId,
    ) -> Result<Option<Details>, ProviderError> {
        let mut collected_details = CollectedDetails::default();
        for part in DetailsPart::ALL {
            self.request_part(part, &mut collected_details, api, source, meeting).await?;
        }
        let has_details =
            collected_details.has_reply || !collected_details.details.missing_parts.is_empty();
        Ok(has_details.then(|| collected_details.into_details()))
    }

    /// Requests the parts that `existing` lacks.
    ///
    /// # Errors
    /// A request failed. A retry may succeed.
    pub(crate) async fn complete(
        &self,
        api: &Api,
        source: &SourceName,
        meeting: &MeetingId,
        existing: &Details,
    ) -> Result<Details, ProviderError> {
        self.request_parts(|part| part.is_missing_in(existing), api, source, meeting, existing)
            .await
    }

    /// Requests the parts that `existing` lacks, and requests the recordings again. The
    /// participants of a past meeting do not change.
    ///
    /// # Errors
    /// A request failed. A retry may succeed.
    pub(crate) async fn renew(
        &self,
        api: &Api,
        source: &SourceName,
        meeting: &MeetingId,
        existing: &Details,
    ) -> Result<Details, ProviderError> {
        let is_needed =
            |part: DetailsPart| part == DetailsPart::Recordings || part.is_missing_in(existing);
        self.request_parts(is_needed, api, source, meeting, existing).await
    }

    async fn request_parts(
        &self,
        is_needed: impl Fn(DetailsPart) -> bool,
        api: &Api,
        source: &SourceName,
        meeting: &MeetingId,
        existing: &Details,
    ) -> Result<Details, ProviderError> {
        let mut collected_details = CollectedDetails {
            metadata: existing.metadata.to_map(),
            ..CollectedDetails::default()
        };
        collected_details.details = Details { missing_parts: Vec::new(), ..existing.clone() };
        for part in DetailsPart::ALL.into_iter().filter(|part| is_needed(*part)) {
            self.request_part(part, &mut collected_details, api, source, meeting).await?;
        }
        Ok(collected_details.into_details())
    }

    async fn request_part(
        &self,
        part: DetailsPart,
        collected_details: &mut CollectedDetails,
        api: &Api,
        source: &SourceName,
        meeting: &MeetingId,
    ) -> Result<(), ProviderError> {
        let lacks_scope = self.lacks_scope.get(part as usize);
        if lacks_scope.is_some_and(|lacks_scope| lacks_scope.load(Ordering::Relaxed)) {
            collected_details.details.missing_parts.push(part.name().into());
            return Ok(());
        }
        let uuid = path_segment::encode_meeting(meeting.provider_id());
        let label_and_priority = (RateLimitLabel::Light, Priority::Background);
        let outcome = match part {
            DetailsPart::PastMeeting => {
                let path = format!("/past_meetings/{uuid}");
                let reply = api.get(label_and_priority, &path, &[], DETAILS_TIMEOUT).await;
                reply.map(|reply| {
                    collected_details.add_metadata(metadata::from_past_meeting(&reply))
                })
            }
            DetailsPart::Recordings => {
                let path = format!("/meetings/{uuid}/recordings");
                let reply = api.get(label_and_priority, &path, &[], DETAILS_TIMEOUT).await;
                reply.map(|reply| collected_details.add_recordings(source, meeting, reply))
            }
            DetailsPart::Participants => {
                let path = format!("/past_meetings/{uuid}/participants");
                list_participants(api, &path)
                    .await
                    .map(|participants| collected_details.add_participants(&participants))
            }
        };
        let refusal = match outcome {
            Ok(()) => return Ok(()),
            Err(ApiError::Refused(refusal)) => refusal,
            Err(ApiError::Failed(error)) => return Err(error),
        };
        let error = refusal.to_provider_error(part.subject());
        if refusal.lacks_scope() {
            collected_details.details.missing_parts.push(part.name().into());
            if lacks_scope.is_some_and(|lacks_scope| !lacks_scope.swap(true, Ordering::Relaxed)) {
                tracing::warn!(%source, "{}: {}", part.missing_scope_effect(), line_with_hint(&error));
            }
            return Ok(());
        }
        if error.is_refusal() {
            tracing::debug!(%source, "no further details of a meeting are available: {error}");
            return Ok(());
        }
        Err(error)
    }
}

async fn list_participants(api: &Api, path: &str) -> Result<Vec<Value>, ApiError> {
    let mut pages = Pages::new(api, path, [], DetailsPart::Participants.subject(), PAGE_LIMITS);
    let mut participants = Vec::new();
    while let Some(reply) = pages.next().await? {
        if reply.is_first {
            participants.clear();
        }
        participants.extend(wire::parse_participants(reply.object));
        if participants.len() > MAX_PARTICIPANTS {
            let problem = format!("a meeting has more than {MAX_PARTICIPANTS} participants");
            return Err(pages.incomplete_list_error(&problem).into());
        }
    }
    Ok(participants)
}

/// The details in the replies that were received so far.
#[derive(Default)]
struct CollectedDetails {
    /// Whether at least one request succeeded.
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
        let Ok(recordings) = serde_json::from_value::<wire::Meeting>(Value::Object(reply)) else {
            return;
        };
        let is_processing = |files: &[wire::File]| files.iter().any(file_status::is_processing);
        if is_processing(&recordings.recording_files)
            || is_processing(&recordings.participant_audio_files)
        {
            // More files may follow. The listing will change as well, which causes another request.
            self.details.missing_parts.push(DetailsPart::Recordings.name().into());
        }
        self.add_metadata(metadata::from_recordings(&recordings));
        let files = mapping::participant_files(source, meeting, recordings.participant_audio_files);
        self.details.files.retain(|existing| files.iter().all(|file| file.id != existing.id));
        self.details.files.extend(files);
    }

    fn add_participants(&mut self, participants: &[Value]) {
        self.has_reply = true;
        self.details.participants = participants::to_csv(participants);
    }

    fn into_details(self) -> Details {
        Details { metadata: self.metadata.into(), ..self.details }
    }
}
