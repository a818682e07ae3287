//! The files of the matrix: videos that a player can read, with different bytes in each file.

use std::sync::LazyLock;

use bytes::Bytes;
use meetfs::demo_cloud::pattern_bytes;

/// A video whose index follows its packets.
static VIDEO: &[u8] = include_bytes!("../../../assets/gallery_view.mp4");

/// End of the packets and start of the index (`moov`) in [`VIDEO`].
const INDEX_START: usize = 92_651;

/// Length of the box between the packets and the index, which players skip. With it, each file has
/// a part of a third MiB.
const FILLER_LENGTH: usize = 2_600_123;

/// Distance of the bytes that differ between files.
const STAMP_INTERVAL: usize = 4096;

/// Offset of the `minor_version` in the first box, which players ignore.
const MINOR_VERSION: usize = 12;

static BASE: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let (packets, index) = VIDEO.split_at(INDEX_START);
    let mut filler = vec![0; FILLER_LENGTH];
    pattern_bytes(1, STAMP_INTERVAL as u64, &mut filler);
    filler[..4].copy_from_slice(&(FILLER_LENGTH as u32).to_be_bytes());
    filler[4..8].copy_from_slice(b"free");
    [packets, &filler, index].concat()
});

/// The length of every file.
pub(super) fn length() -> u64 {
    BASE.len() as u64
}

/// Returns a version of a file. Each 4 KiB of it outside of the packets and the index differ from
/// those of other files and versions, and so do the first ones.
pub(super) fn content(file: usize, version: u8) -> Bytes {
    let mut bytes = BASE.clone();
    let stamp = (file as u32 * 2 + u32::from(version)).to_be_bytes();
    bytes[MINOR_VERSION..MINOR_VERSION + 4].copy_from_slice(&stamp);
    let filler = INDEX_START + 8..INDEX_START + FILLER_LENGTH - 4;
    for offset in filler.step_by(STAMP_INTERVAL) {
        bytes[offset..offset + 4].copy_from_slice(&stamp);
    }
    bytes.into()
}
