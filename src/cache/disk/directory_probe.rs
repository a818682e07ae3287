//! Checks whether a directory can hold blocks: performs each operation of a cache once, and undoes
//! it.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{Error, ErrorKind, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::error::DiskError;
use super::hole::punch_hole;

/// Length of the probe file. It is long enough for a hole in the middle on every file system. File
/// systems with clusters, of 64 KiB by default, free only whole clusters.
const FILE_LENGTH: usize = 256 * 1024;

const HOLE: std::ops::Range<usize> = 64 * 1024..192 * 1024;

/// Creates the directory if needed, then creates, writes, reads and removes a file in it. With
/// `with_holes`, also punches a hole in the file. Leaves nothing behind.
///
/// # Errors
/// Returns the error that a cache in the directory would return.
pub fn probe_directory(directory: &Path, with_holes: bool) -> Result<(), DiskError> {
    let failed = |source| DiskError::Directory { directory: directory.into(), source };
    let _removed_on_drop = CreatedDirectories::create(directory).map_err(failed)?;
    let mut file = create_unlinked(directory).map_err(failed)?;
    let written = vec![b'?'; FILE_LENGTH];
    // Space is certain only once the write is on disk.
    file.write_all(&written).and_then(|()| file.sync_data()).map_err(failed)?;
    expect_content(&mut file, &written).map_err(failed)?;
    if !with_holes {
        return Ok(());
    }
    match punch_hole(&file, HOLE.start as u64, HOLE.len() as u64) {
        Err(error) if error.kind() == ErrorKind::Unsupported => {
            return Err(DiskError::NoHoles { directory: directory.into() });
        }
        punched => punched.map_err(failed)?,
    }
    let mut punched = written;
    if let Some(hole) = punched.get_mut(HOLE) {
        hole.fill(0);
    }
    expect_content(&mut file, &punched).map_err(failed)
}

fn expect_content(file: &mut File, expected: &[u8]) -> Result<(), Error> {
    let mut content = Vec::with_capacity(expected.len());
    file.seek(SeekFrom::Start(0))?;
    file.take(expected.len() as u64 + 1).read_to_end(&mut content)?;
    if content == expected {
        Ok(())
    } else {
        Err(Error::other("the file does not contain what was written to it"))
    }
}

/// Creates a file without a name. The kernel removes it when the process ends, however it ends.
fn create_unlinked(directory: &Path) -> Result<File, Error> {
    let path = directory.join(format!("probe-{}-{:016x}", std::process::id(), fastrand::u64(..)));
    let file =
        OpenOptions::new().create_new(true).read(true).write(true).mode(0o600).open(&path)?;
    std::fs::remove_file(&path)?;
    Ok(file)
}

/// The directories that were created, outermost first. Dropping this value removes those that are
/// empty.
struct CreatedDirectories(Vec<PathBuf>);

impl CreatedDirectories {
    fn create(directory: &Path) -> Result<Self, Error> {
        let missing: Vec<_> = directory.ancestors().take_while(|path| !path.exists()).collect();
        let mut created = Self(Vec::new());
        for path in missing.into_iter().rev() {
            DirBuilder::new().mode(0o700).create(path)?;
            created.0.push(path.into());
        }
        Ok(created)
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
    fn a_probe_leaves_nothing_and_finds_unusable_directories() {
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
