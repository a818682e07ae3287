//! State that survives a restart: the tree is ready at once, regardless of the provider.

use std::time::{Duration, Instant};

use crate::support::processes::RunningCommand;
use crate::support::{COMMAND_TIMEOUT, Rig, run, text, wait_until};
use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};
use meetfs::demo_cloud::{Archive, DemoCloud, DemoCloudOptions, Effect, Request, Server, Trigger};

fn options(archive: Archive) -> DemoCloudOptions {
    DemoCloudOptions { archive, ..DemoCloudOptions::default() }
}

/// Makes every server of a cloud unresponsive.
fn disconnect(cloud: &DemoCloud) {
    for server in [Server::Api, Server::Web, Server::Media] {
        cloud.inject(Trigger::always(server).with_effect(Effect::BlackHole));
    }
}

/// Returns the first day of each listing window.
fn listed_from(requests: &[Request]) -> Vec<Date> {
    let from = |request: &Request| {
        url::form_urlencoded::parse(request.query.as_bytes())
            .find(|(key, _)| key == "from")
            .and_then(|(_, day)| day.parse().ok())
    };
    requests
        .iter()
        .filter(|request| request.path.contains("/recordings"))
        .filter_map(from)
        .collect()
}

fn shown(rig: &Rig) -> usize {
    rig.shell("find . -name chat.txt | wc -l").trim().parse().expect("a number")
}

#[test]
fn mount_works_offline_from_catalog_and_cache() {
    let rig = Rig::mounted(options(Archive::with_pattern_files(&[
        ("kept", 3_000_000),
        ("never read", 2_000_000),
    ])));
    let names = "find . | LC_ALL=C sort; stat --printf '%n %s %Y %i\\n' */*/*/*.mp4";
    let (listed, sum) = (rig.shell(names), rig.shell("sha256sum < */*/*kept/*.mp4"));
    rig.unmount();
    disconnect(&rig.cloud);
    let start = Instant::now();
    rig.mount();
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
    assert_eq!(rig.shell(names), listed);
    assert_eq!(rig.shell("sha256sum < */*/*kept/*.mp4"), sum);
    rig.unmount();
}

#[test]
fn restart_refreshes_only_the_last_days() {
    let rig = Rig::mounted(options(Archive::with_meetings(600, 700)));
    assert_eq!(shown(&rig), 600);
    assert!(listed_from(&rig.cloud.requests()).len() > 20);
    rig.unmount();
    let removed_uuid = rig.cloud.meetings().first().expect("a meeting").uuid.clone();
    rig.cloud.remove_meeting(&removed_uuid);
    rig.cloud.clear_requests();
    // The refresh must not finish before the stored listing is counted.
    let slow = Trigger::always(Server::Api).with_path("/recordings");
    rig.cloud.inject(slow.with_effect(Effect::Latency(Duration::from_secs(3))));
    rig.mount();
    assert_eq!(shown(&rig), 600, "the stored listing is shown at once");
    rig.cloud.clear_faults();
    wait_until(COMMAND_TIMEOUT, "the deleted meeting disappears", || shown(&rig) == 599);
    let last_days = TimeZone::UTC.to_datetime(Timestamp::now()).date().saturating_sub(9.days());
    let windows = listed_from(&rig.cloud.requests());
    assert!(!windows.is_empty() && windows.iter().all(|from| *from >= last_days), "{windows:?}");
    rig.unmount();
}

#[test]
fn changed_scope_discards_the_stored_listing() {
    let rig = Rig::mounted(options(Archive::with_meetings(10, 20)));
    assert_eq!(shown(&rig), 10);
    rig.unmount();
    disconnect(&rig.cloud);
    let rig = rig.with_source("users = [\"ben@example.org\"]");
    rig.write_config(&rig.config());
    let output = run(rig.mount_command().arg("--require-online"), Duration::from_secs(90));
    assert!(!output.status.success(), "{}", text(&output));
    assert_eq!(rig.entries_in_mount_table(), 0);
}

#[test]
fn hanging_source_does_not_delay_others() {
    let hole = DemoCloud::start(options(Archive::with_meetings(5, 20))).expect("a cloud");
    disconnect(&hole);
    let second = source("hole", &hole, &hole.credentials().client_secret);
    let rig = Rig::new(options(Archive::with_meetings(40, 60)));
    rig.write_config(&format!("{}\n{second}", rig.config()));
    let start = Instant::now();
    let output = run(&mut rig.mount_command(), COMMAND_TIMEOUT);
    assert!(output.status.success(), "{}", text(&output));
    assert!(start.elapsed() < Duration::from_secs(15), "{:?}", start.elapsed());
    assert!(text(&output).contains("hole has not answered yet"), "{}", text(&output));
    assert!(rig.log().contains("hole has not answered yet"), "{}", rig.log());
    assert_eq!(shown(&rig), 40);
    assert_eq!(rig.shell("ls hole; cat acme/*/*/chat.txt | wc -l").lines().count(), 1);
    let status = rig.status();
    assert_eq!(
        (&status["sources"][0]["name"], &status["sources"][0]["meetings"]),
        (&"acme".into(), &40.into())
    );
    assert_eq!(status["sources"][1]["meetings"], 0);
    hole.clear_faults();
    wait_until(Duration::from_secs(120), "the other source appears when it answers", || {
        shown(&rig) == 45
    });
    rig.unmount();
}

/// Returns the configuration of a second Zoom source.
fn source(name: &str, cloud: &DemoCloud, secret: &str) -> String {
    let credentials = cloud.credentials();
    format!(
        "[source.{name}]\nprovider = \"zoom\"\naccount_id = \"{}\"\nclient_id = \"{}\"\nclient_secret = \"{secret}\"\n\
         api_url = \"{}\"\noauth_url = \"{}\"\n",
        credentials.account_id,
        credentials.client_id,
        cloud.api_url(),
        cloud.oauth_url(),
    )
}

#[test]
fn new_source_does_not_delay_a_stored_listing() {
    let rig = Rig::mounted(options(Archive::with_meetings(40, 60)));
    rig.unmount();
    let slow = DemoCloud::start(options(Archive::with_meetings(5, 20))).expect("a cloud");
    let secret = slow.credentials().client_secret;
    let locked = source("locked", &slow, "wrong-secret");
    for (name, is_foreground) in [("slow", false), ("tardy", true)] {
        rig.write_config(&format!("{}\n{}{locked}", rig.config(), source(name, &slow, &secret)));
        // This is shorter than the wait of a mount without a stored listing.
        let token_requests = Trigger::always(Server::Api).with_path("/oauth/token");
        slow.inject(token_requests.with_effect(Effect::Latency(Duration::from_secs(2))));
        let mut command = rig.mount_command();
        if is_foreground {
            command.arg("--foreground");
        }
        let mut running = RunningCommand::start(&mut command);
        wait_until(COMMAND_TIMEOUT, "it is mounted", || rig.entries_in_mount_table() == 1);
        assert_eq!(shown(&rig), 40);
        if !is_foreground {
            assert_eq!(running.end(COMMAND_TIMEOUT).0.code(), Some(0), "{}", running.output());
        }
        for text in [running.output(), rig.log()] {
            for source in [name, "locked"] {
                assert!(text.contains(&format!("{source} has not answered yet")), "{text}");
            }
        }
        wait_until(COMMAND_TIMEOUT, "both have answered", || {
            let sources = rig.status()["sources"].clone();
            sources[1]["error"].is_object() && sources[2]["listed"].is_string()
        });
        wait_until(COMMAND_TIMEOUT, "the slow source appears", || shown(&rig) == 45);
        assert!(rig.log().contains("cannot list recordings"), "{}", rig.log());
        rig.unmount();
        assert!(!running.output().contains("wrong-secret"), "{}", running.output());
        slow.clear_faults();
    }
}

#[test]
fn invalid_entries_remove_no_meeting() {
    let rig = Rig::mounted(options(Archive::with_meetings(20, 20)));
    assert_eq!(shown(&rig), 20);
    for body in [
        r#"{"from":"2020-01-01","to":"2020-01-01","meetings":[{"uuid":null,"topic":"lost"},{"uuid":7}]}"#,
        r#"{"meetings":[{"uuid":"x==","start_time":"2026-01-01T00:00:00Z","recording_files":"gone"}]}"#,
        r#"{"meetings":[[[[[]]]]]}"#,
    ] {
        rig.cloud.inject(Trigger::always(Server::Api).with_path("/recordings").with_effect(
            Effect::Status {
                status: 200,
                body: body.into(),
                content_type: "application/json".into(),
                headers: Vec::new(),
            },
        ));
        let output = run(rig.meetfs().arg("refresh").arg(&rig.mountpoint), COMMAND_TIMEOUT);
        assert_eq!(output.status.code(), Some(1), "{body}: {}", text(&output));
        assert_eq!(shown(&rig), 20, "{body}");
        rig.cloud.clear_faults();
    }
    let output = run(rig.meetfs().arg("refresh").arg(&rig.mountpoint), COMMAND_TIMEOUT);
    assert!(output.status.success(), "{}", text(&output));
    rig.unmount();
}
