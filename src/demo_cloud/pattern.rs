//! Content of any length that is computed and not stored. Each byte is a function of the seed of
//! the file and the offset.

/// The first bytes of every pattern file: a 32-byte `ftyp` box (ISO/IEC 14496-12, 4.3), which marks
/// the file as an MP4.
pub const PATTERN_HEAD: [u8; 32] = *b"\x00\x00\x00\x20ftypisom\x00\x00\x02\x00isomiso2avc1mp41";

/// Bytes per word of the pattern.
const WORD_BYTES: u64 = 8;

/// Returns the seed of the file that
/// [`Archive::with_pattern_files`](super::Archive::with_pattern_files) creates for `name` (FNV-1a,
/// 64 bits).
pub fn pattern_seed(name: &str) -> u64 {
    name.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

/// Fills `out` with the bytes of a pattern file from `offset` on.
///
/// The bytes do not depend on how many calls read the file. After `u64::MAX`, the offset wraps
/// around.
pub fn pattern_bytes(seed: u64, offset: u64, out: &mut [u8]) {
    let mut index = offset / WORD_BYTES;
    let skipped_bytes = (offset % WORD_BYTES) as usize;
    let (first_bytes, remainder) =
        out.split_at_mut(if skipped_bytes == 0 { 0 } else { out.len().min(8 - skipped_bytes) });
    if !first_bytes.is_empty() {
        let bytes = word(seed, index).to_le_bytes();
        first_bytes
            .iter_mut()
            .zip(bytes.into_iter().skip(skipped_bytes))
            .for_each(|(target, byte)| *target = byte);
        index = index.wrapping_add(1);
    }
    let (words, last_bytes) = remainder.as_chunks_mut::<8>();
    for target in words {
        *target = word(seed, index).to_le_bytes();
        index = index.wrapping_add(1);
    }
    last_bytes
        .iter_mut()
        .zip(word(seed, index).to_le_bytes())
        .for_each(|(target, byte)| *target = byte);
    write_head(offset, out);
}

/// Returns one word of the pattern. With two multiplications, the words differ between offsets and
/// between files, and the computation is faster than the transfer over a loopback socket.
fn word(seed: u64, index: u64) -> u64 {
    let mixed_bits = index.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(seed);
    let mixed_bits = (mixed_bits ^ (mixed_bits >> 32)).wrapping_mul(0xd6e8_feb8_6659_fd93);
    mixed_bits ^ (mixed_bits >> 29)
}

fn write_head(offset: u64, out: &mut [u8]) {
    let start = offset.min(PATTERN_HEAD.len() as u64) as usize;
    let head = PATTERN_HEAD.into_iter().skip(start);
    out.iter_mut().zip(head).for_each(|(target, byte)| *target = byte);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn random_access_equals_sequential_reading() {
        let mut whole_file = vec![0; 4099];
        pattern_bytes(7, 0, &mut whole_file);
        for start in (0..64).chain([1000, 1001, 4090, 4098]) {
            for length in [0, 1, 2, 7, 8, 9, 15, 16, 33, 500] {
                let end = (start + length).min(whole_file.len());
                let mut part = vec![0; end - start];
                pattern_bytes(7, start as u64, &mut part);
                assert_eq!(part, whole_file[start..end], "{length} bytes at {start}");
            }
        }
    }

    #[test]
    fn pattern_begins_with_an_ftyp_box() {
        let mut head = [0; 40];
        pattern_bytes(1, 0, &mut head);
        assert_eq!(&head[4..8], b"ftyp");
        assert_eq!(u32::from_be_bytes([head[0], head[1], head[2], head[3]]), 32);
        assert_eq!(head[..32], PATTERN_HEAD);
    }

    #[test]
    fn adjacent_words_and_files_differ() {
        let words: std::collections::HashSet<u64> =
            (0..3).flat_map(|seed| (0..50_000).map(move |index| word(seed, index))).collect();
        assert_eq!(words.len(), 150_000);
        assert_ne!(pattern_seed("a"), pattern_seed("b"));
    }

    #[test]
    fn offsets_near_the_maximum_work() {
        let mut last_bytes = [0; 16];
        pattern_bytes(3, u64::MAX - 3, &mut last_bytes);
        assert_eq!(last_bytes[..4], word(3, u64::MAX / 8).to_le_bytes()[4..]);
    }
}
