//! Files that cannot be read: a program waits for one deadline per file, and reads of other files
//! are not delayed.

use std::time::{Duration, Instant};

use crate::support::processes::RunningCommand;
use crate::support::{COMMAND_TIMEOUT, Rig, run, text, wait_until};
use jiff::Timestamp;
use meetfs::demo_cloud::{
    Archive, DemoCloudOptions, Effect, Object, Server, Trigger, pattern_bytes, pattern_seed,
};

const DEADLINE: Duration = Duration::from_secs(4);

/// Time for the program to start, and for one probe of the file, on a busy machine.
const SLACK: Duration = Duration::from_secs(8);

const MIB: u64 = 1024 * 1024;

fn rig_with(names: &[String], length: u64, deadline: Duration) -> Rig {
    let rig = unmounted_rig(names, length, deadline);
    rig.mount();
    rig
}

fn unmounted_rig(names: &[String], length: u64, deadline: Duration) -> Rig {
    let files: Vec<_> = names.iter().map(|name| (name.as_str(), length)).collect();
    let archive = Archive::with_pattern_files(&files);
    Rig::new(DemoCloudOptions { archive, ..DemoCloudOptions::default() })
        .with(&format!("read_deadline = \"{}s\"", deadline.as_secs()))
}

fn rig(length: u64) -> Rig {
    rig_with(&["Stalled".to_owned()], length, DEADLINE)
}

fn object(rig: &Rig, topic: &str) -> Object {
    let objects = rig.cloud.objects();
    objects.into_iter().find(|object| object.topic == topic).expect("an object")
}

/// The first bytes of a file of [`Archive::with_pattern_files`].
fn pattern(topic: &str, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    pattern_bytes(pattern_seed(topic), 0, &mut bytes);
    bytes
}

/// Runs a shell line with the path of the only video in `$f`. Returns whether it succeeded, its
/// output and its duration.
fn timed(rig: &Rig, line: &str) -> (bool, String, Duration) {
    let line = format!("f=$(find . -name '*.mp4' | head -n 1); export LC_ALL=C; {line}");
    let start = Instant::now();
    let output = rig.try_shell(&line, COMMAND_TIMEOUT);
    (output.status.success(), text(&output), start.elapsed())
}

#[test]
fn stalling_files_cost_rsync_one_deadline_each() {
    const FILES: usize = 40;
    let stalled = [
        ("File 07", Effect::BlackHole, 0),
        ("File 19", Effect::Stall { after_bytes: 0 }, 0),
        // Each reply ends after the first MiB of the file, whether the program requests blocks or
        // the whole file.
        ("File 33", Effect::Stall { after_bytes: 0 }, MIB),
        ("File 33", Effect::Stall { after_bytes: MIB }, 0),
    ];
    let names: Vec<_> = (0..FILES).map(|number| format!("File {number:02}")).collect();
    let copy = |rig: &Rig, to: &str| {
        let to = rig.directory.path().join(to);
        let start = Instant::now();
        let line = format!("LC_ALL=C rsync -a --chmod=u+w acme/ '{}/'", to.display());
        let output = rig.try_shell(&line, 3 * COMMAND_TIMEOUT);
        (output, start.elapsed())
    };
    let copied = |rig: &Rig| rig.hashes(&rig.directory.path().join("copy"));
    let healthy = {
        let rig = rig_with(&names, 2 * MIB, DEADLINE);
        let (output, elapsed) = copy(&rig, "copy");
        assert!(output.status.success(), "{}", text(&output));
        elapsed
    };

    let rig = rig_with(&names, 2 * MIB, DEADLINE);
    for (topic, effect, offset) in &stalled {
        let path = object(&rig, topic).media_path;
        let trigger = Trigger::always(Server::Media).with_path(&path).from_offset(*offset);
        rig.cloud.inject(trigger.with_effect(effect.clone()));
    }
    let (output, elapsed) = copy(&rig, "copy");
    assert_eq!(output.status.code(), Some(23), "{}\n{}", text(&output), rig.log());
    const STALLED_FILES: u32 = 3;
    let bound = healthy + STALLED_FILES * (DEADLINE + SLACK) + 2 * SLACK;
    assert!(elapsed < bound, "{elapsed:?}, {healthy:?} without faults\n{}", rig.log());
    // This check comes first, because a file disappears from the report when its next attempt is
    // due.
    let failing = rig.status()["failing"].clone();
    assert_eq!((&failing[0]["source"], &failing[0]["files"]), (&"acme".into(), &3.into()));
    let next: Timestamp = failing[0]["next"].as_str().expect("a time").parse().expect("a time");
    assert!(next > Timestamp::now(), "{failing}");
    let words = text(&run(rig.meetfs().arg("status"), COMMAND_TIMEOUT));
    assert!(words.contains("FAILING acme: 3 files cannot be read, next attempt at"), "{words}");
    assert!(words.contains("the bytes did not arrive within the deadline"), "{words}");

    let hashes = copied(&rig);
    let is_copied = |object: &Object| hashes.values().any(|hash| *hash == object.sha256());
    for object in rig.cloud.objects() {
        let is_stalled = stalled.iter().any(|(topic, ..)| *topic == object.topic);
        assert_eq!(is_copied(&object), !is_stalled, "{object:?}");
    }

    rig.cloud.clear_faults();
    let (output, _) = copy(&rig, "copy");
    assert!(output.status.success(), "{}\n{}", text(&output), rig.log());
    let hashes = copied(&rig);
    for object in rig.cloud.objects() {
        assert!(hashes.values().any(|hash| *hash == object.sha256()), "{object:?}");
    }
    assert_eq!(rig.status()["failing"], serde_json::json!([]), "{}", rig.log());
    rig.unmount();
}

#[test]
fn cached_bytes_of_a_failing_file_are_served() {
    // A smaller file would be fetched with one request.
    let rig = rig(12 * MIB);
    let black_hole =
        || Trigger::always(Server::Media).from_offset(2 * MIB).with_effect(Effect::BlackHole);
    rig.cloud.inject(black_hole());
    let head = "dd if=\"$f\" bs=1M count=1 iflag=direct status=none | sha256sum; \
                exit ${PIPESTATUS[0]}";
    let tail = "dd if=\"$f\" bs=64k skip=48 count=16 iflag=direct status=none of=/dev/null";
    let (is_read, hash, _) = timed(&rig, head);
    assert!(is_read, "{hash}");
    let (is_read, why, elapsed) = timed(&rig, tail);
    assert!(!is_read && elapsed > DEADLINE / 2 && elapsed < DEADLINE + SLACK, "{elapsed:?} {why}");
    for _ in 0..2 {
        let (is_read, again, elapsed) = timed(&rig, head);
        assert!(is_read && again == hash && elapsed < DEADLINE, "{elapsed:?} {again} {hash}");
        let (is_read, why, elapsed) = timed(&rig, tail);
        assert!(!is_read && why.contains("Input/output error"), "{why}");
        assert!(elapsed < DEADLINE, "{elapsed:?}");
    }
    rig.cloud.clear_faults();
    let (is_read, why, _) = timed(&rig, tail);
    assert!(is_read, "{why}\n{}", rig.log());
    rig.unmount();
}

#[test]
fn open_handle_is_tried_again_after_the_interval() {
    // The shortest deadline is used, because reads fail at once for ten times the deadline.
    let rig = rig_with(&["Stalled".to_owned()], 2 * MIB, Duration::from_secs(1));
    rig.cloud.inject(Trigger::always(Server::Media).with_effect(Effect::BlackHole));
    let marks = rig.directory.path();
    let (failed, healed) = (marks.join("failed"), marks.join("healed"));
    let read = "dd bs=64k count=1 status=none <&3 2>/dev/null | wc -c";
    let line = format!(
        "exec 3< \"$f\"; {read}; touch '{}'; while ! test -e '{}'; do sleep 0.05; done; {read}; \
         sleep 11; {read}",
        failed.display(),
        healed.display()
    );
    let line = format!("f=$(find . -name '*.mp4'); {line}");
    let output = std::thread::scope(|scope| {
        let reading = scope.spawn(|| rig.shell(&line));
        wait_until(COMMAND_TIMEOUT, "a read has failed", || failed.exists());
        rig.cloud.clear_faults();
        std::fs::write(&healed, "").expect("a mark");
        reading.join().expect("a reader")
    });
    let counts: Vec<_> = output.split_whitespace().collect();
    assert_eq!(counts, ["0", "0", "65536"], "{}", rig.log());
    rig.unmount();
}

/// Sets the read-ahead to 128 KiB, as for a mount of a user other than root.
fn limit_readahead(rig: &Rig) {
    let output = run(
        std::process::Command::new("stat").args(["-c", "%Hd:%Ld"]).arg(&rig.mountpoint),
        COMMAND_TIMEOUT,
    );
    let device = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    std::fs::write(format!("/sys/class/bdi/{device}/read_ahead_kb"), "128").expect("read-ahead");
}

#[test]
fn deadline_holds_for_one_read_of_a_program() {
    let slow = |kib: u64, millis| Effect::Drip {
        slice_bytes: kib << 10,
        interval: Duration::from_millis(millis),
    };
    let effects = [
        Effect::BlackHole,
        Effect::Stall { after_bytes: 0 },
        Effect::Stall { after_bytes: 100_000 },
        Effect::Stall { after_bytes: 300_000 },
        // Each request is answered in time, but the read of a mebibyte takes too long.
        slow(64, 2000),
        slow(128, 3000),
    ];
    // The deadline counts from the system call. If it counted from each request of the kernel, the
    // reads would take at least 1.5 times as long.
    const DEADLINE: Duration = Duration::from_secs(16);
    const MAX_DURATION: Duration = Duration::from_secs(23);
    let names = &["Stalled".to_owned()];
    std::thread::scope(|scope| {
        for effect in &effects {
            for (size, flag) in [("256K", "pages"), ("1M", "pages"), ("1M", "direct")] {
                scope.spawn(move || {
                    let rig = rig_with(names, 6 * MIB, DEADLINE);
                    limit_readahead(&rig);
                    rig.cloud.inject(Trigger::always(Server::Media).with_effect(effect.clone()));
                    let to = rig.directory.path().join("copy");
                    let flags = if flag == "direct" { " iflag=direct" } else { "" };
                    let line = format!(
                        "dd if=\"$f\" of='{}' bs={size} count=1 status=none{flags}",
                        to.display()
                    );
                    let (_, why, elapsed) = timed(&rig, &line);
                    let what = format!("{effect:?} bs={size} {flag}: {elapsed:?} {why}");
                    eprintln!("{what}");
                    assert!(elapsed < MAX_DURATION, "{what}\n{}", rig.log());
                    let got = std::fs::read(&to).unwrap_or_default();
                    assert!(got == pattern("Stalled", got.len()), "{what}");
                    rig.unmount();
                });
            }
        }
    });
}

#[test]
fn slow_file_is_copied() {
    // A read of 128 KiB takes longer than the deadline, but bytes arrive all the time.
    let rig = rig(300_000);
    let drip = Effect::Drip { slice_bytes: 10_000, interval: Duration::from_millis(400) };
    rig.cloud.inject(Trigger::always(Server::Media).with_effect(drip));
    let (is_copied, hash, _) = timed(&rig, "cat \"$f\" | sha256sum; exit ${PIPESTATUS[0]}");
    assert!(is_copied && hash.contains(&object(&rig, "Stalled").sha256()), "{hash}\n{}", rig.log());
    assert_eq!(rig.status()["failing"], serde_json::json!([]), "{}", rig.log());
    rig.unmount();
}

#[test]
fn dripping_files_delay_no_other_file() {
    const CONNECTIONS: usize = 8;
    const HEALTHY: usize = 4;
    let dripping = (0..CONNECTIONS).map(|number| format!("Dripping {number}"));
    let healthy = (0..HEALTHY).map(|number| format!("Healthy {number}"));
    let names: Vec<_> = dripping.chain(healthy).collect();
    let deadline = Duration::from_secs(15);
    let connections = format!("connections = {CONNECTIONS}");
    let rig = unmounted_rig(&names, 2 * MIB, deadline).with(&connections);
    rig.mount();
    let drip = || Effect::Drip { slice_bytes: 8 * 1024, interval: Duration::from_secs(3) };
    let path =
        |name: &String| rig.shell(&format!("find . -path '*{name}*/*.mp4'")).trim().to_owned();
    let (dripping, healthy) = names.split_at(CONNECTIONS);
    for name in dripping {
        let object = object(&rig, name);
        rig.cloud.inject(
            Trigger::always(Server::Media).with_path(&object.media_path).with_effect(drip()),
        );
    }
    let loops: Vec<_> = dripping
        .iter()
        .map(|name| {
            let line = format!("while :; do dd if='{}' bs=64k of=/dev/null; done", path(name));
            RunningCommand::shell(&rig, &line)
        })
        .collect();
    let are_dripping = || rig.media_requests().len() >= CONNECTIONS;
    wait_until(COMMAND_TIMEOUT, "every connection is in use", are_dripping);
    for name in healthy {
        let path = path(name);
        let start = Instant::now();
        let output = rig.try_shell(&format!("sha256sum < '{path}'"), COMMAND_TIMEOUT);
        let elapsed = start.elapsed();
        let hash = object(&rig, name).sha256();
        assert!(
            text(&output).contains(&hash),
            "{name}: {elapsed:?} {}\n{}",
            text(&output),
            rig.log()
        );
        // The first read waits until the other files are found to be slow.
        assert!(elapsed < deadline / 2, "{name}: {elapsed:?}\n{}", rig.log());
    }
    drop(loops);
    rig.unmount();
}
