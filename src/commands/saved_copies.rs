//! The copies in a backup directory, for `meetfs expiring --not-in`.

use std::collections::{HashMap, HashSet};
use std::ffi::OsString;
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::error::CommandError;
use super::output::print_to_stderr;
use crate::tree::UNAVAILABLE_SUFFIX;

/// Size of the buffer that hashes files.
const HASH_BUFFER_LENGTH: usize = 1024 * 1024;

/// A file of a mount that a backup may have.
pub(crate) struct SourceFile<'a> {
    pub(crate) path: &'a Path,
    /// In bytes, if known.
    pub(crate) size: Option<u64>,
    pub(crate) is_readable: bool,
}

/// The files of a backup by the name of their directory, their own name, and their size.
pub(crate) struct SavedCopies(HashMap<(OsString, OsString, u64), Vec<PathBuf>>);

impl SavedCopies {
    /// Checks that a directory can be searched.
    ///
    /// # Errors
    /// It is missing, not a directory, or not readable.
    pub(crate) fn check_directory(directory: &Path) -> Result<(), CommandError> {
        match std::fs::read_dir(directory) {
            Ok(_) => Ok(()),
            Err(source) => Err(CommandError::Copies { path: directory.into(), source }),
        }
    }

    /// Searches a directory and everything below it, except what is on one of the devices `mounts`.
    ///
    /// # Errors
    /// The directory cannot be read or is on one of `mounts`.
    pub(crate) fn in_directory(
        directory: &Path,
        mounts: &HashSet<u64>,
    ) -> Result<Self, CommandError> {
        let failed = |source| CommandError::Copies { path: directory.into(), source };
        let top = std::fs::metadata(directory).map_err(failed)?;
        if mounts.contains(&top.dev()) {
            return Err(CommandError::CopiesInMount(directory.into()));
        }
        std::fs::read_dir(directory).map_err(failed)?;
        let mut copies = Self(HashMap::new());
        let mut pending = vec![directory.to_path_buf()];
        // Symbolic links can form cycles, so each directory is visited once.
        let mut visited = HashSet::from([(top.dev(), top.ino())]);
        while let Some(directory) = pending.pop() {
            let entries = match std::fs::read_dir(&directory) {
                Ok(entries) => entries,
                Err(error) => {
                    print_to_stderr(format_args!(
                        "warning: cannot read {}; files in it count as not saved: {error}",
                        directory.display()
                    ));
                    continue;
                }
            };
            for path in entries.flatten().map(|entry| entry.path()) {
                // Follows symbolic links: a backup may be spread over several disks.
                let Ok(metadata) = std::fs::metadata(&path) else { continue };
                if mounts.contains(&metadata.dev()) {
                    continue;
                }
                if metadata.is_dir() {
                    if visited.insert((metadata.dev(), metadata.ino())) {
                        pending.push(path);
                    }
                } else if metadata.is_file()
                    && let (Some(parent), Some(name)) = (directory.file_name(), path.file_name())
                {
                    let key = (parent.to_owned(), name.to_owned(), metadata.len());
                    copies.0.entry(key).or_default().push(path);
                }
            }
        }
        Ok(copies)
    }

    /// Whether the backup has a copy: of the same name and size, or of the same bytes.
    pub(crate) fn contain(&self, file: &SourceFile<'_>, by_content: bool) -> bool {
        let (Some(parent), Some(name), Some(size)) =
            (file.path.parent().and_then(Path::file_name), file.path.file_name(), file.size)
        else {
            return false;
        };
        // For a `NAME.unavailable.txt`, the copy is the file itself, saved while it was available.
        let name = match name.to_str().and_then(|name| name.strip_suffix(UNAVAILABLE_SUFFIX)) {
            Some(name) if !file.is_readable => name.as_ref(),
            _ => name,
        };
        let Some(copies) = self.0.get(&(parent.to_owned(), name.to_owned(), size)) else {
            return false;
        };
        // A file that cannot be read cannot be compared.
        if !by_content || !file.is_readable {
            return true;
        }
        let Ok(expected) = digest(file.path) else { return false };
        copies.iter().any(|copy| digest(copy).is_ok_and(|actual| actual == expected))
    }
}

fn digest(path: &Path) -> std::io::Result<[u8; 32]> {
    let mut file = File::open(path)?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0; HASH_BUFFER_LENGTH];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(hash.finalize().into()),
            length => hash.update(buffer.get(..length).unwrap_or_default()),
        }
    }
}
