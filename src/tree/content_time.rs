//! The modification times of generated files.

use jiff::{SignedDuration, Timestamp};

/// Distance in seconds between consecutive possible modification times of a generated file. FAT
/// stores only even seconds, and programs compare copies on FAT with a tolerance of up to two
/// seconds (`rsync --modify-window`).
const STEP_SECONDS: u64 = 5;

/// Number of possible modification times of a generated file. They span less than four days. If
/// they spanned months, a program that searches for old files would also find new ones.
const STEP_COUNT: u64 = 1 << 16;

const NANOSECONDS_PER_SECOND: u64 = 1_000_000_000;

/// Returns the modification time of a generated file. `hash` is the hash of its bytes.
///
/// A backup program treats a file as unchanged if its size and its time are the same, so different
/// bytes must have different times. The time depends only on `recording_end` and on the bytes:
/// equal bytes have the same time after a remount, even if the catalog was lost. The time is before
/// `recording_end`, so it is not in the future.
///
/// `rsync` compares only seconds. It misses one in 65,536 of the changes that keep the size of the
/// file. Most other programs compare nanoseconds too.
pub(super) fn content_time(recording_end: Timestamp, hash: u64) -> Timestamp {
    let nanoseconds = (hash >> 32) % NANOSECONDS_PER_SECOND;
    let seconds = hash % STEP_COUNT * STEP_SECONDS;
    let (Ok(seconds), Ok(nanoseconds)) = (i64::try_from(seconds), i32::try_from(nanoseconds))
    else {
        return recording_end;
    };
    let offset = SignedDuration::new(seconds, nanoseconds);
    // Near the minimum of `Timestamp`, the offset is added instead, so the time is after
    // `recording_end`.
    let shifted_time =
        recording_end.checked_sub(offset).or_else(|_| recording_end.checked_add(offset));
    shifted_time.unwrap_or(recording_end)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use xxhash_rust::xxh3::xxh3_64;

    use super::*;

    #[test]
    fn content_times_never_change() {
        let recording_end = "2026-10-06T07:45:00Z".parse().unwrap();
        let time = content_time(recording_end, xxh3_64(b"{}\n"));
        const FAILURE_MESSAGE: &str =
            "times changed: every backup would copy all generated files again";
        assert_eq!(time.to_string(), "2026-10-03T09:26:49.331999665Z", "{FAILURE_MESSAGE}");
    }

    #[test]
    fn different_bytes_have_different_seconds() {
        let recording_end: Timestamp = "2026-10-06T07:45:00Z".parse().unwrap();
        let times: HashSet<i64> = (0..100_u64)
            .map(|number| content_time(recording_end, xxh3_64(&number.to_le_bytes())).as_second())
            .collect();
        assert_eq!(times.len(), 100);
        assert!(times.iter().all(|time| *time <= recording_end.as_second()));
        assert!(times.iter().all(|time| *time >= recording_end.as_second() - 4 * 24 * 3600));
    }

    #[test]
    fn extreme_times_are_shifted() {
        for recording_end in [Timestamp::MIN, Timestamp::MAX] {
            let [first, second] = [1, 2].map(|hash| content_time(recording_end, hash));
            assert_ne!(first, second);
        }
    }
}
