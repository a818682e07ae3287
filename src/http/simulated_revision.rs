//! The bytes of a file on a simulated server.

use std::sync::{Arc, LazyLock};

use bytes::{Bytes, BytesMut};
use fastrand::Rng;

use crate::model::BodyKind;

const MIB: u64 = 1 << 20;

/// Maximum length of a file in bytes.
const MAX_LENGTH: u64 = 4 * MIB + 1;

/// The bytes that all revisions are cut from.
static RANDOM_BYTES: LazyLock<Bytes> = LazyLock::new(|| {
    let mut bytes = vec![0; 24 << 20];
    Rng::with_seed(7).fill(&mut bytes);
    bytes.into()
});

/// The bytes that a URL serves at one time.
#[derive(Debug)]
pub(crate) struct Revision {
    pub(crate) number: u64,
    pub(crate) length: u64,
    /// The first bytes of the file: the signature of its format.
    head: Bytes,
    /// The position of the file in [`RANDOM_BYTES`].
    start: usize,
}

impl Revision {
    pub(crate) fn new(number: u64, length: u64, body: BodyKind, rng: &mut Rng) -> Arc<Self> {
        let mut head = match body {
            BodyKind::IsoMedia => media_head(length),
            BodyKind::WebVtt => Bytes::from_static(b"WEBVTT\n\n"),
            BodyKind::Json | BodyKind::Opaque => Bytes::new(),
        };
        head.truncate(length as usize);
        let start = rng.usize(0..RANDOM_BYTES.len() - MAX_LENGTH as usize);
        Arc::new(Self { number, length, head, start })
    }

    pub(crate) fn bytes(&self, from: u64, to: u64) -> Bytes {
        let (from, to) = (from as usize, to as usize);
        let random_bytes = |from, to| RANDOM_BYTES.slice(self.start + from..self.start + to);
        if from >= self.head.len() {
            return random_bytes(from, to);
        }
        let head_end = to.min(self.head.len());
        let mut bytes = BytesMut::from(&self.head[from..head_end]);
        bytes.extend_from_slice(&random_bytes(head_end, to));
        bytes.freeze()
    }

    /// Whether the file has these bytes at `offset`.
    pub(crate) fn contains(&self, offset: u64, bytes: &[u8]) -> bool {
        let end = offset + bytes.len() as u64;
        end <= self.length && self.bytes(offset, end) == bytes
    }

    /// Returns the part of the file that a correct reply to a request for `range` contains.
    pub(crate) fn served_range(&self, range: Option<(u64, u64)>) -> ServedRange {
        let (status, first, end) = match range {
            None => (200, 0, self.length),
            Some((first, _)) if first >= self.length => (416, 0, 0),
            Some((first, last)) => (206, first, self.length.min(last + 1)),
        };
        ServedRange { status, first, end }
    }
}

/// The part of a file that a reply contains.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ServedRange {
    pub(crate) status: u16,
    pub(crate) first: u64,
    pub(crate) end: u64,
}

impl ServedRange {
    /// Returns the headers of a reply that states `total` as the length of the file.
    pub(crate) fn headers(self, total: u64) -> Vec<(&'static str, String)> {
        let Self { status, first, end } = self;
        let mut headers = vec![
            ("content-type", "application/octet-stream".to_owned()),
            ("content-length", (end - first).to_string()),
        ];
        match status {
            206 => headers.push(("content-range", format!("bytes {first}-{}/{total}", end - 1))),
            416 => headers.push(("content-range", format!("bytes */{total}"))),
            _ => {}
        }
        headers
    }
}

/// Returns the start of an MP4 file whose index is near the end of the file.
fn media_head(length: u64) -> Bytes {
    let mut head = BytesMut::from(&b"\0\0\0\x10ftypisom\0\0\0\0"[..]);
    head.extend_from_slice(&(length / 2).max(8).to_be_bytes()[4..]);
    head.extend_from_slice(b"mdat");
    head.freeze()
}

/// Returns the length of a file: most files are small, and some have several blocks.
pub(crate) fn random_length(rng: &mut Rng) -> u64 {
    match rng.u32(0..20) {
        0 => 0,
        1 => rng.u64(1..64),
        2..=12 => rng.u64(1..20_000),
        13..=15 => rng.u64(1..MIB),
        16 | 17 => MIB * rng.u64(1..3) + rng.u64(0..3) - 1,
        18 => rng.u64(MIB..3 * MIB),
        _ => rng.u64(3 * MIB..MAX_LENGTH),
    }
}
