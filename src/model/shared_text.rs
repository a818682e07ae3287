//! Immutable text that can be shared without a copy.

use std::fmt;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

/// Reference-counted UTF-8 text.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub struct SharedText(Bytes);

impl SharedText {
    pub fn bytes(&self) -> Bytes {
        self.0.clone()
    }
}

impl From<String> for SharedText {
    fn from(text: String) -> Self {
        Self(text.into())
    }
}

impl From<SharedText> for String {
    fn from(text: SharedText) -> Self {
        String::from_utf8_lossy(&text.0).into_owned()
    }
}

impl fmt::Debug for SharedText {
    /// Prints the length only: a list of participants does not belong in a log line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SharedText({} bytes)", self.0.len())
    }
}
