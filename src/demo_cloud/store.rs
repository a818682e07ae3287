//! The archive with the ways into it: by UUID, by number, by host, by download link.

use std::collections::HashMap;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use jiff::tz::Offset;
use sha2::{Digest, Sha256};

use super::archive::{Archive, Content, FileStatus, Host, Meeting, MeetingFile, Place};
use super::zoom_trash::Trashed;

/// The archive, its meetings sorted newest first, and where its links lead.
#[derive(Debug)]
pub(super) struct Store {
    pub(super) archive: Archive,
    by_uuid: HashMap<String, usize>,
    by_link: HashMap<String, (usize, usize)>,
    pub(super) trash: Vec<Trashed>,
    /// Whether links to what lies in the trash work.
    pub(super) trash_downloads: bool,
}

/// Something that can be downloaded.
#[derive(Clone, Debug)]
pub struct Object {
    /// UUID of its meeting.
    pub meeting: String,
    /// The meeting's topic.
    pub topic: String,
    /// The file id, where it has one.
    pub file_id: Option<String>,
    /// The kind.
    pub file_type: String,
    /// The view, where one is listed.
    pub recording_type: Option<String>,
    /// When this part began.
    pub recording_start: Timestamp,
    /// The true length in bytes.
    pub length: u64,
    /// The path of its download link on the web host; a [`Trigger`](super::Trigger) can name it.
    pub web_path: String,
    /// The path of its signed links on the media host; a [`Trigger`](super::Trigger) can name it.
    pub media_path: String,
    /// Its bytes.
    pub content: Content,
}

impl Object {
    /// The SHA-256 of its bytes in lower-case hexadecimal. A pattern is made once for it from end to end.
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
            trash: Vec::new(),
            trash_downloads,
        };
        store.trash_deleted();
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

    /// All meetings, newest first.
    pub(super) fn meetings(&self) -> &[Meeting] {
        &self.archive.meetings
    }

    pub(super) fn by_uuid(&self, uuid: &str) -> Option<&Meeting> {
        self.by_uuid.get(uuid).and_then(|&at| self.archive.meetings.get(at))
    }

    /// The file behind a link, with its meeting.
    pub(super) fn by_link(&self, opaque: &str) -> Option<(&Meeting, &MeetingFile)> {
        let Some(&(at, place)) = self.by_link.get(opaque) else {
            return self.trashed_by_link(opaque);
        };
        let meeting = self.archive.meetings.get(at)?;
        Some((meeting, all_files(meeting).nth(place)?))
    }

    /// Adds a meeting, or puts it in the place of the one with its UUID.
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

    /// Changes one meeting; false if there is none with that UUID.
    pub(super) fn change_meeting(&mut self, uuid: &str, change: impl FnOnce(&mut Meeting)) -> bool {
        self.change(|meetings| {
            meetings.iter_mut().find(|meeting| meeting.uuid == uuid).map(change).is_some()
        })
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
}

impl MeetingFile {
    fn is_downloadable(&self) -> bool {
        self.status != FileStatus::Processing && !matches!(self.place, Place::OnPremise(_))
    }
}

pub(super) fn all_files(meeting: &Meeting) -> impl Iterator<Item = &MeetingFile> {
    meeting.files.iter().chain(&meeting.participant_audio)
}

/// The path of a file's download link, the same on every listing.
pub(super) fn web_path(meeting: &Meeting, file: &MeetingFile) -> String {
    format!("/rec/download/{}", opaque(meeting, file))
}

/// The path of a file's signed links.
pub(super) fn media_path(meeting: &Meeting, file: &MeetingFile) -> String {
    replay_path(&opaque(meeting, file), file)
}

/// The same for a file whose links have `opaque` in them.
pub(super) fn replay_path(opaque: &str, file: &MeetingFile) -> String {
    let start = Offset::UTC.to_datetime(file.recording_start).strftime("%Y%m%d-%H%M%S").to_string();
    let size = if file.file_type == "MP4" { "_1920x1080" } else { "" };
    let extension = file.true_extension().to_ascii_lowercase();
    format!("/replay/{opaque}/GMT{start}_Recording{size}.{extension}")
}

pub(super) fn opaque(meeting: &Meeting, file: &MeetingFile) -> String {
    let start = file.recording_start.to_string();
    let view = file.recording_type.as_deref().unwrap_or("");
    let key =
        [&meeting.uuid, file.id.as_deref().unwrap_or(""), &file.file_type, view, &start].join("\n");
    URL_SAFE_NO_PAD.encode(Sha256::digest(key))
}
