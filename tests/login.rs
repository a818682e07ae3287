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
use meetfs::demo::{Archive, CloudOptions, Content, Effect, Meeting, MeetingFile, Server, Trigger, UserApp};
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

/// What somebody makes of the address that is shown.
type Pasted<'a> = &'a dyn Fn(&str) -> Vec<u8>;

/// Runs `meetfs login --paste`, and pastes what `pasted` makes of the address that is shown.
fn paste(rig: &Rig, pasted: Pasted<'_>) -> std::process::Output {
    let mut child = login_command(rig, 8976)
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
    // Who is refused in the middle of a long line reads no more of it.
    let _all_or_enough = stdin.write_all(&line).and_then(|()| stdin.write_all(b"\n"));
    drop(stdin);
    child.wait_with_output().expect("an end")
}

/// The code in the address that a browser is sent back to.
fn code_in(back: &str) -> String {
    back.split(['?', '&']).find_map(|field| field.strip_prefix("code=")).expect("a code").to_owned()
}

#[test]
fn without_a_browser_here_the_address_is_pasted() {
    let rig = Rig::new(cloud(1));
    write_config(&rig, &UserApp::demo());
    let output = paste(&rig, &|address| sent_back(address).into_bytes());
    assert!(output.status.success(), "{}", text(&output));
    // As browsers show it.
    let output = paste(&rig, &|address| {
        let back = sent_back(address);
        format!("  {}#_ ", back.strip_prefix("http://").expect("an address")).into_bytes()
    });
    assert!(output.status.success(), "{}", text(&output));
    // As somebody writes it who is shown nothing but a code.
    let output = paste(&rig, &|address| {
        let code = code_in(&sent_back(address));
        let state = address.split(['?', '&']).find(|field| field.starts_with("state=")).expect("a state");
        format!("code={code}&{state}").into_bytes()
    });
    assert!(output.status.success(), "{}", text(&output));
    mount(&rig);
    assert_exact(&rig);
    rig.unmount();
}

#[test]
fn what_is_pasted_by_mistake_signs_nobody_in_and_is_not_repeated() {
    let rig = Rig::new(cloud(1));
    write_config(&rig, &UserApp::demo());
    let other = |address: &str| {
        let back = sent_back(address);
        let (before, _) = back.split_once("&state=").expect("a state");
        format!("{before}&state=another-question").into_bytes()
    };
    let mistakes: [Pasted<'_>; 11] = [
        &|_| Vec::new(),
        &|_| b"http://127.0.0.1:8976/".to_vec(),
        &|_| b"http://127.0.0.1:8976/?code=x1y2z3&state=y".to_vec(),
        &|_| b"two words".to_vec(),
        // The address to open instead of the one that came of it.
        &|address| address.as_bytes().to_vec(),
        &|address| sent_back(address).replace("code=", "cod=").into_bytes(),
        &|address| sent_back(address).replace("&state=", "&stat=").into_bytes(),
        &other,
        &|_| b"\x1b[31mred\x07\0".to_vec(),
        &|_| vec![0xff; 100],
        &|_| vec![b'a'; 1_000_000],
    ];
    for (number, mistake) in mistakes.iter().enumerate() {
        let output = paste(&rig, mistake);
        let said = text(&output);
        assert_eq!(output.status.code(), Some(3), "{number}: {said}");
        assert!(said.contains("paste the whole address"), "{number}: {said}");
        assert!(!said.contains(['\x1b', '\x07']) && !said.contains("x1y2z3"), "{number}: {said}");
        assert!(said.len() < 1000, "{number}: {said}");
    }
    assert!(sign_in_files(&rig).is_empty());
    assert_eq!(rig.cloud.sign_ins().signed_in, 0);
}

/// It may be of a question that somebody else asked, and would sign in to their account.
#[test]
fn a_code_without_its_state_is_refused_and_given_to_nobody() {
    let rig = Rig::new(cloud(1));
    write_config(&rig, &UserApp::demo());
    let codes: [Pasted<'_>; 2] =
        [&|address| code_in(&sent_back(address)).into_bytes(), &|_| b"n0t-a-c0de".to_vec()];
    for code in codes {
        let output = paste(&rig, code);
        let said = text(&output);
        assert_eq!(output.status.code(), Some(3), "{said}");
        assert!(said.contains("whole address") && said.contains("code=CODE&state=STATE"), "{said}");
        assert!(!said.contains("n0t-a-c0de"), "{said}");
    }
    let asked = rig.cloud.requests().into_iter().filter(|request| request.path.contains("/oauth/token"));
    assert_eq!(asked.count(), 0);
    assert_eq!(rig.cloud.sign_ins().signed_in, 0);
    assert!(sign_in_files(&rig).is_empty());
}

#[test]
fn a_source_whose_token_is_not_there_needs_no_login_either() {
    let rig = Rig::new(cloud(1));
    let lines = rig.config();
    let lines = lines.lines().filter_map(|line| match line.split(" = ").next() {
        Some("account_id" | "client_id") => None,
        Some("client_secret") => Some("token_env = \"NOBODY_SETS_THIS\"\n".to_owned()),
        _ => Some(format!("{line}\n")),
    });
    rig.write_config(&lines.collect::<String>());
    let output = run(&mut login_command(&rig, free_port()), SOON);
    let said = text(&output);
    assert_eq!(output.status.code(), Some(3), "{said}");
    assert!(said.contains("acme needs no login: it signs in with its `token_env`"), "{said}");
    assert!(said.contains("user-managed OAuth app") && said.contains("integration"), "{said}");
}

#[test]
fn without_a_configuration_a_source_to_sign_in_to_is_shown() {
    let rig = Rig::new(cloud(1));
    let home = rig.folder.path().join("home");
    let mut command = rig.meetfs();
    let output = run(command.args(["login", "acme"]).env("XDG_CONFIG_HOME", &home), SOON);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(3), "{said}");
    assert!(said.contains("client_id = ") && !said.contains("account_id"), "{said}");
    // What is shown is enough to be asked to sign in.
    let (_, example) = said.split_once("\n\n").expect("an example");
    rig.write_config(&format!("{example}\noauth_url = \"{}\"\n", rig.cloud.oauth_url()));
    let secret = rig.folder.path().join("acme.secret");
    std::fs::write(&secret, "demo-secret").expect("a secret");
    std::fs::set_permissions(&secret, std::os::unix::fs::PermissionsExt::from_mode(0o600)).expect("a mode");
    let (login, _) = begin(&rig, free_port());
    drop(login);
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
    let arguments = std::fs::read(format!("/proc/{}/cmdline", login.id())).expect("a process");
    let back = sent_back(&address);
    browse(&back);
    assert_eq!(login.end(SOON).0.code(), Some(0));
    mount(&rig);
    assert_exact(&rig);
    let [file] = sign_in_files(&rig).try_into().expect("one sign-in");
    let kept: serde_json::Value =
        serde_json::from_slice(&std::fs::read(&file).expect("a file")).expect("JSON");
    let arguments = String::from_utf8_lossy(&arguments).into_owned();
    let printed = format!("{arguments}\n{}\n{}\n{}", login.said(), rig.log(), rig.status());
    assert!(arguments.contains("login") && !printed.contains(&code_in(&back)), "{printed}");
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
fn a_read_that_gives_up_waiting_for_a_renewal_loses_no_token() {
    let rig = Rig::new(cloud(1)).with("read_deadline = \"1s\"");
    write_config(&rig, &UserApp::demo());
    sign_in(&rig);
    mount(&rig);
    rig.cloud.expire_tokens();
    // The new refresh token is on its way and the old one spent when the read gives up.
    rig.cloud.inject(Trigger::next(Server::Api, 1).on("/oauth/token").does(Effect::Stall { after: 10 }));
    let read = rig.try_shell("head -c 100000 acme/*/*/*.mp4 >/dev/null", SOON);
    assert!(!read.status.success(), "{}", text(&read));
    assert_eq!(rig.cloud.sign_ins().renewed, 1, "{}", rig.log());
    rig.cloud.heal();
    let began = std::time::Instant::now();
    while !rig.try_shell("head -c 100000 acme/*/*/*.mp4 >/dev/null", SOON).status.success() {
        assert!(began.elapsed() < SOON, "{}", rig.log());
    }
    assert_exact(&rig);
    let counts = rig.cloud.sign_ins();
    assert_eq!((counts.renewed, counts.replayed), (1, 0), "{counts:?}");
    rig.unmount();
}

#[test]
fn a_mount_that_is_ended_in_the_moment_of_a_renewal_loses_no_token_and_the_next_one_waits_for_it() {
    let rig = Rig::new(cloud(1));
    write_config(&rig, &UserApp::demo());
    sign_in(&rig);
    let ends: [&dyn Fn(&Rig); 2] = [
        &|rig| {
            let output = run(&mut life::unmount_command(&rig.mountpoint), SOON);
            assert!(output.status.success(), "{}", text(&output));
        },
        &|rig| life::signal(rig.daemon().expect("a daemon"), "TERM"),
    ];
    for (number, end) in (1..).zip(ends) {
        mount(&rig);
        rig.cloud.expire_tokens();
        // The new refresh token is on its way and the old one spent when the mount is ended.
        rig.cloud.inject(Trigger::next(Server::Api, 1).on("/oauth/token").does(Effect::Stall { after: 10 }));
        let asking = Running::start(rig.meetfs().arg("refresh").arg(&rig.mountpoint));
        wait_until(SOON, "the token is spent", || rig.cloud.sign_ins().renewed == number);
        end(&rig);
        wait_until(SOON, "nothing is mounted", || rig.entries_in_mount_table() == 0);
        let mut next = Running::start(&mut rig.mount_command());
        // Longer than anything else of an unmount takes.
        std::thread::sleep(Duration::from_secs(2));
        rig.cloud.heal();
        assert_eq!(next.end(SOON).0.code(), Some(0), "{}\n{}", next.said(), rig.log());
        drop(asking);
        assert_exact(&rig);
        rig.unmount();
    }
    let counts = rig.cloud.sign_ins();
    assert_eq!((counts.signed_in, counts.renewed, counts.replayed), (1, 2, 0), "{counts:?}");
}

#[test]
fn a_mount_that_is_interrupted_before_it_is_ready_loses_no_token_either() {
    let rig = Rig::new(cloud(1));
    write_config(&rig, &UserApp::demo());
    sign_in(&rig);
    rig.cloud.expire_tokens();
    rig.cloud.inject(Trigger::next(Server::Api, 1).on("/oauth/token").does(Effect::Stall { after: 10 }));
    // The kept access token has ended for the cloud alone: it is tried first.
    let mut mounting = Running::start(rig.mount_command().arg("--foreground"));
    wait_until(SOON, "the token is spent", || rig.cloud.sign_ins().renewed == 1);
    mounting.signal("INT");
    std::thread::sleep(Duration::from_secs(2));
    rig.cloud.heal();
    assert_eq!(mounting.end(SOON).0.code(), Some(1), "{}", mounting.said());
    assert!(mounting.said().contains("stopped before the mount was ready"), "{}", mounting.said());
    mount(&rig);
    assert_exact(&rig);
    let counts = rig.cloud.sign_ins();
    assert_eq!((counts.signed_in, counts.renewed, counts.replayed), (1, 1, 0), "{counts:?}");
    rig.unmount();
}

#[test]
fn a_token_service_that_says_no_more_keeps_no_mount_from_its_end() {
    let rig = Rig::new(cloud(1));
    write_config(&rig, &UserApp::demo());
    sign_in(&rig);
    mount(&rig);
    rig.cloud.expire_tokens();
    rig.cloud.inject(Trigger::always(Server::Api).on("/oauth/token").does(Effect::Stall { after: 10 }));
    let _asking = Running::start(rig.meetfs().arg("refresh").arg(&rig.mountpoint));
    wait_until(SOON, "the token is spent", || rig.cloud.sign_ins().renewed == 1);
    rig.unmount();
    assert!(rig.log().contains("may be lost"), "{}", rig.log());
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

#[test]
fn who_agreed_is_told_only_once_it_is_true() {
    let rig = Rig::new(cloud(1));
    write_config(&rig, &UserApp { client_secret: Some("another-s3cret".into()), ..UserApp::demo() });
    let (mut login, address) = begin(&rig, free_port());
    let page = browse(&address);
    assert!(page.contains("You are not signed in"), "{page}");
    assert_eq!(login.end(SOON).0.code(), Some(3), "{}", login.said());
    assert!(login.said().contains("check client_id, and client_secret"), "{}", login.said());
    assert!(!login.said().contains("another-s3cret"), "{}", login.said());
    assert!(sign_in_files(&rig).is_empty());
}

#[test]
fn a_browser_gets_through_beside_connections_that_never_ask() {
    let rig = Rig::new(cloud(1));
    write_config(&rig, &UserApp::demo());
    let port = free_port();
    let (mut login, address) = begin(&rig, port);
    let idle: Vec<_> = (0..40)
        .map(|number| {
            let mut connection = std::net::TcpStream::connect(("127.0.0.1", port)).expect("a connection");
            // Some begin a question that they never end.
            let beginning = if number % 2 == 0 { "GET /?code=" } else { "" };
            connection.write_all(beginning.as_bytes()).expect("a beginning");
            connection
        })
        .collect();
    let back = sent_back(&address);
    let page = curl(&["--max-time", "50", &back]);
    assert!(page.contains("You are signed in"), "{page}");
    assert_eq!(login.end(SOON).0.code(), Some(0), "{}", login.said());
    drop(idle);
}

#[test]
fn the_page_repeats_nothing_that_it_was_sent() {
    let rig = Rig::new(cloud(1));
    write_config(&rig, &UserApp::demo());
    let port = free_port();
    let (mut login, address) = begin(&rig, port);
    let state = address.split(['?', '&']).find(|field| field.starts_with("state=")).expect("a state");
    let script = "%3Cscript%3Ealert(1)%3C/script%3E";
    for place in [
        format!("?error={script}&state={script}"),
        format!("?code={script}&state=x&{script}"),
        format!("{script}?{state}&error=x"),
        format!("?error={script}%1b%5b31m%0aeverything%20is%20fine&error_description={script}&{state}"),
    ] {
        let page = curl(&["-i", "-H", "Host: evil.example", &format!("http://127.0.0.1:{port}/{place}")]);
        assert!(page.contains("content-security-policy: default-src 'none'"), "{page}");
        assert!(page.contains("cache-control: no-store") && page.contains("referrer-policy: no-referrer"));
        assert!(!page.contains("script") && !page.contains("alert") && !page.contains("fine"), "{page}");
    }
    assert_eq!(login.end(SOON).0.code(), Some(3), "{}", login.said());
    let said = login.said();
    let after = said.split_once(&address).expect("the address").1;
    assert!(!after.contains(['<', '\x1b']) && after.trim().lines().count() == 1, "{after:?}");
    assert!(sign_in_files(&rig).is_empty());
}

#[test]
fn a_place_that_cannot_keep_a_sign_in_is_told_before_anybody_agrees() {
    let rig = Rig::new(cloud(1));
    write_config(&rig, &UserApp::demo());
    let root = rig.folder.path();
    let file = root.join("a-file");
    std::fs::write(&file, "").expect("a file");
    let scratch = |name: &str, options: &str| {
        let folder = root.join(name);
        std::fs::create_dir(&folder).expect("a folder");
        let line = format!("mount -t tmpfs -o {options} scratch '{}'", folder.display());
        assert!(run(Command::new("sh").args(["-c", &line]), SOON).status.success());
        folder
    };
    let (read_only, full) = (scratch("read-only", "ro"), scratch("full", "size=16k"));
    let open = root.join("open/meetfs/sign-in");
    std::fs::create_dir_all(&open).expect("a folder");
    let loosened = run(Command::new("chmod").arg("777").arg(&open), SOON);
    assert!(loosened.status.success());
    for (place, why) in [
        (file.clone(), "Not a directory"),
        (read_only.clone(), "Read-only file system"),
        (full.clone(), "No space left"),
        ("/proc".into(), "cannot be used"),
        (root.join("open"), "chmod 700"),
    ] {
        let output = run(login_command(&rig, free_port()).env("XDG_STATE_HOME", &place), SOON);
        let said = text(&output);
        assert_eq!(output.status.code(), Some(1), "{}: {said}", place.display());
        assert!(said.contains("cannot be kept") && said.contains("XDG_STATE_HOME"), "{said}");
        assert!(said.contains(why) && address_in(&said).is_none(), "{said}");
    }
    for place in [&read_only, &full] {
        assert!(run(Command::new("umount").arg(place), SOON).status.success());
    }
    let mut homeless = login_command(&rig, free_port());
    let output = run(homeless.env_remove("HOME").env_remove("XDG_STATE_HOME"), SOON);
    assert_eq!(output.status.code(), Some(3), "{}", text(&output));
    assert!(text(&output).contains("XDG_STATE_HOME"), "{}", text(&output));
    assert_eq!(rig.cloud.sign_ins().signed_in, 0);
}

#[test]
fn a_sign_in_that_others_could_read_or_replace_is_not_used() {
    let rig = Rig::new(cloud(1));
    write_config(&rig, &UserApp::demo());
    sign_in(&rig);
    let [file] = sign_in_files(&rig).try_into().expect("one sign-in");
    let folder = file.parent().expect("a folder").to_owned();
    let quoted = |path: &std::path::Path| format!("'{}'", path.display());
    let (at, kept, place) = (quoted(&file), quoted(&file.with_extension("kept")), quoted(&folder));
    let shell = |line: &str| {
        let output = run(Command::new("sh").args(["-c", line]), SOON);
        assert!(output.status.success(), "{line}: {}", text(&output));
    };
    shell(&format!("cp -p {at} {kept}"));
    for (damage, words) in [
        (format!("chmod 644 {at}"), "chmod 600"),
        (format!("chmod 620 {at}"), "chmod 600"),
        (format!("chown 65534 {at}"), "chmod 600"),
        (format!("rm {at}; ln -s {kept} {at}"), "cannot be used"),
        (format!("rm {at}; mkfifo -m 600 {at}"), "damaged"),
        (format!("rm {at}; mkdir -m 700 {at}"), "cannot be used"),
        (format!("head -c 40 {kept} > {at}"), "damaged"),
        (format!("sed -i 's/\"refresh_token\": \"[^\"]*\"/\"refresh_token\": \"\"/' {at}"), "damaged"),
    ] {
        shell(&damage);
        let output = run(&mut rig.mount_command(), SOON);
        let said = text(&output);
        assert!(!output.status.success() && said.contains(words), "{damage}: {said}");
        assert!(said.contains("sign-in of acme"), "{damage}: {said}");
        assert_eq!(rig.entries_in_mount_table(), 0);
        shell(&format!("rm -rf {at}; cp -p {kept} {at}"));
    }
    // The token that is there is good, but the next one could not be kept safe.
    shell(&format!("chmod 770 {place}"));
    rig.cloud.expire_tokens();
    let output = run(&mut rig.mount_command(), SOON);
    assert!(!output.status.success() && text(&output).contains("chmod 700"), "{}", text(&output));
    assert_eq!(rig.cloud.sign_ins().renewed, 0);
    shell(&format!("chmod 700 {place}"));
    mount(&rig);
    assert_exact(&rig);
    rig.unmount();
}

#[test]
fn what_a_killed_process_left_neither_loosens_nor_leads_elsewhere_what_is_kept_next() {
    let rig = Rig::new(cloud(1));
    write_config(&rig, &UserApp::demo());
    sign_in(&rig);
    let [file] = sign_in_files(&rig).try_into().expect("one sign-in");
    let (left, elsewhere) = (file.with_extension("new"), rig.folder.path().join("elsewhere"));
    std::fs::write(&elsewhere, "mine").expect("a file");
    let leftovers = [
        format!("touch '{0}'; chmod 666 '{0}'", left.display()),
        format!("ln -s '{}' '{}'", elsewhere.display(), left.display()),
        format!("ln '{}' '{}'", elsewhere.display(), left.display()),
        format!("mkfifo '{}'", left.display()),
    ];
    for leftover in leftovers {
        assert!(run(Command::new("sh").args(["-c", &leftover]), SOON).status.success());
        sign_in(&rig);
        assert_eq!(mode_of(&file), 0o600, "{leftover}");
        assert!(std::fs::symlink_metadata(&file).expect("a file").is_file(), "{leftover}");
        assert!(std::fs::symlink_metadata(&left).is_err(), "{leftover}");
        assert_eq!(std::fs::read_to_string(&elsewhere).expect("a file"), "mine", "{leftover}");
    }
    mount(&rig);
    assert_exact(&rig);
    rig.unmount();
}

#[test]
fn a_kept_sign_in_takes_no_token_to_an_address_that_is_not_configured() {
    let rig = Rig::new(cloud(1));
    write_config(&rig, &UserApp::demo());
    sign_in(&rig);
    let [file] = sign_in_files(&rig).try_into().expect("one sign-in");
    let elsewhere = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let mut kept: serde_json::Value =
        serde_json::from_slice(&std::fs::read(&file).expect("a file")).expect("JSON");
    kept["api_url"] = format!("http://{}/v2", elsewhere.local_addr().expect("an address")).into();
    std::fs::write(&file, kept.to_string()).expect("a file");
    mount(&rig);
    assert_exact(&rig);
    elsewhere.set_nonblocking(true).expect("a listener");
    assert!(elsewhere.accept().is_err(), "somebody came");
    rig.unmount();
}

#[test]
fn two_logins_at_once_end_both_and_what_is_kept_is_one_of_them() {
    let rig = Rig::new(cloud(1));
    write_config(&rig, &UserApp::demo());
    let (mut first, of_first) = begin(&rig, free_port());
    let (mut second, of_second) = begin(&rig, free_port());
    // The answer to the one is none to the other.
    let crossed = sent_back(&of_first).replace(&port_of(&of_first), &port_of(&of_second));
    assert!(curl(&[&crossed]).contains("does not belong"));
    let backs = [sent_back(&of_first), sent_back(&of_second)];
    let browsers: Vec<_> = backs.into_iter().map(|back| std::thread::spawn(move || curl(&[&back]))).collect();
    for browser in browsers {
        assert!(browser.join().expect("a browser").contains("You are signed in"));
    }
    for login in [&mut first, &mut second] {
        assert_eq!(login.end(SOON).0.code(), Some(0), "{}", login.said());
    }
    assert_eq!(sign_in_files(&rig).len(), 1);
    assert_eq!(rig.cloud.sign_ins().signed_in, 2);
    rig.cloud.expire_tokens();
    mount(&rig);
    assert_exact(&rig);
    rig.unmount();
}

/// The port in the address that a browser is to be sent back to.
fn port_of(address: &str) -> String {
    let (_, after) = address.split_once("127.0.0.1%3A").expect("a redirect");
    after.chars().take_while(char::is_ascii_digit).collect()
}

#[test]
fn a_login_that_is_interrupted_leaves_nothing_and_no_sign_in_is_lost() {
    let rig = Rig::new(cloud(1));
    write_config(&rig, &UserApp::demo());
    sign_in(&rig);
    let [file] = sign_in_files(&rig).try_into().expect("one sign-in");
    let before = std::fs::read(&file).expect("a file");
    let port = free_port();
    for signal in ["INT", "TERM"] {
        let (mut login, _) = begin(&rig, port);
        login.signal(signal);
        let (status, _) = login.end(SOON);
        assert!(!status.success(), "{status}: {}", login.said());
        let folder = std::fs::read_dir(file.parent().expect("a folder")).expect("a folder");
        let names: Vec<_> = folder.flatten().map(|entry| entry.file_name()).collect();
        assert_eq!(names.len(), 2, "the file and its lock: {names:?}");
        assert_eq!(std::fs::read(&file).expect("a file"), before);
    }
    mount(&rig);
    assert_exact(&rig);
    rig.unmount();
}

#[test]
fn a_token_service_that_answers_oddly_is_told_and_nothing_of_it_is_kept() {
    let rig = Rig::new(cloud(1));
    write_config(&rig, &UserApp::demo());
    let answer = |status, body: &str| Effect::Status {
        status,
        body: body.into(),
        content_type: "application/json".into(),
        headers: Vec::new(),
    };
    for (status, body, words, code) in [
        (200, r#"{"access_token":"acc3ss","expires_in":3599}"#, "gave no refresh token", 3),
        (200, r#"{"access_token":"acc3ss","refresh_token":""}"#, "gave no refresh token", 3),
        (200, r#"{"refresh_token":"r3fresh"}"#, "answered without a token", 1),
        (200, "<html>Sign in</html>", "answered without a token", 1),
        (400, r#"{"reason":"Invalid authorization code","error":"invalid_request"}"#, "a code works once", 3),
        (401, r#"{"reason":"Invalid client","error":"invalid_client"}"#, "check client_id", 3),
        (404, "", "check oauth_url", 1),
    ] {
        rig.cloud.inject(Trigger::always(Server::Api).on("/oauth/token").does(answer(status, body)));
        let (mut login, address) = begin(&rig, free_port());
        assert!(browse(&address).contains("You are not signed in"), "{body}");
        assert_eq!(login.end(SOON).0.code(), Some(code), "{body}: {}", login.said());
        let said = login.said();
        assert!(said.contains(words) && !said.contains("acc3ss") && !said.contains("r3fresh"), "{said}");
        assert!(sign_in_files(&rig).is_empty());
        rig.cloud.heal();
    }
    let odd = r#"{"access_token":"acc3ss","refresh_token":"r3fresh","expires_in":"9e99","scope":"a:b \u001b[31mred c:d","api_url":7}"#;
    rig.cloud.inject(Trigger::always(Server::Api).on("/oauth/token").does(answer(200, odd)));
    let (mut login, address) = begin(&rig, free_port());
    assert!(browse(&address).contains("You are signed in"));
    assert_eq!(login.end(SOON).0.code(), Some(0), "{}", login.said());
    assert!(login.said().contains("Permitted: a:b c:d\n"), "{}", login.said());
}
