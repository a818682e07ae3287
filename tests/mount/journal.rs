//! The log in the journal of systemd, with a real `systemd-journald` in a mount namespace of its
//! own.

use std::collections::BTreeMap;
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use meetfs::demo_cloud::{Archive, DemoCloudOptions, Effect, Server, Trigger};
use serde_json::Value;

use crate::secrets::{assert_absent, secrets};
use crate::support::processes::RunningCommand;
use crate::support::{COMMAND_TIMEOUT, DROP_OTHER_MOUNTS, Rig, run, started_by, text, wait_until};

/// Connects standard error of a command to the journal, as systemd does for a service.
const WITH_STREAM: &str =
    "export JOURNAL_STREAM=\"$(stat -L -c %d:%i /proc/self/fd/2)\"; exec \"$@\"";

/// Starts the journal, writes its process id to the file `$0`, and runs a command with it.
const WITH_JOURNALD: &str = "set -e; mount -t tmpfs tmpfs /run; mkdir -p /run/systemd/journal \
    /run/log/journal; /usr/lib/systemd/systemd-journald > /dev/null 2>&1 & echo $! > \"$0\"; \
    until [ -S /run/systemd/journal/socket ] && [ -S /run/systemd/journal/stdout ]; do sleep 0.05; \
    done; exec systemd-cat \"$@\"";

/// Binds the socket `$0` to the place of the socket of the journal, and runs a command.
const WITH_SOCKET: &str = "set -e; mount -t tmpfs tmpfs /run; mkdir -p /run/systemd/journal; \
    touch /run/systemd/journal/socket; mount --bind \"$0\" /run/systemd/journal/socket; \
    exec \"$@\"";

/// Returns `meetfs mount --foreground` in a mount namespace of its own, which the shell line
/// `prepare` prepares. Its standard error is connected to the journal.
fn mount_command(rig: &Rig, prepare: &str, argument: &str) -> Command {
    rig.write_config(&rig.config());
    let mut command = rig.meetfs();
    command.args(["mount", "--foreground", "--log-level", "debug", "--config"]);
    command.arg(rig.config_path()).arg(&rig.mountpoint);
    let command = started_by(&["sh", "-c", WITH_STREAM, "sh"], &command);
    let prepare = format!("{DROP_OTHER_MOUNTS}{prepare}");
    started_by(&["unshare", "--mount", "--", "sh", "-c", &prepare, argument], &command)
}

/// Runs a shell line in the mountpoint, in the mount namespace of a process.
fn shell_beside(process: &str, rig: &Rig, line: &str) -> Output {
    let line = format!("cd '{}' && {line}", rig.mountpoint.display());
    let namespace = format!("--mount=/proc/{process}/ns/mnt");
    run(Command::new("nsenter").args([&namespace, "--", "bash", "-c", &line]), COMMAND_TIMEOUT)
}

/// The journal of a rig.
struct Journal {
    id_path: PathBuf,
}

impl Journal {
    fn process(&self) -> String {
        std::fs::read_to_string(&self.id_path).unwrap_or_default().trim().to_owned()
    }

    fn records(&self) -> Vec<Value> {
        let namespace = format!("--mount=/proc/{}/ns/mnt", self.process());
        let mut journalctl = Command::new("nsenter");
        journalctl.args([&namespace, "--", "journalctl", "--directory=/run/log/journal"]);
        let output = run(journalctl.args(["--output=json", "--all"]), COMMAND_TIMEOUT);
        let lines = String::from_utf8_lossy(&output.stdout).into_owned();
        lines.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    /// Returns the records with a message id.
    fn events(&self, id: &str) -> Vec<Value> {
        self.records().into_iter().filter(|record| record["MESSAGE_ID"] == id).collect()
    }
}

/// Returns the message id of an event, which the documentation describes with these words.
fn documented_id(words: &str) -> String {
    let page = include_str!("../../docs/mounting.md");
    let lines: Vec<_> = page.lines().filter(|line| line.contains(words)).collect();
    let [line] = lines.as_slice() else { panic!("{words}: {lines:?}") };
    let id = line.split('`').nth(1).expect("an id").to_owned();
    assert!(id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit()), "{line}");
    id
}

#[test]
fn journal_has_fields_and_message_ids() {
    let topics = ["Board meeting", "Salary round", "Weekly planning"];
    let files = topics.map(|topic| (topic, 3_000_000));
    let archive = Archive::with_pattern_files(&files);
    let rig = Rig::new(DemoCloudOptions { archive, ..DemoCloudOptions::default() })
        .with("read_deadline = \"2s\"")
        .with_cache("disk = \"off\"\nmemory = \"8MiB\"");
    let journal = Journal { id_path: rig.directory.path().join("journald") };
    let id_path = journal.id_path.to_str().expect("a path");
    let mut mount = RunningCommand::start(&mut mount_command(&rig, WITH_JOURNALD, id_path));
    let ready = documented_id("is mounted and can be listed");
    wait_until(COMMAND_TIMEOUT, "the mount is in the journal", || {
        !journal.events(&ready).is_empty()
    });
    let mountpoint = rig.mountpoint.to_str().expect("a path");
    let event = journal.events(&ready).remove(0);
    assert_eq!(event["MESSAGE"], format!("mounted at {mountpoint}"), "{event}");
    assert_eq!(event["MEETFS_MOUNTPOINT"], mountpoint, "{event}");
    assert_eq!(event["SYSLOG_IDENTIFIER"], "meetfs", "{event}");
    assert_eq!((&event["PRIORITY"], &event["_TRANSPORT"]), (&"6".into(), &"journal".into()));

    let read = |topic: &str| {
        let line = format!("head -c 100000 acme/*/*'{topic}'/*.mp4 | wc -c");
        let output = shell_beside(&journal.process(), &rig, &line);
        String::from_utf8_lossy(&output.stdout).trim() == "100000"
    };
    assert!(read(topics[0]));
    rig.cloud.inject(Trigger::always(Server::Media).with_effect(Effect::status(503)));
    let down = documented_id("A host is down");
    wait_until(COMMAND_TIMEOUT, "the host is down", || {
        assert!(!read(topics[1]) && !read(topics[2]));
        !journal.events(&down).is_empty()
    });
    assert!(!read(topics[1]), "the host is down");
    let events = journal.events(&down);
    assert_eq!(events.len(), 1, "{events:?}");
    let host = events[0]["MEETFS_HOST"].as_str().expect("a host").to_owned();
    assert!(host.starts_with("http://127.0.0.1:"), "{host}");
    let mut late_files = BTreeMap::new();
    for event in journal.events(&documented_id("did not arrive before its deadline")) {
        let message = event["MESSAGE"].as_str().expect("a message").to_owned();
        let path = message.split(": ").next().expect("a path").to_owned();
        assert!(path.starts_with("cannot read acme/"), "{message}");
        assert_eq!(event["PRIORITY"], "4", "{event}");
        *late_files.entry(path).or_insert(0) += 1;
    }
    assert!(
        !late_files.is_empty() && late_files.values().all(|count| *count == 1),
        "{late_files:?}"
    );

    rig.cloud.clear_faults();
    wait_until(COMMAND_TIMEOUT, "it is read again", || read(topics[1]));
    let events = journal.events(&documented_id("answers again"));
    assert_eq!(events.len(), 1, "{events:?}");
    assert_eq!(events[0]["MEETFS_HOST"], host, "{events:?}");
    mount.signal("TERM");
    let (status, _) = mount.end(COMMAND_TIMEOUT);
    assert!(status.success(), "{}", mount.output());
    assert_eq!(journal.events(&documented_id("is being unmounted")).len(), 1);

    let records = journal.records();
    let has = |name: &str, value: &str| records.iter().any(|record| record[name] == value);
    assert!(has("MEETFS_SOURCE", "acme") && has("MEETFS_OPERATION", "read"), "{records:?}");
    let is_text = |record: &&Value| record["_TRANSPORT"] == "stdout";
    let texts: Vec<_> = records.iter().filter(is_text).collect();
    assert!(texts.is_empty(), "plain text: {texts:?}");
    let dump = serde_json::to_vec(&records).expect("JSON");
    let secrets = secrets(&rig, &rig.cloud.requests());
    assert!(secrets.len() > 3, "{secrets:?}");
    assert_absent(&secrets, &[("the journal".into(), dump)]);
}

/// A journal on a disk that hangs receives nothing.
#[test]
fn stalled_journal_stops_no_read() {
    let archive = Archive::with_pattern_files(&[("talk", 24 << 20)]);
    let rig = Rig::new(DemoCloudOptions { archive, ..DemoCloudOptions::default() })
        .with_cache("disk = \"off\"\nmemory = \"8MiB\"");
    let path = rig.directory.path().join("journal");
    let journal = UnixDatagram::bind(&path).expect("a socket");
    let path = path.to_str().expect("a path");
    let mut mount = RunningCommand::start(&mut mount_command(&rig, WITH_SOCKET, path));
    let process = mount.id().to_string();
    wait_until(COMMAND_TIMEOUT, "the mount is ready", || {
        shell_beside(&process, &rig, "ls acme").status.success()
    });
    let line = "for time in $(seq 20); do dd if=\"$(echo acme/*/*/*.mp4)\" of=/dev/null bs=1M \
                iflag=direct status=none || exit; done";
    let output = shell_beside(&process, &rig, line);
    assert!(output.status.success(), "{}", text(&output));
    journal.set_read_timeout(Some(Duration::from_millis(100))).expect("a timeout");
    let mut buffer = [0; 65536];
    let deadline = Instant::now() + COMMAND_TIMEOUT;
    let mut records = String::new();
    while !records.contains("\nMESSAGE=the log cannot be written fast enough; lost lines: ") {
        assert!(Instant::now() < deadline, "the journal does not state the loss: {records}");
        // A read writes records, and the first one after a loss states it.
        assert!(shell_beside(&process, &rig, line).status.success());
        records.clear();
        while let Ok(length @ 1..) = journal.recv(&mut buffer) {
            records.push_str(&String::from_utf8_lossy(&buffer[..length]));
        }
    }
    mount.signal("TERM");
    let (status, _) = mount.end(COMMAND_TIMEOUT);
    assert!(status.success(), "{}", mount.output());
}

/// A process that a service starts inherits the variable, but not always standard error.
#[test]
fn inherited_variable_does_not_select_the_journal() {
    let archive = Archive::with_pattern_files(&[("talk", 1000)]);
    let rig = Rig::new(DemoCloudOptions { archive, ..DemoCloudOptions::default() });
    rig.write_config(&rig.config());
    let mut command = rig.meetfs();
    command.args(["mount", "--foreground", "--config"]).arg(rig.config_path());
    command.arg(&rig.mountpoint).env("JOURNAL_STREAM", "1:2");
    let mount = RunningCommand::start(&mut command);
    wait_until(COMMAND_TIMEOUT, "the log is text", || {
        mount.output().contains(&format!(" INFO mounted at {}", rig.mountpoint.display()))
    });
    rig.shell("ls acme");
}
