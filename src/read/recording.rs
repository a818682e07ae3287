//! What is read: a version of a recording file, and a revision of its content.

use crate::model::{BodyKind, FileId, Version};

/// What the read path must know of a recording file to read it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recording {
    pub id: FileId,
    /// The version that the provider lists.
    pub version: Version,
    /// Length in bytes as shown to readers.
    pub size: u64,
    pub body: BodyKind,
}

/// One content of one file version, unique in the process.
///
/// Handles of the same revision read the same bytes, as far as the server reveals a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ContentRevision(pub(crate) u64);
