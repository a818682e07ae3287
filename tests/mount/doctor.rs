//! `meetfs doctor`: what is wrong is told with its fix, and what is right is not called wrong.

// A helper that cannot go on fails its test.

use std::process::Output;

use crate::support::{Rig, SOON, deserted, run, text};
use meetfs::demo_cloud::{Archive, DemoCloudOptions, Effect, Server, Trigger};

fn rig() -> Rig {
    let archive = Archive::many(6, 20);
    let rig = Rig::new(DemoCloudOptions { archive, ..DemoCloudOptions::default() });
    rig.write_config(&rig.config());
    rig
}

fn doctor(rig: &Rig, words: &[&str]) -> Output {
    run(rig.meetfs().arg("doctor").arg("--config").arg(rig.config_path()).args(words), SOON)
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn a_configuration_that_works_has_no_failure_and_costs_a_handful_of_requests() {
    let rig = rig();
    let output = doctor(&rig, &[]);
    assert!(output.status.success(), "{}", text(&output));
    let told = said(&output);
    for line in [
        "ok       FUSE: /dev/fuse can be opened",
        "ok       configuration: 1 source",
        "ok       acme, 127.0.0.1: reachable",
        "ok       acme, listing: 6 meetings since",
        "ok       acme, reading: read one byte of a file of",
    ] {
        assert!(told.contains(line), "{line}\n{told}");
    }
    assert!(!told.contains("FAILURE"), "{told}");
    assert!(rig.cloud.requests().len() < 12, "{}", rig.cloud.requests().len());
    let output = doctor(&rig, &["--json"]);
    let checks: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert!(
        checks
            .as_array()
            .is_some_and(|checks| checks.iter().all(|check| check["verdict"] != "failure"))
    );
    assert!(!rig.directory.path().join("cache").exists(), "nothing is made");
}

#[test]
fn it_works_beside_a_mount() {
    let rig = rig();
    rig.mount();
    let output = doctor(&rig, &[]);
    assert!(output.status.success(), "{}", text(&output));
    rig.unmount();
}

#[test]
fn a_wrong_secret_is_told_and_not_repeated() {
    let rig = rig();
    let secret = rig.cloud.credentials().client_secret;
    rig.write_config(&rig.config().replace(&secret, "wrong-and-private"));
    let output = doctor(&rig, &[]);
    assert_eq!(output.status.code(), Some(3), "{}", text(&output));
    assert!(
        said(&output).contains("FAILURE  acme, listing:")
            && said(&output).contains("client_secret")
    );
    assert!(!text(&output).contains("wrong-and-private") && !text(&output).contains(&secret));
}

#[test]
fn an_address_that_nobody_answers_and_a_recording_that_is_refused_are_failures() {
    let rig = rig();
    rig.cloud.inject(Trigger::always(Server::Web).does(Effect::Html200));
    let output = doctor(&rig, &[]);
    assert_eq!(output.status.code(), Some(3), "{}", text(&output));
    assert!(said(&output).contains("FAILURE  acme, reading:"), "{}", text(&output));
    let (_kept, closed) = deserted();
    let elsewhere = rig.config().replace(&rig.cloud.api_url(), &format!("http://{closed}/v2"));
    rig.write_config(
        &elsewhere.replace(&rig.cloud.oauth_url(), &format!("http://{closed}/oauth/token")),
    );
    let output = doctor(&rig, &[]);
    assert_eq!(output.status.code(), Some(1), "{}", text(&output));
    assert!(said(&output).contains("cannot be reached"), "{}", text(&output));
}

#[test]
fn a_configuration_that_cannot_be_read_is_a_failure_among_the_others() {
    let rig = rig();
    rig.write_config("[source.acme]\nprovider = \"zoom\"\nuser = [\"me\"]\n");
    let output = doctor(&rig, &[]);
    assert_eq!(output.status.code(), Some(3), "{}", text(&output));
    assert!(
        said(&output).contains("FUSE") && said(&output).contains("`users`"),
        "{}",
        text(&output)
    );
}

/// The checks of `--json`, after a look that those which are not ok say what to do, in one line of what was found.
fn fixes(rig: &Rig, words: &[&str]) -> Vec<serde_json::Value> {
    let output = doctor(rig, &[&["--json"], words].concat());
    let checks: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let checks = checks.as_array().expect("a list").clone();
    let troubled = checks.into_iter().filter(|check| check["verdict"] != "ok");
    troubled
        .inspect(|check| {
            assert!(check["fix"].as_str().is_some_and(|fix| !fix.is_empty()), "{check}");
            assert!(check["found"].as_str().is_some_and(|found| !found.contains('\n')), "{check}");
        })
        .collect()
}

#[test]
fn without_a_source_one_is_shown_below_what_was_found() {
    let rig = rig();
    rig.write_config("timezone = \"UTC\"\n");
    let told = said(&doctor(&rig, &[]));
    let lines: Vec<_> = told.lines().skip_while(|line| !line.contains("configuration")).collect();
    assert!(lines[0].starts_with("FAILURE  configuration: no source is configured in "), "{told}");
    assert_eq!(lines[1], "         Add one, for example:");
    assert_eq!(&lines[2..4], ["", "         [source.acme]"]);
    assert!(lines[4..].iter().all(|line| line.starts_with("         ")), "{told}");
    let fixes = fixes(&rig, &[]);
    let fix = fixes.iter().find(|check| check["subject"] == "configuration").expect("a check");
    assert!(
        fix["fix"].as_str().is_some_and(|fix| fix.contains("[source.acme]\nprovider")),
        "{fix}"
    );
}

#[test]
fn whatever_is_not_right_says_what_to_do() {
    let rig = rig();
    let config = rig.config();
    let (_kept, closed) = deserted();
    let broken = [
        "[source.acme".to_owned(),
        config.replace("account_id", "acount_id"),
        config.replace("plan = \"business\"", "plan = 7"),
        config.replace("plan = \"business\"", "plan = \"gold\""),
        config.replace("demo-secret", "wrong"),
        config.replace("demo-secret", ""),
        config.replace("http://127", "ftp://127"),
        config.replace(&rig.cloud.api_url(), &format!("http://{closed}/v2")),
        format!("{config}users = [\"me\", \"nobody@example.org\"]\n"),
    ];
    for text in &broken {
        rig.write_config(text);
        assert!(!fixes(&rig, &[]).is_empty(), "{text}");
    }
    rig.write_config(&config);
    assert!(!fixes(&rig, &["--cache-dir", "/proc/x"]).is_empty());
    assert!(!fixes(&rig, &["--source", "acne"]).is_empty());
    rig.cloud.inject(Trigger::always(Server::Web).does(Effect::Html200));
    assert!(!fixes(&rig, &[]).is_empty());
    rig.cloud.inject(Trigger::always(Server::Api).on("/recordings").does(Effect::status(500)));
    assert!(!fixes(&rig, &[]).is_empty());
}

#[test]
fn a_cache_directory_is_tried_and_nothing_is_left_in_it() {
    let rig = rig();
    let place = |path: &str| {
        let output = doctor(&rig, &["--cache-dir", path]);
        (output.status.code(), said(&output))
    };
    let file = rig.directory.path().join("file");
    std::fs::write(&file, "").expect("a file");
    let below_file = file.join("cache");
    for impossible in ["/proc/x", "/sys/x", "/dev/null", below_file.to_str().expect("a path")] {
        let (code, told) = place(impossible);
        assert_eq!(code, Some(3), "{impossible}\n{told}");
        assert!(
            told.contains("FAILURE  cache directory: the cache") && told.contains("--cache-dir"),
            "{told}"
        );
    }
    let directory = rig.directory.path().join("new/and/deep");
    let (code, told) = place(directory.to_str().expect("a path"));
    assert_eq!(code, Some(0), "{told}");
    assert!(told.contains(&format!("ok       cache directory: {}", directory.display())), "{told}");
    assert!(!rig.directory.path().join("new").exists(), "nothing is left");
}
