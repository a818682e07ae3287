//! What a source contains beyond what the tree shows, in numbers.

use serde::{Deserialize, Serialize};

/// The numbers of meetings and files of a source that only the catalog knows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceCounts {
    /// Meetings that the filter hides.
    pub hidden_meetings: u64,
    /// Files of other meetings that the filter hides.
    pub hidden_files: u64,
    /// Meetings with visible files that were deleted upstream.
    pub kept_deleted: u64,
}
