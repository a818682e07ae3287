//! The peak memory of the daemon under load.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::support::{COMMAND_TIMEOUT, Rig, run, text};
use meetfs::demo_cloud::{Archive, DemoCloudOptions};

const MIB: u64 = 1024 * 1024;

/// Memory in addition to the block buffers: the program, threads, connections, the tree and replies
/// in flight.
pub(crate) const OTHER_MEMORY: u64 = 64 * MIB;

const FILES: usize = 10;

/// Each of the ten files is more than twice the default budget.
const LENGTH: u64 = 300_000_000;

const READ_TIMEOUT: Duration = Duration::from_secs(240);

/// Returns the peak resident memory of a process, in bytes (proc_pid_status(5)).
pub(crate) fn peak_memory(process: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).expect("a status");
    let line =
        status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("a high-water mark");
    line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") * 1024
}

/// Only one of the tests reads at a time. Each of them keeps all processors busy.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

fn read_all_at_once(memory: u64) {
    let _guard = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let names: Vec<String> = (0..FILES).map(|index| format!("film {index}")).collect();
    let files: Vec<(&str, u64)> = names.iter().map(|name| (name.as_str(), LENGTH)).collect();
    let rig = Rig::new(DemoCloudOptions {
        archive: Archive::with_pattern_files(&files),
        ..DemoCloudOptions::default()
    });
    rig.write_config(&rig.config());
    let mounted = run(
        rig.mount_command().args(["--memory", &format!("{}MiB", memory / MIB)]),
        COMMAND_TIMEOUT,
    );
    assert!(mounted.status.success(), "{}", text(&mounted));
    let daemon = rig.daemon().expect("a daemon");
    let before = peak_memory(daemon);
    let sums = format!("find . -name '*.mp4' -print0 | xargs -0 -n 1 -P {FILES} sha256sum");
    let output = rig.try_shell(&sums, READ_TIMEOUT);
    assert!(output.status.success(), "{}\n{}", text(&output), rig.log());
    let peak = peak_memory(daemon);
    eprintln!("memory {} MiB: {} MiB before, {} MiB peak", memory / MIB, before / MIB, peak / MIB);
    let read: BTreeSet<String> = String::from_utf8_lossy(&output.stdout)
        .lines()
        .filter_map(|line| line.split_once(' ').map(|(hash, _)| hash.to_owned()))
        .collect();
    let expected: BTreeSet<String> =
        rig.cloud.objects().iter().map(|object| object.sha256()).collect();
    assert_eq!(read, expected);
    assert!(
        peak <= memory + OTHER_MEMORY,
        "{} MiB with a budget of {} MiB",
        peak / MIB,
        memory / MIB
    );
    rig.unmount();
}

#[test]
fn ten_readers_stay_within_the_default_budget() {
    read_all_at_once(128 * MIB);
}

#[test]
fn ten_readers_stay_within_a_small_budget() {
    read_all_at_once(32 * MIB);
}
