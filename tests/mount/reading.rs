//! The cost of reads: seeks, files that are complete on disk, walks through small files, and closed
//! files.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use crate::support::processes::{RunningCommand, drop_pages};
use crate::support::{COMMAND_TIMEOUT, Rig, run, text, wait_until};
use meetfs::demo_cloud::{
    Archive, Content, DemoCloudOptions, Effect, ListedSize, MeetingFile, Request, Server, Trigger,
    pattern_bytes, pattern_seed,
};
use sha2::{Digest, Sha256};

const KIB: u64 = 1024;
const MIB: u64 = 1024 * KIB;
const LENGTH: u64 = 64 * MIB + 4321;

fn film() -> DemoCloudOptions {
    DemoCloudOptions {
        archive: Archive::with_pattern_files(&[("film", LENGTH)]),
        ..DemoCloudOptions::default()
    }
}

/// Meetings that have only transcripts and chats.
fn texts(meetings: usize) -> DemoCloudOptions {
    DemoCloudOptions {
        archive: Archive::with_meetings(meetings, 30),
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

/// Length of a reply that confirms the size of a file.
const CONFIRMATION_LENGTH: u64 = 1;

/// Returns the read system calls of the daemon so far (proc_pid_io(5)): one per kernel request.
fn daemon_reads(rig: &Rig) -> u64 {
    let path = format!("/proc/{}/io", rig.daemon().expect("a daemon"));
    let io = std::fs::read_to_string(path).expect("figures");
    let line = io.lines().find_map(|line| line.strip_prefix("syscr: ")).expect("a figure");
    line.trim().parse().expect("a number")
}

/// Waits until the disk cache has written all blocks of the film.
fn wait_for_disk(rig: &Rig) {
    wait_until(COMMAND_TIMEOUT, "the film is on disk", || {
        rig.status()["disk"]["used"].as_u64().is_some_and(|used| used > LENGTH)
    });
}

/// Observes the media server after a file was closed or its reader was killed, and asserts that the
/// last transfer was within `limit`.
fn assert_transfers_end(rig: &Rig, closed: Instant, limit: Duration, what: &str) {
    const OBSERVED: Duration = Duration::from_secs(1);
    let transferred = || (rig.media_requests().len(), rig.media_bytes());
    let (mut last, mut changed) = (transferred(), closed);
    while closed.elapsed() < limit + OBSERVED {
        let now = transferred();
        if now != last {
            (last, changed) = (now, Instant::now());
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    assert!(changed - closed <= limit, "{what}: transfers after {:?}", changed - closed);
}

/// Returns the SHA-256 of the concatenated ranges of the film. A range is an `(offset, length)`.
fn digest_of(reads: &[(u64, u64)]) -> String {
    let mut digest = Sha256::new();
    for (offset, length) in reads {
        let mut bytes = vec![0; *length as usize];
        pattern_bytes(pattern_seed("film"), *offset, &mut bytes);
        digest.update(&bytes);
    }
    digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn random_seeks_fetch_at_most_twice_their_bytes() {
    let rig = Rig::mounted(film());
    let mut place = 12_345_u64;
    let reads: Vec<(u64, u64)> = (0..50)
        .map(|_| {
            // Knuth's multiplier for 64-bit congruential generators; the upper bits are random
            // enough.
            place = place.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            ((place >> 33) % (LENGTH - 256 * KIB), 256 * KIB)
        })
        .collect();
    // One handle, as in a player.
    let places: Vec<String> = reads.iter().map(|(offset, _)| offset.to_string()).collect();
    let script = "open(F, \"<\", shift) or die; for (@ARGV) { sysseek(F, $_, 0) or die; \
                  sysread(F, $b, 262144) == 262144 or die; print $b }";
    let line =
        format!("perl -e '{script}' \"$(find . -name '*.mp4')\" {} | sha256sum", places.join(" "));
    rig.cloud.clear_requests();
    let output = rig.shell(&line);
    assert!(output.starts_with(&digest_of(&reads)), "{output}");
    let (fetched, read) = (rig.media_bytes(), 50 * 256 * KIB);
    eprintln!("{fetched} bytes fetched for {read} read, {} requests", rig.media_requests().len());
    assert!(fetched <= 2 * read, "{fetched} bytes for {read}");
}

/// Opens each video, calls fstat(2), and closes it. Prints the sizes.
const OPEN_WITHOUT_READING: &str = "find . -name '*.mp4' -print0 | sort -z | xargs -0 perl -e \
     'for (@ARGV) { open(F, \"<\", $_) or die; print((stat F)[7], \"\\n\"); close F }'";

/// Returns an archive of `count` films of 2 MiB. The listed size of the film at index `wrong` is
/// too small.
fn films(count: usize, wrong: Option<usize>) -> DemoCloudOptions {
    let names: Vec<String> = (0..count).map(|index| format!("film{index:02}")).collect();
    let files: Vec<_> = names.iter().map(|name| (name.as_str(), FILM_LENGTH)).collect();
    let mut archive = Archive::with_pattern_files(&files);
    if let Some(index) = wrong {
        archive.meetings[index].files[0].listed_size = ListedSize::Wrong(-1000);
    }
    DemoCloudOptions { archive, ..DemoCloudOptions::default() }
}

const FILM_LENGTH: u64 = 2 * MIB + 321;

/// Returns the number of media requests, and the bytes of their replies.
fn open_without_reading(rig: &Rig, sizes: &str) -> (usize, u64) {
    rig.cloud.clear_requests();
    assert_eq!(rig.shell(OPEN_WITHOUT_READING), sizes);
    (rig.media_requests().len(), rig.media_bytes())
}

#[test]
fn opening_costs_one_byte_once() {
    const FILES: usize = 30;
    // Maximum requests and bytes for measuring the film whose listed size is wrong. The bytes
    // include an error page.
    const MAX_PROOF: (usize, u64) = (4, 512);
    let sizes = format!("{FILM_LENGTH}\n").repeat(FILES);
    let rig = Rig::mounted(films(FILES, Some(0)));
    let (requests, bytes) = open_without_reading(&rig, &sizes);
    assert!((FILES..=FILES + MAX_PROOF.0).contains(&requests), "{requests} requests");
    assert!(bytes <= FILES as u64 + MAX_PROOF.1, "{bytes} bytes");
    // The corrected length is confirmed like any other.
    assert_eq!(open_without_reading(&rig, &sizes), (1, 1));
    assert_eq!(open_without_reading(&rig, &sizes), (0, 0));
    rig.unmount();
    rig.mount();
    let (requests, bytes) = open_without_reading(&rig, &sizes);
    assert!(requests <= MAX_PROOF.0, "{requests} requests after a remount");
    assert!(bytes <= MAX_PROOF.1, "{bytes} bytes after a remount");
}

#[test]
fn confirmed_length_outlives_the_mount() {
    let rig = Rig::mounted(films(1, None));
    open_without_reading(&rig, &format!("{FILM_LENGTH}\n"));
    rig.unmount();
    rig.mount();
    rig.cloud.clear_requests();
    rig.shell("head -c 65536 \"$(find . -name '*.mp4')\" | wc -c");
    assert_eq!(rig.media_requests().len(), 1, "{:?}", rig.media_requests());
}

#[test]
fn files_that_are_read_cost_one_request() {
    const FILES: usize = 12;
    let rig = Rig::mounted(films(FILES, None));
    rig.cloud.clear_requests();
    rig.shell("find . -name '*.mp4' -print0 | sort -z | xargs -0 cat | wc -c");
    let requests = rig.media_requests();
    let mut requests_by_path = HashMap::<_, usize>::new();
    for request in &requests {
        *requests_by_path.entry(&request.path).or_default() += 1;
    }
    // The first two files show that the program opens files to read all of them.
    let single = requests_by_path.values().filter(|count| **count == 1).count();
    assert!(single >= FILES - 3, "{requests_by_path:?}");
    assert!(rig.media_bytes() < FILES as u64 * (FILM_LENGTH + 100), "{}", rig.media_bytes());
}

/// Returns an archive of `count` files of 3 MB on a server with 30 ms to the first byte.
fn small_files(count: usize) -> DemoCloudOptions {
    let names: Vec<String> = (0..count).map(|index| format!("sound{index:02}")).collect();
    let files: Vec<_> = names.iter().map(|name| (name.as_str(), SMALL_LENGTH)).collect();
    DemoCloudOptions {
        archive: Archive::with_pattern_files(&files),
        first_byte_latency: Duration::from_millis(30),
        ..DemoCloudOptions::default()
    }
}

const SMALL_LENGTH: u64 = 3_000_000;

#[test]
fn small_file_is_read_with_one_request() {
    const WORKERS: usize = 4;
    let rig = Rig::mounted(small_files(WORKERS));
    rig.cloud.clear_requests();
    // The files are opened at the same time, so none of them predicts how the others are read.
    rig.shell("find . -name '*.mp4' -print0 | xargs -0 -P 4 -n 1 sha256sum");
    // Each open confirms the size with a request for one byte.
    assert_eq!(rig.media_requests().len(), 2 * WORKERS, "{:?}", rig.media_requests());
    assert_eq!(rig.media_bytes(), (SMALL_LENGTH + 1) * WORKERS as u64);
}

#[test]
fn head_of_a_small_file_is_cheap() {
    const FILES: usize = 6;
    const READ_LENGTH: u64 = 64 * KIB;
    let rig = Rig::mounted(small_files(FILES));
    rig.cloud.clear_requests();
    rig.shell("find . -name '*.mp4' -print0 | xargs -0 -n 1 head -c 65536 | wc -c");
    // Bytes in the buffers of a connection count as fetched.
    let max_bytes = FILES as u64 * (2 * READ_LENGTH + 2 * MIB);
    assert!(rig.media_bytes() <= max_bytes, "{} bytes", rig.media_bytes());
}

#[test]
fn small_file_is_exact_after_a_pause() {
    let rig = Rig::mounted(small_files(1));
    rig.cloud.clear_requests();
    // The pause is longer than the request for the whole file waits for its reader.
    let line = "exec 3< \"$(find . -name '*.mp4')\"; \
                { head -c 65536 <&3; sleep 3; cat <&3; } | sha256sum";
    let output = rig.shell(line);
    let object = rig.cloud.objects().into_iter().next().expect("an object");
    assert!(output.starts_with(&object.sha256()), "{output}");
    assert!(rig.media_requests().len() > 2, "{:?}", rig.media_requests());
}

#[test]
fn complete_file_is_read_without_the_daemon() {
    let rig = Rig::mounted(film());
    assert_eq!(hash(&rig), expected_hash(&rig));
    drop_pages(&rig);
    rig.cloud.clear_requests();
    let before = daemon_reads(&rig);
    assert_eq!(hash(&rig), expected_hash(&rig));
    let kernel_reads = daemon_reads(&rig) - before;
    // Its 65 MiB would be 65 kernel requests of a megabyte, or eight times as many smaller ones.
    assert!(kernel_reads < 32, "{kernel_reads} reads of the daemon\n{}", rig.log());
    assert!(rig.media_requests().is_empty(), "{:?}", rig.media_requests());
}

#[test]
fn daemon_reads_everything_without_passthrough() {
    let rig = Rig::new(film());
    rig.write_config(&rig.config());
    let output = run(rig.mount_command().arg("--no-passthrough"), COMMAND_TIMEOUT);
    assert!(output.status.success(), "{}", text(&output));
    assert_eq!(hash(&rig), expected_hash(&rig));
    drop_pages(&rig);
    rig.cloud.clear_requests();
    let before = daemon_reads(&rig);
    assert_eq!(hash(&rig), expected_hash(&rig));
    assert!(daemon_reads(&rig) - before >= LENGTH / MIB);
    assert!(rig.media_requests().is_empty(), "{:?}", rig.media_requests());
}

#[test]
fn handles_before_and_after_completion_read_same_bytes() {
    let rig = Rig::mounted(film());
    // The first handle is opened before anything is on disk, so the daemon reads for all handles.
    // After it is closed, new handles use passthrough, and so do handles that are opened at the
    // same time.
    let line = "f=\"$(find . -name '*.mp4')\"; exec 3< \"$f\"; sha256sum < \"$f\"; sha256sum < \"$f\"; \
                sha256sum <&3; exec 3<&-; sleep 0.2; exec 4< \"$f\"; sha256sum < \"$f\"; sha256sum <&4; \
                for i in 1 2 3 4 5 6 7 8; do (exec 5< \"$f\"; sha256sum <&5) & done; wait";
    let output = rig.shell(line);
    let right = output.lines().filter(|line| line.starts_with(&expected_hash(&rig))).count();
    assert_eq!(right, 13, "{output}");
}

#[test]
fn evicted_file_stays_readable_for_open_handle() {
    let archive =
        Archive::with_pattern_files(&[("film", LENGTH), ("other", LENGTH), ("third", LENGTH)]);
    let rig = Rig::new(DemoCloudOptions { archive, ..DemoCloudOptions::default() })
        .with_cache("disk = \"100MiB\"");
    rig.mount();
    let objects = rig.cloud.objects();
    let hash_of = |topic: &str| {
        objects.iter().find(|object| object.topic == topic).expect("an object").sha256()
    };
    let hashes = [hash_of("film"), hash_of("other"), hash_of("third")];
    let line = "set -- acme/*/*/*.mp4; sha256sum < \"$1\"; exec 3< \"$1\"; sha256sum < \"$2\"; sha256sum < \"$3\"; \
                sha256sum <&3; du -s --block-size=1 ../cache/blocks | cut -f1";
    let output = rig.shell(line);
    let lines: Vec<&str> = output.lines().collect();
    for (line, name) in [(0, 0), (1, 1), (2, 2), (3, 0)] {
        assert!(lines[line].starts_with(&hashes[name]), "{line}: {output}");
    }
    assert!(lines[4].parse::<u64>().expect("a size") <= 100 * MIB, "{output}");
}

#[test]
fn upstream_change_shows_while_old_file_is_open() {
    let rig = Rig::mounted(film());
    assert_eq!(hash(&rig), expected_hash(&rig));
    let before = expected_hash(&rig);
    wait_for_disk(&rig);
    let (opened, go) = (rig.directory.path().join("opened"), rig.directory.path().join("go"));
    let mut reader = RunningCommand::shell(
        &rig,
        &format!(
            "exec 3< \"$(find . -name '*.mp4')\"; touch '{}'; \
             while ! test -e '{}'; do sleep 0.02; done; sha256sum <&3",
            opened.display(),
            go.display()
        ),
    );
    wait_until(COMMAND_TIMEOUT, "the reader has opened the file", || opened.exists());
    let meeting = rig.cloud.objects().first().expect("an object").meeting_uuid.clone();
    assert!(rig.cloud.change_meeting(&meeting, |meeting| {
        if let Some(file) = meeting.files.first_mut() {
            file.content = Content::Pattern { seed: pattern_seed("trimmed"), length: 3 * MIB };
        }
    }));
    let daemon = rig.daemon().expect("a daemon").to_string();
    run(std::process::Command::new("kill").args(["-HUP", &daemon]), COMMAND_TIMEOUT);
    wait_until(COMMAND_TIMEOUT, "the trimmed film shows", || {
        rig.shell("stat -c %s acme/*/*/*.mp4").trim() == (3 * MIB).to_string()
    });
    assert_eq!(hash(&rig), expected_hash(&rig));
    std::fs::write(&go, "").expect("a signal");
    reader.end(COMMAND_TIMEOUT);
    let output = reader.output();
    assert!(output.starts_with(&before), "{output}");
}

#[test]
fn damaged_cache_file_is_never_passed_through() {
    let rig = Rig::mounted(film());
    assert_eq!(hash(&rig), expected_hash(&rig));
    // The file is passed through once, so nothing is left to verify.
    assert_eq!(hash(&rig), expected_hash(&rig));
    let flip = "f=$(ls -S ../cache/blocks/*.data | head -n 1); \
                printf 'X' | dd of=\"$f\" bs=1 seek=5000000 conv=notrunc status=none";
    for _ in 0..3 {
        drop_pages(&rig);
        rig.shell(flip);
        assert_eq!(hash(&rig), expected_hash(&rig));
        assert_eq!(hash(&rig), expected_hash(&rig));
    }
}

#[test]
fn file_damaged_while_open_is_exact_when_reopened() {
    let rig = Rig::mounted(film());
    assert_eq!(hash(&rig), expected_hash(&rig));
    assert_eq!(hash(&rig), expected_hash(&rig));
    let line = "f=\"$(find . -name '*.mp4')\"; d=$(ls -S ../cache/blocks/*.data | head -n 1); exec 3< \"$f\"; \
                head -c 4096 <&3 > /dev/null; printf X | dd of=\"$d\" bs=1 seek=5000000 conv=notrunc status=none; \
                sha256sum < \"$f\"; truncate -s 5000000 \"$d\"; sha256sum < \"$f\"; sha256sum < \"$f\"; \
                exec 3<&-; sleep 0.2; sha256sum < \"$f\"; sha256sum < \"$f\"";
    let output = rig.shell(line);
    let right = output.lines().filter(|line| line.starts_with(&expected_hash(&rig))).count();
    assert_eq!(right, 5, "{output}");
}

#[test]
fn file_read_in_parts_is_complete_on_disk() {
    let rig = Rig::mounted(film());
    // The reads start at the end. Each part ends within a block and is read with its own handle.
    let line = "f=\"$(find . -name '*.mp4')\"; n=$(stat -c %s \"$f\"); at=$n; while [ $at -gt 0 ]; do at=$((at - 333333)); \
                [ $at -gt 0 ] || at=0; dd if=\"$f\" bs=333333 skip=$at count=1 iflag=skip_bytes,fullblock status=none \
                > /dev/null; done";
    rig.shell(line);
    wait_for_disk(&rig);
    drop_pages(&rig);
    rig.cloud.clear_requests();
    assert_eq!(hash(&rig), expected_hash(&rig));
    assert!(rig.media_requests().is_empty(), "{:?}", rig.media_requests());
}

#[test]
fn wrong_file_type_causes_few_requests() {
    let mut options = texts(30);
    let mut files = 0;
    for meeting in &mut options.archive.meetings {
        for file in meeting.files.iter_mut().filter(|file| file.file_type == "TRANSCRIPT") {
            file.content = Content::Stored("something else altogether".into());
            files += 1;
        }
    }
    let rig = Rig::mounted(options);
    rig.cloud.clear_requests();
    let output =
        rig.try_shell("LC_ALL=C grep -r -c WEBVTT --include='*.vtt' acme", COMMAND_TIMEOUT);
    assert_eq!(text(&output).matches("Input/output error").count(), files, "{}", text(&output));
    // Two leases for the walk, two for the reader, and two if the kernel repeats the read.
    assert!(rig.media_requests().len() <= 6 * files, "{} for {files}", rig.media_requests().len());
}

#[test]
fn read_past_its_deadline_logs_the_last_failure() {
    let rig = Rig::new(film()).with("read_deadline = \"3s\"");
    rig.mount();
    rig.cloud
        .inject(Trigger::always(Server::Media).with_effect(Effect::WrongRange { shift: 4096 }));
    let output =
        rig.try_shell("LC_ALL=C cat \"$(find . -name '*.mp4')\" | wc -c", 2 * COMMAND_TIMEOUT);
    assert!(text(&output).contains("Input/output error"), "{}", text(&output));
    let log = rig.log();
    let failures: Vec<&str> =
        log.lines().filter(|line| line.contains("within the deadline")).collect();
    assert!(!failures.is_empty(), "{log}");
    for line in failures {
        assert!(line.contains("but the request began at byte"), "{line}");
    }
}

#[test]
fn single_small_read_prefetches_nothing() {
    let mut options = texts(40);
    let film = MeetingFile::new("MP4", Content::Pattern { seed: 7, length: LENGTH });
    options.archive.meetings[0].files.push(film);
    let rig = Rig::mounted(options);
    rig.cloud.clear_requests();
    rig.shell("cat \"$(find . -name chat.txt | sort | sed -n 7p)\" | wc -c");
    // A prefetch would send its requests before those of a file that is read afterwards.
    rig.shell("head -c 100000 \"$(find . -name '*.mp4')\" > /dev/null");
    let requests = rig.media_requests();
    let objects = rig.cloud.objects();
    let film = objects.iter().find(|object| object.file_type == "MP4").expect("the film");
    let is_small = |request: &&Request| {
        request.path != film.media_path && request.body_bytes > CONFIRMATION_LENGTH
    };
    let small: Vec<_> = requests.iter().filter(is_small).collect();
    assert_eq!(small.len(), 1, "{small:?}");
    assert!(requests.len() > 1, "{requests:?}");
}

#[test]
fn walk_through_small_files_fetches_each_once() {
    const LATENCY: Duration = Duration::from_millis(100);
    for walk in ["grep -r -c WEBVTT acme", "cp -r acme ../copy"] {
        let rig = Rig::mounted(texts(50));
        let files = rig.cloud.objects().len();
        rig.cloud.inject(Trigger::always(Server::Media).with_effect(Effect::Latency(LATENCY)));
        rig.cloud.inject(Trigger::always(Server::Media).with_effect(Effect::Bandwidth(1 << 30)));
        rig.cloud.clear_requests();
        let output = rig.try_shell(walk, COMMAND_TIMEOUT);
        assert!(output.status.code().is_some_and(|code| code < 2), "{}", text(&output));
        let mut requests = rig.media_requests();
        requests.retain(|request| request.body_bytes > CONFIRMATION_LENGTH);
        assert_eq!(requests.len(), files, "{walk}");
        // Without prefetch, each file would take the latency of a request.
        let (first, last) = (requests[0].received_at, requests[files - 1].received_at);
        let one_by_one = LATENCY * files as u32;
        eprintln!("{walk}: {files} files within {:?}", last - first);
        assert!(last - first < one_by_one / 2, "{walk}: {:?}", last - first);
        rig.cloud.clear_requests();
        rig.try_shell(walk, COMMAND_TIMEOUT);
        assert!(rig.media_requests().is_empty(), "{walk}: {:?}", rig.media_requests().len());
    }
}

#[test]
fn stopped_walk_stops_its_fetches() {
    let rig = Rig::mounted(texts(300));
    rig.cloud.inject(Trigger::always(Server::Media).with_effect(Effect::Bandwidth(2000)));
    rig.cloud.clear_requests();
    let mut walk = RunningCommand::shell(&rig, "exec grep -r -c WEBVTT acme");
    wait_until(COMMAND_TIMEOUT, "files are prefetched", || rig.media_requests().len() > 8);
    walk.signal("KILL");
    walk.end(COMMAND_TIMEOUT);
    assert_transfers_end(&rig, Instant::now(), Duration::from_secs(3), "walk");
    let requests = rig.media_requests().len();
    assert!(requests < 300, "{requests}");
}

#[test]
fn closed_file_stops_its_transfers() {
    let options = DemoCloudOptions { bytes_per_second: Some(4_000_000), ..film() };
    let rig = Rig::mounted(options);
    let mut copy = RunningCommand::shell(&rig, "exec cat acme/*/*/*.mp4 > /dev/null");
    wait_until(COMMAND_TIMEOUT, "the copy has begun", || rig.media_requests().len() > 3);
    copy.signal("KILL");
    copy.end(COMMAND_TIMEOUT);
    assert_transfers_end(&rig, Instant::now(), Duration::from_secs(3), "cat");
}

#[test]
fn partial_read_transfers_nothing_after_close() {
    let options = DemoCloudOptions {
        archive: Archive::with_pattern_files(&[("big", 64 * MIB)]),
        bytes_per_second: Some(2_000_000),
        ..DemoCloudOptions::default()
    };
    let rig = Rig::mounted(options);
    for line in ["head -c 3000000", "dd bs=64k count=1 skip=500 status=none"] {
        rig.shell(&format!("{line} < \"$(find . -name '*.mp4')\" > /dev/null"));
        assert_transfers_end(&rig, Instant::now(), Duration::from_secs(2), line);
    }
    assert!(rig.media_bytes() < 20 * MIB, "{}", rig.media_bytes());
}

#[test]
fn readers_at_different_offsets_all_finish() {
    let options = DemoCloudOptions { bytes_per_second: Some(20_000_000), ..film() };
    let rig = Rig::mounted(options);
    let piece = 4 * MIB;
    let places: Vec<u64> = (0..12).map(|index| index * 5 * MIB + 777).collect();
    let line = places
        .iter()
        .map(|place| {
            format!(
                "(dd if=\"$f\" bs=128K skip={place} count={piece} iflag=skip_bytes,count_bytes,fullblock \
                 status=none | sha256sum | sed 's/-/{place}/') & "
            )
        })
        .collect::<String>();
    let output = rig.shell(&format!("f=\"$(find . -name '*.mp4')\"; {line} wait"));
    for place in places {
        let line = format!("{}  {place}\n", digest_of(&[(place, piece)]));
        assert!(output.contains(&line), "{place}: {output}");
    }
}

#[test]
fn copy_finishes_while_another_reader_seeks() {
    let archive = Archive::with_pattern_files(&[("film", LENGTH), ("backup", 40 * MIB)]);
    let options = DemoCloudOptions {
        archive,
        bytes_per_second: Some(8_000_000),
        ..DemoCloudOptions::default()
    };
    let rig = Rig::mounted(options);
    let mut seeker = RunningCommand::shell(
        &rig,
        "while :; do dd if=\"$(echo acme/*/*film/*.mp4)\" bs=64K count=1 skip=$((RANDOM * 2000)) \
         iflag=skip_bytes status=none > /dev/null; done",
    );
    let copied = rig.shell("sha256sum < acme/*/*backup/*.mp4");
    assert!(seeker.is_running(), "{}", seeker.output());
    seeker.signal_group("KILL");
    let backup = rig.cloud.objects().into_iter().find(|object| object.length == 40 * MIB);
    assert!(copied.starts_with(&backup.expect("the backup").sha256()), "{copied}");
}

#[test]
fn copy_uses_at_most_the_configured_connections() {
    let options = DemoCloudOptions { bytes_per_second: Some(6_000_000), ..film() };
    let rig = Rig::new(options).with("connections = 2");
    rig.mount();
    rig.cloud.clear_requests();
    assert_eq!(hash(&rig), expected_hash(&rig));
    let spans: Vec<(Duration, Duration)> = rig
        .media_requests()
        .iter()
        .map(|request| {
            (
                request.received_at,
                request.received_at
                    + Duration::from_secs_f64(request.body_bytes as f64 / 6_000_000.0),
            )
        })
        .collect();
    // A request that ends when the next one begins is not simultaneous with it.
    let slack = Duration::from_millis(100);
    let beside =
        |at: Duration| spans.iter().filter(|(from, to)| *from <= at && at + slack < *to).count();
    let most = spans.iter().map(|(from, _)| beside(*from)).max().unwrap_or_default();
    assert_eq!(most, 2, "{spans:?}");
}
