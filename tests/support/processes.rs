//! Processes of the tests: commands that run next to the test, and checks that nothing is left
//! afterwards.

// Each test binary uses a part of this module.
#![allow(dead_code, missing_docs, unreachable_pub)]
// A helper that fails fails its test.
#![allow(clippy::expect_used, clippy::indexing_slicing)]

use std::io::Read;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::support::{COMMAND_TIMEOUT, Rig, meetfs, run, started_by, text, wait_until};

/// Timeout for a killed process to exit.
const KILL_TIMEOUT: Duration = Duration::from_secs(5);

/// Timeout for reading the output of a process that has exited.
const OUTPUT_TIMEOUT: Duration = Duration::from_secs(2);

/// A command that runs next to the test, in its own process group. Dropping it kills the group.
pub struct RunningCommand {
    child: Child,
    output: Arc<Mutex<String>>,
    readers: Vec<JoinHandle<()>>,
    status: Option<ExitStatus>,
}

impl RunningCommand {
    pub fn start(command: &mut Command) -> Self {
        let mut command = with_default_signals(command);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
        let mut child = command.spawn().expect("a command that starts");
        let output = Arc::new(Mutex::new(String::new()));
        let mut readers = Vec::new();
        for stream in [
            child.stdout.take().map(|stream| Box::new(stream) as Box<dyn Read + Send>),
            child.stderr.take().map(|stream| Box::new(stream) as Box<dyn Read + Send>),
        ] {
            let output = output.clone();
            readers.push(std::thread::spawn(move || {
                let Some(mut stream) = stream else { return };
                let mut bytes = [0; 4096];
                while let Ok(length @ 1..) = stream.read(&mut bytes) {
                    let text = String::from_utf8_lossy(&bytes[..length]).into_owned();
                    output.lock().expect("no panic while it is held").push_str(&text);
                }
            }));
        }
        Self { child, output, readers, status: None }
    }

    /// Starts a shell line in the mountpoint.
    pub fn shell(rig: &Rig, line: &str) -> Self {
        Self::start(Command::new("bash").args(["-c", line]).current_dir(&rig.mountpoint))
    }

    /// Starts a shell line outside of the mountpoint, which is `$M`.
    pub fn outside(rig: &Rig, line: &str) -> Self {
        Self::start(
            Command::new("bash").args(["-c", line]).env("M", &rig.mountpoint).current_dir("/"),
        )
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Returns the output so far, of both streams.
    pub fn output(&self) -> String {
        self.output.lock().expect("no panic while it is held").clone()
    }

    pub fn is_running(&mut self) -> bool {
        if self.status.is_none() {
            self.status = self.child.try_wait().expect("a status");
        }
        self.status.is_none()
    }

    /// Waits until the command works in a directory of this name.
    pub fn wait_until_inside(&self, directory: &str) {
        let link = format!("/proc/{}/cwd", self.id());
        wait_until(KILL_TIMEOUT, "the command works in the directory", || {
            std::fs::read_link(&link).is_ok_and(|cwd| cwd.ends_with(directory))
        });
    }

    /// Waits until the program of the process has this name, after the shell's `exec`.
    pub fn wait_for_program(&self, name: &str) {
        let path = format!("/proc/{}/comm", self.id());
        wait_until(KILL_TIMEOUT, "the program runs", || {
            std::fs::read_to_string(&path).is_ok_and(|comm| comm.trim() == name)
        });
    }

    /// Returns whether the process waits in a system call.
    pub fn is_sleeping(&self) -> bool {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.id())).unwrap_or_default();
        let state = stat.rsplit(") ").next().and_then(|fields| fields.chars().next());
        matches!(state, Some('S' | 'D'))
    }

    /// Sends a signal, by name as in `INT`.
    pub fn signal(&self, name: &str) {
        signal(self.id(), name);
    }

    /// Sends a signal to the command and its children, as a terminal does.
    pub fn signal_group(&self, name: &str) {
        let sent = Command::new("kill")
            .args([&format!("-{name}"), "--", &format!("-{}", self.id())])
            .status();
        assert!(sent.expect("kill").success());
    }

    /// Waits for the exit and until the whole output is in [`output`](Self::output). Returns the
    /// status and how long it took; fails the test on timeout.
    pub fn end(&mut self, timeout: Duration) -> (ExitStatus, Duration) {
        let started = Instant::now();
        while self.is_running() {
            assert!(started.elapsed() < timeout, "no end timeout {timeout:?}: {}", self.output());
            std::thread::sleep(Duration::from_millis(5));
        }
        let took = started.elapsed();
        // A child that is left may hold the streams open for longer.
        let deadline = Instant::now() + OUTPUT_TIMEOUT;
        while Instant::now() < deadline && self.readers.iter().any(|reader| !reader.is_finished()) {
            std::thread::sleep(Duration::from_millis(1));
        }
        (self.status.expect("a status after the exit"), took)
    }
}

impl Drop for RunningCommand {
    fn drop(&mut self) {
        let group = format!("-{}", self.id());
        // It may have exited.
        let _ = Command::new("kill").args(["-9", "--", &group]).stderr(Stdio::null()).status();
        // Its files are closed only after the exit. A process that hangs in a mount exits with it.
        let started = Instant::now();
        while self.child.try_wait().is_ok_and(|status| status.is_none())
            && started.elapsed() < KILL_TIMEOUT
        {
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

/// Returns the same command with default signal handlers. Tests that run in the background of a
/// shell inherit that SIGINT is ignored, and commands would inherit it from them.
fn with_default_signals(command: &Command) -> Command {
    started_by(&["env", "--default-signal=INT,QUIT"], command)
}

pub fn signal(process: u32, name: &str) {
    let sent = Command::new("kill").args([&format!("-{name}"), &process.to_string()]).status();
    assert!(sent.expect("kill").success(), "{name} to {process}");
}

/// Stops a process, and waits until none of its threads runs: they stop one after the other.
pub fn stop(process: u32) {
    signal(process, "STOP");
    wait_until(KILL_TIMEOUT, "all threads are stopped", || {
        thread_states(process).iter().all(|state| *state == 'T')
    });
}

/// Kills a process, and waits until none of its threads runs.
pub fn kill_process(process: u32) {
    signal(process, "KILL");
    wait_until(KILL_TIMEOUT, "all threads have ended", || {
        thread_states(process).iter().all(|state| matches!(state, 'Z' | 'X'))
    });
}

/// Returns the states of the threads of a process; none if it does not exist.
fn thread_states(process: u32) -> Vec<char> {
    let threads = std::fs::read_dir(format!("/proc/{process}/task")).into_iter().flatten();
    let stats = threads.flatten().map(|thread| std::fs::read_to_string(thread.path().join("stat")));
    let state = |stat: String| stat.rsplit(") ").next().and_then(|fields| fields.chars().next());
    stats.flatten().filter_map(state).collect()
}

/// Runs `meetfs mount -f` with the configuration of the rig and waits for the mount.
pub fn mount_in_foreground(rig: &Rig) -> RunningCommand {
    rig.write_config(&rig.config());
    let running = RunningCommand::start(rig.mount_command().arg("--foreground"));
    wait_until(Duration::from_secs(30), "the mount is in the mount table", || {
        rig.entries_in_mount_table() == 1
    });
    running
}

/// Returns the process ids of every meetfs process of this mountpoint.
pub fn processes_for(mountpoint: &Path) -> Vec<u32> {
    let expected = mountpoint.as_os_str().as_encoded_bytes();
    let entries = std::fs::read_dir("/proc").expect("/proc").flatten();
    entries
        .filter_map(|entry| {
            let id: u32 = entry.file_name().to_str()?.parse().ok()?;
            let line = std::fs::read(entry.path().join("cmdline")).ok()?;
            let mut words = line.split(|byte| *byte == 0);
            let program = words.next()?;
            (program.ends_with(b"meetfs") && words.any(|word| word == expected)).then_some(id)
        })
        .collect()
}

/// Asserts that nothing is mounted and no process is left.
pub fn assert_nothing_left(rig: &Rig, timeout: Duration) {
    wait_until(timeout, "every process has exited", || processes_for(&rig.mountpoint).is_empty());
    assert_eq!(rig.entries_in_mount_table(), 0, "{}", rig.log());
}

pub fn unmount_command(path: impl AsRef<std::ffi::OsStr>) -> Command {
    let mut command = meetfs();
    command.arg("unmount").arg(path);
    command
}

/// Drops the names of the mount that the kernel has cached, so that the next lookup reaches the
/// daemon. A remount does that (fs/super.c, `reconfigure_super`). `/proc/sys/vm/drop_caches` would
/// drop the caches of all file systems, and every program of every test would wait for the disk.
pub fn drop_name_cache(rig: &Rig) {
    let mut remount = Command::new("mount");
    remount.args(["--internal-only", "--options", "remount,ro"]).arg(&rig.mountpoint);
    let output = run(&mut remount, COMMAND_TIMEOUT);
    assert!(output.status.success(), "{}", text(&output));
}

/// Drops the pages of the videos that the kernel has cached (posix_fadvise(2)).
pub fn drop_pages(rig: &Rig) {
    rig.shell("find . -name '*.mp4' -exec dd if={} iflag=nocache count=0 status=none \\;");
}

/// A second mountpoint next to the rig's. Dropping it unmounts it and kills its processes.
pub struct SecondMountpoint(pub std::path::PathBuf);

impl SecondMountpoint {
    pub fn create(rig: &Rig) -> Self {
        let path = rig.directory.path().join("second");
        std::fs::create_dir(&path).expect("a mountpoint");
        Self(path)
    }

    /// Returns `meetfs mount` with the configuration file of the rig.
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
