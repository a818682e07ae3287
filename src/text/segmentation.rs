//! Separates the words of scripts that are written without spaces.

use std::borrow::Cow;

/// The characters of scripts that are written without spaces, or, for Hangul, with endings that are
/// attached to words: Thai to Tibetan, Myanmar, Khmer, Hangul, kana, and ideographs.
const UNSPACED_SCRIPTS: [(char, char); 12] = [
    ('\u{0e00}', '\u{0fff}'),
    ('\u{1000}', '\u{109f}'),
    ('\u{1100}', '\u{11ff}'),
    ('\u{1780}', '\u{17ff}'),
    ('\u{2e80}', '\u{2fdf}'),
    ('\u{3040}', '\u{31ff}'),
    ('\u{3400}', '\u{4dbf}'),
    ('\u{4e00}', '\u{9fff}'),
    ('\u{ac00}', '\u{d7af}'),
    ('\u{f900}', '\u{faff}'),
    ('\u{ff66}', '\u{ffdc}'),
    ('\u{20000}', '\u{3ffff}'),
];

/// Returns the text with spaces around each character of a script without spaces. The index then
/// treats each of them as a word, and finds any sequence of them as a phrase.
pub fn segment(text: &str) -> Cow<'_, str> {
    if !text.contains(is_unspaced) {
        return text.into();
    }
    let mut segmented = String::with_capacity(text.len() * 2);
    for character in text.chars() {
        if is_unspaced(character) {
            segmented.extend([' ', character, ' ']);
        } else {
            segmented.push(character);
        }
    }
    segmented.into()
}

fn is_unspaced(character: char) -> bool {
    character >= '\u{0e00}'
        && UNSPACED_SCRIPTS.iter().any(|(first, last)| (*first..=*last).contains(&character))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ideographs_become_words() {
        assert_eq!(segment("été, plan"), "été, plan");
        assert_eq!(segment("a会議b"), "a 会  議 b");
        assert_eq!(segment("회의를"), " 회  의  를 ");
    }
}
