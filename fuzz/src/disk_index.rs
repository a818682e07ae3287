//! The index of a cached file: a header and a record, as given and with corrected checksums, so
//! that the fields behind them are parsed. A parsed value is written back unchanged.

use meetfs::fuzzing::disk;

pub fn check(data: &[u8]) {
    let [header, record] = disk::HEADER_AND_RECORD_LENGTH;
    if let Ok(name) = std::str::from_utf8(data)
        && let Some(fingerprint) = disk::parse_fingerprint(name)
    {
        assert_eq!(format!("{fingerprint:032x}"), name);
    }
    read(data, &data[data.len().min(header)..]);
    if data.len() >= header + record {
        let mut fixed = data[..header + record].to_vec();
        seal(&mut fixed[..header], 0);
        let fingerprint = fingerprint(&fixed);
        let index = u64::from(index(&fixed));
        let seed =
            crc32c::crc32c_append(crc32c::crc32c(&fingerprint.to_le_bytes()), &index.to_le_bytes());
        seal(&mut fixed[header..], seed);
        read(&fixed, &fixed[header..]);
    }
}

fn read(header: &[u8], record: &[u8]) {
    let fingerprint = fingerprint(header);
    let Some((size, written)) = disk::decode_header(header, fingerprint) else { return };
    assert!(size <= 1 << 40, "{size}");
    // Reserved bytes are ignored and written as zeros.
    assert_eq!(written[..40], header[..40]);
    let index = index(header);
    if let Some((_, _, written)) = disk::decode_record(record, fingerprint, size, index) {
        assert_eq!(written[..16], record[..16]);
        assert!(u64::from(index) * (1 << 20) < size, "block {index} of {size} bytes");
    }
}

fn fingerprint(header: &[u8]) -> u128 {
    header.get(16..32).map_or(0, |bytes| u128::from_le_bytes(bytes.try_into().expect("sixteen")))
}

/// Returns the block of the record, from two reserved bytes of the header.
fn index(header: &[u8]) -> u32 {
    header
        .get(40..42)
        .map_or(0, |bytes| u32::from(u16::from_le_bytes(bytes.try_into().expect("two"))))
}

fn seal(bytes: &mut [u8], seed: u32) {
    let (fields, seal) = bytes.split_last_chunk_mut::<4>().expect("longer than four");
    *seal = crc32c::crc32c_append(seed, fields).to_le_bytes();
}
