//! Tests of Webex's API on the wire.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use meetfs::demo_cloud::{
    DemoCloud, DemoCloudOptions, Effect, RetryAfter, Server, Trigger, WebexArchive, WebexRecording,
};
use serde_json::Value;

use super::client::{Answer, bearer, get, get_range, send};

fn recording(id: &str) -> WebexRecording {
    WebexRecording::new(id, id, Timestamp::now() - SignedDuration::from_hours(5))
}

fn cloud(recordings: Vec<WebexRecording>) -> DemoCloud {
    let webex = WebexArchive { recordings, ..WebexArchive::empty() };
    DemoCloud::start(DemoCloudOptions { webex_archive: webex, ..DemoCloudOptions::default() })
        .unwrap()
}

fn get_with_token(cloud: &DemoCloud, url: &str) -> Answer {
    let (name, value) = bearer(&cloud.webex_token());
    send("GET", url, &[(name, &value)], "")
}

fn api(cloud: &DemoCloud, path: &str) -> Answer {
    get_with_token(cloud, &format!("{}{path}", cloud.webex_api_url()))
}

fn ids(answer: &Answer) -> Vec<String> {
    let items = answer.json();
    items["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|item| item["id"].as_str().unwrap().to_owned())
        .collect()
}

fn download_urls(cloud: &DemoCloud, id: &str) -> Value {
    api(cloud, &format!("/recordings/{id}")).json()["temporaryDirectDownloadLinks"].clone()
}

#[test]
fn errors_have_message_description_and_tracking_id() {
    let cloud = cloud(vec![recording("a")]);
    let url = cloud.webex_api_url();
    let zooms = format!("Bearer {}", cloud.long_lived_token());
    for (status, answer) in [
        (401, get(&format!("{url}/recordings"))),
        (401, send("GET", &format!("{url}/recordings"), &[("Authorization", &zooms)], "")),
        (404, api(&cloud, "/recordings/none")),
        (404, api(&cloud, "/nothing")),
        (400, api(&cloud, "/recordings?max=101")),
        (400, api(&cloud, "/recordings?max=null")),
        (400, api(&cloud, "/recordings?from=soon")),
        (400, api(&cloud, "/admin/recordings?from=2026-01-01T00:00:00Z&to=2026-02-01T00:00:00Z")),
    ] {
        let body = answer.json();
        assert_eq!(answer.status, status, "{body}");
        assert_eq!(body["message"], body["errors"][0]["description"]);
        assert!(body["trackingId"].as_str().unwrap().starts_with("ROUTER_"), "{body}");
    }
    let limit = Effect::TooManyRequests(RetryAfter::Seconds(7));
    cloud.inject(Trigger::next(Server::Webex, 1).with_effect(limit));
    let limited = api(&cloud, "/recordings");
    assert_eq!((limited.status, limited.header("retry-after")), (429, Some("7")));
    assert!(limited.json()["trackingId"].is_string());
}

#[test]
fn list_is_sorted_newest_first_in_pages_of_ten() {
    let cloud = cloud(WebexArchive::with_recordings(25, 5).recordings);
    let first = api(&cloud, "/recordings");
    assert_eq!(ids(&first).len(), 10);
    let create_times: Vec<String> = first.json()["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|item| item["createTime"].as_str().unwrap().to_owned())
        .collect();
    assert!(create_times.is_sorted_by(|newer, older| newer >= older), "{create_times:?}");
    let link = first.header("link").unwrap();
    let next = link.strip_prefix('<').unwrap().strip_suffix(">; rel=\"next\"").unwrap();
    assert!(next.contains("max=null"), "{next}");
    assert_eq!(get_with_token(&cloud, next).status, 400);
    let second = get_with_token(&cloud, &next.replace("max=null", "max=20"));
    assert_eq!((ids(&second).len(), second.header("link")), (15, None));
    assert!(ids(&second).iter().all(|id| !ids(&first).contains(id)));
}

#[test]
fn window_end_is_exclusive() {
    let mut of_ana = recording("ana");
    of_ana.host_email = "ana@example.org".into();
    let own = recording("own");
    let (create_time, later) = (own.create_time, own.create_time + SignedDuration::from_nanos(1));
    let cloud = cloud(vec![own, of_ana]);
    let listed = |query: &str| ids(&api(&cloud, query));
    assert!(listed(&format!("/recordings?to={create_time}")).is_empty());
    assert_eq!(listed(&format!("/recordings?to={later}")), ["own"]);
    assert_eq!(listed("/recordings?hostEmail=ana@example.org"), ["ana"]);
    let mut site_recordings = listed("/admin/recordings");
    site_recordings.sort();
    assert_eq!(site_recordings, ["ana", "own"]);
    assert_eq!(api(&cloud, "/recordings/ana").status, 404);
    assert_eq!(api(&cloud, "/recordings/ana?hostEmail=ana@example.org").status, 200);
}

#[test]
fn url_accepts_only_its_ticket_until_expiry() {
    let webex = WebexArchive { recordings: vec![recording("a")], ..WebexArchive::empty() };
    let short = Duration::from_millis(600);
    let cloud = DemoCloud::start(DemoCloudOptions {
        webex_archive: webex,
        webex_signed_url_ttl: short,
        ..DemoCloudOptions::default()
    })
    .unwrap();
    let object = &cloud.webex_objects()[0];
    let download_urls = download_urls(&cloud, "a");
    let file_url = download_urls["recordingDownloadLink"].as_str().unwrap();
    let answer = get_range(file_url, "bytes=100-199");
    assert_eq!((answer.status, answer.body.as_slice()), (206, &object.content.slice(100..200)[..]));
    let (name, value) = bearer(&cloud.webex_token());
    assert_eq!(send("GET", file_url, &[(name, &value)], "").status, 400);
    assert_eq!(get(&file_url.replace("ticket=", "ticket=A")).status, 403);
    assert_eq!(get(&file_url.replace("recordid=a", "recordid=b")).status, 403);
    let expiry: Timestamp = download_urls["expiration"].as_str().unwrap().parse().unwrap();
    while Timestamp::now() <= expiry {
        std::thread::sleep(Duration::from_millis(20));
    }
    let expired = get(file_url);
    assert_eq!(
        (expired.status, expired.header("content-type")),
        (403, Some("text/html;charset=UTF-8"))
    );
}

#[test]
fn prevented_downloads_have_no_urls() {
    let mut prevented = recording("prevented");
    prevented.prevents_downloads = true;
    let cloud = cloud(vec![
        prevented,
        recording("alone").with_video_only(),
        recording("arf").with_format("ARF"),
    ]);
    let entry = api(&cloud, "/recordings/prevented").json();
    assert!(
        entry["downloadUrl"].is_null() && entry["temporaryDirectDownloadLinks"].is_null(),
        "{entry}"
    );
    let video_only = download_urls(&cloud, "alone");
    assert!(
        video_only["recordingDownloadLink"].is_string()
            && video_only["audioDownloadLink"].is_null(),
        "{video_only}"
    );
    let arf = download_urls(&cloud, "arf");
    assert!(
        arf["recordingDownloadLink"].as_str().unwrap().contains("/nbr/downloadMedia.do?"),
        "{arf}"
    );
    assert!(arf["transcriptDownloadLink"].as_str().unwrap().contains("/transcript.txt?"), "{arf}");
    assert!(cloud.remove_webex_recording("arf") && !cloud.remove_webex_recording("arf"));
    assert_eq!(get(arf["audioDownloadLink"].as_str().unwrap()).status, 404);
}

#[test]
fn refresh_token_can_be_reused() {
    let cloud = cloud(vec![recording("a")]);
    let good = cloud.webex_credentials();
    let renew = |refresh_token: &str| {
        let form = format!(
            "grant_type=refresh_token&client_id={}&client_secret={}&refresh_token={refresh_token}",
            good.client_id, good.client_secret
        );
        send("POST", &cloud.webex_oauth_url(), &[], &form)
    };
    for _ in 0..2 {
        let reply = renew(&good.refresh_token).json();
        assert_eq!(
            (reply["refresh_token"].as_str(), reply["expires_in"].as_u64()),
            (Some(&*good.refresh_token), Some(3599))
        );
        let (name, value) = bearer(reply["access_token"].as_str().unwrap());
        let url = format!("{}/recordings", cloud.webex_api_url());
        assert_eq!(send("GET", &url, &[(name, &value)], "").status, 200);
        cloud.expire_tokens();
        assert_eq!(send("GET", &url, &[(name, &value)], "").status, 401);
    }
    assert_eq!(renew("other").status, 400);
}

#[test]
fn stored_transcript_is_listed_by_meeting() {
    let cloud = cloud(vec![recording("a").with_stored_transcript(), recording("b")]);
    let meeting = api(&cloud, "/recordings/a").json()["meetingId"].as_str().unwrap().to_owned();
    let items = api(&cloud, &format!("/meetingTranscripts?meetingId={meeting}"));
    let [id] = ids(&items).try_into().unwrap();
    assert!(ids(&api(&cloud, "/meetingTranscripts?meetingId=other")).is_empty());
    let path = format!("/meetingTranscripts/{id}/download?format=vtt");
    let whole = api(&cloud, &path);
    assert!(whole.body.starts_with(b"WEBVTT"), "{whole:?}");
    assert_eq!(whole.header("content-type"), Some("text/vtt"));
    let url = format!("{}{path}", cloud.webex_api_url());
    assert_eq!(get(&url).status, 401);
    let (name, value) = bearer(&cloud.webex_token());
    let part = send("GET", &url, &[(name, &value), ("Range", "bytes=0-3")], "");
    assert_eq!((part.status, part.body), (200, whole.body));
}
