//! The trait through which the read path reports properties of a file to the owner of the catalog.

use crate::http::Validator;
use crate::model::{FileId, Version};

/// Receives the properties of files that become known when they are read. Calls must return at
/// once, because they are made during `open` and `read`. The read path holds no lock during a call.
pub trait Observer: Send + Sync {
    /// Called when the server states a size for the file that differs from the size that readers
    /// see.
    fn on_size_found(&self, id: &FileId, version: Version, size: u64);

    /// Called when the server serves the file version with this validator.
    fn on_validator(&self, id: &FileId, version: Version, validator: &Validator);

    /// Returns the validator of the last reply with this file version, in this or an earlier run.
    fn last_validator(&self, id: &FileId, version: Version) -> Option<Validator>;

    /// Called when the bytes on the server have changed although the listed version has not
    /// changed. All cached bytes of the file are then invalid.
    fn on_content_changed(&self, id: &FileId);
}
