//! Whether a directory can hold blocks: everything that a cache does there is done once, and undone.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{Error, ErrorKind, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::error::DiskError;
use super::volume;

/// Enough for a hole in the middle of it on every file system; one frees whole clusters, of 64 KiB at most by default.
const LENGTH: usize = 256 * 1024;

/// The hole.
const FREED: std::ops::Range<usize> = 64 * 1024..192 * 1024;

/// Makes the directory if need be, and in it a file that is written, read, perhaps punched, and removed. Nothing is left.
///
/// # Errors
/// What a cache would fail with there.
pub fn trial(directory: &Path, with_holes: bool) -> Result<(), DiskError> {
    let failed = |cause| DiskError::Directory { directory: directory.into(), cause };
    let _removed_at_the_end = Made::all_of(directory).map_err(failed)?;
    let mut file = nameless(directory).map_err(failed)?;
    let written = vec![b'?'; LENGTH];
    // Not before it is on disk is it known that there was room.
    file.write_all(&written).and_then(|()| file.sync_data()).map_err(failed)?;
    same(&mut file, &written).map_err(failed)?;
    if !with_holes {
        return Ok(());
    }
    match volume::punch(&file, FREED.start as u64, FREED.len() as u64) {
        Err(cause) if cause.kind() == ErrorKind::Unsupported => {
            return Err(DiskError::NoHoles { directory: directory.into() });
        }
        punched => punched.map_err(failed)?,
    }
    let mut punched = written;
    if let Some(hole) = punched.get_mut(FREED) {
        hole.fill(0);
    }
    same(&mut file, &punched).map_err(failed)
}

fn same(file: &mut File, expected: &[u8]) -> Result<(), Error> {
    let mut found = Vec::with_capacity(expected.len());
    file.seek(SeekFrom::Start(0))?;
    file.take(expected.len() as u64 + 1).read_to_end(&mut found)?;
    if found == expected {
        Ok(())
    } else {
        Err(Error::other("what is read there is not what was written"))
    }
}

/// A file whose name is gone again, so that it ends with the process however that ends.
fn nameless(directory: &Path) -> Result<File, Error> {
    let path = directory.join(format!("trial-{}-{:016x}", std::process::id(), fastrand::u64(..)));
    let file =
        OpenOptions::new().create_new(true).read(true).write(true).mode(0o600).open(&path)?;
    std::fs::remove_file(&path)?;
    Ok(file)
}

/// Directories that were made, the outermost first. They go again when this is dropped, unless something is in them.
struct Made(Vec<PathBuf>);

impl Made {
    fn all_of(directory: &Path) -> Result<Self, Error> {
        let missing: Vec<_> = directory.ancestors().take_while(|path| !path.exists()).collect();
        let mut made = Self(Vec::new());
        for path in missing.into_iter().rev() {
            DirBuilder::new().mode(0o700).create(path)?;
            made.0.push(path.into());
        }
        Ok(made)
    }
}

impl Drop for Made {
    fn drop(&mut self) {
        for path in self.0.iter().rev() {
            let _somebody_else_may_use_it_by_now = std::fs::remove_dir(path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trial_leaves_nothing_behind_and_tells_places_that_hold_no_files() {
        let parent = tempfile::tempdir().unwrap();
        trial(&parent.path().join("a/b/c"), true).unwrap();
        trial(parent.path(), true).unwrap();
        assert_eq!(std::fs::read_dir(parent.path()).unwrap().count(), 0);
        std::fs::write(parent.path().join("file"), "").unwrap();
        for place in [
            Path::new("/proc/x"),
            Path::new("/sys/x"),
            &parent.path().join("file"),
            &parent.path().join("file/x"),
        ] {
            let error = trial(place, true).unwrap_err().to_string();
            assert!(error.contains("cannot be used") && error.contains("--cache-dir"), "{error}");
        }
    }
}
