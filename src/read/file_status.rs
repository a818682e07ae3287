//! The state of a file, for explanations.

use jiff::Timestamp;
use tokio::time::Instant;

use super::cache_tiers::CachedBytes;
use crate::http::FetchError;

/// The state of a file, which can be closed.
#[derive(Clone, Debug)]
pub struct FileStatus {
    pub cached: CachedBytes,
    /// Whether the server has confirmed the listed size, in this run or an earlier one.
    pub is_size_confirmed: bool,
    /// Whether a signed URL of the file is known and has not expired.
    pub has_lease: bool,
    /// The time at which the signed URL expires, if the provider states it.
    pub lease_expiry: Option<Timestamp>,
    /// The error of the last failed read, and the time from which a read sends requests again.
    /// `None` if the file was read since then.
    pub failure: Option<(Instant, FetchError)>,
}
