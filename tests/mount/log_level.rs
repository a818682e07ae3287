//! `meetfs log-level`.

use std::process::Output;

use meetfs::demo_cloud::{Archive, DemoCloudOptions};

use crate::support::{COMMAND_TIMEOUT, Rig, isolated, run, text, wait_until};

fn log_level(rig: &Rig, words: &[&str]) -> Output {
    let place = rig.mountpoint.to_str().expect("a path");
    let mut command = rig.meetfs();
    command.arg("log-level").args(words).arg(place);
    run(&mut isolated(rig, &command), COMMAND_TIMEOUT)
}

/// Returns the number of debug lines after a read of a file that fits neither into the memory of
/// the daemon nor, because of `direct`, into the pages of the kernel.
fn debug_lines(rig: &Rig) -> usize {
    rig.shell("dd if=\"$(echo acme/*/*/*.mp4)\" of=/dev/null bs=1M iflag=direct status=none");
    rig.log().lines().filter(|line| line.contains("DEBUG")).count()
}

#[test]
fn level_changes_and_returns() {
    let archive = Archive::with_pattern_files(&[("talk", 24 << 20)]);
    let rig = Rig::new(DemoCloudOptions { archive, ..DemoCloudOptions::default() })
        .with_cache("disk = \"off\"\nmemory = \"8MiB\"");
    // The mount logs at `debug`.
    rig.mount();
    let before = debug_lines(&rig);
    assert!(before > 0, "{}", rig.log());
    let output = log_level(&rig, &["--for", "20s", "info"]);
    assert!(output.status.success(), "{}", text(&output));
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(printed.contains(": the log level is info until "), "{printed}");
    assert!(printed.trim_end().ends_with(", then debug"), "{printed}");
    // Lines that were written before the change can still be in the queue.
    let quiet = debug_lines(&rig);
    assert_eq!(debug_lines(&rig), quiet);
    let output = log_level(&rig, &["--for", "1s", "warn"]);
    assert!(output.status.success(), "{}", text(&output));
    wait_until(COMMAND_TIMEOUT, "the level returns", || {
        rig.log().contains("the log level is debug again")
    });
    wait_until(COMMAND_TIMEOUT, "debug lines are written", || debug_lines(&rig) > quiet);
    rig.unmount();
}

#[test]
fn usage_and_missing_mounts_are_errors() {
    let rig = Rig::new(DemoCloudOptions::default());
    for words in [["--for", "25h", "debug"], ["--for", "5m", "loud"], ["--for", "soon", "debug"]] {
        let output = log_level(&rig, &words);
        assert_eq!(output.status.code(), Some(2), "{words:?}: {}", text(&output));
    }
    let output = log_level(&rig, &["debug"]);
    assert_eq!(output.status.code(), Some(1), "{}", text(&output));
    assert!(text(&output).contains("no meetfs file system is mounted at"), "{}", text(&output));
}
