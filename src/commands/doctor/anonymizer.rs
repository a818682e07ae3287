//! Replaces what identifies people and meetings by short digests, for a bundle that users publish.
//!
//! - Input: text and JSON of meetfs itself, which contains no secret.
//! - Output: the same without topics, names, addresses, ids, URLs and paths below a mount. Names of
//!   sources, and other paths, remain.
//! - The key of the digests is random. Equal values are equal in one bundle, and a value cannot be
//!   found by computing the digests of likely ones.
//! - Every rule replaces rather too much than too little: a text that looks like an id is replaced.

use std::fs::File;
use std::io::{self, Read};
use std::ops::Range;
use std::path::Path;

use serde_json::Value;
use sha2::{Digest, Sha256};

/// Number of bytes of a digest: enough for the different values of one bundle.
const DIGEST_LENGTH: usize = 4;

/// Minimum length of an id that is recognized by its form alone. The ids of meetings and files have
/// 22 characters or more. Most words are shorter, or have no digit.
const MIN_ID_LENGTH: usize = 16;

/// Lengths of the numbers of meetings.
const MEETING_NUMBER_LENGTHS: std::ops::RangeInclusive<usize> = 9..=11;

/// Minimum length of a value of the configuration that is replaced wherever it occurs.
const MIN_KNOWN_LENGTH: usize = 4;

/// Maximum length of the extension of a file name.
const MAX_EXTENSION_LENGTH: usize = 4;

/// What a text can contain that is replaced.
#[derive(Clone, Copy)]
enum Rule {
    Url,
    /// A path below a mount.
    Path,
    /// An e-mail address.
    Address,
    /// A value of the configuration.
    KnownValue,
    /// The id of a meeting that the text names as such.
    Meeting,
    /// The home directory.
    Home,
    /// An id that is recognized by its form.
    Id,
}

/// The rules in the order in which they apply. A path can contain what looks like an address, and a
/// URL what looks like a path.
const RULES: [Rule; 7] =
    [Rule::Url, Rule::Path, Rule::Address, Rule::KnownValue, Rule::Meeting, Rule::Home, Rule::Id];

/// Replaces private values in the texts of one bundle.
pub(super) struct Anonymizer {
    key: [u8; 32],
    /// The names of the sources, which are the first components of all paths below a mount.
    sources: Vec<String>,
    /// Values of the configuration with their digests, the longest first.
    known_values: Vec<(String, String)>,
    home: Option<String>,
}

impl Anonymizer {
    /// # Errors
    /// The system returns no random bytes.
    pub(super) fn new(sources: Vec<String>, home: Option<&Path>) -> io::Result<Self> {
        let mut key = [0; 32];
        File::open("/dev/urandom")?.read_exact(&mut key)?;
        let home = home.filter(|home| home.parent().is_some()).and_then(Path::to_str);
        Ok(Self { key, sources, known_values: Vec::new(), home: home.map(str::to_owned) })
    }

    /// Returns the digest of a value of the configuration, and replaces the value in all texts.
    pub(super) fn replace_value(&mut self, value: &str) -> String {
        let kind = match value {
            _ if value.contains("://") => "url",
            _ if value.contains('@') => "mail",
            _ => "value",
        };
        let digest = self.digest(kind, value);
        if value.len() >= MIN_KNOWN_LENGTH {
            self.known_values.push((value.to_owned(), digest.clone()));
            self.known_values.sort_by_key(|(value, _)| std::cmp::Reverse(value.len()));
        }
        digest
    }

    /// Replaces the private parts of a text.
    pub(super) fn text(&self, text: &str) -> String {
        self.apply(&RULES, text)
    }

    /// Replaces what the first rule finds, and applies the other rules to the rest.
    fn apply(&self, rules: &[Rule], text: &str) -> String {
        let Some((rule, other_rules)) = rules.split_first() else { return text.to_owned() };
        let (mut output, mut rest) = (String::with_capacity(text.len()), text);
        while let Some(Range { start, end }) = self.find(*rule, rest)
            && let (Some(before), Some(found), Some(after)) =
                (rest.get(..start), rest.get(start..end), rest.get(end..))
            && !found.is_empty()
        {
            output.push_str(&self.apply(other_rules, before));
            output.push_str(&self.replace(*rule, found));
            rest = after;
        }
        output.push_str(&self.apply(other_rules, rest));
        output
    }

    /// Returns the first part of the text that the rule replaces.
    fn find(&self, rule: Rule, text: &str) -> Option<Range<usize>> {
        match rule {
            Rule::Url => find_url(text),
            Rule::Path => self.find_path(text),
            Rule::Address => find_address(text),
            Rule::KnownValue => {
                let values = self.known_values.iter().map(|(value, _)| value.as_str());
                values.filter_map(|value| find_word(text, value)).min_by_key(|found| found.start)
            }
            Rule::Meeting => find_meeting(text),
            Rule::Home => find_word(text, self.home.as_deref()?),
            Rule::Id => find_id(text),
        }
    }

    fn replace(&self, rule: Rule, found: &str) -> String {
        match rule {
            Rule::Url => self.digest("url", found),
            Rule::Path => self.path(found),
            Rule::Address => self.digest("mail", found),
            Rule::KnownValue => {
                let known = self.known_values.iter().find(|(value, _)| value == found);
                known.map(|(_, digest)| digest.clone()).unwrap_or_default()
            }
            Rule::Meeting | Rule::Id => self.digest("id", found),
            Rule::Home => "~".to_owned(),
        }
    }

    /// Replaces the private parts of all strings.
    pub(super) fn json(&self, value: &mut Value) {
        match value {
            Value::String(text) => *text = self.text(text),
            Value::Array(items) => items.iter_mut().for_each(|item| self.json(item)),
            Value::Object(fields) => fields.values_mut().for_each(|field| self.json(field)),
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }

    fn digest(&self, kind: &str, value: &str) -> String {
        let hash = Sha256::new().chain_update(self.key).chain_update(value).finalize();
        let digits = hash.iter().take(DIGEST_LENGTH).map(|byte| format!("{byte:02x}"));
        format!("{kind}-{}", digits.collect::<String>())
    }

    /// Returns the first path below a mount: the name of a source, and what follows up to a
    /// character that is in no name.
    fn find_path(&self, text: &str) -> Option<Range<usize>> {
        let starts = self.sources.iter().filter_map(|source| {
            let prefix = format!("{source}/");
            let is_word = |start: &usize| {
                let before = text.get(..*start).unwrap_or_default().chars().next_back();
                !before.is_some_and(|it| it.is_alphanumeric() || matches!(it, '-' | '_' | '.'))
            };
            text.match_indices(&prefix).map(|(start, _)| start).find(is_word)
        });
        // A source can have been renamed or removed since the log was written.
        let unknown_start = text.match_indices('/').find_map(|(slash, _)| {
            let (first_name, _) = text.get(slash + 1..)?.split_once('/')?;
            let is_name = |it: char| it.is_ascii_alphanumeric() || matches!(it, '-' | '_' | '.');
            let start = text.get(..slash)?.trim_end_matches(is_name).len();
            let is_tree = first_name == "trash" || is_year(first_name);
            (is_tree && start < slash).then_some(start)
        });
        let start = starts.chain(unknown_start).min()?;
        Some(start..end_of(text, start, |character| matches!(character, ':' | '"' | '\n')))
    }

    /// Replaces the names in a path below a mount. The source, the year, the recycle bin and the
    /// extension of the file remain.
    fn path(&self, path: &str) -> String {
        let replace = |(depth, name): (usize, &str)| match depth {
            0 => name.to_owned(),
            _ if name.is_empty() || name == "trash" || is_year(name) => name.to_owned(),
            _ => {
                let extension = name.rsplit_once('.').map(|(_, extension)| extension);
                let extension = extension.filter(|extension| {
                    (1..=MAX_EXTENSION_LENGTH).contains(&extension.len())
                        && extension.bytes().all(|byte| byte.is_ascii_alphanumeric())
                });
                let suffix = extension.map(|extension| format!(".{extension}"));
                format!("{}{}", self.digest("path", name), suffix.unwrap_or_default())
            }
        };
        path.split('/').enumerate().map(replace).collect::<Vec<_>>().join("/")
    }
}

fn is_year(name: &str) -> bool {
    name.len() == 4 && name.bytes().all(|byte| byte.is_ascii_digit())
}

fn find_word(text: &str, word: &str) -> Option<Range<usize>> {
    text.find(word).map(|start| start..start + word.len())
}

/// Returns the position of the first character from `start` for which `is_end` holds.
fn end_of(text: &str, start: usize, is_end: impl Fn(char) -> bool) -> usize {
    let rest = text.get(start..).unwrap_or_default();
    rest.find(is_end).map_or(text.len(), |length| start + length)
}

/// Returns the position after the last character before `end` for which `is_start` holds.
fn start_of(text: &str, end: usize, is_start: impl Fn(char) -> bool) -> usize {
    let before = text.get(..end).unwrap_or_default();
    let last = before.char_indices().rev().find(|(_, character)| is_start(*character));
    last.map_or(0, |(position, character)| position + character.len_utf8())
}

fn find_url(text: &str) -> Option<Range<usize>> {
    let separator = text.find("://")?;
    let start = start_of(text, separator, |character| {
        !(character.is_ascii_alphanumeric() || matches!(character, '+' | '.' | '-'))
    });
    let end = end_of(text, separator, |character| {
        character.is_whitespace() || matches!(character, '"' | '\'' | '`' | '<' | '>' | '(' | ')')
    });
    let url = text.get(start..end)?;
    let length = url.trim_end_matches(['.', ',', ':', ';']).len();
    Some(start..start + length.max("://".len()))
}

fn find_address(text: &str) -> Option<Range<usize>> {
    let is_outside = |character: char| {
        character.is_whitespace()
            || matches!(
                character,
                '"' | '\'' | '`' | '<' | '>' | '(' | ')' | '[' | ']' | ',' | ';' | ':' | '=' | '/'
            )
    };
    let separator = text.find('@')?;
    let end = end_of(text, separator, is_outside);
    Some(start_of(text, separator, is_outside)..end)
}

/// Returns the id of the meeting that the text names.
fn find_meeting(text: &str) -> Option<Range<usize>> {
    const PHRASE: &str = "of meeting ";
    let start = text.find(PHRASE)? + PHRASE.len();
    Some(start..end_of(text, start, char::is_whitespace))
}

/// Returns the first id that can be recognized by its form: the number of a meeting, or a long word
/// of letters and digits as in Base64.
fn find_id(text: &str) -> Option<Range<usize>> {
    let is_part = |character: char| {
        character.is_ascii_alphanumeric() || matches!(character, '+' | '/' | '-' | '_')
    };
    let mut start = 0;
    loop {
        let rest = text.get(start..)?;
        start += rest.find(is_part)?;
        let end = end_of(text, start, |character| !is_part(character));
        let word = text.get(start..end)?;
        let before = text.get(..start)?.chars().next_back();
        if is_id(word, before) {
            let padding = end_of(text, end, |character| character != '=');
            return Some(start..padding);
        }
        start = end;
    }
}

/// Whether a word is an id. `before` is the character before it.
fn is_id(word: &str, before: Option<char>) -> bool {
    let has =
        |is_wanted: fn(&u8) -> bool| word.as_bytes().iter().filter(|it| is_wanted(it)).count();
    let digits = has(u8::is_ascii_digit);
    if digits == word.len() {
        // The number after a `=` is the position or the length of a range.
        return before != Some('=') && MEETING_NUMBER_LENGTHS.contains(&digits);
    }
    let is_path = word.starts_with('/') || matches!(before, Some('.' | '~'));
    let is_mixed = has(u8::is_ascii_uppercase) >= 4 && has(u8::is_ascii_lowercase) > 0;
    word.len() >= MIN_ID_LENGTH && !is_path && (digits > 0 || is_mixed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn anonymizer() -> Anonymizer {
        Anonymizer::new(vec!["acme".into()], Some(Path::new("/home/ana"))).unwrap()
    }

    #[test]
    fn private_parts_are_replaced() {
        let mut anonymizer = anonymizer();
        anonymizer.replace_value("Clie7nt");
        for (text, expected) in [
            (
                "cannot read acme/2026/Board/x.mp4: https://a.example/p?q=1: no",
                "cannot read acme/2026/path-#/path-#.mp4: url-#: no",
            ),
            (
                "cannot read acme/2026/2026-10-06 0900 Q&A @ été/Audio only - Ana.m4a: gone",
                "cannot read acme/2026/path-#/path-#.m4a: gone",
            ),
            ("/m/acme/trash/Budget/chat.txt", "/m/acme/trash/path-#/path-#.txt"),
            ("the user ana.li@example.org, refused", "the user mail-#, refused"),
            ("http://[::1]:80/v2: no answer", "url-#: no answer"),
            ("app Clie7nt in /home/ana/.config/meetfs", "app value-# in ~/.config/meetfs"),
            ("a file of meeting a/B= has 70000 bytes", "a file of meeting id-# has 70000 bytes"),
            ("the meeting 85095598095, start=123456789", "the meeting id-#, start=123456789"),
            ("kPq7aBcDeFgHiJkLmNoPqR==: gone", "id-#: gone"),
            ("2026-11-30T15:50:01.123456Z  INFO listed source=acme", "="),
            ("shared_screen_with_speaker_view in /tmp/1a2b3c4d5e6f7a8b9c", "="),
        ] {
            let expected = if expected == "=" { text } else { expected };
            assert_eq!(without_digests(&anonymizer.text(text)), expected, "{text}");
        }
    }

    /// Replaces the digits of digests by `#`.
    fn without_digests(text: &str) -> String {
        let mut parts = text.split('-');
        let mut output = parts.next().unwrap_or_default().to_owned();
        for part in parts {
            output.push('-');
            let (digest, rest) = part.split_at_checked(2 * DIGEST_LENGTH).unwrap_or_default();
            let is_digest = !digest.is_empty() && digest.bytes().all(|it| it.is_ascii_hexdigit());
            output.push_str(if is_digest { "#" } else { digest });
            output.push_str(if digest.is_empty() { part } else { rest });
        }
        output
    }

    #[test]
    fn equal_values_have_equal_digests_in_one_bundle() {
        let one = anonymizer();
        let digest = one.text("ana@example.org");
        assert_eq!(one.text("<ana@example.org>"), format!("<{digest}>"));
        assert_ne!(one.text("bob@example.org"), digest);
        assert_ne!(anonymizer().text("ana@example.org"), digest);
    }
}
