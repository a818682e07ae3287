//! Maps Rapatin's sessions to the model.

use std::collections::HashMap;

use jiff::civil::Date;
use jiff::{SignedDuration, Timestamp};

use super::metadata;
use super::wire::{File, Session, State};
use crate::model::{Availability, FileId, FileKey, Meeting, MeetingId, RecordingFile, SourceName};
use crate::providers::toolkit::serde_lenient;
use crate::providers::toolkit::version_facts::VersionFacts;
use crate::providers::zoom_share::file_kinds::{FileKind, declared_size};
use crate::providers::zoom_share::{DownloadUrl, ListedUrl};

/// The separator between the parts of a file key.
const SEPARATOR: char = '|';

/// A meeting with the download URLs of its files.
pub(crate) struct MappedSession {
    pub(crate) meeting: Meeting,
    pub(crate) download_urls: Vec<ListedUrl>,
}

/// Maps a session that began at `start` and belongs to the meeting with the id `meeting`. The
/// duration of a session is unknown, so its end is set to its start.
pub(crate) fn map_session(
    source: &SourceName,
    meeting: &str,
    mut session: Session,
    start: Timestamp,
) -> MappedSession {
    let id = MeetingId::from(session.uuid());
    let state = session.state();
    let files = assign_keys(meeting, std::mem::take(&mut session.files));
    let day = session.recorded_on;
    let download_urls = files.iter().filter_map(|(key, file)| listed_url(key, file, day)).collect();
    let fields = metadata::session_metadata(
        meeting,
        &session,
        &files.iter().map(|(_, file)| file).collect::<Vec<_>>(),
    );
    let files = files
        .into_iter()
        .map(|(key, file)| {
            let kind = kind(&file);
            RecordingFile {
                id: FileId { source: source.clone(), meeting: id.clone(), key },
                version: version_facts(&file, day).version(),
                role: kind.role(),
                stem: kind.stem().into(),
                extension: kind.extension().into(),
                body: kind.body_kind(),
                declared_size: declared_size(file.file_size),
                recording_start: None,
                recording_end: None,
                availability: availability(state, &file),
            }
        })
        .collect();
    let expires = session.delete_on.as_deref().and_then(deletion_time);
    let topic = session.topic.unwrap_or_default();
    MappedSession {
        meeting: Meeting {
            source: source.clone(),
            id,
            topic,
            start,
            end: start,
            expires,
            files,
            metadata: fields.into(),
        },
        download_urls,
    }
}

/// Returns the time at which a session is deleted. Rapatin documents only the day (`delete_on`), so
/// this is the beginning of that day in Jakarta, where Rapatin is located. Jakarta has been seven
/// hours ahead of UTC since 1964 (IANA, Asia/Jakarta).
fn deletion_time(delete_on: &str) -> Option<Timestamp> {
    const JAKARTA_OFFSET: SignedDuration = SignedDuration::from_hours(7);
    serde_lenient::start_of_day(delete_on)?.checked_sub(JAKARTA_OFFSET).ok()
}

/// Returns the download URLs of the files of a session.
pub(crate) fn download_urls(meeting: &str, session: Session) -> Vec<ListedUrl> {
    let day = session.recorded_on;
    assign_keys(meeting, session.files)
        .iter()
        .filter_map(|(key, file)| listed_url(key, file, day))
        .collect()
}

/// Returns the id of the meeting that a file belongs to.
pub(crate) fn meeting_id_of(key: &FileKey) -> &str {
    key.as_str().split(SEPARATOR).next().unwrap_or_default()
}

fn listed_url(key: &FileKey, file: &File, day: Option<Date>) -> Option<ListedUrl> {
    let url = file.download_url.clone()?;
    let url = DownloadUrl { key: key.clone(), url, body: kind(file).body_kind() };
    Some(ListedUrl { url, facts: version_facts(file, day) })
}

/// Returns the attributes from which the version of a file is derived. `day` is the day on which
/// its session was recorded.
fn version_facts(file: &File, day: Option<Date>) -> VersionFacts {
    VersionFacts {
        size: declared_size(file.file_size),
        time: day.map(|day| day.to_string()),
        kind: kind(file).file_type(),
    }
}

/// Returns each file with its key. The key consists of the meeting id, the file type and the view.
/// Rapatin finds a session only by its meeting id, and only type and view distinguish the files.
///
/// If several files of a session have the same type and view, the key of each also contains its
/// size. None of them gets the shorter key: that key would refer to another file when a file
/// appears or disappears, and a reader would get the wrong bytes. If even the sizes are equal, the
/// files are numbered in the order of their URLs.
fn assign_keys(meeting: &str, mut files: Vec<File>) -> Vec<(FileKey, File)> {
    files.sort_by(|a, b| sort_key(a).cmp(&sort_key(b)));
    files.dedup_by(|a, b| sort_key(a) == sort_key(b));
    let mut counts: HashMap<String, usize> = HashMap::new();
    for file in &files {
        *counts.entry(type_and_view(file)).or_default() += 1;
    }
    let mut numbers: HashMap<String, usize> = HashMap::new();
    files
        .into_iter()
        .map(|file| {
            let type_and_view = type_and_view(&file);
            let mut key = format!("{meeting}{SEPARATOR}{type_and_view}");
            if counts.get(&type_and_view).is_some_and(|count| *count > 1) {
                key = format!("{key}{SEPARATOR}{}", size_text(&file));
                let number = numbers.entry(key.clone()).or_default();
                *number += 1;
                if *number > 1 {
                    key = format!("{key}{SEPARATOR}{number}");
                }
            }
            (FileKey::from(key.as_str()), file)
        })
        .collect()
}

fn sort_key(file: &File) -> impl Ord + '_ {
    let url = file.download_url.as_ref().map(|url| url.expose().as_str());
    (type_and_view(file), declared_size(file.file_size), url)
}

/// Returns the type and the view of a file. A separator inside them is replaced.
fn type_and_view(file: &File) -> String {
    let view = file.recording_type.as_deref().unwrap_or_default().to_lowercase();
    let without_separator = |text: &str| text.replace(SEPARATOR, "/");
    format!("{}{SEPARATOR}{}", without_separator(&kind(file).file_type()), without_separator(&view))
}

fn size_text(file: &File) -> String {
    declared_size(file.file_size).map(|size| size.to_string()).unwrap_or_default()
}

fn kind(file: &File) -> FileKind<'_> {
    FileKind {
        file_type: file.file_type.as_deref(),
        recording_type: file.recording_type.as_deref(),
        file_extension: None,
    }
}

fn availability(state: State, file: &File) -> Availability {
    match (state, &file.download_url) {
        (State::Ready, Some(_)) => Availability::Ready,
        (State::Ready, None) => {
            Availability::Unavailable("Rapatin lists this file without a download URL.".into())
        }
        (State::Processing, _) => Availability::Processing,
        (State::Deleted, _) => Availability::Absent,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use serde_json::{Value, json};

    use xxhash_rust::xxh3::xxh3_64;

    use super::*;
    use crate::model::{BodyKind, Role, Version};
    use crate::providers::rapatin::wire::Sessions;

    fn map_entry(entry: Value) -> MappedSession {
        let Value::Object(reply) = json!({"data": entry}) else { panic!() };
        let session = Sessions::parse(reply).unwrap().sessions.remove(0);
        map_session(
            &SourceName::new("rapat").unwrap(),
            "85095598095",
            session,
            Timestamp::UNIX_EPOCH,
        )
    }

    fn map_files(files: Value) -> Vec<RecordingFile> {
        map_entry(
            json!({"uuid": "u==", "status": "ready", "recorded_on": "2026-09-24", "files": files}),
        )
        .meeting
        .files
    }

    /// The example session in Rapatin's documentation.
    const SESSION: &str = r#"{"uuid":"WuPF5b6W==","meeting_id":"85095598095","status":"ready","topic":"Demo","recorded_on":"2026-09-24","delete_on":"2026-09-28",
     "share_url":"https://us06web.zoom.us/rec/share/x","host":"ana@example.org","play_passcode":"p4ss",
     "files":[{"recording_type":"gallery_view","file_type":"MP4","file_size":"55249694","download_url":"https://us06web.zoom.us/rec/webhook_download/a/b","play_url":"https://us06web.zoom.us/rec/play/a"},
              {"recording_type":"closed_caption","file_type":"CC","file_size":"7029","download_url":"https://us06web.zoom.us/rec/webhook_download/c/d?type=cc","play_url":""}]}"#;

    #[test]
    fn documented_session_is_mapped() {
        let mapped = map_entry(serde_json::from_str(SESSION).unwrap());
        let meeting = mapped.meeting;
        assert_eq!((meeting.id.as_str(), meeting.topic.as_str()), ("WuPF5b6W==", "Demo"));
        let [captions, video] = meeting.files.as_slice() else { panic!("{:?}", meeting.files) };
        assert_eq!(
            (video.id.key.as_str(), video.role, video.body, video.declared_size),
            ("85095598095|MP4|gallery_view", Role::View, BodyKind::IsoMedia, Some(55_249_694))
        );
        assert_eq!(format!("{}.{}", video.stem, video.extension), "gallery_view.mp4");
        assert_eq!(format!("{}.{}", captions.stem, captions.extension), "closed_caption.vtt");
        assert_eq!((captions.role, captions.declared_size), (Role::Captions, Some(7029)));
        assert!(meeting.files.iter().all(|file| file.availability == Availability::Ready));
        assert_eq!(mapped.download_urls.len(), 2);
        assert_eq!(meeting_id_of(&video.id.key), "85095598095");
        assert_eq!(
            serde_json::to_string(&meeting.metadata).unwrap(),
            concat!(
                r#"{"uuid":"WuPF5b6W==","meeting_id":"85095598095","topic":"Demo","recorded_on":"2026-09-24","#,
                r#""delete_on":"2026-09-28","host":"ana@example.org","files":["#,
                r#"{"recording_type":"closed_caption","file_type":"CC","file_size":7029},"#,
                r#"{"recording_type":"gallery_view","file_type":"MP4","file_size":55249694}]}"#
            )
        );
    }

    #[test]
    fn keys_are_unique_and_independent_of_order() {
        let file = |view: &str, kind: &str, size: u64, path: &str| {
            json!({"recording_type": view, "file_type": kind, "file_size": size.to_string(),
                "download_url": format!("https://zoom.us/rec/webhook_download/{path}")})
        };
        let files = vec![
            file("gallery_view", "MP4", 10, "a"),
            file("gallery_view", "MP4", 20, "b"),
            file("gallery_view", "MP4", 20, "c"),
            file("gallery_view", "MP4", 20, "c"),
            file("Audio_Only", "m4a", 5, "d"),
            file("a|5", "MP4", 5, "e"),
            file("a/5", "MP4", 6, "f"),
        ];
        let keys = |files: Vec<Value>| {
            let files = map_files(Value::Array(files));
            let mut keys: Vec<_> = files
                .into_iter()
                .map(|file| (file.id.key.to_string(), file.declared_size))
                .collect();
            keys.sort();
            keys
        };
        let ordered_keys = keys(files.clone());
        let distinct_keys: HashSet<_> = ordered_keys.iter().map(|(key, _)| key.clone()).collect();
        assert_eq!(
            (ordered_keys.len(), distinct_keys.len()),
            (6, 6),
            "the exact duplicate is dropped: {ordered_keys:?}"
        );
        for key in [
            "M4A|audio_only",
            "MP4|gallery_view|10",
            "MP4|gallery_view|20",
            "MP4|gallery_view|20|2",
        ] {
            assert!(
                distinct_keys.contains(&format!("85095598095|{key}")),
                "{key}: {ordered_keys:?}"
            );
        }
        assert_eq!(ordered_keys, keys(files.into_iter().rev().collect()));
        let two_files =
            vec![file("gallery_view", "MP4", 10, "x"), file("gallery_view", "MP4", 20, "y")];
        let keys_of_two_files: Vec<_> = keys(two_files).into_iter().map(|(key, _)| key).collect();
        assert!(
            keys_of_two_files.iter().all(|key| distinct_keys.contains(key)),
            "{keys_of_two_files:?}"
        );
    }

    #[test]
    fn key_always_refers_to_the_same_file() {
        let file = |size: u64| json!({"file_type": "MP4", "recording_type": "gallery_view", "file_size": size});
        let keys_and_sizes = |files: Value| -> Vec<_> {
            map_files(files)
                .into_iter()
                .map(|file| (file.id.key.to_string(), file.declared_size))
                .collect()
        };
        let both_files = keys_and_sizes(json!([file(10), file(20)]));
        for single in [keys_and_sizes(json!([file(10)])), keys_and_sizes(json!([file(20)]))] {
            assert!(
                both_files
                    .iter()
                    .all(|(key, size)| single.iter().all(|(k, s)| k != key || s == size)),
                "{single:?}"
            );
        }
    }

    #[test]
    fn version_depends_on_size_day_and_type() {
        let version = |size: &str, day: &str, path: &str| {
            let files = json!([{"file_type": "MP4", "recording_type": "gallery_view", "file_size": size,
                "download_url": format!("https://zoom.us/{path}")}]);
            map_entry(json!({"uuid": "u", "recorded_on": day, "files": files}))
                .meeting
                .files
                .remove(0)
                .version
        };
        let first_version = version("5", "2026-09-24", "a");
        assert_eq!(first_version, version("5", "2026-09-24", "b"));
        assert_ne!(first_version, version("6", "2026-09-24", "a"));
        assert_ne!(first_version, version("5", "2026-09-25", "a"));
        // A different value would invalidate every cached file.
        assert_eq!(first_version, Version(xxh3_64(b"5|2026-09-24|MP4")));
    }

    #[test]
    fn file_is_unavailable_until_ready() {
        let availability = |status: &str, url: Value| {
            let files = json!([{"file_type": "MP4", "download_url": url}]);
            map_entry(json!({"uuid": "u", "status": status, "files": files}))
                .meeting
                .files
                .remove(0)
                .availability
        };
        assert_eq!(
            availability("processing", json!("https://zoom.us/x")),
            Availability::Processing
        );
        assert_eq!(availability("ready", json!("https://zoom.us/x")), Availability::Ready);
        assert!(matches!(availability("ready", json!(null)), Availability::Unavailable(_)));
        assert!(
            map_entry(json!({"uuid": "u", "status": "ready", "files": null}))
                .meeting
                .files
                .is_empty()
        );
    }
}
