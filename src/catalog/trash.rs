//! What lies in a source's recycle bin, and what the provider gives out of it.
//!
//! Nobody documents whether a file in a recycle bin can be downloaded, so each is tried once in the background, and what
//! came of it is kept. Until then it is hidden: a name, once given, stays. A meeting that is restored is listed where it
//! was, and what is listed there does not lie in the bin, whatever the bin was last seen to hold.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::CatalogDatabase;
use super::store::Catalog;
use crate::model::{FileId, FileKey, Meeting, MeetingId, SourceName, Version};
use crate::providers::{RecycleBin, TrashEntry, TrashListing};

/// What is kept of a bin.
pub(super) type KeptTrash = (Vec<TrashedMeeting>, Vec<((MeetingId, FileKey), Trial)>);

/// A recycle bin as it was listed last; empty where it is not shown.
#[derive(Debug, Default)]
pub(super) struct Trash {
    /// `None` where the source has none or it is not wanted.
    pub(super) bin: Option<RecycleBin>,
    pub(super) lying: HashMap<MeetingId, TrashedMeeting>,
    pub(super) trials: HashMap<(MeetingId, FileKey), Trial>,
}

/// A meeting in the bin.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct TrashedMeeting {
    pub(super) trashed: TrashEntry,
    /// When it was first seen there.
    seen: Timestamp,
}

impl TrashedMeeting {
    /// When the bin gives it up; at the latest, where it is not known since when it lies there.
    pub(super) fn expires(&self, bin: RecycleBin) -> Timestamp {
        let days = SignedDuration::from_hours(24 * i64::from(bin.days));
        self.trashed.deleted.unwrap_or(self.seen).checked_add(days).unwrap_or(Timestamp::MAX)
    }
}

/// What came of trying a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Trial {
    pub(super) version: Version,
    pub(super) at: Timestamp,
    /// Why it is not given out; `None` if it is.
    pub(super) refusal: Option<String>,
}

/// What a listing of the bin changed.
#[derive(Debug, Default)]
pub(super) struct TrashChange {
    pub(super) lying: Vec<TrashedMeeting>,
    pub(super) gone: Vec<MeetingId>,
}

impl Trash {
    /// Nothing is known of it.
    pub(super) fn empty(bin: Option<RecycleBin>) -> Self {
        Self { bin, ..Self::default() }
    }

    /// What was kept of it in earlier runs.
    pub(super) fn load(
        bin: Option<RecycleBin>,
        name: &SourceName,
        database: &CatalogDatabase,
    ) -> Self {
        let empty = Self::empty(bin);
        if bin.is_none() {
            return empty;
        }
        match database.trash(name) {
            Ok(kept) => Self::holding(bin, kept),
            Err(error) => {
                tracing::warn!("what lay in the recycle bin of {name} cannot be read: {error}");
                empty
            }
        }
    }

    /// It holds what was kept.
    pub(super) fn holding(bin: Option<RecycleBin>, (lying, trials): KeptTrash) -> Self {
        Self {
            lying: lying.into_iter().map(|it| (it.trashed.meeting.id.clone(), it)).collect(),
            trials: trials.into_iter().collect(),
            ..Self::empty(bin)
        }
    }

    fn take_over(&mut self, listing: TrashListing, now: Timestamp) -> TrashChange {
        let Some(bin) = self.bin else { return TrashChange::default() };
        let mut change = TrashChange::default();
        let listed: HashSet<_> =
            listing.meetings.iter().map(|trashed| trashed.meeting.id.clone()).collect();
        for trashed in listing.meetings {
            let id = trashed.meeting.id.clone();
            let known = self.lying.get(&id);
            let lying = TrashedMeeting { trashed, seen: known.map_or(now, |known| known.seen) };
            if known != Some(&lying) {
                change.lying.push(lying.clone());
                self.lying.insert(id, lying);
            }
        }
        self.lying.retain(|id, lying| {
            let stays =
                listed.contains(id) || (listing.failed.is_some() && now < lying.expires(bin));
            if !stays {
                change.gone.push(id.clone());
            }
            stays
        });
        let gone: HashSet<_> = change.gone.iter().collect();
        self.trials.retain(|(meeting, _), _| !gone.contains(meeting));
        change
    }
}

impl Catalog {
    /// Takes over a listing of the recycle bin.
    pub fn apply_trash(&self, name: &SourceName, listing: TrashListing) {
        let _one_at_a_time = self.applying.lock();
        let mut sources = self.sources.lock();
        let Some(source) = sources.get_mut(name) else { return };
        let change = source.trash.take_over(listing, Timestamp::now());
        for id in &change.gone {
            source.details.remove(id);
            source.sizes.remove(id);
        }
        source.validators.retain(|(meeting, _), _| !change.gone.contains(meeting));
        drop(sources);
        if !change.lying.is_empty() || !change.gone.is_empty() {
            self.touch();
        }
        self.database.keep_trash(name, &change);
    }

    /// Takes over whether a file in the recycle bin is given out, and keeps it. `refusal` is why it is not.
    pub fn record_probe(&self, id: &FileId, version: Version, refusal: Option<String>) {
        let mut sources = self.sources.lock();
        let Some(source) = sources.get_mut(&id.source) else { return };
        if !source.trash.lying.contains_key(&id.meeting) {
            // It has left the bin meanwhile, and may come back under another rule.
            return;
        }
        let trial = Trial { version, at: Timestamp::now(), refusal };
        let place = (id.meeting.clone(), id.key.clone());
        let before = source.trash.trials.insert(place, trial.clone());
        drop(sources);
        if before
            .is_none_or(|before| (before.version, &before.refusal) != (version, &trial.refusal))
        {
            self.touch();
        }
        self.database.keep_trial(id, &trial);
    }

    /// The meetings that lie in a source's recycle bin as it was listed last.
    pub fn trashed_meetings(&self, name: &SourceName) -> Vec<Arc<Meeting>> {
        let sources = self.sources.lock();
        let lying = sources.get(name).into_iter().flat_map(|source| source.trash.lying.values());
        lying.map(|lying| Arc::new(lying.trashed.meeting.clone())).collect()
    }
}

/// What a row holds, unless that is damaged: what has not the bin's identity does not lie there.
pub(super) fn lying_of_row(text: &str) -> Option<TrashedMeeting> {
    let lying: TrashedMeeting = serde_json::from_str(text).ok()?;
    let Meeting { id, files, .. } = &lying.trashed.meeting;
    (id.is_in_trash() && files.iter().all(|file| file.id.meeting == *id)).then_some(lying)
}

#[cfg(test)]
mod tests {
    use super::super::store::EnrichmentTask;
    use super::super::{Filter, ListingScope, SourceOptions};
    use super::*;
    use crate::model::{Availability, BodyKind, DaySpan, Details, RecordingFile, Role};
    use crate::providers::{Listing, ProviderError};

    const BIN: RecycleBin = RecycleBin { name: "the bin", fix: "restore it", days: 30 };

    fn acme() -> SourceName {
        SourceName::new("acme").unwrap()
    }

    fn file(key: &str) -> RecordingFile {
        RecordingFile {
            id: FileId { source: acme(), meeting: "m".into(), key: key.into() },
            version: Version(1),
            role: Role::Other,
            stem: key.into(),
            extension: "bin".into(),
            body: BodyKind::Opaque,
            declared_size: Some(7),
            recording_start: None,
            recording_end: None,
            availability: Availability::Ready,
        }
    }

    fn meeting(files: &[&str]) -> Meeting {
        let start = Timestamp::from_second(1_790_000_000).unwrap();
        let files = files.iter().map(|key| file(key)).collect();
        let (source, id, facts) = (acme(), MeetingId::from("m"), serde_json::Map::new());
        Meeting {
            source,
            id,
            topic: "t".into(),
            start,
            end: start,
            expires: None,
            files,
            metadata: facts.into(),
        }
    }

    fn catalog(database: CatalogDatabase) -> Arc<Catalog> {
        let options = SourceOptions {
            name: acme(),
            scope: ListingScope::of(["mine"]),
            filter: Filter::none(),
            redundant_view_suffix: None,
            recycle_bin: Some(BIN),
            keep_deleted: None,
        };
        Catalog::new([options], Arc::new(database))
    }

    fn listed(catalog: &Catalog, files: &[&str]) {
        let ever = DaySpan { from: jiff::civil::Date::MIN, to: jiff::civil::Date::MAX };
        let meetings = if files.is_empty() { Vec::new() } else { vec![meeting(files)] };
        catalog.apply(&acme(), ever, Listing { meetings, ..Listing::default() });
    }

    fn binned(catalog: &Catalog, files: &[&str], deleted: Option<Timestamp>) {
        let meetings = vec![TrashEntry::new(meeting(files), deleted)];
        catalog.apply_trash(&acme(), TrashListing { meetings, failed: None });
    }

    /// The files in the bin: `+` given out, `-` refused, `?` yet to be tried.
    fn shown(catalog: &Catalog) -> Vec<String> {
        let views = catalog.contents();
        let files = views[0].trash.iter().flat_map(|view| &view.meeting.files);
        let mut shown: Vec<_> = files
            .map(|file| {
                let mark = match file.availability {
                    Availability::Ready => '+',
                    Availability::Unavailable(_) => '-',
                    Availability::Processing => '?',
                };
                format!("{}{mark}", file.id.key)
            })
            .collect();
        shown.sort();
        shown
    }

    fn trial(key: &str) -> FileId {
        FileId { meeting: MeetingId::from("m").in_trash(), ..file(key).id }
    }

    #[test]
    fn what_came_of_a_trial_is_shown_and_outlives_a_restart() {
        let directory = tempfile::tempdir().unwrap();
        let deleted = Some("2026-10-06T07:00:00Z".parse().unwrap());
        {
            let catalog = catalog(CatalogDatabase::open(directory.path()).unwrap());
            listed(&catalog, &[]);
            binned(&catalog, &["a", "b", "c"], deleted);
            assert_eq!(shown(&catalog), ["a?", "b?", "c?"]);
            catalog.record_probe(&trial("a"), Version(1), None);
            catalog.record_probe(&trial("b"), Version(1), Some("no".into()));
            // Of another content nothing is known.
            catalog.record_probe(&trial("c"), Version(2), None);
        }
        let catalog = catalog(CatalogDatabase::open(directory.path()).unwrap());
        assert_eq!(shown(&catalog), ["a+", "b-", "c?"]);
        let views = catalog.contents();
        let meeting = &views[0].trash[0].meeting;
        assert_eq!(meeting.expires, Some("2026-11-05T07:00:00Z".parse().unwrap()));
        let questions = catalog.questions(&acme());
        let expected = [
            EnrichmentTask::Details(MeetingId::from("m").in_trash()),
            EnrichmentTask::Trial(trial("c"), Version(1), BodyKind::Opaque),
        ];
        assert_eq!(questions, expected);
        let Availability::Unavailable(note) = &meeting.files[1].availability else { panic!() };
        assert!(note.contains("the bin, which does not give it out: no."), "{note}");
        assert!(note.contains("restore it until 2026-11-05"), "{note}");
    }

    #[test]
    fn what_lies_there_a_second_time_is_known_as_well_as_the_first_time() {
        let directory = tempfile::tempdir().unwrap();
        let learn = |catalog: &Catalog| {
            binned(catalog, &["a"], None);
            catalog.record_size(&trial("a"), Version(1), 9);
            catalog.record_validator(&trial("a"), Version(1), "etag");
            catalog.record_probe(&trial("a"), Version(1), None);
        };
        {
            let catalog = catalog(CatalogDatabase::open(directory.path()).unwrap());
            listed(&catalog, &[]);
            learn(&catalog);
            catalog.apply_trash(&acme(), TrashListing::default());
            // An answer that comes when it has gone is of no use to the next one.
            catalog.record_probe(&trial("a"), Version(1), Some("no".into()));
            assert_eq!(catalog.validator(&trial("a"), Version(1)), None);
            learn(&catalog);
        }
        let catalog = catalog(CatalogDatabase::open(directory.path()).unwrap());
        assert_eq!(shown(&catalog), ["a+"]);
        assert_eq!(catalog.contents()[0].trash[0].sizes.get(&"a".into()), Some(&9));
        assert_eq!(catalog.validator(&trial("a"), Version(1)).as_deref(), Some("etag"));
    }

    #[test]
    fn entries_that_cannot_be_read_cost_no_other() {
        let directory = tempfile::tempdir().unwrap();
        {
            let catalog = catalog(CatalogDatabase::open(directory.path()).unwrap());
            listed(&catalog, &[]);
            binned(&catalog, &["a", "b"], None);
            for key in ["a", "b"] {
                catalog.record_probe(&trial(key), Version(1), None);
            }
            let connection = catalog.database.connection.lock();
            connection
                .execute("UPDATE trashed_file SET version = x'00' WHERE file = 'b'", [])
                .unwrap();
            connection
                .execute("INSERT INTO trashed_meeting VALUES ('acme', 'x', '{')", [])
                .unwrap();
        }
        let catalog = catalog(CatalogDatabase::open(directory.path()).unwrap());
        assert_eq!(shown(&catalog), ["a+", "b?"]);
    }

    #[test]
    fn a_refusal_is_asked_about_again_after_a_day_and_shown_until_then() {
        let catalog = catalog(CatalogDatabase::in_memory().unwrap());
        binned(&catalog, &["a", "b"], None);
        catalog.record_details(&acme(), &MeetingId::from("m").in_trash(), None);
        catalog.record_probe(&trial("a"), Version(1), Some("no".into()));
        catalog.record_probe(&trial("b"), Version(1), None);
        let asked = |hours| {
            let at = Timestamp::now() + SignedDuration::from_hours(hours);
            catalog.sources.lock()[&acme()].trash_questions(at).len()
        };
        assert_eq!((asked(23), asked(25)), (0, 1));
        assert_eq!(shown(&catalog), ["a-", "b+"]);
        let before = *catalog.changes().borrow();
        catalog.record_probe(&trial("a"), Version(1), Some("no".into()));
        assert_eq!(*catalog.changes().borrow(), before, "the same words are no change");
        assert_eq!(asked(23), 0);
    }

    #[test]
    fn what_is_listed_where_it_was_does_not_lie_in_the_bin() {
        let catalog = catalog(CatalogDatabase::in_memory().unwrap());
        binned(&catalog, &["a", "b"], None);
        let facts = serde_json::Map::new();
        let mut of_details = file("d");
        of_details.id = trial("d");
        let details =
            Details { metadata: facts.into(), files: vec![of_details], ..Details::default() };
        catalog.record_details(&acme(), &MeetingId::from("m").in_trash(), Some(details));
        assert_eq!(shown(&catalog), ["a?", "b?", "d?"]);
        listed(&catalog, &["a"]);
        assert_eq!(shown(&catalog), ["a?", "b?", "d?"], "hidden, for the names of the others");
        let asked = catalog.questions(&acme()).into_iter();
        let tried = asked.filter_map(|question| match question {
            EnrichmentTask::Trial(id, ..) => Some(id.key.to_string()),
            EnrichmentTask::Size(..) | EnrichmentTask::Details(_) => None,
        });
        let mut tried: Vec<_> = tried.collect();
        tried.sort();
        assert_eq!(tried, ["b", "d"]);
        // With all that was listed there, what only details knew of is not there either.
        listed(&catalog, &["a", "b"]);
        assert_eq!(shown(&catalog), Vec::<String>::new());
        assert_eq!(catalog.counts(&acme()).in_trash, 0);
    }

    #[test]
    fn a_listing_that_failed_in_part_takes_away_only_what_is_over_by_now() {
        let catalog = catalog(CatalogDatabase::in_memory().unwrap());
        let failed = || TrashListing {
            meetings: Vec::new(),
            failed: Some(ProviderError::unavailable("down")),
        };
        binned(&catalog, &["a"], Some(Timestamp::now()));
        catalog.apply_trash(&acme(), failed());
        assert_eq!(shown(&catalog), ["a?"]);
        binned(&catalog, &["a"], Some(Timestamp::now() - SignedDuration::from_hours(24 * 31)));
        catalog.apply_trash(&acme(), failed());
        assert_eq!(shown(&catalog), Vec::<String>::new());
        binned(&catalog, &["a"], None);
        catalog.apply_trash(&acme(), TrashListing::default());
        assert_eq!(shown(&catalog), Vec::<String>::new());
    }

    #[test]
    fn without_a_time_the_end_is_counted_from_the_day_it_was_first_seen() {
        let catalog = catalog(CatalogDatabase::in_memory().unwrap());
        binned(&catalog, &["a"], None);
        let expires = || catalog.contents()[0].trash[0].meeting.expires.unwrap();
        let first = expires();
        binned(&catalog, &["a", "b"], None);
        assert_eq!(expires(), first);
        let facts = catalog.contents()[0].trash[0].meeting.metadata.to_map();
        assert_eq!(facts.get("expires_is_latest"), Some(&true.into()));
        assert_eq!(facts.get("deleted_time"), None);
    }
}
