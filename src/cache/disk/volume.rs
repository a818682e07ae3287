//! The cache directory on disk: its files by fingerprint, and the space that they take.
//!
//! The directory contains two files per file version, `FINGERPRINT.data` and `FINGERPRINT.index`,
//! and one file named `lock`. The data file has the full length of the cached file from the start,
//! with holes in place of blocks that are not stored. If it grew instead, XFS would allocate and
//! count space after its end, and the kernel could not read the file directly.

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

/// Name of the lock file. It is never removed. Otherwise two processes could each lock a different
/// file.
pub(super) const LOCK_FILE: &str = "lock";

const DATA: &str = "data";
const INDEX: &str = "index";

/// The unit of `st_blocks` (stat(2)).
const SECTOR: u64 = 512;

/// The magic number of ZFS (`ZFS_SUPER_MAGIC` of OpenZFS).
const ZFS: libc::c_long = 0x2fc1_2fc1;

/// Disk space of a file version, in bytes.
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
    pub(super) fn of(file: &File) -> std::io::Result<Self> {
        let metadata = file.metadata()?;
        Ok(Self { seconds: metadata.ctime(), nanoseconds: metadata.ctime_nsec() })
    }
}

/// The two files of a file version, open.
#[derive(Debug)]
pub(super) struct OpenFiles {
    pub(super) data: File,
    pub(super) index: File,
}

/// The content of an index file, and the space and change time of its data file.
#[derive(Debug)]
pub(super) struct IndexContent {
    pub(super) key: DiskKey,
    pub(super) records: Vec<(u32, BlockRecord)>,
    pub(super) allocated: AllocatedSpace,
    pub(super) change_time: ChangeTime,
}

/// Returns the same values as [`Volume::space`], for the file system of any directory.
pub(super) fn space_at(directory: &Path) -> std::io::Result<(u64, u64)> {
    Ok(space_of(&nix::sys::statvfs::statvfs(directory)?))
}

fn space_of(status: &Statvfs) -> (u64, u64) {
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
    /// Allocation unit of the file system.
    unit: u64,
    /// Whether `st_blocks` is up to date immediately after a change. On ZFS it lags by some
    /// seconds.
    reports_space_at_once: bool,
}

impl Volume {
    /// Opens the directory, or creates it so that only its owner has access. Rejects a symbolic
    /// link, and a directory of another user.
    pub(super) fn open(path: &Path) -> Result<Self, DiskError> {
        let failed = |source| DiskError::Directory { directory: path.into(), source };
        ownership::check_path(path, FileType::Directory)?;
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(failed)?;
        let directory = OpenOptions::new()
            .read(true)
            .custom_flags(libc::O_DIRECTORY | libc::O_NOFOLLOW)
            .open(path)
            .map_err(failed)?;
        let metadata = directory.metadata().map_err(failed)?;
        if metadata.mode() & 0o777 != 0o700 {
            match directory.set_permissions(Permissions::from_mode(0o700)) {
                Err(cause) if cause.kind() != ErrorKind::ReadOnlyFilesystem => {
                    return Err(failed(cause));
                }
                _ => {}
            }
        }
        let file_system =
            nix::sys::statfs::fstatfs(&directory).map_err(|errno| failed(errno.into()))?;
        Ok(Self {
            path: path.into(),
            directory,
            // The largest real unit is a huge page of a tmpfs, 2 MiB. NFS can report any transfer
            // size.
            unit: metadata.blksize().clamp(SECTOR, 2 * 1024 * 1024),
            reports_space_at_once: file_system.filesystem_type().0 != ZFS,
        })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn unit(&self) -> u64 {
        self.unit
    }

    fn file(&self, fingerprint: Fingerprint, kind: &str) -> PathBuf {
        self.path.join(format!("{}.{kind}", fingerprint.hex()))
    }

    /// Returns the bytes that are available to an ordinary user on the file system, and the size of
    /// the file system in bytes.
    pub(super) fn space(&self) -> std::io::Result<(u64, u64)> {
        Ok(space_of(&nix::sys::statvfs::fstatvfs(&self.directory)?))
    }

    /// Returns the space of the directory itself and the lock file, in bytes.
    pub(super) fn overhead(&self) -> u64 {
        let blocks = |metadata: std::io::Result<std::fs::Metadata>| {
            metadata.map(|metadata| metadata.blocks()).unwrap_or(0)
        };
        let lock = blocks(self.path.join(LOCK_FILE).metadata());
        let directory = blocks(self.directory.metadata());
        (lock + directory) * SECTOR
    }

    /// Returns the fingerprints that have a file in the directory. All other files are foreign.
    pub(super) fn list(&self) -> std::io::Result<HashSet<Fingerprint>> {
        let mut fingerprints = HashSet::new();
        for entry in std::fs::read_dir(&self.path)? {
            let entry = entry?;
            let name = entry.file_name();
            let Some((stem, kind)) = name.to_str().and_then(|name| name.split_once('.')) else {
                continue;
            };
            if (kind == DATA || kind == INDEX) && entry.file_type().is_ok_and(|kind| kind.is_file())
            {
                fingerprints.extend(Fingerprint::from_hex(stem));
            }
        }
        Ok(fingerprints)
    }

    /// Returns the space of the files of a fingerprint in bytes, even if their content is invalid.
    pub(super) fn allocated_by(&self, fingerprint: Fingerprint) -> u64 {
        let files = [DATA, INDEX]
            .iter()
            .filter_map(|kind| self.file(fingerprint, kind).symlink_metadata().ok());
        files.map(|metadata| metadata.blocks() * SECTOR).sum()
    }

    /// Opens a regular file of this user. Rejects everything else, such as a symbolic link, a pipe
    /// or the file of another user, with `PermissionDenied`.
    fn open_existing(
        &self,
        fingerprint: Fingerprint,
        kind: &str,
        write: bool,
    ) -> std::io::Result<File> {
        let opened = OpenOptions::new()
            .read(true)
            .write(write)
            // Opening a pipe would block.
            .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK)
            .open(self.file(fingerprint, kind));
        let file = match opened.as_ref().map_err(std::io::Error::raw_os_error) {
            Err(Some(libc::ELOOP | libc::ENXIO)) => return Err(ErrorKind::PermissionDenied.into()),
            _ => opened?,
        };
        let metadata = file.metadata()?;
        let is_usable = metadata.is_file() && ownership::is_owned(&metadata);
        if is_usable { Ok(file) } else { Err(ErrorKind::PermissionDenied.into()) }
    }

    /// Opens the data file for reading.
    pub(super) fn open_data(&self, fingerprint: Fingerprint) -> std::io::Result<File> {
        self.open_existing(fingerprint, DATA, false)
    }

    /// Opens both files of a stored file version.
    pub(super) fn open_files(&self, fingerprint: Fingerprint) -> std::io::Result<OpenFiles> {
        Ok(OpenFiles {
            data: self.open_existing(fingerprint, DATA, true)?,
            index: self.open_existing(fingerprint, INDEX, true)?,
        })
    }

    /// Creates both files of a file version that is not stored yet. If the process dies before the
    /// header is written, the index is invalid and contains no blocks.
    pub(super) fn create_files(&self, key: DiskKey) -> std::io::Result<OpenFiles> {
        let create = |kind| {
            let path = self.file(key.fingerprint, kind);
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
        let data = create(DATA)?;
        kill_point();
        data.set_len(key.size)?;
        let files = OpenFiles { data, index: create(INDEX)? };
        kill_point();
        files.index.write_all_at(&index_format::encode_header(key), 0)?;
        Ok(files)
    }

    /// Removes both files, the index first. Truncates the data file before it unlinks it: otherwise
    /// the space would stay in use while a reader has the file open. The file of another user is
    /// only unlinked.
    pub(super) fn remove(&self, fingerprint: Fingerprint) -> std::io::Result<()> {
        kill_point();
        ignore_missing(std::fs::remove_file(self.file(fingerprint, INDEX)))?;
        kill_point();
        match self.open_existing(fingerprint, DATA, true) {
            Err(error) if error.kind() == ErrorKind::PermissionDenied => {}
            opened => ignore_missing(opened.and_then(|data| data.set_len(0)))?,
        }
        kill_point();
        ignore_missing(std::fs::remove_file(self.file(fingerprint, DATA)))
    }

    /// Removes only the index. After a restart, the file has no blocks.
    pub(super) fn remove_index(&self, fingerprint: Fingerprint) -> std::io::Result<()> {
        ignore_missing(std::fs::remove_file(self.file(fingerprint, INDEX)))
    }

    /// Reads the index of a fingerprint. Returns `None` if the index is damaged or foreign, or if
    /// the data file has the wrong length.
    pub(super) fn read_index(
        &self,
        fingerprint: Fingerprint,
    ) -> std::io::Result<Option<IndexContent>> {
        let mut index = self.open_existing(fingerprint, INDEX, false)?;
        let mut header = [0; HEADER_LENGTH];
        match index.read_exact(&mut header) {
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(None),
            read => read?,
        }
        let Some(key) = index_format::decode_header(&header, fingerprint) else { return Ok(None) };
        let Some(blocks) = key.block_count() else { return Ok(None) };
        let data = self.open_data(fingerprint)?;
        if data.metadata()?.len() != key.size {
            return Ok(None);
        }
        let change_time = ChangeTime::of(&data)?;
        let mut bytes = Vec::new();
        let length = index_format::index_length(blocks) - HEADER_LENGTH as u64;
        (&index).take(length).read_to_end(&mut bytes)?;
        let records = (0..blocks)
            .zip(bytes.chunks_exact(RECORD_LENGTH))
            .filter(|(_, bytes)| *bytes != NO_RECORD)
            .filter_map(|(at, bytes)| Some((at, index_format::decode_record(bytes, key, at)?)))
            .collect();
        let allocated = self.allocated(&OpenFiles { data, index })?;
        Ok(Some(IndexContent { key, records, allocated, change_time }))
    }

    /// Measures the space of a file version.
    pub(super) fn allocated(&self, files: &OpenFiles) -> std::io::Result<AllocatedSpace> {
        let index = files.index.metadata()?;
        if !self.reports_space_at_once {
            return Ok(AllocatedSpace { data: 0, index: index.len().next_multiple_of(self.unit) });
        }
        Ok(AllocatedSpace {
            data: files.data.metadata()?.blocks() * SECTOR,
            index: index.blocks() * SECTOR,
        })
    }

    /// Reads block `index`.
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
    pub(super) fn write_block(&self, index: u32, block: &[u8]) -> std::io::Result<()> {
        kill_point();
        self.data.write_all_at(block, block_start(index))
    }

    /// Marks block `index` as stored. Its bytes must have been written.
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

    /// Marks block `index` as not stored.
    pub(super) fn clear_record(&self, index: u32) -> std::io::Result<()> {
        kill_point();
        self.index.write_all_at(&NO_RECORD, index_format::record_offset(index))
    }

    /// Frees the space of `count` blocks, beginning with `first`.
    pub(super) fn punch(&self, first: u32, count: u32) -> std::io::Result<()> {
        kill_point();
        let length = block_start(count);
        punch_hole(&self.data, block_start(first), length)
    }
}

fn ignore_missing(done: std::io::Result<()>) -> std::io::Result<()> {
    match done {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        done => done,
    }
}
