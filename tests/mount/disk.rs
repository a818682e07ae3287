//! Blocks on disk: what outlives a restart, and what a damaged or crowded directory costs.

use std::path::PathBuf;

use crate::support::{Rig, SOON, meetfs, run, text};
use meetfs::demo_cloud::{
    Archive, Content, DemoCloudOptions, Effect, Server, Trigger, pattern_seed,
};

const MIB: u64 = 1024 * 1024;
const LENGTH: u64 = 24 * MIB + 321;

fn pattern() -> DemoCloudOptions {
    DemoCloudOptions {
        archive: Archive::pattern(&[("film", LENGTH)]),
        ..DemoCloudOptions::default()
    }
}

fn hash(rig: &Rig) -> String {
    rig.shell("sha256sum < \"$(find . -name '*.mp4')\"")
        .split(' ')
        .next()
        .unwrap_or_default()
        .to_owned()
}

fn wanted(rig: &Rig) -> String {
    rig.cloud.objects().first().expect("an object").sha256()
}

/// The data files of the cache, largest first.
fn block_files(rig: &Rig) -> Vec<PathBuf> {
    let directory = rig.directory.path().join("cache/blocks");
    let mut files: Vec<_> = std::fs::read_dir(directory)
        .expect("a directory of blocks")
        .flatten()
        .map(|entry| (entry.metadata().map(|found| found.len()).unwrap_or(0), entry.path()))
        .collect();
    files.sort();
    files.into_iter().rev().map(|(_, path)| path).collect()
}

#[test]
fn what_was_read_once_is_read_again_after_a_restart_without_the_cloud() {
    let rig = Rig::mounted(pattern());
    assert_eq!(hash(&rig), wanted(&rig));
    rig.unmount();
    rig.mount();
    rig.cloud.clear_requests();
    for server in [Server::Web, Server::Media] {
        rig.cloud.inject(Trigger::always(server).does(Effect::BlackHole));
    }
    assert_eq!(hash(&rig), wanted(&rig));
    assert!(rig.media_requests().is_empty(), "{:?}", rig.media_requests());
}

#[test]
fn a_killed_daemon_leaves_blocks_that_are_exact_or_missing() {
    let rig = Rig::mounted(pattern());
    assert_eq!(hash(&rig), wanted(&rig));
    let daemon = rig.daemon().expect("a daemon");
    run(std::process::Command::new("kill").args(["-9", &daemon.to_string()]), SOON);
    rig.mount();
    assert_eq!(hash(&rig), wanted(&rig));
}

#[test]
fn flipped_bits_and_cut_files_cost_requests_and_no_exactness() {
    let rig = Rig::mounted(pattern());
    assert_eq!(hash(&rig), wanted(&rig));
    rig.unmount();
    for (round, path) in block_files(&rig).into_iter().enumerate() {
        let mut bytes = std::fs::read(&path).expect("a file");
        let length = bytes.len();
        for place in (0..length).step_by(length / 7 + 1) {
            if let Some(byte) = bytes.get_mut(place) {
                *byte ^= 1 << (place % 8);
            }
        }
        if round == 1 {
            bytes.truncate(length / 2);
        }
        std::fs::write(&path, bytes).expect("a file");
    }
    rig.mount();
    assert_eq!(hash(&rig), wanted(&rig));
}

#[test]
fn a_second_daemon_on_the_same_directory_is_refused_with_the_first_ones_pid() {
    let rig = Rig::mounted(pattern());
    let other = rig.directory.path().join("other");
    std::fs::create_dir(&other).expect("a mountpoint");
    let output = run(meetfs().args(["mount", "--config"]).arg(rig.config_path()).arg(&other), SOON);
    assert_eq!(output.status.code(), Some(4), "{}", text(&output));
    let pid = rig.daemon().expect("a daemon").to_string();
    assert!(text(&output).contains(&pid), "{}", text(&output));
}

#[test]
fn a_limit_smaller_than_one_file_holds_and_the_file_reads_exactly() {
    let rig = Rig::new(pattern()).with_cache("disk = \"6MiB\"").with_cache("memory = \"8MiB\"");
    rig.mount();
    for _ in 0..3 {
        assert_eq!(hash(&rig), wanted(&rig));
        rig.shell("sync; echo 3 > /proc/sys/vm/drop_caches");
        let directory = rig.directory.path().join("cache/blocks");
        let line = format!("du -s --block-size=1 '{}' | cut -f1", directory.display());
        let held: u64 = rig.shell(&line).trim().parse().expect("a size");
        assert!(held <= 6 * MIB, "{held}");
    }
}

#[test]
fn nothing_is_kept_on_disk_when_that_is_off() {
    let rig = Rig::new(pattern()).with_cache("disk = \"off\"");
    rig.mount();
    assert_eq!(hash(&rig), wanted(&rig));
    assert!(!rig.directory.path().join("cache/blocks").exists());
}

#[test]
fn a_file_that_changed_between_two_runs_is_never_read_as_a_mix() {
    let rig = Rig::mounted(pattern());
    rig.shell("head -c 9000000 \"$(find . -name '*.mp4')\" | wc -c");
    rig.unmount();
    let before = wanted(&rig);
    let meeting = rig.cloud.objects().first().expect("an object").meeting.clone();
    let content = Content::Pattern { seed: pattern_seed("other"), length: LENGTH };
    assert!(rig.cloud.change_meeting(&meeting, |meeting| {
        if let Some(file) = meeting.files.first_mut() {
            file.content = content;
        }
    }));
    rig.mount();
    let first = rig.try_shell("LC_ALL=C sha256sum < \"$(find . -name '*.mp4')\"", SOON);
    if text(&first).contains(&before) {
        // So much was fetched ahead that the cloud need not be asked: the old content, whole.
        return;
    }
    if first.status.success() {
        assert!(text(&first).contains(&wanted(&rig)), "{}", text(&first));
    } else {
        assert!(text(&first).contains("Stale file handle"), "{}", text(&first));
    }
    assert_eq!(hash(&rig), wanted(&rig));
}

#[test]
fn the_directory_tells_nobody_what_is_in_it() {
    let rig = Rig::mounted(pattern());
    assert_eq!(hash(&rig), wanted(&rig));
    rig.unmount();
    for path in block_files(&rig) {
        assert_eq!(crate::support::mode_of(&path), 0o600, "{}", path.display());
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        assert!(!name.contains("film"), "{name}");
    }
    assert_eq!(crate::support::mode_of(&rig.directory.path().join("cache/blocks")), 0o700);
}
