//! Legal names, and what tells two things apart that would have the same one.
//!
//! [`legal`] turns any text into one that can stand in a path on every system and shows what it is:
//!
//! | in the text | in the name | because |
//! |---|---|---|
//! | canonically equal spellings | NFC | `é` typed is `é` listed |
//! | `/` | space | separates path components |
//! | white space of any kind and length | one space | line breaks and tabs break listings |
//! | control characters (C0, DEL, C1) | nothing | NUL ends a name; others drive terminals |
//! | U+061C, U+200E–F, U+202A–E, U+2066–9 (direction) | nothing | they show `gpj.exe` as `exe.jpg` |
//! | U+00AD, U+180E, U+200B, U+2060–F, U+FEFF (invisible) | nothing | two different names would look the same |
//! | U+200C and U+200D (joiners) | kept between two characters beyond ASCII | emoji, Persian and Indic scripts need them |
//! | `:` before white space or at the end | nothing | `plan: summer` reads `plan summer` |
//! | `:` elsewhere, and `\` | `-` | `10:30` reads `10-30` |
//! | `"` | `'` | |
//! | `<`, `>` | `‹`, `›` | |
//! | `\|` | `¦` | |
//! | `*`, `?` | `＊`, `？` (full width) | |
//! | dots and spaces at the start | nothing | a leading dot hides a name; `..` is the parent |
//! | dots and spaces at the end | nothing | Windows and SMB drop them |
//!
//! `\ : * ? " < > |` are what Windows, SMB and FAT refuse: a copy made there keeps its names.

use std::borrow::Cow;
use std::collections::HashSet;

use unicode_normalization::{IsNormalized, UnicodeNormalization, is_nfc_quick};
use unicode_segmentation::UnicodeSegmentation;
use xxhash_rust::xxh3::{xxh3_64, xxh3_128_with_seed};

/// The longest name in bytes: `NAME_MAX` of Linux and of nearly every file system.
pub(super) const MAX_LENGTH: usize = 255;

/// The longest extension in bytes. An extension is never cut for length, so it must leave room for a stem, a time and
/// the longest hash; real ones have at most five letters.
const MAX_EXTENSION: usize = 64;

/// How much of a text is looked at, in bytes: sixteen times what fits a name, for texts of which little is left.
/// Without it a listing with a topic of megabytes would cost that at each build.
const MAX_TEXT: usize = 16 * MAX_LENGTH;

/// The text as (part of) a file name by the table above; empty where nothing is left of it. It may be too long.
pub(super) fn legal(text: &str) -> String {
    let text = cut_at_character(text, MAX_TEXT);
    // Nearly all stems and extensions are of this kind; taking them as they are halves the time of a build.
    if text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-')) {
        return text.to_owned();
    }
    let visible: Vec<char> = nfc(text).chars().filter_map(visible).collect();
    let joined: String = without_stray_joiners(&visible).collect();
    let mut name = String::with_capacity(joined.len());
    let normal = nfc(&joined);
    let mut rest = normal.chars().peekable();
    while let Some(character) = rest.next() {
        match character {
            ' ' if name.is_empty() || name.ends_with(' ') => {}
            ':' if rest.peek().is_none_or(|next| *next == ' ') => {}
            other => name.push(stand_in(other)),
        }
    }
    let trimmed = name.trim_matches(is_dot_or_space);
    if trimmed.len() == name.len() { name } else { trimmed.to_owned() }
}

/// The extension as the end of a file name, with its dot; empty where nothing is left of it.
pub(super) fn legal_extension(extension: &str) -> String {
    let extension = legal(extension);
    match cut(&extension, MAX_EXTENSION) {
        "" => String::new(),
        kept => format!(".{kept}"),
    }
}

fn nfc(text: &str) -> Cow<'_, str> {
    match is_nfc_quick(text.chars()) {
        IsNormalized::Yes => Cow::Borrowed(text),
        IsNormalized::No | IsNormalized::Maybe => Cow::Owned(text.nfc().collect()),
    }
}

fn visible(character: char) -> Option<char> {
    match character {
        '/' => Some(' '),
        space if space.is_whitespace() => Some(' '),
        control if control.is_control() => None,
        '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}' | '\u{200e}' | '\u{200f}' => None,
        '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' => None,
        other => Some(other),
    }
}

/// Drops joiners that join nothing: they would make names that look the same and are not.
fn without_stray_joiners(characters: &[char]) -> impl Iterator<Item = char> {
    let is_joined =
        |character: Option<&char>| character.is_some_and(|c| !c.is_ascii() && !is_joiner(*c));
    let before = std::iter::once(None).chain(characters.iter().map(Some));
    let after = characters.iter().skip(1).map(Some).chain(std::iter::once(None));
    characters
        .iter()
        .zip(before.zip(after))
        .filter(move |(character, (before, after))| {
            !is_joiner(**character) || (is_joined(*before) && is_joined(*after))
        })
        .map(|(character, _)| *character)
}

fn stand_in(character: char) -> char {
    match character {
        ':' | '\\' => '-',
        '"' => '\'',
        '<' => '‹',
        '>' => '›',
        '|' => '¦',
        '*' => '＊',
        '?' => '？',
        other => other,
    }
}

pub(super) fn is_dot_or_space(character: char) -> bool {
    matches!(character, '.' | ' ')
}

fn is_joiner(character: char) -> bool {
    matches!(character, '\u{200c}' | '\u{200d}')
}

fn cut_at_character(text: &str, longest: usize) -> &str {
    text.get(..text.floor_char_boundary(longest)).unwrap_or(text)
}

/// The longest beginning that fits, cut between characters as a reader sees them: no accent is lost from its letter
/// and no family emoji is broken up. One such character that is too long alone is cut where it must be.
fn cut(text: &str, longest: usize) -> &str {
    if text.len() <= longest {
        return text;
    }
    let ends = text.grapheme_indices(true).map(|(start, character)| start + character.len());
    let end = ends.take_while(|end| *end <= longest).last();
    let kept =
        end.and_then(|end| text.get(..end)).unwrap_or_else(|| cut_at_character(text, longest));
    kept.trim_end_matches(|last| is_dot_or_space(last) || is_joiner(last))
}

/// A name that something would like to have.
#[derive(Clone, Debug)]
pub(super) struct Wanted {
    /// Legal, not empty; cut where the name would be too long.
    pub(super) stem: String,
    /// What follows and is never cut: a time, an extension with its dot. At most half of [`MAX_LENGTH`].
    pub(super) tail: String,
    /// What tells it from the others of its directory, on every listing the same.
    pub(super) id: Vec<u8>,
}

impl Wanted {
    fn with(&self, suffix: &str) -> String {
        let room = MAX_LENGTH.saturating_sub(suffix.len() + self.tail.len());
        format!("{}{suffix}{}", cut(&self.stem, room), self.tail)
    }

    /// The suffixes to try, one after the other. Each later one holds more of the id, and there are as many as it
    /// takes: with the seeds they differ without end, and the names that are taken end.
    fn suffixes(&self) -> impl Iterator<Item = String> {
        let short = xxh3_64(&self.id);
        let long = (0..).map(|seed| format!(" ~{:032x}", xxh3_128_with_seed(&self.id, seed)));
        [format!(" ~{:08x}", short >> 32), format!(" ~{short:016x}")].into_iter().chain(long)
    }
}

/// A name that something has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Given {
    /// The whole name.
    pub(super) name: String,
    /// What was added to tell it from others: ` ~` and hexadecimal digits, or nothing.
    pub(super) suffix: String,
}

/// The names of one directory, each given once.
#[derive(Debug, Default)]
pub(super) struct DirectoryNames {
    taken: HashSet<String>,
}

impl DirectoryNames {
    /// Keeps a name from all that comes later.
    pub(super) fn reserve(&mut self, name: &str) {
        self.taken.insert(name.into());
    }

    /// Gives every one of `wanted` its name, in their order. Names given or reserved before stay out of reach.
    ///
    /// Among those who want the same name the smallest id gets it, all others get theirs with a suffix. A suffixed
    /// name that is taken as well gets a longer one. The outcome depends on the set alone, not on its order. No two
    /// ids may be the same.
    pub(super) fn give(&mut self, wanted: &[Wanted]) -> Vec<Given> {
        let mut by_id: Vec<(usize, &Wanted)> = wanted.iter().enumerate().collect();
        by_id.sort_unstable_by(|(_, one), (_, other)| one.id.cmp(&other.id));
        let mut given: Vec<Option<Given>> = vec![None; wanted.len()];
        let mut give = |place: usize, name: String, suffix: String| {
            if let Some(slot) = given.get_mut(place) {
                *slot = Some(Given { name, suffix });
            }
        };
        // All plain names first: whoever can have the name it wants must not lose it to a suffixed one.
        by_id.retain(|(place, wanted)| {
            let plain = wanted.with("");
            let is_free = self.taken.insert(plain.clone());
            if is_free {
                give(*place, plain, String::new());
            }
            !is_free
        });
        for (place, wanted) in by_id {
            let mut candidates = wanted.suffixes().map(|suffix| (wanted.with(&suffix), suffix));
            if let Some((name, suffix)) =
                candidates.find(|(name, _)| self.taken.insert(name.clone()))
            {
                give(place, name, suffix);
            }
        }
        given.into_iter().flatten().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn wanted(stem: &str, tail: &str, id: &str) -> Wanted {
        Wanted { stem: stem.to_owned(), tail: tail.to_owned(), id: id.into() }
    }

    fn names(wanted: &[Wanted]) -> Vec<String> {
        DirectoryNames::default().give(wanted).into_iter().map(|given| given.name).collect()
    }

    #[test]
    fn the_table_holds() {
        for (text, name) in [
            ("Q&A / plan: été", "Q&A plan été"),
            ("e\u{301}te\u{301}", "été"),
            ("a\u{200b}e\u{200b}\u{301}", "aé"),
            ("../../etc/passwd", "etc passwd"),
            ("a\t\r\n\u{a0}\u{3000}\u{2028}b", "a b"),
            ("a\0b\u{1b}[31mc\u{7f}d\u{9b}e", "ab[31mcde"),
            ("report \u{202e}gpj.exe\u{202c} \u{2066}x\u{2069}", "report gpj.exe x"),
            ("\u{feff}bom\u{2060}\u{ad}s", "boms"),
            ("10:30", "10-30"),
            ("a: b:c :", "a b-c"),
            (r#"a\b*c?d"e<f>g|h"#, "a-b＊c？d'e‹f›g¦h"),
            (".hidden", "hidden"),
            ("Wait... what. . .", "Wait... what"),
            (". .. ...", ""),
            (":", ""),
            ("", ""),
            ("👩\u{200d}👩\u{200d}👧", "👩\u{200d}👩\u{200d}👧"),
            ("a\u{200d}b \u{200d}é\u{200d}\u{200c}é\u{200d}", "ab éé"),
        ] {
            assert_eq!(legal(text), name, "{text:?}");
        }
    }

    #[test]
    fn an_extension_keeps_its_inner_dots_and_loses_what_is_illegal() {
        for (extension, tail) in [
            ("mp4", ".mp4"),
            (".tar.gz", ".tar.gz"),
            ("", ""),
            ("..", ""),
            ("m/p\0", ".m p"),
            ("MP4", ".MP4"),
        ] {
            assert_eq!(legal_extension(extension), tail, "{extension:?}");
        }
        assert_eq!(legal_extension(&"é".repeat(100)).len(), 1 + MAX_EXTENSION);
    }

    #[test]
    fn a_long_name_is_cut_between_letters_and_keeps_its_tail() {
        let accented = "x\u{323}\u{306}".repeat(200);
        let [name] = <[String; 1]>::try_from(names(&[wanted(&accented, ".mp4", "1")])).unwrap();
        assert_eq!(name, format!("{}.mp4", "x\u{323}\u{306}".repeat(50)));
        let family = "👩\u{200d}👩\u{200d}👧".repeat(20);
        assert_eq!(names(&[wanted(&family, "", "1")]), ["👩\u{200d}👩\u{200d}👧".repeat(14)]);
        let one_letter = format!("x{}", "\u{323}".repeat(300));
        assert_eq!(names(&[wanted(&one_letter, "", "1")])[0].len(), 255);
        let at_a_space = format!("{} {}", "a".repeat(250), "b".repeat(50));
        assert_eq!(
            names(&[wanted(&at_a_space, ".mp4", "1")]),
            [format!("{}.mp4", "a".repeat(250))]
        );
    }

    #[test]
    fn all_but_the_smallest_id_carry_a_short_one_before_the_tail() {
        let given = names(&[
            wanted("talk", ".mp4", "b"),
            wanted("talk", ".mp4", "a"),
            wanted("talk", ".m4a", "c"),
        ]);
        let short = format!("{:08x}", xxh3_64(b"b") >> 32);
        assert_eq!(given, [format!("talk ~{short}.mp4"), "talk.mp4".into(), "talk.m4a".into()]);
    }

    #[test]
    fn a_suffix_is_never_cut_off() {
        let long = "a".repeat(300);
        let given = names(&[
            wanted(&long, ".mp4", "1"),
            wanted(&long, ".mp4", "2"),
            wanted(&long, ".mp4", "3"),
        ]);
        assert_eq!(given[0], format!("{}.mp4", "a".repeat(251)));
        for name in &given[1..] {
            assert_eq!(name.len(), 255, "{name}");
            assert!(
                name.starts_with("aaaa") && name[241..].starts_with(" ~") && name.ends_with(".mp4"),
                "{name}"
            );
        }
        assert_ne!(given[1], given[2]);
    }

    #[test]
    fn a_suffix_that_somebody_has_already_is_lengthened() {
        let hash = xxh3_64(b"2");
        let (short, long) = (format!("talk ~{:08x}", hash >> 32), format!("talk ~{hash:016x}"));
        let members = [wanted("talk", "", "1"), wanted("talk", "", "2"), wanted(&short, "", "3")];
        assert_eq!(names(&members), ["talk", long.as_str(), short.as_str()]);
        let members = [&members[..], &[wanted(&long, "", "4")]].concat();
        let longest = format!("talk ~{:032x}", xxh3_128_with_seed(b"2", 0));
        assert_eq!(names(&members), ["talk", longest.as_str(), short.as_str(), long.as_str()]);
    }

    #[test]
    fn a_reserved_name_is_given_to_nobody() {
        let mut directory = DirectoryNames::default();
        directory.reserve("meeting.json");
        let given = directory.give(&[wanted("meeting", ".json", "1")]);
        assert_eq!(given[0].name, format!("meeting{}.json", given[0].suffix));
        assert_eq!(given[0].suffix.len(), " ~".len() + 8);
    }

    /// Text in which what the rules speak of is frequent.
    fn nasty_text() -> impl Strategy<Value = String> {
        let special = prop::sample::select(vec![
            "/",
            ":",
            "\\",
            "*",
            "?",
            "\"",
            "<",
            ">",
            "|",
            ".",
            "..",
            " ",
            "\t",
            "\n",
            "\0",
            "\u{85}",
            "\u{301}",
            "\u{338}",
            "\u{200b}",
            "\u{200c}",
            "\u{200d}",
            "\u{202e}",
            "\u{2069}",
            "\u{feff}",
            "\u{212b}",
            "\u{37e}",
            "\u{1100}",
            "\u{1161}",
            "👩\u{200d}👧",
            "é",
            "e",
            "a",
            "🇫🇷",
            "\u{fe0f}",
            "~",
        ]);
        prop_oneof![
            any::<String>(),
            prop::collection::vec(special, 0..300).prop_map(|parts| parts.concat()),
        ]
    }

    fn assert_legal(name: &str) {
        assert!((1..=MAX_LENGTH).contains(&name.len()), "length {}", name.len());
        assert_eq!(name, name.nfc().collect::<String>(), "not NFC");
        assert!(
            !name.starts_with(['.', ' ']) && !name.ends_with(['.', ' ']) && !name.contains("  ")
        );
        for character in name.chars() {
            assert!(
                !character.is_control() && !r#"/\:*?"<>|"#.contains(character),
                "{character:?}"
            );
            assert!(character == ' ' || !character.is_whitespace(), "{character:?}");
            assert!(
                !matches!(character, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{200b}' | '\u{feff}')
            );
        }
    }

    proptest! {
        #[test]
        fn any_text_gives_a_legal_name(stem in nasty_text(), extension in nasty_text()) {
            let (stem, tail) = (legal(&stem), legal_extension(&extension));
            if !stem.is_empty() {
                let name = names(&[wanted(&stem, &tail, "1")]).remove(0);
                assert_legal(&name);
                prop_assert!(name.ends_with(&tail));
            }
        }

        #[test]
        fn a_legal_name_stays_as_it_is(text in nasty_text()) {
            let once = legal(&text);
            prop_assert_eq!(legal(&once), once);
        }

        #[test]
        fn names_are_unique_legal_and_free_of_order(
            texts in prop::collection::btree_map("[a-c]{1,3}", prop_oneof![nasty_text(), "x|y|x ~[0-9a-f]{8}"], 1..12),
            turn in 0usize..12,
        ) {
            let mut members: Vec<Wanted> = texts
                .iter()
                .map(|(id, text)| wanted(&format!("x{}", legal(text)), ".mp4", id))
                .collect();
            let straight = names(&members);
            straight.iter().for_each(|name| assert_legal(name));
            prop_assert_eq!(straight.iter().collect::<HashSet<_>>().len(), straight.len());
            let turn = turn % members.len();
            members.rotate_left(turn);
            let mut turned = names(&members);
            turned.rotate_right(turn);
            prop_assert_eq!(turned, straight);
        }
    }
}
