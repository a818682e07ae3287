//! The differences between two snapshots, which a kernel that cached the older one must discard.

use std::sync::Arc;

use super::inode::Ino;
use super::node::{Content, Node};
use super::snapshot::Snapshot;

/// A difference between two snapshots.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TreeChange {
    /// A name appeared, vanished, or belongs to another inode.
    Entry { parent: Ino, name: Arc<str> },
    /// The size or modification time of a file differs, or the bytes of a text.
    Attributes { ino: Ino },
    /// The entries or the modification time of a directory differ.
    Directory { ino: Ino },
}

impl TreeChange {
    /// Returns the differences, ordered by the inode number of the directory or file.
    ///
    /// Only nodes of both snapshots are compared. Nothing is cached of a directory that did not
    /// exist, and the name of a directory that was removed covers everything below it.
    pub fn between(old: &Snapshot, new: &Snapshot) -> Vec<TreeChange> {
        let mut changes = Vec::new();
        let mut before = old.nodes().iter().peekable();
        for node in new.nodes() {
            while before.next_if(|old_node| old_node.ino < node.ino).is_some() {}
            let Some(old_node) = before.next_if(|old_node| old_node.ino == node.ino) else {
                continue;
            };
            match (&old_node.content, &node.content) {
                (Content::Directory { entries: was }, Content::Directory { entries: is }) => {
                    let count_before = changes.len();
                    let (was, is) = (names(old, was), names(new, is));
                    push_changed_names(node.ino, &was, &is, &mut changes);
                    if changes.len() > count_before || old_node.recorded != node.recorded {
                        changes.push(TreeChange::Directory { ino: node.ino });
                    }
                }
                _ if differs(old_node, node) => {
                    changes.push(TreeChange::Attributes { ino: node.ino })
                }
                _ => {}
            }
        }
        changes
    }
}

/// Returns whether the attributes of a file or the bytes of a text changed. The bytes of a
/// recording cannot change, because another version is another inode.
fn differs(old: &Node, new: &Node) -> bool {
    let text_differs = match (&old.content, &new.content) {
        (Content::Text(was), Content::Text(is)) => was != is,
        (Content::Document(was), Content::Document(is)) => was != is,
        (Content::Note { text: was, .. }, Content::Note { text: is, .. }) => was != is,
        _ => false,
    };
    text_differs || old.size() != new.size() || old.recorded != new.recorded
}

fn names<'a>(snapshot: &'a Snapshot, entries: &[Ino]) -> Vec<(&'a Arc<str>, Ino)> {
    entries
        .iter()
        .filter_map(|ino| snapshot.node(*ino))
        .map(|node| (&node.name, node.ino))
        .collect()
}

/// Compares two directories whose entries are ordered by name.
fn push_changed_names(
    parent: Ino,
    was: &[(&Arc<str>, Ino)],
    is: &[(&Arc<str>, Ino)],
    changes: &mut Vec<TreeChange>,
) {
    let mut report =
        |name: &Arc<str>| changes.push(TreeChange::Entry { parent, name: Arc::clone(name) });
    let mut was = was.iter().peekable();
    for (name, ino) in is {
        while let Some((gone, _)) = was.next_if(|(old_name, _)| old_name < name) {
            report(gone);
        }
        match was.next_if(|(old_name, _)| old_name == name) {
            Some((_, old_ino)) if old_ino == ino => {}
            _ => report(name),
        }
    }
    for (gone, _) in was {
        report(gone);
    }
}
