//! The details of a meeting, which a provider does not include in its listing.

use serde::{Deserialize, Serialize};

use super::ids::FileKey;
use super::meeting_metadata::MeetingMetadata;
use super::recording_file::RecordingFile;
use super::shared_text::SharedText;

/// The reply of a provider to a request for one meeting.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Details {
    /// Fields that are added to `meeting.json`. They never contain a download URL or a token.
    #[serde(rename = "facts")]
    pub metadata: MeetingMetadata,
    /// Files that the listing omits. A file with the same key as a listed file replaces the listed
    /// file.
    #[serde(default)]
    pub files: Vec<RecordingFile>,
    /// The listed file from which `files` are derived, if there is one. The derived files change
    /// only when that file changes. Therefore the derived files get the version and the times of
    /// that file, and the details are not requested again.
    #[serde(default, rename = "made_of")]
    pub derived_from: Option<FileKey>,
    /// A hash of the files that were listed when the details were requested. If `files` are not
    /// derived from a listed file, the details are requested again when the listing changes.
    #[serde(default, rename = "listed")]
    pub listing_hash: Option<u64>,
    /// The participants as a CSV table with a header.
    #[serde(default)]
    pub participants: Option<SharedText>,
    /// Short descriptions of the parts that the provider did not return but may return later.
    #[serde(default, rename = "lacks")]
    pub missing_parts: Vec<String>,
}
