//! The loss of the network in the middle of a copy, and the suspension of the machine.

use std::process::Command;
use std::time::Duration;

use meetfs::demo_cloud::{Archive, DemoCloudOptions};
use nix::sched::CloneFlags;

use crate::support::processes::RunningCommand;
use crate::support::{COMMAND_TIMEOUT, Rig, run, wait_until};

const LENGTH: u64 = 48_000_000;
const CUT: Duration = Duration::from_secs(10);

/// A rig in a network of its own: neither other tests nor the machine are affected if it is cut.
struct CutRig {
    rig: Rig,
}

impl CutRig {
    /// Mounts one film on a server with 500 kB/s for each connection. The threads of the demo
    /// server and the daemon inherit the network of the calling thread.
    fn mounted() -> Self {
        nix::sched::unshare(CloneFlags::CLONE_NEWNET)
            .expect("a network namespace, which needs root");
        set_network("up");
        let rig = Rig::mounted(DemoCloudOptions {
            archive: Archive::with_pattern_files(&[("film", LENGTH)]),
            bytes_per_second: Some(500_000),
            ..DemoCloudOptions::default()
        });
        Self { rig }
    }

    /// Starts to hash the film. Returns when a part of it has been transferred.
    fn start_hashing(&self) -> RunningCommand {
        self.rig.cloud.clear_requests();
        let reader = RunningCommand::outside(&self.rig, "exec sha256sum \"$M\"/acme/*/*/*.mp4");
        wait_until(COMMAND_TIMEOUT, "a part of the film is transferred", || {
            self.rig.media_bytes() > 4_000_000
        });
        assert!(self.rig.media_bytes() < LENGTH / 2, "the copy is in progress");
        reader
    }

    fn assert_exact(&self, mut reader: RunningCommand) {
        reader.end(COMMAND_TIMEOUT);
        let expected = self.rig.cloud.objects().first().expect("an object").sha256();
        let output = reader.output();
        assert!(output.starts_with(&expected), "{output}\n{}", self.rig.log());
    }
}

/// Sets the only interface of the network "up" or "down".
fn set_network(state: &str) {
    let output = run(Command::new("ip").args(["link", "set", "lo", state]), COMMAND_TIMEOUT);
    assert!(output.status.success(), "{output:?}");
}

#[test]
fn copy_continues_after_a_network_cut() {
    let setup = CutRig::mounted();
    let reader = setup.start_hashing();
    set_network("down");
    std::thread::sleep(CUT);
    set_network("up");
    setup.assert_exact(reader);
    // No program had to read the film again, and little was transferred twice.
    assert!(setup.rig.media_bytes() < LENGTH + LENGTH / 4, "{} bytes", setup.rig.media_bytes());
}

#[test]
fn listing_continues_after_a_network_cut() {
    let setup = CutRig::mounted();
    set_network("down");
    let refresh = |rig: &Rig| {
        run(rig.meetfs().arg("refresh").arg(&rig.mountpoint), COMMAND_TIMEOUT).status.success()
    };
    assert!(!refresh(&setup.rig), "no network");
    assert_eq!(
        setup.rig.shell("ls acme/*/*/*.mp4 | wc -l").trim(),
        "1",
        "the last listing is shown"
    );
    set_network("up");
    assert!(refresh(&setup.rig), "{}", setup.rig.log());
}

#[test]
fn copy_continues_after_a_suspension() {
    let setup = CutRig::mounted();
    let reader = setup.start_hashing();
    let daemon = setup.rig.daemon().expect("a daemon").to_string();
    let signal = |name: &str| {
        assert!(run(Command::new("kill").args([name, &daemon]), COMMAND_TIMEOUT).status.success());
    };
    signal("-STOP");
    // The connections end while the daemon does not run, as during the sleep of a laptop.
    let output = run(Command::new("ss").args(["-K", "dst", "127.0.0.1"]), COMMAND_TIMEOUT);
    std::thread::sleep(CUT);
    signal("-CONT");
    assert!(output.status.success(), "{output:?}");
    setup.assert_exact(reader);
}
