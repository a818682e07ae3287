//! The commands `meetfs cache status` and `meetfs cache clear`.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

use bytes::Bytes;
use meetfs::cache::BlockIndex;
use meetfs::cache::disk::{DiskCache, DiskKey, DiskOptions};
use meetfs::model::{FileId, FileKey, MeetingId, SourceName, Version};

fn meetfs(directory: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_meetfs"));
    command.arg("cache").args(arguments).arg("--cache-dir").arg(directory);
    command.env("XDG_CONFIG_HOME", directory).output().unwrap()
}

fn status(directory: &Path) -> serde_json::Value {
    let output = meetfs(directory, &["status", "--json"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn cache_in_use_is_shown_but_not_cleared() {
    let directory = tempfile::tempdir().unwrap();
    assert_eq!(status(directory.path())["used"], 0);
    let options = DiskOptions {
        directory: directory.path().join("blocks"),
        limit: 10 << 20,
        free_floor: Some(0),
        queue_limit: 1 << 20,
    };
    let cache = DiskCache::open(options).unwrap();
    let id = FileId {
        source: SourceName::new("acme").unwrap(),
        meeting: MeetingId::from("meeting"),
        key: FileKey::from("file"),
    };
    let key = DiskKey::new(&id, Version(1), 5, "");
    cache.store(key, BlockIndex(0), Bytes::from_static(b"hello"));
    assert!(cache.flush(Duration::from_secs(10)));
    let own = std::process::id();
    let shown = status(directory.path());
    assert_eq!(shown["blocks"], 1);
    assert_eq!(shown["in_use"], true);
    assert_eq!(shown["pid"], own);
    let rejected = meetfs(directory.path(), &["clear"]);
    assert_eq!(rejected.status.code(), Some(4), "{rejected:?}");
    let message = String::from_utf8(rejected.stderr).unwrap();
    assert!(message.contains(&format!("process {own}")), "{message}");
    assert!(cache.may_contain(key, BlockIndex(0)));
    drop(cache);
    let cleared = meetfs(directory.path(), &["clear"]);
    assert_eq!(cleared.status.code(), Some(0), "{cleared:?}");
    assert!(String::from_utf8(cleared.stdout).unwrap().contains("1 file"));
    assert_eq!(status(directory.path())["blocks"], 0);
}

#[test]
fn missing_directory_is_not_cleared() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("file");
    std::fs::write(&file, "").unwrap();
    for wrong in [directory.path().join("nope"), file] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_meetfs"));
        let command = command.args(["cache", "clear", "--cache-dir"]).arg(&wrong);
        let output = command.env("XDG_CONFIG_HOME", directory.path()).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        assert_eq!(output.stdout, b"");
        let message = String::from_utf8(output.stderr).unwrap();
        let expected = format!("error: cannot clear the cache {}: ", wrong.display());
        assert!(message.starts_with(&expected) && message.contains("\nhint: "), "{message}");
    }
    // Nothing has been downloaded into the directory of the configuration yet.
    let mut command = Command::new(env!("CARGO_BIN_EXE_meetfs"));
    let command = command.args(["cache", "clear"]).env("XDG_CONFIG_HOME", directory.path());
    let output = command.env("XDG_CACHE_HOME", directory.path()).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
}

#[test]
fn unusable_directory_is_refused_by_every_command() {
    let directory = tempfile::tempdir().unwrap();
    let [exposed, foreign, file] =
        ["exposed", "foreign", "file"].map(|name| directory.path().join(name));
    for path in [&exposed, &foreign] {
        std::fs::create_dir(path).unwrap();
    }
    std::fs::set_permissions(&exposed, std::fs::Permissions::from_mode(0o777)).unwrap();
    std::os::unix::fs::chown(&foreign, Some(65534), Some(65534)).unwrap();
    std::fs::write(&file, "").unwrap();
    for (path, code, expected) in [
        (&exposed, 3, "error: other users can write to the cache directory"),
        (&foreign, 3, "belongs to another user (uid 65534)"),
        (&file, 2, ": Not a directory"),
    ] {
        for command in [&["status"][..], &["clear"]] {
            let mut words = Command::new(env!("CARGO_BIN_EXE_meetfs"));
            words.arg("cache").args(command).arg("--cache-dir").arg(path);
            let output = words.env("XDG_CONFIG_HOME", directory.path()).output().unwrap();
            assert_eq!(output.status.code(), Some(code), "{command:?}: {output:?}");
            assert_eq!(output.stdout, b"", "{output:?}");
            let message = String::from_utf8(output.stderr).unwrap();
            assert!(message.contains(expected) && message.contains("\nhint: "), "{message}");
        }
    }
    // A mount refuses the same directories with the same exit codes.
    let mountpoint = directory.path().join("m");
    std::fs::create_dir(&mountpoint).unwrap();
    for path in [&exposed, &foreign] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_meetfs"));
        command.args(["mount", "--demo", "--cache-dir"]).arg(path).arg(&mountpoint);
        let output = command.env("XDG_STATE_HOME", directory.path()).output().unwrap();
        assert_eq!(output.status.code(), Some(3), "{output:?}");
    }
}

#[test]
fn status_shows_directory_and_blocks() {
    let directory = tempfile::tempdir().unwrap();
    let output = meetfs(directory.path(), &["status"]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains(&directory.path().join("blocks").display().to_string()), "{text}");
    assert!(text.contains("0 blocks of 0 files") && text.contains("not in use"), "{text}");
}

#[test]
fn free_space_is_shown_before_the_directory_exists() {
    let directory = tempfile::tempdir().unwrap();
    let missing = directory.path().join("not/yet");
    let free = status(&missing)["free"].as_u64().unwrap();
    assert!(free > 0 && !directory.path().join("not").exists());
    let text = String::from_utf8(meetfs(&missing, &["status"]).stdout).unwrap();
    assert!(text.contains("B on its file system") && !text.contains("unknown"), "{text}");
}
