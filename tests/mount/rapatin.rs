//! A Rapatin source on a real mount, read by common programs.

use std::collections::BTreeSet;
use std::process::Command;

use meetfs::demo_cloud::{
    Content, DemoCloudOptions, MeetingFile, Object, RapatinSession, RapatinStatus, Request, Server,
    pattern_seed,
};

use crate::support::rapatin::session;
use crate::support::{COMMAND_TIMEOUT, Rig, run, text, wait_until};

const MIB: u64 = 1024 * 1024;

fn login(rig: &Rig) -> String {
    let (email, password) = rig.cloud.rapatin_login();
    format!("email = \"{email}\"\npassword = \"{password}\"")
}

/// Returns a configuration with the Rapatin API of the demo cloud as the source `rapat`.
fn config(rig: &Rig, keys: &str) -> String {
    format!(
        "timezone = \"UTC\"\n[cache]\ndir = \"{}\"\n[source.rapat]\nprovider = \"rapatin\"\napi_url = \"{}\"\n{keys}\n",
        rig.directory.path().join("cache").display(),
        rig.cloud.rapatin_api_url(),
    )
}

fn mount(rig: &Rig, keys: &str) {
    rig.write_config(&config(rig, keys));
    let output = run(&mut rig.mount_command(), COMMAND_TIMEOUT);
    assert!(output.status.success(), "{}\n{}", text(&output), rig.log());
}

/// Mounts with a login and one meeting that the schedule does not contain.
fn mounted(sessions: Vec<RapatinSession>, change: impl FnOnce(&mut DemoCloudOptions)) -> Rig {
    let mut options =
        DemoCloudOptions { rapatin_sessions: sessions, ..DemoCloudOptions::default() };
    change(&mut options);
    let rig = Rig::new(options);
    mount(&rig, &keys(&rig));
    rig
}

fn keys(rig: &Rig) -> String {
    format!("{}\nmeetings = [\"866 6666 6666\"]", login(rig))
}

fn film(uuid: &str, name: &str, length: u64) -> RapatinSession {
    let mut session = session(uuid, &format!("9{}", pattern_seed(uuid) % 1_000_000), 1);
    session.topic = name.into();
    session.files.clear();
    session
        .with_file(MeetingFile::new("MP4", Content::Pattern { seed: pattern_seed(name), length }))
}

fn requests_to(rig: &Rig, server: Server) -> Vec<Request> {
    rig.cloud.requests().into_iter().filter(|request| request.server == server).collect()
}

fn logins(rig: &Rig) -> usize {
    requests_to(rig, Server::Rapatin).iter().filter(|request| request.path == "/auth/login").count()
}

fn refresh(rig: &Rig) {
    let daemon = rig.daemon().expect("a daemon").to_string();
    run(Command::new("kill").args(["-HUP", &daemon]), COMMAND_TIMEOUT);
}

#[test]
fn copy_is_exact_and_second_rsync_copies_nothing() {
    let rig = mounted(RapatinSession::demo(), |_| {});
    let copy = rig.directory.path().join("copy");
    let rsync = format!("rsync -a --itemize-changes rapat/ '{}/'", copy.display());
    rig.shell(&rsync);
    let copied: BTreeSet<String> = rig.hashes(&copy).into_values().collect();
    let objects = rig.cloud.rapatin_objects();
    assert_eq!(objects.len(), 17);
    for object in objects {
        assert!(copied.contains(&object.sha256()), "{object:?} is in no copy\n{}", rig.log());
    }
    rig.shell(&format!("cd rapat && find . -type f -exec cmp {{}} '{}'/{{}} \\;", copy.display()));
    rig.cloud.clear_requests();
    assert_eq!(rig.shell(&rsync), "");
    assert!(rig.media_requests().is_empty(), "{:?}", rig.media_requests());
    rig.unmount();
    mount(&rig, &keys(&rig));
    rig.cloud.clear_requests();
    assert_eq!(rig.shell(&rsync), "");
    assert!(rig.media_requests().is_empty(), "{:?}", rig.media_requests());
}

#[test]
fn directory_keeps_its_time_without_the_schedule() {
    let rig = mounted(RapatinSession::demo(), |_| {});
    let directories = || rig.shell("ls -d rapat/*/*");
    let before = directories();
    assert!(before.contains(" 0200 Rapat anggaran"), "{before}");
    rig.unmount();
    rig.cloud.change_rapatin_session("WuPF5b6WQ0aa==", |session| session.is_scheduled = false);
    mount(&rig, &keys(&rig));
    // The command returns when the tree shows the new listing.
    run(rig.meetfs().arg("refresh").arg(&rig.mountpoint), COMMAND_TIMEOUT);
    assert!(rig.status()["sources"][0]["listed"].is_string(), "{}", rig.status());
    assert_eq!(directories(), before);
    rig.unmount();
}

#[test]
fn files_are_named_as_at_zoom() {
    let rig = mounted(RapatinSession::demo(), |_| {});
    let names = |topic: &str| -> Vec<String> {
        rig.shell(&format!("ls rapat/*/*'{topic}'")).lines().map(str::to_owned).collect()
    };
    assert_eq!(
        names("Rapat anggaran"),
        [
            "audio_only.m4a",
            "chat.txt",
            "closed_caption.vtt",
            "gallery_view.mp4",
            "gallery_view.vtt",
            "meeting.json",
            "shared_screen_with_speaker_view.mp4",
            "shared_screen_with_speaker_view.vtt",
            "timeline.json",
        ]
    );
    let doubles = names("Stopped and restarted");
    let films: Vec<_> = doubles.iter().filter(|name| name.ends_with(".mp4")).collect();
    assert_eq!(films.len(), 2, "{doubles:?}");
    let directories = rig.shell("ls -d rapat/*/*");
    assert!(
        directories.contains(" 0200 Rapat anggaran")
            && directories.contains(" 0000 Not in the schedule"),
        "{directories}"
    );
    assert!(
        !directories.contains("Still processing") && !directories.contains("Deleted"),
        "{directories}"
    );
    let document = rig.shell("cat rapat/*/*'Rapat anggaran'/meeting.json");
    assert!(document.contains("\"delete_on\"") && !document.contains("://"), "{document}");
}

#[test]
fn session_appears_when_ready_and_disappears_when_deleted() {
    let rig = mounted(RapatinSession::demo(), |_| {});
    let directories = || rig.shell("ls rapat/*");
    rig.cloud
        .change_rapatin_session("pRoCeSsInG00==", |session| session.status = RapatinStatus::Ready);
    rig.cloud.change_rapatin_session("WuPF5b6WQ0aa==", |session| {
        session.status = RapatinStatus::Deleted
    });
    refresh(&rig);
    wait_until(COMMAND_TIMEOUT, "the tree follows", || {
        let shown = directories();
        shown.contains("Still processing") && !shown.contains("Rapat anggaran")
    });
    assert!(
        rig.shell("sha256sum rapat/*/*'Still processing'/*.mp4")
            .starts_with(&hash_of(&rig, "Still processing"))
    );
}

fn object(rig: &Rig, topic: &str) -> Object {
    rig.cloud.rapatin_objects().into_iter().find(|object| object.topic == topic).expect("an object")
}

fn hash_of(rig: &Rig, topic: &str) -> String {
    object(rig, topic).sha256()
}

#[test]
fn stale_url_before_a_copy_is_renewed() {
    let rig = mounted(vec![film("a==", "stale", 3 * MIB + 17)], |_| {});
    rig.cloud.expire_rapatin_urls();
    rig.cloud.clear_requests();
    let message = rig.shell("sha256sum < rapat/*/*stale/*.mp4");
    assert!(message.starts_with(&hash_of(&rig, "stale")), "{message}\n{}", rig.log());
    let statuses: Vec<u16> =
        requests_to(&rig, Server::Web).iter().map(|request| request.status).collect();
    assert_eq!(statuses, [200, 302], "a page in place of the way on, once");
}

#[test]
fn stale_url_during_a_copy_is_renewed() {
    let length = 12 * MIB + 5;
    let rig = mounted(vec![film("a==", "stale", length)], |options| {
        options.bytes_per_second = Some(3_000_000)
    });
    let copy = rig.directory.path().join("copy.mp4");
    std::thread::scope(|scope| {
        let copying =
            scope.spawn(|| rig.shell(&format!("cp rapat/*/*stale/*.mp4 '{}'", copy.display())));
        wait_until(COMMAND_TIMEOUT, "the copy is under way", || rig.media_bytes() > MIB);
        assert!(rig.media_bytes() < length, "the copy ended too early");
        rig.cloud.clear_requests();
        rig.cloud.expire_rapatin_urls();
        rig.cloud.expire_signed_urls();
        rig.cloud.expire_rapatin_tokens();
        copying.join().expect("a copy");
    });
    let hash = run(Command::new("sha256sum").arg(&copy), COMMAND_TIMEOUT);
    assert!(
        String::from_utf8_lossy(&hash.stdout).starts_with(&hash_of(&rig, "stale")),
        "{}",
        rig.log()
    );
    assert!(
        requests_to(&rig, Server::Web).iter().any(|request| request.status == 200),
        "no link was stale"
    );
    assert_eq!(logins(&rig), 1);
}

#[test]
fn sixteen_readers_share_one_login() {
    const FILES: [(&str, u64); 4] =
        [("one", 6 * MIB), ("two", 7 * MIB), ("three", 6 * MIB), ("four", 5 * MIB)];
    let sessions =
        FILES.iter().map(|(name, length)| film(&format!("{name}=="), name, *length)).collect();
    let rig = mounted(sessions, |options| options.bytes_per_second = Some(2_000_000));
    let total: u64 = FILES.iter().map(|(_, length)| length).sum();
    std::thread::scope(|scope| {
        let reading = scope.spawn(|| {
            let line =
                "for f in rapat/*/*/*.mp4; do for i in 1 2 3 4; do sha256sum \"$f\" & done; done; wait";
            rig.try_shell(line, COMMAND_TIMEOUT)
        });
        wait_until(COMMAND_TIMEOUT, "all four files are being read", || {
            let requests = rig.media_requests();
            rig.cloud.rapatin_objects().iter().all(|object| {
                requests.iter().any(|one| one.path == object.media_path && one.body_bytes > MIB / 2)
            })
        });
        assert!(rig.media_bytes() < total - 4 * MIB, "the files were read too early");
        rig.cloud.clear_requests();
        rig.cloud.expire_rapatin_tokens();
        rig.cloud.expire_rapatin_urls();
        rig.cloud.expire_signed_urls();
        let output = reading.join().expect("readers");
        let message = String::from_utf8_lossy(&output.stdout).into_owned();
        assert_eq!(message.lines().count(), 16, "{}\n{}", text(&output), rig.log());
        for line in message.lines() {
            let (hash, path) = line.split_once("  ").expect("a hash and a path");
            let topic = FILES
                .iter()
                .find(|(name, _)| path.contains(&format!(" {name}/")))
                .expect("a topic")
                .0;
            assert_eq!(hash, hash_of(&rig, topic), "{path}");
        }
    });
    assert_eq!(logins(&rig), 1, "{:?}", requests_to(&rig, Server::Rapatin));
}

#[test]
fn wrong_password_is_one_error_with_code_3() {
    let rig = Rig::new(DemoCloudOptions {
        rapatin_sessions: RapatinSession::demo(),
        ..DemoCloudOptions::default()
    });
    for keys in
        ["email = \"ana@example.org\"\npassword = \"wr0ng-s3cret\"", "token = \"13|wr0ng-s3cret\""]
    {
        rig.write_config(&config(&rig, keys));
        let output = run(&mut rig.mount_command(), COMMAND_TIMEOUT);
        assert_eq!(output.status.code(), Some(3), "{}", text(&output));
        let message = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(
            message.contains("rapat: cannot list recordings: Rapatin refused the"),
            "{message}"
        );
        let starts: Vec<&str> =
            message.lines().map(|line| line.split(' ').next().unwrap()).collect();
        assert_eq!(starts, ["error:", "hint:"], "{message}");
        assert!(!format!("{message}{}", rig.log()).contains("s3cret"), "{message}\n{}", rig.log());
        assert_eq!(rig.entries_in_mount_table(), 0);
    }
}

#[test]
fn secrets_are_in_no_log_and_no_cache() {
    let rig = mounted(RapatinSession::demo(), |_| {});
    rig.shell("cat rapat/*/*/* | wc -c");
    rig.cloud.expire_rapatin_tokens();
    rig.cloud.expire_rapatin_urls();
    rig.cloud.expire_signed_urls();
    rig.unmount();
    std::fs::remove_dir_all(rig.directory.path().join("cache/blocks")).expect("blocks");
    mount(&rig, &keys(&rig));
    rig.shell("cat rapat/*/*/* | wc -c");
    let requests = rig.cloud.requests();
    let mut secrets = BTreeSet::from([rig.cloud.rapatin_login().1]);
    for request in &requests {
        secrets.extend(request.header("authorization").map(|value| value.replace("Bearer ", "")));
        let links = [
            request.path.split("/webhook_download/").nth(1),
            request.query.split("Signature=").nth(1),
        ];
        secrets.extend(links.into_iter().flatten().map(str::to_owned));
    }
    assert!(secrets.len() > 20, "{secrets:?}");
    for request in requests.iter().filter(|request| request.server != Server::Rapatin) {
        assert_eq!(request.header("authorization"), None, "{request:?}");
        assert!(!format!("{request:?}").contains("demo-password"), "{request:?}");
    }
    rig.unmount();
    std::fs::remove_file(rig.config_path()).expect("a configuration");
    for secret in &secrets {
        let found = run(
            Command::new("grep").args(["-raFl", "--", secret]).arg(rig.directory.path()),
            COMMAND_TIMEOUT,
        );
        assert_eq!(String::from_utf8_lossy(&found.stdout), "", "{secret}");
    }
    assert!(rig.log().contains("listed source=rapat"), "{}", rig.log());
}
