//! `meetfs doctor`: every problem has a fix, and a working set-up has no failure.

use std::process::Output;
use std::time::{Duration, Instant};

use crate::support::processes::RunningCommand;
use crate::support::{COMMAND_TIMEOUT, Rig, refusing_address, run, text, wait_until};
use meetfs::demo_cloud::{Archive, DemoCloudOptions, Effect, Server, Trigger};

fn rig() -> Rig {
    let archive = Archive::with_meetings(6, 20);
    let rig = Rig::new(DemoCloudOptions { archive, ..DemoCloudOptions::default() });
    rig.write_config(&rig.config());
    rig
}

fn doctor(rig: &Rig, words: &[&str]) -> Output {
    run(
        rig.meetfs().arg("doctor").arg("--config").arg(rig.config_path()).args(words),
        COMMAND_TIMEOUT,
    )
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn working_configuration_costs_few_requests() {
    let rig = rig();
    let output = doctor(&rig, &[]);
    assert!(output.status.success(), "{}", text(&output));
    let text = stdout(&output);
    for line in [
        "ok       FUSE: /dev/fuse can be opened",
        "ok       configuration: 1 source",
        "ok       acme, 127.0.0.1: reachable",
        "ok       acme, listing: 6 meetings since",
        "ok       acme, reading: read one byte of a file of",
    ] {
        assert!(text.contains(line), "{line}\n{text}");
    }
    assert!(!text.contains("FAILURE"), "{text}");
    assert!(rig.cloud.requests().len() < 12, "{}", rig.cloud.requests().len());
    let output = doctor(&rig, &["--json"]);
    let checks: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert!(
        checks
            .as_array()
            .is_some_and(|checks| checks.iter().all(|check| check["verdict"] != "failure"))
    );
    assert!(!rig.directory.path().join("cache").exists(), "nothing is created");
}

#[test]
fn doctor_works_next_to_a_mount() {
    let rig = rig();
    rig.mount();
    let output = doctor(&rig, &[]);
    assert!(output.status.success(), "{}", text(&output));
    rig.unmount();
}

#[test]
fn wrong_secret_is_reported_and_not_printed() {
    let rig = rig();
    let secret = rig.cloud.credentials().client_secret;
    rig.write_config(&rig.config().replace(&secret, "wrong-and-private"));
    let output = doctor(&rig, &[]);
    assert_eq!(output.status.code(), Some(3), "{}", text(&output));
    assert!(
        stdout(&output).contains("FAILURE  acme, listing:")
            && stdout(&output).contains("client_secret")
    );
    assert!(!text(&output).contains("wrong-and-private") && !text(&output).contains(&secret));
}

#[test]
fn unreachable_endpoint_and_refused_download_are_failures() {
    let rig = rig();
    rig.cloud.inject(Trigger::always(Server::Web).with_effect(Effect::Html200));
    let output = doctor(&rig, &[]);
    assert_eq!(output.status.code(), Some(3), "{}", text(&output));
    assert!(stdout(&output).contains("FAILURE  acme, reading:"), "{}", text(&output));
    let (_kept, closed) = refusing_address();
    let elsewhere = rig.config().replace(&rig.cloud.api_url(), &format!("http://{closed}/v2"));
    rig.write_config(
        &elsewhere.replace(&rig.cloud.oauth_url(), &format!("http://{closed}/oauth/token")),
    );
    let output = doctor(&rig, &[]);
    assert_eq!(output.status.code(), Some(1), "{}", text(&output));
    assert!(stdout(&output).contains("the connection to "), "{}", text(&output));
}

#[test]
fn unreachable_endpoint_is_reported_once_and_soon() {
    let rig = rig();
    let (_kept, closed) = refusing_address();
    let elsewhere = rig.config().replace(&rig.cloud.api_url(), &format!("http://{closed}/v2"));
    rig.write_config(
        &elsewhere.replace(&rig.cloud.oauth_url(), &format!("http://{closed}/oauth/token")),
    );
    let started = Instant::now();
    let output = doctor(&rig, &[]);
    assert!(started.elapsed() < Duration::from_secs(10), "{:?}", started.elapsed());
    assert_eq!(output.status.code(), Some(1), "{}", text(&output));
    let report = stdout(&output);
    assert_eq!(report.matches("the connection to ").count(), 1, "{report}");
    assert!(!report.contains("acme, listing"), "{report}");
    // One lost connection is not a problem.
    rig.write_config(&rig.config());
    rig.cloud.inject(Trigger::next(Server::Api, 1).with_effect(Effect::Reset { after_bytes: 0 }));
    let output = doctor(&rig, &[]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
}

#[test]
fn invalid_configuration_is_one_failure_of_several() {
    let rig = rig();
    rig.write_config("[source.acme]\nprovider = \"zoom\"\nuser = [\"me\"]\n");
    let output = doctor(&rig, &[]);
    assert_eq!(output.status.code(), Some(3), "{}", text(&output));
    assert!(
        stdout(&output).contains("FUSE") && stdout(&output).contains("`users`"),
        "{}",
        text(&output)
    );
}

/// Returns the checks of `--json` that are not ok, after asserting that each has a fix and a
/// finding of one line.
fn problems(rig: &Rig, words: &[&str]) -> Vec<serde_json::Value> {
    let output = doctor(rig, &[&["--json"], words].concat());
    let checks: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let checks = checks.as_array().expect("a list").clone();
    let problems = checks.into_iter().filter(|check| check["verdict"] != "ok");
    problems
        .inspect(|check| {
            assert!(check["hint"].as_str().is_some_and(|hint| !hint.is_empty()), "{check}");
            assert!(check["error"].as_str().is_some_and(|error| !error.contains('\n')), "{check}");
        })
        .collect()
}

#[test]
fn missing_source_has_an_example_as_fix() {
    let rig = rig();
    rig.write_config("timezone = \"UTC\"\n");
    let text = stdout(&doctor(&rig, &[]));
    let lines: Vec<_> = text.lines().skip_while(|line| !line.contains("configuration")).collect();
    assert!(lines[0].starts_with("FAILURE  configuration: no source is configured in "), "{text}");
    assert_eq!(lines[1], "         Add a source, for example:");
    assert_eq!(&lines[2..4], ["", "         [source.acme]"]);
    assert!(lines[4..].iter().all(|line| line.starts_with("         ")), "{text}");
    let problems = problems(&rig, &[]);
    let fix = problems.iter().find(|check| check["subject"] == "configuration").expect("a check");
    assert!(
        fix["hint"].as_str().is_some_and(|fix| fix.contains("[source.acme]\nprovider")),
        "{fix}"
    );
}

#[test]
fn every_problem_has_a_fix() {
    let rig = rig();
    let config = rig.config();
    let (_kept, closed) = refusing_address();
    let broken = [
        "[source.acme".to_owned(),
        config.replace("account_id", "acount_id"),
        config.replace("plan = \"business\"", "plan = 7"),
        config.replace("plan = \"business\"", "plan = \"gold\""),
        config.replace("demo-secret", "wrong"),
        config.replace("demo-secret", ""),
        config.replace("http://127", "ftp://127"),
        config.replace(&rig.cloud.api_url(), &format!("http://{closed}/v2")),
        format!("{config}users = [\"me\", \"unknown@example.org\"]\n"),
    ];
    for text in &broken {
        rig.write_config(text);
        assert!(!problems(&rig, &[]).is_empty(), "{text}");
    }
    rig.write_config(&config);
    assert!(!problems(&rig, &["--cache-dir", "/proc/x"]).is_empty());
    assert!(!problems(&rig, &["--source", "acne"]).is_empty());
    rig.cloud.inject(Trigger::always(Server::Web).with_effect(Effect::Html200));
    assert!(!problems(&rig, &[]).is_empty());
    rig.cloud.inject(
        Trigger::always(Server::Api).with_path("/recordings").with_effect(Effect::status(500)),
    );
    assert!(!problems(&rig, &[]).is_empty());
}

#[test]
fn cache_directory_is_tested_and_left_empty() {
    let rig = rig();
    let check = |path: &str| {
        let output = doctor(&rig, &["--cache-dir", path]);
        (output.status.code(), stdout(&output))
    };
    let file = rig.directory.path().join("file");
    std::fs::write(&file, "").expect("a file");
    let below_file = file.join("cache");
    for impossible in ["/proc/x", "/sys/x", "/dev/null", below_file.to_str().expect("a path")] {
        let (code, text) = check(impossible);
        assert_eq!(code, Some(3), "{impossible}\n{text}");
        assert!(
            text.contains("FAILURE  cache directory: cannot use the cache")
                && text.contains("--cache-dir"),
            "{text}"
        );
    }
    let directory = rig.directory.path().join("new/and/deep");
    let (code, text) = check(directory.to_str().expect("a path"));
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains(&format!("ok       cache directory: {}", directory.display())), "{text}");
    assert!(!rig.directory.path().join("new").exists(), "nothing is left");
}

#[test]
fn each_check_is_printed_when_it_ends() {
    let rig = rig();
    rig.cloud.inject(Trigger::always(Server::Api).with_effect(Effect::BlackHole));
    let mut command = rig.meetfs();
    command.args(["doctor", "--config"]).arg(rig.config_path());
    let mut running = RunningCommand::start(&mut command);
    wait_until(COMMAND_TIMEOUT, "the first checks are printed", || {
        running.output().contains("cache directory: ")
    });
    assert!(running.is_running(), "{}", running.output());
    rig.cloud.clear_faults();
    running.end(COMMAND_TIMEOUT);
    assert!(running.output().contains("acme, reading: "), "{}", running.output());
}
