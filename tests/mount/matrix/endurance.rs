//! Many rounds of mounting, killing the daemon, and damaging the cache, each followed by an exact
//! copy. `scripts/matrix endurance` runs them.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use meetfs::demo_cloud::{
    Archive, Content, DemoCloudOptions, Effect, Meeting, MeetingFile, RetryAfter, Server, Trigger,
    pattern_bytes, pattern_seed,
};

use super::content::content;
use super::seed;
use crate::memory::{OTHER_MEMORY, peak_memory};
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
#[ignore = "needs fifteen minutes; scripts/matrix endurance runs it"]
fn killed_daemon_leaves_exact_blocks_or_none() {
    let rounds = rounds(1000);
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

/// Reads random ranges of all files in 200 threads, and compares them with the originals. Prints
/// one line for each problem, and the times of the reads.
const READERS: &str = r#"
import os, random, sys, threading, time
mount, originals, seconds, seed = sys.argv[1], sys.argv[2], float(sys.argv[3]), int(sys.argv[4])
paths = sorted(os.path.join(at, name) for at, _, names in os.walk(mount) for name in names if name.endswith(".mp4"))
files = [(path, os.path.join(originals, path.rsplit(" ", 1)[1].split("/")[0])) for path in paths]
end, times, problems = time.monotonic() + seconds, [], []
def read(number):
    rng = random.Random(seed * 1000 + number)
    while time.monotonic() < end:
        path, original = rng.choice(files)
        with open(original, "rb") as file:
            expected = file.read()
        try:
            handle = os.open(path, os.O_RDONLY)
        except OSError as error:
            problems.append(f"open of {path}: {error}")
            continue
        position = rng.randrange(len(expected))
        for _ in range(rng.choice([1, 1, 4, 40])):
            length = rng.choice([4096, 65536, 131072, 1048576])
            start = time.monotonic()
            try:
                data = os.pread(handle, length, position)
                if data != expected[position:position + length]:
                    problems.append(f"wrong bytes at {position} of {path}")
            except OSError as error:
                problems.append(f"read of {path}: {error}")
            times.append(time.monotonic() - start)
            position += length
            if position >= len(expected):
                break
        os.close(handle)
threads = [threading.Thread(target=read, args=(number,)) for number in range(200)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
times.sort()
print("\\n".join(problems[:20]))
print(f"{len(times)} reads, p99 {times[len(times) * 99 // 100]:.3f} s, slowest {times[-1]:.3f} s, {len(problems)} problems")
"#;

#[test]
#[ignore = "needs ten minutes; scripts/matrix endurance runs it"]
fn two_hundred_readers_get_exact_bytes() {
    const FILES: usize = 40;
    const LENGTH: usize = 5_000_017;
    const MEMORY: u64 = 64 << 20;
    let seconds = std::env::var("MATRIX_SECONDS").ok();
    let seconds: u64 = seconds.map_or(600, |seconds| seconds.parse().expect("a number"));
    let names: Vec<String> = (0..FILES).map(|number| format!("film{number}")).collect();
    let files: Vec<_> = names.iter().map(|name| (name.as_str(), LENGTH as u64)).collect();
    let archive = Archive::with_pattern_files(&files);
    let rig = Rig::new(DemoCloudOptions { archive, ..DemoCloudOptions::default() })
        .with_cache(&format!("memory = \"{}MiB\"\ndisk = \"64MiB\"", MEMORY >> 20));
    rig.mount();
    let originals = rig.directory.path().join("originals");
    std::fs::create_dir(&originals).expect("a directory");
    for name in &names {
        let mut bytes = vec![0; LENGTH];
        pattern_bytes(pattern_seed(name), 0, &mut bytes);
        std::fs::write(originals.join(name), bytes).expect("an original");
    }
    let script = rig.directory.path().join("readers.py");
    std::fs::write(&script, READERS).expect("a script");
    let line = format!(
        "exec python3 '{}' '{}' '{}' {seconds} {}",
        script.display(),
        rig.mountpoint.display(),
        originals.display(),
        seed()
    );
    let daemon = rig.daemon().expect("a daemon");
    let open_files = || std::fs::read_dir(format!("/proc/{daemon}/fd")).expect("/proc").count();
    let before = open_files();
    let mut readers = RunningCommand::outside(&rig, &line);
    let (mut requests, mut faults) = (0, 0);
    while readers.is_running() {
        std::thread::sleep(Duration::from_millis(500));
        requests += rig.media_requests().len();
        rig.cloud.clear_requests();
        // Otherwise, the kernel would soon answer all reads from its page cache.
        std::fs::write("/proc/sys/vm/drop_caches", "1").expect("root");
        // One request in a hundred is reset, and one is rejected.
        while faults < requests / 100 {
            faults += 1;
            let reset = Effect::Reset { after_bytes: (faults as u64 * 7919) % 100_000 };
            let rejection = Effect::TooManyRequests(RetryAfter::Seconds(1));
            for effect in [reset, rejection] {
                rig.cloud.inject(Trigger::next(Server::Media, 1).with_effect(effect));
            }
        }
    }
    let output = readers.output();
    eprintln!("{requests} requests, {} of them with a fault\n{output}", 2 * faults);
    assert!(output.contains(" 0 problems"), "{}", rig.log());
    let peak = peak_memory(daemon);
    eprintln!("peak memory {} MiB, {before} open files before, {} after", peak >> 20, open_files());
    assert!(peak <= MEMORY + OTHER_MEMORY + (200 << 20), "{} MiB", peak >> 20);
    rig.unmount();
    assert_eq!(processes_for(&rig.mountpoint), Vec::<u32>::new());
}
