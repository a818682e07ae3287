//! The modification times of generated files.

use jiff::{SignedDuration, Timestamp};

/// The distance of two times in seconds. FAT stores even seconds, and copies made there are
/// compared with a tolerance of up to two seconds (`rsync --modify-window`).
const STEP: u64 = 5;

/// The number of times that a generated file can have. They span less than four days. If they
/// spanned months, a program that looks for old files would find new ones.
const STEPS: u64 = 1 << 16;

const NANOSECONDS_PER_SECOND: u64 = 1_000_000_000;

/// Returns the modification time of a generated file with the hash of its bytes.
///
/// A backup program takes a file with the same size and time for unchanged, so other bytes must
/// have another time. The time derives from the bytes alone: equal bytes have the same time after a
/// remount, and after the catalog is lost. It is before `recorded`, never in the future.
///
/// `rsync` compares seconds, and misses one of 65,536 changes of a file that keeps its size. Most
/// other programs compare nanoseconds as well.
pub(super) fn content_time(recorded: Timestamp, hash: u64) -> Timestamp {
    let nanoseconds = (hash >> 32) % NANOSECONDS_PER_SECOND;
    let seconds = hash % STEPS * STEP;
    let (Ok(seconds), Ok(nanoseconds)) = (i64::try_from(seconds), i32::try_from(nanoseconds))
    else {
        return recorded;
    };
    let offset = SignedDuration::new(seconds, nanoseconds);
    // Only at the minimum of `Timestamp`: the time is then after the recording.
    let shifted = recorded.checked_sub(offset).or_else(|_| recorded.checked_add(offset));
    shifted.unwrap_or(recorded)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use xxhash_rust::xxh3::xxh3_64;

    use super::*;

    #[test]
    fn content_times_never_change() {
        let recorded = "2026-10-06T07:45:00Z".parse().unwrap();
        let time = content_time(recorded, xxh3_64(b"{}\n"));
        const CHANGED: &str = "times changed: every backup would copy all generated files again";
        assert_eq!(time.to_string(), "2026-10-03T09:26:49.331999665Z", "{CHANGED}");
    }

    #[test]
    fn other_bytes_have_other_seconds() {
        let recorded: Timestamp = "2026-10-06T07:45:00Z".parse().unwrap();
        let times: HashSet<i64> = (0..100_u64)
            .map(|number| content_time(recorded, xxh3_64(&number.to_le_bytes())).as_second())
            .collect();
        assert_eq!(times.len(), 100);
        assert!(times.iter().all(|time| *time <= recorded.as_second()));
        assert!(times.iter().all(|time| *time >= recorded.as_second() - 4 * 24 * 3600));
    }

    #[test]
    fn extreme_times_are_shifted() {
        for recorded in [Timestamp::MIN, Timestamp::MAX] {
            let [one, other] = [1, 2].map(|hash| content_time(recorded, hash));
            assert_ne!(one, other);
        }
    }
}
