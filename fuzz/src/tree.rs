//! Properties of every tree, whatever meetings it contains.

use std::collections::HashSet;
use std::sync::Arc;

use jiff::tz::TimeZone;
use meetfs::model::{Meeting, MeetingContents, SourceContents};
use meetfs::providers::TrashEntry;
use meetfs::tree::{Ino, Snapshot, TreeBuilder};
use unicode_normalization::is_nfc;

use super::replies::source;

/// Fails unless the tree of the meetings is valid and independent of their order.
pub(crate) fn check(meetings: Vec<Meeting>) {
    let views: Vec<_> = meetings.into_iter().map(|meeting| view(meeting, None)).collect();
    let ids: HashSet<_> = views.iter().map(|view| view.meeting.id.clone()).collect();
    let snapshot = build(views.clone());
    assert_valid(&snapshot);
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

/// Returns the input of the tree for a meeting. All sizes are known, so that every file is shown.
pub(crate) fn view(meeting: Meeting, details: Option<meetfs::model::Details>) -> MeetingContents {
    let mut view = meetfs::fuzzing::catalog::meeting_contents(meeting, details);
    let unknown = view.meeting.files.iter().filter(|file| file.declared_size.is_none());
    view.sizes = unknown.map(|file| (file.id.key.clone(), 1)).collect();
    view
}

pub(crate) fn build(meetings: Vec<MeetingContents>) -> Snapshot {
    build_source(listed(meetings))
}

/// Returns the contents of a source with an empty recycle bin.
fn listed(meetings: Vec<MeetingContents>) -> SourceContents {
    let name = source();
    SourceContents { name, meetings, trash: Vec::new(), redundant_view_suffix: Some("(CC)") }
}

pub(crate) fn build_source(view: SourceContents) -> Snapshot {
    TreeBuilder::new(TimeZone::UTC).build(&[view])
}

/// Fails unless the tree of a recycle bin is valid.
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
        assert_valid(&build_source(SourceContents { trash, ..listed(Vec::new()) }));
    }
}

/// Fails unless every name is a valid file name and leads back to its node.
pub(crate) fn assert_valid(snapshot: &Snapshot) {
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
