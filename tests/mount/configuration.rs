//! Errors of `meetfs mount`: the message, the hint, the exit code, and that nothing is left behind.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::support::processes::{assert_nothing_left, processes_for};
use crate::support::{COMMAND_TIMEOUT, Rig, meetfs, refusing_address, run, text};
use meetfs::demo_cloud::{Archive, DemoCloudOptions, Effect, Server, Trigger};

/// The time that a user at a terminal is willing to wait.
const MAX_WAIT: Duration = Duration::from_secs(35);

/// The secrets of these tests.
const SECRETS: [&str; 2] = ["demo-secret", "s3cret"];

fn rig() -> Rig {
    Rig::new(DemoCloudOptions {
        archive: Archive::with_meetings(40, 60),
        ..DemoCloudOptions::default()
    })
}

/// Writes `configuration` and then does the same as [`assert_refused`].
fn assert_refused_with(rig: &Rig, configuration: &str, code: i32, words: &[&str]) {
    rig.write_config(configuration);
    assert_refused(rig, code, words);
}

/// Asserts that a mount in the background and one in the foreground fail with the exit code `code`
/// and an error that contains `words`.
fn assert_refused(rig: &Rig, code: i32, words: &[&str]) {
    for foreground in [false, true] {
        let mut command = rig.mount_command();
        command.arg("--require-online");
        if foreground {
            command.arg("--foreground");
        }
        let start = Instant::now();
        let output = run(&mut command, COMMAND_TIMEOUT);
        assert!(start.elapsed() < MAX_WAIT, "{:?}", start.elapsed());
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(code), "{}", text(&output));
        assert_eq!(String::from_utf8_lossy(&output.stdout), "");
        let mut after_progress =
            stderr.lines().skip_while(|line| line.starts_with("waiting for acme to list"));
        assert!(after_progress.next().is_some_and(|line| line.starts_with("error: ")), "{stderr}");
        assert_eq!(stderr.matches("error: ").count(), 1, "{stderr}");
        for word in words {
            assert!(stderr.contains(word), "{word:?} is not in: {stderr}");
        }
        for text in [&stderr, &rig.log()] {
            assert!(!text.contains("panicked"), "{text}");
            assert!(SECRETS.iter().all(|secret| !text.contains(secret)), "{text}");
        }
        assert_eq!(rig.entries_in_mount_table(), 0);
        assert_eq!(processes_for(&rig.mountpoint), [0; 0]);
    }
}

/// Returns the configuration of the rig with `from` replaced by `to`. The configuration must
/// contain `from`.
fn replaced(rig: &Rig, from: &str, to: &str) -> String {
    let configuration = rig.config();
    assert!(configuration.contains(from), "{from:?} is not in {configuration}");
    configuration.replace(from, to)
}

#[test]
fn missing_configuration_is_named() {
    let rig = rig();
    assert_refused(&rig, 3, &["config.toml", "No such file"]);
}

#[test]
fn syntax_error_is_named_with_its_line() {
    let rig = rig();
    assert_refused_with(
        &rig,
        &replaced(&rig, "[source.acme]", "[source.acme"),
        3,
        &["config.toml", "line 6"],
    );
}

#[test]
fn unknown_key_is_named_with_the_nearest() {
    let rig = rig().with_source("sinse = \"2024-01-01\"");
    let configuration = rig.config();
    assert_refused_with(
        &rig,
        &configuration,
        3,
        &["unknown key `sinse`", "hint: Did you mean `since`?"],
    );
}

#[test]
fn source_without_credentials_is_refused_with_hint() {
    let rig = rig();
    let configuration: String = rig
        .config()
        .lines()
        .filter(|line| {
            !["account_id", "client_id", "client_secret"].iter().any(|key| line.starts_with(key))
        })
        .map(|line| format!("{line}\n"))
        .collect();
    assert_refused_with(
        &rig,
        &configuration,
        3,
        &["[source.acme] needs a credential", "hint: Set `account_id`"],
    );
}

#[test]
fn configuration_without_sources_shows_an_example() {
    let rig = rig();
    rig.write_config("timezone = \"UTC\"\n");
    let output = run(&mut rig.mount_command(), COMMAND_TIMEOUT);
    assert_eq!(output.status.code(), Some(3), "{}", text(&output));
    assert!(String::from_utf8_lossy(&output.stderr).contains("[source.acme]"), "{}", text(&output));
    assert_nothing_left(&rig, COMMAND_TIMEOUT);
}

#[test]
fn secret_readable_by_group_is_refused_with_hint() {
    let rig = rig();
    let secret = rig.directory.path().join("acme.secret");
    std::fs::write(&secret, "demo-secret\n").expect("a secret");
    std::fs::set_permissions(&secret, std::fs::Permissions::from_mode(0o640)).expect("a mode");
    let configuration =
        replaced(&rig, "client_secret = \"demo-secret\"", "client_secret_file = \"acme.secret\"");
    let fix = format!("chmod 600 {}", secret.display());
    assert_refused_with(&rig, &configuration, 3, &["0640", &fix]);
    std::fs::set_permissions(&secret, std::fs::Permissions::from_mode(0o600)).expect("a mode");
    assert!(run(&mut rig.mount_command(), COMMAND_TIMEOUT).status.success(), "the hint is the fix");
    rig.unmount();
}

#[test]
fn readable_configuration_with_secret_is_refused() {
    let rig = rig();
    rig.write_config(&rig.config());
    std::fs::set_permissions(rig.config_path(), std::fs::Permissions::from_mode(0o644))
        .expect("a mode");
    assert_refused(&rig, 3, &["`client_secret`", "0644", "chmod 600"]);
}

/// A configuration file that another user owns or can write to may not be what the caller wants, so
/// it must not run commands.
#[test]
fn configuration_of_another_user_runs_no_command() {
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
    rig.write_config(&replaced(&rig, in_plain, &command));
    let path = rig.config_path();
    owned_by(&path, 65534);
    for readable in [0o600, 0o644] {
        mode(&path, readable);
        let fix = format!("chown 0 {}", path.display());
        assert_refused(&rig, 3, &["belongs to user 65534", &fix]);
    }
    owned_by(&path, 0);
    for (open, mode_text) in [(0o664, "0664"), (0o646, "0646"), (0o620, "0620"), (0o602, "0602")] {
        mode(&path, open);
        assert_refused(&rig, 3, &[mode_text, &format!("chmod go-w {}", path.display())]);
    }
    assert!(!ran.exists(), "the command did not run");
    mode(&path, 0o644);
    assert!(run(&mut rig.mount_command(), COMMAND_TIMEOUT).status.success(), "the hint is the fix");
    assert!(ran.exists());
    rig.unmount();

    std::fs::write(&secret, "demo-secret\n").expect("a secret");
    mode(&secret, 0o600);
    owned_by(&secret, 65534);
    let configuration = replaced(&rig, in_plain, "client_secret_file = \"acme.secret\"");
    let fix = format!("chown 0 {}", secret.display());
    assert_refused_with(
        &rig,
        &configuration,
        3,
        &["`source.acme.client_secret_file`", "user 65534", &fix],
    );
    // Without sources, the configuration still names the cache directory, which root would clear.
    rig.write_config("[cache]\ndir = \"/somewhere\"\n");
    owned_by(&path, 65534);
    let output = run(meetfs().args(["cache", "clear", "--config"]).arg(&path), COMMAND_TIMEOUT);
    assert_eq!(output.status.code(), Some(3), "{}", text(&output));
}

#[test]
fn invalid_value_is_refused_with_hint() {
    let rig = rig();
    let wrong_zone = rig.config().replace("timezone = \"UTC\"", "timezone = \"Mars/Olympus\"");
    assert_refused_with(
        &rig,
        &wrong_zone,
        3,
        &["line 1", "`Mars/Olympus`", "\"Europe/Berlin\"", "timedatectl"],
    );
    let near_zone = rig.config().replace("timezone = \"UTC\"", "timezone = \"Europe/Pariss\"");
    assert_refused_with(&rig, &near_zone, 3, &["hint: Did you mean `Europe/Paris`?"]);
    let huge = replaced(&rig, "[cache]", "[cache]\nmemory = \"4PiB\"");
    assert_refused_with(
        &rig,
        &huge,
        3,
        &["`cache.memory`", "is 4.0 PiB", "this machine has ", "hint: Use a smaller size"],
    );
}

#[test]
fn key_of_another_provider_names_it() {
    let rig = rig();
    for (line, words) in [
        ("admin = true", "hint: Only webex sources have this key, and this is a zoom source."),
        ("meetings = [\"1\"]", "Only rapatin sources have this key"),
        ("refresh_token_file = \"x\"", "Only webex sources have this key"),
        ("user = [\"me\"]", "hint: Did you mean `users`?"),
    ] {
        let configuration = format!("{}{line}\n", rig.config());
        assert_refused_with(&rig, &configuration, 3, &["unknown key", "[source.acme]", words]);
    }
}

#[test]
fn key_in_the_wrong_table_names_its_place() {
    let rig = rig();
    const TOP: &str = "This key belongs at the top of the file, before the first table.";
    const CACHE: &str = "This key belongs in [cache].";
    const SOURCE: &str = "This key belongs in the table of a source, such as [source.acme].";
    for (table, key, expected) in [
        ("[source.acme]", "directory_mode = \"0700\"", TOP),
        ("[source.acme]", "read_deadline = \"20s\"", TOP),
        ("[source.acme]", "memory = \"1GiB\"", CACHE),
        ("[cache]", "file_mode = \"0600\"", TOP),
        ("[cache]", "users = [\"all\"]", SOURCE),
        ("", "disk = \"off\"", CACHE),
        ("", "client_secret_file = \"x\"", SOURCE),
    ] {
        let configuration = match table {
            "" => format!("{key}\n{}", rig.config()),
            table => replaced(&rig, table, &format!("{table}\n{key}")),
        };
        let name = key.split(' ').next().unwrap_or_default();
        let hint = format!("\nhint: {expected}\n");
        let problem = format!("unknown key `{name}`");
        assert_refused_with(&rig, &configuration, 3, &[&problem, &hint]);
    }
}

#[test]
fn value_of_the_wrong_type_has_a_hint() {
    let rig = rig();
    for (line, hint) in [
        ("users = \"all\"", "Write a list: `users = [\"all\"]`."),
        ("topics = \"Weekly*\"", "Write a list: `topics = [\"Weekly*\"]`."),
        ("trash = \"no\"", "Write `true` or `false` without quotes."),
    ] {
        let configuration = format!("{}{line}\n", rig.config());
        assert_refused_with(&rig, &configuration, 3, &[&format!("\nhint: {hint}\n")]);
    }
    for (line, hint) in [
        ("connections = \"8\"", "Write the number without quotes."),
        (
            "read_deadline = 30",
            "Write the value in quotes. A size or a duration also needs a unit.",
        ),
    ] {
        let configuration = format!("{line}\n{}", rig.config());
        assert_refused_with(&rig, &configuration, 3, &[&format!("\nhint: {hint}\n")]);
    }
}

#[test]
fn path_below_a_file_has_a_hint() {
    const HINT: &str = "\nhint: A part of this path is a file. Correct the path.\n";
    let rig = rig();
    let file = rig.directory.path().join("file");
    std::fs::write(&file, "").expect("a file");
    let secret = rig.cloud.credentials().client_secret;
    let configuration = replaced(
        &rig,
        &format!("client_secret = \"{secret}\""),
        &format!("client_secret_file = \"{}/secret\"", file.display()),
    );
    assert_refused_with(&rig, &configuration, 3, &["`source.acme.client_secret_file`", HINT]);
    rig.write_config(&rig.config());
    let below = file.join("m");
    let mut mount = rig.meetfs();
    mount.args(["mount", "--config"]).arg(rig.config_path()).arg(&below);
    let output = run(&mut mount, COMMAND_TIMEOUT);
    assert_eq!(output.status.code(), Some(1), "{}", text(&output));
    let expected = format!(
        "error: cannot use the mountpoint {}: Not a directory (os error 20){HINT}",
        below.display()
    );
    assert_eq!(String::from_utf8_lossy(&output.stderr), expected);
}

#[test]
fn demo_refuses_a_configuration() {
    let rig = rig();
    rig.write_config(&rig.config());
    let mut command = rig.meetfs();
    command.args(["mount", "--demo", "--config"]).arg(rig.config_path()).arg(&rig.mountpoint);
    let output = run(&mut command, COMMAND_TIMEOUT);
    assert_eq!(output.status.code(), Some(2), "{}", text(&output));
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(stderr.contains("'--demo' cannot be used with '--config <FILE>'"), "{stderr}");
    assert_nothing_left(&rig, COMMAND_TIMEOUT);
}

#[test]
fn demo_reads_no_configuration_file() {
    let rig = rig();
    let home = rig.directory.path().join("home");
    std::fs::create_dir_all(home.join("meetfs")).expect("a directory");
    std::fs::write(home.join("meetfs/config.toml"), "this is = not = TOML").expect("a file");
    let broken = home.join("meetfs/config.toml");
    for variable in [("XDG_CONFIG_HOME", &home), ("MEETFS_CONFIG", &broken)] {
        let mut command = rig.meetfs();
        command.args(["mount", "--demo", "--log-file"]).arg(rig.log_path()).arg(&rig.mountpoint);
        let output = run(command.env(variable.0, variable.1), COMMAND_TIMEOUT);
        assert!(output.status.success(), "{variable:?}: {}", text(&output));
        rig.unmount();
    }
    let mut command = rig.meetfs();
    command.args(["mount", "--demo", "--log-file"]).arg(rig.log_path());
    command.arg("--cache-dir").arg(&broken).arg(&rig.mountpoint);
    let output = run(&mut command, COMMAND_TIMEOUT);
    assert!(!output.status.success(), "{}", text(&output));
    assert!(
        text(&output).contains("home/meetfs/config.toml: Not a directory"),
        "{}",
        text(&output)
    );
    assert_nothing_left(&rig, COMMAND_TIMEOUT);
}

#[test]
fn wrong_value_of_a_flag_is_wrong_usage() {
    let rig = rig();
    rig.write_config(&rig.config());
    for (arguments, expected) in [
        (&["--memory", "lots"][..], "error: `--memory`: `lots` is not a size\nhint: "),
        (&["--timezone", "Mars"], "error: `--timezone`: unknown time zone"),
        (&["--connections", "0"], "error: `--connections`: "),
        (&["--read-deadline", "soon"], "error: `--read-deadline`: "),
        (&["--memory", "128"], "error: `--memory`: `128` has no unit\nhint: Write \"128MiB\".\n"),
        (&["--disk", "50"], "error: `--disk`: `50` has no unit\nhint: Write \"50GiB\".\n"),
        (&["--read-deadline", "5"], "error: `--read-deadline`: `5` has no unit\nhint: "),
        (&["--disk", "1B"], "error: `--disk`: "),
        (&["--memory", "-1"], "error: `--memory`: `-1` is not a size\nhint: "),
        (&["--disk", "-1"], "error: `--disk`: `-1` is not a size\nhint: "),
        (&["--read-deadline", "-1"], "error: `--read-deadline`: "),
        (&["--memory", "-1GiB"], "tip: a value must not be negative"),
        (&["-o", "foo"], "unknown option `foo`\nhint: "),
    ] {
        for command in ["mount", "doctor"] {
            if command == "doctor" && arguments[0] == "-o" {
                continue;
            }
            let mut words = rig.meetfs();
            words.args([command, "--config"]).arg(rig.config_path()).args(arguments);
            if command == "mount" {
                words.arg(&rig.mountpoint);
            }
            let output = run(&mut words, COMMAND_TIMEOUT);
            assert_eq!(output.status.code(), Some(2), "{arguments:?}: {}", text(&output));
            assert!(text(&output).contains(expected), "{arguments:?}: {}", text(&output));
        }
    }
    let output = run(rig.meetfs().args(["mount", "--ro"]).arg(&rig.mountpoint), COMMAND_TIMEOUT);
    assert_eq!(output.status.code(), Some(2), "{}", text(&output));
    assert!(text(&output).contains("as in `-o ro`"), "{}", text(&output));
    assert!(!text(&output).contains("readiness"), "{}", text(&output));
}

#[test]
fn failed_demo_mount_prints_only_the_error() {
    let rig = rig();
    // The mount runs in a mount namespace without FUSE.
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
        let output = run(command.arg(&rig.mountpoint), COMMAND_TIMEOUT);
        assert_eq!(output.status.code(), Some(1), "{}", text(&output));
        assert_eq!(String::from_utf8_lossy(&output.stdout), "");
        assert!(
            String::from_utf8_lossy(&output.stderr).contains("cannot mount"),
            "{}",
            text(&output)
        );
    }
    assert_nothing_left(&rig, COMMAND_TIMEOUT);
}

#[test]
fn wrong_secret_is_refused_with_hint() {
    let rig = rig();
    let configuration = replaced(&rig, "\"demo-secret\"", "\"wrong-s3cret\"");
    assert_refused_with(
        &rig,
        &configuration,
        3,
        &["acme: cannot list recordings", "hint: Check client_id and client_secret"],
    );
}

#[test]
fn unknown_user_is_a_configuration_error() {
    let rig = rig();
    let configuration = format!("{}users = [\"absent@example.org\"]\n", rig.config());
    assert_refused_with(
        &rig,
        &configuration,
        3,
        &["acme: cannot list recordings", "hint: Correct or remove the name in `users`."],
    );
}

#[test]
fn wrong_token_is_refused_with_hint() {
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
    assert_refused_with(
        &rig,
        &configuration,
        3,
        &["acme: cannot list recordings", "Zoom refused the token", "Configure a new one"],
    );
}

#[test]
fn refused_connection_is_named_with_its_url() {
    let rig = rig();
    let (_socket, address) = refusing_address();
    let url = format!("http://{address}");
    let configuration = replaced(&rig, &rig.cloud.api_url(), &format!("{url}/v2"));
    assert_refused_with(
        &rig,
        &configuration,
        1,
        &["acme: cannot list recordings", &url, "Connection refused"],
    );
    let configuration = replaced(&rig, &rig.cloud.oauth_url(), &format!("{url}/oauth/token"));
    assert_refused_with(
        &rig,
        &configuration,
        1,
        &["acme: cannot list recordings", &url, "Connection refused"],
    );
}

/// A span of two years has 26 listing windows. Their timeouts must not add up.
#[test]
fn silent_api_ends_the_mount_in_time() {
    let rig = rig();
    rig.write_config(&rig.config());
    rig.cloud.inject(Trigger::always(Server::Api).with_path("/v2/").with_effect(Effect::BlackHole));
    assert_refused(
        &rig,
        1,
        &["waiting for acme to list the", "acme: cannot list recordings", "did not answer within"],
    );
}

#[test]
fn silent_token_service_ends_the_mount_in_time() {
    let rig = rig();
    rig.write_config(&rig.config());
    rig.cloud
        .inject(Trigger::always(Server::Api).with_path("/oauth/").with_effect(Effect::BlackHole));
    assert_refused(&rig, 1, &["acme: cannot list recordings", "did not answer within"]);
}

#[test]
fn failing_listing_ends_the_mount_in_time() {
    let rig = rig();
    rig.write_config(&rig.config());
    rig.cloud
        .inject(Trigger::always(Server::Api).with_path("/v2/").with_effect(Effect::status(502)));
    assert_refused(&rig, 1, &["acme: cannot list recordings", "returned a server error (502)"]);
}

#[test]
fn unusable_mountpoint_is_refused() {
    let rig = rig();
    rig.write_config(&rig.config());
    std::fs::write(rig.mountpoint.join("notes"), "mine").expect("a file");
    assert_refused(&rig, 1, &["is not empty", "would hide"]);
    assert_eq!(std::fs::read_to_string(rig.mountpoint.join("notes")).expect("untouched"), "mine");
    std::fs::remove_file(rig.mountpoint.join("notes")).expect("a file");
    std::fs::remove_dir(&rig.mountpoint).expect("a directory");
    assert_refused(&rig, 1, &["does not exist", "mkdir"]);
    std::fs::write(&rig.mountpoint, "").expect("a file");
    assert_refused(&rig, 1, &["is not a directory"]);
    assert!(rig.cloud.requests().is_empty(), "the mountpoint is checked before the first request");
}

#[test]
fn second_mount_is_refused_and_first_continues() {
    let rig = rig();
    rig.mount();
    for foreground in [false, true] {
        let mut command = rig.mount_command();
        if foreground {
            command.arg("--foreground");
        }
        let output = run(&mut command, COMMAND_TIMEOUT);
        assert_eq!(output.status.code(), Some(4), "{}", text(&output));
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(
            stderr.contains("already mounted") && stderr.contains("meetfs unmount"),
            "{stderr}"
        );
        assert_eq!(rig.entries_in_mount_table(), 1);
    }
    assert_eq!(rig.shell("ls").trim(), "acme");
    rig.unmount();
}

#[test]
fn mount_of_another_program_is_named() {
    let rig = rig();
    rig.write_config(&rig.config());
    let mounted = run(
        std::process::Command::new("mount").args(["-t", "tmpfs", "scratch"]).arg(&rig.mountpoint),
        COMMAND_TIMEOUT,
    );
    assert!(mounted.status.success(), "{}", text(&mounted));
    let output = run(&mut rig.mount_command(), COMMAND_TIMEOUT);
    assert_eq!(output.status.code(), Some(4), "{}", text(&output));
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        stderr.contains("already mounted (scratch)")
            && stderr.contains("Choose an empty directory."),
        "{stderr}"
    );
    assert_eq!(rig.entries_in_mount_table(), 1);
}

#[test]
fn wrong_usage_exits_with_2() {
    for arguments in [
        vec!["mount"],
        vec!["mount", "--colour", "/nowhere"],
        vec!["mount", "-o", "rw", "/nowhere"],
    ] {
        let output = run(meetfs().args(&arguments), COMMAND_TIMEOUT);
        assert_eq!(output.status.code(), Some(2), "{}", text(&output));
        assert!(!Path::new("/nowhere").exists());
    }
}

#[test]
fn foreground_debug_log_shows_no_secret() {
    let rig = rig();
    rig.write_config(&rig.config());
    let mut command = meetfs();
    command.args(["mount", "-f", "--log-level", "debug", "--config"]).arg(rig.config_path());
    let mut running =
        crate::support::processes::RunningCommand::start(command.arg(&rig.mountpoint));
    crate::support::wait_until(COMMAND_TIMEOUT, "mounted", || rig.entries_in_mount_table() == 1);
    rig.shell("cat acme/*/*/chat.txt | wc -c");
    running.signal("INT");
    running.end(COMMAND_TIMEOUT);
    let stderr = running.output();
    assert!(stderr.contains("mounted at"), "{stderr}");
    for secret in ["demo-secret", "demo-token", "Bearer", "Signature"] {
        assert!(!stderr.contains(secret), "{secret}: {stderr}");
    }
}

/// Runs `meetfs cache status --json` with variables and flags. Returns the limit and the directory
/// of the cache.
fn cache_status(rig: &Rig, variables: &[(&str, &str)], flags: &[&str]) -> (u64, String) {
    let mut command = meetfs();
    command.args(["cache", "status", "--json"]).args(flags).env("HOME", rig.directory.path());
    let output = run(command.envs(variables.iter().copied()), COMMAND_TIMEOUT);
    assert!(output.status.success(), "{}", text(&output));
    let status: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let directory = status["directory"].as_str().expect("a directory").to_owned();
    (status["limit"].as_u64().expect("a limit"), directory)
}

#[test]
fn flag_beats_variable_and_variable_beats_file() {
    let rig = rig();
    rig.write_config("[cache]\ndir = \"/file\"\ndisk = \"1GiB\"\n");
    let path = rig.config_path();
    let config = ["--config", path.to_str().expect("a path")];
    assert_eq!(cache_status(&rig, &[], &config), (1 << 30, "/file/blocks".into()));

    let mut variables = vec![
        ("MEETFS_CACHE_DIR", "/variable"),
        ("MEETFS_CACHE_DISK", "2GiB"),
        ("MEETFS_CONFIG", config[1]),
    ];
    assert_eq!(cache_status(&rig, &variables, &[]), (2 << 30, "/variable/blocks".into()));

    let flags = ["--cache-dir", "/flag", "--disk", "3GiB"];
    assert_eq!(cache_status(&rig, &variables, &flags), (3 << 30, "/flag/blocks".into()));

    // An empty variable counts as unset.
    variables[..2].iter_mut().for_each(|variable| variable.1 = "");
    assert_eq!(cache_status(&rig, &variables, &[]), (1 << 30, "/file/blocks".into()));
}

#[test]
fn wrong_variable_is_named_unless_flag_is_set() {
    let rig = rig();
    for (variable, flag, good) in [
        ("MEETFS_CACHE_MEMORY", "--memory", "16MiB"),
        ("MEETFS_CACHE_DISK", "--disk", "off"),
        ("MEETFS_TIMEZONE", "--timezone", "UTC"),
        ("MEETFS_READ_DEADLINE", "--read-deadline", "5s"),
        ("MEETFS_CONNECTIONS", "--connections", "3"),
    ] {
        let run_with = |arguments: &[&str]| {
            let mut command = meetfs();
            command.args(["cache", "status"]).args(arguments).env("HOME", rig.directory.path());
            run(command.env(variable, "wrong"), COMMAND_TIMEOUT)
        };
        let output = run_with(&[]);
        assert_eq!(output.status.code(), Some(3), "{}", text(&output));
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(stderr.starts_with(&format!("error: `{variable}`: ")), "{stderr}");
        let output = run_with(&[flag, good]);
        assert!(output.status.success(), "{}", text(&output));
    }
}

#[test]
fn source_variable_selects_several_sources() {
    let rig = rig();
    rig.write_config(&rig.config());
    let run_with = |names: &str, arguments: &[&str]| {
        let mut command = rig.meetfs();
        command.args(["doctor", "--config"]).arg(rig.config_path()).args(arguments);
        run(command.env("MEETFS_SOURCE", names), COMMAND_TIMEOUT)
    };
    for (names, expected) in [("acme, zulu", "unknown source `zulu`"), (",", "name of a source")] {
        let output = run_with(names, &[]);
        assert_eq!(output.status.code(), Some(3), "{}", text(&output));
        assert!(text(&output).contains(expected), "{}", text(&output));
    }
    let output = run_with("zulu", &["--source", "acme"]);
    assert!(text(&output).contains("1 source"), "{}", text(&output));
}

#[test]
fn demo_ignores_the_variables_of_other_mounts() {
    let rig = rig();
    let mut command = rig.meetfs();
    command.args(["mount", "--demo", "--cache-dir"]).arg(rig.directory.path().join("cache"));
    command.arg("--log-file").arg(rig.log_path()).arg(&rig.mountpoint);
    let output = run(command.env("MEETFS_SOURCE", "acme"), COMMAND_TIMEOUT);
    assert!(output.status.success(), "{}", text(&output));
    rig.unmount();
}
