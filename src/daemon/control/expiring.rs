//! Which files of a mount will be deleted.

use std::path::PathBuf;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::daemon::archive::Archive;
use crate::tree::Content;

/// A file that its provider will delete.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::daemon) struct ExpiringFile {
    /// Below the mountpoint.
    pub path: PathBuf,
    /// Its length in bytes.
    pub size: u64,
    /// When.
    pub expires: Timestamp,
}

/// Every recording file of an archive of which it is known when it goes.
pub(super) fn files(archive: &Archive) -> Vec<ExpiringFile> {
    let snapshot = archive.tree.current();
    let due = snapshot.nodes().iter().filter_map(|node| {
        let (Content::Recording { size, .. }, Some(expires)) = (&node.content, node.expires) else {
            return None;
        };
        Some(ExpiringFile { path: archive.tree.path_of(node.ino).into(), size: *size, expires })
    });
    due.collect()
}
