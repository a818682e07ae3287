//! Measures and clears a cache directory without opening it as a cache.

use std::io::ErrorKind;
use std::path::Path;

use super::error::DiskError;
use super::lock::DirectoryLock;
use super::volume::{self, Volume};

/// The files of a cache directory, and the disk space that they take.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DiskUsage {
    /// Number of file versions with at least one stored block.
    pub files: u64,
    pub blocks: u64,
    /// Disk space of the directory and all its files, in bytes.
    pub used_bytes: u64,
    /// Free bytes on the file system of the directory, if known.
    pub free_bytes: Option<u64>,
    /// Whether a process has the directory open as a cache.
    pub is_in_use: bool,
    /// The id of the process that has the directory open, if that process has written its id.
    pub pid: Option<u32>,
}

/// The number of files that [`clear`] has removed, and their disk space.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ClearedFiles {
    /// Number of removed file versions.
    pub files: u64,
    /// Freed disk space in bytes.
    pub bytes: u64,
}

impl DiskUsage {
    /// Returns the usage of a directory that does not exist. It has no files, and the free space is
    /// that of the file system on which the directory will be created.
    pub fn for_missing_directory(directory: &Path) -> Self {
        let parent = directory.ancestors().find(|parent| parent.exists());
        let free_bytes = parent
            .and_then(|parent| volume::free_and_total_bytes_at(parent).ok())
            .map(|(free_bytes, _)| free_bytes);
        Self { free_bytes, ..Self::default() }
    }
}

/// Reads the usage of a directory without opening it as a cache. Returns `None` if the directory
/// does not exist.
///
/// # Errors
/// The directory cannot be read.
pub fn read_usage(directory: &Path) -> Result<Option<DiskUsage>, DiskError> {
    let directory_error = |source| DiskError::Directory { directory: directory.into(), source };
    if !exists(directory)? {
        return Ok(None);
    }
    let volume = Volume::open(directory)?;
    let holder_pid = DirectoryLock::read_holder_pid(directory)?;
    let (free_bytes, _) = volume.free_and_total_bytes().map_err(directory_error)?;
    let mut usage = DiskUsage {
        used_bytes: volume.overhead(),
        free_bytes: Some(free_bytes),
        is_in_use: holder_pid.is_some(),
        pid: holder_pid.flatten(),
        ..DiskUsage::default()
    };
    for fingerprint in volume.list_fingerprints().map_err(directory_error)? {
        usage.used_bytes += volume.disk_space_of(fingerprint);
        // A file that is damaged or was just removed counts as a file without blocks.
        let Ok(Some(index)) = volume.read_index(fingerprint) else { continue };
        usage.files += 1;
        usage.blocks += index.records.len() as u64;
    }
    Ok(Some(usage))
}

/// Removes all blocks from a cache directory. Does not touch other files in it. Reports what has
/// been removed so far to `on_progress`, after each file.
///
/// # Errors
/// A process has the directory open, or the directory cannot be read or written.
pub fn clear(
    directory: &Path,
    on_progress: impl Fn(ClearedFiles),
) -> Result<ClearedFiles, DiskError> {
    let directory_error = |source| DiskError::Directory { directory: directory.into(), source };
    if !exists(directory)? {
        return Ok(ClearedFiles::default());
    }
    let volume = Volume::open(directory)?;
    let _lock = DirectoryLock::acquire(directory)?;
    let mut cleared_files = ClearedFiles::default();
    for fingerprint in volume.list_fingerprints().map_err(directory_error)? {
        cleared_files.bytes += volume.disk_space_of(fingerprint);
        volume.remove_files(fingerprint).map_err(directory_error)?;
        cleared_files.files += 1;
        on_progress(cleared_files);
    }
    Ok(cleared_files)
}

/// Whether the path exists. A dangling symbolic link counts as existing.
fn exists(directory: &Path) -> Result<bool, DiskError> {
    match directory.symlink_metadata() {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(source) => Err(DiskError::Directory { directory: directory.into(), source }),
        Ok(_) => Ok(true),
    }
}
