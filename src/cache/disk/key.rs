//! The keys that identify file versions on disk.

use xxhash_rust::xxh3::Xxh3Default;

use crate::cache::BlockIndex;
use crate::model::{FileId, Version};

/// Maximum number of blocks of a cached file. It allows files of 1 TiB, a hundred times the longest
/// recording, and limits the number of bytes that are read from a damaged index.
const MAX_BLOCKS: u64 = 1 << 20;

/// Identifies the bytes of one file version. The key stays the same after a restart.
///
/// The key contains a fingerprint in place of names, so neither a file name nor an index file
/// reveals the meeting.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct DiskKey {
    pub(super) fingerprint: Fingerprint,
    pub(super) size: u64,
}

/// A 128-bit XXH3 hash of all values that distinguish one file version from another.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Fingerprint(pub(super) u128);

impl std::fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl Fingerprint {
    /// Returns the fingerprint in hexadecimal. The names of the files on disk begin with it.
    pub(super) fn to_hex(self) -> String {
        format!("{:032x}", self.0)
    }

    /// Parses the text that [`to_hex`](Self::to_hex) returns. Returns `None` for any other text.
    pub(super) fn from_hex(text: &str) -> Option<Self> {
        let is_valid =
            text.len() == 32 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        u128::from_str_radix(text, 16).ok().filter(|_| is_valid).map(Self)
    }
}

impl DiskKey {
    /// Creates the key of a file version of `size` bytes. `validator` is the strong validator from
    /// the server, or empty if there is none.
    ///
    /// The validator is part of the key, so blocks of two revisions are never mixed, even if the
    /// listing of the provider does not distinguish them.
    pub fn new(id: &FileId, version: Version, size: u64, validator: &str) -> Self {
        let mut hasher = Xxh3Default::new();
        hasher.update(b"meetfs blocks 1");
        // Each string is preceded by its length, so different lists of strings have different
        // hashes.
        for text in [id.source.as_str(), id.meeting.as_str(), id.key.as_str(), validator] {
            hasher.update(&(text.len() as u64).to_le_bytes());
            hasher.update(text.as_bytes());
        }
        hasher.update(&version.0.to_le_bytes());
        hasher.update(&size.to_le_bytes());
        Self { fingerprint: Fingerprint(hasher.digest128()), size }
    }

    /// Returns the number of blocks, or `None` if the file is too large for the cache.
    pub(super) fn block_count(self) -> Option<u32> {
        let count = BlockIndex::count(self.size).0;
        u32::try_from(count).ok().filter(|_| count <= MAX_BLOCKS)
    }

    /// Returns the length of block `index` in bytes. Returns `None` if the file has no such block
    /// or is too large for the cache.
    pub(super) fn block_length(self, index: u32) -> Option<usize> {
        if index >= self.block_count()? {
            return None;
        }
        Some(BlockIndex(u64::from(index)).length(self.size))
    }
}

/// Returns the offset of block `index` in its file.
pub(super) fn block_start(index: u32) -> u64 {
    BlockIndex(u64::from(index)).start()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache::BLOCK_LENGTH;
    use crate::model::{FileKey, MeetingId, SourceName};

    fn key(source: &str, meeting: &str, file: &str, version: u64, size: u64) -> DiskKey {
        let id = FileId {
            source: SourceName::new(source).unwrap(),
            meeting: MeetingId::from(meeting),
            key: FileKey::from(file),
        };
        DiskKey::new(&id, Version(version), size, "")
    }

    #[test]
    fn every_part_of_the_identity_changes_the_key() {
        let base = key("acme", "ab", "c", 1, 10);
        for different in [
            key("acmf", "ab", "c", 1, 10),
            key("acme", "a", "bc", 1, 10),
            key("acme", "ab", "d", 1, 10),
            key("acme", "ab", "c", 2, 10),
            key("acme", "ab", "c", 1, 11),
        ] {
            assert_ne!(base.fingerprint, different.fingerprint);
        }
    }

    #[test]
    fn fingerprints_are_stable_across_versions() {
        let key = key("acme", "4yUxQw==", "mp4-0", 7, 123_456);
        assert_eq!(
            key.fingerprint.to_hex(),
            "fc73499ae03a38c7c786de2b56ff0735",
            "fingerprints appear to have changed: all cached files would be lost"
        );
    }

    #[test]
    fn only_fingerprints_are_parsed() {
        let fingerprint = Fingerprint(0xab);
        assert_eq!(Fingerprint::from_hex(&fingerprint.to_hex()), Some(fingerprint));
        for foreign in
            ["", "ab", "+00000000000000000000000000000ab", "000000000000000000000000000000AB"]
        {
            assert_eq!(Fingerprint::from_hex(foreign), None, "{foreign}");
        }
    }

    #[test]
    fn last_block_has_the_remaining_length() {
        let key = key("acme", "a", "b", 1, 2 * BLOCK_LENGTH + 5);
        assert_eq!(key.block_count(), Some(3));
        assert_eq!(key.block_length(1), Some(BLOCK_LENGTH as usize));
        assert_eq!(key.block_length(2), Some(5));
        assert_eq!(key.block_length(3), None);
        assert_eq!(self::key("acme", "a", "b", 1, u64::MAX).block_length(0), None);
    }
}
