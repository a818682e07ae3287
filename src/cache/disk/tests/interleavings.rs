use proptest::prelude::*;

use super::*;

const SIZES: [u64; 4] = [3 * MIB + 17, 2 * MIB, 300, MIB];

#[derive(Clone, Debug)]
enum Step {
    Store(usize, u64),
    Load(usize, u64),
    Forget(usize),
    Pin(usize),
    Unpin,
    Flush,
    Reopen(u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        10 => (0..SIZES.len(), 0u64..4).prop_map(|(file, index)| Step::Store(file, index)),
        8 => (0..SIZES.len(), 0u64..4).prop_map(|(file, index)| Step::Load(file, index)),
        1 => (0..SIZES.len()).prop_map(Step::Forget),
        3 => (0..SIZES.len()).prop_map(Step::Pin),
        2 => Just(Step::Unpin),
        3 => Just(Step::Flush),
        1 => (1u64..8).prop_map(Step::Reopen),
    ];
    prop::collection::vec(step, 1..60)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn random_steps_give_exact_bytes_within_the_limit(
        first_limit in 1u64..8, steps in steps()
    ) {
        let directory = tempfile::tempdir().unwrap();
        let key = |number: usize| file_key(number as u64, SIZES[number]);
        let mut limit = first_limit * MIB;
        let mut cache = open(directory.path(), limit);
        let mut pinned_files = Vec::new();
        for step in steps {
            match step {
                Step::Store(number, index) if index < BlockIndex::count(SIZES[number]).0 => {
                    store(&cache, key(number), index);
                }
                Step::Load(number, index) if index < BlockIndex::count(SIZES[number]).0 => {
                    load(&cache, key(number), index);
                }
                Step::Store(..) | Step::Load(..) => {}
                Step::Forget(number) => cache.forget(key(number)),
                Step::Pin(number) => pinned_files.extend(open_complete(&cache, key(number)).map(|file| (number, file))),
                Step::Unpin => drop(pinned_files.pop()),
                Step::Flush => prop_assert!(cache.flush(FLUSH_TIMEOUT)),
                Step::Reopen(mib) => {
                    pinned_files.clear();
                    drop(cache);
                    limit = mib * MIB;
                    cache = open(directory.path(), limit);
                }
            }
            for (number, complete_file) in &pinned_files {
                let mut bytes = vec![0; SIZES[*number] as usize];
                std::os::unix::fs::FileExt::read_exact_at(complete_file.file(), &mut bytes, 0).unwrap();
                let blocks = 0..BlockIndex::count(SIZES[*number]).0;
                let expected: Vec<u8> = blocks.flat_map(|index| content(key(*number), index)).collect();
                prop_assert!(bytes == expected);
            }
            if matches!(step, Step::Flush) {
                let (allocated, used) = (disk_space(directory.path()), cache.status().used_bytes);
                prop_assert!(allocated <= limit && used <= limit, "{allocated} and {used} of {limit}");
                prop_assert!(allocated <= used, "{allocated} counted as {used}");
            }
        }
        prop_assert_eq!(cache.status().damaged_blocks, 0);
    }
}

#[test]
fn concurrent_use_never_returns_wrong_bytes() {
    let directory = tempfile::tempdir().unwrap();
    let cache = open(directory.path(), 6 * MIB);
    let keys = [file_key(1, 4 * MIB), file_key(2, 3 * MIB + 5), file_key(3, 2 * MIB)];
    std::thread::scope(|scope| {
        for seed in 0..3u64 {
            let cache = &cache;
            scope.spawn(move || {
                let mut rng = fastrand::Rng::with_seed(seed);
                for _ in 0..150 {
                    let key = keys[rng.usize(0..keys.len())];
                    let index = rng.u64(0..BlockIndex::count(key.size).0);
                    match rng.u8(0..10) {
                        0 => cache.forget(key),
                        1..5 => store(cache, key, index),
                        5 => drop(open_complete(cache, key)),
                        _ => drop(load(cache, key, index)),
                    }
                }
            });
        }
    });
    assert!(cache.flush(FLUSH_TIMEOUT));
    assert_eq!(
        cache.status().damaged_blocks,
        0,
        "a block that is removed during a read is not damaged"
    );
    assert!(disk_space(directory.path()) <= 6 * MIB);
}
