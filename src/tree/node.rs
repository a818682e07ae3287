//! The nodes of a tree.

use std::sync::Arc;

use bytes::Bytes;
use jiff::Timestamp;
use xxhash_rust::xxh3::xxh3_64;

use super::content_time::content_time;
use super::inode::Ino;
use crate::model::{BodyKind, Document, FileId, Version};

/// A file or directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    pub ino: Ino,
    /// The directory that contains the node. The root is its own parent.
    pub parent: Ino,
    /// The name in its directory, or an empty string for the root.
    pub name: Arc<str>,
    /// The end of the recording. For a directory, the end of the newest recording in it. The time
    /// may be before 1970.
    pub recording_end: Timestamp,
    /// The time at which the provider will delete the meeting, if it is known.
    pub expires: Option<Timestamp>,
    pub content: Content,
}

/// The content of a directory or file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    Directory {
        /// The inode numbers of the entries, ordered by the bytes of their names.
        entries: Box<[Ino]>,
    },
    /// A recording file, whose bytes are read from the provider.
    Recording {
        id: FileId,
        version: Version,
        /// The length in bytes.
        size: u64,
        body: BodyKind,
    },
    /// A file whose bytes are in memory.
    Text(Bytes),
    /// A metadata document, whose bytes are generated when they are read.
    Document(Arc<Document>),
    /// A text that is shown in place of a recording file that cannot be downloaded.
    Note {
        /// The reason, written for the user.
        text: Bytes,
        /// The length of the recording file in bytes, if the listing contains it.
        declared_size: Option<u64>,
    },
}

impl Node {
    /// Returns the length in bytes, or 0 for a directory.
    pub fn size(&self) -> u64 {
        match &self.content {
            Content::Directory { .. } => 0,
            Content::Recording { size, .. } => *size,
            Content::Text(text) | Content::Note { text, .. } => text.len() as u64,
            Content::Document(document) => document.length(),
        }
    }

    /// Returns the modification time. It is the end of the recording. For a generated file, it also
    /// depends on the bytes of the file.
    pub fn modified(&self) -> Timestamp {
        match &self.content {
            Content::Directory { .. } | Content::Recording { .. } => self.recording_end,
            Content::Text(text) | Content::Note { text, .. } => {
                content_time(self.recording_end, xxh3_64(text))
            }
            Content::Document(document) => content_time(self.recording_end, document.hash()),
        }
    }

    pub fn is_directory(&self) -> bool {
        matches!(self.content, Content::Directory { .. })
    }
}
