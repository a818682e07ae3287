//! Makes text from external sources safe to print, log and store.
//!
//! Topics, names, messages of servers and replies of sockets can contain characters that control a
//! terminal, change the direction of the text around them, or are invisible. Such a character is
//! replaced and not removed, so a reader can see that there was a character.

use std::borrow::Cow;

/// Whether a character is safe to print.
///
/// Control characters (C0, DEL, C1), line and paragraph separators, characters that control the
/// text direction, interlinear annotations and tags are not safe (Unicode 16, chapter 23). Joiners
/// and variation selectors are safe. Scripts and emoji need them.
pub fn is_printable(character: char) -> bool {
    !(character.is_control()
        || matches!(
            character,
            '\u{61c}'
                | '\u{200e}'
                | '\u{200f}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2066}'..='\u{206f}'
                | '\u{fff9}'..='\u{fffb}'
                | '\u{e0000}'..='\u{e007f}'
        ))
}

/// Returns `text` as one line. Replaces every character that is not printable.
pub fn printable_line(text: &str) -> Cow<'_, str> {
    replace_unprintable(text, is_printable)
}

/// Replaces every character that is not printable, except line breaks and tabs.
pub fn printable_text(text: &str) -> Cow<'_, str> {
    replace_unprintable(text, |character| {
        matches!(character, '\n' | '\t') || is_printable(character)
    })
}

/// Escapes every character in the strings of `json` that is not printable. The values stay the
/// same.
pub fn printable_json(json: &str) -> Cow<'_, str> {
    let is_allowed = |character| matches!(character, '\n' | '\t' | '\r') || is_printable(character);
    if json.chars().all(is_allowed) {
        return Cow::Borrowed(json);
    }
    let mut output = String::with_capacity(json.len() + 16);
    for character in json.chars() {
        if is_allowed(character) {
            output.push(character);
        } else {
            for unit in character.encode_utf16(&mut [0; 2]) {
                output.push_str(&format!("\\u{unit:04x}"));
            }
        }
    }
    Cow::Owned(output)
}

fn replace_unprintable(text: &str, is_allowed: impl Fn(char) -> bool) -> Cow<'_, str> {
    if text.chars().all(&is_allowed) {
        return Cow::Borrowed(text);
    }
    let characters = text.chars().map(|character| {
        if is_allowed(character) { character } else { char::REPLACEMENT_CHARACTER }
    });
    Cow::Owned(characters.collect())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn harmful_characters_are_replaced() {
        for (text, line) in [
            ("été 👩\u{200d}👧 ok", "été 👩\u{200d}👧 ok"),
            ("\u{1b}]0;title\u{7}", "\u{fffd}]0;title\u{fffd}"),
            ("a\u{202e}exe.gpj\u{202c}", "a\u{fffd}exe.gpj\u{fffd}"),
            ("a\u{e0001}\u{e0041}b\u{9b}2J\u{7f}", "a\u{fffd}\u{fffd}b\u{fffd}2J\u{fffd}"),
            ("one\ntwo\u{2028}three", "one\u{fffd}two\u{fffd}three"),
        ] {
            assert_eq!(printable_line(text), line, "{text:?}");
        }
        assert_eq!(printable_text("one\n\ttwo\r"), "one\n\ttwo\u{fffd}");
    }

    proptest! {
        #[test]
        fn escaped_json_has_the_same_value(text in any::<String>()) {
            let value = serde_json::Value::from(text);
            let json = value.to_string();
            let printable_text = printable_json(&json);
            prop_assert!(printable_text.chars().all(is_printable));
            prop_assert_eq!(serde_json::from_str::<serde_json::Value>(&printable_text).unwrap(), value);
        }
    }
}
