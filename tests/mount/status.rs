//! `meetfs status`, `meetfs refresh`, and what the filters of a source hide.

// A helper that cannot go on fails its test.

use std::process::Output;
use std::time::{Duration, Instant};

use crate::support::life::signal;
use crate::support::{Rig, SOON, alone, mode_of, run, run_within, text, wait_until};
use jiff::{SignedDuration, Timestamp};
use meetfs::demo_cloud::{
    Archive, Content, DemoCloudOptions, Effect, Meeting, MeetingFile, Server, Trigger,
};
use serde_json::Value;

fn options(archive: Archive) -> DemoCloudOptions {
    DemoCloudOptions { archive, ..DemoCloudOptions::default() }
}

fn command(rig: &Rig, words: &[&str]) -> Output {
    run(&mut alone(rig, rig.meetfs().args(words)), SOON)
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// The line of the rig's mount in what is printed, where it has one.
fn listed(rig: &Rig, words: &[&str]) -> Option<String> {
    let output = String::from_utf8_lossy(&command(rig, words).stdout).into_owned();
    let place = rig.mountpoint.to_string_lossy().into_owned();
    output.lines().find(|line| line.starts_with(&place)).map(str::to_owned)
}

fn kill(rig: &Rig) {
    signal(rig.daemon().expect("a daemon"), "KILL");
    wait_until(SOON, "it is gone", || rig.daemon().is_none());
}

fn shown(rig: &Rig) -> usize {
    rig.shell("find . -name chat.txt | wc -l").trim().parse().expect("a number")
}

/// A meeting with a video and a chat, an hour ago.
fn meeting(uuid: &str, topic: &str) -> Meeting {
    let start = Timestamp::now() - SignedDuration::from_hours(1);
    Meeting::new(uuid, topic, start)
        .with(MeetingFile::new("MP4", Content::Pattern { seed: 7, length: 50_000 }))
        .with(MeetingFile::new("CHAT", Content::Stored("hello\n".into())))
}

#[test]
fn a_mount_says_what_there_is_and_when_it_looks_again() {
    let rig = Rig::mounted(options(Archive::many(12, 20)));
    let status = rig.status();
    assert_eq!(status["mountpoint"], rig.mountpoint.to_string_lossy().as_ref());
    assert_eq!(status["pid"], rig.daemon().expect("a daemon"));
    let source = &status["sources"][0];
    assert_eq!((&source["name"], &source["provider"]), (&"acme".into(), &"zoom".into()));
    assert_eq!((&source["meetings"], &source["hidden_meetings"]), (&12.into(), &0.into()));
    assert_eq!(source["error"], Value::Null);
    let time =
        |key: &str| source[key].as_str().and_then(|at| at.parse::<Timestamp>().ok()).expect(key);
    let now = Timestamp::now();
    assert!(time("listed") <= now && time("listed_whole") <= now && time("next") > now, "{source}");
    let output = command(&rig, &["status"]);
    let words = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(words.contains("acme  zoom, 12 meetings in 24 files"), "{words}");
    rig.unmount();
    assert!(
        !rig.directory.path().join("run/meetfs").read_dir().expect("a directory").any(|_| true)
    );
    let output = command(&rig, &["status", rig.mountpoint.to_str().expect("a path")]);
    assert_eq!(output.status.code(), Some(1), "{}", text(&output));
    assert!(said(&output).contains("no meetfs is mounted at"), "{}", text(&output));
    assert_eq!(listed(&rig, &["status"]), None);
    let output = command(&rig, &["status", "--json"]);
    let mounts: Vec<Value> = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(mounts, Vec::<Value>::new());
}

#[test]
fn the_socket_is_its_owners_alone_and_tells_no_secret() {
    let rig = Rig::mounted(options(Archive::many(3, 20)));
    let directory = rig.directory.path().join("run/meetfs");
    assert_eq!(mode_of(&directory), 0o700);
    let socket = directory
        .read_dir()
        .expect("a directory")
        .next()
        .expect("a socket")
        .expect("an entry")
        .path();
    assert_eq!(mode_of(&socket), 0o600);
    let status = rig.status().to_string();
    for secret in [rig.cloud.credentials().client_secret, rig.cloud.long_lived_token()] {
        assert!(!status.contains(&secret), "{status}");
    }
    // Nonsense, silence and floods end a connection and nothing else.
    let talk = format!(
        "python3 -c '\nimport socket\n\
         def say(b):\n s = socket.socket(socket.AF_UNIX); s.settimeout(8); s.connect(\"{}\"); s.sendall(b)\n \
         try:\n  return s.recv(9)\n except OSError as e:\n  return b\"\"\n\
         for b in [b\"nonsense\\n\", b\"x\" * 60000, bytes(range(256)), b\"status\"]: assert say(b) == b\"\", b\n'",
        socket.display()
    );
    let output = rig.try_shell(&talk, SOON);
    assert!(output.status.success(), "{}", text(&output));
    assert_eq!(rig.status()["sources"][0]["meetings"], 3);
    rig.unmount();
}

#[test]
fn thousands_who_say_nothing_keep_nobody_from_an_answer() {
    let rig = Rig::mounted(options(Archive::many(3, 20)));
    let directory = rig.directory.path().join("run/meetfs");
    let socket = directory
        .read_dir()
        .expect("a directory")
        .next()
        .expect("a socket")
        .expect("an entry")
        .path();
    let hold = format!(
        "ulimit -n 4096 && exec python3 -c '\nimport socket, time\n\
         held = []\n\
         for _ in range(2000):\n s = socket.socket(socket.AF_UNIX); s.connect(\"{}\"); held.append(s)\n\
         print(\"held\", flush=True); time.sleep(60)'",
        socket.display()
    );
    let holding = crate::support::life::RunningCommand::outside(&rig, &hold);
    wait_until(SOON, "they are connected", || holding.output().contains("held"));
    for _ in 0..5 {
        let started = Instant::now();
        assert_eq!(rig.status()["sources"][0]["meetings"], 3);
        assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
    }
    let daemon = rig.daemon().expect("a daemon");
    let open = std::fs::read_dir(format!("/proc/{daemon}/fd")).expect("descriptors").count();
    assert!(open < 200, "{open} descriptors are open");
    drop(holding);
    rig.unmount();
}

#[test]
fn those_who_wait_for_a_refresh_keep_nobody_from_the_status() {
    let rig = Rig::mounted(options(Archive::many(3, 20)));
    rig.cloud.inject(Trigger::always(Server::Api).on("/recordings").does(Effect::BlackHole));
    let refresh = format!("{} refresh \"$M\"", rig.meetfs().get_program().to_string_lossy());
    let environment =
        format!("export XDG_RUNTIME_DIR='{}'", rig.directory.path().join("run").display());
    let waiting = format!("{environment}; for i in $(seq 20); do {refresh} & done; wait");
    let waiting = crate::support::life::RunningCommand::outside(&rig, &waiting);
    wait_until(SOON, "it is being listed", || rig.status()["sources"][0]["is_refreshing"] == true);
    std::thread::sleep(Duration::from_secs(1));
    for _ in 0..3 {
        let started = Instant::now();
        assert_eq!(rig.status()["sources"][0]["meetings"], 3);
        assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
    }
    rig.cloud.clear_faults();
    drop(waiting);
    rig.unmount();
}

#[test]
fn a_refresh_returns_when_the_mount_shows_what_is_new() {
    let rig = Rig::mounted(options(Archive::many(5, 20)));
    rig.cloud.add_meeting(meeting("bmV3==", "Brand new"));
    let output = command(&rig, &["refresh", rig.mountpoint.to_str().expect("a path")]);
    assert!(output.status.success(), "{}", text(&output));
    assert_eq!(rig.shell("cat */*/*Brand*/chat.txt"), "hello\n");
    assert!(String::from_utf8_lossy(&output.stdout).contains("6 meetings"), "{}", text(&output));
    rig.cloud.inject(Trigger::always(Server::Api).on("/users/").does(Effect::status(404)));
    let place = rig.mountpoint.to_str().expect("a path");
    let output = command(&rig, &["refresh", place]);
    assert_eq!(output.status.code(), Some(1), "{}", text(&output));
    assert!(said(&output).contains("not refreshed completely: acme"), "{}", text(&output));
    assert_eq!(shown(&rig), 6, "what failed hides nothing");
    let source = rig.status()["sources"][0].clone();
    assert!(
        source["error"].is_string()
            || source["incomplete"].as_array().is_some_and(|gaps| !gaps.is_empty())
    );
    rig.cloud.clear_faults();
    let output = command(&rig, &["refresh", place]);
    assert!(output.status.success(), "{}", text(&output));
    assert!(rig.status()["sources"][0]["error"].is_null());
    rig.unmount();
    let output = command(&rig, &["refresh"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(said(&output).contains("you have no mounts"), "{}", text(&output));
}

#[test]
fn a_wrong_secret_of_one_source_is_told_and_the_other_works() {
    let rig = Rig::new(options(Archive::many(8, 20)));
    let second = rig.config().split("[source.acme]").nth(1).expect("a source").to_owned();
    let secret = rig.cloud.credentials().client_secret;
    let second = second.replace(&secret, "not-the-secret");
    rig.write_config(&format!("{}\n[source.wrong]{second}", rig.config()));
    let output = run(&mut rig.mount_command(), SOON);
    assert!(output.status.success(), "{}", text(&output));
    assert!(said(&output).contains("wrong: cannot list recordings"), "{}", text(&output));
    assert_eq!(shown(&rig), 8);
    let wrong = rig.status()["sources"][1].clone();
    assert_eq!(wrong["name"], "wrong");
    assert!(wrong["error"].as_str().is_some_and(|why| why.contains("client_secret")), "{wrong}");
    assert!(wrong["next"].is_string() && wrong["failed"].is_string(), "{wrong}");
    let words = String::from_utf8_lossy(&command(&rig, &["status"]).stdout).into_owned();
    assert!(words.contains("FAILED") && !words.contains("not-the-secret"), "{words}");
    rig.unmount();
}

#[test]
fn a_dead_mount_is_told_as_one_with_its_mend_and_the_next_daemon_is_asked_in_its_place() {
    let rig = Rig::mounted(options(Archive::many(3, 20)));
    let link = rig.directory.path().join("link");
    std::os::unix::fs::symlink(&rig.mountpoint, &link).expect("a link");
    let alive = rig.status();
    assert!(alive["dead"].is_null(), "{alive}");
    kill(&rig);
    let place = rig.mountpoint.to_str().expect("a path");
    let inside = format!("{place}/acme/2026");
    let link = link.to_str().expect("a path");
    for asked in [place, inside.as_str(), link] {
        for words in ["status", "refresh", "expiring"] {
            let output = command(&rig, &[words, asked]);
            assert_eq!(
                (output.status.code(), output.stdout.len()),
                (Some(1), 0),
                "{}",
                text(&output)
            );
            let said = said(&output);
            assert!(
                said.starts_with(&format!("error: the daemon of the mount {place} has died\n")),
                "{said}"
            );
            assert!(
                said.contains(&format!("hint: Unmount it with `meetfs unmount {place}`")),
                "{said}"
            );
            assert_eq!(said.lines().count(), 2, "{said}");
        }
    }
    // Who asks for all sees it among them; programs find the keys that they look for.
    let line = listed(&rig, &["status"]).expect("a line");
    assert!(
        line.contains("  DEAD: ") && line.contains(&format!("`meetfs unmount {place}`")),
        "{line}"
    );
    for words in
        [&["status", "--json"][..], &["status", "--json", place], &["refresh", "--json", place]]
    {
        let output = command(&rig, words);
        assert_eq!(output.status.code(), Some(1), "{}", text(&output));
        let mounts: Vec<Value> = serde_json::from_slice(&output.stdout).expect("JSON");
        let dead =
            mounts.iter().find(|mount| mount["mountpoint"] == place).expect("the dead mount");
        assert!(dead["dead"].as_str().is_some_and(|why| why.contains("meetfs unmount")), "{dead}");
        assert!(dead["sources"].as_array().is_some_and(Vec::is_empty), "{dead}");
        let keys = |mount: &Value| -> Vec<String> {
            mount.as_object().expect("keys").keys().cloned().collect()
        };
        assert_eq!(keys(dead), keys(&alive));
    }
    // Told once, where the mounts are told, and not again as what went wrong.
    let line = listed(&rig, &["refresh"]).expect("a line");
    assert!(
        line.contains("  DEAD: ") && line.contains(&format!("`meetfs unmount {place}`")),
        "{line}"
    );
    let output = command(&rig, &["refresh"]);
    assert_eq!(output.status.code(), Some(1), "{}", text(&output));
    assert!(said(&output).contains("Unmount the mounts that are marked DEAD"), "{}", text(&output));
    assert!(!said(&output).contains("has died"), "{}", text(&output));
    // What a dead mount holds is not known to be saved.
    let output = command(&rig, &["expiring", "--not-in", "/usr"]);
    assert_eq!(output.status.code(), Some(1), "{}", text(&output));
    assert!(
        said(&output).contains(&format!("the daemon of the mount {place} has died")),
        "{}",
        text(&output)
    );
    rig.mount();
    assert_eq!(rig.status()["sources"][0]["meetings"], 3);
    let line = listed(&rig, &["status"]).expect("a line");
    assert!(!line.contains("DEAD"), "{line}");
    rig.unmount();
}

#[test]
fn what_is_no_mount_or_lies_in_one_is_told_what_it_is_and_what_to_give() {
    let rig = Rig::mounted(options(Archive::many(3, 20)));
    let place = rig.mountpoint.to_str().expect("a path");
    let inside = rig.shell("cd acme/*/ && pwd -P").trim().to_owned();
    let outside = rig.directory.path().to_str().expect("a path");
    let within =
        format!("{inside} is inside the meetfs mount {place}\nhint: Give {place} instead.");
    let other =
        format!("no meetfs is mounted at {outside}\nhint: `meetfs status` lists your mounts");
    for words in ["status", "refresh", "expiring"] {
        for (asked, told) in [(inside.as_str(), &within), (outside, &other)] {
            let output = command(&rig, &[words, asked]);
            assert_eq!(output.status.code(), Some(1), "{}", text(&output));
            assert!(said(&output).contains(told.as_str()), "{}", text(&output));
        }
        let output = command(&rig, &[words, "/does/not/exist"]);
        assert!(
            said(&output).contains("no meetfs is mounted at /does/not/exist"),
            "{}",
            text(&output)
        );
    }
    // One that lives and has its socket elsewhere.
    let elsewhere = rig.directory.path().join("elsewhere");
    let mut status = rig.meetfs();
    status.env("XDG_RUNTIME_DIR", &elsewhere).env("XDG_STATE_HOME", &elsewhere);
    let output = run(status.args(["status", place]), SOON);
    assert_eq!(output.status.code(), Some(1), "{}", text(&output));
    assert!(said(&output).contains("has no control socket for you"), "{}", text(&output));
    rig.unmount();
}

#[test]
fn filters_choose_what_is_shown_and_status_counts_the_rest() {
    let mut archive = Archive::empty();
    archive.meetings.push(meeting("YQ==", "Weekly: Été"));
    archive.meetings.push(meeting("Yg==", "weekly sales"));
    archive.meetings.push(meeting("Yw==", "Private"));
    let old = Timestamp::now() - SignedDuration::from_hours(24 * 100);
    archive.meetings.push(Meeting::new("ZA==", "Weekly of old", old));
    let since = (Timestamp::now() - SignedDuration::from_hours(24 * 30)).to_string();
    let rig = Rig::new(options(archive))
        .with_source(&format!("since = \"{}\"", &since[..10]))
        .with_source("topics = [\"WEEKLY*\", \"x?\"]")
        .with_source("kinds = [\"chat\"]")
        .with_source("hosts = [\"*@example.org\"]")
        .with_source("min_duration = \"5m\"");
    rig.mount();
    assert_eq!(shown(&rig), 2);
    assert_eq!(rig.shell("find . -name '*.mp4' | wc -l").trim(), "0");
    assert_eq!(rig.shell("find . -name meeting.json | wc -l").trim(), "2");
    let source = rig.status()["sources"][0].clone();
    let counts =
        ["meetings", "files", "hidden_meetings", "hidden_files"].map(|key| source[key].clone());
    assert_eq!(counts, [2, 2, 1, 2].map(Value::from), "{source}");
    rig.unmount();
    // The other way round, from what is kept.
    let rig = rig.with_source("until = \"2020-01-01\"");
    rig.write_config(&rig.config());
    let output = run(&mut rig.mount_command(), SOON);
    assert_eq!(output.status.code(), Some(3), "{}", text(&output));
    assert!(said(&output).contains("lies before the first day"), "{}", text(&output));
}

#[test]
fn a_daemon_that_stands_still_is_told_by_whoever_asks_it_before_long() {
    let rig = Rig::mounted(options(Archive::many(2, 20)));
    let daemon = rig.daemon().expect("a daemon");
    signal(daemon, "STOP");
    let outputs: Vec<_> = std::thread::scope(|scope| {
        let asking = ["status", "refresh", "expiring"].map(|word| {
            let mut command = rig.meetfs();
            command.arg(word).arg(&rig.mountpoint);
            scope.spawn(move || run_within(&mut command, SOON))
        });
        asking.into_iter().map(|asked| asked.join().expect("an end")).collect()
    });
    signal(daemon, "CONT");
    for output in outputs {
        let output = output.expect("an answer in time");
        assert_eq!(output.status.code(), Some(1), "{}", text(&output));
        assert!(said(&output).contains("does not answer: timed out"), "{}", text(&output));
    }
    let refreshed = command(&rig, &["refresh"]);
    assert!(refreshed.status.success(), "{}", text(&refreshed));
}
