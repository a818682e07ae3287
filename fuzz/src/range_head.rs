//! The head of a reply to a range request: an accepted range is inside the requested one.
//!
//! Input: one byte for the status, one for the range, one for what is known of the file; then one
//! header per line.

use meetfs::fuzzing::http;
use meetfs::http::{ByteRange, ExpectedFile, Validator};
use meetfs::model::BodyKind;

use super::replies;

pub fn check(data: &[u8]) {
    let (status, data) = replies::split_status(data);
    let [first, second, lines @ ..] = data else { return };
    let range = [
        ByteRange { start: 0, end: 1 },
        ByteRange { start: 10, end: 20 },
        ByteRange { start: 0, end: u64::MAX },
        ByteRange { start: 1 << 40, end: (1 << 40) + 1 },
    ][usize::from(first % 4)];
    let expected = ExpectedFile {
        total_length: [None, Some(0), Some(100), Some(1 << 50)][usize::from(second % 4)],
        body: [BodyKind::IsoMedia, BodyKind::Json, BodyKind::WebVtt, BodyKind::Opaque]
            [usize::from((second / 4) % 4)],
        validator: (*second >= 128).then(|| Validator::parse("\"a\"").expect("a strong tag")),
    };
    let headers: Vec<(&[u8], &[u8])> = lines
        .split(|byte| *byte == b'\n')
        .filter_map(|line| {
            let colon = line.iter().position(|byte| *byte == b':')?;
            Some((&line[..colon], line[colon + 1..].trim_ascii()))
        })
        .collect();
    for (name, value) in &headers {
        if name.eq_ignore_ascii_case(b"content-type")
            && let Ok(value) = std::str::from_utf8(value)
        {
            assert!(
                !http::parse_media_type(value).contains([';', ' '])
                    || !value.contains(';')
                    || value.trim().contains(' ')
            );
        }
    }
    if let Some((end, total)) = http::parse_range_head(status, &headers, range, &expected) {
        assert!(status == 200 || status == 206, "{status}");
        assert!(range.start < end && end <= range.end, "{range:?} became ..{end}");
        assert!(end <= total && total <= 1 << 50, "..{end} of {total}");
        assert!(expected.total_length.is_none_or(|expected| expected == total));
    }
}
