//! The format of index files. An index file contains one record for each stored block of a cached
//! file.
//!
//! The index file has a header, followed by one record per block at a fixed position. All integers
//! are little-endian:
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
/// The bytes that the index contains for a block that is not stored.
pub(super) const NO_RECORD: [u8; RECORD_LENGTH] = [0; RECORD_LENGTH];

const MAGIC: [u8; 8] = *b"meetfsBI";
const FORMAT_VERSION: u32 = 1;

/// The record of a stored block in an index file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct BlockRecord {
    /// CRC32C checksum of the bytes of the block.
    pub(super) crc: u32,
    /// Time of the last access to the block, in microseconds since 1970. Later accesses are kept in
    /// memory until the record is written again.
    pub(super) access_time: u64,
}

/// Returns the offset of the record of block `index` in the index file.
pub(super) fn record_offset(index: u32) -> u64 {
    HEADER_LENGTH as u64 + u64::from(index) * RECORD_LENGTH as u64
}

/// Returns the maximum length of the index file for a file with `block_count` blocks.
pub(super) fn max_index_length(block_count: u32) -> u64 {
    record_offset(block_count)
}

pub(super) fn encode_header(key: DiskKey) -> [u8; HEADER_LENGTH] {
    let mut writer = FieldWriter::<HEADER_LENGTH>::default();
    writer.put_field(&MAGIC);
    writer.put_field(&FORMAT_VERSION.to_le_bytes());
    writer.put_field(&(BLOCK_LENGTH as u32).to_le_bytes());
    writer.put_field(&key.fingerprint.0.to_le_bytes());
    writer.put_field(&key.size.to_le_bytes());
    writer.finish(0)
}

/// Decodes the header of an index file. Returns `None` if the header is damaged, is not a meetfs
/// header, has another format version, or does not have the fingerprint from the file name.
pub(super) fn decode_header(header: &[u8], fingerprint: Fingerprint) -> Option<DiskKey> {
    let mut reader = FieldReader::with_valid_checksum(header, HEADER_LENGTH, 0)?;
    let is_valid = reader.take_field()? == MAGIC
        && u32::from_le_bytes(reader.take_field()?) == FORMAT_VERSION
        && u64::from(u32::from_le_bytes(reader.take_field()?)) == BLOCK_LENGTH
        && u128::from_le_bytes(reader.take_field()?) == fingerprint.0;
    let key = DiskKey { fingerprint, size: u64::from_le_bytes(reader.take_field()?) };
    (is_valid && key.block_count().is_some()).then_some(key)
}

pub(super) fn encode_record(key: DiskKey, index: u32, record: BlockRecord) -> [u8; RECORD_LENGTH] {
    let mut writer = FieldWriter::<RECORD_LENGTH>::default();
    let length = key.block_length(index).and_then(|length| u32::try_from(length).ok()).unwrap_or(0);
    writer.put_field(&length.to_le_bytes());
    writer.put_field(&record.crc.to_le_bytes());
    writer.put_field(&record.access_time.to_le_bytes());
    writer.finish(checksum_seed(key, index))
}

/// Decodes the record of block `index`. Returns `None` if that block is not stored.
pub(super) fn decode_record(record: &[u8], key: DiskKey, index: u32) -> Option<BlockRecord> {
    let mut reader =
        FieldReader::with_valid_checksum(record, RECORD_LENGTH, checksum_seed(key, index))?;
    let length = u32::from_le_bytes(reader.take_field()?);
    let crc = u32::from_le_bytes(reader.take_field()?);
    let access_time = u64::from_le_bytes(reader.take_field()?);
    (key.block_length(index) == usize::try_from(length).ok())
        .then_some(BlockRecord { crc, access_time })
}

/// Returns the initial value of the checksum of a record. It depends on the file and the index of
/// the block, so a record is valid only at its own position.
fn checksum_seed(key: DiskKey, index: u32) -> u32 {
    let seed = crc32c::crc32c(&key.fingerprint.0.to_le_bytes());
    crc32c::crc32c_append(seed, &u64::from(index).to_le_bytes())
}

/// Encodes fields in order into `N` bytes, followed by zeros and a CRC32C checksum.
struct FieldWriter<const N: usize> {
    bytes: [u8; N],
    position: usize,
}

impl<const N: usize> Default for FieldWriter<N> {
    fn default() -> Self {
        Self { bytes: [0; N], position: 0 }
    }
}

impl<const N: usize> FieldWriter<N> {
    fn put_field(&mut self, field: &[u8]) {
        for (target, byte) in self.bytes.iter_mut().skip(self.position).zip(field) {
            *target = *byte;
        }
        self.position += field.len();
    }

    fn finish(mut self, seed: u32) -> [u8; N] {
        if let Some((fields, checksum)) = self.bytes.split_last_chunk_mut::<4>() {
            *checksum = crc32c::crc32c_append(seed, fields).to_le_bytes();
        }
        self.bytes
    }
}

/// Decodes the fields that a [`FieldWriter`] encoded, in the same order.
struct FieldReader<'a>(&'a [u8]);

impl<'a> FieldReader<'a> {
    /// Creates a reader of the first `length` bytes. Returns `None` if there are fewer bytes or
    /// their checksum is wrong.
    fn with_valid_checksum(bytes: &'a [u8], length: usize, seed: u32) -> Option<Self> {
        let (fields, checksum) = bytes.get(..length)?.split_last_chunk::<4>()?;
        (crc32c::crc32c_append(seed, fields) == u32::from_le_bytes(*checksum))
            .then_some(Self(fields))
    }

    fn take_field<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (field, remaining_bytes) = self.0.split_first_chunk::<N>()?;
        self.0 = remaining_bytes;
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
    const RECORD: BlockRecord =
        BlockRecord { crc: 0xdead_beef, access_time: 0x0102_0304_0506_0708 };

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    #[test]
    fn disk_format_does_not_change() {
        let message = "the disk format has changed: FORMAT_VERSION must be increased";
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
            "{message}"
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
            "{message}"
        );
        assert_eq!((record_offset(0), record_offset(3)), (64, 160), "{message}");
    }

    #[test]
    fn a_record_is_valid_at_its_position_only() {
        let record = encode_record(KEY, 2, RECORD);
        assert_eq!(decode_record(&record, KEY, 2), Some(RECORD));
        assert_eq!(decode_record(&record, KEY, 1), None);
        let other_key = DiskKey { fingerprint: Fingerprint(1), ..KEY };
        assert_eq!(decode_record(&record, other_key, 2), None);
        assert_eq!(decode_header(&encode_header(KEY), other_key.fingerprint), None);
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
            let record = encode_record(KEY, index, RECORD);
            let mut damaged_record = record;
            damaged_record[bit / 8] ^= 1 << (bit % 8);
            prop_assert_eq!(decode_record(&damaged_record, KEY, index), None);
            prop_assert_eq!(decode_record(&record[..cut], KEY, index), None);
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
