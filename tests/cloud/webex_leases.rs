//! Tests of the details and leases of a Webex account, over real sockets.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use meetfs::demo_cloud::{
    Content, DemoCloud, DemoCloudOptions, Effect, RetryAfter, Server, Trigger, WebexRecording,
};
use meetfs::http::{ByteRange, Client, ExpectedFile, Priority, RangeStream, TrafficClass};
use meetfs::model::{Availability, Lease, RecordingFile, line_with_hint};
use meetfs::providers::webex::Webex;
use meetfs::providers::{ErrorClass, LeaseCache, LeaseEffort, Provider};

use tokio::time::Instant;

use crate::support::leases::{demand, with_key};
use crate::support::webex::{
    DETAILS, api_reply, details, last_days, personal, recording, renewals, requests_to, secrets,
    webex, webex_cloud,
};

fn cloud(recordings: Vec<WebexRecording>) -> DemoCloud {
    DemoCloud::start(webex_cloud(recordings)).unwrap()
}

/// Returns all files in the listing and in the details, by recording and key.
async fn all_files(webex: &Webex) -> BTreeMap<(String, String), RecordingFile> {
    let mut files = BTreeMap::new();
    for meeting in webex.list(last_days(30)).await.unwrap().meetings {
        let details = webex.details(&meeting.id).await.unwrap();
        for file in
            meeting.files.into_iter().chain(details.into_iter().flat_map(|details| details.files))
        {
            files.insert((meeting.id.to_string(), file.id.key.to_string()), file);
        }
    }
    files
}

/// Returns the three files of the recording `a` without requesting its details.
async fn files_of_recording_a(webex: &Webex) -> [RecordingFile; 3] {
    let meeting = webex.list(last_days(30)).await.unwrap().meetings.into_iter().next().unwrap();
    ["recording", "audio", "transcript"].map(|key| with_key(&meeting.files[0], key))
}

fn on_details(count: u32) -> Trigger {
    Trigger::next(Server::Webex, count).with_path(DETAILS)
}

fn has_ticket(lease: &Lease) -> bool {
    let url = lease.url.expose();
    lease.authorization.is_none()
        && url.path().starts_with("/nbr/")
        && url.query().is_some_and(|query| query.contains("&ticket="))
}

fn lease_url(lease: &Lease) -> String {
    lease.url.expose().to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn one_details_request_serves_all_three_files() {
    let cloud = cloud(vec![recording("a", 5), recording("b", 9).with_video_only()]);
    let webex = webex(&cloud);
    let files = all_files(&webex).await;
    let names: Vec<String> = files
        .iter()
        .map(|((recording, _), file)| format!("{recording}: {}.{}", file.stem, file.extension))
        .collect();
    assert_eq!(
        names,
        ["a: audio_only.mp3", "a: recording.mp4", "a: transcript.txt", "b: recording.mp4"]
    );
    let mut expiries = Vec::new();
    for file in files.values() {
        let lease = webex.lease(demand(file, LeaseEffort::Listed)).await.unwrap();
        assert!(has_ticket(&lease), "{lease:?}");
        expiries.push(lease.expires.unwrap());
    }
    assert_eq!(details(&cloud).len(), 2, "one for each recording");
    assert!(
        expiries[0] == expiries[1] && expiries[1] == expiries[2],
        "the three files expire at the same time: {expiries:?}"
    );
    let seconds_left = expiries[0].as_second() - Timestamp::now().as_second();
    assert!((10_700..=10_800).contains(&seconds_left), "{seconds_left}");
}

#[tokio::test(flavor = "multi_thread")]
async fn forty_eight_readers_share_one_details_request() {
    let cloud = cloud(vec![recording("a", 5)]);
    let webex = Arc::new(webex(&cloud));
    let files = files_of_recording_a(&webex).await;
    cloud.inject(on_details(u32::MAX).with_effect(Effect::Latency(Duration::from_millis(300))));
    let requests: Vec<_> = (0..48)
        .map(|number| {
            let (webex, file) = (webex.clone(), files[number % 3].clone());
            tokio::spawn(async move { webex.lease(demand(&file, LeaseEffort::Listed)).await })
        })
        .collect();
    for lease in requests {
        assert!(has_ticket(&lease.await.unwrap().unwrap()));
    }
    assert_eq!(details(&cloud).len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn refused_url_is_renewed_once_for_all_files() {
    let cloud = cloud(vec![recording("a", 5)]);
    let webex = webex(&cloud);
    let files = files_of_recording_a(&webex).await;
    let mut first = Vec::new();
    for file in &files {
        first.push(lease_url(&webex.lease(demand(file, LeaseEffort::Listed)).await.unwrap()));
    }
    assert_eq!(details(&cloud).len(), 1);
    // A lease is requested again only when its URL has been used.
    for (file, first) in files.iter().zip(&first) {
        assert_ne!(
            lease_url(&webex.lease(demand(file, LeaseEffort::Listed)).await.unwrap()),
            *first
        );
    }
    assert_eq!(details(&cloud).len(), 2);
    webex.lease(demand(&files[0], LeaseEffort::Renewed)).await.unwrap();
    webex.lease(demand(&files[1], LeaseEffort::LastResort)).await.unwrap();
    assert_eq!(details(&cloud).len(), 4, "after two refusals, only a new URL is used");
}

#[tokio::test(flavor = "multi_thread")]
async fn readers_survive_expired_urls_without_leaking_the_token() {
    let cloud = cloud(vec![recording("a", 5)]);
    let webex = Arc::new(webex(&cloud));
    let files = all_files(&webex).await;
    let leases = LeaseCache::new(webex.clone());
    let client = Client::new(8).unwrap();
    for round in 1..=3 {
        for file in files.values() {
            let expected = ExpectedFile { total_length: None, body: file.body, validator: None };
            let range = ByteRange { start: 0, end: 1 << 20 };
            let patience = Duration::from_secs(10);
            let slot = leases.slot(&file.id, file.version);
            let mut stream = RangeStream::new(
                client.clone(),
                slot,
                range,
                expected,
                (TrafficClass::Bulk, Priority::Demand),
                patience,
            );
            let mut length = 0;
            while let Some(piece) = stream.chunk().await.unwrap() {
                length += piece.len() as u64;
            }
            assert_eq!(Some(length), stream.total_length());
        }
        assert_eq!(
            details(&cloud).len(),
            round,
            "one details request for the three files after each expiry"
        );
        cloud.expire_signed_urls();
    }
    for request in requests_to(&cloud, Server::Media, "") {
        assert_eq!((request.header("authorization"), request.header("referer")), (None, None));
        assert!(!request.query.contains("token"), "{request:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn expiry_in_the_past_is_ignored() {
    let options = DemoCloudOptions {
        webex_signed_url_ttl: Duration::ZERO,
        ..webex_cloud(vec![recording("a", 5)])
    };
    let cloud = DemoCloud::start(options).unwrap();
    let webex = webex(&cloud);
    let files = files_of_recording_a(&webex).await;
    for file in &files {
        assert_eq!(webex.lease(demand(file, LeaseEffort::Listed)).await.unwrap().expires, None);
    }
    assert_eq!(details(&cloud).len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn prevented_download_states_its_reason() {
    let mut prevented = recording("a", 5);
    prevented.prevents_downloads = true;
    let cloud = cloud(vec![prevented]);
    let webex = webex(&cloud);
    let files = all_files(&webex).await;
    let [video] = files.values().collect::<Vec<_>>()[..] else { panic!("{files:?}") };
    let Availability::Unavailable(reason) = &video.availability else { panic!("{video:?}") };
    assert!(
        reason.contains("\"Prevent downloading\"") && reason.contains("compliance officer"),
        "{reason}"
    );
    let error = webex.lease(demand(video, LeaseEffort::Listed)).await.unwrap_err();
    assert_eq!(error.class(), ErrorClass::NotAllowed);
    assert_eq!(line_with_hint(&error), *reason);
    // A compliance officer gets download URLs that the list omits.
    let link = r#"{"id":"a","temporaryDirectDownloadLinks":{"recordingDownloadLink":"https://nsj1wss.webex.com/nbr/x?ticket=t"}}"#;
    cloud.inject(on_details(1).with_effect(api_reply(200, link, &[])));
    let files = webex.details(&"a".into()).await.unwrap().unwrap().files;
    assert_eq!(
        (files.len(), &files[0].id, &files[0].availability),
        (1, &video.id, &Availability::Ready)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn lease_serves_only_its_version() {
    let cloud = cloud(vec![recording("a", 5)]);
    let webex = webex(&cloud);
    let before = files_of_recording_a(&webex).await;
    webex.details(&before[0].id.meeting).await.unwrap();
    cloud.change_webex_recording("a", |recording| {
        recording.video = Content::Pattern { seed: 99, length: 77_000 };
    });
    let after = files_of_recording_a(&webex).await;
    assert_ne!(after[1].version, before[1].version);
    cloud.clear_requests();
    assert!(has_ticket(&webex.lease(demand(&after[1], LeaseEffort::Listed)).await.unwrap()));
    assert_eq!(details(&cloud).len(), 1, "the URLs of the earlier version are not used");
    let error = webex.lease(demand(&before[2], LeaseEffort::Listed)).await.unwrap_err();
    assert_eq!(error.class(), ErrorClass::Changed, "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn file_without_url_is_not_found() {
    let cloud = cloud(vec![recording("a", 5)]);
    let webex = webex(&cloud);
    let files = files_of_recording_a(&webex).await;
    assert!(cloud.change_webex_recording("a", |recording| recording.audio = None));
    let error = webex.lease(demand(&files[1], LeaseEffort::Listed)).await.unwrap_err();
    assert_eq!(error.to_string(), "Webex no longer has this file of the recording");
    assert!(has_ticket(&webex.lease(demand(&files[0], LeaseEffort::Listed)).await.unwrap()));
    for key in ["other", "", "transcriptx"] {
        let file = with_key(&files[0], key);
        assert!(matches!(
            webex.lease(demand(&file, LeaseEffort::Listed)).await,
            Err(error) if error.class() == ErrorClass::NotFound
        ));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn stored_transcript_is_read_from_the_api() {
    let cloud = cloud(vec![recording("a", 5).with_stored_transcript()]);
    let webex = webex(&cloud);
    let files = all_files(&webex).await;
    let transcript = files.values().find(|file| file.extension == "vtt").unwrap();
    let lease = webex.lease(demand(transcript, LeaseEffort::Listed)).await.unwrap();
    assert!(lease.authorization().is_some_and(|value| value.starts_with("Bearer ")));
    assert!(lease_url(&lease).starts_with(&cloud.webex_api_url()), "{}", lease_url(&lease));
    assert!(lease.expires.is_some(), "it expires with the token");
    let renewed = webex.lease(demand(transcript, LeaseEffort::Renewed)).await.unwrap();
    assert_ne!(lease.authorization(), renewed.authorization());
    assert_eq!((renewals(&cloud), details(&cloud).len()), (2, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn missing_transcript_scope_affects_only_transcripts() {
    let cloud = cloud(vec![recording("a", 5).with_stored_transcript()]);
    let refused = Trigger::always(Server::Webex).with_path("/meetingTranscripts");
    cloud.inject(refused.with_effect(api_reply(403, r#"{"message":"no scope"}"#, &[])));
    let files = all_files(&webex(&cloud)).await;
    let keys: Vec<&str> = files.keys().map(|(_, key)| key.as_str()).collect();
    assert_eq!(keys, ["audio", "recording"]);
    // A transient failure is retried without another request for details.
    cloud.clear_faults();
    let failing = Trigger::always(Server::Webex).with_path("/meetingTranscripts");
    cloud.inject(failing.with_effect(api_reply(503, "{}", &[])));
    let webex = webex(&cloud);
    cloud.clear_requests();
    let meetings: Vec<_> = webex
        .list(last_days(10))
        .await
        .unwrap()
        .meetings
        .into_iter()
        .map(std::sync::Arc::new)
        .collect();
    let described = webex.details(&"a".into()).await.unwrap().unwrap();
    assert!(described.files.iter().all(|file| file.extension != "vtt"), "{described:?}");
    let search = webex.late_files(&meetings).await;
    assert!(
        search.files.is_empty()
            && matches!(&search.failed, Some(error) if error.class() == ErrorClass::Unavailable),
        "{search:?}"
    );
    cloud.clear_faults();
    let search = webex.late_files(&meetings).await;
    let [transcript] = search.files.as_slice() else { panic!("{search:?}") };
    let lease = webex.lease(demand(transcript, LeaseEffort::Listed)).await.unwrap();
    assert!(lease.authorization().is_some() && search.failed.is_none(), "{search:?}");
    assert_eq!(details(&cloud).len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn url_on_another_host_is_refused() {
    let cloud = cloud(vec![recording("a", 5)]);
    let webex = webex(&cloud);
    let files = files_of_recording_a(&webex).await;
    let body = r#"{"id":"a","temporaryDirectDownloadLinks":{"recordingDownloadLink":"https://evilwebex.com/p4th?ticket=s3cret"}}"#;
    cloud.inject(on_details(1).with_effect(api_reply(200, body, &[])));
    let error = webex.lease(demand(&files[0], LeaseEffort::Listed)).await.unwrap_err();
    let text = format!("{error} {error:?}");
    assert!(
        error.class() == ErrorClass::NotAllowed && text.contains("https://evilwebex.com"),
        "{text}"
    );
    assert!(!text.contains("p4th") && !text.contains("s3cret"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_error_of_a_recording_has_its_message() {
    let cloud = cloud(vec![recording("a", 5)]);
    let files = files_of_recording_a(&webex(&cloud)).await;
    for (status, headers, is_permanent, expected) in [
        (401, vec![], false, "Personal tokens expire after 12 hours"),
        (
            403,
            vec![],
            true,
            "does not permit access to this recording (\"m\") (hint: The token needs the scope meeting:recordings_read",
        ),
        (404, vec![], true, "does not find this recording (\"m\") (hint: It was deleted"),
        (410, vec![], true, "has permanently removed this recording (\"m\")"),
        (
            423,
            vec![("retry-after", "30")],
            false,
            "has locked this recording (\"m\") (hint: Webex accepts the next request in 30 s.",
        ),
        (
            423,
            vec![],
            false,
            "has locked this recording (\"m\") (hint: A running mount retries automatically.",
        ),
        (
            428,
            vec![],
            true,
            "does not return this recording because it cannot be scanned for malware (\"m\")",
        ),
        (429, vec![("retry-after", "60")], false, "limits the rate of requests; retry after"),
        (502, vec![], false, "returned a server error (502)"),
        (503, vec![], false, "returned a server error (503)"),
        (504, vec![], false, "returned a server error (504)"),
    ] {
        cloud.inject(on_details(u32::MAX).with_effect(api_reply(
            status,
            r#"{"message":"m."}"#,
            &headers,
        )));
        let error =
            personal(&cloud).lease(demand(&files[0], LeaseEffort::Listed)).await.unwrap_err();
        let text = format!("{} {error:?}", line_with_hint(&error));
        assert!(text.contains(expected), "{status}: {text}");
        for secret in secrets(&cloud) {
            assert!(!text.contains(&secret), "{text}");
        }
        match personal(&cloud).details(&"a".into()).await {
            Ok(nothing) => assert!(is_permanent && nothing.is_none(), "{status}"),
            Err(error) => {
                assert!(
                    !is_permanent && line_with_hint(&error).contains(expected),
                    "{status}: {error}"
                )
            }
        }
        cloud.clear_faults();
    }
}

/// Advances the clock of the test's runtime, which timeouts and back-offs of the client use.
async fn advance(duration: Duration) {
    tokio::time::pause();
    tokio::time::advance(duration).await;
    tokio::time::resume();
}

#[tokio::test]
async fn locked_recording_is_not_requested_during_its_delay() {
    let cloud = cloud(vec![recording("a", 5)]);
    let webex = webex(&cloud);
    let files = files_of_recording_a(&webex).await;
    cloud.inject(on_details(1).with_effect(api_reply(423, "{}", &[("retry-after", "2")])));
    for file in &files {
        let error = webex.lease(demand(file, LeaseEffort::Listed)).await.unwrap_err();
        assert!(error.class() == ErrorClass::Unavailable, "{error}");
    }
    assert_eq!(details(&cloud).len(), 1, "the first reply applies for two seconds");
    advance(Duration::from_secs(2)).await;
    assert!(has_ticket(&webex.lease(demand(&files[0], LeaseEffort::Listed)).await.unwrap()));
}

#[tokio::test]
async fn rate_limit_without_delay_pauses_the_source() {
    let cloud = cloud(vec![recording("a", 5)]);
    let webex = webex(&cloud);
    let files = files_of_recording_a(&webex).await;
    cloud.inject(on_details(1).with_effect(Effect::TooManyRequests(RetryAfter::None)));
    let start = Instant::now();
    for file in &files {
        let error = webex.lease(demand(file, LeaseEffort::Listed)).await.unwrap_err();
        assert!(error.to_string().contains("limits the rate of requests"), "{error}");
    }
    assert!(start.elapsed() < Duration::from_secs(2), "{:?}", start.elapsed());
    assert_eq!(details(&cloud).len(), 1, "no request is sent during the back-off");
    cloud.clear_requests();
    advance(Duration::from_secs(14)).await;
    assert!(webex.details(&"a".into()).await.unwrap().is_some(), "a call with enough time waits");
    assert!(start.elapsed() >= Duration::from_millis(14_900), "{:?}", start.elapsed());
    assert_eq!(details(&cloud).len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn sixteen_leases_renew_an_expired_token_once() {
    let recordings =
        (0..16).map(|number| recording(&format!("r{number:02}"), 5 + number)).collect();
    let cloud = cloud(recordings);
    let webex = Arc::new(webex(&cloud));
    let meetings = webex.list(last_days(5)).await.unwrap().meetings;
    assert_eq!(meetings.len(), 16);
    cloud.expire_tokens();
    let requests: Vec<_> = meetings
        .into_iter()
        .map(|meeting| {
            let webex = webex.clone();
            tokio::spawn(async move {
                webex.lease(demand(&meeting.files[0], LeaseEffort::Listed)).await
            })
        })
        .collect();
    for lease in requests {
        assert!(has_ticket(&lease.await.unwrap().unwrap()));
    }
    assert_eq!(renewals(&cloud), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn error_of_removed_recording_states_its_location() {
    let cloud = cloud(vec![recording("a", 5)]);
    let webex = webex(&cloud);
    let files = files_of_recording_a(&webex).await;
    for (status, expected) in
        [("deleted", "recycle bin"), ("purged", "does not find this recording")]
    {
        assert!(cloud.change_webex_recording("a", |recording| recording.status = status.into()));
        let error = webex.lease(demand(&files[0], LeaseEffort::Listed)).await.unwrap_err();
        assert!(
            error.class() == ErrorClass::NotFound && line_with_hint(&error).contains(expected),
            "{error}"
        );
        assert_eq!(webex.details(&"a".into()).await.unwrap(), None);
    }
}
