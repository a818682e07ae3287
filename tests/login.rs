//! `meetfs login`: a source that somebody permits in a browser, and what becomes of its refresh tokens.

// A helper that cannot go on fails its test.
#![allow(clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

#[path = "support/life.rs"]
mod life;
mod support;

use std::collections::HashSet;
use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use life::Running;
use meetfs::demo::{Archive, CloudOptions, Content, Meeting, MeetingFile, Server, UserApp};
use support::{Rig, SOON, mode_of, run, text, wait_until};

const LENGTH: u64 = 3_000_000;

fn archive(meetings: u64) -> Archive {
    let mut archive = Archive::empty();
    archive.meetings = (0..meetings)
        .map(|seed| {
            let start = Timestamp::now() - SignedDuration::from_hours(3 + seed as i64);
            Meeting::new(&format!("bWVldGluZw{seed}=="), &format!("Meeting {seed}"), start)
                .with(MeetingFile::new("MP4", Content::Pattern { seed, length: LENGTH }))
        })
        .collect();
    archive
}

fn cloud(meetings: u64) -> CloudOptions {
    CloudOptions { archive: archive(meetings), ..CloudOptions::default() }
}

/// The configuration with an app to sign in to in place of the one that has credentials of its own.
fn write_config(rig: &Rig, app: &UserApp) {
    let lines = rig.config();
    let lines = lines.lines().filter_map(|line| match line.split(" = ").next() {
        Some("account_id") => None,
        Some("client_id") => Some(format!("client_id = \"{}\"", app.client_id)),
        Some("client_secret") => app.client_secret.as_ref().map(|it| format!("client_secret = \"{it}\"")),
        _ => Some(line.to_owned()),
    });
    rig.write_config(&lines.map(|line| line + "\n").collect::<String>());
}

fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("an address").port()
}

fn login_command(rig: &Rig, port: u16) -> Command {
    let mut command = rig.meetfs();
    command.args(["login", "acme", "--port", &port.to_string(), "--config"]).arg(rig.config_path());
    command
}

/// The address that the command asks to open.
fn address_in(said: &str) -> Option<String> {
    said.lines().map(str::trim).find(|line| line.starts_with("http://")).map(str::to_owned)
}

/// `meetfs login` under way, and the address that it asks to open.
fn begin(rig: &Rig, port: u16) -> (Running, String) {
    let login = Running::start(&mut login_command(rig, port));
    wait_until(SOON, "an address is shown", || address_in(&login.said()).is_some());
    let address = address_in(&login.said()).expect("an address");
    (login, address)
}

fn curl(arguments: &[&str]) -> String {
    let output = run(Command::new("curl").args(["-sS", "--max-time", "20"]).args(arguments), SOON);
    assert!(output.status.success(), "{}", text(&output));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// A browser that goes where it is sent.
fn browse(address: &str) -> String {
    curl(&["-L", address])
}

/// Where the page of the cloud sends a browser that agreed.
fn sent_back(address: &str) -> String {
    curl(&["-o", "/dev/null", "-w", "%{redirect_url}", address])
}

fn sign_in(rig: &Rig) {
    let (mut login, address) = begin(rig, free_port());
    assert!(browse(&address).contains("You are signed in"), "{}", login.said());
    assert_eq!(login.end(SOON).0.code(), Some(0), "{}", login.said());
}

fn mount(rig: &Rig) {
    let output = run(&mut rig.mount_command(), SOON);
    assert!(output.status.success(), "{}\n{}", text(&output), rig.log());
}

fn sign_in_files(rig: &Rig) -> Vec<PathBuf> {
    let folder = rig.folder.path().join("state/meetfs/sign-in");
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).filter(|path| path.extension().is_some_and(|it| it == "json")).collect()
}

/// Every video has the bytes it must have.
fn assert_exact(rig: &Rig) {
    let sums = rig.shell("find acme -name '*.mp4' -print0 | xargs -0 sha256sum | cut -c1-64 | sort");
    let mut expected: Vec<String> =
        rig.cloud.meetings().iter().map(|meeting| meeting.files[0].content.sha256()).collect();
    expected.sort();
    assert_eq!(sums.lines().collect::<Vec<_>>(), expected);
}

#[test]
fn who_signs_in_in_a_browser_can_mount_and_copy() {
    for app in [UserApp::demo(), UserApp::public()] {
        let rig = Rig::new(cloud(2));
        write_config(&rig, &app);
        sign_in(&rig);
        let [file] = sign_in_files(&rig).try_into().expect("one sign-in");
        assert_eq!(mode_of(&file), 0o600);
        assert_eq!(mode_of(file.parent().expect("a folder")), 0o700);
        mount(&rig);
        assert_exact(&rig);
        assert_eq!(rig.cloud.sign_ins().signed_in, 1);
        rig.unmount();
    }
}

#[test]
fn a_source_that_nobody_signed_in_to_says_how() {
    let rig = Rig::new(cloud(1));
    write_config(&rig, &UserApp::demo());
    let output = run(&mut rig.mount_command(), SOON);
    assert_eq!(output.status.code(), Some(3), "{}", text(&output));
    assert!(text(&output).contains("run `meetfs login acme`"), "{}", text(&output));
    assert!(sign_in_files(&rig).is_empty());
}

#[test]
fn an_answer_to_another_question_signs_nobody_in_and_the_right_one_still_does() {
    let rig = Rig::new(cloud(1));
    write_config(&rig, &UserApp::demo());
    let port = free_port();
    let (mut login, address) = begin(&rig, port);
    for query in ["", "code=x", "code=x&state=y", "error=access_denied&state=y"] {
        let page = curl(&[&format!("http://127.0.0.1:{port}/?{query}")]);
        assert!(page.contains("does not belong"), "{query}: {page}");
    }
    assert!(curl(&[&format!("http://127.0.0.1:{port}/favicon.ico")]).contains("nothing here"));
    assert!(login.is_running());
    assert!(browse(&address).contains("You are signed in"));
    assert_eq!(login.end(SOON).0.code(), Some(0), "{}", login.said());
}

#[test]
fn who_does_not_agree_is_told_so_and_nothing_is_kept() {
    let rig = Rig::new(cloud(1));
    write_config(&rig, &UserApp::demo());
    let port = free_port();
    let (mut login, address) = begin(&rig, port);
    let state = address.split(['?', '&']).find(|field| field.starts_with("state=")).expect("a state");
    curl(&[&format!("http://127.0.0.1:{port}/?error=access_denied&{state}")]);
    assert_eq!(login.end(SOON).0.code(), Some(3), "{}", login.said());
    assert!(login.said().contains("access_denied"), "{}", login.said());
    assert!(sign_in_files(&rig).is_empty());
}

#[test]
fn a_port_that_is_taken_is_named() {
    let rig = Rig::new(cloud(1));
    write_config(&rig, &UserApp::demo());
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = taken.local_addr().expect("an address").port();
    let output = run(&mut login_command(&rig, port), SOON);
    assert_eq!(output.status.code(), Some(4), "{}", text(&output));
    assert!(text(&output).contains(&format!("port {port}")) && text(&output).contains("--port"));
}

#[test]
fn without_a_browser_here_the_address_is_pasted() {
    let rig = Rig::new(cloud(1));
    write_config(&rig, &UserApp::demo());
    let paste = |pasted: &dyn Fn(&str) -> String| {
        let mut child = login_command(&rig, 8976)
            .arg("--paste")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("a login");
        let mut stdout = std::io::BufReader::new(child.stdout.take().expect("an output"));
        let mut said = String::new();
        while address_in(&said).is_none() {
            assert!(std::io::BufRead::read_line(&mut stdout, &mut said).expect("a line") > 0, "{said}");
        }
        let line = pasted(&address_in(&said).expect("an address"));
        let mut stdin = child.stdin.take().expect("an input");
        stdin.write_all(format!("{line}\n").as_bytes()).expect("a line");
        drop(stdin);
        child.wait_with_output().expect("an end")
    };
    for nonsense in ["", "http://127.0.0.1:8976/", "http://127.0.0.1:8976/?code=x&state=y", "two words"] {
        let output = paste(&|_| nonsense.to_owned());
        assert_eq!(output.status.code(), Some(3), "{nonsense}: {}", text(&output));
        assert!(text(&output).contains("paste the whole address"), "{}", text(&output));
    }
    let output = paste(&sent_back);
    assert!(output.status.success(), "{}", text(&output));
    // The code alone does as well, for it is bound to the question.
    let output = paste(&|address| {
        let back = sent_back(address);
        let code = back.split(['?', '&']).find_map(|field| field.strip_prefix("code=")).expect("a code");
        code.to_owned()
    });
    assert!(output.status.success(), "{}", text(&output));
    mount(&rig);
    assert_exact(&rig);
    rig.unmount();
}

#[test]
fn a_source_with_credentials_of_its_own_needs_no_login() {
    let rig = Rig::new(cloud(1));
    rig.write_config(&rig.config());
    let output = run(&mut login_command(&rig, free_port()), SOON);
    assert_eq!(output.status.code(), Some(3), "{}", text(&output));
    assert!(text(&output).contains("needs no login"), "{}", text(&output));
}

#[test]
fn a_sign_in_is_given_up_and_no_secret_of_it_was_printed() {
    let rig = Rig::new(cloud(1));
    write_config(&rig, &UserApp::demo());
    let (mut login, address) = begin(&rig, free_port());
    browse(&address);
    assert_eq!(login.end(SOON).0.code(), Some(0));
    mount(&rig);
    assert_exact(&rig);
    let [file] = sign_in_files(&rig).try_into().expect("one sign-in");
    let kept: serde_json::Value =
        serde_json::from_slice(&std::fs::read(&file).expect("a file")).expect("JSON");
    let printed = format!("{}\n{}\n{}", login.said(), rig.log(), rig.status());
    for secret in ["refresh_token", "access_token"] {
        let secret = kept[secret].as_str().expect("a secret");
        assert!(!printed.contains(secret), "{printed}");
    }
    assert!(!printed.contains("demo-user-secret"), "{printed}");
    rig.unmount();
    let output = run(login_command(&rig, 1).arg("--forget"), SOON);
    assert!(output.status.success() && text(&output).contains("removed"), "{}", text(&output));
    assert!(sign_in_files(&rig).is_empty());
    let output = run(&mut rig.mount_command(), SOON);
    assert!(output.status.code() == Some(3) || rig.entries_in_mount_table() == 1, "{}", text(&output));
}

/// Tokens and links that end every other second.
fn restless(meetings: u64) -> CloudOptions {
    CloudOptions {
        token_life: Duration::from_secs(3),
        link_life: Duration::from_secs(2),
        bytes_per_second: Some(1_000_000),
        ..cloud(meetings)
    }
}

#[test]
fn tokens_that_work_once_are_renewed_under_sixteen_readers_and_two_mounts() {
    let rig = Rig::new(restless(16));
    write_config(&rig, &UserApp::demo());
    sign_in(&rig);
    mount(&rig);
    // Another mount of the same sign-in, with a cache of its own.
    let other = rig.folder.path().join("other");
    std::fs::create_dir(&other).expect("a mountpoint");
    let output = run(
        rig.meetfs()
            .args(["mount", "--config"])
            .arg(rig.config_path())
            .arg("--cache-dir")
            .arg(rig.folder.path().join("other-cache"))
            .arg("--log-file")
            .arg(rig.folder.path().join("other-log"))
            .arg(&other),
        SOON,
    );
    assert!(output.status.success(), "{}", text(&output));
    let mut reader = Running::outside(
        &rig,
        &format!("find '{}/acme' -name '*.mp4' -print0 | xargs -0 -P 4 -n 1 sha256sum", other.display()),
    );
    let sums = rig.try_shell(
        "find acme -name '*.mp4' -print0 | xargs -0 -P 16 -n 1 sha256sum | cut -c1-64 | sort",
        Duration::from_secs(120),
    );
    let mut expected: Vec<String> =
        rig.cloud.meetings().iter().map(|meeting| meeting.files[0].content.sha256()).collect();
    expected.sort();
    let found = String::from_utf8_lossy(&sums.stdout).into_owned();
    assert_eq!(found.lines().collect::<Vec<_>>(), expected, "{}", rig.log());
    assert!(reader.end(Duration::from_secs(120)).0.success(), "{}", reader.said());
    let mut found: Vec<_> = reader.said().lines().map(|line| line[..64].to_owned()).collect();
    found.sort();
    assert_eq!(found, expected);
    let counts = rig.cloud.sign_ins();
    assert!(counts.renewed >= 3, "{counts:?}");
    assert_eq!(counts.replayed, 0, "{counts:?}");
    run(rig.meetfs().arg("unmount").arg(&other), SOON);
    rig.unmount();
}

#[test]
fn a_daemon_killed_as_soon_as_it_uses_a_renewed_token_has_it_at_its_next_start() {
    let rig = Rig::new(cloud(2));
    write_config(&rig, &UserApp::demo());
    sign_in(&rig);
    let tokens = |rig: &Rig| -> HashSet<String> {
        let of_api = |request: &meetfs::demo::Request| request.server == Server::Api;
        let requests = rig.cloud.requests().into_iter().filter(of_api);
        let bearer = |request: meetfs::demo::Request| {
            request.header("authorization").filter(|value| value.starts_with("Bearer ")).map(str::to_owned)
        };
        requests.filter_map(bearer).collect()
    };
    for _ in 0..6 {
        mount(&rig);
        let renewed = rig.cloud.sign_ins().renewed;
        rig.cloud.expire_tokens();
        let _refresh = Running::start(rig.meetfs().arg("refresh").arg(&rig.mountpoint));
        // The sign-in brought one access token and each exchange of a refresh token another: the last is in use.
        wait_until(SOON, "a renewed token is used", || {
            let now = rig.cloud.sign_ins().renewed;
            now > renewed && tokens(&rig).len() as u64 == 1 + now
        });
        let daemon = rig.daemon().expect("a daemon");
        run(Command::new("kill").args(["-9", &daemon.to_string()]), SOON);
        run(Command::new("umount").arg("-l").arg(&rig.mountpoint), SOON);
    }
    mount(&rig);
    assert_exact(&rig);
    let counts = rig.cloud.sign_ins();
    assert_eq!((counts.signed_in, counts.replayed), (1, 0), "{counts:?}");
    rig.unmount();
}

#[test]
fn a_permission_that_was_taken_back_is_told_and_a_new_one_counts_without_a_remount() {
    let rig = Rig::new(cloud(1));
    write_config(&rig, &UserApp::demo());
    sign_in(&rig);
    mount(&rig);
    rig.cloud.revoke_sign_ins();
    let output = run(rig.meetfs().arg("refresh").arg(&rig.mountpoint), SOON);
    assert_eq!(output.status.code(), Some(1), "{}", text(&output));
    assert!(rig.status().to_string().contains("run `meetfs login acme`"), "{}", rig.status());
    sign_in(&rig);
    let output = run(rig.meetfs().arg("refresh").arg(&rig.mountpoint), SOON);
    assert!(output.status.success(), "{}\n{}", text(&output), rig.log());
    assert_exact(&rig);
    rig.unmount();
}

#[test]
fn a_sign_in_that_cannot_be_written_anew_is_not_spent() {
    let rig = Rig::new(cloud(1));
    write_config(&rig, &UserApp::demo());
    sign_in(&rig);
    let [file] = sign_in_files(&rig).try_into().expect("one sign-in");
    // A folder stands where the new file would be made first.
    let blocked = file.with_extension("new");
    std::fs::create_dir(&blocked).expect("a folder");
    rig.cloud.expire_tokens();
    let output = run(&mut rig.mount_command(), SOON);
    assert!(!output.status.success(), "{}", text(&output));
    assert!(text(&output).contains("cannot be renewed"), "{}", text(&output));
    assert_eq!(rig.cloud.sign_ins().renewed, 0);
    std::fs::remove_dir(&blocked).expect("a folder");
    mount(&rig);
    assert_exact(&rig);
    rig.unmount();
}

#[test]
fn webex_is_signed_in_to_in_the_same_way() {
    let options = CloudOptions { webex: meetfs::demo::WebexArchive::demo(), ..CloudOptions::default() };
    let rig = Rig::new(options);
    let app = rig.cloud.webex_credentials();
    rig.write_config(&format!(
        "timezone = \"UTC\"\n[cache]\ndir = \"{}\"\n[source.acme]\nprovider = \"webex\"\nclient_id = \"{}\"\n\
         client_secret = \"{}\"\napi_url = \"{}\"\noauth_url = \"{}\"\n",
        rig.folder.path().join("cache").display(),
        app.client_id,
        app.client_secret,
        rig.cloud.webex_api_url(),
        rig.cloud.webex_oauth_url(),
    ));
    sign_in(&rig);
    mount(&rig);
    assert_ne!(rig.shell("find acme -name '*.mp4' | wc -l").trim(), "0");
    assert_eq!(rig.cloud.webex_sign_ins().signed_in, 1);
    rig.unmount();
}
