//! The recordings of a simulated Zoom account, and how they change over time.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::http::{Revision, random_length};
use crate::model::{BodyKind, FileId, current_time};

/// Number of meetings that exist during the whole soak and do not change.
const PERMANENT_MEETINGS: u64 = 12;

/// Number of recent meetings that the account has on average.
const RECENT_MEETINGS: usize = 60;

/// Maximum number of meetings in the recycle bin.
const MAX_TRASHED_MEETINGS: usize = 15;

/// How long the revisions of a deleted file are stored: longer than any handle is open.
const DELETED_FILE_TTL: Duration = Duration::from_secs(3 * 3600);

pub(super) const HOST_ID: &str = "host1";
pub(super) const HOST_EMAIL: &str = "host@example.org";

#[derive(Debug)]
pub(super) struct CloudFile {
    number: u64,
    version: u64,
    kind: FileKind,
    is_processing: bool,
    /// The bytes of the latest versions, the current one last.
    revisions: Vec<(u64, Arc<Revision>)>,
    /// The changes, the last one last.
    changes: Vec<(Instant, &'static str)>,
}

#[derive(Clone, Copy, Debug)]
struct FileKind {
    file_type: &'static str,
    view: &'static str,
    body: BodyKind,
}

const FILE_KINDS: [FileKind; 4] = [
    FileKind { file_type: "MP4", view: "shared_screen", body: BodyKind::IsoMedia },
    FileKind { file_type: "M4A", view: "audio_only", body: BodyKind::IsoMedia },
    FileKind { file_type: "TRANSCRIPT", view: "audio_transcript", body: BodyKind::WebVtt },
    FileKind { file_type: "CHAT", view: "chat_file", body: BodyKind::Opaque },
];

impl CloudFile {
    fn record_change(&mut self, change: &'static str) {
        self.changes.push((Instant::now(), change));
    }

    fn changed_at(&self) -> Instant {
        self.changes[self.changes.len() - 1].0
    }

    /// Returns the entry of the file in a listing.
    fn to_json(&self, start: Timestamp, deletion_time: Option<Timestamp>) -> Value {
        let (_, revision) = &self.revisions[self.revisions.len() - 1];
        let FileKind { file_type, view, .. } = self.kind;
        let end = start + Duration::from_secs(1800 + self.version);
        let url = format!("https://zoom.us/rec/download/{}/{}", self.number, self.version);
        let mut entry = json!({
            "id": format!("f{}", self.number), "recording_start": start.to_string(),
            "recording_end": end.to_string(), "file_type": file_type, "recording_type": view,
            "status": if self.is_processing { "processing" } else { "completed" },
            "download_url": url,
        });
        match self.number % 10 {
            // The listing omits the size.
            0 => {}
            // The listing states a wrong size.
            1 => entry["file_size"] = json!(revision.length + 7),
            _ => entry["file_size"] = json!(revision.length),
        }
        if let Some(time) = deletion_time {
            entry["deleted_time"] = json!(time.to_string());
        }
        entry
    }
}

#[derive(Debug)]
struct CloudMeeting {
    number: u64,
    start: Timestamp,
    /// The time at which the meeting was moved to the recycle bin.
    deletion_time: Option<Timestamp>,
    files: Vec<u64>,
}

/// The recordings of the account.
#[derive(Debug)]
pub(super) struct ZoomCloud {
    meetings: BTreeMap<u64, CloudMeeting>,
    files: HashMap<u64, CloudFile>,
    /// The deleted files, until no program can read them any more.
    deleted_files: HashMap<u64, CloudFile>,
    next_number: u64,
    /// The numbers below this are those of meetings that do not change, and of their files.
    permanent_end: u64,
    rng: Rng,
}

impl ZoomCloud {
    pub(super) fn new(rng: Rng) -> Self {
        let mut cloud = Self {
            meetings: BTreeMap::new(),
            files: HashMap::new(),
            deleted_files: HashMap::new(),
            next_number: 0,
            permanent_end: u64::MAX,
            rng,
        };
        for number in 0..PERMANENT_MEETINGS {
            // The first half is so old that only a listing of all days contains it.
            let days = if number < PERMANENT_MEETINGS / 2 { 30 } else { 1 };
            cloud.add_meeting(Duration::from_secs(86_400 * days + 3600 * number));
        }
        cloud.permanent_end = cloud.next_number;
        cloud
    }

    fn add_meeting(&mut self, age: Duration) {
        let number = self.next_number;
        self.next_number += 1;
        let mut files = Vec::new();
        for kind in FILE_KINDS.into_iter().take(self.rng.usize(1..=FILE_KINDS.len())) {
            let file = self.next_number;
            self.next_number += 1;
            let is_processing = number >= self.permanent_end && self.rng.u32(0..8) == 0;
            let (version, revisions, changes) = (0, Vec::new(), Vec::new());
            let file = CloudFile { number: file, version, kind, is_processing, revisions, changes };
            files.push(file.number);
            self.files.insert(file.number, file);
            self.replace(files[files.len() - 1]);
        }
        let start = current_time() - age;
        self.meetings.insert(number, CloudMeeting { number, start, deletion_time: None, files });
    }

    /// Uploads other bytes of a file as a new version.
    fn replace(&mut self, number: u64) {
        const MAX_VERSIONS: usize = 4;
        let file = self.files.get_mut(&number).unwrap();
        file.version += 1;
        file.record_change("uploaded");
        let revision_number = number * 1000 + file.version;
        let length = random_length(&mut self.rng);
        let revision = Revision::new(revision_number, length, file.kind.body, &mut self.rng);
        file.revisions.push((file.version, revision));
        if file.revisions.len() > MAX_VERSIONS {
            file.revisions.remove(0);
        }
    }

    fn random_meeting(&mut self, is_trashed: bool) -> Option<u64> {
        let meetings = self.meetings.range(self.permanent_end..);
        let meetings =
            meetings.filter(|(_, meeting)| meeting.deletion_time.is_some() == is_trashed);
        let numbers: Vec<_> = meetings.map(|(number, _)| *number).collect();
        self.rng.choice(numbers)
    }

    fn add_recent_meeting(&mut self) {
        let age = self.rng.u64(3600..5 * 86_400);
        self.add_meeting(Duration::from_secs(age));
    }

    /// Adds as many recent meetings as the account has on average.
    pub(super) fn add_recent_meetings(&mut self) {
        (0..RECENT_MEETINGS).for_each(|_| self.add_recent_meeting());
    }

    /// Changes a meeting or a file.
    pub(super) fn change(&mut self) {
        let trashed_count =
            self.meetings.values().filter(|meeting| meeting.deletion_time.is_some()).count();
        let recent_count = self.meetings.len() - trashed_count;
        if recent_count < RECENT_MEETINGS && self.rng.u32(0..10) < 6 {
            return self.add_recent_meeting();
        }
        if trashed_count >= MAX_TRASHED_MEETINGS {
            let meeting = self.random_meeting(true);
            return self.delete_meeting(meeting);
        }
        match self.rng.u32(0..10) {
            0..3 => {
                let meeting = self.random_meeting(false);
                self.delete_meeting(meeting);
            }
            3..5 => self.set_trashed(false),
            5 => self.set_trashed(true),
            6 => {
                let meeting = self.random_meeting(true);
                self.delete_meeting(meeting);
            }
            7 => self.delete_file(),
            8 => self.finish_processing(),
            _ => {
                let meeting = self.random_meeting(false);
                let files = meeting.map(|number| self.meetings[&number].files.clone());
                if let Some(file) = files.and_then(|files| self.rng.choice(files)) {
                    self.replace(file);
                }
            }
        }
        self.deleted_files.retain(|_, file| file.changed_at().elapsed() < DELETED_FILE_TTL);
    }

    /// Moves a meeting to the recycle bin, or restores a meeting.
    fn set_trashed(&mut self, is_trashed: bool) {
        let Some(number) = self.random_meeting(is_trashed) else { return };
        let meeting = self.meetings.get_mut(&number).unwrap();
        meeting.deletion_time = (!is_trashed).then(current_time);
        for file in &meeting.files {
            let change = if is_trashed { "restored" } else { "trashed" };
            self.files.get_mut(file).unwrap().record_change(change);
        }
    }

    fn delete_meeting(&mut self, number: Option<u64>) {
        let Some(meeting) = number.and_then(|number| self.meetings.remove(&number)) else { return };
        meeting.files.into_iter().for_each(|file| self.remove_file(file));
    }

    fn delete_file(&mut self) {
        let Some(number) = self.random_meeting(false) else { return };
        let meeting = self.meetings.get_mut(&number).unwrap();
        if meeting.files.len() > 1
            && let Some(file) = meeting.files.pop()
        {
            self.remove_file(file);
        }
    }

    fn remove_file(&mut self, number: u64) {
        let mut file = self.files.remove(&number).unwrap();
        file.record_change("deleted");
        self.deleted_files.insert(number, file);
    }

    fn finish_processing(&mut self) {
        for file in self.files.values_mut().filter(|file| file.is_processing) {
            file.is_processing = false;
            file.record_change("processed");
        }
    }

    /// Deletes everything that was added since the start.
    pub(super) fn restore_start(&mut self) {
        let numbers: Vec<_> =
            self.meetings.range(self.permanent_end..).map(|(number, _)| *number).collect();
        numbers.into_iter().for_each(|number| self.delete_meeting(Some(number)));
    }

    fn file(&self, id: &FileId) -> Option<&CloudFile> {
        let number = id.key.as_str().strip_prefix('f')?.parse().ok()?;
        self.files.get(&number).or_else(|| self.deleted_files.get(&number))
    }

    /// Returns the revisions of a file that a program can read.
    pub(super) fn revisions(&self, id: &FileId) -> Option<Vec<Arc<Revision>>> {
        let revisions = self.file(id)?.revisions.iter();
        Some(revisions.map(|(_, revision)| revision.clone()).collect())
    }

    /// Returns the time of the last change of a file.
    pub(super) fn changed_at(&self, id: &FileId) -> Option<Instant> {
        Some(self.file(id)?.changed_at())
    }

    /// Describes the changes of a file.
    pub(super) fn describe(&self, id: &FileId) -> String {
        let changes = self.file(id).into_iter().flat_map(|file| &file.changes);
        let changes: Vec<_> =
            changes.map(|(at, change)| format!("{change} {:?} ago", at.elapsed())).collect();
        changes.join(", ")
    }

    /// Returns the revision that the URL of a version serves.
    pub(super) fn served_revision(&self, number: u64, version: u64) -> Option<Arc<Revision>> {
        let file = self.files.get(&number)?;
        let revision = file.revisions.iter().find(|(other, _)| *other == version);
        // The URLs of half of the files end when another version is uploaded.
        let is_gone = number.is_multiple_of(2) && version != file.version;
        revision.filter(|_| !is_gone && !file.is_processing).map(|(_, revision)| revision.clone())
    }

    /// Whether a file is in the recycle bin, which does not allow downloads of half of the files.
    pub(super) fn refuses_download(&self, number: u64) -> bool {
        number % 2 == 1
            && self
                .meetings
                .values()
                .any(|meeting| meeting.deletion_time.is_some() && meeting.files.contains(&number))
    }

    /// Returns the entries of a listing: the library or the recycle bin.
    pub(super) fn list(&self, is_listed: impl Fn(Timestamp) -> bool, in_trash: bool) -> Vec<Value> {
        let meetings = self.meetings.values().filter(|meeting| {
            meeting.deletion_time.is_some() == in_trash && is_listed(meeting.start)
        });
        meetings.map(|meeting| self.meeting_json(meeting)).collect()
    }

    /// Returns the entry of one meeting in the library.
    pub(super) fn meeting(&self, uuid: &str) -> Option<Value> {
        let number = uuid.strip_prefix('u')?.parse().ok()?;
        let meeting = self.meetings.get(&number).filter(|meeting| meeting.deletion_time.is_none());
        meeting.map(|meeting| self.meeting_json(meeting))
    }

    fn meeting_json(&self, meeting: &CloudMeeting) -> Value {
        let files = meeting.files.iter().map(|number| &self.files[number]);
        let files: Vec<_> =
            files.map(|file| file.to_json(meeting.start, meeting.deletion_time)).collect();
        json!({
            "uuid": format!("u{}", meeting.number), "id": meeting.number, "host_id": HOST_ID,
            "host_email": HOST_EMAIL, "topic": format!("Topic {}", meeting.number), "type": 2,
            "start_time": meeting.start.to_string(), "duration": 30, "recording_files": files,
        })
    }
}
