//! Servers that ignore `Range` and send the whole file: it is transferred once, and the bytes
//! before a requested range are kept.

use std::time::{Duration, Instant};

use crate::memory::{OTHER_MEMORY, peak_memory};
use crate::support::processes::{RunningCommand, drop_pages};
use crate::support::{COMMAND_TIMEOUT, Rig, text, wait_until};
use meetfs::demo_cloud::{
    Archive, DemoCloudOptions, Effect, Server, Trigger, pattern_bytes, pattern_seed,
};

const MIB: u64 = 1024 * 1024;
const LENGTH: u64 = 40 * MIB + 4321;

/// The rate of a connection. One download of the file takes about four seconds.
const RATE: u64 = 10 * MIB;

/// The time of one download of `length` bytes.
fn download_time(length: u64) -> Duration {
    Duration::from_secs_f64(length as f64 / RATE as f64)
}

/// The deadline of a read. A seek to the end of the file takes less time.
const DEADLINE: Duration = Duration::from_secs(8);

/// Time for the programs to start and for the first requests, on a busy machine.
const SLACK: Duration = Duration::from_secs(8);

/// Mounts one file of a server that ignores ranges.
fn rig(length: u64, disk: &str, hides_length: bool) -> Rig {
    rig_with(&format!("disk = \"{disk}\""), length, hides_length)
}

/// Mounts one file with the given lines in `[cache]`.
fn rig_with(cache: &str, length: u64, hides_length: bool) -> Rig {
    let rig = Rig::new(DemoCloudOptions {
        archive: Archive::with_pattern_files(&[("film", length)]),
        bytes_per_second: Some(RATE),
        ..DemoCloudOptions::default()
    })
    .with(&format!("read_deadline = \"{}s\"", DEADLINE.as_secs()))
    .with_cache(cache);
    if hides_length {
        rig.cloud.inject(Trigger::always(Server::Media).with_effect(Effect::UnknownLength));
    }
    rig.cloud.inject(Trigger::always(Server::Media).with_effect(Effect::WholeFile));
    rig.mount();
    rig
}

/// Runs a shell line with the path of the file in `$f`. Returns what it printed, whether it
/// succeeded, and how long it took.
fn timed(rig: &Rig, line: &str) -> (String, bool, Duration) {
    let start = Instant::now();
    let line = format!("f=$(find . -name '*.mp4'); export LC_ALL=C; {line}");
    let output = rig.try_shell(&line, 3 * COMMAND_TIMEOUT);
    (text(&output), output.status.success(), start.elapsed())
}

/// The bytes of the file at `offset`.
fn pattern(offset: u64, length: u64) -> Vec<u8> {
    let mut bytes = vec![0; length as usize];
    pattern_bytes(pattern_seed("film"), offset, &mut bytes);
    bytes
}

/// Reads `mebibytes` mebibytes at `offset` mebibytes, and asserts that they are exact.
fn read_exactly(rig: &Rig, offset: u64, mebibytes: u64) -> Duration {
    let copy = rig.directory.path().join("part");
    let line = format!(
        "dd if=\"$f\" of='{}' bs=1M skip={offset} count={mebibytes} status=none",
        copy.display()
    );
    let (output, is_read, time) = timed(rig, &line);
    assert!(is_read, "{offset}: {time:?} {output}\n{}", rig.log());
    let bytes = std::fs::read(&copy).expect("a copy");
    assert!(bytes == pattern(offset * MIB, mebibytes * MIB), "wrong bytes at {offset}");
    time
}

#[test]
fn copy_transfers_the_file_once() {
    for (disk, hides_length) in [("off", false), ("1GiB", true)] {
        for program in ["cp", "rsync"] {
            let rig = rig(LENGTH, disk, hides_length);
            let copy = rig.directory.path().join("copy");
            let (output, is_copied, time) =
                timed(&rig, &format!("{program} \"$f\" '{}'", copy.display()));
            let bytes = rig.media_bytes();
            let what = format!(
                "{program}, disk {disk}, hidden length: {hides_length}: {bytes} bytes of {LENGTH} \
                 in {} requests, {time:?}",
                rig.media_requests().len()
            );
            eprintln!("{what}");
            assert!(is_copied, "{what}: {output}\n{}", rig.log());
            assert!(std::fs::read(&copy).expect("a copy") == pattern(0, LENGTH), "{what}");
            assert!(bytes < LENGTH + LENGTH / 4, "{what}\n{}", rig.log());
            rig.unmount();
        }
    }
}

#[test]
fn bytes_before_a_seek_are_kept() {
    let rig = rig(LENGTH, "1GiB", true);
    read_exactly(&rig, 30, 1);
    let transferred = rig.media_bytes();
    assert!(transferred < LENGTH + LENGTH / 4, "{transferred}");
    rig.cloud.clear_requests();
    for offset in [0, 12, 29] {
        read_exactly(&rig, offset, 1);
    }
    assert_eq!(rig.media_bytes(), 0, "{:?}\n{}", rig.media_requests(), rig.log());
    rig.unmount();
}

#[test]
fn seek_beyond_the_limit_fails_at_once() {
    const LONG: u64 = 400 * MIB;
    let rig = rig(LONG, "off", false);
    for number in 0..3 {
        let line = "dd if=\"$f\" of=/dev/null bs=64k skip=6000 count=4 status=none";
        let (output, is_read, time) = timed(&rig, line);
        assert!(!is_read && output.contains("Input/output error"), "{number}: {output}");
        assert!(time < DEADLINE, "{number}: {time:?}\n{}", rig.log());
        // The start of the file can be read all the same.
        read_exactly(&rig, 4 * number, 2);
    }
    assert!(rig.log().contains("the server ignores ranges"), "{}", rig.log());
    let requests = rig.media_requests().len();
    assert!(requests <= 8, "{requests} requests\n{}", rig.log());
    rig.unmount();
}

#[test]
fn readers_of_one_file_share_a_transfer() {
    let rig = rig(LENGTH, "1GiB", false);
    let reader = |offset: u64| {
        let line = format!(
            "f=$(find . -name '*.mp4'); dd if=\"$f\" bs=1M skip={offset} status=none | sha256sum"
        );
        RunningCommand::shell(&rig, &line)
    };
    let mut readers: Vec<_> = [0, 5, 9, 20].map(reader).into_iter().collect();
    for reader in &mut readers {
        let (status, _) = reader.end(COMMAND_TIMEOUT);
        assert!(status.success(), "{}\n{}", reader.output(), rig.log());
    }
    let bytes = rig.media_bytes();
    assert!(bytes < 2 * LENGTH, "{bytes} bytes of {LENGTH}\n{}", rig.log());
    assert_eq!(rig.cloud.objects().len(), 1);
    assert!(readers[0].output().starts_with(&rig.cloud.objects()[0].sha256()));
    rig.unmount();
}

#[test]
fn broken_transfer_is_resumed() {
    let rig = rig(LENGTH, "off", false);
    let reset = Effect::Reset { after_bytes: 25 * MIB };
    // The first request confirms the length.
    rig.cloud.inject(Trigger::next(Server::Media, 1).after_requests(1).with_effect(reset));
    read_exactly(&rig, 0, LENGTH / MIB);
    let bytes = rig.media_bytes();
    assert!(bytes < 2 * LENGTH, "{bytes} bytes of {LENGTH}\n{}", rig.log());
    assert_eq!(rig.media_requests().len(), 3, "{}", rig.log());
    rig.unmount();
}

#[test]
fn evicted_bytes_are_transferred_again() {
    let rig = rig_with("memory = \"8MiB\"\ndisk = \"off\"", LENGTH, false);
    read_exactly(&rig, 0, LENGTH / MIB);
    drop_pages(&rig);
    let open = RunningCommand::shell(&rig, "exec tail -f -c 1 acme/*/*/*.mp4");
    open.wait_for_program("tail");
    read_exactly(&rig, 10, 4);
    read_exactly(&rig, 2, 4);
    let bytes = rig.media_bytes();
    assert!(bytes < 3 * LENGTH, "{bytes} bytes of {LENGTH}\n{}", rig.log());
    let memory = peak_memory(rig.daemon().expect("a daemon"));
    eprintln!("peak memory: {} MiB", memory / MIB);
    assert!(memory < 8 * MIB + OTHER_MEMORY, "{memory}");
    drop(open);
    rig.unmount();
}

#[test]
fn stalled_transfer_fails_at_the_deadline() {
    let rig = rig(LENGTH, "off", false);
    let stall = Effect::Stall { after_bytes: 9 * MIB };
    rig.cloud.inject(Trigger::always(Server::Media).with_effect(stall));
    let (output, is_read, time) = timed(&rig, "cat \"$f\" | wc -c; exit ${PIPESTATUS[0]}");
    assert!(!is_read && output.contains("Input/output error"), "{output}");
    assert!(time < DEADLINE + download_time(10 * MIB) + SLACK, "{time:?}\n{}", rig.log());
    rig.cloud.clear_faults();
    rig.cloud.inject(Trigger::always(Server::Media).with_effect(Effect::WholeFile));
    read_exactly(&rig, 0, LENGTH / MIB);
    rig.unmount();
}

#[test]
fn transfer_ends_when_its_reader_is_killed() {
    let rig = rig(LENGTH, "off", true);
    for line in ["exec cat \"$f\" > /dev/null", "exec tail -c 20000000 \"$f\" > /dev/null"] {
        rig.cloud.clear_requests();
        let line = format!("f=$(find . -name '*.mp4'); {line}");
        let mut reader = RunningCommand::shell(&rig, &line);
        wait_until(COMMAND_TIMEOUT, "the transfer runs", || rig.media_bytes() > 4 * MIB);
        let killed = Instant::now();
        reader.signal("INT");
        let (status, _) = reader.end(COMMAND_TIMEOUT);
        assert!(!status.success() && killed.elapsed() < SLACK, "{line}: {:?}", killed.elapsed());
        // The kernel keeps the file open until its last read has been answered.
        wait_until(COMMAND_TIMEOUT, "the transfer ends", || {
            let bytes = rig.media_bytes();
            std::thread::sleep(Duration::from_secs(1));
            rig.media_bytes() == bytes
        });
        let bytes = rig.media_bytes();
        assert!(bytes < LENGTH, "{line}: {bytes} bytes\n{}", rig.log());
    }
    read_exactly(&rig, 1, 1);
    rig.unmount();
}

#[test]
fn server_that_serves_ranges_again_is_used() {
    let rig = rig(LENGTH, "off", false);
    read_exactly(&rig, 0, 1);
    // The transfer ends when the file has been closed for a moment.
    std::thread::sleep(Duration::from_secs(1));
    rig.cloud.clear_faults();
    rig.cloud.clear_requests();
    read_exactly(&rig, 36, 1);
    read_exactly(&rig, 20, 1);
    let bytes = rig.media_bytes();
    assert!(bytes < 8 * MIB, "{bytes} bytes\n{}", rig.log());
    rig.unmount();
}
