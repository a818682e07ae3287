//! The directory on disk: its files by fingerprint, and what the file system says of them.
//!
//! Two files a file version, `FINGERPRINT.data` and `FINGERPRINT.index`, and one `lock`. The data file is as long as
//! the file it caches from the start, with holes where nothing is held: XFS would otherwise allocate room behind the
//! end of a file that grows, and count it, and the kernel could not be handed the file to read by itself.

use std::collections::HashSet;
use std::fs::{File, OpenOptions, Permissions};
use std::io::{ErrorKind, Read, Seek, SeekFrom};
use std::os::unix::fs::{DirBuilderExt, FileExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use nix::fcntl::{FallocateFlags, fallocate};
use nix::sys::statvfs::Statvfs;

use super::error::DiskError;
use super::format::{self, HEADER_LENGTH, NO_RECORD, RECORD_LENGTH, Record};
use super::key::{DiskKey, Fingerprint, block_start};
use crate::ownership::{self, Kind};

const DATA: &str = "data";
const INDEX: &str = "index";

/// A part of a file that lasts as long as the file system does: `st_blocks` counts in these (stat(2)).
const SECTOR: u64 = 512;

/// ZFS by its magic number (`ZFS_SUPER_MAGIC` of OpenZFS).
const ZFS: libc::c_long = 0x2fc1_2fc1;

/// Bytes of disk that a file version takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Allocated {
    pub(super) data: u64,
    pub(super) index: u64,
}

/// When a file was last changed, as the kernel notes it: nobody can set that (`st_ctim`, inode(7)).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Changed {
    seconds: i64,
    nanoseconds: i64,
}

impl Changed {
    pub(super) fn of(file: &File) -> std::io::Result<Self> {
        let found = file.metadata()?;
        Ok(Self { seconds: found.ctime(), nanoseconds: found.ctime_nsec() })
    }
}

/// The two files of a file version, open.
#[derive(Debug)]
pub(super) struct Files {
    pub(super) data: File,
    pub(super) index: File,
}

/// What an index file says.
#[derive(Debug)]
pub(super) struct Index {
    pub(super) key: DiskKey,
    pub(super) records: Vec<(u32, Record)>,
    pub(super) allocated: Allocated,
    pub(super) changed: Changed,
}

/// As [`Volume::space`], of the file system that a directory lies on.
pub(super) fn space_at(directory: &Path) -> std::io::Result<(u64, u64)> {
    Ok(space_of(&nix::sys::statvfs::statvfs(directory)?))
}

fn space_of(found: &Statvfs) -> (u64, u64) {
    // The types of these fields differ between platforms.
    #[allow(clippy::useless_conversion)]
    let (fragment, available, all) = (
        u64::from(found.fragment_size()),
        u64::from(found.blocks_available()),
        u64::from(found.blocks()),
    );
    (available.saturating_mul(fragment), all.saturating_mul(fragment))
}

/// A directory with blocks.
#[derive(Debug)]
pub(super) struct Volume {
    path: PathBuf,
    directory: File,
    /// Space is given out in multiples of this.
    unit: u64,
    /// Whether `st_blocks` tells the truth at once. ZFS tells it some seconds later.
    prompt: bool,
}

impl Volume {
    /// Makes the directory if need be, for the owner alone. A link is refused, and so is somebody else's directory.
    pub(super) fn open(path: &Path) -> Result<Self, DiskError> {
        let failed = |cause| DiskError::Directory { directory: path.into(), cause };
        ownership::check(path, Kind::Directory)?;
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(failed)?;
        let directory = OpenOptions::new()
            .read(true)
            .custom_flags(libc::O_DIRECTORY | libc::O_NOFOLLOW)
            .open(path)
            .map_err(failed)?;
        let found = directory.metadata().map_err(failed)?;
        if found.mode() & 0o777 != 0o700 {
            match directory.set_permissions(Permissions::from_mode(0o700)) {
                Err(cause) if cause.kind() != ErrorKind::ReadOnlyFilesystem => {
                    return Err(failed(cause));
                }
                _ => {}
            }
        }
        let kind = nix::sys::statfs::fstatfs(&directory).map_err(|errno| failed(errno.into()))?;
        Ok(Self {
            path: path.into(),
            directory,
            // Up to the 2 MiB pages of a tmpfs that uses huge ones; NFS may name any transfer size.
            unit: found.blksize().clamp(SECTOR, 2 * 1024 * 1024),
            prompt: kind.filesystem_type().0 != ZFS,
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

    /// Bytes that others than the superuser may still write on the file system, and bytes it has in all.
    pub(super) fn space(&self) -> std::io::Result<(u64, u64)> {
        Ok(space_of(&nix::sys::statvfs::fstatvfs(&self.directory)?))
    }

    /// Bytes that the directory itself takes, with the lock file.
    pub(super) fn overhead(&self) -> u64 {
        let lock =
            self.path.join(super::lock::NAME).metadata().map(|found| found.blocks()).unwrap_or(0);
        let directory = self.directory.metadata().map(|found| found.blocks()).unwrap_or(0);
        (lock + directory) * SECTOR
    }

    /// The fingerprints that have a file here. Nothing else in the directory is the cache's.
    pub(super) fn list(&self) -> std::io::Result<HashSet<Fingerprint>> {
        let mut found = HashSet::new();
        for entry in std::fs::read_dir(&self.path)? {
            let entry = entry?;
            let name = entry.file_name();
            let Some((stem, kind)) = name.to_str().and_then(|name| name.split_once('.')) else {
                continue;
            };
            if (kind == DATA || kind == INDEX) && entry.file_type().is_ok_and(|kind| kind.is_file())
            {
                found.extend(Fingerprint::from_hex(stem));
            }
        }
        Ok(found)
    }

    /// Bytes of disk that the files of a fingerprint take, whatever is in them.
    pub(super) fn allocated_by(&self, fingerprint: Fingerprint) -> u64 {
        let found = [DATA, INDEX]
            .iter()
            .filter_map(|kind| self.file(fingerprint, kind).symlink_metadata().ok());
        found.map(|found| found.blocks() * SECTOR).sum()
    }

    /// Opens a file, unless somebody else could have written it. What is no file, such as a link or a pipe, is refused
    /// like somebody else's.
    fn open_existing(
        &self,
        fingerprint: Fingerprint,
        kind: &str,
        write: bool,
    ) -> std::io::Result<File> {
        let opened = OpenOptions::new()
            .read(true)
            .write(write)
            // A pipe would be waited on.
            .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK)
            .open(self.file(fingerprint, kind));
        let file = match opened.as_ref().map_err(std::io::Error::raw_os_error) {
            Err(Some(libc::ELOOP | libc::ENXIO)) => return Err(ErrorKind::PermissionDenied.into()),
            _ => opened?,
        };
        let found = file.metadata()?;
        let is_usable = found.is_file() && ownership::is_own(&found);
        if is_usable { Ok(file) } else { Err(ErrorKind::PermissionDenied.into()) }
    }

    /// The data file, to be read.
    pub(super) fn open_data(&self, fingerprint: Fingerprint) -> std::io::Result<File> {
        self.open_existing(fingerprint, DATA, false)
    }

    /// Both files of a file version that is held.
    pub(super) fn open_files(&self, fingerprint: Fingerprint) -> std::io::Result<Files> {
        Ok(Files {
            data: self.open_existing(fingerprint, DATA, true)?,
            index: self.open_existing(fingerprint, INDEX, true)?,
        })
    }

    /// Makes both files of a file version that is not held. An index begins with no header, which stands for no
    /// block: the header comes with the first record.
    pub(super) fn create_files(&self, key: DiskKey) -> std::io::Result<Files> {
        let create = |kind| {
            let path = self.file(key.fingerprint, kind);
            if path.symlink_metadata().is_ok_and(|found| !found.is_file()) {
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
        step();
        data.set_len(key.size)?;
        let files = Files { data, index: create(INDEX)? };
        step();
        files.index.write_all_at(&format::encode_header(key), 0)?;
        Ok(files)
    }

    /// Removes both files. The index goes first, and the data is cut before its name goes: a reader that still has
    /// it open would keep its space otherwise. Somebody else's is not cut, and only loses its name here.
    pub(super) fn remove(&self, fingerprint: Fingerprint) -> std::io::Result<()> {
        step();
        fine_if_missing(std::fs::remove_file(self.file(fingerprint, INDEX)))?;
        step();
        match self.open_existing(fingerprint, DATA, true) {
            Err(error) if error.kind() == ErrorKind::PermissionDenied => {}
            opened => fine_if_missing(opened.and_then(|data| data.set_len(0)))?,
        }
        step();
        fine_if_missing(std::fs::remove_file(self.file(fingerprint, DATA)))
    }

    /// Removes the index alone, so that a restart finds nothing.
    pub(super) fn remove_index(&self, fingerprint: Fingerprint) -> std::io::Result<()> {
        fine_if_missing(std::fs::remove_file(self.file(fingerprint, INDEX)))
    }

    /// What the index of a fingerprint says; `None` if it is damaged or foreign, or the data file is not as long
    /// as it must be.
    pub(super) fn read_index(&self, fingerprint: Fingerprint) -> std::io::Result<Option<Index>> {
        let mut index = self.open_existing(fingerprint, INDEX, false)?;
        let mut header = [0; HEADER_LENGTH];
        match index.read_exact(&mut header) {
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(None),
            read => read?,
        }
        let Some(key) = format::decode_header(&header, fingerprint) else { return Ok(None) };
        let Some(blocks) = key.block_count() else { return Ok(None) };
        let data = self.open_data(fingerprint)?;
        if data.metadata()?.len() != key.size {
            return Ok(None);
        }
        let changed = Changed::of(&data)?;
        let mut bytes = Vec::new();
        let length = format::index_length(blocks) - HEADER_LENGTH as u64;
        (&index).take(length).read_to_end(&mut bytes)?;
        let records = (0..blocks)
            .zip(bytes.chunks_exact(RECORD_LENGTH))
            .filter(|(_, bytes)| *bytes != NO_RECORD)
            .filter_map(|(at, bytes)| Some((at, format::decode_record(bytes, key, at)?)))
            .collect();
        let allocated = self.allocated(&Files { data, index })?;
        Ok(Some(Index { key, records, allocated, changed }))
    }

    /// What a file version takes now.
    pub(super) fn allocated(&self, files: &Files) -> std::io::Result<Allocated> {
        let index = files.index.metadata()?;
        if !self.prompt {
            return Ok(Allocated { data: 0, index: index.len().next_multiple_of(self.unit) });
        }
        Ok(Allocated {
            data: files.data.metadata()?.blocks() * SECTOR,
            index: index.blocks() * SECTOR,
        })
    }

    /// Reads block `index` whole.
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

impl Files {
    pub(super) fn write_block(&self, index: u32, block: &[u8]) -> std::io::Result<()> {
        step();
        self.data.write_all_at(block, block_start(index))
    }

    /// Makes block `index` one that is held. Its bytes must have been written.
    pub(super) fn write_record(
        &self,
        key: DiskKey,
        index: u32,
        record: Record,
    ) -> std::io::Result<()> {
        step();
        self.index
            .write_all_at(&format::encode_record(key, index, record), format::record_offset(index))
    }

    /// Makes block `index` one that is not held.
    pub(super) fn clear_record(&self, index: u32) -> std::io::Result<()> {
        step();
        self.index.write_all_at(&NO_RECORD, format::record_offset(index))
    }

    /// Frees the space of `count` blocks from `first` on.
    pub(super) fn punch(&self, first: u32, count: u32) -> std::io::Result<()> {
        step();
        let length = block_start(count);
        punch(&self.data, block_start(first), length)
    }
}

/// Frees a part of a file; its length stays (fallocate(2)).
pub(super) fn punch(file: &File, offset: u64, length: u64) -> std::io::Result<()> {
    let too_far = |_| std::io::Error::from(ErrorKind::InvalidInput);
    let (offset, length) =
        (i64::try_from(offset).map_err(too_far)?, i64::try_from(length).map_err(too_far)?);
    let flags = FallocateFlags::FALLOC_FL_PUNCH_HOLE | FallocateFlags::FALLOC_FL_KEEP_SIZE;
    loop {
        match fallocate(file, flags, offset, length) {
            Err(nix::errno::Errno::EINTR) => {}
            done => return Ok(done?),
        }
    }
}

/// Where a test may end the process, before each change of what is on disk.
#[cfg(not(test))]
fn step() {}

#[cfg(test)]
use super::tests::killed::step;

fn fine_if_missing(done: std::io::Result<()>) -> std::io::Result<()> {
    match done {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        done => done,
    }
}
