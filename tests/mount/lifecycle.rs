//! The lifecycle of a mount: start, signals, and an end that leaves nothing behind.

use std::process::Command;
use std::time::{Duration, Instant};

use crate::login::rig as login;
use crate::support::processes::{
    RunningCommand, SecondMountpoint, assert_nothing_left, kill_process, mount_in_foreground,
    processes_for, signal,
};
use crate::support::{COMMAND_TIMEOUT, Rig, run, text, wait_for_recycle_bin, wait_until};
use jiff::tz::TimeZone;
use meetfs::demo_cloud::{
    Archive, Content, DemoCloudOptions, Effect, Meeting, MeetingFile, Server, Trigger, UserApp,
};

/// The time that a user accepts for an unmount.
const FEW_SECONDS: Duration = Duration::from_secs(10);

fn small() -> DemoCloudOptions {
    DemoCloudOptions { archive: Archive::with_meetings(40, 60), ..DemoCloudOptions::default() }
}

/// Number of bytes of the stalled file that arrive.
const BYTES_BEFORE_STALL: u64 = 100_000;

/// One file of 64 MB whose download stalls.
fn stalled() -> DemoCloudOptions {
    let faults = vec![
        Trigger::always(Server::Media)
            .with_effect(Effect::Stall { after_bytes: BYTES_BEFORE_STALL }),
    ];
    DemoCloudOptions {
        archive: Archive::with_pattern_files(&[("big", 64_000_000)]),
        faults,
        ..DemoCloudOptions::default()
    }
}

/// Starts a `cat` and waits until it hangs in the stalled file.
fn hanging_reader(rig: &Rig) -> RunningCommand {
    let reader = RunningCommand::outside(rig, "exec cat \"$M\"/acme/*/*/*.mp4 > /dev/null");
    reader.wait_for_program("cat");
    wait_until(COMMAND_TIMEOUT, "the reader waits for bytes", || {
        rig.media_bytes() >= BYTES_BEFORE_STALL && reader.is_sleeping()
    });
    reader
}

#[test]
fn mount_returns_when_the_tree_can_be_listed() {
    let rig = Rig::new(small());
    rig.write_config(&rig.config());
    // The command substitution and the pipe end only when every writer has closed them.
    let line = "out=$(\"$@\" 2>&1) && echo \"<$out>\" && find \"$M\" -name chat.txt | wc -l && sleep 0 | cat";
    let mount = rig.mount_command();
    let mut shell = Command::new("bash");
    shell.args(["-c", line, "bash"]).arg(mount.get_program()).args(mount.get_args());
    let output = run(shell.env("M", &rig.mountpoint), Duration::from_secs(20));
    assert_eq!(String::from_utf8_lossy(&output.stdout), "<>\n40\n", "{}", text(&output));
    rig.unmount();
    assert_nothing_left(&rig, FEW_SECONDS);
}

#[test]
fn log_and_cache_inside_the_mountpoint_are_rejected() {
    let rig = Rig::new(small());
    rig.write_config(&rig.config());
    let link = rig.directory.path().join("link");
    std::os::unix::fs::symlink(&rig.mountpoint, &link).expect("a link");
    for (flag, name) in
        [("--log-file", "log"), ("--cache-dir", "cache"), ("--cache-dir", "deeper/cache")]
    {
        for directory in [&rig.mountpoint, &link] {
            let mut command = rig.meetfs();
            command.args(["mount", "--config"]).arg(rig.config_path()).arg(&rig.mountpoint);
            let output = run(command.arg(flag).arg(directory.join(name)), COMMAND_TIMEOUT);
            assert_eq!(output.status.code(), Some(1), "{}", text(&output));
            assert!(text(&output).contains("is inside the mountpoint"), "{}", text(&output));
            assert_eq!(std::fs::read_dir(&rig.mountpoint).expect("a directory").count(), 0);
        }
    }
    rig.mount();
    rig.unmount();
}

#[test]
fn daemon_leaves_its_directory_and_terminal() {
    let rig = Rig::mounted(small());
    let daemon = rig.daemon().expect("a daemon");
    let link = |name: &str| {
        std::fs::read_link(format!("/proc/{daemon}/{name}")).expect("a link").display().to_string()
    };
    assert_eq!(link("cwd"), "/");
    for stream in ["fd/0", "fd/1", "fd/2"] {
        // Standard output and standard error are redirected just after the daemon has reported that
        // it is ready.
        wait_until(COMMAND_TIMEOUT, "the stream is redirected", || link(stream) == "/dev/null");
    }
    let stat = std::fs::read_to_string(format!("/proc/{daemon}/stat")).expect("a status");
    let session =
        stat.rsplit(") ").next().and_then(|rest| rest.split(' ').nth(3)).expect("a session");
    assert_eq!(session, daemon.to_string(), "the daemon leads its own session");
    rig.unmount();
}

#[test]
fn foreground_mount_exits_with_0_on_signal() {
    let rig = Rig::new(small());
    for name in ["INT", "TERM"] {
        let mut running = mount_in_foreground(&rig);
        rig.shell("ls acme");
        assert!(running.is_running());
        running.signal(name);
        let (status, _) = running.end(FEW_SECONDS);
        assert_eq!(status.code(), Some(0), "{name}: {}", running.output());
        assert_nothing_left(&rig, FEW_SECONDS);
        assert!(!running.output().contains("panicked"), "{}", running.output());
    }
}

#[test]
fn signal_fails_reads_that_hang() {
    for name in ["INT", "TERM"] {
        let rig = Rig::new(stalled());
        let mut running = mount_in_foreground(&rig);
        let mut reader = hanging_reader(&rig);
        running.signal(name);
        let (status, _) = running.end(FEW_SECONDS);
        assert_eq!(status.code(), Some(0), "{}", running.output());
        let (status, _) = reader.end(FEW_SECONDS);
        assert_eq!(status.code(), Some(1), "{}", reader.output());
        assert!(reader.output().contains("cat: "), "{}", reader.output());
        assert_nothing_left(&rig, FEW_SECONDS);
    }
}

/// After the unmount the daemon waits up to five seconds for a token renewal in flight.
#[test]
fn second_signal_ends_the_wait_at_once() {
    let rig = Rig::new(small());
    login::write_config(&rig, &UserApp::demo());
    login::sign_in(&rig);
    let mut running = RunningCommand::start(rig.mount_command().arg("--foreground"));
    wait_until(COMMAND_TIMEOUT, "mounted", || rig.entries_in_mount_table() == 1);
    rig.cloud.expire_tokens();
    rig.cloud.inject(
        Trigger::always(Server::Api)
            .with_path("/oauth/token")
            .with_effect(Effect::Stall { after_bytes: 10 }),
    );
    let _refresh = RunningCommand::start(rig.meetfs().arg("refresh").arg(&rig.mountpoint));
    wait_until(COMMAND_TIMEOUT, "the renewal is in flight", || {
        rig.cloud.sign_in_counts().renewals >= 1
    });
    running.signal("INT");
    wait_until(COMMAND_TIMEOUT, "unmounted", || rig.entries_in_mount_table() == 0);
    assert!(running.is_running(), "{}\n{}", running.output(), rig.log());
    running.signal("INT");
    let (status, _) = running.end(FEW_SECONDS);
    assert_eq!(status.code(), Some(1), "{}", running.output());
    assert_nothing_left(&rig, FEW_SECONDS);
}

/// The second signal may end the process before it has unmounted; the next mount then replaces the
/// dead one.
#[test]
fn second_signal_leaves_no_hanging_mount() {
    let rig = Rig::new(stalled());
    let mut running = mount_in_foreground(&rig);
    let mut reader = hanging_reader(&rig);
    running.signal("INT");
    running.signal("TERM");
    running.end(FEW_SECONDS);
    reader.end(FEW_SECONDS);
    rig.mount();
    assert_eq!(rig.entries_in_mount_table(), 1);
    rig.unmount();
    assert_nothing_left(&rig, FEW_SECONDS);
}

#[test]
fn sigterm_ends_the_daemon_of_a_busy_mount() {
    let rig = Rig::mounted(small());
    let mut shell = RunningCommand::shell(&rig, "cd acme && exec sleep 60");
    shell.wait_until_inside("acme");
    let daemon = rig.daemon().expect("a daemon");
    signal(daemon, "TERM");
    assert_nothing_left(&rig, FEW_SECONDS);
    assert!(shell.is_running());
    rig.mount();
    assert!(rig.shell("ls").contains("acme"));
    rig.unmount();
}

#[test]
fn sighup_shows_a_name_that_was_missing() {
    let rig = Rig::mounted(small());
    let start = rig.cloud.meetings().first().expect("a meeting").start;
    let local = TimeZone::UTC.to_datetime(start);
    let path =
        format!("acme/{}/{} Late arrival/chat.txt", local.year(), local.strftime("%Y-%m-%d %H%M"));
    for _ in 0..3 {
        assert!(!rig.try_shell(&format!("stat '{path}'"), COMMAND_TIMEOUT).status.success());
    }
    let text = Content::Stored("late\n".into());
    rig.cloud.add_meeting(
        Meeting::new("bGF0ZSBhcnJpdmFs==", "Late arrival", start)
            .with_file(MeetingFile::new("CHAT", text)),
    );
    let signaled = Instant::now();
    signal(rig.daemon().expect("a daemon"), "HUP");
    wait_until(COMMAND_TIMEOUT, "the meeting shows", || {
        rig.try_shell(&format!("cat '{path}'"), COMMAND_TIMEOUT).stdout == b"late\n"
    });
    assert!(signaled.elapsed() < Duration::from_secs(20), "{:?}", signaled.elapsed());
    rig.unmount();
}

#[test]
fn mount_replaces_a_dead_mount() {
    let rig = Rig::mounted(small());
    let mut holder = RunningCommand::shell(&rig, "exec sleep 60");
    holder.wait_for_program("sleep");
    for _ in 0..3 {
        let daemon = rig.daemon().expect("a daemon");
        signal(daemon, "KILL");
        wait_until(COMMAND_TIMEOUT, "the daemon has exited", || rig.daemon().is_none());
        assert_eq!(rig.entries_in_mount_table(), 1, "a killed daemon leaves its mount");
        rig.mount();
        assert_eq!(rig.entries_in_mount_table(), 1);
        assert_eq!(rig.shell("find . -name chat.txt | wc -l").trim(), "40");
    }
    assert!(holder.is_running());
    rig.unmount();
    assert_nothing_left(&rig, FEW_SECONDS);
}

#[test]
fn mountpoint_inside_a_dead_mount_is_refused() {
    let rig = Rig::mounted(small());
    kill_process(rig.daemon().expect("a daemon"));
    let place = rig.mountpoint.display();
    for inside in ["new", "acme/2026"] {
        let inside = rig.mountpoint.join(inside);
        let mut command = rig.meetfs();
        command.args(["mount", "--config"]).arg(rig.config_path()).arg(&inside);
        let output = run(&mut command, COMMAND_TIMEOUT);
        assert_eq!(output.status.code(), Some(1), "{}", text(&output));
        let message = String::from_utf8_lossy(&output.stderr).into_owned();
        let expected = format!(
            "error: the mountpoint {} is inside {place}, a mount whose daemon has died\n\
             hint: Unmount it with `meetfs unmount {place}`, or choose another directory.\n",
            inside.display()
        );
        assert_eq!(message, expected);
    }
}

#[test]
fn dead_mount_is_replaced_through_a_link() {
    let rig = Rig::mounted(small());
    let link = rig.directory.path().join("link");
    std::os::unix::fs::symlink(&rig.mountpoint, &link).expect("a link");
    for place in [
        format!("{}", link.display()),
        format!("{}/", link.display()),
        format!("{}/", rig.mountpoint.display()),
    ] {
        signal(rig.daemon().expect("a daemon"), "KILL");
        wait_until(COMMAND_TIMEOUT, "the daemon has exited", || rig.daemon().is_none());
        let mut command = crate::support::meetfs();
        command
            .args(["mount", "--config"])
            .arg(rig.config_path())
            .arg("--log-file")
            .arg(rig.log_path());
        let output = run(command.arg(&place), COMMAND_TIMEOUT);
        assert!(output.status.success(), "{place}: {}", text(&output));
        assert_eq!(rig.entries_in_mount_table(), 1, "{place}");
        rig.unmount();
        rig.mount();
    }
    rig.unmount();
}

#[test]
fn umount_ends_the_daemon() {
    let rig = Rig::new(small());
    let mut running = mount_in_foreground(&rig);
    // Another program that looks at all mounts can keep it busy for a moment.
    wait_until(COMMAND_TIMEOUT, "unmounted", || {
        run(Command::new("umount").arg(&rig.mountpoint), COMMAND_TIMEOUT).status.success()
    });
    let (status, _) = running.end(FEW_SECONDS);
    assert_eq!(status.code(), Some(0), "{}", running.output());
    assert_nothing_left(&rig, FEW_SECONDS);
}

#[test]
fn lazy_umount_serves_until_the_last_user_leaves() {
    let rig = Rig::new(small());
    let mut running = mount_in_foreground(&rig);
    let flag = rig.directory.path().join("unmounted");
    let line = format!(
        "until [ -e '{}' ]; do sleep 0.05; done; find . -name chat.txt | wc -l; exec sleep 60",
        flag.display()
    );
    let holder = RunningCommand::shell(&rig, &line);
    assert!(
        run(Command::new("umount").arg("-l").arg(&rig.mountpoint), COMMAND_TIMEOUT)
            .status
            .success()
    );
    assert_eq!(rig.entries_in_mount_table(), 0);
    std::fs::write(&flag, "").expect("a file");
    wait_until(COMMAND_TIMEOUT, "the daemon still serves", || holder.output().contains("40"));
    assert!(running.is_running(), "a process still works in the mount");
    drop(holder);
    let (status, _) = running.end(FEW_SECONDS);
    assert_eq!(status.code(), Some(0), "{}", running.output());
}

#[test]
fn signal_during_the_first_listing_leaves_nothing() {
    let slow = DemoCloudOptions { first_byte_latency: Duration::from_secs(20), ..small() };
    let rig = Rig::new(slow);
    rig.write_config(&rig.config());
    for (foreground, to_all) in [(true, false), (false, true), (false, false)] {
        for name in ["INT", "TERM", "HUP"] {
            if foreground && name == "HUP" {
                continue;
            }
            let mut command = rig.mount_command();
            if foreground {
                command.arg("--foreground");
            }
            rig.cloud.clear_requests();
            let mut running = RunningCommand::start(&mut command);
            wait_until(COMMAND_TIMEOUT, "it lists", || !rig.cloud.requests().is_empty());
            if to_all {
                running.signal_group(name)
            } else {
                running.signal(name)
            }
            let (status, _) = running.end(FEW_SECONDS);
            assert!(!status.success(), "{name}");
            assert_nothing_left(&rig, FEW_SECONDS);
        }
    }
}

#[test]
fn one_of_two_concurrent_mounts_fails_as_busy() {
    let slow = DemoCloudOptions { first_byte_latency: Duration::from_millis(100), ..small() };
    let rig = Rig::new(slow);
    rig.write_config(&rig.config());
    for round in 0..4 {
        let mut both = [
            RunningCommand::start(&mut rig.mount_command()),
            RunningCommand::start(&mut rig.mount_command()),
        ];
        let codes = both.each_mut().map(|running| running.end(COMMAND_TIMEOUT).0.code());
        assert_eq!(rig.entries_in_mount_table(), 1, "round {round}: {codes:?}");
        let loser = match codes {
            [Some(0), Some(4)] => &both[1],
            [Some(4), Some(0)] => &both[0],
            _ => panic!("round {round}: {codes:?} {} {}", both[0].output(), both[1].output()),
        };
        assert!(
            loser.output().contains("starting a mount at")
                || loser.output().contains("already mounted"),
            "{}",
            loser.output()
        );
        assert_eq!(processes_for(&rig.mountpoint).len(), 1);
        rig.unmount();
    }
}

#[test]
fn two_daemons_share_a_catalog() {
    let rig =
        Rig::new(DemoCloudOptions { archive: Archive::demo(), ..DemoCloudOptions::default() })
            .with_cache("disk = \"off\"");
    rig.mount();
    let second = SecondMountpoint::create(&rig);
    let output = run(&mut second.mount_command(&rig), COMMAND_TIMEOUT);
    assert!(output.status.success(), "{}", text(&output));
    for mountpoint in [&rig.mountpoint, &second.0] {
        wait_for_recycle_bin(mountpoint);
    }
    let sums = "find . -type f -print0 | sort -z | xargs -0 sha256sum";
    let mut beside =
        RunningCommand::outside(&rig, &format!("cd '{}' && {sums}", second.0.display()));
    let here = rig.shell(sums);
    let (status, _) = beside.end(COMMAND_TIMEOUT);
    assert!(status.success(), "{}", beside.output());
    assert_eq!(beside.output(), here);
    assert!(
        run(&mut crate::support::processes::unmount_command(&second.0), COMMAND_TIMEOUT)
            .status
            .success()
    );
    rig.unmount();
    wait_until(COMMAND_TIMEOUT, "both daemons have exited", || processes_for(&second.0).is_empty());
    let catalog = rusqlite::Connection::open(rig.directory.path().join("cache/catalog.sqlite"))
        .expect("a catalog");
    let verdict: String =
        catalog.query_row("PRAGMA integrity_check", [], |row| row.get(0)).expect("a verdict");
    assert_eq!(verdict, "ok");
    assert!(!rig.log().contains("damaged"), "{}", rig.log());
}

#[test]
fn two_daemons_create_one_catalog_concurrently() {
    for _ in 0..4 {
        let rig = Rig::new(small()).with_cache("disk = \"off\"");
        rig.write_config(&rig.config());
        let second = SecondMountpoint::create(&rig);
        let mut both = [
            RunningCommand::start(&mut rig.mount_command()),
            RunningCommand::start(&mut second.mount_command(&rig)),
        ];
        for running in &mut both {
            let (status, _) = running.end(COMMAND_TIMEOUT);
            assert!(status.success(), "{}\n{}", running.output(), rig.log());
        }
        assert!(!rig.log().contains("damaged"), "{}", rig.log());
        assert!(
            run(&mut crate::support::processes::unmount_command(&second.0), COMMAND_TIMEOUT)
                .status
                .success()
        );
        rig.unmount();
    }
}

#[test]
fn two_configurations_are_mounted_at_once() {
    let (one, two) = (Rig::mounted(small()), Rig::mounted(stalled()));
    assert_eq!(one.shell("find . -name chat.txt | wc -l").trim(), "40");
    assert_eq!(two.shell("find . -name '*.mp4' | wc -l").trim(), "1");
    one.unmount();
    assert_eq!(two.shell("ls").trim(), "acme");
    two.unmount();
}

/// A process that waits for its own file system cannot be killed.
#[test]
fn daemon_killed_during_its_start_exits() {
    const MOUNTS: u64 = 40;
    let rig = Rig::new(DemoCloudOptions::default());
    rig.write_config(&rig.config());
    for delay in 0..MOUNTS {
        let mut daemon = RunningCommand::start(rig.mount_command().arg("--foreground"));
        let start = Instant::now();
        while rig.entries_in_mount_table() == 0 {
            assert!(start.elapsed() < COMMAND_TIMEOUT, "{}", daemon.output());
        }
        std::thread::sleep(Duration::from_micros(delay * 100));
        daemon.signal("KILL");
        daemon.end(FEW_SECONDS);
        // The mount that is left is dead.
        let status = Command::new("umount").arg("-l").arg(&rig.mountpoint).status();
        assert!(status.expect("umount").success());
    }
}
