//! Tests of the listings of a Zoom account, over real sockets.

use std::collections::HashSet;
use std::time::Duration;

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};
use meetfs::demo_cloud::{
    Archive, Content, DemoCloud, DemoCloudOptions, Effect, Meeting, MeetingFile, RetryAfter,
    Server, Trigger, User,
};
use meetfs::model::{DaySpan, Meeting as Listed, line_with_hint};
use meetfs::providers::zoom::ZoomCredential;
use meetfs::providers::{ErrorClass, Provider};

use crate::support::zoom::{app, requests_to, secrets_sent, zoom, zoom_with};

const MAX_PAGE_SIZE: u32 = 30;

fn today() -> Date {
    day(Timestamp::now())
}

fn day(time: Timestamp) -> Date {
    TimeZone::UTC.to_datetime(time).date()
}

/// Returns the last `days` days and tomorrow, as a refresh requests them.
fn last_days(days: i64) -> DaySpan {
    DaySpan { from: today().saturating_sub(days.days()), to: today().saturating_add(1.day()) }
}

fn cloud(archive: Archive) -> DemoCloud {
    DemoCloud::start(DemoCloudOptions {
        archive,
        max_page_size: MAX_PAGE_SIZE,
        ..DemoCloudOptions::default()
    })
    .unwrap()
}

fn uuids(cloud: &DemoCloud) -> HashSet<String> {
    cloud.meetings().into_iter().map(|meeting| meeting.uuid).collect()
}

fn sorted(mut meetings: Vec<Listed>) -> Vec<Listed> {
    meetings.sort_by(|one, other| one.id.cmp(&other.id));
    for meeting in &mut meetings {
        meeting.files.sort_by(|one, other| one.id.cmp(&other.id));
    }
    meetings
}

/// Returns the minimum number of requests that list `span`: the pages of windows of 30 days or a
/// month that share a day.
fn min_requests(cloud: &DemoCloud, span: DaySpan) -> usize {
    let days: Vec<Date> = cloud.meetings().iter().map(|meeting| day(meeting.start)).collect();
    let (mut calls, mut to) = (0, span.to);
    loop {
        let from = to.saturating_sub(29.days()).max(to.saturating_sub(1.month())).max(span.from);
        let meetings = days.iter().filter(|day| from <= **day && **day <= to).count();
        calls += meetings.div_ceil(MAX_PAGE_SIZE as usize).max(1);
        if from == span.from {
            return calls;
        }
        to = from;
    }
}

fn recordings_calls(cloud: &DemoCloud) -> usize {
    requests_to(cloud, Server::Api, "/recordings").len()
}

#[tokio::test(flavor = "multi_thread")]
async fn two_years_take_the_fewest_requests() {
    let cloud = cloud(Archive::with_meetings(1000, 730));
    let zoom = zoom(&cloud);
    let span = last_days(730);
    let listing = zoom.list(span).await.unwrap();
    assert!(listing.failed.is_empty(), "{:?}", listing.failed);
    let listed: HashSet<String> =
        listing.meetings.iter().map(|meeting| meeting.id.to_string()).collect();
    assert_eq!((listing.meetings.len(), listed.len()), (1000, 1000));
    assert_eq!(listed, uuids(&cloud));
    assert!(listing.meetings.iter().all(|meeting| meeting.files.len() == 2));
    let fewest = min_requests(&cloud, span);
    assert!(fewest > 26, "two years take at least that many windows, {fewest}");
    assert_eq!(recordings_calls(&cloud), fewest);
    assert_eq!(requests_to(&cloud, Server::Api, "/oauth/token").len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn only_failed_pages_are_requested_again() {
    let cloud = cloud(Archive::with_meetings(1000, 730));
    let zoom = zoom(&cloud);
    let span = last_days(730);
    let plain = sorted(zoom.list(span).await.unwrap().meetings);
    cloud.clear_requests();
    // Every window has two pages, and four windows are in flight. All four calls have arrived
    // before one is answered, so the fifth call continues one of them.
    let on_listing = |count| Trigger::next(Server::Api, count).with_path("/recordings");
    cloud.inject(on_listing(4).with_effect(Effect::Latency(Duration::from_millis(200))));
    cloud.inject(on_listing(1).after_requests(4).with_effect(Effect::InvalidPageToken));
    cloud.inject(on_listing(2).after_requests(12).with_effect(Effect::status(500)));
    let listing = zoom.list(span).await.unwrap();
    assert!(listing.failed.is_empty(), "{:?}", listing.failed);
    assert_eq!(sorted(listing.meetings), plain);
    let statuses: Vec<u16> = requests_to(&cloud, Server::Api, "/recordings")
        .iter()
        .map(|request| request.status)
        .collect();
    let with = |status| statuses.iter().filter(|seen| **seen == status).count();
    assert_eq!((with(400), with(500)), (1, 2), "{statuses:?}");
    // The window with the expired token starts again: its first page is requested twice.
    assert_eq!(with(200), min_requests(&cloud, span) + 1, "{statuses:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn order_of_replies_does_not_matter() {
    let cloud = cloud(Archive::with_meetings(200, 200));
    let zoom = zoom(&cloud);
    let plain = sorted(zoom.list(last_days(200)).await.unwrap().meetings);
    for skip in 0..4 {
        let trigger = Trigger::next(Server::Api, 2).with_path("/recordings").after_requests(skip);
        cloud.inject(trigger.with_effect(Effect::Latency(Duration::from_millis(150))));
        assert_eq!(sorted(zoom.list(last_days(200)).await.unwrap().meetings), plain);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn late_recording_is_listed_on_its_day() {
    let cloud = cloud(Archive::with_meetings(100, 60));
    let zoom = zoom(&cloud);
    assert_eq!(zoom.list(last_days(60)).await.unwrap().meetings.len(), 100);
    let start = Timestamp::now() - jiff::SignedDuration::from_hours(40 * 24);
    let late_meeting = Meeting::new("a//b+late==", "Late", start)
        .with_file(MeetingFile::new("M4A", Content::Pattern { seed: 1, length: 5000 }));
    cloud.add_meeting(late_meeting);
    let listing = zoom.list(last_days(60)).await.unwrap();
    assert_eq!(listing.meetings.len(), 101);
    let listed = listing.meetings.iter().find(|meeting| meeting.topic == "Late").unwrap();
    assert_eq!((listed.id.as_str(), listed.files[0].declared_size), ("a//b+late==", Some(5000)));
}

#[tokio::test(flavor = "multi_thread")]
async fn failed_window_is_reported_and_others_are_listed() {
    let mut archive = Archive::with_meetings(40, 20);
    archive.users.push(User::new_active("u2", "second@example.org", "Second", "Host"));
    let cloud = cloud(archive);
    let zoom = zoom_with(&cloud, &["me", "second@example.org"], app(&cloud));
    cloud.inject(
        Trigger::always(Server::Api).with_path("/users/second").with_effect(Effect::status(502)),
    );
    let listing = zoom.list(last_days(20)).await.unwrap();
    assert_eq!(listing.meetings.len(), 40);
    let [(days, error)] = listing.failed.as_slice() else { panic!("{:?}", listing.failed) };
    assert_eq!(error.class(), ErrorClass::Unavailable);
    let message = line_with_hint(error);
    assert_eq!(*days, last_days(20));
    assert!(message.contains("502"), "{message}");
}

#[tokio::test(flavor = "multi_thread")]
async fn unknown_user_is_requested_once() {
    let cloud = cloud(Archive::with_meetings(100, 700));
    let zoom = zoom_with(&cloud, &["me", "unknown@example.org"], app(&cloud));
    let listing = zoom.list(last_days(700)).await.unwrap();
    assert_eq!(listing.meetings.len(), 100);
    assert!(listing.failed.is_empty(), "{:?}", listing.failed);
    let errors = listing.refused_users.unwrap().errors;
    let [error] = errors.as_slice() else { panic!("{errors:?}") };
    assert_eq!(error.class(), ErrorClass::NotFound);
    let message = line_with_hint(error);
    assert!(message.contains("unknown@example.org") && message.contains("users"), "{message}");
    assert!(requests_to(&cloud, Server::Api, "/users/unknown").len() <= 4);

    let only_unknown_user = zoom_with(&cloud, &["unknown@example.org"], app(&cloud));
    assert!(
        matches!(only_unknown_user.list(last_days(700)).await, Err(error) if error.class() == ErrorClass::NotFound)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn listing_waits_for_the_rate_limit() {
    let cloud = cloud(Archive::with_meetings(10, 5));
    let limit = Effect::TooManyRequests(RetryAfter::None);
    cloud.inject(Trigger::next(Server::Api, 1).with_path("/recordings").with_effect(limit));
    assert_eq!(zoom(&cloud).list(last_days(5)).await.unwrap().meetings.len(), 10);
}

#[tokio::test(flavor = "multi_thread")]
async fn expired_token_is_renewed_once_during_a_listing() {
    let cloud = cloud(Archive::with_meetings(300, 365));
    let zoom = zoom(&cloud);
    zoom.list(last_days(365)).await.unwrap();
    cloud.expire_tokens();
    let listing = zoom.list(last_days(365)).await.unwrap();
    assert_eq!((listing.meetings.len(), listing.failed.len()), (300, 0));
    assert_eq!(requests_to(&cloud, Server::Api, "/oauth/token").len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_credentials_are_reported_without_a_secret() {
    let cloud = cloud(Archive::with_meetings(10, 5));
    let app = |account_id: &str, secret: &str| ZoomCredential::ServerToServer {
        account_id: account_id.into(),
        client_id: cloud.credentials().client_id,
        client_secret: secret.to_owned().into(),
    };
    let token = || ZoomCredential::Token("no-such-t0ken".to_owned().into());
    for (credential, hint) in [
        (app("demo-account", "wr0ng-s3cret"), "client_secret"),
        (app("elsewhere", &cloud.credentials().client_secret), "account_id"),
        (token(), "one hour"),
    ] {
        let before = recordings_calls(&cloud);
        let zoom = zoom_with(&cloud, &["me"], credential);
        let error = zoom.list(last_days(365)).await.unwrap_err();
        let text = format!("{error} {error:?} {:?}", &zoom as &dyn Provider);
        assert!(
            error.class() == ErrorClass::Credential && line_with_hint(&error).contains(hint),
            "{text}"
        );
        for secret in secrets_sent(&cloud).iter().map(String::as_str).chain(["wr0ng-s3cret"]) {
            assert!(!text.contains(secret), "{text}");
        }
        assert!(
            recordings_calls(&cloud) - before <= 4,
            "a wrong credential is not sent for every window"
        );
    }
}

fn json(body: String) -> Effect {
    Effect::Status {
        status: 200,
        body,
        content_type: "application/json".into(),
        headers: Vec::new(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn omitted_days_are_requested_again() {
    let cloud = cloud(Archive::with_meetings(40, 20));
    let zoom = zoom(&cloud);
    let span = last_days(20);
    let shortened = span.to.saturating_sub(4.days());
    let empty = format!(
        r#"{{"from":"{shortened}","to":"{}","next_page_token":"","meetings":[]}}"#,
        span.to
    );
    cloud.inject(Trigger::next(Server::Api, 1).with_path("/recordings").with_effect(json(empty)));
    let listing = zoom.list(span).await.unwrap();
    let earlier = cloud.meetings().iter().filter(|meeting| day(meeting.start) <= shortened).count();
    assert!(0 < earlier && earlier < 40);
    assert_eq!((listing.meetings.len(), listing.failed.len()), (earlier, 0));
    let query = &requests_to(&cloud, Server::Api, "/recordings")[1].query;
    assert!(query.contains(&format!("to={shortened}")), "{query}");
}

#[tokio::test(flavor = "multi_thread")]
async fn server_that_lists_other_days_is_abandoned() {
    let cloud = cloud(Archive::with_meetings(40, 20));
    let zoom = zoom(&cloud);
    let always = |body: &str| {
        Trigger::always(Server::Api).with_path("/recordings").with_effect(json(body.to_owned()))
    };
    let elsewhere = r#"{"from":"2001-01-01","to":"2001-01-02","next_page_token":"","meetings":[]}"#;
    for body in
        [elsewhere, r#"{"next_page_token":"round","meetings":[]}"#, r#"{"page_size":30}"#, "[]"]
    {
        cloud.clear_requests();
        cloud.inject(always(body));
        let outcome = zoom.list(last_days(20)).await;
        let failed = match &outcome {
            Ok(listing) => listing.failed.first().map(|(_, error)| error),
            Err(error) => Some(error),
        };
        assert!(
            matches!(failed, Some(error) if error.class() == ErrorClass::Unavailable),
            "{body}: {outcome:?}"
        );
        assert!(recordings_calls(&cloud) <= 3, "{body}");
        cloud.clear_faults();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn expiring_page_token_is_abandoned_after_three_restarts() {
    let cloud = cloud(Archive::with_meetings(40, 20));
    let zoom = zoom(&cloud);
    cloud.inject(
        Trigger::always(Server::Api).with_path("/recordings").with_effect(Effect::InvalidPageToken),
    );
    let listing = zoom.list(last_days(20)).await.unwrap();
    assert!(
        matches!(listing.failed.as_slice(), [(days, error)] if *days == last_days(20) && error.class() == ErrorClass::Unavailable)
    );
    assert_eq!(
        listing.meetings.len(),
        MAX_PAGE_SIZE as usize,
        "the received meetings are kept, each once"
    );
    assert_eq!(recordings_calls(&cloud), 8);
}

#[tokio::test(flavor = "multi_thread")]
async fn unreachable_service_is_abandoned_early() {
    let cloud = cloud(Archive::with_meetings(40, 20));
    let zoom = zoom(&cloud);
    cloud.inject(
        Trigger::always(Server::Api).with_path("/recordings").with_effect(Effect::status(503)),
    );
    assert!(
        matches!(zoom.list(last_days(730)).await, Err(error) if error.class() == ErrorClass::Unavailable)
    );
    // Four windows at the same time with five attempts each, and up to three windows that began
    // before the fourth one failed.
    assert!(recordings_calls(&cloud) <= 7 * 5, "{}", recordings_calls(&cloud));
}

#[tokio::test(flavor = "multi_thread")]
async fn missing_scopes_are_named() {
    let cloud = cloud(Archive::with_meetings(10, 5));
    let body = r#"{"code":4711,"message":"Invalid access token, does not contain scopes:[cloud_recording:read:list_user_recordings:admin]."}"#;
    cloud.inject(Trigger::always(Server::Api).with_path("/v2/").with_effect(Effect::Status {
        status: 400,
        body: body.into(),
        content_type: "application/json".into(),
        headers: Vec::new(),
    }));
    let zoom = zoom(&cloud);
    let error = zoom.list(last_days(5)).await.unwrap_err();
    let hint = "cloud_recording:read:list_user_recordings:admin";
    assert!(
        error.class() == ErrorClass::NotAllowed && line_with_hint(&error).contains(hint),
        "{error:?}"
    );
    let details = zoom.details(&"any==".into()).await.unwrap().unwrap();
    assert_eq!(details.missing_parts, ["past meeting", "recordings", "participants"]);
    // A request that will be refused is not repeated.
    cloud.clear_requests();
    assert_eq!(zoom.details(&"other==".into()).await.unwrap(), Some(details.clone()));
    assert_eq!(zoom.complete_details(&"any==".into(), &details).await.unwrap(), details);
    assert!(cloud.requests().is_empty(), "{:?}", cloud.requests());
}

#[tokio::test(flavor = "multi_thread")]
async fn details_extend_a_meeting_or_are_absent() {
    let cloud = cloud(Archive::empty());
    for uuid in ["/aB3xY9+QWeRtYuIoP==", "a//b", "plain=="] {
        cloud.add_meeting(Meeting::new(uuid, uuid, Timestamp::now()));
    }
    let mut old = Meeting::new("old==", "Old", Timestamp::now());
    old.is_too_old_for_details = true;
    cloud.add_meeting(old);
    let zoom = zoom(&cloud);
    for uuid in ["/aB3xY9+QWeRtYuIoP==", "a//b", "plain=="] {
        let facts = zoom.details(&uuid.into()).await.unwrap().unwrap().metadata.to_map();
        assert_eq!(
            facts.get("participants_count").and_then(|count| count.as_u64()),
            Some(2),
            "{facts:?}"
        );
        assert_eq!(
            facts.get("user_email").and_then(|email| email.as_str()),
            Some(Archive::OWNER_EMAIL)
        );
    }
    for uuid in ["old==", "unknown=="] {
        assert_eq!(zoom.details(&uuid.into()).await.unwrap(), None, "{uuid}");
    }
    cloud.inject(
        Trigger::always(Server::Api).with_path("/past_meetings").with_effect(Effect::status(503)),
    );
    assert!(
        matches!(zoom.details(&"plain==".into()).await, Err(error) if error.class() == ErrorClass::Unavailable)
    );
}
