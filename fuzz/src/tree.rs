//! What holds of every tree, whatever the meetings in it.

use std::collections::HashSet;
use std::sync::Arc;

use jiff::tz::TimeZone;
use meetfs::model::{Meeting, MeetingContents, SourceContents};
use meetfs::providers::TrashEntry;
use meetfs::tree::{Ino, Snapshot, TreeBuilder};
use unicode_normalization::is_nfc;

use super::replies::source;

/// The tree of meetings that were listed so is legal, and the same whatever order they came in.
pub(crate) fn check(meetings: Vec<Meeting>) {
    let views: Vec<_> = meetings.into_iter().map(|meeting| view(meeting, None)).collect();
    let ids: HashSet<_> = views.iter().map(|view| view.meeting.id.clone()).collect();
    let snapshot = build(views.clone());
    is_legal(&snapshot);
    if ids.len() == views.len() {
        let turned = views.into_iter().rev().map(|mut view| {
            Arc::make_mut(&mut view.meeting).files.reverse();
            view
        });
        assert!(
            snapshot.nodes() == build(turned.collect()).nodes(),
            "the order of a listing decided"
        );
    }
}

/// What the tree is told of a meeting; every size is known, so that every file is shown.
pub(crate) fn view(meeting: Meeting, details: Option<meetfs::model::Details>) -> MeetingContents {
    let mut view = meetfs::fuzzing::catalog::view(meeting, details);
    let unknown = view.meeting.files.iter().filter(|file| file.declared_size.is_none());
    view.sizes = unknown.map(|file| (file.id.key.clone(), 1)).collect();
    view
}

pub(crate) fn build(meetings: Vec<MeetingContents>) -> Snapshot {
    build_source(listed(meetings))
}

/// The contents of a source with an empty recycle bin.
fn listed(meetings: Vec<MeetingContents>) -> SourceContents {
    let name = source();
    SourceContents { name, meetings, trash: Vec::new(), redundant_view_suffix: Some("(CC)") }
}

pub(crate) fn build_source(view: SourceContents) -> Snapshot {
    TreeBuilder::new(TimeZone::UTC).build(&[view])
}

/// The tree of what lies in a recycle bin is legal.
pub(crate) fn check_trash(trashed: Vec<TrashEntry>) {
    let ids: HashSet<_> = trashed.iter().map(|trashed| trashed.meeting.id.clone()).collect();
    for meeting in trashed.iter().map(|trashed| &trashed.meeting) {
        assert!(
            meeting.id.is_in_trash()
                && meeting.files.iter().all(|file| file.id.meeting == meeting.id)
        );
    }
    if ids.len() == trashed.len() {
        let trash = trashed.into_iter().map(|trashed| view(trashed.meeting, None)).collect();
        is_legal(&build_source(SourceContents { trash, ..listed(Vec::new()) }));
    }
}

/// Every name is one that a file can have, and leads back to its node.
pub(crate) fn is_legal(snapshot: &Snapshot) {
    for node in snapshot.nodes().iter().filter(|node| node.ino != Ino::ROOT) {
        let name = &*node.name;
        assert!((1..=255).contains(&name.len()), "{} bytes: {name}", name.len());
        assert!(!name.starts_with('.') && !name.ends_with(['.', ' ']), "{name:?}");
        let is_odd = |c: char| c.is_control() || "/\\:*?\"<>|".contains(c);
        assert!(!name.contains(is_odd), "{name:?}");
        assert!(is_nfc(name), "{name:?}");
        let found = snapshot.lookup(node.parent, name).map(|found| found.ino);
        assert_eq!(found, Some(node.ino), "{name:?}");
    }
}
