//! Tests of the listings of a Webex account, over real sockets.

use std::collections::HashSet;
use std::net::TcpListener;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::ToSpan;
use meetfs::demo_cloud::{
    DemoCloud, DemoCloudOptions, Effect, RetryAfter, Server, Trigger, WebexArchive, WebexRecording,
};
use meetfs::model::{Availability, DaySpan, Meeting, line_with_hint};
use meetfs::providers::webex::WebexCredential;
use meetfs::providers::{ErrorClass, LeaseEffort, Listing, Provider, ProviderError};

use crate::support::leases::demand;
use crate::support::webex::{
    api_reply, app, day, details, last_days, pages, personal, recording, renewals, secrets, webex,
    webex_cloud, webex_with,
};

const MAX_PAGE_SIZE: u32 = 30;

fn cloud(webex: WebexArchive) -> DemoCloud {
    DemoCloud::start(DemoCloudOptions {
        webex_archive: webex,
        max_page_size: MAX_PAGE_SIZE,
        ..DemoCloudOptions::default()
    })
    .unwrap()
}

fn sorted(mut meetings: Vec<Meeting>) -> Vec<Meeting> {
    meetings.sort_by(|one, other| one.id.cmp(&other.id));
    meetings
}

/// Returns the minimum number of requests that list `span`: windows of 30 days and their pages.
fn min_requests(archive: &WebexArchive, span: DaySpan) -> usize {
    let days: Vec<_> =
        archive.recordings.iter().map(|recording| day(recording.create_time)).collect();
    let (mut calls, mut to) = (0, span.to);
    loop {
        let from = to.saturating_sub(29.days()).max(span.from);
        let recordings = days.iter().filter(|day| from <= **day && **day <= to).count();
        calls += recordings.div_ceil(MAX_PAGE_SIZE as usize).max(1);
        if from == span.from {
            return calls;
        }
        to = from.saturating_sub(1.day());
    }
}

fn on_listings(count: u32) -> Trigger {
    Trigger::next(Server::Webex, count).with_path("/v1/recordings")
}

/// Returns the error of the only failed days, or of the whole listing.
fn only_error(outcome: &Result<Listing, ProviderError>) -> ProviderError {
    match outcome {
        Err(error) => error.clone(),
        Ok(listing) => {
            let [(_, error)] = listing.failed.as_slice() else { panic!("{listing:?}") };
            error.clone()
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_years_take_the_fewest_requests() {
    for has_null_page_size in [true, false] {
        let archive =
            WebexArchive { has_null_page_size, ..WebexArchive::with_recordings(1000, 730) };
        let cloud = cloud(archive.clone());
        let listing = webex(&cloud).list(last_days(730)).await.unwrap();
        assert!(listing.failed.is_empty(), "{:?}", listing.failed);
        let listed: HashSet<&str> =
            listing.meetings.iter().map(|meeting| meeting.id.as_str()).collect();
        let expected: HashSet<&str> =
            archive.recordings.iter().map(|recording| recording.id.as_str()).collect();
        assert_eq!((listing.meetings.len(), &listed), (1000, &expected));
        let fewest = min_requests(&archive, last_days(730));
        assert!(fewest > 25, "two years take at least that many windows, {fewest}");
        assert_eq!((pages(&cloud).len(), details(&cloud).len(), renewals(&cloud)), (fewest, 0, 1));
        assert!(
            pages(&cloud).iter().all(|page| page.status == 200),
            "a page of null entries was requested"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn listing_has_the_video_with_its_size() {
    let mut second = recording("b", 30).with_video(70_000);
    second.numbers_as_strings = true;
    let cloud = DemoCloud::start(webex_cloud(vec![recording("a", 5), second])).unwrap();
    let meetings = sorted(webex(&cloud).list(last_days(5)).await.unwrap().meetings);
    for (meeting, size) in meetings.iter().zip([50_000, 70_000]) {
        let [video] = meeting.files.as_slice() else { panic!("{meeting:?}") };
        assert_eq!((video.declared_size, &video.availability), (Some(size), &Availability::Ready));
        assert_eq!(meeting.end.as_second() - meeting.start.as_second(), 1800);
        let facts = serde_json::to_string(&meeting.metadata).unwrap();
        assert!(facts.contains(&meeting.start.to_string()), "{facts}");
        for kept_out in ["demo-play", "download-page", "playback-page", "ticket"] {
            assert!(!facts.contains(kept_out), "{facts}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn order_of_replies_is_irrelevant() {
    let cloud = cloud(WebexArchive::with_recordings(200, 200));
    let webex = webex(&cloud);
    let plain = sorted(webex.list(last_days(200)).await.unwrap().meetings);
    assert_eq!(plain.len(), 200);
    for skip in 0..4 {
        cloud.inject(
            on_listings(2)
                .after_requests(skip)
                .with_effect(Effect::Latency(Duration::from_millis(150))),
        );
        assert_eq!(sorted(webex.list(last_days(200)).await.unwrap().meetings), plain);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_page_is_requested_with_fewer_entries() {
    let cloud =
        DemoCloud::start(webex_cloud(WebexArchive::with_recordings(60, 20).recordings)).unwrap();
    cloud.inject(on_listings(2).with_effect(api_reply(504, "{}", &[])));
    let listing = webex(&cloud).list(last_days(20)).await.unwrap();
    assert_eq!((listing.meetings.len(), listing.failed.len()), (60, 0));
    let most: Vec<String> = pages(&cloud)
        .iter()
        .filter_map(|page| {
            page.query.split('&').find(|field| field.starts_with("max=")).map(str::to_owned)
        })
        .collect();
    assert_eq!(most, ["max=100", "max=50", "max=25", "max=25", "max=25"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn page_that_stays_slow_fails_at_ten_entries() {
    let cloud = DemoCloud::start(webex_cloud(vec![recording("a", 5)])).unwrap();
    cloud.inject(on_listings(u32::MAX).with_effect(api_reply(
        504,
        r#"{"message":"Gateway Timeout."}"#,
        &[],
    )));
    let error = only_error(&webex(&cloud).list(last_days(20)).await);
    assert_eq!(
        line_with_hint(&error),
        "Webex returned status 504 for the list of recordings (\"Gateway Timeout\") (hint: A running mount retries automatically.)"
    );
    assert_eq!(pages(&cloud).len(), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn next_page_on_another_host_is_refused() {
    let elsewhere = TcpListener::bind("127.0.0.1:0").unwrap();
    elsewhere.set_nonblocking(true).unwrap();
    let host = format!("http://{}", elsewhere.local_addr().unwrap());
    let cloud = cloud(WebexArchive::with_recordings(40, 20));
    let link = format!("<{host}/v1/recordings?max=100&cursor=p4th>; rel=\"next\"");
    cloud.inject(on_listings(u32::MAX).with_effect(api_reply(
        200,
        r#"{"items":[]}"#,
        &[("link", &link)],
    )));
    let error = only_error(&webex(&cloud).list(last_days(20)).await);
    assert_eq!(
        line_with_hint(&error),
        format!(
            "the next page of the list of recordings is on {host}, which is not the API; no request was sent there (hint: Check api_url.)"
        )
    );
    assert!(elsewhere.accept().is_err(), "the next page was requested");
}

#[tokio::test(flavor = "multi_thread")]
async fn endless_or_unreadable_list_is_abandoned() {
    let cloud = cloud(WebexArchive::with_recordings(40, 20));
    let webex = webex(&cloud);
    let link = format!("<{}/recordings?max=100&cursor=round>; rel=\"next\"", cloud.webex_api_url());
    let circle = api_reply(200, r#"{"items":[]}"#, &[("link", &link)]);
    let page_with = |link| api_reply(200, r#"{"items":[]}"#, &[("link", link)]);
    let unreadable = "the Link header cannot be read";
    for (effect, expected, calls) in [
        (page_with(r#"</v1/recordings?cursor=2; rel="next""#), unreadable, 1),
        (page_with(r#"/v1/recordings?cursor=2; rel="next""#), unreadable, 1),
        (page_with(r#"<>; rel="next""#), unreadable, 1),
        (circle, "returned the same next page twice", 2),
        (api_reply(200, r#"{"message":"hello"}"#, &[]), "the reply has no list of recordings", 1),
        (api_reply(200, "<html>", &[]), "not a JSON object (hint: Check api_url.)", 1),
    ] {
        cloud.clear_requests();
        cloud.inject(on_listings(u32::MAX).with_effect(effect));
        let error = only_error(&webex.list(last_days(20)).await);
        assert!(
            error.class() == ErrorClass::Unavailable && line_with_hint(&error).contains(expected),
            "{error}"
        );
        assert_eq!(pages(&cloud).len(), calls, "{expected}");
        cloud.clear_faults();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn removed_recordings_are_not_listed() {
    let cloud = DemoCloud::start(webex_cloud(Vec::new())).unwrap();
    let entry = |id: &str, more: &str| {
        format!(
            r#"{{"id":"{id}","timeRecorded":"2026-01-01T00:00:00Z","downloadUrl":"https://x/y",{more}}}"#
        )
    };
    let items = [
        entry("a", r#""status":"deleted""#),
        entry("b", r#""status":"purged""#),
        entry("c", r#""status":"available","format":"HOLO-2""#),
        entry("d", r#""status":"hibernating""#),
        r#"{"id":""}"#.to_owned(),
    ];
    cloud.inject(on_listings(1).with_effect(api_reply(
        200,
        &format!(r#"{{"items":[{}]}}"#, items.join(",")),
        &[],
    )));
    let meetings = sorted(webex(&cloud).list(last_days(5)).await.unwrap().meetings);
    let ids: Vec<(&str, &str)> = meetings
        .iter()
        .map(|meeting| (meeting.id.as_str(), meeting.files[0].extension.as_str()))
        .collect();
    assert_eq!(ids, [("c", "holo2"), ("d", "bin")]);
}

#[tokio::test(flavor = "multi_thread")]
async fn failed_window_is_reported_and_others_are_listed() {
    let archive = WebexArchive::with_recordings(45, 45);
    let cloud = cloud(archive.clone());
    // Two windows with five attempts each: the tenth attempt succeeds in either window.
    cloud.inject(on_listings(9).with_effect(api_reply(500, "{}", &[])));
    let span = last_days(45);
    let listing = webex(&cloud).list(span).await.unwrap();
    let [(days, error)] = listing.failed.as_slice() else { panic!("{listing:?}") };
    assert_eq!(error.class(), ErrorClass::Unavailable);
    let message = line_with_hint(error);
    assert!(message.contains("500"), "{message}");
    let newest = DaySpan { from: span.to.saturating_sub((29 + 7).days()), to: span.to };
    let oldest = DaySpan { from: span.from, to: span.to.saturating_sub(30.days()) };
    assert!([newest, oldest].contains(days), "{days:?}");
    let listed: HashSet<&str> =
        listing.meetings.iter().map(|meeting| meeting.id.as_str()).collect();
    assert!((1..45).contains(&listed.len()), "{}", listed.len());
    for recording in &archive.recordings {
        let day = day(recording.time_recorded);
        assert!(listed.contains(recording.id.as_str()) || days.contains(day), "{day}");
    }
}

fn recording_of_host(host: &str, id: &str) -> WebexRecording {
    let mut recording = recording(id, 10);
    recording.host_email = host.into();
    recording
}

#[tokio::test(flavor = "multi_thread")]
async fn credential_and_users_select_the_recordings() {
    let recordings = vec![
        recording_of_host("owner@example.org", "own"),
        recording_of_host("ana@example.org", "ana"),
        recording_of_host("bo@example.org", "bo"),
    ];
    let cloud = DemoCloud::start(webex_cloud(recordings)).unwrap();
    for (hosts, admin, expected) in [
        (vec![], false, vec!["own"]),
        (vec!["ana@example.org"], false, vec!["ana"]),
        (vec!["ana@example.org", "bo@example.org"], true, vec!["ana", "bo"]),
        (vec![], true, vec!["ana", "bo", "own"]),
    ] {
        cloud.clear_requests();
        let webex = webex_with(&cloud, app(&cloud), |options| {
            options.config.users = hosts.iter().map(|host| (*host).to_owned()).collect();
            options.config.uses_admin_list = admin;
        });
        let meetings = sorted(webex.list(last_days(5)).await.unwrap().meetings);
        let ids: Vec<&str> = meetings.iter().map(|meeting| meeting.id.as_str()).collect();
        assert_eq!(ids, expected, "{hosts:?} {admin}");
        let path = if admin { "/v1/admin/recordings" } else { "/v1/recordings" };
        assert!(pages(&cloud).iter().all(|page| page.path == path));
        // The demo cloud returns recordings of other hosts only if the request names the host.
        for meeting in &meetings {
            assert!(webex.details(&meeting.id).await.unwrap().is_some(), "{}", meeting.id);
        }
        if hosts.is_empty() && !admin {
            assert!(details(&cloud).iter().all(|request| request.query.is_empty()));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn meeting_hosts_of_an_earlier_run_are_restored() {
    let cloud =
        DemoCloud::start(webex_cloud(vec![recording_of_host("ana@example.org", "ana")])).unwrap();
    let administrator =
        || webex_with(&cloud, app(&cloud), |options| options.config.uses_admin_list = true);
    let listed: Vec<_> = administrator()
        .list(last_days(5))
        .await
        .unwrap()
        .meetings
        .into_iter()
        .map(Arc::new)
        .collect();
    let restarted = administrator();
    restarted.restore(&listed);
    assert!(restarted.details(&listed[0].id).await.unwrap().is_some());
    let video = &listed[0].files[0];
    assert!(restarted.lease(demand(video, LeaseEffort::Listed)).await.is_ok());
    let forgetful = administrator();
    assert!(
        forgetful.lease(demand(video, LeaseEffort::Listed)).await.is_err(),
        "the recording is not found without its meeting host"
    );
}

/// Returns an archive with 150 recordings of a host and 150 recordings of the token's owner.
fn archive_of_two_hosts(lacking: &[&str]) -> WebexArchive {
    let mut archive = WebexArchive::empty();
    archive.missing_in_next_pages = lacking.iter().map(|name| (*name).to_owned()).collect();
    for number in 0..150 {
        archive.recordings.push(recording_of_host("ana@example.org", &format!("ana{number}")));
        archive.recordings.push(recording_of_host("owner@example.org", &format!("own{number}")));
    }
    archive
}

#[tokio::test(flavor = "multi_thread")]
async fn next_page_without_host_keeps_the_host() {
    for lacking in [&["hostEmail"][..], &["from", "to", "hostEmail"], &[]] {
        let cloud = cloud(archive_of_two_hosts(lacking));
        let webex = webex_with(&cloud, app(&cloud), |options| {
            options.config.users = vec!["ana@example.org".into()]
        });
        let listing = webex.list(last_days(5)).await.unwrap();
        assert!(listing.failed.is_empty(), "{:?}", listing.failed);
        assert_eq!(listing.meetings.len(), 150, "{lacking:?}");
        assert!(listing.meetings.iter().all(|meeting| meeting.id.as_str().starts_with("ana")));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn later_page_of_another_host_makes_the_window_incomplete() {
    let cloud = cloud(archive_of_two_hosts(&[]));
    let webex = webex_with(&cloud, app(&cloud), |options| {
        options.config.users = vec!["ana@example.org".into()]
    });
    let body = r#"{"items":[{"id":"own1","hostEmail":"owner@example.org"}]}"#;
    cloud.inject(on_listings(u32::MAX).after_requests(1).with_effect(api_reply(200, body, &[])));
    let listing = webex.list(last_days(5)).await.unwrap();
    assert_eq!(listing.failed.len(), 1, "{:?}", listing.failed);
    assert!(
        listing.failed[0].1.to_string().contains("another meeting host"),
        "{:?}",
        listing.failed
    );
    assert!(listing.meetings.iter().all(|meeting| meeting.id.as_str().starts_with("ana")));
}

#[tokio::test(flavor = "multi_thread")]
async fn refused_host_is_requested_once() {
    let cloud = cloud(WebexArchive::with_recordings(20, 20));
    let webex = webex_with(&cloud, app(&cloud), |options| {
        options.config.users = vec!["ana@example.org".into()]
    });
    let body = r#"{"message":"The host does not belong to this site."}"#;
    cloud.inject(on_listings(u32::MAX).with_effect(api_reply(403, body, &[])));
    let error = webex.list(last_days(720)).await.unwrap_err();
    assert_eq!(error.class(), ErrorClass::NotAllowed);
    let message = line_with_hint(&error);
    for part in ["ana@example.org", "does not belong to this site", "meeting:admin_recordings_read"]
    {
        assert!(message.contains(part), "{message}");
    }
    assert!(pages(&cloud).len() <= 4, "{}", pages(&cloud).len());
}

#[tokio::test(flavor = "multi_thread")]
async fn unreachable_service_is_abandoned_early() {
    let cloud = cloud(WebexArchive::with_recordings(40, 20));
    cloud.inject(on_listings(u32::MAX).with_effect(api_reply(503, "{}", &[])));
    assert!(
        matches!(webex(&cloud).list(last_days(730)).await, Err(error) if error.class() == ErrorClass::Unavailable)
    );
    // Four windows at the same time with five attempts each, and up to three windows that began
    // before the fourth one failed.
    assert!(pages(&cloud).len() <= 7 * 5, "{}", pages(&cloud).len());
}

#[tokio::test(flavor = "multi_thread")]
async fn rate_limit_pauses_every_window() {
    let cloud = cloud(WebexArchive::with_recordings(10, 60));
    let limit = Effect::TooManyRequests(RetryAfter::Seconds(2));
    cloud.inject(on_listings(1).with_effect(limit));
    let start = Instant::now();
    let listing = webex(&cloud).list(last_days(60)).await.unwrap();
    assert_eq!((listing.meetings.len(), listing.failed.len()), (10, 0));
    assert!(start.elapsed() >= Duration::from_secs(2), "{:?}", start.elapsed());
    // Three windows are requested at the same time. Requests in flight when the limit is reached
    // are answered.
    assert!(pages(&cloud).len() <= 4, "{}", pages(&cloud).len());
}

#[tokio::test(flavor = "multi_thread")]
async fn expired_token_is_renewed_once_per_listing() {
    let cloud = cloud(WebexArchive::with_recordings(300, 365));
    let webex = webex(&cloud);
    webex.list(last_days(365)).await.unwrap();
    cloud.expire_tokens();
    let listing = webex.list(last_days(365)).await.unwrap();
    assert_eq!((listing.meetings.len(), listing.failed.len(), renewals(&cloud)), (300, 0, 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_credentials_have_a_hint_without_secrets() {
    let cloud = cloud(WebexArchive::with_recordings(10, 5));
    let good = cloud.webex_credentials();
    let app = |secret: &str, refresh: &str| WebexCredential::Refreshed {
        client_id: good.client_id.clone(),
        client_secret: secret.to_owned().into(),
        refresh_token: refresh.to_owned().into(),
        sign_in: meetfs::config::SignInFile(None),
    };
    for (credential, hint) in [
        (app("wr0ng-s3cret", &good.refresh_token), "client_secret"),
        (app(&good.client_secret, "wr0ng-s3cret"), "90 days without use"),
        (WebexCredential::Token("wr0ng-s3cret".to_owned().into()), "12 hours"),
    ] {
        let before = pages(&cloud).len();
        let webex = webex_with(&cloud, credential, |_| {});
        let error = webex.list(last_days(365)).await.unwrap_err();
        let text = format!("{error} {error:?} {:?}", &webex as &dyn Provider);
        assert!(
            error.class() == ErrorClass::Credential && line_with_hint(&error).contains(hint),
            "{text}"
        );
        for secret in secrets(&cloud).iter().map(String::as_str).chain(["wr0ng-s3cret"]) {
            assert!(!text.contains(secret), "{text}");
        }
        assert!(
            pages(&cloud).len() - before <= 4,
            "a wrong credential is not sent for every window"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_error_of_a_list_has_its_message() {
    let cloud = DemoCloud::start(webex_cloud(vec![recording("a", 5)])).unwrap();
    for (status, headers, expected) in [
        (401, vec![], "Personal tokens expire after 12 hours"),
        (
            403,
            vec![],
            "The token needs the scope meeting:recordings_read, and its user needs a role with access.",
        ),
        (404, vec![], "Webex does not find the list of recordings"),
        (410, vec![], "Webex has permanently removed the list of recordings"),
        (
            423,
            vec![("retry-after", "7")],
            "locked the list of recordings (\"m\") (hint: Webex accepts the next request in 7 s.",
        ),
        (
            428,
            vec![],
            "does not return the list of recordings because it cannot be scanned for malware",
        ),
        (429, vec![("retry-after", "31")], "limits the rate of requests; retry after 3"),
        (502, vec![], "returned a server error (502)"),
        (503, vec![], "returned a server error (503)"),
    ] {
        cloud.inject(on_listings(u32::MAX).with_effect(api_reply(
            status,
            r#"{"message":"m"}"#,
            &headers,
        )));
        let error = only_error(&personal(&cloud).list(last_days(5)).await);
        assert!(line_with_hint(&error).contains(expected), "{status}: {error}");
        cloud.clear_faults();
    }
    assert_eq!(personal(&cloud).list(last_days(5)).await.unwrap().meetings.len(), 1);
}
