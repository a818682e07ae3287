//! `meetfs explain`.

use std::process::Output;

use jiff::Timestamp;
use meetfs::demo_cloud::{Archive, DemoCloudOptions, Effect, Server, Trigger};
use serde_json::Value;

use crate::support::processes::kill_process;
use crate::support::{COMMAND_TIMEOUT, Rig, isolated, run, text, wait_until};

const SIZE: u64 = 3 << 20;

fn rig() -> Rig {
    let archive = Archive::with_pattern_files(&[("talk", SIZE)]);
    let rig = Rig::new(DemoCloudOptions { archive, ..DemoCloudOptions::default() })
        .with("read_deadline = \"2s\"");
    rig.mount();
    wait_until(COMMAND_TIMEOUT, "the first refresh ends", || {
        rig.status()["sources"][0]["next"].is_string()
    });
    rig
}

fn explain(rig: &Rig, words: &[&str]) -> Output {
    run(&mut isolated(rig, rig.meetfs().arg("explain").args(words)), COMMAND_TIMEOUT)
}

/// Returns the path of the only video.
fn video(rig: &Rig) -> String {
    rig.shell("readlink -f acme/*/*/*.mp4").trim().to_owned()
}

fn explanation(rig: &Rig, path: &str) -> Value {
    let output = explain(rig, &["--json", path]);
    assert!(output.status.success(), "{}", text(&output));
    serde_json::from_slice(&output.stdout).expect("JSON")
}

#[test]
fn explanation_follows_the_bytes_of_a_file() {
    let rig = rig();
    let path = video(&rig);
    rig.cloud.clear_requests();
    let unread = explanation(&rig, &path);
    assert_eq!((&unread["kind"], &unread["provider"]), (&"video".into(), &"zoom".into()));
    assert_eq!((&unread["source"], &unread["size"]), (&"acme".into(), &SIZE.into()));
    assert!(unread["start"].as_str().is_some_and(|at| at.parse::<Timestamp>().is_ok()));
    let recording = &unread["recording"];
    assert_eq!((&recording["cached_bytes"], &recording["failure"]), (&0.into(), &Value::Null));
    assert_eq!(recording["has_download_url"], false);
    assert_eq!(recording["missing_requests"], 2, "{recording}");
    assert_eq!(recording["missing_bytes"], SIZE);
    let printed = text(&explain(&rig, &[&path]));
    assert!(printed.contains("\n  url     not known\n"), "{printed}");
    let requests = rig.cloud.requests();
    assert_eq!(requests.len(), 0, "it sends no request: {requests:?}");

    rig.shell("cat acme/*/*/*.mp4 >/dev/null");
    rig.cloud.clear_requests();
    let read = explanation(&rig, &path);
    let recording = &read["recording"];
    assert_eq!(recording["is_size_confirmed"], true, "{recording}");
    assert_eq!(
        (&recording["cached_bytes"], &recording["cached_percent"]),
        (&SIZE.into(), &100.into())
    );
    assert_eq!(recording["has_download_url"], true, "{recording}");
    assert_eq!(
        (&recording["missing_requests"], &recording["missing_bytes"]),
        (&0.into(), &0.into())
    );
    let printed = text(&explain(&rig, &[&path]));
    assert!(
        printed.contains("confirmed by the server\n  cached  100 %: 3.0 MiB in memory"),
        "{printed}"
    );
    for secret in ["http", "token=", "?"] {
        assert!(!format!("{printed}{read}").contains(secret), "{printed}{read}");
    }
    assert_eq!(rig.cloud.requests().len(), 0);
    rig.unmount();

    // The bytes are on disk after a restart.
    rig.mount();
    wait_until(COMMAND_TIMEOUT, "the index of the cache is read", || {
        explanation(&rig, &path)["recording"]["bytes_on_disk"] == SIZE
    });
    let recording = explanation(&rig, &path)["recording"].clone();
    assert_eq!(
        (&recording["bytes_in_memory"], &recording["is_size_confirmed"]),
        (&0.into(), &true.into())
    );
    rig.unmount();
}

#[test]
fn failed_read_is_explained_with_its_retry() {
    let rig = rig();
    let path = video(&rig);
    rig.cloud.inject(Trigger::always(Server::Media).with_effect(Effect::status(503)));
    assert!(!rig.try_shell("cat acme/*/*/*.mp4 >/dev/null", COMMAND_TIMEOUT).status.success());
    let failure = explanation(&rig, &path)["recording"]["failure"].clone();
    assert!(failure["error"].as_str().is_some_and(|error| !error.is_empty()), "{failure}");
    let next =
        failure["next"].as_str().and_then(|at| at.parse::<Timestamp>().ok()).expect("a time");
    assert!(next > Timestamp::now(), "{failure}");
    let printed = text(&explain(&rig, &[&path]));
    assert!(printed.contains("\n  breaker open until "), "{printed}");
    assert!(printed.contains("503"), "{printed}");
    rig.cloud.clear_faults();
    rig.shell("cat acme/*/*/*.mp4 >/dev/null");
    assert_eq!(explanation(&rig, &path)["recording"]["failure"], Value::Null);
    rig.unmount();
}

#[test]
fn directories_and_generated_files_are_explained() {
    let rig = rig();
    let directory = rig.shell("readlink -f acme/*/*talk").trim().to_owned();
    let meeting = explanation(&rig, &directory);
    assert_eq!((&meeting["kind"], &meeting["size"]), (&"meeting".into(), &Value::Null));
    assert_eq!(meeting["recording"], Value::Null);
    let document = explanation(&rig, &format!("{directory}/meeting.json"));
    assert_eq!(document["kind"], "metadata");
    assert_eq!(document["meeting_id"], meeting["meeting_id"]);
    let printed = text(&explain(&rig, &[&format!("{directory}/meeting.json")]));
    assert!(printed.contains("\n  cost    no request\n"), "{printed}");
    let root = explanation(&rig, rig.mountpoint.to_str().expect("a path"));
    assert_eq!((&root["kind"], &root["source"]), (&"directory".into(), &Value::Null));
    // A relative path works as well.
    let command = format!("cd acme && {} explain .", rig.meetfs().get_program().to_string_lossy());
    let environment = format!("XDG_RUNTIME_DIR='{}'", rig.directory.path().join("run").display());
    let printed = rig.shell(&format!("export {environment}; {command}"));
    assert!(printed.contains("kind    directory, provider zoom, source acme"), "{printed}");
    rig.unmount();
}

#[test]
fn path_outside_of_mounts_is_an_error() {
    let rig = rig();
    for path in ["/etc/hostname", "/nonexistent/file", "/"] {
        let output = explain(&rig, &[path]);
        assert_eq!(output.status.code(), Some(1), "{}", text(&output));
        let message = format!("error: {path} is not in a meetfs mount\nhint: Name a file");
        assert!(text(&output).contains(&message), "{}", text(&output));
    }
    let missing = rig.mountpoint.join("acme/none.mp4");
    let output = explain(&rig, &[missing.to_str().expect("a path")]);
    assert_eq!(output.status.code(), Some(1), "{}", text(&output));
    assert!(text(&output).contains("none.mp4 does not exist in the mount"), "{}", text(&output));
    let path = video(&rig);
    kill_process(rig.daemon().expect("a daemon"));
    wait_until(COMMAND_TIMEOUT, "the daemon has exited", || rig.daemon().is_none());
    let output = explain(&rig, &["--json", &path]);
    assert_eq!(output.status.code(), Some(1), "{}", text(&output));
    let error: Value = serde_json::from_slice(&output.stderr).expect("JSON");
    assert!(error["error"].as_str().is_some_and(|it| it.contains("has died")), "{error}");
    rig.unmount();
}
