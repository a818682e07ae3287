//! Determines how a meeting in the recycle bin is shown, and which of its files must be probed.

use std::sync::Arc;

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

use super::filter::Filter;
use super::trash::{DownloadProbe, MeetingProbes, TrashedMeeting};
use crate::model::{Availability, Details, Meeting, RecordingFile};
use crate::providers::RecycleBin;

/// Time after which a refused file is probed again. The settings of an account rarely change, and
/// one request per file and day is cheap.
const REFUSAL_TTL: SignedDuration = SignedDuration::from_hours(24);

/// A meeting in the recycle bin, with all data that determines how it is shown.
#[derive(Debug)]
pub(super) struct TrashView {
    pub(super) trashed_meeting: Arc<TrashedMeeting>,
    pub(super) recycle_bin: RecycleBin,
    /// The same meeting outside the recycle bin, if it is listed there.
    pub(super) listed_meeting: Option<Arc<Meeting>>,
    /// The details of the meeting: `None` if they are not known, and `Some(None)` if the provider
    /// has no details.
    pub(super) details: Option<Option<Arc<Details>>>,
    pub(super) probes: Option<Arc<MeetingProbes>>,
}

impl TrashView {
    /// Returns the meeting as it is shown. Returns `None` if all its files are listed in their
    /// original place, or if the filter hides it.
    pub(super) fn visible_meeting(&self, filter: &Filter) -> Option<Meeting> {
        let trashed = &self.trashed_meeting.entry.meeting;
        let mut files: Vec<_> = trashed.files.iter().filter(|file| !self.is_listed(file)).collect();
        if files.is_empty() {
            return None;
        }
        for file in self.detail_files().filter(|file| !self.is_listed(file)) {
            files.retain(|other| other.id.key != file.id.key);
            files.push(file);
        }
        let files = files.into_iter().cloned().collect();
        let mut meeting = Meeting { files, ..trashed.clone() };
        if !filter.shows(&meeting) {
            return None;
        }
        meeting.files.retain(|file| filter.shows_file(file));
        for file in &mut meeting.files {
            file.availability = self.availability(file);
        }
        // Files that are still in their original place are added as hidden files, because they
        // affect the names of the others. So a transcript keeps its name if its video is still in
        // the original place.
        let listed_files = self.listed_meeting.iter().flat_map(|listed| &listed.files);
        meeting.files.extend(listed_files.cloned().map(|mut file| {
            file.id.meeting = trashed.id.clone();
            file.availability = Availability::Absent;
            file
        }));
        meeting.expires = Some(self.trashed_meeting.expires_at(self.recycle_bin));
        let mut metadata = meeting.metadata.to_map();
        match self.trashed_meeting.entry.deleted {
            Some(deleted) => metadata.insert("deleted_time".into(), deleted.to_string().into()),
            None => metadata.insert("expires_is_latest".into(), true.into()),
        };
        meeting.metadata = metadata.into();
        Some(meeting)
    }

    /// Returns the files of the meeting that must be probed. `visible_meeting` must be the result
    /// of [`Self::visible_meeting`].
    pub(super) fn files_to_probe<'a>(
        &'a self,
        visible_meeting: &'a Meeting,
        now: Timestamp,
    ) -> impl Iterator<Item = &'a RecordingFile> {
        let files = self.trashed_meeting.entry.meeting.files.iter().chain(self.detail_files());
        let is_visible = |file: &RecordingFile| {
            visible_meeting.files.iter().any(|other| other.id.key == file.id.key)
                && !self.is_listed(file)
        };
        files.filter(move |file| is_visible(file) && self.needs_probe(file, now))
    }

    fn detail_files(&self) -> impl Iterator<Item = &RecordingFile> {
        self.details.iter().flatten().flat_map(|details| &details.files)
    }

    /// Returns whether the file is listed in its original place.
    fn is_listed(&self, file: &RecordingFile) -> bool {
        let mut listed_files = self.listed_meeting.iter().flat_map(|listed| &listed.files);
        listed_files.any(|listed| listed.id.key == file.id.key)
    }

    fn needs_probe(&self, file: &RecordingFile, now: Timestamp) -> bool {
        file.availability != Availability::Processing
            && self.current_probe(file).is_none_or(|probe| {
                probe.refusal.is_some() && REFUSAL_TTL <= now.duration_since(probe.probed_at)
            })
    }

    /// Returns the last probe of this version of the file.
    fn current_probe(&self, file: &RecordingFile) -> Option<&DownloadProbe> {
        let probe = self.probes.as_ref()?.get(&file.id.key);
        probe.filter(|probe| probe.version == file.version)
    }

    fn availability(&self, file: &RecordingFile) -> Availability {
        match self.current_probe(file) {
            _ if file.availability == Availability::Processing => Availability::Processing,
            None => Availability::Processing,
            Some(DownloadProbe { refusal: None, .. }) => Availability::Ready,
            Some(DownloadProbe { refusal: Some(reason), .. }) => {
                Availability::Unavailable(self.note_text(reason))
            }
        }
    }

    /// Returns the text that is shown in place of a file that cannot be downloaded.
    fn note_text(&self, reason: &str) -> String {
        let day =
            TimeZone::UTC.to_datetime(self.trashed_meeting.expires_at(self.recycle_bin)).date();
        let upper_bound_suffix =
            if self.trashed_meeting.entry.deleted.is_some() { "" } else { " at the latest" };
        let fix = capitalize(self.recycle_bin.fix);
        format!(
            "This recording was deleted. It is in {}, which does not allow downloads. {}.\n\
             {fix} by {day}{upper_bound_suffix}, and it reappears in its original directory. \
             After that day, it is deleted permanently.",
            self.recycle_bin.name,
            capitalize(reason.trim_end_matches('.')),
        )
    }
}

/// Converts the first character of a sentence to upper case, unless the sentence begins with a URL.
fn capitalize(sentence: &str) -> String {
    if sentence.starts_with("http://") || sentence.starts_with("https://") {
        return sentence.to_owned();
    }
    let mut characters = sentence.chars();
    let first_character = characters.next().into_iter().flat_map(char::to_uppercase);
    first_character.chain(characters).collect()
}
