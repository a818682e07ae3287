//! Byte ranges, and the properties of a file that are known before a request.

use super::validator::Validator;
use crate::model::BodyKind;

/// The bytes `start..end` of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ByteRange {
    /// Offset of the first byte.
    pub start: u64,
    /// Offset after the last byte; greater than `start`.
    pub end: u64,
}

impl ByteRange {
    /// Returns the length in bytes.
    pub fn len(&self) -> u64 {
        self.end.saturating_sub(self.start)
    }

    pub fn is_empty(&self) -> bool {
        self.start >= self.end
    }
}

/// The properties of a file that are known before it is requested. Replies are checked against
/// them.
#[derive(Clone, Debug)]
pub struct ExpectedFile {
    /// Length in bytes, if it is known.
    pub total_length: Option<u64>,
    pub body: BodyKind,
    /// The validator of an earlier reply. All replies with the same version have the same
    /// validator.
    pub validator: Option<Validator>,
}
