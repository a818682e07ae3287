//! A small text file with its owner and permission bits.

use std::io::Read;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use nix::unistd::Uid;
use secrecy::SecretString;
use secrecy::zeroize::Zeroizing;

use super::file_problem::FileProblem;

/// The permission bits of the group and of other users.
const ACCESSIBLE_TO_OTHERS: u32 = 0o077;

/// The write permission bits of the group and of other users.
const WRITABLE_BY_OTHERS: u32 = 0o022;

/// The complete content of a small text file, with its owner and permission bits.
pub(super) struct TextFile {
    /// The content of the file. It is stored like a secret, because it can contain secrets.
    pub(super) text: SecretString,
    /// The permission bits of the file.
    pub(super) mode: u32,
    owner: Uid,
}

impl TextFile {
    /// Returns a file that belongs to this user and has mode 0600.
    pub(super) fn new_private(text: SecretString) -> Self {
        Self { text, mode: 0o600, owner: Uid::effective() }
    }

    /// Reads a regular file of at most `limit` bytes.
    pub(super) fn read(path: &Path, limit: u64) -> Result<Self, FileProblem> {
        // Without O_NONBLOCK, opening a FIFO that has no writer would wait forever. The flag has no
        // effect on a regular file. All checks use the open file, so the file cannot be replaced
        // between the check and the read.
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

    /// Returns the owner of the file if it is neither this user nor root. An owner can write to a
    /// file regardless of its mode.
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
