//! Fixtures of the black-box tests: a demo server, the real binary mounted on it, and commands that
//! cannot hang.
//!
//! The test process never touches the mount, since a hung file system would block it. `cp`,
//! `rsync`, `sh` and players do, as child processes under a watchdog that aborts the mount and
//! kills them.

// Each test binary uses a part of it.
#![allow(dead_code, missing_docs, unreachable_pub)]
// A fixture that fails ends its test.
#![allow(clippy::expect_used, clippy::panic)]

pub mod documents;
pub mod leases;
pub mod processes;
pub mod rapatin;
pub mod relay;
pub mod videos;
pub mod webex;
pub mod zoom;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Read;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use meetfs::demo_cloud::{DemoCloud, DemoCloudOptions, Request, Server};
use socket2::{Domain, Socket, Type};
use tempfile::TempDir;

/// Timeout of commands that have no reason to take long. On two busy processors, the first listing
/// of a large archive takes a minute.
pub const COMMAND_TIMEOUT: Duration = Duration::from_secs(120);

/// A demo server, a configuration for it, and a mountpoint.
pub struct Rig {
    pub cloud: DemoCloud,
    pub directory: TempDir,
    pub mountpoint: PathBuf,
    /// Additional lines for the top of the configuration, for `[cache]` and for `[source.acme]`.
    top: String,
    cache: String,
    source: String,
}

impl Rig {
    /// Creates a rig without a mount.
    pub fn new(options: DemoCloudOptions) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let mountpoint = directory.path().join("meetings");
        std::fs::create_dir(&mountpoint).expect("a mountpoint");
        let cloud = DemoCloud::start(options).expect("a cloud");
        Self {
            cloud,
            directory,
            mountpoint,
            top: String::new(),
            cache: String::new(),
            source: String::new(),
        }
    }

    /// Creates a rig and mounts it with the default configuration.
    pub fn mounted(options: DemoCloudOptions) -> Self {
        let rig = Self::new(options);
        rig.mount();
        rig
    }

    pub fn with(mut self, line: &str) -> Self {
        writeln!(self.top, "{line}").expect("text");
        self
    }

    pub fn with_cache(mut self, line: &str) -> Self {
        writeln!(self.cache, "{line}").expect("text");
        self
    }

    /// Adds a line to `[source.acme]`.
    pub fn with_source(mut self, line: &str) -> Self {
        writeln!(self.source, "{line}").expect("text");
        self
    }

    pub fn config_path(&self) -> PathBuf {
        self.directory.path().join("config.toml")
    }

    pub fn log_path(&self) -> PathBuf {
        self.directory.path().join("log")
    }

    /// Returns the log. A separate thread writes it, so this function waits until the log stops
    /// growing.
    pub fn log(&self) -> String {
        let read = || std::fs::read_to_string(self.log_path()).unwrap_or_default();
        let mut log = read();
        for _ in 0..20 {
            std::thread::sleep(Duration::from_millis(50));
            let length = log.len();
            log = read();
            if log.len() == length {
                break;
            }
        }
        log
    }

    /// Returns a configuration that mounts the demo server as the source `acme`.
    pub fn config(&self) -> String {
        let credentials = self.cloud.credentials();
        format!(
            "timezone = \"UTC\"\n{}\n[cache]\ndir = \"{}\"\n{}\n[source.acme]\nprovider = \"zoom\"\n\
             account_id = \"{}\"\nclient_id = \"{}\"\nclient_secret = \"{}\"\n\
             plan = \"business\"\napi_url = \"{}\"\noauth_url = \"{}\"\n{}\n",
            self.top,
            self.directory.path().join("cache").display(),
            self.cache,
            credentials.account_id,
            credentials.client_id,
            credentials.client_secret,
            self.cloud.api_url(),
            self.cloud.oauth_url(),
            self.source,
        )
    }

    pub fn write_config(&self, text: &str) {
        use std::io::Write;
        let mut file = std::fs::OpenOptions::new()
            .create(true)
            .write(true)
            .truncate(true)
            .mode(0o600)
            .open(self.config_path())
            .expect("a configuration");
        file.write_all(text.as_bytes()).expect("a configuration");
    }

    /// Returns the binary, with runtime and state directories of this rig.
    pub fn meetfs(&self) -> Command {
        let mut command = meetfs();
        command.env("XDG_RUNTIME_DIR", self.directory.path().join("run"));
        command.env("XDG_STATE_HOME", self.directory.path().join("state"));
        command
    }

    /// Returns the entry of `meetfs status --json` for the mount.
    pub fn status(&self) -> serde_json::Value {
        let output =
            run(self.meetfs().args(["status", "--json"]).arg(&self.mountpoint), COMMAND_TIMEOUT);
        assert!(output.status.success(), "{}\n{}", text(&output), self.log());
        let mounts: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
        mounts.get(0).cloned().expect("one mount")
    }

    /// Returns `meetfs mount` with the configuration in the file.
    pub fn mount_command(&self) -> Command {
        let mut command = self.meetfs();
        command.args(["mount", "--log-level", "debug", "--config"]).arg(self.config_path());
        command.arg("--log-file").arg(self.log_path()).arg(&self.mountpoint);
        command
    }

    /// Writes the configuration and mounts in the background.
    pub fn mount(&self) {
        self.write_config(&self.config());
        let output = run(&mut self.mount_command(), COMMAND_TIMEOUT);
        assert!(output.status.success(), "{}\n{}", text(&output), self.log());
    }

    pub fn unmount(&self) {
        let output = run(meetfs().arg("unmount").arg(&self.mountpoint), COMMAND_TIMEOUT);
        assert!(output.status.success(), "{}\n{}", text(&output), self.log());
        // The catalog is written when the daemon has ended.
        wait_until(COMMAND_TIMEOUT, "the daemon ends", || self.daemon().is_none());
    }

    /// Returns the process id of the daemon that serves the mountpoint.
    pub fn daemon(&self) -> Option<u32> {
        let wanted = self.mountpoint.as_os_str().as_encoded_bytes().to_vec();
        std::fs::read_dir("/proc").expect("/proc").flatten().find_map(|entry| {
            let id: u32 = entry.file_name().to_str()?.parse().ok()?;
            let line = std::fs::read(entry.path().join("cmdline")).ok()?;
            let words: Vec<&[u8]> = line.split(|byte| *byte == 0).collect();
            (words.contains(&b"--report-readiness".as_slice())
                && words.contains(&wanted.as_slice()))
            .then_some(id)
        })
    }

    pub fn entries_in_mount_table(&self) -> usize {
        let table =
            String::from_utf8_lossy(&std::fs::read("/proc/self/mountinfo").expect("a mount table"))
                .into_owned();
        let place = format!(" {} ", self.mountpoint.display());
        table.lines().filter(|line| line.contains(&place)).count()
    }

    /// Runs a shell line in the mountpoint. Fails the test if the line fails.
    pub fn shell(&self, line: &str) -> String {
        let output = self.try_shell(line, COMMAND_TIMEOUT);
        assert!(output.status.success(), "{line}\n{}\n{}", text(&output), self.log());
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    pub fn try_shell(&self, line: &str, timeout: Duration) -> Output {
        let line = format!("cd '{}' && {line}", self.mountpoint.display());
        run(Command::new("bash").args(["-c", &line]), timeout)
    }

    /// Returns the requests for signed URLs.
    pub fn media_requests(&self) -> Vec<Request> {
        self.cloud
            .requests()
            .into_iter()
            .filter(|request| request.server == Server::Media)
            .collect()
    }

    pub fn media_bytes(&self) -> u64 {
        self.media_requests().iter().map(|request| request.body_bytes).sum()
    }

    /// Returns the SHA-256 of every file below a directory outside the mount, by path.
    pub fn hashes(&self, directory: &Path) -> BTreeMap<String, String> {
        let line =
            format!("cd '{}' && find . -type f -print0 | xargs -0 sha256sum", directory.display());
        let output = run(Command::new("sh").args(["-c", &line]), COMMAND_TIMEOUT);
        String::from_utf8_lossy(&output.stdout)
            .lines()
            .filter_map(|line| line.split_once("  "))
            .map(|(hash, path)| (path.to_owned(), hash.to_owned()))
            .collect()
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        // Releases processes that hang in the mount, and cleans up when a test fails.
        if self.entries_in_mount_table() > 0 {
            abort_connection(&self.mountpoint);
        }
        while self.entries_in_mount_table() > 0 {
            let mut unmount = Command::new("umount");
            unmount.arg("-l").arg(&self.mountpoint).stderr(Stdio::null());
            let unmounted = unmount.status();
            if !unmounted.is_ok_and(|status| status.success()) {
                break;
            }
        }
        if let Some(daemon) = self.daemon() {
            let _ = Command::new("kill").args(["-9", &daemon.to_string()]).status();
        }
    }
}

/// Returns the binary under test without the environment of the tester.
pub fn meetfs() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_meetfs"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("MEETFS_") {
            command.env_remove(name);
        }
    }
    command
}

/// Wraps a command so that it sees no mounts but this rig's. A command about all mounts would
/// otherwise report dead mounts that other programs left on the machine. A mount that has ended in
/// the meantime cannot be unmounted, so the messages of `umount` are discarded. An empty `/run`
/// hides the control sockets of other mounts.
pub fn isolated(rig: &Rig, command: &Command) -> Command {
    const UNMOUNT_OTHERS: &str = "findmnt --list --noheadings --output TARGET --types fuse.meetfs | \
        while IFS= read -r place; do case $place in \"$0\"/*) ;; *) umount --lazy \"$place\" 2> /dev/null ;; esac; done; \
        mount -t tmpfs tmpfs /run; exec \"$@\"";
    let own = rig.directory.path().to_str().expect("a path");
    started_by(&["unshare", "--mount", "--", "sh", "-c", UNMOUNT_OTHERS, own], command)
}

/// Shell commands that drop all mounts of meetfs in a new mount namespace. Otherwise, the namespace
/// would keep the mounts of other tests in use after they are unmounted.
pub const DROP_OTHER_MOUNTS: &str = "findmnt --list --noheadings --output TARGET --types fuse.meetfs | \
    while IFS= read -r place; do umount --lazy \"$place\" 2> /dev/null || true; done; ";

/// Wraps a command so that another one starts it.
pub fn started_by(starter: &[&str], command: &Command) -> Command {
    let mut words = starter.iter();
    let mut started = Command::new(words.next().expect("a program"));
    started.args(words).arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => started.env(name, value),
            None => started.env_remove(name),
        };
    }
    if let Some(directory) = command.get_current_dir() {
        started.current_dir(directory);
    }
    started
}

/// Runs a command. On timeout, kills it with its children and fails the test.
pub fn run(command: &mut Command, timeout: Duration) -> Output {
    match run_with_timeout(command, timeout) {
        Some(output) => output,
        None => panic!("no end timeout {timeout:?}: {command:?}"),
    }
}

/// Returns an address that refuses connections as long as the socket lives: it is bound and does
/// not listen. A port that was merely free could be taken by another test.
pub fn refusing_address() -> (Socket, SocketAddr) {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()).expect("a port");
    let address =
        socket.local_addr().expect("an address").as_socket().expect("an address of the network");
    (socket, address)
}

/// Runs a command; returns `None` on timeout.
pub fn run_with_timeout(command: &mut Command, timeout: Duration) -> Option<Output> {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
    let mut child = command.spawn().expect("a command that starts");
    let mut output_threads = Vec::new();
    for stream in [
        child.stdout.take().map(|stream| Box::new(stream) as Box<dyn Read + Send>),
        child.stderr.take().map(|stream| Box::new(stream) as Box<dyn Read + Send>),
    ] {
        output_threads.push(std::thread::spawn(move || {
            let mut bytes = Vec::new();
            let _end_or_error = stream.map(|mut stream| stream.read_to_end(&mut bytes));
            bytes
        }));
    }
    let started = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().expect("a status") {
            break status;
        }
        if started.elapsed() > timeout {
            let _ = Command::new("kill").args(["-9", &format!("-{}", child.id())]).status();
            return None;
        }
        std::thread::sleep(Duration::from_millis(2));
    };
    let mut drained = output_threads.into_iter().map(|drain| drain.join().unwrap_or_default());
    Some(Output {
        status,
        stdout: drained.next().unwrap_or_default(),
        stderr: drained.next().unwrap_or_default(),
    })
}

pub fn text(output: &Output) -> String {
    let streams =
        [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes).into_owned());
    format!("{}\n{}\n{}", output.status, streams[0], streams[1])
}

/// Returns the check of `subject` in the output of `meetfs doctor`, with its hint, as one line.
pub fn check_of(doctor: &Output, subject: &str) -> String {
    let report = String::from_utf8_lossy(&doctor.stdout).into_owned();
    let subject = format!("{subject}: ");
    let mut lines = report.lines().skip_while(|line| !line.contains(&subject));
    let first = lines.next().unwrap_or_default();
    let rest = lines.take_while(|line| line.starts_with(' ')).map(str::trim);
    assert_eq!(report.matches(&subject).count(), 1, "{}", text(doctor));
    std::iter::once(first).chain(rest).collect::<Vec<_>>().join("; ")
}

pub fn wait_until(timeout: Duration, what: &str, holds: impl Fn() -> bool) {
    let started = Instant::now();
    while !holds() {
        assert!(started.elapsed() < timeout, "not within {timeout:?}: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Waits until the recycle bin of the demo archive is complete. Its files are shown after meetfs
/// has requested each of them, which can be after the mount.
pub fn wait_for_recycle_bin(mountpoint: &Path) {
    let line = format!("ls '{}'/acme/trash/* 2>/dev/null | wc -l", mountpoint.display());
    wait_until(COMMAND_TIMEOUT, "the recycle bin is complete", || {
        let count = run(Command::new("bash").args(["-c", &line]), COMMAND_TIMEOUT).stdout;
        count.trim_ascii() == b"5"
    });
}

/// Aborts the FUSE connection, as an administrator does with a hung mount.
pub fn abort_connection(mountpoint: &Path) {
    let table =
        String::from_utf8_lossy(&std::fs::read("/proc/self/mountinfo").expect("a mount table"))
            .into_owned();
    let place = format!(" {} ", mountpoint.display());
    for line in table.lines().filter(|line| line.contains(&place)) {
        let minor =
            line.split(' ').nth(2).and_then(|device| device.split(':').nth(1)).unwrap_or("none");
        let _already_gone = std::fs::write(format!("/sys/fs/fuse/connections/{minor}/abort"), "1");
    }
}

pub fn mode_of(path: &Path) -> u32 {
    std::fs::metadata(path).expect("a file").permissions().mode() & 0o7777
}
