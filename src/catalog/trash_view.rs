//! What is shown of a meeting in a recycle bin, and which of its files must be probed.

use std::sync::Arc;

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

use super::filter::Filter;
use super::trash::{DownloadProbe, MeetingProbes, TrashedMeeting};
use crate::model::{Availability, Details, Meeting, RecordingFile};
use crate::providers::RecycleBin;

/// How long a refusal holds. The settings of an account rarely change, and one request per file and
/// day is cheap.
const REFUSAL_TTL: SignedDuration = SignedDuration::from_hours(24);

/// A trashed meeting with everything that decides how it is shown.
#[derive(Debug)]
pub(super) struct TrashView {
    pub(super) trashed: Arc<TrashedMeeting>,
    pub(super) bin: RecycleBin,
    /// The meeting as it is listed outside the recycle bin, if it is.
    pub(super) listed: Option<Arc<Meeting>>,
    /// As in [`CatalogEntry::new`](super::entry::CatalogEntry::new).
    pub(super) details: Option<Option<Arc<Details>>>,
    pub(super) probes: Option<Arc<MeetingProbes>>,
}

impl TrashView {
    /// Returns the meeting as it is shown, or `None` if all of it is listed in its original place
    /// or the filter hides it.
    pub(super) fn meeting(&self, filter: &Filter) -> Option<Meeting> {
        let trashed = &self.trashed.entry.meeting;
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
        // Files that are still in their original place take part in naming, hidden. So a transcript
        // whose video is there has the name that it had and will have again.
        let others = self.listed.iter().flat_map(|listed| &listed.files);
        meeting.files.extend(others.cloned().map(|mut file| {
            file.id.meeting = trashed.id.clone();
            file.availability = Availability::Absent;
            file
        }));
        meeting.expires = Some(self.trashed.expires(self.bin));
        let mut metadata = meeting.metadata.to_map();
        match self.trashed.entry.deleted {
            Some(deleted) => metadata.insert("deleted_time".into(), deleted.to_string().into()),
            None => metadata.insert("expires_is_latest".into(), true.into()),
        };
        meeting.metadata = metadata.into();
        Some(meeting)
    }

    /// Returns the files of `shown`, a result of [`meeting`](Self::meeting), that must be probed.
    pub(super) fn files_to_probe<'a>(
        &'a self,
        shown: &'a Meeting,
        now: Timestamp,
    ) -> impl Iterator<Item = &'a RecordingFile> {
        let files = self.trashed.entry.meeting.files.iter().chain(self.detail_files());
        let is_shown = |file: &RecordingFile| {
            shown.files.iter().any(|other| other.id.key == file.id.key) && !self.is_listed(file)
        };
        files.filter(move |file| is_shown(file) && self.needs_probe(file, now))
    }

    fn detail_files(&self) -> impl Iterator<Item = &RecordingFile> {
        self.details.iter().flatten().flat_map(|details| &details.files)
    }

    /// Returns whether the file is listed in its original place.
    fn is_listed(&self, file: &RecordingFile) -> bool {
        let listed = self.listed.as_ref();
        listed.is_some_and(|listed| listed.files.iter().any(|other| other.id.key == file.id.key))
    }

    fn needs_probe(&self, file: &RecordingFile, now: Timestamp) -> bool {
        file.availability != Availability::Processing
            && self.probe(file).is_none_or(|probe| {
                probe.refusal.is_some() && REFUSAL_TTL <= now.duration_since(probe.at)
            })
    }

    /// Returns the probe of this version of the file.
    fn probe(&self, file: &RecordingFile) -> Option<&DownloadProbe> {
        let probe = self.probes.as_ref()?.get(&file.id.key);
        probe.filter(|probe| probe.version == file.version)
    }

    fn availability(&self, file: &RecordingFile) -> Availability {
        match self.probe(file) {
            _ if file.availability == Availability::Processing => Availability::Processing,
            None => Availability::Processing,
            Some(DownloadProbe { refusal: None, .. }) => Availability::Ready,
            Some(DownloadProbe { refusal: Some(reason), .. }) => {
                Availability::Unavailable(self.note(reason))
            }
        }
    }

    /// Returns the text in place of a file that cannot be downloaded from the recycle bin.
    fn note(&self, reason: &str) -> String {
        let day = TimeZone::UTC.to_datetime(self.trashed.expires(self.bin)).date();
        let at_the_latest =
            if self.trashed.entry.deleted.is_some() { "" } else { " at the latest" };
        let mut fix = self.bin.fix.chars();
        let fix: String = fix.next().into_iter().flat_map(char::to_uppercase).chain(fix).collect();
        format!(
            "This recording was deleted. It is in {}, which does not allow downloads: {}.\n\
             {fix} by {day}{at_the_latest}, and it reappears in its original directory. \
             After that it is deleted permanently.",
            self.bin.name,
            reason.trim_end_matches('.'),
        )
    }
}
