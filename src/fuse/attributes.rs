//! What `stat` says of a node.

use std::time::SystemTime;

use fuser::{FileAttr, FileType, INodeNo};
use jiff::Timestamp;

use crate::tree::{Content, Ino, Node};

/// Block size reported by `stat` and `statfs`, in bytes.
pub(super) const STAT_BLOCK: u32 = 4096;

/// Whose the tree is.
#[derive(Clone, Copy, Debug)]
pub struct Owner {
    /// User id of every node.
    pub uid: u32,
    /// Group id of every node.
    pub gid: u32,
    /// Whether others may read: 0444 and 0555 in place of 0400 and 0500. `meeting.json` stays the owner's alone,
    /// for it may hold what only the host was told.
    pub shared: bool,
}

impl Owner {
    pub(super) fn attributes(&self, node: &Node) -> FileAttr {
        let (kind, size, perm) = match &node.content {
            Content::Directory { .. } => {
                (FileType::Directory, 0, if self.shared { 0o555 } else { 0o500 })
            }
            Content::Recording { size, .. } => {
                (FileType::RegularFile, *size, if self.shared { 0o444 } else { 0o400 })
            }
            Content::Text(_) | Content::Document(_) | Content::Note { .. } => {
                (FileType::RegularFile, node.size(), 0o400)
            }
        };
        let time = system_time(node.modified);
        FileAttr {
            ino: INodeNo(node.ino.0),
            size,
            blocks: size.div_ceil(512),
            atime: time,
            mtime: time,
            ctime: time,
            crtime: time,
            kind,
            perm,
            // One link also for directories, as btrfs has it: `find` takes a count of two for "no directories inside".
            nlink: 1,
            uid: self.uid,
            gid: self.gid,
            rdev: 0,
            blksize: STAT_BLOCK,
            flags: 0,
        }
    }

    /// The attributes of a name that does not exist: inode 0 makes the kernel remember the absence.
    pub(super) fn absent(&self) -> FileAttr {
        FileAttr {
            ino: INodeNo(0),
            size: 0,
            blocks: 0,
            atime: SystemTime::UNIX_EPOCH,
            mtime: SystemTime::UNIX_EPOCH,
            ctime: SystemTime::UNIX_EPOCH,
            crtime: SystemTime::UNIX_EPOCH,
            kind: FileType::RegularFile,
            perm: 0,
            nlink: 0,
            uid: self.uid,
            gid: self.gid,
            rdev: 0,
            blksize: STAT_BLOCK,
            flags: 0,
        }
    }
}

pub(super) fn kind_of(node: &Node) -> FileType {
    match node.content {
        Content::Directory { .. } => FileType::Directory,
        Content::Recording { .. }
        | Content::Text(_)
        | Content::Document(_)
        | Content::Note { .. } => FileType::RegularFile,
    }
}

pub(super) fn ino(number: INodeNo) -> Ino {
    Ino(number.0)
}

fn system_time(time: Timestamp) -> SystemTime {
    SystemTime::try_from(time).unwrap_or(SystemTime::UNIX_EPOCH)
}
