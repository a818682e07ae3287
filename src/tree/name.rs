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
//! `\\ : * ? " < > |` are what Windows, SMB and FAT refuse: a copy made there keeps its names.

use std::borrow::Cow;
use std::collections::HashSet;

use unicode_normalization::{IsNormalized, UnicodeNormalization, is_nfc_quick};
use unicode_segmentation::UnicodeSegmentation;
use xxhash_rust::xxh3::{xxh3_64, xxh3_128_with_seed};

/// The longest name in bytes: `NAME_MAX` of Linux and of nearly every file system.
pub(super) const LONGEST: usize = 255;

/// The longest extension in bytes. An extension is never cut for length, so it must leave room for a stem, a time and
/// the longest hash; real ones have at most five letters.
const LONGEST_EXTENSION: usize = 64;

/// How much of a text is looked at, in bytes: sixteen times what fits a name, for texts of which little is left.
/// Without it a listing with a topic of megabytes would cost that at each build.
const LONGEST_TEXT: usize = 16 * LONGEST;

/// The text as (part of) a file name by the table above; empty where nothing is left of it. It may be too long.
pub(super) fn legal(text: &str) -> String {
    let text = cut_at_character(text, LONGEST_TEXT);
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
    match cut(&extension, LONGEST_EXTENSION) {
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
    let is_joined = |character: Option<&char>| character.is_some_and(|c| !c.is_ascii() && !is_joiner(*c));
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
    let kept = end.and_then(|end| text.get(..end)).unwrap_or_else(|| cut_at_character(text, longest));
    kept.trim_end_matches(|last| is_dot_or_space(last) || is_joiner(last))
}

/// A name that something would like to have.
#[derive(Clone, Debug)]
pub(super) struct Wanted {
    /// Legal, not empty; cut where the name would be too long.
    pub(super) stem: String,
    /// What follows and is never cut: a time, an extension with its dot. At most half of [`LONGEST`].
    pub(super) tail: String,
    /// What tells it from the others of its folder, on every listing the same.
    pub(super) id: Vec<u8>,
}

impl Wanted {
    fn with(&self, suffix: &str) -> String {
        let room = LONGEST.saturating_sub(suffix.len() + self.tail.len());
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

/// The names of one folder, each given once.
#[derive(Debug, Default)]
pub(super) struct FolderNames {
    taken: HashSet<String>,
}

impl FolderNames {
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
            if let Some((name, suffix)) = candidates.find(|(name, _)| self.taken.insert(name.clone())) {
                give(place, name, suffix);
            }
        }
        given.into_iter().flatten().collect()
    }
}
