//! `meetfs status --prometheus`, `meetfs mount --metrics` and the alert rules.

use std::collections::BTreeSet;
use std::io::Write;
use std::net::TcpListener;
use std::process::{Command, Output, Stdio};

use meetfs::demo_cloud::{Archive, DemoCloudOptions, Effect, Server, Trigger};

use crate::support::processes::{RunningCommand, kill_process};
use crate::support::{COMMAND_TIMEOUT, Rig, isolated, mode_of, run, text, wait_until};

fn options(archive: Archive) -> DemoCloudOptions {
    DemoCloudOptions { archive, ..DemoCloudOptions::default() }
}

fn status(rig: &Rig, words: &[&str]) -> Output {
    run(&mut isolated(rig, rig.meetfs().arg("status").args(words)), COMMAND_TIMEOUT)
}

fn metrics(rig: &Rig) -> String {
    let output = status(rig, &["--prometheus"]);
    assert!(output.status.success(), "{}", text(&output));
    String::from_utf8(output.stdout).expect("text")
}

/// Returns the sum of the series that begin with `series`.
fn value(metrics: &str, series: &str) -> f64 {
    let samples = metrics.lines().filter(|line| {
        line.strip_prefix(series).is_some_and(|rest| rest.starts_with([' ', '{', ',']))
    });
    let values: Vec<f64> = samples
        .map(|line| line.rsplit(' ').next().and_then(|value| value.parse().ok()).expect("a value"))
        .collect();
    assert!(!values.is_empty(), "{series} is missing:\n{metrics}");
    values.iter().sum()
}

/// Returns the name and the labels of each series.
fn series(metrics: &str) -> BTreeSet<String> {
    let samples = metrics.lines().filter(|line| !line.starts_with('#'));
    samples.filter_map(|line| Some(line.rsplit_once(' ')?.0.to_owned())).collect()
}

/// Runs promtool with `input`. Fails if it prints a problem.
fn promtool(words: &[&str], input: &str) {
    let mut child = Command::new("promtool")
        .args(words)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("promtool");
    child.stdin.take().expect("a pipe").write_all(input.as_bytes()).expect("a reader");
    let output = child.wait_with_output().expect("an exit status");
    assert!(output.status.success(), "{words:?}: {}\n{input}", text(&output));
}

fn read_videos(rig: &Rig) -> u64 {
    rig.shell("cat acme/*/*/*.mp4 | wc -c").trim().parse().expect("a number")
}

#[test]
fn metrics_count_reads_and_requests() {
    let rig = Rig::mounted(options(Archive::with_pattern_files(&[
        ("a", 300_000),
        ("b", 300_000),
        ("c", 9),
    ])));
    let before = metrics(&rig);
    promtool(&["check", "metrics"], &before);
    assert_eq!(value(&before, "meetfs_read_bytes_total"), 0.0);
    let bytes = read_videos(&rig) as f64;
    let after = metrics(&rig);
    promtool(&["check", "metrics"], &after);
    assert!(value(&after, "meetfs_read_bytes_total") >= bytes, "{after}");
    assert!(value(&after, "meetfs_source_fetched_bytes_total") >= bytes, "{after}");
    assert_eq!(value(&after, "meetfs_source_meetings"), 3.0);
    assert_eq!(
        value(&after, "meetfs_source_size_bytes"),
        value(&before, "meetfs_source_size_bytes")
    );
    for (operation, code) in
        [("catalog", "2xx"), ("token", "2xx"), ("probe", "3xx"), ("read", "2xx")]
    {
        let labels = format!("operation=\"{operation}\",code=\"{code}\"");
        let name =
            format!("meetfs_source_requests_total{{source=\"acme\",provider=\"zoom\",{labels}}}");
        assert!(value(&after, &name) > 0.0, "{name}\n{after}");
    }
    assert!(value(&after, "meetfs_cache_misses_total{level=\"disk\"}") > 0.0, "{after}");
    assert!(value(&after, "meetfs_cache_size_bytes{level=\"memory\"}") >= bytes, "{after}");
    assert!(value(&after, "meetfs_connection_limit") > 0.0, "{after}");
    assert!(value(&after, "meetfs_source_last_refresh_timestamp_seconds") > 1.7e9, "{after}");
    assert_eq!(series(&before), series(&after));
    rig.unmount();
    // Another mount of the same cache loads the blocks from disk.
    rig.mount();
    read_videos(&rig);
    let remounted = metrics(&rig);
    assert!(value(&remounted, "meetfs_cache_hits_total{level=\"disk\"}") > 0.0, "{remounted}");
    assert_eq!(value(&remounted, "meetfs_source_fetched_bytes_total"), 0.0, "{remounted}");
    rig.unmount();
}

#[test]
fn failures_are_counted() {
    let rig = Rig::new(options(Archive::with_pattern_files(&[("a", 300_000)])))
        .with("read_deadline = \"2s\"");
    rig.mount();
    rig.cloud.inject(Trigger::always(Server::Media).with_effect(Effect::status(503)));
    rig.cloud.inject(
        Trigger::always(Server::Api).with_path("/recordings").with_effect(Effect::status(429)),
    );
    let output = rig.try_shell("cat acme/*/*/*.mp4 >/dev/null", COMMAND_TIMEOUT);
    assert!(!output.status.success(), "{}", text(&output));
    let refresh = run(&mut isolated(&rig, rig.meetfs().arg("refresh")), COMMAND_TIMEOUT);
    assert!(!refresh.status.success(), "{}", text(&refresh));
    let metrics = metrics(&rig);
    promtool(&["check", "metrics"], &metrics);
    assert!(value(&metrics, "meetfs_failed_reads_total") >= 1.0, "{metrics}");
    assert!(value(&metrics, "meetfs_source_retries_total") >= 1.0, "{metrics}");
    assert!(value(&metrics, "meetfs_source_failed_refreshes_total") >= 1.0, "{metrics}");
    assert_eq!(value(&metrics, "meetfs_source_refresh_failing"), 1.0, "{metrics}");
    let refused = "meetfs_source_requests_total{source=\"acme\",provider=\"zoom\",\
                   operation=\"catalog\",code=\"429\"}";
    assert!(value(&metrics, refused) >= 1.0, "{metrics}");
    rig.unmount();
}

#[test]
fn series_do_not_depend_on_the_archive() {
    let names = [10, 10_000].map(|meetings| {
        let rig = Rig::mounted(options(Archive::with_meetings(meetings, 20)));
        rig.shell("cat acme/*/*/chat.txt | head -c 1000 >/dev/null");
        let metrics = metrics(&rig);
        assert_eq!(value(&metrics, "meetfs_source_meetings"), meetings as f64);
        rig.unmount();
        series(&metrics)
    });
    assert_eq!(names[0], names[1]);
    for series in &names[0] {
        let labels = series.split_once('{').map_or("", |(_, labels)| labels.trim_end_matches('}'));
        for label in labels.split(',').filter_map(|label| Some(label.split_once('=')?.0)) {
            assert!(
                ["source", "provider", "operation", "level", "code"].contains(&label),
                "{series}"
            );
        }
    }
}

#[test]
fn metrics_need_one_live_mount() {
    let (one, other) = (
        Rig::mounted(options(Archive::with_meetings(1, 20))),
        Rig::new(options(Archive::with_meetings(1, 20))),
    );
    other.write_config(&other.config());
    let mut mount = other.mount_command();
    mount.env("XDG_RUNTIME_DIR", one.directory.path().join("run"));
    assert!(run(&mut mount, COMMAND_TIMEOUT).status.success());
    let output = status(&one, &["--prometheus"]);
    assert_eq!(output.status.code(), Some(2), "{}", text(&output));
    assert!(text(&output).contains("hint: Name its mountpoint."), "{}", text(&output));
    let place = one.mountpoint.to_str().expect("a path");
    let output = status(&one, &["--prometheus", place]);
    assert!(output.status.success(), "{}", text(&output));
    other.unmount();
    kill_process(one.daemon().expect("a daemon"));
    wait_until(COMMAND_TIMEOUT, "the daemon has exited", || one.daemon().is_none());
    let output = status(&one, &["--prometheus"]);
    assert_eq!(output.status.code(), Some(1), "{}", text(&output));
    assert_eq!(String::from_utf8_lossy(&output.stdout), "");
    one.unmount();
    assert_eq!(status(&one, &["--prometheus"]).status.code(), Some(1));
}

fn curl(words: &[&str]) -> Output {
    run(
        Command::new("curl").args(["-sS", "--max-time", "20", "--noproxy", "*"]).args(words),
        COMMAND_TIMEOUT,
    )
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").and_then(|it| it.local_addr()).expect("a port").port()
}

#[test]
fn listener_serves_metrics_over_http() {
    let port = free_port();
    let rig = Rig::new(options(Archive::with_pattern_files(&[("a", 300_000), ("b", 7)])))
        .with(&format!("metrics = \"localhost:{port}\""));
    rig.mount();
    read_videos(&rig);
    let url = format!("http://127.0.0.1:{port}/metrics");
    let output = curl(&["-D", "-", &url]);
    let reply = String::from_utf8_lossy(&output.stdout).into_owned();
    let (head, body) = reply.split_once("\r\n\r\n").expect("a head");
    assert!(head.starts_with("HTTP/1.1 200 OK"), "{head}");
    assert!(head.contains("content-type: text/plain; version=0.0.4"), "{head}");
    promtool(&["check", "metrics"], body);
    assert_eq!(series(body), series(&metrics(&rig)));
    let code = |words: &[&str]| {
        let output = curl(&[&["-o", "/dev/null", "-w", "%{http_code}"], words].concat());
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    assert_eq!(code(&[&format!("http://127.0.0.1:{port}/other")]), "404");
    assert_eq!(code(&["-X", "POST", "-d", "x=1", &url]), "405");
    assert_eq!(code(&["-I", &url]), "200");
    // A web page whose name resolves to a loopback address must not read the metrics.
    for (host, expected) in [
        ("attacker.example", "403"),
        ("attacker.example:80", "403"),
        ("localhost", "200"),
        ("[::1]:9464", "200"),
        ("127.0.0.2:80", "200"),
    ] {
        assert_eq!(code(&["-H", &format!("Host: {host}"), &url]), expected, "{host}");
    }
    assert_eq!(code(&["-H", &format!("X-Long: {}", "x".repeat(60_000)), &url]), "431");
    // Idle connections end after a timeout, so they delay a scraper but do not lock it out.
    let hold = format!(
        "exec python3 -c '\nimport socket, time\n\
         held = [socket.create_connection((\"127.0.0.1\", {port})) for _ in range(100)]\n\
         print(\"held\", flush=True); time.sleep(60)'"
    );
    let holding = RunningCommand::outside(&rig, &hold);
    wait_until(COMMAND_TIMEOUT, "they are connected", || holding.output().contains("held"));
    wait_until(COMMAND_TIMEOUT, "the scraper is served", || code(&[&url]) == "200");
    drop(holding);
    // A second mount with the same configuration cannot use the port.
    let other = Rig::new(options(Archive::with_meetings(1, 20)))
        .with(&format!("metrics = \"127.0.0.1:{port}\""));
    other.write_config(&other.config());
    let output = run(&mut other.mount_command(), COMMAND_TIMEOUT);
    assert_eq!(output.status.code(), Some(4), "{}", text(&output));
    assert!(text(&output).contains("cannot serve metrics on"), "{}", text(&output));
    assert_eq!(other.entries_in_mount_table(), 0);
    rig.unmount();
    assert_eq!(code(&[&url]), "000");
}

#[test]
fn listener_serves_metrics_on_a_private_socket() {
    let rig = Rig::new(options(Archive::with_meetings(2, 20)));
    rig.write_config(&rig.config());
    let socket = rig.directory.path().join("metrics.sock");
    let address = format!("unix:{}", socket.display());
    let mount = || {
        let output = run(rig.mount_command().args(["--metrics", &address]), COMMAND_TIMEOUT);
        assert!(output.status.success(), "{}", text(&output));
    };
    let scrape = || {
        let path = socket.to_str().expect("a path");
        curl(&["--unix-socket", path, "http://localhost/metrics"])
    };
    mount();
    assert_eq!(mode_of(&socket), 0o600);
    let output = scrape();
    promtool(&["check", "metrics"], &String::from_utf8_lossy(&output.stdout));
    // A killed daemon leaves its socket file, which the next mount replaces.
    kill_process(rig.daemon().expect("a daemon"));
    wait_until(COMMAND_TIMEOUT, "the daemon has exited", || rig.daemon().is_none());
    assert!(socket.exists());
    mount();
    assert!(scrape().status.success());
    rig.unmount();
    assert!(!socket.exists());
    std::fs::write(&socket, "not a socket").expect("a file");
    let output = run(rig.mount_command().args(["--metrics", &address]), COMMAND_TIMEOUT);
    assert_eq!(output.status.code(), Some(1), "{}", text(&output));
    assert_eq!(std::fs::read_to_string(&socket).expect("a file"), "not a socket");
}

#[test]
fn listener_accepts_only_loopback_addresses() {
    let rig = Rig::new(options(Archive::with_meetings(1, 20)));
    rig.write_config(&rig.config());
    for address in ["0.0.0.0:9464", "192.0.2.1:9464", "[::]:9464", "example.org:9464"] {
        let output = run(rig.mount_command().args(["--metrics", address]), COMMAND_TIMEOUT);
        assert_eq!(output.status.code(), Some(2), "{address}: {}", text(&output));
        let message = "error: `--metrics`: must be on a loopback address\nhint: ";
        assert!(text(&output).contains(message), "{address}: {}", text(&output));
    }
    assert_eq!(rig.entries_in_mount_table(), 0);
}

#[test]
fn alert_rules_pass_their_tests() {
    let examples = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/examples");
    let path = |name| format!("{examples}/{name}");
    promtool(&["check", "rules", "--lint=all", "--lint-fatal", &path("alerts.yml")], "");
    promtool(&["test", "rules", &path("alerts_test.yml")], "");
}
