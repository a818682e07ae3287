//! Many rounds of mounting, killing the daemon, and damaging the cache, each followed by an exact
//! copy. `scripts/matrix endurance` runs them.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use meetfs::demo_cloud::{Archive, Content, DemoCloudOptions, Meeting, MeetingFile};

use super::content::content;
use super::seed;
use crate::support::processes::{RunningCommand, kill_process, processes_for};
use crate::support::{COMMAND_TIMEOUT, Rig, run, text};

const FILES: usize = 12;

/// Returns the number of rounds of `MATRIX_ROUNDS`, or the default.
fn rounds(default: usize) -> usize {
    let rounds = std::env::var("MATRIX_ROUNDS").ok();
    rounds.map_or(default, |rounds| rounds.parse().expect("a number"))
}

fn rig() -> Rig {
    let first = Timestamp::now() - SignedDuration::from_hours(48);
    let mut archive = Archive::empty();
    archive.meetings = (0..FILES)
        .map(|number| {
            let start = first + SignedDuration::from_mins(number as i64);
            let video = MeetingFile::new("MP4", Content::Stored(content(number, 0)));
            Meeting::new(&format!("file{number:03}0000=="), &format!("File {number:03}"), start)
                .with_file(video)
        })
        .collect();
    let rig = Rig::new(DemoCloudOptions { archive, ..DemoCloudOptions::default() });
    rig.mount();
    rig
}

fn path(rig: &Rig, number: usize) -> PathBuf {
    let listed = rig.shell(&format!("find . -path '*File {number:03}*/*.mp4'"));
    assert_eq!(listed.lines().count(), 1, "{listed}");
    rig.mountpoint.join(listed.trim())
}

fn assert_exact_copy(rig: &Rig, number: usize, description: &str) {
    let copy = rig.directory.path().join("copy");
    let copied = run(Command::new("cp").arg(path(rig, number)).arg(&copy), COMMAND_TIMEOUT);
    assert!(copied.status.success(), "{description}: {}\n{}", text(&copied), rig.log());
    let is_exact = *std::fs::read(&copy).expect("a copy") == *content(number, 0);
    assert!(is_exact, "{description}: wrong bytes in file {number}");
}

/// Returns all files below a directory.
fn files_below(directory: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    let files = entries.flat_map(|entry| {
        let path = entry.path();
        if path.is_dir() { files_below(&path) } else { vec![path] }
    });
    files.collect()
}

fn blocks(rig: &Rig) -> PathBuf {
    rig.directory.path().join("cache/blocks")
}

#[test]
#[ignore = "needs ten minutes; scripts/matrix endurance runs it"]
fn mount_cycles_leave_nothing() {
    let rounds = rounds(500);
    let rig = rig();
    let open_files = || std::fs::read_dir("/proc/self/fd").expect("/proc").count();
    let before = open_files();
    let started = Instant::now();
    let mut slowest = Duration::ZERO;
    for round in 0..rounds {
        let round_started = Instant::now();
        assert_exact_copy(&rig, round % FILES, &format!("round {round}"));
        rig.unmount();
        assert_eq!(processes_for(&rig.mountpoint), Vec::<u32>::new(), "round {round}");
        assert_eq!(rig.entries_in_mount_table(), 0, "round {round}");
        rig.mount();
        slowest = slowest.max(round_started.elapsed());
    }
    rig.unmount();
    assert!(open_files() <= before + 5, "{} of {before} files", open_files());
    eprintln!("{rounds} mount cycles in {:.0?}, slowest {slowest:.1?}", started.elapsed());
}

#[test]
#[ignore = "needs five minutes; scripts/matrix endurance runs it"]
fn killed_daemon_leaves_exact_blocks_or_none() {
    let rounds = rounds(200);
    let mut rng = fastrand::Rng::with_seed(seed());
    let rig = rig();
    let mut interrupted = 0;
    for round in 0..rounds {
        let number = round % FILES;
        let line = format!("exec cat '{}'", path(&rig, number).display());
        let mut reader = RunningCommand::outside(&rig, &format!("{line} > /dev/null"));
        std::thread::sleep(Duration::from_micros((300_000.0 * rng.f64().powi(2)) as u64));
        interrupted += usize::from(reader.is_running());
        kill_process(rig.daemon().expect("a daemon"));
        let _ = run(Command::new("umount").arg("-l").arg(&rig.mountpoint), COMMAND_TIMEOUT);
        drop(reader);
        rig.mount();
        assert_exact_copy(&rig, number, &format!("round {round}"));
        if number + 1 == FILES {
            // The files are complete, so the next rounds would write no blocks.
            rig.unmount();
            std::fs::remove_dir_all(blocks(&rig)).expect("a cache");
            rig.mount();
        }
    }
    rig.unmount();
    eprintln!("{rounds} kills, {interrupted} of them during a read");
    assert!(interrupted > rounds / 10, "only {interrupted} of {rounds} kills met a read");
}

#[test]
#[ignore = "needs five minutes; scripts/matrix endurance runs it"]
fn damaged_cache_is_never_served() {
    let rounds = rounds(200);
    let mut rng = fastrand::Rng::with_seed(seed());
    let rig = rig();
    for number in 0..FILES {
        assert_exact_copy(&rig, number, "before");
    }
    let mut damages = 0;
    for round in 0..rounds {
        rig.unmount();
        let files = files_below(&blocks(&rig));
        assert!(!files.is_empty(), "round {round}: no cache");
        for path in &files {
            let mut bytes = std::fs::read(path).expect("a file");
            if bytes.is_empty() || rng.bool() {
                continue;
            }
            damages += 1;
            match rng.u32(0..4) {
                0 => bytes.truncate(rng.usize(0..bytes.len())),
                1 => bytes.extend_from_slice(b"more"),
                _ => {
                    for _ in 0..rng.usize(1..8) {
                        let at = rng.usize(0..bytes.len());
                        bytes[at] ^= 1 << rng.u32(0..8);
                    }
                }
            }
            std::fs::write(path, bytes).expect("a file");
        }
        rig.mount();
        // Each file is read in the end, and some of them remain damaged for several rounds.
        for _ in 0..4 {
            assert_exact_copy(&rig, rng.usize(0..FILES), &format!("round {round}"));
        }
    }
    for number in 0..FILES {
        assert_exact_copy(&rig, number, "after");
    }
    rig.unmount();
    eprintln!("{damages} damaged files in {rounds} rounds");
}
