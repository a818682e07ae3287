//! Rows of what was deleted upstream: what lies in recycle bins, what came of trying it, and what is still held.

use jiff::Timestamp;
use rusqlite::params;

use super::CatalogDatabase;
use super::deleted::{DeletedChange, Remains, remains_of_row};
use super::rows::{drop_meetings, intact, log_failure, put_meetings, text, version};
use super::trash::{KeptTrash, TrashChange, Trial, lying_of_row};
use crate::model::{FileId, SourceName};

/// What is known of a meeting in a recycle bin. It goes with it: nothing of it holds should it come to lie there again.
const OF_TRASH: [&str; 5] =
    ["trashed_meeting", "trashed_file", "meeting_details", "file_size", "file_validator"];

impl CatalogDatabase {
    /// What was kept of a source's recycle bin, as far as it can be read. The rest is listed or tried again.
    pub(super) fn trash(&self, source: &SourceName) -> rusqlite::Result<KeptTrash> {
        let connection = self.connection.lock();
        let lying = intact(
            &connection,
            source,
            "SELECT meeting, lying FROM trashed_meeting WHERE source = ?1",
            |row| lying_of_row(text(row, 1)?),
            "DELETE FROM trashed_meeting WHERE source = ?1 AND meeting = ?2",
        )?;
        let trials = intact(
            &connection,
            source,
            "SELECT meeting, file, version, at, refusal FROM trashed_file WHERE source = ?1",
            |row| {
                let place = (text(row, 0)?.into(), text(row, 1)?.into());
                let at = Timestamp::from_second(row.get(3).ok()?).ok()?;
                Some((place, Trial { version: version(row, 2)?, at, refusal: row.get(4).ok()? }))
            },
            "DELETE FROM trashed_file WHERE source = ?1 AND meeting = ?2 AND file = ?3",
        )?;
        Ok((lying, trials))
    }

    /// Keeps what a listing of the bin changed, all of it or nothing.
    pub(super) fn keep_trash(&self, source: &SourceName, change: &TrashChange) {
        if !change.lying.is_empty() || !change.gone.is_empty() {
            log_failure(self.try_keep_trash(source, change));
        }
    }

    fn try_keep_trash(&self, source: &SourceName, change: &TrashChange) -> rusqlite::Result<usize> {
        let mut connection = self.connection.lock();
        let kept = connection.transaction()?;
        for table in OF_TRASH {
            drop_meetings(&kept, table, source, &change.gone)?;
        }
        let lying = change.lying.iter().map(|lying| (&lying.trashed.meeting.id, lying));
        put_meetings(&kept, "trashed_meeting", source, lying)?;
        kept.commit()?;
        Ok(change.lying.len() + change.gone.len())
    }

    pub(super) fn keep_trial(&self, id: &FileId, trial: &Trial) {
        let kept = self.connection.lock().execute(
            "INSERT OR REPLACE INTO trashed_file VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            params![
                id.source.as_str(),
                id.meeting.as_str(),
                id.key.as_str(),
                trial.version.0.to_be_bytes(),
                trial.at.as_second(),
                trial.refusal
            ],
        );
        log_failure(kept);
    }

    /// What was kept of a source. An entry that cannot be read is left out: what it was of is gone anyway.
    pub(super) fn deleted(&self, source: &SourceName) -> rusqlite::Result<Vec<Remains>> {
        intact(
            &self.connection.lock(),
            source,
            "SELECT meeting, remains FROM deleted_meeting WHERE source = ?1",
            |row| remains_of_row(text(row, 1)?),
            "DELETE FROM deleted_meeting WHERE source = ?1 AND meeting = ?2",
        )
    }

    /// Keeps what a listing changed.
    pub(super) fn keep_deleted(&self, source: &SourceName, change: &DeletedChange) {
        if !change.kept.is_empty() || !change.dropped.is_empty() {
            log_failure(self.try_keep_deleted(source, change));
        }
    }

    fn try_keep_deleted(
        &self,
        source: &SourceName,
        change: &DeletedChange,
    ) -> rusqlite::Result<usize> {
        let mut connection = self.connection.lock();
        let kept = connection.transaction()?;
        drop_meetings(&kept, "deleted_meeting", source, &change.dropped)?;
        let remains = change.kept.iter().map(|remains| (&remains.meeting.id, remains));
        put_meetings(&kept, "deleted_meeting", source, remains)?;
        kept.commit()?;
        Ok(change.kept.len() + change.dropped.len())
    }
}
