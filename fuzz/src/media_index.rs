//! The boxes of an MP4: a prefetched range is inside the file and after the bytes already held.
//!
//! Input: eight bytes for the length of the file after its head, then the head.

use meetfs::fuzzing::read;

pub fn check(data: &[u8]) {
    let Some((more, head)) = data.split_first_chunk() else { return };
    for more in [
        u64::from_le_bytes(*more),
        u64::from(u32::from_le_bytes(*more.first_chunk().expect("four of eight"))),
    ] {
        let size = (head.len() as u64).saturating_add(more);
        if let Some(range) = read::find_media_index(head, size) {
            assert!(range.start < range.end && range.end <= size, "{range:?} of {size}");
            assert!(range.start >= head.len() as u64 && range.len() <= 4 << 20, "{range:?}");
        }
    }
}
