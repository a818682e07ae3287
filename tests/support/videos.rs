//! Long videos that need little memory.

// Each test binary uses a part of it.
#![allow(dead_code, missing_docs, unreachable_pub)]
// A fixture that fails ends its test.
#![allow(clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::ops::Range;
use std::process::Command;

use bytes::Bytes;
use meetfs::demo_cloud::Content;

use crate::support::{COMMAND_TIMEOUT, run, text};

/// Number of chunks that stay together, which contain about two seconds.
const GROUP_CHUNKS: usize = 20;

/// Returns a video of `seconds` seconds in `length` bytes, as a server records it: the index is at
/// the end. Groups of chunks are evenly spread over the file, and the bytes between them are 0.
pub fn long_video(seconds: u32, length: u64) -> Content {
    let file = encode(seconds);
    let boxes = boxes_in(&file, 0..file.len());
    let span_of = |kind: &[u8]| {
        let found = boxes.iter().find(|(name, _)| name == kind);
        found.unwrap_or_else(|| panic!("no box {}", kind.escape_ascii())).1.clone()
    };
    let (media, index) = (span_of(b"mdat"), span_of(b"moov"));
    assert_eq!(media.end, index.start, "the index follows the media");
    let mut index_bytes = file[index].to_vec();
    let mut entries = Vec::new();
    add_chunk_entries(&index_bytes, 8..index_bytes.len(), &mut entries);
    entries.sort_by_key(|(_, offset)| *offset);

    let index_start = length - index_bytes.len() as u64;
    let first_offset = entries[0].1;
    let groups = entries.chunks(GROUP_CHUNKS).count() as u64;
    let distance = (index_start - u64::from(first_offset)) / groups;
    let mut head = file[..first_offset as usize].to_vec();
    let media_length = u32::try_from(index_start - media.start as u64).expect("a short box");
    head[media.start..media.start + 4].copy_from_slice(&media_length.to_be_bytes());
    let mut parts = vec![(0, Bytes::from(head))];
    for (number, group) in entries.chunks(GROUP_CHUNKS).enumerate() {
        let start = group[0].1;
        let next = entries.get((number + 1) * GROUP_CHUNKS);
        let end = next.map_or(media.end, |(_, offset)| *offset as usize);
        let new_start = u64::from(first_offset) + number as u64 * distance;
        for (position, offset) in group {
            let new_offset = new_start + u64::from(offset - start);
            let entry = u32::try_from(new_offset).expect("a short offset").to_be_bytes();
            index_bytes[*position..position + 4].copy_from_slice(&entry);
        }
        let bytes = file[start as usize..end].to_vec();
        assert!(bytes.len() as u64 <= distance, "the groups overlap");
        parts.push((new_start, Bytes::from(bytes)));
    }
    parts.push((index_start, Bytes::from(index_bytes)));
    Content::Sparse { parts: parts.into(), length }
}

/// Encodes a small video with sound. The index is at its end, as by default.
fn encode(seconds: u32) -> Vec<u8> {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("video.mp4");
    let mut ffmpeg = Command::new("ffmpeg");
    ffmpeg.args(["-v", "error", "-f", "lavfi", "-i", "testsrc2=size=320x180:rate=5"]);
    ffmpeg.args(["-f", "lavfi", "-i", "sine=frequency=440", "-t", &seconds.to_string()]);
    ffmpeg.args(["-c:v", "libx264", "-preset", "ultrafast", "-g", "10", "-pix_fmt", "yuv420p"]);
    let output = run(ffmpeg.args(["-c:a", "aac"]).arg(&path), COMMAND_TIMEOUT);
    assert!(output.status.success(), "{}", text(&output));
    std::fs::read(path).expect("a video")
}

fn number_at(bytes: &[u8], position: usize) -> u32 {
    u32::from_be_bytes(bytes[position..position + 4].try_into().expect("four bytes"))
}

/// Returns the type and the span of each box in a part of a file (ISO/IEC 14496-12, 4.2).
fn boxes_in(bytes: &[u8], span: Range<usize>) -> Vec<([u8; 4], Range<usize>)> {
    let mut boxes = Vec::new();
    let mut start = span.start;
    while start + 8 <= span.end {
        let length = number_at(bytes, start) as usize;
        assert!(length >= 8 && start + length <= span.end, "a box of {length} bytes at {start}");
        let kind = bytes[start + 4..start + 8].try_into().expect("four bytes");
        boxes.push((kind, start..start + length));
        start += length;
    }
    boxes
}

/// Adds the position and the value of each chunk offset (box `stco`) in a part of an index.
fn add_chunk_entries(index: &[u8], span: Range<usize>, entries: &mut Vec<(usize, u32)>) {
    for (kind, span) in boxes_in(index, span) {
        match &kind {
            b"trak" | b"mdia" | b"minf" | b"stbl" => {
                add_chunk_entries(index, span.start + 8..span.end, entries);
            }
            b"stco" => {
                let count = number_at(index, span.start + 12) as usize;
                let positions = (0..count).map(|entry| span.start + 16 + 4 * entry);
                entries.extend(positions.map(|position| (position, number_at(index, position))));
            }
            _ => {}
        }
    }
}
