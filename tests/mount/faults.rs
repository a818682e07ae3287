//! Copies while the cloud misbehaves: exact, or refused with the errno that says why, never anything between.

// A helper that cannot go on fails its test.

use std::process::Output;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use crate::support::{Rig, SOON, run, text, wait_until};
use bytes::Bytes;
use meetfs::demo_cloud::{
    Archive, Content, DemoCloudOptions, Effect, FaultPlan, ListedSize, Meeting, MeetingFile,
    Object, RetryAfter, Server, Trigger, pattern_bytes, pattern_seed,
};

/// What every source here is mounted with: short, for many tests wait it out.
const DEADLINE: Duration = Duration::from_secs(3);

/// What a failing copy may take beyond the deadline: starting `cp`, and the kernel asking once more.
const SLACK: Duration = Duration::from_millis(2500);

const MIB: u64 = 1024 * 1024;

const EACCES: &str = "Permission denied";
const ESTALE: &str = "Stale file handle";
const EIO: &str = "Input/output error";

/// How a copy is made. Block sizes below, at and beside those of pages, kernel requests and blocks.
const COPIERS: [&str; 4] = [
    "cp \"$from\" \"$to\"",
    "dd if=\"$from\" of=\"$to\" bs=4k status=none",
    "dd if=\"$from\" of=\"$to\" bs=1000003 status=none",
    "dd if=\"$from\" of=\"$to\" bs=1M iflag=direct status=none",
];

/// A file of several blocks and a bit, made once: in a debug build that takes longer than to serve it.
static LONG: LazyLock<Bytes> = LazyLock::new(|| {
    let mut bytes = vec![0; (5 * MIB + 123) as usize];
    pattern_bytes(pattern_seed("long"), 0, &mut bytes);
    bytes.into()
});

/// The media, texts and documents that differ in how a reply is checked, in a meeting of their own for each
/// round: what one round has read is in nobody's cache in the next.
fn rounds(count: usize) -> Archive {
    let demo = Archive::demo();
    let sample = |file_type: &str| {
        let mut files = demo.meetings.iter().flat_map(|meeting| &meeting.files);
        files.find(|file| file.file_type == file_type).expect("a sample").content.clone()
    };
    let mut archive = Archive::pattern(&[]);
    let first = demo.meetings.iter().map(|meeting| meeting.start).min().expect("a meeting");
    archive.meetings = (0..count)
        .map(|round| {
            let start = first + jiff::SignedDuration::from_hours(round as i64);
            let topic = format!("Round {round}");
            Meeting::new(&format!("rOuNd{round:04}0000000000=="), &topic, start)
                .with(MeetingFile::new("MP4", Content::Stored(LONG.clone())).view("gallery_view"))
                .with(MeetingFile::new("MP4", sample("MP4")))
                .with(MeetingFile::new("M4A", sample("M4A")))
                .with(MeetingFile::new("TRANSCRIPT", sample("TRANSCRIPT")))
                .with(MeetingFile::new("CHAT", sample("CHAT")))
                .with(MeetingFile::new("TIMELINE", sample("TIMELINE")).listed(ListedSize::True))
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

/// Adds a meeting to the cloud and waits until the mount shows all there is of it.
fn list(rig: &Rig, meeting: Meeting) {
    let shown = format!("find . -path '*{}/meeting.json' | wc -l", meeting.topic);
    rig.cloud.add_meeting(meeting);
    let daemon = rig.daemon().expect("a daemon").to_string();
    run(std::process::Command::new("kill").args(["-HUP", &daemon]), SOON);
    wait_until(SOON, "the next round is listed", || rig.shell(&shown).trim() == "1");
}

/// The path in the mount of what can be downloaded.
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

/// How a copy went: the message of a failed one. A copy that says it is done and is not the object fails the test.
fn copy(rig: &Rig, object: &Object, how: &str) -> Result<(), String> {
    let path = path_of(rig, object);
    let directory = tempfile::tempdir_in(rig.directory.path()).expect("a directory");
    let to = directory.path().join("copy");
    let started = Instant::now();
    let output: Output =
        rig.try_shell(&format!("from='{path}' to='{}'; LC_ALL=C {how}", to.display()), SOON);
    let took = started.elapsed();
    if !output.status.success() {
        assert!(took < DEADLINE + SLACK, "{path}: failed after {took:?}: {}", text(&output));
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

/// All objects of a round at once, each with how it went.
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

/// What a copy may come to besides being exact.
#[derive(Clone, Copy)]
enum May {
    /// It must be exact.
    BeExactOnly,
    /// It must fail so.
    FailOnly(&'static str),
    /// It may fail in one of these ways.
    Fail(&'static [&'static str]),
}

impl May {
    fn check(self, what: &str, object: &Object, outcome: &Result<(), String>, rig: &Rig) {
        let holds = match (self, outcome) {
            (Self::BeExactOnly | Self::Fail(_), Ok(())) => true,
            (Self::FailOnly(wanted), Err(said)) => said.contains(wanted),
            (Self::Fail(wanted), Err(said)) => wanted.iter().any(|wanted| said.contains(wanted)),
            (Self::BeExactOnly, Err(_)) | (Self::FailOnly(_), Ok(())) => false,
        };
        let name = &object.media_path;
        assert!(holds, "{what}: {name} of {} came to {outcome:?}\n{}", object.topic, rig.log());
    }
}

/// A fault, and what becomes of copies that meet it.
struct Case {
    server: Server,
    what: Effect,
    /// Of a copy that meets it up to three times.
    passing: May,
    /// Of a copy of the file of many blocks as long as it lasts.
    lasting: May,
    /// Of a copy of a file within one block as long as it lasts.
    lasting_small: May,
    /// Of the first copy once it is over; the second is exact.
    healed: May,
}

impl Case {
    fn new(server: Server, what: Effect, lasting: May) -> Self {
        Self {
            server,
            what,
            passing: May::BeExactOnly,
            lasting,
            lasting_small: lasting,
            healed: May::BeExactOnly,
        }
    }

    fn passing(self, passing: May) -> Self {
        Self { passing, ..self }
    }

    fn healed(self, healed: May) -> Self {
        Self { healed, ..self }
    }

    fn small(self, lasting_small: May) -> Self {
        Self { lasting_small, ..self }
    }

    /// The fault once, twice and three times on every file, then for good, then not any more.
    fn play(&self) {
        const LASTING: usize = 3;
        // Each round is listed when its turn comes: small files are fetched ahead, and those of a later round would
        // meet the faults of this one.
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
                let trigger = Trigger::next(self.server, round as u32 + 1).on(&path(&object));
                rig.cloud.inject(trigger.does(self.what.clone()));
            }
            for (object, outcome) in copy_round(&rig, round, how) {
                self.passing.check(&format!("{} × {what}", round + 1), &object, &outcome, &rig);
            }
            rig.cloud.clear_faults();
        }
        list(&rig, later.next().expect("a round"));
        rig.cloud.inject(Trigger::always(self.server).does(self.what.clone()));
        for (object, outcome) in copy_round(&rig, LASTING, COPIERS[0]) {
            let may = if object.length > MIB { self.lasting } else { self.lasting_small };
            may.check(&format!("lasting {what}"), &object, &outcome, &rig);
        }
        rig.cloud.clear_faults();
        for may in [self.healed, May::BeExactOnly] {
            for (object, outcome) in copy_round(&rig, LASTING, COPIERS[0]) {
                may.check(&format!("healed {what}"), &object, &outcome, &rig);
            }
        }
    }
}

fn play(cases: &[Case]) {
    std::thread::scope(|scope| {
        let played: Vec<_> = cases.iter().map(|case| scope.spawn(|| case.play())).collect();
        let failed = played.into_iter().filter_map(|case| case.join().err()).count();
        assert_eq!(failed, 0, "see above");
    });
}

#[test]
fn what_the_media_host_refuses_is_asked_for_under_new_links_and_then_not_permitted() {
    let refused = |what| Case::new(Server::Media, what, May::FailOnly(EACCES));
    play(&[
        refused(Effect::Html200),
        refused(Effect::Json59),
        refused(Effect::ExpiredLink),
        refused(Effect::status(401)),
        refused(Effect::status(403)),
    ]);
}

#[test]
fn what_the_web_host_refuses_is_asked_for_in_every_way_and_then_not_permitted() {
    let refused = |what| Case::new(Server::Web, what, May::FailOnly(EACCES));
    play(&[
        refused(Effect::Html200).passing(May::Fail(&[EACCES])),
        refused(Effect::ExpiredToken).passing(May::Fail(&[EACCES])),
        refused(Effect::status(401)),
        refused(Effect::status(403)).passing(May::Fail(&[EACCES])),
    ]);
}

#[test]
fn what_is_gone_is_a_stale_file() {
    let gone = |server, status| Case::new(server, Effect::status(status), May::FailOnly(ESTALE));
    play(&[
        gone(Server::Media, 404),
        gone(Server::Media, 410),
        gone(Server::Web, 404).passing(May::Fail(&[ESTALE])),
        gone(Server::Web, 410).passing(May::Fail(&[ESTALE])),
    ]);
}

#[test]
fn a_body_that_breaks_off_is_continued_at_the_missing_byte() {
    let broken = |what| Case::new(Server::Media, what, May::FailOnly(EIO));
    play(&[
        broken(Effect::ShortBody { missing: 50 * 1024 }),
        broken(Effect::ShortBody { missing: 1 }),
        broken(Effect::Reset { after: 0 }),
        // A reply that brings something each time brings the file in the end, if in time.
        Case::new(Server::Media, Effect::Reset { after: 300_000 }, May::Fail(&[EIO])),
    ]);
}

#[test]
fn a_server_that_stands_still_is_asked_again_and_given_up_at_the_deadline() {
    let still =
        |what| Case::new(Server::Media, what, May::FailOnly(EIO)).passing(May::Fail(&[EIO]));
    play(&[
        still(Effect::Stall { after: 0 }),
        still(Effect::Stall { after: 1 }).small(May::Fail(&[EIO])),
        still(Effect::BlackHole),
        Case::new(Server::Web, Effect::BlackHole, May::FailOnly(EIO)).passing(May::Fail(&[EIO])),
    ]);
}

#[test]
fn another_range_than_the_one_asked_for_is_not_believed() {
    let wrong = |what| Case::new(Server::Media, what, May::FailOnly(EIO));
    play(&[
        // Within a single block the whole file is what was asked for.
        wrong(Effect::WholeFile).small(May::BeExactOnly),
        // As far as the file goes: the range of a whole file cannot be moved.
        wrong(Effect::WrongRange { shift: 4096 }).small(May::BeExactOnly),
        wrong(Effect::WrongRange { shift: 1 }).small(May::BeExactOnly),
    ]);
}

#[test]
fn a_total_that_is_wrong_never_makes_a_copy_longer() {
    let wrong = |delta| {
        Case::new(Server::Media, Effect::WrongTotal { delta }, May::Fail(&[ESTALE, EIO]))
            .passing(May::Fail(&[ESTALE, EIO]))
            // The total that was believed so far turns out wrong, once.
            .healed(May::Fail(&[ESTALE]))
    };
    play(&[wrong(7), wrong(2 * MIB as i64)]);
}

#[test]
fn a_failing_server_is_asked_again_and_given_up_at_the_deadline() {
    let failing = |server, what| Case::new(server, what, May::FailOnly(EIO));
    play(&[
        failing(Server::Media, Effect::status(416)),
        failing(Server::Media, Effect::status(500)),
        failing(Server::Media, Effect::status(503)),
        failing(Server::Web, Effect::status(500)),
        failing(Server::Web, Effect::status(502)),
    ]);
}

#[test]
fn a_rate_limit_is_waited_out_within_the_deadline() {
    let limited = |server, how| {
        // Three waits of a second or two are longer than the deadline.
        Case::new(server, Effect::TooManyRequests(how), May::FailOnly(EIO))
            .passing(May::Fail(&[EIO]))
    };
    play(&[
        limited(Server::Media, RetryAfter::None),
        limited(Server::Media, RetryAfter::Seconds(1)),
        limited(Server::Media, RetryAfter::HttpDate(1)),
        limited(Server::Media, RetryAfter::IsoDate(1)),
        limited(Server::Media, RetryAfter::IsoDate(3600)),
        limited(Server::Web, RetryAfter::Seconds(1)),
    ]);
}

#[test]
fn one_rate_limit_of_a_second_costs_a_second_and_no_error() {
    for how in [RetryAfter::Seconds(1), RetryAfter::HttpDate(1), RetryAfter::IsoDate(1)] {
        let rig = rig(rounds(1));
        rig.cloud.inject(Trigger::next(Server::Media, 1).does(Effect::TooManyRequests(how)));
        for (object, outcome) in copy_round(&rig, 0, COPIERS[0]) {
            May::BeExactOnly.check(&format!("{how:?}"), &object, &outcome, &rig);
        }
    }
}

#[test]
fn a_recording_deleted_upstream_is_a_stale_file() {
    let rig = rig(rounds(1));
    let objects = rig.cloud.objects();
    assert!(rig.cloud.remove_meeting(&objects[0].meeting));
    for object in objects {
        let outcome = copy(&rig, &object, COPIERS[0]);
        May::FailOnly(ESTALE).check("removed", &object, &outcome, &rig);
    }
}

#[test]
fn any_mixture_of_passing_faults_leaves_only_exact_copies() {
    /// Programs that copy at once, one file after the other.
    const READERS: usize = 4;
    const TRIES: usize = 6;
    let stress = |seed: u64| {
        let mut archive = rounds(6);
        archive.meetings.extend(Archive::pattern(&[("Round 6", 24 * MIB + 5)]).meetings);
        let rig = rig(archive);
        for fault in FaultPlan::seeded(seed, 60, 120) {
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

/// One file of which the listing says nothing true.
fn listed_wrong(by: i64, latency: Duration) -> Rig {
    let mut archive = rounds(1);
    for file in &mut archive.meetings[0].files {
        file.listed_size = ListedSize::Wrong(by);
    }
    let options =
        DemoCloudOptions { archive, first_byte_latency: latency, ..DemoCloudOptions::default() };
    // A token, a link and a reply may each take the latency.
    let rig = Rig::new(options).with("read_deadline = \"10s\"");
    rig.mount();
    rig
}

#[test]
fn a_listed_size_that_is_wrong_is_right_in_the_first_copy() {
    std::thread::scope(|scope| {
        for by in [-100, 1, 4096, 3 * MIB as i64] {
            scope.spawn(move || {
                let rig = listed_wrong(by, Duration::ZERO);
                for (object, outcome) in copy_round(&rig, 0, COPIERS[0]) {
                    May::BeExactOnly.check(&format!("listed {by}"), &object, &outcome, &rig);
                }
            });
        }
    });
}

#[test]
fn a_slow_server_with_other_sizes_than_listed_fails_the_first_copy_at_worst() {
    std::thread::scope(|scope| {
        for (by, how) in [(-100, COPIERS[0]), (1, COPIERS[1]), (3 * MIB as i64, COPIERS[2])] {
            scope.spawn(move || {
                let rig = listed_wrong(by, Duration::from_millis(1000));
                for (round, may) in [May::Fail(&[ESTALE]), May::BeExactOnly].into_iter().enumerate()
                {
                    for (object, outcome) in copy_round(&rig, 0, how) {
                        may.check(&format!("listed {by}, copy {round}"), &object, &outcome, &rig);
                    }
                }
            });
        }
    });
}

/// A mounted file of many blocks, what the cloud has now, and what it will have under the same link.
struct Changing {
    rig: Rig,
    object: Object,
    path: String,
}

const CHANGING: u64 = 12 * MIB + 77;

impl Changing {
    fn new(bytes_per_second: Option<u64>) -> Self {
        let archive = Archive::pattern(&[("Changing", CHANGING)]);
        let rig =
            Rig::new(DemoCloudOptions { archive, bytes_per_second, ..DemoCloudOptions::default() })
                .with(&format!("read_deadline = \"{}s\"", DEADLINE.as_secs()))
                .with_cache("memory = \"8MiB\"")
                .with_cache("disk = \"off\"");
        rig.mount();
        let object = rig.cloud.objects().into_iter().next().expect("an object");
        let path = rig.shell("find . -name '*.mp4'").trim().to_owned();
        Self { rig, object, path }
    }

    /// Puts other bytes of the same number under the link; the object is the new one from then on.
    fn change(&mut self, name: &str) {
        let content = Content::Pattern { seed: pattern_seed(name), length: CHANGING };
        assert!(
            self.rig
                .cloud
                .change_meeting(&self.object.meeting, |meeting| meeting.files[0].content = content)
        );
        self.object = self.rig.cloud.objects().into_iter().next().expect("an object");
    }

    fn hash(&self, line: &str) -> Output {
        self.rig.try_shell(&format!("f='{}'; LC_ALL=C; export LC_ALL; {line}", self.path), SOON)
    }

    fn assert_new(&self, output: &Output) {
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(said.starts_with(&self.object.sha256()), "{}\n{}", text(output), self.rig.log());
    }
}

#[test]
fn a_changed_file_reads_as_one_of_its_contents_and_as_the_new_one_once_the_cloud_is_asked() {
    let mut changing = Changing::new(None);
    for name in ["second", "third", "fourth"] {
        changing.assert_new(&changing.hash("sha256sum < \"$f\""));
        let before = changing.object.sha256();
        changing.change(name);
        // What is cached may answer, whole.
        let cached = changing.hash("sha256sum < \"$f\"");
        let said = String::from_utf8_lossy(&cached.stdout).into_owned();
        let is_whole = said.starts_with(&before) || said.starts_with(&changing.object.sha256());
        let is_refused = String::from_utf8_lossy(&cached.stderr).contains(ESTALE);
        assert!(if cached.status.success() { is_whole } else { is_refused }, "{}", text(&cached));
        // With no page kept by the kernel, and more bytes than fit in memory, the cloud has to be asked: whoever
        // finds out gets an error, and the next one the new bytes.
        changing.hash("sync; echo 3 > /proc/sys/vm/drop_caches");
        let first = changing.hash("sha256sum < \"$f\"");
        if !first.status.success() {
            assert!(String::from_utf8_lossy(&first.stderr).contains(ESTALE), "{}", text(&first));
            changing.assert_new(&changing.hash("sha256sum < \"$f\""));
        } else {
            changing.assert_new(&first);
        }
    }
    changing.assert_new(&changing.hash("cat \"$f\" | sha256sum"));
}

#[test]
fn a_reader_in_the_middle_of_a_changed_file_fails_and_never_gets_a_mix() {
    let mut changing = Changing::new(None);
    // The reader takes its first mebibyte, waits for the word, and reads on.
    let go = changing.rig.directory.path().join("go");
    let begun = changing.rig.directory.path().join("begun");
    let reader = format!(
        "exec 3< \"$f\"; dd bs=64k count=16 status=none <&3 > /dev/null; touch '{}'; \
         while ! test -e '{}'; do sleep 0.02; done; dd bs=64k status=none <&3 | wc -c; exit ${{PIPESTATUS[0]}}",
        begun.display(),
        go.display()
    );
    let old = changing.object.sha256();
    let read = std::thread::scope(|scope| {
        let line = format!("f='{}'; LC_ALL=C; export LC_ALL; {reader}", changing.path);
        let rig = &changing.rig;
        let reading = scope.spawn(move || rig.try_shell(&line, SOON));
        crate::support::wait_until(SOON, "the reader has begun", || begun.exists());
        // What was fetched ahead of it has come.
        std::thread::sleep(Duration::from_millis(500));
        let content = Content::Pattern { seed: pattern_seed("other"), length: CHANGING };
        assert!(
            rig.cloud.change_meeting(&changing.object.meeting, |meeting| meeting.files[0]
                .content = content)
        );
        std::fs::write(&go, "").expect("a word");
        reading.join().expect("a reader")
    });
    changing.object = changing.rig.cloud.objects().into_iter().next().expect("an object");
    assert_ne!(changing.object.sha256(), old);
    assert!(!read.status.success(), "{}", text(&read));
    assert!(String::from_utf8_lossy(&read.stderr).contains(ESTALE), "{}", text(&read));
    changing.assert_new(&changing.hash("sha256sum < \"$f\""));
}

#[test]
fn an_old_reader_gets_nothing_that_a_new_reader_brought_into_the_kernels_cache() {
    let mut changing = Changing::new(None);
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
        let meeting = changing.object.meeting.clone();
        let (rig, path) = (&changing.rig, &changing.path);
        let reading = scope.spawn(move || rig.try_shell(&line, SOON));
        crate::support::wait_until(SOON, "the reader has begun", || begun.exists());
        assert!(rig.cloud.change_meeting(&meeting, |meeting| meeting.files[0].content = content));
        // One that finds out, and one that reads the new content from end to end.
        let find = format!("tail -c 1000000 '{path}' | sha256sum; sha256sum < '{path}'");
        let found = rig.try_shell(&find, SOON);
        let now = rig.cloud.objects()[0].sha256();
        let again = rig.try_shell(&format!("sha256sum < '{path}'"), SOON);
        std::fs::write(&go, "").expect("a word");
        let read = reading.join().expect("a reader");
        assert!(
            String::from_utf8_lossy(&again.stdout).starts_with(&now),
            "{}{}",
            text(&found),
            text(&again)
        );
        let got = std::fs::read(&kept).expect("what the reader got");
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

#[test]
fn nothing_flows_once_a_file_is_closed() {
    let archive = Archive::pattern(&[("big", 64 * MIB)]);
    let options = DemoCloudOptions {
        archive,
        bytes_per_second: Some(2_000_000),
        ..DemoCloudOptions::default()
    };
    let rig = rig_of(options);
    for line in ["head -c 3000000", "dd bs=64k count=1 skip=500 status=none"] {
        rig.shell(&format!("{line} < \"$(find . -name '*.mp4')\" > /dev/null"));
        std::thread::sleep(Duration::from_secs(2));
        let before = rig.media_bytes();
        std::thread::sleep(Duration::from_secs(1));
        assert_eq!(rig.media_bytes(), before, "after {line}");
    }
    assert!(rig.media_bytes() < 20 * MIB, "{}", rig.media_bytes());
}
