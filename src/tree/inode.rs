//! Inode numbers: what they derive from, and the book that keeps them apart.

use std::collections::HashMap;
use std::fmt;

use xxhash_rust::xxh3::{xxh3_64, xxh3_128};

/// An inode number: 1 to 2⁶³ − 1.
///
/// The top bit is clear because programs that keep inode numbers in signed integers (SQL columns, Java, archive
/// headers) would otherwise see negative ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ino(pub u64);

impl Ino {
    /// The mountpoint itself; FUSE fixes it at 1 (`FUSE_ROOT_ID`).
    pub const ROOT: Ino = Ino(1);

    /// Bits that a number may have.
    pub(super) const BITS: u32 = 63;

    const HIGHEST: u64 = (1 << Self::BITS) - 1;
}

impl fmt::Display for Ino {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What an inode number stands for, as two hashes of the same bytes.
///
/// No path enters it: a meeting that gets another topic, or a file that gets another name, keeps its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Identity {
    /// Tells identities apart.
    fingerprint: Fingerprint,
    /// The number it gets where nothing else holds it.
    home: u64,
}

/// 128 bits, of which two of a billion meet with a chance of 1 in 10²⁰. As two halves, the higher first, it takes 16 bytes
/// wherever it stands: a `u128` would have to stand at a multiple of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Fingerprint([u64; 2]);

impl From<u128> for Fingerprint {
    fn from(hash: u128) -> Self {
        Self([(hash >> 64) as u64, hash as u64])
    }
}

impl Identity {
    /// The root, whose number is given and not hashed.
    pub(super) const ROOT: Identity =
        Identity { fingerprint: Fingerprint([0, 0]), home: Ino::ROOT.0 };

    /// The identity made of `parts`. Each is written behind its length, so that `["ab", "c"]` and `["a", "bc"]`
    /// differ.
    pub(super) fn of(parts: &[&[u8]]) -> Self {
        let mut bytes = Vec::with_capacity(parts.iter().map(|part| part.len() + 8).sum());
        for part in parts {
            bytes.extend_from_slice(&(part.len() as u64).to_le_bytes());
            bytes.extend_from_slice(part);
        }
        Self { fingerprint: xxh3_128(&bytes).into(), home: xxh3_64(&bytes) & Ino::HIGHEST }
    }
}

/// Every number ever given, for the life of the process: none is given twice.
///
/// **Invariant**: nothing is ever taken out, so the number of an identity is the first from its home on that holds its
/// fingerprint, and no number before that is free.
#[derive(Debug)]
pub(super) struct InodeBook {
    given: HashMap<u64, Fingerprint>,
}

/// Where an identity stands in the book.
enum Place {
    /// It has this number.
    Given(u64),
    /// This is the first free one that it may have.
    Free(u64),
}

impl InodeBook {
    pub(super) fn new() -> Self {
        Self { given: HashMap::from([(Ino::ROOT.0, Identity::ROOT.fingerprint)]) }
    }

    /// The numbers of `identities`, in their order.
    ///
    /// New ones are settled by fingerprint and not as they come, so that two which want the same number get the
    /// same ones after a restart, whatever the order of the listing. Only a colliding identity that turns up later
    /// than its rival may be numbered differently after a restart: among a million files that happens to one
    /// archive in some twenty million.
    pub(super) fn number(&mut self, identities: &[Identity]) -> Vec<Ino> {
        let mut new: Vec<Identity> = identities
            .iter()
            .filter(|identity| matches!(self.place(identity), Place::Free(_)))
            .copied()
            .collect();
        new.sort_unstable();
        new.dedup_by_key(|identity| identity.fingerprint);
        for identity in new {
            let (Place::Given(number) | Place::Free(number)) = self.place(&identity);
            self.given.insert(number, identity.fingerprint);
        }
        let numbers = identities.iter().map(|identity| match self.place(identity) {
            Place::Given(number) | Place::Free(number) => Ino(number),
        });
        numbers.collect()
    }

    /// Ends after at most as many steps as there are numbers given: far fewer than 2⁶³.
    fn place(&self, identity: &Identity) -> Place {
        let mut number = identity.home & Ino::HIGHEST;
        loop {
            match self.given.get(&number) {
                Some(fingerprint) if *fingerprint == identity.fingerprint => {
                    return Place::Given(number);
                }
                None if number > Ino::ROOT.0 => return Place::Free(number),
                Some(_) | None => number = number.wrapping_add(1) & Ino::HIGHEST,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity(fingerprint: u128, home: u64) -> Identity {
        Identity { fingerprint: fingerprint.into(), home }
    }

    #[test]
    fn inode_numbers_stay_as_they_are() {
        const CHANGED: &str =
            "inode numbers appear to have changed: users' backups would see every file as new";
        let number = |parts: &[&[u8]]| InodeBook::new().number(&[Identity::of(parts)])[0];
        assert_eq!(number(&[]), Ino(3_244_421_341_483_603_138), "{CHANGED}");
        assert_eq!(number(&[b"source", b"acme"]), Ino(3_916_658_221_847_728_469), "{CHANGED}");
        assert_eq!(
            number(&[b"meeting", b"acme", b"/aB3xY9+QWeRtYuIoP=="]),
            Ino(1_137_492_126_998_834_061),
            "{CHANGED}"
        );
    }

    #[test]
    fn parts_are_kept_apart_by_their_lengths() {
        assert_ne!(Identity::of(&[b"ab", b"c"]), Identity::of(&[b"a", b"bc"]));
        assert_ne!(Identity::of(&[b"ab"]), Identity::of(&[b"ab", b""]));
    }

    #[test]
    fn zero_and_one_are_never_given() {
        let mut book = InodeBook::new();
        let inos = book.number(&[
            identity(7, 0),
            identity(8, 1),
            identity(9, Ino::HIGHEST),
            identity(10, Ino::HIGHEST),
        ]);
        assert_eq!(inos, [Ino(2), Ino(3), Ino(Ino::HIGHEST), Ino(4)]);
    }

    #[test]
    fn rivals_for_a_number_are_settled_whatever_their_order() {
        let rivals = [identity(30, 500), identity(10, 500), identity(20, 500), identity(40, 501)];
        let forward = InodeBook::new().number(&rivals);
        let mut backward =
            InodeBook::new().number(&rivals.iter().rev().copied().collect::<Vec<_>>());
        backward.reverse();
        assert_eq!(forward, backward);
        assert_eq!(forward, [Ino(502), Ino(500), Ino(501), Ino(503)]);
    }

    #[test]
    fn a_number_is_kept_while_its_rival_is_away_and_never_given_to_another() {
        let mut book = InodeBook::new();
        let (first, second, third) = (identity(1, 500), identity(2, 500), identity(3, 500));
        assert_eq!(book.number(&[first, second]), [Ino(500), Ino(501)]);
        assert_eq!(book.number(&[second]), [Ino(501)]);
        assert_eq!(book.number(&[third, second]), [Ino(502), Ino(501)]);
        assert_eq!(book.number(&[first]), [Ino(500)]);
    }

    #[test]
    fn the_root_is_one() {
        assert_eq!(InodeBook::new().number(&[Identity::ROOT]), [Ino::ROOT]);
    }
}
