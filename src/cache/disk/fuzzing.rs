//! What the fuzz targets reach of this room: the index of a file.

use super::format::{self, Record};
use super::key::{DiskKey, Fingerprint};

/// Length of a header and of a record, in bytes.
pub const LENGTHS: [usize; 2] = [format::HEADER_LENGTH, format::RECORD_LENGTH];

/// The size that a header gives the file called so, and the header that says the same.
pub fn header(bytes: &[u8], fingerprint: u128) -> Option<(u64, Vec<u8>)> {
    let key = format::decode_header(bytes, Fingerprint(fingerprint))?;
    Some((key.size, format::encode_header(key).to_vec()))
}

/// What a record says of a block of a file of that size, and the record that says the same.
pub fn record(
    bytes: &[u8],
    fingerprint: u128,
    size: u64,
    index: u32,
) -> Option<(u32, u64, Vec<u8>)> {
    let key = DiskKey { fingerprint: Fingerprint(fingerprint), size };
    let Record { crc, clock } = format::decode_record(bytes, key, index)?;
    Some((crc, clock, format::encode_record(key, index, Record { crc, clock }).to_vec()))
}

/// The fingerprint that a file's name gives.
pub fn named(name: &str) -> Option<u128> {
    Fingerprint::from_hex(name).map(|fingerprint| fingerprint.0)
}
