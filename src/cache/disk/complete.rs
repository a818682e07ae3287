//! A file that is held whole, handed out to be read without this room.

use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::MetadataExt;
use std::sync::Arc;

use super::key::{DiskKey, Fingerprint};
use super::shared::Shared;
use super::volume::Changed;

/// A file of which every block is held and was found right, open for reading and as long as it should be.
///
/// While it lives, eviction spares the file; it counts against the limit all the same. A file that is forgotten
/// meanwhile stays readable here to the last byte, and is removed once nobody has it.
#[derive(Debug)]
pub struct CompleteFile {
    file: File,
    /// Device and inode number on the disk.
    identity: (u64, u64),
    _pin: Pin,
}

impl CompleteFile {
    /// The file, for reads at an offset.
    pub fn file(&self) -> &File {
        &self.file
    }

    /// Whether both are one file on the disk, and not one that came in the other's place. From memory.
    pub fn is_same(&self, other: &Self) -> bool {
        self.identity == other.identity
    }
}

impl AsFd for CompleteFile {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

/// Spares a file from eviction while it lives.
#[derive(Debug)]
struct Pin {
    shared: Arc<Shared>,
    fingerprint: Fingerprint,
}

impl Drop for Pin {
    fn drop(&mut self) {
        self.shared.unpin(self.fingerprint);
    }
}

/// Verifies what is yet to be verified and opens the file; waits for the disk.
pub(super) fn open(shared: &Arc<Shared>, key: DiskKey) -> Option<CompleteFile> {
    shared.learn(key.fingerprint);
    let pin = {
        let mut state = shared.state();
        state.ledger.completeness(key)?;
        // After a start with a lower limit the writer has still to make room, and must find something to take.
        if state.ledger.held_bytes() > shared.limit {
            return None;
        }
        state
            .ledger
            .pin(key)
            .then(|| Pin { shared: shared.clone(), fingerprint: key.fingerprint })?
    };
    let unverified = shared.state().ledger.unverified(key);
    for index in unverified {
        shared.read(key, index)?;
    }
    let file = shared.volume.open_data(key.fingerprint).ok()?;
    let found = file.metadata().ok()?;
    let identity = (found.dev(), found.ino());
    let changed = Changed::of(&file).ok()?;
    let mut state = shared.state();
    // The kernel checks nothing. What somebody else has changed is read, and found wrong, block by block first.
    let is_ours = state.ledger.is_as_left(key.fingerprint, changed);
    let is_whole = found.len() == key.size && is_ours && state.ledger.completeness(key) == Some(0);
    if is_whole {
        state.ledger.wanted_whole(key);
    }
    drop(state);
    is_whole.then_some(CompleteFile { file, identity, _pin: pin })
}
