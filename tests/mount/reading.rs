//! What reads cost: seeks, files that are whole on the disk, walks through small ones, and what goes on after a close.

// A helper that cannot go on fails its test.

use std::time::Duration;

use crate::support::life::RunningCommand;
use crate::support::{Rig, SOON, run, text};
use meetfs::demo_cloud::{
    Archive, Content, DemoCloudOptions, Effect, Server, Trigger, pattern_bytes, pattern_seed,
};
use sha2::{Digest, Sha256};

const KIB: u64 = 1024;
const MIB: u64 = 1024 * KIB;
const LENGTH: u64 = 64 * MIB + 4321;

fn film() -> DemoCloudOptions {
    DemoCloudOptions {
        archive: Archive::pattern(&[("film", LENGTH)]),
        ..DemoCloudOptions::default()
    }
}

/// Transcripts and chats only, that many meetings.
fn texts(meetings: usize) -> DemoCloudOptions {
    DemoCloudOptions { archive: Archive::many(meetings, 30), ..DemoCloudOptions::default() }
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

fn drop_pages(rig: &Rig) {
    rig.shell("sync; echo 3 > /proc/sys/vm/drop_caches");
}

/// Read system calls of the daemon so far (proc_pid_io(5)): each request of the kernel costs one.
fn daemon_reads(rig: &Rig) -> u64 {
    let path = format!("/proc/{}/io", rig.daemon().expect("a daemon"));
    let io = std::fs::read_to_string(path).expect("figures");
    let line = io.lines().find_map(|line| line.strip_prefix("syscr: ")).expect("a figure");
    line.trim().parse().expect("a number")
}

/// What `shasum` says of the bytes of the film that a row of reads should have brought.
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
fn fifty_random_seeks_in_one_handle_fetch_at_most_twice_what_is_read() {
    let rig = Rig::mounted(film());
    let mut place = 12_345_u64;
    let reads: Vec<(u64, u64)> = (0..50)
        .map(|_| {
            // Knuth's multiplier for 64-bit congruential generators; the upper bits are the good ones.
            place = place.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            ((place >> 33) % (LENGTH - 256 * KIB), 256 * KIB)
        })
        .collect();
    // One handle, as a player has it.
    let places: Vec<String> = reads.iter().map(|(offset, _)| offset.to_string()).collect();
    let script = "open(F, \"<\", shift) or die; for (@ARGV) { sysseek(F, $_, 0) or die; \
                  sysread(F, $b, 262144) == 262144 or die; print $b }";
    let line =
        format!("perl -e '{script}' \"$(find . -name '*.mp4')\" {} | sha256sum", places.join(" "));
    rig.cloud.clear_requests();
    let said = rig.shell(&line);
    assert!(said.starts_with(&digest_of(&reads)), "{said}");
    let (fetched, read) = (rig.media_bytes(), 50 * 256 * KIB);
    eprintln!("{fetched} bytes fetched for {read} read, {} requests", rig.media_requests().len());
    assert!(fetched <= 2 * read, "{fetched} bytes for {read}");
}

#[test]
fn a_file_that_is_whole_on_the_disk_is_read_without_the_daemon() {
    let rig = Rig::mounted(film());
    assert_eq!(hash(&rig), wanted(&rig));
    drop_pages(&rig);
    rig.cloud.clear_requests();
    let before = daemon_reads(&rig);
    assert_eq!(hash(&rig), wanted(&rig));
    let asked = daemon_reads(&rig) - before;
    // Its 65 MiB would be as many requests of a megabyte, or eight times as many.
    assert!(asked < 32, "{asked} reads of the daemon\n{}", rig.log());
    assert!(rig.media_requests().is_empty(), "{:?}", rig.media_requests());
}

#[test]
fn the_daemon_reads_all_of_it_where_passthrough_is_not_wanted() {
    let rig = Rig::new(film());
    rig.write_config(&rig.config());
    let output = run(rig.mount_command().arg("--no-passthrough"), SOON);
    assert!(output.status.success(), "{}", text(&output));
    assert_eq!(hash(&rig), wanted(&rig));
    drop_pages(&rig);
    rig.cloud.clear_requests();
    let before = daemon_reads(&rig);
    assert_eq!(hash(&rig), wanted(&rig));
    assert!(daemon_reads(&rig) - before >= LENGTH / MIB);
    assert!(rig.media_requests().is_empty(), "{:?}", rig.media_requests());
}

#[test]
fn handles_opened_before_and_after_a_file_was_whole_read_the_same_bytes_side_by_side() {
    let rig = Rig::mounted(film());
    // The first handle is there before anything is on the disk, so all others go its way; once it is closed, they
    // are handed the file, and those that come while one of them is open are too.
    let line = "f=\"$(find . -name '*.mp4')\"; exec 3< \"$f\"; sha256sum < \"$f\"; sha256sum < \"$f\"; \
                sha256sum <&3; exec 3<&-; sleep 0.2; exec 4< \"$f\"; sha256sum < \"$f\"; sha256sum <&4; \
                for i in 1 2 3 4 5 6 7 8; do (exec 5< \"$f\"; sha256sum <&5) & done; wait";
    let said = rig.shell(line);
    let right = said.lines().filter(|line| line.starts_with(&wanted(&rig))).count();
    assert_eq!(right, 13, "{said}");
}

#[test]
fn a_file_that_is_being_read_past_the_daemon_outlives_its_eviction() {
    let archive = Archive::pattern(&[("film", LENGTH), ("other", LENGTH), ("third", LENGTH)]);
    let rig = Rig::new(DemoCloudOptions { archive, ..DemoCloudOptions::default() })
        .with_cache("disk = \"100MiB\"");
    rig.mount();
    let objects = rig.cloud.objects();
    let of = |topic: &str| {
        objects.iter().find(|object| object.topic == topic).expect("an object").sha256()
    };
    let hashes = [of("film"), of("other"), of("third")];
    let line = "set -- acme/*/*/*.mp4; sha256sum < \"$1\"; exec 3< \"$1\"; sha256sum < \"$2\"; sha256sum < \"$3\"; \
                sha256sum <&3; du -s --block-size=1 ../cache/blocks | cut -f1";
    let said = rig.shell(line);
    let lines: Vec<&str> = said.lines().collect();
    for (line, name) in [(0, 0), (1, 1), (2, 2), (3, 0)] {
        assert!(lines[line].starts_with(&hashes[name]), "{line}: {said}");
    }
    assert!(lines[4].parse::<u64>().expect("a size") <= 100 * MIB, "{said}");
}

#[test]
fn a_change_in_the_cloud_is_seen_while_the_old_file_is_handed_to_the_kernel() {
    let rig = Rig::mounted(film());
    assert_eq!(hash(&rig), wanted(&rig));
    let before = wanted(&rig);
    let mut reader =
        RunningCommand::shell(&rig, "exec 3< \"$(find . -name '*.mp4')\"; sleep 2; sha256sum <&3");
    std::thread::sleep(Duration::from_millis(500));
    let meeting = rig.cloud.objects().first().expect("an object").meeting.clone();
    assert!(rig.cloud.change_meeting(&meeting, |meeting| {
        if let Some(file) = meeting.files.first_mut() {
            file.content = Content::Pattern { seed: pattern_seed("trimmed"), length: 3 * MIB };
        }
    }));
    let daemon = rig.daemon().expect("a daemon").to_string();
    run(std::process::Command::new("kill").args(["-HUP", &daemon]), SOON);
    crate::support::wait_until(SOON, "the trimmed film shows", || {
        rig.shell("stat -c %s acme/*/*/*.mp4").trim() == (3 * MIB).to_string()
    });
    assert_eq!(hash(&rig), wanted(&rig));
    reader.end(SOON);
    let said = reader.output();
    assert!(said.starts_with(&before) || said.contains("Stale file handle"), "{said}");
}

#[test]
fn bytes_that_somebody_changed_in_the_cache_are_never_handed_to_the_kernel() {
    let rig = Rig::mounted(film());
    assert_eq!(hash(&rig), wanted(&rig));
    // Handed out once, so that nothing is left to be verified.
    assert_eq!(hash(&rig), wanted(&rig));
    let flip = "f=$(ls -S ../cache/blocks/*.data | head -n 1); \
                printf 'X' | dd of=\"$f\" bs=1 seek=5000000 conv=notrunc status=none";
    for _ in 0..3 {
        rig.shell(flip);
        drop_pages(&rig);
        assert_eq!(hash(&rig), wanted(&rig));
        assert_eq!(hash(&rig), wanted(&rig));
    }
}

#[test]
fn a_file_changed_in_the_cache_while_the_kernel_reads_it_is_read_exactly_by_who_opens_it_next() {
    let rig = Rig::mounted(film());
    assert_eq!(hash(&rig), wanted(&rig));
    assert_eq!(hash(&rig), wanted(&rig));
    let line = "f=\"$(find . -name '*.mp4')\"; d=$(ls -S ../cache/blocks/*.data | head -n 1); exec 3< \"$f\"; \
                head -c 4096 <&3 > /dev/null; printf X | dd of=\"$d\" bs=1 seek=5000000 conv=notrunc status=none; \
                sha256sum < \"$f\"; truncate -s 5000000 \"$d\"; sha256sum < \"$f\"; sha256sum < \"$f\"; \
                exec 3<&-; sleep 0.2; sha256sum < \"$f\"; sha256sum < \"$f\"";
    let said = rig.shell(line);
    let right = said.lines().filter(|line| line.starts_with(&wanted(&rig))).count();
    assert_eq!(right, 5, "{said}");
}

#[test]
fn a_file_that_was_read_in_pieces_is_whole_on_the_disk_all_the_same() {
    let rig = Rig::mounted(film());
    // From the end on, in pieces that end within blocks, each through a handle of its own.
    let line = "f=\"$(find . -name '*.mp4')\"; n=$(stat -c %s \"$f\"); at=$n; while [ $at -gt 0 ]; do at=$((at - 333333)); \
                [ $at -gt 0 ] || at=0; dd if=\"$f\" bs=333333 skip=$at count=1 iflag=skip_bytes,fullblock status=none \
                > /dev/null; done; sleep 1";
    rig.shell(line);
    drop_pages(&rig);
    rig.cloud.clear_requests();
    assert_eq!(hash(&rig), wanted(&rig));
    assert!(rig.media_requests().is_empty(), "{:?}", rig.media_requests());
}

#[test]
fn files_that_are_not_what_they_should_be_cost_a_few_requests_each_and_say_so() {
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
    let output = rig.try_shell("LC_ALL=C grep -r -c WEBVTT --include='*.vtt' acme", SOON);
    assert_eq!(text(&output).matches("Input/output error").count(), files, "{}", text(&output));
    // Two links for the walk, two for the reader, and two where the kernel asks once more.
    assert!(rig.media_requests().len() <= 6 * files, "{} for {files}", rig.media_requests().len());
}

#[test]
fn a_read_that_ends_at_its_deadline_says_in_the_log_what_went_wrong_till_then() {
    let rig = Rig::new(film()).with("read_deadline = \"3s\"");
    rig.mount();
    rig.cloud.inject(Trigger::always(Server::Media).does(Effect::WholeFile));
    let output = rig.try_shell("LC_ALL=C cat \"$(find . -name '*.mp4')\" | wc -c", 2 * SOON);
    assert!(text(&output).contains("Input/output error"), "{}", text(&output));
    let log = rig.log();
    let given_up: Vec<&str> =
        log.lines().filter(|line| line.contains("within the deadline")).collect();
    assert!(!given_up.is_empty(), "{log}");
    for line in given_up {
        assert!(line.contains("status 200 with the whole file in place of a range"), "{line}");
    }
}

#[test]
fn one_small_file_that_is_read_fetches_no_other() {
    let rig = Rig::mounted(texts(40));
    rig.cloud.clear_requests();
    rig.shell("cat \"$(find . -name chat.txt | sort | sed -n 7p)\" | wc -c");
    std::thread::sleep(Duration::from_millis(500));
    assert_eq!(rig.media_requests().len(), 1, "{:?}", rig.media_requests());
}

#[test]
fn a_walk_through_small_files_finds_the_next_ready_and_fetches_each_once() {
    for walk in ["grep -r -c WEBVTT acme", "cp -r acme ../copy"] {
        let rig = Rig::mounted(texts(150));
        let files = rig.cloud.objects().len();
        rig.cloud.inject(
            Trigger::always(Server::Media).does(Effect::Latency(Duration::from_millis(20))),
        );
        rig.cloud.inject(Trigger::always(Server::Media).does(Effect::Bandwidth(1 << 30)));
        rig.cloud.clear_requests();
        let output = rig.try_shell(walk, SOON);
        assert!(output.status.code().is_some_and(|code| code < 2), "{}", text(&output));
        let requests = rig.media_requests();
        assert_eq!(requests.len(), files, "{walk}");
        // A reader that asks one by one would take a latency for each.
        let (first, last) = (requests[0].at, requests[files - 1].at);
        let one_by_one = Duration::from_millis(20) * files as u32;
        eprintln!("{walk}: {files} files within {:?}", last - first);
        assert!(last - first < one_by_one / 2, "{walk}: {:?}", last - first);
        rig.cloud.clear_requests();
        rig.try_shell(walk, SOON);
        assert!(rig.media_requests().is_empty(), "{walk}: {:?}", rig.media_requests().len());
    }
}

#[test]
fn a_walk_that_stops_fetches_nothing_a_second_later() {
    let rig = Rig::mounted(texts(300));
    rig.cloud.inject(Trigger::always(Server::Media).does(Effect::Bandwidth(2000)));
    rig.cloud.clear_requests();
    let mut walk = RunningCommand::shell(&rig, "exec grep -r -c WEBVTT acme");
    crate::support::wait_until(SOON, "files are fetched ahead", || rig.media_requests().len() > 8);
    walk.signal("KILL");
    walk.end(SOON);
    std::thread::sleep(Duration::from_secs(1));
    let (requests, bytes) = (rig.media_requests().len(), rig.media_bytes());
    std::thread::sleep(Duration::from_secs(2));
    assert_eq!((rig.media_requests().len(), rig.media_bytes()), (requests, bytes));
    assert!(requests < 300, "{requests}");
}

#[test]
fn nothing_flows_a_second_after_the_last_close() {
    let options = DemoCloudOptions { bytes_per_second: Some(4_000_000), ..film() };
    let rig = Rig::mounted(options);
    let mut copy = RunningCommand::shell(&rig, "exec cat acme/*/*/*.mp4 > /dev/null");
    crate::support::wait_until(SOON, "the copy is under way", || rig.media_requests().len() > 3);
    copy.signal("KILL");
    copy.end(SOON);
    std::thread::sleep(Duration::from_secs(1));
    let before = (rig.media_requests().len(), rig.media_bytes());
    std::thread::sleep(Duration::from_secs(2));
    assert_eq!((rig.media_requests().len(), rig.media_bytes()), before);
}

#[test]
fn readers_at_different_places_of_one_file_all_come_to_their_end() {
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
    let said = rig.shell(&format!("f=\"$(find . -name '*.mp4')\"; {line} wait"));
    for place in places {
        let wanted = format!("{}  {place}\n", digest_of(&[(place, piece)]));
        assert!(said.contains(&wanted), "{place}: {said}");
    }
}

#[test]
fn a_copy_keeps_going_beside_somebody_who_seeks_without_a_pause() {
    let archive = Archive::pattern(&[("film", LENGTH), ("backup", 40 * MIB)]);
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
fn no_more_connections_than_configured_carry_a_copy() {
    let options = DemoCloudOptions { bytes_per_second: Some(6_000_000), ..film() };
    let rig = Rig::new(options).with("connections = 2");
    rig.mount();
    rig.cloud.clear_requests();
    assert_eq!(hash(&rig), wanted(&rig));
    let spans: Vec<(Duration, Duration)> = rig
        .media_requests()
        .iter()
        .map(|request| {
            (
                request.at,
                request.at + Duration::from_secs_f64(request.body_bytes as f64 / 6_000_000.0),
            )
        })
        .collect();
    // A request that ends as the next begins is not beside it, whatever the clocks say.
    let slack = Duration::from_millis(100);
    let beside =
        |at: Duration| spans.iter().filter(|(from, to)| *from <= at && at + slack < *to).count();
    let most = spans.iter().map(|(from, _)| beside(*from)).max().unwrap_or_default();
    assert_eq!(most, 2, "{spans:?}");
}
