//! Transcripts that are made after a meeting's details were asked for.
//!
//! Details are asked for once. What is late is added to them as if it had been there by then, so it stays as they do; a
//! meeting that has a transcript is looked at no more, for a second one could move the name of the first.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::tz::TimeZone;

use super::source::Entry;
use super::store::Catalog;
use crate::model::{DaySpan, Meeting, RecordingFile, Role, SourceName};
use crate::providers::LateFiles;

impl Catalog {
    /// The meetings on the days of `span` whose details are known and that have no transcript, newest first; none where
    /// transcripts are hidden.
    pub fn without_transcript(&self, name: &SourceName, span: DaySpan) -> Vec<Arc<Meeting>> {
        let sources = self.sources.lock();
        let Some(source) = sources.get(name).filter(|source| source.filter.shows_transcripts())
        else {
            return Vec::new();
        };
        let wanting = source.shown().map(|entry| &entry.meeting).filter(|meeting| {
            let day = TimeZone::UTC.to_datetime(meeting.start).date();
            span.contains(day)
                && source.details.contains_key(&meeting.id)
                && !has_transcript(meeting)
        });
        let mut wanting: Vec<_> = wanting.cloned().collect();
        wanting.sort_by(|a, b| (b.start, &b.id).cmp(&(a.start, &a.id)));
        wanting
    }

    /// Takes over files that were made late, and keeps them with the details of their meetings.
    pub fn record_late_files(&self, name: &SourceName, late: LateFiles) {
        let LateFiles { files, derived_from, .. } = late;
        let mut learned = Vec::new();
        let mut sources = self.sources.lock();
        let Some(source) = sources.get_mut(name) else { return };
        let mut by_meeting = BTreeMap::<_, Vec<RecordingFile>>::new();
        for file in files {
            by_meeting.entry(file.id.meeting.clone()).or_default().push(file);
        }
        for (id, files) in by_meeting {
            let (Some(entry), Some(known)) =
                (source.meetings.get_mut(&id), source.details.get(&id))
            else {
                continue;
            };
            if has_transcript(&entry.meeting) {
                continue;
            }
            let mut details = known.as_deref().cloned().unwrap_or_default();
            details.files.extend(files);
            details.derived_from = details.derived_from.or_else(|| derived_from.clone());
            let details = Some(Arc::new(details));
            *entry = Entry::new(entry.listed.clone(), Some(&details));
            source.details.insert(id.clone(), details.clone());
            learned.push((id, details));
        }
        drop(sources);
        if learned.is_empty() {
            return;
        }
        self.touch();
        for (id, details) in learned {
            self.database.keep_details(name, &id, details.as_deref());
        }
    }
}

/// Whether nothing is looked for any more.
fn has_transcript(meeting: &Meeting) -> bool {
    meeting.files.iter().any(|file| matches!(file.role, Role::Transcript | Role::Captions))
}

#[cfg(test)]
mod tests {
    use super::super::{CatalogDatabase, Filter, ListingScope, RecordingKind, SourceOptions};
    use super::*;
    use crate::model::{Availability, BodyKind, Details, FileId, MeetingMetadata, Version};
    use crate::providers::Listing;

    fn acme() -> SourceName {
        SourceName::new("acme").unwrap()
    }

    fn file(key: &str, role: Role, version: u64) -> RecordingFile {
        RecordingFile {
            id: FileId { source: acme(), meeting: "m".into(), key: key.into() },
            version: Version(version),
            role,
            stem: key.into(),
            extension: "bin".into(),
            body: BodyKind::Opaque,
            declared_size: None,
            recording_start: None,
            recording_end: None,
            availability: Availability::Ready,
        }
    }

    fn ever() -> DaySpan {
        DaySpan { from: jiff::civil::Date::MIN, to: jiff::civil::Date::MAX }
    }

    fn catalog(database: CatalogDatabase, kinds: Option<Vec<RecordingKind>>) -> Arc<Catalog> {
        let options = SourceOptions {
            name: acme(),
            scope: ListingScope::of(["mine"]),
            filter: Filter { kinds, ..Filter::none() },
            redundant_view_suffix: None,
            recycle_bin: None,
            keep_deleted: None,
        };
        Catalog::new([options], Arc::new(database))
    }

    /// Lists the one meeting, whose video has that version.
    fn list(catalog: &Catalog, version: u64) {
        let start = jiff::Timestamp::from_second(1_790_000_000).unwrap();
        let meeting = Meeting {
            source: acme(),
            id: "m".into(),
            topic: "t".into(),
            start,
            end: start,
            expires: None,
            files: vec![file("video", Role::View, version)],
            metadata: MeetingMetadata::default(),
        };
        catalog.apply(&acme(), ever(), Listing { meetings: vec![meeting], ..Listing::default() });
    }

    fn late(key: &str) -> LateFiles {
        let files = vec![file(key, Role::Transcript, 1)];
        LateFiles { files, derived_from: Some("video".into()), failed: None }
    }

    fn shown(catalog: &Catalog) -> Vec<(String, Version)> {
        let files = catalog.contents()[0].meetings[0].meeting.files.clone();
        files.into_iter().map(|file| (file.id.key.to_string(), file.version)).collect()
    }

    #[test]
    fn what_is_late_joins_the_details_once_and_outlives_a_restart() {
        let directory = tempfile::tempdir().unwrap();
        let expected = [("video".to_owned(), Version(1)), ("first".to_owned(), Version(1))];
        {
            let catalog = catalog(CatalogDatabase::open(directory.path()).unwrap(), None);
            list(&catalog, 1);
            // While the details are still asked for, they say it themselves.
            assert!(catalog.without_transcript(&acme(), ever()).is_empty());
            catalog.record_late_files(&acme(), late("early"));
            catalog.record_details(&acme(), &"m".into(), None);
            assert_eq!(catalog.without_transcript(&acme(), ever()).len(), 1);
            catalog.record_late_files(&acme(), late("first"));
            catalog.record_late_files(&acme(), late("second"));
            assert_eq!(shown(&catalog), expected);
            assert!(catalog.without_transcript(&acme(), ever()).is_empty());
        }
        let catalog = catalog(CatalogDatabase::open(directory.path()).unwrap(), None);
        assert_eq!(shown(&catalog), expected);
    }

    #[test]
    fn what_is_made_of_a_file_changes_with_it() {
        let catalog = catalog(CatalogDatabase::in_memory().unwrap(), None);
        list(&catalog, 1);
        let mut details =
            Details { files: vec![file("sound", Role::Audio, 1)], ..Details::default() };
        catalog.record_details(&acme(), &"m".into(), Some(details.clone()));
        list(&catalog, 2);
        assert_eq!(shown(&catalog)[1], ("sound".to_owned(), Version(1)), "it stands by itself");
        details.derived_from = Some("video".into());
        catalog.record_details(&acme(), &"m".into(), Some(details));
        assert_eq!(shown(&catalog)[1], ("sound".to_owned(), Version(2)));
        list(&catalog, 3);
        assert_eq!(shown(&catalog)[1], ("sound".to_owned(), Version(3)));
    }

    #[test]
    fn what_stands_by_itself_is_asked_about_again_when_other_files_are_listed_also_in_a_later_run()
    {
        let directory = tempfile::tempdir().unwrap();
        let open = || {
            catalog(
                CatalogDatabase::open(directory.path()).unwrap(),
                Some(vec![RecordingKind::Audio]),
            )
        };
        let is_asked = |catalog: &Catalog| !catalog.questions(&acme()).is_empty();
        let learn = |catalog: &Catalog, derived_from: Option<&str>, listed| {
            let files =
                vec![RecordingFile { declared_size: Some(7), ..file("sound", Role::Audio, 1) }];
            let derived_from = derived_from.map(Into::into);
            let details =
                Details { files, derived_from, listing_hash: listed, ..Details::default() };
            catalog.record_details(&acme(), &"m".into(), Some(details));
        };
        {
            let catalog = open();
            list(&catalog, 1);
            let told = catalog.told(&acme(), &"m".into());
            assert!(told.listed.is_some() && told.known.is_none() && !told.is_outdated);
            learn(&catalog, None, told.listed);
            assert!(!is_asked(&catalog));
            list(&catalog, 2);
        }
        let catalog = open();
        assert!(is_asked(&catalog) && catalog.told(&acme(), &"m".into()).is_outdated);
        learn(&catalog, None, catalog.told(&acme(), &"m".into()).listed);
        assert!(!is_asked(&catalog));
        // What an earlier meetfs has noted says nothing of when.
        learn(&catalog, None, None);
        assert!(is_asked(&catalog));
        learn(&catalog, Some("video"), None);
        assert!(!is_asked(&catalog), "it changes with the video");
        learn(&catalog, None, catalog.told(&acme(), &"m".into()).listed);
        list(&catalog, 2);
        assert!(!is_asked(&catalog));
    }

    #[test]
    fn nothing_is_looked_for_where_it_would_be_hidden() {
        let catalog =
            catalog(CatalogDatabase::in_memory().unwrap(), Some(vec![RecordingKind::Video]));
        list(&catalog, 1);
        catalog.record_details(&acme(), &"m".into(), None);
        assert!(catalog.without_transcript(&acme(), ever()).is_empty());
    }
}
