//! `keep_deleted`: files that were deleted upstream stay while they are completely cached.

use crate::support::{COMMAND_TIMEOUT, Rig, meetfs, run, text, wait_until};
use jiff::{SignedDuration, Timestamp};
use meetfs::demo_cloud::{
    Archive, Content, DemoCloud, DemoCloudOptions, Effect, Meeting, MeetingFile, Server, Trigger,
};
use serde_json::Value;

const READ: &str = "cmVhZA==";
const PARTLY: &str = "cGFydGx5==";
const LENGTH: u64 = 5_000_000;

fn meeting(uuid: &str, topic: &str) -> Meeting {
    let seed = topic.len() as u64;
    Meeting::new(uuid, topic, Timestamp::now() - SignedDuration::from_hours(30))
        .with_file(MeetingFile::new("MP4", Content::Pattern { seed, length: LENGTH }))
        .with_file(MeetingFile::new(
            "TRANSCRIPT",
            Content::Stored(format!("WEBVTT\n\n{topic}\n").into()),
        ))
        .with_file(MeetingFile::new("CHAT", Content::Stored(format!("hello {topic}\n").into())))
}

/// A meeting with only a video of 60 MB: too long to be prefetched when its beginning is read.
fn long_meeting(uuid: &str, topic: &str) -> Meeting {
    let mut meeting = meeting(uuid, topic);
    meeting.files.clear();
    meeting.with_file(MeetingFile::new("MP4", Content::Pattern { seed: 60, length: 60_000_000 }))
}

fn rig() -> Rig {
    let mut archive = Archive::empty();
    archive.meetings =
        vec![meeting(READ, "Read"), long_meeting(PARTLY, "Partly"), meeting("c3RheXM==", "Stays")];
    Rig::new(DemoCloudOptions { archive, ..DemoCloudOptions::default() })
}

fn refresh(rig: &Rig) {
    let output = run(rig.meetfs().arg("refresh").arg(&rig.mountpoint), COMMAND_TIMEOUT);
    assert!(output.status.success(), "{}\n{}", text(&output), rig.log());
}

/// Returns the names and attributes of a meeting's files, and a hash of their bytes.
fn state_of(rig: &Rig, topic: &str) -> (String, String) {
    let names = rig.shell(&format!(
        "find acme/*/*{topic} -printf '%p %s %T@ %i %m\\n' 2>/dev/null | LC_ALL=C sort || true"
    ));
    (names, rig.shell(&format!("cat acme/*/*{topic}/* 2>/dev/null | sha256sum")))
}

fn is_shown(rig: &Rig, topic: &str) -> bool {
    rig.shell("ls acme/*").lines().any(|line| line.ends_with(topic))
}

fn kept_deleted(rig: &Rig) -> Value {
    rig.status()["sources"][0]["kept_deleted"].clone()
}

/// Reads one meeting completely and the beginning of the video of another meeting. Waits until both
/// are in the disk cache.
fn fill_cache(rig: &Rig) -> (String, String) {
    wait_until(COMMAND_TIMEOUT, "all details have arrived", || {
        rig.shell("find . -name meeting.json | wc -l").trim() == "3"
    });
    let before = state_of(rig, "Read");
    rig.shell("head -c 1000000 acme/*/*Partly/*.mp4 | wc -c");
    wait_until(COMMAND_TIMEOUT, "the file is in the disk cache", || {
        rig.status()["disk"]["used"].as_u64().is_some_and(|used| used > LENGTH)
    });
    before
}

fn disconnect(cloud: &DemoCloud) {
    for server in [Server::Api, Server::Web, Server::Media] {
        cloud.inject(Trigger::always(server).with_effect(Effect::BlackHole));
    }
}

fn clear_cache(rig: &Rig) {
    let directory = rig.directory.path().join("cache");
    let output = run(
        meetfs()
            .args(["cache", "clear", "--cache-dir"])
            .arg(directory)
            .env("XDG_CONFIG_HOME", rig.directory.path().join("none")),
        COMMAND_TIMEOUT,
    );
    assert!(output.status.success(), "{}", text(&output));
}

#[test]
fn deleted_meeting_stays_while_it_is_cached() {
    // Another source hangs during the whole test and must not interfere.
    let hole = DemoCloud::start(DemoCloudOptions {
        archive: Archive::with_meetings(3, 10),
        ..DemoCloudOptions::default()
    })
    .expect("a cloud");
    disconnect(&hole);
    let rig = rig().with_source("keep_deleted = true").with_source("trash = false");
    let second = rig.config().split("[source.acme]").nth(1).expect("a source").to_owned();
    let second = second.replace(&rig.cloud.api_url(), &hole.api_url());
    let second = second.replace(&rig.cloud.oauth_url(), &hole.oauth_url());
    let config = format!("{}\n[source.hole]{second}", rig.config());
    let mount = || {
        rig.write_config(&config);
        let output = run(&mut rig.mount_command(), COMMAND_TIMEOUT);
        assert!(output.status.success(), "{}\n{}", text(&output), rig.log());
    };
    // The refresh of the hanging source continues after the other refresh has ended.
    let refresh_until = |is_refreshed: &dyn Fn() -> bool| {
        let mut command =
            rig.meetfs().arg("refresh").arg(&rig.mountpoint).spawn().expect("a command");
        wait_until(COMMAND_TIMEOUT, "the source is refreshed", is_refreshed);
        let _ = command.kill(); // It may have ended.
        let _ = command.wait();
    };
    mount();
    let before = fill_cache(&rig);
    assert!(rig.cloud.remove_meeting(READ) && rig.cloud.remove_meeting(PARTLY));
    refresh_until(&|| !is_shown(&rig, "Partly"));
    rig.cloud.clear_requests();
    assert_eq!(state_of(&rig, "Read"), before);
    assert_eq!(rig.shell("cat acme/*/*Read/chat.txt"), "hello Read\n");
    let requests: Vec<_> =
        rig.cloud.requests().into_iter().filter(|it| it.server != Server::Api).collect();
    assert!(requests.is_empty(), "{requests:?}");
    assert_eq!(kept_deleted(&rig), 1);
    let status = run(rig.meetfs().arg("status"), COMMAND_TIMEOUT);
    let status = String::from_utf8_lossy(&status.stdout).into_owned();
    assert!(
        status.contains("deleted by the provider, served from the cache: 1 meeting"),
        "{status}"
    );
    rig.unmount();

    disconnect(&rig.cloud);
    mount();
    assert_eq!(state_of(&rig, "Read"), before);
    assert_eq!(kept_deleted(&rig), 1);
    rig.unmount();

    // The meeting disappears when it is not cached any more.
    clear_cache(&rig);
    rig.cloud.clear_faults();
    mount();
    wait_until(COMMAND_TIMEOUT, "it disappears", || !is_shown(&rig, "Read"));
    assert!(is_shown(&rig, "Stays"));
    assert_eq!(kept_deleted(&rig), 0);
    rig.unmount();
    mount();
    assert!(!is_shown(&rig, "Read"));
    rig.unmount();
}

#[test]
fn deleted_meeting_disappears_by_default() {
    let rig = rig();
    rig.mount();
    fill_cache(&rig);
    assert!(rig.cloud.remove_meeting(READ));
    refresh(&rig);
    assert!(!is_shown(&rig, "Read") && is_shown(&rig, "Partly"));
    assert_eq!(kept_deleted(&rig), 0);
    rig.unmount();
}

#[test]
fn deleted_file_keeps_its_name_until_restored() {
    let rig = rig().with_source("keep_deleted = true");
    rig.mount();
    let before = fill_cache(&rig);
    let whole =
        rig.cloud.meetings().into_iter().find(|meeting| meeting.uuid == READ).expect("the meeting");
    // The transcript is named after the deleted video.
    rig.cloud.change_meeting(READ, |meeting| meeting.files.retain(|file| file.file_type != "MP4"));
    refresh(&rig);
    let names = |(names, _): &(String, String)| {
        let no_document = names.lines().filter(|line| !line.contains("meeting.json"));
        no_document.map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(names(&state_of(&rig, "Read")), names(&before));
    assert_eq!(kept_deleted(&rig), 1);
    // The remaining files are deleted too, and the whole meeting is retained.
    rig.cloud.remove_meeting(READ);
    refresh(&rig);
    rig.cloud.clear_requests();
    assert_eq!(names(&state_of(&rig, "Read")), names(&before));
    assert!(rig.media_requests().is_empty(), "{:?}", rig.media_requests());
    rig.cloud.add_meeting(whole);
    refresh(&rig);
    assert_eq!(state_of(&rig, "Read"), before);
    assert_eq!(kept_deleted(&rig), 0);
    rig.unmount();
}

#[test]
fn retained_meeting_is_in_the_trash_too() {
    let rig = rig().with_source("keep_deleted = true");
    rig.mount();
    let before = fill_cache(&rig);
    assert!(rig.cloud.trash_meeting(READ, Timestamp::now()));
    refresh(&rig);
    wait_until(COMMAND_TIMEOUT, "it is in the trash", || {
        rig.shell("ls acme/trash/*Read 2>/dev/null | wc -l").trim() == "5"
    });
    let years = |topic: &str| rig.shell(&format!("cat acme/2*/*{topic}/* | sha256sum"));
    assert_eq!(years("Read"), before.1);
    assert_eq!(kept_deleted(&rig), 1);
    rig.unmount();
}
