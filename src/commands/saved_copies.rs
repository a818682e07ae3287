//! The copies in a backup directory, for `meetfs expiring --not-in`. `meetfs verify` checks its
//! directory with the same functions.

use std::collections::{HashMap, HashSet};
use std::ffi::OsString;
use std::fs::{File, Metadata};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::copy_progress::CopyProgress;
use super::error::CommandError;
use super::file_hash::{FileHash, hash_file};
use super::output::print_to_stderr;
use crate::tree::unavailable_file_name;

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

    /// Searches a directory recursively. Skips files on the devices `mount_devices`. Counts the
    /// files in `progress`.
    ///
    /// # Errors
    /// The directory cannot be read, or is on one of the devices.
    pub(crate) fn in_directory(
        directory: &Path,
        mount_devices: &HashSet<u64>,
        progress: &CopyProgress,
    ) -> Result<Self, CommandError> {
        let root_metadata = check_outside_mounts(directory, mount_devices)?;
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
                    progress.record_found_file();
                }
            }
        }
        Ok(copies)
    }

    /// Whether the backup contains a copy of the file. A copy has the same directory name, file
    /// name and size, and with `by_content` also the same bytes. Counts the bytes that are read in
    /// `progress`.
    pub(crate) fn has_copy_of(
        &self,
        file: &SourceFile<'_>,
        by_content: bool,
        progress: &CopyProgress,
    ) -> bool {
        let (Some(parent), Some(name), Some(size)) =
            (file.path.parent().and_then(Path::file_name), file.path.file_name(), file.size)
        else {
            return false;
        };
        // For a note `NAME.unavailable.txt`, the copy is `NAME`, saved while it could be
        // downloaded.
        let name = match name.to_str().and_then(unavailable_file_name) {
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
        let Ok(expected) = hash_path(file.path, progress) else { return false };
        copies.iter().any(|copy| hash_path(copy, progress).is_ok_and(|actual| actual == expected))
    }
}

/// Checks that a directory of copies is readable and is not on one of the devices `mount_devices`.
///
/// # Errors
/// The directory cannot be read, or is on one of the devices.
pub(crate) fn check_outside_mounts(
    directory: &Path,
    mount_devices: &HashSet<u64>,
) -> Result<Metadata, CommandError> {
    let copies_error = |source| CommandError::Copies { path: directory.into(), source };
    let metadata = std::fs::metadata(directory).map_err(copies_error)?;
    if mount_devices.contains(&metadata.dev()) {
        return Err(CommandError::CopiesInMount(directory.into()));
    }
    std::fs::read_dir(directory).map_err(copies_error)?;
    Ok(metadata)
}

fn hash_path(path: &Path, progress: &CopyProgress) -> std::io::Result<FileHash> {
    hash_file(&mut File::open(path)?, |length| progress.record_read(length))
}
