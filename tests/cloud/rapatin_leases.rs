//! Tests of the leases of a Rapatin account, over real sockets.

use std::sync::Arc;
use std::time::Duration;

use meetfs::demo_cloud::{Content, DemoCloud, Effect, RapatinStatus, Server, Trigger};
use meetfs::http::{ByteRange, Client, ExpectedFile, Priority, RangeStream, TrafficClass};
use meetfs::model::{Availability, Lease, RecordingFile, line_with_hint};
use meetfs::providers::rapatin::Rapatin;
use meetfs::providers::{ErrorClass, LeaseCache, LeaseEffort, Provider};

use crate::support::leases::{demand, with_key};
use crate::support::rapatin::{
    demo, last_days, login, logins, rapatin, rapatin_with, requests_to, secrets_sent,
};

/// Returns the listed files that can be read, and clears the log of requests.
async fn listed(cloud: &DemoCloud, rapatin: &Rapatin) -> Vec<RecordingFile> {
    let listing = rapatin.list(last_days(5)).await.unwrap();
    let mut files: Vec<_> =
        listing.meetings.into_iter().flat_map(|meeting| meeting.files).collect();
    files.retain(|file| file.availability == Availability::Ready);
    files.sort_by(|one, other| one.id.cmp(&other.id));
    cloud.clear_requests();
    files
}

/// Reads a file with the leases of `leases`.
async fn read(leases: &LeaseCache, file: &RecordingFile) -> Vec<u8> {
    let expected = ExpectedFile { total_length: None, body: file.body, validator: None };
    let range = ByteRange { start: 0, end: u64::from(u32::MAX) };
    let (client, patience) = (Client::new(8).unwrap(), Duration::from_secs(10));
    let mut stream = RangeStream::new(
        client,
        leases.slot(&file.id, file.version),
        range,
        expected,
        (TrafficClass::Bulk, Priority::Demand),
        patience,
    );
    let mut bytes = Vec::new();
    while let Some(piece) = stream.chunk().await.unwrap() {
        bytes.extend_from_slice(&piece);
    }
    bytes
}

fn is_signed(lease: &Lease) -> bool {
    lease.authorization.is_none()
        && lease.url.expose().query().is_some_and(|q| q.contains("Signature="))
}

#[tokio::test(flavor = "multi_thread")]
async fn listed_url_is_resolved_with_one_request() {
    let cloud = demo();
    let client = rapatin(&cloud);
    let files = listed(&cloud, &client).await;
    let lease = client.lease(demand(&files[0], LeaseEffort::Listed)).await.unwrap();
    assert!(is_signed(&lease) && lease.expires.is_some(), "{lease:?}");
    let requests = cloud.requests();
    assert_eq!((requests.len(), requests[0].server, requests[0].status), (1, Server::Web, 302));
}

#[tokio::test(flavor = "multi_thread")]
async fn files_are_exact_and_credentials_stay_at_rapatin() {
    let cloud = demo();
    let client = Arc::new(rapatin_with(&cloud, login(&cloud), &["86666666666"]));
    let files = listed(&cloud, &client).await;
    let objects = cloud.rapatin_objects();
    assert_eq!(files.len(), objects.len());
    let leases = LeaseCache::new(client.clone());
    let mut lengths = Vec::new();
    for file in &files {
        let bytes = read(&leases, file).await;
        let object = objects.iter().find(|object| object.content.slice(0..u64::MAX) == bytes);
        assert!(object.is_some(), "{file:?}");
        lengths.push(bytes.len() as u64);
    }
    let mut truth: Vec<_> = objects.iter().map(|object| object.length).collect();
    lengths.sort_unstable();
    truth.sort_unstable();
    assert_eq!(lengths, truth, "each object once");
    // A stale download URL is renewed by a call with the token.
    cloud.expire_rapatin_urls();
    for file in &files {
        assert!(is_signed(&client.lease(demand(file, LeaseEffort::Listed)).await.unwrap()));
    }
    assert!(!requests_to(&cloud, Server::Rapatin, "/recordings/").is_empty());
    let secrets = secrets_sent(&cloud);
    assert!(secrets.len() > 2);
    let elsewhere = [Server::Web, Server::Media].map(|server| requests_to(&cloud, server, ""));
    assert!(elsewhere.iter().all(|requests| requests.len() >= files.len()));
    for request in elsewhere.iter().flatten() {
        assert_eq!((request.header("authorization"), request.header("referer")), (None, None));
        let report = format!("{request:?}");
        assert!(secrets.iter().all(|secret| !report.contains(secret.as_str())), "{report}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn stale_url_is_renewed() {
    let cloud = demo();
    let client = rapatin(&cloud);
    let files = listed(&cloud, &client).await;
    cloud.expire_rapatin_urls();
    assert!(is_signed(&client.lease(demand(&files[0], LeaseEffort::Listed)).await.unwrap()));
    let statuses: Vec<u16> =
        requests_to(&cloud, Server::Web, "").iter().map(|request| request.status).collect();
    assert_eq!(statuses, [200, 302], "a page, then a redirect");
    assert_eq!(requests_to(&cloud, Server::Rapatin, "").len(), 1);
    // The new URLs serve the other files of the session, too.
    let sibling =
        files.iter().find(|file| file.id.meeting == files[0].id.meeting && file.id != files[0].id);
    assert!(is_signed(&client.lease(demand(sibling.unwrap(), LeaseEffort::Listed)).await.unwrap()));
    assert_eq!(requests_to(&cloud, Server::Rapatin, "").len(), 1);
    // After a refused lease, a new URL is requested, and the known URL is not tried again.
    cloud.clear_requests();
    assert!(is_signed(&client.lease(demand(&files[0], LeaseEffort::Renewed)).await.unwrap()));
    assert_eq!(
        (
            requests_to(&cloud, Server::Rapatin, "").len(),
            requests_to(&cloud, Server::Web, "").len()
        ),
        (1, 1)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn lease_needs_no_listing() {
    let cloud = demo();
    let files = listed(&cloud, &rapatin(&cloud)).await;
    let new_client = rapatin(&cloud);
    for file in &files {
        let lease = new_client.lease(demand(file, LeaseEffort::Listed)).await.unwrap();
        let path = lease.url.expose().path().to_owned();
        let object =
            cloud.rapatin_objects().into_iter().find(|object| object.media_path == path).unwrap();
        assert_eq!(object.meeting_uuid, file.id.meeting.as_str());
    }
    let unknown = with_key(&files[0], "85095598095|MP4|no_such_view");
    assert!(matches!(
        new_client.lease(demand(&unknown, LeaseEffort::Listed)).await,
        Err(error) if error.class() == ErrorClass::NotFound
    ));
}

#[tokio::test(flavor = "multi_thread")]
async fn lease_serves_only_its_version() {
    let cloud = demo();
    let client = rapatin(&cloud);
    let before = listed(&cloud, &client).await.remove(0);
    cloud.change_rapatin_session(before.id.meeting.as_str(), |session| {
        for file in &mut session.files {
            file.content = Content::Pattern { seed: 99, length: 77_000 };
        }
    });
    let after = listed(&cloud, &client).await;
    let after = after.into_iter().find(|file| file.id == before.id).unwrap();
    assert_ne!(after.version, before.version);
    assert!(is_signed(&client.lease(demand(&after, LeaseEffort::Listed)).await.unwrap()));
    let error = client.lease(demand(&before, LeaseEffort::Listed)).await.unwrap_err();
    assert_eq!(error.class(), ErrorClass::Changed, "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn deleted_recording_is_not_found() {
    let cloud = demo();
    let client = rapatin(&cloud);
    let files = listed(&cloud, &client).await;
    let deleted = &files[0];
    cloud.change_rapatin_session(deleted.id.meeting.as_str(), |session| {
        session.status = RapatinStatus::Deleted
    });
    let error = client.lease(demand(deleted, LeaseEffort::Listed)).await.unwrap_err();
    assert!(
        error.class() == ErrorClass::NotFound && line_with_hint(&error).contains("deleted"),
        "{error:?}"
    );
    let vanished = files.iter().find(|file| file.id.meeting != deleted.id.meeting).unwrap();
    assert!(cloud.remove_rapatin_session(vanished.id.meeting.as_str()));
    let error = client.lease(demand(vanished, LeaseEffort::Listed)).await.unwrap_err();
    assert!(error.class() == ErrorClass::NotFound, "{error:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn permanent_refusal_contains_no_secret() {
    let cloud = demo();
    let client = rapatin(&cloud);
    let files = listed(&cloud, &client).await;
    for refusal in [Effect::Html200, Effect::Json59, Effect::status(401)] {
        cloud.inject(Trigger::always(Server::Web).with_effect(refusal.clone()));
        for effort in [LeaseEffort::Listed, LeaseEffort::Renewed, LeaseEffort::LastResort] {
            let error = client.lease(demand(&files[0], effort)).await.unwrap_err();
            let text = format!("{error} {error:?} {:?}", &client as &dyn Provider);
            assert!(error.class() == ErrorClass::NotAllowed, "{refusal:?}: {text}");
            assert!(
                secrets_sent(&cloud).iter().all(|secret| !text.contains(secret.as_str())),
                "{text}"
            );
            assert!(!text.contains("webhook_download"), "{text}");
        }
        cloud.clear_faults();
    }
    assert_eq!(logins(&cloud), 0, "no refusal causes another login");
}

#[tokio::test(flavor = "multi_thread")]
async fn sixteen_leases_with_expired_token_log_in_once() {
    let cloud = demo();
    let client = Arc::new(rapatin(&cloud));
    let files = listed(&cloud, &client).await;
    cloud.expire_rapatin_tokens();
    cloud.expire_rapatin_urls();
    let leases = files.iter().cycle().take(16).map(|file| {
        let (client, file) = (client.clone(), file.clone());
        tokio::spawn(async move { client.lease(demand(&file, LeaseEffort::Listed)).await })
    });
    for lease in leases.collect::<Vec<_>>() {
        assert!(is_signed(&lease.await.unwrap().unwrap()));
    }
    assert_eq!(logins(&cloud), 1);
}
