//! Opens a log file so that no other user can redirect it to another file.
//!
//! Input: the path that the user specifies. Output: a file of this user or of root, open for
//! appending. The path is walked one component at a time, so that it cannot change between a check
//! and its use. A symbolic link is followed if this user or root owns it, as the kernel does with
//! `protected_symlinks` (proc(5)). This setting is off on some systems.

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, Stat};

/// Maximum number of symbolic links to follow, as in the kernel (path_resolution(7)).
const MAX_LINKS: usize = 40;

/// The magic number of procfs. The target of a symbolic link in procfs, such as the one behind
/// `/dev/stderr`, is not always a path.
const PROCFS_MAGIC: u64 = 0x9fa0;

/// The reason why a log cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum LogFileError {
    #[error("{} is a symbolic link of another user (uid {owner})", path.display())]
    ForeignLink { path: PathBuf, owner: u32 },
    #[error("{} belongs to another user (uid {owner})", path.display())]
    ForeignFile { path: PathBuf, owner: u32 },
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl From<rustix::io::Errno> for LogFileError {
    fn from(errno: rustix::io::Errno) -> Self {
        Self::Io(errno.into())
    }
}

/// Opens the file for appending, or creates it with mode 0600.
///
/// # Errors
/// Another user owns the file or a symbolic link in its path, or the file cannot be opened.
pub(crate) fn open(path: &Path) -> Result<File, LogFileError> {
    let Location { directory, name } = locate(path)?;
    // With `NONBLOCK`, opening a named pipe without a reader fails. Otherwise it would block.
    let flags =
        OFlags::WRONLY | OFlags::APPEND | OFlags::CREATE | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let is_procfs = u64::try_from(rustix::fs::fstatfs(&directory)?.f_type) == Ok(PROCFS_MAGIC);
    let flags = if is_procfs { flags } else { flags | OFlags::NOFOLLOW };
    let file = rustix::fs::openat(&directory, name.as_os_str(), flags, Mode::RUSR | Mode::WUSR)?;
    let status = rustix::fs::fstat(&file)?;
    if !is_trusted(&status) && !is_procfs {
        return Err(LogFileError::ForeignFile { path: path.into(), owner: status.st_uid });
    }
    Ok(file.into())
}

/// The directory and the file name that a path resolves to.
struct Location {
    directory: OwnedFd,
    /// The last component of the path. It is not a symbolic link unless the directory is on procfs.
    name: OsString,
}

fn locate(path: &Path) -> Result<Location, LogFileError> {
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let root = || rustix::fs::openat(CWD, "/", flags, Mode::empty());
    let mut remaining_components = path_components(path);
    let mut directory = rustix::fs::openat(CWD, ".", flags, Mode::empty())?;
    let mut link_count = 0;
    loop {
        let Some(name) = remaining_components.pop_front() else {
            return Err(io::Error::from(io::ErrorKind::IsADirectory).into());
        };
        if name == "/" {
            directory = root()?;
            continue;
        }
        let is_last = remaining_components.is_empty();
        let status = match rustix::fs::statat(&directory, &name, AtFlags::SYMLINK_NOFOLLOW) {
            Err(rustix::io::Errno::NOENT) if is_last => return Ok(Location { directory, name }),
            status => status?,
        };
        if FileType::from_raw_mode(status.st_mode) != FileType::Symlink {
            if is_last {
                return Ok(Location { directory, name });
            }
            directory = rustix::fs::openat(&directory, &name, flags, Mode::empty())?;
            continue;
        }
        let is_procfs = u64::try_from(rustix::fs::fstatfs(&directory)?.f_type) == Ok(PROCFS_MAGIC);
        if is_procfs && is_last {
            return Ok(Location { directory, name });
        }
        // Opens the link itself, so the link that is checked is the link that is read.
        let link = rustix::fs::openat(&directory, &name, flags, Mode::empty())?;
        let status = rustix::fs::fstat(&link)?;
        if !is_trusted(&status) && !is_procfs {
            return Err(LogFileError::ForeignLink { path: path.into(), owner: status.st_uid });
        }
        link_count += 1;
        if link_count > MAX_LINKS {
            return Err(rustix::io::Errno::LOOP.into());
        }
        let target = rustix::fs::readlinkat(&link, "", Vec::new())?;
        let mut target = path_components(Path::new(OsStr::from_bytes(target.as_bytes())));
        target.append(&mut remaining_components);
        remaining_components = target;
    }
}

/// Returns the components of a path, including the root.
fn path_components(path: &Path) -> VecDeque<OsString> {
    let components = path.components().filter(|component| *component != Component::CurDir);
    components.map(|component| component.as_os_str().to_owned()).collect()
}

/// Whether this user or root owns the file.
fn is_trusted(status: &Stat) -> bool {
    status.st_uid == 0 || status.st_uid == nix::unistd::geteuid().as_raw()
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::os::unix::fs::{PermissionsExt, chown, symlink};

    use super::*;

    const OTHER_USER: u32 = 54321;

    fn write_to(path: &Path) -> Result<(), LogFileError> {
        Ok(open(path)?.write_all(b"line\n")?)
    }

    #[test]
    fn own_files_and_links_are_opened() {
        let directory = tempfile::tempdir().unwrap();
        let path_of = |name: &str| directory.path().join(name);
        write_to(&path_of("log")).unwrap();
        assert_eq!(std::fs::metadata(path_of("log")).unwrap().permissions().mode() & 0o777, 0o600);
        symlink("log", path_of("relative")).unwrap();
        symlink(path_of("later"), path_of("absolute")).unwrap();
        symlink(directory.path(), path_of("directory")).unwrap();
        for name in ["relative", "absolute", "directory/log", "./directory/../log"] {
            let path = match name {
                "./directory/../log" => path_of("directory")
                    .join("../")
                    .join(directory.path().file_name().unwrap())
                    .join("log"),
                name => path_of(name),
            };
            write_to(&path).unwrap();
        }
        assert_eq!(std::fs::read_to_string(path_of("log")).unwrap(), "line\n".repeat(4));
        assert_eq!(std::fs::read_to_string(path_of("later")).unwrap(), "line\n");
        symlink("loop", path_of("loop")).unwrap();
        for name in ["loop", "log/x", "missing/log", "directory", ""] {
            assert!(matches!(write_to(&path_of(name)), Err(LogFileError::Io(_))), "{name}");
        }
        write_to(Path::new("/dev/null")).unwrap();
    }

    #[test]
    #[ignore = "needs root"]
    fn files_and_links_of_other_users_are_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path_of = |name: &str| directory.path().join(name);
        std::fs::write(path_of("private"), "mine").unwrap();
        std::fs::create_dir(path_of("inner")).unwrap();
        symlink(path_of("private"), path_of("link")).unwrap();
        symlink(path_of("inner"), path_of("path")).unwrap();
        std::fs::write(path_of("foreign"), "").unwrap();
        std::fs::set_permissions(path_of("foreign"), PermissionsExt::from_mode(0o666)).unwrap();
        for name in ["link", "path", "foreign"] {
            std::os::unix::fs::lchown(path_of(name), Some(OTHER_USER), None).unwrap();
        }
        for name in ["link", "path/log"] {
            let error = write_to(&path_of(name)).unwrap_err();
            assert!(matches!(error, LogFileError::ForeignLink { owner: OTHER_USER, .. }), "{name}");
        }
        let error = write_to(&path_of("foreign")).unwrap_err();
        assert!(matches!(error, LogFileError::ForeignFile { owner: OTHER_USER, .. }), "{error}");
        assert_eq!(std::fs::read_to_string(path_of("private")).unwrap(), "mine");
        assert!(!path_of("inner/log").exists());
        chown(path_of("foreign"), Some(nix::unistd::geteuid().as_raw()), None).unwrap();
        write_to(&path_of("foreign")).unwrap();
    }
}
