//! What lies in a source's recycle bin, and what the provider gives out of it.
//!
//! Nobody documents whether a file in a recycle bin can be downloaded, so each is tried once in the background, and what
//! came of it is kept. Until then it is hidden: a name, once given, stays. A meeting that is restored is listed where it
//! was, and what is listed there does not lie in the bin, whatever the bin was last seen to hold.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp, tz::TimeZone};
use rusqlite::params;
use serde::{Deserialize, Serialize};

use super::FactStore;
use super::facts::{intact, log_failure, text};
use super::source::Source;
use super::store::{Catalog, Question};
use crate::model::{
    Availability, FileId, FileKey, Meeting, MeetingId, MeetingView, RecordingFile, SourceName, Version,
};
use crate::providers::{RecycleBin, TrashListing, Trashed};

/// How long a refusal is believed. An account's settings change rarely, and one request a file and day is little.
const REFUSAL_HOLDS: SignedDuration = SignedDuration::from_hours(24);

/// A recycle bin as it was listed last; empty where it is not shown.
#[derive(Debug, Default)]
pub(super) struct Trash {
    /// `None` where the source has none or it is not wanted.
    bin: Option<RecycleBin>,
    lying: HashMap<MeetingId, Lying>,
    trials: HashMap<(MeetingId, FileKey), Trial>,
}

/// A meeting in the bin.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Lying {
    trashed: Trashed,
    /// When it was first seen there.
    seen: Timestamp,
}

impl Lying {
    /// When the bin gives it up; at the latest, where it is not known since when it lies there.
    fn expires(&self, bin: RecycleBin) -> Timestamp {
        let days = SignedDuration::from_hours(24 * i64::from(bin.days));
        self.trashed.deleted.unwrap_or(self.seen).checked_add(days).unwrap_or(Timestamp::MAX)
    }
}

/// What came of trying a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Trial {
    version: Version,
    at: Timestamp,
    /// Why it is not given out; `None` if it is.
    refusal: Option<String>,
}

/// What a listing of the bin changed.
#[derive(Debug, Default)]
pub(super) struct TrashChange {
    lying: Vec<Lying>,
    gone: Vec<MeetingId>,
}

impl Trash {
    /// Nothing is known of it.
    pub(super) fn empty(bin: Option<RecycleBin>) -> Self {
        Self { bin, ..Self::default() }
    }

    /// What was kept of it in earlier runs.
    pub(super) fn load(bin: Option<RecycleBin>, name: &SourceName, facts: &FactStore) -> Self {
        let empty = Self::empty(bin);
        if bin.is_none() {
            return empty;
        }
        match facts.trash(name) {
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
        let listed: HashSet<_> = listing.meetings.iter().map(|trashed| trashed.meeting.id.clone()).collect();
        for trashed in listing.meetings {
            let id = trashed.meeting.id.clone();
            let known = self.lying.get(&id);
            let lying = Lying { trashed, seen: known.map_or(now, |known| known.seen) };
            if known != Some(&lying) {
                change.lying.push(lying.clone());
                self.lying.insert(id, lying);
            }
        }
        self.lying.retain(|id, lying| {
            let stays = listed.contains(id) || (listing.failed.is_some() && now < lying.expires(bin));
            if !stays {
                change.gone.push(id.clone());
            }
            stays
        });
        let gone: HashSet<_> = change.gone.iter().collect();
        self.trials.retain(|(meeting, _), _| !gone.contains(meeting));
        change
    }

    /// Whether it is to be found out if the file is given out.
    fn is_to_be_tried(&self, file: &RecordingFile, now: Timestamp) -> bool {
        let trial = self.trials.get(&(file.id.meeting.clone(), file.id.key.clone()));
        file.availability != Availability::Processing
            && trial.is_none_or(|trial| {
                trial.version != file.version
                    || (trial.refusal.is_some() && REFUSAL_HOLDS <= now.duration_since(trial.at))
            })
    }

    fn availability(&self, file: &RecordingFile, lying: &Lying, bin: RecycleBin) -> Availability {
        let trial = self.trials.get(&(file.id.meeting.clone(), file.id.key.clone()));
        match trial.filter(|trial| trial.version == file.version) {
            _ if file.availability == Availability::Processing => Availability::Processing,
            None => Availability::Processing,
            Some(Trial { refusal: None, .. }) => Availability::Ready,
            Some(Trial { refusal: Some(why), .. }) => Availability::Unavailable(note(why, lying, bin)),
        }
    }
}

/// What stands where a file would that the bin does not give out.
fn note(why: &str, lying: &Lying, bin: RecycleBin) -> String {
    let day = TimeZone::UTC.to_datetime(lying.expires(bin)).date();
    let until = if lying.trashed.deleted.is_some() { "until" } else { "at the latest until" };
    format!(
        "This file was deleted. It lies in {}, which does not give it out: {}.\nTo have it back, {} {until} {day}; it then stands again where it stood. After that it is deleted for good.",
        bin.name,
        why.trim_end_matches('.'),
        bin.mend
    )
}

impl Source {
    /// What the bin holds and the filter lets through, as it is shown.
    fn trashed(&self) -> impl Iterator<Item = (&Lying, Meeting)> {
        let trash = &self.trash;
        let bin = trash.bin.into_iter();
        bin.flat_map(move |bin| {
            trash.lying.values().filter_map(move |lying| Some((lying, self.shown_in_trash(lying, bin)?)))
        })
    }

    /// `None` where nothing of it lies there any more, or the filter hides it.
    fn shown_in_trash(&self, lying: &Lying, bin: RecycleBin) -> Option<Meeting> {
        let listed = &lying.trashed.meeting;
        let there = self.meetings.get(&MeetingId::from(listed.id.of_provider()));
        let is_there = |file: &RecordingFile| {
            there.is_some_and(|entry| entry.meeting.files.iter().any(|other| other.id.key == file.id.key))
        };
        let mut files: Vec<_> = listed.files.iter().filter(|file| !is_there(file)).collect();
        if files.is_empty() {
            return None;
        }
        let details = self.details.get(&listed.id).into_iter().flatten();
        for file in details.flat_map(|details| &details.files).filter(|file| !is_there(file)) {
            files.retain(|known| known.id.key != file.id.key);
            files.push(file);
        }
        let mut meeting = Meeting { files: files.into_iter().cloned().collect(), ..listed.clone() };
        if !self.filter.shows(&meeting) {
            return None;
        }
        meeting.files.retain(|file| self.filter.shows_file(file));
        for file in &mut meeting.files {
            file.availability = self.trash.availability(file, lying, bin);
        }
        // What stays where it was takes part in naming, hidden: a transcript whose video is still there is called after it,
        // as it was and as it will be again.
        let of_others = there.into_iter().flat_map(|entry| &entry.meeting.files);
        meeting.files.extend(of_others.cloned().map(|mut file| {
            file.id.meeting = listed.id.clone();
            file.availability = Availability::Processing;
            file
        }));
        meeting.expires = Some(lying.expires(bin));
        let mut facts = meeting.facts.to_map();
        match lying.trashed.deleted {
            Some(deleted) => facts.insert("deleted_time".into(), deleted.to_string().into()),
            None => facts.insert("expires_is_latest".into(), true.into()),
        };
        meeting.facts = facts.into();
        Some(meeting)
    }

    /// What the bin shows, for the tree.
    pub(super) fn trash_views(&self) -> Vec<MeetingView> {
        let view = |(_, meeting): (&Lying, Meeting)| {
            let meeting = Arc::new(meeting);
            let document = self.document(&meeting);
            let size = |file: &RecordingFile| Some((file.id.key.clone(), self.size(&meeting, file)?));
            let sizes = meeting.files.iter().filter_map(size).collect();
            MeetingView { meeting, sizes, document }
        };
        self.trashed().map(view).collect()
    }

    /// How many meetings the bin shows.
    pub(super) fn trash_count(&self) -> u64 {
        self.trashed().count() as u64
    }

    /// What is to be found out about what lies in the bin, newest meeting first.
    pub(super) fn trash_questions(&self, now: Timestamp) -> Vec<Question> {
        let mut shown: Vec<_> = self.trashed().map(|(_, meeting)| meeting).collect();
        shown.sort_by(|a, b| (b.start, &b.id).cmp(&(a.start, &a.id)));
        // First what there is of each: the files of some are known only then.
        let details = shown
            .iter()
            .filter(|meeting| !self.details.contains_key(&meeting.id))
            .map(|meeting| Question::Details(meeting.id.clone()));
        let listed = shown.iter().filter_map(|meeting| {
            let lying = self.trash.lying.get(&meeting.id)?;
            let details = self.details.get(&meeting.id).into_iter().flatten();
            Some((meeting, lying.trashed.meeting.files.iter().chain(details.flat_map(|it| &it.files))))
        });
        let trials = listed.flat_map(|(meeting, files)| {
            let there = self.meetings.get(&MeetingId::from(meeting.id.of_provider()));
            let is_there = move |file: &RecordingFile| {
                there.is_some_and(|entry| entry.meeting.files.iter().any(|it| it.id.key == file.id.key))
            };
            let shown = move |file: &&RecordingFile| {
                meeting.files.iter().any(|it| it.id.key == file.id.key) && !is_there(file)
            };
            files
                .filter(shown)
                .filter(|file| self.trash.is_to_be_tried(file, now))
                .map(|file| Question::Trial(file.id.clone(), file.version, file.body))
        });
        details.chain(trials).collect()
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
        self.facts.keep_trash(name, &change);
    }

    /// Takes over whether a file in the recycle bin is given out, and keeps it. `refusal` is why it is not.
    pub fn learn_trial(&self, id: &FileId, version: Version, refusal: Option<String>) {
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
        if before.is_none_or(|before| (before.version, &before.refusal) != (version, &trial.refusal)) {
            self.touch();
        }
        self.facts.keep_trial(id, &trial);
    }

    /// The meetings that lie in a source's recycle bin as it was listed last.
    pub fn trashed(&self, name: &SourceName) -> Vec<Arc<Meeting>> {
        let sources = self.sources.lock();
        let lying = sources.get(name).into_iter().flat_map(|source| source.trash.lying.values());
        lying.map(|lying| Arc::new(lying.trashed.meeting.clone())).collect()
    }
}

/// What a row holds, unless that is damaged: what has not the bin's identity does not lie there.
pub(super) fn lying_of_row(text: &str) -> Option<Lying> {
    let lying: Lying = serde_json::from_str(text).ok()?;
    let Meeting { id, files, .. } = &lying.trashed.meeting;
    (id.is_in_trash() && files.iter().all(|file| file.id.meeting == *id)).then_some(lying)
}

/// What is kept of a bin.
pub(super) type KeptTrash = (Vec<Lying>, Vec<((MeetingId, FileKey), Trial)>);

impl FactStore {
    /// What was kept of a source's recycle bin, as far as it can be read. The rest is listed or tried again.
    fn trash(&self, source: &SourceName) -> rusqlite::Result<KeptTrash> {
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
                let version = Version(u64::from_be_bytes(row.get(2).ok()?));
                let at = Timestamp::from_second(row.get(3).ok()?).ok()?;
                Some((place, Trial { version, at, refusal: row.get(4).ok()? }))
            },
            "DELETE FROM trashed_file WHERE source = ?1 AND meeting = ?2 AND file = ?3",
        )?;
        Ok((lying, trials))
    }

    /// Keeps what a listing of the bin changed, all of it or nothing.
    fn keep_trash(&self, source: &SourceName, change: &TrashChange) {
        if !change.lying.is_empty() || !change.gone.is_empty() {
            log_failure(self.try_keep_trash(source, change));
        }
    }

    fn try_keep_trash(&self, source: &SourceName, change: &TrashChange) -> rusqlite::Result<usize> {
        let mut connection = self.connection.lock();
        let kept = connection.transaction()?;
        for id in &change.gone {
            for table in ["trashed_meeting", "trashed_file", "meeting_details", "file_size", "file_validator"]
            {
                let line = format!("DELETE FROM {table} WHERE source = ?1 AND meeting = ?2");
                kept.execute(&line, params![source.as_str(), id.as_str()])?;
            }
        }
        for lying in &change.lying {
            let Ok(text) = serde_json::to_string(lying) else { continue };
            kept.execute(
                "INSERT OR REPLACE INTO trashed_meeting VALUES (?1, ?2, ?3)",
                params![source.as_str(), lying.trashed.meeting.id.as_str(), text],
            )?;
        }
        kept.commit()?;
        Ok(change.lying.len() + change.gone.len())
    }

    fn keep_trial(&self, id: &FileId, trial: &Trial) {
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
}

#[cfg(test)]
mod tests {
    use super::super::{Filter, Scope, SourceOptions};
    use super::*;
    use crate::model::{BodyKind, DaySpan, Details, Role};
    use crate::providers::{Listing, ProviderError};

    const BIN: RecycleBin = RecycleBin { name: "the bin", mend: "restore it", days: 30 };

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
            facts: facts.into(),
        }
    }

    fn catalog(facts: FactStore) -> Arc<Catalog> {
        let options = SourceOptions {
            name: acme(),
            scope: Scope::of(["mine"]),
            filter: Filter::none(),
            recycle_bin: Some(BIN),
            keep_deleted: None,
        };
        Catalog::new([options], Arc::new(facts))
    }

    fn listed(catalog: &Catalog, files: &[&str]) {
        let ever = DaySpan { from: jiff::civil::Date::MIN, to: jiff::civil::Date::MAX };
        let meetings = if files.is_empty() { Vec::new() } else { vec![meeting(files)] };
        catalog.apply(&acme(), ever, Listing { meetings, ..Listing::default() });
    }

    fn binned(catalog: &Catalog, files: &[&str], deleted: Option<Timestamp>) {
        let meetings = vec![Trashed::new(meeting(files), deleted)];
        catalog.apply_trash(&acme(), TrashListing { meetings, failed: None });
    }

    /// The files in the bin: `+` given out, `-` refused, `?` yet to be tried.
    fn shown(catalog: &Catalog) -> Vec<String> {
        let views = catalog.views();
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
        let folder = tempfile::tempdir().unwrap();
        let deleted = Some("2026-10-06T07:00:00Z".parse().unwrap());
        {
            let catalog = catalog(FactStore::open(folder.path()).unwrap());
            listed(&catalog, &[]);
            binned(&catalog, &["a", "b", "c"], deleted);
            assert_eq!(shown(&catalog), ["a?", "b?", "c?"]);
            catalog.learn_trial(&trial("a"), Version(1), None);
            catalog.learn_trial(&trial("b"), Version(1), Some("no".into()));
            // Of another content nothing is known.
            catalog.learn_trial(&trial("c"), Version(2), None);
        }
        let catalog = catalog(FactStore::open(folder.path()).unwrap());
        assert_eq!(shown(&catalog), ["a+", "b-", "c?"]);
        let views = catalog.views();
        let meeting = &views[0].trash[0].meeting;
        assert_eq!(meeting.expires, Some("2026-11-05T07:00:00Z".parse().unwrap()));
        let questions = catalog.questions(&acme());
        let expected = [
            Question::Details(MeetingId::from("m").in_trash()),
            Question::Trial(trial("c"), Version(1), BodyKind::Opaque),
        ];
        assert_eq!(questions, expected);
        let Availability::Unavailable(note) = &meeting.files[1].availability else { panic!() };
        assert!(note.contains("the bin, which does not give it out: no."), "{note}");
        assert!(note.contains("restore it until 2026-11-05"), "{note}");
    }

    #[test]
    fn what_lies_there_a_second_time_is_known_as_well_as_the_first_time() {
        let folder = tempfile::tempdir().unwrap();
        let learn = |catalog: &Catalog| {
            binned(catalog, &["a"], None);
            catalog.learn_size(&trial("a"), Version(1), 9);
            catalog.learn_validator(&trial("a"), Version(1), "etag");
            catalog.learn_trial(&trial("a"), Version(1), None);
        };
        {
            let catalog = catalog(FactStore::open(folder.path()).unwrap());
            listed(&catalog, &[]);
            learn(&catalog);
            catalog.apply_trash(&acme(), TrashListing::default());
            // An answer that comes when it has gone is of no use to the next one.
            catalog.learn_trial(&trial("a"), Version(1), Some("no".into()));
            assert_eq!(catalog.validator(&trial("a"), Version(1)), None);
            learn(&catalog);
        }
        let catalog = catalog(FactStore::open(folder.path()).unwrap());
        assert_eq!(shown(&catalog), ["a+"]);
        assert_eq!(catalog.views()[0].trash[0].sizes.get(&"a".into()), Some(&9));
        assert_eq!(catalog.validator(&trial("a"), Version(1)).as_deref(), Some("etag"));
    }

    #[test]
    fn entries_that_cannot_be_read_cost_no_other() {
        let folder = tempfile::tempdir().unwrap();
        {
            let catalog = catalog(FactStore::open(folder.path()).unwrap());
            listed(&catalog, &[]);
            binned(&catalog, &["a", "b"], None);
            for key in ["a", "b"] {
                catalog.learn_trial(&trial(key), Version(1), None);
            }
            let connection = catalog.facts.connection.lock();
            connection.execute("UPDATE trashed_file SET version = x'00' WHERE file = 'b'", []).unwrap();
            connection.execute("INSERT INTO trashed_meeting VALUES ('acme', 'x', '{')", []).unwrap();
        }
        let catalog = catalog(FactStore::open(folder.path()).unwrap());
        assert_eq!(shown(&catalog), ["a+", "b?"]);
    }

    #[test]
    fn a_refusal_is_asked_about_again_after_a_day_and_shown_until_then() {
        let catalog = catalog(FactStore::in_memory().unwrap());
        binned(&catalog, &["a", "b"], None);
        catalog.learn_details(&acme(), &MeetingId::from("m").in_trash(), None);
        catalog.learn_trial(&trial("a"), Version(1), Some("no".into()));
        catalog.learn_trial(&trial("b"), Version(1), None);
        let asked = |hours| {
            let at = Timestamp::now() + SignedDuration::from_hours(hours);
            catalog.sources.lock()[&acme()].trash_questions(at).len()
        };
        assert_eq!((asked(23), asked(25)), (0, 1));
        assert_eq!(shown(&catalog), ["a-", "b+"]);
        let before = *catalog.changes().borrow();
        catalog.learn_trial(&trial("a"), Version(1), Some("no".into()));
        assert_eq!(*catalog.changes().borrow(), before, "the same words are no change");
        assert_eq!(asked(23), 0);
    }

    #[test]
    fn what_is_listed_where_it_was_does_not_lie_in_the_bin() {
        let catalog = catalog(FactStore::in_memory().unwrap());
        binned(&catalog, &["a", "b"], None);
        let facts = serde_json::Map::new();
        let mut of_details = file("d");
        of_details.id = trial("d");
        let details = Details { facts: facts.into(), files: vec![of_details], ..Details::default() };
        catalog.learn_details(&acme(), &MeetingId::from("m").in_trash(), Some(details));
        assert_eq!(shown(&catalog), ["a?", "b?", "d?"]);
        listed(&catalog, &["a"]);
        assert_eq!(shown(&catalog), ["a?", "b?", "d?"], "hidden, for the names of the others");
        let asked = catalog.questions(&acme()).into_iter();
        let tried = asked.filter_map(|question| match question {
            Question::Trial(id, ..) => Some(id.key.to_string()),
            Question::Size(..) | Question::Details(_) => None,
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
        let catalog = catalog(FactStore::in_memory().unwrap());
        let failed =
            || TrashListing { meetings: Vec::new(), failed: Some(ProviderError::Unavailable("down".into())) };
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
        let catalog = catalog(FactStore::in_memory().unwrap());
        binned(&catalog, &["a"], None);
        let expires = || catalog.views()[0].trash[0].meeting.expires.unwrap();
        let first = expires();
        binned(&catalog, &["a", "b"], None);
        assert_eq!(expires(), first);
        let facts = catalog.views()[0].trash[0].meeting.facts.to_map();
        assert_eq!(facts.get("expires_is_latest"), Some(&true.into()));
        assert_eq!(facts.get("deleted_time"), None);
    }
}
