//! What the daemon takes of memory while it is busiest.

// A helper that cannot go on fails its test.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::support::{Rig, SOON, run, text};
use meetfs::demo_cloud::{Archive, DemoCloudOptions};

const MIB: u64 = 1024 * 1024;

/// What the program needs besides block buffers: itself, threads, connections, the tree, replies on their way.
const BESIDES_BUFFERS: u64 = 64 * MIB;

const FILES: usize = 10;

/// Enough that every file passes through the whole budget more than once, ten times over.
const LENGTH: u64 = 300_000_000;

const LONG: Duration = Duration::from_secs(240);

/// The most memory the process ever had resident, in bytes (proc_pid_status(5)).
fn most_resident(process: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).expect("a status");
    let line =
        status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("a high-water mark");
    line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") * 1024
}

fn read_all_at_once(memory: u64) {
    let names: Vec<String> = (0..FILES).map(|index| format!("film {index}")).collect();
    let files: Vec<(&str, u64)> = names.iter().map(|name| (name.as_str(), LENGTH)).collect();
    let rig = Rig::new(DemoCloudOptions {
        archive: Archive::pattern(&files),
        ..DemoCloudOptions::default()
    });
    rig.write_config(&rig.config());
    let mounted =
        run(rig.mount_command().args(["--memory", &format!("{}MiB", memory / MIB)]), SOON);
    assert!(mounted.status.success(), "{}", text(&mounted));
    let daemon = rig.daemon().expect("a daemon");
    let before = most_resident(daemon);
    let sums = format!("find . -name '*.mp4' -print0 | xargs -0 -n 1 -P {FILES} sha256sum");
    let output = rig.try_shell(&sums, LONG);
    assert!(output.status.success(), "{}\n{}", text(&output), rig.log());
    let most = most_resident(daemon);
    eprintln!(
        "memory {} MiB: {} MiB before, {} MiB at most",
        memory / MIB,
        before / MIB,
        most / MIB
    );
    let read: BTreeSet<String> = String::from_utf8_lossy(&output.stdout)
        .lines()
        .filter_map(|line| line.split_once(' ').map(|(hash, _)| hash.to_owned()))
        .collect();
    let true_ones: BTreeSet<String> =
        rig.cloud.objects().iter().map(|object| object.sha256()).collect();
    assert_eq!(read, true_ones);
    assert!(
        most <= memory + BESIDES_BUFFERS,
        "{} MiB with a budget of {} MiB",
        most / MIB,
        memory / MIB
    );
    rig.unmount();
}

#[test]
fn ten_readers_at_once_stay_within_the_usual_budget() {
    read_all_at_once(128 * MIB);
}

#[test]
fn ten_readers_at_once_stay_within_a_small_budget() {
    read_all_at_once(32 * MIB);
}
