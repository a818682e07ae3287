//! Jumps of the system clock while an archive is mounted.

use std::path::PathBuf;
use std::process::Command;
use std::time::Instant;

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, ToSpan};
use meetfs::demo_cloud::{
    Archive, Content, DemoCloudOptions, Meeting, MeetingFile, Object, Server,
};

use crate::support::processes::RunningCommand;
use crate::support::{COMMAND_TIMEOUT, Rig, run, text, wait_until};

const LENGTH: u64 = 40 << 20;

/// Days until the provider deletes the last recording.
const DAYS_LEFT: i64 = 5;

/// A clock that the test can set, for the commands that use it. The monotonic clock is the real
/// one, as after a jump of the system clock. The demo server uses the real clock.
struct Clock {
    library: PathBuf,
    offset_file: PathBuf,
}

impl Clock {
    fn new(rig: &Rig) -> Self {
        let directories = std::fs::read_dir("/usr/lib").expect("libraries").flatten();
        let mut paths = directories.map(|it| it.path().join("faketime/libfaketimeMT.so.1"));
        let library = paths.find(|path| path.exists()).expect("libfaketime");
        let clock = Self { library, offset_file: rig.directory.path().join("clock") };
        clock.set(0);
        clock
    }

    /// Sets the clock to the real time plus a number of hours.
    fn set(&self, hours: i64) {
        let new_file = self.offset_file.with_extension("new");
        std::fs::write(&new_file, format!("{:+}\n", hours * 3600)).expect("a file");
        std::fs::rename(new_file, &self.offset_file).expect("a file");
    }

    /// Runs a command that must succeed, and the daemon that it starts, with this clock.
    fn run(&self, command: &mut Command) -> String {
        command.env("LD_PRELOAD", &self.library).env("FAKETIME_TIMESTAMP_FILE", &self.offset_file);
        command.env("FAKETIME_NO_CACHE", "1").env("NO_FAKE_STAT", "1").env("TZ", "UTC");
        command.env("DONT_FAKE_MONOTONIC", "1").env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
        let output = run(command, COMMAND_TIMEOUT);
        assert!(output.status.success(), "{}", text(&output));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }
}

fn mounted_rig() -> (Rig, Clock) {
    let names = ["0", "1", "2", "3", "4"].map(|name| (name, LENGTH));
    let mut archive = Archive::with_pattern_files(&names);
    let today = TimeZone::UTC.to_datetime(Timestamp::now()).date();
    for meeting in &mut archive.meetings {
        meeting.auto_delete_date = Some(today.saturating_add(DAYS_LEFT.days()));
    }
    let options = DemoCloudOptions {
        archive,
        bytes_per_second: Some(2_000_000),
        ..DemoCloudOptions::default()
    };
    let rig = Rig::new(options).with("connections = 8");
    let clock = Clock::new(&rig);
    rig.write_config(&rig.config());
    clock.run(&mut rig.mount_command());
    (rig, clock)
}

fn object(rig: &Rig, topic: &str) -> Object {
    rig.cloud.objects().into_iter().find(|object| object.topic == topic).expect("an object")
}

fn requests_for_url(rig: &Rig, object: &Object) -> usize {
    let requests = rig.cloud.requests();
    let for_file = requests.iter().filter(|request| request.path == object.web_path);
    for_file.filter(|request| request.server == Server::Web).count()
}

/// Asserts that a new meeting appears after a refresh, and that the daemon uses the clock.
fn assert_listing_continues(rig: &Rig, clock: &Clock, hours: i64) {
    let topic = format!("After {hours}");
    let start = Timestamp::now() - SignedDuration::from_hours(3);
    let text = Content::Stored(format!("hello {topic}\n").into());
    rig.cloud.add_meeting(
        Meeting::new(&format!("{topic}=="), &topic, start)
            .with_file(MeetingFile::new("CHAT", text)),
    );
    clock.run(rig.meetfs().arg("refresh").arg(&rig.mountpoint));
    assert_eq!(rig.shell(&format!("cat acme/*/*'{topic}'/chat.txt")), format!("hello {topic}\n"));
    let source = &rig.status()["sources"][0];
    assert_eq!((&source["error"], &source["incomplete"]), (&().into(), &serde_json::json!([])));
    let listed: Timestamp =
        source["listed"].as_str().and_then(|it| it.parse().ok()).expect("a time");
    let offset = listed.duration_since(Timestamp::now()) - SignedDuration::from_hours(hours);
    assert!(offset.abs() < SignedDuration::from_mins(10), "{listed}: not the clock of the test");
}

fn assert_days_left(rig: &Rig, clock: &Clock, hours: i64) {
    let now = Timestamp::now() + SignedDuration::from_hours(hours);
    let json = clock.run(rig.meetfs().args(["expiring", "--json"]).arg(&rig.mountpoint));
    let files: serde_json::Value = serde_json::from_str(&json).expect("JSON");
    let expires: Timestamp =
        files[0]["expires"].as_str().and_then(|it| it.parse().ok()).expect("a time");
    let date = |time: Timestamp| TimeZone::UTC.to_datetime(time).date();
    let days = date(now).until(date(expires)).expect("days").get_days();
    assert_eq!(files[0]["days_left"], days, "{json}");
}

#[test]
fn clock_jumps_do_not_disturb_a_mount() {
    let (rig, clock) = mounted_rig();
    for (number, hours) in [1, 0, -1, 2, 0].into_iter().enumerate() {
        let object = object(&rig, &number.to_string());
        rig.cloud.clear_requests();
        let start = Instant::now();
        let line = format!("exec sha256sum \"$M\"/acme/*/*' {number}'/*.mp4");
        let mut copy = RunningCommand::outside(&rig, &line);
        wait_until(COMMAND_TIMEOUT, "a part of the video is transferred", || {
            rig.media_bytes() > 2_000_000
        });
        clock.set(hours);
        assert!(rig.media_bytes() < LENGTH / 2, "the copy is in progress");
        copy.end(COMMAND_TIMEOUT);
        assert!(copy.output().starts_with(&object.sha256()), "{}\n{}", copy.output(), rig.log());
        // Without a limit, each of the many range requests would need its own URL.
        let (urls, ranges) = (requests_for_url(&rig, &object), rig.media_requests().len());
        eprintln!("{hours:+} h: {urls} signed URLs for {ranges} range requests");
        assert!(ranges > 10, "{ranges}");
        assert!(urls as u64 <= 2 + start.elapsed().as_secs(), "{urls} URLs for {ranges} requests");

        // The provider ends tokens and URLs on its own clock.
        rig.cloud.expire_tokens();
        rig.cloud.expire_signed_urls();
        assert_listing_continues(&rig, &clock, hours);
        assert_days_left(&rig, &clock, hours);
    }
    assert_eq!(rig.status()["reads"]["failures"], 0, "{}", rig.log());
    rig.unmount();
}
