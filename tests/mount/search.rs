//! `meetfs search`: the same hits as `grep`, and one request for each transcript.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::process::Output;

use jiff::{SignedDuration, Timestamp};
use meetfs::demo_cloud::{Archive, Content, DemoCloudOptions, Meeting, MeetingFile};
use serde_json::Value;

use crate::support::processes::kill_process;
use crate::support::{COMMAND_TIMEOUT, Rig, isolated, meetfs, run, text, wait_until};

const WORDS: [&str; 12] = [
    "budget",
    "plan",
    "planning",
    "Été",
    "marmalade",
    "archive",
    "friday",
    "over-due",
    "naïve",
    "don't",
    "x2",
    "review",
];

/// Returns a transcript of `lines` cues, whose words are the same for each `seed`.
fn transcript(seed: u64, lines: u64) -> String {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut transcript = "WEBVTT\n\n".to_owned();
    for line in 0..lines {
        let words: Vec<_> = (0..6).map(|_| WORDS[random.usize(..WORDS.len())]).collect();
        let speaker = if random.bool() { "Ana Alves" } else { "Bo" };
        let (minute, second) = (line / 60, line % 60);
        writeln!(
            transcript,
            "{line}\n00:{minute:02}:{second:02}.100 --> 00:{minute:02}:{second:02}.900\n\
             {speaker}: {}\n",
            words.join(" ")
        )
        .expect("text");
    }
    transcript
}

fn archive(meetings: u64) -> Archive {
    let mut archive = Archive::empty();
    for index in 0..meetings {
        let start = Timestamp::now() - SignedDuration::from_hours(30 + index as i64);
        let transcript = transcript(index, 20);
        archive.meetings.push(
            Meeting::new(&format!("m{index}=="), &format!("Talk {index}"), start)
                .with_file(MeetingFile::new("MP4", Content::Pattern { seed: index, length: 9_000 }))
                .with_file(MeetingFile::new("TRANSCRIPT", Content::Stored(transcript.into()))),
        );
    }
    archive
}

fn rig(meetings: u64) -> Rig {
    let options = DemoCloudOptions { archive: archive(meetings), ..DemoCloudOptions::default() };
    Rig::new(options).with("search = \"on\"")
}

fn search(rig: &Rig, words: &[&str]) -> Output {
    run(&mut isolated(rig, rig.meetfs().arg("search").args(words)), COMMAND_TIMEOUT)
}

fn search_json(rig: &Rig, words: &[&str]) -> Value {
    let output = search(rig, &[&["--json"], words].concat());
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("JSON: {}", text(&output)))
}

fn wait_until_indexed(rig: &Rig, meetings: u64) {
    wait_until(COMMAND_TIMEOUT, "all texts are indexed", || {
        let coverage = &search_json(rig, &["anything"])["coverage"][0];
        coverage["meetings_with_text"] == meetings && coverage["missing_texts"] == 0
    });
}

/// Returns the numbers of requests for the contents of each transcript.
fn transcript_requests(rig: &Rig) -> BTreeMap<String, usize> {
    let mut requests = BTreeMap::new();
    // The requests for the sizes of the videos have a range of one byte.
    for request in rig
        .media_requests()
        .into_iter()
        .filter(|request| request.range.is_none_or(|(_, last)| last.is_none_or(|last| last > 100)))
    {
        *requests.entry(request.path).or_default() += 1;
    }
    requests
}

#[test]
fn search_finds_the_lines_of_grep() {
    let rig = rig(60);
    rig.mount();
    wait_until_indexed(&rig, 60);
    let requests = transcript_requests(&rig);
    assert_eq!(requests.len(), 60, "{requests:?}");
    assert!(requests.values().all(|count| *count == 1), "{requests:?}");
    for (phrase, pattern) in [
        ("budget", "budget"),
        ("BUDGET plan", "budget plan"),
        ("plan", "plan"),
        ("plan*", "plan\\(ning\\)\\?"),
        ("ete", "Été"),
        ("over-due", "over-due"),
        ("don't", "don't"),
        ("x2 review", "x2 review"),
    ] {
        let output = search(&rig, &[phrase]);
        let lines = String::from_utf8_lossy(&output.stdout).into_owned();
        let found: BTreeSet<_> = lines
            .lines()
            .map(|line| {
                let (path, cue) = line.split_once(".vtt:").expect("a path");
                let path = path.strip_prefix(&format!("{}/", rig.mountpoint.display()));
                let speech = cue.splitn(4, ':').nth(3).expect("a time");
                (path.expect("a mountpoint").to_owned(), speech.to_owned())
            })
            .collect();
        let expected = rig.shell(&format!("grep -riw --include='*.vtt' -- \"{pattern}\" acme"));
        let expected: BTreeSet<_> = expected
            .lines()
            .map(|line| line.split_once(".vtt:").expect("a path"))
            .map(|(path, speech)| (path.to_owned(), speech.to_owned()))
            .collect();
        assert!(!expected.is_empty() && found == expected, "{phrase}: {found:?} {expected:?}");
    }
    rig.unmount();
    rig.cloud.clear_requests();
    rig.mount();
    wait_until_indexed(&rig, 60);
    assert_eq!(transcript_requests(&rig), BTreeMap::new(), "the index is stored");
    rig.unmount();
}

#[test]
fn hits_have_times_speakers_and_filters() {
    let rig = rig(3);
    rig.mount();
    wait_until_indexed(&rig, 3);
    let all = search_json(&rig, &["budget"]);
    let hits = all["hits"].as_array().expect("hits");
    let of_ana = search_json(&rig, &["budget", "--speaker", "alves"]);
    let expected: Vec<_> = hits.iter().filter(|hit| hit["speaker"] == "Ana Alves").collect();
    assert!(!expected.is_empty() && expected.len() < hits.len(), "{all}");
    assert_eq!(of_ana["hits"].as_array().expect("hits").iter().collect::<Vec<_>>(), expected);
    for hit in hits {
        let milliseconds = hit["start"].as_f64().expect("a start").fract() * 1000.0;
        assert_eq!(milliseconds.round(), 100.0, "{hit}");
    }
    let limited = search_json(&rig, &["budget", "--limit", "1"]);
    assert_eq!((&limited["hits"][0], &limited["is_truncated"]), (&hits[0], &true.into()));
    let newest = rig.shell("ls -d $PWD/acme/*/*'Talk 0'");
    assert!(hits[0]["path"].as_str().expect("a path").starts_with(newest.trim()), "{all}");
    let topics = search_json(&rig, &["talk 1"]);
    let talk = rig.shell("ls -d $PWD/acme/*/*'Talk 1'");
    assert_eq!(topics["hits"][0]["path"], talk.trim(), "{topics}");
    assert_eq!(search_json(&rig, &["budget", "--since", "29h"])["hits"], Value::Array(Vec::new()));
    assert_eq!(search_json(&rig, &["budget", "--source", "other"])["hits"], Value::Array(vec![]));
    let missing = search(&rig, &["zebra"]);
    assert_eq!((missing.status.code(), missing.stdout.len()), (Some(1), 0), "{}", text(&missing));
    let coverage = String::from_utf8_lossy(&missing.stderr).into_owned();
    assert_eq!(coverage, "note: acme: 3 of 3 meetings have a transcript or a chat\n");
    for (words, error) in [
        (&["..."][..], "error: the query contains no words"),
        (&["budget", "--speaker", "-"], "error: the query contains no words"),
        (&["budget", "--since", "soon"], "neither a day nor a duration"),
        (&["budget", "--source", "a/b"], "not a name of a source"),
        (&[&"long ".repeat(1000)], "error: the query is longer than"),
    ] {
        let output = search(&rig, words);
        assert_eq!(output.status.code(), Some(2), "{}", text(&output));
        assert!(text(&output).contains(error), "{}", text(&output));
    }
    rig.unmount();
}

#[test]
fn killed_indexer_continues_where_it_was() {
    let rig = rig(80);
    rig.mount();
    wait_until(COMMAND_TIMEOUT, "some texts are indexed", || transcript_requests(&rig).len() > 20);
    kill_process(rig.daemon().expect("a daemon"));
    rig.mount();
    wait_until_indexed(&rig, 80);
    let requests = transcript_requests(&rig);
    // At most two texts were in flight, and another two not yet stored.
    let repeated = requests.values().filter(|count| **count > 1).count();
    assert!(requests.len() == 80 && repeated <= 4, "{requests:?}");
    let found = search_json(&rig, &["talk", "--limit", "1000"]);
    assert_eq!(found["hits"].as_array().map(Vec::len), Some(80));
    rig.unmount();
}

#[test]
fn text_of_deleted_meeting_leaves_the_index() {
    let rig = rig(5);
    rig.mount();
    wait_until_indexed(&rig, 5);
    let talks = |rig: &Rig| {
        let found = search_json(rig, &["budget"]);
        let hits = found["hits"].as_array().expect("hits").clone();
        let path = |hit: &Value| hit["path"].as_str().expect("a path").to_owned();
        hits.iter().map(path).filter(|path| path.contains("Talk 2")).count()
    };
    assert!(talks(&rig) > 0);
    assert!(rig.cloud.remove_meeting("m2=="));
    let refresh = run(rig.meetfs().arg("refresh").arg(&rig.mountpoint), COMMAND_TIMEOUT);
    assert!(refresh.status.success(), "{}", text(&refresh));
    wait_until_indexed(&rig, 4);
    assert_eq!(talks(&rig), 0);
    rig.unmount();
    let count = "import sqlite3, sys; \
        print(sqlite3.connect(sys.argv[1]).execute('SELECT COUNT(*) FROM text').fetchone()[0])";
    let index = rig.directory.path().join("cache/search.sqlite");
    let index = index.display();
    assert_eq!(rig.shell(&format!("python3 -c \"{count}\" '{index}'")).trim(), "8");
}

#[test]
fn search_is_off_by_default() {
    let rig = rig(2);
    rig.mount();
    wait_until_indexed(&rig, 2);
    rig.unmount();
    let index = rig.directory.path().join("cache/search.sqlite");
    assert!(index.exists());
    rig.write_config(&rig.config().replace("search = \"on\"", ""));
    let mounted = run(&mut rig.mount_command(), COMMAND_TIMEOUT);
    assert!(mounted.status.success(), "{}", text(&mounted));
    assert!(!index.exists(), "the texts are removed");
    let output = search(&rig, &["budget"]);
    assert_eq!(output.status.code(), Some(3), "{}", text(&output));
    assert!(text(&output).contains("hint: Mount again with `--search on`"), "{}", text(&output));
    rig.unmount();
}

#[test]
fn player_starts_at_the_hit() {
    let rig = Rig::new(DemoCloudOptions::default());
    let settings = rig.directory.path().join("mpv");
    std::fs::create_dir(&settings).expect("a directory");
    let log = rig.directory.path().join("mpv.log");
    let options = format!("vo=null\nao=null\nframes=1\nlog-file={}\n", log.display());
    std::fs::write(settings.join("mpv.conf"), options).expect("a file");
    let mut mount = rig.meetfs();
    mount.args(["mount", "--demo", "--search", "on"]).arg(&rig.mountpoint);
    let mounted = run(&mut mount, COMMAND_TIMEOUT);
    assert!(mounted.status.success(), "{}", text(&mounted));
    wait_until(COMMAND_TIMEOUT, "the demo is indexed", || {
        search(&rig, &["marmalade"]).status.success()
    });
    let mut play = rig.meetfs();
    play.args(["search", "marmalade", "--play"]).env("MPV_HOME", &settings);
    let played = run(&mut isolated(&rig, &play), COMMAND_TIMEOUT);
    assert!(played.status.success(), "{}", text(&played));
    let log = std::fs::read_to_string(&log).expect("a log");
    assert!(log.contains("playback restart complete @ 6.4"), "{log}");
    rig.unmount();
}

#[test]
fn search_without_mount_says_so() {
    let rig = Rig::new(DemoCloudOptions::default());
    let output = run(&mut isolated(&rig, rig.meetfs().args(["search", "budget"])), COMMAND_TIMEOUT);
    assert_eq!(output.status.code(), Some(1), "{}", text(&output));
    assert!(text(&output).contains("error: you have no mounts"), "{}", text(&output));
    let output = run(meetfs().arg("search"), COMMAND_TIMEOUT);
    assert_eq!(output.status.code(), Some(2), "{}", text(&output));
}
