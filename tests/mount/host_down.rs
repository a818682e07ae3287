//! A server that keeps failing: most reads fail at once instead of waiting for their deadline.

use std::time::{Duration, Instant};

use crate::support::{COMMAND_TIMEOUT, Rig, run, text, wait_until};
use jiff::Timestamp;
use meetfs::demo_cloud::{
    Archive, Content, DemoCloud, DemoCloudOptions, Effect, MeetingFile, RapatinSession, Server,
    Trigger, WebexArchive, WebexRecording,
};

/// Lifetime of the Webex leases in these tests.
const LEASE_TTL: Duration = Duration::from_secs(1);

/// Reads the first 100,000 bytes of a file. Returns the number of bytes read and the duration.
fn read_head(rig: &Rig, pattern: &str) -> (u64, Duration) {
    let start = Instant::now();
    let output = rig.try_shell(&format!("head -c 100000 {pattern} | wc -c"), COMMAND_TIMEOUT);
    (String::from_utf8_lossy(&output.stdout).trim().parse().expect("a number"), start.elapsed())
}

/// Asserts what happens while the API of `source` does not answer: one read waits, the next ones
/// fail at once, and `status` shows the reason. Refreshes continue to try, `acme` is read as
/// before, and everything works once the API answers again.
fn assert_only_one_source_is_down(rig: &Rig, source: &str, server: Server, origin: &str) {
    rig.cloud.inject(Trigger::always(server).with_effect(Effect::BlackHole));
    let first = format!("{source}/*/*one*/*.mp4");
    let (bytes, elapsed) = read_head(rig, &first);
    assert!(bytes == 0 && elapsed > Duration::from_secs(10), "{bytes} bytes in {elapsed:?}");
    for name in ["two", "three", "two"] {
        let (bytes, elapsed) = read_head(rig, &format!("{source}/*/*{name}*/*.mp4"));
        // One of the reads probes the server for two seconds.
        assert!(
            bytes == 0 && elapsed < Duration::from_secs(8),
            "{name}: {bytes} bytes in {elapsed:?}\n{}",
            rig.log()
        );
    }
    let (bytes, elapsed) = read_head(rig, "acme/*/*other*/*.mp4");
    assert!(bytes == 100_000 && elapsed < Duration::from_secs(8), "{bytes} bytes in {elapsed:?}");

    let status = rig.status();
    let [down] = status["down"].as_array().expect("a list").as_slice() else { panic!("{status}") };
    assert_eq!(
        (&down["host"], &down["sources"]),
        (&origin.into(), &serde_json::json!([source])),
        "{status}"
    );
    let time =
        |key: &str| down[key].as_str().and_then(|at| at.parse::<Timestamp>().ok()).expect(key);
    assert!(time("since") < Timestamp::now() && time("since") < time("next"), "{down}");
    let output = run(rig.meetfs().arg("status"), COMMAND_TIMEOUT);
    let words = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(words.contains(&format!("DOWN    {origin} ({source}): failing since")), "{words}");

    rig.cloud.clear_requests();
    let daemon = rig.daemon().expect("a daemon").to_string();
    run(std::process::Command::new("kill").args(["-HUP", &daemon]), COMMAND_TIMEOUT);
    let is_listed = || {
        let requests = rig.cloud.requests();
        requests.iter().any(|request| request.server == server && request.path.len() > 1)
    };
    wait_until(COMMAND_TIMEOUT, "a listing requests it anyway", is_listed);

    rig.cloud.clear_faults();
    wait_until(Duration::from_secs(20), "it is read again", || read_head(rig, &first).0 == 100_000);
    // A read with a valid lease does not use the API. Only a request to the API shows that it
    // answers again.
    let output = run(rig.meetfs().arg("refresh").arg(&rig.mountpoint), COMMAND_TIMEOUT);
    assert!(output.status.success(), "{}\n{}", text(&output), rig.log());
    assert_eq!(rig.status()["down"], serde_json::json!([]));
    rig.unmount();
}

fn mount_with(rig: &Rig, source: impl FnOnce(&DemoCloud) -> String) {
    rig.write_config(&format!("{}\n{}", rig.config(), source(&rig.cloud)));
    let output = run(&mut rig.mount_command(), COMMAND_TIMEOUT);
    assert!(output.status.success(), "{}\n{}", text(&output), rig.log());
}

fn origin(address: &str) -> String {
    address.parse::<url::Url>().expect("an address").origin().ascii_serialization()
}

#[test]
fn webex_outage_fails_only_webex_reads_at_once() {
    let start = Timestamp::now() - jiff::SignedDuration::from_hours(5);
    let recording = |topic: &str| WebexRecording::new(topic, topic, start).with_video(3_000_000);
    let recordings = ["one", "two", "three"].map(recording).to_vec();
    let rig = Rig::new(DemoCloudOptions {
        archive: Archive::with_pattern_files(&[("other", 3_000_000)]),
        webex_archive: WebexArchive { recordings, ..WebexArchive::empty() },
        webex_signed_url_ttl: LEASE_TTL,
        ..DemoCloudOptions::default()
    });
    mount_with(&rig, |cloud| {
        format!(
            "[source.cisco]\nprovider = \"webex\"\ntoken = \"{}\"\napi_url = \"{}\"\n",
            cloud.webex_token(),
            cloud.webex_api_url()
        )
    });
    let documents = || rig.shell("find cisco -name meeting.json | wc -l");
    wait_until(COMMAND_TIMEOUT, "all details have arrived", || documents().trim() == "3");
    // The leases of the listing expire, so that each read needs the API.
    std::thread::sleep(2 * LEASE_TTL);
    let origin = origin(&rig.cloud.webex_api_url());
    assert_only_one_source_is_down(&rig, "cisco", Server::Webex, &origin);
}

#[test]
fn rapatin_outage_fails_only_rapatin_reads_at_once() {
    let start = Timestamp::now() - jiff::SignedDuration::from_hours(30);
    let session = |(place, topic): (usize, &str)| {
        let mut session = RapatinSession::new(topic, &format!("9000000{place}"), topic, start);
        session.files.clear();
        session.with_file(MeetingFile::new("MP4", Content::Pattern { seed: 7, length: 3_000_000 }))
    };
    let rapatin = ["one", "two", "three"].into_iter().enumerate().map(session).collect();
    let archive = Archive::with_pattern_files(&[("other", 3_000_000)]);
    let rig = Rig::new(DemoCloudOptions {
        archive,
        rapatin_sessions: rapatin,
        ..DemoCloudOptions::default()
    });
    mount_with(&rig, |cloud| {
        let (email, password) = cloud.rapatin_login();
        let api = cloud.rapatin_api_url();
        format!(
            "[source.rapat]\nprovider = \"rapatin\"\nemail = \"{email}\"\npassword = \"{password}\"\napi_url = \"{api}\"\n"
        )
    });
    // The download URLs are Zoom's. When one is refused, a new one is requested from the API.
    rig.cloud.inject(
        Trigger::always(Server::Web).with_path("webhook_download").with_effect(Effect::Html200),
    );
    let origin = origin(&rig.cloud.rapatin_api_url());
    assert_only_one_source_is_down(&rig, "rapat", Server::Rapatin, &origin);
}

#[test]
fn only_one_read_waits_for_a_hanging_server() {
    let files = [("known", 3_000_000), ("other", 50_000_000), ("third", 50_000_000)];
    let rig = Rig::mounted(DemoCloudOptions {
        archive: Archive::with_pattern_files(&files),
        ..DemoCloudOptions::default()
    });
    rig.shell("cat acme/*/*known/*.mp4 | wc -c");
    for server in [Server::Api, Server::Web, Server::Media] {
        rig.cloud.inject(Trigger::always(server).with_effect(Effect::BlackHole));
    }
    let read = |name: &str| read_head(&rig, &format!("acme/*/*{name}/*.mp4"));
    let (bytes, elapsed) = read("other");
    assert!(bytes == 0 && elapsed > Duration::from_secs(10), "{bytes} bytes in {elapsed:?}");
    for _ in 0..3 {
        let (bytes, elapsed) = read("third");
        // One of the reads probes the server for two seconds.
        assert!(bytes == 0 && elapsed < Duration::from_secs(8), "{bytes} bytes in {elapsed:?}");
    }
    assert_eq!(read("known").0, 100_000, "cached bytes are readable");
    assert!(rig.log().contains("has been failing for more than "), "{}", rig.log());
    let down = rig.status()["down"].to_string();
    assert!(down.contains("127.0.0.1") && down.contains("since"), "{down}");
    rig.cloud.clear_faults();
    wait_until(Duration::from_secs(15), "it is read again", || read("third").0 == 100_000);
    rig.unmount();
}
