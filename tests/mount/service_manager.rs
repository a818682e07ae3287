//! The messages to a service manager, on a real socket, and the units in `packaging/`.

use std::collections::VecDeque;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use meetfs::demo_cloud::{Archive, DemoCloudOptions, Effect, Server, Trigger};

use crate::support::processes::RunningCommand;
use crate::support::{COMMAND_TIMEOUT, Rig, run, text};

/// Timeout of the watchdog. meetfs feeds it twice as often.
const WATCHDOG_TIMEOUT: Duration = Duration::from_millis(400);

fn small() -> DemoCloudOptions {
    DemoCloudOptions { archive: Archive::with_meetings(3, 60), ..DemoCloudOptions::default() }
}

/// A socket as that of systemd. A message has one line for each variable.
struct NotifySocket {
    socket: UnixDatagram,
    path: std::path::PathBuf,
    unread_lines: VecDeque<String>,
}

impl NotifySocket {
    fn new(rig: &Rig) -> Self {
        let path = rig.directory.path().join("notify");
        let socket = UnixDatagram::bind(&path).expect("a socket");
        socket.set_read_timeout(Some(Duration::from_millis(100))).expect("a timeout");
        Self { socket, path, unread_lines: VecDeque::new() }
    }

    /// Waits for a line that starts with `start`. Skips the lines before it.
    fn wait_for(&mut self, start: &str) -> String {
        let deadline = Instant::now() + COMMAND_TIMEOUT;
        loop {
            while let Some(line) = self.unread_lines.pop_front() {
                if line.starts_with(start) {
                    return line;
                }
            }
            assert!(Instant::now() < deadline, "no line {start}");
            let mut buffer = [0; 4096];
            if let Ok(length) = self.socket.recv(&mut buffer) {
                let message = String::from_utf8_lossy(&buffer[..length]).into_owned();
                self.unread_lines.extend(message.lines().map(str::to_owned));
            }
        }
    }

    fn start(&self, rig: &Rig, arguments: &[&str]) -> RunningCommand {
        rig.write_config(&rig.config());
        let mut command = rig.mount_command();
        command.args(arguments).env("NOTIFY_SOCKET", &self.path);
        command.env("WATCHDOG_USEC", WATCHDOG_TIMEOUT.as_micros().to_string());
        RunningCommand::start(&mut command)
    }
}

#[test]
fn service_manager_knows_the_state_of_the_mount() {
    let rig = Rig::new(small());
    let mut notify_socket = NotifySocket::new(&rig);
    let mut mount = notify_socket.start(&rig, &["--foreground"]);
    notify_socket.wait_for("READY=1");
    assert_eq!(rig.entries_in_mount_table(), 1);
    rig.shell("ls -R acme");
    let status = format!("STATUS=mounted at {}", rig.mountpoint.display());
    assert_eq!(notify_socket.wait_for("STATUS="), status);
    notify_socket.wait_for("WATCHDOG=1");
    notify_socket.wait_for("WATCHDOG=1");
    mount.signal("HUP");
    notify_socket.wait_for("RELOADING=1");
    let time = notify_socket.wait_for("MONOTONIC_USEC=");
    assert!(time["MONOTONIC_USEC=".len()..].parse::<u64>().is_ok_and(|time| time > 0), "{time}");
    notify_socket.wait_for("READY=1");
    mount.signal("TERM");
    notify_socket.wait_for("STOPPING=1");
    let (status, _) = mount.end(COMMAND_TIMEOUT);
    assert_eq!(status.code(), Some(0), "{}", mount.output());
}

/// systemd ends a start that takes longer than its limit without a message.
#[test]
fn slow_start_asks_the_service_manager_for_time() {
    let rig = Rig::new(small());
    let slow = Effect::Latency(Duration::from_secs(4));
    rig.cloud.inject(Trigger::always(Server::Api).with_effect(slow));
    let mut notify_socket = NotifySocket::new(&rig);
    let mut mount = notify_socket.start(&rig, &["--foreground"]);
    let status = notify_socket.wait_for("STATUS=");
    assert!(status.starts_with("STATUS=waiting for acme to list the recordings, "), "{status}");
    assert_eq!(notify_socket.wait_for("EXTEND_TIMEOUT_USEC="), "EXTEND_TIMEOUT_USEC=30000000");
    mount.signal("TERM");
    notify_socket.wait_for("STOPPING=1");
    mount.end(COMMAND_TIMEOUT);
}

/// A mount in the background can inherit the socket from a service that is something else.
#[test]
fn background_mount_sends_no_notification() {
    let rig = Rig::new(small());
    let notify_socket = NotifySocket::new(&rig);
    let (status, _) = notify_socket.start(&rig, &[]).end(COMMAND_TIMEOUT);
    assert_eq!(status.code(), Some(0));
    rig.unmount();
    let mut buffer = [0; 4096];
    let length = notify_socket.socket.recv(&mut buffer).unwrap_or_default();
    assert_eq!(String::from_utf8_lossy(&buffer[..length]), "");
}

/// Copies a unit to the directory of the rig. The copy starts the program that is tested.
fn unit_of_tested_program(rig: &Rig, unit: &str, name: &str) -> std::path::PathBuf {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging").join(unit);
    let content = std::fs::read_to_string(source).expect("a unit");
    assert!(content.contains("/usr/bin/meetfs"), "{unit}");
    let path = rig.directory.path().join(name);
    std::fs::write(&path, content.replace("/usr/bin/meetfs", env!("CARGO_BIN_EXE_meetfs")))
        .expect("a copy");
    path
}

#[test]
fn units_are_valid() {
    let rig = Rig::new(small());
    for (unit, name, scope) in [
        ("meetfs@.service", "meetfs@acme.service", "--system"),
        ("meetfs.user.service", "meetfs.service", "--user"),
    ] {
        let path = unit_of_tested_program(&rig, unit, name);
        let mut verify = Command::new("systemd-analyze");
        verify.args(["verify", "--man=no", scope]).arg(&path);
        verify.env("XDG_RUNTIME_DIR", rig.directory.path());
        let output = run(&mut verify, COMMAND_TIMEOUT);
        assert!(output.status.success(), "{unit}: {}", text(&output));
        let complaints = text(&output);
        assert!(!complaints.contains(name), "{unit}: {complaints}");
    }
}

/// The exposure of a service without any protection is 9.6. Most of what remains comes from the
/// rights that a mount needs: root, `CAP_SYS_ADMIN`, the network and no mount namespace.
#[test]
fn system_unit_is_hardened() {
    const MAX_EXPOSURE: &str = "45";
    let rig = Rig::new(small());
    let path = unit_of_tested_program(&rig, "meetfs@.service", "meetfs@acme.service");
    let mut analysis = Command::new("systemd-analyze");
    analysis.args(["security", "--offline=true", "--no-pager", "--threshold", MAX_EXPOSURE]);
    let output = run(analysis.arg(path), COMMAND_TIMEOUT);
    assert!(output.status.success(), "{}", text(&output));
    assert!(text(&output).contains("Overall exposure level"), "{}", text(&output));
}

#[test]
fn secret_is_read_from_a_systemd_credential() {
    let rig = Rig::new(small());
    let credentials = rig.directory.path().join("credentials");
    std::fs::create_dir(&credentials).expect("a directory");
    let secret = rig.cloud.credentials().client_secret;
    std::fs::write(credentials.join("acme.secret"), format!("{secret}\n")).expect("a secret");
    let config = rig.config();
    let line = config.lines().find(|line| line.starts_with("client_secret")).expect("a secret");
    let unit = include_str!("../../packaging/meetfs@.service");
    let documented = unit.split_once("it with: ").and_then(|(_, rest)| rest.lines().next());
    rig.write_config(&config.replace(line, documented.expect("a line of a configuration")));
    let mut mount = rig.mount_command();
    let output = run(mount.env("CREDENTIALS_DIRECTORY", &credentials), COMMAND_TIMEOUT);
    assert!(output.status.success(), "{}", text(&output));
    assert!(!rig.log().contains(&secret));
    rig.unmount();
}

/// A mount in a mount namespace of its own is invisible to all other processes.
#[test]
fn units_create_no_mount_namespace() {
    const NAMESPACE_SETTINGS: [&str; 12] = [
        "Private",
        "Protect",
        "ReadOnlyPaths",
        "ReadWritePaths",
        "InaccessiblePaths",
        "NoExecPaths",
        "ExecPaths",
        "TemporaryFileSystem",
        "BindPaths",
        "BindReadOnlyPaths",
        "DynamicUser",
        "RootDirectory",
    ];
    for unit in ["meetfs@.service", "meetfs.user.service"] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging").join(unit);
        let content = std::fs::read_to_string(path).expect("a unit");
        for line in content.lines() {
            let is_hidden = NAMESPACE_SETTINGS.iter().any(|setting| line.starts_with(setting));
            assert!(!is_hidden, "{unit}: {line}");
        }
    }
}
