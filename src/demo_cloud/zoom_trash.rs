//! Zoom's trash: what was deleted, whole meetings and single files, until it is restored or deleted for good.

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::archive::{Meeting, MeetingFile};
use super::store::{Store, all_files, opaque};
use super::zoom_json::meeting_json;

/// A meeting in the trash, or those of its files that were deleted by themselves.
#[derive(Clone, Debug)]
pub(super) struct Trashed {
    /// With the files that lie there and no others.
    pub(super) meeting: Meeting,
    pub(super) deleted: Timestamp,
    /// Whether the meeting itself is not there any more.
    pub(super) is_whole: bool,
}

impl Trashed {
    /// The entry in the list of the trash: each file says when it was deleted ("List all recordings").
    pub(super) fn json(&self, host_id: &str, web_origin: &str) -> Map<String, Value> {
        let mut entry = meeting_json(&self.meeting, host_id, web_origin);
        let files = entry.get_mut("recording_files").and_then(Value::as_array_mut);
        for file in files.into_iter().flatten().filter_map(Value::as_object_mut) {
            file.insert("deleted_time".into(), json!(self.deleted.to_string()));
        }
        entry
    }
}

impl Store {
    /// Moves every meeting to the trash that says that it is deleted.
    pub(super) fn trash_deleted(&mut self) {
        let all = std::mem::take(&mut self.archive.meetings);
        for mut meeting in all {
            match meeting.deleted.take() {
                Some(deleted) => self.trash.push(Trashed { meeting, deleted, is_whole: true }),
                None => self.archive.meetings.push(meeting),
            }
        }
    }

    /// Moves a meeting to the trash; false if there is none with that UUID.
    pub(super) fn trash_meeting(&mut self, uuid: &str, deleted: Timestamp) -> bool {
        let Some(meeting) = self.by_uuid(uuid).cloned() else { return false };
        self.trash.push(Trashed { meeting, deleted, is_whole: true });
        self.remove_meeting(uuid)
    }

    /// Moves the files of a meeting that are of this kind to the trash; false if there are none.
    pub(super) fn trash_files(&mut self, uuid: &str, file_type: &str, deleted: Timestamp) -> bool {
        let Some(mut meeting) = self.by_uuid(uuid).cloned() else { return false };
        let is_meant = |file: &MeetingFile| file.file_type == file_type;
        meeting.files.retain(is_meant);
        meeting.participant_audio.clear();
        let found = !meeting.files.is_empty();
        if found {
            self.trash.push(Trashed { meeting, deleted, is_whole: false });
            self.change_meeting(uuid, |meeting| meeting.files.retain(|file| !is_meant(file)));
        }
        found
    }

    /// Puts everything of a meeting back that lies in the trash; false if nothing does.
    pub(super) fn restore(&mut self, uuid: &str) -> bool {
        let taken = self.take_from_trash(uuid);
        let found = !taken.is_empty();
        for Trashed { meeting, is_whole, .. } in taken {
            if is_whole {
                self.add_meeting(meeting);
            } else {
                self.change_meeting(uuid, |there| there.files.extend(meeting.files));
            }
        }
        found
    }

    /// Deletes everything of a meeting for good that lies in the trash; false if nothing does.
    pub(super) fn purge(&mut self, uuid: &str) -> bool {
        !self.take_from_trash(uuid).is_empty()
    }

    /// Whole meetings come first.
    fn take_from_trash(&mut self, uuid: &str) -> Vec<Trashed> {
        let (mut taken, left): (Vec<_>, Vec<_>) = std::mem::take(&mut self.trash)
            .into_iter()
            .partition(|trashed| trashed.meeting.uuid == uuid);
        self.trash = left;
        taken.sort_by_key(|trashed| !trashed.is_whole);
        taken
    }

    /// What lies in the trash.
    pub(super) fn trash(&self) -> &[Trashed] {
        &self.trash
    }

    /// The file in the trash behind a link, if such files are given out.
    pub(super) fn trashed_by_link(&self, wanted: &str) -> Option<(&Meeting, &MeetingFile)> {
        let trash = self.trash.iter().filter(|_| self.trash_downloads);
        trash.map(|trashed| &trashed.meeting).find_map(|meeting| {
            let file = all_files(meeting).find(|file| opaque(meeting, file) == wanted)?;
            Some((meeting, file))
        })
    }
}
