//! Counts what a snapshot shows of one source.

use serde::{Deserialize, Serialize};

/// The numbers of meetings and files of a source. Numbers that an earlier version of meetfs does
/// not report are zero.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct SourceTotals {
    /// Meetings with a directory, outside the recycle bin.
    pub meetings: u64,
    /// Recording files in these directories that can be read. A file with two names counts once.
    pub files: u64,
    /// The sum of the lengths of `files`, in bytes.
    pub bytes: u64,
    /// Files with a note in their place.
    pub unavailable_files: u64,
    /// Meetings without a directory, because the provider has not finished any of their files.
    pub processing_meetings: u64,
    /// Files of other meetings that are hidden until they are finished and their length is known.
    pub processing_files: u64,
    /// Meetings without a directory, because nothing was recorded.
    pub empty_meetings: u64,
    /// Meetings with a directory in the recycle bin.
    pub in_trash: u64,
}
