//! The recycle bins of Zoom and Webex: when they expire, and what can be downloaded from them.

use crate::support::processes::RunningCommand;
use crate::support::{COMMAND_TIMEOUT, Rig, isolated, run, text, wait_until};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use meetfs::demo_cloud::{
    Archive, Content, DemoCloudOptions, Effect, Meeting, MeetingFile, Server, Trigger, User,
    WebexArchive, WebexRecording,
};
use serde_json::Value;

const TRASHED: &str = "/Z29uZQ//==";
const LENGTH: u64 = 3_000_000;

fn hours_ago(hours: i64) -> Timestamp {
    let now = Timestamp::from_second(Timestamp::now().as_second()).expect("a time");
    now - SignedDuration::from_hours(hours)
}

fn days(days: i64) -> SignedDuration {
    SignedDuration::from_hours(24 * days)
}

fn meeting(uuid: &str, topic: &str) -> Meeting {
    let seed = topic.len() as u64;
    Meeting::new(uuid, topic, hours_ago(30))
        .with_file(MeetingFile::new("MP4", Content::Pattern { seed, length: LENGTH }))
        .with_file(MeetingFile::new("CHAT", Content::Stored(format!("hello {topic}\n").into())))
}

fn options(is_trash_served: bool) -> DemoCloudOptions {
    let mut archive = Archive::empty();
    archive.meetings = vec![meeting(TRASHED, "Gone"), meeting("c3RheXM==", "Stays")];
    DemoCloudOptions { archive, is_trash_served, ..DemoCloudOptions::default() }
}

fn refresh(rig: &Rig) {
    let output = run(rig.meetfs().arg("refresh").arg(&rig.mountpoint), COMMAND_TIMEOUT);
    assert!(output.status.success(), "{}\n{}", text(&output), rig.log());
}

/// Returns the names in a directory in one line.
fn names(rig: &Rig, directory: &str) -> String {
    rig.shell(&format!("ls {directory} 2>/dev/null | tr '\\n' ' ' || true")).trim_end().to_owned()
}

/// Waits until all files of a directory in the recycle bin have been probed.
fn wait_for_files(rig: &Rig, directory: &str, expected: &str) {
    wait_until(COMMAND_TIMEOUT, &format!("{directory} has {expected}"), || {
        names(rig, directory) == expected
    });
}

fn expiring(rig: &Rig, words: &[&str]) -> (Option<i32>, String) {
    let output = run(&mut isolated(rig, rig.meetfs().arg("expiring").args(words)), COMMAND_TIMEOUT);
    (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
}

fn document(rig: &Rig, directory: &str) -> Value {
    serde_json::from_str(&rig.shell(&format!("cat {directory}/meeting.json"))).expect("JSON")
}

const REFUSED: &str = "chat.txt.unavailable.txt meeting.json participants.csv shared_screen_with_speaker_view.mp4.unavailable.txt";

#[test]
fn refused_zoom_trash_is_explained() {
    let rig = Rig::mounted(options(false));
    let backup = rig.directory.path().join("backup");
    rig.shell(&format!("rsync -a acme/ '{}/'", backup.display()));
    let deleted = hours_ago(24 * 10);
    assert!(rig.cloud.trash_meeting(TRASHED, deleted));
    refresh(&rig);
    assert_eq!(rig.shell("ls -d acme/2*/*Gone 2>/dev/null | wc -l"), "0\n");
    wait_for_files(&rig, "acme/trash/*Gone", REFUSED);
    let expires = deleted + days(30);
    let day = TimeZone::UTC.to_datetime(expires).date();
    let output = rig.shell("cat acme/trash/*Gone/chat.txt.unavailable.txt");
    let reason = "It is in Zoom's recycle bin, which does not allow downloads. Zoom refuses this \
                  download: ";
    for words in [reason, "a web page", "Recordings > Trash", &format!("by {day},")] {
        assert!(output.contains(words), "{words}: {output}");
    }
    let json = document(&rig, "acme/trash/*Gone");
    assert_eq!(json["expires"], expires.to_string());
    assert_eq!(json["deleted_time"], deleted.to_string());
    assert_eq!(json["topic"], "Gone");
    let python = "import os,sys\n\
        for path in sys.argv[1:]: print(os.getxattr(path, 'user.meetfs.expires').decode())";
    let output = rig.shell(&format!("python3 -c \"{python}\" acme/trash/*Gone acme/trash/*Gone/*"));
    assert_eq!(output, format!("{expires}\n").repeat(5));
    assert_eq!(rig.status()["sources"][0]["in_trash"], 1);
    assert_eq!(rig.status()["sources"][0]["meetings"], 1);

    let (code, output) = expiring(&rig, &["--within", "20d", "--json"]);
    let output: Value = serde_json::from_str(&output).expect("JSON");
    assert_eq!((code, output.as_array().map(Vec::len)), (Some(0), Some(2)), "{output}");
    for file in output.as_array().into_iter().flatten() {
        assert_eq!(
            (&file["in_trash"], &file["is_readable"], &file["days_left"]),
            (&true.into(), &false.into(), &20.into()),
            "{file}"
        );
    }
    let (_, output) = expiring(&rig, &[]);
    assert_eq!(output.matches("20 days").count(), 2, "{output}");
    assert_eq!(
        output.matches("(in the recycle bin, which does not allow downloads;").count(),
        2,
        "{output}"
    );
    // A backup from before the deletion counts.
    let directory = backup.to_str().expect("a path");
    assert_eq!(expiring(&rig, &["--not-in", directory]), (Some(0), String::new()));
    rig.shell(&format!("rm -r '{directory}'/2*/*Gone/chat.txt"));
    // A file that cannot be downloaded is listed, but the backup does not count as incomplete.
    let (code, output) = expiring(&rig, &["--not-in", directory]);
    assert!(
        code == Some(0) && output.lines().count() == 1 && output.contains("chat.txt"),
        "{output}"
    );

    // Nothing is probed or copied twice, even after restarts and without the provider.
    let rsync = format!("rsync -a --itemize-changes acme/trash/ '{directory}/trash/'");
    assert!(rig.shell(&rsync).lines().count() >= 4);
    assert_eq!(rig.shell(&rsync), "");
    let listed = rig.shell("find acme/trash -printf '%p %s %T@ %i\\n' | LC_ALL=C sort");
    rig.unmount();
    rig.cloud.clear_requests();
    rig.mount();
    assert_eq!(rig.shell("find acme/trash -printf '%p %s %T@ %i\\n' | LC_ALL=C sort"), listed);
    refresh(&rig);
    assert_eq!(rig.shell(&rsync), "");
    let probes = rig.cloud.requests().into_iter().filter(|it| it.server != Server::Api).count();
    assert_eq!(probes, 0, "{:?}", rig.cloud.requests());
    rig.unmount();
    for server in [Server::Api, Server::Web, Server::Media] {
        rig.cloud.inject(Trigger::always(server).with_effect(Effect::BlackHole));
    }
    rig.mount();
    assert_eq!(rig.shell("find acme/trash -printf '%p %s %T@ %i\\n' | LC_ALL=C sort"), listed);
    rig.unmount();
}

#[test]
fn downloadable_zoom_trash_has_its_own_files() {
    let rig = Rig::mounted(options(true));
    let numbers = "stat -c %i acme/*/*Gone acme/*/*Gone/*.mp4 acme/*/*Gone/chat.txt";
    let (before, sum) =
        (rig.shell(numbers), rig.shell("sha256sum < \"$(echo acme/2*/*Gone/*.mp4)\""));
    assert!(rig.cloud.trash_meeting(TRASHED, hours_ago(2)));
    refresh(&rig);
    wait_for_files(
        &rig,
        "acme/trash/*Gone",
        "chat.txt meeting.json participants.csv shared_screen_with_speaker_view.mp4",
    );
    let after = rig.shell(numbers);
    assert!(
        before.lines().all(|number| !after.lines().any(|other| other == number)),
        "{before}{after}"
    );
    let media = rig.media_bytes();
    assert_eq!(rig.shell("sha256sum < \"$(echo acme/trash/*Gone/*.mp4)\""), sum);
    assert!(rig.media_bytes() >= media + LENGTH, "cached blocks of the listed meeting were used");
    assert_eq!(rig.shell("cat acme/trash/*Gone/chat.txt"), "hello Gone\n");
    let backup = rig.directory.path().join("backup");
    let rsync = format!("rsync -a --itemize-changes acme/ '{}/'", backup.display());
    rig.shell(&rsync);
    assert_eq!(rig.shell(&rsync), "");
    rig.unmount();
    rig.mount();
    rig.cloud.clear_requests();
    assert_eq!(rig.shell(&rsync), "");
    assert!(rig.media_requests().is_empty(), "{:?}", rig.media_requests());
    let (code, output) =
        expiring(&rig, &["--not-in", backup.to_str().expect("a path"), "--checksum"]);
    assert_eq!((code, output.as_str()), (Some(0), ""));

    // Restored to its original directory with its original inode numbers.
    assert!(rig.cloud.restore_meeting(TRASHED));
    refresh(&rig);
    assert_eq!(rig.shell(numbers), before);
    assert_eq!(
        rig.shell("ls acme"),
        format!("{}\n", TimeZone::UTC.to_datetime(hours_ago(30)).year())
    );
    assert_eq!(rig.status()["sources"][0]["in_trash"], 0);
    // Deleted again, permanently.
    assert!(rig.cloud.trash_meeting(TRASHED, hours_ago(1)));
    refresh(&rig);
    wait_for_files(
        &rig,
        "acme/trash/*Gone",
        "chat.txt meeting.json participants.csv shared_screen_with_speaker_view.mp4",
    );
    assert!(rig.cloud.purge_meeting(TRASHED));
    refresh(&rig);
    assert_eq!(rig.shell("find acme | grep -c Gone || true"), "0\n");
    rig.unmount();
}

#[test]
fn partly_trashed_meeting_keeps_its_other_files() {
    let rig = Rig::new(options(false)).with_source("users = [\"all\"]");
    rig.mount();
    let listed = rig.shell("find acme/2*/*Gone -type f -printf '%p %s %i\\n' | LC_ALL=C sort");
    assert!(rig.cloud.trash_files(TRASHED, "CHAT", hours_ago(48)));
    refresh(&rig);
    wait_for_files(
        &rig,
        "acme/trash/*Gone",
        "chat.txt.unavailable.txt meeting.json participants.csv",
    );
    assert_eq!(
        names(&rig, "acme/2*/*Gone"),
        "meeting.json participants.csv shared_screen_with_speaker_view.mp4"
    );
    // A restored file leaves the recycle bin, even if that cannot be listed.
    assert!(rig.cloud.restore_meeting(TRASHED));
    rig.cloud.inject(
        Trigger::always(Server::Api).with_path("/v2/users").with_effect(Effect::status(404)),
    );
    refresh(&rig);
    assert!(rig.status()["sources"][0]["trash_error"].is_object());
    assert_eq!(
        rig.shell("find acme/2*/*Gone -type f -printf '%p %s %i\\n' | LC_ALL=C sort"),
        listed
    );
    assert_eq!(names(&rig, "acme/trash"), "");
    rig.unmount();
}

#[test]
fn trashed_transcript_is_named_after_its_video() {
    let mut cloud = options(false);
    let spoken = MeetingFile::new("TRANSCRIPT", Content::Stored("WEBVTT\n\nhello\n".into()));
    cloud.archive.meetings[0] = cloud.archive.meetings[0].clone().with_file(spoken);
    let rig = Rig::mounted(cloud);
    let backup = rig.directory.path().join("backup");
    rig.shell(&format!("rsync -a acme/ '{}/'", backup.display()));
    assert!(rig.cloud.trash_files(TRASHED, "TRANSCRIPT", hours_ago(48)));
    refresh(&rig);
    let note = "meeting.json participants.csv shared_screen_with_speaker_view.vtt.unavailable.txt";
    wait_for_files(&rig, "acme/trash/*Gone", note);
    let directory = backup.to_str().expect("a path");
    assert_eq!(expiring(&rig, &["--not-in", directory]), (Some(0), String::new()));
    rig.unmount();
}

#[test]
fn refusal_is_probed_again_after_a_day() {
    let rig = Rig::mounted(options(false));
    assert!(rig.cloud.trash_meeting(TRASHED, hours_ago(24 * 3)));
    refresh(&rig);
    wait_for_files(&rig, "acme/trash/*Gone", REFUSED);
    rig.unmount();
    rig.cloud.set_trash_served(true);
    let age_probes = || {
        let catalog = rig.directory.path().join("cache/catalog.sqlite");
        let catalog = rusqlite::Connection::open(catalog).expect("the catalog");
        let aged = catalog.execute("UPDATE trashed_file SET at = at - 25 * 3600", []);
        assert_eq!(aged.expect("probes"), 2);
    };
    // The refusal is cached for a day.
    rig.mount();
    refresh(&rig);
    assert_eq!(names(&rig, "acme/trash/*Gone"), REFUSED);
    rig.unmount();
    age_probes();
    rig.mount();
    wait_for_files(
        &rig,
        "acme/trash/*Gone",
        "chat.txt meeting.json participants.csv shared_screen_with_speaker_view.mp4",
    );
    assert_eq!(rig.shell("cat acme/trash/*Gone/chat.txt"), "hello Gone\n");
    assert_eq!(rig.shell("cat acme/trash/*Gone/*.mp4 | wc -c").trim(), LENGTH.to_string());
    rig.unmount();
    // A file that could be downloaded once is not probed again.
    rig.cloud.set_trash_served(false);
    age_probes();
    rig.cloud.clear_requests();
    rig.mount();
    refresh(&rig);
    assert_eq!(rig.shell("cat acme/trash/*Gone/chat.txt"), "hello Gone\n");
    let probes = rig.cloud.requests().into_iter().filter(|it| it.server != Server::Api).count();
    assert_eq!(probes, 0, "{:?}", rig.cloud.requests());
    rig.unmount();
}

#[test]
fn account_trash_failure_is_reported_once() {
    let mut cloud = options(false);
    let mut other = meeting("b3RoZXI==", "Other");
    other.host_email = "ben@example.org".into();
    cloud.archive.meetings.push(other);
    let ben = User::new_active("hostBen", "ben@example.org", "Ben", "B");
    cloud.archive.users.push(User { status: "inactive", ..ben });
    let rig = Rig::new(cloud).with_source("users = [\"all\"]");
    assert!(
        rig.cloud.trash_meeting(TRASHED, hours_ago(2))
            && rig.cloud.trash_meeting("b3RoZXI==", hours_ago(2))
    );
    rig.mount();
    wait_for_files(&rig, "acme/trash/*Gone", REFUSED);
    wait_for_files(&rig, "acme/trash/*Other", REFUSED);
    assert_eq!(rig.shell("ls acme/2*").lines().count(), 1);
    // While the recycle bin cannot be listed, it is shown unchanged.
    let scopes = r#"{"code":4711,"message":"Invalid access token, does not contain scopes:[user:read:list_users:admin]."}"#;
    let refused = Effect::Status {
        status: 400,
        body: scopes.into(),
        content_type: "application/json".into(),
        headers: Vec::new(),
    };
    rig.cloud.inject(Trigger::always(Server::Api).with_path("/v2/users").with_effect(refused));
    for _ in 0..2 {
        refresh(&rig);
        let source = rig.status()["sources"][0].clone();
        assert_eq!((&source["error"], &source["in_trash"]), (&Value::Null, &2.into()), "{source}");
        assert!(
            source["trash_error"].to_string().contains("user:read:list_users:admin"),
            "{source}"
        );
    }
    assert_eq!(rig.shell("ls acme/trash").lines().count(), 2);
    assert_eq!(rig.shell("ls acme/2*").lines().count(), 1);
    let reports = rig.log().matches("cannot list the recycle bin").count();
    assert_eq!(reports, 1, "{}", rig.log());
    let status = run(rig.meetfs().arg("status"), COMMAND_TIMEOUT);
    let status = String::from_utf8_lossy(&status.stdout).into_owned();
    assert!(status.contains("recycle bin incomplete: ") && !status.contains("FAILED"), "{status}");
    rig.cloud.clear_faults();
    refresh(&rig);
    assert_eq!(rig.status()["sources"][0]["trash_error"], Value::Null);
    rig.unmount();
}

#[test]
fn hanging_trash_delays_no_recording() {
    let rig = Rig::new(options(false)).with_source("users = [\"all\"]");
    rig.cloud
        .inject(Trigger::always(Server::Api).with_path("/v2/users").with_effect(Effect::BlackHole));
    rig.mount();
    let is_requested =
        || rig.cloud.requests().iter().any(|request| request.path.starts_with("/v2/users"));
    wait_until(COMMAND_TIMEOUT, "the recycle bin is requested", is_requested);
    let is_hanging = || rig.status()["sources"][0]["is_refreshing"] == true;
    assert!(is_hanging());
    rig.cloud.add_meeting(meeting("bmV3==", "New"));
    let mut command = RunningCommand::start(rig.meetfs().arg("refresh").arg(&rig.mountpoint));
    wait_until(COMMAND_TIMEOUT, "the recording appears", || {
        names(&rig, "acme/2*/*New").contains("chat.txt")
    });
    assert!(is_hanging(), "the recording waited for the recycle bin");
    assert_eq!(rig.status()["sources"][0]["error"], Value::Null);
    // The failure is reported, and the source is healthy.
    assert!(command.end(COMMAND_TIMEOUT).0.success(), "{}", command.output());
    let source = rig.status()["sources"][0].clone();
    assert!(source["trash_error"].is_object() && source["error"].is_null(), "{source}");
    rig.unmount();
}

#[test]
fn disabled_trash_is_never_requested() {
    let rig = Rig::new(options(true)).with_source("trash = false");
    assert!(rig.cloud.trash_meeting(TRASHED, hours_ago(2)));
    rig.mount();
    refresh(&rig);
    assert_eq!(names(&rig, "acme/trash"), "");
    let requests = rig.cloud.requests();
    assert!(requests.iter().all(|request| !request.query.contains("trash")), "{requests:?}");
    rig.unmount();
}

/// Opens a video, moves its meeting to the recycle bin, and reads the rest of the video. Returns
/// the output of the reader and the hash of the whole video.
fn read_while_trashing(is_trash_served: bool, length: u64, is_cached: bool) -> (String, String) {
    let mut cloud = options(is_trash_served);
    cloud.archive.meetings[0].files[0].content = Content::Pattern { seed: 9, length };
    let sum = cloud.archive.meetings[0].files[0].content.sha256();
    let rig = Rig::new(cloud).with("read_deadline = \"5s\"");
    rig.mount();
    if is_cached {
        let count = rig.shell("cat acme/2*/*Gone/*.mp4 | wc -c");
        assert_eq!(count.trim(), length.to_string());
    }
    let request = rig.directory.path().join("continue");
    let line = format!(
        "exec 3< \"$(echo \"$M\"/acme/2*/*Gone/*.mp4)\"; head -c 100000 <&3 > '{0}.part'; echo open; \
         while [ ! -e '{0}' ]; do sleep 0.05; done; cat <&3 >> '{0}.part'; echo \"status $?\"; \
         sha256sum < '{0}.part'",
        request.display()
    );
    let mut reader = RunningCommand::outside(&rig, &line);
    wait_until(COMMAND_TIMEOUT, "the file is open", || reader.output().contains("open"));
    assert!(rig.cloud.trash_meeting(TRASHED, hours_ago(0)));
    rig.cloud.expire_signed_urls();
    refresh(&rig);
    std::fs::write(&request, "").expect("a file");
    reader.end(COMMAND_TIMEOUT);
    let output = reader.output();
    drop(reader);
    rig.unmount();
    (output, sum)
}

#[test]
fn open_cached_file_survives_its_trashing() {
    for is_trash_served in [false, true] {
        let (output, sum) = read_while_trashing(is_trash_served, 20_000_000, true);
        assert!(output.contains("status 0") && output.contains(&sum), "{output}");
    }
}

#[test]
fn open_uncached_file_is_stale_after_trashing() {
    let (output, sum) = read_while_trashing(false, 600_000_000, false);
    assert!(output.contains("status 1") && output.contains("Stale file handle"), "{output}");
    assert!(!output.contains(&sum), "{output}");
    // If the recycle bin serves the file, it remains readable as long as its signed URL is
    // valid.
    let (output, sum) = read_while_trashing(true, 600_000_000, false);
    let is_stale = output.contains("status 1") && output.contains("Stale file handle");
    let is_complete = output.contains("status 0");
    assert!(is_stale != is_complete && is_complete == output.contains(&sum), "{output}");
}

/// Adds Webex as the source `cisco`. The Zoom source fails if `zoom_is_down`.
fn mount_webex(rig: &Rig, zoom_is_down: bool) {
    if zoom_is_down {
        rig.cloud.inject(Trigger::always(Server::Api).with_effect(Effect::status(500)));
    }
    rig.write_config(&format!(
        "{}\n[source.cisco]\nprovider = \"webex\"\ntoken = \"{}\"\napi_url = \"{}\"\noauth_url = \"{}\"\n",
        rig.config(),
        rig.cloud.webex_token(),
        rig.cloud.webex_api_url(),
        rig.cloud.webex_oauth_url(),
    ));
    let output = run(&mut rig.mount_command(), COMMAND_TIMEOUT);
    assert!(output.status.success(), "{}\n{}", text(&output), rig.log());
}

/// Refreshes while the Zoom source fails, so the command fails too.
fn refresh_despite_failure(rig: &Rig) {
    let output = run(rig.meetfs().arg("refresh").arg(&rig.mountpoint), COMMAND_TIMEOUT);
    assert!(!output.status.success(), "{}", text(&output));
}

fn webex(is_trash_served: bool) -> Rig {
    let recordings = [("aa11", "Gone"), ("bb22", "Stays")]
        .map(|(id, topic)| WebexRecording::new(id, topic, hours_ago(24 * 40)).with_video(LENGTH));
    let webex = WebexArchive { recordings: recordings.into(), ..WebexArchive::empty() };
    Rig::new(DemoCloudOptions {
        webex_archive: webex,
        is_trash_served,
        ..DemoCloudOptions::default()
    })
}

#[test]
fn refused_webex_recycle_bin_is_explained() {
    let rig = webex(false);
    assert!(rig.cloud.trash_webex_recording("aa11"));
    mount_webex(&rig, true);
    wait_for_files(&rig, "cisco/trash/*Gone", "meeting.json recording.mp4.unavailable.txt");
    let output = rig.shell("cat cisco/trash/*Gone/*.unavailable.txt");
    let day = TimeZone::UTC.to_datetime(Timestamp::now() + days(30)).date();
    for words in
        ["Webex's recycle bin", "Restore it on the Webex site", &format!("by {day} at the latest")]
    {
        assert!(output.contains(words), "{words}: {output}");
    }
    let json = document(&rig, "cisco/trash/*Gone");
    assert_eq!(
        (&json["expires_is_latest"], &json["deleted_time"]),
        (&true.into(), &Value::Null),
        "{json}"
    );
    assert!(json["expires"].is_string(), "{json}");
    assert_eq!(rig.shell("ls -d cisco/2*/*Gone 2>/dev/null | wc -l"), "0\n");
    wait_until(COMMAND_TIMEOUT, "the other recording is complete", || {
        names(&rig, "cisco/2*/*Stays").contains("audio_only.mp3")
    });

    assert!(rig.cloud.restore_webex_recording("aa11"));
    refresh_despite_failure(&rig);
    assert_eq!(names(&rig, "cisco/trash"), "");
    wait_for_files(
        &rig,
        "cisco/2*/*Gone",
        "audio_only.mp3 meeting.json recording.mp4 recording.vtt",
    );
    assert!(rig.cloud.trash_webex_recording("aa11"));
    refresh_despite_failure(&rig);
    wait_for_files(&rig, "cisco/trash/*Gone", "meeting.json recording.mp4.unavailable.txt");
    assert!(rig.cloud.purge_webex_recording("aa11"));
    refresh_despite_failure(&rig);
    assert_eq!(rig.shell("find cisco | grep -c Gone || true"), "0\n");
    rig.unmount();
}

#[test]
fn downloadable_webex_recycle_bin_is_exact() {
    let rig = webex(true);
    mount_webex(&rig, false);
    let complete = "audio_only.mp3 meeting.json recording.mp4 recording.vtt";
    wait_for_files(&rig, "cisco/2*/*Gone", complete);
    let sums = "cd cisco/*/*Gone && sha256sum recording.mp4 recording.vtt audio_only.mp3";
    let before = rig.shell(sums);
    assert!(rig.cloud.trash_webex_recording("aa11"));
    refresh(&rig);
    wait_for_files(&rig, "cisco/trash/*Gone", complete);
    assert_eq!(rig.shell(sums), before);
    let backup = rig.directory.path().join("backup");
    let rsync = format!("rsync -a --itemize-changes cisco/ '{}/'", backup.display());
    rig.shell(&rsync);
    rig.unmount();
    let output = run(&mut rig.mount_command(), COMMAND_TIMEOUT);
    assert!(output.status.success(), "{}", text(&output));
    refresh(&rig);
    rig.cloud.clear_requests();
    assert_eq!(rig.shell(&rsync), "");
    assert!(rig.media_requests().is_empty(), "{:?}", rig.media_requests());
    rig.unmount();
}
