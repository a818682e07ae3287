//! The Zoom archive with its indexes: by UUID, and by the id in download URLs.

use std::collections::HashMap;

use jiff::Timestamp;

use super::archive::{Archive, Content, Meeting, MeetingFile, User};
use super::file_paths::{all_files, media_path, opaque_id, web_path};
use super::zoom_trash::TrashedMeeting;

/// The archive, with its meetings sorted newest first, and its trash.
#[derive(Debug)]
pub(super) struct Store {
    pub(super) archive: Archive,
    by_uuid: HashMap<String, usize>,
    by_opaque_id: HashMap<String, (usize, usize)>,
    /// Files of earlier revisions, by the id in their download URLs.
    earlier_files: HashMap<String, (Meeting, MeetingFile)>,
    pub(super) trash: Vec<TrashedMeeting>,
    /// Whether the files of trashed recordings are served.
    pub(super) is_trash_served: bool,
}

/// A file that can be downloaded, and its meeting.
#[derive(Clone, Debug)]
pub struct Object {
    /// UUID of the meeting.
    pub meeting_uuid: String,
    pub topic: String,
    pub file_id: Option<String>,
    pub file_type: String,
    pub recording_type: Option<String>,
    pub recording_start: Timestamp,
    pub length: u64,
    /// Path of the file's download URL on the web host. [`Trigger`](super::Trigger) selects
    /// requests by it.
    pub web_path: String,
    /// Path of the file's signed URLs on the media host. [`Trigger`](super::Trigger) selects
    /// requests by it.
    pub media_path: String,
    pub content: Content,
}

impl Object {
    /// Returns the SHA-256 digest in lower-case hexadecimal. For a pattern, this computes all
    /// bytes.
    pub fn sha256(&self) -> String {
        self.content.sha256()
    }
}

impl Store {
    pub(super) fn new(archive: Archive, is_trash_served: bool) -> Self {
        let mut store = Self {
            archive,
            by_uuid: HashMap::new(),
            by_opaque_id: HashMap::new(),
            earlier_files: HashMap::new(),
            trash: Vec::new(),
            is_trash_served,
        };
        store.move_deleted_to_trash();
        store.rebuild_indexes();
        store
    }

    fn rebuild_indexes(&mut self) {
        self.archive
            .meetings
            .sort_by(|a, b| b.start.cmp(&a.start).then_with(|| a.uuid.cmp(&b.uuid)));
        self.by_uuid.clear();
        self.by_opaque_id.clear();
        for (meeting_index, meeting) in self.archive.meetings.iter().enumerate() {
            self.by_uuid.insert(meeting.uuid.clone(), meeting_index);
            for (file_index, file) in all_files(meeting).enumerate() {
                if file.is_downloadable() {
                    self.by_opaque_id.insert(opaque_id(meeting, file), (meeting_index, file_index));
                }
            }
        }
    }

    pub(super) fn users(&self) -> &[User] {
        &self.archive.users
    }

    pub(super) fn meetings(&self) -> &[Meeting] {
        &self.archive.meetings
    }

    pub(super) fn find_meeting(&self, uuid: &str) -> Option<&Meeting> {
        self.by_uuid.get(uuid).and_then(|&index| self.archive.meetings.get(index))
    }

    /// Returns the file whose URLs contain this id, and its meeting.
    pub(super) fn find_file(&self, opaque_id: &str) -> Option<(&Meeting, &MeetingFile)> {
        let Some(&(meeting_index, file_index)) = self.by_opaque_id.get(opaque_id) else {
            let earlier_file =
                self.earlier_files.get(opaque_id).map(|(meeting, file)| (meeting, file));
            return earlier_file.or_else(|| self.find_trashed_file(opaque_id));
        };
        let meeting = self.archive.meetings.get(meeting_index)?;
        Some((meeting, all_files(meeting).nth(file_index)?))
    }

    /// Adds a meeting, or replaces the meeting with the same UUID.
    pub(super) fn add_meeting(&mut self, meeting: Meeting) {
        self.archive.meetings.retain(|existing| existing.uuid != meeting.uuid);
        self.archive.meetings.push(meeting);
        self.rebuild_indexes();
    }

    pub(super) fn remove_meeting(&mut self, uuid: &str) -> bool {
        self.change_meetings(|meetings| {
            let previous_len = meetings.len();
            meetings.retain(|meeting| meeting.uuid != uuid);
            meetings.len() < previous_len
        })
    }

    /// Applies `change` to a meeting. Returns `false` if the meeting does not exist.
    pub(super) fn change_meeting(&mut self, uuid: &str, change: impl FnOnce(&mut Meeting)) -> bool {
        let previous_meeting = self.find_meeting(uuid).cloned();
        let is_found = self.change_meetings(|meetings| {
            meetings.iter_mut().find(|meeting| meeting.uuid == uuid).map(change).is_some()
        });
        let current_meeting = self.find_meeting(uuid).cloned();
        for (previous, current) in previous_meeting.iter().zip(&current_meeting) {
            for (old_file, new_file) in previous.files.iter().zip(&current.files) {
                if old_file.revision < new_file.revision {
                    self.earlier_files.insert(
                        opaque_id(previous, old_file),
                        (previous.clone(), old_file.clone()),
                    );
                }
            }
        }
        is_found
    }

    fn change_meetings(&mut self, change: impl FnOnce(&mut Vec<Meeting>) -> bool) -> bool {
        let is_found = change(&mut self.archive.meetings);
        self.rebuild_indexes();
        is_found
    }

    pub(super) fn objects(&self) -> Vec<Object> {
        let objects_of_meeting = |meeting: &Meeting| {
            all_files(meeting)
                .filter(|file| file.is_downloadable())
                .map(|file| Object {
                    meeting_uuid: meeting.uuid.clone(),
                    topic: meeting.topic.clone(),
                    file_id: file.id.clone(),
                    file_type: file.file_type.clone(),
                    recording_type: file.recording_type.clone(),
                    recording_start: file.recording_start,
                    length: file.content.length(),
                    web_path: web_path(meeting, file),
                    media_path: media_path(meeting, file),
                    content: file.content.clone(),
                })
                .collect::<Vec<_>>()
        };
        self.archive.meetings.iter().flat_map(objects_of_meeting).collect()
    }

    /// Moves all meetings with a deletion time to the trash.
    pub(super) fn move_deleted_to_trash(&mut self) {
        let meetings = std::mem::take(&mut self.archive.meetings);
        for mut meeting in meetings {
            match meeting.deletion_time.take() {
                Some(deletion_time) => self.trash.push(TrashedMeeting {
                    meeting,
                    deletion_time,
                    is_whole_meeting: true,
                }),
                None => self.archive.meetings.push(meeting),
            }
        }
    }

    /// Moves a meeting to the trash. Returns `false` if it does not exist.
    pub(super) fn trash_meeting(&mut self, uuid: &str, deletion_time: Timestamp) -> bool {
        let Some(meeting) = self.find_meeting(uuid).cloned() else { return false };
        self.trash.push(TrashedMeeting { meeting, deletion_time, is_whole_meeting: true });
        self.remove_meeting(uuid)
    }

    /// Moves the files of one type to the trash. Returns `false` if there are none.
    pub(super) fn trash_files(
        &mut self,
        uuid: &str,
        file_type: &str,
        deletion_time: Timestamp,
    ) -> bool {
        let Some(mut meeting) = self.find_meeting(uuid).cloned() else { return false };
        let has_type = |file: &MeetingFile| file.file_type == file_type;
        meeting.files.retain(has_type);
        meeting.participant_audio.clear();
        let has_files = !meeting.files.is_empty();
        if has_files {
            self.trash.push(TrashedMeeting { meeting, deletion_time, is_whole_meeting: false });
            self.change_meeting(uuid, |meeting| meeting.files.retain(|file| !has_type(file)));
        }
        has_files
    }

    /// Restores a meeting and its files from the trash. Returns `false` if none of them is in the
    /// trash.
    pub(super) fn restore_meeting(&mut self, uuid: &str) -> bool {
        let removed_meetings = self.take_from_trash(uuid);
        let is_found = !removed_meetings.is_empty();
        for TrashedMeeting { meeting, is_whole_meeting, .. } in removed_meetings {
            if is_whole_meeting {
                self.add_meeting(meeting);
            } else {
                self.change_meeting(uuid, |existing| existing.files.extend(meeting.files));
            }
        }
        is_found
    }

    /// Permanently deletes a meeting and its files from the trash. Returns `false` if none of them
    /// is in the trash.
    pub(super) fn purge_meeting(&mut self, uuid: &str) -> bool {
        !self.take_from_trash(uuid).is_empty()
    }

    /// Removes a meeting and its files from the trash and returns them, with whole meetings first.
    fn take_from_trash(&mut self, uuid: &str) -> Vec<TrashedMeeting> {
        let (mut removed, remaining): (Vec<_>, Vec<_>) = std::mem::take(&mut self.trash)
            .into_iter()
            .partition(|trashed| trashed.meeting.uuid == uuid);
        self.trash = remaining;
        removed.sort_by_key(|trashed| !trashed.is_whole_meeting);
        removed
    }

    pub(super) fn trash(&self) -> &[TrashedMeeting] {
        &self.trash
    }

    /// Returns the trashed file whose URLs contain this id, if trashed files are served.
    pub(super) fn find_trashed_file(&self, requested_id: &str) -> Option<(&Meeting, &MeetingFile)> {
        let trash = self.trash.iter().filter(|_| self.is_trash_served);
        trash.map(|trashed| &trashed.meeting).find_map(|meeting| {
            let file = all_files(meeting).find(|file| opaque_id(meeting, file) == requested_id)?;
            Some((meeting, file))
        })
    }
}
