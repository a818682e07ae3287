//! Inode numbers: how they are computed, and the table that keeps them unique.

use std::collections::HashMap;
use std::fmt;

use xxhash_rust::xxh3::{xxh3_64, xxh3_128};

/// An inode number, between 1 and 2⁶³ − 1.
///
/// The highest bit is always zero. Programs that store inode numbers in signed integers (SQL
/// columns, Java, archive headers) would otherwise show negative numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ino(pub u64);

impl Ino {
    /// The inode number of the mountpoint. FUSE requires 1 (`FUSE_ROOT_ID`).
    pub const ROOT: Ino = Ino(1);

    /// The number of bits of an inode number.
    pub(super) const BITS: u32 = 63;

    const MAX: u64 = (1 << Self::BITS) - 1;
}

impl fmt::Display for Ino {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The identity of a file or directory: two hashes of the same bytes. It determines the inode
/// number.
///
/// The hashes do not depend on the path, so a renamed meeting or file keeps its inode number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Identity {
    /// The hash by which identities are compared.
    fingerprint: Fingerprint,
    /// The inode number that the identity gets if the number is free.
    preferred_number: u64,
}

/// A 128-bit hash. The probability that two of a billion hashes are equal is 1 in 10²⁰.
///
/// The hash is stored as two halves, the higher half first, in 16 bytes. A `u128` would add padding
/// because of its alignment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Fingerprint([u64; 2]);

impl From<u128> for Fingerprint {
    fn from(hash: u128) -> Self {
        Self([(hash >> 64) as u64, hash as u64])
    }
}

impl Identity {
    /// The identity of the root. Its inode number is fixed and not computed from a hash.
    pub(super) const ROOT: Identity =
        Identity { fingerprint: Fingerprint([0, 0]), preferred_number: Ino::ROOT.0 };

    /// Returns the identity that is computed from `parts`. Each part is prefixed with its length,
    /// so `["ab", "c"]` and `["a", "bc"]` have different identities.
    pub(super) fn from_parts(parts: &[&[u8]]) -> Self {
        let mut bytes = Vec::with_capacity(parts.iter().map(|part| part.len() + 8).sum());
        for part in parts {
            bytes.extend_from_slice(&(part.len() as u64).to_le_bytes());
            bytes.extend_from_slice(part);
        }
        Self { fingerprint: xxh3_128(&bytes).into(), preferred_number: xxh3_64(&bytes) & Ino::MAX }
    }
}

/// All inode numbers that this process has assigned. A number is never reused.
///
/// **Invariant**: numbers are never removed. To find the number of an identity, the search starts
/// at its preferred number and continues upward to the number that has its fingerprint. If the
/// search reaches a free number first, the identity has no number yet.
#[derive(Debug)]
pub(super) struct InodeTable {
    /// The fingerprints of the identities, by the number that is assigned to the identity.
    fingerprints: HashMap<u64, Fingerprint>,
}

/// The result of searching the table for an identity.
enum Slot {
    /// The number that is assigned to the identity.
    Assigned(u64),
    /// The free number that the identity would get.
    Free(u64),
}

impl InodeTable {
    pub(super) fn new() -> Self {
        Self { fingerprints: HashMap::from([(Ino::ROOT.0, Identity::ROOT.fingerprint)]) }
    }

    /// Returns the numbers of `identities`, in the same order. Assigns a number to each identity
    /// that has none.
    ///
    /// New identities are numbered in the order of their fingerprints. So two identities with the
    /// same preferred number get the same numbers after a restart, in any order of the listing.
    /// Only an identity that appears later than the one it collides with can get another number
    /// after a restart. For an archive with a million files, the probability of this is about 1 in
    /// 20 million.
    pub(super) fn assign(&mut self, identities: &[Identity]) -> Vec<Ino> {
        let mut new_identities: Vec<Identity> = identities
            .iter()
            .filter(|identity| matches!(self.find_slot(identity), Slot::Free(_)))
            .copied()
            .collect();
        new_identities.sort_unstable();
        new_identities.dedup_by_key(|identity| identity.fingerprint);
        for identity in new_identities {
            let (Slot::Assigned(number) | Slot::Free(number)) = self.find_slot(&identity);
            self.fingerprints.insert(number, identity.fingerprint);
        }
        let numbers = identities.iter().map(|identity| match self.find_slot(identity) {
            Slot::Assigned(number) | Slot::Free(number) => Ino(number),
        });
        numbers.collect()
    }

    /// Searches the table for an identity. The search ends because fewer than 2⁶³ numbers are
    /// assigned.
    fn find_slot(&self, identity: &Identity) -> Slot {
        let mut number = identity.preferred_number & Ino::MAX;
        loop {
            match self.fingerprints.get(&number) {
                Some(fingerprint) if *fingerprint == identity.fingerprint => {
                    return Slot::Assigned(number);
                }
                None if number > Ino::ROOT.0 => return Slot::Free(number),
                Some(_) | None => number = number.wrapping_add(1) & Ino::MAX,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity(fingerprint: u128, preferred_number: u64) -> Identity {
        Identity { fingerprint: fingerprint.into(), preferred_number }
    }

    #[test]
    fn inode_numbers_never_change() {
        const CHANGED: &str = "inode numbers changed: every backup would copy all files again";
        let ino_of = |parts: &[&[u8]]| InodeTable::new().assign(&[Identity::from_parts(parts)])[0];
        assert_eq!(ino_of(&[]), Ino(3_244_421_341_483_603_138), "{CHANGED}");
        assert_eq!(ino_of(&[b"source", b"acme"]), Ino(3_916_658_221_847_728_469), "{CHANGED}");
        assert_eq!(
            ino_of(&[b"meeting", b"acme", b"/aB3xY9+QWeRtYuIoP=="]),
            Ino(1_137_492_126_998_834_061),
            "{CHANGED}"
        );
    }

    #[test]
    fn parts_are_separated_by_their_lengths() {
        assert_ne!(Identity::from_parts(&[b"ab", b"c"]), Identity::from_parts(&[b"a", b"bc"]));
        assert_ne!(Identity::from_parts(&[b"ab"]), Identity::from_parts(&[b"ab", b""]));
    }

    #[test]
    fn zero_and_one_are_never_assigned() {
        let mut table = InodeTable::new();
        let inos = table.assign(&[
            identity(7, 0),
            identity(8, 1),
            identity(9, Ino::MAX),
            identity(10, Ino::MAX),
        ]);
        assert_eq!(inos, [Ino(2), Ino(3), Ino(Ino::MAX), Ino(4)]);
    }

    #[test]
    fn colliding_identities_get_numbers_in_any_order() {
        let colliding_identities =
            [identity(30, 500), identity(10, 500), identity(20, 500), identity(40, 501)];
        let forward_inos = InodeTable::new().assign(&colliding_identities);
        let mut backward_inos = InodeTable::new()
            .assign(&colliding_identities.iter().rev().copied().collect::<Vec<_>>());
        backward_inos.reverse();
        assert_eq!(forward_inos, backward_inos);
        assert_eq!(forward_inos, [Ino(502), Ino(500), Ino(501), Ino(503)]);
    }

    #[test]
    fn collision_numbers_are_never_reused() {
        let mut table = InodeTable::new();
        let (first, second, third) = (identity(1, 500), identity(2, 500), identity(3, 500));
        assert_eq!(table.assign(&[first, second]), [Ino(500), Ino(501)]);
        assert_eq!(table.assign(&[second]), [Ino(501)]);
        assert_eq!(table.assign(&[third, second]), [Ino(502), Ino(501)]);
        assert_eq!(table.assign(&[first]), [Ino(500)]);
    }

    #[test]
    fn root_inode_is_one() {
        assert_eq!(InodeTable::new().assign(&[Identity::ROOT]), [Ino::ROOT]);
    }
}
