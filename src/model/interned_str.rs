//! Strings that occur many times in an archive.

use std::borrow::Cow;
use std::fmt;
use std::ops::Deref;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The stems and extensions of most recording files, sorted.
const COMMON_STRINGS: [&str; 28] = [
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

/// A stem or an extension of a file name. Common values are static and use no heap memory: the
/// 100,000 files of a large archive have only a few dozen different values.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct InternedStr(Cow<'static, str>);

impl InternedStr {
    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn find_common(text: &str) -> Option<Self> {
        let index = COMMON_STRINGS.binary_search(&text).ok()?;
        COMMON_STRINGS.get(index).map(|text| Self(Cow::Borrowed(text)))
    }
}

impl From<&str> for InternedStr {
    fn from(text: &str) -> Self {
        Self::find_common(text).unwrap_or_else(|| Self(Cow::Owned(text.to_owned())))
    }
}

impl From<String> for InternedStr {
    fn from(text: String) -> Self {
        Self::find_common(&text).unwrap_or(Self(Cow::Owned(text)))
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
    fn common_strings_are_static() {
        assert!(COMMON_STRINGS.is_sorted());
        for expected in COMMON_STRINGS {
            assert!(
                matches!(InternedStr::from(expected.to_owned()), InternedStr(Cow::Borrowed(text)) if text == expected)
            );
        }
        let stored_json = serde_json::to_string(&InternedStr::from("mp4")).unwrap();
        assert!(matches!(
            serde_json::from_str(&stored_json).unwrap(),
            InternedStr(Cow::Borrowed("mp4"))
        ));
    }

    #[test]
    fn uncommon_strings_keep_their_text() {
        for text in ["", "MP4", "a \"view\"\n", "été"] {
            let interned_str = InternedStr::from(text);
            assert_eq!(interned_str.as_str(), text);
            assert_eq!(
                serde_json::from_str::<InternedStr>(&serde_json::to_string(&interned_str).unwrap())
                    .unwrap(),
                interned_str
            );
        }
    }
}
