//! Copies of the demo archive, by the programs people use.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::support::{Rig, SOON, run};
use meetfs::demo_cloud::{Archive, DemoCloudOptions};

fn demo() -> DemoCloudOptions {
    DemoCloudOptions { archive: Archive::demo(), ..DemoCloudOptions::default() }
}

#[test]
fn a_copy_of_the_whole_archive_has_every_object_to_the_byte() {
    let rig = Rig::mounted(demo());
    let copy = rig.directory.path().join("copy");
    rig.shell(&format!("cp -r acme '{}'", copy.display()));
    let copied: BTreeSet<String> = rig.hashes(&copy).into_values().collect();
    let objects = rig.cloud.objects();
    assert!(objects.len() > 30, "{}", objects.len());
    for object in objects {
        assert!(copied.contains(&object.sha256()), "{object:?} is in no copy");
    }
}

#[test]
fn a_second_rsync_copies_nothing_and_reads_no_media_byte_also_after_a_remount() {
    let rig = Rig::mounted(demo());
    let backup = rig.directory.path().join("backup");
    let rsync = format!("rsync -a --itemize-changes acme/ '{}/'", backup.display());
    assert!(rig.shell(&rsync).lines().count() > 60);
    rig.cloud.clear_requests();
    assert_eq!(rig.shell(&rsync), "");
    assert!(rig.media_requests().is_empty(), "{:?}", rig.media_requests());
    rig.unmount();
    rig.mount();
    rig.cloud.clear_requests();
    assert_eq!(rig.shell(&rsync), "");
    assert!(rig.media_requests().is_empty(), "{:?}", rig.media_requests());
}

#[test]
fn both_kinds_of_mp4_probe_and_decode_whole() {
    let rig = Rig::mounted(demo());
    let videos = rig.shell("find . -name '*.mp4'");
    assert!(videos.lines().count() > 10);
    for name in ["*speaker_view.mp4", "gallery_view.mp4"] {
        let first = format!("\"$(find . -name '{name}' | sort | head -n 1)\"");
        let streams = rig.shell(&format!(
            "ffprobe -v error -show_entries stream=codec_name -of csv=p=0 {first}"
        ));
        assert_eq!(streams.split_whitespace().collect::<Vec<_>>(), ["h264", "aac"], "{name}");
        assert_eq!(rig.shell(&format!("ffmpeg -v error -xerror -i {first} -f null - 2>&1")), "");
    }
}

#[test]
fn mpv_plays_from_the_middle_and_finds_the_transcript_by_itself() {
    let rig = Rig::mounted(demo());
    let view = "\"$(find . -name 'shared_screen_with_speaker_view.mp4' | sort | head -n 1)\"";
    let said = rig
        .shell(&format!("mpv --no-config --vo=null --ao=null --start=50% --length=1 {view} 2>&1"));
    assert!(said.contains("shared_screen_with_speaker_view.vtt"), "{said}");
}

#[test]
fn writing_anything_is_refused_as_read_only() {
    let rig = Rig::mounted(demo());
    let file = "\"$(find . -name chat.txt | head -n 1)\"";
    for line in [
        "touch new".to_owned(),
        "mkdir new".to_owned(),
        format!("rm -f {file}"),
        format!("mv {file} elsewhere"),
        format!("sh -c 'echo more >> \"$0\"' {file}"),
        format!("truncate -s 0 {file}"),
        format!("chmod 777 {file}"),
        format!("ln -s x {file}.link"),
        format!("setfattr -n user.a -v b {file}"),
    ] {
        let output = rig.try_shell(&format!("LC_ALL=C {line} 2>&1"), SOON);
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(!output.status.success(), "{line}");
        assert!(said.contains("Read-only file system"), "{line}: {said}");
    }
}

#[test]
fn df_shows_the_archive_and_xattr_calls_are_answered_quietly() {
    let rig = Rig::mounted(demo());
    let total: u64 = rig
        .shell("find . -type f -printf '%s\\n'")
        .lines()
        .map(|line| line.parse::<u64>().expect("a size"))
        .sum();
    let shown: u64 =
        rig.shell("df -B1 --output=size . | tail -n 1").trim().parse().expect("a size");
    assert!(shown >= total && shown < total + 4096, "{shown} for {total}");
    // What will be deleted says when, and nothing else has an attribute.
    let told = rig.shell("getfattr -d -m - -R . 2>&1");
    let is_known =
        |line: &&str| ["# file: ", "user.meetfs.expires="].iter().any(|it| line.starts_with(it));
    let other: Vec<_> = told.lines().filter(|line| !line.is_empty() && !is_known(line)).collect();
    assert_eq!(other, Vec::<&str>::new(), "{told}");
    let ends = told.lines().filter_map(|line| line.strip_prefix("# file: "));
    assert!(ends.clone().count() > 5, "{told}");
    assert!(
        ends.into_iter().all(|path| path.contains("Kick-off") || path.contains("/trash/")),
        "{told}"
    );
    assert_eq!(rig.log().lines().filter(|line| line.contains("Not Implemented")).count(), 0);
}

#[test]
fn thirty_two_readers_of_one_file_cost_the_origin_its_bytes_once() {
    const LENGTH: u64 = 64 * 1024 * 1024;
    let archive = Archive::pattern(&[("big", LENGTH)]);
    let rig = Rig::mounted(DemoCloudOptions { archive, ..DemoCloudOptions::default() });
    let hash = rig.cloud.objects().into_iter().next().expect("an object").sha256();
    let line =
        "f=\"$(find . -name '*.mp4')\"; for i in $(seq 32); do sha256sum < \"$f\" & done; wait";
    let output = rig.try_shell(line, Duration::from_secs(180));
    let hashes = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(hashes.lines().filter(|line| line.starts_with(&hash)).count(), 32, "{hashes}");
    let fetched = rig.media_bytes();
    assert!(fetched <= LENGTH + LENGTH / 20, "{fetched} bytes for {LENGTH}");
}

#[test]
fn the_first_read_of_a_file_is_one_media_request() {
    let archive = Archive::pattern(&[("big", 64 * 1024 * 1024)]);
    let rig = Rig::mounted(DemoCloudOptions { archive, ..DemoCloudOptions::default() });
    rig.cloud.clear_requests();
    rig.shell("head -c 65536 \"$(find . -name '*.mp4')\" | wc -c");
    assert_eq!(rig.media_requests().len(), 1, "{:?}", rig.media_requests());
}

#[test]
fn a_listed_size_that_is_wrong_is_right_in_the_first_copy_and_for_good() {
    let rig = Rig::mounted(demo());
    let directory = "\"$(find . -type d -name '*Listed size is wrong')\"";
    let copy = rig.directory.path().join("copy");
    rig.shell(&format!("cp -r {directory} '{}'", copy.display()));
    let truth: BTreeSet<String> =
        rig.cloud.objects().into_iter().map(|object| object.sha256()).collect();
    let copied = rig.hashes(&copy);
    let made_here =
        |path: &str| path.ends_with("/meeting.json") || path.ends_with("/participants.csv");
    for (path, hash) in copied.iter().filter(|(path, _)| !made_here(path)) {
        assert!(truth.contains(hash), "{path}");
    }
    assert!(copied.len() >= 3, "{copied:?}");
    let sizes = format!("cd {directory} && stat -c '%n %s %Y %i' *");
    let before = rig.shell(&sizes);
    rig.unmount();
    rig.mount();
    assert_eq!(rig.shell(&sizes), before);
}

#[test]
fn the_tools_the_tests_need_are_there() {
    for tool in ["rsync", "ffprobe", "ffmpeg", "mpv", "getfattr", "setfattr"] {
        assert!(
            run(std::process::Command::new("which").arg(tool), SOON).status.success(),
            "install {tool}"
        );
    }
}
