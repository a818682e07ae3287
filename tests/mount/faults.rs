//! Copies while the cloud fails: each copy is exact or fails with the errno of the cause.

use std::process::Output;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use crate::support::processes::drop_pages;
use crate::support::{COMMAND_TIMEOUT, Rig, run, text, wait_until};
use bytes::Bytes;
use meetfs::demo_cloud::{
    Archive, Content, DemoCloudOptions, Effect, FaultPlan, HeaderChange, ListedSize, Meeting,
    MeetingFile, Object, RetryAfter, Server, Trigger, pattern_bytes, pattern_seed,
};

/// The read deadline of every mount here. It is short because many tests wait for it. Three retries
/// take up to 2.8 s, and all of them must be within it.
const DEADLINE: Duration = Duration::from_secs(4);

/// The read deadline of the mounts whose server takes a second for each reply: the token, the
/// lease, the bytes, and the proof of a length.
const SLOW_DEADLINE: Duration = Duration::from_secs(10);

/// How long a failing copy may take beyond the deadline: `cp` starts, and the kernel repeats the
/// read.
const SLACK: Duration = Duration::from_secs(20);

const MIB: u64 = 1024 * 1024;

const EACCES: &str = "Permission denied";
const ESTALE: &str = "Stale file handle";
const EIO: &str = "Input/output error";

/// Commands that copy, with block sizes below, at and between those of pages, kernel requests and
/// blocks.
const COPIERS: [&str; 4] = [
    "cp \"$from\" \"$to\"",
    "dd if=\"$from\" of=\"$to\" bs=4k status=none",
    "dd if=\"$from\" of=\"$to\" bs=1000003 status=none",
    "dd if=\"$from\" of=\"$to\" bs=1M iflag=direct status=none",
];

/// A file of several blocks and a partial block. Its content is generated once, because a debug
/// build generates it more slowly than it serves it.
static LONG: LazyLock<Bytes> = LazyLock::new(|| {
    let mut bytes = vec![0; (5 * MIB + 123) as usize];
    pattern_bytes(pattern_seed("long"), 0, &mut bytes);
    bytes.into()
});

/// Returns an archive with one meeting for each round. Each meeting has one file of each type whose
/// replies are verified differently, so no round reads bytes that an earlier one has cached.
fn rounds(count: usize) -> Archive {
    let demo = Archive::demo();
    let sample = |file_type: &str| {
        let mut files = demo.meetings.iter().flat_map(|meeting| &meeting.files);
        files.find(|file| file.file_type == file_type).expect("a sample").content.clone()
    };
    let mut archive = Archive::with_pattern_files(&[]);
    let first = demo.meetings.iter().map(|meeting| meeting.start).min().expect("a meeting");
    archive.meetings = (0..count)
        .map(|round| {
            let start = first + jiff::SignedDuration::from_hours(round as i64);
            let topic = format!("Round {round}");
            Meeting::new(&format!("rOuNd{round:04}0000000000=="), &topic, start)
                .with_file(
                    MeetingFile::new("MP4", Content::Stored(LONG.clone()))
                        .with_view("gallery_view"),
                )
                .with_file(MeetingFile::new("MP4", sample("MP4")))
                .with_file(MeetingFile::new("M4A", sample("M4A")))
                .with_file(MeetingFile::new("TRANSCRIPT", sample("TRANSCRIPT")))
                .with_file(MeetingFile::new("CHAT", sample("CHAT")))
                .with_file(
                    MeetingFile::new("TIMELINE", sample("TIMELINE"))
                        .with_listed_size(ListedSize::True),
                )
        })
        .collect();
    archive
}

fn rig(archive: Archive) -> Rig {
    rig_of(DemoCloudOptions { archive, ..DemoCloudOptions::default() })
}

fn rig_of(options: DemoCloudOptions) -> Rig {
    let rig = Rig::new(options).with(&format!("read_deadline = \"{}s\"", DEADLINE.as_secs()));
    rig.mount();
    rig
}

/// Adds a meeting to the cloud and waits until the mount shows all its files.
fn list(rig: &Rig, meeting: Meeting) {
    let shown = format!("find . -path '*{}/meeting.json' | wc -l", meeting.topic);
    rig.cloud.add_meeting(meeting);
    let daemon = rig.daemon().expect("a daemon").to_string();
    run(std::process::Command::new("kill").args(["-HUP", &daemon]), COMMAND_TIMEOUT);
    wait_until(COMMAND_TIMEOUT, "the next round is listed", || rig.shell(&shown).trim() == "1");
}

/// Returns the path of an object in the mount.
fn path_of(rig: &Rig, object: &Object) -> String {
    let name = match (object.file_type.as_str(), object.recording_type.as_deref()) {
        ("MP4", Some("gallery_view")) => "gallery_view.mp4",
        ("MP4", _) => "shared_screen_with_speaker_view.mp4",
        ("M4A", _) => "audio_only.m4a",
        ("TRANSCRIPT", _) => "shared_screen_with_speaker_view.vtt",
        ("CHAT", _) => "chat.txt",
        ("TIMELINE", _) => "timeline.json",
        other => panic!("no name for {other:?}"),
    };
    let found = rig.shell(&format!("find . -path '*{}/{name}'", object.topic));
    assert_eq!(found.lines().count(), 1, "{name} of {}: {found}", object.topic);
    found.trim().to_owned()
}

/// Copies an object. Returns the error message if the copy fails. Panics if the copy succeeds but
/// is not exact.
fn copy(rig: &Rig, object: &Object, how: &str) -> Result<(), String> {
    let path = path_of(rig, object);
    let directory = tempfile::tempdir_in(rig.directory.path()).expect("a directory");
    let to = directory.path().join("copy");
    let start = Instant::now();
    let output: Output = rig.try_shell(
        &format!("from='{path}' to='{}'; LC_ALL=C {how}", to.display()),
        COMMAND_TIMEOUT,
    );
    let elapsed = start.elapsed();
    if !output.status.success() {
        assert!(
            elapsed < SLOW_DEADLINE + SLACK,
            "{path}: failed after {elapsed:?}: {}",
            text(&output)
        );
        return Err(String::from_utf8_lossy(&output.stderr).into_owned());
    }
    let length = std::fs::metadata(&to).expect("a copy").len();
    let hash = rig.hashes(directory.path()).into_values().next().expect("a hash");
    assert_eq!(
        (length, hash),
        (object.length, object.sha256()),
        "{path} after {how}: not what the cloud has\n{}",
        rig.log()
    );
    Ok(())
}

/// Copies all objects of a round concurrently, and returns each with the outcome of its copy.
fn copy_round(rig: &Rig, round: usize, how: &str) -> Vec<(Object, Result<(), String>)> {
    let topic = format!("Round {round}");
    let objects: Vec<_> =
        rig.cloud.objects().into_iter().filter(|object| object.topic == topic).collect();
    assert!(objects.len() >= 6, "{objects:?}");
    std::thread::scope(|scope| {
        let copies: Vec<_> = objects
            .into_iter()
            .map(|object| {
                scope.spawn(move || {
                    let outcome = copy(rig, &object, how);
                    (object, outcome)
                })
            })
            .collect();
        copies
            .into_iter()
            .map(|copy| copy.join().expect("a copy that does not fail the test"))
            .collect()
    })
}

/// The expected outcomes of a copy.
#[derive(Clone, Copy)]
enum Outcome {
    /// The copy must be exact.
    Exact,
    /// The copy must fail with this message.
    Fails(&'static str),
    /// The copy must be exact or fail with one of these messages. The number of retries within the
    /// deadline depends on their duration.
    ExactOrFails(&'static [&'static str]),
}

impl Outcome {
    fn check(self, what: &str, object: &Object, outcome: &Result<(), String>, rig: &Rig) {
        let holds = match (self, outcome) {
            (Self::Exact | Self::ExactOrFails(_), Ok(())) => true,
            (Self::Fails(reason), Err(message)) => message.contains(reason),
            (Self::ExactOrFails(reasons), Err(message)) => {
                reasons.iter().any(|reason| message.contains(reason))
            }
            (Self::Exact, Err(_)) | (Self::Fails(_), Ok(())) => false,
        };
        let name = &object.media_path;
        assert!(holds, "{what}: {name} of {} ended with {outcome:?}\n{}", object.topic, rig.log());
    }
}

/// How long reads of a refused file fail after the cause has ended, with slack for a busy machine.
/// Two consecutive refusals are cached for 5 and 10 seconds.
const MAX_REFUSAL: Duration = Duration::from_secs(30);

/// How long reads of a block fail with the error of its last read.
const FAILURE_TTL: Duration = Duration::from_secs(1);

/// A fault, and the expected outcomes of copies that meet it.
struct Case {
    server: Server,
    what: Effect,
    /// The outcome of a copy that meets the fault up to three times.
    passing: Outcome,
    /// The outcome of a copy of the file of several blocks while the fault lasts.
    lasting: Outcome,
    /// The outcome of a copy of a file of one block while the fault lasts.
    lasting_small: Outcome,
    /// The outcome of the first copy after the fault. The second copy is exact.
    healed: Outcome,
    /// Whether the fault is a refusal, which is cached for some time.
    is_refusal: bool,
}

impl Case {
    fn new(server: Server, what: Effect, lasting: Outcome) -> Self {
        Self {
            server,
            what,
            passing: Outcome::Exact,
            lasting,
            lasting_small: lasting,
            healed: Outcome::Exact,
            is_refusal: false,
        }
    }

    fn refusal(self) -> Self {
        Self { is_refusal: true, ..self }
    }

    fn with_passing(self, passing: Outcome) -> Self {
        Self { passing, ..self }
    }

    fn with_healed(self, healed: Outcome) -> Self {
        Self { healed, ..self }
    }

    fn with_lasting_small(self, lasting_small: Outcome) -> Self {
        Self { lasting_small, ..self }
    }

    /// Injects the fault once, twice and three times for every file, then permanently, then never.
    fn run(&self) {
        const LASTING: usize = 3;
        // Each round is listed only when it starts. Otherwise, the small files of later rounds
        // would be prefetched and meet the faults of this round.
        let mut archive = rounds(LASTING + 1);
        let mut later = archive.meetings.split_off(1).into_iter();
        let rig = rig(archive);
        let what = format!("{:?} {:?}", self.server, self.what);
        let path = |object: &Object| match self.server {
            Server::Web => object.web_path.clone(),
            Server::Media => object.media_path.clone(),
            Server::Api | Server::Webex | Server::Rapatin => String::new(),
        };
        for (round, how) in COPIERS.iter().enumerate().take(LASTING) {
            if round > 0 {
                list(&rig, later.next().expect("a round"));
            }
            for object in rig.cloud.objects() {
                let trigger =
                    Trigger::next(self.server, round as u32 + 1).with_path(&path(&object));
                rig.cloud.inject(trigger.with_effect(self.what.clone()));
            }
            for (object, outcome) in copy_round(&rig, round, how) {
                self.passing.check(&format!("{} × {what}", round + 1), &object, &outcome, &rig);
            }
            rig.cloud.clear_faults();
        }
        list(&rig, later.next().expect("a round"));
        rig.cloud.inject(Trigger::always(self.server).with_effect(self.what.clone()));
        for (object, outcome) in copy_round(&rig, LASTING, COPIERS[0]) {
            let expected = if object.length > MIB { self.lasting } else { self.lasting_small };
            expected.check(&format!("lasting {what}"), &object, &outcome, &rig);
        }
        rig.cloud.clear_faults();
        // A copy that failed last may have ended just now.
        std::thread::sleep(FAILURE_TTL);
        if self.is_refusal {
            wait_until(MAX_REFUSAL, "the refusals end", || {
                copy_round(&rig, LASTING, COPIERS[0]).iter().all(|(_, outcome)| outcome.is_ok())
            });
        }
        for expected in [self.healed, Outcome::Exact] {
            for (object, outcome) in copy_round(&rig, LASTING, COPIERS[0]) {
                expected.check(&format!("healed {what}"), &object, &outcome, &rig);
            }
        }
    }
}

fn run_cases(cases: &[Case]) {
    std::thread::scope(|scope| {
        let runs: Vec<_> = cases.iter().map(|case| scope.spawn(|| case.run())).collect();
        let failed = runs.into_iter().filter_map(|case| case.join().err()).count();
        assert_eq!(failed, 0, "see above");
    });
}

#[test]
fn media_refusal_renews_lease_then_denies_access() {
    let page_as_video = Effect::Status {
        status: 200,
        body: format!("<!DOCTYPE html>{}", " ".repeat(5000)),
        content_type: "video/mp4".into(),
        headers: Vec::new(),
    };
    let refused = |what| Case::new(Server::Media, what, Outcome::Fails(EACCES)).refusal();
    run_cases(&[
        refused(Effect::Html200),
        Case::new(Server::Media, page_as_video, Outcome::Fails(EIO)).refusal(),
        refused(Effect::Json59),
        refused(Effect::ExpiredUrl),
        refused(Effect::status(401)),
        refused(Effect::status(403)),
    ]);
}

#[test]
fn web_refusal_tries_each_lease_then_denies_access() {
    let refused = |what| Case::new(Server::Web, what, Outcome::Fails(EACCES)).refusal();
    run_cases(&[
        refused(Effect::Html200).with_passing(Outcome::ExactOrFails(&[EACCES])),
        refused(Effect::ExpiredToken).with_passing(Outcome::ExactOrFails(&[EACCES])),
        refused(Effect::status(401)),
        refused(Effect::status(403)).with_passing(Outcome::ExactOrFails(&[EACCES])),
    ]);
}

#[test]
fn missing_file_is_stale() {
    let not_found = |server, status| {
        Case::new(server, Effect::status(status), Outcome::Fails(ESTALE)).refusal()
    };
    run_cases(&[
        not_found(Server::Media, 404),
        not_found(Server::Media, 410),
        not_found(Server::Web, 404).with_passing(Outcome::ExactOrFails(&[ESTALE])),
        not_found(Server::Web, 410).with_passing(Outcome::ExactOrFails(&[ESTALE])),
    ]);
}

#[test]
fn broken_body_resumes_at_missing_byte() {
    let broken = |what| Case::new(Server::Media, what, Outcome::Fails(EIO));
    run_cases(&[
        broken(Effect::ShortBody { missing_bytes: 50 * 1024 }),
        broken(Effect::ShortBody { missing_bytes: 1 }),
        broken(Effect::Reset { after_bytes: 0 }),
        // Replies that each deliver some bytes deliver the whole file if the time is sufficient.
        Case::new(
            Server::Media,
            Effect::Reset { after_bytes: 300_000 },
            Outcome::ExactOrFails(&[EIO]),
        ),
    ]);
}

#[test]
fn stalled_server_is_retried_until_the_deadline() {
    let still = |what| {
        Case::new(Server::Media, what, Outcome::Fails(EIO))
            .with_passing(Outcome::ExactOrFails(&[EIO]))
    };
    run_cases(&[
        still(Effect::Stall { after_bytes: 0 }),
        still(Effect::Stall { after_bytes: 1 }).with_lasting_small(Outcome::ExactOrFails(&[EIO])),
        still(Effect::BlackHole),
        Case::new(Server::Web, Effect::BlackHole, Outcome::Fails(EIO))
            .with_passing(Outcome::ExactOrFails(&[EIO])),
    ]);
}

#[test]
fn wrong_range_is_rejected() {
    // The range of a whole file cannot be shifted, and files are also requested as a whole.
    let wrong = |what| Case::new(Server::Media, what, Outcome::ExactOrFails(&[EIO]));
    run_cases(&[
        // The bytes before the range are dropped.
        Case::new(Server::Media, Effect::WholeFile, Outcome::Exact),
        wrong(Effect::WrongRange { shift: 4096 }).with_lasting_small(Outcome::Exact),
        wrong(Effect::WrongRange { shift: 1 }).with_lasting_small(Outcome::Exact),
    ]);
}

#[test]
fn wrong_total_never_makes_a_copy_longer() {
    let wrong = |delta| {
        Case::new(
            Server::Media,
            Effect::WrongTotal { delta },
            Outcome::ExactOrFails(&[ESTALE, EIO]),
        )
        .with_passing(Outcome::ExactOrFails(&[ESTALE, EIO]))
        // After the fault, the first copy finds that the accepted total was wrong.
        .with_healed(Outcome::ExactOrFails(&[ESTALE]))
    };
    run_cases(&[wrong(7), wrong(2 * MIB as i64)]);
}

#[test]
fn lawful_replies_give_exact_copies() {
    let lawful = |what| Case::new(Server::Media, what, Outcome::Exact);
    let weak_tag = || HeaderChange::Set("etag", "W/\"a\"".into());
    run_cases(&[
        lawful(Effect::ShortRange { length: 64 * 1024 }),
        lawful(Effect::UnknownTotal),
        lawful(Effect::Headers(vec![weak_tag(), HeaderChange::Remove("last-modified")])),
        lawful(Effect::Headers(vec![HeaderChange::Remove("etag")])),
    ]);
}

/// A reply that states that the file is empty.
fn empty_file() -> Effect {
    Effect::Status {
        status: 416,
        body: String::new(),
        content_type: "text/plain".into(),
        headers: vec![("content-range".into(), "bytes */0".into())],
    }
}

#[test]
fn stated_length_without_bytes_is_not_believed() {
    let half = Effect::Headers(vec![HeaderChange::Add(
        "content-range",
        format!("bytes 0-1048575/{}", LONG.len() / 2),
    )]);
    run_cases(&[
        Case::new(Server::Media, empty_file(), Outcome::Fails(EIO)),
        Case::new(Server::Media, half, Outcome::Fails(EIO)),
    ]);
}

/// If a wrong length remained after the server has recovered, `rsync` would replace a good copy.
#[test]
fn wrong_length_leaves_no_trace_after_recovery() {
    let half = Effect::WrongTotal { delta: -((LONG.len() / 2) as i64) };
    for effect in [empty_file(), half] {
        let rig = rig(rounds(1));
        let backup = rig.directory.path().join("backup");
        let rsync = format!("rsync -a --chmod=u+w acme/ '{}/'", backup.display());
        rig.shell(&rsync);
        let sizes = || rig.shell("find acme -type f -printf '%s %p\\n' | sort");
        let (sizes_before, hashes) = (sizes(), rig.hashes(&backup));
        rig.unmount();
        std::fs::remove_dir_all(rig.directory.path().join("cache")).expect("a cache");
        rig.mount();
        rig.cloud.inject(Trigger::always(Server::Media).with_effect(effect.clone()));
        rig.try_shell("cat acme/*/*/*.mp4 > /dev/null", COMMAND_TIMEOUT);
        rig.cloud.clear_faults();
        let refresh = run(rig.meetfs().arg("refresh").arg(&rig.mountpoint), COMMAND_TIMEOUT);
        assert!(refresh.status.success(), "{}", text(&refresh));
        rig.unmount();
        rig.mount();
        assert_eq!(sizes(), sizes_before, "{effect:?}");
        rig.shell(&rsync);
        assert_eq!(rig.hashes(&backup), hashes, "{effect:?}");
        let mut expiring = rig.meetfs();
        expiring.args(["expiring", "--not-in"]).arg(&backup).arg(&rig.mountpoint);
        let output = run(&mut expiring, COMMAND_TIMEOUT);
        assert!(output.status.success() && output.stdout.is_empty(), "{}", text(&output));
    }
}

/// Two servers that share the load send different tags for the same bytes.
#[test]
fn alternating_tags_do_not_fail_a_copy() {
    let rig = rig(Archive::with_pattern_files(&[("big", 20 * MIB)]));
    for number in (1..2000).step_by(2) {
        let tag = HeaderChange::Set("etag", "\"other\"".into());
        let trigger = Trigger::next(Server::Media, 1).after_requests(number);
        rig.cloud.inject(trigger.with_effect(Effect::Headers(vec![tag])));
    }
    let object = rig.cloud.objects().into_iter().next().expect("an object");
    for round in 0..3 {
        let output = rig.shell("sha256sum < \"$(find . -name '*.mp4')\"");
        assert!(output.starts_with(&object.sha256()), "{round}: {output}");
        rig.unmount();
        std::fs::remove_dir_all(rig.directory.path().join("cache/blocks")).expect("blocks");
        rig.mount();
    }
}

#[test]
fn failing_server_is_retried_until_the_deadline() {
    let failing = |server, what| Case::new(server, what, Outcome::Fails(EIO));
    run_cases(&[
        failing(Server::Media, Effect::status(416)),
        failing(Server::Media, Effect::status(500)),
        failing(Server::Media, Effect::status(503)),
        failing(Server::Web, Effect::status(500)),
        failing(Server::Web, Effect::status(502)),
    ]);
}

#[test]
fn rate_limit_is_awaited_within_the_deadline() {
    let limited = |server, how| {
        // Three delays of one or two seconds are longer than the deadline.
        Case::new(server, Effect::TooManyRequests(how), Outcome::Fails(EIO))
            .with_passing(Outcome::ExactOrFails(&[EIO]))
    };
    run_cases(&[
        limited(Server::Media, RetryAfter::None),
        limited(Server::Media, RetryAfter::Seconds(1)),
        limited(Server::Media, RetryAfter::HttpDate(1)),
        limited(Server::Media, RetryAfter::IsoDate(1)),
        limited(Server::Media, RetryAfter::IsoDate(3600)),
        limited(Server::Web, RetryAfter::Seconds(1)),
    ]);
}

#[test]
fn short_rate_limit_costs_no_error() {
    for how in [RetryAfter::Seconds(1), RetryAfter::HttpDate(1), RetryAfter::IsoDate(1)] {
        let rig = rig(rounds(1));
        rig.cloud.inject(Trigger::next(Server::Media, 1).with_effect(Effect::TooManyRequests(how)));
        for (object, outcome) in copy_round(&rig, 0, COPIERS[0]) {
            Outcome::Exact.check(&format!("{how:?}"), &object, &outcome, &rig);
        }
    }
}

#[test]
fn recording_deleted_upstream_is_stale() {
    let rig = rig(rounds(1));
    let objects = rig.cloud.objects();
    assert!(rig.cloud.remove_meeting(&objects[0].meeting_uuid));
    for object in objects {
        let outcome = copy(&rig, &object, COPIERS[0]);
        Outcome::Fails(ESTALE).check("removed", &object, &outcome, &rig);
    }
}

#[test]
fn any_mix_of_transient_faults_leaves_exact_copies() {
    /// Number of programs that copy concurrently. Each copies one file after another.
    const READERS: usize = 4;
    const TRIES: usize = 6;
    let stress = |seed: u64| {
        let mut archive = rounds(6);
        archive.meetings.extend(Archive::with_pattern_files(&[("Round 6", 24 * MIB + 5)]).meetings);
        let rig = rig(archive);
        for fault in FaultPlan::from_seed(seed, 60, 120) {
            rig.cloud.inject(fault);
        }
        let mut objects = rig.cloud.objects();
        fastrand::Rng::with_seed(seed).shuffle(&mut objects);
        std::thread::scope(|scope| {
            for some in objects.chunks(objects.len().div_ceil(READERS)) {
                let rig = &rig;
                scope.spawn(move || {
                    for (index, object) in some.iter().enumerate() {
                        let how = COPIERS[index % COPIERS.len()];
                        let done = (0..TRIES).any(|_| copy(rig, object, how).is_ok());
                        assert!(done, "seed {seed}: {object:?}\n{}", rig.log());
                    }
                });
            }
        });
    };
    std::thread::scope(|scope| {
        let seeds = [1, 2, 3, 7, 42, 4711];
        let runs = seeds.map(|seed| (seed, scope.spawn(move || stress(seed))));
        let failed: Vec<u64> =
            runs.into_iter().filter_map(|(seed, run)| run.join().err().map(|_| seed)).collect();
        assert!(failed.is_empty(), "seeds {failed:?}");
    });
}

/// Returns a rig with a meeting whose files are all listed with a wrong size.
fn listed_wrong(by: i64, latency: Duration) -> Rig {
    let mut archive = rounds(1);
    for file in &mut archive.meetings[0].files {
        file.listed_size = ListedSize::Wrong(by);
    }
    let options =
        DemoCloudOptions { archive, first_byte_latency: latency, ..DemoCloudOptions::default() };
    let deadline = format!("read_deadline = \"{}s\"", SLOW_DEADLINE.as_secs());
    let rig = Rig::new(options).with(&deadline);
    rig.mount();
    rig
}

#[test]
fn wrong_listed_size_is_corrected_by_first_copy() {
    std::thread::scope(|scope| {
        for by in [-100, 1, 4096, 3 * MIB as i64] {
            scope.spawn(move || {
                // If the machine pauses for longer than an `open` waits, the first copy fails.
                let mut attempts = (1..=3).rev().map(|remaining| {
                    let rig = listed_wrong(by, Duration::ZERO);
                    let copies = copy_round(&rig, 0, COPIERS[0]);
                    (rig, copies, remaining)
                });
                let (rig, copies, _) = attempts
                    .find(|(_, copies, remaining)| {
                        *remaining == 1 || copies.iter().all(|(_, outcome)| outcome.is_ok())
                    })
                    .expect("the last attempt");
                for (object, outcome) in copies {
                    Outcome::Exact.check(&format!("listed {by}"), &object, &outcome, &rig);
                }
            });
        }
    });
}

#[test]
fn wrong_size_on_slow_server_fails_one_copy() {
    std::thread::scope(|scope| {
        for (by, how) in [(-100, COPIERS[0]), (1, COPIERS[1]), (3 * MIB as i64, COPIERS[2])] {
            scope.spawn(move || {
                let rig = listed_wrong(by, Duration::from_millis(1000));
                for (round, expected) in
                    [Outcome::ExactOrFails(&[ESTALE]), Outcome::Exact].into_iter().enumerate()
                {
                    for (object, outcome) in copy_round(&rig, 0, how) {
                        expected.check(
                            &format!("listed {by}, copy {round}"),
                            &object,
                            &outcome,
                            &rig,
                        );
                    }
                }
            });
        }
    });
}

/// A mounted file of several blocks whose content changes under the same download URL.
struct Changing {
    rig: Rig,
    object: Object,
    path: String,
}

const CHANGING: u64 = 12 * MIB + 77;

impl Changing {
    fn new(length: u64) -> Self {
        let archive = Archive::with_pattern_files(&[("Changing", length)]);
        let rig = Rig::new(DemoCloudOptions { archive, ..DemoCloudOptions::default() })
            .with(&format!("read_deadline = \"{}s\"", DEADLINE.as_secs()))
            .with_cache("memory = \"8MiB\"")
            .with_cache("disk = \"off\"");
        rig.mount();
        let object = rig.cloud.objects().into_iter().next().expect("an object");
        let path = rig.shell("find . -name '*.mp4'").trim().to_owned();
        Self { rig, object, path }
    }

    /// Replaces the content with other bytes of the same length.
    fn change(&mut self, name: &str) {
        let length = self.object.length;
        let content = Content::Pattern { seed: pattern_seed(name), length };
        assert!(
            self.rig
                .cloud
                .change_meeting(&self.object.meeting_uuid, |meeting| meeting.files[0].content =
                    content)
        );
        self.object = self.rig.cloud.objects().into_iter().next().expect("an object");
    }

    fn hash(&self, line: &str) -> Output {
        self.rig.try_shell(
            &format!("f='{}'; LC_ALL=C; export LC_ALL; {line}", self.path),
            COMMAND_TIMEOUT,
        )
    }

    fn assert_new(&self, output: &Output) {
        let message = String::from_utf8_lossy(&output.stdout);
        assert!(message.starts_with(&self.object.sha256()), "{}\n{}", text(output), self.rig.log());
    }
}

#[test]
fn cached_bytes_survive_an_upstream_change() {
    let mut changing = Changing::new(2 * MIB + 77);
    // The read bypasses the page cache, so the daemon reads from its memory.
    let read = "dd if=\"$f\" bs=1M iflag=direct status=none | sha256sum; exit ${PIPESTATUS[0]}";
    changing.assert_new(&changing.hash(read));
    let before = changing.object.sha256();
    changing.change("second");
    let cached = changing.hash(read);
    assert!(cached.status.success(), "{}", text(&cached));
    assert!(String::from_utf8_lossy(&cached.stdout).starts_with(&before), "{}", text(&cached));
}

#[test]
fn changed_file_fails_once_then_reads_new_content() {
    // The file is longer than the memory cache, so a read needs the cloud if no pages are cached.
    let mut changing = Changing::new(CHANGING);
    for name in ["second", "third", "fourth"] {
        changing.assert_new(&changing.hash("sha256sum < \"$f\""));
        drop_pages(&changing.rig);
        changing.change(name);
        let first = changing.hash("sha256sum < \"$f\"");
        assert!(!first.status.success(), "{}", text(&first));
        assert!(String::from_utf8_lossy(&first.stderr).contains(ESTALE), "{}", text(&first));
        changing.assert_new(&changing.hash("sha256sum < \"$f\""));
    }
    changing.assert_new(&changing.hash("cat \"$f\" | sha256sum"));
}

#[test]
fn open_reader_never_mixes_two_contents() {
    let mut changing = Changing::new(CHANGING);
    // The reader reads a mebibyte, waits for the signal, and continues.
    let go = changing.rig.directory.path().join("go");
    let begun = changing.rig.directory.path().join("begun");
    let reader = format!(
        "exec 3< \"$f\"; dd bs=64k count=16 status=none <&3 > /dev/null; touch '{}'; \
         while ! test -e '{}'; do sleep 0.02; done; dd bs=64k status=none <&3 | wc -c; exit ${{PIPESTATUS[0]}}",
        begun.display(),
        go.display()
    );
    let old_hash = changing.object.sha256();
    let read = std::thread::scope(|scope| {
        let line = format!("f='{}'; LC_ALL=C; export LC_ALL; {reader}", changing.path);
        let rig = &changing.rig;
        let reading = scope.spawn(move || rig.try_shell(&line, COMMAND_TIMEOUT));
        wait_until(COMMAND_TIMEOUT, "the reader has begun", || begun.exists());
        let content = Content::Pattern { seed: pattern_seed("other"), length: CHANGING };
        assert!(rig.cloud.change_meeting(&changing.object.meeting_uuid, |meeting| {
            meeting.files[0].content = content
        }));
        std::fs::write(&go, "").expect("a signal");
        reading.join().expect("a reader")
    });
    changing.object = changing.rig.cloud.objects().into_iter().next().expect("an object");
    assert_ne!(changing.object.sha256(), old_hash);
    assert!(!read.status.success(), "{}", text(&read));
    assert!(String::from_utf8_lossy(&read.stderr).contains(ESTALE), "{}", text(&read));
    changing.assert_new(&changing.hash("sha256sum < \"$f\""));
}

#[test]
fn old_handle_gets_no_pages_of_new_content() {
    let mut changing = Changing::new(CHANGING);
    let go = changing.rig.directory.path().join("go");
    let begun = changing.rig.directory.path().join("begun");
    let kept = changing.rig.directory.path().join("kept");
    let reader = format!(
        "exec 3< \"$f\"; dd bs=64k count=4 status=none <&3 > '{kept}'; touch '{begun}'; \
         while ! test -e '{go}'; do sleep 0.02; done; dd bs=64k status=none <&3 >> '{kept}'",
        kept = kept.display(),
        begun = begun.display(),
        go = go.display()
    );
    let mut old = vec![0; CHANGING as usize];
    pattern_bytes(pattern_seed("Changing"), 0, &mut old);
    std::thread::scope(|scope| {
        let line = format!("f='{}'; LC_ALL=C; export LC_ALL; {reader}", changing.path);
        let content = Content::Pattern { seed: pattern_seed("other"), length: CHANGING };
        let meeting = changing.object.meeting_uuid.clone();
        let (rig, path) = (&changing.rig, &changing.path);
        let reading = scope.spawn(move || rig.try_shell(&line, COMMAND_TIMEOUT));
        wait_until(COMMAND_TIMEOUT, "the reader has begun", || begun.exists());
        assert!(rig.cloud.change_meeting(&meeting, |meeting| meeting.files[0].content = content));
        // The first reader notices the change, and the second reads the new content from end to
        // end.
        let find = format!("tail -c 1000000 '{path}' | sha256sum; sha256sum < '{path}'");
        let found = rig.try_shell(&find, COMMAND_TIMEOUT);
        let now = rig.cloud.objects()[0].sha256();
        let again = rig.try_shell(&format!("sha256sum < '{path}'"), COMMAND_TIMEOUT);
        std::fs::write(&go, "").expect("a signal");
        let read = reading.join().expect("a reader");
        assert!(
            String::from_utf8_lossy(&again.stdout).starts_with(&now),
            "{}{}",
            text(&found),
            text(&again)
        );
        let got = std::fs::read(&kept).expect("the bytes of the reader");
        assert!(old.starts_with(&got), "the old reader got bytes of the new content");
        assert!(
            !read.status.success() && got.len() < old.len(),
            "{} bytes, {}",
            got.len(),
            text(&read)
        );
        assert!(String::from_utf8_lossy(&read.stderr).contains(ESTALE), "{}", text(&read));
        changing.object = rig.cloud.objects().into_iter().next().expect("an object");
    });
    changing.assert_new(&changing.hash("sha256sum < \"$f\""));
}
