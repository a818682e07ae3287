//! Files that their provider will delete.

use std::path::PathBuf;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::daemon::archive::Archive;
use crate::tree::{Content, TRASH_DIRECTORY};

/// A file that its provider will delete.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ExpiringFile {
    /// Path relative to the mountpoint.
    pub path: PathBuf,
    /// Size in bytes, if known.
    pub size: Option<u64>,
    pub expires: Timestamp,
    /// Whether the file is in the recycle bin of the provider.
    pub in_trash: bool,
    /// Whether the file can be read. If not, `path` is the `.unavailable.txt` note that explains
    /// the reason.
    pub is_readable: bool,
}

/// Returns every readable recording file with a known expiry, and the unreadable files in recycle
/// bins.
pub(crate) fn list(archive: &Archive) -> Vec<ExpiringFile> {
    let snapshot = archive.tree.current();
    let files = snapshot.nodes().iter().filter_map(|node| {
        let expires = node.expires?;
        let (size, is_readable) = match &node.content {
            Content::Recording { size, .. } => (Some(*size), true),
            Content::Note { declared_size, .. } => (*declared_size, false),
            Content::Text(_) | Content::Document(_) | Content::Directory { .. } => return None,
        };
        let path = PathBuf::from(archive.tree.path_of(node.ino));
        let in_trash = path.iter().nth(1).is_some_and(|directory| directory == TRASH_DIRECTORY);
        // A file that is neither readable nor in a recycle bin cannot be saved, so it is not
        // listed.
        (is_readable || in_trash).then_some(ExpiringFile {
            path,
            size,
            expires,
            in_trash,
            is_readable,
        })
    });
    files.collect()
}
