//! What of a snapshot a kernel that remembers an older one must forget.

use std::sync::Arc;

use super::inode::Ino;
use super::snapshot::{Content, Node, Snapshot};

/// One difference between two snapshots.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TreeChange {
    /// The name appeared, vanished, or now leads to another inode.
    Entry {
        /// The directory it is in.
        parent: Ino,
        /// The name.
        name: Arc<str>,
    },
    /// The size or modification time of a file differs, or the bytes of a text.
    Attributes {
        /// The file.
        ino: Ino,
    },
    /// The listing or modification time of a directory differs.
    Directory {
        /// The directory.
        ino: Ino,
    },
}

impl Snapshot {
    /// What differs from `old`, ordered by the inode number of the directory or file.
    ///
    /// Only of what both snapshots hold: nobody can remember anything of a directory that was not there, and what was
    /// in a directory that is gone goes with the directory's own name.
    pub fn changes_since(&self, old: &Snapshot) -> Vec<TreeChange> {
        let mut changes = Vec::new();
        let mut before = old.nodes().iter().peekable();
        for node in self.nodes() {
            while before.next_if(|old_node| old_node.ino < node.ino).is_some() {}
            let Some(old_node) = before.next_if(|old_node| old_node.ino == node.ino) else {
                continue;
            };
            match (&old_node.content, &node.content) {
                (Content::Directory { entries: was }, Content::Directory { entries: is }) => {
                    let names_before = changes.len();
                    changed_names(node.ino, &named(old, was), &named(self, is), &mut changes);
                    if changes.len() > names_before || old_node.modified != node.modified {
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

/// Whether a file's attributes or the bytes of a text changed. A recording's bytes cannot: another version is another
/// inode.
fn differs(old: &Node, new: &Node) -> bool {
    let text_differs = match (&old.content, &new.content) {
        (Content::Text(was), Content::Text(is)) => was != is,
        (Content::Document(was), Content::Document(is)) => was != is,
        (Content::Note { text: was, .. }, Content::Note { text: is, .. }) => was != is,
        _ => false,
    };
    text_differs || old.size() != new.size() || old.modified != new.modified
}

fn named<'a>(snapshot: &'a Snapshot, entries: &[Ino]) -> Vec<(&'a Arc<str>, Ino)> {
    entries
        .iter()
        .filter_map(|ino| snapshot.node(*ino))
        .map(|node| (&node.name, node.ino))
        .collect()
}

/// Walks two listings, each ordered by name, side by side.
fn changed_names(
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
