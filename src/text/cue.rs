//! Cues: the passages of a transcript or chat.

use std::time::Duration;

/// Maximum length of the name of a speaker before a colon, in characters. Longer text before a
/// colon is a part of the sentence.
const MAX_NAME_LENGTH: usize = 64;

/// A passage of a transcript or chat.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cue {
    /// Offset from the start of the recording.
    pub start: Option<Duration>,
    /// The name of the speaker, if the file contains it.
    pub speaker: Option<String>,
    /// One line of text without markup.
    pub text: String,
}

/// Separates the names of speakers from the texts, as in `Ana: Good morning`, which is the format
/// of Zoom. A single colon can also belong to a sentence. Therefore the names are only separated if
/// most cues begin with one.
pub(super) fn separate_speakers(cues: &mut [Cue]) {
    let has_speakers = cues.iter().any(|cue| cue.speaker.is_some());
    let prefixed_cues = cues.iter().filter(|cue| split_name(&cue.text).is_some()).count();
    if has_speakers || prefixed_cues * 2 <= cues.len() {
        return;
    }
    for cue in cues {
        if let Some((name, text)) = split_name(&cue.text) {
            (cue.speaker, cue.text) = (Some(name.to_owned()), text.to_owned());
        }
    }
}

fn split_name(text: &str) -> Option<(&str, &str)> {
    let (name, text) = text.split_once(": ")?;
    let is_name = (1..=MAX_NAME_LENGTH).contains(&name.chars().count())
        && name.contains(char::is_alphabetic)
        && !name.contains(['?', '!']);
    is_name.then_some((name, text.trim_start()))
}

/// Parses a time such as `01:02:03.500` or `02:03.500`. The fraction is optional, and a comma is
/// accepted in place of the point.
pub(super) fn parse_time(text: &str) -> Option<Duration> {
    let (clock, fraction) = match text.split_once(['.', ',']) {
        Some((clock, fraction)) => (clock, fraction),
        None => (text, ""),
    };
    let mut seconds = 0_u64;
    let mut fields = 0;
    for field in clock.split(':') {
        let is_number = !field.is_empty() && field.bytes().all(|byte| byte.is_ascii_digit());
        let number = is_number.then(|| field.parse::<u64>().ok()).flatten()?;
        seconds = seconds.checked_mul(60)?.checked_add(number)?;
        fields += 1;
    }
    if !(2..=3).contains(&fields) || !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let digits: String = fraction.chars().chain("000".chars()).take(3).collect();
    Some(Duration::from_secs(seconds) + Duration::from_millis(digits.parse().ok()?))
}

/// Returns the text as one line, without control characters and repeated spaces.
pub(super) fn to_one_line(text: &str) -> String {
    let words = text.split(|c: char| c.is_whitespace() || c.is_control());
    words.filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cues(texts: &[&str]) -> Vec<Cue> {
        texts.iter().map(|text| Cue { text: (*text).to_owned(), ..Cue::default() }).collect()
    }

    #[test]
    fn names_are_separated_if_most_cues_have_one() {
        let mut transcript = cues(&["Ana: Good morning", "Dr. Béla, Ürögdi: Hello", "no name"]);
        separate_speakers(&mut transcript);
        let speakers: Vec<_> = transcript.iter().map(|cue| cue.speaker.as_deref()).collect();
        assert_eq!(speakers, [Some("Ana"), Some("Dr. Béla, Ürögdi"), None]);
        assert_eq!(transcript[0].text, "Good morning");
        let sentences = cues(&["Remember: we leave at nine", "See you", "Bye"]);
        let mut unchanged = sentences.clone();
        separate_speakers(&mut unchanged);
        assert_eq!(unchanged, sentences);
    }

    #[test]
    fn times_with_and_without_hours_are_parsed() {
        for (text, milliseconds) in [
            ("00:00:00.200", 200),
            ("01:02:03.5", 3_723_500),
            ("02:03.004", 123_004),
            ("100:00:00,001", 360_000_001),
            ("00:00:02", 2_000),
        ] {
            assert_eq!(parse_time(text), Some(Duration::from_millis(milliseconds)), "{text}");
        }
        for text in
            ["", "1", "1:2:3:4", "a:b", "-1:00", "00:00.x", ":00", "99999999999999999999:00"]
        {
            assert_eq!(parse_time(text), None, "{text}");
        }
    }
}
