use std::process::Child;

use super::*;

const LIMIT: u64 = 6 * MIB;

fn keys() -> [DiskKey; 3] {
    [file(1, 4 * MIB), file(2, 3 * MIB + 5), file(3, 4000)]
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
    let folder = tempfile::tempdir().unwrap();
    let mut random = fastrand::Rng::new();
    let mut found = 0;
    for _ in 0..25 {
        let mut command =
            child("cache::disk::tests::killed::stores_and_evicts_until_it_is_killed", folder.path());
        let writer = Killed(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap());
        std::thread::sleep(Duration::from_millis(random.u64(30..150)));
        drop(writer);
        let cache = open(folder.path(), LIMIT);
        assert!(cache.flush(SOON));
        assert!(allocated(folder.path()) <= LIMIT);
        for key in keys() {
            found += (0..BlockIndex::count(key.size).0).filter(|index| load(&cache, key, *index)).count();
        }
        assert_eq!(cache.status().damaged, 0, "a record stands for data that was written before it");
    }
    assert!(found > 25, "the writers kept next to nothing: {found} blocks");
}
