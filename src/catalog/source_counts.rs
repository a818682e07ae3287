//! What a source contains in numbers.

use serde::{Deserialize, Serialize};

/// The number of meetings and files of a source.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceCounts {
    /// Visible meetings.
    pub meetings: u64,
    /// Readable recording files of known length. The others are not visible yet.
    pub files: u64,
    /// The sum of the lengths of `files`.
    pub bytes: u64,
    /// Meetings that the filter hides.
    pub hidden_meetings: u64,
    /// Files of visible meetings that the filter hides.
    pub hidden_files: u64,
    /// Meetings with visible files that were deleted upstream.
    pub kept_deleted: u64,
    /// Visible meetings in the recycle bin.
    pub in_trash: u64,
}
