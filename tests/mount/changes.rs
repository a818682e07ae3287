//! Changes at the three providers while they are mounted and a file is open.

use std::path::PathBuf;

use crate::support::processes::RunningCommand;
use crate::support::{COMMAND_TIMEOUT, Rig, run, text, wait_until};
use jiff::{SignedDuration, Timestamp};
use meetfs::demo_cloud::{
    Archive, Content, DemoCloudOptions, Meeting, MeetingFile, RapatinSession, RapatinStatus,
    WebexArchive, WebexRecording,
};

const LENGTH: u64 = 30_000_000;
const TRIMMED: u64 = 20_000_000;

/// The directory names of the sources, one for each provider.
const SOURCES: [&str; 3] = ["acme", "cisco", "rapat"];

/// The ids of the changing meeting and of the unchanged meeting.
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
        .with_file(MeetingFile::new("MP4", film(seed, LENGTH)))
        .with_file(MeetingFile::new("CHAT", stored("hello\n")))
}

fn webex(id: &str, topic: &str, seed: u64) -> WebexRecording {
    let mut recording = WebexRecording::new(id, topic, hours_ago(30));
    recording.video = film(seed, LENGTH);
    recording.transcript = None;
    recording
}

fn rapatin(uuid: &str, topic: &str, seed: u64) -> RapatinSession {
    RapatinSession::new(uuid, &format!("8{seed}"), topic, hours_ago(30))
        .with_file(MeetingFile::new("MP4", film(seed, LENGTH)))
        .with_file(MeetingFile::new("CHAT", stored("hello\n")))
}

/// Mounts three sources, each with a meeting of 30 MB that changes and one that does not.
fn rig() -> Rig {
    let mut archive = Archive::empty();
    archive.meetings = vec![zoom(CHANGING, "Before", 1), zoom(OTHER, "Other", 2)];
    let recordings = vec![webex(CHANGING, "Before", 3), webex(OTHER, "Other", 4)];
    let rig = Rig::new(DemoCloudOptions {
        archive,
        webex_archive: WebexArchive { recordings, ..WebexArchive::empty() },
        rapatin_sessions: vec![rapatin(CHANGING, "Before", 5), rapatin(OTHER, "Other", 6)],
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
    let output = run(&mut rig.mount_command(), COMMAND_TIMEOUT);
    assert!(output.status.success(), "{}\n{}", text(&output), rig.log());
    wait_until(COMMAND_TIMEOUT, "all details have arrived", || {
        rig.shell("find . -name meeting.json -o -name audio_only.mp3 | wc -l").trim() == "8"
    });
    rig
}

fn refresh(rig: &Rig) {
    let output = run(rig.meetfs().arg("refresh").arg(&rig.mountpoint), COMMAND_TIMEOUT);
    assert!(output.status.success(), "{}\n{}", text(&output), rig.log());
}

/// Returns the current video of the changing meeting at its provider.
fn video(rig: &Rig, source: &str) -> Content {
    match source {
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
                .find(|object| object.recording_id == CHANGING)
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

/// Changes the meeting at all three providers.
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

/// Returns the topics in the directory names of a source.
fn topics(rig: &Rig, source: &str) -> String {
    rig.shell(&format!("ls {source}/2* | sed 's/.* //'")).replace('\n', " ")
}

/// A process that has opened the video of the changing meeting and read its beginning. It reads the
/// rest of the video on request.
struct Reader {
    source: &'static str,
    before: String,
    process: RunningCommand,
    request: PathBuf,
}

impl Reader {
    fn open(rig: &Rig, source: &'static str) -> Self {
        Self::open_and_read(rig, source, 100_000)
    }

    fn open_and_read(rig: &Rig, source: &'static str, length: u64) -> Self {
        let request = rig.directory.path().join(format!("continue {source}"));
        let line = format!(
            "exec 3< \"$(echo \"$M\"/{source}/*/*Before/*.mp4)\"; head -c {length} <&3 > '{0}.beginning'; echo open; \
             while [ ! -e '{0}' ]; do sleep 0.05; done; cat '{0}.beginning' - <&3 | sha256sum; \
             echo \"status ${{PIPESTATUS[0]}}\"",
            request.display()
        );
        let (before, process) = (video(rig, source).sha256(), RunningCommand::outside(rig, &line));
        let reader = Self { source, before, process, request };
        wait_until(COMMAND_TIMEOUT, "the file is open", || {
            reader.process.output().contains("open")
        });
        reader
    }

    fn open_all(rig: &Rig) -> [Self; 3] {
        SOURCES.map(|source| Self::open(rig, source))
    }

    /// Reads the rest of the video. Returns whether the process reached the end of the file. If it
    /// did, the bytes are those at the time of the open.
    fn finish(mut self) -> bool {
        std::fs::write(&self.request, "").expect("a file");
        self.process.end(COMMAND_TIMEOUT);
        let output = self.process.output();
        let sum = output.lines().find(|line| line.ends_with(" -")).unwrap_or_default().to_owned();
        let is_whole = output.contains("status 0");
        let is_right = sum.trim_end_matches(" -").trim() == self.before;
        assert_eq!(is_whole, is_right, "{}: a mixture or a part was read: {output}", self.source);
        is_whole
    }
}

#[test]
fn new_topic_renames_without_interrupting_readers() {
    let rig = rig();
    let numbers =
        |topic: &str| rig.shell(&format!("stat -c '%i %s %Y' */*/*{topic} */*/*{topic}/*.mp4"));
    let before = numbers("Before");
    let readers = Reader::open_all(&rig);
    let after = || "After".to_owned();
    change(&rig, |it| it.topic = after(), |it| it.topic = after(), |it| it.topic = after());
    refresh(&rig);
    for source in SOURCES {
        assert_eq!(topics(&rig, source), "After Other ", "{source}");
    }
    assert_eq!(numbers("After"), before, "the files are the same");
    assert_eq!(rig.shell("cat acme/*/*After/chat.txt rapat/*/*After/chat.txt"), "hello\nhello\n");
    for reader in readers {
        assert!(reader.finish(), "{}", rig.log());
    }
    rig.unmount();
}

#[test]
fn trimmed_video_is_never_mixed_with_old_one() {
    let rig = rig();
    // Small files are cached before the change.
    rig.shell("cat cisco/*/*Before/audio_only.mp3 */*/*Before/chat.txt | wc -c");
    let readers = Reader::open_all(&rig);
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
    for source in SOURCES {
        let path = format!("{source}/*/*Before/*.mp4");
        assert_eq!(
            rig.shell(&format!("stat -c %s {path}")).trim(),
            TRIMMED.to_string(),
            "{source}"
        );
        let sum = rig.shell(&format!("sha256sum < {path}"));
        assert!(sum.starts_with(&video(&rig, source).sha256()), "{source}: {sum}");
    }
    wait_until(COMMAND_TIMEOUT, "the audio has its new length", || {
        rig.shell("cat cisco/*/*Before/audio_only.mp3 2>/dev/null | wc -c").trim() == "7000"
    });
    let sum = rig.shell("sha256sum < cisco/*/*Before/audio_only.mp3");
    assert!(sum.starts_with(&film(11, 7_000).sha256()), "{sum}");
    let all = rig.shell("sha256sum */*/*Before/* | sed 's/ .*//' | sort");
    for reader in readers {
        reader.finish();
    }
    rig.unmount();
    let output = run(&mut rig.mount_command(), COMMAND_TIMEOUT);
    assert!(output.status.success(), "{}", text(&output));
    assert_eq!(rig.shell("sha256sum */*/*Before/* | sed 's/ .*//' | sort"), all);
    rig.unmount();
}

#[test]
fn new_version_is_read_while_the_old_url_works() {
    let rig = rig();
    let path = "acme/*/*Before/*.mp4";
    let before = rig.shell(&format!("sha256sum < {path}"));
    assert!(before.starts_with(&film(1, LENGTH).sha256()), "{before}");
    let trim = |it: &mut Meeting| {
        let video = &mut it.files[0];
        video.content = film(9, TRIMMED);
        video.recording_end -= SignedDuration::from_mins(10);
        video.revision += 1;
    };
    assert!(rig.cloud.change_meeting(CHANGING, trim));
    refresh(&rig);
    let expect_new = || {
        assert_eq!(rig.shell(&format!("stat -c %s {path}")).trim(), TRIMMED.to_string());
        let sum = rig.shell(&format!("sha256sum < {path}"));
        assert!(sum.starts_with(&film(9, TRIMMED).sha256()), "{sum}\n{}", rig.log());
    };
    expect_new();
    rig.unmount();
    let output = run(&mut rig.mount_command(), COMMAND_TIMEOUT);
    assert!(output.status.success(), "{}", text(&output));
    expect_new();
    rig.unmount();
}

#[test]
fn shorter_length_does_not_end_an_open_file() {
    /// Longer than what is fetched before it is read.
    const LONG: u64 = 400_000_000;
    let path = "acme/*/*Before/*.mp4";
    let mut archive = Archive::empty();
    let video = MeetingFile::new("MP4", film(1, LONG));
    archive.meetings = vec![Meeting::new(CHANGING, "Before", hours_ago(30)).with_file(video)];
    let rig = Rig::mounted(DemoCloudOptions { archive, ..DemoCloudOptions::default() });
    let reader = Reader::open_and_read(&rig, "acme", TRIMMED);
    // The listing keeps the old length. The next program that reads the end finds the new one.
    assert!(rig.cloud.change_meeting(CHANGING, |it| it.files[0].content = film(9, TRIMMED)));
    let read_end = format!("tail -c 1000 \"$(echo {path})\" > /dev/null; sha256sum < {path}");
    wait_until(COMMAND_TIMEOUT, "the new content is read", || {
        rig.shell(&read_end).starts_with(&film(9, TRIMMED).sha256())
    });
    rig.shell(&format!("stat {path}"));
    assert!(!reader.finish(), "the bytes after the new end are gone");
    wait_until(COMMAND_TIMEOUT, "the file has its new length", || {
        rig.shell(&format!("stat -c %s {path}")).trim() == TRIMMED.to_string()
    });
    rig.unmount();
}

#[test]
fn deleted_meeting_is_never_read_in_part() {
    let rig = rig();
    let readers = Reader::open_all(&rig);
    rig.cloud.remove_meeting(CHANGING);
    rig.cloud.purge_webex_recording(CHANGING);
    rig.cloud.change_rapatin_session(CHANGING, |session| session.status = RapatinStatus::Deleted);
    refresh(&rig);
    for source in SOURCES {
        assert_eq!(topics(&rig, source), "Other ", "{source}");
    }
    for reader in readers {
        reader.finish();
    }
    for source in SOURCES {
        assert_eq!(
            rig.shell(&format!("cat {source}/*/*Other/*.mp4 | wc -c")).trim(),
            LENGTH.to_string()
        );
    }
    rig.unmount();
}

/// A process that lists its working directory until an entry matches.
fn waiting_process(rig: &Rig, directory: &str, pattern: &str) -> RunningCommand {
    let line = format!(
        "cd \"$(echo \"$M\"/{directory})\" && ls | wc -l; echo ready; \
         for i in $(seq 300); do ls | grep -q '{pattern}' && exit 0; sleep 0.1; done; exit 1"
    );
    let process = RunningCommand::outside(rig, &line);
    wait_until(COMMAND_TIMEOUT, "the process is in the directory", || {
        process.output().contains("ready")
    });
    process
}

#[test]
fn new_recording_appears_in_a_working_directory() {
    let rig = rig();
    let readers = Reader::open_all(&rig);
    let processes = SOURCES.map(|source| waiting_process(&rig, &format!("{source}/2*"), "New"));
    rig.cloud.add_meeting(zoom("bmV3==", "New", 21));
    rig.cloud.add_webex_recording(webex("bmV3", "New", 22));
    rig.cloud.add_rapatin_session(rapatin("bmV3==", "New", 23));
    refresh(&rig);
    for mut process in processes {
        assert!(process.end(COMMAND_TIMEOUT).0.success(), "{}", process.output());
    }
    for (source, seed) in SOURCES.into_iter().zip(21..) {
        let sum = rig.shell(&format!("sha256sum < {source}/*/*New/*.mp4"));
        assert!(sum.starts_with(&film(seed, LENGTH).sha256()), "{source}: {sum}");
    }
    for reader in readers {
        assert!(reader.finish(), "{}", rig.log());
    }
    rig.unmount();
}

#[test]
fn late_transcript_appears_beside_its_video() {
    const SPOKEN: &str = "WEBVTT\n\n1\n00:00:01.000 --> 00:00:04.000\nBetter late than never.\n";
    let rig = rig();
    let files = "find */*/*Before -type f ! -name meeting.json ! -name '*.vtt' -printf '%p %s %T@ %i\\n' | LC_ALL=C sort";
    let before = rig.shell(files);
    let readers = Reader::open_all(&rig);
    let processes =
        SOURCES.map(|source| waiting_process(&rig, &format!("{source}/*/*Before"), "vtt$"));
    let late = || MeetingFile::new("TRANSCRIPT", stored(SPOKEN));
    change(
        &rig,
        |it| *it = it.clone().with_file(late()),
        |it| it.stored_transcript = Some(stored(SPOKEN)),
        |it| *it = it.clone().with_file(late()),
    );
    refresh(&rig);
    for mut process in processes {
        assert!(process.end(COMMAND_TIMEOUT).0.success(), "{}\n{}", process.output(), rig.log());
    }
    for source in SOURCES {
        let path = format!("{source}/*/*Before/*.vtt");
        assert_eq!(rig.shell(&format!("cat {path}")), SPOKEN, "{source}");
        let video = rig.shell(&format!("ls {source}/*/*Before/*.mp4")).replace(".mp4", ".vtt");
        assert_eq!(
            rig.shell(&format!("ls {path}")),
            video,
            "players expect the transcript at this path"
        );
    }
    assert_eq!(rig.shell(files), before);
    for reader in readers {
        assert!(reader.finish(), "{}", rig.log());
    }
    rig.unmount();
}

#[test]
fn old_directory_handle_restores_no_entry() {
    let rig = rig();
    let meeting = rig.shell("ls -d acme/2*/*Before").trim().to_owned();
    let (directory, _) = meeting.rsplit_once('/').expect("a directory");
    let request = rig.directory.path().join("continue");
    let line = format!(
        "python3 -c '\nimport os, sys, time\ndirectory = os.open(sys.argv[1], os.O_RDONLY | os.O_DIRECTORY)\n\
         print(\"open\", flush=True)\nwhile not os.path.exists(sys.argv[2]): time.sleep(0.01)\n\
         print(len(os.listdir(directory)), flush=True)\n' '{directory}' '{}'",
        request.display()
    );
    let mut reader = RunningCommand::shell(&rig, &line);
    wait_until(COMMAND_TIMEOUT, "the directory is open", || reader.output().contains("open"));
    rig.cloud.remove_meeting(CHANGING);
    refresh(&rig);
    std::fs::write(&request, "").expect("a file");
    assert!(reader.end(COMMAND_TIMEOUT).0.success(), "{}", reader.output());
    assert!(
        reader.output().contains("open\n2\n"),
        "the entries are those from the time of the open: {}",
        reader.output()
    );
    let output = text(&rig.try_shell(&format!("stat '{meeting}'"), COMMAND_TIMEOUT));
    assert!(output.contains("No such file"), "{output}");
    assert_eq!(topics(&rig, "acme"), "Other ");
}
