//! Reports facts about a file that reading reveals to the owner of the catalog.

use crate::http::Validator;
use crate::model::{FileId, Version};

/// Receives facts about files that reading reveals. Calls must return at once, because `open` and
/// `read` make them. No lock of the read path is held during a call.
pub trait Observer: Send + Sync {
    /// Called when the server serves the file with `size` bytes, which is not the size that is
    /// shown.
    fn on_size_found(&self, id: &FileId, version: Version, size: u64);

    /// Called when the server serves the file version with this validator.
    fn on_validator(&self, id: &FileId, version: Version, validator: &Validator);

    /// Returns the validator with which the file version was last served, in this or an earlier
    /// run.
    fn last_validator(&self, id: &FileId, version: Version) -> Option<Validator>;

    /// Called when the bytes on the server have changed although the listed version has not. All
    /// cached bytes of the file are invalid.
    fn on_content_changed(&self, id: &FileId);
}
