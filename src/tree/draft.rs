//! A tree before its nodes have inode numbers.

use std::collections::HashMap;
use std::sync::Arc;

use jiff::Timestamp;

use super::inode::{Identity, Ino};
use super::node::{Content, Node};
use super::source_totals::SourceTotals;
use crate::model::SourceName;

/// The nodes of a tree before they have inode numbers. Until then, `ino` and `parent` are positions
/// in the draft.
///
/// The nodes of a large archive are many megabytes, so a snapshot takes them over in place.
///
/// **Invariant**: the first node is the root, parents precede their children, and each node has an
/// identity.
#[derive(Debug)]
pub(super) struct SnapshotDraft {
    nodes: Vec<Node>,
    identities: Vec<Identity>,
    pub(super) sources: HashMap<SourceName, SourceTotals>,
}

impl SnapshotDraft {
    /// Creates a draft that contains only the root, with capacity for `additional` nodes.
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
        recorded: Timestamp,
        content: Content,
    ) -> usize {
        let position = self.nodes.len();
        let (ino, parent) = (Ino(position as u64), Ino(parent as u64));
        self.nodes.push(Node { ino, parent, name, recorded, expires: None, content });
        self.identities.push(identity);
        position
    }

    pub(super) fn get_mut(&mut self, position: usize) -> Option<&mut Node> {
        self.nodes.get_mut(position)
    }

    /// Returns the identities of the nodes, ordered by position.
    pub(super) fn identities(&self) -> &[Identity] {
        &self.identities
    }

    /// Returns the nodes with `inos` as their numbers, ordered by position.
    pub(super) fn into_nodes(self, inos: &[Ino]) -> Vec<Node> {
        let assigned = |position: Ino| {
            let position = usize::try_from(position.0).ok();
            position.and_then(|position| inos.get(position)).copied().unwrap_or(Ino::ROOT)
        };
        let Self { mut nodes, identities, .. } = self;
        drop(identities);
        for node in &mut nodes {
            (node.ino, node.parent) = (assigned(node.ino), assigned(node.parent));
        }
        nodes
    }
}
