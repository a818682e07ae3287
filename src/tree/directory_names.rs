//! Assigns unique names in a directory.

use std::collections::HashSet;

use xxhash_rust::xxh3::{xxh3_64, xxh3_128_with_seed};

use super::name::{MAX_LENGTH, collision_key, truncate};

/// A request for a name in a directory.
#[derive(Clone, Debug)]
pub(super) struct NameRequest {
    /// The start of the name. It is legal and not empty, and it is shortened if the name would be
    /// too long.
    pub(super) stem: String,
    /// The end of the name, such as a time and an extension with its dot. It is never shortened,
    /// and its length is at most half of [`MAX_LENGTH`].
    pub(super) tail: String,
    /// The identity of the request. It is unique in the directory and the same in every listing.
    pub(super) id: Vec<u8>,
}

impl NameRequest {
    fn name_with_suffix(&self, suffix: &str) -> String {
        let max_stem_length = MAX_LENGTH.saturating_sub(suffix.len() + self.tail.len());
        format!("{}{suffix}{}", truncate(&self.stem, max_stem_length), self.tail)
    }

    /// Returns the suffixes to try, in order. The first ones contain an increasing number of digits
    /// of a hash of the id. All others contain hashes with other seeds, so there is always a suffix
    /// that is not in use.
    fn suffixes(&self) -> impl Iterator<Item = String> {
        let hash = xxh3_64(&self.id);
        let long_suffixes =
            (0..).map(|seed| format!(" ~{:032x}", xxh3_128_with_seed(&self.id, seed)));
        [format!(" ~{:08x}", hash >> 32), format!(" ~{hash:016x}")].into_iter().chain(long_suffixes)
    }
}

/// The name that was assigned for a [`NameRequest`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct AssignedName {
    pub(super) name: String,
    /// The part of the name that makes it unique: ` ~` and hexadecimal digits, or an empty string.
    pub(super) suffix: String,
}

/// The names in use in one directory. A name is assigned only once, regardless of case.
#[derive(Debug, Default)]
pub(super) struct DirectoryNames {
    /// The [`collision_key`]s of the names in use.
    used_keys: HashSet<String>,
}

impl DirectoryNames {
    /// Marks a name as used, so it is not assigned.
    pub(super) fn reserve(&mut self, name: &str) {
        self.used_keys.insert(collision_key(name));
    }

    /// Assigns a name to each request and returns the names in the order of the requests. Names
    /// that were assigned or reserved before are not assigned again.
    ///
    /// If several requests have the same name, or names that differ only in case, the request with
    /// the smallest id gets the name. The other requests get a suffix. If the name with the suffix
    /// is in use too, a longer suffix is used. The result does not depend on the order of the
    /// requests. All ids must be different.
    pub(super) fn assign(&mut self, requests: &[NameRequest]) -> Vec<AssignedName> {
        let mut requests_by_id: Vec<(usize, &NameRequest)> = requests.iter().enumerate().collect();
        requests_by_id.sort_unstable_by(|(_, one), (_, other)| one.id.cmp(&other.id));
        let mut assigned_names: Vec<Option<AssignedName>> = vec![None; requests.len()];
        let mut set_name = |position: usize, name: String, suffix: String| {
            if let Some(slot) = assigned_names.get_mut(position) {
                *slot = Some(AssignedName { name, suffix });
            }
        };
        // Plain names are assigned first: a suffixed name must not take the plain name of another
        // request.
        requests_by_id.retain(|(position, request)| {
            let plain_name = request.name_with_suffix("");
            let is_free = self.used_keys.insert(collision_key(&plain_name));
            if is_free {
                set_name(*position, plain_name, String::new());
            }
            !is_free
        });
        for (position, request) in requests_by_id {
            let mut candidates =
                request.suffixes().map(|suffix| (request.name_with_suffix(&suffix), suffix));
            if let Some((name, suffix)) =
                candidates.find(|(name, _)| self.used_keys.insert(collision_key(name)))
            {
                set_name(position, name, suffix);
            }
        }
        assigned_names.into_iter().flatten().collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::name::tests::{assert_legal, special_text};
    use super::super::name::{legal_extension, legal_name};
    use super::*;

    fn request(stem: &str, tail: &str, id: &str) -> NameRequest {
        NameRequest { stem: stem.to_owned(), tail: tail.to_owned(), id: id.into() }
    }

    fn names(requests: &[NameRequest]) -> Vec<String> {
        let assigned_names = DirectoryNames::default().assign(requests);
        assigned_names.into_iter().map(|assigned| assigned.name).collect()
    }

    #[test]
    fn long_names_are_cut_between_graphemes() {
        let accented_letters = "x\u{323}\u{306}".repeat(200);
        let [name] =
            <[String; 1]>::try_from(names(&[request(&accented_letters, ".mp4", "1")])).unwrap();
        assert_eq!(name, format!("{}.mp4", "x\u{323}\u{306}".repeat(50)));
        let family_emoji = "👩\u{200d}👩\u{200d}👧".repeat(20);
        assert_eq!(
            names(&[request(&family_emoji, "", "1")]),
            ["👩\u{200d}👩\u{200d}👧".repeat(14)]
        );
        let long_grapheme = format!("x{}", "\u{323}".repeat(300));
        assert_eq!(names(&[request(&long_grapheme, "", "1")])[0].len(), 255);
        let cut_at_space = format!("{} {}", "a".repeat(250), "b".repeat(50));
        assert_eq!(
            names(&[request(&cut_at_space, ".mp4", "1")]),
            [format!("{}.mp4", "a".repeat(250))]
        );
    }

    #[test]
    fn request_with_smallest_id_gets_plain_name() {
        let assigned_names = names(&[
            request("talk", ".mp4", "b"),
            request("talk", ".mp4", "a"),
            request("talk", ".m4a", "c"),
        ]);
        let short_hash = format!("{:08x}", xxh3_64(b"b") >> 32);
        assert_eq!(
            assigned_names,
            [format!("talk ~{short_hash}.mp4"), "talk.mp4".into(), "talk.m4a".into()]
        );
    }

    #[test]
    fn names_that_differ_in_case_get_a_suffix() {
        for (one, other) in [
            ("Weekly Sync", "weekly sync"),
            ("ÉTÉ", "été"),
            ("STRASSE", "straße"),
            ("ΟΔΟΣ", "οδος"),
            ("ΟΔΟΣ", "οδός".replace('ό', "ο").as_str()),
            ("ДИМА", "дима"),
            ("Ǆ", "ǅ"),
            ("ﬁle", "FILE"),
            ("Å", "å"),
            ("K", "k"),
            ("می\u{200c}خواهم", "میخواهم"),
        ] {
            let assigned_names = names(&[request(one, ".mp4", "a"), request(other, ".mp4", "b")]);
            let short_hash = format!("{:08x}", xxh3_64(b"b") >> 32);
            let expected = [format!("{one}.mp4"), format!("{other} ~{short_hash}.mp4")];
            assert_eq!(assigned_names, expected, "{one} {other}");
        }
        let extensions = [request("a", ".MP4", "1"), request("a", ".mp4", "2")];
        assert!(names(&extensions)[1].starts_with("a ~"));
        let mut directory = DirectoryNames::default();
        directory.reserve("meeting.json");
        assert_ne!(directory.assign(&[request("Meeting", ".JSON", "1")])[0].suffix, "");
    }

    #[test]
    fn every_case_of_a_character_has_the_same_key() {
        for character in '\0'..=char::MAX {
            let key = collision_key(&character.to_string());
            let upper_case: String = character.to_uppercase().collect();
            let lower_case: String = character.to_lowercase().collect();
            assert_eq!(collision_key(&upper_case), key, "{character}");
            assert_eq!(collision_key(&lower_case), key, "{character}");
        }
    }

    #[test]
    fn suffix_is_never_cut_off() {
        let long_stem = "a".repeat(300);
        let assigned_names = names(&[
            request(&long_stem, ".mp4", "1"),
            request(&long_stem, ".mp4", "2"),
            request(&long_stem, ".mp4", "3"),
        ]);
        assert_eq!(assigned_names[0], format!("{}.mp4", "a".repeat(251)));
        for name in &assigned_names[1..] {
            assert_eq!(name.len(), 255, "{name}");
            assert!(
                name.starts_with("aaaa") && name[241..].starts_with(" ~") && name.ends_with(".mp4"),
                "{name}"
            );
        }
        assert_ne!(assigned_names[1], assigned_names[2]);
    }

    #[test]
    fn suffix_in_use_is_lengthened() {
        let hash = xxh3_64(b"2");
        let (short_name, long_name) =
            (format!("talk ~{:08x}", hash >> 32), format!("talk ~{hash:016x}"));
        let requests =
            [request("talk", "", "1"), request("talk", "", "2"), request(&short_name, "", "3")];
        assert_eq!(names(&requests), ["talk", long_name.as_str(), short_name.as_str()]);
        let requests = [&requests[..], &[request(&long_name, "", "4")]].concat();
        let longest_name = format!("talk ~{:032x}", xxh3_128_with_seed(b"2", 0));
        assert_eq!(
            names(&requests),
            ["talk", longest_name.as_str(), short_name.as_str(), long_name.as_str()]
        );
    }

    #[test]
    fn reserved_name_is_never_assigned() {
        let mut directory = DirectoryNames::default();
        directory.reserve("meeting.json");
        let assigned_names = directory.assign(&[request("meeting", ".json", "1")]);
        assert_eq!(assigned_names[0].name, format!("meeting{}.json", assigned_names[0].suffix));
        assert_eq!(assigned_names[0].suffix.len(), " ~".len() + 8);
    }

    proptest! {
        #[test]
        fn any_text_gives_a_legal_name(stem in special_text(), extension in special_text()) {
            let (stem, tail) = (legal_name(&stem), legal_extension(&extension));
            if !stem.is_empty() {
                let name = names(&[request(&stem, &tail, "1")]).remove(0);
                assert_legal(&name);
                prop_assert!(name.ends_with(&tail));
            }
        }

        #[test]
        fn names_are_unique_in_any_order(
            texts in prop::collection::btree_map("[a-c]{1,3}", prop_oneof![special_text(), "x|y|X|x ~[0-9a-fA-F]{8}"], 1..12),
            rotation in 0usize..12,
        ) {
            let mut requests: Vec<NameRequest> = texts
                .iter()
                .map(|(id, text)| request(&format!("x{}", legal_name(text)), ".mp4", id))
                .collect();
            let expected = names(&requests);
            expected.iter().for_each(|name| assert_legal(name));
            let keys: HashSet<_> = expected.iter().map(|name| collision_key(name)).collect();
            prop_assert_eq!(keys.len(), expected.len());
            let rotation = rotation % requests.len();
            requests.rotate_left(rotation);
            let mut rotated_names = names(&requests);
            rotated_names.rotate_right(rotation);
            prop_assert_eq!(rotated_names, expected);
        }
    }
}
