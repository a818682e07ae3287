//! The archive of a Rapatin account: recorded sessions of booked Zoom meetings.

use bytes::Bytes;
use jiff::Timestamp;
use jiff::civil::Date;

use super::archive::{Content, ListedSize, MeetingFile, asset, moment, today};

/// One recorded session of a meeting.
#[derive(Clone, Debug)]
pub struct RapatinSession {
    pub uuid: String,
    /// Meeting id. All sessions of a meeting have the same id.
    pub meeting_id: String,
    pub topic: String,
    /// Start of the session. The schedule states the date and the time, recordings only the date.
    pub start: Timestamp,
    pub status: RapatinStatus,
    /// Whether the schedule lists the session.
    pub scheduled: bool,
    /// Whether the session belongs to a series.
    pub recurring: bool,
    pub files: Vec<MeetingFile>,
}

/// The `status` of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RapatinStatus {
    Ready,
    /// The recording is not ready yet. Replies have no files.
    Processing,
    /// The recording was deleted. Replies have no files.
    Deleted,
}

impl RapatinSession {
    /// Creates a ready session without files that the schedule lists.
    pub fn new(uuid: &str, meeting_id: &str, topic: &str, start: Timestamp) -> Self {
        Self {
            uuid: uuid.into(),
            meeting_id: meeting_id.into(),
            topic: topic.into(),
            start,
            status: RapatinStatus::Ready,
            scheduled: true,
            recurring: false,
            files: Vec::new(),
        }
    }

    /// Adds a file and sets its times to those of the session.
    pub fn with(mut self, mut file: MeetingFile) -> Self {
        file.recording_start = self.start;
        file.recording_end = self.start;
        // Zoom lists these files without view and size. Rapatin lists them with both.
        let view = match file.file_type.as_str() {
            "CC" => Some("closed_caption"),
            "TIMELINE" => Some("timeline"),
            _ => None,
        };
        if let Some(view) = view.filter(|_| file.recording_type.is_none()) {
            file.recording_type = Some(view.into());
            file.listed_size = ListedSize::True;
        }
        self.files.push(file);
        self
    }

    pub fn status(mut self, status: RapatinStatus) -> Self {
        self.status = status;
        self
    }

    /// Removes the session from the schedule.
    pub fn unscheduled(mut self) -> Self {
        self.scheduled = false;
        self
    }

    /// Creates sessions of the last three days: ordinary ones, and one for each special case. The
    /// result is the same during a whole UTC day.
    pub fn demo() -> Vec<Self> {
        Self::demo_at(today())
    }

    /// Creates sessions of the three days before `day`.
    pub fn demo_at(day: Date) -> Vec<Self> {
        let speaker_view = |name: &str| MeetingFile::new("MP4", asset!("speaker_view.mp4", name));
        let gallery_view = |name: &str| MeetingFile::new("MP4", asset!("gallery_view.mp4", name));
        let text_file = |file_type: &str, text: &'static str| {
            MeetingFile::new(file_type, Content::Stored(Bytes::from_static(text.as_bytes())))
        };
        let audio = MeetingFile::new("M4A", asset!("audio_only.m4a", "sound"));
        let every_kind =
            Self::new("WuPF5b6WQ0aa==", "85095598095", "Rapat anggaran", moment(day, 1, 2, 0))
                .with(speaker_view("speaker"))
                .with(gallery_view("gallery").view("gallery_view"))
                .with(audio.clone())
                .with(text_file("CC", "WEBVTT\n\n00:01.000 --> 00:02.000\nSelamat pagi.\n"))
                .with(text_file(
                    "TRANSCRIPT",
                    "WEBVTT\n\n00:01.000 --> 00:02.000\nAna: Selamat pagi.\n",
                ))
                .with(text_file("CHAT", "09:00:01 Ana: Selamat pagi\n"))
                .with(text_file("TIMELINE", r#"{"timeline":[{"ts":"00:00:01.000","users":[]}]}"#));
        let weekly = |uuid: &str, days_before, video| {
            let mut session = Self::new(
                uuid,
                "81234567890",
                "Mingguan: Q&A / été",
                moment(day, days_before, 7, 30),
            )
            .with(video)
            .with(text_file("CC", "WEBVTT\n\n00:01.000 --> 00:02.000\nMulai.\n"));
            session.recurring = true;
            session
        };
        let restarted = Self::new(
            "/rEsTaRt//0000==",
            "84444444444",
            "Stopped and restarted",
            moment(day, 2, 9, 0),
        )
        .with(speaker_view("part one"))
        .with(gallery_view("part two"))
        .with(audio.clone());
        let wrong_size = Self::new(
            "wRoNgSiZe000==",
            "85555555555",
            "Listed size is wrong",
            moment(day, 3, 4, 5),
        )
        .with(gallery_view("wrong").listed(ListedSize::Wrong(-7)))
        .with(text_file("TRANSCRIPT", "WEBVTT\n\n").listed(ListedSize::Absent));
        let unscheduled =
            Self::new("uNsChEdUlEd0==", "86666666666", "Not in the schedule", moment(day, 2, 6, 0))
                .with(gallery_view("unscheduled"))
                .unscheduled();
        let processing =
            Self::new("pRoCeSsInG00==", "87777777777", "Still processing", moment(day, 1, 8, 0))
                .with(gallery_view("processing"))
                .status(RapatinStatus::Processing);
        let deleted = Self::new("dElEtEd00000==", "88888888888", "Deleted", moment(day, 3, 8, 0))
            .with(gallery_view("deleted"))
            .status(RapatinStatus::Deleted);
        let weekly = [
            weekly("w1EeKlY00000==", 1, gallery_view("first week")),
            weekly("w2EeKlY00000==", 3, speaker_view("third week")),
        ];
        let mut sessions =
            vec![every_kind, restarted, wrong_size, unscheduled, processing, deleted];
        sessions.extend(weekly);
        sessions
    }
}
