//! The commands of `docs/getting-started.md`, from the secret to the first listing, as a new user
//! runs them.

use std::process::{Command, Output};

use meetfs::demo_cloud::{Archive, DemoCloudOptions, RapatinSession, WebexArchive};

use crate::login::rig::{browse, free_port, url_in};
use crate::support::documents::block;
use crate::support::processes::{RunningCommand, assert_nothing_left};
use crate::support::{COMMAND_TIMEOUT, Rig, mode_of, run, text, wait_until};

const DOCUMENT: &str = include_str!("../../docs/getting-started.md");

/// A rig whose directory is the home directory of a user without any file. `~/meetings` is its
/// mountpoint.
fn new_user() -> Rig {
    Rig::new(DemoCloudOptions {
        archive: Archive::demo(),
        webex_archive: WebexArchive::demo(),
        rapatin_sessions: RapatinSession::demo(),
        ..DemoCloudOptions::default()
    })
}

/// Returns the shell of the user, with the environment of a new session.
fn shell(rig: &Rig, script: &str) -> Command {
    let home = rig.directory.path();
    let programs = home.join("bin");
    std::fs::create_dir_all(&programs).expect("a directory");
    let link = programs.join("meetfs");
    if !link.exists() {
        std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_meetfs"), link).expect("a link");
    }
    let path = format!("{}:{}", programs.display(), std::env::var("PATH").expect("a PATH"));
    let mut bash = Command::new("bash");
    bash.args(["-ec", script]).current_dir(home).env_clear();
    bash.env("PATH", path).env("HOME", home).env("LC_ALL", "C.UTF-8");
    bash.env("XDG_RUNTIME_DIR", home.join("run"));
    bash
}

fn run_block(rig: &Rig, name: &str) -> Output {
    let output = run(&mut shell(rig, &block(DOCUMENT, name)), COMMAND_TIMEOUT);
    assert!(output.status.success(), "{name}: {}", text(&output));
    output
}

/// Runs a block whose command reads a line from the terminal.
fn enter(rig: &Rig, name: &str, line: &str) {
    std::fs::write(rig.directory.path().join("terminal"), format!("{line}\n")).expect("a line");
    let script = format!("exec < ~/terminal; rm ~/terminal\n{}", block(DOCUMENT, name));
    let output = run(&mut shell(rig, &script), COMMAND_TIMEOUT);
    assert!(output.status.success(), "{name}: {}", text(&output));
}

/// Writes a configuration of the document. Each of `values` replaces a placeholder that must be in
/// it, and `base_urls` are appended.
fn write_config(rig: &Rig, name: &str, values: &[(&str, &str)], base_urls: &[(&str, String)]) {
    let mut config = block(DOCUMENT, name) + "\n";
    for (placeholder, value) in values {
        assert!(config.contains(placeholder), "{placeholder} is missing:\n{config}");
        config = config.replace(placeholder, value);
    }
    config.extend(base_urls.iter().map(|(key, url)| format!("{key} = \"{url}\"\n")));
    let path = rig.directory.path().join(".config/meetfs/config.toml");
    std::fs::write(path, config).expect("a configuration");
}

/// Runs the last section, and asserts that it lists the recordings of `source`.
fn check_and_mount(rig: &Rig, source: &str) {
    let output = run_block(rig, "mount");
    let report = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(report.contains(&format!("ok       {source}, reading: read one byte")), "{report}");
    let listing: Vec<&str> = report.lines().filter(|line| line.starts_with("20")).collect();
    assert!(!listing.is_empty(), "{report}");
    let videos = format!("find {source}/20* -name '*.mp4' | wc -l");
    assert_ne!(rig.shell(&videos).trim(), "0", "{report}");
    let status = run_block(rig, "unmount").stdout;
    let status = String::from_utf8_lossy(&status).into_owned();
    assert!(status.contains(&format!("\n  {source}  ")), "{status}");
    assert_nothing_left(rig, COMMAND_TIMEOUT);
}

#[test]
fn new_zoom_user_lists_recordings() {
    let rig = new_user();
    let app = rig.cloud.credentials();
    enter(&rig, "zoom-secret", &app.client_secret);
    assert_eq!(mode_of(&rig.directory.path().join(".config/meetfs/acme.secret")), 0o600);
    let values = [("ACCOUNT_ID", app.account_id.as_str()), ("CLIENT_ID", app.client_id.as_str())];
    let base_urls = [("api_url", rig.cloud.api_url()), ("oauth_url", rig.cloud.oauth_url())];
    write_config(&rig, "zoom-config", &values, &base_urls);
    check_and_mount(&rig, "acme");
}

#[test]
fn new_webex_user_signs_in_and_lists_recordings() {
    let rig = new_user();
    let app = rig.cloud.webex_credentials();
    enter(&rig, "webex-secret", &app.client_secret);
    let base_urls =
        [("api_url", rig.cloud.webex_api_url()), ("oauth_url", rig.cloud.webex_oauth_url())];
    write_config(&rig, "webex-config", &[("CLIENT_ID", app.client_id.as_str())], &base_urls);
    let login = format!("{} --port {}", block(DOCUMENT, "webex-login"), free_port());
    let mut login = RunningCommand::start(&mut shell(&rig, &login));
    wait_until(COMMAND_TIMEOUT, "a URL is shown", || url_in(&login.output()).is_some());
    let url = url_in(&login.output()).expect("a URL");
    assert!(browse(&url).contains("You are signed in"), "{}", login.output());
    assert_eq!(login.end(COMMAND_TIMEOUT).0.code(), Some(0), "{}", login.output());
    check_and_mount(&rig, "cisco");
}

#[test]
fn new_rapatin_user_lists_recordings() {
    let rig = new_user();
    let (email, password) = rig.cloud.rapatin_login();
    enter(&rig, "rapatin-secret", &password);
    let base_urls = [("api_url", rig.cloud.rapatin_api_url())];
    write_config(&rig, "rapatin-config", &[("ana@example.org", &email)], &base_urls);
    check_and_mount(&rig, "rapat");
}
