//! The catalog in memory: every source's meetings with what was learned about them.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use bytes::Bytes;
use jiff::tz::TimeZone;
use parking_lot::Mutex;
use tokio::sync::watch;

use super::FactStore;
use crate::model::{
    Availability, DaySpan, Details, FileId, FileKey, Meeting, MeetingId, MeetingView, SourceName, SourceView,
    Version,
};
use crate::providers::Listing;

/// All sources. Every change raises the number in [`changes`](Self::changes).
#[derive(Debug)]
pub struct Catalog {
    sources: Mutex<HashMap<SourceName, Source>>,
    changed: watch::Sender<u64>,
    facts: Arc<FactStore>,
}

#[derive(Debug, Default)]
struct Source {
    meetings: HashMap<MeetingId, Entry>,
    /// Learned sizes, also of meetings not listed yet.
    sizes: HashMap<(MeetingId, FileKey), (Version, u64)>,
    details: HashMap<MeetingId, Option<Details>>,
    /// Under which validators files were served.
    validators: HashMap<(MeetingId, FileKey), (Version, String)>,
}

#[derive(Debug)]
struct Entry {
    listed: Meeting,
    /// As listed, with the files that its details add.
    meeting: Arc<Meeting>,
    document: Option<Bytes>,
}

impl Entry {
    fn new(listed: Meeting, details: Option<&Option<Details>>) -> Self {
        let mut meeting = listed.clone();
        for file in details.into_iter().flatten().flat_map(|details| &details.files) {
            meeting.files.retain(|known| known.id != file.id);
            meeting.files.push(file.clone());
        }
        let document = document(&listed, details);
        Self { listed, meeting: Arc::new(meeting), document }
    }
}

/// Something the background has to find out, newest meeting first.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Question {
    /// How long is this file?
    Size(FileId, Version, crate::model::BodyKind),
    /// What else is known of this meeting?
    Details(MeetingId),
}

impl Catalog {
    /// A catalog of sources without meetings, with what was learned in earlier runs.
    pub fn new(sources: impl IntoIterator<Item = SourceName>, facts: Arc<FactStore>) -> Arc<Self> {
        let sources = sources.into_iter().map(|name| {
            let mut source = Source::default();
            match facts.load(&name) {
                Ok((sizes, details)) => {
                    source.sizes = sizes
                        .into_iter()
                        .map(|fact| ((fact.meeting, fact.file), (fact.version, fact.size)))
                        .collect();
                    source.details = details.into_iter().collect();
                }
                Err(error) => tracing::warn!("what was learned of {name} cannot be read: {error}"),
            }
            match facts.validators(&name) {
                Ok(validators) => source.validators = validators.into_iter().collect(),
                Err(error) => tracing::warn!("what was learned of {name} cannot be read: {error}"),
            }
            (name, source)
        });
        Arc::new(Self { sources: Mutex::new(sources.collect()), changed: watch::Sender::new(0), facts })
    }

    /// Changes whenever the views do.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    fn touch(&self) {
        self.changed.send_modify(|count| *count += 1);
    }

    /// Takes over a listing of the days of `span`. Meetings of those days that it does not show are gone, but
    /// not those of days that could not be listed whole.
    pub fn apply(&self, name: &SourceName, span: DaySpan, listing: Listing) {
        let mut sources = self.sources.lock();
        let Some(source) = sources.get_mut(name) else { return };
        let mut changed = false;
        let seen: HashSet<_> = listing.meetings.iter().map(|meeting| meeting.id.clone()).collect();
        let listed_whole = |meeting: &Meeting| {
            let day = TimeZone::UTC.to_datetime(meeting.start).date();
            span.contains(day) && !listing.failed.iter().any(|(failed, _)| failed.contains(day))
        };
        source.meetings.retain(|id, entry| {
            let stays = seen.contains(id) || !listed_whole(&entry.meeting);
            changed |= !stays;
            stays
        });
        for meeting in listing.meetings {
            if source.meetings.get(&meeting.id).is_some_and(|known| known.listed == meeting) {
                continue;
            }
            let id = meeting.id.clone();
            let entry = Entry::new(meeting, source.details.get(&id));
            source.meetings.insert(id, entry);
            changed = true;
        }
        drop(sources);
        if changed {
            self.touch();
        }
    }

    /// Takes over a file's true size, and keeps it.
    pub fn learn_size(&self, id: &FileId, version: Version, size: u64) {
        let mut sources = self.sources.lock();
        let Some(source) = sources.get_mut(&id.source) else { return };
        let place = (id.meeting.clone(), id.key.clone());
        let changed = source.sizes.insert(place, (version, size)) != Some((version, size));
        drop(sources);
        if changed {
            // The tree first: somebody may be waiting for it in an `open`.
            self.touch();
            self.facts.keep_size(id, version, size);
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
    pub fn learn_validator(&self, id: &FileId, version: Version, validator: &str) {
        let mut sources = self.sources.lock();
        let Some(source) = sources.get_mut(&id.source) else { return };
        let place = (id.meeting.clone(), id.key.clone());
        let fact = (version, validator.to_owned());
        let changed = source.validators.insert(place, fact.clone()) != Some(fact);
        drop(sources);
        if changed {
            self.facts.keep_validator(id, version, validator);
        }
    }

    /// Takes over what else is known of a meeting, and keeps it.
    pub fn learn_details(&self, name: &SourceName, id: &MeetingId, details: Option<Details>) {
        self.facts.keep_details(name, id, details.as_ref());
        let mut sources = self.sources.lock();
        let Some(source) = sources.get_mut(name) else { return };
        if let Some(entry) = source.meetings.get_mut(id) {
            *entry = Entry::new(entry.listed.clone(), Some(&details));
        }
        source.details.insert(id.clone(), details);
        drop(sources);
        self.touch();
    }

    /// What is still to be found out about a source, newest meeting first, sizes before details.
    pub fn questions(&self, name: &SourceName) -> Vec<Question> {
        let sources = self.sources.lock();
        let Some(source) = sources.get(name) else { return Vec::new() };
        let mut meetings: Vec<_> = source.meetings.values().map(|entry| &entry.meeting).collect();
        meetings.sort_by(|a, b| (b.start, &b.id).cmp(&(a.start, &a.id)));
        let sizes = meetings.iter().flat_map(|meeting| &meeting.files).filter_map(|file| {
            let known = source.sizes.get(&(file.id.meeting.clone(), file.id.key.clone()));
            let unknown = file.availability == Availability::Ready
                && file.declared_size.is_none()
                && known.is_none_or(|(version, _)| *version != file.version);
            unknown.then(|| Question::Size(file.id.clone(), file.version, file.body))
        });
        let details = meetings
            .iter()
            .filter(|meeting| !meeting.files.is_empty() && !source.details.contains_key(&meeting.id))
            .map(|meeting| Question::Details(meeting.id.clone()));
        sizes.chain(details).collect()
    }

    /// The newest state, for the tree.
    pub fn views(&self) -> Vec<SourceView> {
        let sources = self.sources.lock();
        let mut views: Vec<_> = sources
            .iter()
            .map(|(name, source)| SourceView {
                name: name.clone(),
                meetings: source.meetings.values().map(|entry| source.view(entry)).collect(),
            })
            .collect();
        views.sort_by(|a, b| a.name.cmp(&b.name));
        views
    }
}

impl Source {
    fn view(&self, entry: &Entry) -> MeetingView {
        let meeting = &entry.meeting;
        let sizes = meeting.files.iter().filter_map(|file| {
            let (version, size) = self.sizes.get(&(meeting.id.clone(), file.id.key.clone()))?;
            (*version == file.version).then(|| (file.id.key.clone(), *size))
        });
        MeetingView { meeting: meeting.clone(), sizes: sizes.collect(), document: entry.document.clone() }
    }
}

/// The bytes of `meeting.json`: the listing's facts, then the details that add to them. `None` while it is not
/// known whether there are details, for a document that changed later would be copied twice by every backup.
fn document(meeting: &Meeting, details: Option<&Option<Details>>) -> Option<Bytes> {
    let mut document = meeting.facts.clone();
    for (key, value) in details?.iter().flat_map(|details| &details.facts) {
        if !document.contains_key(key) {
            document.insert(key.clone(), value.clone());
        }
    }
    let mut text = serde_json::to_vec_pretty(&document).ok()?;
    text.push(b'\n');
    Some(text.into())
}

#[cfg(test)]
mod tests {
    use serde_json::{Map, Value};

    use super::*;
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
            files: Vec::new(),
            facts: Map::new(),
        }
    }

    fn span(from: &str, to: &str) -> DaySpan {
        DaySpan { from: from.parse().unwrap(), to: to.parse().unwrap() }
    }

    fn shown(catalog: &Catalog) -> Vec<String> {
        let mut ids: Vec<_> =
            catalog.views()[0].meetings.iter().map(|view| view.meeting.id.to_string()).collect();
        ids.sort();
        ids
    }

    fn catalog() -> Arc<Catalog> {
        Catalog::new([acme()], Arc::new(FactStore::in_memory().unwrap()))
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
        catalog.apply(&acme(), all, Listing { meetings, failed: vec![] });
        let failed = vec![(span("2026-02-01", "2026-02-28"), ProviderError::Unavailable("down".into()))];
        catalog.apply(&acme(), span("2026-02-01", "2026-03-31"), Listing { meetings: vec![], failed });
        assert_eq!(shown(&catalog), ["february", "january"]);
    }

    #[test]
    fn the_same_listing_again_changes_nothing() {
        let catalog = catalog();
        let all = span("2026-01-01", "2026-03-31");
        let listing = || Listing { meetings: vec![meeting("a", "2026-01-10")], failed: vec![] };
        catalog.apply(&acme(), all, listing());
        let before = *catalog.changes().borrow();
        catalog.apply(&acme(), all, listing());
        assert_eq!(*catalog.changes().borrow(), before);
    }

    #[test]
    fn the_document_waits_for_the_details_and_never_lets_them_overwrite_the_listing() {
        let catalog = catalog();
        let mut listed = meeting("a", "2026-01-10");
        listed.facts.insert("topic".into(), "listed".into());
        let all = span("2026-01-01", "2026-03-31");
        catalog.apply(&acme(), all, Listing { meetings: vec![listed], failed: vec![] });
        assert_eq!(catalog.views()[0].meetings[0].document, None);
        let details = [("topic", "other"), ("dept", "sales")].map(|(k, v)| (k.to_string(), v.into()));
        let details = Details { facts: details.into_iter().collect(), files: Vec::new() };
        catalog.learn_details(&acme(), &"a".into(), Some(details));
        let document = catalog.views()[0].meetings[0].document.clone().unwrap();
        let value: Value = serde_json::from_slice(&document).unwrap();
        assert_eq!(value, serde_json::json!({"topic": "listed", "dept": "sales"}));
    }
}
