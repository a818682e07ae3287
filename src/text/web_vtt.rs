//! Parses WebVTT (W3C WebVTT, section 6): the cues of a transcript.

use super::cue::{Cue, parse_time, separate_speakers, to_one_line};

/// The sign between the start and the end of a cue.
const ARROW: &str = "-->";

/// The character references of WebVTT (W3C WebVTT, section 4.2.2).
const REFERENCES: [(&str, &str); 6] = [
    ("&lt;", "<"),
    ("&gt;", ">"),
    ("&nbsp;", " "),
    ("&lrm;", ""),
    ("&rlm;", ""),
    // The last one, so that `&amp;lt;` becomes `&lt;`.
    ("&amp;", "&"),
];

/// Returns the cues of a transcript. A cue with several voices becomes several cues. Ignores
/// comments, styles, regions, and cues without text.
pub(super) fn parse(text: &str) -> Vec<Cue> {
    let mut cues = Vec::new();
    let mut lines = text.lines().flat_map(|line| line.split('\r')).peekable();
    while let Some(line) = lines.next() {
        let Some((start, _)) = line.split_once(ARROW) else { continue };
        let start = parse_time(start.trim());
        let mut payload = String::new();
        while let Some(line) = lines.next_if(|line| !line.is_empty() && !line.contains(ARROW)) {
            payload.push_str(line);
            payload.push('\n');
        }
        for (speaker, text) in split_voices(&payload) {
            let text = to_one_line(&resolve_references(&text));
            if !text.is_empty() {
                cues.push(Cue { start, speaker, text });
            }
        }
    }
    separate_speakers(&mut cues);
    cues
}

/// Splits the text of a cue at its voice tags, such as `<v Ana>`, and removes all tags.
fn split_voices(payload: &str) -> Vec<(Option<String>, String)> {
    let mut voices = vec![(None, String::new())];
    let mut remaining = payload;
    while let Some((before, after)) = remaining.split_once('<') {
        push_text(&mut voices, before);
        let Some((tag, after)) = after.split_once('>') else {
            // No later tag has an end either.
            push_text(&mut voices, &after.replace('<', ""));
            return voices;
        };
        if let Some(name) = voice_name(tag) {
            voices.push((Some(name), String::new()));
        }
        remaining = after;
    }
    push_text(&mut voices, remaining);
    voices
}

fn push_text(voices: &mut [(Option<String>, String)], text: &str) {
    if let Some((_, last)) = voices.last_mut() {
        last.push_str(text);
    }
}

/// Returns the name in a voice tag, such as `v Ana` or `v.loud Ana`.
fn voice_name(tag: &str) -> Option<String> {
    let (kind, name) = tag.split_once([' ', '\t', '\n'])?;
    let is_voice = kind == "v" || kind.starts_with("v.");
    let name = to_one_line(&resolve_references(name));
    (is_voice && !name.is_empty()).then_some(name)
}

fn resolve_references(text: &str) -> String {
    if !text.contains('&') {
        return text.to_owned();
    }
    REFERENCES.iter().fold(text.to_owned(), |text, (name, value)| text.replace(name, value))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn cue(milliseconds: u64, speaker: Option<&str>, text: &str) -> Cue {
        let start = Some(Duration::from_millis(milliseconds));
        Cue { start, speaker: speaker.map(str::to_owned), text: text.to_owned() }
    }

    #[test]
    fn voices_and_markup_are_parsed() {
        let text = "WEBVTT - by Webex\r\nKind: captions\r\n\r\nNOTE a comment\r\nof two lines\r\n\r\n\
                    1\r\n00:01.000 --> 00:02.000 align:start\r\n<v Ana Alves>Good &amp; <i>early</i>\r\n\
                    morning</v>\r\n\r\n01:00:00.500 --> 01:00:01.000\r\n<v.loud Bo>Yes<v Ana Alves>No\r\n";
        assert_eq!(
            parse(text),
            [
                cue(1_000, Some("Ana Alves"), "Good & early morning"),
                cue(3_600_500, Some("Bo"), "Yes"),
                cue(3_600_500, Some("Ana Alves"), "No"),
            ]
        );
    }

    #[test]
    fn names_of_zoom_are_parsed() {
        let planning = include_str!("../../assets/planning.vtt");
        let cues = parse(planning);
        assert_eq!(cues.len(), 5);
        assert_eq!(cues[0], cue(200, Some("Host"), "Good morning, let us plan the week."));
        let captions = parse(include_str!("../../assets/captions.vtt"));
        assert_eq!(captions[1], cue(4_200, None, "The archive is mounted"));
    }

    #[test]
    fn cue_without_blank_line_ends_at_the_next() {
        let text = "WEBVTT\n\n00:01.000 --> 00:02.000\nfirst\n00:03.000 --> 00:04.000\nsecond\n\n\
                    x --> y\nno time";
        let mut untimed = cue(0, None, "no time");
        untimed.start = None;
        assert_eq!(parse(text), [cue(1_000, None, "first"), cue(3_000, None, "second"), untimed]);
    }

    #[test]
    fn unclosed_tag_is_text() {
        let text = "WEBVTT\n\n00:01.000 --> 00:02.000\na < b and c\n";
        assert_eq!(parse(text), [cue(1_000, None, "a b and c")]);
    }
}
