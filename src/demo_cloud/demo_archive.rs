//! The archive of `meetfs mount --demo`: ordinary meetings to play and search, and one of each
//! special case.

use bytes::Bytes;
use jiff::civil::Date;
use jiff::{SignedDuration, Timestamp, ToSpan};

use super::archive::{
    Archive, Content, EmptyFileList, FileLocation, FileStatus, Host, ListedSize, Meeting,
    MeetingFile, asset, moment, today,
};

/// Length of the media in `assets/`.
const CLIP: SignedDuration = SignedDuration::from_secs(12);

/// Time from the start of a meeting to the start of its recording.
const LEAD: SignedDuration = SignedDuration::from_secs(11);

impl Archive {
    /// Meetings of the last three months. The archive is the same for a whole UTC day.
    pub fn demo() -> Self {
        Self::demo_at(today())
    }

    /// Meetings of the three months before `day`.
    pub fn demo_at(day: Date) -> Self {
        let mut meetings = typical_meetings(day);
        meetings.extend(edge_case_names(day));
        meetings.extend(awkward_files(day));
        meetings.extend(awkward_entries(day));
        meetings.push(deleted(day));
        let former =
            Host { id: "hostFormer".into(), email: FORMER.into(), name: None, status: "inactive" };
        let hosts = vec![
            Host::active("hostOwner", Self::OWNER, "Demo", "Owner"),
            Host::active("hostGuest", GUEST, "Demo", "Guest"),
            former,
        ];
        Self { hosts, meetings }
    }
}

const GUEST: &str = "guest@example.org";
const FORMER: &str = "former@example.org";

/// A meeting of fixed length, recorded from [`LEAD`] on.
fn meeting(uuid: &str, topic: &str, start: Timestamp) -> Meeting {
    let mut meeting = Meeting::new(uuid, topic, start);
    meeting.minutes = 1;
    meeting
}

/// A file that covers the whole recording of a meeting that began at `start`.
fn clip(start: Timestamp, file_type: &str, content: Content) -> MeetingFile {
    MeetingFile::new(file_type, content).between(start + LEAD, start + LEAD + CLIP)
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
    let kinds = moment(day, 1, 9, 0);
    let every_kind = meeting("aB3xY9QWeRtYuIoP1A==", "Q&A / plan: été", kinds)
        .with(speaker_view(kinds))
        .with(gallery_view(kinds))
        .with(audio(kinds))
        .with(transcript(kinds))
        .with(clip(kinds, "CC", asset!("captions.vtt")))
        .with(clip(kinds, "CHAT", asset!("chat.txt")))
        .with(clip(kinds, "CSV", asset!("poll.csv")))
        .with(clip(kinds, "TB", asset!("thumbnail.jpg")))
        .with(clip(kinds, "TIMELINE", asset!("timeline.json")))
        .with(clip(kinds, "SUMMARY", asset!("summary.json")))
        .with(clip(kinds, "CHAT_MESSAGE", asset!("chat_messages.json")))
        .with(clip(
            kinds,
            "WHITEBOARD_X",
            Content::Stored(Bytes::from_static(b"a kind of tomorrow\n")),
        ));
    let mut weekly = Vec::new();
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
        weekly.push(instance);
    }
    let guest = moment(day, 12, 16, 0);
    let mut review = meeting("gUeStReViEw000000000==", "Design review", guest)
        .with(gallery_view(guest))
        .with(clip(guest, "TRANSCRIPT", asset!("review.vtt")));
    review.host_email = GUEST.into();
    let podcast = moment(day, 20, 11, 15);
    let mut audio_only = meeting("aUdIoOnLy0000000000==", "Podcast, sound only", podcast)
        .with(audio(podcast))
        .with(clip(podcast, "TRANSCRIPT", asset!("review.vtt")));
    audio_only.participant_audio = Meeting::new("aUdIoOnLy0000000000==", "", podcast)
        .with(audio(podcast).view("Audio only - Demo Owner"))
        .files;
    weekly.extend([every_kind, review, audio_only]);
    weekly
}

fn edge_case_names(day: Date) -> Vec<Meeting> {
    let long =
        "A topic of three hundred characters ".repeat(9).chars().take(300).collect::<String>();
    let topics = [
        ("nAmE0traversal00000==", "../../etc/passwd"),
        ("nAmE1long0000000000==", long.as_str()),
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
    let twins = moment(day, 33, 13, 0);
    for (uuid, seconds) in [("tWiN1000000000000000==", 4), ("tWiN2000000000000000==", 40)] {
        let start = twins + SignedDuration::from_secs(seconds);
        meetings.push(meeting(uuid, "Interview", start).with(audio(start)));
    }
    meetings
}

fn awkward_files(day: Date) -> Vec<Meeting> {
    let start = moment(day, 40, 10, 0);
    let again = start + SignedDuration::from_mins(25);
    let segments = meeting("/sLaShFiRsT00000000==", "Recording stopped and restarted", start)
        .with(speaker_view(start))
        .with(transcript(start))
        .with(gallery_view(again).view("shared_screen_with_speaker_view"))
        .with(clip(again, "TRANSCRIPT", asset!("review.vtt")));
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

fn awkward_entries(day: Date) -> Vec<Meeting> {
    let start = moment(day, 0, 0, 5);
    let processing = meeting("pRoCeSsInG000000000==", "Still processing", start)
        .with(clip(start, "CHAT", asset!("chat.txt")))
        .with(speaker_view(start).with_status_processing())
        .with(transcript(start).with_status_processing());
    let start = moment(day, 60, 12, 0);
    let mut strings = meeting("sTrInGs000000000000==", "Numbers as strings", start)
        .with(speaker_view(start))
        .with(transcript(start));
    strings.numbers_as_strings = true;
    let empties = [
        ("nOfIlEs10000000000==", "Too short", EmptyFileList::Absent),
        ("nOfIlEs20000000000==", "Nothing kept", EmptyFileList::Null),
        ("nOfIlEs30000000000==", "Nothing recorded", EmptyFileList::Empty),
    ];
    let empties = empties.into_iter().enumerate().map(|(index, (uuid, topic, without_files))| {
        let mut empty = meeting(uuid, topic, moment(day, 65 + index as i64, 7, 0));
        empty.minutes = 0;
        empty.without_files = without_files;
        empty
    });
    let start = moment(day, 75, 18, 0);
    let mut former = meeting("fOrMeR000000000000==", "Handover", start).with(gallery_view(start));
    former.host_email = FORMER.into();
    let start = moment(day, 88, 9, 0);
    let mut old = meeting("oLdEr0000000000000==", "Kick-off", start)
        .with(status(speaker_view(start), FileStatus::Empty))
        .with(status(transcript(start), FileStatus::Absent));
    old.details_too_old = true;
    // The account's retention rule deletes old recordings.
    old.auto_delete = Some(day.saturating_add(3.days()));
    empties.chain([processing, strings, former, old]).collect()
}

/// In the trash, which keeps recordings for thirty days.
fn deleted(day: Date) -> Meeting {
    let start = moment(day, 5, 11, 0);
    let mut deleted = meeting("dElEtEd0000000000000==", "Deleted by mistake", start)
        .with(speaker_view(start))
        .with(audio(start))
        .with(transcript(start));
    deleted.deleted = Some(moment(day, 2, 9, 30));
    deleted
}

fn status(mut file: MeetingFile, status: FileStatus) -> MeetingFile {
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
    fn archive_has_known_and_unknown_kinds() {
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
    fn videos_have_index_first_and_last() {
        let position = |content: Content, name: &[u8]| {
            let bytes = content.slice(0..content.length());
            bytes.windows(4).position(|window| window == name)
        };
        let front = asset!("speaker_view.mp4");
        let back = asset!("gallery_view.mp4");
        assert!(position(front.clone(), b"moov") < position(front, b"mdat"));
        assert!(position(back.clone(), b"moov") > position(back, b"mdat"));
    }
}
