//! The numbers of meetings and files of one source in a snapshot.

use serde::{Deserialize, Serialize};

/// The numbers of meetings and files of one source in a snapshot. A number is zero if an earlier
/// version of meetfs did not report it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct SourceTotals {
    /// The number of meetings that have a directory outside the recycle bin.
    pub meetings: u64,
    /// The number of recording files in these directories that can be read. A file with two names
    /// counts once.
    pub files: u64,
    /// The sum of the lengths of `files`, in bytes.
    pub bytes: u64,
    /// The number of files in whose place a note is shown.
    pub unavailable_files: u64,
    /// The number of meetings that have no directory because the provider has not finished any of
    /// their files.
    pub processing_meetings: u64,
    /// The number of hidden files in meetings that have a directory. A file is hidden until it is
    /// finished and its length is known.
    pub processing_files: u64,
    /// The number of meetings that have no directory because nothing was recorded.
    pub empty_meetings: u64,
    /// The number of meetings that have a directory in the recycle bin.
    #[serde(rename = "in_trash")]
    pub trashed_meetings: u64,
}
