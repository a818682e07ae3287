//! The files of a cache directory by fingerprint, and the disk space that they take.
//!
//! The directory contains two files per file version, `FINGERPRINT.data` and `FINGERPRINT.index`,
//! and one file named `lock`. The data file has the full length of the cached file from the start,
//! with holes in place of blocks that are not stored. If it grew with each block, XFS would
//! allocate and count space after its end, and the kernel could not read the file directly.

use std::collections::HashSet;
use std::fs::{File, OpenOptions, Permissions};
use std::io::{ErrorKind, Read, Seek, SeekFrom};
use std::os::unix::fs::{DirBuilderExt, FileExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use nix::sys::statvfs::Statvfs;

use super::error::DiskError;
use super::hole::punch_hole;
use super::index_format::{self, BlockRecord, HEADER_LENGTH, NO_RECORD, RECORD_LENGTH};
use super::key::{DiskKey, Fingerprint, block_start};
use super::kill_point::kill_point;
use crate::ownership::{self, FileType};

/// Name of the lock file. The lock file is never removed: otherwise two processes could each lock a
/// different file.
pub(super) const LOCK_FILE: &str = "lock";

const DATA_EXTENSION: &str = "data";
const INDEX_EXTENSION: &str = "index";

/// Unit of `st_blocks` (stat(2)), in bytes.
const SECTOR_SIZE: u64 = 512;

/// The file system type of ZFS in statfs(2) (`ZFS_SUPER_MAGIC` of OpenZFS).
const ZFS_MAGIC: libc::c_long = 0x2fc1_2fc1;

/// Disk space of the two files of a file version, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct AllocatedSpace {
    pub(super) data: u64,
    pub(super) index: u64,
}

/// Time of the last change to a file. Only the kernel can set it (`st_ctim`, inode(7)).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct ChangeTime {
    seconds: i64,
    nanoseconds: i64,
}

impl ChangeTime {
    pub(super) fn read(file: &File) -> std::io::Result<Self> {
        let metadata = file.metadata()?;
        Ok(Self { seconds: metadata.ctime(), nanoseconds: metadata.ctime_nsec() })
    }
}

/// The open data file and index file of a file version.
#[derive(Debug)]
pub(super) struct OpenFiles {
    pub(super) data: File,
    pub(super) index: File,
}

/// The content of an index file, the disk space of the index file and the data file, and the change
/// time of the data file.
#[derive(Debug)]
pub(super) struct IndexContent {
    pub(super) key: DiskKey,
    pub(super) records: Vec<(u32, BlockRecord)>,
    pub(super) space: AllocatedSpace,
    pub(super) change_time: ChangeTime,
}

/// Returns the same values as [`Volume::free_and_total_bytes`] for the file system of any
/// directory.
pub(super) fn free_and_total_bytes_at(directory: &Path) -> std::io::Result<(u64, u64)> {
    Ok(free_and_total_bytes_of(&nix::sys::statvfs::statvfs(directory)?))
}

fn free_and_total_bytes_of(status: &Statvfs) -> (u64, u64) {
    // The types of these fields differ between platforms.
    #[allow(clippy::useless_conversion)]
    let (fragment, available, total) = (
        u64::from(status.fragment_size()),
        u64::from(status.blocks_available()),
        u64::from(status.blocks()),
    );
    (available.saturating_mul(fragment), total.saturating_mul(fragment))
}

/// An open cache directory.
#[derive(Debug)]
pub(super) struct Volume {
    path: PathBuf,
    directory: File,
    /// Allocation unit of the file system, in bytes.
    allocation_unit: u64,
    /// Whether the file system updates `st_blocks` immediately after a change. ZFS updates it some
    /// seconds later.
    reports_space_at_once: bool,
}

impl Volume {
    /// Opens the directory, and creates it if needed. Gives access only to its owner. Rejects a
    /// symbolic link and a directory of another user.
    pub(super) fn open(path: &Path) -> Result<Self, DiskError> {
        let directory_error = |source| DiskError::Directory { directory: path.into(), source };
        ownership::check_path(path, FileType::Directory)?;
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(path)
            .map_err(directory_error)?;
        let directory = OpenOptions::new()
            .read(true)
            .custom_flags(libc::O_DIRECTORY | libc::O_NOFOLLOW)
            .open(path)
            .map_err(directory_error)?;
        let metadata = directory.metadata().map_err(directory_error)?;
        if metadata.mode() & 0o777 != 0o700 {
            match directory.set_permissions(Permissions::from_mode(0o700)) {
                Err(cause) if cause.kind() != ErrorKind::ReadOnlyFilesystem => {
                    return Err(directory_error(cause));
                }
                _ => {}
            }
        }
        let file_system =
            nix::sys::statfs::fstatfs(&directory).map_err(|errno| directory_error(errno.into()))?;
        Ok(Self {
            path: path.into(),
            directory,
            // The largest allocation unit in practice is a huge page of a tmpfs, 2 MiB. NFS can
            // report any transfer size.
            allocation_unit: metadata.blksize().clamp(SECTOR_SIZE, 2 * 1024 * 1024),
            reports_space_at_once: file_system.filesystem_type().0 != ZFS_MAGIC,
        })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn allocation_unit(&self) -> u64 {
        self.allocation_unit
    }

    fn path_of(&self, fingerprint: Fingerprint, extension: &str) -> PathBuf {
        self.path.join(format!("{}.{extension}", fingerprint.to_hex()))
    }

    /// Returns the bytes that are available to an ordinary user on the file system, and the total
    /// size of the file system in bytes.
    pub(super) fn free_and_total_bytes(&self) -> std::io::Result<(u64, u64)> {
        Ok(free_and_total_bytes_of(&nix::sys::statvfs::fstatvfs(&self.directory)?))
    }

    /// Returns the disk space of the directory itself and of the lock file, in bytes.
    pub(super) fn overhead(&self) -> u64 {
        let blocks = |metadata: std::io::Result<std::fs::Metadata>| {
            metadata.map(|metadata| metadata.blocks()).unwrap_or(0)
        };
        let lock = blocks(self.path.join(LOCK_FILE).metadata());
        let directory = blocks(self.directory.metadata());
        (lock + directory) * SECTOR_SIZE
    }

    /// Returns the fingerprints of the files in the directory. Ignores files with other names.
    pub(super) fn list_fingerprints(&self) -> std::io::Result<HashSet<Fingerprint>> {
        let mut fingerprints = HashSet::new();
        for entry in std::fs::read_dir(&self.path)? {
            let entry = entry?;
            let name = entry.file_name();
            let Some((stem, extension)) = name.to_str().and_then(|name| name.split_once('.'))
            else {
                continue;
            };
            if (extension == DATA_EXTENSION || extension == INDEX_EXTENSION)
                && entry.file_type().is_ok_and(|file_type| file_type.is_file())
            {
                fingerprints.extend(Fingerprint::from_hex(stem));
            }
        }
        Ok(fingerprints)
    }

    /// Returns the disk space of the files of a fingerprint, in bytes, even if the content of the
    /// files is invalid.
    pub(super) fn disk_space_of(&self, fingerprint: Fingerprint) -> u64 {
        let files = [DATA_EXTENSION, INDEX_EXTENSION]
            .iter()
            .filter_map(|extension| self.path_of(fingerprint, extension).symlink_metadata().ok());
        files.map(|metadata| metadata.blocks() * SECTOR_SIZE).sum()
    }

    /// Opens a regular file of this user. Returns `PermissionDenied` for everything else, such as a
    /// symbolic link, a pipe or the file of another user.
    fn open_existing(
        &self,
        fingerprint: Fingerprint,
        extension: &str,
        is_writable: bool,
    ) -> std::io::Result<File> {
        let result = OpenOptions::new()
            .read(true)
            .write(is_writable)
            // Opening a pipe would block.
            .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK)
            .open(self.path_of(fingerprint, extension));
        let file = match result.as_ref().map_err(std::io::Error::raw_os_error) {
            Err(Some(libc::ELOOP | libc::ENXIO)) => return Err(ErrorKind::PermissionDenied.into()),
            _ => result?,
        };
        let metadata = file.metadata()?;
        let is_usable = metadata.is_file() && ownership::is_owned(&metadata);
        if is_usable { Ok(file) } else { Err(ErrorKind::PermissionDenied.into()) }
    }

    /// Opens the data file for reading.
    pub(super) fn open_data(&self, fingerprint: Fingerprint) -> std::io::Result<File> {
        self.open_existing(fingerprint, DATA_EXTENSION, false)
    }

    /// Opens the data file and the index file of a stored file version.
    pub(super) fn open_files(&self, fingerprint: Fingerprint) -> std::io::Result<OpenFiles> {
        Ok(OpenFiles {
            data: self.open_existing(fingerprint, DATA_EXTENSION, true)?,
            index: self.open_existing(fingerprint, INDEX_EXTENSION, true)?,
        })
    }

    /// Creates the data file and the index file of a file version that is not stored yet. If the
    /// process dies before the header is written, the index is invalid and contains no blocks.
    pub(super) fn create_files(&self, key: DiskKey) -> std::io::Result<OpenFiles> {
        let create = |extension| {
            let path = self.path_of(key.fingerprint, extension);
            if path.symlink_metadata().is_ok_and(|metadata| !metadata.is_file()) {
                std::fs::remove_file(&path)?;
            }
            OpenOptions::new()
                .read(true)
                .write(true)
                .create(true)
                .truncate(true)
                .mode(0o600)
                .custom_flags(libc::O_NOFOLLOW)
                .open(path)
        };
        let data = create(DATA_EXTENSION)?;
        kill_point();
        data.set_len(key.size)?;
        let files = OpenFiles { data, index: create(INDEX_EXTENSION)? };
        kill_point();
        files.index.write_all_at(&index_format::encode_header(key), 0)?;
        Ok(files)
    }

    /// Removes both files of a fingerprint, the index first. Truncates the data file before it
    /// unlinks it: otherwise the space would stay in use while a reader has the file open. The file
    /// of another user is only unlinked.
    pub(super) fn remove_files(&self, fingerprint: Fingerprint) -> std::io::Result<()> {
        kill_point();
        ignore_missing(std::fs::remove_file(self.path_of(fingerprint, INDEX_EXTENSION)))?;
        kill_point();
        match self.open_existing(fingerprint, DATA_EXTENSION, true) {
            Err(error) if error.kind() == ErrorKind::PermissionDenied => {}
            result => ignore_missing(result.and_then(|data| data.set_len(0)))?,
        }
        kill_point();
        ignore_missing(std::fs::remove_file(self.path_of(fingerprint, DATA_EXTENSION)))
    }

    /// Removes only the index file, so the file has no blocks after a restart.
    pub(super) fn remove_index(&self, fingerprint: Fingerprint) -> std::io::Result<()> {
        ignore_missing(std::fs::remove_file(self.path_of(fingerprint, INDEX_EXTENSION)))
    }

    /// Reads the index file of a fingerprint. Returns `None` if the index is damaged or belongs to
    /// another file, or if the data file has the wrong length.
    pub(super) fn read_index(
        &self,
        fingerprint: Fingerprint,
    ) -> std::io::Result<Option<IndexContent>> {
        let mut index = self.open_existing(fingerprint, INDEX_EXTENSION, false)?;
        let mut header = [0; HEADER_LENGTH];
        match index.read_exact(&mut header) {
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(None),
            result => result?,
        }
        let Some(key) = index_format::decode_header(&header, fingerprint) else { return Ok(None) };
        let Some(block_count) = key.block_count() else { return Ok(None) };
        let data = self.open_data(fingerprint)?;
        if data.metadata()?.len() != key.size {
            return Ok(None);
        }
        let change_time = ChangeTime::read(&data)?;
        let mut bytes = Vec::new();
        let length = index_format::max_index_length(block_count) - HEADER_LENGTH as u64;
        (&index).take(length).read_to_end(&mut bytes)?;
        let records = (0..block_count)
            .zip(bytes.chunks_exact(RECORD_LENGTH))
            .filter(|(_, bytes)| *bytes != NO_RECORD)
            .filter_map(|(index, bytes)| {
                Some((index, index_format::decode_record(bytes, key, index)?))
            })
            .collect();
        let space = self.measure_space(&OpenFiles { data, index })?;
        Ok(Some(IndexContent { key, records, space, change_time }))
    }

    /// Measures the disk space of both files of a file version.
    pub(super) fn measure_space(&self, files: &OpenFiles) -> std::io::Result<AllocatedSpace> {
        let index = files.index.metadata()?;
        if !self.reports_space_at_once {
            return Ok(AllocatedSpace {
                data: 0,
                index: index.len().next_multiple_of(self.allocation_unit),
            });
        }
        Ok(AllocatedSpace {
            data: files.data.metadata()?.blocks() * SECTOR_SIZE,
            index: index.blocks() * SECTOR_SIZE,
        })
    }

    /// Reads the `length` bytes of block `index` without verifying them.
    pub(super) fn read_block(
        &self,
        fingerprint: Fingerprint,
        index: u32,
        length: usize,
    ) -> std::io::Result<Vec<u8>> {
        let mut data = self.open_data(fingerprint)?;
        data.seek(SeekFrom::Start(block_start(index)))?;
        let mut block = Vec::with_capacity(length);
        let read = data.take(length as u64).read_to_end(&mut block)?;
        if read == length { Ok(block) } else { Err(ErrorKind::UnexpectedEof.into()) }
    }
}

impl OpenFiles {
    /// Whether another process has removed one of the files. Its blocks can no longer be read, and
    /// its space is free only after it is closed.
    pub(super) fn is_removed(&self) -> bool {
        let has_no_name = |file: &File| file.metadata().is_ok_and(|metadata| metadata.nlink() == 0);
        has_no_name(&self.data) || has_no_name(&self.index)
    }

    pub(super) fn write_block(&self, index: u32, block: &[u8]) -> std::io::Result<()> {
        kill_point();
        self.data.write_all_at(block, block_start(index))
    }

    /// Writes the record of block `index`, which marks the block as stored. The bytes of the block
    /// must have been written before.
    pub(super) fn write_record(
        &self,
        key: DiskKey,
        index: u32,
        record: BlockRecord,
    ) -> std::io::Result<()> {
        kill_point();
        self.index.write_all_at(
            &index_format::encode_record(key, index, record),
            index_format::record_offset(index),
        )
    }

    /// Clears the record of block `index`, which marks the block as not stored.
    pub(super) fn clear_record(&self, index: u32) -> std::io::Result<()> {
        kill_point();
        self.index.write_all_at(&NO_RECORD, index_format::record_offset(index))
    }

    /// Frees the disk space of `count` blocks, beginning with block `first`.
    pub(super) fn punch_blocks(&self, first: u32, count: u32) -> std::io::Result<()> {
        kill_point();
        let length = block_start(count);
        punch_hole(&self.data, block_start(first), length)
    }
}

fn ignore_missing(result: std::io::Result<()>) -> std::io::Result<()> {
    match result {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        result => result,
    }
}
