//! Whose a file on disk is: what meetfs keeps goes into files and directories of the user's own, and never through a link.
//!
//! A link in the place of one of them leads what is kept over files that the user has elsewhere, or to where others read it;
//! one that somebody else owns can be read and changed by them, whatever its mode. Both are left as they are and refused.

use std::fmt::{Display, Formatter};
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Why something on disk is not used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotOwn {
    /// A link in the place of what meetfs makes itself.
    #[error(
        "{} is a link, and what is kept there would go wherever it leads; remove it, and to keep the cache elsewhere \
         set [cache] dir or --cache-dir to a directory there",
        path.display()
    )]
    Link {
        /// Where it is.
        path: PathBuf,
    },
    /// Something else that meetfs does not make.
    #[error(
        "{} is not a {expected}, and meetfs keeps one there; move it away, or give another directory with --cache-dir",
        path.display()
    )]
    Kind {
        /// Where it is.
        path: PathBuf,
        /// What should be there.
        expected: Kind,
    },
    /// Somebody else's.
    #[error(
        "{} belongs to somebody else (user {owner}), who could read and change what is kept there; take it over with \
         `chown`, remove it, or give another directory with --cache-dir",
        path.display()
    )]
    Foreign {
        /// Where it is.
        path: PathBuf,
        /// The owner's number.
        owner: u32,
    },
}

/// What is kept in one place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
}

impl Display for Kind {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::File => "file",
            Self::Directory => "directory",
        })
    }
}

/// Refuses what is at `path` unless it is of that kind and the user's own. Nothing may be there; what cannot be looked at
/// is left to whoever opens it, and is told why there.
///
/// # Errors
/// What is there is not to be used.
pub fn check(path: &Path, expected: Kind) -> Result<(), NotOwn> {
    let Ok(found) = path.symlink_metadata() else { return Ok(()) };
    let kind = found.file_type();
    if kind.is_symlink() {
        return Err(NotOwn::Link { path: path.into() });
    }
    let is_expected = match expected {
        Kind::File => kind.is_file(),
        Kind::Directory => kind.is_dir(),
    };
    if !is_expected {
        return Err(NotOwn::Kind { path: path.into(), expected });
    }
    check_owner(path, &found)
}

/// Refuses what is somebody else's, whatever it is.
///
/// # Errors
/// It is.
pub fn check_owner(path: &Path, found: &Metadata) -> Result<(), NotOwn> {
    if is_own(found) {
        Ok(())
    } else {
        Err(NotOwn::Foreign { path: path.into(), owner: found.uid() })
    }
}

/// Whether something belongs to the user that this process works for.
pub fn is_own(found: &Metadata) -> bool {
    found.uid() == nix::unistd::geteuid().as_raw()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn files_and_directories_of_the_users_own_are_used_and_so_are_places_where_nothing_is() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("file");
        for kind in [Kind::File, Kind::Directory] {
            assert_eq!(check(&file, kind), Ok(()));
        }
        std::fs::write(&file, "").unwrap();
        assert_eq!(check(&file, Kind::File), Ok(()));
        assert_eq!(check(directory.path(), Kind::Directory), Ok(()));
        let (path, expected) = (file.clone(), Kind::Directory);
        assert_eq!(check(&file, Kind::Directory), Err(NotOwn::Kind { path, expected }));
    }

    #[test]
    fn a_link_is_refused_wherever_it_leads() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("link");
        for target in [directory.path(), Path::new("/nowhere/at/all")] {
            symlink(target, &path).unwrap();
            assert_eq!(check(&path, Kind::Directory), Err(NotOwn::Link { path: path.clone() }));
            std::fs::remove_file(&path).unwrap();
        }
    }

    #[test]
    fn what_would_be_waited_on_is_refused_before_it_is_opened() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("pipe");
        nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
        let refused = check(&path, Kind::File).unwrap_err().to_string();
        assert!(refused.ends_with("is not a file, and meetfs keeps one there; move it away, or give another directory with --cache-dir"), "{refused}");
    }
}
