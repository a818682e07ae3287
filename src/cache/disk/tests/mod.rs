//! Tests the cache through its public interface, on a real file system.
//!
//! The content of a block is a function of its file and index, so the bytes of any load can be
//! checked.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use tempfile::TempDir;

use super::*;
use crate::cache::BlockIndex;
use crate::model::{FileId, FileKey, MeetingId, SourceName, Version};

mod behavior;
mod damage;
mod full;
mod interleavings;
mod killed;

const MIB: u64 = 1024 * 1024;
/// Timeout of a flush. A flush that takes longer counts as hanging.
const SOON: Duration = Duration::from_secs(20);

/// Returns the key of a file version of `size` bytes. Each `number` stands for a different file.
fn file(number: u64, size: u64) -> DiskKey {
    let id = FileId {
        source: SourceName::new("acme-of-ana").unwrap(),
        meeting: MeetingId::from("4yUxQw==-ana@example.org"),
        key: FileKey::from(format!("topic-{number}").as_str()),
    };
    DiskKey::new(&id, Version(number), size, "")
}

/// Returns the content of block `index` of a file.
fn content(key: DiskKey, index: u64) -> Bytes {
    let length = key.block_length(u32::try_from(index).unwrap()).unwrap();
    let mut state = key.fingerprint.0 as u64 ^ (index + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let page: Vec<u8> = std::iter::repeat_with(|| {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    })
    .take(4099)
    .collect();
    let mut block = page.repeat(length.div_ceil(page.len()));
    block.truncate(length);
    block.into()
}

/// Opens a cache without a floor of free space.
fn open(directory: &Path, limit: u64) -> Arc<DiskCache> {
    let options = DiskOptions {
        directory: directory.into(),
        limit,
        free_floor: Some(0),
        queue_limit: 64 * MIB,
    };
    DiskCache::open(options).unwrap()
}

fn store(cache: &DiskCache, key: DiskKey, index: u64) {
    cache.store(key, BlockIndex(index), content(key, index));
}

/// Stores the blocks one at a time, so their access times are in order and the queue is never full.
fn store_all(cache: &DiskCache, key: DiskKey) {
    for index in 0..BlockIndex::count(key.size).0 {
        store(cache, key, index);
    }
    assert!(cache.flush(SOON));
}

/// Whether the block is stored. Checks its content if it is.
fn load(cache: &DiskCache, key: DiskKey, index: u64) -> bool {
    let length = content(key, index).len();
    let loaded = runtime().block_on(cache.load(key, BlockIndex(index), length));
    if let Some(block) = &loaded {
        assert!(*block == content(key, index), "block {index} of {key:?} is not what was stored");
    }
    loaded.is_some()
}

fn complete(cache: &DiskCache, key: DiskKey) -> Option<CompleteFile> {
    runtime().block_on(cache.open_complete(key))
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap()
}

/// Returns the disk space of a directory and its files, in bytes.
fn allocated(directory: &Path) -> u64 {
    let files =
        std::fs::read_dir(directory).unwrap().filter_map(|entry| entry.unwrap().metadata().ok());
    let directory = directory.metadata().unwrap();
    (directory.blocks() + files.map(|found| found.blocks()).sum::<u64>()) * 512
}

fn path_of(directory: &Path, key: DiskKey, kind: &str) -> PathBuf {
    directory.join(format!("{}.{kind}", key.fingerprint.hex()))
}

/// A small file system in memory, unmounted when dropped. Mounting needs root.
struct SmallDisk(TempDir);

impl SmallDisk {
    fn mounted(size: u64) -> Self {
        Self::of_kind("tmpfs", &format!("size={size}"))
    }

    fn of_kind(kind: &str, options: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        mount(Some(kind), directory.path(), Some(kind), MsFlags::empty(), Some(options)).unwrap();
        Self(directory)
    }

    fn blocks(&self) -> PathBuf {
        self.0.path().join("blocks")
    }

    /// Returns the bytes in use on the file system.
    fn used(&self) -> u64 {
        let found = nix::sys::statvfs::statvfs(self.0.path()).unwrap();
        (found.blocks() - found.blocks_free()) * found.fragment_size()
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = umount2(self.0.path(), MntFlags::MNT_DETACH);
    }
}

/// Returns a command that runs one ignored test of this binary in its own process.
fn child(test: &str, directory: &Path) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--ignored", "--exact", "--nocapture", test]).env(CHILD_DIRECTORY, directory);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

const CHILD_DIRECTORY: &str = "MEETFS_TEST_DIRECTORY";

/// Returns the directory of a test that runs in a [`child`].
fn child_directory() -> PathBuf {
    std::env::var_os(CHILD_DIRECTORY).expect("another test runs this one").into()
}
