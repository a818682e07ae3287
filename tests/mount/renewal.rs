//! Tokens and URLs that expire during a read, and download URLs that need their credential in
//! another place.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::support::{COMMAND_TIMEOUT, Rig, text, wait_until};
use meetfs::demo_cloud::{
    AcceptedCredentials, Archive, DemoCloudOptions, Effect, Request, Server, Trigger,
};

const MIB: u64 = 1024 * 1024;

fn rig(options: DemoCloudOptions) -> Rig {
    // With more connections, the files would be read before a token expires.
    let rig = Rig::new(options).with("connections = 8");
    rig.mount();
    rig
}

/// Returns the SHA-256 of each file of the demo cloud, by topic.
fn expected_hashes(rig: &Rig) -> BTreeMap<String, String> {
    rig.cloud.objects().into_iter().map(|object| (object.topic.clone(), object.sha256())).collect()
}

/// Hashes every file `times` times concurrently, and asserts each hash.
fn hash_all(rig: &Rig, times: usize) {
    let expected = expected_hashes(rig);
    let line = format!(
        "for f in acme/*/*/*.mp4; do for i in $(seq {times}); do sha256sum \"$f\" & done; done; wait"
    );
    let output = rig.try_shell(&line, COMMAND_TIMEOUT);
    let hashes = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(hashes.lines().count(), expected.len() * times, "{}\n{}", text(&output), rig.log());
    for line in hashes.lines() {
        let (hash, path) = line.split_once("  ").expect("a hash and a path");
        let topic = path
            .split('/')
            .nth(2)
            .and_then(|directory| directory.rsplit(' ').next())
            .expect("a topic");
        assert_eq!(hash, expected[topic], "{path}\n{}", rig.log());
    }
}

fn requests_to(rig: &Rig, server: Server) -> Vec<Request> {
    rig.cloud.requests().into_iter().filter(|request| request.server == server).collect()
}

fn token_requests(rig: &Rig) -> usize {
    requests_to(rig, Server::Api).iter().filter(|request| request.path == "/oauth/token").count()
}

#[test]
fn expired_token_is_renewed_once_for_sixteen_readers() {
    // Until 16 MiB of a file have been read, only a part of its rest is requested ahead.
    const FILES: [(&str, u64); 4] =
        [("one", 32 * MIB), ("two", 33 * MIB), ("three", 31 * MIB), ("four", 32 * MIB)];
    let rig = rig(DemoCloudOptions {
        archive: Archive::with_pattern_files(&FILES),
        bytes_per_second: Some(2_000_000),
        ..DemoCloudOptions::default()
    });
    std::thread::scope(|scope| {
        let reading = scope.spawn(|| hash_all(&rig, 4));
        wait_until(COMMAND_TIMEOUT, "all four files are being read", || {
            let requests = rig.media_requests();
            rig.cloud.objects().iter().all(|object| {
                requests.iter().any(|request| {
                    request.path == object.media_path && request.body_bytes > MIB / 2
                })
            })
        });
        assert!(rig.media_bytes() < 64 * MIB, "the files are read already: {}", rig.media_bytes());
        rig.cloud.clear_requests();
        rig.cloud.expire_tokens();
        rig.cloud.expire_signed_urls();
        reading.join().expect("readers that get every byte");
    });
    assert_eq!(token_requests(&rig), 1, "{:?}", requests_to(&rig, Server::Api));
    for object in rig.cloud.objects() {
        let requests: Vec<u16> = requests_to(&rig, Server::Web)
            .iter()
            .filter(|request| request.path == object.web_path)
            .map(|request| request.status)
            .collect();
        let granted = requests.iter().filter(|status| **status == 302).count();
        // One additional request is refused because the token has expired.
        assert!(granted == 1 && requests.len() <= 2, "{}: {requests:?}", object.topic);
    }
}

#[test]
fn short_lifetimes_lose_no_byte() {
    let short = Duration::from_secs(2);
    for (signed_url_ttl, token_ttl) in
        [(short, Duration::from_secs(3600)), (Duration::from_secs(7), short)]
    {
        let rig = rig(DemoCloudOptions {
            archive: Archive::with_pattern_files(&[("long", 100 * MIB), ("short", MIB)]),
            bytes_per_second: Some(2_000_000),
            signed_url_ttl,
            token_ttl,
            ..DemoCloudOptions::default()
        });
        hash_all(&rig, 2);
        let first = requests_to(&rig, Server::Media)
            .first()
            .map(|request| request.received_at)
            .expect("a request");
        let last = requests_to(&rig, Server::Media)
            .last()
            .map(|request| request.received_at)
            .expect("a request");
        assert!(last - first > short, "over before anything ended: {:?}", last - first);
    }
}

#[test]
fn sixteen_readers_share_the_refusal_of_a_file() {
    let rig = rig(DemoCloudOptions {
        archive: Archive::with_pattern_files(&[("refused", 5 * MIB)]),
        ..DemoCloudOptions::default()
    });
    // The server is slow enough for all sixteen readers to open the file before the first refusal.
    rig.cloud.inject(
        Trigger::always(Server::Web).with_effect(Effect::Latency(Duration::from_millis(150))),
    );
    rig.cloud.inject(Trigger::always(Server::Web).with_effect(Effect::Html200));
    rig.cloud.clear_requests();
    let output = rig.try_shell(
        "f=\"$(echo acme/*/*/*.mp4)\"; for i in $(seq 16); do LC_ALL=C cat \"$f\" 2>&1 & done; wait",
        COMMAND_TIMEOUT,
    );
    let message = String::from_utf8_lossy(&output.stdout).into_owned();
    // Sixteen programs write into one pipe, so their lines are interleaved.
    assert_eq!(message.matches("Permission denied").count(), 16, "{message}");
    // There are three requests with increasing effort. A reader that comes after the refusal starts
    // again.
    let requests = requests_to(&rig, Server::Web).len();
    assert!(requests <= 3 * 6, "{requests} requests");
}

/// Returns the requests to the web host for each file, in the order of the copies.
fn lease_requests(header: AcceptedCredentials) -> (Rig, Vec<Vec<Request>>) {
    let archive =
        Archive::with_pattern_files(&[("one", MIB), ("two", MIB + 5), ("three", 2 * MIB)]);
    let rig = rig(DemoCloudOptions {
        archive,
        accepted_credentials: header,
        ..DemoCloudOptions::default()
    });
    let mut requests = Vec::new();
    for (topic, hash) in expected_hashes(&rig) {
        rig.cloud.clear_requests();
        let message = rig.shell(&format!("sha256sum < acme/*/*\" {topic}\"/*.mp4"));
        assert!(message.starts_with(&hash), "{topic}: {message}\n{}", rig.log());
        requests.push(requests_to(&rig, Server::Web));
    }
    (rig, requests)
}

fn statuses(requests: &[Request]) -> Vec<u16> {
    requests.iter().map(|request| request.status).collect()
}

#[test]
fn source_token_in_the_header_suffices() {
    let (_rig, requests) = lease_requests(AcceptedCredentials::default());
    for requests in requests {
        assert_eq!(statuses(&requests), [302]);
        assert!(
            requests[0].query.is_empty() && requests[0].header("authorization").is_some(),
            "{requests:?}"
        );
    }
}

#[test]
fn meeting_token_replaces_a_refused_source_token() {
    let header =
        AcceptedCredentials { accepts_oauth_bearer: false, ..AcceptedCredentials::default() };
    let (_rig, requests) = lease_requests(header);
    for requests in requests {
        assert_eq!(requests.last().map(|request| request.status), Some(302));
        assert!(requests.iter().all(|request| request.query.is_empty()), "{requests:?}");
    }
}

#[test]
fn credential_in_the_query_is_the_last_resort() {
    let header = AcceptedCredentials {
        accepts_oauth_bearer: false,
        accepts_download_token_bearer: false,
        accepts_query_token: true,
    };
    let (_rig, requests) = lease_requests(header);
    let (first, others) = requests.split_first().expect("three files");
    let (granted, refused) = first.split_last().expect("a request");
    assert!(granted.query.contains("access_token=") && granted.header("authorization").is_none());
    assert!(
        !refused.is_empty() && refused.iter().all(|request| request.query.is_empty()),
        "{first:?}"
    );
    for requests in others {
        assert_eq!(statuses(requests), [302], "no attempt is refused after the first file");
        assert!(requests[0].header("authorization").is_none());
    }
}

#[test]
fn file_that_accepts_no_credential_is_not_permitted() {
    let header = AcceptedCredentials {
        accepts_oauth_bearer: false,
        accepts_download_token_bearer: false,
        accepts_query_token: false,
    };
    let archive = Archive::with_pattern_files(&[("one", MIB)]);
    let rig = rig(DemoCloudOptions {
        archive,
        accepted_credentials: header,
        ..DemoCloudOptions::default()
    });
    let output = rig.try_shell("LC_ALL=C cat acme/*/*/*.mp4 > /dev/null", COMMAND_TIMEOUT);
    assert!(
        String::from_utf8_lossy(&output.stderr).contains("Permission denied"),
        "{}",
        text(&output)
    );
    let lines: Vec<String> =
        rig.log().lines().filter(|line| line.contains("WARN")).map(Into::into).collect();
    assert_eq!(lines.len(), 1, "one line says why: {lines:?}");
    assert!(lines[0].contains("Zoom refuses this download"), "{lines:?}");
}
