//! `meetfs doctor --bundle`: an archive for a bug report without private data.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use meetfs::demo_cloud::{Archive, DemoCloudOptions, Effect, Server, Trigger};
use serde_json::Value;

use crate::secrets::{assert_absent, secrets};
use crate::support::processes::RunningCommand;
use crate::support::{COMMAND_TIMEOUT, Rig, isolated, mode_of, run, text, wait_until};

/// Minimum length of a private text. A shorter one occurs in other words.
const MIN_LENGTH: usize = 5;

fn doctor(rig: &Rig, bundle: &Path) -> Output {
    let mut command = rig.meetfs();
    command.args(["doctor", "--config"]).arg(rig.config_path());
    command.arg("--bundle").arg(bundle).env("HOME", rig.directory.path());
    run(&mut isolated(rig, &command), COMMAND_TIMEOUT)
}

/// Returns the texts of a bundle by name.
fn unpack(rig: &Rig, bundle: &Path) -> BTreeMap<String, String> {
    let directory = bundle.with_extension("unpacked");
    std::fs::create_dir(&directory).expect("a directory");
    let mut tar = Command::new("tar");
    let output = run(tar.arg("-xzf").arg(bundle).arg("-C").arg(&directory), COMMAND_TIMEOUT);
    assert!(output.status.success(), "{}", text(&output));
    let files = rig.hashes(&directory).into_keys();
    let read = |name: String| {
        let path = directory.join(&name);
        assert_eq!(mode_of(&path), 0o600, "{name}");
        (name.trim_start_matches("./meetfs-bundle/").to_owned(), path)
    };
    files
        .map(read)
        .map(|(name, path)| (name, std::fs::read_to_string(path).expect("text")))
        .collect()
}

/// Returns what identifies people and meetings in an archive and in its tree.
fn private_texts(rig: &Rig, archive: &Archive) -> BTreeSet<String> {
    let mut texts = BTreeSet::new();
    for meeting in &archive.meetings {
        texts.extend([meeting.topic.clone(), meeting.uuid.clone(), meeting.number.to_string()]);
        texts.insert(meeting.host_email.clone());
        for participant in &meeting.participants {
            texts.extend([participant.name.clone(), participant.email.clone()]);
        }
    }
    texts.extend(archive.users.iter().map(|user| user.email.clone()));
    texts.extend(rig.shell("find acme/*/* -maxdepth 0 -printf '%f\\n'").lines().map(str::to_owned));
    let credentials = rig.cloud.credentials();
    texts.extend([credentials.account_id, credentials.client_id]);
    for url in [rig.cloud.api_url(), rig.cloud.oauth_url()] {
        texts.insert(url);
    }
    texts.retain(|text| text.trim().chars().count() >= MIN_LENGTH);
    texts
}

/// Returns the digests of the paths in a text.
fn digests(text: &str) -> BTreeSet<&str> {
    text.split("path-").skip(1).filter_map(|rest| rest.get(..8)).collect()
}

#[test]
fn bundle_has_states_and_no_private_data() {
    let archive = Archive::demo();
    let options = DemoCloudOptions { archive: archive.clone(), ..DemoCloudOptions::default() };
    let rig = Rig::new(options)
        .with("read_deadline = \"2s\"")
        .with_source("users = [\"all\", \"guest@example.org\"]\ntopics = [\"*\"]");
    rig.mount();
    rig.cloud.inject(Trigger::always(Server::Media).with_effect(Effect::status(503)));
    let output = rig.try_shell("cat acme/*/*/*.m4a | wc -c", COMMAND_TIMEOUT);
    assert!(text(&output).contains("error"), "nothing failed: {}", text(&output));
    rig.cloud.clear_faults();
    let line = "exec 3< \"$(ls acme/*/*/*.mp4 | head -n 1)\"; head -c 1 <&3 >/dev/null; sleep 60";
    let reader = RunningCommand::shell(&rig, line);
    wait_until(COMMAND_TIMEOUT, "the file is open", || {
        rig.status()["reads"]["files"].as_array().is_some_and(|files| !files.is_empty())
    });
    let paths: Vec<PathBuf> =
        ["one.tar.gz", "two.tar.gz"].map(|name| rig.directory.path().join(name)).into();
    let mut bundles = Vec::new();
    for path in &paths {
        let output = doctor(&rig, path);
        assert!(output.status.success(), "{}", text(&output));
        assert!(text(&output).contains("look at it before you send it"), "{}", text(&output));
        assert_eq!(mode_of(path), 0o600);
        bundles.push(unpack(&rig, path));
    }
    drop(reader);
    let [bundle, other_bundle] = bundles.as_slice() else { panic!("two bundles") };
    let names: Vec<_> = bundle.keys().map(String::as_str).collect();
    let expected = [
        "configuration.json",
        "doctor.json",
        "log-1.txt",
        "status-1.json",
        "status-2.json",
        "version.json",
    ];
    assert_eq!(names, expected);

    let json = |name: &str| serde_json::from_str::<Value>(&bundle[name]).expect("JSON");
    assert_eq!(json("version.json")["meetfs"], env!("CARGO_PKG_VERSION"));
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").expect("a version");
    assert_eq!(json("version.json")["kernel"], kernel.trim());
    let configuration = json("configuration.json");
    let key = |name: &str| {
        let keys = configuration.as_array().expect("keys").iter();
        keys.clone()
            .find(|key| key["key"] == name)
            .unwrap_or_else(|| panic!("{configuration}"))
            .clone()
    };
    assert_eq!(key("read_deadline")["values"], serde_json::json!(["2 s"]));
    let origin = key("read_deadline")["origin"].to_string();
    assert!(origin.contains("~/config.toml, line 2: `read_deadline`"), "{origin}");
    assert_eq!(key("connections")["origin"], "default");
    assert_eq!(key("cache.disk")["values"], serde_json::json!(["10.0 GiB"]));
    assert_eq!(key("source.acme.provider")["values"], serde_json::json!(["zoom"]));
    assert_eq!(key("source.acme.client_secret")["values"], Value::Null);
    assert_eq!(key("source.acme.users")["values"][0], "all");
    let checks = json("doctor.json");
    assert!(checks.as_array().is_some_and(|checks| checks.len() > 5), "{checks}");
    let (first, second) = (json("status-1.json"), json("status-2.json"));
    let open_file = |status: &Value| status[0]["reads"]["files"][0]["path"].clone();
    assert_eq!(open_file(&first), open_file(&second), "{first}");
    assert!(open_file(&first).as_str().is_some_and(|path| path.starts_with("acme/2")), "{first}");
    let log = &bundle["log-1.txt"];
    assert!(log.contains("cannot read acme/2") && log.contains("listed source=acme"), "{log}");
    // The failed files and the open file are in the log and in the status.
    assert!(digests(log).len() > 2, "{log}");
    let other_digests = digests(&other_bundle["log-1.txt"]);
    assert!(digests(log).is_disjoint(&other_digests), "{other_digests:?}");

    let mut private = private_texts(&rig, &archive);
    assert!(private.len() > 40, "{private:?}");
    let requests = rig.cloud.requests();
    private.extend(secrets(&rig, &requests));
    private.extend(["://", "@"].map(str::to_owned));
    let places: Vec<_> =
        bundle.iter().map(|(name, text)| (name.clone(), text.clone().into_bytes())).collect();
    assert_absent(&private, &places);
    rig.unmount();
}

#[test]
fn bundle_replaces_no_file() {
    let rig = Rig::new(DemoCloudOptions::default());
    rig.write_config(&rig.config());
    let path = rig.directory.path().join("existing");
    std::fs::write(&path, "precious").expect("a file");
    let output = doctor(&rig, &path);
    assert_eq!(output.status.code(), Some(2), "{}", text(&output));
    let message = String::from_utf8_lossy(&output.stderr).into_owned();
    let expected = format!("error: cannot write {}: File exists", path.display());
    assert!(message.starts_with(&expected) && message.contains("\nhint: "), "{message}");
    assert_eq!(std::fs::read_to_string(&path).expect("a file"), "precious");
}

#[test]
fn full_disk_leaves_no_bundle() {
    let rig = Rig::new(DemoCloudOptions::default());
    rig.write_config(&rig.config());
    let disk = rig.directory.path().join("disk");
    std::fs::create_dir(&disk).expect("a directory");
    let mount = |arguments: &[&str]| {
        let output = run(Command::new("mount").args(arguments).arg(&disk), COMMAND_TIMEOUT);
        assert!(output.status.success(), "{}", text(&output));
    };
    mount(&["-t", "tmpfs", "-o", "size=4k", "tmpfs"]);
    // The file system has one page, which another file takes.
    std::fs::write(disk.join("other"), "full").expect("a file");
    let path = disk.join("bundle");
    let output = doctor(&rig, &path);
    let is_left = path.exists();
    run(Command::new("umount").arg(&disk), COMMAND_TIMEOUT);
    assert_eq!(output.status.code(), Some(1), "{}", text(&output));
    let message = String::from_utf8_lossy(&output.stderr).into_owned();
    let expected = format!("error: cannot write {}: No space left on device", path.display());
    assert!(message.contains(&expected) && message.contains("\nhint: Free disk"), "{message}");
    assert!(!is_left);
}
