//! A listed meeting in the catalog.

use std::sync::Arc;

use xxhash_rust::xxh3::Xxh3;

use crate::model::{Details, Document, Meeting, RecordingFile};

/// A listed meeting with what its details add.
#[derive(Debug)]
pub(super) struct CatalogEntry {
    pub(super) listed: Arc<Meeting>,
    /// `listed` with the files that the details add; the same value if they add none.
    pub(super) meeting: Arc<Meeting>,
    /// `None` until the details are known. A document that changed later would be copied twice by
    /// every backup.
    pub(super) document: Option<Arc<Document>>,
    /// Whether the listed files have changed since the details were requested, so the files of the
    /// details may be out of date. They do not say which listed file they are made of.
    pub(super) is_outdated: bool,
}

impl CatalogEntry {
    /// `details` is `None` if they are not known, and `Some(None)` if the provider has none.
    pub(super) fn new(listed: Arc<Meeting>, details: Option<&Option<Arc<Details>>>) -> Self {
        let mut meeting = listed.clone();
        for details in details.into_iter().flatten() {
            let source = details.derived_from.as_ref();
            let source =
                source.and_then(|key| listed.files.iter().find(|file| file.id.key == *key));
            for file in &details.files {
                let mut file = file.clone();
                if let Some(RecordingFile { version, recording_start, recording_end, .. }) = source
                {
                    file.version = *version;
                    (file.recording_start, file.recording_end) = (*recording_start, *recording_end);
                }
                let meeting = Arc::make_mut(&mut meeting);
                meeting.files.retain(|other| other.id != file.id);
                meeting.files.push(file);
            }
        }
        let document =
            details.map(|details| Arc::new(Document::new(listed.clone(), details.clone())));
        let is_outdated = details.and_then(Option::as_ref).is_some_and(|details| {
            let are_independent = !details.files.is_empty() && details.derived_from.is_none();
            are_independent && details.listing_hash != Some(listing_hash(&listed))
        });
        Self { listed, meeting, document, is_outdated }
    }
}

/// Releases the unused capacity of the list of files. In a large archive it is as large as the
/// files themselves.
pub(super) fn compact(mut meeting: Meeting) -> Arc<Meeting> {
    meeting.files.shrink_to_fit();
    Arc::new(meeting)
}

/// Returns a hash of the listed files and their versions that is stable across restarts.
pub(super) fn listing_hash(listed: &Meeting) -> u64 {
    let mut files: Vec<_> =
        listed.files.iter().map(|file| (file.id.key.as_str(), file.version.0)).collect();
    files.sort_unstable();
    let mut hash = Xxh3::new();
    for (key, version) in files {
        hash.update(&(key.len() as u64).to_le_bytes());
        hash.update(key.as_bytes());
        hash.update(&version.to_le_bytes());
    }
    hash.digest()
}
