//! What a comparison without reading uses: type, size and time of a file.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;

use rustix::fs::{FileType, RawMode, Statx, makedev};

/// Maximum difference of two modification times that count as equal, in nanoseconds. FAT rounds
/// times to two seconds, so each copy on FAT would count as changed. Generated files, whose times
/// depend on their content, have times that are at least five seconds apart.
const TIME_TOLERANCE: i128 = 2 * NANOSECONDS_PER_SECOND;

const NANOSECONDS_PER_SECOND: i128 = 1_000_000_000;

/// The type, size and time of a file or directory.
#[derive(Clone, Copy, Debug)]
pub(super) struct FileStatus {
    pub(super) is_file: bool,
    pub(super) is_directory: bool,
    /// Size in bytes.
    pub(super) size: u64,
    /// Device number of the file system.
    pub(super) device: u64,
    /// Modification time in nanoseconds since 1970.
    modified: i128,
}

impl FileStatus {
    /// Whether the modification times are equal, within the precision of a file system.
    pub(super) fn has_time_of(&self, other: &Self) -> bool {
        (self.modified - other.modified).abs() <= TIME_TOLERANCE
    }
}

impl From<&Metadata> for FileStatus {
    fn from(metadata: &Metadata) -> Self {
        Self {
            is_file: metadata.is_file(),
            is_directory: metadata.is_dir(),
            size: metadata.len(),
            device: metadata.dev(),
            modified: nanoseconds(metadata.mtime(), metadata.mtime_nsec()),
        }
    }
}

impl From<&Statx> for FileStatus {
    fn from(status: &Statx) -> Self {
        let file_type = FileType::from_raw_mode(RawMode::from(status.stx_mode));
        Self {
            is_file: file_type == FileType::RegularFile,
            is_directory: file_type == FileType::Directory,
            size: status.stx_size,
            device: makedev(status.stx_dev_major, status.stx_dev_minor),
            modified: nanoseconds(status.stx_mtime.tv_sec, status.stx_mtime.tv_nsec.into()),
        }
    }
}

fn nanoseconds(seconds: i64, nanoseconds: i64) -> i128 {
    i128::from(seconds) * NANOSECONDS_PER_SECOND + i128::from(nanoseconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(seconds: i64, part: i64) -> FileStatus {
        let modified = nanoseconds(seconds, part);
        FileStatus { is_file: true, is_directory: false, size: 0, device: 0, modified }
    }

    #[test]
    fn times_on_fat_are_equal() {
        let time = status(1_760_000_001, 999_999_999);
        for (other, is_equal) in [
            (status(1_760_000_001, 0), true),
            (status(1_760_000_000, 0), true),
            (status(1_760_000_002, 0), true),
            (status(1_760_000_004, 0), false),
            (status(1_759_999_999, 0), false),
            (status(-1, 0), false),
        ] {
            assert_eq!(time.has_time_of(&other), is_equal, "{other:?}");
            assert_eq!(other.has_time_of(&time), is_equal, "{other:?}");
        }
    }
}
