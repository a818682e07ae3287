//! `meetfs status`, `meetfs refresh`, the control socket, and counts of filtered recordings.

use std::process::Output;
use std::time::{Duration, Instant};

use crate::support::processes::{RunningCommand, kill_process, signal, stop};
use crate::support::{
    COMMAND_TIMEOUT, Rig, isolated, mode_of, run, run_with_timeout, text, wait_until,
};
use jiff::{SignedDuration, Timestamp};
use meetfs::demo_cloud::{
    Archive, Content, DemoCloudOptions, Effect, Meeting, MeetingFile, Server, Trigger,
};
use serde_json::Value;

fn options(archive: Archive) -> DemoCloudOptions {
    DemoCloudOptions { archive, ..DemoCloudOptions::default() }
}

fn command(rig: &Rig, words: &[&str]) -> Output {
    run(&mut isolated(rig, rig.meetfs().args(words)), COMMAND_TIMEOUT)
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Returns the line of the rig's mount in the output, if any.
fn listed(rig: &Rig, words: &[&str]) -> Option<String> {
    let output = String::from_utf8_lossy(&command(rig, words).stdout).into_owned();
    let place = rig.mountpoint.to_string_lossy().into_owned();
    output.lines().find(|line| line.starts_with(&place)).map(str::to_owned)
}

fn kill(rig: &Rig) {
    kill_process(rig.daemon().expect("a daemon"));
    wait_until(COMMAND_TIMEOUT, "the daemon has exited", || rig.daemon().is_none());
}

fn shown(rig: &Rig) -> usize {
    rig.shell("find . -name chat.txt | wc -l").trim().parse().expect("a number")
}

/// A meeting with a video and a chat, an hour ago.
fn meeting(uuid: &str, topic: &str) -> Meeting {
    let start = Timestamp::now() - SignedDuration::from_hours(1);
    Meeting::new(uuid, topic, start)
        .with_file(MeetingFile::new("MP4", Content::Pattern { seed: 7, length: 50_000 }))
        .with_file(MeetingFile::new("CHAT", Content::Stored("hello\n".into())))
}

#[test]
fn status_shows_counts_and_refresh_times() {
    let rig = Rig::mounted(options(Archive::with_meetings(12, 20)));
    // The mount is ready before the first refresh has ended. Only then is `next` set.
    wait_until(COMMAND_TIMEOUT, "the first refresh ends", || {
        rig.status()["sources"][0]["next"].is_string()
    });
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
    assert!(words.contains("acme  zoom, 12 meetings, 24 files"), "{words}");
    rig.unmount();
    assert!(
        !rig.directory.path().join("run/meetfs").read_dir().expect("a directory").any(|_| true)
    );
    let output = command(&rig, &["status", rig.mountpoint.to_str().expect("a path")]);
    assert_eq!(output.status.code(), Some(1), "{}", text(&output));
    assert!(stderr(&output).contains("no meetfs file system is mounted at"), "{}", text(&output));
    assert_eq!(listed(&rig, &["status"]), None);
    let output = command(&rig, &["status", "--json"]);
    let mounts: Vec<Value> = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(mounts, Vec::<Value>::new());
}

#[test]
fn control_socket_is_private_and_robust() {
    let rig = Rig::mounted(options(Archive::with_meetings(3, 20)));
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
    // Invalid, missing and oversized requests close the connection and nothing else.
    let script = format!(
        "python3 -c '\nimport socket\n\
         def say(b):\n s = socket.socket(socket.AF_UNIX); s.settimeout(8); s.connect(\"{}\"); s.sendall(b)\n \
         try:\n  return s.recv(9)\n except OSError as e:\n  return b\"\"\n\
         for b in [b\"nonsense\\n\", b\"x\" * 60000, bytes(range(256)), b\"status\"]: assert say(b) == b\"\", b\n'",
        socket.display()
    );
    let output = rig.try_shell(&script, COMMAND_TIMEOUT);
    assert!(output.status.success(), "{}", text(&output));
    assert_eq!(rig.status()["sources"][0]["meetings"], 3);
    rig.unmount();
}

#[test]
fn reply_of_a_foreign_daemon_is_printable() {
    let rig = Rig::mounted(options(Archive::with_meetings(3, 20)));
    let directory = rig.directory.path().join("run/meetfs");
    let entry = directory.read_dir().expect("a directory").next().expect("a socket");
    let socket = entry.expect("an entry").path();
    let real = rig.directory.path().join("real.sock");
    std::fs::rename(&socket, &real).expect("a socket");
    // Forwards requests to the daemon and changes the name of the source in the replies.
    let script = format!(
        "exec python3 -c '\nimport socket\n\
         server = socket.socket(socket.AF_UNIX); server.bind(\"{}\"); server.listen()\n\
         while True:\n client, _ = server.accept()\n real = socket.socket(socket.AF_UNIX); real.connect(\"{}\")\n \
         real.sendall(client.recv(9999)); reply = b\"\"\n \
         while part := real.recv(99999): reply += part\n \
         client.sendall(reply.replace(b\"acme\", \"a\\\\u001b[2J\\u202e\\U000e0001me\".encode())); client.close()\n'",
        socket.display(),
        real.display()
    );
    let _foreign = RunningCommand::outside(&rig, &script);
    wait_until(COMMAND_TIMEOUT, "the socket exists", || socket.exists());
    for words in [&["status"][..], &["status", "--json"], &["expiring"], &["doctor"]] {
        let output = text(&command(&rig, words));
        let harmful = output.chars().find(|c| matches!(c, '\u{1b}' | '\u{202e}' | '\u{e0001}'));
        assert_eq!(harmful, None, "{words:?}: {output}");
        assert!(words[0] != "status" || output.contains("[2J"), "{words:?}: {output}");
    }
}

#[test]
fn idle_connections_do_not_block_status() {
    let rig = Rig::mounted(options(Archive::with_meetings(3, 20)));
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
    let holding = crate::support::processes::RunningCommand::outside(&rig, &hold);
    wait_until(COMMAND_TIMEOUT, "they are connected", || holding.output().contains("held"));
    for _ in 0..5 {
        let start = Instant::now();
        assert_eq!(rig.status()["sources"][0]["meetings"], 3);
        assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
    }
    let daemon = rig.daemon().expect("a daemon");
    let open = std::fs::read_dir(format!("/proc/{daemon}/fd")).expect("descriptors").count();
    assert!(open < 200, "{open} descriptors are open");
    drop(holding);
    rig.unmount();
}

#[test]
fn waiting_refreshes_do_not_block_status() {
    let rig = Rig::mounted(options(Archive::with_meetings(3, 20)));
    rig.cloud.inject(
        Trigger::always(Server::Api).with_path("/recordings").with_effect(Effect::BlackHole),
    );
    let refresh = format!("{} refresh \"$M\"", rig.meetfs().get_program().to_string_lossy());
    let environment =
        format!("export XDG_RUNTIME_DIR='{}'", rig.directory.path().join("run").display());
    let directory = rig.directory.path().join("run/meetfs").display().to_string();
    let waiting = format!("{environment}; for i in $(seq 20); do {refresh} & done; wait");
    let waiting = RunningCommand::outside(&rig, &waiting);
    // Each waiting client has a connection; one more than the clients is the listening socket.
    let sockets = || {
        let table = std::fs::read_to_string("/proc/net/unix").expect("the table of sockets");
        table.lines().filter(|line| line.contains(directory.as_str())).count()
    };
    wait_until(COMMAND_TIMEOUT, "every client waits", || sockets() > 20);
    for _ in 0..3 {
        let start = Instant::now();
        assert_eq!(rig.status()["sources"][0]["meetings"], 3);
        assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
    }
    rig.cloud.clear_faults();
    drop(waiting);
    rig.unmount();
}

#[test]
fn refresh_returns_when_new_meetings_are_shown() {
    let rig = Rig::mounted(options(Archive::with_meetings(5, 20)));
    rig.cloud.add_meeting(meeting("bmV3==", "Brand new"));
    let output = command(&rig, &["refresh", rig.mountpoint.to_str().expect("a path")]);
    assert!(output.status.success(), "{}", text(&output));
    assert_eq!(rig.shell("cat */*/*Brand*/chat.txt"), "hello\n");
    assert!(String::from_utf8_lossy(&output.stdout).contains("6 meetings"), "{}", text(&output));
    rig.cloud
        .inject(Trigger::always(Server::Api).with_path("/users/").with_effect(Effect::status(404)));
    let place = rig.mountpoint.to_str().expect("a path");
    let output = command(&rig, &["refresh", place]);
    assert_eq!(output.status.code(), Some(1), "{}", text(&output));
    assert!(stderr(&output).contains("not refreshed completely: acme"), "{}", text(&output));
    assert_eq!(shown(&rig), 6, "a failed refresh does not hide meetings");
    let source = rig.status()["sources"][0].clone();
    assert!(source["error"].is_object(), "{source:#}");
    rig.cloud.clear_faults();
    let output = command(&rig, &["refresh", place]);
    assert!(output.status.success(), "{}", text(&output));
    assert!(rig.status()["sources"][0]["error"].is_null());
    rig.unmount();
    let output = command(&rig, &["refresh"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("you have no mounts"), "{}", text(&output));
}

#[test]
fn wrong_secret_affects_only_its_source() {
    let rig = Rig::new(options(Archive::with_meetings(8, 20)));
    let second = rig.config().split("[source.acme]").nth(1).expect("a source").to_owned();
    let secret = rig.cloud.credentials().client_secret;
    let second = second.replace(&secret, "not-the-secret");
    rig.write_config(&format!("{}\n[source.wrong]{second}", rig.config()));
    let output = run(&mut rig.mount_command(), COMMAND_TIMEOUT);
    assert!(output.status.success(), "{}", text(&output));
    assert!(stderr(&output).contains("wrong: cannot list recordings"), "{}", text(&output));
    assert_eq!(shown(&rig), 8);
    let wrong = rig.status()["sources"][1].clone();
    assert_eq!(wrong["name"], "wrong");
    assert!(wrong["error"].to_string().contains("client_secret"), "{wrong}");
    assert!(wrong["next"].is_string() && wrong["failed"].is_string(), "{wrong}");
    let words = String::from_utf8_lossy(&command(&rig, &["status"]).stdout).into_owned();
    assert!(words.contains("FAILED") && !words.contains("not-the-secret"), "{words}");
    rig.unmount();
}

#[test]
fn dead_mount_is_reported_with_its_fix() {
    let rig = Rig::mounted(options(Archive::with_meetings(3, 20)));
    let link = rig.directory.path().join("link");
    std::os::unix::fs::symlink(&rig.mountpoint, &link).expect("a link");
    let alive = rig.status();
    assert!(alive["dead"].is_null(), "{alive}");
    kill(&rig);
    let place = rig.mountpoint.to_str().expect("a path");
    let inside = format!("{place}/acme/2026");
    let link = link.to_str().expect("a path");
    for path in [place, inside.as_str(), link] {
        for words in ["status", "refresh", "expiring"] {
            let output = command(&rig, &[words, path]);
            assert_eq!(
                (output.status.code(), output.stdout.len()),
                (Some(1), 0),
                "{}",
                text(&output)
            );
            let message = stderr(&output);
            assert!(
                message.starts_with(&format!("error: the daemon of the mount {place} has died\n")),
                "{message}"
            );
            assert!(
                message.contains(&format!("hint: Unmount it with `meetfs unmount {place}`")),
                "{message}"
            );
            assert_eq!(message.lines().count(), 2, "{message}");
        }
    }
    // The report of all mounts includes this mount, with the same keys.
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
        assert!(
            dead["dead"]["hint"].as_str().is_some_and(|hint| hint.contains("meetfs unmount")),
            "{dead}"
        );
        assert!(dead["sources"].as_array().is_some_and(Vec::is_empty), "{dead}");
        let keys = |mount: &Value| -> Vec<String> {
            mount.as_object().expect("keys").keys().cloned().collect()
        };
        assert_eq!(keys(dead), keys(&alive));
    }
    // The report marks the dead mount, and the error does not repeat it.
    let line = listed(&rig, &["refresh"]).expect("a line");
    assert!(
        line.contains("  DEAD: ") && line.contains(&format!("`meetfs unmount {place}`")),
        "{line}"
    );
    let output = command(&rig, &["refresh"]);
    assert_eq!(output.status.code(), Some(1), "{}", text(&output));
    assert!(
        stderr(&output).contains("Unmount the mounts that are marked DEAD"),
        "{}",
        text(&output)
    );
    assert!(!stderr(&output).contains("has died"), "{}", text(&output));
    // It is unknown whether the files in a dead mount are saved.
    let output = command(&rig, &["expiring", "--not-in", "/usr"]);
    assert_eq!(output.status.code(), Some(1), "{}", text(&output));
    assert!(
        stderr(&output).contains(&format!("the daemon of the mount {place} has died")),
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
fn wrong_mountpoint_is_explained() {
    let rig = Rig::mounted(options(Archive::with_meetings(3, 20)));
    let place = rig.mountpoint.to_str().expect("a path");
    let inside = rig.shell("cd acme/*/ && pwd -P").trim().to_owned();
    let outside = rig.directory.path().to_str().expect("a path");
    let within =
        format!("{inside} is inside the meetfs mount {place}\nhint: Use the mountpoint {place}.");
    let other = format!(
        "no meetfs file system is mounted at {outside}\nhint: `meetfs status` lists your mounts"
    );
    for words in ["status", "refresh", "expiring"] {
        for (path, expected) in [(inside.as_str(), &within), (outside, &other)] {
            let output = command(&rig, &[words, path]);
            assert_eq!(output.status.code(), Some(1), "{}", text(&output));
            assert!(stderr(&output).contains(expected.as_str()), "{}", text(&output));
        }
        let output = command(&rig, &[words, "/does/not/exist"]);
        assert!(
            stderr(&output).contains("no meetfs file system is mounted at /does/not/exist"),
            "{}",
            text(&output)
        );
    }
    // The socket of the live daemon is in another directory.
    let elsewhere = rig.directory.path().join("elsewhere");
    let mut status = rig.meetfs();
    status.env("XDG_RUNTIME_DIR", &elsewhere).env("XDG_STATE_HOME", &elsewhere);
    let output = run(status.args(["status", place]), COMMAND_TIMEOUT);
    assert_eq!(output.status.code(), Some(1), "{}", text(&output));
    assert!(
        stderr(&output).contains("cannot find the control socket of the daemon"),
        "{}",
        text(&output)
    );
    rig.unmount();
}

#[test]
fn status_counts_filtered_recordings() {
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
    // An empty range of days.
    let rig = rig.with_source("until = \"2020-01-01\"");
    rig.write_config(&rig.config());
    let output = run(&mut rig.mount_command(), COMMAND_TIMEOUT);
    assert_eq!(output.status.code(), Some(3), "{}", text(&output));
    assert!(stderr(&output).contains("the first day"), "{}", text(&output));
}

#[test]
fn hanging_daemon_is_reported_in_time() {
    let rig = Rig::mounted(options(Archive::with_meetings(2, 20)));
    // A socket of the test that never answers takes the place of the daemon's socket.
    let sockets = rig.directory.path().join("run/meetfs");
    let socket = std::fs::read_dir(&sockets).expect("a directory").flatten().next();
    let socket = socket.expect("a socket").path();
    std::fs::remove_file(&socket).expect("a socket");
    let _silent = std::os::unix::net::UnixListener::bind(&socket).expect("a socket");
    let outputs: Vec<_> = std::thread::scope(|scope| {
        let clients = ["status", "refresh", "expiring"].map(|word| {
            let mut command = rig.meetfs();
            command.arg(word).arg(&rig.mountpoint);
            scope.spawn(move || run_with_timeout(&mut command, COMMAND_TIMEOUT))
        });
        clients.into_iter().map(|client| client.join().expect("an end")).collect()
    });
    for output in outputs {
        let output = output.expect("an answer in time");
        assert_eq!(output.status.code(), Some(1), "{}", text(&output));
        assert!(stderr(&output).contains("does not answer: timed out"), "{}", text(&output));
    }
}

#[test]
fn stopped_daemon_is_named_at_once() {
    let rig = Rig::mounted(options(Archive::with_meetings(2, 20)));
    let daemon = rig.daemon().expect("a daemon");
    let place = rig.mountpoint.to_str().expect("a path");
    stop(daemon);
    let commands: [&[&str]; 6] = [
        &["status", place],
        &["refresh", place],
        &["expiring", place],
        &["status"],
        &["refresh"],
        &["expiring"],
    ];
    for words in commands {
        let started = Instant::now();
        let output = command(&rig, words);
        assert!(started.elapsed() < Duration::from_secs(10), "{words:?}: {:?}", started.elapsed());
        assert_eq!((output.status.code(), output.stdout.len()), (Some(1), 0), "{}", text(&output));
        assert_eq!(
            stderr(&output),
            format!(
                "error: {place}: the daemon (process {daemon}) is stopped\n\
                 hint: Resume it with `kill -CONT {daemon}`.\n"
            ),
            "{words:?}"
        );
    }
    for words in [&["status", "--json"][..], &["status", "--json", place]] {
        let output = command(&rig, words);
        let mounts: Value = serde_json::from_slice(&output.stdout).expect("JSON");
        assert_eq!(output.status.code(), Some(1), "{}", text(&output));
        assert_eq!(mounts[0]["mountpoint"], place, "{mounts}");
        let hint = format!("Resume it with `kill -CONT {daemon}`.");
        assert_eq!(mounts[0]["dead"]["hint"], hint, "{mounts}");
    }
    signal(daemon, "CONT");
    let refreshed = command(&rig, &["refresh"]);
    assert!(refreshed.status.success(), "{}", text(&refreshed));
    // The daemon stops while a client waits for the end of a refresh.
    rig.cloud.inject(
        Trigger::always(Server::Api).with_path("/recordings").with_effect(Effect::BlackHole),
    );
    let mut refresh = RunningCommand::start(rig.meetfs().args(["refresh", place]));
    wait_until(COMMAND_TIMEOUT, "the refresh waits", || {
        rig.status()["sources"][0]["is_refreshing"] == true
    });
    stop(daemon);
    let (status, took) = refresh.end(COMMAND_TIMEOUT);
    signal(daemon, "CONT");
    assert_eq!(status.code(), Some(1), "{}", refresh.output());
    assert!(refresh.output().contains("is stopped\n"), "{}", refresh.output());
    assert!(took < Duration::from_secs(10), "{took:?}");
}

#[test]
fn bind_mount_names_the_original_mountpoint() {
    let rig = Rig::mounted(options(Archive::with_meetings(2, 20)));
    let place = rig.mountpoint.to_str().expect("a path");
    for (part, deeper) in [("", "acme"), ("/acme", "2026")] {
        let bind = rig.directory.path().join(format!("bind{}", part.len()));
        std::fs::create_dir(&bind).expect("a directory");
        let source = format!("{place}{part}");
        let mut mount = std::process::Command::new("mount");
        let mounted = run(mount.args(["--bind", &source]).arg(&bind), COMMAND_TIMEOUT);
        assert!(mounted.status.success(), "{}", text(&mounted));
        let inside = bind.join(deeper);
        let [bind, inside] = [&bind, &inside].map(|path| path.to_str().expect("a path"));
        for (path, expected) in [
            (bind, format!("{bind} is a bind mount of the meetfs mount {place}")),
            (
                inside,
                format!("{inside} is inside {bind}, a bind mount of the meetfs mount {place}"),
            ),
        ] {
            for word in ["status", "refresh", "expiring"] {
                let output = command(&rig, &[word, path]);
                assert_eq!(output.status.code(), Some(1), "{}", text(&output));
                let expected = format!("error: {expected}\nhint: Use the mountpoint {place}.\n");
                assert_eq!(stderr(&output), expected);
            }
        }
        let unmounted = run(std::process::Command::new("umount").arg(bind), COMMAND_TIMEOUT);
        assert!(unmounted.status.success(), "{}", text(&unmounted));
    }
    rig.unmount();
}

/// `su` and `sudo -E` keep the variable.
#[test]
fn runtime_directory_of_another_user_is_ignored() {
    let rig = Rig::new(options(Archive::with_meetings(2, 20)));
    let session = rig.directory.path().join("session");
    std::fs::create_dir(&session).expect("a directory");
    std::os::unix::fs::chown(&session, Some(65534), Some(65534)).expect("an owner");
    rig.write_config(&rig.config());
    let output = run(rig.mount_command().env("XDG_RUNTIME_DIR", &session), COMMAND_TIMEOUT);
    assert!(output.status.success(), "{}", text(&output));
    assert_eq!(std::fs::read_dir(&session).expect("a directory").count(), 0);
    for words in [["status"], ["refresh"], ["expiring"]] {
        // A command finds the mount with the variable, without it, and if the variable names a
        // file.
        let file = rig.config_path();
        for variable in [Some(session.as_path()), None, Some(file.as_path())] {
            let mut command = rig.meetfs();
            command.args(words).arg(&rig.mountpoint);
            match variable {
                Some(directory) => command.env("XDG_RUNTIME_DIR", directory),
                None => command.env_remove("XDG_RUNTIME_DIR"),
            };
            let output = run(&mut command, COMMAND_TIMEOUT);
            assert!(output.status.success(), "{words:?}, {variable:?}: {}", text(&output));
        }
    }
    rig.unmount();
}

#[test]
fn status_omits_counts_of_zero() {
    let processing_file = || {
        MeetingFile::new("MP4", Content::Pattern { seed: 8, length: 60_000 })
            .with_status_processing()
    };
    let unfinished = || {
        let mut unfinished = meeting("Yg==", "Unfinished");
        unfinished.files = vec![processing_file()];
        unfinished
    };
    let processing = || meeting("YQ==", "Processing").with_file(processing_file());
    for (meetings, filter, expected) in [
        (vec![processing()], "", "still being processed, not shown yet: 1 file\n"),
        (vec![unfinished()], "", "still being processed, not shown yet: 1 meeting\n"),
        (vec![meeting("YQ==", "A")], "kinds = [\"chat\"]", "hidden by the configuration: 1 file\n"),
        (
            vec![meeting("YQ==", "A")],
            "topics = [\"B\"]",
            "hidden by the configuration: 1 meeting\n",
        ),
    ] {
        let mut archive = Archive::empty();
        archive.meetings = meetings;
        let rig = Rig::new(options(archive)).with_source(filter);
        rig.mount();
        let output = command(&rig, &["status"]);
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(
            text.contains(expected) && !text.contains("of other meetings"),
            "{expected}: {text}"
        );
        rig.unmount();
    }
}

#[test]
fn status_counts_what_the_directories_show() {
    let processing = meeting("YQ==", "Processing").with_file(
        MeetingFile::new("MP4", Content::Pattern { seed: 8, length: 60_000 })
            .with_status_processing(),
    );
    let mut unfinished = meeting("Yg==", "Unfinished");
    unfinished.files =
        unfinished.files.into_iter().map(MeetingFile::with_status_processing).collect();
    let mut empty = meeting("Yw==", "Empty");
    empty.files.clear();
    let mut archive = Archive::empty();
    archive.meetings = vec![processing, unfinished, empty, meeting("ZA==", "Complete")];
    let rig = Rig::mounted(options(archive));
    assert_eq!(shown(&rig), 2);
    let source = rig.status()["sources"][0].clone();
    let recordings = rig.shell("find . -name '*.mp4' -o -name '*.txt' | wc -l");
    assert_eq!(
        (source["files"].to_string(), source["files"].clone()),
        (recordings.trim().to_owned(), 4.into())
    );
    let counts = ["meetings", "processing_meetings", "processing_files", "empty_meetings"]
        .map(|key| source[key].clone());
    assert_eq!(counts, [2, 1, 1, 1].map(Value::from), "{source}");
    let output = command(&rig, &["status"]);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    for line in [
        "still being processed, not shown yet: 1 meeting, and 1 file of other meetings",
        "without recordings, not shown: 1 meeting",
    ] {
        assert!(text.contains(line), "{text}");
    }
    rig.unmount();
}
