//! Tests of files that were deleted upstream.

use std::collections::HashSet;
use std::sync::Arc;

use super::fixtures::{acme, all_days, list, meeting, options};
use crate::catalog::{CachedFiles, Catalog, CatalogDatabase, SourceOptions};
use crate::model::{Availability, FileId, MeetingContents, Version};
use crate::providers::{Listing, ProviderError};
use crate::sync::Mutex;

/// A cache that contains the files with these keys.
#[derive(Debug, Default)]
struct CachedKeys(Mutex<HashSet<String>>);

impl CachedKeys {
    fn set(&self, keys: &[&str]) {
        *self.0.lock() = keys.iter().map(|key| (*key).to_owned()).collect();
    }
}

impl CachedFiles for CachedKeys {
    fn is_complete(&self, file: &FileId, _: Version, size: u64, validator: Option<&str>) -> bool {
        assert_eq!((size, validator), (7, None));
        self.0.lock().contains(file.key.as_str())
    }
}

fn catalog(database: CatalogDatabase, cache: &Arc<CachedKeys>) -> Arc<Catalog> {
    let options = SourceOptions { retention_cache: Some(cache.clone()), ..options() };
    super::fixtures::catalog(database, options)
}

/// Returns a line for each meeting: its id, the keys of its readable files, a slash, and the keys
/// of its hidden files.
fn visible_files(catalog: &Catalog) -> Vec<String> {
    let contents = catalog.contents();
    let describe_meeting = |contents: &MeetingContents| {
        let keys = |is_ready: bool| {
            let files = contents.meeting.files.iter();
            let files = files.filter(|file| (file.availability == Availability::Ready) == is_ready);
            let mut keys: Vec<_> = files.map(|file| file.id.key.as_str()).collect();
            keys.sort_unstable();
            keys.join("")
        };
        format!("{} {}/{}", contents.meeting.id, keys(true), keys(false))
    };
    let mut lines: Vec<_> = contents[0].meetings.iter().map(describe_meeting).collect();
    lines.sort();
    lines
}

#[test]
fn meeting_stays_while_a_file_is_cached() {
    let (cache, directory) = (Arc::<CachedKeys>::default(), tempfile::tempdir().unwrap());
    cache.set(&["a", "c"]);
    {
        let catalog = catalog(CatalogDatabase::open(directory.path()).unwrap(), &cache);
        list(&catalog, vec![meeting("m", &["a", "b"]), meeting("n", &["b"])]);
        list(&catalog, vec![]);
        assert_eq!(visible_files(&catalog), ["m a/b"]);
        assert_eq!(catalog.counts(&acme()).retained_meetings, 1);
        let revision = *catalog.changes().borrow();
        list(&catalog, vec![]);
        assert_eq!(*catalog.changes().borrow(), revision, "an equal listing is not a change");
    }
    // If the file is not cached at a restart, it is hidden, and the next listing removes it.
    cache.set(&[]);
    assert_eq!(
        visible_files(&catalog(CatalogDatabase::open(directory.path()).unwrap(), &cache)),
        ["m /ab"]
    );
    cache.set(&["a"]);
    let restarted_catalog = catalog(CatalogDatabase::open(directory.path()).unwrap(), &cache);
    assert_eq!(visible_files(&restarted_catalog), ["m a/b"]);
    cache.set(&[]);
    list(&restarted_catalog, vec![]);
    assert_eq!(visible_files(&restarted_catalog), Vec::<String>::new());
    drop(restarted_catalog);
    cache.set(&["a"]);
    let catalog_after_removal = catalog(CatalogDatabase::open(directory.path()).unwrap(), &cache);
    assert_eq!(
        visible_files(&catalog_after_removal),
        Vec::<String>::new(),
        "a removed meeting does not reappear"
    );
}

#[test]
fn successively_deleted_files_are_retained_together() {
    let cache = Arc::<CachedKeys>::default();
    cache.set(&["a", "b", "c"]);
    let catalog = catalog(CatalogDatabase::in_memory().unwrap(), &cache);
    list(&catalog, vec![meeting("m", &["a", "b", "c", "d"])]);
    list(&catalog, vec![meeting("m", &["b", "c", "d"])]);
    assert_eq!(visible_files(&catalog), ["m abcd/"]);
    list(&catalog, vec![meeting("m", &["c", "d"])]);
    assert_eq!(visible_files(&catalog), ["m abcd/"]);
    list(&catalog, vec![]);
    assert_eq!(visible_files(&catalog), ["m abc/d"]);
    list(&catalog, vec![meeting("m", &["a", "b", "c"])]);
    assert_eq!(visible_files(&catalog), ["m abc/"]);
    assert_eq!(catalog.counts(&acme()).retained_meetings, 0);
}

#[test]
fn failed_listing_does_not_delete_files() {
    let cache = Arc::<CachedKeys>::default();
    cache.set(&["a"]);
    let catalog = catalog(CatalogDatabase::in_memory().unwrap(), &cache);
    list(&catalog, vec![meeting("m", &["a", "b"])]);
    let failed_days = vec![(all_days(), ProviderError::unavailable("down"))];
    catalog.apply(
        &acme(),
        all_days(),
        Listing { meetings: vec![], failed: failed_days, ..Listing::default() },
    );
    assert_eq!(visible_files(&catalog), ["m ab/"]);
    assert_eq!(catalog.counts(&acme()).retained_meetings, 0);
}
