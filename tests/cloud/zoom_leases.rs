//! Tests of the leases of a Zoom account, over real sockets.

use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::{Timestamp, ToSpan};
use meetfs::demo_cloud::{
    AcceptedCredentials, Archive, Content, DemoCloud, DemoCloudOptions, Effect, Meeting,
    MeetingFile, Server, Trigger,
};
use meetfs::http::{ByteRange, Client, ExpectedFile, Priority, RangeStream, TrafficClass};
use meetfs::model::{Availability, DaySpan, FileId, Lease, RecordingFile, line_with_hint};
use meetfs::providers::zoom::{Zoom, ZoomCredential};
use meetfs::providers::{ErrorClass, LeaseCache, LeaseEffort, Provider};

use crate::support::leases::{demand, with_key};
use crate::support::zoom::{app, requests_to, secrets_sent, zoom, zoom_with};

const LENGTH: u64 = 40_000;

/// Returns an archive of sixteen meetings with one video each. The first UUIDs must be encoded in a
/// path.
fn archive() -> Archive {
    let mut archive = Archive::empty();
    for index in 0..16 {
        let uuid = match index {
            0 => "/aB3xY9+QWeRtYuIoP==".to_owned(),
            1 => "a//b".to_owned(),
            _ => format!("m{index}=="),
        };
        let start = Timestamp::now() - jiff::SignedDuration::from_hours(24 + index);
        let video =
            MeetingFile::new("MP4", Content::Pattern { seed: index as u64, length: LENGTH });
        let captions = MeetingFile::new("CC", Content::Stored("WEBVTT\n\n1".into()));
        archive
            .meetings
            .push(Meeting::new(&uuid, &uuid, start).with_file(video).with_file(captions));
    }
    archive
}

fn cloud_with(change: impl FnOnce(&mut DemoCloudOptions)) -> DemoCloud {
    let mut options = DemoCloudOptions { archive: archive(), ..DemoCloudOptions::default() };
    change(&mut options);
    DemoCloud::start(options).unwrap()
}

fn cloud() -> DemoCloud {
    cloud_with(|_| {})
}

/// Returns the listed files that can be read, videos first.
async fn listed_files(zoom: &Zoom) -> Vec<RecordingFile> {
    let today = jiff::tz::TimeZone::UTC.to_datetime(Timestamp::now()).date();
    let listing =
        zoom.list(DaySpan { from: today.saturating_sub(5.days()), to: today }).await.unwrap();
    let mut files: Vec<_> =
        listing.meetings.into_iter().flat_map(|meeting| meeting.files).collect();
    assert!(files.iter().all(|file| file.availability == Availability::Ready));
    files.sort_by_key(|file| (file.extension.clone(), file.id.clone()));
    files
}

/// Returns the same files as [`listed_files`], and clears the log of requests.
async fn listed_files_with_cleared_log(cloud: &DemoCloud, zoom: &Zoom) -> Vec<RecordingFile> {
    let files = listed_files(zoom).await;
    cloud.clear_requests();
    files
}

fn is_signed(lease: &Lease) -> bool {
    lease.authorization.is_none()
        && lease.url.expose().query().is_some_and(|q| q.contains("Signature="))
}

fn count_query_credentials(cloud: &DemoCloud) -> usize {
    requests_to(cloud, Server::Web, "")
        .iter()
        .filter(|request| request.query.contains("access_token="))
        .count()
}

fn count_token_requests(cloud: &DemoCloud) -> usize {
    requests_to(cloud, Server::Api, "/oauth/token").len()
}

fn assert_no_secret(cloud: &DemoCloud, text: &str) {
    for secret in secrets_sent(cloud) {
        assert!(!text.contains(&secret), "{text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn listed_url_is_resolved_with_one_request() {
    let cloud = cloud_with(|options| options.signed_url_ttl = Duration::from_secs(600));
    let zoom = zoom(&cloud);
    let files = listed_files_with_cleared_log(&cloud, &zoom).await;
    assert_eq!(files.len(), 32);
    let lease = zoom.lease(demand(&files[0], LeaseEffort::Listed)).await.unwrap();
    assert!(is_signed(&lease), "{lease:?}");
    let seconds_left = lease.expires.unwrap().as_second() - Timestamp::now().as_second();
    assert!((590..=602).contains(&seconds_left), "{seconds_left}");
    let requests = cloud.requests();
    assert_eq!(requests.len(), 1, "{requests:?}");
    assert_eq!(requests[0].range, Some((0, Some(0))));
}

#[tokio::test(flavor = "multi_thread")]
async fn media_host_never_receives_a_credential() {
    let cloud = cloud();
    let zoom = Arc::new(zoom(&cloud));
    let files = listed_files(&zoom).await;
    let leases = LeaseCache::new(zoom.clone());
    let client = Client::new(8).unwrap();
    for file in files.iter().take(6).chain(files.iter().rev().take(6)) {
        let expected = ExpectedFile { total_length: None, body: file.body, validator: None };
        let range = ByteRange { start: 0, end: LENGTH };
        let patience = Duration::from_secs(10);
        let mut stream = RangeStream::new(
            client.clone(),
            leases.slot(&file.id, file.version),
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
    let media = requests_to(&cloud, Server::Media, "");
    assert_eq!(media.len(), 12);
    for request in media {
        assert_eq!(request.header("authorization"), None);
        assert_eq!(request.header("referer"), None);
        assert!(!request.query.contains("token"), "{request:?}");
    }
    assert_eq!(count_query_credentials(&cloud), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn sixteen_leases_renew_an_expired_token_once() {
    let cloud = cloud();
    let zoom = Arc::new(zoom(&cloud));
    let files = listed_files(&zoom).await;
    for round in 2..5 {
        cloud.expire_tokens();
        let leases = files.iter().take(16).map(|file| {
            let (zoom, file) = (zoom.clone(), file.clone());
            tokio::spawn(async move { zoom.lease(demand(&file, LeaseEffort::Listed)).await })
        });
        for lease in leases.collect::<Vec<_>>() {
            assert!(is_signed(&lease.await.unwrap().unwrap()));
        }
        assert_eq!(count_token_requests(&cloud), round);
    }
    assert_eq!(
        requests_to(&cloud, Server::Api, "/meetings/").len(),
        0,
        "the known URLs were sufficient"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn token_is_renewed_before_its_expiry() {
    // The reply states a lifetime of two seconds. The token is renewed a tenth of the lifetime
    // earlier.
    let cloud = cloud_with(|options| options.token_ttl = Duration::from_secs(3));
    let zoom = zoom(&cloud);
    let files = listed_files_with_cleared_log(&cloud, &zoom).await;
    tokio::time::sleep(Duration::from_millis(1850)).await;
    assert!(is_signed(&zoom.lease(demand(&files[0], LeaseEffort::Listed)).await.unwrap()));
    assert_eq!(count_token_requests(&cloud), 1);
    assert_eq!(requests_to(&cloud, Server::Web, "").len(), 1, "the old token was not tried again");
}

#[tokio::test(flavor = "multi_thread")]
async fn error_object_renews_the_token_and_401_retries() {
    let cloud = cloud();
    let zoom = zoom(&cloud);
    let files = listed_files_with_cleared_log(&cloud, &zoom).await;
    cloud.inject(Trigger::next(Server::Web, 1).with_effect(Effect::status(401)));
    assert!(is_signed(&zoom.lease(demand(&files[0], LeaseEffort::Listed)).await.unwrap()));
    assert_eq!((count_token_requests(&cloud), requests_to(&cloud, Server::Web, "").len()), (0, 2));
    cloud.inject(Trigger::next(Server::Web, 1).with_effect(Effect::Json59));
    assert!(is_signed(&zoom.lease(demand(&files[0], LeaseEffort::Listed)).await.unwrap()));
    assert_eq!((count_token_requests(&cloud), requests_to(&cloud, Server::Web, "").len()), (1, 4));
}

#[tokio::test(flavor = "multi_thread")]
async fn fixed_token_serves_until_its_expiry() {
    let cloud = cloud();
    let token = ZoomCredential::Token(cloud.long_lived_token().into());
    let zoom = zoom_with(&cloud, &["me"], token);
    let files = listed_files(&zoom).await;
    cloud.inject(Trigger::next(Server::Web, 1).with_effect(Effect::Json59));
    assert!(is_signed(&zoom.lease(demand(&files[0], LeaseEffort::Listed)).await.unwrap()));
    cloud.expire_tokens();
    let error = zoom.lease(demand(&files[0], LeaseEffort::Listed)).await.unwrap_err();
    assert!(
        error.class() == ErrorClass::Credential && line_with_hint(&error).contains("one hour"),
        "{error:?}"
    );
    assert_no_secret(&cloud, &format!("{error} {error:?}"));
}

#[tokio::test(flavor = "multi_thread")]
async fn meeting_token_replaces_a_refused_account_token() {
    let header =
        AcceptedCredentials { accepts_oauth_bearer: false, ..AcceptedCredentials::default() };
    let cloud = cloud_with(|options| options.accepted_credentials = header);
    let zoom = zoom(&cloud);
    let files = listed_files_with_cleared_log(&cloud, &zoom).await;
    for file in files.iter().take(3).chain(files.iter().rev().take(3)) {
        assert!(is_signed(&zoom.lease(demand(file, LeaseEffort::Listed)).await.unwrap()));
    }
    assert_eq!(requests_to(&cloud, Server::Api, "/meetings/").len(), 6);
    assert_eq!((count_query_credentials(&cloud), count_token_requests(&cloud)), (0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn query_is_the_last_resort_and_remembered() {
    let header = AcceptedCredentials {
        accepts_oauth_bearer: false,
        accepts_download_token_bearer: false,
        accepts_query_token: true,
    };
    let cloud = cloud_with(|options| options.accepted_credentials = header);
    let zoom = zoom(&cloud);
    let files = listed_files_with_cleared_log(&cloud, &zoom).await;
    assert!(is_signed(&zoom.lease(demand(&files[0], LeaseEffort::Listed)).await.unwrap()));
    let shown: Vec<bool> = requests_to(&cloud, Server::Web, "")
        .iter()
        .map(|request| {
            assert_ne!(
                request.header("authorization").is_some(),
                request.query.contains("access_token=")
            );
            request.query.contains("access_token=")
        })
        .collect();
    assert_eq!(shown, [false, false, true]);
    cloud.clear_requests();
    // The token is added to a URL that already has a query.
    let captions = files.last().unwrap();
    assert!(is_signed(&zoom.lease(demand(captions, LeaseEffort::Listed)).await.unwrap()));
    let requests = cloud.requests();
    assert_eq!(requests.len(), 1, "{requests:?}");
    assert!(requests[0].query.starts_with("type=cc&access_token="), "{requests:?}");
    assert!(requests_to(&cloud, Server::Media, "").is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn refused_download_is_reported_without_a_secret() {
    let header = AcceptedCredentials {
        accepts_oauth_bearer: false,
        accepts_download_token_bearer: false,
        accepts_query_token: false,
    };
    let cloud = cloud_with(|options| options.accepted_credentials = header);
    let zoom = zoom(&cloud);
    let files = listed_files(&zoom).await;
    for effort in [LeaseEffort::Listed, LeaseEffort::Renewed, LeaseEffort::LastResort] {
        let error = zoom.lease(demand(&files[0], effort)).await.unwrap_err();
        assert!(
            error.class() == ErrorClass::NotAllowed && line_with_hint(&error).contains("web page"),
            "{error:?}"
        );
        assert_no_secret(&cloud, &format!("{error} {error:?} {:?}", &zoom as &dyn Provider));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn unlisted_file_is_found_through_its_meeting() {
    let cloud = cloud();
    let files = listed_files(&zoom(&cloud)).await;
    let new_client = zoom(&cloud);
    for file in &files {
        let lease = new_client.lease(demand(file, LeaseEffort::Listed)).await.unwrap();
        assert!(is_signed(&lease), "{:?}", file.id);
    }
    let unknown = with_key(&files[0], "no such key");
    assert!(matches!(
        new_client.lease(demand(&unknown, LeaseEffort::Listed)).await,
        Err(error) if error.class() == ErrorClass::NotFound
    ));
    assert!(cloud.remove_meeting(files[0].id.meeting.as_str()));
    assert!(matches!(
        new_client.lease(demand(&files[0], LeaseEffort::Listed)).await,
        Err(error) if error.class() == ErrorClass::NotFound
    ));
}

/// Returns the path of the signed URL of a file.
async fn media_path(zoom: &Zoom, file: &RecordingFile) -> String {
    let lease = zoom.lease(demand(file, LeaseEffort::Listed)).await.unwrap();
    lease.url.expose().path().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn lease_serves_only_its_version() {
    let cloud = cloud();
    let zoom = zoom(&cloud);
    let before = listed_files(&zoom).await.remove(0);
    let old_path = media_path(&zoom, &before).await;
    cloud.change_meeting(before.id.meeting.as_str(), |meeting| {
        meeting.files[0].content = Content::Pattern { seed: 99, length: LENGTH / 2 };
        meeting.files[0].revision += 1;
    });
    // The listed URL still works, so its version is still read.
    assert_eq!(media_path(&zoom, &before).await, old_path);
    let after = listed_files(&zoom).await.into_iter().find(|file| file.id == before.id).unwrap();
    assert_ne!(after.version, before.version);
    assert_ne!(media_path(&zoom, &after).await, old_path);
    for client in [&zoom, &self::zoom(&cloud)] {
        let error = client.lease(demand(&before, LeaseEffort::Listed)).await.unwrap_err();
        assert_eq!(error.class(), ErrorClass::Changed, "{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn deleted_recording_is_not_found() {
    let cloud = cloud();
    let zoom = zoom(&cloud);
    let files = listed_files(&zoom).await;
    assert!(cloud.remove_meeting(files[0].id.meeting.as_str()));
    let error = zoom.lease(demand(&files[0], LeaseEffort::Listed)).await.unwrap_err();
    assert!(error.class() == ErrorClass::NotFound, "{error:?}");
}

fn redirect(location: &str) -> Effect {
    Effect::Status {
        status: 302,
        body: String::new(),
        content_type: "text/plain".into(),
        headers: vec![("location".into(), location.into())],
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn redirect_carries_no_credential_and_stays_within_hosts() {
    let cloud = cloud();
    let zoom = zoom(&cloud);
    let files = listed_files_with_cleared_log(&cloud, &zoom).await;
    cloud.inject(
        Trigger::next(Server::Web, 1).with_effect(redirect("/rec/elsewhere?access_token=echo")),
    );
    cloud.inject(
        Trigger::next(Server::Web, 1).with_path("/rec/elsewhere").with_effect(Effect::Html200),
    );
    assert!(is_signed(&zoom.lease(demand(&files[0], LeaseEffort::Listed)).await.unwrap()));
    let redirected_requests = requests_to(&cloud, Server::Web, "/rec/elsewhere");
    assert_eq!(redirected_requests.len(), 1);
    assert_eq!(
        (redirected_requests[0].header("authorization"), redirected_requests[0].query.as_str()),
        (None, "")
    );

    let foreign_url = "https://evilzoom.us/p4th?Signature=s3cret";
    cloud.inject(Trigger::next(Server::Web, 1).with_effect(redirect(foreign_url)));
    let error = zoom.lease(demand(&files[0], LeaseEffort::Listed)).await.unwrap_err();
    let text = format!("{error} {error:?}");
    assert!(error.class() == ErrorClass::NotAllowed && text.contains("evilzoom.us"), "{text}");
    assert!(!text.contains("p4th") && !text.contains("s3cret"), "{text}");

    let signed_lease = zoom.lease(demand(&files[0], LeaseEffort::Listed)).await.unwrap();
    let url_with_title = format!("{}&title=Réunion#1", signed_lease.url.expose());
    cloud.inject(Trigger::next(Server::Web, 1).with_effect(redirect(&url_with_title)));
    let lease = zoom.lease(demand(&files[0], LeaseEffort::Listed)).await.unwrap();
    assert!(lease.url.expose().as_str().ends_with("&title=R%C3%A9union"), "{lease:?}");

    cloud.inject(Trigger::always(Server::Web).with_effect(redirect("https://[::1")));
    let error = zoom.lease(demand(&files[0], LeaseEffort::Listed)).await.unwrap_err();
    assert_eq!(error.class(), ErrorClass::Unavailable, "{error}");
    assert!(error.to_string().contains("a redirect to an invalid URL"), "{error}");
    cloud.clear_faults();

    cloud.clear_requests();
    cloud.inject(Trigger::always(Server::Web).with_effect(redirect("/rec/again")));
    let error = zoom.lease(demand(&files[0], LeaseEffort::Listed)).await.unwrap_err();
    assert!(error.class() == ErrorClass::NotAllowed, "{error:?}");
    assert_eq!(
        requests_to(&cloud, Server::Web, "").len(),
        3 * 6,
        "three attempts with five redirects each"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn host_that_serves_directly_gets_the_credential() {
    let cloud = cloud();
    let zoom = zoom(&cloud);
    let files = listed_files(&zoom).await;
    cloud.inject(Trigger::next(Server::Web, 1).with_effect(Effect::Status {
        status: 206,
        body: "\0".into(),
        content_type: "video/mp4".into(),
        headers: vec![("content-range".into(), format!("bytes 0-0/{LENGTH}"))],
    }));
    let lease = zoom.lease(demand(&files[0], LeaseEffort::Listed)).await.unwrap();
    assert!(lease.authorization().is_some_and(|value| value.starts_with("Bearer ")));
    assert!(lease.url.expose().path().starts_with("/rec/download/"));
    assert!(
        lease.expires.is_some_and(|expiry| Timestamp::now() < expiry),
        "the lease expires with the token"
    );
    assert_no_secret(&cloud, &format!("{lease:?}"));
}

#[tokio::test(flavor = "multi_thread")]
async fn failing_host_is_retried_and_silent_host_abandoned() {
    let cloud = cloud();
    let zoom = zoom(&cloud);
    let files = listed_files(&zoom).await;
    cloud.inject(Trigger::next(Server::Web, 2).with_effect(Effect::status(503)));
    assert!(is_signed(&zoom.lease(demand(&files[0], LeaseEffort::Listed)).await.unwrap()));
    cloud.inject(Trigger::always(Server::Web).with_effect(Effect::BlackHole));
    let start = Instant::now();
    let error = zoom.lease(demand(&files[0], LeaseEffort::Listed)).await.unwrap_err();
    assert!(error.class() == ErrorClass::Unavailable, "{error:?}");
    assert!(start.elapsed() < Duration::from_secs(17), "{:?}", start.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn requested_last_resort_is_not_remembered() {
    let cloud = cloud();
    let zoom = zoom_with(&cloud, &["me"], app(&cloud));
    let files = listed_files_with_cleared_log(&cloud, &zoom).await;
    assert!(is_signed(&zoom.lease(demand(&files[0], LeaseEffort::LastResort)).await.unwrap()));
    assert_eq!(count_query_credentials(&cloud), 1);
    assert!(is_signed(&zoom.lease(demand(&files[1], LeaseEffort::Listed)).await.unwrap()));
    assert_eq!(count_query_credentials(&cloud), 1, "headers were never refused");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_file_of_an_irregular_archive_is_leased() {
    let cloud = cloud_with(|options| options.archive = Archive::demo());
    let hosts: Vec<String> =
        cloud.meetings().into_iter().map(|meeting| meeting.host_email).collect();
    let users: std::collections::BTreeSet<&str> = hosts.iter().map(String::as_str).collect();
    let zoom = zoom_with(&cloud, &users.into_iter().collect::<Vec<_>>(), app(&cloud));
    let today = jiff::tz::TimeZone::UTC.to_datetime(Timestamp::now()).date();
    let listing =
        zoom.list(DaySpan { from: today.saturating_sub(3.years()), to: today }).await.unwrap();
    let mut listed: Vec<&str> =
        listing.meetings.iter().map(|meeting| meeting.id.as_str()).collect();
    let meetings = cloud.meetings();
    let mut uuids: Vec<&str> = meetings.iter().map(|meeting| meeting.uuid.as_str()).collect();
    listed.sort_unstable();
    uuids.sort_unstable();
    assert_eq!(listed, uuids, "{:?}", listing.failed);

    let files: Vec<&RecordingFile> =
        listing.meetings.iter().flat_map(|meeting| &meeting.files).collect();
    let keys: std::collections::HashSet<&FileId> = files.iter().map(|file| &file.id).collect();
    assert_eq!(keys.len(), files.len());
    let ready: Vec<_> =
        files.into_iter().filter(|file| file.availability == Availability::Ready).collect();
    let own_audio: usize = meetings.iter().map(|meeting| meeting.participant_audio.len()).sum();
    assert_eq!(ready.len(), cloud.objects().len() - own_audio);
    for file in ready {
        assert!(
            is_signed(&zoom.lease(demand(file, LeaseEffort::Listed)).await.unwrap()),
            "{file:?}"
        );
    }
}
