//! HTTP: API calls with bounded retries, and byte ranges that are verified to the byte.
//!
//! Input: a URL with its credential (a [`Lease`](crate::model::Lease) or an [`ApiRequest`]), what
//! the caller knows of the reply, and the [`Priority`] of the request.
//!
//! Output: whole small bodies, or a stream of exactly the requested bytes, or an error that names a
//! host and never a path or query, because those can be credentials.
//!
//! Failures and what handles each:
//!
//! 1. The reply is not the file: `range_head` and `range_body` check status, range, total, type and
//!    first bytes before they return a byte. `validator` compares the version of the file.
//! 2. A body breaks off or stalls, or the lease expires in the middle: [`RangeStream`] resumes at
//!    the missing byte.
//! 3. The server requests a delay: [`retry`] reads all forms of it and bounds it.
//! 4. The provider limits the calls of an account: [`RateLimiter`] shares them out, readers first.
//! 5. Bulk transfers occupy all connections: `connection_pool` shares the connections of a host.
//! 6. A server sends a few bytes at a time: `transfer` measures it, and the pool takes its
//!    connection for a request that waits.
//! 7. A host is down: `circuit_breaker` fails new reads at once.
//! 8. A redirect or page link leads elsewhere: [`AllowedHosts`] decides where requests may go. No
//!    redirect is followed automatically.
//! 9. A download URL can return a redirect, a page or the file: [`probe()`] finds out without a
//!    download.
//!
//! Locks are held for one step of one map or state machine each, never two at a time and never
//! across an await.
//!
//! This module must not know what a meeting, an inode or a block is, nor any rule of one provider.

mod circuit_breaker;
mod client;
mod connection_pool;
pub mod error;
mod fetch_error;
#[cfg(any(fuzzing, test))]
pub mod fuzzing;
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
pub mod retry;
mod transfer;
mod validator;

pub use client::{ApiReply, ApiRequest, Client, DownHost};
pub use connection_pool::TrafficClass;
pub use error::HttpError;
pub use fetch_error::{FetchCause, FetchError};
pub use hosts::AllowedHosts;
pub use lease_source::{LeaseSource, MAX_LEASE_ATTEMPTS};
pub use priority::Priority;
pub use probe::{ProbeReply, probe};
pub use range::{ByteRange, ExpectedFile};
pub use range_stream::RangeStream;
pub use rate_limiter::{RateLimiter, RatePermit};
pub use validator::Validator;
