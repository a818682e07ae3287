//! Test data and helper functions for the tests of the tree.

pub(super) use std::collections::{BTreeMap, BTreeSet, HashMap};
pub(super) use std::sync::Arc;

pub(super) use bytes::Bytes;
pub(super) use jiff::Timestamp;
pub(super) use jiff::tz::TimeZone;
pub(super) use proptest::prelude::*;

pub(super) use super::super::{
    Content, Ino, Node, Snapshot, SourceTotals, Totals, TreeBuilder, TreeChange,
};
pub(super) use crate::model::{
    Availability, BodyKind, Details, Document, FileId, Meeting, MeetingContents, MeetingId,
    MeetingMetadata, RecordingFile, Role, SourceContents, SourceName, Version,
};

pub(super) fn source_name(name: &str) -> SourceName {
    SourceName::new(name).unwrap()
}

pub(super) fn timestamp(text: &str) -> Timestamp {
    text.parse().unwrap()
}

pub(super) fn paris_builder() -> TreeBuilder {
    TreeBuilder::new(TimeZone::get("Europe/Paris").unwrap())
}

/// Returns a file of 1000 bytes that can be downloaded. Its segment starts at 07:00:11Z.
pub(super) fn file(key: &str, role: Role, stem: &str, extension: &str) -> RecordingFile {
    RecordingFile {
        id: FileId { source: source_name("acme"), meeting: "m".into(), key: key.into() },
        version: Version(1),
        role,
        stem: stem.into(),
        extension: extension.into(),
        body: BodyKind::Opaque,
        declared_size: Some(1000),
        recording_start: Some(timestamp("2026-10-06T07:00:11Z")),
        recording_end: Some(timestamp("2026-10-06T07:41:02Z")),
        availability: Availability::Ready,
    }
}

pub(super) fn with_start(start: &str, file: RecordingFile) -> RecordingFile {
    RecordingFile { recording_start: Some(timestamp(start)), ..file }
}

pub(super) fn meeting(id: &str, topic: &str, files: Vec<RecordingFile>) -> MeetingContents {
    MeetingContents {
        meeting: bare_meeting(id, topic, files).into(),
        sizes: HashMap::new(),
        document: Some(document("known")),
    }
}

pub(super) fn bare_meeting(id: &str, topic: &str, files: Vec<RecordingFile>) -> Meeting {
    Meeting {
        source: source_name("acme"),
        id: id.into(),
        topic: topic.to_owned(),
        start: timestamp("2026-10-06T07:00:00Z"),
        end: timestamp("2026-10-06T07:45:00Z"),
        files,
        expires: None,
        metadata: MeetingMetadata::default(),
    }
}

/// Returns a metadata document. Documents with words of the same length have the same length.
pub(super) fn document(word: &str) -> Arc<Document> {
    document_with(word, None)
}

pub(super) fn document_with(word: &str, participants: Option<&str>) -> Arc<Document> {
    let mut meeting = bare_meeting("m", "t", Vec::new());
    meeting.metadata = [("word".to_owned(), word.into())].into_iter().collect();
    let details = participants.map(|participants| {
        let participants = Some(participants.to_owned().into());
        Arc::new(Details { participants, ..Details::default() })
    });
    Arc::new(Document::new(meeting.into(), details))
}

/// Returns the same meeting as an entry of the recycle bin.
pub(super) fn as_trashed(contents: MeetingContents) -> MeetingContents {
    let mut meeting = Meeting::clone(&contents.meeting);
    meeting.id = meeting.id.to_trash_id();
    for file in &mut meeting.files {
        file.id.meeting = meeting.id.clone();
    }
    MeetingContents { meeting: meeting.into(), ..contents }
}

pub(super) fn acme(meetings: Vec<MeetingContents>) -> Vec<SourceContents> {
    vec![SourceContents {
        name: source_name("acme"),
        meetings,
        trash: Vec::new(),
        redundant_view_suffix: Some("(CC)"),
    }]
}

/// Returns all nodes by path. The path of a directory ends in `/`.
pub(super) fn paths(snapshot: &Snapshot) -> BTreeMap<String, &Node> {
    fn collect_paths<'s>(
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
                collect_paths(snapshot, *ino, &path, paths);
            }
            assert!(paths.insert(path, node).is_none(), "{} is twice in its directory", node.name);
        }
    }
    let mut paths = BTreeMap::new();
    collect_paths(snapshot, Ino::ROOT, "", &mut paths);
    paths
}

/// Builds a tree with only this meeting, and returns the names of the files in its directory.
pub(super) fn names_in_meeting(contents: MeetingContents) -> Vec<String> {
    let snapshot = paris_builder().build(&acme(vec![contents]));
    paths(&snapshot)
        .into_keys()
        .filter_map(|path| path.splitn(4, '/').nth(3).map(str::to_owned))
        .filter(|name| !name.is_empty())
        .collect()
}

pub(super) fn names_of_files(files: Vec<RecordingFile>) -> Vec<String> {
    names_in_meeting(MeetingContents { document: None, ..meeting("m", "t", files) })
}
