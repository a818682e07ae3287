//! Expiry of recordings in `meeting.json`, in an extended attribute, and in `meetfs expiring`.

use std::process::{Command, Output};

use crate::support::{COMMAND_TIMEOUT, Rig, isolated, run, text};
use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, ToSpan};
use meetfs::demo_cloud::{Archive, Content, DemoCloudOptions, Meeting, MeetingFile};

fn day(from_today: i64) -> Date {
    TimeZone::UTC.to_datetime(Timestamp::now()).date().saturating_add(from_today.days())
}

/// Three meetings: the first expires in two days, the second in twenty, the third never.
fn rig() -> Rig {
    let mut archive = Archive::empty();
    for (topic, days) in [("soon", Some(2)), ("later", Some(20)), ("never", None)] {
        let start = Timestamp::now() - SignedDuration::from_hours(30);
        let seed = topic.len() as u64;
        let mut meeting = Meeting::new(&format!("{topic}=="), topic, start)
            .with_file(MeetingFile::new("MP4", Content::Pattern { seed, length: 70_000 }))
            .with_file(MeetingFile::new(
                "CHAT",
                Content::Stored(format!("hello {topic}\n").into()),
            ));
        meeting.auto_delete_date = days.map(day);
        archive.meetings.push(meeting);
    }
    Rig::mounted(DemoCloudOptions { archive, ..DemoCloudOptions::default() })
}

fn expiring(rig: &Rig, words: &[&str]) -> Output {
    run(&mut isolated(rig, rig.meetfs().arg("expiring").args(words)), COMMAND_TIMEOUT)
}

fn lines(output: &Output) -> Vec<String> {
    String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect()
}

#[test]
fn expiry_is_in_json_and_attributes() {
    let rig = rig();
    let midnight = format!("{}T00:00:00Z", day(2));
    let python = "import os,sys\n\
        for path in sys.argv[1:]: print(os.getxattr(path, 'user.meetfs.expires').decode(), 'user.meetfs.expires' in os.listxattr(path))";
    let listed = rig.shell(&format!("python3 -c \"{python}\" */*/*soon */*/*soon/*"));
    assert_eq!(listed.lines().count(), 5, "{listed}");
    for line in listed.lines() {
        assert_eq!(line, format!("{midnight} True"));
    }
    let document: serde_json::Value =
        serde_json::from_str(&rig.shell("cat */*/*soon/meeting.json")).expect("JSON");
    assert_eq!(document["expires"], midnight);
    let nothing = "import os,sys\n\
        for path in sys.argv[1:]: print(os.listxattr(path))\n\
        try: os.getxattr(sys.argv[1], 'user.meetfs.expires'); print('there')\n\
        except OSError as e: print(e.errno)";
    let listed = rig.shell(&format!("python3 -c \"{nothing}\" */*/*never/*"));
    assert_eq!(listed.lines().last(), Some("61"), "ENODATA: {listed}");
    assert!(!listed.contains("expires"), "{listed}");
    rig.unmount();
}

#[test]
fn expiring_files_are_sorted_by_expiry() {
    let rig = rig();
    let output = expiring(&rig, &[]);
    assert!(output.status.success(), "{}", text(&output));
    let listed = lines(&output);
    assert_eq!(listed.len(), 4, "{listed:?}");
    assert!(
        listed[0].contains("soon") && listed[1].contains("soon") && listed[3].contains("later"),
        "{listed:?}"
    );
    assert!(listed[0].contains(&rig.mountpoint.display().to_string()), "{listed:?}");
    let output = expiring(&rig, &["--within", "7d", "--json"]);
    let listed: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(listed.as_array().map(Vec::len), Some(2), "{listed}");
    assert_eq!(listed[0]["expires"], format!("{}T00:00:00Z", day(2)));
    assert_eq!(lines(&expiring(&rig, &["--within", "1h"])), Vec::<String>::new());
    let output = expiring(&rig, &["--within", "soon"]);
    assert_eq!(output.status.code(), Some(2), "{}", text(&output));
    rig.unmount();
    let output = expiring(&rig, &[]);
    assert_eq!(output.status.code(), Some(1), "{}", text(&output));
}

#[test]
fn times_have_an_offset_from_utc() {
    let rig = rig();
    for (zone, midnight) in
        [("Asia/Kolkata", "05:30 +0530"), ("UTC", "00:00 +0000"), ("Etc/GMT-9", "09:00 +0900")]
    {
        let output = run(rig.meetfs().arg("expiring").env("TZ", zone), COMMAND_TIMEOUT);
        let listed = lines(&output);
        assert_eq!(listed.len(), 4, "{}", text(&output));
        assert!(listed[0].starts_with(&format!("{} {midnight}  ", day(2))), "{zone}: {listed:?}");
        let output = run(rig.meetfs().arg("status").env("TZ", zone), COMMAND_TIMEOUT);
        let listed = lines(&output);
        let offset = &midnight[6..];
        for word in ["since ", "listed ", "next "] {
            let line = listed.iter().find(|line| line.contains(word)).expect("a line");
            let (_, after) = line.split_once(word).expect("a time");
            let time = after.split(',').next().unwrap_or_default();
            assert!(time.ends_with(offset), "{zone}, {word}: {line}");
        }
    }
    let output =
        run(rig.meetfs().args(["expiring", "--json"]).env("TZ", "Asia/Kolkata"), COMMAND_TIMEOUT);
    let listed: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(listed[0]["expires"], format!("{}T00:00:00Z", day(2)));
    rig.unmount();
}

#[test]
fn checksum_requires_a_backup_directory() {
    let output = run(crate::support::meetfs().args(["expiring", "--checksum"]), COMMAND_TIMEOUT);
    assert_eq!(output.status.code(), Some(2), "{}", text(&output));
    assert!(
        String::from_utf8_lossy(&output.stderr).contains("--not-in <DIR>"),
        "{}",
        text(&output)
    );
    let output = run(crate::support::meetfs().args(["expiring", "--help"]), COMMAND_TIMEOUT);
    let help = lines(&output);
    let line =
        help.iter().find(|line| line.trim_start().starts_with("--checksum")).expect("a line");
    assert!(line.contains("With --not-in, compare SHA-256 checksums"), "{line}");
}

#[test]
fn unsaved_files_are_listed_until_saved() {
    let rig = rig();
    let backup = rig.directory.path().join("backup");
    std::fs::create_dir(&backup).expect("a directory");
    let directory = backup.to_str().expect("a path");
    let unsaved = |words: &[&str]| {
        let output = expiring(&rig, &[&["--within", "30d", "--not-in", directory], words].concat());
        (output.status.code(), lines(&output).len())
    };
    assert_eq!(unsaved(&[]), (Some(1), 4));
    let copy = |line: &str| {
        let output = run(
            Command::new("bash").args(["-c", line]).env("B", &backup).env("M", &rig.mountpoint),
            COMMAND_TIMEOUT,
        );
        assert!(output.status.success(), "{}", text(&output));
    };
    // The backup contains only one meeting, at another path than in the mount.
    copy("mkdir -p $B/saved/2026 && cp -r \"$M\"/acme/*/*soon $B/saved/2026/");
    assert_eq!(unsaved(&[]), (Some(1), 2));
    copy("rsync -a \"$M/\" $B/");
    assert_eq!(unsaved(&[]), (Some(0), 0));
    assert_eq!(unsaved(&["--checksum"]), (Some(0), 0));
    // Another file of the same size at the same path does not count as saved.
    copy(
        "rm -r $B/saved; chmod -R u+w $B; printf 'jello later\\n' > \"$(echo $B/acme/*/*later/chat.txt)\"",
    );
    assert_eq!(unsaved(&[]), (Some(0), 0));
    assert_eq!(unsaved(&["--checksum"]), (Some(1), 1));
    // A shorter file does not count either.
    copy("printf 'hello' > \"$(echo $B/acme/*/*later/chat.txt)\"");
    assert_eq!(unsaved(&[]), (Some(1), 1));
    let output = expiring(&rig, &["--not-in", "/does/not/exist"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output).contains("for copies"), "{}", text(&output));
    rig.unmount();
    // The directory is rejected whether or not a file system is mounted.
    let output = expiring(&rig, &["--not-in", "/does/not/exist"]);
    assert_eq!(output.status.code(), Some(2), "{}", text(&output));
}

#[test]
fn mount_does_not_count_as_backup() {
    let rig = rig();
    let home = rig.directory.path().join("home");
    std::fs::create_dir_all(home.join("deep/er")).expect("directories");
    for (target, link) in [
        (".", "a"),
        (".", "b"),
        ("..", "deep/up"),
        ("../..", "deep/er/up"),
        ("nowhere", "deep/off"),
    ] {
        std::os::unix::fs::symlink(target, home.join(link)).expect("a link");
    }
    std::os::unix::fs::symlink(&rig.mountpoint, home.join("meetings")).expect("a link");
    let unsaved = |directory: &std::path::Path| {
        let output = expiring(&rig, &["--not-in", directory.to_str().expect("a path")]);
        (output.status.code(), lines(&output).len(), text(&output))
    };
    let (code, files, message) = unsaved(&home);
    assert_eq!((code, files), (Some(1), 4), "{message}");
    let (code, files, message) = unsaved(rig.directory.path());
    assert_eq!((code, files), (Some(1), 4), "{message}");
    let (code, _, message) = unsaved(&rig.mountpoint);
    assert!(code == Some(2) && message.contains("it is inside the mount"), "{message}");
    rig.unmount();
}
