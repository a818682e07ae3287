//! Archives of thousands of meetings: listed completely, with few calls within the rate limits, and
//! stored across restarts.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::support::webex::{DETAILS, details, pages};
use crate::support::{COMMAND_TIMEOUT, Rig, run, text, wait_until};
use jiff::Timestamp;
use jiff::ToSpan;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use meetfs::demo_cloud::{
    Archive, DemoCloudOptions, Effect, ListedSize, Request, Server, Trigger, WebexArchive,
    ZoomLabel, ZoomLimits,
};

/// Timeout of operations that need thousands of calls.
const PATIENCE: Duration = Duration::from_secs(180);

fn today() -> Date {
    TimeZone::UTC.to_datetime(Timestamp::now()).date()
}

fn mount(rig: &Rig, config: &str) {
    rig.write_config(config);
    let output = run(&mut rig.mount_command(), COMMAND_TIMEOUT);
    assert!(output.status.success(), "{}\n{}", text(&output), rig.log());
}

fn count(rig: &Rig, name: &str) -> usize {
    rig.shell(&format!("find . -name '{name}' | wc -l")).trim().parse().expect("a number")
}

#[test]
fn walk_through_many_meetings_sends_no_request() {
    const MEETINGS: u64 = 2_000;
    /// Maximum number of concurrent tasks that request details.
    const DETAIL_TASKS: usize = 4;
    let mut archive = Archive::with_company_size(40, 50, 700);
    for file in archive.meetings.iter_mut().flat_map(|meeting| &mut meeting.files) {
        file.listed_size = ListedSize::True;
    }
    let bytes: u64 =
        archive.meetings.iter().flat_map(|it| &it.files).map(|file| file.content.length()).sum();
    let rig = Rig::new(DemoCloudOptions { archive, ..DemoCloudOptions::default() })
        .with_source("users = [\"all\"]")
        .with_source("trash = false");
    // Details are requested in the background. Slow replies keep these requests in flight during
    // the walk, so that the walk causes every other request.
    let details = "/v2/past_meetings/";
    let slow = Effect::Latency(Duration::from_secs(15));
    rig.cloud.inject(Trigger::always(Server::Api).with_path(details).with_effect(slow));
    rig.mount();
    rig.cloud.clear_requests();
    // The kernel has cached nothing of the mount yet.
    let summary =
        rig.shell("ls -lR | awk '/^-/ && !/ meeting.json$/ { files++; bytes += $5 } END { printf \"%d %.0f\", files, bytes }'");
    assert_eq!(summary, format!("{} {bytes}", 8 * MEETINGS));
    let requests: Vec<_> = rig.cloud.requests().into_iter().map(|request| request.path).collect();
    let is_other = |path: &&String| !path.starts_with(details);
    // Each task that requests details may finish a meeting, if the reply came before the fault.
    assert!(requests.iter().filter(is_other).count() <= DETAIL_TASKS, "{requests:?}");
    rig.unmount();
}

/// Returns the first day of each requested listing of a user.
fn listed_from(rig: &Rig) -> Vec<Date> {
    let from = |request: &Request| {
        url::form_urlencoded::parse(request.query.as_bytes())
            .find(|(key, _)| key == "from")
            .and_then(|(_, day)| day.parse().ok())
    };
    let requests =
        rig.cloud.requests().into_iter().filter(|request| request.path.starts_with("/v2/users/"));
    requests.filter_map(|request| from(&request)).collect()
}

fn assert_within_the_plan(rig: &Rig) {
    let [light, medium] = [ZoomLabel::Light, ZoomLabel::Medium]
        .map(|label| rig.cloud.max_zoom_calls_per_second(label));
    assert!((2..=ZoomLimits::PRO.light).contains(&light), "{light} light calls in a second");
    assert!((10..=ZoomLimits::PRO.medium).contains(&medium), "{medium} medium calls in a second");
    let refused = rig.cloud.requests().into_iter().filter(|request| request.status == 429).count();
    assert_eq!(refused, 0, "refused for too many calls");
}

#[test]
fn forty_users_are_listed_within_their_plan() {
    let options = DemoCloudOptions {
        archive: Archive::with_company_size(40, 25, 80),
        zoom_limits: Some(ZoomLimits::PRO),
        ..DemoCloudOptions::default()
    };
    let since = today().saturating_sub(85.days());
    let rig = Rig::new(options)
        .with_source("users = [\"user*@example.org\"]")
        .with_source(&format!("since = \"{since}\""));
    let config = rig.config().replace("plan = \"business\"", "plan = \"pro\"");
    mount(&rig, &config);
    assert_eq!(count(&rig, "chat.txt"), 1000);
    let listed = listed_from(&rig);
    assert_eq!(listed.len(), 40 * 3, "windows of a month for each user: {listed:?}");
    let detail_requests =
        || rig.cloud.requests().iter().filter(|it| it.path.contains("/past_meetings/")).count();
    wait_until(COMMAND_TIMEOUT, "details arrive", || detail_requests() > 60);
    assert_within_the_plan(&rig);
    rig.unmount();

    rig.cloud.clear_requests();
    mount(&rig, &config);
    assert_eq!(count(&rig, "chat.txt"), 1000, "the listing of an earlier run is shown at once");
    wait_until(COMMAND_TIMEOUT, "the last days are listed", || listed_from(&rig).len() >= 40);
    assert!(!rig.status()["sources"][0]["error"].is_object());
    let last_days = today().saturating_sub(9.days());
    let listed = listed_from(&rig);
    assert!(listed.len() == 40 && listed.iter().all(|from| *from >= last_days), "{listed:?}");
    assert_within_the_plan(&rig);
    rig.unmount();
}

/// Returns how often the details of each recording were requested.
fn detail_requests(rig: &Rig) -> BTreeMap<String, usize> {
    let mut times: BTreeMap<String, usize> = BTreeMap::new();
    for request in details(&rig.cloud) {
        *times.entry(request.path[DETAILS.len()..].to_owned()).or_default() += 1;
    }
    times
}

/// Returns the number of pages in the listed windows for recordings made at these times.
fn expected_pages(listings: &[Request], made: &[Timestamp]) -> usize {
    let window = |request: &Request| {
        let fields: BTreeMap<_, _> =
            url::form_urlencoded::parse(request.query.as_bytes()).into_owned().collect();
        ["from", "to"].map(|name| fields[name].parse::<Timestamp>().expect("a time"))
    };
    let windows: BTreeSet<[Timestamp; 2]> = listings.iter().map(window).collect();
    let recordings: Vec<usize> = windows
        .iter()
        .map(|[from, to]| made.iter().filter(|made| (from..to).contains(made)).count())
        .collect();
    assert_eq!(
        recordings.iter().sum::<usize>(),
        made.len(),
        "windows that overlap, or leave days out"
    );
    recordings.iter().map(|count| count.div_ceil(100).max(1)).sum()
}

#[test]
fn three_thousand_recordings_are_requested_once() {
    /// Requests that are in flight when a mount ends are lost.
    const MAX_IN_FLIGHT: usize = 4;
    const RECORDINGS: usize = 3000;
    let mut webex = WebexArchive::with_recordings(RECORDINGS, 700);
    for recording in &mut webex.recordings {
        // One file beside the video shows whether its size is stored.
        recording.audio = None;
    }
    let opened = [150, 1500, 2900];
    for index in opened {
        // Reads of a video do not start the sibling prefetch of small files.
        webex.recordings[index] = webex.recordings[index].clone().with_video(3_000_000);
    }
    let made: Vec<_> = webex.recordings.iter().map(|recording| recording.create_time).collect();
    let rig = Rig::new(DemoCloudOptions { webex_archive: webex, ..DemoCloudOptions::default() });
    let config = format!(
        "timezone = \"UTC\"\n[cache]\ndir = \"{}\"\n[source.cisco]\nprovider = \"webex\"\ntoken = \"{}\"\napi_url = \"{}\"\n",
        rig.directory.path().join("cache").display(),
        rig.cloud.webex_token(),
        rig.cloud.webex_api_url(),
    );
    // Details are slow, so that the listing is read before they arrive.
    let slow = Trigger::always(Server::Webex).with_path(DETAILS);
    rig.cloud.inject(slow.with_effect(Effect::Latency(Duration::from_millis(400))));
    mount(&rig, &config);
    assert_eq!(count(&rig, "recording.mp4"), RECORDINGS);
    let detail_count = count(&rig, "recording.vtt");
    assert!(detail_count < RECORDINGS / 10, "{detail_count} details have arrived already");
    let listings =
        pages(&rig.cloud).into_iter().filter(|page| !page.query.contains("status=deleted"));
    let listings: Vec<_> = listings.collect();
    assert_eq!(listings.len(), expected_pages(&listings, &made), "{listings:?}");

    rig.cloud.clear_faults();
    wait_until(PATIENCE, "a third of the details have arrived", || {
        detail_requests(&rig).len() > RECORDINGS / 3
    });
    rig.unmount();
    assert!(
        detail_requests(&rig).len() < RECORDINGS,
        "the details were complete before the restart"
    );
    mount(&rig, &config);
    wait_until(PATIENCE, "all details have arrived", || count(&rig, "recording.vtt") == RECORDINGS);
    let requests = detail_requests(&rig);
    let again: Vec<_> = requests.iter().filter(|(_, times)| **times > 1).collect();
    assert_eq!(requests.len(), RECORDINGS);
    assert!(
        again.len() <= MAX_IN_FLIGHT && again.iter().all(|(_, times)| **times == 2),
        "{again:?}"
    );

    rig.unmount();
    rig.cloud.clear_requests();
    mount(&rig, &config);
    assert_eq!(count(&rig, "recording.vtt"), RECORDINGS);
    wait_until(COMMAND_TIMEOUT, "the last days are listed", || !pages(&rig.cloud).is_empty());
    let ids = opened.map(|index| format!("{index:032x}"));
    for (file, times) in [("recording.mp4", 1), ("recording.vtt", 2)] {
        for index in opened {
            rig.shell(&format!("head -c 100 cisco/*/*' Recording {index}'/{file} > /dev/null"));
        }
        let expected = ids.iter().map(|id| (id.clone(), times)).collect();
        assert_eq!(
            detail_requests(&rig),
            expected,
            "one request for each recording without valid download URLs"
        );
        rig.cloud.expire_signed_urls();
    }
    rig.unmount();
}
