//! Identifiers of sources, meetings, recording files and file versions.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

macro_rules! text_newtype {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({:?})", stringify!($name), &*self.0)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }
    };
}

/// Implements conversions from any string, for identifiers that a provider chooses.
macro_rules! from_any_text {
    ($name:ident) => {
        impl From<&str> for $name {
            fn from(text: &str) -> Self {
                Self(text.into())
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer).map(|text| Self(text.into()))
            }
        }
    };
}

text_newtype! {
    /// The name of a configured source: its directory below the mountpoint and its key in the
    /// configuration.
    ///
    /// It has 1 to 64 characters of `A-Z a-z 0-9 . _ -` and does not start with a dot.
    SourceName
}

impl SourceName {
    /// Returns the name, or `None` if it is not valid.
    pub fn new(name: &str) -> Option<Self> {
        let is_valid = (1..=64).contains(&name.len())
            && !name.starts_with('.')
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'));
        is_valid.then(|| Self(name.into()))
    }
}

impl<'de> Deserialize<'de> for SourceName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        Self::new(&name).ok_or_else(|| serde::de::Error::custom("not a valid source name"))
    }
}

text_newtype! {
    /// The provider's id of a meeting, which is unique within a source. At Zoom, it is the UUID of
    /// the meeting instance.
    MeetingId
}

from_any_text!(MeetingId);

impl MeetingId {
    /// Prefix of the ids of meetings in a recycle bin. It ends with a unit separator, which never
    /// occurs in the ids of a provider.
    const TRASH_PREFIX: &str = "trash\u{1f}";

    /// Returns the id of the same meeting in the recycle bin.
    ///
    /// A meeting and its trashed copy have different ids, so they never share inode numbers or
    /// cached blocks.
    pub fn to_trash_id(&self) -> Self {
        if self.is_in_trash() {
            self.clone()
        } else {
            Self(format!("{}{}", Self::TRASH_PREFIX, self.0).into())
        }
    }

    pub fn is_in_trash(&self) -> bool {
        self.0.starts_with(Self::TRASH_PREFIX)
    }

    /// Returns the id that the provider uses. It has no prefix if the meeting is in the recycle
    /// bin.
    pub fn provider_id(&self) -> &str {
        self.0.strip_prefix(Self::TRASH_PREFIX).unwrap_or(&self.0)
    }
}

text_newtype! {
    /// Identifies a recording file within its meeting. The key is the same in every listing.
    FileKey
}

from_any_text!(FileKey);

/// Identifies a recording file among the files of all sources. It does not identify the content of
/// the file: see [`Version`].
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct FileId {
    pub source: SourceName,
    pub meeting: MeetingId,
    pub key: FileKey,
}

/// Distinguishes the versions of one recording file. A trimmed video is a new version.
///
/// It is derived from the provider's listing, so it is the same after a restart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Version(pub u64);
