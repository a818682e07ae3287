//! The paths of files in download URLs and signed URLs.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::tz::Offset;
use sha2::{Digest, Sha256};

use super::archive::{Meeting, MeetingFile};

pub(super) fn all_files(meeting: &Meeting) -> impl Iterator<Item = &MeetingFile> {
    meeting.files.iter().chain(&meeting.participant_audio)
}

/// Returns the path of a file's download URL. It is the same in every listing of one version of the
/// file.
pub(super) fn web_path(meeting: &Meeting, file: &MeetingFile) -> String {
    format!("/rec/download/{}", opaque_id(meeting, file))
}

/// Returns the path of a file's signed URLs.
pub(super) fn media_path(meeting: &Meeting, file: &MeetingFile) -> String {
    replay_path(&opaque_id(meeting, file), file)
}

/// Returns the path of a file's signed URLs, in which `opaque_id` identifies the file.
pub(super) fn replay_path(opaque_id: &str, file: &MeetingFile) -> String {
    let start = Offset::UTC.to_datetime(file.recording_start).strftime("%Y%m%d-%H%M%S").to_string();
    let resolution = if file.file_type == "MP4" { "_1920x1080" } else { "" };
    let extension = file.true_extension().to_ascii_lowercase();
    format!("/replay/{opaque_id}/GMT{start}_Recording{resolution}.{extension}")
}

/// Returns the text that identifies one version of a file in its URLs.
pub(super) fn opaque_id(meeting: &Meeting, file: &MeetingFile) -> String {
    let start = file.recording_start.to_string();
    let view = file.recording_type.as_deref().unwrap_or("");
    let id = file.id.as_deref().unwrap_or("");
    let mut key = [&meeting.uuid, id, &file.file_type, view, &start].join("\n");
    if file.revision > 0 {
        key.push_str(&format!("\n{}", file.revision));
    }
    URL_SAFE_NO_PAD.encode(Sha256::digest(key))
}
