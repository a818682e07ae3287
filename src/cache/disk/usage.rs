//! Measures and clears a cache directory that this process has not opened.

use std::io::ErrorKind;
use std::path::Path;

use super::error::DiskError;
use super::lock::DirectoryLock;
use super::volume::{self, Volume};

/// The contents of a cache directory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DiskUsage {
    /// File versions with at least one block.
    pub files: u64,
    pub blocks: u64,
    /// Space of the directory with all its files, in bytes.
    pub held: u64,
    /// Bytes free on its file system, if known.
    pub free: Option<u64>,
    /// Whether a process has the directory open.
    pub in_use: bool,
    /// The id of that process, if it has written one.
    pub pid: Option<u32>,
}

/// The number and size of the files that were removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ClearedFiles {
    /// File versions.
    pub files: u64,
    /// Freed space in bytes.
    pub bytes: u64,
}

impl DiskUsage {
    /// Returns the usage of a directory that does not exist: no files, and the free space of the
    /// file system on which the directory will be created.
    pub fn of_missing(directory: &Path) -> Self {
        let parent = directory.ancestors().find(|parent| parent.exists());
        let free = parent.and_then(|parent| volume::space_at(parent).ok()).map(|(free, _)| free);
        Self { free, ..Self::default() }
    }
}

/// Reads the usage of a directory without opening it as a cache; `None` if it does not exist.
///
/// # Errors
/// The directory cannot be read.
pub fn usage(directory: &Path) -> Result<Option<DiskUsage>, DiskError> {
    let failed = |source| DiskError::Directory { directory: directory.into(), source };
    if !exists(directory)? {
        return Ok(None);
    }
    let volume = Volume::open(directory)?;
    let holder = DirectoryLock::holder(directory)?;
    let (free, _) = volume.space().map_err(failed)?;
    let mut usage = DiskUsage {
        held: volume.overhead(),
        free: Some(free),
        in_use: holder.is_some(),
        pid: holder.flatten(),
        ..DiskUsage::default()
    };
    for fingerprint in volume.list().map_err(failed)? {
        usage.held += volume.allocated_by(fingerprint);
        // A damaged or just removed file counts as a file without blocks.
        let Ok(Some(index)) = volume.read_index(fingerprint) else { continue };
        usage.files += 1;
        usage.blocks += index.records.len() as u64;
    }
    Ok(Some(usage))
}

/// Removes every block in a directory. Leaves foreign files alone.
///
/// # Errors
/// A process has the directory open, or the directory cannot be read or written.
pub fn clear(directory: &Path) -> Result<ClearedFiles, DiskError> {
    let failed = |source| DiskError::Directory { directory: directory.into(), source };
    if !exists(directory)? {
        return Ok(ClearedFiles::default());
    }
    let volume = Volume::open(directory)?;
    let _lock = DirectoryLock::acquire(directory)?;
    let mut cleared = ClearedFiles::default();
    for fingerprint in volume.list().map_err(failed)? {
        cleared.bytes += volume.allocated_by(fingerprint);
        volume.remove(fingerprint).map_err(failed)?;
        cleared.files += 1;
    }
    Ok(cleared)
}

/// Whether the path exists. A dangling symbolic link exists, too.
fn exists(directory: &Path) -> Result<bool, DiskError> {
    match directory.symlink_metadata() {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(source) => Err(DiskError::Directory { directory: directory.into(), source }),
        Ok(_) => Ok(true),
    }
}
