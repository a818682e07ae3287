use std::io::Write;
use std::sync::atomic::{AtomicBool, Ordering};

use super::*;
use crate::model::Diagnostic;

/// Uses up the free space of a disk, as another program could.
fn fill(disk: &SmallDisk) {
    let mut other = std::fs::File::create(disk.0.path().join("other-file")).unwrap();
    let chunk = vec![1; 64 * 1024];
    while other.write_all(&chunk).is_ok() {}
}

fn free_again(disk: &SmallDisk) {
    std::fs::remove_file(disk.0.path().join("other-file")).unwrap();
}

#[test]
#[ignore = "needs root: mounts a file system"]
fn the_limit_holds_at_every_moment() {
    let disk = SmallDisk::mounted(50 * MIB);
    let before = disk.used();
    let limit = 8 * MIB;
    let cache = open(&disk.blocks(), limit);
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for round in 0..400u64 {
                let key = file(round % 7, [5 * MIB + 3, 2000, 3 * MIB][(round % 3) as usize]);
                store(&cache, key, round % BlockIndex::count(key.size).0);
                if round % 16 == 0 {
                    cache.forget(file(round % 5, 5 * MIB + 3));
                    assert!(cache.flush(SOON));
                }
            }
            over.store(true, Ordering::Relaxed);
        });
        while !over.load(Ordering::Relaxed) {
            assert!(disk.used() - before <= limit);
        }
    });
    assert!(cache.status().held > limit / 2);
}

#[test]
#[ignore = "needs root: mounts a file system"]
fn small_disk_is_used_up_to_the_floor() {
    let disk = SmallDisk::mounted(50 * MIB);
    let options = DiskOptions {
        directory: disk.blocks(),
        limit: 10_000 * MIB,
        free_floor: None,
        queue_limit: 64 * MIB,
    };
    let cache = DiskCache::open(options).unwrap();
    let key = file(1, 80 * MIB);
    for index in 0..80 {
        store(&cache, key, index);
        assert!(cache.flush(SOON));
        assert!(50 * MIB - disk.used() >= 50 * MIB / 20);
        assert!(load(&cache, key, index), "{index}");
    }
    let status = cache.status();
    assert!(status.writing && status.blocks > 40, "{status:?}");
}

#[test]
#[ignore = "helper process of another test"]
fn child_reads_while_the_disk_is_full() {
    tracing_subscriber::fmt().with_writer(std::io::stderr).with_ansi(false).init();
    let disk = SmallDisk::mounted(50 * MIB);
    let cache = open(&disk.blocks(), 30 * MIB);
    let (held, late) = (file(1, 10 * MIB), file(2, 40 * MIB));
    store_all(&cache, held);
    // This pins the stored file, so it cannot be evicted.
    let whole = complete(&cache, held).unwrap();
    fill(&disk);
    store_all(&cache, late);
    store_all(&cache, late);
    let status = cache.status();
    assert!(!status.writing && status.blocks == 10, "{status:?}");
    assert!((0..10).all(|index| load(&cache, held, index)));
    cache.forget(file(3, MIB));
    drop(whole);
    free_again(&disk);
    std::thread::sleep(Duration::from_secs(11));
    store_all(&cache, late);
    let status = cache.status();
    assert!(status.writing && load(&cache, late, 39), "{status:?}");
    fill(&disk);
    store_all(&cache, file(4, 20 * MIB));
    assert!(load(&cache, late, 39) || load(&cache, file(4, 20 * MIB), 19));
}

#[test]
#[ignore = "needs root: mounts a file system"]
fn a_full_disk_logs_one_warning() {
    let test = "cache::disk::tests::full::child_reads_while_the_disk_is_full";
    let output = child(test, Path::new("/")).output().unwrap();
    let log = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{log}\n{}", String::from_utf8_lossy(&output.stdout));
    let warnings: Vec<_> =
        log.lines().filter(|line| line.contains("WARN") || line.contains("ERROR")).collect();
    assert_eq!(warnings.len(), 1, "{log}");
    assert!(warnings[0].contains("reading continues"), "{log}");
}

#[test]
#[ignore = "needs root: mounts a file system"]
fn eviction_restores_the_floor_of_free_space() {
    let disk = SmallDisk::mounted(50 * MIB);
    let options = DiskOptions {
        directory: disk.blocks(),
        limit: 40 * MIB,
        free_floor: Some(5 * MIB),
        queue_limit: 64 * MIB,
    };
    let cache = DiskCache::open(options).unwrap();
    store_all(&cache, file(1, 30 * MIB));
    fill(&disk);
    store(&cache, file(2, MIB), 0);
    assert!(cache.flush(SOON));
    assert!(50 * MIB - disk.used() >= 5 * MIB);
    let status = cache.status();
    assert!(load(&cache, file(2, MIB), 0) && load(&cache, file(1, 30 * MIB), 29), "{status:?}");
    assert!((22..27).contains(&status.blocks), "{status:?}");
}

#[test]
#[ignore = "needs root: mounts a file system"]
fn a_read_only_disk_serves_reads() {
    let disk = SmallDisk::mounted(50 * MIB);
    let cache = open(&disk.blocks(), 30 * MIB);
    store_all(&cache, file(1, 3 * MIB));
    drop(cache);
    let remount = |flags| {
        mount(None::<&str>, disk.0.path(), None::<&str>, MsFlags::MS_REMOUNT | flags, None::<&str>)
            .unwrap();
    };
    remount(MsFlags::MS_RDONLY);
    let cache = open(&disk.blocks(), 30 * MIB);
    assert!(!cache.status().writing);
    store_all(&cache, file(2, MIB));
    assert!(
        !load(&cache, file(2, MIB), 0) && (0..3).all(|index| load(&cache, file(1, 3 * MIB), index))
    );
    assert!(complete(&cache, file(1, 3 * MIB)).is_some());
    drop(cache);
    remount(MsFlags::empty());
    let cache = open(&disk.blocks(), 30 * MIB);
    store_all(&cache, file(2, MIB));
    assert!(load(&cache, file(2, MIB), 0));
}

#[test]
#[ignore = "needs root: mounts a file system"]
fn a_file_system_without_holes_is_rejected() {
    let disk = SmallDisk::of_kind("ramfs", "mode=700");
    let options =
        DiskOptions { directory: disk.blocks(), limit: MIB, free_floor: Some(0), queue_limit: MIB };
    let refused = DiskCache::open(options).unwrap_err();
    assert!(matches!(refused, DiskError::NoHoles { .. }), "{refused:?}");
    assert!(refused.hint().unwrap().contains("--disk off"));
}
