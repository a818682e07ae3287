//! The right to download one file for a while.

use jiff::{SignedDuration, Timestamp};
use secrecy::{ExposeSecret, SecretString};

use super::secret_url::SecretUrl;

/// A signed URL with its headers and its expiry. It is never logged, stored or used as a key.
#[derive(Clone, Debug)]
pub struct Lease {
    /// Requested with `Range`. Redirects are not followed.
    pub url: SecretUrl,
    /// The value of the `Authorization` header, if the URL alone is not sufficient.
    pub authorization: Option<SecretString>,
    /// When the lease ends, if the provider says so.
    pub expires: Option<Timestamp>,
}

impl Lease {
    /// Returns whether the lease has ended at `now`, or ends so soon that a request could outlive
    /// it.
    pub fn is_expired(&self, now: Timestamp) -> bool {
        /// A request that starts in the last seconds of a lease can reach the server after its
        /// end, because clocks differ. Renewal five seconds early costs one request in hours.
        const EXPIRY_MARGIN: SignedDuration = SignedDuration::from_secs(5);
        self.expires
            .is_some_and(|expires| expires.as_second() - now.as_second() < EXPIRY_MARGIN.as_secs())
    }

    /// Returns the `Authorization` value, exposed for one request.
    pub fn authorization(&self) -> Option<&str> {
        self.authorization.as_ref().map(|value| value.expose_secret())
    }
}
