use std::os::unix::process::ExitStatusExt;
use std::process::Child;
use std::sync::atomic::AtomicU64;

use super::*;

/// A fraction of what the files have, so that nearly every store is written and evicts.
const LIMIT: u64 = 6 * MIB;

fn keys() -> [DiskKey; 3] {
    [file(1, 12 * MIB), file(2, 9 * MIB + 5), file(3, 4000)]
}

#[test]
#[ignore = "run and killed by the test below"]
fn stores_and_evicts_until_it_is_killed() {
    let cache = open(&word(), LIMIT);
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

/// Killed when dropped, whatever became of the test.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _it_may_be_dead = self.0.kill();
        let _no_zombie_stays = self.0.wait();
    }
}

#[test]
fn a_killed_writer_leaves_exact_blocks_or_none() {
    let directory = tempfile::tempdir().unwrap();
    let mut random = fastrand::Rng::new();
    let mut found = 0;
    for _ in 0..25 {
        let mut command = child(
            "cache::disk::tests::killed::stores_and_evicts_until_it_is_killed",
            directory.path(),
        );
        let writer = Killed(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap());
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
    assert!(found > 25, "the writers kept next to nothing: {found} blocks");
}

/// Changes on disk that are left until the process is killed; 0 is never.
static STEPS_LEFT: AtomicU64 = AtomicU64::new(0);
const STEPS: &str = "MEETFS_TEST_STEPS";

/// Called before each change of what is on disk.
pub(in crate::cache::disk) fn step() {
    let left =
        STEPS_LEFT.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1));
    if left == Ok(1) {
        nix::sys::signal::raise(nix::sys::signal::Signal::SIGKILL).unwrap();
    }
}

#[test]
#[ignore = "run and killed by the test below"]
fn makes_every_change_until_it_is_killed() {
    STEPS_LEFT.store(std::env::var(STEPS).unwrap().parse().unwrap(), Ordering::Relaxed);
    let cache = open(&word(), LIMIT);
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
fn killed_before_any_change_on_disk_leaves_exact_blocks_or_none_and_no_lost_space() {
    for steps in 1.. {
        assert!(steps < 500, "it never ends");
        let directory = tempfile::tempdir().unwrap();
        let mut command = child(
            "cache::disk::tests::killed::makes_every_change_until_it_is_killed",
            directory.path(),
        );
        let output = command.env(STEPS, steps.to_string()).output().unwrap();
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
                    cache.holds(key, BlockIndex(index)),
                    "after {steps} changes"
                );
            }
        }
        let status = cache.status();
        assert_eq!(status.damaged, 0, "a record without its data after {steps} changes");
        let (taken, used) = (allocated(directory.path()), status.blocks * MIB);
        assert!(
            taken <= used + 256 * 1024,
            "{taken} bytes for {} blocks after {steps} changes",
            status.blocks
        );
        if !was_killed {
            assert!(steps > 50, "few changes were made: {steps}");
            return;
        }
    }
}
