//! What a person reads when something about the mount is wrong: a sentence or two, an exit code, and nothing left.

// A helper that cannot go on fails its test.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::support::life::{assert_nothing_left, processes_for};
use crate::support::{Rig, SOON, deserted, meetfs, run, text};
use meetfs::demo_cloud::{Archive, DemoCloudOptions, Effect, Server, Trigger};

/// A person at a terminal gives up after about this long.
const BEARABLE: Duration = Duration::from_secs(35);

/// What is a secret in these tests.
const SECRETS: [&str; 2] = ["demo-secret", "s3cret"];

fn rig() -> Rig {
    Rig::new(DemoCloudOptions { archive: Archive::many(40, 60), ..DemoCloudOptions::default() })
}

/// Mounts with this configuration, from the background and in the foreground, and expects a refusal.
fn refused_with(rig: &Rig, configuration: &str, code: i32, words: &[&str]) {
    rig.write_config(configuration);
    refused(rig, code, words);
}

fn refused(rig: &Rig, code: i32, words: &[&str]) {
    for foreground in [false, true] {
        let mut command = rig.mount_command();
        if foreground {
            command.arg("--foreground");
        }
        let started = Instant::now();
        let output = run(&mut command, SOON);
        assert!(started.elapsed() < BEARABLE, "{:?}", started.elapsed());
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(code), "{}", text(&output));
        assert_eq!(String::from_utf8_lossy(&output.stdout), "");
        assert!(said.starts_with("error: "), "{said}");
        assert_eq!(said.matches("error: ").count(), 1, "{said}");
        for word in words {
            assert!(said.contains(word), "{word:?} is not in: {said}");
        }
        for text in [&said, &rig.log()] {
            assert!(!text.contains("panicked"), "{text}");
            assert!(SECRETS.iter().all(|secret| !text.contains(secret)), "{text}");
        }
        assert_eq!(rig.entries_in_mount_table(), 0);
        assert_eq!(processes_for(&rig.mountpoint), [0; 0]);
    }
}

/// The rig's configuration with one text in the place of another, which must be there.
fn changed(rig: &Rig, from: &str, to: &str) -> String {
    let configuration = rig.config();
    assert!(configuration.contains(from), "{from:?} is not in {configuration}");
    configuration.replace(from, to)
}

#[test]
fn a_configuration_that_is_not_there_is_named() {
    let rig = rig();
    refused(&rig, 3, &["config.toml", "No such file"]);
}

#[test]
fn a_configuration_that_is_no_toml_is_named_with_its_line() {
    let rig = rig();
    refused_with(
        &rig,
        &changed(&rig, "[source.acme]", "[source.acme"),
        3,
        &["config.toml", "line 6"],
    );
}

#[test]
fn an_unknown_key_is_named_with_the_nearest_one() {
    let rig = rig().with_source("sinse = \"2024-01-01\"");
    let configuration = rig.config();
    refused_with(&rig, &configuration, 3, &["unknown key `sinse`", "did you mean `since`?"]);
}

#[test]
fn a_source_without_credentials_says_what_it_needs() {
    let rig = rig();
    let configuration: String = rig
        .config()
        .lines()
        .filter(|line| {
            !["account_id", "client_id", "client_secret"].iter().any(|key| line.starts_with(key))
        })
        .map(|line| format!("{line}\n"))
        .collect();
    refused_with(&rig, &configuration, 3, &["[source.acme] needs", "account_id"]);
}

#[test]
fn a_configuration_without_sources_shows_one() {
    let rig = rig();
    rig.write_config("timezone = \"UTC\"\n");
    let output = run(&mut rig.mount_command(), SOON);
    assert_eq!(output.status.code(), Some(3), "{}", text(&output));
    assert!(String::from_utf8_lossy(&output.stderr).contains("[source.acme]"), "{}", text(&output));
    assert_nothing_left(&rig, SOON);
}

#[test]
fn a_secret_that_the_group_may_read_is_refused_with_the_mend() {
    let rig = rig();
    let secret = rig.directory.path().join("acme.secret");
    std::fs::write(&secret, "demo-secret\n").expect("a secret");
    std::fs::set_permissions(&secret, std::fs::Permissions::from_mode(0o640)).expect("a mode");
    let configuration =
        changed(&rig, "client_secret = \"demo-secret\"", "client_secret_file = \"acme.secret\"");
    let fix = format!("chmod 600 {}", secret.display());
    refused_with(&rig, &configuration, 3, &["0640", &fix]);
    std::fs::set_permissions(&secret, std::fs::Permissions::from_mode(0o600)).expect("a mode");
    assert!(run(&mut rig.mount_command(), SOON).status.success(), "the fix fixes it");
    rig.unmount();
}

#[test]
fn a_configuration_with_a_secret_that_others_may_read_is_refused() {
    let rig = rig();
    rig.write_config(&rig.config());
    std::fs::set_permissions(rig.config_path(), std::fs::Permissions::from_mode(0o644))
        .expect("a mode");
    refused(&rig, 3, &["`client_secret`", "0644", "chmod 600"]);
}

/// What belongs to somebody else, or may be written to by others, says nothing of what the caller wants.
#[test]
fn a_configuration_or_a_secret_that_somebody_else_may_change_is_refused_and_no_command_of_it_is_run()
 {
    let rig = rig();
    let (secret, ran) =
        (rig.directory.path().join("acme.secret"), rig.directory.path().join("ran"));
    let owned_by =
        |path: &Path, id| std::os::unix::fs::chown(path, Some(id), None).expect("an owner");
    let mode = |path: &Path, mode| {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).expect("a mode");
    };
    let in_plain = "client_secret = \"demo-secret\"";
    let command =
        format!("client_secret_command = \"touch '{}'; echo demo-secret\"", ran.display());
    rig.write_config(&changed(&rig, in_plain, &command));
    let path = rig.config_path();
    owned_by(&path, 65534);
    for readable in [0o600, 0o644] {
        mode(&path, readable);
        let fix = format!("chown 0 {}", path.display());
        refused(&rig, 3, &["belongs to user 65534", &fix]);
    }
    owned_by(&path, 0);
    for (open, told) in [(0o664, "0664"), (0o646, "0646"), (0o620, "0620"), (0o602, "0602")] {
        mode(&path, open);
        refused(&rig, 3, &[told, &format!("chmod go-w {}", path.display())]);
    }
    assert!(!ran.exists(), "nothing of it was run");
    mode(&path, 0o644);
    assert!(run(&mut rig.mount_command(), SOON).status.success(), "the fix fixes it");
    assert!(ran.exists());
    rig.unmount();

    std::fs::write(&secret, "demo-secret\n").expect("a secret");
    mode(&secret, 0o600);
    owned_by(&secret, 65534);
    let configuration = changed(&rig, in_plain, "client_secret_file = \"acme.secret\"");
    let fix = format!("chown 0 {}", secret.display());
    refused_with(
        &rig,
        &configuration,
        3,
        &["`source.acme.client_secret_file`", "user 65534", &fix],
    );
    // One without sources says where the cache is, which root empties.
    rig.write_config("[cache]\ndir = \"/somewhere\"\n");
    owned_by(&path, 65534);
    let output = run(meetfs().args(["cache", "clear", "--config"]).arg(&path), SOON);
    assert_eq!(output.status.code(), Some(3), "{}", text(&output));
}

#[test]
fn a_value_that_cannot_be_used_says_what_could_be() {
    let rig = rig();
    let wrong_zone = rig.config().replace("timezone = \"UTC\"", "timezone = \"Mars/Olympus\"");
    refused_with(
        &rig,
        &wrong_zone,
        3,
        &["line 1", "`Mars/Olympus`", "\"Europe/Berlin\"", "timedatectl"],
    );
    let near_zone = rig.config().replace("timezone = \"UTC\"", "timezone = \"Europe/Pariss\"");
    refused_with(&rig, &near_zone, 3, &["did you mean `Europe/Paris`?"]);
    let huge = changed(&rig, "[cache]", "[cache]\nmemory = \"4PiB\"");
    refused_with(
        &rig,
        &huge,
        3,
        &["`cache.memory`", "asks for 4.0 PiB", "this machine has ", "write less"],
    );
}

#[test]
fn a_key_of_another_kind_of_source_says_of_which() {
    let rig = rig();
    for (line, words) in [
        ("admin = true", "only webex sources have it and this is a zoom source"),
        ("meetings = [\"1\"]", "only rapatin sources have it"),
        ("refresh_token_file = \"x\"", "only webex sources have it"),
        ("user = [\"me\"]", "did you mean `users`?"),
    ] {
        let configuration = format!("{}{line}\n", rig.config());
        refused_with(&rig, &configuration, 3, &["unknown key", "[source.acme]", words]);
    }
}

#[test]
fn the_demo_takes_no_configuration_and_says_so() {
    let rig = rig();
    rig.write_config(&rig.config());
    let mut command = rig.meetfs();
    command.args(["mount", "--demo", "--config"]).arg(rig.config_path()).arg(&rig.mountpoint);
    let output = run(&mut command, SOON);
    assert_eq!(output.status.code(), Some(2), "{}", text(&output));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("'--demo' cannot be used with '--config <FILE>'"), "{said}");
    assert_nothing_left(&rig, SOON);
}

#[test]
fn a_demo_that_cannot_be_mounted_says_nothing_but_why() {
    let rig = rig();
    // Without FUSE, in a mount table of its own.
    let line = "mount --bind /dev/null /dev/fuse && exec \"$@\"";
    for foreground in [false, true] {
        let mut command = std::process::Command::new("unshare");
        command.args([
            "--mount",
            "sh",
            "-c",
            line,
            "sh",
            env!("CARGO_BIN_EXE_meetfs"),
            "mount",
            "--demo",
        ]);
        command.args(["--cache-dir"]).arg(rig.directory.path().join("cache"));
        command.arg("--log-file").arg(rig.log_path());
        if foreground {
            command.arg("--foreground");
        }
        let output = run(command.arg(&rig.mountpoint), SOON);
        assert_eq!(output.status.code(), Some(1), "{}", text(&output));
        assert_eq!(String::from_utf8_lossy(&output.stdout), "");
        assert!(
            String::from_utf8_lossy(&output.stderr).contains("cannot mount"),
            "{}",
            text(&output)
        );
    }
    assert_nothing_left(&rig, SOON);
}

#[test]
fn a_wrong_secret_names_what_to_check() {
    let rig = rig();
    let configuration = changed(&rig, "\"demo-secret\"", "\"wrong-s3cret\"");
    refused_with(
        &rig,
        &configuration,
        3,
        &["acme: cannot list recordings", "check client_id and client_secret"],
    );
}

#[test]
fn a_wrong_bearer_token_names_what_to_do() {
    let rig = rig();
    let configuration: String = rig
        .config()
        .lines()
        .filter(|line| {
            !["account_id", "client_id", "client_secret"].iter().any(|key| line.starts_with(key))
        })
        .map(|line| {
            format!(
                "{line}\n{}",
                if line == "provider = \"zoom\"" { "token = \"bad-s3cret\"\n" } else { "" }
            )
        })
        .collect();
    refused_with(
        &rig,
        &configuration,
        3,
        &["acme: cannot list recordings", "token was refused", "give a new one"],
    );
}

#[test]
fn an_interface_that_nobody_serves_is_named_with_the_reason() {
    let rig = rig();
    let (_kept, address) = deserted();
    let nowhere = format!("http://{address}");
    let configuration = changed(&rig, &rig.cloud.api_url(), &format!("{nowhere}/v2"));
    refused_with(
        &rig,
        &configuration,
        1,
        &["acme: cannot list recordings", &nowhere, "Connection refused"],
    );
    let configuration = changed(&rig, &rig.cloud.oauth_url(), &format!("{nowhere}/oauth/token"));
    refused_with(
        &rig,
        &configuration,
        1,
        &["acme: cannot list recordings", &nowhere, "Connection refused"],
    );
}

/// Two years are 26 windows: none of them may wait for itself.
#[test]
fn an_interface_that_swallows_every_request_is_given_up_in_bearable_time() {
    let rig = rig();
    rig.write_config(&rig.config());
    rig.cloud.inject(Trigger::always(Server::Api).on("/v2/").does(Effect::BlackHole));
    refused(&rig, 1, &["acme: cannot list recordings", "did not answer within"]);
}

#[test]
fn a_token_service_that_swallows_every_request_is_given_up_in_bearable_time() {
    let rig = rig();
    rig.write_config(&rig.config());
    rig.cloud.inject(Trigger::always(Server::Api).on("/oauth/").does(Effect::BlackHole));
    refused(&rig, 1, &["acme: cannot list recordings", "did not answer within"]);
}

#[test]
fn a_listing_that_fails_on_and_on_is_given_up_in_bearable_time() {
    let rig = rig();
    rig.write_config(&rig.config());
    rig.cloud.inject(Trigger::always(Server::Api).on("/v2/").does(Effect::status(502)));
    refused(&rig, 1, &["acme: cannot list recordings", "status 502"]);
}

#[test]
fn a_mountpoint_that_is_not_there_or_no_directory_or_not_empty_is_refused() {
    let rig = rig();
    rig.write_config(&rig.config());
    std::fs::write(rig.mountpoint.join("notes"), "mine").expect("a file");
    refused(&rig, 1, &["is not empty", "would hide"]);
    assert_eq!(std::fs::read_to_string(rig.mountpoint.join("notes")).expect("untouched"), "mine");
    std::fs::remove_file(rig.mountpoint.join("notes")).expect("a file");
    std::fs::remove_dir(&rig.mountpoint).expect("a directory");
    refused(&rig, 1, &["does not exist", "mkdir"]);
    std::fs::write(&rig.mountpoint, "").expect("a file");
    refused(&rig, 1, &["is not a directory"]);
    assert!(rig.cloud.requests().is_empty(), "the mountpoint is looked at before anybody is asked");
}

#[test]
fn a_second_mount_at_the_same_place_is_refused_and_the_first_goes_on() {
    let rig = rig();
    rig.mount();
    for foreground in [false, true] {
        let mut command = rig.mount_command();
        if foreground {
            command.arg("--foreground");
        }
        let output = run(&mut command, SOON);
        assert_eq!(output.status.code(), Some(4), "{}", text(&output));
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(said.contains("already mounted") && said.contains("meetfs unmount"), "{said}");
        assert_eq!(rig.entries_in_mount_table(), 1);
    }
    assert_eq!(rig.shell("ls").trim(), "acme");
    rig.unmount();
}

#[test]
fn a_foreign_mount_is_named_and_left_alone() {
    let rig = rig();
    rig.write_config(&rig.config());
    let mounted = run(
        std::process::Command::new("mount").args(["-t", "tmpfs", "scratch"]).arg(&rig.mountpoint),
        SOON,
    );
    assert!(mounted.status.success(), "{}", text(&mounted));
    let output = run(&mut rig.mount_command(), SOON);
    assert_eq!(output.status.code(), Some(4), "{}", text(&output));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        said.contains("already mounted (scratch)") && said.contains("Choose an empty directory."),
        "{said}"
    );
    assert_eq!(rig.entries_in_mount_table(), 1);
}

#[test]
fn wrong_usage_exits_with_2_and_shows_the_usage() {
    for arguments in [
        vec!["mount"],
        vec!["mount", "--colour", "/nowhere"],
        vec!["mount", "-o", "rw", "/nowhere"],
    ] {
        let output = run(meetfs().args(&arguments), SOON);
        assert_eq!(output.status.code(), Some(2), "{}", text(&output));
        assert!(!Path::new("/nowhere").exists());
    }
}

#[test]
fn a_foreground_log_at_its_finest_shows_no_secret() {
    let rig = rig();
    rig.write_config(&rig.config());
    let mut command = meetfs();
    command.args(["mount", "-f", "--log-level", "debug", "--config"]).arg(rig.config_path());
    let mut running = crate::support::life::RunningCommand::start(command.arg(&rig.mountpoint));
    crate::support::wait_until(SOON, "mounted", || rig.entries_in_mount_table() == 1);
    rig.shell("cat acme/*/*/chat.txt | wc -c");
    running.signal("INT");
    running.end(SOON);
    let said = running.output();
    assert!(said.contains("mounted at"), "{said}");
    for secret in ["demo-secret", "demo-token", "Bearer", "Signature"] {
        assert!(!said.contains(secret), "{secret}: {said}");
    }
}
