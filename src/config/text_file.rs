//! A small text file with its owner and mode.

use std::io::Read;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use nix::unistd::Uid;
use secrecy::SecretString;
use secrecy::zeroize::Zeroizing;

use super::file_problem::FileProblem;

/// Permission bits of the group and of others.
const ACCESSIBLE_TO_OTHERS: u32 = 0o077;

/// Write permission of the group and of others.
const WRITABLE_BY_OTHERS: u32 = 0o022;

/// A small text file, read completely.
pub(super) struct TextFile {
    /// Wrapped, for it can contain secrets.
    pub(super) text: SecretString,
    /// Its permission bits.
    pub(super) mode: u32,
    owner: Uid,
}

impl TextFile {
    /// Returns a file of this user with mode 0600.
    pub(super) fn new_private(text: SecretString) -> Self {
        Self { text, mode: 0o600, owner: Uid::effective() }
    }

    /// Reads a regular file of at most `limit` bytes.
    pub(super) fn read(path: &Path, limit: u64) -> Result<Self, FileProblem> {
        // Without O_NONBLOCK, opening a FIFO without a writer waits forever. The flag has no effect
        // on a regular file. All checks use the open file, so that it cannot be replaced between
        // the check and the read.
        let flags = libc::O_NONBLOCK | libc::O_NOCTTY;
        let file = std::fs::OpenOptions::new().read(true).custom_flags(flags).open(path)?;
        let metadata = file.metadata()?;
        if !metadata.is_file() {
            return Err(FileProblem::NotRegular);
        }
        let mut bytes = Zeroizing::new(Vec::new());
        // The length can change during the read, so the limit applies to the bytes that arrive.
        file.take(limit + 1).read_to_end(&mut bytes)?;
        if bytes.len() as u64 > limit {
            return Err(FileProblem::TooLarge { limit });
        }
        let text = std::str::from_utf8(&bytes).map_err(|_| FileProblem::NotUtf8)?;
        let (mode, owner) = (metadata.mode() & 0o7777, Uid::from_raw(metadata.uid()));
        Ok(Self { text: SecretString::from(text), mode, owner })
    }

    /// Returns the owner, if it is neither this user nor root. The owner of a file can write to it
    /// whatever its mode.
    pub(super) fn foreign_owner(&self) -> Option<Uid> {
        (!self.owner.is_root() && self.owner != Uid::effective()).then_some(self.owner)
    }

    pub(super) fn is_accessible_to_others(&self) -> bool {
        self.mode & ACCESSIBLE_TO_OTHERS != 0
    }

    pub(super) fn is_writable_by_others(&self) -> bool {
        self.mode & WRITABLE_BY_OTHERS != 0
    }
}
