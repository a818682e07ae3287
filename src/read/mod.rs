//! An open file: which bytes to have ready, and one flight for each block whoever asks.
//!
//! Enters: reads of `(offset, length)` on a [`OpenFile`], from the kernel's side. Leaves: exactly those bytes
//! (short only at the end of the file), or a [`FetchError`](crate::http::FetchError) within the deadline.
//!
//! A read's way: [`engine`] clamps it to the file and asks [`window`] what the handle is up to; bytes held in the
//! [cache](crate::cache) are answered at once; the others are taken from a [`in_flight`] that is under way from the disk, or from
//! one that [`fetch`] starts. [`concurrency`] finds how many connections a copy can use, [`prefetch`] fetches what is expected, [`media_index`] where a video
//! keeps its index, so that it is there before the player asks. What is learned about a file on the way (its true length, that it changed)
//! goes to an [`Observer`].
//!
//! This room knows neither names nor inodes, and nothing of how a provider finds its leases.

mod access_pattern;
mod concurrency;
mod disk;
pub mod engine;
mod fetch;
#[cfg(any(fuzzing, test))]
pub mod fuzzing;
mod in_flight;
mod media_index;
mod open_file;
mod prefetch;
mod revisions;
mod throughput;
mod window;

pub use crate::cache::disk::CompleteFile;
pub use engine::{Engine, EngineOptions};
pub use open_file::{Content, OpenFile};

use crate::http::Validator;
use crate::model::{BodyKind, FileId, Version};

/// What the read path has to know of a recording file to read it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recording {
    /// Which file.
    pub id: FileId,
    /// Which content of it.
    pub version: Version,
    /// Its length in bytes as shown to the reader.
    pub size: u64,
    /// What its body looks like.
    pub body: BodyKind,
}

/// One content of one file version as far as the server lets it be told: handles of the same revision read the
/// same bytes. Unique in the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ContentRevision(pub(crate) u64);

/// Is told what reading brings to light, and remembers it. Calls must return at once.
pub trait Observer: Send + Sync {
    /// The file is served with `size` bytes, other than shown or not known so far.
    fn on_size_found(&self, id: &FileId, version: Version, size: u64);

    /// The file version is served under this validator.
    fn on_validator(&self, id: &FileId, version: Version, validator: &Validator);

    /// The validator under which the file version was served last, also in an earlier run.
    fn last_validator(&self, id: &FileId, version: Version) -> Option<Validator>;

    /// The server has other bytes under the file's identity: everything kept of it is of no use.
    fn on_content_changed(&self, id: &FileId);
}
