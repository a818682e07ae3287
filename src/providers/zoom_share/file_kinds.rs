//! What Zoom's file types and views mean, whoever lists them: what a file is to its meeting, what it is called, and
//! what its bytes look like.

use crate::model::{BodyKind, Role};

/// The end of the stem of a view with burnt-in captions.
pub(crate) const CAPTIONED_SUFFIX: &str = "(CC)";

/// What a listing says of the kind of a file.
#[derive(Clone, Copy)]
pub(crate) struct Kind<'a> {
    /// `MP4`, `TRANSCRIPT`, …
    pub(crate) file_type: Option<&'a str>,
    /// The view, as in `gallery_view`.
    pub(crate) recording_type: Option<&'a str>,
    /// The extension, perhaps with its dot.
    pub(crate) file_extension: Option<&'a str>,
}

impl Kind<'_> {
    /// The file type in upper case; empty where there is none.
    pub(crate) fn file_type(self) -> String {
        self.file_type.unwrap_or_default().to_ascii_uppercase()
    }

    /// What the file is to its meeting.
    pub(crate) fn role(self) -> Role {
        match self.file_type().as_str() {
            "MP4" => Role::View,
            "M4A" => Role::Audio,
            "TRANSCRIPT" => Role::Transcript,
            "CC" => Role::Captions,
            _ => Role::Other,
        }
    }

    /// The name the file should have: its view, or its type where no view is said.
    pub(crate) fn stem(self) -> String {
        /// Views with captions burnt in carry it, and players of the plain view must not take their place.
        const CAPTIONED: &str = "(cc)";
        let file_type = self.file_type();
        let Some(view) = self.recording_type.map(str::to_lowercase) else {
            return match file_type.as_str() {
                "MP4" => "video".into(),
                "M4A" => "audio_only".into(),
                "CHAT" => "chat".into(),
                "TRANSCRIPT" => "audio_transcript".into(),
                "CC" => "closed_caption".into(),
                "CSV" => "poll".into(),
                "TB" => "thumbnail".into(),
                "" => "recording".into(),
                _ => file_type.to_lowercase(),
            };
        };
        match (view.as_str(), view.strip_suffix(CAPTIONED)) {
            ("chat_file", _) => "chat".into(),
            (_, Some(plain)) => format!("{plain}{CAPTIONED_SUFFIX}"),
            _ => view,
        }
    }

    /// Its extension in lower case without the dot.
    pub(crate) fn extension(self) -> String {
        if let Some(extension) = self.file_extension.map(|text| text.trim_start_matches('.'))
            && !extension.is_empty()
        {
            return extension.to_lowercase();
        }
        match self.file_type().as_str() {
            "MP4" => "mp4",
            "M4A" => "m4a",
            "CHAT" => "txt",
            "TRANSCRIPT" | "CC" => "vtt",
            "CSV" => "csv",
            "TB" => "jpg",
            "TIMELINE" | "SUMMARY" | "CHAT_MESSAGE" => "json",
            _ => "bin",
        }
        .into()
    }

    /// What its bytes look like.
    pub(crate) fn body(self) -> BodyKind {
        match self.extension().as_str() {
            "mp4" | "m4a" => BodyKind::IsoMedia,
            "vtt" => BodyKind::WebVtt,
            "json" => BodyKind::Json,
            _ => BodyKind::Opaque,
        }
    }
}

/// A listed length in bytes. Zero is what stands there while nobody has counted.
pub(crate) fn declared_size(listed: Option<i64>) -> Option<u64> {
    listed.and_then(|size| u64::try_from(size).ok()).filter(|size| *size > 0)
}
