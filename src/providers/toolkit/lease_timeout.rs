//! Limits the time of a request for a lease.

use std::time::Duration;

use tokio::time::Instant;

use crate::model::Lease;
use crate::providers::ProviderError;

/// Timeout of a request for a lease. A read waits for the lease, and about half of the time until
/// the deadline of the read should remain for the bytes.
const LEASE_TIMEOUT: Duration = Duration::from_secs(15);

/// Runs `find_lease` and passes it the deadline of the request.
///
/// # Errors
/// Returns the error of `find_lease`. At the deadline, returns an error of class
/// [`Unavailable`](crate::providers::ErrorClass::Unavailable).
pub(crate) async fn within_lease_timeout<F>(
    find_lease: impl FnOnce(Instant) -> F,
) -> Result<Lease, ProviderError>
where
    F: Future<Output = Result<Lease, ProviderError>>,
{
    let deadline = Instant::now() + LEASE_TIMEOUT;
    tokio::time::timeout_at(deadline, find_lease(deadline)).await.unwrap_or_else(|_elapsed| {
        let message = format!("no download URL was found within {} s", LEASE_TIMEOUT.as_secs());
        Err(ProviderError::unavailable(message))
    })
}
