//! The tree as a whole: exact layouts, and what must hold of any archive.

mod files;
mod layout;
mod properties;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use bytes::Bytes;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use proptest::prelude::*;

use super::*;
use crate::model::{
    Availability, BodyKind, Document, FileId, Meeting, MeetingContents, MeetingId, MeetingMetadata,
    RecordingFile, Role, SourceContents, SourceName, Version,
};

fn source_name(name: &str) -> SourceName {
    SourceName::new(name).unwrap()
}

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn paris() -> TreeBuilder {
    TreeBuilder::new(TimeZone::get("Europe/Paris").unwrap())
}

/// A ready file of 1000 bytes in the segment that begins at 07:00:11Z.
fn file(key: &str, role: Role, stem: &str, extension: &str) -> RecordingFile {
    RecordingFile {
        id: FileId { source: source_name("acme"), meeting: "m".into(), key: key.into() },
        version: Version(1),
        role,
        stem: stem.into(),
        extension: extension.into(),
        body: BodyKind::Opaque,
        declared_size: Some(1000),
        recording_start: Some(at("2026-10-06T07:00:11Z")),
        recording_end: Some(at("2026-10-06T07:41:02Z")),
        availability: Availability::Ready,
    }
}

fn starting(start: &str, file: RecordingFile) -> RecordingFile {
    RecordingFile { recording_start: Some(at(start)), ..file }
}

fn meeting(id: &str, topic: &str, files: Vec<RecordingFile>) -> MeetingContents {
    MeetingContents {
        meeting: bare_meeting(id, topic, files).into(),
        sizes: HashMap::new(),
        document: Some(document("given")),
    }
}

fn bare_meeting(id: &str, topic: &str, files: Vec<RecordingFile>) -> Meeting {
    Meeting {
        source: source_name("acme"),
        id: id.into(),
        topic: topic.to_owned(),
        start: at("2026-10-06T07:00:00Z"),
        end: at("2026-10-06T07:45:00Z"),
        files,
        expires: None,
        metadata: MeetingMetadata::default(),
    }
}

/// Documents of words of the same length have the same length.
fn document(word: &str) -> Arc<Document> {
    let mut meeting = bare_meeting("m", "t", Vec::new());
    meeting.metadata = [("word".to_owned(), word.into())].into_iter().collect();
    Arc::new(Document::new(meeting.into(), None))
}

/// The same meeting in the recycle bin.
fn trashed(view: MeetingContents) -> MeetingContents {
    let mut meeting = Meeting::clone(&view.meeting);
    meeting.id = meeting.id.in_trash();
    for file in &mut meeting.files {
        file.id.meeting = meeting.id.clone();
    }
    MeetingContents { meeting: meeting.into(), ..view }
}

fn acme(meetings: Vec<MeetingContents>) -> Vec<SourceContents> {
    vec![SourceContents { name: source_name("acme"), meetings, trash: Vec::new() }]
}

/// Every node by its path; directories end in `/`.
fn paths(snapshot: &Snapshot) -> BTreeMap<String, &Node> {
    fn walk<'s>(
        snapshot: &'s Snapshot,
        directory: Ino,
        path: &str,
        paths: &mut BTreeMap<String, &'s Node>,
    ) {
        for ino in snapshot.entries(directory).unwrap() {
            let node = snapshot.node(*ino).unwrap();
            assert_eq!(node.parent, directory, "{}", node.name);
            assert_eq!(snapshot.lookup(directory, &node.name), Some(node), "{}", node.name);
            let mut path = format!("{path}{}", node.name);
            if node.is_directory() {
                path.push('/');
                walk(snapshot, *ino, &path, paths);
            }
            assert!(
                paths.insert(path, node).is_none(),
                "{} stands twice in its directory",
                node.name
            );
        }
    }
    let mut paths = BTreeMap::new();
    walk(snapshot, Ino::ROOT, "", &mut paths);
    paths
}

/// The names in the directory of the only meeting.
fn names_in_meeting(view: MeetingContents) -> Vec<String> {
    let snapshot = paris().build(&acme(vec![view]));
    paths(&snapshot)
        .into_keys()
        .filter_map(|path| path.splitn(4, '/').nth(3).map(str::to_owned))
        .filter(|name| !name.is_empty())
        .collect()
}

fn names_of_files(files: Vec<RecordingFile>) -> Vec<String> {
    names_in_meeting(MeetingContents { document: None, ..meeting("m", "t", files) })
}
