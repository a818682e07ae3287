//! A directory of a backup, opened without following symbolic links.
//!
//! Each directory is opened relative to the one that contains it. So no other process can replace a
//! part of the path by a symbolic link between a check and its use.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::{
    AtFlags, CWD, Dir, Mode, OFlags, Statx, StatxFlags, Timespec, Timestamps, UTIME_OMIT, futimens,
    openat, renameat, statx, unlinkat,
};
use rustix::io::Errno;

use super::file_status::FileStatus;

/// An open directory of a backup.
pub(super) struct BackupDirectory {
    descriptor: OwnedFd,
}

impl BackupDirectory {
    /// Opens the directory that contains the whole backup. Its path can contain symbolic links.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(Self { descriptor: openat(CWD, path, flags, Mode::empty())? })
    }

    /// Opens a directory in this directory. Fails if it is a symbolic link.
    pub(super) fn open_directory(&self, name: &OsStr) -> io::Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        Ok(Self { descriptor: openat(&self.descriptor, name, flags, Mode::empty())? })
    }

    /// Opens a regular file in this directory for reading.
    pub(super) fn open_file(&self, name: &OsStr) -> io::Result<File> {
        // With `NONBLOCK`, a named pipe without a writer does not block.
        let flags =
            OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let file = File::from(openat(&self.descriptor, name, flags, Mode::empty())?);
        if file.metadata()?.is_file() {
            Ok(file)
        } else {
            Err(io::Error::other("it is not a regular file"))
        }
    }

    /// Returns the status of an entry, which can be a symbolic link. Returns `None` if it does not
    /// exist.
    pub(super) fn status(&self, name: &OsStr) -> io::Result<Option<FileStatus>> {
        let flags = AtFlags::SYMLINK_NOFOLLOW;
        match statx(&self.descriptor, name, flags, StatxFlags::BASIC_STATS) {
            Ok(status) => Ok(Some(FileStatus::from(&status))),
            // A name that the file system of the backup does not allow does not exist there.
            Err(Errno::NOENT | Errno::NAMETOOLONG | Errno::INVAL) => Ok(None),
            Err(errno) => Err(errno.into()),
        }
    }

    /// Returns the status of the directory itself.
    pub(super) fn own_status(&self) -> io::Result<FileStatus> {
        Ok(FileStatus::from(&self.statx()?))
    }

    fn statx(&self) -> io::Result<Statx> {
        Ok(statx(&self.descriptor, "", AtFlags::EMPTY_PATH, StatxFlags::BASIC_STATS)?)
    }

    /// Returns the names of the entries, in any order. Reads them as the iterator advances.
    pub(super) fn names(&self) -> io::Result<impl Iterator<Item = io::Result<OsString>> + use<>> {
        let directory = Dir::read_from(&self.descriptor)?;
        Ok(directory.filter_map(|entry| match entry {
            Ok(entry) => {
                let name = entry.file_name().to_bytes();
                let is_link_to_itself = name == b"." || name == b"..";
                (!is_link_to_itself).then(|| Ok(OsStr::from_bytes(name).to_owned()))
            }
            Err(errno) => Some(Err(errno.into())),
        }))
    }

    /// Replaces a file in one step. The bytes are on the disk before the file gets its name. The
    /// modification time of the directory stays the same, so that rsync does not reset it.
    pub(super) fn replace_file(
        &self,
        name: &str,
        temporary_name: &str,
        bytes: &[u8],
    ) -> io::Result<()> {
        let modified = self.statx()?.stx_mtime;
        let result = self.write_and_rename(name, temporary_name, bytes);
        if result.is_err() {
            let _ = unlinkat(&self.descriptor, temporary_name, AtFlags::empty());
        }
        let last_access = Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT };
        let last_modification =
            Timespec { tv_sec: modified.tv_sec, tv_nsec: modified.tv_nsec.into() };
        // Only the owner of the directory can set its time. The files are complete without it.
        let _ = futimens(&self.descriptor, &Timestamps { last_access, last_modification });
        result
    }

    fn write_and_rename(&self, name: &str, temporary_name: &str, bytes: &[u8]) -> io::Result<()> {
        let directory = &self.descriptor;
        // An earlier run may have been killed.
        match unlinkat(directory, temporary_name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(errno) => return Err(errno.into()),
        }
        let flags =
            OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mode = Mode::RUSR | Mode::WUSR | Mode::RGRP | Mode::ROTH;
        let mut file = File::from(openat(directory, temporary_name, flags, mode)?);
        file.write_all(bytes)?;
        file.sync_data()?;
        renameat(directory, temporary_name, directory, name)?;
        Ok(())
    }
}
