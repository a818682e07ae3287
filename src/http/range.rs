//! What is requested of a file, and what is known of it.

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

/// What is known of a file before it is requested. Replies are checked against it.
#[derive(Clone, Debug)]
pub struct ExpectedFile {
    /// Length in bytes; `None` if it is unknown.
    pub total: Option<u64>,
    pub body: BodyKind,
    /// The strong validator of an earlier reply: a file version never has two.
    pub validator: Option<Validator>,
}

/// A strong entity tag (RFC 9110, 8.8.3). Weak ones say nothing about bytes and are ignored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Validator(Box<str>);

impl Validator {
    pub fn new(text: &str) -> Self {
        Self(text.into())
    }

    /// Returns the tag as the server sends it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}
