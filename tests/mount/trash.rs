//! What lies in the recycle bins of Zoom and Webex: shown with its end, given out or explained, and gone when it is.

// A helper that cannot go on fails its test.

use crate::support::life::RunningCommand;
use crate::support::{Rig, SOON, alone, run, text, wait_until};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use meetfs::demo_cloud::{
    Archive, Content, DemoCloudOptions, Effect, Host, Meeting, MeetingFile, Server, Trigger,
    WebexArchive, WebexRecording,
};
use serde_json::Value;

const GONE: &str = "/Z29uZQ//==";
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
        .with(MeetingFile::new("MP4", Content::Pattern { seed, length: LENGTH }))
        .with(MeetingFile::new("CHAT", Content::Stored(format!("hello {topic}\n").into())))
}

fn options(trash_downloads: bool) -> DemoCloudOptions {
    let mut archive = Archive::empty();
    archive.meetings = vec![meeting(GONE, "Gone"), meeting("c3RheXM==", "Stays")];
    DemoCloudOptions { archive, trash_downloads, ..DemoCloudOptions::default() }
}

fn refresh(rig: &Rig) {
    let output = run(rig.meetfs().arg("refresh").arg(&rig.mountpoint), SOON);
    assert!(output.status.success(), "{}\n{}", text(&output), rig.log());
}

/// What `ls` shows below a directory, in one line.
fn names(rig: &Rig, directory: &str) -> String {
    rig.shell(&format!("ls {directory} 2>/dev/null | tr '\\n' ' ' || true")).trim_end().to_owned()
}

/// Waits until everything in the bin has been tried.
fn wait_for_files(rig: &Rig, directory: &str, expected: &str) {
    wait_until(SOON, &format!("{directory} has {expected}"), || names(rig, directory) == expected);
}

fn expiring(rig: &Rig, words: &[&str]) -> (Option<i32>, String) {
    let output = run(&mut alone(rig, rig.meetfs().arg("expiring").args(words)), SOON);
    (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
}

fn document(rig: &Rig, directory: &str) -> Value {
    serde_json::from_str(&rig.shell(&format!("cat {directory}/meeting.json"))).expect("JSON")
}

const REFUSED: &str = "chat.txt.unavailable.txt meeting.json participants.csv shared_screen_with_speaker_view.mp4.unavailable.txt";

#[test]
fn what_zoom_does_not_give_out_of_its_trash_is_shown_with_its_end_and_the_way_back() {
    let rig = Rig::mounted(options(false));
    let backup = rig.directory.path().join("backup");
    rig.shell(&format!("rsync -a acme/ '{}/'", backup.display()));
    let deleted = hours_ago(24 * 10);
    assert!(rig.cloud.trash_meeting(GONE, deleted));
    refresh(&rig);
    assert_eq!(rig.shell("ls -d acme/2*/*Gone 2>/dev/null | wc -l"), "0\n");
    wait_for_files(&rig, "acme/trash/*Gone", REFUSED);
    let expires = deleted + days(30);
    let day = TimeZone::UTC.to_datetime(expires).date();
    let told = rig.shell("cat acme/trash/*Gone/chat.txt.unavailable.txt");
    for words in ["Zoom's trash", "a web page", "Recordings > Trash", &format!("until {day}")] {
        assert!(told.contains(words), "{words}: {told}");
    }
    let known = document(&rig, "acme/trash/*Gone");
    assert_eq!(known["expires"], expires.to_string());
    assert_eq!(known["deleted_time"], deleted.to_string());
    assert_eq!(known["topic"], "Gone");
    let python = "import os,sys\n\
        for path in sys.argv[1:]: print(os.getxattr(path, 'user.meetfs.expires').decode())";
    let told = rig.shell(&format!("python3 -c \"{python}\" acme/trash/*Gone acme/trash/*Gone/*"));
    assert_eq!(told, format!("{expires}\n").repeat(5));
    assert_eq!(rig.status()["sources"][0]["in_trash"], 1);
    assert_eq!(rig.status()["sources"][0]["meetings"], 1);

    let (code, told) = expiring(&rig, &["--within", "20d", "--json"]);
    let told: Value = serde_json::from_str(&told).expect("JSON");
    assert_eq!((code, told.as_array().map(Vec::len)), (Some(0), Some(2)), "{told}");
    for file in told.as_array().into_iter().flatten() {
        assert_eq!(
            (&file["in_trash"], &file["is_readable"], &file["days_left"]),
            (&true.into(), &false.into(), &19.into()),
            "{file}"
        );
    }
    let (_, told) = expiring(&rig, &[]);
    assert_eq!(told.matches("19 days").count(), 2, "{told}");
    assert_eq!(
        told.matches("(in the recycle bin, which allows no downloads;").count(),
        2,
        "{told}"
    );
    // Saved while it was there is saved.
    let directory = backup.to_str().expect("a path");
    assert_eq!(expiring(&rig, &["--not-in", directory]), (Some(0), String::new()));
    rig.shell(&format!("rm -r '{directory}'/2*/*Gone/chat.txt"));
    let (code, told) = expiring(&rig, &["--not-in", directory]);
    assert!(code == Some(1) && told.lines().count() == 1 && told.contains("chat.txt"), "{told}");

    // Nothing is tried or copied twice, whatever has happened to the process and the cloud.
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
    let tried = rig.cloud.requests().into_iter().filter(|it| it.server != Server::Api).count();
    assert_eq!(tried, 0, "{:?}", rig.cloud.requests());
    rig.unmount();
    for server in [Server::Api, Server::Web, Server::Media] {
        rig.cloud.inject(Trigger::always(server).does(Effect::BlackHole));
    }
    rig.mount();
    assert_eq!(rig.shell("find acme/trash -printf '%p %s %T@ %i\\n' | LC_ALL=C sort"), listed);
    rig.unmount();
}

#[test]
fn what_zoom_gives_out_of_its_trash_is_a_file_of_its_own() {
    let rig = Rig::mounted(options(true));
    let numbers = "stat -c %i acme/*/*Gone acme/*/*Gone/*.mp4 acme/*/*Gone/chat.txt";
    let (before, sum) =
        (rig.shell(numbers), rig.shell("sha256sum < \"$(echo acme/2*/*Gone/*.mp4)\""));
    assert!(rig.cloud.trash_meeting(GONE, hours_ago(2)));
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
    assert!(rig.media_bytes() >= media + LENGTH, "no block of the other one is taken for its own");
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
    let (code, told) =
        expiring(&rig, &["--not-in", backup.to_str().expect("a path"), "--checksum"]);
    assert_eq!((code, told.as_str()), (Some(0), ""));

    // Back where it was, under the numbers it had.
    assert!(rig.cloud.restore_meeting(GONE));
    refresh(&rig);
    assert_eq!(rig.shell(numbers), before);
    assert_eq!(
        rig.shell("ls acme"),
        format!("{}\n", TimeZone::UTC.to_datetime(hours_ago(30)).year())
    );
    assert_eq!(rig.status()["sources"][0]["in_trash"], 0);
    // Deleted again, and for good.
    assert!(rig.cloud.trash_meeting(GONE, hours_ago(1)));
    refresh(&rig);
    wait_for_files(
        &rig,
        "acme/trash/*Gone",
        "chat.txt meeting.json participants.csv shared_screen_with_speaker_view.mp4",
    );
    assert!(rig.cloud.purge_meeting(GONE));
    refresh(&rig);
    assert_eq!(rig.shell("find acme | grep -c Gone || true"), "0\n");
    rig.unmount();
}

#[test]
fn a_meeting_that_is_half_in_the_trash_has_the_rest_where_it_was() {
    let rig = Rig::new(options(false)).with_source("users = [\"all\"]");
    rig.mount();
    let there = rig.shell("find acme/2*/*Gone -type f -printf '%p %s %i\\n' | LC_ALL=C sort");
    assert!(rig.cloud.trash_files(GONE, "CHAT", hours_ago(48)));
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
    // Without another look into the trash: what is there again does not lie in it.
    assert!(rig.cloud.restore_meeting(GONE));
    rig.cloud.inject(Trigger::always(Server::Api).on("/v2/users").does(Effect::status(404)));
    refresh(&rig);
    assert!(rig.status()["sources"][0]["trash_error"].is_string());
    assert_eq!(
        rig.shell("find acme/2*/*Gone -type f -printf '%p %s %i\\n' | LC_ALL=C sort"),
        there
    );
    assert_eq!(names(&rig, "acme/trash"), "");
    rig.unmount();
}

#[test]
fn a_transcript_in_the_trash_is_called_after_the_video_that_stays_and_a_backup_of_it_counts() {
    let mut cloud = options(false);
    let spoken = MeetingFile::new("TRANSCRIPT", Content::Stored("WEBVTT\n\nhello\n".into()));
    cloud.archive.meetings[0] = cloud.archive.meetings[0].clone().with(spoken);
    let rig = Rig::mounted(cloud);
    let backup = rig.directory.path().join("backup");
    rig.shell(&format!("rsync -a acme/ '{}/'", backup.display()));
    assert!(rig.cloud.trash_files(GONE, "TRANSCRIPT", hours_ago(48)));
    refresh(&rig);
    let note = "meeting.json participants.csv shared_screen_with_speaker_view.vtt.unavailable.txt";
    wait_for_files(&rig, "acme/trash/*Gone", note);
    let directory = backup.to_str().expect("a path");
    assert_eq!(expiring(&rig, &["--not-in", directory]), (Some(0), String::new()));
    rig.unmount();
}

#[test]
fn what_was_refused_is_tried_again_after_a_day_and_shown_once_it_is_given_out() {
    let rig = Rig::mounted(options(false));
    assert!(rig.cloud.trash_meeting(GONE, hours_ago(24 * 3)));
    refresh(&rig);
    wait_for_files(&rig, "acme/trash/*Gone", REFUSED);
    rig.unmount();
    rig.cloud.set_trash_downloads(true);
    let yesterday = || {
        let catalog = rig.directory.path().join("cache/catalog.sqlite");
        let catalog = rusqlite::Connection::open(catalog).expect("the catalog");
        let earlier = catalog.execute("UPDATE trashed_file SET at = at - 25 * 3600", []);
        assert_eq!(earlier.expect("trials"), 2);
    };
    // Within the day the word of the last time holds.
    rig.mount();
    refresh(&rig);
    assert_eq!(names(&rig, "acme/trash/*Gone"), REFUSED);
    rig.unmount();
    yesterday();
    rig.mount();
    wait_for_files(
        &rig,
        "acme/trash/*Gone",
        "chat.txt meeting.json participants.csv shared_screen_with_speaker_view.mp4",
    );
    assert_eq!(rig.shell("cat acme/trash/*Gone/chat.txt"), "hello Gone\n");
    assert_eq!(rig.shell("cat acme/trash/*Gone/*.mp4 | wc -c").trim(), LENGTH.to_string());
    rig.unmount();
    // What was given out once is not tried again, and goes on to be a file.
    rig.cloud.set_trash_downloads(false);
    yesterday();
    rig.cloud.clear_requests();
    rig.mount();
    refresh(&rig);
    assert_eq!(rig.shell("cat acme/trash/*Gone/chat.txt"), "hello Gone\n");
    let tried = rig.cloud.requests().into_iter().filter(|it| it.server != Server::Api).count();
    assert_eq!(tried, 0, "{:?}", rig.cloud.requests());
    rig.unmount();
}

#[test]
fn the_trash_of_a_whole_account_is_listed_user_by_user_or_left_out_and_told_once() {
    let mut cloud = options(false);
    let mut other = meeting("b3RoZXI==", "Other");
    other.host_email = "ben@example.org".into();
    cloud.archive.meetings.push(other);
    let ben = Host::active("hostBen", "ben@example.org", "Ben", "B");
    cloud.archive.hosts.push(Host { status: "inactive", ..ben });
    let rig = Rig::new(cloud).with_source("users = [\"all\"]");
    assert!(
        rig.cloud.trash_meeting(GONE, hours_ago(2))
            && rig.cloud.trash_meeting("b3RoZXI==", hours_ago(2))
    );
    rig.mount();
    wait_for_files(&rig, "acme/trash/*Gone", REFUSED);
    wait_for_files(&rig, "acme/trash/*Other", REFUSED);
    assert_eq!(rig.shell("ls acme/2*").lines().count(), 1);
    // What cannot be listed for a while is shown as it was.
    let scopes = r#"{"code":4711,"message":"Invalid access token, does not contain scopes:[user:read:list_users:admin]."}"#;
    let refused = Effect::Status {
        status: 400,
        body: scopes.into(),
        content_type: "application/json".into(),
        headers: Vec::new(),
    };
    rig.cloud.inject(Trigger::always(Server::Api).on("/v2/users").does(refused));
    for _ in 0..2 {
        refresh(&rig);
        let source = rig.status()["sources"][0].clone();
        assert_eq!((&source["error"], &source["in_trash"]), (&Value::Null, &2.into()), "{source}");
        assert!(
            source["trash_error"]
                .as_str()
                .is_some_and(|why| why.contains("user:read:list_users:admin")),
            "{source}"
        );
    }
    assert_eq!(rig.shell("ls acme/trash").lines().count(), 2);
    assert_eq!(rig.shell("ls acme/2*").lines().count(), 1);
    let told = rig.log().matches("the recycle bin could not be listed").count();
    assert_eq!(told, 1, "{}", rig.log());
    let words = run(rig.meetfs().arg("status"), SOON);
    let words = String::from_utf8_lossy(&words.stdout).into_owned();
    assert!(words.contains("recycle bin incomplete: ") && !words.contains("FAILED"), "{words}");
    rig.cloud.clear_faults();
    refresh(&rig);
    assert_eq!(rig.status()["sources"][0]["trash_error"], Value::Null);
    rig.unmount();
}

#[test]
fn a_trash_that_never_answers_keeps_no_recording_waiting() {
    let rig = Rig::new(options(false)).with_source("users = [\"all\"]");
    rig.cloud.inject(Trigger::always(Server::Api).on("/v2/users").does(Effect::BlackHole));
    rig.mount();
    let is_asked =
        || rig.cloud.requests().iter().any(|request| request.path.starts_with("/v2/users"));
    wait_until(SOON, "the trash is asked for", is_asked);
    let is_hanging = || rig.status()["sources"][0]["is_refreshing"] == true;
    assert!(is_hanging());
    rig.cloud.add_meeting(meeting("bmV3==", "New"));
    let mut asking = RunningCommand::start(rig.meetfs().arg("refresh").arg(&rig.mountpoint));
    wait_until(SOON, "it shows", || names(&rig, "acme/2*/*New").contains("chat.txt"));
    assert!(is_hanging(), "it showed when the trash was given up");
    assert_eq!(rig.status()["sources"][0]["error"], Value::Null);
    // What it is given up with is told, and the source is well.
    assert!(asking.end(SOON).0.success(), "{}", asking.output());
    let source = rig.status()["sources"][0].clone();
    assert!(source["trash_error"].is_string() && source["error"].is_null(), "{source}");
    rig.unmount();
}

#[test]
fn a_source_without_trash_never_asks_for_it() {
    let rig = Rig::new(options(true)).with_source("trash = false");
    assert!(rig.cloud.trash_meeting(GONE, hours_ago(2)));
    rig.mount();
    refresh(&rig);
    assert_eq!(names(&rig, "acme/trash"), "");
    let requests = rig.cloud.requests();
    assert!(requests.iter().all(|request| !request.query.contains("trash")), "{requests:?}");
    rig.unmount();
}

#[test]
fn a_file_that_is_open_when_it_goes_to_the_trash_is_read_whole_or_not_at_all() {
    for trash_downloads in [false, true] {
        let mut cloud = options(trash_downloads);
        cloud.archive.meetings[0].files[0].content =
            Content::Pattern { seed: 9, length: 40_000_000 };
        let sum = cloud.archive.meetings[0].files[0].content.sha256();
        let rig = Rig::new(cloud).with("read_deadline = \"5s\"");
        rig.mount();
        let word = rig.directory.path().join("go on");
        let line = format!(
            "exec 3< \"$(echo \"$M\"/acme/2*/*Gone/*.mp4)\"; head -c 100000 <&3 > '{0}.part'; echo open; \
             while [ ! -e '{0}' ]; do sleep 0.05; done; cat <&3 >> '{0}.part'; echo \"status $?\"; \
             sha256sum < '{0}.part'",
            word.display()
        );
        let mut reader = RunningCommand::outside(&rig, &line);
        wait_until(SOON, "the file is open", || reader.output().contains("open"));
        assert!(rig.cloud.trash_meeting(GONE, hours_ago(0)));
        rig.cloud.expire_links();
        refresh(&rig);
        std::fs::write(&word, "").expect("a word");
        reader.end(SOON);
        let said = reader.output();
        let is_whole = said.contains(&sum);
        let is_stale = said.contains("Stale file handle") && said.contains("status 1");
        assert!(is_whole != is_stale, "{said}");
        assert_eq!(is_whole, said.contains("status 0"), "{said}");
        drop(reader);
        rig.unmount();
    }
}

/// Adds the cloud's Webex side as the source `cisco`; the Zoom source is out of reach where that is said.
fn mount_webex(rig: &Rig, zoom_is_down: bool) {
    if zoom_is_down {
        rig.cloud.inject(Trigger::always(Server::Api).does(Effect::status(500)));
    }
    rig.write_config(&format!(
        "{}\n[source.cisco]\nprovider = \"webex\"\ntoken = \"{}\"\napi_url = \"{}\"\noauth_url = \"{}\"\n",
        rig.config(),
        rig.cloud.webex_token(),
        rig.cloud.webex_api_url(),
        rig.cloud.webex_oauth_url(),
    ));
    let output = run(&mut rig.mount_command(), SOON);
    assert!(output.status.success(), "{}\n{}", text(&output), rig.log());
}

fn webex(trash_downloads: bool) -> Rig {
    let recordings = [("aa11", "Gone"), ("bb22", "Stays")]
        .map(|(id, topic)| WebexRecording::new(id, topic, hours_ago(24 * 40)).with_video(LENGTH));
    let webex = WebexArchive { recordings: recordings.into(), ..WebexArchive::empty() };
    Rig::new(DemoCloudOptions { webex, trash_downloads, ..DemoCloudOptions::default() })
}

#[test]
fn what_webex_does_not_give_out_of_its_recycle_bin_is_explained_and_what_is_purged_is_gone() {
    let rig = webex(false);
    assert!(rig.cloud.trash_webex_recording("aa11"));
    mount_webex(&rig, true);
    wait_for_files(&rig, "cisco/trash/*Gone", "meeting.json recording.mp4.unavailable.txt");
    let told = rig.shell("cat cisco/trash/*Gone/*.unavailable.txt");
    let day = TimeZone::UTC.to_datetime(Timestamp::now() + days(30)).date();
    for words in [
        "Webex's recycle bin",
        "restore it on the Webex site",
        &format!("at the latest until {day}"),
    ] {
        assert!(told.contains(words), "{words}: {told}");
    }
    let known = document(&rig, "cisco/trash/*Gone");
    assert_eq!(
        (&known["expires_is_latest"], &known["deleted_time"]),
        (&true.into(), &Value::Null),
        "{known}"
    );
    assert!(known["expires"].is_string(), "{known}");
    assert_eq!(rig.shell("ls -d cisco/2*/*Gone 2>/dev/null | wc -l"), "0\n");
    wait_until(SOON, "the other one is whole", || {
        names(&rig, "cisco/2*/*Stays").contains("audio_only.mp3")
    });

    assert!(rig.cloud.restore_webex_recording("aa11"));
    let _the_other_source_is_down = run(rig.meetfs().arg("refresh").arg(&rig.mountpoint), SOON);
    assert_eq!(names(&rig, "cisco/trash"), "");
    wait_for_files(
        &rig,
        "cisco/2*/*Gone",
        "audio_only.mp3 meeting.json recording.mp4 recording.txt",
    );
    assert!(rig.cloud.trash_webex_recording("aa11"));
    let _the_other_source_is_down = run(rig.meetfs().arg("refresh").arg(&rig.mountpoint), SOON);
    wait_for_files(&rig, "cisco/trash/*Gone", "meeting.json recording.mp4.unavailable.txt");
    assert!(rig.cloud.purge_webex_recording("aa11"));
    let _the_other_source_is_down = run(rig.meetfs().arg("refresh").arg(&rig.mountpoint), SOON);
    assert_eq!(rig.shell("find cisco | grep -c Gone || true"), "0\n");
    rig.unmount();
}

#[test]
fn what_webex_gives_out_of_its_recycle_bin_is_read_to_the_byte() {
    let rig = webex(true);
    mount_webex(&rig, false);
    let whole = "audio_only.mp3 meeting.json recording.mp4 recording.txt";
    wait_for_files(&rig, "cisco/2*/*Gone", whole);
    let sums = "cd cisco/*/*Gone && sha256sum recording.mp4 recording.txt audio_only.mp3";
    let before = rig.shell(sums);
    assert!(rig.cloud.trash_webex_recording("aa11"));
    refresh(&rig);
    wait_for_files(&rig, "cisco/trash/*Gone", whole);
    assert_eq!(rig.shell(sums), before);
    let backup = rig.directory.path().join("backup");
    let rsync = format!("rsync -a --itemize-changes cisco/ '{}/'", backup.display());
    rig.shell(&rsync);
    rig.unmount();
    let output = run(&mut rig.mount_command(), SOON);
    assert!(output.status.success(), "{}", text(&output));
    refresh(&rig);
    rig.cloud.clear_requests();
    assert_eq!(rig.shell(&rsync), "");
    assert!(rig.media_requests().is_empty(), "{:?}", rig.media_requests());
    rig.unmount();
}
