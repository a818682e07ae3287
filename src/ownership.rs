//! Checks the owner and the type of the files that meetfs stores. They must be regular files or
//! directories of the user, and never symbolic links.
//!
//! A symbolic link could redirect writes to other files of the user, or to a directory that other
//! users can read. The owner of a file can read and change it regardless of its mode. Therefore
//! meetfs rejects symbolic links and files of other users, and does not change them.

use std::borrow::Cow;
use std::fmt::{Display, Formatter};
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::model::{Diagnostic, ErrorKind};

/// The reason why a file or directory must not be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OwnershipError {
    #[error("{} is a symbolic link", path.display())]
    SymbolicLink { path: PathBuf },
    #[error("{} is not a {expected}", path.display())]
    WrongType { path: PathBuf, expected: FileType },
    #[error("{} belongs to another user (uid {owner})", path.display())]
    OtherOwner { path: PathBuf, owner: u32 },
}

impl Diagnostic for OwnershipError {
    fn kind(&self) -> ErrorKind {
        ErrorKind::Configuration
    }

    fn hint(&self) -> Option<Cow<'static, str>> {
        let hint = match self {
            Self::SymbolicLink { .. } => {
                "Remove the symbolic link. To keep the cache in another directory, set `dir` in [cache] \
                 or --cache-dir to that directory."
            }
            Self::WrongType { .. } => {
                "Move it elsewhere, or choose another directory with --cache-dir."
            }
            Self::OtherOwner { .. } => {
                "The other user can read and change the content. Change the owner with `chown`, remove \
                 the file or directory, or choose another directory with --cache-dir."
            }
        };
        Some(hint.into())
    }
}

/// The required type of a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileType {
    File,
    Directory,
}

impl Display for FileType {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::File => "file",
            Self::Directory => "directory",
        })
    }
}

/// Checks that `path` either does not exist, or has the `expected` type and belongs to the user. A
/// path whose metadata cannot be read passes the check, because opening it reports the reason.
///
/// # Errors
/// Returns an error if the path must not be used.
pub fn check_path(path: &Path, expected: FileType) -> Result<(), OwnershipError> {
    let Ok(metadata) = path.symlink_metadata() else { return Ok(()) };
    let file_type = metadata.file_type();
    if file_type.is_symlink() {
        return Err(OwnershipError::SymbolicLink { path: path.into() });
    }
    let is_expected = match expected {
        FileType::File => file_type.is_file(),
        FileType::Directory => file_type.is_dir(),
    };
    if !is_expected {
        return Err(OwnershipError::WrongType { path: path.into(), expected });
    }
    check_owner(path, &metadata)
}

/// Checks that a file of any type belongs to the user.
///
/// # Errors
/// Returns [`OwnershipError::OtherOwner`] if the file belongs to another user.
pub fn check_owner(path: &Path, metadata: &Metadata) -> Result<(), OwnershipError> {
    if is_owned(metadata) {
        Ok(())
    } else {
        Err(OwnershipError::OtherOwner { path: path.into(), owner: metadata.uid() })
    }
}

/// Whether the file belongs to the effective user of this process.
pub fn is_owned(metadata: &Metadata) -> bool {
    metadata.uid() == nix::unistd::geteuid().as_raw()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn own_files_and_missing_paths_pass() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("file");
        for file_type in [FileType::File, FileType::Directory] {
            assert_eq!(check_path(&file, file_type), Ok(()));
        }
        std::fs::write(&file, "").unwrap();
        assert_eq!(check_path(&file, FileType::File), Ok(()));
        assert_eq!(check_path(directory.path(), FileType::Directory), Ok(()));
        let (path, expected) = (file.clone(), FileType::Directory);
        let wrong_type = OwnershipError::WrongType { path, expected };
        assert_eq!(check_path(&file, FileType::Directory), Err(wrong_type));
    }

    #[test]
    fn symbolic_links_to_any_target_are_rejected() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("link");
        for target in [directory.path(), Path::new("/nowhere/at/all")] {
            symlink(target, &path).unwrap();
            let error = OwnershipError::SymbolicLink { path: path.clone() };
            assert_eq!(check_path(&path, FileType::Directory), Err(error));
            std::fs::remove_file(&path).unwrap();
        }
    }

    #[test]
    fn a_pipe_is_rejected_without_being_opened() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("pipe");
        nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
        let error = check_path(&path, FileType::File).unwrap_err();
        assert_eq!(error.to_string(), format!("{} is not a file", path.display()));
    }
}
