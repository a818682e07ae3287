use std::os::unix::process::ExitStatusExt;
use std::process::Child;

use super::super::kill_point::{MAX_CHANGES, set_remaining_changes};
use super::*;

/// The limit is a fraction of the total length of the files, so nearly every store causes a write
/// and an eviction.
const LIMIT: u64 = 6 * MIB;

fn keys() -> [DiskKey; 3] {
    [file(1, 12 * MIB), file(2, 9 * MIB + 5), file(3, 4000)]
}

#[test]
#[ignore = "helper process of another test"]
fn child_stores_and_evicts_until_killed() {
    let cache = open(&child_directory(), LIMIT);
    let mut random = fastrand::Rng::new();
    let blocks: Vec<_> = keys()
        .into_iter()
        .flat_map(|key| (0..BlockIndex::count(key.size).0).map(move |index| (key, index)))
        .map(|(key, index)| (key, index, content(key, index)))
        .collect();
    loop {
        let (key, index, block) = &blocks[random.usize(0..blocks.len())];
        match random.u8(0..20) {
            0 => cache.forget(*key),
            1 => assert!(cache.flush(SOON)),
            2..6 => drop(load(&cache, *key, *index)),
            _ => cache.store(*key, BlockIndex(*index), block.clone()),
        }
        std::thread::yield_now();
    }
}

/// Kills the process when dropped, even if the test fails.
struct KilledOnDrop(Child);

impl Drop for KilledOnDrop {
    fn drop(&mut self) {
        let _ = self.0.kill(); // it can be dead already
        let _ = self.0.wait(); // leaves no zombie
    }
}

#[test]
fn a_killed_writer_leaves_exact_blocks_or_none() {
    let directory = tempfile::tempdir().unwrap();
    let mut random = fastrand::Rng::new();
    let mut found = 0;
    for _ in 0..25 {
        let mut command = child(
            "cache::disk::tests::killed::child_stores_and_evicts_until_killed",
            directory.path(),
        );
        let writer =
            KilledOnDrop(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap());
        std::thread::sleep(Duration::from_millis(random.u64(30..150)));
        drop(writer);
        let cache = open(directory.path(), LIMIT);
        assert!(cache.flush(SOON));
        assert!(allocated(directory.path()) <= LIMIT);
        for key in keys() {
            found += (0..BlockIndex::count(key.size).0)
                .filter(|index| load(&cache, key, *index))
                .count();
        }
        assert_eq!(
            cache.status().damaged,
            0,
            "a record stands for data that was written before it"
        );
    }
    assert!(found > 25, "the killed writers left only {found} blocks");
}

#[test]
#[ignore = "helper process of another test"]
fn child_makes_changes_until_killed() {
    set_remaining_changes(std::env::var(MAX_CHANGES).unwrap().parse().unwrap());
    let cache = open(&child_directory(), LIMIT);
    let [one, two, small] = keys();
    for (key, index) in
        [(one, 0), (one, 1), (small, 0), (one, 2), (two, 0), (two, 9), (one, 3), (two, 1)]
    {
        store(&cache, key, index);
        assert!(cache.flush(SOON));
        load(&cache, one, 1);
    }
    cache.forget(one);
    store_all(&cache, two);
}

#[test]
fn a_kill_before_any_change_loses_no_space() {
    for changes in 1.. {
        assert!(changes < 500, "the helper makes too many changes");
        let directory = tempfile::tempdir().unwrap();
        let mut command =
            child("cache::disk::tests::killed::child_makes_changes_until_killed", directory.path());
        let output = command.env(MAX_CHANGES, changes.to_string()).output().unwrap();
        let was_killed = output.status.signal() == Some(libc::SIGKILL);
        assert!(
            was_killed || output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        let cache = open(directory.path(), LIMIT);
        assert!(cache.flush(SOON));
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
        assert_eq!(status.damaged, 0, "a record without its data after {changes} changes");
        let (taken, used) = (allocated(directory.path()), status.blocks * MIB);
        assert!(
            taken <= used + 256 * 1024,
            "{taken} bytes for {} blocks after {changes} changes",
            status.blocks
        );
        if !was_killed {
            assert!(changes > 50, "few changes: {changes}");
            return;
        }
    }
}
