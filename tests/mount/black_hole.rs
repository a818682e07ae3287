//! A server that accepts every request and answers none. Metadata and cached bytes stay available,
//! and no program waits longer than its deadline.

use std::time::{Duration, Instant};

use crate::support::processes::{RunningCommand, drop_name_cache};
use crate::support::{COMMAND_TIMEOUT, Rig, wait_until};
use jiff::{SignedDuration, Timestamp};
use meetfs::demo_cloud::{
    Archive, Content, DemoCloudOptions, Effect, Fault, Meeting, MeetingFile, Server, Trigger,
    pattern_bytes, pattern_seed,
};

/// Upper bound for a reply that needs no server, on a busy machine. A read that waits for the
/// server takes until the read deadline of 30 s.
const CACHED_ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

fn black_hole() -> Vec<Fault> {
    [Server::Api, Server::Web, Server::Media]
        .into_iter()
        .map(|server| Trigger::always(server).with_effect(Effect::BlackHole))
        .collect()
}

fn stop_answering(rig: &Rig) {
    black_hole().into_iter().for_each(|fault| rig.cloud.inject(fault));
}

/// Mounts an archive, reads the file `known` completely, and makes the server stop answering.
fn mount_with_silent_server() -> Rig {
    let files = [("known", 3_000_000), ("other", 50_000_000), ("third", 50_000_000)];
    let rig = Rig::mounted(DemoCloudOptions {
        archive: Archive::with_pattern_files(&files),
        ..DemoCloudOptions::default()
    });
    rig.shell("cat acme/*/*known/*.mp4 | wc -c");
    stop_answering(&rig);
    drop_name_cache(&rig);
    rig
}

/// Returns whether a process has a file of the mount open and sleeps.
fn is_blocked_in_mount(rig: &Rig, process: u32) -> bool {
    let descriptors = std::fs::read_dir(format!("/proc/{process}/fd"));
    let has_file = descriptors.into_iter().flatten().flatten().any(|descriptor| {
        std::fs::read_link(descriptor.path())
            .is_ok_and(|path| path.starts_with(&rig.mountpoint) && path != rig.mountpoint)
    });
    let status = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    let state = status.rsplit(") ").next().and_then(|rest| rest.chars().next());
    has_file && matches!(state, Some('S' | 'D'))
}

/// Starts a command and interrupts it when `is_blocked` returns true. Returns the time that the
/// command then takes to end.
fn time_until_interrupted(rig: &Rig, line: &str, is_blocked: impl Fn(u32) -> bool) -> Duration {
    let mut running = RunningCommand::outside(rig, &format!("exec {line}"));
    wait_until(COMMAND_TIMEOUT, "the command is blocked", || is_blocked(running.id()));
    assert!(running.is_running(), "{line} did not block: {}", running.output());
    running.signal("INT");
    let (status, elapsed) = running.end(COMMAND_TIMEOUT);
    assert!(!status.success(), "{line}");
    eprintln!("{line}: ended {elapsed:?} after the interrupt");
    elapsed
}

#[test]
fn metadata_needs_no_server() {
    let options = DemoCloudOptions {
        archive: Archive::with_meetings(1000, 700),
        ..DemoCloudOptions::default()
    };
    let rig = Rig::mounted(options);
    // Documents wait for details, and the rate of those requests is limited.
    let documents = || rig.shell("find . -name meeting.json | wc -l");
    wait_until(COMMAND_TIMEOUT, "every meeting has its document", || documents().trim() == "1000");
    let listed = rig.shell("ls -R | wc -l");
    stop_answering(&rig);
    for line in [
        "ls -R | wc -l",
        "ls -lR > /dev/null",
        "find . -type f | wc -l",
        "df .",
        "stat acme/*/* | wc -l",
    ] {
        drop_name_cache(&rig);
        let start = Instant::now();
        let output = rig.shell(line);
        eprintln!("{line}: {:?}", start.elapsed());
        assert!(start.elapsed() < CACHED_ANSWER_TIMEOUT, "{line}: {:?}", start.elapsed());
        if line.starts_with("ls -R |") {
            assert_eq!(output, listed);
        }
    }
}

#[test]
fn hanging_readers_do_not_block_others() {
    let rig = mount_with_silent_server();
    let readers: Vec<_> = (0..10)
        .map(|_| RunningCommand::outside(&rig, "exec cat \"$M\"/acme/*/*other/*.mp4 > /dev/null"))
        .collect();
    for reader in &readers {
        let start = Instant::now();
        while !is_blocked_in_mount(&rig, reader.id()) {
            let is_late = start.elapsed() > COMMAND_TIMEOUT;
            assert!(!is_late, "a reader does not hang: {}\n{}", reader.output(), rig.log());
            std::thread::sleep(Duration::from_millis(5));
        }
    }
    drop_name_cache(&rig);
    let start = Instant::now();
    rig.shell("ls -lR > /dev/null; df . > /dev/null");
    assert_eq!(rig.shell("cat acme/*/*known/*.mp4 | wc -c").trim(), "3000000");
    assert_eq!(rig.shell("cat acme/*/*known/*.mp4 | wc -c").trim(), "3000000");
    assert!(start.elapsed() < CACHED_ANSWER_TIMEOUT, "{:?}", start.elapsed());
    for reader in &readers {
        assert!(is_blocked_in_mount(&rig, reader.id()), "a reader no longer hangs");
    }
}

/// The kernel cannot drop a page while a reader waits for it.
#[test]
fn changed_file_opens_beside_a_hanging_reader() {
    const LENGTH: u64 = 50_000_000;
    let options = DemoCloudOptions {
        archive: Archive::with_pattern_files(&[("other", LENGTH)]),
        ..DemoCloudOptions::default()
    };
    let rig = Rig::mounted(options);
    let half = Trigger::always(Server::Media).from_offset(LENGTH / 2);
    rig.cloud.inject(half.with_effect(Effect::BlackHole));
    let reader = RunningCommand::outside(&rig, "exec tail -c 1000000 \"$M\"/acme/*/*other/*.mp4");
    wait_until(COMMAND_TIMEOUT, "the reader hangs", || is_blocked_in_mount(&rig, reader.id()));
    let meeting = rig.cloud.objects()[0].meeting_uuid.clone();
    let content = Content::Pattern { seed: pattern_seed("changed"), length: LENGTH };
    assert!(rig.cloud.change_meeting(&meeting, |meeting| meeting.files[0].content = content));
    let mut bytes = vec![0; 1000];
    pattern_bytes(pattern_seed("changed"), LENGTH / 4, &mut bytes);
    let expected = rig.directory.path().join("expected");
    std::fs::write(&expected, bytes).expect("the expected bytes");
    let start = Instant::now();
    let read = format!("tail -c +{} acme/*/*other/*.mp4 | head -c 1000", LENGTH / 4 + 1);
    // The first reader notices the change.
    rig.try_shell(&format!("{read} > /dev/null"), COMMAND_TIMEOUT);
    rig.shell(&format!("{read} | cmp - '{}'", expected.display()));
    let elapsed = start.elapsed();
    assert!(elapsed < CACHED_ANSWER_TIMEOUT, "{elapsed:?}");
    assert!(is_blocked_in_mount(&rig, reader.id()), "the reader no longer hangs");
}

#[test]
fn interrupt_ends_a_blocked_open() {
    let rig = mount_with_silent_server();
    let requests = rig.cloud.requests().len();
    // `open` waits for the server to confirm the length.
    let is_blocked = |_| rig.cloud.requests().len() > requests;
    let elapsed = time_until_interrupted(&rig, "cat \"$M\"/acme/*/*other/*.mp4", is_blocked);
    assert!(elapsed < CACHED_ANSWER_TIMEOUT, "{elapsed:?}");
}

#[test]
fn interrupt_ends_a_blocked_read() {
    let rig = mount_with_silent_server();
    for line in [
        "cat \"$M\"/acme/*/*other/*.mp4",
        // This reader bypasses the page cache.
        "python3 -c 'import mmap, os, signal, sys; \
         signal.signal(signal.SIGINT, signal.SIG_DFL); \
         f = os.open(sys.argv[1], os.O_RDONLY | os.O_DIRECT); \
         os.readv(f, [mmap.mmap(-1, 65536)])' \"$M\"/acme/*/*third/*.mp4",
        // This reader waits in a page fault.
        "python3 -c 'import mmap, signal, sys; \
         signal.signal(signal.SIGINT, signal.SIG_DFL); \
         f = open(sys.argv[1], \"rb\"); \
         m = mmap.mmap(f.fileno(), 0, prot=mmap.PROT_READ); \
         print(m[20000000])' \"$M\"/acme/*/*third/*.mp4",
    ] {
        let elapsed =
            time_until_interrupted(&rig, line, |process| is_blocked_in_mount(&rig, process));
        assert!(elapsed < CACHED_ANSWER_TIMEOUT, "{line}: {elapsed:?}");
    }
}

/// Programs treat `EINTR` from a regular file as an error or as its end.
#[test]
fn handled_signal_does_not_interrupt_a_read() {
    const LINES: usize = 4000;
    let text: String = (0..LINES).map(|line| format!("line {line}\n")).collect();
    let start = Timestamp::now() - SignedDuration::from_hours(30);
    let mut archive = Archive::empty();
    archive.meetings.push(
        Meeting::new("chat==", "chat", start)
            .with_file(MeetingFile::new("CHAT", Content::Stored(text.into()))),
    );
    let faults =
        vec![Trigger::always(Server::Media).with_effect(Effect::Latency(Duration::from_secs(2)))];
    let rig = Rig::new(DemoCloudOptions { archive, faults, ..DemoCloudOptions::default() })
        .with_cache("disk = \"off\"");
    for (signal, handler) in
        [("HUP", "trap \"echo reload\" HUP"), ("INT", "trap \"echo reload\" INT"), ("WINCH", ":")]
    {
        rig.mount();
        let line = format!(
            "F=\"$(ls \"$M\"/acme/*/*/chat.txt)\" exec dash -c \
             '{handler}; n=0; while read -r l; do n=$((n+1)); done < \"$F\"; echo $n'"
        );
        rig.cloud.clear_requests();
        let mut reader = RunningCommand::outside(&rig, &line);
        wait_until(COMMAND_TIMEOUT, "it waits", || !rig.media_requests().is_empty());
        std::thread::sleep(Duration::from_secs(1));
        reader.signal(signal);
        let (status, _) = reader.end(COMMAND_TIMEOUT);
        assert!(status.success(), "{signal}: {}", reader.output());
        let last = reader.output().lines().last().map(str::to_owned);
        assert_eq!(last, Some(LINES.to_string()), "{signal}: {}", reader.output());
        rig.unmount();
    }
}

#[test]
fn read_fails_at_its_deadline() {
    let files = [("other", 50_000_000)];
    let rig = Rig::new(DemoCloudOptions {
        archive: Archive::with_pattern_files(&files),
        ..DemoCloudOptions::default()
    })
    .with("read_deadline = \"3s\"");
    rig.mount();
    stop_answering(&rig);
    let start = Instant::now();
    let output = rig.try_shell("LC_ALL=C cat acme/*/*other/*.mp4 2>&1 >/dev/null", COMMAND_TIMEOUT);
    let message = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(message.contains("Input/output error"), "{message}");
    let elapsed = start.elapsed();
    assert!(elapsed > Duration::from_secs(2) && elapsed < Duration::from_secs(8), "{elapsed:?}");
    let warnings = rig.log().lines().filter(|line| line.contains("cannot read")).count();
    assert_eq!(warnings, 1, "{}", rig.log());
}
