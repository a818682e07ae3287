//! The progress of a source's listing.

use jiff::Timestamp;

use crate::model::DaySpan;
use crate::providers::ProviderError;

/// The state of the listing of a source.
#[derive(Clone, Debug, Default)]
pub struct RefreshState {
    /// Whether a request is in progress.
    pub is_running: bool,
    /// Whether a listing has ended, successfully or not. Late files and the recycle bin may still
    /// be requested.
    pub is_first_listing_done: bool,
    /// The number of refreshes since the start, successful or not.
    pub completed_refreshes: u64,
    /// When some days were listed last.
    pub listed_at: Option<Timestamp>,
    /// When all days were listed last, in this run or an earlier one.
    pub fully_listed_at: Option<Timestamp>,
    /// The time and reason if the last listing failed.
    pub last_failure: Option<(Timestamp, ProviderError)>,
    /// Days that could not be listed, and why. Their known meetings are shown unchanged.
    pub incomplete_days: Vec<(DaySpan, ProviderError)>,
    /// When the next refresh is due.
    pub next_at: Option<Timestamp>,
    /// Why the recycle bin could not be listed, or not completely.
    pub trash_error: Option<ProviderError>,
    /// Why late files could not be requested.
    pub late_files_error: Option<ProviderError>,
}
