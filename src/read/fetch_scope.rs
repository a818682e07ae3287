//! Which bytes a read fetches.

/// The bytes that are fetched if bytes of a read are missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FetchScope {
    /// The bytes of the read, and those that its reader is expected to read next.
    WithPrefetch,
    /// Only `length` bytes from the start of the read on, which include those of the read.
    Exact { length: u32 },
}
