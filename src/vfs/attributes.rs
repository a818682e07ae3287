//! The attributes of nodes, independent of the FUSE protocol.

use std::time::SystemTime;

use crate::tree::{Content, Ino, Node};

/// Preferred block size that stat(2) and statfs(2) report, in bytes.
pub const BLOCK_SIZE: u32 = 4096;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileKind {
    Directory,
    RegularFile,
}

impl FileKind {
    pub(super) fn from_node(node: &Node) -> Self {
        if node.is_directory() { Self::Directory } else { Self::RegularFile }
    }
}

/// The attributes that stat(2) returns for a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attributes {
    pub ino: Ino,
    pub kind: FileKind,
    /// Length in bytes; 0 for a directory.
    pub size: u64,
    /// Permission bits.
    pub mode: u16,
    /// Value of all timestamps of the node.
    pub modification_time: SystemTime,
    pub uid: u32,
    pub gid: u32,
}

/// The owner of every node, and the permission bits of directories and files.
#[derive(Clone, Copy, Debug)]
pub struct Owner {
    pub uid: u32,
    pub gid: u32,
    /// Permission bits of directories.
    pub directory_mode: u16,
    /// Permission bits of recordings, and of the text files that replace unavailable recordings.
    /// The metadata of a meeting has only the bits of the owner, because a `meeting.json` can
    /// contain facts that the provider shows only to the meeting host.
    pub file_mode: u16,
}

/// The permission bits of the owner.
const OWNER_BITS: u16 = 0o700;

impl Owner {
    pub(super) fn attributes(&self, node: &Node) -> Attributes {
        let mode = match &node.content {
            Content::Directory { .. } => self.directory_mode,
            Content::Recording { .. } | Content::Note { .. } => self.file_mode,
            Content::Text(_) | Content::Document(_) => self.file_mode & OWNER_BITS,
        };
        Attributes {
            ino: node.ino,
            kind: FileKind::from_node(node),
            size: node.size(),
            mode,
            modification_time: SystemTime::try_from(node.modified())
                .unwrap_or(SystemTime::UNIX_EPOCH),
            uid: self.uid,
            gid: self.gid,
        }
    }
}
