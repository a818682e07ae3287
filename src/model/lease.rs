//! A lease: the temporary permission to download one file.

use jiff::{SignedDuration, Timestamp};
use secrecy::{ExposeSecret, SecretString};

use super::secret_url::SecretUrl;

/// A signed URL with its headers and its expiry. It is never logged, stored or used as a key.
#[derive(Clone, Debug)]
pub struct Lease {
    /// The signed URL. Requests to it have a `Range` header, and their redirects are not followed.
    pub url: SecretUrl,
    /// The value of the `Authorization` header, if the URL alone is not sufficient.
    pub authorization: Option<SecretString>,
    /// The time at which the lease ends, if the provider states it.
    pub expires: Option<Timestamp>,
}

impl Lease {
    /// Whether the lease has ended at `now`, or ends so soon that a request that starts at `now`
    /// could reach the server after the end.
    pub fn is_expired(&self, now: Timestamp) -> bool {
        /// How long before its end a lease counts as expired. Clocks differ, so a request that
        /// starts in the last seconds can reach the server after the lease has ended. Renewing five
        /// seconds early adds at most one request every few hours.
        const EXPIRY_MARGIN: SignedDuration = SignedDuration::from_secs(5);
        self.expires
            .is_some_and(|expires| expires.as_second() - now.as_second() < EXPIRY_MARGIN.as_secs())
    }

    /// Whether the lease has ended at `now`.
    pub fn has_ended(&self, now: Timestamp) -> bool {
        self.expires.is_some_and(|expires| expires <= now)
    }

    /// Returns the value of the `Authorization` header. It is a secret: use it only in a request.
    pub fn authorization(&self) -> Option<&str> {
        self.authorization.as_ref().map(|value| value.expose_secret())
    }
}
