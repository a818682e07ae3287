//! The Zoom archive with its indexes: by UUID, number, host and download URL.

use std::collections::HashMap;

use jiff::Timestamp;

use super::archive::{Archive, Content, FileLocation, FileStatus, Host, Meeting, MeetingFile};
use super::file_paths::{all_files, media_path, opaque, web_path};
use super::zoom_trash::TrashedMeeting;

/// The archive, its meetings newest first, and the targets of its URLs.
#[derive(Debug)]
pub(super) struct Store {
    pub(super) archive: Archive,
    by_uuid: HashMap<String, usize>,
    by_link: HashMap<String, (usize, usize)>,
    /// Files of earlier revisions, by download URL.
    former: HashMap<String, (Meeting, MeetingFile)>,
    pub(super) trash: Vec<TrashedMeeting>,
    /// Whether URLs of trashed recordings work.
    pub(super) trash_downloads: bool,
}

#[derive(Clone, Debug)]
pub struct Object {
    /// UUID of its meeting.
    pub meeting: String,
    pub topic: String,
    pub file_id: Option<String>,
    pub file_type: String,
    pub recording_type: Option<String>,
    pub recording_start: Timestamp,
    pub length: u64,
    /// Path of its download URL on the web host, for a [`Trigger`](super::Trigger).
    pub web_path: String,
    /// Path of its signed URLs on the media host, for a [`Trigger`](super::Trigger).
    pub media_path: String,
    pub content: Content,
}

impl Object {
    /// Returns the SHA-256 in lower-case hexadecimal. A pattern is computed from end to end.
    pub fn sha256(&self) -> String {
        self.content.sha256()
    }
}

impl Store {
    pub(super) fn new(archive: Archive, trash_downloads: bool) -> Self {
        let mut store = Self {
            archive,
            by_uuid: HashMap::new(),
            by_link: HashMap::new(),
            former: HashMap::new(),
            trash: Vec::new(),
            trash_downloads,
        };
        store.move_deleted_to_trash();
        store.index();
        store
    }

    fn index(&mut self) {
        self.archive
            .meetings
            .sort_by(|a, b| b.start.cmp(&a.start).then_with(|| a.uuid.cmp(&b.uuid)));
        self.by_uuid.clear();
        self.by_link.clear();
        for (at, meeting) in self.archive.meetings.iter().enumerate() {
            self.by_uuid.insert(meeting.uuid.clone(), at);
            for (place, file) in all_files(meeting).enumerate() {
                if file.is_downloadable() {
                    self.by_link.insert(opaque(meeting, file), (at, place));
                }
            }
        }
    }

    pub(super) fn hosts(&self) -> &[Host] {
        &self.archive.hosts
    }

    pub(super) fn meetings(&self) -> &[Meeting] {
        &self.archive.meetings
    }

    pub(super) fn by_uuid(&self, uuid: &str) -> Option<&Meeting> {
        self.by_uuid.get(uuid).and_then(|&at| self.archive.meetings.get(at))
    }

    /// Returns the file of a URL, with its meeting.
    pub(super) fn by_link(&self, opaque: &str) -> Option<(&Meeting, &MeetingFile)> {
        let Some(&(at, place)) = self.by_link.get(opaque) else {
            let former = self.former.get(opaque).map(|(meeting, file)| (meeting, file));
            return former.or_else(|| self.trashed_by_link(opaque));
        };
        let meeting = self.archive.meetings.get(at)?;
        Some((meeting, all_files(meeting).nth(place)?))
    }

    /// Adds a meeting, or replaces the one with its UUID.
    pub(super) fn add_meeting(&mut self, meeting: Meeting) {
        self.archive.meetings.retain(|old| old.uuid != meeting.uuid);
        self.archive.meetings.push(meeting);
        self.index();
    }

    pub(super) fn remove_meeting(&mut self, uuid: &str) -> bool {
        self.change(|meetings| {
            let before = meetings.len();
            meetings.retain(|meeting| meeting.uuid != uuid);
            meetings.len() < before
        })
    }

    /// Changes a meeting. Returns false if it does not exist.
    pub(super) fn change_meeting(&mut self, uuid: &str, change: impl FnOnce(&mut Meeting)) -> bool {
        let before = self.by_uuid(uuid).cloned();
        let changed = self.change(|meetings| {
            meetings.iter_mut().find(|meeting| meeting.uuid == uuid).map(change).is_some()
        });
        let after = self.by_uuid(uuid).cloned();
        for (before, after) in before.iter().zip(&after) {
            for (old, new) in before.files.iter().zip(&after.files) {
                if old.revision < new.revision {
                    self.former.insert(opaque(before, old), (before.clone(), old.clone()));
                }
            }
        }
        changed
    }

    fn change(&mut self, change: impl FnOnce(&mut Vec<Meeting>) -> bool) -> bool {
        let changed = change(&mut self.archive.meetings);
        self.index();
        changed
    }

    pub(super) fn objects(&self) -> Vec<Object> {
        let of_meeting = |meeting: &Meeting| {
            all_files(meeting)
                .filter(|file| file.is_downloadable())
                .map(|file| Object {
                    meeting: meeting.uuid.clone(),
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
        self.archive.meetings.iter().flat_map(of_meeting).collect()
    }

    /// Moves meetings with a deletion time to the trash.
    pub(super) fn move_deleted_to_trash(&mut self) {
        let all = std::mem::take(&mut self.archive.meetings);
        for mut meeting in all {
            match meeting.deleted.take() {
                Some(deleted) => {
                    self.trash.push(TrashedMeeting { meeting, deleted, is_whole: true })
                }
                None => self.archive.meetings.push(meeting),
            }
        }
    }

    /// Moves a meeting to the trash. Returns false if it does not exist.
    pub(super) fn trash_meeting(&mut self, uuid: &str, deleted: Timestamp) -> bool {
        let Some(meeting) = self.by_uuid(uuid).cloned() else { return false };
        self.trash.push(TrashedMeeting { meeting, deleted, is_whole: true });
        self.remove_meeting(uuid)
    }

    /// Moves the files of one kind to the trash. Returns false if there are none.
    pub(super) fn trash_files(&mut self, uuid: &str, file_type: &str, deleted: Timestamp) -> bool {
        let Some(mut meeting) = self.by_uuid(uuid).cloned() else { return false };
        let is_meant = |file: &MeetingFile| file.file_type == file_type;
        meeting.files.retain(is_meant);
        meeting.participant_audio.clear();
        let found = !meeting.files.is_empty();
        if found {
            self.trash.push(TrashedMeeting { meeting, deleted, is_whole: false });
            self.change_meeting(uuid, |meeting| meeting.files.retain(|file| !is_meant(file)));
        }
        found
    }

    /// Restores everything of a meeting. Returns false if nothing is in the trash.
    pub(super) fn restore(&mut self, uuid: &str) -> bool {
        let taken = self.take_from_trash(uuid);
        let found = !taken.is_empty();
        for TrashedMeeting { meeting, is_whole, .. } in taken {
            if is_whole {
                self.add_meeting(meeting);
            } else {
                self.change_meeting(uuid, |there| there.files.extend(meeting.files));
            }
        }
        found
    }

    /// Permanently deletes everything of a meeting in the trash. Returns false if nothing is there.
    pub(super) fn purge(&mut self, uuid: &str) -> bool {
        !self.take_from_trash(uuid).is_empty()
    }

    /// Returns whole meetings first.
    fn take_from_trash(&mut self, uuid: &str) -> Vec<TrashedMeeting> {
        let (mut taken, left): (Vec<_>, Vec<_>) = std::mem::take(&mut self.trash)
            .into_iter()
            .partition(|trashed| trashed.meeting.uuid == uuid);
        self.trash = left;
        taken.sort_by_key(|trashed| !trashed.is_whole);
        taken
    }

    pub(super) fn trash(&self) -> &[TrashedMeeting] {
        &self.trash
    }

    /// Returns the trashed file of a URL, if trash is served.
    pub(super) fn trashed_by_link(&self, wanted: &str) -> Option<(&Meeting, &MeetingFile)> {
        let trash = self.trash.iter().filter(|_| self.trash_downloads);
        trash.map(|trashed| &trashed.meeting).find_map(|meeting| {
            let file = all_files(meeting).find(|file| opaque(meeting, file) == wanted)?;
            Some((meeting, file))
        })
    }
}

impl MeetingFile {
    fn is_downloadable(&self) -> bool {
        self.status != FileStatus::Processing && !matches!(self.place, FileLocation::OnPremise(_))
    }
}
