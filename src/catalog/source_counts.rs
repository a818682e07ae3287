//! Counts of hidden and deleted meetings.

use serde::{Deserialize, Serialize};

/// The numbers of meetings and files of a source that are hidden or were deleted upstream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceCounts {
    /// The number of meetings that the filter hides.
    pub hidden_meetings: u64,
    /// The number of files that the filter hides in meetings that it shows.
    pub hidden_files: u64,
    /// The number of shown meetings with files that were deleted upstream and are still cached.
    #[serde(rename = "kept_deleted")]
    pub retained_meetings: u64,
}
