use std::fs::OpenOptions;
use std::os::unix::fs::FileExt;

use proptest::prelude::*;

use super::*;

const SIZE: u64 = 2 * MIB + 777;

#[derive(Clone, Debug)]
enum Damage {
    Flip { at: prop::sample::Index, bit: u8 },
    Truncate(prop::sample::Index),
    Append(u8),
    Overwrite { at: prop::sample::Index, bytes: Vec<u8> },
    Remove,
}

fn damage() -> impl Strategy<Value = Damage> {
    prop_oneof![
        4 => (any::<prop::sample::Index>(), 0u8..8).prop_map(|(at, bit)| Damage::Flip { at, bit }),
        2 => any::<prop::sample::Index>().prop_map(Damage::Truncate),
        1 => any::<u8>().prop_map(Damage::Append),
        2 => (any::<prop::sample::Index>(), prop::collection::vec(any::<u8>(), 1..200))
            .prop_map(|(at, bytes)| Damage::Overwrite { at, bytes }),
        1 => Just(Damage::Remove),
    ]
}

fn apply_damage(path: &Path, damage: &Damage) {
    let file = OpenOptions::new().read(true).write(true).open(path).unwrap();
    let length = file.metadata().unwrap().len() as usize;
    match damage {
        Damage::Flip { at, bit } => {
            let offset = at.index(length) as u64;
            let mut byte = [0];
            file.read_exact_at(&mut byte, offset).unwrap();
            file.write_all_at(&[byte[0] ^ (1 << bit)], offset).unwrap();
        }
        Damage::Truncate(at) => file.set_len(at.index(length) as u64).unwrap(),
        Damage::Append(byte) => file.write_all_at(&[*byte], length as u64).unwrap(),
        Damage::Overwrite { at, bytes } => {
            file.write_all_at(bytes, at.index(length) as u64).unwrap()
        }
        Damage::Remove => std::fs::remove_file(path).unwrap(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(80))]

    #[test]
    fn damaged_files_give_exact_bytes_or_misses(
        data in any::<bool>(), while_open in any::<bool>(), damage in damage()
    ) {
        let directory = tempfile::tempdir().unwrap();
        let (key, other) = (file_key(1, SIZE), file_key(2, 500));
        let mut cache = open(directory.path(), 100 * MIB);
        store_all(&cache, key);
        store_all(&cache, other);
        let path = path_of(directory.path(), key, if data { "data" } else { "index" });
        if while_open {
            apply_damage(&path, &damage);
        } else {
            drop(cache);
            apply_damage(&path, &damage);
            cache = open(directory.path(), 100 * MIB);
        }
        // Each load checks that the bytes are exact.
        let hits_after_damage: Vec<_> = (0..3).map(|index| load(&cache, key, index)).collect();
        prop_assert!(load(&cache, other, 0));
        prop_assert!(cache.flush(FLUSH_TIMEOUT));
        for index in 0..3 {
            if !cache.may_contain(key, BlockIndex(index)) {
                store(&cache, key, index);
                // If another process has removed the files, the first write after that fails. The
                // next write creates the files again.
                prop_assert!(cache.flush(FLUSH_TIMEOUT));
                store(&cache, key, index);
            }
        }
        prop_assert!(cache.flush(FLUSH_TIMEOUT));
        prop_assert!((0..3).all(|index| !cache.may_contain(key, BlockIndex(index)) || load(&cache, key, index)), "{hits_after_damage:?}");
        drop(cache);
        let cache = open(directory.path(), 100 * MIB);
        let hits_after_restart: Vec<_> = (0..3).map(|index| load(&cache, key, index)).collect();
        if !while_open {
            prop_assert_eq!(hits_after_restart, [true; 3], "{:?}", hits_after_damage);
        }
        prop_assert!(load(&cache, other, 0));
    }
}

#[test]
fn data_without_records_is_freed_at_the_start() {
    let directory = tempfile::tempdir().unwrap();
    let key = file_key(1, 5 * MIB);
    let cache = open(directory.path(), 100 * MIB);
    for index in [1, 3] {
        store(&cache, key, index);
    }
    drop(cache);
    let data = OpenOptions::new().write(true).open(path_of(directory.path(), key, "data")).unwrap();
    for index in [0, 2, 4] {
        data.write_all_at(&content(key, index), index * MIB).unwrap();
    }
    let cache = open(directory.path(), 100 * MIB);
    assert!(cache.flush(FLUSH_TIMEOUT));
    assert!(data.metadata().unwrap().blocks() * 512 < 3 * MIB);
    let is_stored: Vec<_> = (0..5).map(|index| load(&cache, key, index)).collect();
    assert_eq!(is_stored, [false, true, false, true, false]);
}

#[test]
fn an_index_of_another_file_is_rejected() {
    let directory = tempfile::tempdir().unwrap();
    let (first, second) = (file_key(1, MIB), file_key(2, MIB));
    let cache = open(directory.path(), 100 * MIB);
    store_all(&cache, first);
    store_all(&cache, second);
    drop(cache);
    for kind in ["data", "index"] {
        std::fs::copy(
            path_of(directory.path(), first, kind),
            path_of(directory.path(), second, kind),
        )
        .unwrap();
    }
    let cache = open(directory.path(), 100 * MIB);
    assert!(load(&cache, first, 0) && !load(&cache, second, 0));
}
