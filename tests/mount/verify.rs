//! `meetfs verify`: a backup is compared with the mount that it was copied from.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::{Command, Output};

use crate::support::processes::{RunningCommand, kill_process};
use crate::support::{
    COMMAND_TIMEOUT, Rig, isolated, run, started_by, text, wait_for_recycle_bin, wait_until,
};
use jiff::{SignedDuration, Timestamp};
use meetfs::demo_cloud::{
    Archive, Content, DemoCloudOptions, Effect, Meeting, MeetingFile, Server, Trigger, User,
};
use serde_json::Value;

const REFUSED: &str = "bo@example.org";

fn options(archive: Archive) -> DemoCloudOptions {
    DemoCloudOptions { archive, ..DemoCloudOptions::default() }
}

fn mounted_demo() -> Rig {
    let rig = Rig::mounted(options(Archive::demo()));
    wait_for_recycle_bin(&rig.mountpoint);
    rig
}

fn backup(rig: &Rig) -> PathBuf {
    rig.directory.path().join("backup")
}

/// Runs a shell line in the backup. Fails the test if the line fails.
fn in_backup(rig: &Rig, line: &str) -> String {
    std::fs::create_dir_all(backup(rig)).expect("a directory");
    let line = format!("set -eo pipefail; cd '{}'; {line}", backup(rig).display());
    let mut bash = Command::new("bash");
    let output = run(bash.args(["-c", &line]).env("M", &rig.mountpoint), COMMAND_TIMEOUT);
    assert!(output.status.success(), "{line}\n{}\n{}", text(&output), rig.log());
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Copies the mount when the metadata of all meetings is complete and does not change any more.
fn copy(rig: &Rig) {
    let is_complete = "for meeting in acme/2*/*/ acme/trash/*/; do \
        [ ! -d \"$meeting\" ] || [ -e \"$meeting/meeting.json\" ] || exit 1; done";
    wait_until(COMMAND_TIMEOUT, "the copy is complete", || {
        rig.try_shell(is_complete, COMMAND_TIMEOUT).status.success()
            && in_backup(rig, "rsync -ai --chmod=u+w \"$M/\" .").is_empty()
    });
}

fn verify_command(rig: &Rig, words: &[&str]) -> Command {
    let mut command = rig.meetfs();
    command.arg("verify").arg(backup(rig)).arg("--mount").arg(&rig.mountpoint).args(words);
    command
}

fn verify(rig: &Rig, words: &[&str]) -> Output {
    run(&mut verify_command(rig, words), COMMAND_TIMEOUT)
}

/// Returns the lines of the differences in alphabetical order.
fn differences(output: &Output) -> Vec<String> {
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    let lines: BTreeSet<String> = stdout.lines().map(str::to_owned).collect();
    assert_eq!(lines.len(), stdout.lines().count(), "{stdout}");
    lines.into_iter().collect()
}

fn assert_matches(rig: &Rig, words: &[&str]) {
    let output = verify(rig, words);
    assert_eq!(output.status.code(), Some(0), "{words:?}: {}\n{}", text(&output), rig.log());
    assert_eq!(differences(&output), [""; 0], "{}", text(&output));
    assert!(String::from_utf8_lossy(&output.stderr).contains("no difference"), "{}", text(&output));
}

/// Asserts that exactly these differences are reported, and that the exit code is 1.
fn assert_differs(rig: &Rig, words: &[&str], expected: &[String]) {
    let output = verify(rig, words);
    assert_eq!(output.status.code(), Some(1), "{words:?}: {}\n{}", text(&output), rig.log());
    assert_eq!(differences(&output), expected, "{words:?}: {}", text(&output));
}

fn line(state: &str, path: &str, detail: &str) -> String {
    let detail = if detail.is_empty() { String::new() } else { format!("  ({detail})") };
    format!("{state:<10}  {path}{detail}")
}

/// Returns the first path in the backup that matches a pattern.
fn find(rig: &Rig, pattern: &str) -> String {
    let found = in_backup(rig, &format!("ls -d {pattern}"));
    found.lines().next().expect("a path").to_owned()
}

/// Lets the mount forget the bytes that it has read.
fn remount_without_blocks(rig: &Rig) {
    rig.unmount();
    std::fs::remove_dir_all(rig.directory.path().join("cache/blocks")).expect("blocks");
    rig.mount();
    rig.cloud.clear_requests();
}

fn refresh(rig: &Rig) -> Output {
    run(rig.meetfs().arg("refresh").arg(&rig.mountpoint), COMMAND_TIMEOUT)
}

/// Changes one byte of a copy, and neither its size nor its time.
fn flip_byte(rig: &Rig, path: &str) {
    let script = "import os,sys\n\
        path=sys.argv[1]; before=os.stat(path)\n\
        with open(path,'r+b') as file:\n file.seek(before.st_size//2); byte=file.read(1)[0]\n \
        file.seek(before.st_size//2); file.write(bytes([byte^1]))\n\
        os.utime(path,ns=(before.st_atime_ns,before.st_mtime_ns))";
    in_backup(rig, &format!("python3 -c \"{script}\" '{path}'"));
}

#[test]
fn exactly_the_differences_are_reported() {
    let rig = mounted_demo();
    copy(&rig);
    let files: u64 = rig.shell("find . -type f | wc -l").trim().parse().expect("a count");
    let state = "find . -printf '%P %T@ %C@ %m %s\\n' | sort";
    let before = in_backup(&rig, state);
    rig.cloud.clear_requests();
    assert_matches(&rig, &[]);
    // At its start, meetfs measures the files again whose listed size was wrong.
    let requests = rig.media_requests();
    assert!(requests.iter().all(|request| request.body_bytes <= 1), "{requests:?}");
    assert_matches(&rig, &["--checksum"]);
    assert_eq!(in_backup(&rig, state), before);
    let output = verify(&rig, &[]);
    let summary = format!(
        "compared {} with {} by size and time: {files} files complete, no difference\n",
        backup(&rig).display(),
        rig.mountpoint.display()
    );
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(stderr.starts_with(&summary), "{stderr}");
    assert!(!stderr.contains('\r'), "{stderr}");

    let flipped = find(&rig, "acme/2*/*/shared_screen_with_speaker_view.mp4");
    let missing = find(&rig, "acme/2*/*/shared_screen_with_speaker_view.vtt");
    let stale = find(&rig, "acme/2*/*/meeting.json");
    flip_byte(&rig, &flipped);
    flip_byte(&rig, &stale);
    in_backup(&rig, &format!("rm '{missing}'; echo > $'acme/no\\ttes\\e[1m.txt'"));
    let mut expected = vec![
        line("changed", &stale, "content"),
        line("extra", "acme/no\u{fffd}tes\u{fffd}[1m.txt", ""),
        line("missing", &missing, ""),
    ];
    assert_differs(&rig, &[], &expected);
    expected.insert(1, line("changed", &flipped, "content"));
    expected[..2].sort();
    assert_differs(&rig, &["--checksum"], &expected);

    let output = verify(&rig, &["--checksum", "--json"]);
    assert_eq!(output.status.code(), Some(1), "{}", text(&output));
    assert!(output.stderr.is_empty(), "{}", text(&output));
    let report: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(report["archive"], *rig.mountpoint.to_string_lossy());
    assert_eq!(report["is_complete"], false);
    assert_eq!(report["incomplete_sources"], serde_json::json!([]));
    let counts = &report["files"];
    assert_eq!(counts["complete"], files - 3, "{counts}");
    assert_eq!(
        (&counts["changed"], &counts["missing"], &counts["extra"], &counts["unreadable"]),
        (&2.into(), &1.into(), &1.into(), &0.into())
    );
    let listed = report["differences"].as_array().expect("an array");
    assert_eq!(listed.len(), 4, "{report:#}");
    let of = |path: &str| listed.iter().find(|entry| entry["path"] == path).expect("an entry");
    assert_eq!(of(&flipped)["differs_in"], "content");
    assert_eq!(of("acme/no\ttes\u{1b}[1m.txt")["state"], "extra");
    assert_eq!(of(&missing)["state"], "missing");
    rig.unmount();
}

#[test]
fn json_fields_are_documented() {
    let rig = Rig::mounted(options(Archive::with_pattern_files(&[("a", 100)])));
    in_backup(&rig, "true");
    let output = verify(&rig, &["--json"]);
    let report: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let documentation = include_str!("../../docs/backups.md");
    let objects = [&report, &report["files"], &report["differences"][0]];
    let fields: Vec<&String> = objects
        .into_iter()
        .flat_map(|object| object.as_object().expect("an object").keys())
        .collect();
    assert!(fields.len() > 20, "{report:#}");
    for field in fields {
        assert!(documentation.contains(&format!("`{field}`")), "{field}");
    }
    rig.unmount();
}

#[test]
fn written_checksums_pass_sha256sum() {
    let rig = mounted_demo();
    copy(&rig);
    let directories = in_backup(&rig, "find . -name meeting.json -printf '%h\\n' | sort");
    let files = in_backup(&rig, "find . -type f | sort");
    assert_matches(&rig, &["--checksum", "--write-sums"]);
    let written = in_backup(&rig, "find . -name SHA256SUMS -printf '%h\\n' | sort");
    assert_eq!(written, directories);
    let check = "find . -name SHA256SUMS -execdir sha256sum --check --strict --quiet {} +";
    assert_eq!(in_backup(&rig, check), "");
    let listed = in_backup(
        &rig,
        "find . -name SHA256SUMS | while read -r sums; do while read -r hash name; do \
         echo \"${sums%/*}/$name\"; done <\"$sums\"; done | sort",
    );
    assert_eq!(listed, files);
    assert_eq!(in_backup(&rig, "find . -name '.*' ! -name ."), "");
    // The new files are neither extra nor a reason for rsync to change directories.
    let inodes = "find . -name SHA256SUMS -printf '%i\\n' | sort";
    let before = in_backup(&rig, inodes);
    assert_matches(&rig, &["--checksum", "--write-sums"]);
    assert_eq!(in_backup(&rig, inodes), before);
    assert_eq!(in_backup(&rig, "rsync -ai --chmod=u+w \"$M/\" ."), "");

    let flipped = find(&rig, "acme/2*/*/audio_only.m4a");
    flip_byte(&rig, &flipped);
    assert_differs(&rig, &["--checksum", "--write-sums"], &[line("changed", &flipped, "content")]);
    let failed = in_backup(&rig, &format!("! {check} 2>/dev/null"));
    assert_eq!(failed, "audio_only.m4a: FAILED\n");
    rig.unmount();
}

#[test]
fn interrupted_checksum_run_continues() {
    // meetfs never prefetches the second file, which has more than 8 MiB.
    let sizes = [("a", 3_000_000), ("b", 12_000_000), ("c", 1_000_000)];
    let rig = Rig::mounted(options(Archive::with_pattern_files(&sizes)));
    copy(&rig);
    let words = ["--checksum", "--write-sums", "--use-sums"];
    assert_matches(&rig, &words);
    let videos = in_backup(&rig, "find . -name '*.mp4' | sort");
    assert_eq!(videos.lines().count(), 3, "{videos}");
    remount_without_blocks(&rig);
    assert_matches(&rig, &words);
    assert_eq!(rig.media_bytes(), 0, "{:?}", rig.media_requests());
    // One meeting was not checked, and the copy of another one was damaged since.
    let damaged = videos.lines().next().expect("a path").trim_start_matches("./");
    flip_byte(&rig, damaged);
    let unchecked = videos.lines().last().expect("a path").rsplit_once('/').expect("a path").0;
    in_backup(&rig, &format!("rm '{unchecked}/SHA256SUMS'"));
    assert_differs(&rig, &words, &[line("changed", damaged, "content")]);
    let read = rig.media_bytes();
    assert!((4_000_000..12_000_000).contains(&read), "{read}");
    assert_eq!(in_backup(&rig, "find . -name SHA256SUMS | wc -l"), "3\n");
    rig.unmount();
}

#[test]
fn checksums_of_deleted_recordings_are_kept() {
    let mut archive = Archive::empty();
    archive.meetings = vec![
        meeting("YQ==", "Kept", Archive::OWNER_EMAIL)
            .with_file(MeetingFile::new("CHAT", Content::Stored("hello\n".into()))),
        meeting("Yg==", "Deleted", Archive::OWNER_EMAIL),
    ];
    let rig = Rig::mounted(options(archive));
    copy(&rig);
    assert_matches(&rig, &["--checksum", "--write-sums"]);
    assert!(rig.cloud.remove_meeting("Yg=="));
    assert!(rig.cloud.change_meeting("YQ==", |meeting| {
        meeting.files.retain(|file| file.file_type != "CHAT");
    }));
    let output = refresh(&rig);
    assert!(output.status.success(), "{}", text(&output));
    copy(&rig);
    let extra = in_backup(&rig, "ls -d acme/2*/*Deleted/*.* acme/2*/*Kept/chat.txt");
    let expected: Vec<String> = extra.lines().map(|path| line("extra", path, "")).collect();
    assert!(expected.len() >= 3, "{extra}");
    assert_differs(&rig, &["--checksum", "--write-sums"], &expected);
    assert_matches(&rig, &["--checksum", "--write-sums", "--ignore-extra"]);
    assert_eq!(in_backup(&rig, "grep -c chat.txt acme/2*/*Kept/SHA256SUMS"), "1\n");
    in_backup(&rig, "find . -name SHA256SUMS -execdir sha256sum --check --strict --quiet {} +");
    rig.unmount();
}

#[test]
fn copies_without_times_need_checksums() {
    let rig = Rig::mounted(options(Archive::with_pattern_files(&[("a", 90_000)])));
    in_backup(&rig, "cp -r \"$M/acme\" .");
    let video = find(&rig, "acme/*/*/*.mp4");
    assert_differs(&rig, &[], &[line("changed", &video, "time")]);
    assert!(text(&verify(&rig, &[])).contains("hint: If the program"), "{video}");
    assert_matches(&rig, &["--checksum"]);
    in_backup(&rig, &format!("chmod u+w '{video}'; truncate -s 89999 '{video}'"));
    let detail = "size: 89999 instead of 90000 bytes";
    assert_differs(&rig, &[], &[line("changed", &video, detail)]);
    assert_differs(&rig, &["--checksum"], &[line("changed", &video, detail)]);
    rig.unmount();
}

#[test]
fn unfinished_copies_do_not_count() {
    let rig = Rig::mounted(options(Archive::with_pattern_files(&[("a", 90_000)])));
    copy(&rig);
    let video = find(&rig, "acme/*/*/*.mp4");
    let (directory, name) = video.rsplit_once('/').expect("a path");
    let temporary = [format!("{directory}/.{name}.Ab12Cd"), format!("{directory}/{name}.part")];
    let partial_directory = format!("{directory}/.rsync-partial");
    in_backup(
        &rig,
        &format!(
            "echo > '{}'; echo > '{}'; mkdir '{partial_directory}'; cp -a '{video}' '{partial_directory}/'",
            temporary[0], temporary[1]
        ),
    );
    let output = verify(&rig, &[]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    let mut expected: Vec<String> = temporary
        .iter()
        .chain([&partial_directory])
        .map(|path| line("temporary", path, ""))
        .collect();
    expected.sort();
    assert_eq!(differences(&output), expected);
    // A temporary file of an unknown file is extra.
    in_backup(&rig, "echo > acme/.other.mp4.Ab12Cd");
    let output = verify(&rig, &[]);
    assert_eq!(output.status.code(), Some(1), "{}", text(&output));
    assert!(differences(&output).contains(&line("extra", "acme/.other.mp4.Ab12Cd", "")));
    rig.unmount();
}

#[test]
fn symbolic_links_and_pipes_are_not_opened() {
    let rig = Rig::mounted(options(Archive::with_pattern_files(&[("a", 90_000), ("b", 80_000)])));
    copy(&rig);
    let videos = in_backup(&rig, "ls -d acme/*/*/*.mp4");
    let [linked, piped] = [0, 1].map(|index| videos.lines().nth(index).expect("a path").to_owned());
    in_backup(&rig, &format!("ln -sf \"$M/{linked}\" '{linked}'; rm '{piped}'; mkfifo '{piped}'"));
    in_backup(&rig, "ln -s .. acme/up; ln -s \"$M\" mount");
    let mut expected = vec![
        line("changed", &linked, "type"),
        line("changed", &piped, "type"),
        line("extra", "acme/up", ""),
        line("extra", "mount", ""),
    ];
    expected.sort();
    assert_differs(&rig, &[], &expected);
    assert_differs(&rig, &["--checksum"], &expected);
    // A whole directory is replaced by a link to one with the same files.
    in_backup(&rig, "mv acme ../elsewhere; ln -s ../elsewhere acme");
    let output = verify(&rig, &[]);
    let found = differences(&output);
    assert!(found.contains(&line("changed", "acme", "type")), "{found:?}");
    let files: usize = rig.shell("find . -type f | wc -l").trim().parse().expect("a count");
    let missing = found.iter().filter(|line| line.starts_with("missing ")).count();
    assert_eq!(missing, files, "{found:?}");
    // The backup itself can be a link.
    in_backup(&rig, "rm -r acme mount; rsync -a \"$M/\" .; ln -s \"$PWD\" ../link");
    let link = rig.directory.path().join("link");
    let mut command = rig.meetfs();
    command.arg("verify").arg(link).arg("--mount").arg(&rig.mountpoint);
    let output = run(&mut command, COMMAND_TIMEOUT);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    rig.unmount();
}

#[test]
fn checksum_file_is_not_written_through_links() {
    let rig = Rig::mounted(options(Archive::with_pattern_files(&[("a", 90_000)])));
    copy(&rig);
    let directory = find(&rig, "acme/2*/*");
    in_backup(
        &rig,
        &format!("echo precious > ../outside; ln -s ../../../../outside '{directory}/SHA256SUMS'"),
    );
    let output = verify(&rig, &["--checksum", "--write-sums"]);
    assert_eq!(output.status.code(), Some(1), "{}", text(&output));
    let found = differences(&output);
    assert!(found.len() == 1 && found[0].starts_with("unreadable"), "{found:?}");
    assert!(found[0].contains("/SHA256SUMS  (in the backup: "), "{found:?}");
    assert_eq!(in_backup(&rig, "cat ../outside"), "precious\n");
    rig.unmount();
}

#[test]
fn unreadable_file_does_not_end_the_check() {
    let rig = Rig::mounted(options(Archive::with_pattern_files(&[("a", 90_000), ("b", 80_000)])));
    copy(&rig);
    remount_without_blocks(&rig);
    let object = rig.cloud.objects().into_iter().next().expect("an object");
    let trigger = Trigger::always(Server::Media).with_path(&object.media_path);
    rig.cloud.inject(trigger.with_effect(Effect::status(403)));
    assert_matches(&rig, &[]);
    let output = verify(&rig, &["--checksum", "--write-sums"]);
    assert_eq!(output.status.code(), Some(1), "{}", text(&output));
    let found = differences(&output);
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].starts_with("unreadable"), "{found:?}");
    assert!(found[0].contains(".mp4  (in the archive: Permission denied"), "{found:?}");
    assert!(text(&output).contains("`meetfs explain FILE`"), "{}", text(&output));
    // The checksum of the other file was written.
    assert_eq!(in_backup(&rig, "cat acme/*/*/SHA256SUMS | grep -c mp4"), "1\n");
    rig.unmount();
}

#[test]
fn killed_daemon_ends_the_check() {
    let rig = Rig::mounted(options(Archive::with_pattern_files(&[("a", 90_000), ("b", 80_000)])));
    copy(&rig);
    remount_without_blocks(&rig);
    rig.cloud.inject(Trigger::always(Server::Media).with_effect(Effect::BlackHole));
    let mut check = RunningCommand::start(&mut verify_command(&rig, &["--checksum", "--json"]));
    wait_until(COMMAND_TIMEOUT, "a file is read", || !rig.media_requests().is_empty());
    kill_process(rig.daemon().expect("a daemon"));
    let (status, _) = check.end(COMMAND_TIMEOUT);
    let output = check.output();
    assert_eq!(status.code(), Some(1), "{output}");
    // No file counts as changed, missing or unreadable.
    assert!(output.contains("has died") && output.contains("\"differences\": []"), "{output}");
    assert!(output.contains("\"is_complete\": false"), "{output}");
    let output = verify(&rig, &[]);
    assert_eq!(output.status.code(), Some(1), "{}", text(&output));
    assert!(text(&output).contains("has died"), "{}", text(&output));
}

#[test]
fn copy_of_a_refused_file_is_accepted() {
    let mut archive = Archive::empty();
    archive.meetings = vec![meeting("/Z29uZQ//==", "Gone", Archive::OWNER_EMAIL)];
    let rig = Rig::mounted(DemoCloudOptions {
        archive,
        is_trash_served: false,
        ..DemoCloudOptions::default()
    });
    copy(&rig);
    assert!(rig.cloud.trash_meeting("/Z29uZQ//==", Timestamp::now()));
    let output = refresh(&rig);
    assert!(output.status.success(), "{}", text(&output));
    let note = "acme/trash/*Gone/shared_screen_with_speaker_view.mp4.unavailable.txt";
    wait_until(COMMAND_TIMEOUT, "the note is shown", || {
        rig.try_shell(&format!("ls {note} acme/trash/*/meeting.json"), COMMAND_TIMEOUT)
            .status
            .success()
    });
    // A user who moves the copy does not lose it.
    in_backup(&rig, "mkdir acme/trash; mv acme/2*/*Gone acme/trash/; rmdir acme/2*");
    in_backup(&rig, "rsync -a --chmod=u+w --exclude='*.unavailable.txt' \"$M/\" .");
    let output = verify(&rig, &[]);
    assert_eq!(output.status.code(), Some(0), "{}\n{}", text(&output), rig.log());
    assert!(text(&output).contains("note: 1 file cannot be downloaded"), "{}", text(&output));
    assert!(text(&output).contains("note: 1 file of these"), "{}", text(&output));
    in_backup(&rig, "rm acme/trash/*/*.mp4");
    let note = rig.shell(&format!("ls {note}"));
    assert_differs(&rig, &[], &[line("missing", note.trim_end(), "")]);
    rig.unmount();
}

fn meeting(uuid: &str, topic: &str, host: &str) -> Meeting {
    let start = Timestamp::now() - SignedDuration::from_hours(30);
    let seed = topic.len() as u64;
    let mut meeting = Meeting::new(uuid, topic, start)
        .with_file(MeetingFile::new("MP4", Content::Pattern { seed, length: 70_000 }));
    meeting.host_email = host.into();
    meeting
}

#[test]
fn incomplete_listing_proves_no_deletion() {
    let mut archive = Archive::empty();
    archive.users.push(User::new_active("hostBo", REFUSED, "Bo", "Example"));
    archive.meetings =
        vec![meeting("YQ==", "Mine", Archive::OWNER_EMAIL), meeting("Yg==", "Theirs", REFUSED)];
    let rig = Rig::new(options(archive))
        .with_source(&format!("users = [\"me\", \"{REFUSED}\"]\ntrash = false"));
    rig.mount();
    copy(&rig);
    in_backup(&rig, "echo > acme/notes.txt");
    assert_differs(&rig, &[], &[line("extra", "acme/notes.txt", "")]);
    let body = r#"{"code":200,"message":"No permission for this user"}"#.to_owned();
    let content_type = "application/json".into();
    let reply = Effect::Status { status: 403, body, content_type, headers: Vec::new() };
    let path = format!("/users/{REFUSED}/");
    rig.cloud.inject(Trigger::always(Server::Api).with_path(&path).with_effect(reply));
    let output = refresh(&rig);
    assert_eq!(output.status.code(), Some(1), "{}", text(&output));
    assert_differs(&rig, &[], &[line("unlisted", "acme/notes.txt", "")]);
    // Even without a difference, recordings may be missing.
    in_backup(&rig, "rm acme/notes.txt");
    assert_differs(&rig, &[], &[]);
    let output = verify(&rig, &[]);
    assert!(text(&output).contains("warning: acme is not listed completely"), "{}", text(&output));
    let output = verify(&rig, &["--json"]);
    let report: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(report["incomplete_sources"], serde_json::json!(["acme"]));
    assert_eq!(
        (&report["is_complete"], &report["differences"]),
        (&false.into(), &Value::Array(Vec::new()))
    );
    rig.unmount();
}

#[test]
fn unlisted_source_is_not_compared() {
    let rig = Rig::mounted(options(Archive::with_pattern_files(&[("a", 90_000)])));
    copy(&rig);
    rig.unmount();
    std::fs::remove_dir_all(rig.directory.path().join("cache")).expect("a cache");
    rig.cloud.inject(Trigger::always(Server::Api).with_effect(Effect::status(503)));
    rig.write_config(&rig.config());
    let output = run(&mut rig.mount_command(), COMMAND_TIMEOUT);
    assert_eq!(rig.entries_in_mount_table(), 1, "{}", text(&output));
    let error = "in the archive: Input/output error (os error 5)";
    assert_differs(&rig, &[], &[line("unreadable", "acme", error)]);
    assert_differs(&rig, &["--ignore-extra"], &[line("unreadable", "acme", error)]);
    rig.unmount();
}

/// A disk that is mounted read-only. Root can write to directories without write permission.
#[test]
fn backup_on_a_read_only_disk_is_compared() {
    let rig = Rig::mounted(options(Archive::with_pattern_files(&[("a", 90_000)])));
    copy(&rig);
    let directory = find(&rig, "acme/2*/*");
    let read_only = |words: &[&str]| {
        const SCRIPT: &str = "mount --bind \"$0\" \"$0\"; mount -o remount,bind,ro \"$0\"; \"$@\"";
        let backup = backup(&rig);
        let backup = backup.to_str().expect("a path");
        let starter = ["unshare", "--mount", "--", "bash", "-ec", SCRIPT, backup];
        run(&mut started_by(&starter, &verify_command(&rig, words)), COMMAND_TIMEOUT)
    };
    let output = read_only(&["--checksum"]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    let output = read_only(&["--checksum", "--write-sums"]);
    assert_eq!(output.status.code(), Some(1), "{}", text(&output));
    let error = "Read-only file system (os error 30)";
    let expected = line("unwritable", &format!("{directory}/SHA256SUMS"), error);
    assert_eq!(differences(&output), [expected], "{}", text(&output));
    rig.unmount();
}

#[test]
fn long_check_shows_progress_on_a_terminal() {
    let rig = Rig::mounted(options(Archive::with_pattern_files(&[("a", 300_000)])));
    copy(&rig);
    remount_without_blocks(&rig);
    let slow = Effect::Bandwidth(60_000);
    rig.cloud.inject(Trigger::always(Server::Media).with_effect(slow));
    let program = env!("CARGO_BIN_EXE_meetfs");
    let [backup, mountpoint] =
        [backup(&rig), rig.mountpoint.clone()].map(|path| path.display().to_string());
    let line = format!("{program} verify --checksum --mount '{mountpoint}' '{backup}'");
    let mut command = Command::new("script");
    command.args(["-qec", &line, "/dev/null"]);
    command.env("XDG_RUNTIME_DIR", rig.directory.path().join("run"));
    let output = run(&mut command, COMMAND_TIMEOUT);
    assert!(output.status.success(), "{}", text(&output));
    let shown = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(shown.contains(" checked, ") && shown.contains(" read"), "{shown}");
    // The summary replaces the progress.
    let last = shown.rsplit('\r').find(|part| !part.trim().is_empty()).expect("a line");
    assert!(last.trim_start().starts_with("compared "), "{shown:?}");
    rig.unmount();
}

#[test]
fn mount_of_the_backup_must_be_clear() {
    let rig = Rig::mounted(options(Archive::with_pattern_files(&[("a", 90_000)])));
    copy(&rig);
    let verify_in = |words: &[&str]| {
        let mut command = rig.meetfs();
        command.arg("verify").args(words).current_dir(rig.directory.path());
        run(&mut isolated(&rig, &command), COMMAND_TIMEOUT)
    };
    for (words, code, message) in [
        (&["backup"][..], 0, "no difference"),
        (&["backup/acme", "--mount", "meetings/acme"], 0, "no difference"),
        (&["backup", "--mount", "meetings/"], 0, "no difference"),
        (&["backup/acme"], 1, "No file of the mount is at its path in the backup"),
        (&["backup", "--mount", "meetings/other"], 1, "does not exist in the mount"),
        (&["backup", "--mount", "run"], 1, "is not in a meetfs mount"),
        (&["backup", "--mount", "missing"], 1, "is not in a meetfs mount"),
        (&["missing"], 2, "cannot search missing for copies"),
        (&["config.toml"], 2, "cannot search config.toml for copies"),
        (&["meetings/acme"], 2, "it is inside the mount"),
    ] {
        let output = verify_in(words);
        assert_eq!(output.status.code(), Some(code), "{words:?}: {}", text(&output));
        assert!(text(&output).contains(message), "{words:?}: {}", text(&output));
    }
    // A file is not a directory of a mount.
    let file = rig.shell("ls -d \"$PWD\"/acme/2*/*/*.mp4");
    let output = verify_in(&["backup", "--mount", file.trim_end()]);
    assert_eq!(output.status.code(), Some(1), "{}", text(&output));
    assert!(text(&output).contains("cannot list "), "{}", text(&output));
    // The directory that contains the mount contains the backup, too.
    in_backup(&rig, "cp -a acme ../acme");
    let output = verify_in(&["."]);
    let found = differences(&output);
    assert!(found.iter().any(|line| line.ends_with("config.toml")), "{found:?}");
    assert!(!found.iter().any(|line| line.contains("meetings/")), "{found:?}");
    rig.unmount();
    let output = verify_in(&["backup"]);
    assert_eq!(output.status.code(), Some(1), "{}", text(&output));
    assert!(text(&output).contains("you have no mounts"), "{}", text(&output));
}
