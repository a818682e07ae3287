//! Determines the role, the name and the format of a file from Zoom's file types and views. All
//! providers that list recordings of Zoom use it.

use crate::model::{BodyKind, Role};

/// The suffix of the file name of a view with burnt-in captions.
pub(crate) const CAPTIONED_SUFFIX: &str = "(CC)";

/// The type of a file as stated in its listing.
#[derive(Clone, Copy)]
pub(crate) struct FileKind<'a> {
    /// The file type, as in `MP4` or `TRANSCRIPT`.
    pub(crate) file_type: Option<&'a str>,
    /// The view, as in `gallery_view`.
    pub(crate) recording_type: Option<&'a str>,
    /// The extension, with or without its dot.
    pub(crate) file_extension: Option<&'a str>,
}

impl FileKind<'_> {
    /// Returns the file type in upper case, or an empty string if there is none.
    pub(crate) fn file_type(self) -> String {
        self.file_type.unwrap_or_default().to_ascii_uppercase()
    }

    /// Returns the role of the file in its meeting.
    pub(crate) fn role(self) -> Role {
        match self.file_type().as_str() {
            "MP4" => Role::View,
            "M4A" => Role::Audio,
            "TRANSCRIPT" => Role::Transcript,
            "CC" => Role::Captions,
            _ => Role::Other,
        }
    }

    /// Returns the stem of the file name: the view or, without a view, the file type.
    pub(crate) fn stem(self) -> String {
        /// Zoom's suffix of a view with burnt-in captions, in lower case.
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

    /// Returns the extension in lower case without the dot.
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

    /// Returns the format of the file.
    pub(crate) fn body_kind(self) -> BodyKind {
        match self.extension().as_str() {
            "mp4" | "m4a" => BodyKind::IsoMedia,
            "vtt" => BodyKind::WebVtt,
            "json" => BodyKind::Json,
            _ => BodyKind::Opaque,
        }
    }
}

/// Returns the listed size in bytes. Zoom lists zero if it does not know the size yet.
pub(crate) fn declared_size(listed: Option<i64>) -> Option<u64> {
    listed.and_then(|size| u64::try_from(size).ok()).filter(|size| *size > 0)
}
