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

/// Separates the parts of a key.
const SEPARATOR: char = '|';

/// A meeting with the download URLs of its files.
pub(crate) struct MappedSession {
    pub(crate) meeting: Meeting,
    pub(crate) links: Vec<ListedUrl>,
}

/// Maps a session of the meeting with the id `meeting`, which began at `start`. Its duration is
/// unknown, so it ends when it begins.
pub(crate) fn session(
    source: &SourceName,
    meeting: &str,
    mut session: Session,
    start: Timestamp,
) -> MappedSession {
    let id = MeetingId::from(session.uuid());
    let state = session.state();
    let files = keyed(meeting, std::mem::take(&mut session.files));
    let day = session.recorded_on;
    let links = files.iter().filter_map(|(key, file)| link(key, file, day)).collect();
    let fields = metadata::of_session(
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
                version: facts(&file, day).version(),
                role: kind.role(),
                stem: kind.stem().into(),
                extension: kind.extension().into(),
                body: kind.body(),
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
        links,
    }
}

/// Returns when a session is deleted. The time of day is not documented, so it is the beginning of
/// `delete_on` in Jakarta, where Rapatin is: seven hours ahead since 1964 (IANA, Asia/Jakarta).
fn deletion_time(delete_on: &str) -> Option<Timestamp> {
    const JAKARTA: SignedDuration = SignedDuration::from_hours(7);
    serde_lenient::day_begins(delete_on)?.checked_sub(JAKARTA).ok()
}

/// Returns the download URLs of a session that was requested again.
pub(crate) fn links(meeting: &str, session: Session) -> Vec<ListedUrl> {
    let day = session.recorded_on;
    keyed(meeting, session.files).iter().filter_map(|(key, file)| link(key, file, day)).collect()
}

/// Returns the id of the meeting that a file belongs to.
pub(crate) fn meeting_of(key: &FileKey) -> &str {
    key.as_str().split(SEPARATOR).next().unwrap_or_default()
}

fn link(key: &FileKey, file: &File, day: Option<Date>) -> Option<ListedUrl> {
    let url = file.download_url.clone()?;
    let url = DownloadUrl { key: key.clone(), url, body: kind(file).body() };
    Some(ListedUrl { url, facts: facts(file, day) })
}

/// Returns what a session of this day says of the contents of a file.
fn facts(file: &File, day: Option<Date>) -> VersionFacts {
    VersionFacts {
        size: declared_size(file.file_size),
        time: day.map(|day| day.to_string()),
        kind: kind(file).file_type(),
    }
}

/// Returns each file with its key: the id of the meeting, by which alone a session can be requested
/// again, then type and view, which alone distinguish files.
///
/// If several files of a session share both, the key of each also has its size. None of them keeps
/// the plain key: its meaning would change when another one appears or disappears, and a reader
/// would get the wrong bytes. Files that share even the size are numbered in the order of their
/// URLs.
fn keyed(meeting: &str, mut files: Vec<File>) -> Vec<(FileKey, File)> {
    files.sort_by(|one, other| order(one).cmp(&order(other)));
    files.dedup_by(|one, other| order(one) == order(other));
    let mut alike: HashMap<String, usize> = HashMap::new();
    for file in &files {
        *alike.entry(description(file)).or_default() += 1;
    }
    let mut numbers: HashMap<String, usize> = HashMap::new();
    files
        .into_iter()
        .map(|file| {
            let description = description(&file);
            let mut key = format!("{meeting}{SEPARATOR}{description}");
            if alike.get(&description).is_some_and(|count| *count > 1) {
                key = format!("{key}{SEPARATOR}{}", size(&file));
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

fn order(file: &File) -> impl Ord + '_ {
    let address = file.download_url.as_ref().map(|link| link.expose().as_str());
    (description(file), declared_size(file.file_size), address)
}

/// Returns type and view, neither of them with a separator.
fn description(file: &File) -> String {
    let view = file.recording_type.as_deref().unwrap_or_default().to_lowercase();
    let plain = |text: &str| text.replace(SEPARATOR, "/");
    format!("{}{SEPARATOR}{}", plain(&kind(file).file_type()), plain(&view))
}

fn size(file: &File) -> String {
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

    fn mapped(entry: Value) -> MappedSession {
        let Value::Object(reply) = json!({"data": entry}) else { panic!() };
        let read = Sessions::read(reply).unwrap().sessions.remove(0);
        session(&SourceName::new("rapat").unwrap(), "85095598095", read, Timestamp::UNIX_EPOCH)
    }

    fn with_files(files: Value) -> Vec<RecordingFile> {
        mapped(
            json!({"uuid": "u==", "status": "ready", "recorded_on": "2026-09-24", "files": files}),
        )
        .meeting
        .files
    }

    /// The session of Rapatin's documentation.
    const SESSION: &str = r#"{"uuid":"WuPF5b6W==","meeting_id":"85095598095","status":"ready","topic":"Demo","recorded_on":"2026-09-24","delete_on":"2026-09-28",
     "share_url":"https://us06web.zoom.us/rec/share/x","host":"ana@example.org","play_passcode":"p4ss",
     "files":[{"recording_type":"gallery_view","file_type":"MP4","file_size":"55249694","download_url":"https://us06web.zoom.us/rec/webhook_download/a/b","play_url":"https://us06web.zoom.us/rec/play/a"},
              {"recording_type":"closed_caption","file_type":"CC","file_size":"7029","download_url":"https://us06web.zoom.us/rec/webhook_download/c/d?type=cc","play_url":""}]}"#;

    #[test]
    fn documented_session_is_mapped() {
        let mapped = mapped(serde_json::from_str(SESSION).unwrap());
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
        assert_eq!(mapped.links.len(), 2);
        assert_eq!(meeting_of(&video.id.key), "85095598095");
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
        let file = |view: &str, kind: &str, size: u64, link: &str| {
            json!({"recording_type": view, "file_type": kind, "file_size": size.to_string(),
                "download_url": format!("https://zoom.us/rec/webhook_download/{link}")})
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
            let files = with_files(Value::Array(files));
            let mut keys: Vec<_> = files
                .into_iter()
                .map(|file| (file.id.key.to_string(), file.declared_size))
                .collect();
            keys.sort();
            keys
        };
        let forward = keys(files.clone());
        let distinct: HashSet<_> = forward.iter().map(|(key, _)| key.clone()).collect();
        assert_eq!(
            (forward.len(), distinct.len()),
            (6, 6),
            "the exact double is dropped: {forward:?}"
        );
        for key in [
            "M4A|audio_only",
            "MP4|gallery_view|10",
            "MP4|gallery_view|20",
            "MP4|gallery_view|20|2",
        ] {
            assert!(distinct.contains(&format!("85095598095|{key}")), "{key}: {forward:?}");
        }
        assert_eq!(forward, keys(files.into_iter().rev().collect()));
        let other_links =
            vec![file("gallery_view", "MP4", 10, "x"), file("gallery_view", "MP4", 20, "y")];
        let few: Vec<_> = keys(other_links).into_iter().map(|(key, _)| key).collect();
        assert!(few.iter().all(|key| distinct.contains(key)), "{few:?}");
    }

    #[test]
    fn key_never_changes_its_meaning() {
        let file = |size: u64| json!({"file_type": "MP4", "recording_type": "gallery_view", "file_size": size});
        let named = |files: Value| -> Vec<_> {
            with_files(files)
                .into_iter()
                .map(|file| (file.id.key.to_string(), file.declared_size))
                .collect()
        };
        let both = named(json!([file(10), file(20)]));
        for alone in [named(json!([file(10)])), named(json!([file(20)]))] {
            assert!(
                both.iter().all(|(key, size)| alone.iter().all(|(k, s)| k != key || s == size)),
                "{alone:?}"
            );
        }
    }

    #[test]
    fn version_depends_on_size_day_and_type() {
        let version = |size: &str, day: &str, link: &str| {
            let files = json!([{"file_type": "MP4", "recording_type": "gallery_view", "file_size": size,
                "download_url": format!("https://zoom.us/{link}")}]);
            mapped(json!({"uuid": "u", "recorded_on": day, "files": files}))
                .meeting
                .files
                .remove(0)
                .version
        };
        let one = version("5", "2026-09-24", "a");
        assert_eq!(one, version("5", "2026-09-24", "b"));
        assert_ne!(one, version("6", "2026-09-24", "a"));
        assert_ne!(one, version("5", "2026-09-25", "a"));
        // Another value invalidates every cached file.
        assert_eq!(one, Version(xxh3_64(b"5|2026-09-24|MP4")));
    }

    #[test]
    fn unready_file_is_hidden() {
        let files = |status: &str, link: Value| {
            let files = json!([{"file_type": "MP4", "download_url": link}]);
            mapped(json!({"uuid": "u", "status": status, "files": files}))
                .meeting
                .files
                .remove(0)
                .availability
        };
        assert_eq!(files("processing", json!("https://zoom.us/x")), Availability::Processing);
        assert_eq!(files("ready", json!("https://zoom.us/x")), Availability::Ready);
        assert!(matches!(files("ready", json!(null)), Availability::Unavailable(_)));
        assert!(
            mapped(json!({"uuid": "u", "status": "ready", "files": null})).meeting.files.is_empty()
        );
    }
}
