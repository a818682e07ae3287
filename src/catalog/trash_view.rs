//! What is shown of a recycle bin, and what is to be found out about it.

use std::sync::Arc;

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

use super::source::Source;
use super::store::EnrichmentTask;
use super::trash::{Trash, TrashedMeeting, Trial};
use crate::model::{Availability, Meeting, MeetingContents, MeetingId, RecordingFile};
use crate::providers::RecycleBin;

/// How long a refusal is believed. An account's settings change rarely, and one request a file and day is little.
const REFUSAL_HOLDS: SignedDuration = SignedDuration::from_hours(24);

impl Source {
    /// What the bin holds and the filter lets through, as it is shown.
    fn trashed(&self) -> impl Iterator<Item = (&TrashedMeeting, Meeting)> {
        let trash = &self.trash;
        let bin = trash.bin.into_iter();
        bin.flat_map(move |bin| {
            trash
                .lying
                .values()
                .filter_map(move |lying| Some((lying, self.shown_in_trash(lying, bin)?)))
        })
    }

    /// `None` where nothing of it lies there any more, or the filter hides it.
    fn shown_in_trash(&self, lying: &TrashedMeeting, bin: RecycleBin) -> Option<Meeting> {
        let listed = &lying.trashed.meeting;
        let there = self.meetings.get(&MeetingId::from(listed.id.of_provider()));
        let is_there = |file: &RecordingFile| {
            there.is_some_and(|entry| {
                entry.meeting.files.iter().any(|other| other.id.key == file.id.key)
            })
        };
        let mut files: Vec<_> = listed.files.iter().filter(|file| !is_there(file)).collect();
        if files.is_empty() {
            return None;
        }
        let details = self.details.get(&listed.id).into_iter().flatten();
        for file in details.flat_map(|details| &details.files).filter(|file| !is_there(file)) {
            files.retain(|known| known.id.key != file.id.key);
            files.push(file);
        }
        let mut meeting = Meeting { files: files.into_iter().cloned().collect(), ..listed.clone() };
        if !self.filter.shows(&meeting) {
            return None;
        }
        meeting.files.retain(|file| self.filter.shows_file(file));
        for file in &mut meeting.files {
            file.availability = self.trash.availability(file, lying, bin);
        }
        // What stays where it was takes part in naming, hidden: a transcript whose video is still there is called after it,
        // as it was and as it will be again.
        let of_others = there.into_iter().flat_map(|entry| &entry.meeting.files);
        meeting.files.extend(of_others.cloned().map(|mut file| {
            file.id.meeting = listed.id.clone();
            file.availability = Availability::Processing;
            file
        }));
        meeting.expires = Some(lying.expires(bin));
        let mut facts = meeting.metadata.to_map();
        match lying.trashed.deleted {
            Some(deleted) => facts.insert("deleted_time".into(), deleted.to_string().into()),
            None => facts.insert("expires_is_latest".into(), true.into()),
        };
        meeting.metadata = facts.into();
        Some(meeting)
    }

    /// What the bin shows, for the tree.
    pub(super) fn trash_views(&self) -> Vec<MeetingContents> {
        let view = |(_, meeting): (&TrashedMeeting, Meeting)| {
            let meeting = Arc::new(meeting);
            let document = self.document(&meeting);
            let size =
                |file: &RecordingFile| Some((file.id.key.clone(), self.size(&meeting, file)?));
            let sizes = meeting.files.iter().filter_map(size).collect();
            MeetingContents { meeting, sizes, document }
        };
        self.trashed().map(view).collect()
    }

    /// How many meetings the bin shows.
    pub(super) fn trash_count(&self) -> u64 {
        self.trashed().count() as u64
    }

    /// What is to be found out about what lies in the bin, newest meeting first.
    pub(super) fn trash_questions(&self, now: Timestamp) -> Vec<EnrichmentTask> {
        let mut shown: Vec<_> = self.trashed().map(|(_, meeting)| meeting).collect();
        shown.sort_by(|a, b| (b.start, &b.id).cmp(&(a.start, &a.id)));
        // First what there is of each: the files of some are known only then.
        let details = shown
            .iter()
            .filter(|meeting| !self.details.contains_key(&meeting.id))
            .map(|meeting| EnrichmentTask::Details(meeting.id.clone()));
        let listed = shown.iter().filter_map(|meeting| {
            let lying = self.trash.lying.get(&meeting.id)?;
            let details = self.details.get(&meeting.id).into_iter().flatten();
            Some((
                meeting,
                lying.trashed.meeting.files.iter().chain(details.flat_map(|it| &it.files)),
            ))
        });
        let trials = listed.flat_map(|(meeting, files)| {
            let there = self.meetings.get(&MeetingId::from(meeting.id.of_provider()));
            let is_there = move |file: &RecordingFile| {
                there.is_some_and(|entry| {
                    entry.meeting.files.iter().any(|it| it.id.key == file.id.key)
                })
            };
            let shown = move |file: &&RecordingFile| {
                meeting.files.iter().any(|it| it.id.key == file.id.key) && !is_there(file)
            };
            files
                .filter(shown)
                .filter(|file| self.trash.is_to_be_tried(file, now))
                .map(|file| EnrichmentTask::Trial(file.id.clone(), file.version, file.body))
        });
        details.chain(trials).collect()
    }
}

impl Trash {
    /// Whether it is to be found out if the file is given out.
    fn is_to_be_tried(&self, file: &RecordingFile, now: Timestamp) -> bool {
        let trial = self.trials.get(&(file.id.meeting.clone(), file.id.key.clone()));
        file.availability != Availability::Processing
            && trial.is_none_or(|trial| {
                trial.version != file.version
                    || (trial.refusal.is_some() && REFUSAL_HOLDS <= now.duration_since(trial.at))
            })
    }

    fn availability(
        &self,
        file: &RecordingFile,
        lying: &TrashedMeeting,
        bin: RecycleBin,
    ) -> Availability {
        let trial = self.trials.get(&(file.id.meeting.clone(), file.id.key.clone()));
        match trial.filter(|trial| trial.version == file.version) {
            _ if file.availability == Availability::Processing => Availability::Processing,
            None => Availability::Processing,
            Some(Trial { refusal: None, .. }) => Availability::Ready,
            Some(Trial { refusal: Some(why), .. }) => {
                Availability::Unavailable(note(why, lying, bin))
            }
        }
    }
}

/// What stands where a file would that the bin does not give out.
fn note(why: &str, lying: &TrashedMeeting, bin: RecycleBin) -> String {
    let day = TimeZone::UTC.to_datetime(lying.expires(bin)).date();
    let until = if lying.trashed.deleted.is_some() { "until" } else { "at the latest until" };
    format!(
        "This file was deleted. It lies in {}, which does not give it out: {}.\nTo have it back, {} {until} {day}; it then stands again where it stood. After that it is deleted for good.",
        bin.name,
        why.trim_end_matches('.'),
        bin.fix
    )
}
