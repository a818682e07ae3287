//! A tree whose nodes do not have inode numbers yet.

use std::collections::HashMap;
use std::sync::Arc;

use jiff::Timestamp;

use super::inode::{Identity, Ino};
use super::node::{Content, Node};
use super::source_totals::SourceTotals;
use crate::model::SourceName;

/// The nodes of a tree before inode numbers are assigned. Until then, the fields `ino` and `parent`
/// of a node contain positions in the draft.
///
/// The nodes of a large archive take many megabytes, so a snapshot takes them over without copying.
///
/// **Invariant**: the first node is the root, each parent precedes its children, and each node has
/// an identity.
#[derive(Debug)]
pub(super) struct SnapshotDraft {
    nodes: Vec<Node>,
    identities: Vec<Identity>,
    pub(super) sources: HashMap<SourceName, SourceTotals>,
}

impl SnapshotDraft {
    /// Creates a draft that contains only the root. It has capacity for `additional` nodes.
    pub(super) fn with_capacity(additional: usize) -> Self {
        let capacity = additional + 1;
        let (nodes, identities) = (Vec::with_capacity(capacity), Vec::with_capacity(capacity));
        let mut draft = Self { nodes, identities, sources: HashMap::new() };
        draft.add(
            0,
            "".into(),
            Identity::ROOT,
            Timestamp::UNIX_EPOCH,
            Content::Directory { entries: Box::default() },
        );
        draft
    }

    /// Adds a child of the node at position `parent` and returns its position.
    pub(super) fn add(
        &mut self,
        parent: usize,
        name: Arc<str>,
        identity: Identity,
        recording_end: Timestamp,
        content: Content,
    ) -> usize {
        let position = self.nodes.len();
        let (ino, parent) = (Ino(position as u64), Ino(parent as u64));
        self.nodes.push(Node { ino, parent, name, recording_end, expires: None, content });
        self.identities.push(identity);
        position
    }

    pub(super) fn get_mut(&mut self, position: usize) -> Option<&mut Node> {
        self.nodes.get_mut(position)
    }

    /// Returns the identities of all nodes, ordered by position.
    pub(super) fn identities(&self) -> &[Identity] {
        &self.identities
    }

    /// Returns all nodes, ordered by position. Replaces the positions in the nodes with the inode
    /// numbers in `inos`.
    pub(super) fn into_nodes(self, inos: &[Ino]) -> Vec<Node> {
        let ino_of = |position: Ino| {
            let position = usize::try_from(position.0).ok();
            position.and_then(|position| inos.get(position)).copied().unwrap_or(Ino::ROOT)
        };
        let Self { mut nodes, identities, .. } = self;
        drop(identities);
        for node in &mut nodes {
            (node.ino, node.parent) = (ino_of(node.ino), ino_of(node.parent));
        }
        nodes
    }
}
