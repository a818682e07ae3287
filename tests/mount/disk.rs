//! The disk cache of a mount: restarts, damage and limits.

use std::path::PathBuf;

use crate::support::processes::drop_pages;
use crate::support::{COMMAND_TIMEOUT, Rig, meetfs, run, text};
use meetfs::demo_cloud::{
    Archive, Content, DemoCloudOptions, Effect, Server, Trigger, pattern_seed,
};

const MIB: u64 = 1024 * 1024;
const LENGTH: u64 = 24 * MIB + 321;

fn pattern() -> DemoCloudOptions {
    DemoCloudOptions {
        archive: Archive::with_pattern_files(&[("film", LENGTH)]),
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

fn expected_hash(rig: &Rig) -> String {
    rig.cloud.objects().first().expect("an object").sha256()
}

/// Returns the files of the cache, largest first.
fn block_files(rig: &Rig) -> Vec<PathBuf> {
    let directory = rig.directory.path().join("cache/blocks");
    let mut files: Vec<_> = std::fs::read_dir(directory)
        .expect("a directory of blocks")
        .flatten()
        .map(|entry| (entry.metadata().map(|metadata| metadata.len()).unwrap_or(0), entry.path()))
        .collect();
    files.sort();
    files.into_iter().rev().map(|(_, path)| path).collect()
}

#[test]
fn read_files_are_served_from_disk_after_restart() {
    let rig = Rig::mounted(pattern());
    assert_eq!(hash(&rig), expected_hash(&rig));
    rig.unmount();
    rig.mount();
    rig.cloud.clear_requests();
    for server in [Server::Web, Server::Media] {
        rig.cloud.inject(Trigger::always(server).with_effect(Effect::BlackHole));
    }
    assert_eq!(hash(&rig), expected_hash(&rig));
    assert!(rig.media_requests().is_empty(), "{:?}", rig.media_requests());
}

#[test]
fn a_killed_daemon_leaves_exact_blocks_or_none() {
    let rig = Rig::mounted(pattern());
    assert_eq!(hash(&rig), expected_hash(&rig));
    let daemon = rig.daemon().expect("a daemon");
    run(std::process::Command::new("kill").args(["-9", &daemon.to_string()]), COMMAND_TIMEOUT);
    rig.mount();
    assert_eq!(hash(&rig), expected_hash(&rig));
}

#[test]
fn damaged_block_files_are_fetched_again() {
    let rig = Rig::mounted(pattern());
    assert_eq!(hash(&rig), expected_hash(&rig));
    rig.unmount();
    for (round, path) in block_files(&rig).into_iter().enumerate() {
        let mut bytes = std::fs::read(&path).expect("a file");
        let length = bytes.len();
        for offset in (0..length).step_by(length / 7 + 1) {
            if let Some(byte) = bytes.get_mut(offset) {
                *byte ^= 1 << (offset % 8);
            }
        }
        if round == 1 {
            bytes.truncate(length / 2);
        }
        std::fs::write(&path, bytes).expect("a file");
    }
    rig.mount();
    assert_eq!(hash(&rig), expected_hash(&rig));
}

#[test]
fn a_second_daemon_names_the_first_process() {
    let rig = Rig::mounted(pattern());
    let other = rig.directory.path().join("other");
    std::fs::create_dir(&other).expect("a mountpoint");
    let output = run(
        meetfs().args(["mount", "--config"]).arg(rig.config_path()).arg(&other),
        COMMAND_TIMEOUT,
    );
    assert_eq!(output.status.code(), Some(4), "{}", text(&output));
    let pid = rig.daemon().expect("a daemon").to_string();
    assert!(text(&output).contains(&pid), "{}", text(&output));
}

#[test]
fn files_larger_than_the_limit_read_exactly() {
    let rig = Rig::new(pattern()).with_cache("disk = \"6MiB\"").with_cache("memory = \"8MiB\"");
    rig.mount();
    for _ in 0..3 {
        assert_eq!(hash(&rig), expected_hash(&rig));
        drop_pages(&rig);
        let directory = rig.directory.path().join("cache/blocks");
        let line = format!("du -s --block-size=1 '{}' | cut -f1", directory.display());
        let held: u64 = rig.shell(&line).trim().parse().expect("a size");
        assert!(held <= 6 * MIB, "{held}");
    }
}

#[test]
fn no_blocks_are_stored_with_disk_off() {
    let rig = Rig::new(pattern()).with_cache("disk = \"off\"");
    rig.mount();
    assert_eq!(hash(&rig), expected_hash(&rig));
    assert!(!rig.directory.path().join("cache/blocks").exists());
}

#[test]
fn old_and_new_content_are_never_mixed() {
    // The file is longer than what is fetched before it is read, so only a part of it is cached.
    const LONG: u64 = 250_000_000;
    let archive = Archive::with_pattern_files(&[("film", LONG)]);
    let rig = Rig::mounted(DemoCloudOptions { archive, ..DemoCloudOptions::default() });
    rig.shell("head -c 9000000 \"$(find . -name '*.mp4')\" | wc -c");
    rig.unmount();
    let meeting = rig.cloud.objects().first().expect("an object").meeting_uuid.clone();
    let content = Content::Pattern { seed: pattern_seed("other"), length: LONG };
    assert!(rig.cloud.change_meeting(&meeting, |meeting| {
        if let Some(file) = meeting.files.first_mut() {
            file.content = content;
        }
    }));
    rig.mount();
    let first = rig.try_shell("LC_ALL=C sha256sum < \"$(find . -name '*.mp4')\"", COMMAND_TIMEOUT);
    assert!(text(&first).contains("Stale file handle"), "{}", text(&first));
    assert_eq!(hash(&rig), expected_hash(&rig));
}

#[test]
fn block_files_are_private_and_anonymous() {
    let rig = Rig::mounted(pattern());
    assert_eq!(hash(&rig), expected_hash(&rig));
    rig.unmount();
    for path in block_files(&rig) {
        assert_eq!(crate::support::mode_of(&path), 0o600, "{}", path.display());
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        assert!(!name.contains("film"), "{name}");
    }
    assert_eq!(crate::support::mode_of(&rig.directory.path().join("cache/blocks")), 0o700);
}
