//! Entry points for the fuzz targets of the index file format.

use super::index_format::{self, BlockRecord};
use super::key::{DiskKey, Fingerprint};

/// Lengths of a header and of a record, in bytes.
pub const HEADER_AND_RECORD_LENGTH: [usize; 2] =
    [index_format::HEADER_LENGTH, index_format::RECORD_LENGTH];

/// Decodes a header. Returns the file size in the header, and the header encoded again.
pub fn decode_header(bytes: &[u8], fingerprint: u128) -> Option<(u64, Vec<u8>)> {
    let key = index_format::decode_header(bytes, Fingerprint(fingerprint))?;
    Some((key.size, index_format::encode_header(key).to_vec()))
}

/// Decodes a record of a file of `size` bytes. Returns the checksum, the access time, and the
/// record encoded again.
pub fn decode_record(
    bytes: &[u8],
    fingerprint: u128,
    size: u64,
    index: u32,
) -> Option<(u32, u64, Vec<u8>)> {
    let key = DiskKey { fingerprint: Fingerprint(fingerprint), size };
    let record = index_format::decode_record(bytes, key, index)?;
    let BlockRecord { crc, access_time } = record;
    Some((crc, access_time, index_format::encode_record(key, index, record).to_vec()))
}

/// Parses the stem of a file name, and returns its fingerprint.
pub fn parse_fingerprint(name: &str) -> Option<u128> {
    Fingerprint::from_hex(name).map(|fingerprint| fingerprint.0)
}
