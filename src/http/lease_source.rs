//! The trait through which a stream gets its leases.

use std::sync::Arc;

use async_trait::async_trait;

use super::bandwidth_limiter::BandwidthLimiter;
use super::fetch_error::FetchError;
use super::priority::Priority;
use super::request_counters::RequestCounters;
use crate::model::Lease;

/// Provides the lease of one file, which all streams of the file share.
#[async_trait]
pub trait LeaseSource: Send + Sync {
    /// Returns the current lease, or requests a new one from the provider. The wait has no timeout
    /// of its own, so the caller must set one.
    ///
    /// # Errors
    /// The reason why a lease is not available.
    async fn current_lease(&self, priority: Priority) -> Result<Arc<Lease>, FetchError>;

    /// Reports that the server refused `lease`. The next call of
    /// [`current_lease`](Self::current_lease) requests a new lease, unless another caller has
    /// already replaced `lease`.
    fn report_refused(&self, lease: &Arc<Lease>);

    /// Reports that the server refused `lease` and that no further lease will be tried. The read
    /// fails with `error`, and [`current_lease`](Self::current_lease) may return the same error for
    /// a while without a request.
    fn report_final_refusal(&self, lease: &Arc<Lease>, _error: &FetchError) {
        self.report_refused(lease);
    }

    /// Reports that the server sent bytes for `lease`. If the server refuses the lease later, it
    /// has expired.
    fn report_served(&self, lease: &Arc<Lease>);

    /// Returns the bandwidth limiter of the source, if its bandwidth is limited.
    fn bandwidth_limiter(&self) -> Option<&Arc<BandwidthLimiter>> {
        None
    }

    /// Returns the counters of the source, in which streams count their requests. `None` if nothing
    /// counts them.
    fn request_counters(&self) -> Option<&Arc<RequestCounters>> {
        None
    }

    /// Whether a short JSON body with status 200 is an error object of the provider and not the
    /// file.
    fn is_error_body(&self, body: &[u8]) -> bool;
}

/// Maximum number of consecutive leases that the server may refuse before the refusal is final: the
/// current lease, its renewal from the listed URL, a lease from the details of the meeting, and a
/// lease from the last fallback method of the provider.
pub const MAX_LEASE_ATTEMPTS: u32 = 4;
