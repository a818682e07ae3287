//! Tests the disk cache through its public interface, on a real file system.
//!
//! The content of a block is derived from its file and index, so a test can check the bytes of any
//! load.

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
mod full_disk;
mod interleavings;
mod killed_process;

const MIB: u64 = 1024 * 1024;
/// Timeout of a flush. A flush that takes longer is considered stuck.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(60);

/// Returns the key of a file version of `size` bytes. Different numbers stand for different files.
fn file_key(number: u64, size: u64) -> DiskKey {
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

/// Opens a cache that does not have to leave any space free.
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

/// Stores all blocks of a file in order, and waits until they are on disk.
fn store_all(cache: &DiskCache, key: DiskKey) {
    for index in 0..BlockIndex::count(key.size).0 {
        store(cache, key, index);
    }
    assert!(cache.flush(FLUSH_TIMEOUT));
}

/// Loads a block, and checks its bytes. Returns whether the block is stored.
fn load(cache: &DiskCache, key: DiskKey, index: u64) -> bool {
    let length = content(key, index).len();
    let result = runtime().block_on(cache.load(key, BlockIndex(index), length));
    if let Some(block) = &result {
        assert!(
            *block == content(key, index),
            "block {index} of {key:?} differs from the stored block"
        );
    }
    result.is_some()
}

fn open_complete(cache: &DiskCache, key: DiskKey) -> Option<CompleteFile> {
    runtime().block_on(cache.open_complete(key))
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap()
}

/// Returns the disk space of a directory and its files, in bytes.
fn disk_space(directory: &Path) -> u64 {
    let files =
        std::fs::read_dir(directory).unwrap().filter_map(|entry| entry.unwrap().metadata().ok());
    let directory = directory.metadata().unwrap();
    (directory.blocks() + files.map(|metadata| metadata.blocks()).sum::<u64>()) * 512
}

fn path_of(directory: &Path, key: DiskKey, extension: &str) -> PathBuf {
    directory.join(format!("{}.{extension}", key.fingerprint.to_hex()))
}

/// A small file system in memory, which is unmounted when dropped. Mounting it needs root.
struct SmallDisk(TempDir);

impl SmallDisk {
    fn mount(size: u64) -> Self {
        Self::mount_as("tmpfs", &format!("size={size}"))
    }

    fn mount_as(file_system_type: &str, options: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        mount(
            Some(file_system_type),
            directory.path(),
            Some(file_system_type),
            MsFlags::empty(),
            Some(options),
        )
        .unwrap();
        Self(directory)
    }

    fn cache_directory(&self) -> PathBuf {
        self.0.path().join("blocks")
    }

    /// Returns the number of bytes in use on the file system.
    fn used_bytes(&self) -> u64 {
        let statistics = nix::sys::statvfs::statvfs(self.0.path()).unwrap();
        (statistics.blocks() - statistics.blocks_free()) * statistics.fragment_size()
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = umount2(self.0.path(), MntFlags::MNT_DETACH);
    }
}

/// Returns a command that runs one ignored test of this binary in a process of its own.
fn test_process(test: &str, directory: &Path) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--ignored", "--exact", "--nocapture", test]).env(CHILD_DIRECTORY, directory);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

const CHILD_DIRECTORY: &str = "MEETFS_TEST_DIRECTORY";

/// Returns the directory that the parent test has passed to [`test_process`].
fn child_directory() -> PathBuf {
    std::env::var_os(CHILD_DIRECTORY).expect("another test runs this one").into()
}
