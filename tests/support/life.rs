//! For tests of a mount's life: processes that are watched while they run, and what must be gone afterwards.

// Each test binary uses a part of it.
#![allow(dead_code, missing_docs, unreachable_pub)]
// A helper that cannot go on fails its test.
#![allow(clippy::expect_used, clippy::indexing_slicing)]

use std::io::Read;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::support::{Rig, meetfs, through, wait_until};

/// How long a killed process is waited for.
const GONE_TIMEOUT: Duration = Duration::from_secs(5);

/// How long what an ended process has printed may take to be read.
const HEARD_TIMEOUT: Duration = Duration::from_secs(2);

/// A command that runs beside the test, in a process group of its own. Killed with its children when dropped.
pub struct RunningCommand {
    child: Child,
    said: Arc<Mutex<String>>,
    listeners: Vec<JoinHandle<()>>,
    ended: Option<ExitStatus>,
}

impl RunningCommand {
    pub fn start(command: &mut Command) -> Self {
        let mut command = heeding_interrupts(command);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
        let mut child = command.spawn().expect("a command that starts");
        let said = Arc::new(Mutex::new(String::new()));
        let mut listeners = Vec::new();
        for stream in [
            child.stdout.take().map(|stream| Box::new(stream) as Box<dyn Read + Send>),
            child.stderr.take().map(|stream| Box::new(stream) as Box<dyn Read + Send>),
        ] {
            let said = said.clone();
            listeners.push(std::thread::spawn(move || {
                let Some(mut stream) = stream else { return };
                let mut bytes = [0; 4096];
                while let Ok(length @ 1..) = stream.read(&mut bytes) {
                    let text = String::from_utf8_lossy(&bytes[..length]).into_owned();
                    said.lock().expect("no panic while it is held").push_str(&text);
                }
            }));
        }
        Self { child, said, listeners, ended: None }
    }

    /// A shell line in the mountpoint.
    pub fn shell(rig: &Rig, line: &str) -> Self {
        Self::start(Command::new("bash").args(["-c", line]).current_dir(&rig.mountpoint))
    }

    /// A shell line that does not live in the mountpoint, which it finds in `$M`.
    pub fn outside(rig: &Rig, line: &str) -> Self {
        Self::start(
            Command::new("bash").args(["-c", line]).env("M", &rig.mountpoint).current_dir("/"),
        )
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// What it has printed so far, on both streams.
    pub fn output(&self) -> String {
        self.said.lock().expect("no panic while it is held").clone()
    }

    pub fn is_running(&mut self) -> bool {
        if self.ended.is_none() {
            self.ended = self.child.try_wait().expect("a status");
        }
        self.ended.is_none()
    }

    /// Sends it a signal, by name as in `INT`.
    pub fn signal(&self, name: &str) {
        signal(self.id(), name);
    }

    /// Sends a signal to it and its children, as a terminal does.
    pub fn signal_group(&self, name: &str) {
        let sent = Command::new("kill")
            .args([&format!("-{name}"), "--", &format!("-{}", self.id())])
            .status();
        assert!(sent.expect("kill").success());
    }

    /// Waits for its end, and until all that it printed is in [`output`](Self::output); fails the test when it takes
    /// longer. Says how it ended and how long that took.
    pub fn end(&mut self, within: Duration) -> (ExitStatus, Duration) {
        let started = Instant::now();
        while self.is_running() {
            assert!(started.elapsed() < within, "no end within {within:?}: {}", self.output());
            std::thread::sleep(Duration::from_millis(5));
        }
        let took = started.elapsed();
        // A child that it left behind may hold its streams open for longer.
        let all_heard = Instant::now() + HEARD_TIMEOUT;
        while Instant::now() < all_heard
            && self.listeners.iter().any(|listener| !listener.is_finished())
        {
            std::thread::sleep(Duration::from_millis(1));
        }
        (self.ended.expect("an ended process has a status"), took)
    }
}

impl Drop for RunningCommand {
    fn drop(&mut self) {
        let group = format!("-{}", self.id());
        let _gone = Command::new("kill").args(["-9", "--", &group]).stderr(Stdio::null()).status();
        // What it held is free only once it is gone; one that hangs in a mount goes when the mount does.
        let started = Instant::now();
        while self.child.try_wait().is_ok_and(|status| status.is_none())
            && started.elapsed() < GONE_TIMEOUT
        {
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

/// The same command, which an interrupt ends. Tests that run in the background of a shell inherit from it that
/// interrupts are ignored, and would hand that on.
fn heeding_interrupts(command: &Command) -> Command {
    through(&["env", "--default-signal=INT,QUIT"], command)
}

pub fn signal(process: u32, name: &str) {
    let sent = Command::new("kill").args([&format!("-{name}"), &process.to_string()]).status();
    assert!(sent.expect("kill").success(), "{name} to {process}");
}

/// `meetfs mount -f` on the rig's configuration, mounted when this returns.
pub fn foreground(rig: &Rig) -> RunningCommand {
    rig.write_config(&rig.config());
    let running = RunningCommand::start(rig.mount_command().arg("--foreground"));
    wait_until(Duration::from_secs(30), "the mount is in the mount table", || {
        rig.entries_in_mount_table() == 1
    });
    running
}

/// Process ids of every meetfs that was started for this mountpoint, however.
pub fn processes_for(mountpoint: &Path) -> Vec<u32> {
    let wanted = mountpoint.as_os_str().as_encoded_bytes();
    let entries = std::fs::read_dir("/proc").expect("/proc").flatten();
    entries
        .filter_map(|entry| {
            let id: u32 = entry.file_name().to_str()?.parse().ok()?;
            let line = std::fs::read(entry.path().join("cmdline")).ok()?;
            let mut words = line.split(|byte| *byte == 0);
            let program = words.next()?;
            (program.ends_with(b"meetfs") && words.any(|word| word == wanted)).then_some(id)
        })
        .collect()
}

/// Asserts that nothing is mounted and no process is left.
pub fn assert_nothing_left(rig: &Rig, within: Duration) {
    wait_until(within, "every process is gone", || processes_for(&rig.mountpoint).is_empty());
    assert_eq!(rig.entries_in_mount_table(), 0, "{}", rig.log());
}

/// `meetfs unmount` of any path.
pub fn unmount_command(path: impl AsRef<std::ffi::OsStr>) -> Command {
    let mut command = meetfs();
    command.arg("unmount").arg(path);
    command
}

/// Drops the kernel's names and attributes, so that the next look asks the daemon.
pub fn forget_names() {
    std::fs::write("/proc/sys/vm/drop_caches", "2").expect("root may drop caches");
}

/// A second mountpoint beside the rig's, freed of mounts and processes at the end of the test.
pub struct SecondMountpoint(pub std::path::PathBuf);

impl SecondMountpoint {
    pub fn of(rig: &Rig) -> Self {
        let path = rig.directory.path().join("second");
        std::fs::create_dir(&path).expect("a mountpoint");
        Self(path)
    }

    /// `meetfs mount` of the rig's configuration as it stands in the file.
    pub fn mount_command(&self, rig: &Rig) -> Command {
        let mut command = meetfs();
        command
            .args(["mount", "--config"])
            .arg(rig.config_path())
            .arg("--log-file")
            .arg(rig.log_path());
        command.arg(&self.0);
        command
    }
}

impl Drop for SecondMountpoint {
    fn drop(&mut self) {
        let quietly = |command: &mut Command| {
            command.stderr(Stdio::null()).status().is_ok_and(|s| s.success())
        };
        quietly(Command::new("umount").arg("-l").arg(&self.0));
        for process in processes_for(&self.0) {
            quietly(Command::new("kill").args(["-9", &process.to_string()]));
        }
    }
}
