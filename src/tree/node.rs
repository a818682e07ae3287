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
    /// Empty for the root.
    pub name: Arc<str>,
    /// The end of the recording; of a directory, that of the newest one in it. It may be before
    /// 1970.
    pub recorded: Timestamp,
    /// When the provider will delete the meeting, if known.
    pub expires: Option<Timestamp>,
    pub content: Content,
}

/// What a node contains.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    Directory {
        /// Ordered by the bytes of the names.
        entries: Box<[Ino]>,
    },
    /// A recording file. The provider has its bytes.
    Recording {
        id: FileId,
        version: Version,
        /// Length in bytes.
        size: u64,
        body: BodyKind,
    },
    /// A file whose bytes are in memory.
    Text(Bytes),
    /// A file whose bytes are rendered from memory.
    Document(Arc<Document>),
    /// A text in place of a recording file that cannot be downloaded.
    Note {
        /// The reason, as a text for the user.
        text: Bytes,
        /// The length in bytes of the recording file, if it is listed.
        declared_size: Option<u64>,
    },
}

impl Node {
    /// Returns the length in bytes; 0 for a directory.
    pub fn size(&self) -> u64 {
        match &self.content {
            Content::Directory { .. } => 0,
            Content::Recording { size, .. } => *size,
            Content::Text(text) | Content::Note { text, .. } => text.len() as u64,
            Content::Document(document) => document.length(),
        }
    }

    /// Returns the modification time: the end of the recording, or a time that derives from the
    /// bytes if the file is generated.
    pub fn modified(&self) -> Timestamp {
        match &self.content {
            Content::Directory { .. } | Content::Recording { .. } => self.recorded,
            Content::Text(text) | Content::Note { text, .. } => {
                content_time(self.recorded, xxh3_64(text))
            }
            Content::Document(document) => content_time(self.recorded, document.hash()),
        }
    }

    pub fn is_directory(&self) -> bool {
        matches!(self.content, Content::Directory { .. })
    }
}
