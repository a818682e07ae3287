//! Copies of the demo archive, made by common programs.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use crate::support::{COMMAND_TIMEOUT, Rig, run, text, wait_for_recycle_bin};
use meetfs::demo_cloud::{Archive, DemoCloudOptions};

fn demo() -> DemoCloudOptions {
    DemoCloudOptions { archive: Archive::demo(), ..DemoCloudOptions::default() }
}

fn mounted_demo() -> Rig {
    let rig = Rig::mounted(demo());
    wait_for_recycle_bin(&rig.mountpoint);
    rig
}

#[test]
fn copied_archive_equals_every_object() {
    let rig = mounted_demo();
    let copy = rig.directory.path().join("copy");
    rig.shell(&format!("cp -r acme '{}'", copy.display()));
    let copied: BTreeSet<String> = rig.hashes(&copy).into_values().collect();
    let objects = rig.cloud.objects();
    assert!(objects.len() > 30, "{}", objects.len());
    for object in objects {
        assert!(copied.contains(&object.sha256()), "{object:?} was not copied");
    }
}

#[test]
fn second_rsync_copies_nothing() {
    let rig = mounted_demo();
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
fn mp4_files_probe_and_decode() {
    let rig = mounted_demo();
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
fn mpv_finds_the_transcript_of_a_video() {
    let rig = mounted_demo();
    let view = "\"$(find . -name 'shared_screen_with_speaker_view.mp4' | sort | head -n 1)\"";
    let output = rig
        .shell(&format!("mpv --no-config --vo=null --ao=null --start=50% --length=1 {view} 2>&1"));
    assert!(output.contains("shared_screen_with_speaker_view.vtt"), "{output}");
}

#[test]
fn writes_fail_as_read_only() {
    let rig = mounted_demo();
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
        let output = rig.try_shell(&format!("LC_ALL=C {line} 2>&1"), COMMAND_TIMEOUT);
        let message = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(!output.status.success(), "{line}");
        assert!(message.contains("Read-only file system"), "{line}: {message}");
    }
}

#[test]
fn df_and_xattrs_describe_the_archive() {
    let rig = mounted_demo();
    let total: u64 = rig
        .shell("find . -type f -printf '%s\\n'")
        .lines()
        .map(|line| line.parse::<u64>().expect("a size"))
        .sum();
    let shown: u64 =
        rig.shell("df -B1 --output=size . | tail -n 1").trim().parse().expect("a size");
    assert!(shown >= total && shown < total + 4096, "{shown} for {total}");
    // Only files that expire have the time of expiry as an extended attribute.
    let attributes = rig.shell("getfattr -d -m - -R . 2>&1");
    let is_expected =
        |line: &&str| ["# file: ", "user.meetfs."].iter().any(|it| line.starts_with(it));
    let other: Vec<_> =
        attributes.lines().filter(|line| !line.is_empty() && !is_expected(line)).collect();
    assert_eq!(other, Vec::<&str>::new(), "{attributes}");
    let expiring = attributes.split("\n\n").filter(|file| file.contains("user.meetfs.expires="));
    let expiring = expiring.filter_map(|file| file.lines().next()?.strip_prefix("# file: "));
    assert!(expiring.clone().count() > 5, "{attributes}");
    assert!(
        expiring.into_iter().all(|path| path.contains("Kick-off") || path.contains("/trash/")),
        "{attributes}"
    );
    assert_eq!(rig.log().lines().filter(|line| line.contains("Not Implemented")).count(), 0);
}

#[test]
fn concurrent_readers_fetch_each_byte_once() {
    const LENGTH: u64 = 64 * 1024 * 1024;
    let archive = Archive::with_pattern_files(&[("big", LENGTH)]);
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
fn first_read_fetches_one_block_after_confirmation() {
    let archive = Archive::with_pattern_files(&[("big", 64 * 1024 * 1024)]);
    let rig = Rig::mounted(DemoCloudOptions { archive, ..DemoCloudOptions::default() });
    rig.cloud.clear_requests();
    rig.shell("head -c 65536 \"$(find . -name '*.mp4')\" | wc -c");
    let requests = rig.media_requests();
    let lengths: Vec<u64> = requests.iter().map(|request| request.body_bytes).collect();
    let Some((1, block)) = lengths.split_first() else { panic!("{requests:?}") };
    let fetched: u64 = block.iter().sum();
    assert!((65_536..=1024 * 1024).contains(&fetched) && block.len() <= 4, "{requests:?}");
}

#[test]
fn debug_log_names_the_request_behind_a_fetch() {
    let archive = Archive::with_pattern_files(&[("big", 4 * 1024 * 1024)]);
    let rig = Rig::mounted(DemoCloudOptions { archive, ..DemoCloudOptions::default() });
    rig.shell("head -c 65536 \"$(find . -name '*.mp4')\" | wc -c");
    let log = rig.log();
    for step in ["fetch started", "range request", "range reply"] {
        let is_traced = |line: &str| {
            let parts = ["request{id=", "operation=\"read\"", "path_hash=", "pid=", "fetch{", step];
            parts.iter().all(|part| line.contains(part))
        };
        assert!(log.lines().any(is_traced), "{step}:\n{log}");
    }
}

#[test]
fn wrong_listed_size_is_corrected_permanently() {
    let rig = mounted_demo();
    let directory = "\"$(find . -type d -name '*Provider lists a wrong size')\"";
    let copy = rig.directory.path().join("copy");
    rig.shell(&format!("cp -r {directory} '{}'", copy.display()));
    let expected: BTreeSet<String> =
        rig.cloud.objects().into_iter().map(|object| object.sha256()).collect();
    let copied = rig.hashes(&copy);
    let is_generated =
        |path: &str| path.ends_with("/meeting.json") || path.ends_with("/participants.csv");
    for (path, hash) in copied.iter().filter(|(path, _)| !is_generated(path)) {
        assert!(expected.contains(hash), "{path}");
    }
    assert!(copied.len() >= 3, "{copied:?}");
    let sizes = format!("cd {directory} && stat -c '%n %s %Y %i' *");
    let before = rig.shell(&sizes);
    rig.unmount();
    rig.mount();
    assert_eq!(rig.shell(&sizes), before);
}

#[test]
fn demo_shows_true_sizes_despite_a_wrong_list() {
    let rig = Rig::new(demo());
    let mut mount = rig.meetfs();
    mount.args(["mount", "--demo", "--log-file"]).arg(rig.log_path()).arg(&rig.mountpoint);
    let output = run(&mut mount, COMMAND_TIMEOUT);
    assert!(output.status.success(), "{}", text(&output));
    let files = "find . -path '*Provider lists a wrong size/*' -type f";
    let sizes = rig.shell(&format!("{files} -printf '%P %s\\n' | sort"));
    let providers: BTreeSet<_> = sizes.lines().filter_map(|line| line.split('/').next()).collect();
    assert_eq!(providers, BTreeSet::from(["rapatin", "webex", "zoom"]));
    let read = format!(
        "{files} -printf '%P\\n' | sort | while IFS= read -r f; do echo \"$f $(cat \"$f\" | wc -c)\"; done"
    );
    assert_eq!(rig.shell(&read), sizes);
    rig.unmount();
}

#[test]
fn required_tools_are_installed() {
    for tool in [
        "rsync", "ffprobe", "ffmpeg", "mpv", "getfattr", "setfattr", "borg", "restic", "nginx",
        "updatedb", "plocate",
    ] {
        assert!(
            run(std::process::Command::new("which").arg(tool), COMMAND_TIMEOUT).status.success(),
            "install {tool}"
        );
    }
}

#[test]
fn bandwidth_limit_slows_copies_down() {
    const LENGTH: u64 = 12 * 1024 * 1024;
    const RATE: u64 = 4 * 1024 * 1024;
    let limit = "bandwidth_limit = \"4MiB\"";
    let options = || DemoCloudOptions {
        archive: Archive::with_pattern_files(&[("one", LENGTH), ("other", LENGTH)]),
        ..DemoCloudOptions::default()
    };
    std::thread::scope(|scope| {
        for rig in [Rig::new(options()).with(limit), Rig::new(options()).with_source(limit)] {
            scope.spawn(move || {
                rig.mount();
                let start = Instant::now();
                let hashes = rig
                    .shell("find . -name '*.mp4' -print0 | xargs -0 -P 2 -I FILE sha256sum FILE");
                let least = Duration::from_secs_f64((2 * LENGTH) as f64 / RATE as f64) * 3 / 4;
                assert!(start.elapsed() > least, "both copies took {:?}", start.elapsed());
                for object in rig.cloud.objects() {
                    assert!(hashes.contains(&object.sha256()), "{hashes}");
                }
            });
        }
    });
}
