//! A listed meeting in the catalog.

use std::sync::Arc;

use xxhash_rust::xxh3::Xxh3;

use crate::model::{Details, Document, Meeting, RecordingFile};

/// A listed meeting together with the files and the metadata that its details add.
#[derive(Debug)]
pub(super) struct CatalogEntry {
    pub(super) listed_meeting: Arc<Meeting>,
    /// The listed meeting with the files of its details added. Shares the `Arc` of `listed_meeting`
    /// if the details add no files.
    pub(super) meeting: Arc<Meeting>,
    /// The metadata document of the meeting, or `None` until the details are known. If the document
    /// were shown earlier, it would change, and every backup would copy it twice.
    pub(super) document: Option<Arc<Document>>,
    /// Whether the listed files have changed since the details were requested. The files that the
    /// details add may then be out of date, because it is unknown which listed files they were
    /// derived from.
    pub(super) is_outdated: bool,
}

impl CatalogEntry {
    /// Creates an entry. `details` is `None` if the details are not known, and `Some(None)` if the
    /// provider has no details.
    pub(super) fn new(
        listed_meeting: Arc<Meeting>,
        details: Option<&Option<Arc<Details>>>,
    ) -> Self {
        let mut meeting = listed_meeting.clone();
        for details in details.into_iter().flatten() {
            let original_file = details
                .derived_from
                .as_ref()
                .and_then(|key| listed_meeting.files.iter().find(|file| file.id.key == *key));
            for file in &details.files {
                let mut file = file.clone();
                if let Some(RecordingFile { version, recording_start, recording_end, .. }) =
                    original_file
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
            details.map(|details| Arc::new(Document::new(listed_meeting.clone(), details.clone())));
        let is_outdated = details.and_then(Option::as_ref).is_some_and(|details| {
            let has_independent_files = !details.files.is_empty() && details.derived_from.is_none();
            has_independent_files && details.listing_hash != Some(listing_hash(&listed_meeting))
        });
        Self { listed_meeting, meeting, document, is_outdated }
    }
}

/// Frees the unused capacity of the list of files. In a large archive, the unused capacity takes as
/// much memory as the files.
pub(super) fn shrink_files_to_fit(mut meeting: Meeting) -> Arc<Meeting> {
    meeting.files.shrink_to_fit();
    Arc::new(meeting)
}

/// Returns a hash of the listed files and their versions. The hash is the same after a restart.
pub(super) fn listing_hash(listed_meeting: &Meeting) -> u64 {
    let mut files: Vec<_> =
        listed_meeting.files.iter().map(|file| (file.id.key.as_str(), file.version.0)).collect();
    files.sort_unstable();
    let mut hasher = Xxh3::new();
    for (key, version) in files {
        hasher.update(&(key.len() as u64).to_le_bytes());
        hasher.update(key.as_bytes());
        hasher.update(&version.to_le_bytes());
    }
    hasher.digest()
}
