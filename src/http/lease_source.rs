//! The source of the leases of a stream.

use std::sync::Arc;

use async_trait::async_trait;

use super::fetch_error::FetchError;
use super::priority::Priority;
use crate::model::Lease;

/// Provides the lease of one file, which all streams of the file share.
#[async_trait]
pub trait LeaseSource: Send + Sync {
    /// Returns the current lease, or resolves a new one. The wait has no timeout of its own: the
    /// caller sets one.
    ///
    /// # Errors
    /// The reason why a lease is not available.
    async fn current(&self, priority: Priority) -> Result<Arc<Lease>, FetchError>;

    /// Reports that the server refused `lease`. The next [`current`](Self::current) resolves a new
    /// one, unless `lease` was replaced already.
    fn report_refused(&self, lease: &Arc<Lease>);

    /// Reports that the server refused `lease` after all others, with the error of its reader.
    /// [`current`](Self::current) may return the error for a while without a request.
    fn report_final_refusal(&self, lease: &Arc<Lease>, _error: &FetchError) {
        self.report_refused(lease);
    }

    /// Reports that `lease` served bytes. A later refusal then means that the lease has expired.
    fn report_served(&self, lease: &Arc<Lease>);

    /// Whether a short JSON body with status 200 is the provider's error object and not the file.
    fn is_error_body(&self, body: &[u8]) -> bool;
}

/// Consecutive refused leases until the provider's answer is final: the current one, its plain
/// renewal, one from the details of the meeting, and one from the provider's last resort.
pub const MAX_LEASE_ATTEMPTS: u32 = 4;
