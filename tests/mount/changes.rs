//! What changes in the three clouds while they are mounted, and while a file of it is open.

// A helper that cannot go on fails its test.

use std::path::PathBuf;

use crate::support::life::RunningCommand;
use crate::support::{Rig, SOON, run, text, wait_until};
use jiff::{SignedDuration, Timestamp};
use meetfs::demo_cloud::{
    Archive, Content, DemoCloudOptions, Meeting, MeetingFile, RapatinSession, RapatinStatus,
    WebexArchive, WebexRecording,
};

const LENGTH: u64 = 30_000_000;
const TRIMMED: u64 = 20_000_000;

/// One source of each provider, by the name of its directory.
const SIDES: [&str; 3] = ["acme", "cisco", "rapat"];

/// What the meeting that things happen to is called by its cloud, and the other one.
const CHANGING: &str = "Y2hhbmdpbmc==";
const OTHER: &str = "b3RoZXI==";

fn hours_ago(hours: i64) -> Timestamp {
    let now = Timestamp::from_second(Timestamp::now().as_second()).expect("a time");
    now - SignedDuration::from_hours(hours)
}

fn film(seed: u64, length: u64) -> Content {
    Content::Pattern { seed, length }
}

fn stored(text: &'static str) -> Content {
    Content::Stored(text.into())
}

fn zoom(uuid: &str, topic: &str, seed: u64) -> Meeting {
    Meeting::new(uuid, topic, hours_ago(30))
        .with(MeetingFile::new("MP4", film(seed, LENGTH)))
        .with(MeetingFile::new("CHAT", stored("hello\n")))
}

fn webex(id: &str, topic: &str, seed: u64) -> WebexRecording {
    let mut recording = WebexRecording::new(id, topic, hours_ago(30));
    recording.video = film(seed, LENGTH);
    recording.transcript = None;
    recording
}

fn rapatin(uuid: &str, topic: &str, seed: u64) -> RapatinSession {
    RapatinSession::new(uuid, &format!("8{seed}"), topic, hours_ago(30))
        .with(MeetingFile::new("MP4", film(seed, LENGTH)))
        .with(MeetingFile::new("CHAT", stored("hello\n")))
}

/// Each with a meeting of thirty megabytes, and another one that nothing happens to.
fn rig() -> Rig {
    let mut archive = Archive::empty();
    archive.meetings = vec![zoom(CHANGING, "Before", 1), zoom(OTHER, "Other", 2)];
    let recordings = vec![webex(CHANGING, "Before", 3), webex(OTHER, "Other", 4)];
    let rig = Rig::new(DemoCloudOptions {
        archive,
        webex: WebexArchive { recordings, ..WebexArchive::empty() },
        rapatin: vec![rapatin(CHANGING, "Before", 5), rapatin(OTHER, "Other", 6)],
        ..DemoCloudOptions::default()
    });
    let (email, password) = rig.cloud.rapatin_login();
    rig.write_config(&format!(
        "{}\n[source.cisco]\nprovider = \"webex\"\ntoken = \"{}\"\napi_url = \"{}\"\noauth_url = \"{}\"\n\
         [source.rapat]\nprovider = \"rapatin\"\nemail = \"{email}\"\npassword = \"{password}\"\napi_url = \"{}\"\n",
        rig.config(),
        rig.cloud.webex_token(),
        rig.cloud.webex_api_url(),
        rig.cloud.webex_oauth_url(),
        rig.cloud.rapatin_api_url(),
    ));
    let output = run(&mut rig.mount_command(), SOON);
    assert!(output.status.success(), "{}\n{}", text(&output), rig.log());
    wait_until(SOON, "all is known", || {
        rig.shell("find . -name meeting.json -o -name audio_only.mp3 | wc -l").trim() == "8"
    });
    rig
}

fn refresh(rig: &Rig) {
    let output = run(rig.meetfs().arg("refresh").arg(&rig.mountpoint), SOON);
    assert!(output.status.success(), "{}\n{}", text(&output), rig.log());
}

/// The video of the meeting that things happen to, as its cloud has it now.
fn video(rig: &Rig, side: &str) -> Content {
    match side {
        "acme" => {
            let meetings = rig.cloud.meetings();
            let meeting =
                meetings.iter().find(|meeting| meeting.uuid == CHANGING).expect("the meeting");
            meeting.files[0].content.clone()
        }
        "cisco" => {
            let objects = rig.cloud.webex_objects();
            objects
                .into_iter()
                .find(|object| object.recording == CHANGING)
                .expect("the recording")
                .content
        }
        _ => {
            let sessions = rig.cloud.rapatin_sessions();
            let session =
                sessions.iter().find(|session| session.uuid == CHANGING).expect("the session");
            session.files[0].content.clone()
        }
    }
}

/// Does the same to the meeting in all three clouds.
fn change(
    rig: &Rig,
    zoom: impl FnOnce(&mut Meeting),
    webex: impl FnOnce(&mut WebexRecording),
    rapatin: impl FnOnce(&mut RapatinSession),
) {
    assert!(rig.cloud.change_meeting(CHANGING, zoom));
    assert!(rig.cloud.change_webex_recording(CHANGING, webex));
    assert!(rig.cloud.change_rapatin_session(CHANGING, rapatin));
}

/// The topics that the directories of a source have.
fn topics(rig: &Rig, side: &str) -> String {
    rig.shell(&format!("ls {side}/2* | sed 's/.* //'")).replace('\n', " ")
}

/// Somebody who has opened the video of the meeting and read its beginning, and reads the rest when he is told to.
struct Reader {
    side: &'static str,
    before: String,
    process: RunningCommand,
    word: PathBuf,
}

impl Reader {
    fn of(rig: &Rig, side: &'static str) -> Self {
        let word = rig.directory.path().join(format!("go on, {side}"));
        let line = format!(
            "exec 3< \"$(echo \"$M\"/{side}/*/*Before/*.mp4)\"; head -c 100000 <&3 > '{0}.beginning'; echo open; \
             while [ ! -e '{0}' ]; do sleep 0.05; done; cat '{0}.beginning' - <&3 | sha256sum; \
             echo \"status ${{PIPESTATUS[0]}}\"",
            word.display()
        );
        let (before, process) = (video(rig, side).sha256(), RunningCommand::outside(rig, &line));
        let reader = Self { side, before, process, word };
        wait_until(SOON, "the file is open", || reader.process.output().contains("open"));
        reader
    }

    fn of_all(rig: &Rig) -> [Self; 3] {
        SIDES.map(|side| Self::of(rig, side))
    }

    /// Reads on; whether it was whole. What is whole is what was there when it was opened.
    fn ends(mut self) -> bool {
        std::fs::write(&self.word, "").expect("a word");
        self.process.end(SOON);
        let said = self.process.output();
        let sum = said.lines().find(|line| line.ends_with(" -")).unwrap_or_default().to_owned();
        let is_whole = said.contains("status 0");
        let is_right = sum.trim_end_matches(" -").trim() == self.before;
        assert_eq!(is_whole, is_right, "{}: a mixture or a part was read: {said}", self.side);
        is_whole
    }
}

#[test]
fn a_new_topic_is_a_new_name_and_an_open_file_is_read_on() {
    let rig = rig();
    let numbers =
        |topic: &str| rig.shell(&format!("stat -c '%i %s %Y' */*/*{topic} */*/*{topic}/*.mp4"));
    let before = numbers("Before");
    let readers = Reader::of_all(&rig);
    let after = || "After".to_owned();
    change(&rig, |it| it.topic = after(), |it| it.topic = after(), |it| it.topic = after());
    refresh(&rig);
    for side in SIDES {
        assert_eq!(topics(&rig, side), "After Other ", "{side}");
    }
    assert_eq!(numbers("After"), before, "the same files under another name");
    assert_eq!(rig.shell("cat acme/*/*After/chat.txt rapat/*/*After/chat.txt"), "hello\nhello\n");
    for reader in readers {
        assert!(reader.ends(), "{}", rig.log());
    }
    rig.unmount();
}

#[test]
fn a_trimmed_video_is_another_content_and_is_never_mixed_with_the_old_one() {
    let rig = rig();
    // All of it is known and cached before.
    rig.shell("cat cisco/*/*Before/audio_only.mp3 */*/*Before/chat.txt | wc -c");
    let readers = Reader::of_all(&rig);
    change(
        &rig,
        |it| it.files[0].content = film(9, TRIMMED),
        |it| {
            it.video = film(10, TRIMMED);
            it.audio = Some(film(11, 7_000));
        },
        |it| it.files[0].content = film(12, TRIMMED),
    );
    refresh(&rig);
    for side in SIDES {
        let path = format!("{side}/*/*Before/*.mp4");
        assert_eq!(rig.shell(&format!("stat -c %s {path}")).trim(), TRIMMED.to_string(), "{side}");
        let sum = rig.shell(&format!("sha256sum < {path}"));
        assert!(sum.starts_with(&video(&rig, side).sha256()), "{side}: {sum}");
    }
    wait_until(SOON, "the sound is as long as it is", || {
        rig.shell("cat cisco/*/*Before/audio_only.mp3 2>/dev/null | wc -c").trim() == "7000"
    });
    let sum = rig.shell("sha256sum < cisco/*/*Before/audio_only.mp3");
    assert!(sum.starts_with(&film(11, 7_000).sha256()), "{sum}");
    let all = rig.shell("sha256sum */*/*Before/* | sed 's/ .*//' | sort");
    for reader in readers {
        reader.ends();
    }
    rig.unmount();
    let output = run(&mut rig.mount_command(), SOON);
    assert!(output.status.success(), "{}", text(&output));
    assert_eq!(rig.shell("sha256sum */*/*Before/* | sed 's/ .*//' | sort"), all);
    rig.unmount();
}

#[test]
fn a_deleted_meeting_goes_and_an_open_file_of_it_is_read_whole_or_not_to_its_end() {
    let rig = rig();
    let readers = Reader::of_all(&rig);
    rig.cloud.remove_meeting(CHANGING);
    rig.cloud.purge_webex_recording(CHANGING);
    rig.cloud.change_rapatin_session(CHANGING, |session| session.status = RapatinStatus::Deleted);
    refresh(&rig);
    for side in SIDES {
        assert_eq!(topics(&rig, side), "Other ", "{side}");
    }
    for reader in readers {
        reader.ends();
    }
    for side in SIDES {
        assert_eq!(
            rig.shell(&format!("cat {side}/*/*Other/*.mp4 | wc -c")).trim(),
            LENGTH.to_string()
        );
    }
    rig.unmount();
}

/// Somebody who stands in a directory and looks again and again until there is something that matches.
fn standing(rig: &Rig, directory: &str, awaited: &str) -> RunningCommand {
    let line = format!(
        "cd \"$(echo \"$M\"/{directory})\" && ls | wc -l; echo there; \
         for i in $(seq 300); do ls | grep -q '{awaited}' && exit 0; sleep 0.1; done; exit 1"
    );
    let standing = RunningCommand::outside(rig, &line);
    wait_until(SOON, "somebody stands there", || standing.output().contains("there"));
    standing
}

#[test]
fn a_new_recording_shows_at_the_next_listing_in_a_directory_that_somebody_stands_in() {
    let rig = rig();
    let readers = Reader::of_all(&rig);
    let standing = SIDES.map(|side| standing(&rig, &format!("{side}/2*"), "New"));
    rig.cloud.add_meeting(zoom("bmV3==", "New", 21));
    rig.cloud.add_webex_recording(webex("bmV3", "New", 22));
    rig.cloud.add_rapatin_session(rapatin("bmV3==", "New", 23));
    refresh(&rig);
    for mut standing in standing {
        assert!(standing.end(SOON).0.success(), "{}", standing.output());
    }
    for (side, seed) in SIDES.into_iter().zip(21..) {
        let sum = rig.shell(&format!("sha256sum < {side}/*/*New/*.mp4"));
        assert!(sum.starts_with(&film(seed, LENGTH).sha256()), "{side}: {sum}");
    }
    for reader in readers {
        assert!(reader.ends(), "{}", rig.log());
    }
    rig.unmount();
}

#[test]
fn a_late_transcript_stands_beside_its_video_at_the_next_listing_and_moves_nothing() {
    const SPOKEN: &str = "WEBVTT\n\n1\n00:00:01.000 --> 00:00:04.000\nBetter late than never.\n";
    let rig = rig();
    let files = "find */*/*Before -type f ! -name meeting.json ! -name '*.vtt' -printf '%p %s %T@ %i\\n' | LC_ALL=C sort";
    let before = rig.shell(files);
    let readers = Reader::of_all(&rig);
    let standing = SIDES.map(|side| standing(&rig, &format!("{side}/*/*Before"), "vtt$"));
    let late = || MeetingFile::new("TRANSCRIPT", stored(SPOKEN));
    change(
        &rig,
        |it| *it = it.clone().with(late()),
        |it| it.stored_transcript = Some(stored(SPOKEN)),
        |it| *it = it.clone().with(late()),
    );
    refresh(&rig);
    for mut standing in standing {
        assert!(standing.end(SOON).0.success(), "{}\n{}", standing.output(), rig.log());
    }
    for side in SIDES {
        let path = format!("{side}/*/*Before/*.vtt");
        assert_eq!(rig.shell(&format!("cat {path}")), SPOKEN, "{side}");
        let video = rig.shell(&format!("ls {side}/*/*Before/*.mp4")).replace(".mp4", ".vtt");
        assert_eq!(rig.shell(&format!("ls {path}")), video, "players look for it there");
    }
    assert_eq!(rig.shell(files), before);
    for reader in readers {
        assert!(reader.ends(), "{}", rig.log());
    }
    rig.unmount();
}

#[test]
fn a_directory_that_was_opened_before_a_change_and_is_read_after_it_brings_nothing_back() {
    let rig = rig();
    let meeting = rig.shell("ls -d acme/2*/*Before").trim().to_owned();
    let (directory, _) = meeting.rsplit_once('/').expect("a directory");
    let go = rig.directory.path().join("go");
    let line = format!(
        "python3 -c '\nimport os, sys, time\ndirectory = os.open(sys.argv[1], os.O_RDONLY | os.O_DIRECTORY)\n\
         print(\"open\", flush=True)\nwhile not os.path.exists(sys.argv[2]): time.sleep(0.01)\n\
         print(len(os.listdir(directory)), flush=True)\n' '{directory}' '{}'",
        go.display()
    );
    let mut reader = RunningCommand::shell(&rig, &line);
    wait_until(SOON, "the directory is open", || reader.output().contains("open"));
    rig.cloud.remove_meeting(CHANGING);
    refresh(&rig);
    std::fs::write(&go, "").expect("a file");
    assert!(reader.end(SOON).0.success(), "{}", reader.output());
    assert!(
        reader.output().contains("open\n2\n"),
        "what was there when it was opened: {}",
        reader.output()
    );
    let gone = text(&rig.try_shell(&format!("stat '{meeting}'"), SOON));
    assert!(gone.contains("No such file"), "{gone}");
    assert_eq!(topics(&rig, "acme"), "Other ");
}
