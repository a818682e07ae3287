//! Faults that affect a whole mount: the provider's API, the cache, the processes and the network.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use jiff::Timestamp;
use meetfs::demo_cloud::{
    Content, Effect, ListedSize, Meeting, MeetingFile, RetryAfter, Server, Trigger,
};

use super::origin::Origin;
use crate::support::processes::{SecondMountpoint, processes_for, signal};
use crate::support::{COMMAND_TIMEOUT, Rig, run, run_with_timeout, text};

/// A mount and the servers of its files.
pub(super) struct Scene<'a> {
    pub(super) rig: &'a Rig,
    pub(super) origins: Vec<&'a Origin>,
}

impl Scene<'_> {
    fn daemon(&self) -> u32 {
        self.rig.daemon().expect("a daemon")
    }

    fn refresh(&self) {
        signal(self.daemon(), "HUP");
    }

    /// Returns the files with cached blocks.
    fn block_files(&self) -> Vec<PathBuf> {
        let directory = self.rig.directory.path().join("cache/blocks");
        let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
        entries.map(|entry| entry.path()).filter(|path| path.is_file()).collect()
    }
}

type Action = dyn Fn(&Scene<'_>) + Send + Sync;

/// What happens to a mount.
pub(super) struct MountFault {
    /// Before the programs start.
    pub(super) begin: Box<Action>,
    /// While the programs run.
    pub(super) during: Box<Action>,
    pub(super) end: Box<Action>,
    /// Whether all files are read before the fault, so that they are in the cache.
    pub(super) needs_cache: bool,
    /// Options of a tmpfs that holds the cache.
    pub(super) tmpfs: Option<&'static str>,
    pub(super) is_passthrough_off: bool,
}

impl Default for MountFault {
    fn default() -> Self {
        Self {
            begin: Box::new(|_| {}),
            during: Box::new(|_| {}),
            end: Box::new(|_| {}),
            needs_cache: false,
            tmpfs: None,
            is_passthrough_off: false,
        }
    }
}

type NamedFault = (String, MountFault);

pub(super) fn all() -> Vec<NamedFault> {
    let mut faults = leases();
    faults.extend(tokens());
    faults.extend(listings());
    faults.extend(entries());
    faults.extend(caches());
    faults.extend(processes());
    faults
}

fn reply(status: u16, content_type: &str, body: &str, headers: &[(&str, &str)]) -> Effect {
    let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    Effect::Status {
        status,
        body: body.into(),
        content_type: content_type.into(),
        headers: headers.collect(),
    }
}

fn json(status: u16, body: &str) -> Effect {
    reply(status, "application/json", body, &[])
}

/// Creates a fault of an API that lasts for all requests to a path.
fn api(server: Server, path: &'static str, effect: Effect, start: fn(&Scene<'_>)) -> MountFault {
    MountFault {
        begin: Box::new(move |scene| {
            let trigger = Trigger::always(server).with_path(path);
            scene.rig.cloud.inject(trigger.with_effect(effect.clone()));
            start(scene);
        }),
        end: Box::new(|scene| {
            scene.rig.cloud.clear_faults();
            scene.refresh();
        }),
        ..MountFault::default()
    }
}

fn interruptions() -> Vec<(&'static str, Effect)> {
    vec![
        ("no reply", Effect::BlackHole),
        ("a stalled body", Effect::Stall { after_bytes: 1 }),
        ("a reset", Effect::Reset { after_bytes: 0 }),
        ("a short body", Effect::ShortBody { missing_bytes: 1 }),
        ("a page", Effect::Html200),
        ("429", Effect::TooManyRequests(RetryAfter::Seconds(1))),
        ("429 for a day", Effect::TooManyRequests(RetryAfter::IsoDate(86_400))),
        ("400", Effect::status(400)),
        ("401", Effect::status(401)),
        ("403", Effect::status(403)),
        ("404", Effect::status(404)),
        ("410", Effect::status(410)),
        ("500", Effect::status(500)),
        ("503", Effect::status(503)),
        ("204", Effect::status(204)),
        ("an expired token", Effect::ExpiredToken),
        ("a reply after 1 s", Effect::Latency(Duration::from_secs(1))),
    ]
}

fn leases() -> Vec<NamedFault> {
    let redirect = |location: &str| {
        let headers = [("location", location)];
        reply(302, "text/html", "", &headers)
    };
    let mut effects = interruptions();
    effects.extend([
        ("59 bytes of JSON", Effect::Json59),
        ("an expired URL", Effect::ExpiredUrl),
        ("a redirect to nothing", redirect("")),
        ("a redirect to a file", redirect("file:///etc/passwd")),
        ("a redirect to another host", redirect("https://192.0.2.1/a")),
        ("a redirect to the metadata service", redirect("http://169.254.169.254/latest/")),
        ("a redirect to a closed port", redirect("http://127.0.0.1:1/")),
        ("a redirect without Location", reply(302, "text/html", "", &[])),
        ("a redirect to itself", redirect("/rec/download/a")),
    ]);
    let named = effects.into_iter().map(|(name, effect)| {
        (format!("download URL: {name}"), api(Server::Web, "", effect, |_| {}))
    });
    named.collect()
}

fn tokens() -> Vec<NamedFault> {
    let mut effects = interruptions();
    effects.extend([
        ("garbage", json(200, "{\"access_token\": ")),
        ("an empty object", json(200, "{}")),
        ("an empty token", json(200, r#"{"access_token":"","expires_in":3600}"#)),
        ("a token of 1 MB", {
            let token = "t".repeat(1_000_000);
            json(200, &format!(r#"{{"access_token":"{token}","expires_in":3600}}"#))
        }),
        ("a token with line breaks", json(200, r#"{"access_token":"a\r\nX: y","expires_in":9}"#)),
        ("an unknown token", json(200, r#"{"access_token":"unknown","expires_in":3600}"#)),
        ("a lifetime of 0", json(200, r#"{"access_token":"unknown","expires_in":0}"#)),
        ("a negative lifetime", json(200, r#"{"access_token":"unknown","expires_in":-5}"#)),
        ("a lifetime of 10^30", json(200, r#"{"access_token":"unknown","expires_in":1e30}"#)),
        (
            "an unknown client",
            json(400, r#"{"reason":"Invalid client_id","error":"invalid_client"}"#),
        ),
    ]);
    let named = effects.into_iter().map(|(name, effect)| {
        let start = |scene: &Scene<'_>| scene.rig.cloud.expire_tokens();
        (format!("token: {name}"), api(Server::Api, "/oauth/token", effect, start))
    });
    named.collect()
}

/// Returns a listing with these meetings.
fn listing(meetings: &str, next: &str) -> Effect {
    json(200, &format!(r#"{{"next_page_token":"{next}","meetings":[{meetings}]}}"#))
}

fn entry(uuid: &str, topic: &str, start: &str, files: &str) -> String {
    format!(
        r#"{{"uuid":"{uuid}","id":9,"topic":"{topic}","start_time":"{start}","duration":30,"recording_files":[{files}]}}"#
    )
}

fn file_entry(id: &str, size: &str) -> String {
    format!(
        r#"{{"id":"{id}","file_type":"MP4","file_size":{size},"status":"completed","recording_type":"gallery_view","recording_start":"2026-11-20T10:00:00Z","recording_end":"2026-11-20T10:30:00Z","download_url":"https://zoom.us/rec/download/{id}"}}"#
    )
}

fn listings() -> Vec<NamedFault> {
    const TIME: &str = "2026-11-20T10:00:00Z";
    let usual = file_entry("f", "100");
    let one = |topic: &str, start: &str| listing(&entry("u==", topic, start, &usual), "");
    let mut effects: Vec<(&str, Effect)> = interruptions();
    effects.extend([
        ("garbage", json(200, "{\"meetings\": [")),
        ("an empty body", json(200, "")),
        ("null", json(200, "null")),
        ("a number", json(200, "5")),
        ("an empty object", json(200, "{}")),
        ("no meetings", listing("", "")),
        ("meetings that are null", json(200, r#"{"meetings":null}"#)),
        ("meetings that are an object", json(200, r#"{"meetings":{"a":1}}"#)),
        ("meetings that are numbers", listing("1,2,3", "")),
        ("100,000 levels", json(200, &"[".repeat(100_000))),
        ("100,000 levels in an entry", {
            listing(&format!("{}{}", "[".repeat(100_000), "]".repeat(100_000)), "")
        }),
        (
            "invalid UTF-8",
            Effect::Json(
                [b"{\"meetings\":[{\"uuid\":\"\xff\xfe\"".as_slice(), b"}]}"].concat().into(),
            ),
        ),
        ("a lone surrogate", one(r"\ud800", TIME)),
        (
            "UTF-16",
            Effect::Json(
                "{\"meetings\":[]}"
                    .encode_utf16()
                    .flat_map(u16::to_le_bytes)
                    .collect::<Vec<_>>()
                    .into(),
            ),
        ),
        ("a topic of slashes", one("../../../etc", TIME)),
        ("a topic with NUL", one(r"a\u0000b", TIME)),
        ("a topic of 100 kB", one(&"\u{e9}".repeat(50_000), TIME)),
        ("year 0", one("year", "0000-01-01T00:00:00Z")),
        ("year 9999", one("year", "9999-12-31T23:59:59Z")),
        ("a negative year", one("year", "-0001-01-01T00:00:00Z")),
        ("an invalid date", one("date", "2026-02-30T25:61:61Z")),
        ("no date", one("date", "")),
        ("the same page token in each page", listing("", "again")),
        ("a page token of 1 MB", listing("", &"t".repeat(1_000_000))),
        ("an invalid page token", Effect::InvalidPageToken),
        ("the same meeting twice", {
            let entry = entry("u==", "Twice", TIME, &usual);
            listing(&format!("{entry},{entry}"), "")
        }),
        (
            "the same file twice",
            listing(&entry("u==", "Twice", TIME, &format!("{usual},{usual}")), ""),
        ),
        ("an empty identifier", listing(&entry("", "Empty", TIME, &file_entry("", "100")), "")),
        (
            "a file of 2^40 bytes",
            listing(&entry("u==", "Huge", TIME, &file_entry("f", "1099511627776")), ""),
        ),
        (
            "a file of 2^63 bytes",
            listing(&entry("u==", "Huge", TIME, &file_entry("f", "9223372036854775808")), ""),
        ),
        (
            "a file of 2^64 bytes",
            listing(&entry("u==", "Huge", TIME, &file_entry("f", "18446744073709551616")), ""),
        ),
        (
            "a file of -1 bytes",
            listing(&entry("u==", "Negative", TIME, &file_entry("f", "-1")), ""),
        ),
        (
            "a file of 1e400 bytes",
            listing(&entry("u==", "Huge", TIME, &file_entry("f", "1e400")), ""),
        ),
        ("an empty file", listing(&entry("u==", "Empty", TIME, &file_entry("f", "0")), "")),
        ("10,000 files in a meeting", {
            let files: Vec<_> =
                (0..10_000).map(|number| file_entry(&format!("f{number}"), "9")).collect();
            listing(&entry("u==", "Many", TIME, &files.join(",")), "")
        }),
    ]);
    let named = effects.into_iter().map(|(name, effect)| {
        let start = |scene: &Scene<'_>| scene.refresh();
        let mut fault = api(Server::Api, "/recordings", effect, start);
        // The refresh replaces the snapshot while the programs read.
        fault.needs_cache = false;
        (format!("listing: {name}"), fault)
    });
    named.collect()
}

/// Meetings that are added to the listed ones.
fn entries() -> Vec<NamedFault> {
    let added = |name: &str, meeting: fn() -> Meeting| {
        let fault = MountFault {
            begin: Box::new(move |scene| {
                scene.rig.cloud.add_meeting(meeting());
                scene.refresh();
            }),
            end: Box::new(move |scene| {
                scene.rig.cloud.remove_meeting(&meeting().uuid);
                scene.refresh();
            }),
            ..MountFault::default()
        };
        (format!("new meeting: {name}"), fault)
    };
    fn meeting(topic: &str, file: MeetingFile) -> Meeting {
        Meeting::new("added000000000==", topic, Timestamp::now()).with_file(file)
    }
    fn video() -> MeetingFile {
        MeetingFile::new("MP4", Content::Pattern { seed: 1, length: 100_000 })
    }
    vec![
        added("with the topic of another one", || meeting("Cell 000", video())),
        added("with 10,000 files", || {
            (0..10_000).fold(meeting("Many", video()), |meeting, _| meeting.with_file(video()))
        }),
        added("with a file of 2^40 bytes", || {
            let content = Content::Pattern { seed: 1, length: 1 << 40 };
            meeting("Huge", MeetingFile::new("MP4", content))
        }),
        added("with a size that is 2^40 too large", || {
            meeting("Wrong", video().with_listed_size(ListedSize::Wrong(1 << 40)))
        }),
        added("with an empty file", || {
            meeting("Empty", MeetingFile::new("MP4", Content::Pattern { seed: 1, length: 0 }))
        }),
        added("with a file without size", || {
            meeting("Absent", video().with_listed_size(ListedSize::Absent))
        }),
    ]
}

/// Damages the cached blocks with `change`, while they are in use.
fn damaged(change: fn(&mut Vec<u8>, usize), is_passthrough_off: bool) -> MountFault {
    MountFault {
        begin: Box::new(move |scene| {
            for (number, path) in scene.block_files().into_iter().enumerate() {
                let Ok(mut bytes) = std::fs::read(&path) else { continue };
                change(&mut bytes, number);
                // In place, because the daemon has the file open.
                let file = std::fs::OpenOptions::new().write(true).open(&path).expect("a file");
                file.set_len(bytes.len() as u64).expect("a length");
                std::os::unix::fs::FileExt::write_all_at(&file, &bytes, 0).expect("a write");
            }
            drop_pages();
        }),
        needs_cache: true,
        is_passthrough_off,
        ..MountFault::default()
    }
}

fn drop_pages() {
    std::fs::write("/proc/sys/vm/drop_caches", "1").expect("root may drop caches");
}

fn caches() -> Vec<NamedFault> {
    let flip = |bytes: &mut Vec<u8>, number: usize| {
        for offset in (number * 100..bytes.len()).step_by(50_000) {
            bytes[offset] ^= 1 << (offset % 8);
        }
    };
    let truncate = |bytes: &mut Vec<u8>, _: usize| bytes.truncate(bytes.len() / 2);
    let empty = |bytes: &mut Vec<u8>, _: usize| bytes.clear();
    let zero = |bytes: &mut Vec<u8>, _: usize| bytes.fill(0);
    let foreign = |bytes: &mut Vec<u8>, number: usize| {
        let length = bytes.len();
        *bytes = (0..length).map(|at| (at * 31 + number) as u8).collect();
    };
    let mut faults = Vec::new();
    for (name, is_off) in [("", false), (", without passthrough", true)] {
        faults.extend([
            (format!("cache: flipped bits{name}"), damaged(flip, is_off)),
            (format!("cache: truncated files{name}"), damaged(truncate, is_off)),
            (format!("cache: empty files{name}"), damaged(empty, is_off)),
            (format!("cache: files of zeros{name}"), damaged(zero, is_off)),
            (format!("cache: files of other bytes{name}"), damaged(foreign, is_off)),
        ]);
    }
    faults.extend([
        (
            "cache: deleted files".into(),
            MountFault {
                begin: Box::new(|scene| {
                    for path in scene.block_files() {
                        std::fs::remove_file(path).expect("a file");
                    }
                    drop_pages();
                }),
                needs_cache: true,
                ..MountFault::default()
            },
        ),
        (
            "cache: deleted directory".into(),
            MountFault {
                begin: Box::new(|scene| {
                    let directory = scene.rig.directory.path().join("cache");
                    std::fs::remove_dir_all(directory).expect("a directory");
                    drop_pages();
                }),
                needs_cache: true,
                ..MountFault::default()
            },
        ),
        (
            "cache: files in each other's place".into(),
            MountFault {
                begin: Box::new(|scene| {
                    let files = scene.block_files();
                    for pair in files.chunks_exact(2) {
                        let aside = pair[0].with_extension("aside");
                        std::fs::rename(&pair[0], &aside).expect("a file");
                        std::fs::rename(&pair[1], &pair[0]).expect("a file");
                        std::fs::rename(&aside, &pair[1]).expect("a file");
                    }
                    drop_pages();
                }),
                needs_cache: true,
                ..MountFault::default()
            },
        ),
        (
            "cache: cleared".into(),
            MountFault {
                during: Box::new(|scene| {
                    let directory = scene.rig.directory.path().join("cache");
                    let mut clear = scene.rig.meetfs();
                    clear.args(["cache", "clear", "--cache-dir"]).arg(directory);
                    // A cache in use is not cleared.
                    run_with_timeout(&mut clear, COMMAND_TIMEOUT).expect("an end");
                }),
                ..MountFault::default()
            },
        ),
        ("cache: full disk".into(), MountFault { tmpfs: Some("size=4m"), ..MountFault::default() }),
        (
            "cache: read-only disk".into(),
            MountFault { tmpfs: Some("size=100m,ro"), ..MountFault::default() },
        ),
        (
            "cache: disk that becomes read-only".into(),
            MountFault {
                tmpfs: Some("size=100m"),
                during: Box::new(|scene| remount_cache(scene, "ro")),
                end: Box::new(|scene| remount_cache(scene, "rw")),
                ..MountFault::default()
            },
        ),
        (
            "cache: disk that fills up".into(),
            MountFault {
                tmpfs: Some("size=24m"),
                begin: Box::new(|scene| {
                    // The write fails when the disk is full.
                    let _ = std::fs::write(filler(scene), vec![1; 30 << 20]);
                }),
                end: Box::new(|scene| {
                    let _ = std::fs::remove_file(filler(scene));
                }),
                ..MountFault::default()
            },
        ),
    ]);
    faults
}

fn filler(scene: &Scene<'_>) -> PathBuf {
    scene.rig.directory.path().join("cache/filler")
}

fn remount_cache(scene: &Scene<'_>, mode: &str) {
    let cache = scene.rig.directory.path().join("cache");
    // It fails as long as the daemon writes.
    let option = format!("remount,{mode}");
    let _ = Command::new("mount").args(["-o", &option]).arg(cache).output();
}

fn processes() -> Vec<NamedFault> {
    let during = |name: &str, during: fn(&Scene<'_>)| {
        let fault = MountFault { during: Box::new(during), ..MountFault::default() };
        (name.to_owned(), fault)
    };
    vec![
        during("process: stopped for 3 s", |scene| {
            let daemon = scene.daemon();
            signal(daemon, "STOP");
            std::thread::sleep(Duration::from_secs(3));
            signal(daemon, "CONT");
        }),
        during("process: stopped again and again", |scene| {
            let daemon = scene.daemon();
            for _ in 0..15 {
                signal(daemon, "STOP");
                std::thread::sleep(Duration::from_millis(100));
                signal(daemon, "CONT");
                std::thread::sleep(Duration::from_millis(100));
            }
        }),
        during("process: 100 refreshes", |scene| {
            for _ in 0..100 {
                scene.refresh();
                std::thread::sleep(Duration::from_millis(20));
            }
        }),
        during("process: second daemon", |scene| {
            let second = SecondMountpoint::create(scene.rig);
            let output = run(&mut second.mount_command(scene.rig), COMMAND_TIMEOUT);
            assert_eq!(output.status.code(), Some(4), "{}", text(&output));
        }),
        (
            "process: killed".into(),
            MountFault {
                during: Box::new(|scene| {
                    std::thread::sleep(Duration::from_millis(300));
                    signal(scene.daemon(), "KILL");
                }),
                end: Box::new(|scene| {
                    let mountpoint = &scene.rig.mountpoint;
                    assert!(processes_for(mountpoint).is_empty());
                    let _ = Command::new("umount").arg("-l").arg(mountpoint).output();
                    scene.rig.mount();
                }),
                ..MountFault::default()
            },
        ),
        during("process: kernel caches dropped", |_| {
            for _ in 0..30 {
                std::fs::write("/proc/sys/vm/drop_caches", "3").expect("root may drop caches");
                std::thread::sleep(Duration::from_millis(50));
            }
        }),
        during("network: cut for 1 s", |scene| {
            scene.origins.iter().for_each(|origin| origin.silence());
            std::thread::sleep(Duration::from_secs(1));
            scene.origins.iter().for_each(|origin| origin.resume());
        }),
        during("network: cut for 5 s", |scene| {
            scene.origins.iter().for_each(|origin| origin.silence());
            std::thread::sleep(Duration::from_secs(5));
            scene.origins.iter().for_each(|origin| origin.resume());
        }),
        during("tokens and URLs expire each 100 ms", |scene| {
            for _ in 0..30 {
                scene.rig.cloud.expire_tokens();
                scene.rig.cloud.expire_signed_urls();
                std::thread::sleep(Duration::from_millis(100));
            }
        }),
    ]
}
