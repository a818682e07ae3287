//! The Webex archive of `meetfs mount --demo`: ordinary recordings, and one recording for each
//! special case.

use jiff::civil::Date;

use super::archive::{ListedSize, asset, today, utc_time};
use super::webex_archive::{WebexArchive, WebexRecording};

impl WebexArchive {
    /// Creates an archive with recordings of the last ten weeks. The result is the same during a
    /// whole UTC day.
    pub fn demo() -> Self {
        Self::demo_at(today())
    }

    /// Creates an archive with recordings of the ten weeks before `day`.
    pub fn demo_at(day: Date) -> Self {
        let recording = |number: u32, topic: &str, days_before| {
            let start = utc_time(day, days_before, 9, 15);
            let mut recording = WebexRecording::new(&format!("4f91{number:028x}"), topic, start);
            recording.video = asset!("speaker_view.mp4", &recording.id);
            recording
        };
        let clip = |number, topic, days_before| {
            let mut clip = recording(number, topic, days_before);
            clip.duration_seconds = 12;
            clip.video = asset!("gallery_view.mp4", &clip.id);
            clip.audio = None;
            clip.transcript = Some(asset!("review.vtt"));
            clip
        };
        let mut wrong_size_recording = recording(5, "Provider lists a wrong size", 20);
        wrong_size_recording.listed_size = ListedSize::Wrong(-9);
        let mut protected_recording = recording(6, "Not to be downloaded", 30);
        protected_recording.prevents_downloads = true;
        let mut string_number_recording =
            recording(7, "Numbers as strings", 45).with_stored_transcript();
        string_number_recording.numbers_as_strings = true;
        let recordings = vec![
            clip(1, "Weekly: sales", 2),
            clip(2, "Weekly: sales", 9),
            clip(3, "Customer call: été / Q4", 12),
            recording(4, "Old format", 60).with_video(50_000).with_format("ARF").with_video_only(),
            wrong_size_recording,
            protected_recording,
            string_number_recording,
        ];
        Self { recordings, ..Self::empty() }
    }
}
