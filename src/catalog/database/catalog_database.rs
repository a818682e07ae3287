//! Loads and stores the catalog in an SQLite database.

use std::path::Path;

use jiff::Timestamp;
use rusqlite::Connection;

use super::error::CatalogDatabaseError;
use super::listing::{ListingChange, StoredListing};
use super::rows::log_failed_write;
use super::{deletions, enrichment, file, listing};
use crate::catalog::retention::{DeletedMeeting, RetentionChange};
use crate::catalog::scope::ListingScope;
use crate::catalog::trash::{DownloadProbe, StoredTrash, TrashChange};
#[cfg(test)]
use crate::model::TableSize;
use crate::model::{Details, FileId, LastReply, MeetingId, SourceName, Version};
use crate::sync::Mutex;

/// An SQLite database, in a file or in memory.
///
/// Each `save_…` method is one transaction. A failed write is logged and otherwise ignored.
#[derive(Debug)]
pub struct CatalogDatabase {
    connection: Mutex<Connection>,
}

impl CatalogDatabase {
    /// Opens or creates `catalog.sqlite` in `directory`. A new directory gets the mode 0700, and
    /// the file gets the mode 0600. A damaged file is renamed to `catalog.sqlite.damaged`, with a
    /// number appended if that name is in use, and replaced.
    ///
    /// # Errors
    /// Returns an error if the directory or the file cannot be created, if other users can write to
    /// the directory, if an existing file belongs to another user, or if a newer version of meetfs
    /// created it. In the last two cases, the file is not changed.
    pub fn open(directory: &Path) -> Result<Self, CatalogDatabaseError> {
        file::open(directory).map(Self::new)
    }

    /// Checks whether [`open`](Self::open) would accept `directory`. Does not create or change a
    /// file.
    ///
    /// # Errors
    /// Returns the error that `open` would return because of the owner, the mode or the version.
    pub fn check(directory: &Path) -> Result<(), CatalogDatabaseError> {
        file::check(directory)
    }

    /// Creates a database in memory.
    ///
    /// # Errors
    /// Returns an error if SQLite cannot allocate memory.
    pub fn in_memory() -> Result<Self, CatalogDatabaseError> {
        file::in_memory().map(Self::new)
    }

    /// Copies the catalog in `directory` into memory. This is for a directory that cannot be
    /// written. Without a usable catalog, the copy is empty. Changes of the copy are lost when
    /// the process ends.
    ///
    /// # Errors
    /// Returns an error if other users can write to the directory, if a file in it belongs to
    /// another user, or if SQLite cannot allocate memory.
    pub fn copy_to_memory(directory: &Path) -> Result<Self, CatalogDatabaseError> {
        file::copy_to_memory(directory).map(Self::new)
    }

    fn new(connection: Connection) -> Self {
        Self { connection: Mutex::new(connection) }
    }

    /// Returns the name of the time zone that is used in the directory names of a source, or `None`
    /// if the source has not been mounted before. Does blocking I/O.
    pub fn naming_zone(&self, source: &SourceName) -> Option<String> {
        enrichment::load_naming_zone(&self.connection.lock(), source).unwrap_or_else(|error| {
            tracing::warn!(%source, "cannot read the stored time zone: {error}");
            None
        })
    }

    /// Stores the name of the time zone that is used in the directory names of a source. Does
    /// blocking I/O.
    pub fn save_naming_zone(&self, source: &SourceName, zone: &str) {
        log_failed_write(enrichment::save_naming_zone(&self.connection.lock(), source, zone));
    }

    pub(in crate::catalog) fn load_sizes(
        &self,
        source: &SourceName,
    ) -> rusqlite::Result<Vec<enrichment::SizeRow>> {
        enrichment::load_sizes(&self.connection.lock(), source)
    }

    /// Returns the stored details of all meetings of a source. `None` means that the provider has
    /// no details of the meeting.
    pub(in crate::catalog) fn load_details(
        &self,
        source: &SourceName,
    ) -> rusqlite::Result<Vec<enrichment::DetailsRow>> {
        enrichment::load_details(&self.connection.lock(), source)
    }

    pub(in crate::catalog) fn load_replies(
        &self,
        source: &SourceName,
    ) -> rusqlite::Result<Vec<enrichment::ReplyRow>> {
        enrichment::load_replies(&self.connection.lock(), source)
    }

    pub(in crate::catalog) fn save_size(&self, id: &FileId, version: Version, size: u64) {
        log_failed_write(enrichment::save_size(&self.connection.lock(), id, version, size));
    }

    pub(in crate::catalog) fn save_reply(&self, id: &FileId, version: Version, reply: &LastReply) {
        log_failed_write(enrichment::save_reply(&self.connection.lock(), id, version, reply));
    }

    pub(in crate::catalog) fn delete_reply(&self, id: &FileId) {
        log_failed_write(enrichment::delete_reply(&self.connection.lock(), id));
    }

    pub(in crate::catalog) fn save_details(
        &self,
        source: &SourceName,
        meeting: &MeetingId,
        details: Option<&Details>,
    ) {
        log_failed_write(enrichment::save_details(
            &self.connection.lock(),
            source,
            meeting,
            details,
        ));
    }

    /// Returns the stored listing of a source, or `None` if the source has not been listed under
    /// `scope`. Damaged meetings are left out and will be listed again.
    pub(in crate::catalog) fn load_listing(
        &self,
        source: &SourceName,
        scope: &ListingScope,
    ) -> rusqlite::Result<Option<StoredListing>> {
        listing::load(&self.connection.lock(), source, scope)
    }

    /// Stores the changes that a listing made. Deletes data that was stored under another scope.
    pub(in crate::catalog) fn save_listing(
        &self,
        source: &SourceName,
        scope: &ListingScope,
        change: &ListingChange,
    ) {
        log_failed_write(listing::save(&mut self.connection.lock(), source, scope, change));
    }

    /// Stores `listed_at` as the time of the last complete listing of a source. Deletes the values
    /// of deleted meetings.
    pub(in crate::catalog) fn save_full_listing(
        &self,
        source: &SourceName,
        scope: &ListingScope,
        listed_at: Timestamp,
    ) {
        let connection = &mut self.connection.lock();
        log_failed_write(listing::save_full_listing(connection, source, scope, listed_at));
    }

    /// Returns the stored recycle bin of a source. Damaged rows are left out; the meetings will be
    /// listed again, and the files will be probed again.
    pub(in crate::catalog) fn load_trash(
        &self,
        source: &SourceName,
    ) -> rusqlite::Result<StoredTrash> {
        deletions::load_trash(&self.connection.lock(), source)
    }

    pub(in crate::catalog) fn save_trash(&self, source: &SourceName, change: &TrashChange) {
        if !change.is_empty() {
            log_failed_write(deletions::save_trash(&mut self.connection.lock(), source, change));
        }
    }

    pub(in crate::catalog) fn save_probe(&self, id: &FileId, probe: &DownloadProbe) {
        log_failed_write(deletions::save_probe(&self.connection.lock(), id, probe));
    }

    /// Returns the stored deleted meetings of a source. Damaged rows are left out.
    pub(in crate::catalog) fn load_deleted_meetings(
        &self,
        source: &SourceName,
    ) -> rusqlite::Result<Vec<DeletedMeeting>> {
        deletions::load_deleted_meetings(&self.connection.lock(), source)
    }

    pub(in crate::catalog) fn save_retention(&self, source: &SourceName, change: &RetentionChange) {
        if !change.updated_meetings.is_empty() || !change.removed_ids.is_empty() {
            let mut connection = self.connection.lock();
            log_failed_write(deletions::save_retention(&mut connection, source, change));
        }
    }

    /// Returns the number of rows of each table.
    #[cfg(test)]
    pub(in crate::catalog) fn table_sizes(&self) -> Vec<TableSize> {
        const TABLES: [(&str, &str); 7] = [
            ("rows of listed_meeting", "listed_meeting"),
            ("rows of meeting_details", "meeting_details"),
            ("rows of file_size", "file_size"),
            ("rows of last_reply", "last_reply"),
            ("rows of trashed_meeting", "trashed_meeting"),
            ("rows of trashed_file", "trashed_file"),
            ("rows of deleted_meeting", "deleted_meeting"),
        ];
        let sizes = TABLES.into_iter().map(|(name, table)| {
            let count: i64 = self.query(&format!("SELECT COUNT(*) FROM {table}"))[0];
            TableSize::new(name, count as usize)
        });
        sizes.collect()
    }

    #[cfg(test)]
    pub(in crate::catalog) fn execute(&self, statement: &str) {
        self.connection.lock().execute(statement, []).unwrap();
    }

    /// Runs a query and returns the first column of all rows.
    #[cfg(test)]
    pub(in crate::catalog) fn query<T: rusqlite::types::FromSql>(&self, query: &str) -> Vec<T> {
        let connection = self.connection.lock();
        let mut statement = connection.prepare(query).unwrap();
        statement.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
    }
}
