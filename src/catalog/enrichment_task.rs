//! The values that listings omit and that are requested in the background.

use std::sync::Arc;

use crate::model::{BodyKind, Details, FileId, MeetingId, Version};

/// A request for a value that listings omit. It runs in the background.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum EnrichmentTask {
    /// Requests the size of a file.
    Size(FileId, Version, BodyKind),
    /// Requests the details of a meeting.
    Details(MeetingId),
    /// Determines whether a file in the recycle bin can be downloaded.
    Probe(FileId, Version, BodyKind),
}

/// The stored data that a request for the details of a meeting depends on.
#[derive(Debug, Default)]
pub(super) struct DetailsRequest {
    pub(super) known_details: Option<Arc<Details>>,
    /// Whether the files in `known_details` are out of date.
    pub(super) is_outdated: bool,
    /// The hash of the listed files, as stored in [`Details::listing_hash`].
    pub(super) listing_hash: Option<u64>,
}
