//! The directory of a mount that a backup is compared with.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::temporary_name::is_temporary_name;
use crate::commands::error::{CommandError, Error};
use crate::commands::path_in_mount::PathInMount;
use crate::commands::status::{send_request, single_report};
use crate::daemon::control::{ControlError, Request, SourceReport};
use crate::tree::{TRASH_DIRECTORY, unavailable_file_name};

/// A directory of a mount, and the state of the sources of the mount.
pub(super) struct ArchiveDirectory {
    /// Absolute path of the directory.
    pub(super) path: PathBuf,
    pub(super) mountpoint: PathBuf,
    /// Device number of the file system.
    pub(super) device: u64,
    sources: Vec<SourceReport>,
}

impl ArchiveDirectory {
    /// Finds the directory at a path, or else the only mount of the user, and requests the state of
    /// its sources.
    ///
    /// # Errors
    /// The path is not a directory in a mount, the user does not have exactly one mount, or the
    /// daemon does not answer.
    pub(super) fn find(path: Option<&Path>) -> Result<Self, Error> {
        let located = path.map(PathInMount::locate).transpose()?;
        let mountpoint = located.as_ref().map(|located| located.mountpoint.as_path());
        // The daemon answers before the first call on the mount, which would hang with it.
        let replies = send_request(mountpoint, Request::Status)?;
        let report = single_report(replies, |count| CommandError::AmbiguousArchive { count })?;
        let PathInMount { path, mountpoint } = located.unwrap_or_else(|| {
            let mountpoint = PathBuf::from(&report.mountpoint);
            PathInMount { path: mountpoint.clone(), mountpoint }
        });
        let device = match std::fs::metadata(&path) {
            Ok(metadata) => metadata.dev(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(ControlError::NoSuchFile { path, mountpoint }.into());
            }
            Err(source) => return Err(CommandError::UnlistedArchive { path, source }.into()),
        };
        Ok(Self { path, mountpoint, device, sources: report.sources })
    }

    /// Returns the names in a directory. `path` is relative to this directory.
    pub(super) fn entries(&self, path: &Path) -> io::Result<ArchiveEntries> {
        let mut entries = ArchiveEntries { directories: Vec::new(), files: Vec::new() };
        for entry in std::fs::read_dir(self.path.join(path))? {
            let entry = entry?;
            let is_directory = entry.file_type()?.is_dir();
            let names = if is_directory { &mut entries.directories } else { &mut entries.files };
            names.push(entry.file_name());
        }
        entries.directories.sort_unstable();
        entries.files.sort_unstable();
        Ok(entries)
    }

    /// Returns the names of the sources in this directory that are not listed completely, so that
    /// the mount may lack files.
    pub(super) fn incomplete_sources(&self) -> Vec<&str> {
        let own_source = self.source_name(Path::new(""));
        let sources = self.sources.iter().filter(|source| !is_listed(source));
        let names = sources.map(|source| source.name.as_str());
        names.filter(|name| own_source.as_deref().is_none_or(|own| own == *name)).collect()
    }

    /// Whether the mount shows every file that the provider has at a path, so that a file of the
    /// backup that is not in the mount was deleted. `path` is relative to this directory.
    pub(super) fn is_listed(&self, path: &Path) -> bool {
        let name = self.source_name(path);
        let source = self.sources.iter().find(|source| name.as_deref() == Some(&*source.name));
        let is_in_trash = self
            .path_in_mount(path)
            .iter()
            .nth(1)
            .is_some_and(|directory| directory == TRASH_DIRECTORY);
        source.is_none_or(|source| {
            is_listed(source) && !(is_in_trash && source.trash_error.is_some())
        })
    }

    /// Returns the number of files and of meetings that the mount does not show yet, because the
    /// provider is still processing them.
    pub(super) fn processing_counts(&self) -> (u64, u64) {
        let own_source = self.source_name(Path::new(""));
        let sources = self.sources.iter();
        let sources = sources
            .filter(|source| own_source.as_deref().is_none_or(|own| own == source.name.as_str()));
        sources.fold((0, 0), |(files, meetings), source| {
            let totals = &source.totals;
            (files + totals.processing_files, meetings + totals.processing_meetings)
        })
    }

    /// Returns the name of the source that contains a path relative to this directory. Returns
    /// `None` for the top of the mount.
    fn source_name(&self, path: &Path) -> Option<String> {
        let path = self.path_in_mount(path);
        path.iter().next().map(OsStr::to_string_lossy).map(Into::into)
    }

    fn path_in_mount(&self, path: &Path) -> PathBuf {
        self.path.strip_prefix(&self.mountpoint).unwrap_or(Path::new("")).join(path)
    }
}

/// The names in a directory of the archive, in the order of their bytes.
pub(super) struct ArchiveEntries {
    pub(super) directories: Vec<OsString>,
    pub(super) files: Vec<OsString>,
}

impl ArchiveEntries {
    pub(super) fn has_entry(&self, name: &OsStr) -> bool {
        [&self.files, &self.directories].into_iter().any(|names| {
            names.binary_search_by(|known: &OsString| known.as_os_str().cmp(name)).is_ok()
        })
    }

    /// Whether the archive has a note in place of the file with this name.
    pub(super) fn has_note_of(&self, name: &OsStr) -> bool {
        let Some(name) = name.to_str() else { return false };
        let mut notes =
            self.files.iter().filter_map(|known| unavailable_file_name(known.to_str()?));
        notes.any(|known| known == name)
    }

    /// Whether a program uses this name for an unfinished copy of one of the files.
    pub(super) fn has_temporary_copy(&self, name: &OsStr) -> bool {
        let names = self.files.iter().map(|known| known.as_encoded_bytes());
        is_temporary_name(name.as_encoded_bytes(), names)
    }
}

/// Whether all recordings of a source are listed, as far as the daemon knows.
fn is_listed(source: &SourceReport) -> bool {
    !source.is_incomplete() && source.fully_listed_at.is_some()
}
