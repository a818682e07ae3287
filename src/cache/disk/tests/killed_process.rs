use std::os::unix::process::ExitStatusExt;
use std::process::Child;

use super::super::kill_point::{MAX_CHANGES_VARIABLE, set_remaining_changes};
use super::*;

/// Limit of the cache. It is a fraction of the total length of the files, so nearly every store
/// needs an eviction.
const LIMIT: u64 = 6 * MIB;

fn keys() -> [DiskKey; 3] {
    [file_key(1, 12 * MIB), file_key(2, 9 * MIB + 5), file_key(3, 4000)]
}

#[test]
#[ignore = "helper process of another test"]
fn child_stores_and_evicts_until_killed() {
    let cache = open(&child_directory(), LIMIT);
    let mut rng = fastrand::Rng::new();
    let blocks: Vec<_> = keys()
        .into_iter()
        .flat_map(|key| (0..BlockIndex::count(key.size).0).map(move |index| (key, index)))
        .map(|(key, index)| (key, index, content(key, index)))
        .collect();
    loop {
        let (key, index, block) = &blocks[rng.usize(0..blocks.len())];
        match rng.u8(0..20) {
            0 => cache.forget(*key),
            1 => assert!(cache.flush(FLUSH_TIMEOUT)),
            2..6 => drop(load(&cache, *key, *index)),
            _ => cache.store(*key, BlockIndex(*index), block.clone()),
        }
        std::thread::yield_now();
    }
}

/// A process that is killed when this value is dropped, even if the test fails.
struct KillOnDrop(Child);

impl Drop for KillOnDrop {
    fn drop(&mut self) {
        let _ = self.0.kill(); // The process can have ended already.
        let _ = self.0.wait(); // Removes the zombie.
    }
}

#[test]
fn a_killed_writer_leaves_exact_blocks_or_none() {
    let directory = tempfile::tempdir().unwrap();
    let mut rng = fastrand::Rng::new();
    let mut loaded_block_count = 0;
    for _ in 0..25 {
        let mut command = test_process(
            "cache::disk::tests::killed_process::child_stores_and_evicts_until_killed",
            directory.path(),
        );
        let writer =
            KillOnDrop(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap());
        std::thread::sleep(Duration::from_millis(rng.u64(30..150)));
        drop(writer);
        let cache = open(directory.path(), LIMIT);
        assert!(cache.flush(FLUSH_TIMEOUT));
        assert!(disk_space(directory.path()) <= LIMIT);
        for key in keys() {
            loaded_block_count += (0..BlockIndex::count(key.size).0)
                .filter(|index| load(&cache, key, *index))
                .count();
        }
        assert_eq!(
            cache.status().damaged_blocks,
            0,
            "the data of a block is written before its record"
        );
    }
    assert!(loaded_block_count > 25, "the killed writers left only {loaded_block_count} blocks");
}

#[test]
#[ignore = "helper process of another test"]
fn child_makes_changes_until_killed() {
    set_remaining_changes(std::env::var(MAX_CHANGES_VARIABLE).unwrap().parse().unwrap());
    let cache = open(&child_directory(), LIMIT);
    let [first, second, small] = keys();
    for (key, index) in [
        (first, 0),
        (first, 1),
        (small, 0),
        (first, 2),
        (second, 0),
        (second, 9),
        (first, 3),
        (second, 1),
    ] {
        store(&cache, key, index);
        assert!(cache.flush(FLUSH_TIMEOUT));
        load(&cache, first, 1);
    }
    cache.forget(first);
    store_all(&cache, second);
}

#[test]
fn kill_before_any_change_does_not_leak_space() {
    for changes in 1.. {
        assert!(changes < 500, "the helper makes too many changes");
        let directory = tempfile::tempdir().unwrap();
        let mut command = test_process(
            "cache::disk::tests::killed_process::child_makes_changes_until_killed",
            directory.path(),
        );
        let output = command.env(MAX_CHANGES_VARIABLE, changes.to_string()).output().unwrap();
        let was_killed = output.status.signal() == Some(libc::SIGKILL);
        assert!(
            was_killed || output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        let cache = open(directory.path(), LIMIT);
        assert!(cache.flush(FLUSH_TIMEOUT));
        for key in keys() {
            for index in 0..BlockIndex::count(key.size).0 {
                assert_eq!(
                    load(&cache, key, index),
                    cache.may_contain(key, BlockIndex(index)),
                    "after {changes} changes"
                );
            }
        }
        let status = cache.status();
        assert_eq!(status.damaged_blocks, 0, "a record without its data after {changes} changes");
        let (allocated, stored) = (disk_space(directory.path()), status.blocks * MIB);
        assert!(
            allocated <= stored + 256 * 1024,
            "{allocated} bytes for {} blocks after {changes} changes",
            status.blocks
        );
        if !was_killed {
            assert!(changes > 50, "few changes: {changes}");
            return;
        }
    }
}
