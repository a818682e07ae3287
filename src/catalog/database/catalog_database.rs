//! The stored catalog.

use std::path::Path;

use jiff::Timestamp;
use rusqlite::Connection;

use super::error::CatalogDatabaseError;
use super::listing::{ListingChange, StoredListing};
use super::rows::log_failed_write;
use super::{deletions, file, learned, listing};
use crate::catalog::retention::{DeletedMeeting, RetentionChange};
use crate::catalog::scope::ListingScope;
use crate::catalog::trash::{DownloadProbe, StoredTrash, TrashChange};
use crate::model::{Details, FileId, MeetingId, SourceName, Version};
use crate::sync::Mutex;

/// A SQLite file, or the same in memory.
///
/// Each `save_…` method is one transaction. A failed write is logged.
#[derive(Debug)]
pub struct CatalogDatabase {
    connection: Mutex<Connection>,
}

impl CatalogDatabase {
    /// Opens or creates `catalog.sqlite` in `directory` (mode 0700, file 0600). A damaged file is
    /// renamed to `catalog.sqlite.damaged`, with a number if that exists, and replaced.
    ///
    /// # Errors
    /// The directory or a new file in it cannot be created, other users could replace the file, an
    /// existing one does not belong to the user, or a later version of meetfs made it. In the last
    /// two cases it is left unchanged.
    pub fn open(directory: &Path) -> Result<Self, CatalogDatabaseError> {
        file::open(directory).map(Self::new)
    }

    /// Returns whether [`open`](Self::open) would accept `directory`. Nothing is created or
    /// changed.
    ///
    /// # Errors
    /// Those of `open`.
    pub fn check(directory: &Path) -> Result<(), CatalogDatabaseError> {
        file::check(directory)
    }

    /// Opens a database that is discarded with the process.
    ///
    /// # Errors
    /// SQLite cannot allocate memory.
    pub fn in_memory() -> Result<Self, CatalogDatabaseError> {
        file::in_memory().map(Self::new)
    }

    /// Copies the catalog in `directory` into memory, for a directory that cannot be written. The
    /// copy is empty if there is no usable catalog. Changes of the copy are discarded with the
    /// process.
    ///
    /// # Errors
    /// Other users could replace the file, it does not belong to the user, or SQLite cannot
    /// allocate memory.
    pub fn copy_to_memory(directory: &Path) -> Result<Self, CatalogDatabaseError> {
        file::copy_to_memory(directory).map(Self::new)
    }

    fn new(connection: Connection) -> Self {
        Self { connection: Mutex::new(connection) }
    }

    /// Returns the name of the time zone in which the directories of a source are named, or `None`
    /// before its first mount. Blocking: uses the disk.
    pub fn naming_zone(&self, source: &SourceName) -> Option<String> {
        learned::naming_zone(&self.connection.lock(), source).unwrap_or_else(|error| {
            tracing::warn!(%source, "cannot read the stored time zone: {error}");
            None
        })
    }

    /// Stores the name of the time zone of a source. Blocking: uses the disk.
    pub fn save_naming_zone(&self, source: &SourceName, zone: &str) {
        log_failed_write(learned::save_naming_zone(&self.connection.lock(), source, zone));
    }

    /// Returns the measured sizes of a source's files.
    pub(in crate::catalog) fn sizes(
        &self,
        source: &SourceName,
    ) -> rusqlite::Result<Vec<learned::SizeRow>> {
        learned::sizes(&self.connection.lock(), source)
    }

    /// Returns the details of a source's meetings; `None` if the provider has none.
    pub(in crate::catalog) fn details(
        &self,
        source: &SourceName,
    ) -> rusqlite::Result<Vec<learned::DetailsRow>> {
        learned::details(&self.connection.lock(), source)
    }

    /// Returns the last validators of a source's files.
    pub(in crate::catalog) fn validators(
        &self,
        source: &SourceName,
    ) -> rusqlite::Result<Vec<learned::ValidatorRow>> {
        learned::validators(&self.connection.lock(), source)
    }

    pub(in crate::catalog) fn save_size(&self, id: &FileId, version: Version, size: u64) {
        log_failed_write(learned::save_size(&self.connection.lock(), id, version, size));
    }

    pub(in crate::catalog) fn save_validator(
        &self,
        id: &FileId,
        version: Version,
        validator: &str,
    ) {
        log_failed_write(learned::save_validator(&self.connection.lock(), id, version, validator));
    }

    pub(in crate::catalog) fn save_details(
        &self,
        source: &SourceName,
        meeting: &MeetingId,
        details: Option<&Details>,
    ) {
        log_failed_write(learned::save_details(&self.connection.lock(), source, meeting, details));
    }

    /// Returns the last listing of a source under `scope`, or `None` if there was none. A damaged
    /// entry is omitted: it is listed again.
    pub(in crate::catalog) fn listing(
        &self,
        source: &SourceName,
        scope: &ListingScope,
    ) -> rusqlite::Result<Option<StoredListing>> {
        listing::load(&self.connection.lock(), source, scope)
    }

    /// Stores the changes of a listing. What was stored under another scope is deleted.
    pub(in crate::catalog) fn save_listing(
        &self,
        source: &SourceName,
        scope: &ListingScope,
        change: &ListingChange,
    ) {
        log_failed_write(listing::save(&mut self.connection.lock(), source, scope, change));
    }

    /// Stores that a source was listed completely at that time.
    pub(in crate::catalog) fn save_full_listing(
        &self,
        source: &SourceName,
        scope: &ListingScope,
        at: Timestamp,
    ) {
        log_failed_write(listing::save_full_listing(&self.connection.lock(), source, scope, at));
    }

    /// Returns the last listing of a source's recycle bin. A damaged entry is omitted: it is listed
    /// or probed again.
    pub(in crate::catalog) fn trash(&self, source: &SourceName) -> rusqlite::Result<StoredTrash> {
        deletions::trash(&self.connection.lock(), source)
    }

    pub(in crate::catalog) fn save_trash(&self, source: &SourceName, change: &TrashChange) {
        if !change.is_empty() {
            log_failed_write(deletions::save_trash(&mut self.connection.lock(), source, change));
        }
    }

    pub(in crate::catalog) fn save_probe(&self, id: &FileId, probe: &DownloadProbe) {
        log_failed_write(deletions::save_probe(&self.connection.lock(), id, probe));
    }

    /// Returns the deleted meetings of a source. A damaged entry is omitted.
    pub(in crate::catalog) fn deleted_meetings(
        &self,
        source: &SourceName,
    ) -> rusqlite::Result<Vec<DeletedMeeting>> {
        deletions::deleted_meetings(&self.connection.lock(), source)
    }

    pub(in crate::catalog) fn save_retention(&self, source: &SourceName, change: &RetentionChange) {
        if !change.stored.is_empty() || !change.dropped.is_empty() {
            let mut connection = self.connection.lock();
            log_failed_write(deletions::save_retention(&mut connection, source, change));
        }
    }

    #[cfg(test)]
    pub(in crate::catalog) fn execute(&self, statement: &str) {
        self.connection.lock().execute(statement, []).unwrap();
    }

    /// Returns the first column of all rows.
    #[cfg(test)]
    pub(in crate::catalog) fn query<T: rusqlite::types::FromSql>(&self, query: &str) -> Vec<T> {
        let connection = self.connection.lock();
        let mut query = connection.prepare(query).unwrap();
        query.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
    }
}
