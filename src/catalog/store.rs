//! The catalog in memory: every source's meetings with what was learned about them.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use parking_lot::Mutex;
use tokio::sync::watch;

use super::CatalogDatabase;
use super::deleted::Losses;
use super::listing_store::ListingChange;
use super::source::{Entry, Source, SourceCounts, SourceOptions, compact, files_of};
use crate::model::{
    DaySpan, Details, FileId, Meeting, MeetingId, RecordingFile, SourceContents, SourceName,
    Version,
};
use crate::providers::{KnownMeetings, Listing};

/// All sources. Every change raises the number in [`changes`](Self::changes).
#[derive(Debug)]
pub struct Catalog {
    /// Never held while anything is written down.
    pub(super) sources: Mutex<HashMap<SourceName, Source>>,
    /// One listing is taken over after the other, so that what is written down last was listed last. Taken before
    /// `sources`.
    pub(super) applying: Mutex<()>,
    changed: watch::Sender<u64>,
    pub(super) database: Arc<CatalogDatabase>,
}

/// Something the background has to find out, newest meeting first.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum EnrichmentTask {
    /// How long is this file?
    Size(FileId, Version, crate::model::BodyKind),
    /// What else is known of this meeting?
    Details(MeetingId),
    /// Is this file given out, though it lies in the recycle bin?
    Trial(FileId, Version, crate::model::BodyKind),
}

/// What is known of a meeting when more is asked.
#[derive(Debug, Default)]
pub(super) struct Told {
    pub(super) known: Option<Arc<Details>>,
    /// Whether the files in it may have changed.
    pub(super) is_outdated: bool,
    /// As in [`Details::listing_hash`].
    pub(super) listed: Option<u64>,
}

impl Catalog {
    /// A catalog of sources without meetings, with what was learned in earlier runs.
    pub fn new(
        sources: impl IntoIterator<Item = SourceOptions>,
        database: Arc<CatalogDatabase>,
    ) -> Arc<Self> {
        let sources = sources.into_iter().map(|options| {
            let name = options.name.clone();
            (name, Source::load(options, &database))
        });
        let sources = Mutex::new(sources.collect());
        Arc::new(Self {
            sources,
            applying: Mutex::new(()),
            changed: watch::Sender::new(0),
            database,
        })
    }

    /// The meetings of a source as they are known now, the filter's aside.
    pub fn meetings(&self, name: &SourceName) -> Vec<Arc<Meeting>> {
        let sources = self.sources.lock();
        let entries = sources.get(name).into_iter().flat_map(|source| source.meetings.values());
        entries.map(|entry| entry.meeting.clone()).collect()
    }

    /// Whether a source was listed in an earlier run; if so, when that was whole.
    pub fn earlier_listing(&self, name: &SourceName) -> Option<Option<Timestamp>> {
        self.sources.lock().get(name).and_then(|source| source.kept)
    }

    /// All of a source was listed at that time, without a gap.
    pub fn record_full_listing(&self, name: &SourceName, at: Timestamp) {
        let scope = self.sources.lock().get(name).map(|source| source.scope.clone());
        if let Some(scope) = scope {
            self.database.keep_whole_at(name, &scope, at);
        }
    }

    /// Changes whenever the views do.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    pub(super) fn touch(&self) {
        self.changed.send_modify(|count| *count += 1);
    }

    /// Takes over a listing of the days of `span`. Meetings of those days that it does not show are gone, but
    /// not those of days that could not be listed whole.
    pub fn apply(&self, name: &SourceName, span: DaySpan, listing: Listing) {
        let _one_at_a_time = self.applying.lock();
        let seen = listing.meetings.iter().map(|meeting| &meeting.id).chain(&listing.unchanged);
        let seen: HashSet<_> = seen.cloned().collect();
        let was_listed_completely = |meeting: &Meeting| {
            let day = TimeZone::UTC.to_datetime(meeting.start).date();
            span.contains(day) && !listing.failed.iter().any(|(failed, _)| failed.contains(day))
        };
        let is_gone =
            |meeting: &Meeting| !seen.contains(&meeting.id) && was_listed_completely(meeting);
        let losses =
            self.sources.lock().get(name).map(|source| source.losses(&listing.meetings, is_gone));
        let kept = losses.map(Losses::held).unwrap_or_default();
        let mut sources = self.sources.lock();
        let Some(source) = sources.get_mut(name) else { return };
        let mut change = ListingChange::default();
        source.meetings.retain(|id, entry| {
            let stays = !is_gone(&entry.meeting);
            if !stays {
                change.gone.push(id.clone());
            }
            stays
        });
        for meeting in listing.meetings {
            if source.meetings.get(&meeting.id).is_some_and(|known| *known.listed == meeting) {
                continue;
            }
            let meeting = compact(meeting);
            change.listed.push(meeting.clone());
            source.lacking.remove(&meeting.id);
            let details = source.details.get(&meeting.id);
            source.meetings.insert(meeting.id.clone(), Entry::new(meeting, details));
        }
        let deleted = source.deleted.replace(kept);
        let scope = source.scope.clone();
        drop(sources);
        if !change.listed.is_empty() || !change.gone.is_empty() || deleted.shows {
            // The tree first: somebody may be waiting for it.
            self.touch();
        }
        self.database.keep_listing(name, &scope, &change);
        self.database.keep_deleted(name, &deleted);
    }

    /// Takes over a file's true size, and keeps it.
    pub fn record_size(&self, id: &FileId, version: Version, size: u64) {
        let mut sources = self.sources.lock();
        let Some(source) = sources.get_mut(&id.source) else { return };
        let files = source.sizes.entry(id.meeting.clone()).or_default();
        let changed = files.insert(id.key.clone(), (version, size)) != Some((version, size));
        drop(sources);
        if changed {
            // The tree first: somebody may be waiting for it in an `open`.
            self.touch();
            self.database.keep_size(id, version, size);
        }
    }

    /// The validator under which a file version was served last, also in an earlier run.
    pub fn validator(&self, id: &FileId, version: Version) -> Option<String> {
        let sources = self.sources.lock();
        let place = (id.meeting.clone(), id.key.clone());
        let (known, validator) = sources.get(&id.source)?.validators.get(&place)?;
        (*known == version).then(|| validator.clone())
    }

    /// Forgets the validator of a file whose content turned out to be another. What is kept of it is replaced by
    /// that of the new content.
    pub fn forget_validator(&self, id: &FileId) {
        let mut sources = self.sources.lock();
        if let Some(source) = sources.get_mut(&id.source) {
            source.validators.remove(&(id.meeting.clone(), id.key.clone()));
        }
    }

    /// Takes over the validator under which a file version is served, and keeps it.
    pub fn record_validator(&self, id: &FileId, version: Version, validator: &str) {
        let mut sources = self.sources.lock();
        let Some(source) = sources.get_mut(&id.source) else { return };
        let place = (id.meeting.clone(), id.key.clone());
        let fact = (version, validator.to_owned());
        let changed = source.validators.insert(place, fact.clone()) != Some(fact);
        drop(sources);
        if changed {
            self.database.keep_validator(id, version, validator);
        }
    }

    /// Takes over what else is known of a meeting, and keeps it.
    pub fn record_details(&self, name: &SourceName, id: &MeetingId, details: Option<Details>) {
        let mut sources = self.sources.lock();
        let Some(source) = sources.get_mut(name) else { return };
        if details.as_ref().is_some_and(|details| !details.missing.is_empty()) {
            source.lacking.insert(id.clone());
        }
        if source.details.get(id).is_some_and(|known| known.as_deref() == details.as_ref()) {
            return;
        }
        let details = details.map(Arc::new);
        if let Some(entry) = source.meetings.get_mut(id) {
            *entry = Entry::new(entry.listed.clone(), Some(&details));
        }
        source.details.insert(id.clone(), details.clone());
        drop(sources);
        self.touch();
        self.database.keep_details(name, id, details.as_deref());
    }

    /// What else is known of a meeting, to be told to whoever is asked for more.
    pub(super) fn told(&self, name: &SourceName, id: &MeetingId) -> Told {
        let sources = self.sources.lock();
        let Some(source) = sources.get(name) else { return Told::default() };
        let entry = source.meetings.get(id);
        Told {
            known: source.details.get(id).cloned().flatten(),
            is_outdated: entry.is_some_and(|entry| entry.is_outdated),
            listed: entry.map(|entry| files_of(&entry.listed)),
        }
    }

    /// Whether a file would be shown if only its length were known.
    pub fn needs_size(&self, file: &RecordingFile) -> bool {
        self.sources.lock().get(&file.id.source).is_some_and(|source| source.needs_size(file))
    }

    /// What is still to be found out about a source, newest meeting first, sizes before details.
    pub fn questions(&self, name: &SourceName) -> Vec<EnrichmentTask> {
        let sources = self.sources.lock();
        let Some(source) = sources.get(name) else { return Vec::new() };
        let mut meetings: Vec<_> = source.shown().map(|entry| &entry.meeting).collect();
        meetings.sort_by(|a, b| (b.start, &b.id).cmp(&(a.start, &a.id)));
        let sizes = meetings
            .iter()
            .flat_map(|meeting| &meeting.files)
            .filter(|file| source.needs_size(file))
            .map(|file| EnrichmentTask::Size(file.id.clone(), file.version, file.body));
        let details = meetings
            .iter()
            .filter(|meeting| !meeting.files.is_empty() && source.asks_for_details(&meeting.id))
            .map(|meeting| EnrichmentTask::Details(meeting.id.clone()));
        sizes.chain(details).chain(source.trash_questions(Timestamp::now())).collect()
    }

    /// How much there is of a source.
    pub fn counts(&self, name: &SourceName) -> SourceCounts {
        self.sources.lock().get(name).map(Source::counts).unwrap_or_default()
    }

    /// The newest state, for the tree.
    pub fn contents(&self) -> Vec<SourceContents> {
        let sources = self.sources.lock();
        let mut views: Vec<_> = sources
            .iter()
            .map(|(name, source)| SourceContents {
                name: name.clone(),
                meetings: source.views(),
                trash: source.trash_views(),
                redundant_view_suffix: source.redundant_view_suffix,
            })
            .collect();
        views.sort_by(|a, b| a.name.cmp(&b.name));
        views
    }
}

impl KnownMeetings for Catalog {
    fn is_known(&self, meeting: &Meeting) -> bool {
        let sources = self.sources.lock();
        let known =
            sources.get(&meeting.source).and_then(|source| source.meetings.get(&meeting.id));
        known.is_some_and(|known| *known.listed == *meeting)
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Filter, ListingScope};
    use serde_json::Value;

    use super::*;
    use crate::model::MeetingMetadata;
    use crate::providers::ProviderError;

    fn acme() -> SourceName {
        SourceName::new("acme").unwrap()
    }

    fn meeting(id: &str, day: &str) -> Meeting {
        let start = format!("{day}T10:00:00Z").parse().unwrap();
        Meeting {
            source: acme(),
            id: id.into(),
            topic: id.into(),
            start,
            end: start,
            expires: None,
            files: Vec::new(),
            metadata: MeetingMetadata::default(),
        }
    }

    fn span(from: &str, to: &str) -> DaySpan {
        DaySpan { from: from.parse().unwrap(), to: to.parse().unwrap() }
    }

    fn shown(catalog: &Catalog) -> Vec<String> {
        let mut ids: Vec<_> =
            catalog.contents()[0].meetings.iter().map(|view| view.meeting.id.to_string()).collect();
        ids.sort();
        ids
    }

    fn filtered(database: CatalogDatabase, filter: Filter) -> Arc<Catalog> {
        let options = SourceOptions {
            name: acme(),
            scope: ListingScope::of(["mine"]),
            filter,
            redundant_view_suffix: None,
            recycle_bin: None,
            keep_deleted: None,
        };
        Catalog::new([options], Arc::new(database))
    }

    fn catalog_with(database: CatalogDatabase) -> Arc<Catalog> {
        filtered(database, Filter::none())
    }

    fn catalog() -> Arc<Catalog> {
        catalog_with(CatalogDatabase::in_memory().unwrap())
    }

    #[test]
    fn a_listing_takes_away_only_what_it_could_have_seen() {
        let catalog = catalog();
        let all = span("2026-01-01", "2026-03-31");
        let meetings = vec![
            meeting("january", "2026-01-10"),
            meeting("february", "2026-02-10"),
            meeting("march", "2026-03-10"),
        ];
        catalog.apply(&acme(), all, Listing { meetings, ..Listing::default() });
        let failed = vec![(span("2026-02-01", "2026-02-28"), ProviderError::unavailable("down"))];
        catalog.apply(
            &acme(),
            span("2026-02-01", "2026-03-31"),
            Listing { meetings: vec![], failed, ..Listing::default() },
        );
        assert_eq!(shown(&catalog), ["february", "january"]);
    }

    #[test]
    fn what_the_filter_hides_is_counted_and_kept_but_not_shown_nor_asked_about() {
        let since = "2026-02-01".parse().unwrap();
        let catalog =
            filtered(CatalogDatabase::in_memory().unwrap(), Filter { since, ..Filter::none() });
        let meetings = vec![meeting("january", "2026-01-10"), meeting("february", "2026-02-10")];
        catalog.apply(
            &acme(),
            span("2026-01-01", "2026-03-31"),
            Listing { meetings, ..Listing::default() },
        );
        assert_eq!(shown(&catalog), ["february"]);
        let counts = catalog.counts(&acme());
        assert_eq!((counts.meetings, counts.hidden_meetings), (1, 1));
        assert!(catalog.questions(&acme()).is_empty());
    }

    #[test]
    fn what_was_listed_is_there_at_the_next_start() {
        let directory = tempfile::tempdir().unwrap();
        let all = span("2026-01-01", "2026-03-31");
        {
            let catalog = catalog_with(CatalogDatabase::open(directory.path()).unwrap());
            assert_eq!(catalog.earlier_listing(&acme()), None);
            let meetings = vec![meeting("a", "2026-01-10"), meeting("b", "2026-02-10")];
            catalog.apply(&acme(), all, Listing { meetings, ..Listing::default() });
            let meetings = vec![meeting("b", "2026-02-10"), meeting("c", "2026-03-10")];
            catalog.apply(&acme(), all, Listing { meetings, ..Listing::default() });
            catalog.record_full_listing(&acme(), "2026-03-31T00:00:00Z".parse().unwrap());
        }
        let catalog = catalog_with(CatalogDatabase::open(directory.path()).unwrap());
        assert_eq!(shown(&catalog), ["b", "c"]);
        assert_eq!(
            catalog.earlier_listing(&acme()),
            Some(Some("2026-03-31T00:00:00Z".parse().unwrap()))
        );
    }

    #[test]
    fn files_that_details_bring_join_those_of_the_listing_and_stay() {
        let directory = tempfile::tempdir().unwrap();
        let file = |key: &str, size| crate::model::RecordingFile {
            id: FileId { source: acme(), meeting: "a".into(), key: key.into() },
            version: Version(size),
            role: crate::model::Role::Other,
            stem: key.into(),
            extension: "bin".into(),
            body: crate::model::BodyKind::Opaque,
            declared_size: Some(size),
            recording_start: None,
            recording_end: None,
            availability: crate::model::Availability::Ready,
        };
        let listing = || {
            let mut listed = meeting("a", "2026-01-10");
            listed.files = vec![file("video", 1), file("both", 1)];
            Listing { meetings: vec![listed], ..Listing::default() }
        };
        let files = |catalog: &Catalog| {
            let files = catalog.contents()[0].meetings[0].meeting.files.clone();
            let mut files: Vec<_> = files
                .into_iter()
                .map(|file| (file.id.key.to_string(), file.declared_size))
                .collect();
            files.sort();
            files
        };
        let all = span("2026-01-01", "2026-03-31");
        let expected =
            [("audio", 2), ("both", 2), ("video", 1)].map(|(key, size)| (key.into(), Some(size)));
        {
            let catalog = catalog_with(CatalogDatabase::open(directory.path()).unwrap());
            catalog.apply(&acme(), all, listing());
            let details =
                Details { files: vec![file("audio", 2), file("both", 2)], ..Details::default() };
            catalog.record_details(&acme(), &"a".into(), Some(details));
            assert_eq!(files(&catalog), expected);
            let before = *catalog.changes().borrow();
            catalog.apply(&acme(), all, listing());
            assert_eq!(*catalog.changes().borrow(), before, "the same listing is no change");
        }
        let catalog = catalog_with(CatalogDatabase::open(directory.path()).unwrap());
        assert_eq!(files(&catalog), expected);
    }

    #[test]
    fn the_same_listing_again_changes_nothing() {
        let catalog = catalog();
        let all = span("2026-01-01", "2026-03-31");
        let listing =
            || Listing { meetings: vec![meeting("a", "2026-01-10")], ..Listing::default() };
        catalog.apply(&acme(), all, listing());
        let before = *catalog.changes().borrow();
        catalog.apply(&acme(), all, listing());
        assert_eq!(*catalog.changes().borrow(), before);
    }

    #[test]
    fn the_document_waits_for_the_details_and_never_lets_them_overwrite_the_listing() {
        let catalog = catalog();
        let mut listed = meeting("a", "2026-01-10");
        listed.metadata = [("topic".to_owned(), "listed".into())].into_iter().collect();
        let all = span("2026-01-01", "2026-03-31");
        catalog.apply(&acme(), all, Listing { meetings: vec![listed], ..Listing::default() });
        assert_eq!(catalog.contents()[0].meetings[0].document, None);
        let details =
            [("topic", "other"), ("dept", "sales")].map(|(k, v)| (k.to_string(), v.into()));
        let details = Details { metadata: details.into_iter().collect(), ..Details::default() };
        catalog.record_details(&acme(), &"a".into(), Some(details));
        let document = catalog.contents()[0].meetings[0].document.clone().unwrap();
        let value: Value = serde_json::from_slice(&document.text()).unwrap();
        assert_eq!(value, serde_json::json!({"topic": "listed", "dept": "sales"}));
    }
}
