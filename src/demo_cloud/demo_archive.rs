//! The archive of `meetfs mount --demo`: ordinary meetings, and one meeting for each special case.

use bytes::Bytes;
use jiff::civil::Date;
use jiff::{SignedDuration, Timestamp, ToSpan};

use super::archive::{
    Archive, Content, EmptyFileList, FileLocation, FileStatus, Host, ListedSize, Meeting,
    MeetingFile, asset, moment, today,
};

/// Duration of the media files in `assets/`.
const CLIP_DURATION: SignedDuration = SignedDuration::from_secs(12);

/// Time from the start of a meeting to the start of its recording.
const RECORDING_DELAY: SignedDuration = SignedDuration::from_secs(11);

impl Archive {
    /// Creates an archive with meetings of the last three months. The result is the same during a
    /// whole UTC day.
    pub fn demo() -> Self {
        Self::demo_at(today())
    }

    /// Creates an archive with meetings of the three months before `day`.
    pub fn demo_at(day: Date) -> Self {
        let mut meetings = typical_meetings(day);
        meetings.extend(edge_case_names(day));
        meetings.extend(edge_case_files(day));
        meetings.extend(edge_case_entries(day));
        meetings.push(trashed_meeting(day));
        let former_user = Host {
            id: "hostFormer".into(),
            email: FORMER_EMAIL.into(),
            name: None,
            status: "inactive",
        };
        let hosts = vec![
            Host::active("hostOwner", Self::OWNER, "Demo", "Owner"),
            Host::active("hostGuest", GUEST_EMAIL, "Demo", "Guest"),
            former_user,
        ];
        Self { hosts, meetings }
    }
}

const GUEST_EMAIL: &str = "guest@example.org";
const FORMER_EMAIL: &str = "former@example.org";

/// Creates a meeting of one minute.
fn meeting(uuid: &str, topic: &str, start: Timestamp) -> Meeting {
    let mut meeting = Meeting::new(uuid, topic, start);
    meeting.minutes = 1;
    meeting
}

/// Creates a file that covers the whole recording of a meeting that began at `start`.
fn clip(start: Timestamp, file_type: &str, content: Content) -> MeetingFile {
    MeetingFile::new(file_type, content)
        .between(start + RECORDING_DELAY, start + RECORDING_DELAY + CLIP_DURATION)
}

fn speaker_view(start: Timestamp) -> MeetingFile {
    clip(start, "MP4", asset!("speaker_view.mp4"))
}

fn gallery_view(start: Timestamp) -> MeetingFile {
    clip(start, "MP4", asset!("gallery_view.mp4")).view("gallery_view")
}

fn audio(start: Timestamp) -> MeetingFile {
    clip(start, "M4A", asset!("audio_only.m4a"))
}

fn transcript(start: Timestamp) -> MeetingFile {
    clip(start, "TRANSCRIPT", asset!("planning.vtt"))
}

fn typical_meetings(day: Date) -> Vec<Meeting> {
    let every_kind_start = moment(day, 1, 9, 0);
    let every_kind = meeting("aB3xY9QWeRtYuIoP1A==", "Q&A / plan: été", every_kind_start)
        .with(speaker_view(every_kind_start))
        .with(gallery_view(every_kind_start))
        .with(audio(every_kind_start))
        .with(transcript(every_kind_start))
        .with(clip(every_kind_start, "CC", asset!("captions.vtt")))
        .with(clip(every_kind_start, "CHAT", asset!("chat.txt")))
        .with(clip(every_kind_start, "CSV", asset!("poll.csv")))
        .with(clip(every_kind_start, "TB", asset!("thumbnail.jpg")))
        .with(clip(every_kind_start, "TIMELINE", asset!("timeline.json")))
        .with(clip(every_kind_start, "SUMMARY", asset!("summary.json")))
        .with(clip(every_kind_start, "CHAT_MESSAGE", asset!("chat_messages.json")))
        .with(clip(
            every_kind_start,
            "WHITEBOARD_X",
            Content::Stored(Bytes::from_static(b"a kind of tomorrow\n")),
        ));
    let mut meetings = Vec::new();
    for (week, uuid) in ["W1eeklyAAAAAAAAAAAA==", "W2eeklyAAAAAAAAAAAA==", "W3eeklyAAAAAAAAAAAA=="]
        .into_iter()
        .enumerate()
    {
        let start = moment(day, 7 * week as i64 + 3, 14, 30);
        let mut instance = meeting(uuid, "Weekly planning", start)
            .with(speaker_view(start))
            .with(audio(start))
            .with(transcript(start))
            .with(clip(start, "CHAT", asset!("chat.txt")));
        instance.number = 86_000_000_001;
        meetings.push(instance);
    }
    let review_start = moment(day, 12, 16, 0);
    let mut review = meeting("gUeStReViEw000000000==", "Design review", review_start)
        .with(gallery_view(review_start))
        .with(clip(review_start, "TRANSCRIPT", asset!("review.vtt")));
    review.host_email = GUEST_EMAIL.into();
    let podcast_start = moment(day, 20, 11, 15);
    let mut audio_only = meeting("aUdIoOnLy0000000000==", "Podcast, sound only", podcast_start)
        .with(audio(podcast_start))
        .with(clip(podcast_start, "TRANSCRIPT", asset!("review.vtt")));
    audio_only.participant_audio = Meeting::new("aUdIoOnLy0000000000==", "", podcast_start)
        .with(audio(podcast_start).view("Audio only - Demo Owner"))
        .files;
    meetings.extend([every_kind, review, audio_only]);
    meetings
}

fn edge_case_names(day: Date) -> Vec<Meeting> {
    let long_topic =
        "A topic of three hundred characters ".repeat(9).chars().take(300).collect::<String>();
    let topics = [
        ("nAmE0traversal00000==", "../../etc/passwd"),
        ("nAmE1long0000000000==", long_topic.as_str()),
        ("nAmE2emoji000000000==", "Retro 🎉👩‍🚀 日本語"),
        (
            "nAmE3control0000000==",
            "tab\there, bell\u{7}, newline\nand right-to-left \u{202e}txt.exe",
        ),
        ("nAmE4colon000000000==", "Sync: 10:30 <draft> \"v2\" | C:\\temp?*"),
        ("nAmE5empty000000000==", ""),
        ("nAmE6dots0000000000==", ". . ."),
    ];
    let mut meetings: Vec<Meeting> = topics
        .into_iter()
        .enumerate()
        .map(|(index, (uuid, topic))| {
            let start = moment(day, 24 + index as i64, 8, 5);
            meeting(uuid, topic, start).with(speaker_view(start)).with(transcript(start))
        })
        .collect();
    let twins_start = moment(day, 33, 13, 0);
    for (uuid, seconds) in [("tWiN1000000000000000==", 4), ("tWiN2000000000000000==", 40)] {
        let start = twins_start + SignedDuration::from_secs(seconds);
        meetings.push(meeting(uuid, "Interview", start).with(audio(start)));
    }
    meetings
}

fn edge_case_files(day: Date) -> Vec<Meeting> {
    let start = moment(day, 40, 10, 0);
    let restart = start + SignedDuration::from_mins(25);
    let segments = meeting("/sLaShFiRsT00000000==", "Recording stopped and restarted", start)
        .with(speaker_view(start))
        .with(transcript(start))
        .with(gallery_view(restart).view("shared_screen_with_speaker_view"))
        .with(clip(restart, "TRANSCRIPT", asset!("review.vtt")));
    let start = moment(day, 45, 17, 45);
    let captioned = meeting("tWo//sLaShEs0000000==", "Captions burnt in", start)
        .with(speaker_view(start).view("shared_screen_with_speaker_view(CC)"))
        .with(speaker_view(start))
        .with(clip(start, "CC", asset!("captions.vtt")));
    let start = moment(day, 50, 9, 30);
    let wrong_size = meeting("wRoNgSiZe0000000000==", "Listed size is wrong", start)
        .with(speaker_view(start).listed(ListedSize::Wrong(-7)))
        .with(audio(start).listed(ListedSize::Wrong(1024)))
        .with(transcript(start).listed(ListedSize::Absent));
    let start = moment(day, 55, 15, 0);
    let on_premise = meeting("oNpReMiSe0000000000==", "Kept on our own storage", start)
        .with(
            speaker_view(start)
                .at(FileLocation::OnPremise("/nfs/recordings/onpremise_1.mp4".into())),
        )
        .with(transcript(start));
    vec![segments, captioned, wrong_size, on_premise]
}

fn edge_case_entries(day: Date) -> Vec<Meeting> {
    let start = moment(day, 0, 0, 5);
    let processing = meeting("pRoCeSsInG000000000==", "Still processing", start)
        .with(clip(start, "CHAT", asset!("chat.txt")))
        .with(speaker_view(start).with_status_processing())
        .with(transcript(start).with_status_processing());
    let start = moment(day, 60, 12, 0);
    let mut string_numbers = meeting("sTrInGs000000000000==", "Numbers as strings", start)
        .with(speaker_view(start))
        .with(transcript(start));
    string_numbers.numbers_as_strings = true;
    let meetings_without_files = [
        ("nOfIlEs10000000000==", "Too short", EmptyFileList::Absent),
        ("nOfIlEs20000000000==", "Nothing kept", EmptyFileList::Null),
        ("nOfIlEs30000000000==", "Nothing recorded", EmptyFileList::Empty),
    ];
    let meetings_without_files = meetings_without_files.into_iter().enumerate().map(
        |(index, (uuid, topic, without_files))| {
            let mut empty = meeting(uuid, topic, moment(day, 65 + index as i64, 7, 0));
            empty.minutes = 0;
            empty.without_files = without_files;
            empty
        },
    );
    let start = moment(day, 75, 18, 0);
    let mut handover = meeting("fOrMeR000000000000==", "Handover", start).with(gallery_view(start));
    handover.host_email = FORMER_EMAIL.into();
    let start = moment(day, 88, 9, 0);
    let mut old_meeting = meeting("oLdEr0000000000000==", "Kick-off", start)
        .with(with_status(speaker_view(start), FileStatus::Empty))
        .with(with_status(transcript(start), FileStatus::Absent));
    old_meeting.details_too_old = true;
    // The retention rule of the account deletes this recording soon.
    old_meeting.auto_delete = Some(day.saturating_add(3.days()));
    meetings_without_files.chain([processing, string_numbers, handover, old_meeting]).collect()
}

/// Creates a meeting that is in the trash. Zoom keeps recordings there for thirty days.
fn trashed_meeting(day: Date) -> Meeting {
    let start = moment(day, 5, 11, 0);
    let mut meeting = meeting("dElEtEd0000000000000==", "Deleted by mistake", start)
        .with(speaker_view(start))
        .with(audio(start))
        .with(transcript(start));
    meeting.deleted = Some(moment(day, 2, 9, 30));
    meeting
}

fn with_status(mut file: MeetingFile, status: FileStatus) -> MeetingFile {
    file.status = status;
    file
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn archive_is_stable_within_a_day() {
        let day = jiff::civil::date(2026, 10, 7);
        assert_eq!(format!("{:?}", Archive::demo_at(day)), format!("{:?}", Archive::demo_at(day)));
    }

    #[test]
    fn meetings_span_three_months_with_distinct_uuids() {
        let day = jiff::civil::date(2026, 10, 7);
        let archive = Archive::demo_at(day);
        assert!(archive.meetings.len() >= 16);
        let uuids: HashSet<&str> =
            archive.meetings.iter().map(|meeting| meeting.uuid.as_str()).collect();
        assert_eq!(uuids.len(), archive.meetings.len());
        for meeting in &archive.meetings {
            assert!(moment(day, 92, 0, 0) <= meeting.start, "{}", meeting.topic);
            assert!(meeting.start < moment(day, -1, 0, 0), "{}", meeting.topic);
        }
    }

    #[test]
    fn archive_has_known_and_unknown_file_types() {
        let archive = Archive::demo();
        let kinds: HashSet<&str> = archive
            .meetings
            .iter()
            .flat_map(|meeting| meeting.files.iter().map(|file| file.file_type.as_str()))
            .collect();
        for kind in [
            "MP4",
            "M4A",
            "CHAT",
            "TRANSCRIPT",
            "CC",
            "CSV",
            "TB",
            "TIMELINE",
            "SUMMARY",
            "CHAT_MESSAGE",
            "WHITEBOARD_X",
        ] {
            assert!(kinds.contains(kind), "{kind}");
        }
    }

    #[test]
    fn demo_videos_have_leading_and_trailing_index() {
        let box_position = |content: Content, name: &[u8]| {
            let bytes = content.slice(0..content.length());
            bytes.windows(4).position(|window| window == name)
        };
        let index_first = asset!("speaker_view.mp4");
        let index_last = asset!("gallery_view.mp4");
        assert!(box_position(index_first.clone(), b"moov") < box_position(index_first, b"mdat"));
        assert!(box_position(index_last.clone(), b"moov") > box_position(index_last, b"mdat"));
    }
}
