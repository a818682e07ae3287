//! The listing of a mount: complete, with the fewest calls, and robust against failures.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::support::processes::signal;
use crate::support::{COMMAND_TIMEOUT, Rig, wait_until};
use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, ToSpan};
use meetfs::demo_cloud::{
    Archive, Content, DemoCloudOptions, Effect, FileStatus, Meeting, MeetingFile, Request, Server,
    Trigger,
};

const MEETINGS: usize = 1000;

fn two_years() -> Archive {
    Archive::with_meetings(MEETINGS, 700)
}

fn options(archive: Archive) -> DemoCloudOptions {
    DemoCloudOptions { archive, max_page_size: 30, ..DemoCloudOptions::default() }
}

fn today() -> Date {
    TimeZone::UTC.to_datetime(Timestamp::now()).date()
}

/// A listing request: its window, and its page token unless it is for the first page.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Call {
    from: Date,
    to: Date,
    token: Option<String>,
    status: u16,
}

fn call(request: &Request) -> Call {
    let parameter = |name: &str| {
        url::form_urlencoded::parse(request.query.as_bytes())
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.into_owned())
    };
    let day = |name: &str| parameter(name).and_then(|day| day.parse().ok()).expect("a day");
    Call {
        from: day("from"),
        to: day("to"),
        token: parameter("next_page_token"),
        status: request.status,
    }
}

fn listing_calls(rig: &Rig) -> Vec<Call> {
    let requests = rig.cloud.requests().into_iter();
    requests
        .filter(|request| request.path.ends_with("/recordings") && request.path.contains("/users/"))
        .filter(|request| !request.query.contains("trash=true"))
        .map(|request| call(&request))
        .collect()
}

/// Asserts that the calls cover two years with the fewest windows: thirty days that overlap by one.
/// Returns how often the first page of each window was requested.
fn assert_fewest_windows(calls: &[Call]) -> BTreeMap<(Date, Date), usize> {
    let mut first_page_counts = BTreeMap::new();
    for call in calls.iter().filter(|call| call.token.is_none()) {
        *first_page_counts.entry((call.from, call.to)).or_default() += 1;
    }
    let all: Vec<(Date, Date)> = first_page_counts.keys().copied().collect();
    // The server accepts at most a calendar month. A window across the end of February leaves a day
    // or two, which are requested separately.
    let is_remainder = |(from, to): &(Date, Date)| {
        all.iter().any(|(first, last)| first <= from && to <= last && (first, last) != (from, to))
    };
    let (remainders, windows): (Vec<_>, Vec<_>) = all.iter().copied().partition(is_remainder);
    assert!(
        remainders.iter().all(|(from, to)| (*to - *from).get_days() <= 2 && from.month() <= 3),
        "{remainders:?}"
    );
    for pair in windows.windows(2) {
        assert_eq!(pair[0].1, pair[1].0, "adjacent windows share a day: {pair:?}");
    }
    let (first, last) = (windows.first().expect("a window").0, windows.last().expect("a window").1);
    assert!(last > today() && first <= today().saturating_sub(2.years()), "{first} to {last}");
    // All windows except the oldest have the maximum length.
    for (from, to) in windows.iter().skip(1) {
        let month_back = to.saturating_sub(1.month());
        assert!((*to - *from).get_days() == 29 || *from == month_back, "{from} to {to}");
    }
    first_page_counts
}

/// Returns the sorted paths of the mount.
fn paths(rig: &Rig) -> String {
    rig.shell("find . | LC_ALL=C sort")
}

fn refresh(rig: &Rig) {
    signal(rig.daemon().expect("a daemon"), "HUP");
}

fn text(text: &str) -> Content {
    Content::Stored(text.to_owned().into())
}

fn count(rig: &Rig, pattern: &str) -> usize {
    rig.shell(&format!("find . -path '{pattern}' | wc -l")).trim().parse().expect("a number")
}

#[test]
fn two_years_take_the_fewest_possible_calls() {
    let rig = Rig::mounted(options(two_years()));
    assert_eq!(count(&rig, "*/chat.txt"), MEETINGS);
    let calls = listing_calls(&rig);
    assert!(assert_fewest_windows(&calls).values().all(|times| *times == 1), "{calls:#?}");
    assert!(calls.iter().all(|call| call.status == 200));
    let distinct: BTreeSet<&Call> = calls.iter().collect();
    assert_eq!(distinct.len(), calls.len(), "a page was requested twice");
    rig.unmount();
}

#[test]
fn failing_pages_lose_no_meeting() {
    let rig = Rig::new(options(two_years()));
    rig.cloud.inject(
        Trigger::next(Server::Api, 2)
            .with_path("/recordings")
            .after_requests(7)
            .with_effect(Effect::status(500)),
    );
    rig.cloud.inject(
        Trigger::next(Server::Api, 1)
            .with_path("/recordings")
            .after_requests(20)
            .with_effect(Effect::InvalidPageToken),
    );
    rig.mount();
    assert_eq!(count(&rig, "*/chat.txt"), MEETINGS);
    let calls = listing_calls(&rig);
    let first_page_counts = assert_fewest_windows(&calls);
    let failed = calls.iter().filter(|call| call.status == 500).count();
    assert_eq!(failed, 2);
    let repeated: usize = first_page_counts.values().map(|times| times - 1).sum();
    // A failed page is requested again. An expired token restarts its window.
    assert!(repeated <= failed + 1, "{first_page_counts:?}");
    rig.unmount();
}

#[test]
fn expired_page_tokens_lose_no_meeting() {
    let slow =
        DemoCloudOptions { first_byte_latency: Duration::from_millis(30), ..options(two_years()) };
    let rig = Rig::new(slow);
    rig.write_config(&rig.config());
    let mut mounting = crate::support::processes::RunningCommand::start(&mut rig.mount_command());
    wait_until(COMMAND_TIMEOUT, "the listing has started", || {
        listing_calls(&rig).iter().filter(|call| call.token.is_some()).count() > 3
    });
    rig.cloud.expire_page_tokens();
    assert!(mounting.end(COMMAND_TIMEOUT).0.success(), "{}", mounting.output());
    assert_eq!(count(&rig, "*/chat.txt"), MEETINGS);
    assert_fewest_windows(&listing_calls(&rig));
    rig.unmount();
}

#[test]
fn paths_ignore_listing_order() {
    let mut archive = two_years();
    // Meetings whose names collide: the same topic at the same time.
    for index in 0..5 {
        let mut twin = archive.meetings[index * 10].clone();
        twin.uuid = format!("dHdpbg{index}==");
        archive.meetings.push(twin);
    }
    let one = Rig::mounted(options(archive.clone()));
    fastrand::Rng::with_seed(7).shuffle(&mut archive.meetings);
    let mut other = options(archive);
    // Pages of a different length change the order again.
    other.max_page_size = 7;
    let other = Rig::mounted(other);
    // Documents wait for details, which are rate-limited.
    for rig in [&one, &other] {
        wait_until(COMMAND_TIMEOUT, "every meeting has its document", || {
            count(rig, "*/meeting.json") == MEETINGS + 5
        });
    }
    let listed = paths(&one);
    assert_eq!(listed.lines().filter(|path| path.ends_with("/chat.txt")).count(), MEETINGS + 5);
    assert!(listed == paths(&other), "the paths depend on the order of the listing");
    one.unmount();
    one.mount();
    assert!(listed == paths(&one), "the paths changed with the restart");
}

#[test]
fn provider_changes_appear_after_a_refresh() {
    let mut archive = Archive::with_meetings(20, 20);
    let start = archive.meetings[3].start + SignedDuration::from_secs(30);
    let pending = Meeting::new("cGVuZGluZw==", "Pending", start).with_file(
        MeetingFile::new("MP4", Content::Pattern { seed: 1, length: 100_000 })
            .with_status_processing(),
    );
    archive.meetings.push(pending);
    let removed_meeting = archive.meetings[5].clone();
    let rig = Rig::mounted(options(archive));
    assert_eq!(count(&rig, "*/*Pending/*.mp4"), 0, "an unfinished recording is hidden");
    let removed_pattern = format!("*/* {}/chat.txt", removed_meeting.topic);
    assert_eq!(count(&rig, &removed_pattern), 1);

    rig.cloud.finish_processing("cGVuZGluZw==");
    rig.cloud.remove_meeting(&removed_meeting.uuid);
    refresh(&rig);
    wait_until(COMMAND_TIMEOUT, "the recording appears", || {
        count(&rig, "*/*Pending/shared_screen_with_speaker_view.mp4") == 1
    });
    wait_until(COMMAND_TIMEOUT, "the deleted meeting disappears", || {
        count(&rig, &removed_pattern) == 0
    });
    assert_eq!(rig.shell("cat */*/*Pending/*.mp4 | wc -c").trim(), "100000");

    rig.cloud.change_meeting("cGVuZGluZw==", |meeting| {
        let start = meeting.files[0].recording_start;
        let end = meeting.files[0].recording_end;
        let late = MeetingFile::new("TRANSCRIPT", text("WEBVTT\n\nlate\n")).with_times(start, end);
        meeting.files.push(MeetingFile {
            id: Some("late".into()),
            status: FileStatus::Completed,
            ..late
        });
    });
    refresh(&rig);
    wait_until(COMMAND_TIMEOUT, "the transcript appears beside its video", || {
        count(&rig, "*/*Pending/shared_screen_with_speaker_view.vtt") == 1
    });
    rig.unmount();
}

#[test]
fn failed_window_removes_no_meeting() {
    let rig = Rig::mounted(options(two_years()));
    let before = paths(&rig);
    let removed = rig.cloud.meetings().last().expect("a meeting").uuid.clone();
    rig.cloud.remove_meeting(&removed);
    for fault in [
        // One page with all its retries, then all pages.
        Trigger::next(Server::Api, 5).with_path("/users/").with_effect(Effect::status(500)),
        Trigger::always(Server::Api).with_path("/users/").with_effect(Effect::status(500)),
        Trigger::always(Server::Api).with_path("/users/").with_effect(Effect::status(404)),
        Trigger::always(Server::Api).with_path("/users/").with_effect(Effect::Html200),
    ] {
        rig.cloud.clear_requests();
        rig.cloud.inject(fault.clone());
        refresh(&rig);
        wait_until(COMMAND_TIMEOUT, "the refresh has started", || {
            listing_calls(&rig).len() >= 5
                || fault.trigger.count > 5 && !listing_calls(&rig).is_empty()
        });
        wait_until(COMMAND_TIMEOUT, "the refresh has ended", || {
            rig.status()["sources"][0]["is_refreshing"] == false
        });
        let now = paths(&rig);
        let lost: Vec<&str> =
            before.lines().filter(|path| !now.lines().any(|other| other == *path)).collect();
        // Only the deleted meeting may be missing, if its window was listed.
        assert!(lost.len() <= 4, "{fault:?}: {lost:?}");
        rig.cloud.clear_faults();
    }
    refresh(&rig);
    wait_until(COMMAND_TIMEOUT, "the deleted meeting disappears", || {
        count(&rig, "*/chat.txt") == MEETINGS - 1
    });
    rig.unmount();
}
