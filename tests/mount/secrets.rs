//! Credentials are sent only to their server and are not in logs, messages or files.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::support::processes::RunningCommand;
use crate::support::{COMMAND_TIMEOUT, Rig, run, started_by, text, wait_until};
use meetfs::demo_cloud::{
    AcceptedCredentials, Archive, DemoCloudOptions, Effect, FaultPlan, Request, RetryAfter, Server,
    Trigger,
};

/// Returns a cloud with a few meetings and every kind of file.
fn demo(accepted_credentials: AcceptedCredentials) -> DemoCloudOptions {
    let mut archive = Archive::demo();
    archive.meetings.retain(|meeting| {
        ["Q&A / plan: été", "Weekly planning", "Interview"].contains(&&*meeting.topic)
    });
    DemoCloudOptions { archive, accepted_credentials, ..DemoCloudOptions::default() }
}

const QUERY_ONLY: AcceptedCredentials = AcceptedCredentials {
    accepts_oauth_bearer: false,
    accepts_download_token_bearer: false,
    accepts_query_token: true,
};

/// Returns the value of a field of a query, without decoding it.
fn query_field<'a>(query: &'a str, name: &str) -> Option<&'a str> {
    query.split('&').find_map(|field| field.strip_prefix(name)?.strip_prefix('='))
}

/// Returns all credentials that were sent, and the secret in the configuration.
pub(crate) fn secrets(rig: &Rig, requests: &[Request]) -> BTreeSet<String> {
    let mut secrets = BTreeSet::from([rig.cloud.credentials().client_secret]);
    for request in requests {
        if let Some((_scheme, value)) =
            request.header("authorization").and_then(|value| value.split_once(' '))
        {
            secrets.insert(value.to_owned());
        }
        for name in ["access_token", "Signature", "Policy"] {
            secrets.extend(query_field(&request.query, name).map(str::to_owned));
        }
    }
    secrets
}

/// Adds the names and contents of a file, or of all files below a directory.
fn collect_files(path: &Path, found: &mut Vec<(String, Vec<u8>)>) {
    found.push((
        format!("the name {}", path.display()),
        path.as_os_str().as_encoded_bytes().to_vec(),
    ));
    if path.is_dir() {
        for entry in std::fs::read_dir(path).expect("a directory").flatten() {
            collect_files(&entry.path(), found);
        }
    } else {
        found.push((path.display().to_string(), std::fs::read(path).expect("a file")));
    }
}

/// Returns the lines that contain the secret.
fn lines_with(bytes: &[u8], secret: &str) -> String {
    let text = String::from_utf8_lossy(bytes);
    text.lines().filter(|line| line.contains(secret)).take(5).collect::<Vec<_>>().join("\n")
}

pub(crate) fn assert_absent(secrets: &BTreeSet<String>, places: &[(String, Vec<u8>)]) {
    for (place, bytes) in places {
        for secret in secrets {
            let is_present = bytes.windows(secret.len()).any(|window| window == secret.as_bytes());
            assert!(!is_present, "{place} contains {secret}\n{}", lines_with(bytes, secret));
        }
    }
}

/// Returns the token of the last API request.
fn newest_token(rig: &Rig) -> String {
    let requests = rig.cloud.requests();
    let mut shown = requests.iter().rev().filter(|request| request.server == Server::Api);
    shown
        .find_map(|request| {
            request.header("authorization")?.strip_prefix("Bearer ").map(str::to_owned)
        })
        .expect("a token")
}

/// Returns a reply that repeats the token in every place from which an error message may quote.
fn echo(token: &str, status: u16, content_type: &str) -> Effect {
    let message = format!("no {token}");
    Effect::Status {
        status,
        body: format!(
            r#"{{"status":false,"code":300,"errorCode":300,"message":"{message}","errorMessage":"{message}"}}"#
        ),
        content_type: content_type.into(),
        headers: vec![(
            "location".into(),
            format!("http://192.0.2.1/{token}?access_token={token}"),
        )],
    }
}

/// Causes every kind of failure. Returns the output of the programs.
fn cause_failures(rig: &Rig) -> Vec<(String, Vec<u8>)> {
    let mut outputs = Vec::new();
    let mut read = |what: &str| {
        let line = "find . -type f -print0 | xargs -0 -P 8 -n 4 cat | wc -c; find . -ls; getfattr -d -m - -R .";
        let output = rig.try_shell(line, Duration::from_secs(120));
        outputs.push((format!("standard error of the readers during {what}"), output.stderr));
        outputs.push((format!("standard output of find during {what}"), output.stdout));
        rig.cloud.clear_faults();
        // The caches contain the bytes read so far. The next failure needs a mount that has read
        // nothing.
        rig.unmount();
        std::fs::remove_dir_all(rig.directory.path().join("cache")).expect("a cache");
        let mounting = run(&mut rig.mount_command(), COMMAND_TIMEOUT);
        assert!(mounting.status.success(), "{}", text(&mounting));
        outputs.push((
            format!("output of mount after {what}"),
            [mounting.stdout, mounting.stderr].concat(),
        ));
    };
    for fault in FaultPlan::from_seed(11, 30, 40) {
        rig.cloud.inject(fault);
    }
    read("a mixture of faults");
    type EffectOfToken = fn(&str) -> Effect;
    let failures: [(Server, EffectOfToken); 10] = [
        (Server::Web, |token| echo(token, 200, "application/json")),
        (Server::Web, |token| echo(token, 302, "text/html")),
        (Server::Web, |token| echo(token, 400, "application/json")),
        (Server::Api, |token| echo(token, 400, "application/json")),
        (Server::Api, |_| Effect::TooManyRequests(RetryAfter::IsoDate(60))),
        (Server::Media, |token| echo(token, 302, "text/html")),
        (Server::Media, |_| Effect::status(403)),
        (Server::Media, |_| Effect::WrongTotal { delta: 9 }),
        (Server::Media, |_| Effect::WrongRange { shift: 3 }),
        (Server::Media, |_| Effect::Reset { after_bytes: 100 }),
    ];
    for (number, (server, effect)) in failures.into_iter().enumerate() {
        let token = newest_token(rig);
        rig.cloud.inject(Trigger::next(server, 12).with_effect(effect(&token)));
        read(&format!("failure {number} at {server:?}"));
    }
    rig.shell("cat acme/*/*/* | wc -c");
    rig.cloud.expire_tokens();
    rig.cloud.expire_signed_urls();
    read("new tokens");
    rig.shell("cat acme/*/*/* | wc -c");
    outputs
}

#[test]
fn no_credential_is_in_logs_messages_or_cache() {
    std::thread::scope(|scope| {
        for header in [AcceptedCredentials::default(), QUERY_ONLY] {
            scope.spawn(move || {
                let rig = Rig::new(demo(header)).with("read_deadline = \"2s\"");
                rig.write_config(&rig.config());
                let mounting = run(&mut rig.mount_command(), COMMAND_TIMEOUT);
                assert!(mounting.status.success(), "{}", text(&mounting));
                let mut places = cause_failures(&rig);
                places
                    .push(("output of mount".into(), [mounting.stdout, mounting.stderr].concat()));
                let daemon = rig.daemon().expect("a daemon");
                for name in ["cmdline", "environ", "mountinfo", "comm"] {
                    let path = format!("/proc/{daemon}/{name}");
                    places.push((path.clone(), std::fs::read(&path).expect("a file of /proc")));
                }
                let documents = rig.shell("cat acme/*/*/*.json");
                places.push(("the documents".into(), documents.into_bytes()));
                let requests = rig.cloud.requests();
                rig.unmount();
                // Only the configuration may contain the secret.
                std::fs::remove_file(rig.config_path()).expect("a configuration");
                collect_files(rig.directory.path(), &mut places);
                let log = rig.log();
                assert!(
                    log.contains("DEBUG") && log.contains("cannot read"),
                    "nothing failed\n{log}"
                );
                assert!(
                    places.iter().any(|(name, _)| name.contains("/cache/")),
                    "the cache was not checked"
                );
                let secrets = secrets(&rig, &requests);
                assert!(secrets.len() > 20, "{}", secrets.len());
                assert_absent(&secrets, &places);
            });
        }
    });
}

#[test]
fn credentials_are_sent_only_to_their_server() {
    for header in [AcceptedCredentials::default(), QUERY_ONLY] {
        let rig = Rig::mounted(demo(header));
        rig.shell("cat acme/*/*/* | wc -c");
        let requests = rig.cloud.requests();
        assert!(requests.iter().filter(|request| request.server == Server::Media).count() > 20);
        for request in &requests {
            let authorization = request.header("authorization");
            let scheme = authorization.and_then(|value| value.split(' ').next());
            let token_in_query = request.query.contains("access_token=");
            assert!(request.header("referer").is_none(), "{request:?}");
            assert!(request.header("cookie").is_none(), "{request:?}");
            match request.server {
                Server::Api if request.path == "/oauth/token" => {
                    assert_eq!(
                        (request.method.as_str(), scheme),
                        ("POST", Some("Basic")),
                        "{request:?}"
                    );
                    assert!(!request.query.contains("secret"), "{request:?}");
                }
                Server::Api => {
                    assert_eq!((scheme, token_in_query), (Some("Bearer"), false), "{request:?}")
                }
                Server::Web if header.accepts_oauth_bearer => {
                    assert_eq!((scheme, token_in_query), (Some("Bearer"), false), "{request:?}");
                }
                Server::Web => assert!(token_in_query != authorization.is_some(), "{request:?}"),
                Server::Webex | Server::Rapatin => {
                    panic!("no such source is configured: {request:?}")
                }
                Server::Media => {
                    assert_eq!((authorization, token_in_query), (None, false), "{request:?}");
                    let echoed =
                        request.headers.iter().any(|(_, value)| value.contains("demo-token"));
                    assert!(!echoed && !request.path.contains("demo-token"), "{request:?}");
                }
            }
        }
    }
}

/// A server outside the demo cloud. It records each request and answers 404.
struct ForeignServer {
    port: u16,
    connections: Arc<Mutex<Vec<String>>>,
    stop: Arc<AtomicBool>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl ForeignServer {
    fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let (connections, stop) =
            (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicBool::new(false)));
        let (heads, stopped) = (connections.clone(), stop.clone());
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming() {
                if stopped.load(Ordering::Relaxed) {
                    return;
                }
                let Ok(mut stream) = stream else { continue };
                stream.set_read_timeout(Some(Duration::from_secs(2))).expect("a timeout");
                let mut head = String::new();
                let mut reader = BufReader::new(stream.try_clone().expect("a stream"));
                while reader.read_line(&mut head).is_ok_and(|read| read > 2) {}
                heads.lock().expect("a list").push(head);
                let _ = stream.write_all(
                    b"HTTP/1.1 404 Not Found\r\nconnection: close\r\ncontent-length: 0\r\n\r\n",
                );
            }
        });
        Self { port, connections, stop, thread: Some(thread) }
    }

    fn requests(&self) -> Vec<String> {
        self.connections.lock().expect("a list").clone()
    }
}

impl Drop for ForeignServer {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let _ = TcpStream::connect(("127.0.0.1", self.port));
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Reads every file while `server` redirects to `location`. Returns the output of `cat`.
fn read_redirected(server: Server, location: &str, header: AcceptedCredentials) -> (Rig, String) {
    let archive = Archive::with_pattern_files(&[("one", 1_000_000)]);
    let options =
        DemoCloudOptions { archive, accepted_credentials: header, ..DemoCloudOptions::default() };
    let rig = Rig::new(options).with("read_deadline = \"3s\"");
    rig.mount();
    rig.cloud.inject(Trigger::always(server).with_effect(Effect::Status {
        status: 302,
        body: String::new(),
        content_type: "text/html".into(),
        headers: vec![("location".into(), location.into())],
    }));
    let output = rig.try_shell("LC_ALL=C cat acme/*/*/*.mp4 2>&1 > /dev/null", COMMAND_TIMEOUT);
    let output = String::from_utf8_lossy(&output.stdout).into_owned();
    (rig, output)
}

#[test]
fn redirect_to_foreign_host_opens_no_connection() {
    let foreign_server = ForeignServer::new();
    let port = foreign_server.port;
    // These addresses reach the listener, although neither is a loopback address by its text.
    for host in ["0.0.0.0", "[::ffff:127.0.0.1]"] {
        for server in [Server::Web, Server::Media, Server::Api] {
            let location = format!("http://{host}:{port}/p4th?Policy=x&Signature=s3cret");
            let (rig, output) = read_redirected(server, &location, AcceptedCredentials::default());
            if server != Server::Api {
                assert!(output.contains("Permission denied"), "{output}\n{}", rig.log());
            }
            let log = rig.log();
            assert!(!log.contains("p4th") && !log.contains("s3cret"), "{log}");
            if server == Server::Web {
                assert!(log.contains("is not an allowed https host of this source"), "{log}");
            }
        }
        assert_eq!(foreign_server.requests(), [] as [&str; 0]);
    }
    drop(TcpStream::connect(("0.0.0.0", port)).expect("the listener is reachable"));
    crate::support::wait_until(COMMAND_TIMEOUT, "the listener records a connection", || {
        foreign_server.requests().len() == 1
    });
}

#[test]
fn redirect_to_another_host_sends_no_credential() {
    for header in [AcceptedCredentials::default(), QUERY_ONLY] {
        let foreign_server = ForeignServer::new();
        let location = format!(
            "http://127.0.0.1:{}/elsewhere?access_token=demo-token-echoed",
            foreign_server.port
        );
        let (rig, output) = read_redirected(Server::Web, &location, header);
        assert!(output.contains("Stale file handle"), "{output}\n{}", rig.log());
        let requests = foreign_server.requests();
        assert!(!requests.is_empty(), "a redirect from loopback to loopback is followed");
        for head in requests {
            let head = head.to_ascii_lowercase();
            assert!(!head.contains("authorization") && !head.contains("demo-token"), "{head}");
            assert!(!head.contains("referer"), "{head}");
        }
    }
}

#[test]
fn command_of_a_secret_sees_no_other_secret() {
    let rig = Rig::new(demo(AcceptedCredentials::default()))
        .with_source("command_variables = [\"FOR_COMMAND\"]");
    let seen = rig.directory.path().join("seen");
    let secret = rig.cloud.credentials().client_secret;
    let own = format!("client_secret = \"{secret}\"");
    let command =
        format!("client_secret_command = \"env > {}; printf '{secret}'\"", seen.display());
    let other = "[source.other]\nprovider = \"webex\"\ntoken_env = \"AWS_OTHER\"\n";
    rig.write_config(&format!("{}{other}", rig.config().replace(&own, &command)));
    let output = run(
        rig.mount_command()
            .args(["--source", "acme"])
            .env("AWS_OTHER", "other-s3cret")
            .env("WEBEX_TOKEN", "unnamed-s3cret")
            .env("FOR_COMMAND", "wanted")
            .env("LC_TIME", "C"),
        COMMAND_TIMEOUT,
    );
    assert!(output.status.success(), "{}", text(&output));
    let environment = std::fs::read_to_string(&seen).expect("an environment");
    assert!(!environment.contains("s3cret"), "{environment}");
    for variable in ["PATH=", "FOR_COMMAND=wanted", "LC_TIME=C"] {
        assert!(environment.contains(variable), "{environment}");
    }
    rig.unmount();
}

#[test]
fn crashed_daemon_leaves_no_core_dump() {
    const ABORT: i32 = 6;
    let rig = Rig::new(demo(AcceptedCredentials::default()));
    let directory = rig.directory.path();
    let line = format!("cd '{}' && ulimit -c unlimited && exec \"$@\"", directory.display());
    let crash = |command: &Command, is_ready: &dyn Fn() -> bool| {
        let mut command = started_by(&["bash", "-c", &line, "bash"], command);
        let mut crashing = RunningCommand::start(&mut command);
        wait_until(COMMAND_TIMEOUT, "the process runs", is_ready);
        crashing.signal("ABRT");
        crashing.end(COMMAND_TIMEOUT).0
    };
    let started = directory.join("started");
    let mut other = Command::new("bash");
    other.args(["-c", &format!("touch '{}'; exec sleep 60", started.display())]);
    let status = crash(&other, &|| started.exists());
    assert!(status.core_dumped(), "this machine stores no core dumps: {status:?}");
    rig.write_config(&rig.config());
    let mut mount = rig.mount_command();
    mount.arg("--foreground");
    let status = crash(&mount, &|| rig.entries_in_mount_table() == 1);
    assert_eq!(status.signal(), Some(ABORT), "{status:?}");
    assert!(!status.core_dumped(), "{status:?}");
}

#[test]
fn memory_of_a_command_is_not_readable() {
    let rig = Rig::new(demo(AcceptedCredentials::default()));
    let seen = rig.directory.path().join("seen");
    let secret = rig.cloud.credentials().client_secret;
    let own = format!("client_secret = \"{secret}\"");
    // A process of the same user reads the environment of another if it can trace it (proc(5)).
    let command = format!(
        "client_secret_command = \"wc -c /proc/self/environ /proc/$PPID/environ > {} 2>&1; echo x\"",
        seen.display()
    );
    rig.write_config(&rig.config().replace(&own, &command));
    let user = "65534";
    for path in [rig.directory.path(), &rig.config_path()] {
        std::os::unix::fs::chown(path, Some(65534), Some(65534)).expect("an owner");
    }
    let mut doctor = rig.meetfs();
    doctor.arg("doctor").arg("--config").arg(rig.config_path());
    let doctor =
        &mut started_by(&["setpriv", "--reuid", user, "--regid", user, "--clear-groups"], &doctor);
    let output = run(doctor.env("HOME", rig.directory.path()).env("LC_ALL", "C"), COMMAND_TIMEOUT);
    let seen = std::fs::read_to_string(&seen).unwrap_or_default();
    assert!(seen.contains("/self/environ\n"), "{seen} {}", text(&output));
    assert!(seen.contains("Permission denied"), "{seen}");
}
