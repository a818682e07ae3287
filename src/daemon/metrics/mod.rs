//! The metrics of a mount in the text format of Prometheus, and an optional HTTP server for them.
//!
//! - Input: a [`MountReport`](super::control::MountReport).
//! - Output: text of the format version 0.0.4.
//! - The labels are source, provider, operation, level and code. A topic, a path, an address or an
//!   id never becomes a label, so the number of series does not depend on the archive.
//! - On failure, the server closes the connection. The mount is not affected.

mod encoding;
mod error;
mod listener;

pub(crate) use encoding::encode;
pub use error::MetricsError;
pub(crate) use listener::MetricsListener;
