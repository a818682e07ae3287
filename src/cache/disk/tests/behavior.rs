use std::io::Read;
use std::os::unix::fs::{FileExt, PermissionsExt};

use super::super::coordinator::WriteRequest;
use super::super::disk_cache::LoadAttempt;
use super::super::disk_store::{DiskStore, Limits};
use super::super::lock::DirectoryLock;
use super::super::volume::Volume;
use super::super::writer_load::Stopwatch;
use super::*;

#[test]
fn stored_blocks_survive_a_restart_exactly() {
    let directory = tempfile::tempdir().unwrap();
    let (large, small) = (file_key(1, 3 * MIB + 17), file_key(2, 9));
    let cache = open(directory.path(), 100 * MIB);
    store_all(&cache, large);
    store_all(&cache, small);
    assert!(load(&cache, large, 3) && load(&cache, small, 0));
    drop(cache);
    let cache = open(directory.path(), 100 * MIB);
    assert!((0..4).all(|index| load(&cache, large, index)) && load(&cache, small, 0));
    let status = cache.status();
    assert!(cache.flush(FLUSH_TIMEOUT));
    assert_eq!((status.files, status.damaged_blocks, status.is_writing), (2, 0, true));
    assert_eq!(cache.status().blocks, 5);
}

#[test]
fn blocks_that_were_not_stored_are_misses() {
    let directory = tempfile::tempdir().unwrap();
    let key = file_key(1, 2 * MIB);
    let cache = open(directory.path(), 100 * MIB);
    store(&cache, key, 0);
    assert!(cache.flush(FLUSH_TIMEOUT));
    assert!(cache.may_contain(key, BlockIndex(0)));
    for (other, index) in [
        (key, 1),
        (key, 2),
        (key, u64::MAX),
        (file_key(2, 2 * MIB), 0),
        (file_key(1, 2 * MIB + 1), 0),
    ] {
        assert!(!cache.may_contain(other, BlockIndex(index)));
        assert!(runtime().block_on(cache.load(other, BlockIndex(index), MIB as usize)).is_none());
    }
    assert!(runtime().block_on(cache.load(key, BlockIndex(0), 5)).is_none());
}

#[test]
fn blocks_of_the_wrong_length_are_dropped() {
    let directory = tempfile::tempdir().unwrap();
    let key = file_key(1, MIB + 5);
    let cache = open(directory.path(), 100 * MIB);
    cache.store(key, BlockIndex(0), Bytes::from_static(b"short"));
    cache.store(key, BlockIndex(1), Bytes::from_static(b"too long"));
    cache.store(key, BlockIndex(2), Bytes::from_static(b"behind the end"));
    assert!(cache.flush(FLUSH_TIMEOUT));
    assert_eq!(cache.status().blocks, 0);
}

#[test]
fn eviction_order_spans_files_and_restarts() {
    let directory = tempfile::tempdir().unwrap();
    let (first, second) = (file_key(1, 3 * MIB), file_key(2, 3 * MIB));
    let cache = open(directory.path(), 100 * MIB);
    store_all(&cache, first);
    store_all(&cache, second);
    assert!(load(&cache, first, 1));
    drop(cache);
    let cache = open(directory.path(), 4 * MIB);
    assert!(cache.flush(FLUSH_TIMEOUT));
    let is_stored: Vec<_> = [first, second]
        .iter()
        .flat_map(|key| (0..3).map(|index| cache.may_contain(*key, BlockIndex(index))))
        .collect();
    assert_eq!(is_stored, [false, true, false, false, true, true]);
    assert!(disk_space(directory.path()) <= 4 * MIB);
}

#[test]
fn blocks_of_an_oversized_file_evict_each_other() {
    let directory = tempfile::tempdir().unwrap();
    let key = file_key(1, 10 * MIB);
    let cache = open(directory.path(), 3 * MIB);
    for index in 0..10 {
        store(&cache, key, index);
        assert!(cache.flush(FLUSH_TIMEOUT));
        assert!(load(&cache, key, index));
        assert!(disk_space(directory.path()) <= 3 * MIB);
    }
    assert!(!cache.may_contain(key, BlockIndex(0)) && open_complete(&cache, key).is_none());
}

#[test]
fn a_limit_below_one_block_stores_small_files() {
    let directory = tempfile::tempdir().unwrap();
    let cache = open(directory.path(), MIB);
    store_all(&cache, file_key(1, MIB));
    store_all(&cache, file_key(2, 5000));
    assert!(!load(&cache, file_key(1, MIB), 0) && load(&cache, file_key(2, 5000), 0));
    assert_eq!(cache.status().skipped_blocks, 1);
}

#[test]
fn eviction_frees_space_and_keeps_neighbors() {
    let directory = tempfile::tempdir().unwrap();
    let key = file_key(1, 3 * MIB);
    let cache = open(directory.path(), 100 * MIB);
    store_all(&cache, key);
    assert!(load(&cache, key, 0) && load(&cache, key, 2));
    drop(cache);
    let metadata_before = path_of(directory.path(), key, "data").metadata().unwrap();
    let cache = open(directory.path(), disk_space(directory.path()) - MIB / 2);
    assert!(cache.flush(FLUSH_TIMEOUT));
    let metadata_after = path_of(directory.path(), key, "data").metadata().unwrap();
    assert_eq!(metadata_after.len(), metadata_before.len());
    assert!(metadata_after.blocks() * 512 <= metadata_before.blocks() * 512 - MIB);
    assert!(load(&cache, key, 0) && !load(&cache, key, 1) && load(&cache, key, 2));
}

#[test]
fn a_forgotten_file_is_a_miss_at_once() {
    let directory = tempfile::tempdir().unwrap();
    let (forgotten, other) = (file_key(1, 2 * MIB), file_key(2, MIB));
    let cache = open(directory.path(), 100 * MIB);
    store_all(&cache, forgotten);
    store_all(&cache, other);
    store(&cache, file_key(3, MIB), 0);
    cache.forget(forgotten);
    cache.forget(file_key(3, MIB));
    assert!(!load(&cache, forgotten, 0) && open_complete(&cache, forgotten).is_none());
    assert!(cache.flush(FLUSH_TIMEOUT));
    assert!(
        !path_of(directory.path(), forgotten, "data").exists()
            && !path_of(directory.path(), forgotten, "index").exists()
    );
    assert!(!load(&cache, file_key(3, MIB), 0) && load(&cache, other, 0));
    store_all(&cache, forgotten);
    assert!(load(&cache, forgotten, 1));
}

#[test]
fn a_complete_file_reads_like_the_original() {
    let directory = tempfile::tempdir().unwrap();
    let key = file_key(1, 2 * MIB + 99);
    let cache = open(directory.path(), 100 * MIB);
    store(&cache, key, 0);
    store(&cache, key, 2);
    assert!(cache.flush(FLUSH_TIMEOUT));
    assert!(!cache.is_complete(key) && open_complete(&cache, key).is_none());
    store(&cache, key, 1);
    assert!(cache.flush(FLUSH_TIMEOUT));
    assert!(cache.is_complete(key));
    drop(cache);
    let cache = open(directory.path(), 100 * MIB);
    assert!(cache.flush(FLUSH_TIMEOUT));
    assert!(!cache.is_complete(key), "a restart makes all blocks unverified");
    let complete_file = open_complete(&cache, key).unwrap();
    assert!(cache.is_complete(key));
    let mut bytes = Vec::new();
    complete_file.file().read_to_end(&mut bytes).unwrap();
    let expected: Vec<u8> = (0..3).flat_map(|index| content(key, index)).collect();
    assert!(bytes == expected);
}

#[test]
fn a_damaged_file_is_not_complete() {
    let directory = tempfile::tempdir().unwrap();
    let key = file_key(1, 3 * MIB);
    drop({
        let cache = open(directory.path(), 100 * MIB);
        store_all(&cache, key);
        cache
    });
    let data = std::fs::OpenOptions::new()
        .write(true)
        .open(path_of(directory.path(), key, "data"))
        .unwrap();
    data.write_all_at(b"?", 2 * MIB - 1).unwrap();
    let cache = open(directory.path(), 100 * MIB);
    assert!(open_complete(&cache, key).is_none());
    assert!(cache.flush(FLUSH_TIMEOUT));
    assert!(load(&cache, key, 0) && !load(&cache, key, 1) && load(&cache, key, 2));
    assert_eq!(cache.status().damaged_blocks, 1);
    store(&cache, key, 1);
    assert!(cache.flush(FLUSH_TIMEOUT));
    assert!(open_complete(&cache, key).is_some());
}

#[test]
fn eviction_spares_pinned_files_within_the_limit() {
    let directory = tempfile::tempdir().unwrap();
    let (pinned, other) = (file_key(1, 3 * MIB), file_key(2, 4 * MIB));
    let cache = open(directory.path(), 5 * MIB);
    store_all(&cache, pinned);
    let complete_file = open_complete(&cache, pinned).unwrap();
    for index in 0..4 {
        store(&cache, other, index);
        assert!(cache.flush(FLUSH_TIMEOUT));
        assert!(disk_space(directory.path()) <= 5 * MIB);
    }
    assert!((0..3).all(|index| load(&cache, pinned, index)) && load(&cache, other, 3));
    drop(complete_file);
    store_all(&cache, file_key(3, 4 * MIB));
    assert!(open_complete(&cache, pinned).is_none());
}

#[test]
fn a_forgotten_pinned_file_stays_readable_and_counted() {
    let directory = tempfile::tempdir().unwrap();
    let key = file_key(1, 2 * MIB);
    let cache = open(directory.path(), 100 * MIB);
    store_all(&cache, key);
    let complete_file = open_complete(&cache, key).unwrap();
    cache.forget(key);
    // A fetch that was started before can store a block again.
    store(&cache, key, 0);
    assert!(cache.flush(FLUSH_TIMEOUT));
    assert!(
        !cache.may_contain(key, BlockIndex(0)) && !path_of(directory.path(), key, "index").exists()
    );
    assert!(cache.status().used_bytes >= 2 * MIB);
    let mut bytes = vec![0; MIB as usize];
    complete_file.file().read_exact_at(&mut bytes, MIB).unwrap();
    assert!(bytes == content(key, 1));
    drop(complete_file);
    assert!(cache.flush(FLUSH_TIMEOUT));
    assert!(!path_of(directory.path(), key, "data").exists() && cache.status().used_bytes < MIB);
}

#[test]
fn a_second_cache_names_the_first_process() {
    let directory = tempfile::tempdir().unwrap();
    let first_cache = open(directory.path(), MIB);
    let options = DiskOptions {
        directory: directory.path().into(),
        limit: MIB,
        free_floor: None,
        queue_limit: MIB,
    };
    let error = DiskCache::open(options).unwrap_err();
    let own_pid = std::process::id();
    assert!(
        matches!(&error, DiskError::InUse { pid: Some(pid), .. } if *pid == own_pid),
        "{error:?}"
    );
    assert!(error.to_string().contains(&format!("process {own_pid}")), "{error}");
    assert!(
        matches!(clear(directory.path(), |_| ()), Err(DiskError::InUse { pid: Some(pid), .. }) if pid == own_pid)
    );
    let usage = read_usage(directory.path()).unwrap().unwrap();
    assert_eq!((usage.is_in_use, usage.pid), (true, Some(own_pid)));
    drop(first_cache);
    assert!(!read_usage(directory.path()).unwrap().unwrap().is_in_use);
    drop(open(directory.path(), MIB));
}

#[test]
fn the_directory_is_private_and_reveals_no_names() {
    let parent = tempfile::tempdir().unwrap();
    let directory = parent.path().join("cache").join("blocks");
    let cache = open(&directory, 100 * MIB);
    store_all(&cache, file_key(1, 100));
    drop(cache);
    let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&directory), mode(directory.parent().unwrap())), (0o700, 0o700));
    for entry in std::fs::read_dir(&directory).unwrap() {
        let path = entry.unwrap().path();
        assert_eq!(mode(&path), 0o600, "{}", path.display());
        let mut bytes = path.file_name().unwrap().to_str().unwrap().as_bytes().to_vec();
        if path.extension().is_none_or(|kind| kind != "data") {
            bytes.extend(std::fs::read(&path).unwrap());
        }
        for word in ["acme", "ana", "example", "4yUx", "topic", "http"] {
            assert!(!bytes.windows(word.len()).any(|window| window == word.as_bytes()), "{word}");
        }
    }
}

#[test]
fn a_readable_directory_is_made_private() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::set_permissions(directory.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    drop(open(directory.path(), MIB));
    assert_eq!(directory.path().metadata().unwrap().permissions().mode() & 0o777, 0o700);
}

#[test]
fn clear_removes_only_the_files_of_the_cache() {
    let directory = tempfile::tempdir().unwrap();
    let cache = open(directory.path(), 100 * MIB);
    store_all(&cache, file_key(1, MIB));
    store_all(&cache, file_key(2, 10));
    drop(cache);
    let hex = "0123456789abcdef0123456789abcdef";
    let foreign_names =
        ["notes.txt".to_owned(), format!("{hex}.txt"), format!("{hex}.data.bak"), hex.to_owned()];
    for name in &foreign_names {
        std::fs::write(directory.path().join(name), "keep me").unwrap();
    }
    std::fs::create_dir(directory.path().join(format!("{hex}.data"))).unwrap();
    std::os::unix::fs::symlink(
        directory.path().join("notes.txt"),
        directory.path().join(format!("{hex}.index")),
    )
    .unwrap();
    let cleared_files = clear(directory.path(), |_| ()).unwrap();
    assert_eq!(cleared_files.files, 2);
    assert!(cleared_files.bytes >= MIB);
    let usage = read_usage(directory.path()).unwrap().unwrap();
    assert_eq!((usage.files, usage.blocks), (0, 0));
    assert!(
        foreign_names
            .iter()
            .all(|name| std::fs::read(directory.path().join(name)).unwrap() == b"keep me")
    );
    assert!(directory.path().join(format!("{hex}.data")).is_dir());
    assert!(directory.path().join(format!("{hex}.index")).is_symlink());
    let cache = open(directory.path(), 100 * MIB);
    assert!(cache.flush(FLUSH_TIMEOUT));
    drop(cache);
    assert!(foreign_names.iter().all(|name| directory.path().join(name).exists()));
}

#[test]
fn usage_and_clear_create_no_directory() {
    let parent = tempfile::tempdir().unwrap();
    let directory = parent.path().join("blocks");
    assert_eq!(read_usage(&directory).unwrap(), None);
    let usage_of_missing_directory = DiskUsage::for_missing_directory(&directory);
    assert!(
        usage_of_missing_directory.free_bytes.is_some_and(|free| free > 0),
        "free space of the parent"
    );
    assert_eq!(DiskUsage { free_bytes: None, ..usage_of_missing_directory }, DiskUsage::default());
    assert_eq!(clear(&directory, |_| ()).unwrap(), ClearedFiles::default());
    assert!(!directory.exists());
}

#[test]
fn usage_agrees_with_the_open_cache() {
    let directory = tempfile::tempdir().unwrap();
    let cache = open(directory.path(), 100 * MIB);
    store_all(&cache, file_key(1, 3 * MIB));
    store_all(&cache, file_key(2, 10));
    let usage = read_usage(directory.path()).unwrap().unwrap();
    let status = cache.status();
    assert_eq!((usage.files, usage.blocks), (status.files, status.blocks));
    assert_eq!(usage.used_bytes, disk_space(directory.path()));
    assert!(
        usage.used_bytes <= status.used_bytes && status.used_bytes < usage.used_bytes + 64 * 1024,
        "{usage:?} {status:?}"
    );
}

#[test]
fn a_full_queue_drops_blocks_without_waiting() {
    let directory = tempfile::tempdir().unwrap();
    let options = DiskOptions {
        directory: directory.path().into(),
        limit: 2000 * MIB,
        free_floor: Some(0),
        queue_limit: 2 * MIB,
    };
    let cache = DiskCache::open(options).unwrap();
    // While other programs use the processors, the writer can be as fast as this thread.
    for round in 1..=5 {
        let key = file_key(round, 200 * MIB);
        let blocks: Vec<_> = (0..200).map(|index| content(key, index)).collect();
        for (index, block) in blocks.into_iter().enumerate() {
            cache.store(key, BlockIndex(index as u64), block);
        }
        assert!(cache.flush(FLUSH_TIMEOUT));
        let status = cache.status();
        assert_eq!(status.skipped_blocks + status.blocks, 200 * round);
        if status.skipped_blocks > 0 {
            return assert!(status.blocks > 0, "{status:?}");
        }
    }
    panic!("no block was skipped: {:?}", cache.status());
}

/// Stores a file, and waits for the writer after each block. The queue has space for a tenth of the
/// file. Returns the number of stored blocks.
fn store_with_waits(cache: &DiskCache, key: DiskKey) -> u64 {
    let blocks_before = cache.status().blocks;
    let count = BlockIndex::count(key.size).0;
    runtime().block_on(async {
        for index in 0..count {
            store(cache, key, index);
            cache.wait_for_writer().await;
        }
    });
    assert!(cache.flush(FLUSH_TIMEOUT));
    cache.status().blocks - blocks_before
}

#[test]
#[ignore = "needs root: mounts a file system"]
fn callers_wait_for_a_processor_bound_writer() {
    let stored_blocks = || {
        // The file system is in memory, so the disk does not limit the writer.
        let disk = SmallDisk::mount(100 * MIB);
        let options = DiskOptions {
            directory: disk.cache_directory(),
            limit: 90 * MIB,
            free_floor: Some(0),
            queue_limit: 4 * MIB,
        };
        let cache = DiskCache::open(options).unwrap();
        store_all(&cache, file_key(1, MIB));
        store_with_waits(&cache, file_key(2, 40 * MIB))
    };
    // With the wait, usually all blocks are stored, and fewer if the machine pauses and the writer
    // seems stuck. Without it, only about a dozen are stored.
    assert!((0..3).any(|_| stored_blocks() > 30));
}

#[test]
fn callers_wait_once_for_a_stuck_writer() {
    let directory = tempfile::tempdir().unwrap();
    let (volume, lock) = (
        Volume::open(directory.path()).unwrap(),
        DirectoryLock::acquire(directory.path()).unwrap(),
    );
    let limits = Limits { limit: 100 * MIB, free_floor: 0, queue_limit: 4 * MIB };
    // No writer takes a block from this queue.
    let store = DiskStore::new(volume, lock, limits, Default::default());
    let stopwatch = Stopwatch::start();
    let deadline = std::time::Instant::now() + Duration::from_millis(20);
    while std::time::Instant::now() < deadline {
        std::hint::spin_loop();
    }
    store.coordinator.record_store((file_key(1, MIB).fingerprint, 0), true, stopwatch.time_spent());
    let key = file_key(2, 40 * MIB);
    let start = std::time::Instant::now();
    runtime().block_on(async {
        for index in 0..40 {
            let block = content(key, index.into());
            store.coordinator.enqueue(WriteRequest { key, index, block });
            store.coordinator.wait_for_writer().await;
        }
    });
    let elapsed = start.elapsed();
    assert_eq!(store.coordinator.state().skipped_blocks, 36);
    assert!(elapsed > Duration::from_millis(40), "no call waited: {elapsed:?}");
    assert!(elapsed < Duration::from_secs(2), "every call waited: {elapsed:?}");
}

#[test]
fn unusable_files_are_removed_at_the_start() {
    let directory = tempfile::tempdir().unwrap();
    drop(open(directory.path(), MIB));
    let hex = file_key(9, 5).fingerprint.to_hex();
    std::fs::write(directory.path().join(format!("{hex}.data")), "data without an index").unwrap();
    let other_hex = file_key(8, 5).fingerprint.to_hex();
    std::fs::write(directory.path().join(format!("{other_hex}.index")), "no index of this format")
        .unwrap();
    let cache = open(directory.path(), MIB);
    assert!(cache.flush(FLUSH_TIMEOUT));
    assert_eq!(cache.status().files, 0);
    assert_eq!(
        std::fs::read_dir(directory.path()).unwrap().count(),
        1,
        "only the lock file remains"
    );
}

#[test]
fn ten_thousand_files_open_within_a_second() {
    let directory = tempfile::tempdir().unwrap();
    let cache = open(directory.path(), 1000 * MIB);
    for number in 0..10_000 {
        store(&cache, file_key(number, 100), 0);
    }
    assert!(cache.flush(FLUSH_TIMEOUT));
    drop(cache);
    let start = std::time::Instant::now();
    let cache = open(directory.path(), 1000 * MIB);
    let open_time = start.elapsed();
    assert!(load(&cache, file_key(7777, 100), 0));
    let load_time = start.elapsed();
    assert!(cache.flush(FLUSH_TIMEOUT));
    eprintln!(
        "opened in {open_time:?}, first block after {load_time:?}, all indexes after {:?}",
        start.elapsed()
    );
    assert!(open_time < Duration::from_secs(1), "{open_time:?}");
    assert_eq!(cache.status().files, 10_000);
}

#[test]
fn only_first_load_waits_for_stuck_disk() {
    let directory = tempfile::tempdir().unwrap();
    let key = file_key(1, MIB);
    let cache = open(directory.path(), 10 * MIB);
    store_all(&cache, key);
    let attempt = LoadAttempt::default();
    attempt.abandon(&cache.store);
    assert!(!load(&cache, key, 0));
    attempt.finish(&cache.store);
    assert!(load(&cache, key, 0));
    let attempt = LoadAttempt::default();
    attempt.finish(&cache.store);
    attempt.abandon(&cache.store);
    assert!(load(&cache, key, 0), "a load that finishes just in time is not stuck");
}

#[test]
fn a_damaged_block_of_a_pinned_file_stays() {
    let directory = tempfile::tempdir().unwrap();
    let key = file_key(1, 2 * MIB);
    let cache = open(directory.path(), 10 * MIB);
    store_all(&cache, key);
    let complete_file = open_complete(&cache, key).unwrap();
    let data = std::fs::OpenOptions::new()
        .write(true)
        .open(path_of(directory.path(), key, "data"))
        .unwrap();
    data.write_all_at(b"?", 7).unwrap();
    assert!(!load(&cache, key, 0) && load(&cache, key, 1));
    assert!(cache.flush(FLUSH_TIMEOUT));
    let mut byte = [0];
    complete_file.file().read_exact_at(&mut byte, 7).unwrap();
    assert_eq!(byte, *b"?", "the block was freed while a reader had the file open");
    assert!(open_complete(&cache, key).is_none());
    store(&cache, key, 0);
    assert!(cache.flush(FLUSH_TIMEOUT));
    drop(complete_file);
    assert!(cache.flush(FLUSH_TIMEOUT));
    assert!(load(&cache, key, 0) && open_complete(&cache, key).is_some());
}

#[test]
fn a_lower_limit_holds_despite_complete_files() {
    let directory = tempfile::tempdir().unwrap();
    let key = file_key(1, MIB);
    for _ in 0..20 {
        let cache = open(directory.path(), 3 * MIB);
        store_all(&cache, key);
        drop(cache);
        let cache = open(directory.path(), MIB);
        let _ = open_complete(&cache, key);
        assert!(cache.flush(FLUSH_TIMEOUT));
        let (allocated, used) = (disk_space(directory.path()), cache.status().used_bytes);
        assert!(allocated <= MIB && used <= MIB, "{allocated} and {used}");
    }
}
