//! The kinds of texts.

use super::cue::{Cue, separate_speakers, to_one_line};
use super::{chat, web_vtt};
use crate::model::{BYTE_ORDER_MARK, RecordingFile, Role, is_web_vtt};

/// The stem of the file name of a chat.
const CHAT_STEM: &str = "chat";

/// A kind of recording file that contains text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TextKind {
    Transcript,
    Captions,
    Chat,
}

impl TextKind {
    /// Returns the kind of a recording file, or `None` if it contains no text that was said or
    /// written in the meeting.
    pub fn of(file: &RecordingFile) -> Option<Self> {
        match file.role {
            Role::Transcript => Some(Self::Transcript),
            Role::Captions => Some(Self::Captions),
            Role::Other if &*file.stem == CHAT_STEM && &*file.extension == "txt" => {
                Some(Self::Chat)
            }
            Role::View | Role::Audio | Role::Participant | Role::Other => None,
        }
    }

    /// Returns the cues of a text. Bytes that are not UTF-8 are replaced.
    pub fn parse(self, bytes: &[u8]) -> Vec<Cue> {
        let text = String::from_utf8_lossy(bytes.strip_prefix(BYTE_ORDER_MARK).unwrap_or(bytes));
        match self {
            Self::Chat => chat::parse(&text),
            Self::Transcript | Self::Captions if is_web_vtt(bytes) => web_vtt::parse(&text),
            Self::Transcript | Self::Captions => parse_lines(&text),
        }
    }
}

/// Returns one cue for each line of a transcript without times.
fn parse_lines(text: &str) -> Vec<Cue> {
    let lines = text.lines().map(to_one_line).filter(|line| !line.is_empty());
    let mut cues: Vec<_> = lines.map(|text| Cue { text, ..Cue::default() }).collect();
    separate_speakers(&mut cues);
    cues
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn transcript_without_times_has_a_cue_per_line() {
        let cues = TextKind::Transcript.parse(b"\xEF\xBB\xBFAna: one\r\n\r\nBo: two\n");
        let texts: Vec<_> =
            cues.iter().map(|cue| (cue.speaker.as_deref(), cue.text.as_str())).collect();
        assert_eq!(texts, [(Some("Ana"), "one"), (Some("Bo"), "two")]);
    }

    proptest! {
        #[test]
        fn every_input_gives_single_lines(
            bytes in prop::collection::vec(any::<u8>(), 0..400),
            has_signature in any::<bool>(),
        ) {
            let mut input = if has_signature { b"WEBVTT\n\n".to_vec() } else { Vec::new() };
            input.extend(&bytes);
            for kind in [TextKind::Transcript, TextKind::Captions, TextKind::Chat] {
                for cue in kind.parse(&input) {
                    prop_assert!(!cue.text.is_empty() && !cue.text.contains(char::is_control));
                }
            }
        }
    }
}
