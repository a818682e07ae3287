//! Makes file names legal.
//!
//! [`legal_name`] converts any text to a readable name that is legal on every system:
//!
//! | in the text | in the name | reason |
//! |---|---|---|
//! | canonically equivalent spellings | NFC | a typed `é` must equal a listed `é` |
//! | `/` | space | separates path components |
//! | white space of any kind and length | one space | line breaks and tabs break listings |
//! | control characters (C0, DEL, C1) | nothing | NUL ends a name; others control terminals |
//! | U+061C, U+200E–F, U+202A–E, U+2066–9 | nothing | direction: `gpj.exe` looks like `exe.jpg` |
//! | U+00AD, U+180E, U+200B, U+2060–F, U+FEFF | nothing | invisible: names would look the same |
//! | tags U+E0000–E007F, U+FFF9–FFFB | nothing | invisible: they can hide text |
//! | U+200C–D (joiners) | kept between non-ASCII characters | emoji, Persian, Indic scripts |
//! | `:` before white space or at the end | nothing | `plan: summer` becomes `plan summer` |
//! | `:` elsewhere, and `\` | `-` | `10:30` becomes `10-30` |
//! | `"` | `'` | rejected by Windows, SMB and FAT |
//! | `<`, `>` | `‹`, `›` | rejected by Windows, SMB and FAT |
//! | `\|` | `¦` | rejected by Windows, SMB and FAT |
//! | `*`, `?` | `＊`, `？` (full width) | rejected by Windows, SMB and FAT |
//! | dots and spaces at the start | nothing | a leading dot hides a file; `..` is the parent |
//! | dots and spaces at the end | nothing | Windows and SMB remove them |
//!
//! Windows, SMB and FAT also reject `\` and `:`. Because all these characters are replaced, copies
//! on such systems keep their names.

use std::borrow::Cow;

use unicode_normalization::{IsNormalized, UnicodeNormalization, is_nfc_quick};
use unicode_segmentation::UnicodeSegmentation;

/// The maximum length of a name in bytes: `NAME_MAX` of Linux and of nearly every file system.
pub(super) const MAX_LENGTH: usize = 255;

/// The maximum length of an extension in bytes. An extension is never shortened to fit a name, so
/// it must leave space for a stem, a time and the longest hash. Real extensions have at most five
/// letters.
const MAX_EXTENSION_LENGTH: usize = 64;

/// The maximum number of bytes of a text that are converted to a name. Without a limit, a topic of
/// several megabytes would slow down each build. The factor is large enough for texts that consist
/// mostly of illegal characters.
const MAX_TEXT_LENGTH: usize = 16 * MAX_LENGTH;

/// Converts a text to a file name or to a part of one, by the rules in the table above. The result
/// may be empty or too long.
pub(super) fn legal_name(text: &str) -> String {
    let text = truncate_at_character(text, MAX_TEXT_LENGTH);
    // Nearly all stems and extensions consist of these characters. This shortcut halves the time of
    // a build.
    if text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-')) {
        return text.to_owned();
    }
    let visible_characters: Vec<char> =
        to_nfc(text).chars().filter_map(visible_character).collect();
    let joined_text: String = without_stray_joiners(&visible_characters).collect();
    let mut name = String::with_capacity(joined_text.len());
    let normalized_text = to_nfc(&joined_text);
    let mut characters = normalized_text.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            ' ' if name.is_empty() || name.ends_with(' ') => {}
            ':' if characters.peek().is_none_or(|next| *next == ' ') => {}
            other => name.push(replacement(other)),
        }
    }
    let trimmed_name = name.trim_matches(is_dot_or_space);
    if trimmed_name.len() == name.len() { name } else { trimmed_name.to_owned() }
}

/// Converts an extension to the end of a file name. The result starts with a dot or is empty.
pub(super) fn legal_extension(extension: &str) -> String {
    let extension = legal_name(extension);
    match truncate(&extension, MAX_EXTENSION_LENGTH) {
        "" => String::new(),
        extension => format!(".{extension}"),
    }
}

/// Returns a key that is equal for all names that a case-insensitive file system considers equal:
/// names that are equal after Unicode case folding and normalization. If a directory contained two
/// such names, a copy to such a file system would overwrite one file with the other.
///
/// The name is first converted to lower case, because a conversion to upper case does not change
/// `ẞ`. It is then converted to upper case, which expands `ß` and has only one `Σ`. Joiners are
/// removed because HFS+ ignores them.
pub(super) fn collision_key(name: &str) -> String {
    if name.is_ascii() {
        return name.to_ascii_lowercase();
    }
    let folded_characters = name.nfd().filter(|character| !is_joiner(*character));
    let upper_case_characters =
        folded_characters.flat_map(char::to_lowercase).flat_map(char::to_uppercase);
    upper_case_characters.flat_map(char::to_lowercase).nfd().collect()
}

fn to_nfc(text: &str) -> Cow<'_, str> {
    match is_nfc_quick(text.chars()) {
        IsNormalized::Yes => Cow::Borrowed(text),
        IsNormalized::No | IsNormalized::Maybe => Cow::Owned(text.nfc().collect()),
    }
}

fn visible_character(character: char) -> Option<char> {
    match character {
        '/' => Some(' '),
        space if space.is_whitespace() => Some(' '),
        control if control.is_control() => None,
        '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}' | '\u{200e}' | '\u{200f}' => None,
        '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' => None,
        '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}' => None,
        other => Some(other),
    }
}

/// Removes joiners that do not join two characters. Otherwise, different names would look the same.
fn without_stray_joiners(characters: &[char]) -> impl Iterator<Item = char> {
    let is_joined =
        |character: Option<&char>| character.is_some_and(|c| !c.is_ascii() && !is_joiner(*c));
    let previous_characters = std::iter::once(None).chain(characters.iter().map(Some));
    let next_characters = characters.iter().skip(1).map(Some).chain(std::iter::once(None));
    characters
        .iter()
        .zip(previous_characters.zip(next_characters))
        .filter(move |(character, (previous, next))| {
            !is_joiner(**character) || (is_joined(*previous) && is_joined(*next))
        })
        .map(|(character, _)| *character)
}

fn replacement(character: char) -> char {
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

fn truncate_at_character(text: &str, max_length: usize) -> &str {
    text.get(..text.floor_char_boundary(max_length)).unwrap_or(text)
}

/// Returns the longest prefix of at most `max_length` bytes that ends between graphemes, so no
/// letter loses an accent and no emoji is split. If the first grapheme is longer, the prefix ends
/// between characters.
pub(super) fn truncate(text: &str, max_length: usize) -> &str {
    if text.len() <= max_length {
        return text;
    }
    let grapheme_ends =
        text.grapheme_indices(true).map(|(start, character)| start + character.len());
    let end = grapheme_ends.take_while(|end| *end <= max_length).last();
    let prefix = end
        .and_then(|end| text.get(..end))
        .unwrap_or_else(|| truncate_at_character(text, max_length));
    prefix.trim_end_matches(|last| is_dot_or_space(last) || is_joiner(last))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn illegal_characters_are_replaced() {
        for (text, expected) in [
            ("Q&A / plan: été", "Q&A plan été"),
            ("e\u{301}te\u{301}", "été"),
            ("a\u{200b}e\u{200b}\u{301}", "aé"),
            ("../../etc/passwd", "etc passwd"),
            ("a\t\r\n\u{a0}\u{3000}\u{2028}b", "a b"),
            ("a\0b\u{1b}[31mc\u{7f}d\u{9b}e", "ab[31mcde"),
            ("report \u{202e}gpj.exe\u{202c} \u{2066}x\u{2069}", "report gpj.exe x"),
            ("\u{feff}bom\u{2060}\u{ad}s", "boms"),
            ("plan\u{e0001}\u{e0041}\u{e007f} \u{fff9}x\u{fffb}", "plan x"),
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
            assert_eq!(legal_name(text), expected, "{text:?}");
        }
    }

    #[test]
    fn extensions_keep_inner_dots() {
        for (extension, expected) in [
            ("mp4", ".mp4"),
            (".tar.gz", ".tar.gz"),
            ("", ""),
            ("..", ""),
            ("m/p\0", ".m p"),
            ("MP4", ".MP4"),
        ] {
            assert_eq!(legal_extension(extension), expected, "{extension:?}");
        }
        assert_eq!(legal_extension(&"é".repeat(100)).len(), 1 + MAX_EXTENSION_LENGTH);
    }

    /// Generates text with many characters that [`legal_name`] treats specially.
    pub(in crate::tree) fn special_text() -> impl Strategy<Value = String> {
        let special_characters = prop::sample::select(vec![
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
            "\u{e0041}",
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
            prop::collection::vec(special_characters, 0..300).prop_map(|parts| parts.concat()),
        ]
    }

    pub(in crate::tree) fn assert_legal(name: &str) {
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
        fn legal_names_are_unchanged(text in special_text()) {
            let name = legal_name(&text);
            prop_assert_eq!(legal_name(&name), name);
        }
    }
}
