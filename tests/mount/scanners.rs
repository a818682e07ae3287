//! Indexers and thumbnailers: what they fetch, and that they do not disturb other readers.

use std::collections::BTreeMap;
use std::os::unix::fs::symlink;
use std::path::PathBuf;

use meetfs::demo_cloud::{Archive, DemoCloudOptions};

use crate::support::processes::{RunningCommand, drop_pages};
use crate::support::videos::long_video;
use crate::support::{COMMAND_TIMEOUT, Rig, isolated, run, text};

const MIB: u64 = 1 << 20;

/// The default of `scanner_limit`.
const LIMIT: u64 = 3 * MIB / 2;

/// Length of a video of an hour.
const VIDEO_LENGTH: u64 = 300_000_000;

fn options(archive: Archive) -> DemoCloudOptions {
    DemoCloudOptions { archive, ..DemoCloudOptions::default() }
}

/// An archive of videos whose index is at the end.
fn videos(number: usize) -> DemoCloudOptions {
    let content = long_video(number_from("MEETFS_SCANNED_SECONDS", 60), VIDEO_LENGTH);
    let names: Vec<String> = (0..number).map(|number| format!("Video {number}")).collect();
    let names: Vec<(&str, u64)> = names.iter().map(|name| (name.as_str(), 0)).collect();
    let mut archive = Archive::with_pattern_files(&names);
    for meeting in &mut archive.meetings {
        for file in &mut meeting.files {
            file.content = content.clone();
        }
    }
    options(archive)
}

/// Returns the number in an environment variable, with which a longer test can be run.
fn number_from(variable: &str, default: u32) -> u32 {
    std::env::var(variable).map_or(default, |value| value.parse().expect("a number"))
}

/// Returns the largest number of bytes that were fetched of one file.
fn max_bytes_per_file(rig: &Rig) -> u64 {
    let mut bytes: BTreeMap<String, u64> = BTreeMap::new();
    for request in rig.media_requests() {
        *bytes.entry(request.path).or_default() += request.body_bytes;
    }
    bytes.into_values().max().unwrap_or_default()
}

/// Returns a program that reads a file like cat(1) and counts as a scanner.
fn scanner_program(rig: &Rig) -> PathBuf {
    let path = rig.directory.path().join("tumblerd");
    symlink("/bin/cat", &path).expect("a link");
    path
}

#[test]
fn scanners_fetch_under_two_megabytes_a_video() {
    let count = number_from("MEETFS_SCANNED_VIDEOS", 8) as usize;
    let rig = Rig::mounted(videos(count));
    rig.cloud.clear_requests();
    let mut bytes_before = 0;
    let mut end_stage = |name: &str| {
        let bytes = rig.media_bytes();
        eprintln!("{name}: {} bytes a video", (bytes - bytes_before) / count as u64);
        bytes_before = bytes;
    };
    let updatedb = "updatedb --database-root \"$PWD\" --output ../database --prunefs '' \
                    --prunepaths '' --require-visibility no";
    rig.shell(updatedb);
    assert_eq!(rig.media_bytes(), 0, "{:?}", rig.media_requests());
    end_stage("updatedb");
    let types = rig.shell("file --brief acme/*/*/*.mp4");
    assert_eq!(types.matches("ISO Media, MP4").count(), count, "{types}");
    end_stage("file");
    let probe = "for f in acme/*/*/*.mp4; do \
                 ffprobe -v error -show_entries stream=codec_name -of csv=p=0 \"$f\"; done";
    let streams = rig.shell(probe);
    assert_eq!(streams.matches("h264").count(), count, "{streams}");
    assert_eq!(streams.matches("aac").count(), count, "{streams}");
    end_stage("ffprobe");
    rig.shell(
        "for f in acme/*/*/*.mp4; do \
         ffmpegthumbnailer -i \"$f\" -o ../thumbnail.png -s 128 && \
         file --brief ../thumbnail.png && rm ../thumbnail.png || exit 1; done",
    );
    end_stage("ffmpegthumbnailer");
    let max_bytes = max_bytes_per_file(&rig);
    eprintln!("{max_bytes} bytes of the video of which most was fetched");
    assert!(max_bytes < 2_000_000, "{max_bytes}");

    let scanners = &rig.status()["scanners"];
    assert_eq!(scanners["limit"], LIMIT);
    let programs = scanners["programs"].as_array().expect("a list");
    let names: Vec<_> = programs.iter().map(|program| program["program"].clone()).collect();
    assert_eq!(names, ["ffmpegthumbnailer", "file"], "{scanners}");
    for program in programs {
        let bytes = program["fetched_bytes"].as_u64().expect("a number");
        assert!((1..=count as u64 * LIMIT).contains(&bytes), "{scanners}");
    }
}

#[test]
fn status_and_metrics_show_scanners() {
    let archive = Archive::with_pattern_files(&[("film", 24 * MIB)]);
    let rig = Rig::mounted(options(archive));
    let line = format!("'{}' acme/*/*/*.mp4 > /dev/null", scanner_program(&rig).display());
    assert!(!rig.try_shell(&line, COMMAND_TIMEOUT).status.success());
    let program = serde_json::json!({
        "program": "tumblerd", "fetched_bytes": LIMIT, "refused_reads": 1,
    });
    assert_eq!(rig.status()["scanners"]["programs"], serde_json::json!([program]));
    let status = |words: &[&str]| {
        text(&run(&mut isolated(&rig, rig.meetfs().arg("status").args(words)), COMMAND_TIMEOUT))
    };
    assert!(status(&[]).contains("\n  scanner tumblerd: 1.5 MiB fetched, "), "{}", status(&[]));
    let metrics = status(&["--prometheus"]);
    assert!(metrics.contains("\nmeetfs_scanner_refused_reads_total 1\n"), "{metrics}");
    assert!(!metrics.contains("tumblerd"), "{metrics}");
    assert_eq!(rig.log().matches("Set `scanner_limit`").count(), 1, "{}", rig.log());
}

#[test]
fn read_ahead_requests_name_their_reader() {
    let rig = Rig::mounted(options(Archive::with_pattern_files(&[("film", 64 * MIB)])));
    let small_reads = "exec dd if=\"$(echo acme/*/*/*.mp4)\" bs=4096 count=64 of=/dev/null";
    let mapped_reads = "exec python3 -c 'import glob, mmap; \
                        f = open(glob.glob(\"acme/*/*/*.mp4\")[0], \"rb\"); \
                        m = mmap.mmap(f.fileno(), 0, prot=mmap.PROT_READ); \
                        [m[i] for i in range(32 << 20, 33 << 20, 4096)]'";
    for line in [small_reads, mapped_reads] {
        let log_length = rig.log().len();
        let mut reader = RunningCommand::shell(&rig, line);
        let (status, _) = reader.end(COMMAND_TIMEOUT);
        assert!(status.success(), "{}", reader.output());
        let log = rig.log().split_off(log_length);
        let reads: Vec<&str> =
            log.lines().filter(|line| line.contains("the bytes are not in memory")).collect();
        let sizes = reads.iter().filter_map(|line| {
            line.split_once(" size=")?.1.split_whitespace().next()?.parse::<u64>().ok()
        });
        assert!(sizes.max() > Some(4096), "no read-ahead: {reads:?}\n{log}");
        let pid = format!("pid={}}}", reader.id());
        assert!(reads.iter().all(|line| line.contains(&pid)), "{pid}: {reads:?}");
    }
}

#[test]
fn copy_beside_scanners_is_exact() {
    let archive = Archive::with_pattern_files(&[("film", 24 * MIB)]);
    let rig = Rig::new(options(archive)).with_cache("disk = \"off\"\nmemory = \"8MiB\"");
    rig.mount();
    let expected = rig.cloud.objects().first().expect("an object").sha256();
    // They start at different offsets, so that pages that failed for them are everywhere in the
    // file.
    let scanner = scanner_program(&rig);
    let scan = |offset: u64| {
        let line = format!(
            "while :; do (dd bs=1M skip={offset} count=0 status=none; exec '{}' > /dev/null) \
             < \"$(echo acme/*/*/*.mp4)\"; done 2> /dev/null",
            scanner.display()
        );
        RunningCommand::shell(&rig, &line)
    };
    let scanners = [0, 5, 11, 17].map(scan);
    for _ in 0..10 {
        drop_pages(&rig);
        let copy = rig.shell("cp acme/*/*/*.mp4 ../copy && sha256sum < ../copy");
        assert!(copy.starts_with(&expected), "{copy}\n{}", rig.log());
    }
    drop(scanners);
    let programs = &rig.status()["scanners"]["programs"];
    let refused = programs[0]["refused_reads"].as_u64().expect("a number");
    eprintln!("{refused} reads of scanners were refused");
    assert!(refused > 10, "{programs}");
}

/// A scanner opens files with direct I/O, but a private mapping of the file fills the pages that
/// all readers share.
#[test]
fn mapping_of_a_scanner_leaves_copies_exact() {
    let archive = Archive::with_pattern_files(&[("film", 24 * MIB)]);
    let rig = Rig::mounted(options(archive));
    let expected = rig.cloud.objects().first().expect("an object").sha256();
    let map = "import glob, mmap, os; \
        open(\"/proc/self/comm\", \"w\").write(\"tumblerd\"); \
        fd = os.open(glob.glob(\"acme/*/*/*.mp4\")[0], os.O_RDONLY); \
        m = mmap.mmap(fd, 0, flags=mmap.MAP_PRIVATE, prot=mmap.PROT_READ); \
        print(sum(m[i] for i in range(0, 1 << 20, 4096)), len(os.read(fd, 1 << 20)))";
    let mapped = rig.shell(&format!("python3 -c '{map}'"));
    let direct_length = mapped.split_whitespace().nth(1);
    assert_eq!(direct_length, Some("1048576"), "its bytes are cached: {mapped}");
    assert!(rig.status()["scanners"]["programs"][0]["fetched_bytes"].as_u64() > Some(0));
    assert_eq!(rig.shell("stat -c %s acme/*/*/*.mp4").trim(), (24 * MIB).to_string());
    let copy = rig.shell("cp acme/*/*/*.mp4 ../copy && sha256sum < ../copy");
    assert!(copy.starts_with(&expected), "{copy}\n{}", rig.log());
}

#[test]
fn cached_file_is_readable_for_scanners() {
    let archive = Archive::with_pattern_files(&[("film", 24 * MIB)]);
    let rig = Rig::mounted(options(archive));
    let scanner = scanner_program(&rig);
    let line = format!("'{}' acme/*/*/*.mp4 | wc -c", scanner.display());
    let output = rig.try_shell(&line, COMMAND_TIMEOUT);
    let read = String::from_utf8_lossy(&output.stdout).trim().parse::<u64>().expect("a number");
    assert_eq!(read, LIMIT, "{}", text(&output));
    assert!(text(&output).contains("Permission denied"), "{}", text(&output));
    assert!(rig.media_bytes() < 2 * MIB, "{}", rig.media_bytes());

    rig.shell("cat acme/*/*/*.mp4 > /dev/null");
    rig.cloud.clear_requests();
    for _ in 0..2 {
        assert_eq!(rig.shell(&line).trim(), (24 * MIB).to_string());
        drop_pages(&rig);
    }
    assert_eq!(rig.media_bytes(), 0);
}

#[test]
fn scanner_limit_can_be_turned_off() {
    let archive = Archive::with_pattern_files(&[("film", 24 * MIB)]);
    let rig = Rig::new(options(archive)).with("scanner_limit = \"off\"");
    rig.mount();
    let line = format!("'{}' acme/*/*/*.mp4 | wc -c", scanner_program(&rig).display());
    assert_eq!(rig.shell(&line).trim(), (24 * MIB).to_string());
    assert!(rig.status()["scanners"].is_null());
}
