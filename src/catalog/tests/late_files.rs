//! Tests of transcripts that are created after the details of their meeting were requested.

use std::sync::Arc;

use jiff::Timestamp;

use super::fixtures::{acme, all_days, meeting, options};
use crate::catalog::{Catalog, CatalogDatabase, Filter, RecordingKind, SourceOptions};
use crate::model::{Details, Meeting, RecordingFile, Role, Version};
use crate::providers::LateFiles;

fn file(key: &str, role: Role, version: u64) -> RecordingFile {
    let file = super::fixtures::file("m", key);
    RecordingFile { version: Version(version), role, declared_size: None, ..file }
}

fn catalog(database: CatalogDatabase, kinds: Option<Vec<RecordingKind>>) -> Arc<Catalog> {
    let filter = Filter { kinds, ..Filter::show_all() };
    super::fixtures::catalog(database, SourceOptions { filter, ..options() })
}

/// Applies a listing of one meeting whose video has this version.
fn list(catalog: &Catalog, version: u64) {
    let files = vec![file("video", Role::View, version)];
    super::fixtures::list(catalog, vec![Meeting { files, ..meeting("m", &[]) }]);
}

fn late_transcript(key: &str) -> LateFiles {
    let files = vec![file(key, Role::Transcript, 1)];
    LateFiles { files, derived_from: Some("video".into()), failed: None }
}

fn file_versions(catalog: &Catalog) -> Vec<(String, Version)> {
    let files = catalog.contents()[0].meetings[0].meeting.files.clone();
    files.into_iter().map(|file| (file.id.key.to_string(), file.version)).collect()
}

#[test]
fn late_file_is_added_to_details_once() {
    let directory = tempfile::tempdir().unwrap();
    let expected = [("video".to_owned(), Version(1)), ("first".to_owned(), Version(1))];
    {
        let catalog = catalog(CatalogDatabase::open(directory.path()).unwrap(), None);
        list(&catalog, 1);
        // The details have not been requested yet, and will contain the transcript.
        assert!(catalog.meetings_without_transcript(&acme(), all_days()).is_empty());
        catalog.record_late_files(&acme(), late_transcript("early"));
        catalog.record_details(&acme(), &"m".into(), None);
        assert_eq!(catalog.meetings_without_transcript(&acme(), all_days()).len(), 1);
        catalog.record_late_files(&acme(), late_transcript("first"));
        catalog.record_late_files(&acme(), late_transcript("second"));
        assert_eq!(file_versions(&catalog), expected);
        assert!(catalog.meetings_without_transcript(&acme(), all_days()).is_empty());
    }
    let catalog = catalog(CatalogDatabase::open(directory.path()).unwrap(), None);
    assert_eq!(file_versions(&catalog), expected);
}

#[test]
fn derived_file_has_version_of_its_origin() {
    let catalog = catalog(CatalogDatabase::in_memory().unwrap(), None);
    list(&catalog, 1);
    let mut details = Details { files: vec![file("sound", Role::Audio, 1)], ..Details::default() };
    catalog.record_details(&acme(), &"m".into(), Some(details.clone()));
    list(&catalog, 2);
    assert_eq!(
        file_versions(&catalog)[1],
        ("sound".to_owned(), Version(1)),
        "the sound is not derived from the video"
    );
    details.derived_from = Some("video".into());
    catalog.record_details(&acme(), &"m".into(), Some(details));
    assert_eq!(file_versions(&catalog)[1], ("sound".to_owned(), Version(2)));
    list(&catalog, 3);
    assert_eq!(file_versions(&catalog)[1], ("sound".to_owned(), Version(3)));
}

#[test]
fn independent_files_are_requested_again_after_changes() {
    let directory = tempfile::tempdir().unwrap();
    let open_catalog = || {
        catalog(CatalogDatabase::open(directory.path()).unwrap(), Some(vec![RecordingKind::Audio]))
    };
    let is_requested =
        |catalog: &Catalog| !catalog.enrichment_tasks(&acme(), Timestamp::now()).is_empty();
    let record = |catalog: &Catalog, derived_from: Option<&str>, listing_hash| {
        let files = vec![RecordingFile { declared_size: Some(7), ..file("sound", Role::Audio, 1) }];
        let derived_from = derived_from.map(Into::into);
        let details = Details { files, derived_from, listing_hash, ..Details::default() };
        catalog.record_details(&acme(), &"m".into(), Some(details));
    };
    {
        let catalog = open_catalog();
        list(&catalog, 1);
        let request = catalog.details_request(&acme(), &"m".into());
        assert!(
            request.listing_hash.is_some()
                && request.known_details.is_none()
                && !request.is_outdated
        );
        record(&catalog, None, request.listing_hash);
        assert!(!is_requested(&catalog));
        list(&catalog, 2);
    }
    let catalog = open_catalog();
    assert!(is_requested(&catalog) && catalog.details_request(&acme(), &"m".into()).is_outdated);
    record(&catalog, None, catalog.details_request(&acme(), &"m".into()).listing_hash);
    assert!(!is_requested(&catalog));
    // Earlier versions stored no hash of the listing.
    record(&catalog, None, None);
    assert!(is_requested(&catalog));
    record(&catalog, Some("video"), None);
    assert!(!is_requested(&catalog), "a derived file is not requested again");
    record(&catalog, None, catalog.details_request(&acme(), &"m".into()).listing_hash);
    list(&catalog, 2);
    assert!(!is_requested(&catalog));
}

#[test]
fn hidden_transcripts_are_not_requested() {
    let catalog = catalog(CatalogDatabase::in_memory().unwrap(), Some(vec![RecordingKind::Video]));
    list(&catalog, 1);
    catalog.record_details(&acme(), &"m".into(), None);
    assert!(catalog.meetings_without_transcript(&acme(), all_days()).is_empty());
}
