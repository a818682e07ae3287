use std::io::Write;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use nix::errno::Errno;

use super::*;
use crate::model::Diagnostic;

const REMOUNT_TIMEOUT: Duration = Duration::from_secs(10);

/// Fills the file system with a file that does not belong to the cache.
fn fill_disk(disk: &SmallDisk) {
    let mut file = std::fs::File::create(disk.0.path().join("other-file")).unwrap();
    let chunk = vec![1; 64 * 1024];
    while file.write_all(&chunk).is_ok() {}
}

fn empty_disk(disk: &SmallDisk) {
    std::fs::remove_file(disk.0.path().join("other-file")).unwrap();
}

#[test]
#[ignore = "needs root: mounts a file system"]
fn the_limit_holds_at_every_moment() {
    let disk = SmallDisk::mount(50 * MIB);
    let used_before = disk.used_bytes();
    let limit = 8 * MIB;
    let cache = open(&disk.cache_directory(), limit);
    let is_done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for round in 0..400u64 {
                let key = file_key(round % 7, [5 * MIB + 3, 2000, 3 * MIB][(round % 3) as usize]);
                store(&cache, key, round % BlockIndex::count(key.size).0);
                if round % 16 == 0 {
                    cache.forget(file_key(round % 5, 5 * MIB + 3));
                    assert!(cache.flush(FLUSH_TIMEOUT));
                }
            }
            is_done.store(true, Ordering::Relaxed);
        });
        while !is_done.load(Ordering::Relaxed) {
            assert!(disk.used_bytes() - used_before <= limit);
        }
    });
    assert!(cache.status().used_bytes > limit / 2);
}

#[test]
#[ignore = "needs root: mounts a file system"]
fn small_disk_is_used_up_to_the_floor() {
    let disk = SmallDisk::mount(50 * MIB);
    let options = DiskOptions {
        directory: disk.cache_directory(),
        limit: 10_000 * MIB,
        free_floor: None,
        queue_limit: 64 * MIB,
    };
    let cache = DiskCache::open(options).unwrap();
    let key = file_key(1, 80 * MIB);
    for index in 0..80 {
        store(&cache, key, index);
        assert!(cache.flush(FLUSH_TIMEOUT));
        assert!(50 * MIB - disk.used_bytes() >= 50 * MIB / 20);
        assert!(load(&cache, key, index), "{index}");
    }
    let status = cache.status();
    assert!(status.is_writing && status.blocks > 40, "{status:?}");
}

#[test]
#[ignore = "helper process of another test"]
fn child_reads_while_the_disk_is_full() {
    tracing_subscriber::fmt().with_writer(std::io::stderr).with_ansi(false).init();
    let disk = SmallDisk::mount(50 * MIB);
    let cache = open(&disk.cache_directory(), 30 * MIB);
    let (pinned, later) = (file_key(1, 10 * MIB), file_key(2, 40 * MIB));
    store_all(&cache, pinned);
    // This pins the stored file, so it cannot be evicted.
    let complete_file = open_complete(&cache, pinned).unwrap();
    fill_disk(&disk);
    store_all(&cache, later);
    store_all(&cache, later);
    let status = cache.status();
    assert!(!status.is_writing && status.blocks == 10, "{status:?}");
    assert!((0..10).all(|index| load(&cache, pinned, index)));
    cache.forget(file_key(3, MIB));
    drop(complete_file);
    empty_disk(&disk);
    std::thread::sleep(Duration::from_secs(11));
    store_all(&cache, later);
    let status = cache.status();
    assert!(status.is_writing && load(&cache, later, 39), "{status:?}");
    fill_disk(&disk);
    store_all(&cache, file_key(4, 20 * MIB));
    assert!(load(&cache, later, 39) || load(&cache, file_key(4, 20 * MIB), 19));
}

#[test]
#[ignore = "needs root: mounts a file system"]
fn a_full_disk_logs_one_warning() {
    let test = "cache::disk::tests::full_disk::child_reads_while_the_disk_is_full";
    let output = test_process(test, Path::new("/")).output().unwrap();
    let log = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{log}\n{}", String::from_utf8_lossy(&output.stdout));
    let warnings: Vec<_> =
        log.lines().filter(|line| line.contains("WARN") || line.contains("ERROR")).collect();
    assert_eq!(warnings.len(), 1, "{log}");
    assert!(warnings[0].contains("reads continue"), "{log}");
}

#[test]
#[ignore = "needs root: mounts a file system"]
fn eviction_restores_the_floor_of_free_space() {
    let disk = SmallDisk::mount(50 * MIB);
    let options = DiskOptions {
        directory: disk.cache_directory(),
        limit: 40 * MIB,
        free_floor: Some(5 * MIB),
        queue_limit: 64 * MIB,
    };
    let cache = DiskCache::open(options).unwrap();
    store_all(&cache, file_key(1, 30 * MIB));
    fill_disk(&disk);
    store(&cache, file_key(2, MIB), 0);
    assert!(cache.flush(FLUSH_TIMEOUT));
    assert!(50 * MIB - disk.used_bytes() >= 5 * MIB);
    let status = cache.status();
    assert!(
        load(&cache, file_key(2, MIB), 0) && load(&cache, file_key(1, 30 * MIB), 29),
        "{status:?}"
    );
    assert!((22..27).contains(&status.blocks), "{status:?}");
}

#[test]
#[ignore = "needs root: mounts a file system"]
fn a_read_only_disk_serves_reads() {
    let disk = SmallDisk::mount(50 * MIB);
    let cache = open(&disk.cache_directory(), 30 * MIB);
    store_all(&cache, file_key(1, 3 * MIB));
    drop(cache);
    let remount = |flags| {
        let flags = MsFlags::MS_REMOUNT | flags;
        let start = Instant::now();
        // A process that another test has forked keeps files open until it executes its program.
        while let Err(errno) = mount(None::<&str>, disk.0.path(), None::<&str>, flags, None::<&str>)
        {
            assert!(errno == Errno::EBUSY && start.elapsed() < REMOUNT_TIMEOUT, "{errno}");
            std::thread::sleep(Duration::from_millis(10));
        }
    };
    remount(MsFlags::MS_RDONLY);
    let cache = open(&disk.cache_directory(), 30 * MIB);
    assert!(!cache.status().is_writing);
    store_all(&cache, file_key(2, MIB));
    assert!(
        !load(&cache, file_key(2, MIB), 0)
            && (0..3).all(|index| load(&cache, file_key(1, 3 * MIB), index))
    );
    assert!(open_complete(&cache, file_key(1, 3 * MIB)).is_some());
    drop(cache);
    remount(MsFlags::empty());
    let cache = open(&disk.cache_directory(), 30 * MIB);
    store_all(&cache, file_key(2, MIB));
    assert!(load(&cache, file_key(2, MIB), 0));
}

#[test]
#[ignore = "needs root: mounts a file system"]
fn a_file_system_without_holes_is_rejected() {
    let disk = SmallDisk::mount_as("ramfs", "mode=700");
    let options = DiskOptions {
        directory: disk.cache_directory(),
        limit: MIB,
        free_floor: Some(0),
        queue_limit: MIB,
    };
    let error = DiskCache::open(options).unwrap_err();
    assert!(matches!(error, DiskError::NoHoles { .. }), "{error:?}");
    assert!(error.hint().unwrap().contains("--disk off"));
}
