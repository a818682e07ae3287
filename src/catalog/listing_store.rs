//! What was listed, kept over restarts: the tree is there before any cloud has answered, and with all of them away.

use std::sync::Arc;

use jiff::Timestamp;
use rusqlite::types::Value;
use rusqlite::{Connection, params};
use sha2::{Digest, Sha256};

use super::CatalogDatabase;
use super::rows::{drop_meetings, log_failure, put_meetings};
use crate::model::{Meeting, MeetingId, SourceName};

/// What a listing is of, besides the source's name: whose recordings, at which address. What was listed under another
/// scope is another archive, and is not shown.
///
/// It is a digest: who may look into the catalog for what was listed need not learn from it how somebody signs in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListingScope(String);

impl ListingScope {
    /// The scope that these words say, which must hold no secret. Other words, or the same in another order, are another
    /// one; so is what begins with another number than `1:`, should the digest ever be made otherwise.
    pub fn of<'a>(words: impl IntoIterator<Item = &'a str>) -> Self {
        let mut digest = Sha256::new();
        for word in words {
            // With its length, so that no two lists of words are the same to the digest.
            digest.update((word.len() as u64).to_le_bytes());
            digest.update(word);
        }
        let digest: String = digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        Self(format!("1:{digest}"))
    }
}

/// What was kept of a source.
#[derive(Debug)]
pub struct KeptListing {
    /// The meetings as they were listed last.
    pub meetings: Vec<Meeting>,
    /// When all of it was listed, without a gap.
    pub whole_at: Option<Timestamp>,
}

/// What a listing changed.
#[derive(Debug, Default)]
pub(super) struct ListingChange {
    /// New meetings, and those that are not as they were.
    pub(super) listed: Vec<Arc<Meeting>>,
    /// Meetings that are gone.
    pub(super) gone: Vec<MeetingId>,
}

impl CatalogDatabase {
    /// What was kept of a source under `scope`; `None` where that was never listed.
    ///
    /// # Errors
    /// SQLite's. An entry that cannot be read is left out: it is listed again.
    pub fn kept_listing(
        &self,
        source: &SourceName,
        scope: &ListingScope,
    ) -> rusqlite::Result<Option<KeptListing>> {
        let connection = self.connection.lock();
        let mut known =
            connection.prepare("SELECT at FROM full_listing WHERE source = ?1 AND scope = ?2")?;
        let mut rows = known.query(params![source.as_str(), scope.0])?;
        let Some(row) = rows.next()? else { return Ok(None) };
        let at: Option<i64> = row.get(0)?;
        let mut whole_at = at.and_then(|at| Timestamp::from_second(at).ok());
        let (mut meetings, mut damaged) = (Vec::new(), Vec::new());
        {
            let mut listed = connection
                .prepare("SELECT meeting, listed FROM listed_meeting WHERE source = ?1")?;
            let mut rows = listed.query(params![source.as_str()])?;
            while let Some(row) = rows.next()? {
                match row.get_ref(1)?.as_str().ok().and_then(meeting_of_row) {
                    Some(meeting) => meetings.push(sharing_names(meeting, source)),
                    None => damaged.push(row.get::<_, Value>(0)?),
                }
            }
        }
        if !damaged.is_empty() {
            let count = damaged.len();
            tracing::warn!(%source, "{count} meetings of the catalog are damaged; everything is listed anew");
            whole_at = None;
            log_failure(drop_damaged(&connection, source, &damaged));
        }
        Ok(Some(KeptListing { meetings, whole_at }))
    }

    /// Keeps what a listing changed, all of it or nothing. What was kept under another scope goes.
    pub(super) fn keep_listing(
        &self,
        source: &SourceName,
        scope: &ListingScope,
        change: &ListingChange,
    ) {
        log_failure(self.try_keep_listing(source, scope, change));
    }

    fn try_keep_listing(
        &self,
        source: &SourceName,
        scope: &ListingScope,
        change: &ListingChange,
    ) -> rusqlite::Result<usize> {
        let mut connection = self.connection.lock();
        let kept = connection.transaction()?;
        let is_same = kept
            .prepare("SELECT 1 FROM full_listing WHERE source = ?1 AND scope = ?2")?
            .exists(params![source.as_str(), scope.0])?;
        if !is_same {
            for table in ["listed_meeting", "trashed_meeting", "trashed_file", "deleted_meeting"] {
                let line = format!("DELETE FROM {table} WHERE source = ?1");
                kept.execute(&line, params![source.as_str()])?;
            }
            kept.execute(
                "INSERT OR REPLACE INTO full_listing VALUES (?1, ?2, NULL)",
                params![source.as_str(), scope.0],
            )?;
        }
        drop_meetings(&kept, "listed_meeting", source, &change.gone)?;
        let listed = change.listed.iter().map(|meeting| (&meeting.id, &**meeting));
        put_meetings(&kept, "listed_meeting", source, listed)?;
        kept.commit()?;
        Ok(change.listed.len() + change.gone.len())
    }

    /// Keeps that all of a source was listed at that time.
    pub(super) fn keep_whole_at(&self, source: &SourceName, scope: &ListingScope, at: Timestamp) {
        let kept = self.connection.lock().execute(
            "UPDATE full_listing SET at = ?3 WHERE source = ?1 AND scope = ?2",
            params![source.as_str(), scope.0, at.as_second()],
        );
        log_failure(kept);
    }
}

/// The meeting with one text for each name that its files repeat, as it came from its provider: as it comes from the
/// store every file has two of its own, which is a hundred bytes each.
fn sharing_names(mut meeting: Meeting, source: &SourceName) -> Meeting {
    if meeting.source == *source {
        meeting.source = source.clone();
    }
    for file in &mut meeting.files {
        if file.id.source == meeting.source {
            file.id.source = meeting.source.clone();
        }
        if file.id.meeting == meeting.id {
            file.id.meeting = meeting.id.clone();
        }
    }
    meeting
}

/// Drops rows that cannot be read, so that they are told of once, and notes that something is missing, in case that the
/// process ends before it was listed anew.
fn drop_damaged(
    connection: &Connection,
    source: &SourceName,
    meetings: &[Value],
) -> rusqlite::Result<usize> {
    connection
        .execute("UPDATE full_listing SET at = NULL WHERE source = ?1", params![source.as_str()])?;
    let mut dropped =
        connection.prepare("DELETE FROM listed_meeting WHERE source = ?1 AND meeting = ?2")?;
    meetings.iter().map(|meeting| dropped.execute(params![source.as_str(), meeting])).sum()
}

/// The meeting that a row holds, unless that is damaged.
pub(super) fn meeting_of_row(text: &str) -> Option<Meeting> {
    serde_json::from_str(text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Availability, BodyKind, FileId, RecordingFile, Role, Version};

    fn acme() -> SourceName {
        SourceName::new("acme").unwrap()
    }

    fn scope(text: &str) -> ListingScope {
        ListingScope::of([text])
    }

    fn meeting(id: &str) -> Meeting {
        let start = "2026-10-06T07:00:11.25Z".parse().unwrap();
        let file = RecordingFile {
            id: FileId { source: acme(), meeting: id.into(), key: "k|ü".into() },
            version: Version(u64::MAX),
            role: Role::View,
            stem: "a \"view\"".into(),
            extension: "mp4".into(),
            body: BodyKind::IsoMedia,
            declared_size: Some(1 << 60),
            recording_start: None,
            recording_end: Some(start),
            availability: Availability::Unavailable("why".into()),
        };
        // The number is one that a reader in a hurry takes for its neighbour.
        let number: serde_json::Value = serde_json::from_str("6666663333333433333E-61").unwrap();
        let facts =
            [("share_url".to_owned(), "https://zoom.us/x".into()), ("number".to_owned(), number)];
        let facts = facts.into_iter().collect();
        Meeting {
            source: acme(),
            id: id.into(),
            topic: "Q&A / été\n".into(),
            start,
            end: start,
            expires: None,
            files: vec![file],
            metadata: facts,
        }
    }

    fn shared(id: &str) -> Arc<Meeting> {
        Arc::new(meeting(id))
    }

    fn kept(store: &CatalogDatabase, scope: &ListingScope) -> Option<Vec<Meeting>> {
        store.kept_listing(&acme(), scope).unwrap().map(|mut kept| {
            kept.meetings.sort_by(|a, b| a.id.cmp(&b.id));
            kept.meetings
        })
    }

    #[test]
    fn a_listing_comes_back_as_it_was_with_every_later_change() {
        let store = CatalogDatabase::in_memory().unwrap();
        let mine = scope("mine");
        assert_eq!(kept(&store, &mine), None);
        let both = ListingChange { listed: vec![shared("a"), shared("b//c==")], gone: Vec::new() };
        store.keep_listing(&acme(), &mine, &both);
        assert_eq!(kept(&store, &mine), Some(vec![meeting("a"), meeting("b//c==")]));
        let mut renamed = meeting("a");
        renamed.topic = "renamed".into();
        let change =
            ListingChange { listed: vec![Arc::new(renamed.clone())], gone: vec!["b//c==".into()] };
        store.keep_listing(&acme(), &mine, &change);
        assert_eq!(kept(&store, &mine), Some(vec![renamed]));
        assert_eq!(store.kept_listing(&acme(), &mine).unwrap().unwrap().whole_at, None);
        let at = Timestamp::from_second(1_790_000_000).unwrap();
        store.keep_whole_at(&acme(), &mine, at);
        assert_eq!(store.kept_listing(&acme(), &mine).unwrap().unwrap().whole_at, Some(at));
    }

    #[test]
    fn scopes_are_made_as_it_is_frozen_here() {
        let digest = |words: &[&str]| ListingScope::of(words.iter().copied()).0;
        assert_eq!(
            digest(&["zoom", "é"]),
            "1:f10a05a011b684d63a8b51d0d0de902bed742d4308201d6ef1624e5c86ec7937"
        );
        assert_ne!(digest(&["zoom", "é"]), digest(&["zoomé"]));
    }

    #[test]
    fn another_scope_is_another_archive() {
        let store = CatalogDatabase::in_memory().unwrap();
        let (mine, other) = (scope("mine"), scope("other"));
        let one = |id| ListingChange { listed: vec![shared(id)], gone: Vec::new() };
        store.keep_listing(&acme(), &mine, &one("a"));
        store.keep_whole_at(&acme(), &mine, Timestamp::from_second(5).unwrap());
        assert_eq!(kept(&store, &other), None);
        store.keep_listing(&acme(), &other, &one("b"));
        assert_eq!(kept(&store, &other), Some(vec![meeting("b")]));
        assert_eq!(kept(&store, &mine), None);
        assert_eq!(store.kept_listing(&acme(), &other).unwrap().unwrap().whole_at, None);
    }

    #[test]
    fn an_entry_that_cannot_be_read_is_left_out_and_gone_at_the_next_start() {
        let store = CatalogDatabase::in_memory().unwrap();
        let mine = scope("mine");
        let change = ListingChange { listed: vec![shared("a")], gone: Vec::new() };
        store.keep_listing(&acme(), &mine, &change);
        store.keep_whole_at(&acme(), &mine, Timestamp::from_second(5).unwrap());
        let rows = "INSERT INTO listed_meeting VALUES ('acme', 'z', '{\"id\": 3'), ('acme', 'y', x'ff'), ('acme', x'fe', '')";
        store.connection.lock().execute(rows, []).unwrap();
        let found = store.kept_listing(&acme(), &mine).unwrap().unwrap();
        assert_eq!((found.meetings, found.whole_at), (vec![meeting("a")], None));
        let left: i64 = store
            .connection
            .lock()
            .query_row("SELECT count(*) FROM listed_meeting", [], |row| row.get(0))
            .unwrap();
        assert_eq!(left, 1);
        assert_eq!(store.kept_listing(&acme(), &mine).unwrap().unwrap().whole_at, None);
    }
}
