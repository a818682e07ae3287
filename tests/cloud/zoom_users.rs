//! Tests of the users whose recordings a Zoom source lists, and of the rate of its requests.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::support::zoom::{app, config, requests_to, zoom_with};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, ToSpan};
use meetfs::demo_cloud::{
    Archive, Content, DemoCloud, DemoCloudOptions, Effect, Meeting, MeetingFile, Server, Trigger,
    User,
};
use meetfs::http::Client;
use meetfs::model::{DaySpan, SourceName, line_with_hint};
use meetfs::providers::zoom::{Zoom, ZoomConfig, ZoomOptions, ZoomPlan};
use meetfs::providers::{ErrorClass, Provider};

const NAMES: [&str; 5] = ["ana", "ben", "left", "new", "zoe"];

fn email(name: &str) -> String {
    format!("{name}@{}.example.org", if name == "zoe" { "sales" } else { "all" })
}

/// Returns an archive of five users with one meeting each. One user has left, and one has not
/// joined yet.
fn archive() -> Archive {
    let mut archive = Archive::empty();
    for name in NAMES {
        let mut host = User::new_active(&format!("id-{name}"), &email(name), name, "Example");
        host.status = match name {
            "left" => "inactive",
            "new" => "pending",
            _ => "active",
        };
        archive.users.push(host);
        let mut meeting = Meeting::new(
            &format!("{name}=="),
            name,
            Timestamp::now() - SignedDuration::from_hours(2),
        )
        .with_file(MeetingFile::new("CHAT", Content::Stored("hello\n".into())));
        meeting.host_email = email(name);
        archive.meetings.push(meeting);
    }
    archive
}

fn cloud() -> DemoCloud {
    DemoCloud::start(DemoCloudOptions { archive: archive(), ..DemoCloudOptions::default() })
        .unwrap()
}

fn last_days() -> DaySpan {
    let today = TimeZone::UTC.to_datetime(Timestamp::now()).date();
    DaySpan { from: today.saturating_sub(5.days()), to: today.saturating_add(1.day()) }
}

async fn topics(zoom: &Zoom) -> BTreeSet<String> {
    let listing = zoom.list(last_days()).await.unwrap();
    assert!(listing.failed.is_empty(), "{:?}", listing.failed);
    listing.meetings.into_iter().map(|meeting| meeting.topic).collect()
}

fn names(expected: &[&str]) -> BTreeSet<String> {
    expected.iter().map(|name| (*name).to_owned()).collect()
}

/// Returns the reply to an app that lacks a scope.
fn missing_scope_reply() -> Effect {
    Effect::Status {
        status: 400,
        body: r#"{"code":4711,"message":"Invalid access token, does not contain scopes:[x:read:admin]."}"#
            .into(),
        content_type: "application/json".into(),
        headers: Vec::new(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn account_is_listed_at_once_if_permitted() {
    let cloud = cloud();
    let zoom = zoom_with(&cloud, &["all"], app(&cloud));
    assert_eq!(topics(&zoom).await, names(&NAMES));
    assert!(requests_to(&cloud, Server::Api, "/users").is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn account_is_listed_user_by_user_otherwise() {
    let cloud = cloud();
    cloud.inject(
        Trigger::always(Server::Api).with_path("/accounts/").with_effect(missing_scope_reply()),
    );
    let zoom = zoom_with(&cloud, &["all"], app(&cloud));
    assert_eq!(topics(&zoom).await, names(&NAMES));
}

#[tokio::test(flavor = "multi_thread")]
async fn patterns_select_users_and_names_are_added() {
    let cloud = cloud();
    let zoom =
        zoom_with(&cloud, &["*@SALES.example.org", "ben@all.example.org", "lef?@*"], app(&cloud));
    assert_eq!(topics(&zoom).await, names(&["ben", "left", "zoe"]));
    assert!(requests_to(&cloud, Server::Api, "/accounts/").is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn unmatched_pattern_and_missing_scope_are_reported() {
    let cloud = cloud();
    let unmatched = zoom_with(&cloud, &["*@nowhere.example.org"], app(&cloud));
    let error = unmatched.list(last_days()).await.unwrap_err();
    assert!(
        error.class() == ErrorClass::NotFound && line_with_hint(&error).contains("`users`"),
        "{error}"
    );
    cloud.inject(
        Trigger::always(Server::Api).with_path("/users").with_effect(missing_scope_reply()),
    );
    let error = unmatched.list(last_days()).await.unwrap_err();
    assert!(
        error.class() == ErrorClass::NotAllowed && line_with_hint(&error).contains("x:read:admin"),
        "{error}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn all_pages_of_users_are_read() {
    let cloud = DemoCloud::start(DemoCloudOptions {
        archive: archive(),
        max_page_size: 2,
        ..DemoCloudOptions::default()
    })
    .unwrap();
    cloud.inject(
        Trigger::always(Server::Api).with_path("/accounts/").with_effect(missing_scope_reply()),
    );
    let zoom = zoom_with(&cloud, &["all"], app(&cloud));
    assert_eq!(topics(&zoom).await, names(&NAMES));
    assert!(requests_to(&cloud, Server::Api, "/v2/users").len() > 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn listed_user_without_recordings_has_an_empty_list() {
    let cloud = cloud();
    let body = r#"{"code":1001,"message":"User does not exist: new@all.example.org."}"#.into();
    let content_type = "application/json".into();
    let unknown = Effect::Status { status: 404, body, content_type, headers: Vec::new() };
    for part in ["/users/id-new/", "/users/new@all"] {
        cloud.inject(Trigger::always(Server::Api).with_path(part).with_effect(unknown.clone()));
    }
    let zoom = zoom_with(&cloud, &["*@all.example.org"], app(&cloud));
    assert_eq!(topics(&zoom).await, names(&["ana", "ben", "left"]));
    let refused = zoom.list(last_days()).await.unwrap().refused_users;
    assert!(refused.is_none(), "{refused:?}");
    let trash = zoom.list_trash(last_days()).await.unwrap();
    assert!(trash.failed.is_none(), "{:?}", trash.failed);
    // A configured name that Zoom does not find is reported. The days of the others are complete.
    let zoom = zoom_with(&cloud, &["new@all.example.org", "*@all.example.org"], app(&cloud));
    let listing = zoom.list(last_days()).await.unwrap();
    assert!(listing.failed.is_empty(), "{:?}", listing.failed);
    let errors = listing.refused_users.unwrap().errors;
    assert_eq!(errors.len(), 1, "{errors:?}");
    assert!(errors[0].to_string().contains("new@all.example.org"), "{errors:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn list_of_users_restarts_after_expired_token() {
    let options =
        DemoCloudOptions { archive: archive(), max_page_size: 2, ..DemoCloudOptions::default() };
    let cloud = DemoCloud::start(options).unwrap();
    let second_page = Trigger::next(Server::Api, 1).with_path("/users").after_requests(1);
    cloud.inject(second_page.with_effect(Effect::InvalidPageToken));
    let zoom = zoom_with(&cloud, &["*@*"], app(&cloud));
    assert_eq!(topics(&zoom).await, names(&NAMES));
}

#[tokio::test(flavor = "multi_thread")]
async fn list_of_users_without_end_is_abandoned() {
    let cloud = cloud();
    let body = r#"{"users":[],"next_page_token":"round"}"#.into();
    let content_type = "application/json".into();
    let reply = Effect::Status { status: 200, body, content_type, headers: Vec::new() };
    cloud.inject(Trigger::always(Server::Api).with_path("/users").with_effect(reply));
    let zoom = zoom_with(&cloud, &["*@*"], app(&cloud));
    let error = zoom.list(last_days()).await.unwrap_err();
    assert!(error.to_string().contains("same next page twice"), "{error}");
}

/// Returns the maximum number of requests that arrived within one second.
fn max_per_second(mut times: Vec<Duration>) -> usize {
    times.sort();
    let within = |(index, from): (usize, &Duration)| {
        times[index..].iter().take_while(|at| **at < *from + Duration::from_secs(1)).count()
    };
    times.iter().enumerate().map(within).max().unwrap_or(0)
}

#[tokio::test(flavor = "multi_thread")]
async fn sources_of_one_account_share_its_rate_limit() {
    let mut archive = Archive::with_meetings(200, 700);
    archive.users.extend(
        (0..8).map(|n| User::new_active(&format!("u{n}"), &format!("u{n}@example.org"), "U", "N")),
    );
    let cloud =
        DemoCloud::start(DemoCloudOptions { archive, ..DemoCloudOptions::default() }).unwrap();
    let client = Client::new(8).unwrap();
    let source = |name: &str, users: &[&str]| {
        let config = ZoomConfig { plan: ZoomPlan::Pro, ..config(&cloud, users, app(&cloud)) };
        let source = SourceName::new(name).unwrap();
        let options = ZoomOptions { source, config, download_hosts: Vec::new() };
        Zoom::new(options, client.clone())
    };
    let today = TimeZone::UTC.to_datetime(Timestamp::now()).date();
    let span = DaySpan { from: today.saturating_sub(700.days()), to: today };
    let (one, other) = (
        source("one", &["me", "u1@example.org"]),
        source("other", &["u2@example.org", "u3@example.org"]),
    );
    let (first, second) = tokio::join!(one.list(span), other.list(span));
    assert_eq!(first.unwrap().meetings.len() + second.unwrap().meetings.len(), 200);
    let listings: Vec<_> = requests_to(&cloud, Server::Api, "/recordings")
        .iter()
        .map(|request| request.received_at)
        .collect();
    assert!(listings.len() > 80, "{}", listings.len());
    assert!(max_per_second(listings.clone()) <= 20, "{}", max_per_second(listings));
    assert!(requests_to(&cloud, Server::Api, "").iter().all(|request| request.status != 429));
}
