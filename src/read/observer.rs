//! The trait through which the read path reports properties of a file to the owner of the catalog.

use crate::model::{FileId, LastReply, Version};

/// Receives the properties of files that become known when they are read. Calls must return at
/// once, because they are made during `open` and `read`. The read path holds no lock during a call.
pub trait Observer: Send + Sync {
    /// Called when the server states a size for the file that differs from the size that readers
    /// see.
    fn on_size_found(&self, id: &FileId, version: Version, size: u64);

    /// Called when an accepted reply has a length or validator that differs from that of the last
    /// one.
    fn on_reply(&self, id: &FileId, version: Version, reply: &LastReply);

    /// Returns the last reply for this file version, from this or an earlier run.
    fn last_reply(&self, id: &FileId, version: Version) -> Option<LastReply>;

    /// Called when the bytes on the server have changed although the listed version has not
    /// changed. All cached bytes of the file are then invalid.
    fn on_content_changed(&self, id: &FileId);
}
