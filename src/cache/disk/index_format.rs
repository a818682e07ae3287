//! The format of an index file, which contains a record of each stored block of a cached file.
//!
//! The file has a header, then one record per block at a fixed position. All integers are
//! little-endian:
//!
//! ```text
//! header   0 magic "meetfsBI" │ 8 format version u32 │ 12 block length u32 │ 16 fingerprint u128
//!         32 file size u64 │ 40 zeros │ 60 CRC32C of the 60 bytes before it
//! record   0 block length u32 │ 4 CRC32C of the block │ 8 access time u64 │ 16 zeros
//!         28 CRC32C of fingerprint, block index (u64) and the 28 bytes before it
//! ```
//!
//! Records are written in place, not appended: a cache at its limit evicts and stores blocks all
//! the time, and an append-only log would need compaction. A record of 32 bytes at a multiple of 32
//! never straddles a page or a disk sector, so it is on disk completely or not at all. A record
//! that is incomplete, at the wrong position or of another file fails its checksum, and its block
//! counts as not stored. The same holds for a hole, because the checksum of zeros is not zero.
//!
//! Common processors have an instruction for CRC32C (SSE 4.2, ARMv8), so checking a block takes
//! about a tenth of a millisecond. CRC32C detects any burst error of up to 32 bits. It protects
//! against failing disks and lost writes, not against another writer in the directory.

use super::key::{DiskKey, Fingerprint};
use crate::cache::BLOCK_LENGTH;

pub(super) const HEADER_LENGTH: usize = 64;
pub(super) const RECORD_LENGTH: usize = 32;
/// The record of a block that is not stored.
pub(super) const NO_RECORD: [u8; RECORD_LENGTH] = [0; RECORD_LENGTH];

const MAGIC: [u8; 8] = *b"meetfsBI";
const FORMAT_VERSION: u32 = 1;

/// The record of a stored block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct BlockRecord {
    /// CRC32C of the block.
    pub(super) crc: u32,
    /// Time of the last access to the block before its record was last written.
    pub(super) accessed: u64,
}

/// Returns the position of the record of block `index` in the index file.
pub(super) fn record_offset(index: u32) -> u64 {
    HEADER_LENGTH as u64 + u64::from(index) * RECORD_LENGTH as u64
}

/// Returns the maximum length of an index of a file with `blocks` blocks.
pub(super) fn index_length(blocks: u32) -> u64 {
    record_offset(blocks)
}

pub(super) fn encode_header(key: DiskKey) -> [u8; HEADER_LENGTH] {
    let mut writer = FieldWriter::<HEADER_LENGTH>::default();
    writer.put(&MAGIC);
    writer.put(&FORMAT_VERSION.to_le_bytes());
    writer.put(&(BLOCK_LENGTH as u32).to_le_bytes());
    writer.put(&key.fingerprint.0.to_le_bytes());
    writer.put(&key.size.to_le_bytes());
    writer.sealed(0)
}

/// Returns the key in a header. Returns `None` if the header is damaged, is not a meetfs header,
/// has another format version, or has another fingerprint than the file name.
pub(super) fn decode_header(header: &[u8], fingerprint: Fingerprint) -> Option<DiskKey> {
    let mut reader = FieldReader::unsealed(header, HEADER_LENGTH, 0)?;
    let same = reader.take()? == MAGIC
        && u32::from_le_bytes(reader.take()?) == FORMAT_VERSION
        && u64::from(u32::from_le_bytes(reader.take()?)) == BLOCK_LENGTH
        && u128::from_le_bytes(reader.take()?) == fingerprint.0;
    let key = DiskKey { fingerprint, size: u64::from_le_bytes(reader.take()?) };
    (same && key.block_count().is_some()).then_some(key)
}

pub(super) fn encode_record(key: DiskKey, index: u32, record: BlockRecord) -> [u8; RECORD_LENGTH] {
    let mut writer = FieldWriter::<RECORD_LENGTH>::default();
    let length = key.block_length(index).and_then(|length| u32::try_from(length).ok()).unwrap_or(0);
    writer.put(&length.to_le_bytes());
    writer.put(&record.crc.to_le_bytes());
    writer.put(&record.accessed.to_le_bytes());
    writer.sealed(seed(key, index))
}

/// Returns the record of block `index`, if that block is stored.
pub(super) fn decode_record(record: &[u8], key: DiskKey, index: u32) -> Option<BlockRecord> {
    let mut reader = FieldReader::unsealed(record, RECORD_LENGTH, seed(key, index))?;
    let length = u32::from_le_bytes(reader.take()?);
    let crc = u32::from_le_bytes(reader.take()?);
    let accessed = u64::from_le_bytes(reader.take()?);
    (key.block_length(index) == usize::try_from(length).ok())
        .then_some(BlockRecord { crc, accessed })
}

/// Returns the initial value of the checksum of a record, which binds the record to its file and
/// position.
fn seed(key: DiskKey, index: u32) -> u32 {
    let seed = crc32c::crc32c(&key.fingerprint.0.to_le_bytes());
    crc32c::crc32c_append(seed, &u64::from(index).to_le_bytes())
}

/// Writes fields into `N` bytes in order, followed by zeros and a CRC32C.
struct FieldWriter<const N: usize> {
    bytes: [u8; N],
    filled: usize,
}

impl<const N: usize> Default for FieldWriter<N> {
    fn default() -> Self {
        Self { bytes: [0; N], filled: 0 }
    }
}

impl<const N: usize> FieldWriter<N> {
    fn put(&mut self, field: &[u8]) {
        for (target, byte) in self.bytes.iter_mut().skip(self.filled).zip(field) {
            *target = *byte;
        }
        self.filled += field.len();
    }

    fn sealed(mut self, seed: u32) -> [u8; N] {
        if let Some((fields, seal)) = self.bytes.split_last_chunk_mut::<4>() {
            *seal = crc32c::crc32c_append(seed, fields).to_le_bytes();
        }
        self.bytes
    }
}

/// Reads the fields that a [`FieldWriter`] wrote, in the same order.
struct FieldReader<'a>(&'a [u8]);

impl<'a> FieldReader<'a> {
    /// Creates a reader. Returns `None` unless `bytes` starts with `length` bytes that have the
    /// correct checksum.
    fn unsealed(bytes: &'a [u8], length: usize, seed: u32) -> Option<Self> {
        let (fields, seal) = bytes.get(..length)?.split_last_chunk::<4>()?;
        (crc32c::crc32c_append(seed, fields) == u32::from_le_bytes(*seal)).then_some(Self(fields))
    }

    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (field, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*field)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const KEY: DiskKey = DiskKey {
        fingerprint: Fingerprint(0x0123_4567_89ab_cdef_0011_2233_4455_6677),
        size: 3 * BLOCK_LENGTH + 9,
    };
    const RECORD: BlockRecord = BlockRecord { crc: 0xdead_beef, accessed: 0x0102_0304_0506_0708 };

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    #[test]
    fn the_disk_format_is_frozen() {
        let wrong = "disk format appears to have changed, version bump required";
        assert_eq!(
            hex(&encode_header(KEY)),
            concat!(
                "6d65657466734249",
                "01000000",
                "00001000",
                "7766554433221100efcdab8967452301",
                "0900300000000000",
                "0000000000000000000000000000000000000000",
                "fe5eecfc"
            ),
            "{wrong}"
        );
        assert_eq!(
            hex(&encode_record(KEY, 3, RECORD)),
            concat!(
                "09000000",
                "efbeadde",
                "0807060504030201",
                "000000000000000000000000",
                "bf1d4b9c"
            ),
            "{wrong}"
        );
        assert_eq!((record_offset(0), record_offset(3)), (64, 160), "{wrong}");
    }

    #[test]
    fn a_record_is_valid_at_its_position_only() {
        let record = encode_record(KEY, 2, RECORD);
        assert_eq!(decode_record(&record, KEY, 2), Some(RECORD));
        assert_eq!(decode_record(&record, KEY, 1), None);
        let other = DiskKey { fingerprint: Fingerprint(1), ..KEY };
        assert_eq!(decode_record(&record, other, 2), None);
        assert_eq!(decode_header(&encode_header(KEY), other.fingerprint), None);
    }

    #[test]
    fn zeros_are_not_a_stored_block() {
        for index in 0..4 {
            assert_eq!(decode_record(&NO_RECORD, KEY, index), None);
        }
        assert_eq!(decode_header(&[0; HEADER_LENGTH], Fingerprint(0)), None);
    }

    proptest! {
        #[test]
        fn flipped_bits_and_truncation_are_detected(bit in 0usize..256, cut in 0usize..32, index in 0u32..4) {
            let whole = encode_record(KEY, index, RECORD);
            let mut damaged = whole;
            damaged[bit / 8] ^= 1 << (bit % 8);
            prop_assert_eq!(decode_record(&damaged, KEY, index), None);
            prop_assert_eq!(decode_record(&whole[..cut], KEY, index), None);
            let mut header = encode_header(KEY);
            header[bit / 4] ^= 1 << (bit % 8);
            prop_assert_eq!(decode_header(&header, KEY.fingerprint), None);
        }

        #[test]
        fn arbitrary_bytes_are_rejected_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..100), index in any::<u32>()) {
            prop_assert_eq!(decode_record(&bytes, KEY, index), None);
            prop_assert_eq!(decode_header(&bytes, KEY.fingerprint), None);
        }
    }
}
