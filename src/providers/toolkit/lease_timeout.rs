//! Limits the time of a request for a lease.

use std::time::Duration;

use tokio::time::Instant;

use crate::model::Lease;
use crate::providers::ProviderError;

/// Timeout of a request for a lease. A read waits for the lease, and half of the time until the
/// read's own deadline should remain for the bytes.
const LEASE_TIMEOUT: Duration = Duration::from_secs(15);

/// Runs `find`, and passes the deadline for its requests to it.
///
/// # Errors
/// Returns the error of `find`, or, at the deadline, an error of class
/// [`Unavailable`](crate::providers::ErrorClass::Unavailable).
pub(crate) async fn within_lease_timeout<F>(
    find: impl FnOnce(Instant) -> F,
) -> Result<Lease, ProviderError>
where
    F: Future<Output = Result<Lease, ProviderError>>,
{
    let deadline = Instant::now() + LEASE_TIMEOUT;
    tokio::time::timeout_at(deadline, find(deadline)).await.unwrap_or_else(|_elapsed| {
        let message = format!("no download URL was found within {} s", LEASE_TIMEOUT.as_secs());
        Err(ProviderError::unavailable(message))
    })
}
