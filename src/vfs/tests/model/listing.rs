//! The catalog of the simulated archive, and the tree that it must be shown as.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::archive::{Archive, ListedFile, ListedMeeting, Place, SOURCES};
use crate::model::{
    Availability, BodyKind, Document, FileId, LastReply, Meeting, MeetingContents, MeetingId,
    MeetingMetadata, RecordingFile, Role, SourceContents, SourceName, Version,
};
use crate::read::Observer;
use crate::tree::{LiveTree, Snapshot, TreeBuilder};

/// The duration of every meeting.
const MEETING_DURATION: Duration = Duration::from_secs(7200);

/// A file or directory that the tree must contain.
#[derive(Debug)]
pub(super) struct ExpectedNode {
    pub(super) name: ExpectedName,
    /// Identifies the file or directory. The inode number depends on it and on nothing else.
    pub(super) identity: String,
    pub(super) content: ExpectedContent,
    /// The end of the recording.
    pub(super) end: Timestamp,
    pub(super) expires: Option<Timestamp>,
}

/// The name of a node in its directory.
#[derive(Debug)]
pub(super) enum ExpectedName {
    Exact(String),
    /// Another node has this name, so this one has a suffix.
    WithSuffix(String),
}

#[derive(Debug)]
pub(super) enum ExpectedContent {
    Directory(Vec<ExpectedNode>),
    Recording {
        id: FileId,
        number: usize,
        version: u64,
        size: u64,
    },
    /// A note in place of a file.
    Note(Bytes),
    Document(Bytes),
}

/// A meeting and its `meeting.json`.
type ListedDocument = (Arc<Meeting>, Arc<Document>);

/// Takes the place of the catalog: knows what the provider has listed, and builds the tree.
pub(super) struct Catalog {
    pub(super) archive: Arc<Mutex<Archive>>,
    pub(super) tree: Arc<LiveTree>,
    builder: Mutex<TreeBuilder>,
    /// The sizes that reads have found, by file and version.
    measured_sizes: Mutex<HashMap<(FileId, u64), u64>>,
    replies: Mutex<HashMap<FileId, (Version, LastReply)>>,
    /// The documents of the last listing.
    documents: Mutex<HashMap<MeetingId, ListedDocument>>,
    /// Notified when the tree must be published again because of a fact that a read has found.
    pub(super) corrections: Notify,
}

impl Observer for Catalog {
    fn on_size_found(&self, id: &FileId, version: Version, size: u64) {
        self.replies.lock().remove(id);
        self.record_size(id, version, size);
        self.corrections.notify_one();
    }

    fn on_reply(&self, id: &FileId, version: Version, reply: &LastReply) {
        self.replies.lock().insert(id.clone(), (version, reply.clone()));
    }

    fn last_reply(&self, id: &FileId, version: Version) -> Option<LastReply> {
        let replies = self.replies.lock();
        let (stored_version, reply) = replies.get(id)?;
        (*stored_version == version).then(|| reply.clone())
    }

    fn on_content_changed(&self, id: &FileId) {
        self.replies.lock().remove(id);
        self.corrections.notify_one();
    }
}

impl Catalog {
    pub(super) fn new(archive: Arc<Mutex<Archive>>, tree: Arc<LiveTree>) -> Arc<Self> {
        Arc::new(Self {
            archive,
            tree,
            builder: Mutex::new(TreeBuilder::new(TimeZone::UTC)),
            measured_sizes: Mutex::default(),
            replies: Mutex::default(),
            documents: Mutex::default(),
            corrections: Notify::new(),
        })
    }

    pub(super) fn record_size(&self, id: &FileId, version: Version, size: u64) {
        if self.measured_sizes.lock().insert((id.clone(), version.0), size) != Some(size) {
            self.replies.lock().remove(id);
        }
    }

    /// Lists the archive. Returns its tree, which can be published, and the expected tree.
    pub(super) fn refresh(&self) -> (Snapshot, ExpectedNode) {
        let meetings = self.archive.lock().meetings.clone();
        let mut contents = HashMap::new();
        for (index, meeting) in meetings.iter().enumerate() {
            if meeting.place != Place::Nowhere {
                contents.insert(index, self.contents_of(meeting));
            }
        }
        let sources: Vec<_> = SOURCES
            .into_iter()
            .map(|source| {
                let meetings_in = |place| {
                    let listed = meetings
                        .iter()
                        .enumerate()
                        .filter(|(_, meeting)| meeting.source == source && meeting.place == place);
                    listed.map(|(index, _)| contents[&index].clone()).collect()
                };
                SourceContents {
                    name: SourceName::new(source).unwrap(),
                    meetings: meetings_in(Place::Library),
                    trash: meetings_in(Place::Trash),
                    redundant_view_suffix: None,
                }
            })
            .collect();
        let snapshot = self.builder.lock().build(&sources);
        let expected = self.expected_tree(&meetings, &contents);
        (snapshot, expected)
    }

    fn contents_of(&self, listed: &ListedMeeting) -> MeetingContents {
        let id = meeting_id(listed);
        let source = SourceName::new(listed.source).unwrap();
        let mut sizes = HashMap::new();
        let mut files = Vec::new();
        for file in listed.files.iter().filter(|file| file.is_listed) {
            let id = file_id(listed, file);
            let measured_sizes = self.measured_sizes.lock();
            if let Some(size) = measured_sizes.get(&(id.clone(), file.version)) {
                sizes.insert(id.key.clone(), *size);
            }
            drop(measured_sizes);
            files.push(RecordingFile {
                id,
                version: Version(file.version),
                role: if file.body == BodyKind::IsoMedia { Role::View } else { Role::Other },
                stem: format!("file{}", file.number).as_str().into(),
                extension: extension(file.body).into(),
                body: file.body,
                declared_size: file.declared_size,
                recording_start: Some(listed.start),
                recording_end: Some(recording_end(listed, file)),
                availability: file.availability.clone(),
            });
        }
        let meeting = Arc::new(Meeting {
            source,
            id: id.clone(),
            topic: listed.topic.clone(),
            start: listed.start,
            end: listed.start + MEETING_DURATION,
            expires: listed.expires,
            files,
            metadata: MeetingMetadata::default(),
        });
        let document = listed.has_document.then(|| {
            let mut documents = self.documents.lock();
            let key = format!("{}/{}", listed.source, id.as_str()).as_str().into();
            match documents.get(&key) {
                Some((earlier, document)) if *earlier == meeting => document.clone(),
                _ => {
                    let document = Arc::new(Document::new(meeting.clone(), None));
                    documents.insert(key, (meeting.clone(), document.clone()));
                    document
                }
            }
        });
        MeetingContents { meeting, sizes, document }
    }

    fn expected_tree(
        &self,
        meetings: &[ListedMeeting],
        contents: &HashMap<usize, MeetingContents>,
    ) -> ExpectedNode {
        let sources = SOURCES.into_iter().map(|source| {
            let mut directories = Vec::new();
            for directory in ["2025", "2026", "trash"] {
                let listed = meetings.iter().enumerate().filter(|(_, meeting)| {
                    let place = match meeting.place {
                        Place::Library => {
                            TimeZone::UTC.to_datetime(meeting.start).year().to_string()
                        }
                        Place::Trash => "trash".to_owned(),
                        Place::Nowhere => return false,
                    };
                    meeting.source == source && place == directory
                });
                let listed: Vec<_> =
                    listed.map(|(index, meeting)| (meeting, &contents[&index])).collect();
                let shown_meetings = self.expected_meetings(&listed);
                if !shown_meetings.is_empty() {
                    let identity = format!("{source}/{directory}");
                    let name = directory.to_owned();
                    directories.push(directory_node(name, identity, shown_meetings));
                }
            }
            directory_node(source.to_owned(), source.to_owned(), directories)
        });
        directory_node(String::new(), String::new(), sources.collect())
    }

    /// Returns the nodes of meetings that are listed in the same directory.
    fn expected_meetings(
        &self,
        listed: &[(&ListedMeeting, &MeetingContents)],
    ) -> Vec<ExpectedNode> {
        let mut nodes = Vec::new();
        for (meeting, contents) in listed {
            let mut files: Vec<_> =
                meeting.files.iter().filter_map(|file| self.expected_file(meeting, file)).collect();
            if files.is_empty() {
                continue;
            }
            let identity = format!("{}/{:?}/m{}", meeting.source, meeting.place, meeting.number);
            let end = meeting.start + MEETING_DURATION;
            if let Some(document) = &contents.document {
                files.push(ExpectedNode {
                    name: ExpectedName::Exact("meeting.json".to_owned()),
                    identity: format!("{identity}/document"),
                    content: ExpectedContent::Document(document.text()),
                    end,
                    expires: meeting.expires,
                });
            }
            let is_named_first = listed.iter().all(|(other, _)| {
                other.number >= meeting.number
                    || (&other.topic, other.start) != (&meeting.topic, meeting.start)
            });
            let start = TimeZone::UTC.to_datetime(meeting.start);
            let name = format!("{} {}", start.strftime("%Y-%m-%d %H%M"), meeting.topic);
            nodes.push(ExpectedNode {
                name: if is_named_first {
                    ExpectedName::Exact(name)
                } else {
                    ExpectedName::WithSuffix(name)
                },
                identity,
                content: ExpectedContent::Directory(files),
                end,
                expires: meeting.expires,
            });
        }
        nodes
    }

    fn expected_file(&self, meeting: &ListedMeeting, file: &ListedFile) -> Option<ExpectedNode> {
        if !file.is_listed {
            return None;
        }
        let mut name = format!("file{}.{}", file.number, extension(file.body));
        let mut identity = format!("{:?}/file{}", meeting.place, file.number);
        let content = match &file.availability {
            Availability::Processing | Availability::Absent => return None,
            Availability::Unavailable(reason) => {
                name += ".unavailable.txt";
                identity += "/note";
                ExpectedContent::Note(format!("{reason}\n").into())
            }
            Availability::Ready => {
                let measured_sizes = self.measured_sizes.lock();
                let id = file_id(meeting, file);
                let measured_size = measured_sizes.get(&(id.clone(), file.version)).copied();
                let size = measured_size.or(file.declared_size.filter(|size| *size > 0))?;
                identity += &format!("/version{}", file.version);
                ExpectedContent::Recording { id, number: file.number, version: file.version, size }
            }
        };
        Some(ExpectedNode {
            name: ExpectedName::Exact(name),
            identity,
            content,
            end: recording_end(meeting, file),
            expires: meeting.expires,
        })
    }
}

fn meeting_id(meeting: &ListedMeeting) -> MeetingId {
    let id: MeetingId = format!("m{}", meeting.number).as_str().into();
    if meeting.place == Place::Trash { id.to_trash_id() } else { id }
}

fn file_id(meeting: &ListedMeeting, file: &ListedFile) -> FileId {
    FileId {
        source: SourceName::new(meeting.source).unwrap(),
        meeting: meeting_id(meeting),
        key: format!("k{}", file.number).as_str().into(),
    }
}

fn extension(body: BodyKind) -> &'static str {
    match body {
        BodyKind::IsoMedia => "mp4",
        BodyKind::WebVtt => "vtt",
        BodyKind::Json | BodyKind::Opaque => "bin",
    }
}

fn recording_end(meeting: &ListedMeeting, file: &ListedFile) -> Timestamp {
    meeting.start + Duration::from_secs(3600 + file.version % 1000)
}

fn directory_node(name: String, identity: String, entries: Vec<ExpectedNode>) -> ExpectedNode {
    let end = entries.iter().map(|entry| entry.end).max();
    ExpectedNode {
        name: ExpectedName::Exact(name),
        identity,
        content: ExpectedContent::Directory(entries),
        end: end.unwrap_or(Timestamp::UNIX_EPOCH),
        expires: None,
    }
}
