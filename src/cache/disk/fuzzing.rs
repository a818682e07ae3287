//! The entry points of the fuzz targets for the format of index files.

use super::index_format::{self, BlockRecord};
use super::key::{DiskKey, Fingerprint};

/// Length of a header and of a record, in bytes.
pub const LENGTHS: [usize; 2] = [index_format::HEADER_LENGTH, index_format::RECORD_LENGTH];

/// Returns the file size in a header, and the header encoded again.
pub fn header(bytes: &[u8], fingerprint: u128) -> Option<(u64, Vec<u8>)> {
    let key = index_format::decode_header(bytes, Fingerprint(fingerprint))?;
    Some((key.size, index_format::encode_header(key).to_vec()))
}

/// Returns the fields of a record of a file of `size` bytes, and the record encoded again.
pub fn record(
    bytes: &[u8],
    fingerprint: u128,
    size: u64,
    index: u32,
) -> Option<(u32, u64, Vec<u8>)> {
    let key = DiskKey { fingerprint: Fingerprint(fingerprint), size };
    let record = index_format::decode_record(bytes, key, index)?;
    let BlockRecord { crc, accessed } = record;
    Some((crc, accessed, index_format::encode_record(key, index, record).to_vec()))
}

/// Returns the fingerprint in a file name.
pub fn named(name: &str) -> Option<u128> {
    Fingerprint::from_hex(name).map(|fingerprint| fingerprint.0)
}
