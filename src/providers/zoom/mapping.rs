//! Maps Zoom's replies to the model.

use std::collections::{HashMap, HashSet};

use jiff::{SignedDuration, Timestamp};

use super::file_status::{declared_size, is_processing};
use super::{metadata, wire};
use crate::model::{
    Availability, FileId, FileKey, Meeting, MeetingId, RecordingFile, Role, SourceName,
};
use crate::providers::toolkit::serde_lenient;
use crate::providers::toolkit::version_facts::VersionFacts;
use crate::providers::zoom_share::file_kinds::FileKind;
use crate::providers::zoom_share::{DownloadUrl, ListedUrl};

/// A meeting with the download URLs of its files.
pub(crate) struct MappedMeeting {
    pub(crate) meeting: Meeting,
    pub(crate) urls: Vec<ListedUrl>,
}

/// Maps a listed meeting and its files to the model.
pub(crate) fn map_meeting(source: &SourceName, mut entry: wire::Meeting) -> MappedMeeting {
    let id = MeetingId::from(entry.uuid());
    let files = assign_keys(std::mem::take(&mut entry.recording_files));
    let start = entry
        .start_time
        .or_else(|| files.iter().filter_map(|(_, file)| file.recording_start).min())
        .unwrap_or(Timestamp::UNIX_EPOCH);
    let end = files
        .iter()
        .filter_map(|(_, file)| file.recording_end)
        .max()
        .or_else(|| add_minutes(start, entry.duration?))
        .unwrap_or(start)
        .max(start);
    let urls = files.iter().filter_map(|(key, file)| listed_url(key, file)).collect();
    let metadata = metadata::from_meeting(&entry, &files);
    // Iterates by reference, which allocates a new vector. `into_iter().collect()` would reuse the
    // allocation of the listed files, which is twice as large and would fragment the heap when it
    // shrinks.
    let files = files
        .iter()
        .map(|(key, file)| {
            let key = key.clone();
            recording_file(FileId { source: source.clone(), meeting: id.clone(), key }, file)
        })
        .collect();
    let expires = auto_delete_time(&entry);
    let topic = entry.topic.unwrap_or_default();
    MappedMeeting {
        meeting: Meeting {
            source: source.clone(),
            id,
            topic,
            start,
            end,
            expires,
            files,
            metadata: metadata.into(),
        },
        urls,
    }
}

/// Returns the time at which the retention rule of the account deletes the meeting. It is the
/// beginning of a day ("Auto delete cloud recordings").
fn auto_delete_time(entry: &wire::Meeting) -> Option<Timestamp> {
    serde_lenient::start_of_day(entry.other_fields.get("auto_delete_date")?.as_str()?)
}

/// Maps the audio files of individual participants.
pub(crate) fn participant_files(
    source: &SourceName,
    meeting: &MeetingId,
    files: Vec<wire::File>,
) -> Vec<RecordingFile> {
    let file = |(key, file): (FileKey, wire::File)| {
        let id = FileId { source: source.clone(), meeting: meeting.clone(), key };
        RecordingFile {
            role: Role::Participant,
            stem: participant_stem(&file).into(),
            ..recording_file(id, &file)
        }
    };
    assign_participant_keys(files).into_iter().map(file).collect()
}

/// Returns the file name of the audio of a participant without its extension, as in "Audio only -
/// Ana".
fn participant_stem(file: &wire::File) -> String {
    let name = file.file_name.as_deref().unwrap_or("participant_audio");
    let extension = format!(".{}", kind(file).extension());
    let stem_len = name.len().saturating_sub(extension.len());
    match name.get(stem_len..) {
        Some(end) if stem_len > 0 && end.eq_ignore_ascii_case(&extension) => {
            name.get(..stem_len).unwrap_or(name).to_owned()
        }
        _ => name.to_owned(),
    }
}

/// Returns the download URLs in a reply about one meeting.
pub(crate) fn download_urls(
    files: Vec<wire::File>,
    participants: Vec<wire::File>,
) -> Vec<ListedUrl> {
    let keyed_files = assign_keys(files).into_iter().chain(assign_participant_keys(participants));
    keyed_files.filter_map(|(key, file)| listed_url(&key, &file)).collect()
}

/// Assigns keys to the audio files of participants. No other file of the meeting has the same key.
fn assign_participant_keys(mut files: Vec<wire::File>) -> Vec<(FileKey, wire::File)> {
    for file in &mut files {
        let id = file.id.take().unwrap_or_else(|| {
            format!("{}|{}", file.file_name.as_deref().unwrap_or_default(), description(file))
        });
        file.id = Some(format!("participant|{id}"));
    }
    assign_keys(files)
}

fn listed_url(key: &FileKey, file: &wire::File) -> Option<ListedUrl> {
    let url = file.download_url.clone()?;
    let url = DownloadUrl { key: key.clone(), url, body: kind(file).body_kind() };
    Some(ListedUrl { url, facts: version_facts(file) })
}

fn add_minutes(start: Timestamp, minutes: i64) -> Option<Timestamp> {
    let duration = SignedDuration::from_secs(minutes.checked_mul(60)?);
    start.checked_add(duration).ok()
}

/// Assigns a unique key to each file. The result does not depend on the order of the files in the
/// reply.
///
/// The key is Zoom's id or, if there is none, the type, the view and the start of the file. If
/// several files have the same key, the first file keeps it. The keys of the others are extended
/// with their description, their end and, if necessary, a number.
fn assign_keys(mut files: Vec<wire::File>) -> Vec<(FileKey, wire::File)> {
    files.sort_by(|one, other| sort_key(one).cmp(&sort_key(other)));
    files.dedup_by(|one, other| one.id == other.id && sort_key(one) == sort_key(other));
    let mut used_keys = HashSet::new();
    let mut counters = HashMap::new();
    files
        .into_iter()
        .map(|file| {
            let description = description(&file);
            let mut key = file.id.clone().unwrap_or_else(|| description.clone());
            if !used_keys.insert(key.clone()) {
                let longer_key =
                    format!("{key}|{description}|{}", time_or_empty(file.recording_end));
                key.clone_from(&longer_key);
                // The counter continues from its last value. With thousands of equal entries, a
                // restart from one would take quadratic time.
                let counter = counters.entry(longer_key.clone()).or_insert(1_u32);
                while !used_keys.insert(key.clone()) {
                    *counter = counter.saturating_add(1);
                    key = format!("{longer_key}|{counter}");
                }
            }
            (FileKey::from(key.as_str()), file)
        })
        .collect()
}

fn sort_key(file: &wire::File) -> impl Ord + '_ {
    (
        file.recording_start,
        file.recording_end,
        (&file.file_type, &file.recording_type, &file.file_extension),
        (file.file_size, &file.id, &file.status),
        file.download_url.as_ref().map(|url| url.expose().as_str()),
    )
}

fn description(file: &wire::File) -> String {
    let text_or_empty = |field: &Option<String>| field.clone().unwrap_or_default();
    format!(
        "{}|{}|{}",
        text_or_empty(&file.file_type),
        text_or_empty(&file.recording_type),
        time_or_empty(file.recording_start)
    )
}

fn time_or_empty(time: Option<Timestamp>) -> String {
    time.map(|time| time.to_string()).unwrap_or_default()
}

fn recording_file(id: FileId, file: &wire::File) -> RecordingFile {
    let kind = kind(file);
    RecordingFile {
        id,
        version: version_facts(file).version(),
        role: kind.role(),
        stem: kind.stem().into(),
        body: kind.body_kind(),
        extension: kind.extension().into(),
        declared_size: declared_size(file),
        recording_start: file.recording_start,
        recording_end: file.recording_end,
        availability: availability(file),
    }
}

fn kind(file: &wire::File) -> FileKind<'_> {
    FileKind {
        file_type: file.file_type.as_deref(),
        recording_type: file.recording_type.as_deref(),
        file_extension: file.file_extension.as_deref(),
    }
}

fn version_facts(file: &wire::File) -> VersionFacts {
    VersionFacts {
        size: declared_size(file),
        time: file.recording_end.map(|end| end.to_string()),
        kind: kind(file).file_type(),
    }
}

fn availability(file: &wire::File) -> Availability {
    if is_processing(file) {
        return Availability::Processing;
    }
    match (&file.download_url, &file.file_path) {
        (Some(_), _) => Availability::Ready,
        (None, Some(_)) => Availability::Unavailable(
            "This file is stored on your own Meeting Connector, which Zoom's cloud cannot access. Copy it from there.".into(),
        ),
        (None, None) => Availability::Unavailable(
            "Zoom lists this file without a download URL. The settings of the account may forbid downloads.".into(),
        ),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use xxhash_rust::xxh3::xxh3_64;

    use super::*;
    use crate::model::{BodyKind, Version};

    fn map_entry(entry: Value) -> Meeting {
        map_meeting(&SourceName::new("acme").unwrap(), wire::Meeting::parse(entry).unwrap()).meeting
    }

    fn map_files(files: Value) -> Meeting {
        map_entry(json!({"uuid": "u==", "recording_files": files}))
    }

    fn map_single_file(file: Value) -> RecordingFile {
        map_files(json!([file])).files.remove(0)
    }

    /// A page like those in Zoom's documentation and in issue reports, including their
    /// irregularities.
    const PAGE: &str = r#"{"from":"2026-10-01","to":"2026-10-31","page_count":1,"page_size":300,"total_records":2,"next_page_token":"",
     "meetings":[
      {"uuid":"/aB3xY9+QWeRtYuIoP==","id":98765432101,"account_id":"acc","host_id":"hst","host_email":"ana@example.org",
       "topic":"Q&A / plan: été","type":2,"start_time":"2026-10-06T07:00:00Z","timezone":"","duration":0,
       "total_size":3500663,"recording_count":3,"share_url":"https://us06web.zoom.us/rec/share/x","recording_play_passcode":"p",
       "recording_files":[
        {"id":"3fa2","meeting_id":"/aB3xY9+QWeRtYuIoP==","recording_start":"2026-10-06T07:00:11Z","recording_end":"2026-10-06T07:41:02Z",
         "file_type":"MP4","file_extension":"MP4","file_size":3100000,"status":"completed","recording_type":"shared_screen_with_speaker_view(CC)",
         "play_url":"https://us06web.zoom.us/rec/play/x","download_url":"https://us06web.zoom.us/rec/download/x"},
        {"meeting_id":"/aB3xY9+QWeRtYuIoP==","recording_start":"2026-10-06T07:00:11Z","recording_end":"2026-10-06T07:41:02Z",
         "file_type":"TIMELINE","download_url":"https://us06web.zoom.us/rec/download/y"},
        {"id":"77c1","meeting_id":"/aB3xY9+QWeRtYuIoP==","recording_start":"2026-10-06T08:10:00Z","recording_end":"","file_type":"","file_extension":"",
         "file_size":0,"status":"processing","download_url":"https://us06web.zoom.us/rec/download/z"}]},
      {"uuid":"kK==","id":123,"topic":"Too short","start_time":"2026-10-07T07:00:00Z","duration":0,"total_size":0,"recording_count":0}]}"#;

    fn page(value: Value) -> wire::Page {
        let Value::Object(reply) = value else { panic!() };
        wire::Page::parse(reply).unwrap()
    }

    #[test]
    fn irregular_page_is_read() {
        let page = page(serde_json::from_str(PAGE).unwrap());
        assert_eq!(page.unreadable_count, 0);
        assert_eq!(page.first_day.unwrap().to_string(), "2026-10-01");
        let source = SourceName::new("acme").unwrap();
        let mut meetings: Vec<_> =
            page.meetings.into_iter().map(|entry| map_meeting(&source, entry)).collect();
        let meeting_without_files = meetings.pop().unwrap();
        assert_eq!(
            (
                meeting_without_files.meeting.files.len(),
                meeting_without_files.meeting.topic.as_str()
            ),
            (0, "Too short")
        );
        assert_eq!(meeting_without_files.meeting.start, meeting_without_files.meeting.end);
        let meeting_with_files = meetings.pop().unwrap();
        assert_eq!(meeting_with_files.meeting.id.as_str(), "/aB3xY9+QWeRtYuIoP==");
        assert_eq!(meeting_with_files.meeting.end.to_string(), "2026-10-06T07:41:02Z");
        let mut files: Vec<_> = meeting_with_files
            .meeting
            .files
            .iter()
            .map(|file| {
                (file.id.key.as_str(), file.stem.as_str(), file.availability == Availability::Ready)
            })
            .collect();
        files.sort_unstable();
        assert_eq!(
            files,
            [
                ("3fa2", "shared_screen_with_speaker_view(CC)", true),
                ("77c1", "recording", false),
                ("TIMELINE||2026-10-06T07:00:11Z", "timeline", true),
            ]
        );
        assert_eq!(meeting_with_files.urls.len(), 3);
        let metadata = serde_json::to_string(&meeting_with_files.meeting.metadata).unwrap();
        for excluded in ["rec/download", "total_size", "processing"] {
            assert!(!metadata.contains(excluded), "{excluded}: {metadata}");
        }
    }

    #[test]
    fn unreadable_entry_does_not_hide_others() {
        let page = page(json!({"meetings": [
            7, null, "x", [], {}, {"uuid": ""}, {"uuid": null, "topic": "lost"},
            {"uuid": 42, "id": {}, "topic": ["x"], "type": "2", "start_time": 5, "duration": "ten",
             "timezone": false, "share_url": {}},
            {"uuid": "d", "recording_files": {"id": "x"}},
            {"uuid": "b", "recording_files": [null, 3, {"id": 9, "file_size": "12", "file_type": 1,
             "status": {}, "recording_start": [], "download_url": 4, "file_path": false}]},
            {"uuid": "c", "recording_files": null},
        ]}));
        let ids: Vec<_> = page.meetings.iter().map(wire::Meeting::uuid).collect();
        assert_eq!((ids, page.unreadable_count), (vec!["42", "b", "c"], 8));
        let source = SourceName::new("acme").unwrap();
        let files: Vec<_> = page
            .meetings
            .into_iter()
            .flat_map(|entry| map_meeting(&source, entry).meeting.files)
            .collect();
        assert_eq!(files.len(), 1);
        assert_eq!((files[0].id.key.as_str(), files[0].declared_size), ("9", Some(12)));
    }

    #[test]
    fn file_is_named_by_view_or_type() {
        for (file, name) in [
            (
                json!({"file_type": "CHAT", "recording_type": "chat_file", "file_extension": "TXT"}),
                "chat.txt",
            ),
            (json!({"file_type": "CHAT"}), "chat.txt"),
            (json!({"file_type": "TIMELINE"}), "timeline.json"),
            (json!({"file_type": "CSV"}), "poll.csv"),
            (json!({"file_type": "M4A"}), "audio_only.m4a"),
            (
                json!({"file_type": "TRANSCRIPT", "recording_type": "audio_transcript"}),
                "audio_transcript.vtt",
            ),
            (json!({"file_type": "CC"}), "closed_caption.vtt"),
            (json!({"file_type": "TB"}), "thumbnail.jpg"),
            (json!({"file_type": "SUMMARY"}), "summary.json"),
            (json!({"file_type": "CHAT_MESSAGE"}), "chat_message.json"),
            (json!({"file_type": "mp4"}), "video.mp4"),
            (
                json!({"file_type": "MP4", "recording_type": "Gallery_View(CC)", "file_extension": ".MP4"}),
                "gallery_view(CC).mp4",
            ),
            (json!({"file_type": "HOLOGRAM"}), "hologram.bin"),
            (json!({}), "recording.bin"),
        ] {
            let mapped = map_single_file(file.clone());
            assert_eq!(format!("{}.{}", mapped.stem, mapped.extension), name, "{file}");
        }
    }

    #[test]
    fn unknown_status_means_processing() {
        let url = "https://us06web.zoom.us/rec/download/x";
        for (status, kind, ready) in [
            (json!("completed"), json!("MP4"), true),
            (json!(""), json!("MP4"), true),
            (json!(null), json!("TIMELINE"), true),
            (json!("processing"), json!("MP4"), false),
            (json!("reticulating"), json!("MP4"), false),
            (json!("completed"), json!(""), false),
        ] {
            let file =
                map_single_file(json!({"status": status, "file_type": kind, "download_url": url}));
            let expected = if ready { Availability::Ready } else { Availability::Processing };
            assert_eq!(file.availability, expected, "{status} {kind}");
        }
        let file = map_single_file(json!({"file_type": "MP4", "file_path": "/mnt/x"}));
        assert!(
            matches!(file.availability, Availability::Unavailable(why) if why.contains("Meeting Connector"))
        );
        let file = map_single_file(json!({"file_type": "MP4", "download_url": "not a URL"}));
        assert!(matches!(file.availability, Availability::Unavailable(_)));
    }

    #[test]
    fn version_ignores_the_download_url() {
        let file = |size: u64, end: &str, path: &str| {
            map_single_file(
                json!({"id": "a", "file_type": "MP4", "file_size": size, "recording_end": end,
                       "download_url": format!("https://zoom.us/{path}")}),
            )
            .version
        };
        let version = file(5, "2026-10-06T07:00:00Z", "a");
        assert_eq!(version, file(5, "2026-10-06T07:00:00Z", "b"));
        assert_ne!(version, file(6, "2026-10-06T07:00:00Z", "a"));
        assert_ne!(version, file(5, "2026-10-06T07:00:01Z", "a"));
        // A change of this value invalidates every cached file of every user.
        assert_eq!(version, Version(xxh3_64(b"5|2026-10-06T07:00:00Z|MP4")));
    }

    #[test]
    fn keys_are_unique_in_any_order() {
        let files = vec![
            json!({"file_type": "CC", "recording_start": "2026-10-06T07:00:00Z"}),
            json!({"file_type": "CC", "recording_start": "2026-10-06T07:00:00Z", "file_size": 9}),
            json!({"file_type": "CC", "recording_start": "2026-10-06T07:00:00Z", "file_size": 10}),
            json!({"file_type": "CC", "recording_start": "2026-10-06T08:00:00Z"}),
            json!({"id": "x", "file_type": "MP4"}),
            json!({"id": "x", "file_type": "M4A"}),
            json!({"id": "x", "file_type": "M4A"}),
        ];
        let sorted_keys = |files: Vec<Value>| {
            let mut keys: Vec<_> = map_files(Value::Array(files))
                .files
                .into_iter()
                .map(|file| (file.id.key.to_string(), file.declared_size, file.role))
                .collect();
            keys.sort();
            keys
        };
        let keys = sorted_keys(files.clone());
        let unique_keys: HashSet<_> = keys.iter().map(|(key, ..)| key.clone()).collect();
        assert_eq!(
            (keys.len(), unique_keys.len()),
            (6, 6),
            "the exact duplicate is dropped: {keys:?}"
        );
        assert!(unique_keys.contains("CC||2026-10-06T07:00:00Z") && unique_keys.contains("x"));
        assert_eq!(keys, sorted_keys(files.into_iter().rev().collect()));
    }

    #[test]
    fn end_is_never_before_the_start() {
        let timestamp = |text: &str| text.parse::<Timestamp>().unwrap();
        let meeting =
            map_entry(json!({"uuid": "u", "start_time": "2026-10-06T07:00:00Z", "duration": "41"}));
        assert_eq!(meeting.end, timestamp("2026-10-06T07:41:00Z"));
        let meeting = map_files(json!([
            {"id": "b", "recording_start": "2026-10-06T08:00:00Z", "recording_end": "2026-10-06T09:00:00Z"},
            {"id": "a", "recording_start": "2026-10-06T07:00:11Z", "recording_end": ""},
        ]));
        assert_eq!(
            (meeting.start, meeting.end),
            (timestamp("2026-10-06T07:00:11Z"), timestamp("2026-10-06T09:00:00Z"))
        );
        let meeting = map_entry(json!({"uuid": "u", "start_time": "2026-10-06T07:00:00Z",
            "recording_files": [{"recording_end": "1999-01-01T00:00:00Z"}]}));
        assert_eq!(meeting.end, meeting.start);
        for (start, duration) in [
            (json!("9999-12-30T22:00:00Z"), json!(i64::MAX)),
            (json!("-9999-01-02T01:59:59Z"), json!(i64::MIN)),
            (json!("0000-00-00"), json!("9e15")),
            (json!(7), json!({})),
        ] {
            let meeting =
                map_entry(json!({"uuid": "u", "start_time": start, "duration": duration}));
            assert!(meeting.start <= meeting.end, "{start} {duration}");
        }
    }

    #[test]
    fn role_follows_type_and_body_extension() {
        let file = map_single_file(json!({"file_type": "CC", "file_size": 0}));
        assert_eq!(
            (file.role, file.body, file.declared_size),
            (Role::Captions, BodyKind::WebVtt, None)
        );
        let file = map_single_file(json!({"file_type": "MP4", "file_size": "3100000"}));
        assert_eq!(
            (file.role, file.body, file.declared_size),
            (Role::View, BodyKind::IsoMedia, Some(3_100_000))
        );
        let file = map_single_file(json!({"file_type": "TIMELINE"}));
        assert_eq!((file.role, file.body), (Role::Other, BodyKind::Json));
        assert_eq!(
            map_single_file(json!({"file_type": "CHAT", "file_size": -4})).declared_size,
            None
        );
    }
}
