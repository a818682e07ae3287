//! Where an MP4 or M4A keeps its index.
//!
//! A player needs the `moov` box before it can show anything. Cameras and cloud recorders often write it last,
//! behind gigabytes of media; a player then reads the head, finds out, and seeks to the end, one round trip
//! after the other. The box headers in the first block tell where it is (ISO/IEC 14496-12, 4.2: a length of 32
//! bits and a type; length 1 is followed by one of 64 bits, length 0 reaches to the end of the file).

use crate::http::ByteRange;

/// The most of an index that is fetched before a player asks for it. An hour of video has an index of about one
/// megabyte; what is longer is read in order and gets a window like anything else.
const MAX_INDEX: u64 = 4 * 1024 * 1024;

/// Boxes looked at before the file is taken for something else: there are three or four.
const BOXES: usize = 16;

/// The bytes of the index that `head`, the beginning of a file of `size` bytes, does not hold. `None` where it
/// holds them all or says nothing of them.
pub(super) fn find(head: &[u8], size: u64) -> Option<ByteRange> {
    let held = head.len() as u64;
    let mut at = 0_u64;
    for _ in 0..BOXES {
        let Some(header) = Header::read(head, at) else {
            // The boxes in the head end here. What follows the media is the index, or little else.
            return (at >= held && at < size && at > 0).then(|| bounded(at, size));
        };
        let end = header.end(at, size)?;
        if &header.kind == b"moov" {
            return (end > held).then(|| bounded(held.max(at), end));
        }
        at = end;
    }
    None
}

fn bounded(start: u64, end: u64) -> ByteRange {
    ByteRange { start, end: end.min(start.saturating_add(MAX_INDEX)) }
}

struct Header {
    length: u64,
    kind: [u8; 4],
}

impl Header {
    fn read(head: &[u8], at: u64) -> Option<Self> {
        let bytes = head.get(usize::try_from(at).ok()?..)?;
        let length = u32::from_be_bytes(*bytes.first_chunk()?);
        let kind = *bytes.get(4..)?.first_chunk()?;
        let length = match length {
            1 => u64::from_be_bytes(*bytes.get(8..)?.first_chunk()?),
            short => u64::from(short),
        };
        Some(Self { length, kind })
    }

    /// Where the box ends; `None` where its length cannot be right.
    fn end(&self, at: u64, size: u64) -> Option<u64> {
        match self.length {
            0 => Some(size),
            length if length < 8 => None,
            length => at.checked_add(length).filter(|end| *end <= size),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const LAST: &[u8] = include_bytes!("../../assets/speaker_view.mp4");
    const FIRST: &[u8] = include_bytes!("../../assets/gallery_view.mp4");

    fn place_of_index(file: &[u8]) -> usize {
        file.windows(4).rposition(|window| window == b"moov").unwrap() - 4
    }

    #[test]
    fn an_index_behind_the_media_is_found_from_the_head() {
        let (file, place) = if place_of_index(LAST) > place_of_index(FIRST) {
            (LAST, place_of_index(LAST))
        } else {
            (FIRST, place_of_index(FIRST))
        };
        let range = find(&file[..1000], file.len() as u64).unwrap();
        assert_eq!(range, ByteRange { start: place as u64, end: file.len() as u64 });
    }

    #[test]
    fn an_index_within_the_head_is_not_fetched_again() {
        let file = if place_of_index(LAST) > place_of_index(FIRST) { FIRST } else { LAST };
        assert_eq!(find(file, file.len() as u64), None);
        let cut = place_of_index(file) + 100;
        assert_eq!(
            find(&file[..cut], file.len() as u64).map(|range| range.start),
            Some(cut as u64)
        );
    }

    #[test]
    fn a_long_form_of_the_length_is_read() {
        let mut head = b"\0\0\0\x10ftypisom\0\0\0\0\0\0\0\x01mdat".to_vec();
        head.extend_from_slice(&(5_000_000_000_u64).to_be_bytes());
        let size = 5_000_000_016 + 700;
        assert_eq!(find(&head, size), Some(ByteRange { start: 5_000_000_016, end: size }));
    }

    proptest! {
        #[test]
        fn no_head_makes_it_ask_for_bytes_outside_of_the_file_or_inside_of_the_head(
            head in prop::collection::vec(any::<u8>(), 0..300), more in 0u64..u64::MAX / 2
        ) {
            let size = head.len() as u64 + more;
            if let Some(range) = find(&head, size) {
                prop_assert!(range.start < range.end && range.end <= size);
                prop_assert!(range.start >= head.len() as u64 && range.len() <= MAX_INDEX);
            }
        }
    }
}
