//! A cloud that takes every request and answers none: what is known stays at hand, and nobody is stuck for long.

// A helper that cannot go on fails its test.

use std::time::{Duration, Instant};

use crate::support::life::{RunningCommand, forget_names};
use crate::support::{Rig, SOON, wait_until};
use meetfs::demo_cloud::{Archive, DemoCloudOptions, Effect, Fault, Server, Trigger};

/// What is answered from memory may take this long on a busy machine, whatever the cloud does.
const LIVELY: Duration = Duration::from_secs(2);

fn black_hole() -> Vec<Fault> {
    [Server::Api, Server::Web, Server::Media]
        .into_iter()
        .map(|server| Trigger::always(server).does(Effect::BlackHole))
        .collect()
}

/// A mounted archive of which `known` has been read and `other` never, and no cloud any more.
fn forsaken() -> Rig {
    let files = [("known", 3_000_000), ("other", 50_000_000), ("third", 50_000_000)];
    let rig = Rig::mounted(DemoCloudOptions {
        archive: Archive::pattern(&files),
        ..DemoCloudOptions::default()
    });
    rig.shell("cat acme/*/*known/*.mp4 | wc -c");
    black_hole().into_iter().for_each(|fault| rig.cloud.inject(fault));
    forget_names();
    rig
}

/// Starts a command that must hang, interrupts it after `wait`, and says how long it then took to end.
fn interrupted(rig: &Rig, line: &str, wait: Duration) -> Duration {
    let mut running = RunningCommand::outside(rig, &format!("exec {line}"));
    std::thread::sleep(wait);
    assert!(running.is_running(), "{line} did not hang: {}", running.output());
    running.signal("INT");
    let (status, took) = running.end(SOON);
    assert!(!status.success(), "{line}");
    eprintln!("{line}: {took:?} after an interrupt at {wait:?}");
    took
}

#[test]
fn listing_and_figures_are_as_quick_as_with_a_cloud() {
    let options =
        DemoCloudOptions { archive: Archive::many(1000, 700), ..DemoCloudOptions::default() };
    let rig = Rig::mounted(options);
    // Documents wait for details, which may be asked for only so often.
    let documents = || rig.shell("find . -name meeting.json | wc -l");
    wait_until(SOON, "every meeting has its document", || documents().trim() == "1000");
    let listed = rig.shell("ls -R | wc -l");
    black_hole().into_iter().for_each(|fault| rig.cloud.inject(fault));
    for line in [
        "ls -R | wc -l",
        "ls -lR > /dev/null",
        "find . -type f | wc -l",
        "df .",
        "stat acme/*/* | wc -l",
    ] {
        forget_names();
        let started = Instant::now();
        let output = rig.shell(line);
        eprintln!("{line}: {:?}", started.elapsed());
        assert!(started.elapsed() < LIVELY, "{line}: {:?}", started.elapsed());
        if line.starts_with("ls -R |") {
            assert_eq!(output, listed);
        }
    }
}

#[test]
fn ten_hanging_readers_keep_nobody_from_listing_or_reading_what_is_there() {
    let rig = forsaken();
    let readers: Vec<_> = (0..10)
        .map(|_| RunningCommand::outside(&rig, "cat \"$M\"/acme/*/*other/*.mp4 > /dev/null"))
        .collect();
    std::thread::sleep(Duration::from_secs(1));
    forget_names();
    let started = Instant::now();
    rig.shell("ls -lR > /dev/null; df . > /dev/null");
    assert_eq!(rig.shell("cat acme/*/*known/*.mp4 | wc -c").trim(), "3000000");
    assert_eq!(rig.shell("cat acme/*/*known/*.mp4 | wc -c").trim(), "3000000");
    assert!(started.elapsed() < LIVELY, "{:?}", started.elapsed());
    drop(readers);
}

#[test]
fn an_interrupt_frees_who_waits_in_open_or_in_a_read() {
    let rig = forsaken();
    let read = "cat \"$M\"/acme/*/*other/*.mp4";
    // The first is in `open`, which waits for a first word of the server; the second in a read.
    assert!(interrupted(&rig, read, Duration::from_millis(250)) < LIVELY);
    assert!(interrupted(&rig, read, Duration::from_secs(3)) < LIVELY);
    let direct = "dd if=\"$(ls -d \"$M\"/acme/*/*third/*.mp4)\" of=/dev/null bs=64k iflag=direct";
    assert!(interrupted(&rig, direct, Duration::from_secs(2)) < LIVELY);
    // A program that handles the signal itself, and one that waits in a page fault.
    let python =
        "python3 -c 'import sys; open(sys.argv[1], \"rb\").read(1000)' \"$M\"/acme/*/*third/*.mp4";
    assert!(interrupted(&rig, python, Duration::from_secs(2)) < LIVELY);
    let mapped = "python3 -c 'import mmap, signal, sys; signal.signal(signal.SIGINT, signal.SIG_DFL); \
                  f = open(sys.argv[1], \"rb\"); m = mmap.mmap(f.fileno(), 0, prot=mmap.PROT_READ); \
                  print(m[20000000])' \"$M\"/acme/*/*third/*.mp4";
    assert!(interrupted(&rig, mapped, Duration::from_secs(2)) < LIVELY);
}

#[test]
fn a_read_ends_with_an_error_at_its_deadline() {
    let files = [("other", 50_000_000)];
    let rig = Rig::new(DemoCloudOptions {
        archive: Archive::pattern(&files),
        ..DemoCloudOptions::default()
    })
    .with("read_deadline = \"3s\"");
    rig.mount();
    black_hole().into_iter().for_each(|fault| rig.cloud.inject(fault));
    let started = Instant::now();
    let output = rig.try_shell("LC_ALL=C cat acme/*/*other/*.mp4 2>&1 >/dev/null", SOON);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(said.contains("Input/output error"), "{said}");
    let took = started.elapsed();
    assert!(took > Duration::from_secs(2) && took < Duration::from_secs(8), "{took:?}");
    let complaints = rig.log().lines().filter(|line| line.contains("cannot read")).count();
    assert_eq!(complaints, 1, "{}", rig.log());
}
