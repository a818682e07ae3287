//! Reads do not wait for a disk that stops answering.

use std::path::PathBuf;
use std::process::Command;

use crate::support::{COMMAND_TIMEOUT, Rig, run, text};
use meetfs::demo_cloud::{Archive, DemoCloudOptions};

const MIB: u64 = 1024 * 1024;

/// A file system that can be frozen. Every write to a frozen file system waits (fsfreeze(8)).
pub(crate) struct FreezableDisk {
    pub(crate) mountpoint: PathBuf,
}

impl FreezableDisk {
    pub(crate) fn new(rig: &Rig) -> Self {
        let image = rig.directory.path().join("image");
        let mountpoint = rig.directory.path().join("disk");
        std::fs::File::create(&image).and_then(|file| file.set_len(512 * MIB)).expect("an image");
        std::fs::create_dir(&mountpoint).expect("a directory");
        let disk = Self { mountpoint };
        run_tool(Command::new("mkfs.ext4").args(["-q", "-F"]).arg(&image));
        run_tool(Command::new("mount").args(["-o", "loop"]).arg(&image).arg(&disk.mountpoint));
        disk
    }

    pub(crate) fn freeze(&self) {
        run_tool(Command::new("fsfreeze").arg("--freeze").arg(&self.mountpoint));
    }

    pub(crate) fn thaw(&self) {
        run_tool(Command::new("fsfreeze").arg("--unfreeze").arg(&self.mountpoint));
    }
}

impl Drop for FreezableDisk {
    fn drop(&mut self) {
        // Programs that wait for a frozen disk cannot be killed.
        let _ = Command::new("fsfreeze").arg("--unfreeze").arg(&self.mountpoint).output();
        let _ = Command::new("umount").arg("--lazy").arg(&self.mountpoint).status();
    }
}

fn run_tool(command: &mut Command) {
    let output = run(command, COMMAND_TIMEOUT);
    assert!(output.status.success(), "{}", text(&output));
}

#[test]
fn reads_do_not_wait_for_frozen_disk() {
    let rig = Rig::new(DemoCloudOptions {
        archive: Archive::with_pattern_files(&[
            ("first", 3 * MIB),
            ("second", 150 * MIB),
            ("third", MIB),
        ]),
        ..DemoCloudOptions::default()
    });
    let disk = FreezableDisk::new(&rig);
    let cache = format!("dir = \"{}\"", rig.directory.path().join("cache").display());
    let frozen_cache = format!("dir = \"{}\"", disk.mountpoint.join("cache").display());
    rig.write_config(&rig.config().replace(&cache, &frozen_cache));
    let log = disk.mountpoint.join("log");
    let mut command = rig.meetfs();
    command.args(["mount", "--log-level", "debug", "--memory", "64MiB", "--config"]);
    command.arg(rig.config_path()).arg("--log-file").arg(&log).arg(&rig.mountpoint);
    run_tool(&mut command);
    let read_log = || std::fs::read_to_string(&log).unwrap_or_default();
    let copy = |name: &str| {
        let sum = rig.try_shell(&format!("sha256sum < */*/*{name}/*.mp4"), COMMAND_TIMEOUT);
        let object = rig.cloud.objects().into_iter().find(|object| object.topic == name);
        let hash = object.expect("an object").sha256();
        assert!(text(&sum).contains(&hash), "{name}: {}", text(&sum));
    };
    copy("first");
    disk.freeze();
    copy("second");
    copy("third");
    copy("first");
    let status = rig.status();
    assert_eq!(status["sources"][0]["name"], "acme", "{status}");
    disk.thaw();
    rig.unmount();
    // The log continues after the disk is thawed.
    assert!(read_log().contains("unmounting"), "{}", read_log());
}
