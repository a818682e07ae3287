//! Checks whether a directory can hold a disk cache: performs each operation of the cache once, and
//! undoes it.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{Error, ErrorKind, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::error::DiskError;
use super::hole::punch_hole;

/// Length of the probe file in bytes. It is long enough for a hole in the middle, even on a file
/// system that frees only whole clusters (64 KiB by default).
const PROBE_FILE_LENGTH: usize = 256 * 1024;

const HOLE_RANGE: std::ops::Range<usize> = 64 * 1024..192 * 1024;

/// Creates the directory if needed, then creates, writes, reads and removes a file in it. If
/// `needs_holes` is true, also punches a hole in the file. Leaves no files or directories behind.
///
/// # Errors
/// Returns the error that opening a cache in the directory would return.
pub fn probe_directory(directory: &Path, needs_holes: bool) -> Result<(), DiskError> {
    let directory_error = |source| DiskError::Directory { directory: directory.into(), source };
    let _created_directories = CreatedDirectories::create(directory).map_err(directory_error)?;
    let mut file = create_unlinked(directory).map_err(directory_error)?;
    let content = vec![b'?'; PROBE_FILE_LENGTH];
    // The write proves that there is space only after it has reached the disk.
    file.write_all(&content).and_then(|()| file.sync_data()).map_err(directory_error)?;
    check_content(&mut file, &content).map_err(directory_error)?;
    if !needs_holes {
        return Ok(());
    }
    match punch_hole(&file, HOLE_RANGE.start as u64, HOLE_RANGE.len() as u64) {
        Err(error) if error.kind() == ErrorKind::Unsupported => {
            return Err(DiskError::NoHoles { directory: directory.into() });
        }
        result => result.map_err(directory_error)?,
    }
    let mut expected = content;
    if let Some(hole) = expected.get_mut(HOLE_RANGE) {
        hole.fill(0);
    }
    check_content(&mut file, &expected).map_err(directory_error)
}

fn check_content(file: &mut File, expected: &[u8]) -> Result<(), Error> {
    let mut content = Vec::with_capacity(expected.len());
    file.seek(SeekFrom::Start(0))?;
    file.take(expected.len() as u64 + 1).read_to_end(&mut content)?;
    if content == expected {
        Ok(())
    } else {
        Err(Error::other("the file does not contain the bytes that were written to it"))
    }
}

/// Creates a file and unlinks it at once, so the kernel removes it even if the process is killed.
fn create_unlinked(directory: &Path) -> Result<File, Error> {
    let path = directory.join(format!("probe-{}-{:016x}", std::process::id(), fastrand::u64(..)));
    let file =
        OpenOptions::new().create_new(true).read(true).write(true).mode(0o600).open(&path)?;
    std::fs::remove_file(&path)?;
    Ok(file)
}

/// The directories that the probe created, outermost first. Dropping this value removes the empty
/// ones.
struct CreatedDirectories(Vec<PathBuf>);

impl CreatedDirectories {
    fn create(directory: &Path) -> Result<Self, Error> {
        let missing_paths: Vec<_> =
            directory.ancestors().take_while(|path| !path.exists()).collect();
        let mut created_directories = Self(Vec::new());
        for path in missing_paths.into_iter().rev() {
            DirBuilder::new().mode(0o700).create(path)?;
            created_directories.0.push(path.into());
        }
        Ok(created_directories)
    }
}

impl Drop for CreatedDirectories {
    fn drop(&mut self) {
        for path in self.0.iter().rev() {
            // Another process may already use the directory, so a failure is not an error.
            let _ = std::fs::remove_dir(path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn probe_leaves_nothing_and_rejects_unusable_directories() {
        let parent = tempfile::tempdir().unwrap();
        probe_directory(&parent.path().join("a/b/c"), true).unwrap();
        probe_directory(parent.path(), true).unwrap();
        assert_eq!(std::fs::read_dir(parent.path()).unwrap().count(), 0);
        std::fs::write(parent.path().join("file"), "").unwrap();
        for unusable in [
            Path::new("/proc/x"),
            Path::new("/sys/x"),
            &parent.path().join("file"),
            &parent.path().join("file/x"),
        ] {
            let error = probe_directory(unusable, true).unwrap_err();
            assert!(matches!(error, DiskError::Directory { .. }), "{error:?}");
        }
    }
}
