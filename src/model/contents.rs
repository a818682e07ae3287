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
    /// The meetings that are not in the recycle bin, in no particular order.
    pub meetings: Vec<MeetingContents>,
    /// The meetings in the provider's recycle bin.
    pub trash: Vec<MeetingContents>,
    /// A suffix that is removed from the file name stem of a view, unless another view of the
    /// meeting has the same stem without the suffix.
    pub redundant_view_suffix: Option<&'static str>,
}

/// A meeting with its `meeting.json` and the measured sizes of its files.
#[derive(Clone, Debug)]
pub struct MeetingContents {
    pub meeting: Arc<Meeting>,
    /// The measured lengths of files in bytes. They take precedence over the lengths in the
    /// listing.
    pub sizes: HashMap<FileKey, u64>,
    /// The content of `meeting.json`, or `None` until it is complete.
    pub document: Option<Arc<Document>>,
}
