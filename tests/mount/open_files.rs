//! Open files, caches and hosts in `meetfs status`, and its live view.

use std::process::Output;

use meetfs::demo_cloud::{Archive, DemoCloudOptions, Effect, Server, Trigger};
use serde_json::Value;

use crate::support::processes::RunningCommand;
use crate::support::{COMMAND_TIMEOUT, Rig, isolated, run, text, wait_until};

const SIZE: u64 = 4 << 20;

fn mounted_rig() -> Rig {
    let archive = Archive::with_pattern_files(&[("talk", SIZE), ("other", 5000)]);
    Rig::mounted(DemoCloudOptions { archive, ..DemoCloudOptions::default() })
}

fn status(rig: &Rig, words: &[&str]) -> Output {
    run(&mut isolated(rig, rig.meetfs().arg("status").args(words)), COMMAND_TIMEOUT)
}

/// Reads the first bytes of the large file and keeps it open. A thread opens the file, and another
/// one reads it after the first has ended. Then it reads slowly.
const READER: &str = "exec python3 -c '
import glob, os, threading, time
path = [path for path in glob.glob(\"acme/*/*/*.mp4\") if os.path.getsize(path) > 9999][0]
files = []
def open_file(): files.append(os.open(path, os.O_RDONLY))
def read(): os.read(files[0], 1000)
for work in (open_file, read):
    thread = threading.Thread(target=work); thread.start(); thread.join()
os.pread(files[0], 200000, 0)
print(\"read\", flush=True)
os.posix_fadvise(files[0], 0, 0, os.POSIX_FADV_RANDOM)
for offset in range(1 << 20, 4 << 20, 4096): os.pread(files[0], 1, offset); time.sleep(0.05)'";

#[test]
fn status_shows_open_files_and_readers() {
    let rig = mounted_rig();
    assert_eq!(rig.status()["reads"]["files"], serde_json::json!([]));
    let reader = RunningCommand::shell(&rig, READER);
    wait_until(COMMAND_TIMEOUT, "it has read", || reader.output().contains("read"));
    let status_json = rig.status();
    let reads = &status_json["reads"];
    assert_eq!((&reads["open_files"], &reads["failures"]), (&1.into(), &0.into()), "{reads}");
    let file = &reads["files"][0];
    assert!(file["path"].as_str().is_some_and(|path| path.ends_with(".mp4")), "{file}");
    assert_eq!((&file["pid"], &file["command"]), (&reader.id().into(), &"python3".into()));
    assert_eq!(file["size"], SIZE);
    let number = |key: &str| file[key].as_u64().expect(key);
    assert!(number("bytes_read") >= 200_000, "{file}");
    assert!((200_000..=SIZE).contains(&number("cached_bytes")), "{file}");
    wait_until(COMMAND_TIMEOUT, "the rate is shown", || {
        rig.status()["reads"]["files"][0]["bytes_per_second"].as_u64() > Some(0)
    });
    let printed = text(&status(&rig, &[]));
    let line = printed.lines().find(|line| line.starts_with("  reading acme/")).expect("a line");
    assert!(line.contains(&format!(": python3 (process {}), ", reader.id())), "{line}");
    assert!(line.contains(" % cached, ") && line.ends_with("/s"), "{line}");
    drop(reader);
    wait_until(COMMAND_TIMEOUT, "the file is closed", || rig.status()["reads"]["open_files"] == 0);
    rig.unmount();
}

#[test]
fn status_shows_caches_and_hosts() {
    let rig = mounted_rig();
    rig.shell("cat acme/*/*/*.mp4 >/dev/null; cat acme/*/*/*.mp4 >/dev/null");
    let status_json = rig.status();
    let (memory, disk) = (&status_json["memory"], &status_json["disk"]);
    let number = |value: &Value| value.as_u64().expect("a number");
    assert!(number(&memory["used"]) >= SIZE, "{memory}");
    assert!(number(&memory["used"]) <= number(&memory["limit"]), "{memory}");
    assert!(number(&memory["misses"]) >= 2, "{memory}");
    assert!(number(&disk["misses"]) >= 4 && disk["evicted_blocks"] == 0, "{disk}");
    let hosts = status_json["connections"].as_array().expect("a list");
    assert!(hosts.len() >= 2, "{hosts:?}");
    assert!(hosts.iter().all(|host| host["limit"] == host["configured_limit"]), "{hosts:?}");
    let requests = &status_json["sources"][0]["requests"];
    assert!(number(&requests["fetched_bytes"]) >= SIZE, "{requests}");
    let printed = text(&status(&rig, &[]));
    assert!(printed.contains("\n  memory  ") && printed.contains(" evicted\n"), "{printed}");
    rig.unmount();
}

#[test]
fn small_disk_cache_reports_evictions() {
    let archive = Archive::with_pattern_files(&[("talk", 8 << 20)]);
    let rig = Rig::new(DemoCloudOptions { archive, ..DemoCloudOptions::default() })
        .with_cache("disk = \"3MiB\"");
    rig.mount();
    rig.shell("cat acme/*/*/*.mp4 >/dev/null");
    wait_until(COMMAND_TIMEOUT, "blocks are evicted", || {
        rig.status()["disk"]["evicted_blocks"].as_u64() > Some(0)
    });
    rig.unmount();
}

#[test]
fn status_shows_waiting_requests() {
    let rig = mounted_rig();
    rig.cloud.inject(Trigger::always(Server::Media).with_effect(Effect::Stall { after_bytes: 0 }));
    let reader = RunningCommand::shell(&rig, "cat acme/*/*/*.mp4 >/dev/null");
    wait_until(COMMAND_TIMEOUT, "a request is in flight", || {
        let printed = text(&status(&rig, &[]));
        printed.lines().any(|line| line.starts_with("  host    http://127.0.0.1:"))
    });
    drop(reader);
    rig.cloud.clear_faults();
    rig.unmount();
}

#[test]
fn watch_without_a_terminal_prints_once() {
    let rig = mounted_rig();
    let output = status(&rig, &["--watch"]);
    assert!(output.status.success(), "{}", text(&output));
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(printed.starts_with(rig.mountpoint.to_str().expect("a path")), "{printed}");
    assert!(!printed.contains('\u{1b}'), "{printed:?}");
    assert_eq!(
        String::from_utf8_lossy(&output.stderr),
        "note: standard output is not a terminal, so the status is printed once\n"
    );
    rig.unmount();
}

/// Runs `meetfs status --watch` on a terminal. Presses Ctrl-C after a few updates, and prints the
/// exit code and what the terminal received.
const TERMINAL: &str = "
import json, os, pty, select, sys, termios, time
child, terminal = pty.fork()
if child == 0: os.execvp(sys.argv[1], sys.argv[1:])
before = termios.tcgetattr(terminal)
received, end, is_interrupted = b'', time.time() + 60, False
while time.time() < end:
    if select.select([terminal], [], [], 0.2)[0]:
        try: part = os.read(terminal, 65536)
        except OSError: break
        if not part: break
        received += part
    if not is_interrupted and received.count(b'Ctrl-C ends') >= 3:
        is_interrupted = True
        os.write(terminal, b'\\x03')
code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
print(json.dumps({'code': code, 'text': received.decode()}))
";

#[test]
fn watch_redraws_and_restores_the_terminal() {
    let rig = mounted_rig();
    let binary = rig.meetfs().get_program().to_owned();
    let mut python = std::process::Command::new("python3");
    python.args(["-c", TERMINAL]).arg(binary).args(["status", "--watch"]);
    python.env("XDG_RUNTIME_DIR", rig.directory.path().join("run")).env("TERM", "xterm");
    let output = run(&mut isolated(&rig, &python), COMMAND_TIMEOUT);
    assert!(output.status.success(), "{}", text(&output));
    let result: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let received = result["text"].as_str().expect("text");
    assert_eq!(result["code"], 0, "{received:?}");
    assert!(received.starts_with("\u{1b}[?1049h"), "{received:?}");
    assert!(received.matches("acme").count() >= 3, "{received:?}");
    let end = received.rsplit("Ctrl-C ends").next().expect("the last update");
    let show_cursor = end.find("\u{1b}[?25h").expect("a visible cursor");
    assert!(end.find("\u{1b}[?1049l").expect("the main screen") > show_cursor, "{end:?}");
    rig.unmount();
}
