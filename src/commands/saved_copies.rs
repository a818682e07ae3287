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

/// Length of the buffer for hashing files, in bytes.
const HASH_BUFFER_LENGTH: usize = 1024 * 1024;

/// A file of a mount that a backup may contain.
pub(crate) struct SourceFile<'a> {
    pub(crate) path: &'a Path,
    /// Size in bytes, if known.
    pub(crate) size: Option<u64>,
    pub(crate) is_readable: bool,
}

/// The files of a backup, indexed by the name of their directory, their own name and their size.
pub(crate) struct SavedCopies(HashMap<(OsString, OsString, u64), Vec<PathBuf>>);

impl SavedCopies {
    /// Checks that a directory can be searched.
    ///
    /// # Errors
    /// The path does not exist, is not a directory, or is not readable.
    pub(crate) fn check_directory(directory: &Path) -> Result<(), CommandError> {
        match std::fs::read_dir(directory) {
            Ok(_) => Ok(()),
            Err(source) => Err(CommandError::Copies { path: directory.into(), source }),
        }
    }

    /// Searches a directory recursively. Skips files on the devices `mount_devices`.
    ///
    /// # Errors
    /// The directory cannot be read, or is on one of the devices.
    pub(crate) fn in_directory(
        directory: &Path,
        mount_devices: &HashSet<u64>,
    ) -> Result<Self, CommandError> {
        let copies_error = |source| CommandError::Copies { path: directory.into(), source };
        let root_metadata = std::fs::metadata(directory).map_err(copies_error)?;
        if mount_devices.contains(&root_metadata.dev()) {
            return Err(CommandError::CopiesInMount(directory.into()));
        }
        std::fs::read_dir(directory).map_err(copies_error)?;
        let mut copies = Self(HashMap::new());
        let mut pending_directories = vec![directory.to_path_buf()];
        // Symbolic links can form cycles, so each directory is visited once.
        let mut visited_directories = HashSet::from([(root_metadata.dev(), root_metadata.ino())]);
        while let Some(directory) = pending_directories.pop() {
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
                if mount_devices.contains(&metadata.dev()) {
                    continue;
                }
                if metadata.is_dir() {
                    if visited_directories.insert((metadata.dev(), metadata.ino())) {
                        pending_directories.push(path);
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

    /// Whether the backup contains a copy of the file. A copy has the same directory name, file
    /// name and size, and with `by_content` also the same bytes.
    pub(crate) fn has_copy_of(&self, file: &SourceFile<'_>, by_content: bool) -> bool {
        let (Some(parent), Some(name), Some(size)) =
            (file.path.parent().and_then(Path::file_name), file.path.file_name(), file.size)
        else {
            return false;
        };
        // For a note `NAME.unavailable.txt`, the copy is `NAME`, saved while it could be
        // downloaded.
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
        let Ok(expected) = hash_file(file.path) else { return false };
        copies.iter().any(|copy| hash_file(copy).is_ok_and(|actual| actual == expected))
    }
}

fn hash_file(path: &Path) -> std::io::Result<[u8; 32]> {
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
