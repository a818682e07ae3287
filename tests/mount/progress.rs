//! Commands that take longer than two seconds show their progress on a terminal, and only there.

use std::process::Command;
use std::time::Duration;

use bytes::Bytes;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, ToSpan};
use meetfs::cache::BlockIndex;
use meetfs::cache::disk::{DiskCache, DiskKey, DiskOptions};
use meetfs::demo_cloud::{Archive, Content, DemoCloudOptions, Meeting, MeetingFile};
use meetfs::model::{FileId, FileKey, MeetingId, SourceName, Version};

use crate::frozen_disk::FreezableDisk;
use crate::support::processes::{RunningCommand, drop_pages};
use crate::support::{COMMAND_TIMEOUT, Rig, run, started_by, text, wait_until};

/// Runs a command on a terminal, and prints what the terminal receives.
const TERMINAL: &str = "
import os, pty, sys
child, terminal = pty.fork()
if child == 0: os.execvp(sys.argv[1], sys.argv[1:])
while True:
    try: part = os.read(terminal, 65536)
    except OSError: break
    if not part: break
    sys.stdout.buffer.write(part)
    sys.stdout.flush()
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
";

/// Time after which a command on a terminal has shown progress.
const PROGRESS_TIMEOUT: Duration = Duration::from_secs(4);

fn on_terminal(command: &Command) -> Command {
    started_by(&["python3", "-c", TERMINAL], command)
}

/// The bytes of the file arrive at 1 MiB per second, and the caches are too small for it.
#[test]
fn comparison_shows_progress_on_a_terminal() {
    const LENGTH: u64 = 14 << 20;
    let start = Timestamp::now() - SignedDuration::from_hours(30);
    let video = MeetingFile::new("MP4", Content::Pattern { seed: 1, length: LENGTH });
    let mut meeting = Meeting::new("soon==", "soon", start).with_file(video);
    let today = TimeZone::UTC.to_datetime(Timestamp::now()).date();
    meeting.auto_delete_date = Some(today.saturating_add(2.days()));
    let mut archive = Archive::empty();
    archive.meetings.push(meeting);
    let rig = Rig::new(DemoCloudOptions { archive, ..DemoCloudOptions::default() })
        .with("bandwidth_limit = \"1MiB\"")
        .with_cache("disk = \"off\"\nmemory = \"8MiB\"");
    rig.mount();
    let path = rig.shell("echo acme/*/*soon/*.mp4");
    let backup = rig.directory.path().join("backup");
    let copy = backup.join(path.trim());
    std::fs::create_dir_all(copy.parent().expect("a directory")).expect("a directory");
    let file = std::fs::File::create(&copy).expect("a copy");
    file.set_len(LENGTH).expect("the length of the original");
    let mut command = rig.meetfs();
    command.args(["expiring", "--checksum", "--not-in"]).arg(&backup).arg(&rig.mountpoint);

    let output = run(&mut on_terminal(&command), COMMAND_TIMEOUT);
    assert_eq!(output.status.code(), Some(1), "{}", text(&output));
    let received = String::from_utf8_lossy(&output.stdout).into_owned();
    let updates = received.matches("comparing with copies: 0 of 1 files, ").count();
    assert!(updates >= 2, "{received:?}");
    let shown_at_the_end = received.rsplit('\r').find(|line| !line.trim().is_empty());
    assert!(shown_at_the_end.is_some_and(|line| line.contains(path.trim())), "{received:?}");

    drop_pages(&rig);
    let output = run(&mut command, COMMAND_TIMEOUT);
    assert_eq!(output.status.code(), Some(1), "{}", text(&output));
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    rig.unmount();
}

/// Removing a file from a frozen disk waits until the disk is thawed.
#[test]
fn clearing_shows_progress_on_a_terminal() {
    let rig = Rig::new(DemoCloudOptions::default());
    let disk = FreezableDisk::new(&rig);
    let directory = disk.mountpoint.join("cache");
    let mut command = crate::support::meetfs();
    command.args(["cache", "clear", "--cache-dir"]).arg(&directory);
    command.env("XDG_CONFIG_HOME", rig.directory.path());
    for is_terminal in [true, false] {
        store_block(&directory);
        disk.freeze();
        let mut clear =
            if is_terminal { on_terminal(&command) } else { started_by(&["env"], &command) };
        let mut clear = RunningCommand::start(&mut clear);
        if is_terminal {
            wait_until(COMMAND_TIMEOUT, "progress is shown", || {
                clear.output().contains("clearing the cache: 0 files removed so far (0 B)")
            });
        } else {
            std::thread::sleep(PROGRESS_TIMEOUT);
        }
        assert!(clear.is_running(), "{}", clear.output());
        disk.thaw();
        let (status, _) = clear.end(COMMAND_TIMEOUT);
        assert!(status.success(), "{}", clear.output());
        let output = clear.output();
        assert!(output.contains("removed the blocks of 1 file ("), "{output:?}");
        assert_eq!(output.contains("clearing"), is_terminal, "{output:?}");
    }
}

/// Stores a block in a cache directory.
fn store_block(directory: &std::path::Path) {
    let options = DiskOptions {
        directory: directory.join("blocks"),
        limit: 10 << 20,
        free_floor: Some(0),
        queue_limit: 1 << 20,
    };
    let cache = DiskCache::open(options).expect("a cache");
    let id = FileId {
        source: SourceName::new("acme").expect("a name"),
        meeting: MeetingId::from("meeting"),
        key: FileKey::from("file"),
    };
    let key = DiskKey::new(&id, Version(1), 5, "");
    cache.store(key, BlockIndex(0), Bytes::from_static(b"hello"));
    assert!(cache.flush(Duration::from_secs(10)));
}
