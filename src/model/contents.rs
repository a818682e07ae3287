//! The contents that the tree shows: the input of the tree builder.

use std::collections::HashMap;
use std::sync::Arc;

use super::document::Document;
use super::ids::{FileKey, SourceName};
use super::meeting::Meeting;

/// The meetings of one source.
#[derive(Clone, Debug)]
pub struct SourceContents {
    pub name: SourceName,
    /// The held meetings, in no particular order.
    pub meetings: Vec<MeetingContents>,
    /// The meetings in the provider's recycle bin.
    pub trash: Vec<MeetingContents>,
    /// A suffix that is removed from the stem of a view, unless another view has the same stem
    /// without the suffix.
    pub redundant_view_suffix: Option<&'static str>,
}

/// One meeting with the measured facts about its files.
#[derive(Clone, Debug)]
pub struct MeetingContents {
    pub meeting: Arc<Meeting>,
    /// Measured lengths in bytes. They take precedence over declared ones.
    pub sizes: HashMap<FileKey, u64>,
    /// The content of `meeting.json`; `None` until it is complete.
    pub document: Option<Arc<Document>>,
}
