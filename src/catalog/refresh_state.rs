//! The progress and the errors of the listings of a source.

use jiff::Timestamp;

use crate::model::DaySpan;
use crate::providers::ProviderError;

/// The progress and the errors of the listings of one source.
#[derive(Clone, Debug, Default)]
pub struct RefreshState {
    /// Whether a refresh is in progress.
    pub is_running: bool,
    /// Whether the first listing has ended, successfully or not. Requests for late files and the
    /// recycle bin may still be in progress.
    pub is_first_listing_done: bool,
    /// The number of refreshes since the start, including failed ones.
    pub completed_refreshes: u64,
    /// The number of refreshes since the start that failed or did not list all days.
    pub failed_refreshes: u64,
    /// The time of the last listing, even if it covered only some days.
    pub listed_at: Option<Timestamp>,
    /// The time of the last listing of all days, in this run or an earlier one.
    pub fully_listed_at: Option<Timestamp>,
    /// The time and the error of the last listing, if it failed.
    pub last_failure: Option<(Timestamp, ProviderError)>,
    /// Ranges of days that could not be listed, with the errors. Known meetings on these days are
    /// shown unchanged.
    pub incomplete_days: Vec<(DaySpan, ProviderError)>,
    /// The errors of users whose recordings the provider refuses to list, although it lists those
    /// of other users. Known meetings of these users are shown unchanged.
    pub refused_users: Vec<ProviderError>,
    /// The time of the next refresh.
    pub next_refresh_at: Option<Timestamp>,
    /// The error that prevented a complete listing of the recycle bin.
    pub trash_error: Option<ProviderError>,
    /// The error that prevented the request for late files.
    pub late_files_error: Option<ProviderError>,
}
