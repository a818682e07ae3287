//! What changes in the cloud while it is mounted, and while a file of it is open.

// A helper that cannot go on fails its test.
#![allow(clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

#[path = "support/life.rs"]
mod life;
mod support;

use jiff::{SignedDuration, Timestamp};
use life::Running;
use meetfs::demo::{Archive, CloudOptions, Content, Meeting, MeetingFile};
use support::{Rig, SOON, run, text, wait_until};

const UUID: &str = "Y2hhbmdpbmc==";
const LENGTH: u64 = 30_000_000;

/// A meeting with a video of thirty megabytes and a chat, and another one that nothing happens to.
fn rig() -> Rig {
    let start = Timestamp::now() - SignedDuration::from_hours(3);
    let meeting = |uuid: &str, topic: &str, seed| {
        Meeting::new(uuid, topic, start)
            .with(MeetingFile::new("MP4", Content::Pattern { seed, length: LENGTH }))
            .with(MeetingFile::new("CHAT", Content::Stored("hello\n".into())))
    };
    let mut archive = Archive::empty();
    archive.meetings = vec![meeting(UUID, "Before", 1), meeting("b3RoZXI==", "Other", 2)];
    Rig::mounted(CloudOptions { archive, ..CloudOptions::default() })
}

fn refresh(rig: &Rig) {
    let output = run(rig.meetfs().arg("refresh").arg(&rig.mountpoint), SOON);
    assert!(output.status.success(), "{}\n{}", text(&output), rig.log());
}

fn sum_of(content: &Content) -> String {
    content.sha256()
}

fn content(rig: &Rig) -> Content {
    let meetings = rig.cloud.meetings();
    let meeting = meetings.iter().find(|meeting| meeting.uuid == UUID).expect("the meeting");
    meeting.files[0].content.clone()
}

/// Somebody who has opened the video of `topic` and read its beginning, and reads the rest when he is told to.
struct Reader(Running, std::path::PathBuf);

impl Reader {
    fn of(rig: &Rig, topic: &str) -> Self {
        let word = rig.folder.path().join("go on");
        let line = format!(
            "exec 3< \"$(echo \"$M\"/acme/*/*{topic}/*.mp4)\"; head -c 100000 <&3 > '{0}.beginning'; echo open; \
             while [ ! -e '{0}' ]; do sleep 0.05; done; cat '{0}.beginning' - <&3 | sha256sum; \
             echo \"status ${{PIPESTATUS[0]}}\"",
            word.display()
        );
        let reader = Self(Running::outside(rig, &line), word);
        wait_until(SOON, "the file is open", || reader.0.said().contains("open"));
        reader
    }

    /// What it read, and whether it could.
    fn rest(mut self) -> (String, bool) {
        std::fs::write(&self.1, "").expect("a word");
        self.0.end(SOON);
        let said = self.0.said();
        let sum = said.lines().find(|line| line.ends_with(" -")).unwrap_or_default().to_owned();
        (sum.trim_end_matches(" -").trim().to_owned(), said.contains("status 0"))
    }
}

#[test]
fn a_new_topic_is_a_new_name_and_an_open_file_is_read_on() {
    let rig = rig();
    let reader = Reader::of(&rig, "Before");
    rig.cloud.change_meeting(UUID, |meeting| meeting.topic = "After".into());
    refresh(&rig);
    assert_eq!(rig.shell("ls acme/* | sed 's/.* //'"), "After\nOther\n");
    assert_eq!(rig.shell("cat acme/*/*After/chat.txt"), "hello\n");
    assert_eq!(reader.rest(), (sum_of(&content(&rig)), true), "{}", rig.log());
    rig.unmount();
}

#[test]
fn a_trimmed_video_is_another_content_and_is_never_mixed_with_the_old_one() {
    let rig = rig();
    let old = sum_of(&content(&rig));
    let reader = Reader::of(&rig, "Before");
    rig.cloud.change_meeting(UUID, |meeting| {
        meeting.files[0].content = Content::Pattern { seed: 9, length: 20_000_000 };
    });
    refresh(&rig);
    assert_eq!(rig.shell("stat -c %s acme/*/*Before/*.mp4").trim(), "20000000");
    assert_eq!(
        rig.shell("sha256sum < acme/*/*Before/*.mp4").trim_end_matches(" -\n").trim(),
        sum_of(&content(&rig))
    );
    let (sum, whole) = reader.rest();
    assert!(!whole || sum == old, "a mixture was read: {sum}");
    rig.unmount();
}

#[test]
fn a_deleted_meeting_goes_and_an_open_file_of_it_is_read_whole_or_not_to_its_end() {
    let rig = rig();
    let old = sum_of(&content(&rig));
    let reader = Reader::of(&rig, "Before");
    rig.cloud.remove_meeting(UUID);
    refresh(&rig);
    assert_eq!(rig.shell("ls acme/* | sed 's/.* //'"), "Other\n");
    let (sum, whole) = reader.rest();
    assert!(!whole || sum == old, "a short file was read: {sum}");
    assert_eq!(rig.shell("cat acme/*/*Other/*.mp4 | wc -c").trim(), LENGTH.to_string());
    rig.unmount();
}

#[test]
fn a_new_recording_shows_at_the_next_listing_in_a_folder_that_somebody_stands_in() {
    let rig = rig();
    let mut standing = Running::outside(
        &rig,
        "cd \"$M\"/acme/*/ && ls | wc -l; echo there; for i in $(seq 100); do [ $(ls | wc -l) = 3 ] && exit 0; sleep 0.1; done; exit 1",
    );
    wait_until(SOON, "somebody stands there", || standing.said().contains("there"));
    let start = Timestamp::now() - SignedDuration::from_hours(1);
    let new =
        Meeting::new("bmV3==", "New", start).with(MeetingFile::new("CHAT", Content::Stored("new\n".into())));
    rig.cloud.add_meeting(new);
    refresh(&rig);
    assert!(standing.end(SOON).0.success(), "{}", standing.said());
    assert_eq!(rig.shell("cat acme/*/*New/chat.txt"), "new\n");
    rig.unmount();
}
