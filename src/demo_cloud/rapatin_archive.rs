//! The archive of a Rapatin account: recorded sessions of booked Zoom meetings.

use bytes::Bytes;
use jiff::Timestamp;
use jiff::civil::Date;

use super::archive::{Content, ListedSize, MeetingFile, asset, today, utc_time};

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
    pub is_scheduled: bool,
    /// Whether the session belongs to a series.
    pub is_recurring: bool,
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
    /// Creates a session without files. It is ready, and the schedule lists it.
    pub fn new(uuid: &str, meeting_id: &str, topic: &str, start: Timestamp) -> Self {
        Self {
            uuid: uuid.into(),
            meeting_id: meeting_id.into(),
            topic: topic.into(),
            start,
            status: RapatinStatus::Ready,
            is_scheduled: true,
            is_recurring: false,
            files: Vec::new(),
        }
    }

    /// Adds a file and sets its times to those of the session.
    pub fn with_file(mut self, mut file: MeetingFile) -> Self {
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

    pub fn with_status(mut self, status: RapatinStatus) -> Self {
        self.status = status;
        self
    }

    /// Removes the session from the schedule.
    pub fn without_schedule_entry(mut self) -> Self {
        self.is_scheduled = false;
        self
    }

    /// Creates sessions of the last three days: ordinary sessions, and one session for each special
    /// case. The result is the same during a whole UTC day.
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
        let every_file_type =
            Self::new("WuPF5b6WQ0aa==", "85095598095", "Rapat anggaran", utc_time(day, 1, 2, 0))
                .with_file(speaker_view("speaker"))
                .with_file(gallery_view("gallery").with_view("gallery_view"))
                .with_file(audio.clone())
                .with_file(text_file("CC", "WEBVTT\n\n00:01.000 --> 00:02.000\nSelamat pagi.\n"))
                .with_file(text_file(
                    "TRANSCRIPT",
                    "WEBVTT\n\n00:01.000 --> 00:02.000\nAna: Selamat pagi.\n",
                ))
                .with_file(text_file("CHAT", "09:00:01 Ana: Selamat pagi\n"))
                .with_file(text_file(
                    "TIMELINE",
                    r#"{"timeline":[{"ts":"00:00:01.000","users":[]}]}"#,
                ));
        let weekly_session = |uuid: &str, days_before, video| {
            let mut session = Self::new(
                uuid,
                "81234567890",
                "Mingguan: Q&A / été",
                utc_time(day, days_before, 7, 30),
            )
            .with_file(video)
            .with_file(text_file("CC", "WEBVTT\n\n00:01.000 --> 00:02.000\nMulai.\n"));
            session.is_recurring = true;
            session
        };
        let restarted_session = Self::new(
            "/rEsTaRt//0000==",
            "84444444444",
            "Stopped and restarted",
            utc_time(day, 2, 9, 0),
        )
        .with_file(speaker_view("part one"))
        .with_file(gallery_view("part two"))
        .with_file(audio.clone());
        let wrong_size_session = Self::new(
            "wRoNgSiZe000==",
            "85555555555",
            "Provider lists a wrong size",
            utc_time(day, 3, 4, 5),
        )
        .with_file(gallery_view("wrong").with_listed_size(ListedSize::Wrong(-7)))
        .with_file(text_file("TRANSCRIPT", "WEBVTT\n\n").with_listed_size(ListedSize::Absent));
        let unscheduled_session = Self::new(
            "uNsChEdUlEd0==",
            "86666666666",
            "Not in the schedule",
            utc_time(day, 2, 6, 0),
        )
        .with_file(gallery_view("unscheduled"))
        .without_schedule_entry();
        let processing_session =
            Self::new("pRoCeSsInG00==", "87777777777", "Still processing", utc_time(day, 1, 8, 0))
                .with_file(gallery_view("processing"))
                .with_status(RapatinStatus::Processing);
        let deleted_session =
            Self::new("dElEtEd00000==", "88888888888", "Deleted", utc_time(day, 3, 8, 0))
                .with_file(gallery_view("deleted"))
                .with_status(RapatinStatus::Deleted);
        let weekly_sessions = [
            weekly_session("w1EeKlY00000==", 1, gallery_view("first week")),
            weekly_session("w2EeKlY00000==", 3, speaker_view("third week")),
        ];
        let mut sessions = vec![
            every_file_type,
            restarted_session,
            wrong_size_session,
            unscheduled_session,
            processing_session,
            deleted_session,
        ];
        sessions.extend(weekly_sessions);
        sessions
    }
}
