//! The input of a read: a version of a recording file, and a revision of its content.

use crate::model::{BodyKind, FileId, Version};

/// The properties of a recording file that the read path needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recording {
    pub id: FileId,
    /// The version that the provider lists.
    pub version: Version,
    /// Length in bytes, as shown to readers.
    pub size: u64,
    pub body: BodyKind,
}

/// Identifies a revision of the bytes of one file version. A new revision begins when a reply of
/// the server shows that the bytes have changed. The number is unique in the process.
///
/// Handles with the same revision read the same bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ContentRevision(pub(crate) u64);
