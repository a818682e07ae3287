//! A Zoom archive as large as that of a company.

use bytes::Bytes;
use jiff::SignedDuration;

use super::archive::{Archive, Content, Meeting, MeetingFile, User, today, utc_time};
use super::pattern::pattern_seed;

const VIDEO_BYTES: u64 = 180_000_000;
const AUDIO_BYTES: u64 = 30_000_000;

/// Types and contents of the text files that Zoom creates for a meeting.
const TEXT_FILES: [(&str, &str); 6] = [
    ("TRANSCRIPT", "WEBVTT\n\n1\n00:00:01.000 --> 00:00:04.000\nNothing was decided.\n"),
    ("CC", "WEBVTT\n\n1\n00:00:01.000 --> 00:00:04.000\nNOTHING WAS DECIDED\n"),
    ("CHAT", "09:00:00 From User to Everyone: hello\n"),
    ("TIMELINE", "{\"timeline\":[]}\n"),
    ("CSV", "question,answer\n"),
    ("SUMMARY", "{\"summary\":\"\"}\n"),
];

impl Archive {
    /// Creates an archive with `users` users in addition to the owner: `user0@example.org` and so
    /// on. Each user has `meetings` meetings of eight files, spread over the last `days` days.
    pub fn with_company_size(users: usize, meetings: usize, days: u32) -> Self {
        let today = today();
        let mut archive = Self::empty();
        for user in 0..users {
            let email = format!("user{user}@example.org");
            archive.users.push(User::new_active(
                &format!("host{user}"),
                &email,
                "User",
                &user.to_string(),
            ));
            for index in 0..meetings {
                let days_before = index as u64 * u64::from(days.max(1)) / meetings.max(1) as u64;
                let start = utc_time(today, 1 + days_before as i64, 8, 0)
                    + SignedDuration::from_mins(user as i64 * 13);
                let uuid = format!("{:016x}==", pattern_seed(&format!("{email}/{index}")));
                let meeting =
                    Meeting::new(&uuid, &format!("Meeting {index} of user {user}"), start);
                let media =
                    [("MP4", VIDEO_BYTES), ("M4A", AUDIO_BYTES)].map(|(file_type, length)| {
                        (
                            file_type,
                            Content::Pattern {
                                seed: pattern_seed(&format!("{uuid}/{file_type}")),
                                length,
                            },
                        )
                    });
                let texts = TEXT_FILES.map(|(file_type, text)| {
                    (file_type, Content::Stored(Bytes::from_static(text.as_bytes())))
                });
                let meeting = media.into_iter().chain(texts).fold(
                    meeting,
                    |meeting, (file_type, content)| {
                        meeting.with_file(MeetingFile::new(file_type, content))
                    },
                );
                archive.meetings.push(Meeting { host_email: email.clone(), ..meeting });
            }
        }
        archive
    }
}
