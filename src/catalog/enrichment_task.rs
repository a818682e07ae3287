//! What listings omit and the background learns.

use std::sync::Arc;

use crate::model::{BodyKind, Details, FileId, MeetingId, Version};

/// One value to learn in the background.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum EnrichmentTask {
    /// The length of a file.
    Size(FileId, Version, BodyKind),
    /// The details of a meeting.
    Details(MeetingId),
    /// Whether a file in the recycle bin can be downloaded.
    Probe(FileId, Version, BodyKind),
}

/// What is known of a meeting when its details are requested.
#[derive(Debug, Default)]
pub(super) struct DetailsRequest {
    pub(super) known: Option<Arc<Details>>,
    /// Whether the files of `known` may have changed.
    pub(super) is_outdated: bool,
    /// As in [`Details::listing_hash`].
    pub(super) listing_hash: Option<u64>,
}
