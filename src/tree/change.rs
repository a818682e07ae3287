//! The differences between two snapshots. A kernel that cached the older snapshot must discard the
//! parts that differ.

use std::sync::Arc;

use super::inode::Ino;
use super::node::{Content, Node};
use super::snapshot::Snapshot;

/// A difference between two snapshots.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TreeChange {
    /// A name was added or removed, or it belongs to another inode.
    Entry { parent: Ino, name: Arc<str> },
    /// The size or the modification time of a file differs, or the bytes of a generated file
    /// differ.
    Attributes { ino: Ino },
    /// The entries or the modification time of a directory differ.
    Directory { ino: Ino },
}

impl TreeChange {
    /// Returns the differences, ordered by the inode number of the directory or file.
    ///
    /// Only nodes that are in both snapshots are compared. A new directory is not in the cache of
    /// the kernel yet. If a directory was removed, the change of its name covers everything below
    /// it.
    pub fn between(old: &Snapshot, new: &Snapshot) -> Vec<TreeChange> {
        let mut changes = Vec::new();
        let mut old_nodes = old.nodes().iter().peekable();
        for node in new.nodes() {
            while old_nodes.next_if(|old_node| old_node.ino < node.ino).is_some() {}
            let Some(old_node) = old_nodes.next_if(|old_node| old_node.ino == node.ino) else {
                continue;
            };
            match (&old_node.content, &node.content) {
                (
                    Content::Directory { entries: old_entries },
                    Content::Directory { entries: new_entries },
                ) => {
                    let count_before = changes.len();
                    let old_names = entry_names(old, old_entries);
                    let new_names = entry_names(new, new_entries);
                    push_changed_names(node.ino, &old_names, &new_names, &mut changes);
                    if changes.len() > count_before || old_node.recording_end != node.recording_end
                    {
                        changes.push(TreeChange::Directory { ino: node.ino });
                    }
                }
                _ if has_changed(old_node, node) => {
                    changes.push(TreeChange::Attributes { ino: node.ino })
                }
                _ => {}
            }
        }
        changes
    }
}

/// Returns whether the attributes of a file, or the bytes of a generated file, differ. The bytes of
/// a recording are not compared, because another version of a recording has another inode.
fn has_changed(old: &Node, new: &Node) -> bool {
    let bytes_differ = match (&old.content, &new.content) {
        (Content::Text(old), Content::Text(new)) => old != new,
        (Content::Document(old), Content::Document(new)) => old != new,
        (Content::Note { text: old, .. }, Content::Note { text: new, .. }) => old != new,
        _ => false,
    };
    bytes_differ || old.size() != new.size() || old.recording_end != new.recording_end
}

fn entry_names<'a>(snapshot: &'a Snapshot, entries: &[Ino]) -> Vec<(&'a Arc<str>, Ino)> {
    entries
        .iter()
        .filter_map(|ino| snapshot.node(*ino))
        .map(|node| (&node.name, node.ino))
        .collect()
}

/// Adds the names that differ between two directories. Both lists must be ordered by name.
fn push_changed_names(
    parent: Ino,
    old_names: &[(&Arc<str>, Ino)],
    new_names: &[(&Arc<str>, Ino)],
    changes: &mut Vec<TreeChange>,
) {
    let mut push_name =
        |name: &Arc<str>| changes.push(TreeChange::Entry { parent, name: Arc::clone(name) });
    let mut old_names = old_names.iter().peekable();
    for (name, ino) in new_names {
        while let Some((removed_name, _)) = old_names.next_if(|(old_name, _)| old_name < name) {
            push_name(removed_name);
        }
        match old_names.next_if(|(old_name, _)| old_name == name) {
            Some((_, old_ino)) if old_ino == ino => {}
            _ => push_name(name),
        }
    }
    for (removed_name, _) in old_names {
        push_name(removed_name);
    }
}
