//! HTTP as meetfs needs it: interface calls with bounded retries, and byte ranges checked to the byte.
//!
//! Enters: an address with its credential (a [`Lease`](crate::model::Lease) or an [`ApiRequest`]) and what the
//! caller knows of the answer. Leaves: whole small bodies, or a stream of exactly the bytes asked for, or an
//! error that names a host and never a path or query, for those can be credentials.
//!
//! The problems of this room and what solves each:
//!
//! 1. A server answers something that is not the file: [`range`] checks status, range, total, type and first
//!    bytes before a single byte leaves.
//! 2. A body breaks off, stalls, or its link ends in the middle: [`stream`] goes on at the missing byte.
//! 3. A server asks for patience in one of four ways: [`retry`] reads them all and never waits without an end.
//! 4. A provider counts an account's calls: [`rate_limiter`] shares them out, reads first.
//! 5. A copy would keep everybody who only looks waiting: `places` shares a host's connections out.
//! 6. A host is down: `breaker` tells whoever would wait for it in vain.
//! 7. A redirect or a page link leads elsewhere: [`hosts`] decides where a request may go; nothing is followed
//!    by itself.
//! 8. A download link answers with a redirect, a page or the file: [`probe`] looks without fetching.
//!
//! It never knows what a meeting, an inode or a block is.

mod circuit_breaker;
pub mod client;
mod connection_pool;
pub mod error;
mod error_object;
#[cfg(any(fuzzing, test))]
pub mod fuzzing;
pub mod hosts;
pub mod priority;
pub mod probe;
pub mod range;
pub mod rate_limiter;
pub mod retry;
pub mod stream;

pub use circuit_breaker::DownHost;
pub use client::{ApiReply, ApiRequest, Client};
pub use connection_pool::TrafficClass;
pub use error::{FetchError, HttpError};
pub use hosts::AllowedHosts;
pub use priority::Priority;
pub use probe::ProbeReply;
pub use range::{ByteRange, ExpectedFile, Validator};
pub use rate_limiter::RateLimiter;
pub use stream::{LEASES_TRIED, LeaseSource, RangeStream};
