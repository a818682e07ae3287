//! The archive of `meetfs mount --demo`: ordinary meetings, and one meeting for each special case.

use bytes::Bytes;
use jiff::civil::Date;
use jiff::{SignedDuration, Timestamp, ToSpan};

use super::archive::{
    Archive, Content, EmptyFileList, FileLocation, FileStatus, ListedSize, Meeting, MeetingFile,
    User, asset, today, utc_time,
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
        meetings.extend(meetings_with_edge_case_names(day));
        meetings.extend(meetings_with_edge_case_files(day));
        meetings.extend(edge_case_meetings(day));
        meetings.push(trashed_meeting(day));
        let former_user = User {
            id: "hostFormer".into(),
            email: FORMER_EMAIL.into(),
            name: None,
            status: "inactive",
        };
        let users = vec![
            User::new_active("hostOwner", Self::OWNER_EMAIL, "Demo", "Owner"),
            User::new_active("hostGuest", GUEST_EMAIL, "Demo", "Guest"),
            former_user,
        ];
        Self { users, meetings }
    }
}

const GUEST_EMAIL: &str = "guest@example.org";
const FORMER_EMAIL: &str = "former@example.org";

/// Creates a meeting of one minute.
fn meeting(uuid: &str, topic: &str, start: Timestamp) -> Meeting {
    let mut meeting = Meeting::new(uuid, topic, start);
    meeting.duration_minutes = 1;
    meeting
}

/// Creates a file that covers the whole recording of a meeting that began at `start`.
fn clip(start: Timestamp, file_type: &str, content: Content) -> MeetingFile {
    MeetingFile::new(file_type, content)
        .with_times(start + RECORDING_DELAY, start + RECORDING_DELAY + CLIP_DURATION)
}

fn speaker_view(start: Timestamp) -> MeetingFile {
    clip(start, "MP4", asset!("speaker_view.mp4"))
}

fn gallery_view(start: Timestamp) -> MeetingFile {
    clip(start, "MP4", asset!("gallery_view.mp4")).with_view("gallery_view")
}

fn audio(start: Timestamp) -> MeetingFile {
    clip(start, "M4A", asset!("audio_only.m4a"))
}

fn transcript(start: Timestamp) -> MeetingFile {
    clip(start, "TRANSCRIPT", asset!("planning.vtt"))
}

fn typical_meetings(day: Date) -> Vec<Meeting> {
    let every_file_type_start = utc_time(day, 1, 9, 0);
    let every_file_type = meeting("aB3xY9QWeRtYuIoP1A==", "Q&A / plan: été", every_file_type_start)
        .with_file(speaker_view(every_file_type_start))
        .with_file(gallery_view(every_file_type_start))
        .with_file(audio(every_file_type_start))
        .with_file(transcript(every_file_type_start))
        .with_file(clip(every_file_type_start, "CC", asset!("captions.vtt")))
        .with_file(clip(every_file_type_start, "CHAT", asset!("chat.txt")))
        .with_file(clip(every_file_type_start, "CSV", asset!("poll.csv")))
        .with_file(clip(every_file_type_start, "TB", asset!("thumbnail.jpg")))
        .with_file(clip(every_file_type_start, "TIMELINE", asset!("timeline.json")))
        .with_file(clip(every_file_type_start, "SUMMARY", asset!("summary.json")))
        .with_file(clip(every_file_type_start, "CHAT_MESSAGE", asset!("chat_messages.json")))
        .with_file(clip(
            every_file_type_start,
            "WHITEBOARD_X",
            Content::Stored(Bytes::from_static(b"a kind of tomorrow\n")),
        ));
    let mut meetings = Vec::new();
    for (week, uuid) in ["W1eeklyAAAAAAAAAAAA==", "W2eeklyAAAAAAAAAAAA==", "W3eeklyAAAAAAAAAAAA=="]
        .into_iter()
        .enumerate()
    {
        let start = utc_time(day, 7 * week as i64 + 3, 14, 30);
        let mut instance = meeting(uuid, "Weekly planning", start)
            .with_file(speaker_view(start))
            .with_file(audio(start))
            .with_file(transcript(start))
            .with_file(clip(start, "CHAT", asset!("chat.txt")));
        instance.number = 86_000_000_001;
        meetings.push(instance);
    }
    let review_start = utc_time(day, 12, 16, 0);
    let mut design_review = meeting("gUeStReViEw000000000==", "Design review", review_start)
        .with_file(gallery_view(review_start))
        .with_file(clip(review_start, "TRANSCRIPT", asset!("review.vtt")));
    design_review.host_email = GUEST_EMAIL.into();
    let podcast_start = utc_time(day, 20, 11, 15);
    let mut audio_only = meeting("aUdIoOnLy0000000000==", "Podcast, sound only", podcast_start)
        .with_file(audio(podcast_start))
        .with_file(clip(podcast_start, "TRANSCRIPT", asset!("review.vtt")));
    audio_only.participant_audio = Meeting::new("aUdIoOnLy0000000000==", "", podcast_start)
        .with_file(audio(podcast_start).with_view("Audio only - Demo Owner"))
        .files;
    meetings.extend([every_file_type, design_review, audio_only]);
    meetings
}

fn meetings_with_edge_case_names(day: Date) -> Vec<Meeting> {
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
            let start = utc_time(day, 24 + index as i64, 8, 5);
            meeting(uuid, topic, start).with_file(speaker_view(start)).with_file(transcript(start))
        })
        .collect();
    let twins_start = utc_time(day, 33, 13, 0);
    for (uuid, seconds) in [("tWiN1000000000000000==", 4), ("tWiN2000000000000000==", 40)] {
        let start = twins_start + SignedDuration::from_secs(seconds);
        meetings.push(meeting(uuid, "Interview", start).with_file(audio(start)));
    }
    meetings
}

fn meetings_with_edge_case_files(day: Date) -> Vec<Meeting> {
    let start = utc_time(day, 40, 10, 0);
    let restart = start + SignedDuration::from_mins(25);
    let segmented_meeting =
        meeting("/sLaShFiRsT00000000==", "Recording stopped and restarted", start)
            .with_file(speaker_view(start))
            .with_file(transcript(start))
            .with_file(gallery_view(restart).with_view("shared_screen_with_speaker_view"))
            .with_file(clip(restart, "TRANSCRIPT", asset!("review.vtt")));
    let start = utc_time(day, 45, 17, 45);
    let captioned_meeting = meeting("tWo//sLaShEs0000000==", "Captions burnt in", start)
        .with_file(speaker_view(start).with_view("shared_screen_with_speaker_view(CC)"))
        .with_file(speaker_view(start))
        .with_file(clip(start, "CC", asset!("captions.vtt")));
    let start = utc_time(day, 50, 9, 30);
    let wrong_size_meeting = meeting("wRoNgSiZe0000000000==", "Provider lists a wrong size", start)
        .with_file(speaker_view(start).with_listed_size(ListedSize::Wrong(-7)))
        .with_file(audio(start).with_listed_size(ListedSize::Wrong(1024)))
        .with_file(transcript(start).with_listed_size(ListedSize::Absent));
    let start = utc_time(day, 55, 15, 0);
    let on_premise_meeting = meeting("oNpReMiSe0000000000==", "Kept on our own storage", start)
        .with_file(
            speaker_view(start)
                .with_location(FileLocation::OnPremise("/nfs/recordings/onpremise_1.mp4".into())),
        )
        .with_file(transcript(start));
    vec![segmented_meeting, captioned_meeting, wrong_size_meeting, on_premise_meeting]
}

fn edge_case_meetings(day: Date) -> Vec<Meeting> {
    let start = utc_time(day, 0, 0, 5);
    let processing_meeting = meeting("pRoCeSsInG000000000==", "Still processing", start)
        .with_file(clip(start, "CHAT", asset!("chat.txt")))
        .with_file(speaker_view(start).with_status_processing())
        .with_file(transcript(start).with_status_processing());
    let start = utc_time(day, 60, 12, 0);
    let mut string_number_meeting = meeting("sTrInGs000000000000==", "Numbers as strings", start)
        .with_file(speaker_view(start))
        .with_file(transcript(start));
    string_number_meeting.numbers_as_strings = true;
    let meetings_without_files = [
        ("nOfIlEs10000000000==", "Too short", EmptyFileList::Absent),
        ("nOfIlEs20000000000==", "Nothing kept", EmptyFileList::Null),
        ("nOfIlEs30000000000==", "Nothing recorded", EmptyFileList::Empty),
    ];
    let meetings_without_files = meetings_without_files.into_iter().enumerate().map(
        |(index, (uuid, topic, empty_file_list))| {
            let mut meeting_without_files =
                meeting(uuid, topic, utc_time(day, 65 + index as i64, 7, 0));
            meeting_without_files.duration_minutes = 0;
            meeting_without_files.empty_file_list = empty_file_list;
            meeting_without_files
        },
    );
    let start = utc_time(day, 75, 18, 0);
    let mut handover_meeting =
        meeting("fOrMeR000000000000==", "Handover", start).with_file(gallery_view(start));
    handover_meeting.host_email = FORMER_EMAIL.into();
    let start = utc_time(day, 88, 9, 0);
    let mut old_meeting = meeting("oLdEr0000000000000==", "Kick-off", start)
        .with_file(with_status(speaker_view(start), FileStatus::Empty))
        .with_file(with_status(transcript(start), FileStatus::Absent));
    old_meeting.is_too_old_for_details = true;
    // The retention rule of the account deletes this recording soon.
    old_meeting.auto_delete_date = Some(day.saturating_add(3.days()));
    meetings_without_files
        .chain([processing_meeting, string_number_meeting, handover_meeting, old_meeting])
        .collect()
}

/// Creates a meeting that is in the trash. Zoom keeps recordings there for thirty days.
fn trashed_meeting(day: Date) -> Meeting {
    let start = utc_time(day, 5, 11, 0);
    let mut meeting = meeting("dElEtEd0000000000000==", "Deleted by mistake", start)
        .with_file(speaker_view(start))
        .with_file(audio(start))
        .with_file(transcript(start));
    meeting.deletion_time = Some(utc_time(day, 2, 9, 30));
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
            assert!(utc_time(day, 92, 0, 0) <= meeting.start, "{}", meeting.topic);
            assert!(meeting.start < utc_time(day, -1, 0, 0), "{}", meeting.topic);
        }
    }

    #[test]
    fn archive_has_known_and_unknown_file_types() {
        let archive = Archive::demo();
        let file_types: HashSet<&str> = archive
            .meetings
            .iter()
            .flat_map(|meeting| meeting.files.iter().map(|file| file.file_type.as_str()))
            .collect();
        for file_type in [
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
            assert!(file_types.contains(file_type), "{file_type}");
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
