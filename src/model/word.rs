//! Words that files share.

use std::borrow::Cow;
use std::fmt;
use std::ops::Deref;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// What providers call most files, and their extensions, in order.
const USUAL: [&str; 28] = [
    "active_speaker",
    "audio_interpretation",
    "audio_only",
    "audio_transcript",
    "bin",
    "chat",
    "chat_file",
    "chat_message",
    "closed_caption",
    "csv",
    "gallery_view",
    "jpg",
    "json",
    "m4a",
    "mp3",
    "mp4",
    "poll",
    "recording",
    "shared_screen",
    "shared_screen_with_gallery_view",
    "shared_screen_with_speaker_view",
    "summary",
    "thumbnail",
    "timeline",
    "transcript",
    "txt",
    "video",
    "vtt",
];

/// A name or an extension. The usual ones take no memory of their own: the hundred thousand files of a large archive
/// have a few dozen between them.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct InternedStr(Cow<'static, str>);

impl InternedStr {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn usual(text: &str) -> Option<Self> {
        let place = USUAL.binary_search(&text).ok()?;
        USUAL.get(place).map(|word| Self(Cow::Borrowed(word)))
    }
}

impl From<&str> for InternedStr {
    fn from(text: &str) -> Self {
        Self::usual(text).unwrap_or_else(|| Self(Cow::Owned(text.to_owned())))
    }
}

impl From<String> for InternedStr {
    fn from(text: String) -> Self {
        Self::usual(&text).unwrap_or(Self(Cow::Owned(text)))
    }
}

impl PartialEq<&str> for InternedStr {
    fn eq(&self, other: &&str) -> bool {
        self.as_str() == *other
    }
}

impl Deref for InternedStr {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for InternedStr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for InternedStr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self)
    }
}

impl Serialize for InternedStr {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self)
    }
}

impl<'de> Deserialize<'de> for InternedStr {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Cow::<'de, str>::deserialize(deserializer).map(|text| Self::from(&*text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_usual_words_are_in_order_and_take_no_memory() {
        assert!(USUAL.is_sorted());
        for text in USUAL {
            assert!(
                matches!(InternedStr::from(text.to_owned()), InternedStr(Cow::Borrowed(word)) if word == text)
            );
        }
        let kept = serde_json::to_string(&InternedStr::from("mp4")).unwrap();
        assert!(matches!(serde_json::from_str(&kept).unwrap(), InternedStr(Cow::Borrowed("mp4"))));
    }

    #[test]
    fn any_other_is_itself() {
        for text in ["", "MP4", "a \"view\"\n", "été"] {
            let word = InternedStr::from(text);
            assert_eq!(word.as_str(), text);
            assert_eq!(
                serde_json::from_str::<InternedStr>(&serde_json::to_string(&word).unwrap())
                    .unwrap(),
                word
            );
        }
    }
}
