//! Compares the files of a backup with those of the archive.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytesize::ByteSize;

use super::archive_directory::{ArchiveDirectory, ArchiveEntries};
use super::backup_directory::BackupDirectory;
use super::checksum_file::{CHECKSUM_FILE_NAME, ChecksumFile, is_checksum_file};
use super::file_status::FileStatus;
use super::report::{Change, Finding, Location, Report};
use crate::cli::VerifyArgs;
use crate::commands::error::{CommandError, Error};
use crate::commands::file_hash::{FileHash, hash_file};
use crate::commands::progress::Progress;
use crate::daemon::control::{ControlError, pluralize};
use crate::tree::{is_generated_file, unavailable_file_name};

/// Maximum depth of directories that are not in the archive. Each level needs two file descriptors,
/// and the usual limit of a process is 1024. The archive itself has four levels.
const MAX_EXTRA_DEPTH: usize = 100;

/// A comparison in progress.
pub(super) struct Comparison<'a> {
    archive: &'a ArchiveDirectory,
    arguments: &'a VerifyArgs,
    report: Report,
    counts: Counts,
    progress: Progress,
}

/// The number of files and bytes that have been compared. Clones share the counts.
#[derive(Clone, Default)]
struct Counts(Arc<(AtomicU64, AtomicU64)>);

impl Counts {
    fn record_file(&self) {
        self.0.0.fetch_add(1, Ordering::Relaxed);
    }

    fn record_read(&self, length: usize) {
        self.0.1.fetch_add(length as u64, Ordering::Relaxed);
    }

    fn describe(&self) -> String {
        let (files, bytes) = &*self.0;
        let files = pluralize(files.load(Ordering::Relaxed), "file");
        match bytes.load(Ordering::Relaxed) {
            0 => format!("{files} checked"),
            bytes => format!("{files} checked, {} read", ByteSize(bytes)),
        }
    }
}

/// A file of the archive whose copy is to be compared.
struct ArchivedFile<'a> {
    directory: &'a Path,
    name: &'a OsStr,
}

impl<'a> Comparison<'a> {
    pub(super) fn new(
        archive: &'a ArchiveDirectory,
        arguments: &'a VerifyArgs,
        report: Report,
    ) -> Self {
        let counts = Counts::default();
        let shown_counts = counts.clone();
        let progress = Progress::on_terminal(move |_| Some(shown_counts.describe()));
        Self { archive, arguments, report, counts, progress }
    }

    /// Ends the comparison and returns its report.
    pub(super) fn into_report(self) -> Report {
        self.report
    }

    /// Compares a directory of the archive, and the directories in it, with its copy. `path` is
    /// relative to the archive. Without a copy, all files are missing.
    ///
    /// # Errors
    /// The archive cannot be listed, the daemon has died, or standard output cannot be written.
    pub(super) fn compare_directory(
        &mut self,
        path: &Path,
        backup: Option<&BackupDirectory>,
    ) -> Result<(), Error> {
        let entries = match self.archive.entries(path) {
            Ok(entries) => entries,
            Err(source) if path.as_os_str().is_empty() && !is_disconnect(&source) => {
                let path = self.archive.path.clone();
                return Err(CommandError::UnlistedArchive { path, source }.into());
            }
            Err(error) => return self.add_archive_error(path, error),
        };
        let mut checksums = match backup {
            Some(backup) if self.uses_checksum_file(&entries) => {
                self.read_checksum_file(path, backup)?
            }
            _ => None,
        };
        for name in &entries.files {
            let file = ArchivedFile { directory: path, name };
            let known_hash = checksums.as_ref().and_then(|checksums| checksums.hash_of(name));
            let hash = self.compare_file(&file, backup, known_hash)?;
            if let (Some(hash), Some(checksums)) = (hash, &mut checksums) {
                checksums.insert(name, hash);
            }
        }
        if let (Some(checksums), Some(backup)) = (checksums, backup)
            && self.arguments.write_sums
        {
            self.write_checksum_file(path, backup, &entries, checksums)?;
        }
        for name in &entries.directories {
            self.compare_subdirectory(&path.join(name), name, backup)?;
        }
        match backup {
            Some(backup) => self.find_extra_entries(path, backup, Some(&entries), 0),
            None => Ok(()),
        }
    }

    fn compare_subdirectory(
        &mut self,
        path: &Path,
        name: &OsStr,
        backup: Option<&BackupDirectory>,
    ) -> Result<(), Error> {
        let Some(backup) = backup else { return self.compare_directory(path, None) };
        match backup.status(name) {
            Ok(None) => self.compare_directory(path, None),
            Ok(Some(status)) if status.is_directory => match backup.open_directory(name) {
                Ok(directory) => self.compare_directory(path, Some(&directory)),
                Err(error) => self.add_backup_error(path, error),
            },
            Ok(Some(_)) => {
                self.add(path, &Finding::Changed(Change::Type))?;
                self.compare_directory(path, None)
            }
            Err(error) => self.add_backup_error(path, error),
        }
    }

    /// Compares a file with its copy. Returns the hash of the file if the comparison determined it.
    fn compare_file(
        &mut self,
        file: &ArchivedFile<'_>,
        backup: Option<&BackupDirectory>,
        known_hash: Option<FileHash>,
    ) -> Result<Option<FileHash>, Error> {
        let path = file.directory.join(file.name);
        let status = match std::fs::symlink_metadata(self.archive.path.join(&path)) {
            Ok(metadata) => FileStatus::from(&metadata),
            Err(error) => return self.add_archive_error(&path, error).map(|()| None),
        };
        self.counts.record_file();
        let saved_name = file.name.to_str().and_then(unavailable_file_name).map(OsStr::new);
        self.report.counts.unavailable += u64::from(saved_name.is_some());
        let (backup, copy) = match backup.map(|backup| (backup, backup.status(file.name))) {
            Some((backup, Ok(Some(copy)))) if copy.is_file => (backup, copy),
            Some((_, Ok(Some(_)))) => {
                return self.add(&path, &Finding::Changed(Change::Type)).map(|()| None);
            }
            Some((_, Err(error))) => return self.add_backup_error(&path, error).map(|()| None),
            // A copy of the file itself is better than one of its note.
            Some((backup, Ok(None))) if saved_name.is_some_and(|name| has_file(backup, name)) => {
                return Ok(None);
            }
            Some((_, Ok(None))) | None => {
                return self.add(&path, &Finding::Missing).map(|()| None);
            }
        };
        if copy.size != status.size {
            let change = Change::Size { archive: status.size, backup: copy.size };
            return self.add(&path, &Finding::Changed(change)).map(|()| None);
        }
        let is_generated = file.name.to_str().is_some_and(is_generated_file);
        if self.arguments.checksum || is_generated {
            let is_known_hash_valid =
                self.arguments.use_sums && !is_generated && copy.has_time_of(&status);
            let known_hash = known_hash.filter(|_| is_known_hash_valid);
            return self.compare_contents(&path, file.name, backup, known_hash);
        }
        if copy.has_time_of(&status) {
            self.report.counts.complete += 1;
            Ok(None)
        } else {
            self.add(&path, &Finding::Changed(Change::Time)).map(|()| None)
        }
    }

    /// Compares the bytes of a file and of its copy. Does not read the file if the copy has the
    /// known hash of the file.
    fn compare_contents(
        &mut self,
        path: &Path,
        name: &OsStr,
        backup: &BackupDirectory,
        known_hash: Option<FileHash>,
    ) -> Result<Option<FileHash>, Error> {
        let copy_hash = match backup.open_file(name).and_then(|file| self.hash(file)) {
            Ok(hash) => hash,
            Err(error) => return self.add_backup_error(path, error).map(|()| None),
        };
        let hash = match known_hash {
            Some(hash) if hash == copy_hash => hash,
            _ => {
                let file = File::open(self.archive.path.join(path));
                match file.and_then(|file| self.hash(file)) {
                    Ok(hash) => hash,
                    Err(error) => return self.add_archive_error(path, error).map(|()| None),
                }
            }
        };
        if hash == copy_hash {
            self.report.counts.complete += 1;
        } else {
            self.add(path, &Finding::Changed(Change::Content))?;
        }
        Ok(Some(hash))
    }

    fn hash(&self, mut file: File) -> io::Result<FileHash> {
        hash_file(&mut file, |length| self.counts.record_read(length))
    }

    /// Finds the entries of a directory of the backup that are not in the archive. `entries` are
    /// the entries of the archive. They are `None` if the whole directory is not in the archive.
    fn find_extra_entries(
        &mut self,
        path: &Path,
        backup: &BackupDirectory,
        entries: Option<&ArchiveEntries>,
        depth: usize,
    ) -> Result<(), Error> {
        let names = match backup.names() {
            Ok(names) => names,
            Err(error) => return self.add_backup_error(path, error),
        };
        for name in names {
            let name = match name {
                Ok(name) => name,
                Err(error) => return self.add_backup_error(path, error),
            };
            if is_checksum_file(&name) || entries.is_some_and(|entries| entries.has_entry(&name)) {
                continue;
            }
            let path = path.join(&name);
            if entries.is_some_and(|entries| entries.has_note_of(&name)) {
                self.report.counts.uncompared += 1;
            } else if entries.is_some_and(|entries| entries.has_temporary_copy(&name)) {
                self.add(&path, &Finding::Temporary)?;
            } else {
                self.add_extra_entry(&path, &name, backup, depth)?;
            }
        }
        Ok(())
    }

    /// Adds an entry of the backup that is not in the archive, or the files in it.
    fn add_extra_entry(
        &mut self,
        path: &Path,
        name: &OsStr,
        backup: &BackupDirectory,
        depth: usize,
    ) -> Result<(), Error> {
        let status = match backup.status(name) {
            Ok(Some(status)) => status,
            // It was removed in the meantime.
            Ok(None) => return Ok(()),
            Err(error) => return self.add_backup_error(path, error),
        };
        if !status.is_directory {
            let is_listed = self.archive.is_listed(path);
            let finding = if is_listed { Finding::Extra } else { Finding::Unlisted };
            return self.add(path, &finding);
        }
        if depth >= MAX_EXTRA_DEPTH {
            let error = io::Error::other("directories are nested too deeply");
            return self.add_backup_error(path, error);
        }
        let directory = backup
            .open_directory(name)
            .and_then(|directory| Ok((directory.own_status()?.device, directory)));
        match directory {
            // The archive is mounted in the directory of the backup.
            Ok((device, _)) if device == self.archive.device => Ok(()),
            Ok((_, directory)) => self.find_extra_entries(path, &directory, None, depth + 1),
            Err(error) => self.add_backup_error(path, error),
        }
    }

    /// Whether the checksum file of a directory is read. It is not if the archive has a file of its
    /// name.
    fn uses_checksum_file(&self, entries: &ArchiveEntries) -> bool {
        (self.arguments.write_sums || self.arguments.use_sums)
            && !entries.files.is_empty()
            && !entries.has_entry(OsStr::new(CHECKSUM_FILE_NAME))
    }

    fn read_checksum_file(
        &mut self,
        path: &Path,
        backup: &BackupDirectory,
    ) -> Result<Option<ChecksumFile>, Error> {
        match ChecksumFile::read(backup) {
            Ok(checksums) => Ok(Some(checksums)),
            Err(error) => {
                self.add_backup_error(&path.join(CHECKSUM_FILE_NAME), error).map(|()| None)
            }
        }
    }

    /// Writes the checksum file of a directory. Keeps the hashes of files that the provider has
    /// deleted and the backup still contains.
    fn write_checksum_file(
        &mut self,
        path: &Path,
        backup: &BackupDirectory,
        entries: &ArchiveEntries,
        mut checksums: ChecksumFile,
    ) -> Result<(), Error> {
        checksums.retain(|name| entries.has_entry(name) || has_file(backup, name));
        match checksums.write(backup) {
            Ok(()) => Ok(()),
            Err(error) => self.add(&path.join(CHECKSUM_FILE_NAME), &Finding::Unwritable(error)),
        }
    }

    fn add(&mut self, path: &Path, finding: &Finding) -> Result<(), Error> {
        self.progress.clear();
        self.report.add(path, finding)
    }

    fn add_backup_error(&mut self, path: &Path, error: io::Error) -> Result<(), Error> {
        self.add(path, &Finding::Unreadable { location: Location::Backup, error })
    }

    /// Reports a file or directory of the archive that cannot be read.
    ///
    /// # Errors
    /// The daemon has died, so no other file can be read either.
    fn add_archive_error(&mut self, path: &Path, error: io::Error) -> Result<(), Error> {
        if is_disconnect(&error) {
            return Err(ControlError::Dead(self.archive.mountpoint.clone()).into());
        }
        if error.kind() == io::ErrorKind::NotFound {
            // It was deleted at the provider since its directory was listed.
            return Ok(());
        }
        self.add(path, &Finding::Unreadable { location: Location::Archive, error })
    }
}

fn has_file(directory: &BackupDirectory, name: &OsStr) -> bool {
    directory.status(name).is_ok_and(|status| status.is_some_and(|status| status.is_file))
}

/// Whether the daemon of the mount has died.
fn is_disconnect(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::ENOTCONN | libc::ECONNABORTED))
}
