//! Which files of a mount will be deleted.

use std::path::PathBuf;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::daemon::archive::Archive;
use crate::tree::{Content, TRASH_DIRECTORY};

/// A file that its provider will delete.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ExpiringFile {
    /// Below the mountpoint.
    pub path: PathBuf,
    /// Its length in bytes; `None` where it is not known.
    pub size: Option<u64>,
    /// When.
    pub expires: Timestamp,
    /// Whether it lies in the recycle bin already.
    pub in_trash: bool,
    /// Whether it can be read. If not, the path is that of the note that says why.
    pub is_readable: bool,
}

/// Every recording file of an archive of which it is known when it goes, and of recycle bins those that are not given out.
pub(crate) fn files(archive: &Archive) -> Vec<ExpiringFile> {
    let snapshot = archive.tree.current();
    let due = snapshot.nodes().iter().filter_map(|node| {
        let expires = node.expires?;
        let (size, is_readable) = match &node.content {
            Content::Recording { size, .. } => (Some(*size), true),
            Content::Note { declared_size, .. } => (*declared_size, false),
            Content::Text(_) | Content::Document(_) | Content::Directory { .. } => return None,
        };
        let path = PathBuf::from(archive.tree.path_of(node.ino));
        let in_trash = path.iter().nth(1).is_some_and(|directory| directory == TRASH_DIRECTORY);
        // What is there and cannot be downloaded is no more lost by its end than it is now.
        (is_readable || in_trash).then_some(ExpiringFile {
            path,
            size,
            expires,
            in_trash,
            is_readable,
        })
    });
    due.collect()
}
