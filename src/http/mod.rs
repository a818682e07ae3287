//! HTTP: API calls with a bounded number of retries, and byte ranges that are checked to be exact.
//!
//! Input: a URL with its credential (a [`Lease`](crate::model::Lease) or an [`ApiRequest`]), the
//! expected properties of the reply, and the [`Priority`] of the request.
//!
//! Output: a complete small body, a stream of exactly the requested bytes, or an error. An error
//! names the host but never the path or the query, because these can be credentials.
//!
//! Possible failures, and the parts that handle them:
//!
//! 1. The reply is not the file: `range_head` and `range_body` check the status, range, length,
//!    type and first bytes of a reply before they return a byte. `validator` compares the versions
//!    of the file.
//! 2. A body breaks off or stalls, or the lease expires during the transfer: [`RangeStream`]
//!    resumes at the first missing byte.
//! 3. The server requests a delay: [`retry`] parses all forms of the delay and bounds it.
//! 4. The provider limits the rate of the calls of an account: [`RateLimiter`] spreads the calls
//!    over time and lets calls for readers go first.
//! 5. Bulk transfers would occupy all connections: `connection_pool` shares the connections of a
//!    host fairly.
//! 6. A server sends only a few bytes at a time: `transfer` measures the rate, and the pool takes
//!    the connection away when another request waits for one.
//! 7. A host is down: `circuit_breaker` makes new reads fail at once.
//! 8. A redirect or a URL in a reply points to another host: [`AllowedHosts`] decides which hosts
//!    are allowed. Redirects are never followed automatically.
//! 9. A download URL can return a redirect, a page or the file: [`probe()`] finds out which of
//!    these it returns, without downloading the file.
//!
//! Each lock protects one map or state machine and is held for a single operation. The lock of a
//! connection pool is taken before that of a transfer. No other two of these locks are held at the
//! same time, and none is held across an await. The exception is the lock of a probe in
//! `circuit_breaker`, which is held until the result of the probe is recorded.
//!
//! This module must not contain the concepts of a meeting, an inode or a block, or the rules of a
//! particular provider.

mod bandwidth_limiter;
mod circuit_breaker;
mod client;
mod connection_pool;
pub mod error;
mod fetch_error;
#[cfg(any(fuzzing, test))]
pub mod fuzzing;
mod header_url;
mod headers;
mod hosts;
mod lease_source;
mod length_proof;
mod priority;
mod probe;
mod range;
mod range_body;
mod range_error;
mod range_head;
mod range_stream;
mod rate_limiter;
mod request_counters;
pub mod retry;
#[cfg(test)]
mod simulated_revision;
#[cfg(test)]
mod simulated_server;
mod transfer;
mod transport;
mod validator;

pub use bandwidth_limiter::BandwidthLimiter;
pub use client::{ApiReply, ApiRequest, Client, DownHost, HostConnections};
pub use connection_pool::TrafficClass;
pub use error::HttpError;
pub use fetch_error::{FetchCause, FetchError};
pub use header_url::url_text;
pub use hosts::AllowedHosts;
pub use lease_source::{LeaseSource, MAX_LEASE_ATTEMPTS};
pub use priority::Priority;
pub use probe::{ProbeReply, probe};
pub use range::{ByteRange, ExpectedFile};
pub use range_stream::{MAX_SKIPPED_BYTES, RangeStream, VersionCheck, skip_limit_error};
pub use rate_limiter::{RateLimiter, RatePermit};
pub use request_counters::{CodeClass, Operation, RequestCounters};
#[cfg(test)]
pub(crate) use simulated_revision::{Revision, ServedRange, random_length};
#[cfg(test)]
pub(crate) use simulated_server::{
    BodyPart, RateLimitedLink, SimulatedHead, SimulatedReply, SimulatedRequest, SimulatedServer,
};
pub use validator::Validator;
