//! What was deleted upstream and is still to be read from what is kept here.
//!
//! Where that is wished for, a file that a listing no longer shows stays under its old name for as long as every byte of
//! it is held. Its meeting is kept with all the files it had, those that are not held among them: hidden, they see to it
//! that no name changes.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::fmt::Debug;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::CatalogDatabase;
use super::source::{Entry, Source, SourceCounts};
use crate::model::{
    Availability, FileId, FileKey, Meeting, MeetingContents, MeetingId, SourceName, Version,
};

/// Knows which files can be read without their cloud.
pub trait CachedFiles: Debug + Send + Sync {
    /// Whether every byte is held of a file version of `size` bytes that was last served under `validator`.
    fn is_complete(
        &self,
        file: &FileId,
        version: Version,
        size: u64,
        validator: Option<&str>,
    ) -> bool;
}

/// What is left of a source's deleted meetings and files.
#[derive(Debug, Default)]
pub(super) struct Deleted {
    /// `None` where what is deleted goes.
    holdings: Option<Arc<dyn CachedFiles>>,
    meetings: HashMap<MeetingId, Kept>,
}

/// A meeting that is gone, or has lost files.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Remains {
    /// As it was, with every file that it had.
    pub(super) meeting: Meeting,
    /// Which of these are gone.
    gone: BTreeSet<FileKey>,
}

/// The same with what is held of it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Kept {
    remains: Remains,
    held: HashSet<FileKey>,
}

/// What a listing changed in what is kept.
#[derive(Debug, Default)]
pub(super) struct DeletedChange {
    pub(super) kept: Vec<Remains>,
    pub(super) dropped: Vec<MeetingId>,
    /// Whether anything is shown otherwise than before.
    pub(super) shows: bool,
}

/// A file that is gone and what must be known to tell whether it is held.
#[derive(Debug)]
struct Lost {
    id: FileId,
    version: Version,
    size: u64,
    validator: Option<String>,
}

/// What may be kept once a listing is taken over: found out under the catalog's lock, judged outside of it, for the
/// answer may be on a disk.
#[derive(Debug, Default)]
pub(super) struct Losses {
    holdings: Option<Arc<dyn CachedFiles>>,
    losses: Vec<(Remains, Vec<Lost>)>,
}

impl Losses {
    /// What of it is held. Reads from the disk where nobody has yet.
    pub(super) fn held(self) -> Vec<Kept> {
        let mut judged = self.judged();
        judged.retain(|kept| !kept.held.is_empty());
        judged
    }

    fn judged(self) -> Vec<Kept> {
        let Some(holdings) = self.holdings else { return Vec::new() };
        let is_held = |lost: &Lost| {
            holdings.is_complete(&lost.id, lost.version, lost.size, lost.validator.as_deref())
        };
        let kept = self.losses.into_iter().map(|(remains, lost)| {
            let held = lost.into_iter().filter(is_held).map(|lost| lost.id.key).collect();
            Kept { remains, held }
        });
        kept.collect()
    }
}

impl Deleted {
    pub(super) fn new(holdings: Option<Arc<dyn CachedFiles>>) -> Self {
        Self { holdings, meetings: HashMap::new() }
    }

    /// Puts what is kept now in the place of what was.
    pub(super) fn replace(&mut self, kept: Vec<Kept>) -> DeletedChange {
        let before = std::mem::take(&mut self.meetings);
        self.meetings =
            kept.into_iter().map(|kept| (kept.remains.meeting.id.clone(), kept)).collect();
        let dropped: Vec<_> =
            before.keys().filter(|id| !self.meetings.contains_key(*id)).cloned().collect();
        let is_new = |kept: &&Kept| {
            before.get(&kept.remains.meeting.id).is_none_or(|before| before.remains != kept.remains)
        };
        let shows = before != self.meetings;
        DeletedChange {
            kept: self.meetings.values().filter(is_new).map(|kept| kept.remains.clone()).collect(),
            dropped,
            shows,
        }
    }
}

impl Source {
    /// Takes in what an earlier run kept, as far as it is still held.
    pub(super) fn load_deleted(&mut self, name: &SourceName, database: &CatalogDatabase) {
        if self.deleted.holdings.is_none() {
            return;
        }
        let remains = database.deleted(name).unwrap_or_else(|error| {
            tracing::warn!("what was kept of {name} after its deletion cannot be read: {error}");
            Vec::new()
        });
        self.take_in(remains);
    }

    /// Takes in what is left, as far as it is held.
    pub(super) fn take_in(&mut self, remains: Vec<Remains>) {
        let losses = remains.into_iter().map(|remains| {
            let lost = self.lost(&remains);
            (remains, lost)
        });
        let losses = Losses { holdings: self.deleted.holdings.clone(), losses: losses.collect() };
        // Those of which nothing is held show nothing, and go at the next listing.
        self.deleted.replace(losses.judged());
    }

    /// What will be missing once `listed` is taken over and the meetings that `is_gone` of are not there any more.
    pub(super) fn losses(&self, listed: &[Meeting], is_gone: impl Fn(&Meeting) -> bool) -> Losses {
        let Some(holdings) = &self.deleted.holdings else { return Losses::default() };
        let listed: HashMap<_, _> = listed.iter().map(|meeting| (&meeting.id, meeting)).collect();
        let gone_before =
            self.deleted.meetings.keys().filter(|id| !self.meetings.contains_key(*id));
        let losses = self.meetings.keys().chain(gone_before).filter_map(|id| {
            let remains = self.remains(id, listed.get(id).copied(), &is_gone)?;
            let lost = self.lost(&remains);
            Some((remains, lost))
        });
        Losses { holdings: Some(holdings.clone()), losses: losses.collect() }
    }

    fn remains(
        &self,
        id: &MeetingId,
        listed: Option<&Meeting>,
        is_gone: impl Fn(&Meeting) -> bool,
    ) -> Option<Remains> {
        let entry = self.meetings.get(id);
        let before = self.deleted.meetings.get(id).map(|kept| &kept.remains);
        let stays = entry.filter(|entry| !is_gone(&entry.meeting)).map(|entry| &*entry.meeting);
        let there = listed.or(stays);
        if before.is_none() && (listed.is_none() && stays.is_some()) {
            return None;
        }
        let details = self.details.get(id).into_iter().flatten().flat_map(|details| &details.files);
        let there: HashSet<&FileKey> = match there {
            Some(there) => there.files.iter().chain(details).map(|file| &file.id.key).collect(),
            None => HashSet::new(),
        };
        let has_all =
            |entry: &Entry| entry.meeting.files.iter().all(|file| there.contains(&file.id.key));
        if before.is_none() && entry.is_some_and(has_all) {
            return None;
        }
        let mut meeting =
            entry.map(|entry| &*entry.meeting).or(before.map(|it| &it.meeting))?.clone();
        for file in before.iter().flat_map(|remains| &remains.meeting.files) {
            if meeting.files.iter().all(|known| known.id.key != file.id.key) {
                meeting.files.push(file.clone());
            }
        }
        let keys = meeting.files.iter().map(|file| file.id.key.clone());
        let gone: BTreeSet<_> = keys.filter(|key| !there.contains(key)).collect();
        (!gone.is_empty()).then_some(Remains { meeting, gone })
    }

    /// The files that are gone and could be read if they were held.
    fn lost(&self, remains: &Remains) -> Vec<Lost> {
        let gone = remains.meeting.files.iter().filter(|file| remains.gone.contains(&file.id.key));
        let ready = gone.filter(|file| file.availability == Availability::Ready);
        let lost = ready.filter_map(|file| {
            let size = self.size(&remains.meeting, file).or(file.declared_size)?;
            let place = (file.id.meeting.clone(), file.id.key.clone());
            let validator =
                self.validators.get(&place).filter(|(version, _)| *version == file.version);
            let validator = validator.map(|(_, validator)| validator.clone());
            Some(Lost { id: file.id.clone(), version: file.version, size, validator })
        });
        lost.collect()
    }

    /// A meeting that is there, with what is kept of the files it has lost.
    pub(super) fn with_remains(&self, meeting: &Arc<Meeting>) -> Arc<Meeting> {
        let Some(kept) = self.deleted.meetings.get(&meeting.id) else { return meeting.clone() };
        let mut whole = Meeting::clone(meeting);
        for file in kept.shown().files {
            let is_known = whole.files.iter().any(|known| known.id.key == file.id.key);
            if !is_known && kept.remains.gone.contains(&file.id.key) {
                whole.files.push(file);
            }
        }
        Arc::new(whole)
    }

    /// The meetings that are gone as a whole, for the tree.
    pub(super) fn deleted_views(&self) -> impl Iterator<Item = MeetingContents> {
        let gone = self.deleted.meetings.iter().filter(|(id, _)| !self.meetings.contains_key(*id));
        let shown = gone.map(|(_, kept)| kept.shown()).filter(|meeting| self.filter.shows(meeting));
        shown.map(|meeting| {
            let meeting = Arc::new(meeting);
            let document = self.document(&meeting);
            self.view(&meeting, document)
        })
    }

    /// Adds what is kept.
    pub(super) fn count_deleted(&self, counts: &mut SourceCounts) {
        for (id, kept) in &self.deleted.meetings {
            let shown = kept.shown();
            if kept.held.is_empty() || !self.filter.shows(&shown) {
                continue;
            }
            counts.kept_deleted += 1;
            counts.meetings += u64::from(!self.meetings.contains_key(id));
            for file in shown.files.iter().filter(|file| kept.held.contains(&file.id.key)) {
                counts.files += u64::from(self.filter.shows_file(file));
                let size = self.size(&shown, file).or(file.declared_size).unwrap_or_default();
                counts.bytes = counts.bytes.saturating_add(size);
            }
        }
    }
}

impl Kept {
    /// The meeting as it was, with what is not held hidden.
    fn shown(&self) -> Meeting {
        let mut meeting = self.remains.meeting.clone();
        for file in &mut meeting.files {
            if !self.held.contains(&file.id.key) {
                file.availability = Availability::Processing;
            }
        }
        meeting
    }
}

/// What a row holds, unless that is damaged.
pub(super) fn remains_of_row(text: &str) -> Option<Remains> {
    serde_json::from_str(text).ok()
}

#[cfg(test)]
mod tests {
    use parking_lot::Mutex;

    use super::super::{Catalog, Filter, ListingScope, SourceOptions};
    use super::*;
    use crate::model::{BodyKind, DaySpan, RecordingFile, Role};
    use crate::providers::{Listing, ProviderError};

    /// Holds the files whose keys it is told.
    #[derive(Debug, Default)]
    struct Held(Mutex<HashSet<String>>);

    impl Held {
        fn hold(&self, keys: &[&str]) {
            *self.0.lock() = keys.iter().map(|key| (*key).to_owned()).collect();
        }
    }

    impl CachedFiles for Held {
        fn is_complete(
            &self,
            file: &FileId,
            _: Version,
            size: u64,
            validator: Option<&str>,
        ) -> bool {
            assert_eq!((size, validator), (7, None));
            self.0.lock().contains(file.key.as_str())
        }
    }

    fn acme() -> SourceName {
        SourceName::new("acme").unwrap()
    }

    fn meeting(id: &str, keys: &[&str]) -> Meeting {
        let start = jiff::Timestamp::from_second(1_790_000_000).unwrap();
        let file = |key: &&str| RecordingFile {
            id: FileId { source: acme(), meeting: id.into(), key: (*key).into() },
            version: Version(1),
            role: Role::Other,
            stem: (*key).into(),
            extension: "bin".into(),
            body: BodyKind::Opaque,
            declared_size: Some(7),
            recording_start: None,
            recording_end: None,
            availability: Availability::Ready,
        };
        let files = keys.iter().map(file).collect();
        let facts = serde_json::Map::new();
        Meeting {
            source: acme(),
            id: id.into(),
            topic: id.into(),
            start,
            end: start,
            expires: None,
            files,
            metadata: facts.into(),
        }
    }

    fn catalog(database: CatalogDatabase, held: &Arc<Held>) -> Arc<Catalog> {
        let options = SourceOptions {
            name: acme(),
            scope: ListingScope::of(["mine"]),
            filter: Filter::none(),
            redundant_view_suffix: None,
            recycle_bin: None,
            keep_deleted: Some(held.clone()),
        };
        Catalog::new([options], Arc::new(database))
    }

    fn ever() -> DaySpan {
        DaySpan { from: jiff::civil::Date::MIN, to: jiff::civil::Date::MAX }
    }

    fn list(catalog: &Catalog, meetings: Vec<Meeting>) {
        catalog.apply(&acme(), ever(), Listing { meetings, ..Listing::default() });
    }

    /// The files that can be read, by meeting, and after a slash those that are hidden.
    fn shown(catalog: &Catalog) -> Vec<String> {
        let views = catalog.contents();
        let of_meeting = |view: &MeetingContents| {
            let keys = |ready: bool| {
                let files = view.meeting.files.iter();
                let files =
                    files.filter(|file| (file.availability == Availability::Ready) == ready);
                let mut keys: Vec<_> = files.map(|file| file.id.key.as_str()).collect();
                keys.sort_unstable();
                keys.join("")
            };
            format!("{} {}/{}", view.meeting.id, keys(true), keys(false))
        };
        let mut shown: Vec<_> = views[0].meetings.iter().map(of_meeting).collect();
        shown.sort();
        shown
    }

    #[test]
    fn what_is_held_stays_and_hides_what_is_not_until_nothing_is() {
        let (held, directory) = (Arc::<Held>::default(), tempfile::tempdir().unwrap());
        held.hold(&["a", "c"]);
        {
            let catalog = catalog(CatalogDatabase::open(directory.path()).unwrap(), &held);
            list(&catalog, vec![meeting("m", &["a", "b"]), meeting("n", &["b"])]);
            list(&catalog, vec![]);
            assert_eq!(shown(&catalog), ["m a/b"]);
            let counts = catalog.counts(&acme());
            assert_eq!(
                (counts.meetings, counts.files, counts.bytes, counts.kept_deleted),
                (1, 1, 7, 1)
            );
            let before = *catalog.changes().borrow();
            list(&catalog, vec![]);
            assert_eq!(*catalog.changes().borrow(), before, "nothing is no change");
        }
        // A restart in which it is not held does not show it, and does not forget it before the next listing.
        held.hold(&[]);
        assert_eq!(
            shown(&catalog(CatalogDatabase::open(directory.path()).unwrap(), &held)),
            ["m /ab"]
        );
        held.hold(&["a"]);
        let again = catalog(CatalogDatabase::open(directory.path()).unwrap(), &held);
        assert_eq!(shown(&again), ["m a/b"]);
        held.hold(&[]);
        list(&again, vec![]);
        assert_eq!(shown(&again), Vec::<String>::new());
        drop(again);
        held.hold(&["a"]);
        let last = catalog(CatalogDatabase::open(directory.path()).unwrap(), &held);
        assert_eq!(shown(&last), Vec::<String>::new(), "what has gone does not come back");
    }

    #[test]
    fn files_that_go_one_after_the_other_are_kept_together() {
        let held = Arc::<Held>::default();
        held.hold(&["a", "b", "c"]);
        let catalog = catalog(CatalogDatabase::in_memory().unwrap(), &held);
        list(&catalog, vec![meeting("m", &["a", "b", "c", "d"])]);
        list(&catalog, vec![meeting("m", &["b", "c", "d"])]);
        assert_eq!(shown(&catalog), ["m abcd/"]);
        list(&catalog, vec![meeting("m", &["c", "d"])]);
        assert_eq!(shown(&catalog), ["m abcd/"]);
        list(&catalog, vec![]);
        assert_eq!(shown(&catalog), ["m abc/d"]);
        list(&catalog, vec![meeting("m", &["a", "b", "c"])]);
        assert_eq!(shown(&catalog), ["m abc/"]);
        assert_eq!(catalog.counts(&acme()).kept_deleted, 0);
    }

    #[test]
    fn what_could_not_be_listed_is_not_taken_for_deleted() {
        let held = Arc::<Held>::default();
        held.hold(&["a"]);
        let catalog = catalog(CatalogDatabase::in_memory().unwrap(), &held);
        list(&catalog, vec![meeting("m", &["a", "b"])]);
        let failed = vec![(ever(), ProviderError::unavailable("down"))];
        catalog.apply(&acme(), ever(), Listing { meetings: vec![], failed, ..Listing::default() });
        assert_eq!(shown(&catalog), ["m ab/"]);
        assert_eq!(catalog.counts(&acme()).kept_deleted, 0);
    }
}
