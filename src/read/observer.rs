//! What reading reveals about a file, for the owner of the catalog.

use crate::http::Validator;
use crate::model::{FileId, Version};

/// Receives what reading reveals about files. Calls must return at once: they come from the paths
/// of `open` and `read`. No lock of the read path is held during a call.
pub trait Observer: Send + Sync {
    /// The server serves the file with `size` bytes, which is not the size that is shown.
    fn on_size_found(&self, id: &FileId, version: Version, size: u64);

    /// The server serves the file version under this validator.
    fn on_validator(&self, id: &FileId, version: Version, validator: &Validator);

    /// Returns the validator under which the file version was last served, also in an earlier run.
    fn last_validator(&self, id: &FileId, version: Version) -> Option<Validator>;

    /// The server serves other bytes under the identity of the file, so that all cached bytes of it
    /// are invalid.
    fn on_content_changed(&self, id: &FileId);
}
