//! The Webex archive of `meetfs mount --demo`: recordings to play, and one of each special case.

use jiff::civil::Date;

use super::archive::{ListedSize, asset, moment, today};
use super::webex_archive::{WebexArchive, WebexRecording};

impl WebexArchive {
    /// Recordings of the last ten weeks. The archive is the same for a whole UTC day.
    pub fn demo() -> Self {
        Self::demo_at(today())
    }

    /// Recordings of the ten weeks before `day`.
    pub fn demo_at(day: Date) -> Self {
        let recording = |number: u32, topic: &str, back| {
            let start = moment(day, back, 9, 15);
            let mut recording = WebexRecording::new(&format!("4f91{number:028x}"), topic, start);
            recording.video = asset!("speaker_view.mp4", &recording.id);
            recording
        };
        let clip = |number, topic, back| {
            let mut clip = recording(number, topic, back);
            clip.duration_seconds = 12;
            clip.video = asset!("gallery_view.mp4", &clip.id);
            clip.audio = None;
            clip.transcript = Some(asset!("review.vtt"));
            clip
        };
        let mut wrong_size = recording(5, "Listed size is wrong", 20);
        wrong_size.listed_size = ListedSize::Wrong(-9);
        let mut prevented = recording(6, "Not to be downloaded", 30);
        prevented.prevent_downloading = true;
        let mut strings = recording(7, "Numbers as strings", 45).with_stored_transcript();
        strings.numbers_as_strings = true;
        let recordings = vec![
            clip(1, "Weekly: sales", 2),
            clip(2, "Weekly: sales", 9),
            clip(3, "Customer call: été / Q4", 12),
            recording(4, "Old format", 60).with_video(50_000).of_format("ARF").video_only(),
            wrong_size,
            prevented,
            strings,
        ];
        Self { recordings, ..Self::empty() }
    }
}
