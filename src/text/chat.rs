//! Parses the chats of Zoom. A line is `00:00:02`, a tab, `Ana:`, a tab and the message; in older
//! files, it is `00:00:02`, `From Ana to Everyone:` and the message.

use super::cue::{Cue, parse_time, to_one_line};

/// Returns one cue for each message. A line without a time continues the message above it.
pub(super) fn parse(text: &str) -> Vec<Cue> {
    let mut cues: Vec<Cue> = Vec::new();
    for line in text.lines() {
        match parse_message(line) {
            Some(cue) => cues.push(cue),
            None => {
                let line = to_one_line(line);
                match cues.last_mut() {
                    _ if line.is_empty() => {}
                    Some(cue) => {
                        cue.text.push(' ');
                        cue.text.push_str(&line);
                    }
                    None => cues.push(Cue { text: line, ..Cue::default() }),
                }
            }
        }
    }
    cues.retain(|cue| !cue.text.trim().is_empty());
    cues
}

fn parse_message(line: &str) -> Option<Cue> {
    let (time, message) = line.split_once(['\t', ' '])?;
    let start = Some(parse_time(time)?);
    let message = message.trim_start();
    let (sender, text) = match message.split_once(":\t") {
        Some((sender, text)) => (Some(sender), text),
        None => match message.strip_prefix("From ").and_then(|rest| rest.split_once(':')) {
            Some((sender, text)) => (Some(sender), text),
            None => (None, message),
        },
    };
    let speaker = sender.map(|sender| {
        let sender = sender.strip_prefix("From ").unwrap_or(sender).trim();
        let (name, _recipient) = sender.split_once(" to ").unwrap_or((sender, ""));
        to_one_line(name)
    });
    Some(Cue { start, speaker: speaker.filter(|name| !name.is_empty()), text: to_one_line(text) })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn cue(seconds: u64, speaker: Option<&str>, text: &str) -> Cue {
        let start = Some(Duration::from_secs(seconds));
        Cue { start, speaker: speaker.map(str::to_owned), text: text.to_owned() }
    }

    #[test]
    fn messages_have_times_and_senders() {
        let cues = parse(include_str!("../../assets/chat.txt"));
        assert_eq!(cues[0], cue(2, Some("Guest"), "Good morning!"));
        assert_eq!(cues[1], cue(5, Some("Host"), "Agenda: https://example.org/agenda"));
        let old = "10:02:33\t From Ana Alves to Everyone:\tHello\n10:03:00 From Bo : see: this\n";
        let expected =
            [cue(36_153, Some("Ana Alves"), "Hello"), cue(36_180, Some("Bo"), "see: this")];
        assert_eq!(parse(old), expected);
    }

    #[test]
    fn line_without_time_continues_the_message() {
        let text = "\nlost start\n00:00:01\tAna:\tone\n\n  two: three\n00:00:02\tthe end\n";
        let first = Cue { text: "lost start".to_owned(), ..Cue::default() };
        let expected = [first, cue(1, Some("Ana"), "one two: three"), cue(2, None, "the end")];
        assert_eq!(parse(text), expected);
    }
}
