//! Rate limits and endless listings: how long meetfs waits, and what it reports.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::support::processes::RunningCommand;
use crate::support::{COMMAND_TIMEOUT, Rig, run, text, wait_until};
use jiff::Timestamp;
use meetfs::demo_cloud::{
    Archive, DemoCloud, DemoCloudOptions, Effect, Fault, RapatinSession, RetryAfter, Server,
    Trigger, WebexArchive,
};

/// The requested delay in seconds, longer than any back-off.
const REQUESTED_DELAY: u64 = 400;

const FORMS: [(RetryAfter, bool); 4] = [
    (RetryAfter::Seconds(REQUESTED_DELAY), true),
    (RetryAfter::HttpDate(REQUESTED_DELAY), true),
    (RetryAfter::IsoDate(REQUESTED_DELAY), true),
    (RetryAfter::None, false),
];

fn rig(source: impl FnOnce(&DemoCloud) -> String) -> Rig {
    let rig = Rig::new(DemoCloudOptions {
        archive: Archive::with_meetings(5, 20),
        webex_archive: WebexArchive::demo(),
        rapatin_sessions: RapatinSession::demo(),
        ..DemoCloudOptions::default()
    });
    let config = rig.config();
    let general = config.split("[source.").next().expect("a beginning");
    rig.write_config(&format!("{general}\n{}", source(&rig.cloud)));
    mount(&rig);
    rig.unmount();
    rig
}

fn mount(rig: &Rig) {
    let output = run(&mut rig.mount_command(), COMMAND_TIMEOUT);
    assert!(output.status.success(), "{}\n{}", text(&output), rig.log());
}

/// Asserts the effect of a 429 with each form of its delay: `status` shows why the source was not
/// listed, and a time of the next refresh that is not before the end of the delay.
fn assert_every_form_is_awaited(rig: &Rig, fault: impl Fn(RetryAfter) -> Fault) {
    for (form, is_stated) in FORMS {
        rig.cloud.inject(fault(form));
        mount(rig);
        let source = || rig.status()["sources"][0].clone();
        wait_until(Duration::from_secs(90), "the listing has failed", || {
            let source = source();
            let has_failed = source["error"].is_object()
                || source["incomplete"].as_array().is_some_and(|gaps| !gaps.is_empty());
            has_failed && source["is_refreshing"] == false && source["next"].is_string()
        });
        let source = source();
        let message = format!("{} {}", source["error"], source["incomplete"]);
        assert!(message.contains("limits the rate of requests; retry after"), "{form:?}: {source}");
        assert_eq!(message.contains("retry after 7 min"), is_stated, "{form:?}: {source}");
        let next: Timestamp = source["next"].as_str().expect("a time").parse().expect("a time");
        let wait = next.duration_since(Timestamp::now()).as_secs();
        let expected = if is_stated { 370..=450 } else { 1..=330 };
        assert!(expected.contains(&wait), "{form:?}: {wait} s, {source}");
        let words = run(rig.meetfs().arg("status"), COMMAND_TIMEOUT);
        let words = String::from_utf8_lossy(&words.stdout).into_owned();
        assert!(words.contains(", next ") && words.contains("retry after"), "{words}");
        rig.unmount();
        rig.cloud.clear_faults();
    }
}

#[test]
fn zoom_delay_is_awaited_in_every_form() {
    let rig = rig(|cloud| {
        format!(
            "[source.acme]\nprovider = \"zoom\"\ntoken = \"{}\"\napi_url = \"{}\"\n",
            cloud.long_lived_token(),
            cloud.api_url()
        )
    });
    let limit = |form| {
        Trigger::always(Server::Api)
            .with_path("/recordings")
            .with_effect(Effect::TooManyRequests(form))
    };
    assert_every_form_is_awaited(&rig, limit);
}

#[test]
fn webex_delay_is_awaited_in_every_form() {
    let rig = rig(|cloud| {
        format!(
            "[source.cisco]\nprovider = \"webex\"\ntoken = \"{}\"\napi_url = \"{}\"\n",
            cloud.webex_token(),
            cloud.webex_api_url()
        )
    });
    let limit = |form| Trigger::always(Server::Webex).with_effect(Effect::TooManyRequests(form));
    assert_every_form_is_awaited(&rig, limit);
}

#[test]
fn rapatin_delay_is_awaited_in_every_form() {
    let rig = rig(|cloud| {
        let (email, password) = cloud.rapatin_login();
        let api = cloud.rapatin_api_url();
        format!(
            "[source.rapat]\nprovider = \"rapatin\"\nemail = \"{email}\"\npassword = \"{password}\"\napi_url = \"{api}\"\n"
        )
    });
    let limited = |part: &str, form| {
        Trigger::always(Server::Rapatin).with_path(part).with_effect(Effect::TooManyRequests(form))
    };
    assert_every_form_is_awaited(&rig, |form| {
        rig.cloud.inject(limited("/recordings", form));
        limited("/schedules", form)
    });
}

/// Starts a server with an endless listing: each page has one meeting and the token of another
/// page.
fn start_endless_listing() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || {
                let mut lines =
                    BufReader::new(stream.try_clone().expect("a second handle")).lines();
                let mut stream = stream;
                while let Some(Ok(request)) = lines.next() {
                    while lines.next().is_some_and(|line| line.is_ok_and(|line| !line.is_empty())) {
                    }
                    let field = |name: &str| {
                        let value = request
                            .split(['?', '&', ' '])
                            .find_map(|field| field.strip_prefix(name));
                        value.unwrap_or_default().to_owned()
                    };
                    let (from, to) = (field("from="), field("to="));
                    let page = field("next_page_token=").parse::<u64>().unwrap_or_default() + 1;
                    let body = format!(
                        "{{\"from\":\"{from}\",\"to\":\"{to}\",\"next_page_token\":\"{page}\",\"meetings\":[{{\"uuid\":\"u{from}==\",\"topic\":\"Again\",\"start_time\":\"{from}T10:00:00Z\"}}]}}"
                    );
                    let head =
                        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length:";
                    if write!(stream, "{head} {}\r\n\r\n{body}", body.len()).is_err() {
                        return;
                    }
                }
            });
        }
    });
    format!("http://{address}/v2")
}

#[test]
fn endless_listing_is_reported_as_incomplete() {
    let rig = Rig::new(DemoCloudOptions::default());
    let config = rig.config();
    let general = config.split("[source.").next().expect("a beginning");
    let source = format!(
        "[source.acme]\nprovider = \"zoom\"\ntoken = \"t\"\napi_url = \"{}\"\n",
        start_endless_listing()
    );
    rig.write_config(&format!("{general}\n{source}"));
    mount(&rig);
    let output = run(rig.meetfs().arg("refresh").arg(&rig.mountpoint), COMMAND_TIMEOUT);
    assert_eq!(output.status.code(), Some(1), "{}", text(&output));
    assert!(text(&output).contains("not refreshed completely: acme"), "{}", text(&output));
    assert!(text(&output).contains("several pages without a new entry"), "{}", text(&output));
    rig.unmount();
}

#[test]
fn slow_mount_shows_what_it_waits_for() {
    let archive = Archive::with_meetings(5, 20);
    let rig = Rig::new(DemoCloudOptions { archive, ..DemoCloudOptions::default() });
    rig.write_config(&rig.config());
    rig.cloud.inject(Trigger::always(Server::Api).with_path("/v2/").with_effect(Effect::BlackHole));
    let start = Instant::now();
    let mut mount = RunningCommand::start(&mut rig.mount_command());
    wait_until(COMMAND_TIMEOUT, "the progress is shown", || {
        mount.output().contains("waiting for acme to list the recordings")
    });
    // The mount itself waits much longer.
    assert!(mount.is_running() && start.elapsed() < Duration::from_secs(15), "{}", mount.output());
}

#[test]
fn slow_listing_shows_how_much_is_done() {
    let archive = Archive::with_meetings(300, 700);
    let rig = Rig::new(DemoCloudOptions { archive, ..DemoCloudOptions::default() });
    rig.write_config(&rig.config());
    let slow = Effect::Latency(Duration::from_secs(1));
    rig.cloud.inject(Trigger::always(Server::Api).with_path("/recordings").with_effect(slow));
    let output = run(&mut rig.mount_command(), COMMAND_TIMEOUT);
    let output_text = text(&output);
    assert!(output.status.success(), "{output_text}");
    let progress = output_text.split("acme: ").nth(1).expect(&output_text);
    let numbers: Vec<usize> =
        progress.split([' ', ',']).filter_map(|word| word.parse().ok()).take(3).collect();
    let [done, lists, entries] = numbers[..] else { panic!("{output_text}") };
    assert!(0 < done && done < lists && lists > 20, "{output_text}");
    assert!(entries > 0 && entries < 300, "{output_text}");
}

#[test]
fn slow_refresh_shows_what_it_waits_for() {
    let rig = Rig::mounted(DemoCloudOptions {
        archive: Archive::with_meetings(5, 20),
        ..DemoCloudOptions::default()
    });
    let slow = Effect::Latency(Duration::from_secs(5));
    rig.cloud.inject(Trigger::always(Server::Api).with_path("/recordings").with_effect(slow));
    let binary = rig.meetfs().get_program().to_string_lossy().into_owned();
    let line = format!("{binary} refresh '{}'", rig.mountpoint.display());
    // The progress is shown early only on a terminal.
    let mut command = Command::new("script");
    command.args(["-qec", &line, "/dev/null"]);
    command.env("XDG_RUNTIME_DIR", rig.directory.path().join("run"));
    let output = run(&mut command, COMMAND_TIMEOUT);
    let output_text = text(&output);
    assert!(
        output.status.success() && output_text.contains("still refreshing acme after"),
        "{output_text}"
    );
    rig.unmount();
}
