//! `keep_deleted`: what was deleted upstream stays for as long as all of it is in the cache, and no longer.

// A helper that cannot go on fails its test.

use crate::support::{Rig, SOON, meetfs, run, text, wait_until};
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
        .with(MeetingFile::new("MP4", Content::Pattern { seed, length: LENGTH }))
        .with(MeetingFile::new(
            "TRANSCRIPT",
            Content::Stored(format!("WEBVTT\n\n{topic}\n").into()),
        ))
        .with(MeetingFile::new("CHAT", Content::Stored(format!("hello {topic}\n").into())))
}

/// Sixty megabytes and nothing else: too much to be fetched ahead of somebody who reads the first of them.
fn long(uuid: &str, topic: &str) -> Meeting {
    let mut long = meeting(uuid, topic);
    long.files.clear();
    long.with(MeetingFile::new("MP4", Content::Pattern { seed: 60, length: 60_000_000 }))
}

fn rig() -> Rig {
    let mut archive = Archive::empty();
    archive.meetings =
        vec![meeting(READ, "Read"), long(PARTLY, "Partly"), meeting("c3RheXM==", "Stays")];
    Rig::new(DemoCloudOptions { archive, ..DemoCloudOptions::default() })
}

fn refresh(rig: &Rig) {
    let output = run(rig.meetfs().arg("refresh").arg(&rig.mountpoint), SOON);
    assert!(output.status.success(), "{}\n{}", text(&output), rig.log());
}

/// Everything about the names of a meeting, and its bytes.
fn seen(rig: &Rig, topic: &str) -> (String, String) {
    let names = rig.shell(&format!(
        "find acme/*/*{topic} -printf '%p %s %T@ %i %m\\n' 2>/dev/null | LC_ALL=C sort || true"
    ));
    (names, rig.shell(&format!("cat acme/*/*{topic}/* 2>/dev/null | sha256sum")))
}

fn is_shown(rig: &Rig, topic: &str) -> bool {
    rig.shell("ls acme/*").lines().any(|line| line.ends_with(topic))
}

fn kept(rig: &Rig) -> Value {
    rig.status()["sources"][0]["kept_deleted"].clone()
}

/// Reads all of one meeting and half of another one's video, and waits until that is on disk.
fn read(rig: &Rig) -> (String, String) {
    wait_until(SOON, "all is known", || {
        rig.shell("find . -name meeting.json | wc -l").trim() == "3"
    });
    let before = seen(rig, "Read");
    rig.shell("head -c 1000000 acme/*/*Partly/*.mp4 | wc -c");
    wait_until(SOON, "it is on disk", || {
        rig.status()["disk"]["held"].as_u64().is_some_and(|held| held > LENGTH)
    });
    before
}

fn take_away(cloud: &DemoCloud) {
    for server in [Server::Api, Server::Web, Server::Media] {
        cloud.inject(Trigger::always(server).does(Effect::BlackHole));
    }
}

fn clear_cache(rig: &Rig) {
    let directory = rig.directory.path().join("cache");
    let output = run(
        meetfs()
            .args(["cache", "clear", "--cache-dir"])
            .arg(directory)
            .env("XDG_CONFIG_HOME", rig.directory.path().join("none")),
        SOON,
    );
    assert!(output.status.success(), "{}", text(&output));
}

#[test]
fn what_is_deleted_upstream_stays_while_all_of_it_is_cached_also_after_a_restart_without_the_cloud()
{
    // Another source hangs all the while, and has no say in any of it.
    let hole = DemoCloud::start(DemoCloudOptions {
        archive: Archive::many(3, 10),
        ..DemoCloudOptions::default()
    })
    .expect("a cloud");
    take_away(&hole);
    let rig = rig().with_source("keep_deleted = true").with_source("trash = false");
    let second = rig.config().split("[source.acme]").nth(1).expect("a source").to_owned();
    let second = second.replace(&rig.cloud.api_url(), &hole.api_url());
    let second = second.replace(&rig.cloud.oauth_url(), &hole.oauth_url());
    let config = format!("{}\n[source.hole]{second}", rig.config());
    let mount = || {
        rig.write_config(&config);
        let output = run(&mut rig.mount_command(), SOON);
        assert!(output.status.success(), "{}\n{}", text(&output), rig.log());
    };
    // The hanging source is still being asked when the other one has been.
    let refreshed = |shown: &dyn Fn() -> bool| {
        let mut asking =
            rig.meetfs().arg("refresh").arg(&rig.mountpoint).spawn().expect("a command");
        wait_until(SOON, "it is refreshed", shown);
        let _it_may_have_ended = asking.kill();
        let _it_has = asking.wait();
    };
    mount();
    let before = read(&rig);
    assert!(rig.cloud.remove_meeting(READ) && rig.cloud.remove_meeting(PARTLY));
    refreshed(&|| !is_shown(&rig, "Partly"));
    rig.cloud.clear_requests();
    assert_eq!(seen(&rig, "Read"), before);
    assert_eq!(rig.shell("cat acme/*/*Read/chat.txt"), "hello Read\n");
    let asked: Vec<_> =
        rig.cloud.requests().into_iter().filter(|it| it.server != Server::Api).collect();
    assert!(asked.is_empty(), "{asked:?}");
    assert_eq!(kept(&rig), 1);
    let words = run(rig.meetfs().arg("status"), SOON);
    let words = String::from_utf8_lossy(&words.stdout).into_owned();
    assert!(words.contains("deleted upstream, served from the cache: 1 meeting"), "{words}");
    rig.unmount();

    take_away(&rig.cloud);
    mount();
    assert_eq!(seen(&rig, "Read"), before);
    assert_eq!(kept(&rig), 1);
    rig.unmount();

    // As soon as it is not cached any more, it goes.
    clear_cache(&rig);
    rig.cloud.clear_faults();
    mount();
    wait_until(SOON, "it goes", || !is_shown(&rig, "Read"));
    assert!(is_shown(&rig, "Stays"));
    assert_eq!(kept(&rig), 0);
    rig.unmount();
    mount();
    assert!(!is_shown(&rig, "Read"));
    rig.unmount();
}

#[test]
fn without_the_key_what_is_deleted_upstream_goes_however_well_it_is_cached() {
    let rig = rig();
    rig.mount();
    read(&rig);
    assert!(rig.cloud.remove_meeting(READ));
    refresh(&rig);
    assert!(!is_shown(&rig, "Read") && is_shown(&rig, "Partly"));
    assert_eq!(kept(&rig), 0);
    rig.unmount();
}

#[test]
fn a_file_that_its_meeting_has_lost_stays_under_its_name_until_the_listing_has_it_again() {
    let rig = rig().with_source("keep_deleted = true");
    rig.mount();
    let before = read(&rig);
    let whole =
        rig.cloud.meetings().into_iter().find(|meeting| meeting.uuid == READ).expect("the meeting");
    // The transcript is named after the video that goes.
    rig.cloud.change_meeting(READ, |meeting| meeting.files.retain(|file| file.file_type != "MP4"));
    refresh(&rig);
    let names = |(names, _): &(String, String)| {
        let no_document = names.lines().filter(|line| !line.contains("meeting.json"));
        no_document.map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(names(&seen(&rig, "Read")), names(&before));
    assert_eq!(kept(&rig), 1);
    // The rest goes as well, and everything is kept together.
    rig.cloud.remove_meeting(READ);
    refresh(&rig);
    rig.cloud.clear_requests();
    assert_eq!(names(&seen(&rig, "Read")), names(&before));
    assert!(rig.media_requests().is_empty(), "{:?}", rig.media_requests());
    rig.cloud.add_meeting(whole);
    refresh(&rig);
    assert_eq!(seen(&rig, "Read"), before);
    assert_eq!(kept(&rig), 0);
    rig.unmount();
}

#[test]
fn what_is_kept_lies_in_the_trash_as_well() {
    let rig = rig().with_source("keep_deleted = true");
    rig.mount();
    let before = read(&rig);
    assert!(rig.cloud.trash_meeting(READ, Timestamp::now()));
    refresh(&rig);
    wait_until(SOON, "it is in the trash", || {
        rig.shell("ls acme/trash/*Read 2>/dev/null | wc -l").trim() == "5"
    });
    let years = |topic: &str| rig.shell(&format!("cat acme/2*/*{topic}/* | sha256sum"));
    assert_eq!(years("Read"), before.1);
    assert_eq!(kept(&rig), 1);
    rig.unmount();
}
