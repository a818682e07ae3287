//! A cache seen from outside: what a directory holds, and emptying one that no process has.

use std::io::ErrorKind;
use std::path::Path;

use super::error::DiskError;
use super::lock::Lock;
use super::volume::{self, Volume};

/// What a directory holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Survey {
    /// File versions of which something is held.
    pub files: u64,
    /// Their blocks.
    pub blocks: u64,
    /// Bytes of disk that all of it takes, the directory included.
    pub held: u64,
    /// Bytes that are free on its file system; unknown where that does not say.
    pub free: Option<u64>,
    /// Whether a process has it open.
    pub in_use: bool,
    /// Which, where it has said.
    pub pid: Option<u32>,
}

/// What was removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cleared {
    /// File versions.
    pub files: u64,
    /// Bytes of disk.
    pub bytes: u64,
}

impl Survey {
    /// Of a directory that is not there yet, and is not made: nothing is held, and free is what is so on the file system that it
    /// will be made on.
    pub fn of_none(directory: &Path) -> Self {
        let made_on = directory.ancestors().find(|parent| parent.exists());
        let free = made_on.and_then(|parent| volume::space_at(parent).ok()).map(|(free, _)| free);
        Self { free, ..Self::default() }
    }
}

/// Looks at a directory without taking it; `None` where there is none.
///
/// # Errors
/// It cannot be read.
pub fn survey(directory: &Path) -> Result<Option<Survey>, DiskError> {
    let failed = |cause| DiskError::Directory { directory: directory.into(), cause };
    if !is_there(directory)? {
        return Ok(None);
    }
    let volume = Volume::open(directory)?;
    let holder = Lock::holder(directory)?;
    let (free, _) = volume.space().map_err(failed)?;
    let mut survey = Survey {
        held: volume.overhead(),
        free: Some(free),
        in_use: holder.is_some(),
        pid: holder.flatten(),
        ..Survey::default()
    };
    for fingerprint in volume.list().map_err(failed)? {
        survey.held += volume.allocated_by(fingerprint);
        // What is damaged, or goes while it is looked at, holds nothing.
        let Ok(Some(index)) = volume.read_index(fingerprint) else { continue };
        survey.files += 1;
        survey.blocks += index.records.len() as u64;
    }
    Ok(Some(survey))
}

/// Removes every block in a directory, and nothing that is not the cache's.
///
/// # Errors
/// A process has it open, or it cannot be read or written.
pub fn clear(directory: &Path) -> Result<Cleared, DiskError> {
    let failed = |cause| DiskError::Directory { directory: directory.into(), cause };
    if !is_there(directory)? {
        return Ok(Cleared::default());
    }
    let volume = Volume::open(directory)?;
    let _lock = Lock::take(directory)?;
    let mut cleared = Cleared::default();
    for fingerprint in volume.list().map_err(failed)? {
        cleared.bytes += volume.allocated_by(fingerprint);
        volume.remove(fingerprint).map_err(failed)?;
        cleared.files += 1;
    }
    Ok(cleared)
}

/// Whether there is anything in its place, be it a link to nothing.
fn is_there(directory: &Path) -> Result<bool, DiskError> {
    match directory.symlink_metadata() {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(cause) => Err(DiskError::Directory { directory: directory.into(), cause }),
        Ok(_) => Ok(true),
    }
}
