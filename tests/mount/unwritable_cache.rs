//! A cache directory on a full or read-only disk does not keep a mount from serving.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::{COMMAND_TIMEOUT, Rig, run, text};
use meetfs::demo_cloud::{Archive, DemoCloudOptions, Effect, Server, Trigger};

const MIB: u64 = 1024 * 1024;

/// A rig whose cache directory is a separate tmpfs.
struct CacheDisk {
    rig: Rig,
    cache: PathBuf,
}

impl CacheDisk {
    fn mounted_with(options: &str) -> Self {
        let rig = Rig::new(DemoCloudOptions {
            archive: Archive::with_pattern_files(&[("film", 3 * MIB), ("second", MIB)]),
            ..DemoCloudOptions::default()
        });
        let cache = rig.directory.path().join("cache");
        std::fs::create_dir(&cache).expect("a directory");
        let disk = Self { rig, cache };
        disk.mount_command(&["-t", "tmpfs", "-o", &format!("mode=0700,{options}"), "scratch"]);
        disk
    }

    fn mount_command(&self, arguments: &[&str]) {
        let output = run(Command::new("mount").args(arguments).arg(&self.cache), COMMAND_TIMEOUT);
        assert!(output.status.success(), "{}", text(&output));
    }

    /// Mounts meetfs and returns the output of the command.
    fn mount(&self) -> String {
        self.rig.write_config(&self.rig.config());
        let output = run(&mut self.rig.mount_command(), COMMAND_TIMEOUT);
        assert!(output.status.success(), "{}\n{}", text(&output), self.rig.log());
        text(&output)
    }

    fn assert_copies_are_exact(&self) {
        let copies = self.rig.directory.path().join("copies");
        let _ = std::fs::remove_dir_all(&copies);
        self.rig.shell(&format!("mkdir '{0}' && cp --parents */*/*/*.mp4 '{0}'", copies.display()));
        let mut actual: Vec<_> = self.rig.hashes(&copies).into_values().collect();
        let mut expected: Vec<_> =
            self.rig.cloud.objects().iter().map(|object| object.sha256()).collect();
        actual.sort();
        expected.sort();
        assert_eq!(actual, expected);
    }

    fn warnings(message: &str) -> usize {
        message.lines().filter(|line| line.starts_with("warning:")).count()
    }
}

impl Drop for CacheDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(&self.cache).status();
    }
}

fn assert_unwritable(disk: &CacheDisk, cause: &str) {
    let message = disk.mount();
    assert_eq!(CacheDisk::warnings(&message), 1, "{message}");
    assert!(message.contains("cannot write to the cache"), "{message}");
    assert!(message.contains(cause) && message.contains("--cache-dir"), "{message}");
    disk.assert_copies_are_exact();
    let status = disk.rig.status();
    assert!(status["disk"].is_null(), "{status}");
    assert!(status["cache_error"].to_string().contains(cause), "{status}");
    disk.rig.unmount();
}

fn fill(directory: &Path) {
    let line =
        format!("dd if=/dev/zero of='{}/filler' bs=4k 2>/dev/null; true", directory.display());
    run(Command::new("sh").args(["-c", &line]), COMMAND_TIMEOUT);
}

#[test]
fn full_cache_disk_does_not_prevent_the_mount() {
    let disk = CacheDisk::mounted_with("size=64k");
    fill(&disk.cache);
    assert_unwritable(&disk, "No space left on device");
}

#[test]
fn read_only_cache_disk_does_not_prevent_the_mount() {
    let disk = CacheDisk::mounted_with("size=1m,ro");
    assert_unwritable(&disk, "Read-only file system");
}

#[test]
fn stored_listing_is_used_on_a_read_only_disk() {
    let disk = CacheDisk::mounted_with("size=64m");
    assert_eq!(CacheDisk::warnings(&disk.mount()), 0);
    disk.rig.unmount();
    disk.mount_command(&["-o", "remount,ro"]);
    for server in [Server::Api, Server::Web] {
        disk.rig.cloud.inject(Trigger::always(server).with_effect(Effect::BlackHole));
    }
    let message = disk.mount();
    assert_eq!(CacheDisk::warnings(&message), 1, "{message}");
    assert_eq!(disk.rig.shell("ls */*/*/*.mp4 | wc -l").trim(), "2");
    disk.rig.unmount();
}
