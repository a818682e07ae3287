//! Converts attributes to the types of the FUSE protocol.

use std::time::SystemTime;

use fuser::{FileAttr, FileType, INodeNo};

use crate::tree::Ino;
use crate::vfs::{Attributes, BLOCK_SIZE, FileKind};

/// The unit of `st_blocks` in bytes (stat(2)).
const STAT_UNIT: u64 = 512;

/// The number of hard links of every inode. It is 1 even for directories, as on Btrfs, because
/// `find` interprets a count of 2 as "no subdirectories".
const LINK_COUNT: u32 = 1;

pub(super) fn file_attr(attributes: &Attributes) -> FileAttr {
    let Attributes { ino, kind, size, mode, modification_time, uid, gid } = *attributes;
    FileAttr {
        ino: INodeNo(ino.0),
        size,
        blocks: size.div_ceil(STAT_UNIT),
        atime: modification_time,
        mtime: modification_time,
        ctime: modification_time,
        crtime: modification_time,
        kind: file_type(kind),
        perm: mode,
        nlink: LINK_COUNT,
        uid,
        gid,
        rdev: 0,
        blksize: BLOCK_SIZE,
        flags: 0,
    }
}

/// Returns the attributes for a name that does not exist. With inode number 0, the kernel caches
/// that the name does not exist, and ignores the other attributes.
pub(super) fn absent_attr() -> FileAttr {
    let attributes = Attributes {
        ino: Ino(0),
        kind: FileKind::RegularFile,
        size: 0,
        mode: 0,
        modification_time: SystemTime::UNIX_EPOCH,
        uid: 0,
        gid: 0,
    };
    file_attr(&attributes)
}

pub(super) fn file_type(kind: FileKind) -> FileType {
    match kind {
        FileKind::Directory => FileType::Directory,
        FileKind::RegularFile => FileType::RegularFile,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_counted_in_units_of_512_bytes() {
        let attributes = |size| Attributes {
            ino: Ino(5),
            kind: FileKind::RegularFile,
            size,
            mode: 0o400,
            modification_time: SystemTime::UNIX_EPOCH,
            uid: 1,
            gid: 2,
        };
        for (size, blocks) in [(0, 0), (1, 1), (512, 1), (513, 2)] {
            assert_eq!(file_attr(&attributes(size)).blocks, blocks, "{size}");
        }
    }

    #[test]
    fn absent_name_has_inode_zero() {
        assert_eq!(absent_attr().ino, INodeNo(0));
    }
}
