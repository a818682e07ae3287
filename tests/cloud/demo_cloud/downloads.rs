//! Tests of download URLs and signed URLs.

use std::collections::HashSet;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::thread::sleep;
use std::time::Duration;

use base64::Engine;
use meetfs::demo_cloud::{
    AcceptedCredentials, Archive, Content, DemoCloud, DemoCloudOptions, Object, PATTERN_HEAD,
    Server, pattern_bytes, pattern_seed,
};

use super::client::{Answer, End, api, bearer, download_url, get, get_range, send, signed_url};

fn demo() -> DemoCloud {
    DemoCloud::start(DemoCloudOptions { archive: Archive::demo(), ..DemoCloudOptions::default() })
        .unwrap()
}

fn object(cloud: &DemoCloud, topic: &str, file_type: &str) -> Object {
    let found = cloud.objects().into_iter().find(|o| o.topic == topic && o.file_type == file_type);
    found.unwrap()
}

fn video(cloud: &DemoCloud) -> Object {
    object(cloud, "Weekly planning", "MP4")
}

fn is_password_page(answer: &Answer) -> bool {
    answer.status == 200
        && answer.header("content-type").unwrap().starts_with("text/html")
        && String::from_utf8_lossy(&answer.body).contains("Password Required - Zoom")
}

fn is_forbidden_json(answer: &Answer) -> bool {
    answer.status == 200
        && answer.header("content-type").unwrap().starts_with("application/json")
        && answer.body.len() == 59
        && answer.body == br#"{"status":false,"errorCode":124,"errorMessage":"Forbidden"}"#
}

#[test]
fn every_object_downloads_completely() {
    let cloud = demo();
    let mut types = HashSet::new();
    for object in cloud.objects() {
        let answer = get(&signed_url(&cloud, &object));
        assert_eq!((answer.status, answer.end), (200, End::Complete), "{object:?}");
        assert_eq!(answer.body, object.content.slice(0..object.length), "{}", object.topic);
        types.insert((object.file_type.clone(), answer.header("content-type").unwrap().to_owned()));
    }
    let expected = [
        ("MP4", "video/mp4"),
        ("M4A", "audio/mp4"),
        ("TRANSCRIPT", "text/vtt"),
        ("CC", "text/vtt"),
        ("CHAT", "text/plain"),
        ("CSV", "text/csv"),
        ("TB", "image/jpeg"),
        ("TIMELINE", "application/json"),
        ("SUMMARY", "application/json"),
        ("CHAT_MESSAGE", "application/json"),
        ("WHITEBOARD_X", "application/octet-stream"),
    ];
    assert_eq!(types, expected.map(|(kind, mime)| (kind.to_owned(), mime.to_owned())).into());
}

#[test]
fn external_file_redirects_with_a_signature() {
    let mut archive = Archive::with_pattern_files(&[("Elsewhere", 100)]);
    for file in archive.meetings.iter_mut().flat_map(|meeting| &mut meeting.files) {
        let origin = "http://127.0.0.1:9".to_owned();
        file.content = Content::External { origin, path: "/a%20film.mp4".into(), length: 100 };
    }
    let cloud =
        DemoCloud::start(DemoCloudOptions { archive, ..DemoCloudOptions::default() }).unwrap();
    let object = object(&cloud, "Elsewhere", "MP4");
    assert_eq!((object.length, object.content.slice(0..100).len()), (100, 0));
    let file_url = signed_url(&cloud, &object);
    assert!(
        file_url.starts_with("http://127.0.0.1:9/a%20film.mp4?")
            && file_url.contains("&Signature="),
        "{file_url}"
    );
}

#[test]
fn download_url_redirects_to_an_expiring_signed_url() {
    let cloud = demo();
    let file_url = signed_url(&cloud, &video(&cloud));
    assert_ne!(file_url, signed_url(&cloud, &video(&cloud)), "each redirect has a new signed URL");
    let origin = |url: &str| url.split('/').nth(2).unwrap().to_owned();
    let hosts = [
        origin(&cloud.api_url()),
        origin(&download_url(&cloud, &video(&cloud))),
        origin(&file_url),
    ];
    assert_eq!(HashSet::from(hosts).len(), 3);
    let (_, query) = file_url.split_once('?').unwrap();
    let parameter = |name: &str| query.split('&').find_map(|part| part.strip_prefix(name)).unwrap();
    assert!(!parameter("Signature=").is_empty() && !parameter("Key-Pair-Id=").is_empty());
    let policy = parameter("Policy=").replace('-', "+").replace('_', "=").replace('~', "/");
    let policy = base64::engine::general_purpose::STANDARD.decode(policy).unwrap();
    let policy: serde_json::Value = serde_json::from_slice(&policy).unwrap();
    let expiry =
        policy["Statement"][0]["Condition"]["DateLessThan"]["AWS:EpochTime"].as_i64().unwrap();
    let seconds_left = expiry - jiff::Timestamp::now().as_second();
    assert!((3590..=3601).contains(&seconds_left), "{seconds_left}");
}

#[test]
fn redirect_ignores_ranges() {
    let cloud = demo();
    let (name, value) = bearer(&cloud.long_lived_token());
    let url = download_url(&cloud, &video(&cloud));
    let answer = send("GET", &url, &[(name, &value), ("Range", "bytes=0-0")], "");
    assert_eq!((answer.status, answer.header("content-range")), (302, None));
}

#[test]
fn invalid_credential_returns_a_page_with_200() {
    let cloud = demo();
    let url = download_url(&cloud, &video(&cloud));
    assert!(is_password_page(&get(&url)));
    assert!(is_password_page(&send("GET", &url, &[("Authorization", "Bearer never-issued")], "")));
    let (name, value) = bearer(&cloud.long_lived_token());
    let deleted = format!("{url}x");
    assert!(is_password_page(&send("GET", &deleted, &[(name, &value)], "")));
}

#[test]
fn expired_token_returns_59_bytes_with_200() {
    let cloud = demo();
    let url = download_url(&cloud, &video(&cloud));
    let (name, value) = bearer(&cloud.long_lived_token());
    cloud.expire_tokens();
    assert!(is_forbidden_json(&send("GET", &url, &[(name, &value)], "")));
}

#[test]
fn download_access_token_is_bound_to_its_meeting() {
    let cloud = demo();
    let object = video(&cloud);
    let path = format!(
        "/meetings/{}/recordings?include_fields=download_access_token&ttl=1",
        object.meeting_uuid
    );
    let token = api(&cloud, &path).json()["download_access_token"].as_str().unwrap().to_owned();
    let (name, value) = bearer(&token);
    let ask = |url: &str| send("GET", url, &[(name, &value)], "");
    assert_eq!(ask(&download_url(&cloud, &object)).status, 302);
    let other = cloud
        .objects()
        .into_iter()
        .find(|other| other.meeting_uuid != object.meeting_uuid)
        .unwrap();
    assert!(is_password_page(&ask(&download_url(&cloud, &other))));
    assert_eq!(ask(&format!("{}/users/me", cloud.api_url())).status, 401);
    sleep(Duration::from_millis(1050));
    assert!(is_forbidden_json(&ask(&download_url(&cloud, &object))));
}

#[test]
fn download_url_accepts_configured_credentials() {
    let none = AcceptedCredentials {
        accepts_oauth_bearer: false,
        accepts_download_token_bearer: false,
        accepts_query_token: false,
    };
    let settings = [
        AcceptedCredentials { accepts_oauth_bearer: true, ..none },
        AcceptedCredentials { accepts_download_token_bearer: true, ..none },
        AcceptedCredentials { accepts_query_token: true, ..none },
        AcceptedCredentials::default(),
    ];
    let taken: Vec<[bool; 3]> = settings.into_iter().map(accepted_credentials).collect();
    assert_eq!(
        taken,
        [[true, false, false], [false, true, false], [false, false, true], [true, true, true]]
    );
}

/// Whether a URL accepts the OAuth token and the meeting's token in the header, and a token in the
/// query.
fn accepted_credentials(accepted_credentials: AcceptedCredentials) -> [bool; 3] {
    let options = DemoCloudOptions {
        archive: Archive::demo(),
        accepted_credentials,
        ..DemoCloudOptions::default()
    };
    let cloud = DemoCloud::start(options).unwrap();
    let object = object(&cloud, "Q&A / plan: été", "CC");
    let path = format!(
        "/meetings/{}/recordings?include_fields=download_access_token",
        object.meeting_uuid
    );
    let of_meeting =
        api(&cloud, &path).json()["download_access_token"].as_str().unwrap().to_owned();
    let url = download_url(&cloud, &object);
    assert!(url.ends_with("?type=cc"));
    let in_header = |token: &str| {
        let (name, value) = bearer(token);
        send("GET", &url, &[(name, &value)], "").status == 302
    };
    let in_query = get(&format!("{url}&access_token={}", cloud.long_lived_token())).status == 302;
    [in_header(&cloud.long_lived_token()), in_header(&of_meeting), in_query]
}

#[test]
fn signed_url_rejects_credentials_and_referers() {
    let cloud = demo();
    let file_url = signed_url(&cloud, &video(&cloud));
    for header in [("Authorization", "Bearer x"), ("Referer", "http://127.0.0.1/")] {
        assert_eq!(send("GET", &file_url, &[header], "").status, 400, "{header:?}");
    }
    let last = cloud.requests().pop().unwrap();
    assert_eq!((last.server, last.status), (Server::Media, 400));
    assert_eq!(last.header("referer"), Some("http://127.0.0.1/"));
}

#[test]
fn signature_is_bound_to_its_path() {
    let cloud = demo();
    let file_url = signed_url(&cloud, &video(&cloud));
    let other = object(&cloud, "Q&A / plan: été", "MP4");
    let forged = [
        file_url.replace(&video(&cloud).media_path, &other.media_path),
        file_url.replace("Signature=", "Signature=A"),
        file_url.replace("Policy=", "Policy=A"),
        file_url.split('?').next().unwrap().to_owned(),
    ];
    for url in forged {
        let answer = get(&url);
        assert_eq!(
            (answer.status, answer.header("content-type")),
            (403, Some("text/xml")),
            "{url}"
        );
    }
    assert_eq!(get(&file_url).status, 200);
}

#[test]
fn signed_urls_expire_by_ttl_or_command() {
    let options = DemoCloudOptions {
        archive: Archive::demo(),
        signed_url_ttl: Duration::from_millis(500),
        ..DemoCloudOptions::default()
    };
    let cloud = DemoCloud::start(options).unwrap();
    let file_url = signed_url(&cloud, &video(&cloud));
    assert_eq!(get_range(&file_url, "bytes=0-0").status, 206);
    // The expiry is rounded up to the full second.
    sleep(Duration::from_millis(1600));
    assert_eq!(get_range(&file_url, "bytes=0-0").status, 403);

    let cloud = demo();
    let file_url = signed_url(&cloud, &video(&cloud));
    cloud.expire_signed_urls();
    assert_eq!(get_range(&file_url, "bytes=0-0").status, 403);
    assert_eq!(get_range(&signed_url(&cloud, &video(&cloud)), "bytes=0-0").status, 206);
}

#[test]
fn requested_ranges_are_served() {
    let cloud = demo();
    let object = video(&cloud);
    let file_url = signed_url(&cloud, &object);
    let total = object.length;
    for (range, start, end) in [
        ("bytes=0-0".to_owned(), 0, 1),
        ("bytes=1000-1999".to_owned(), 1000, 2000),
        (format!("bytes={}-", total - 5), total - 5, total),
        (format!("bytes=10-{}", total * 2), 10, total),
        ("bytes=-100".to_owned(), total - 100, total),
    ] {
        let answer = get_range(&file_url, &range);
        assert_eq!((answer.status, answer.end), (206, End::Complete), "{range}");
        let stated = format!("bytes {start}-{}/{total}", end - 1);
        assert_eq!(answer.header("content-range"), Some(stated.as_str()));
        assert_eq!(answer.body, object.content.slice(start..end), "{range}");
    }
    let reply_past_the_end = get_range(&file_url, &format!("bytes={total}-"));
    let stated = format!("bytes */{total}");
    assert_eq!(
        (reply_past_the_end.status, reply_past_the_end.header("content-range")),
        (416, Some(stated.as_str()))
    );
    assert_eq!(get_range(&file_url, "bytes=0-1,4-5").status, 200);
}

#[test]
fn validators_identify_content() {
    let cloud = demo();
    let object = video(&cloud);
    let validators = || {
        let answer = get_range(&signed_url(&cloud, &object), "bytes=0-0");
        ["etag", "last-modified"].map(|name| answer.header(name).unwrap().to_owned())
    };
    let [etag, modified] = validators();
    assert_eq!(validators(), [etag.clone(), modified]);
    let file_url = signed_url(&cloud, &object);
    let if_range = |value: &str| {
        send("GET", &file_url, &[("Range", "bytes=0-0"), ("If-Range", value)], "").status
    };
    assert_eq!((if_range(&etag), if_range("\"other\"")), (206, 200));
    cloud.change_meeting(&object.meeting_uuid, |meeting| {
        for file in &mut meeting.files {
            file.content = Content::Stored("changed".into());
        }
    });
    assert_ne!(validators()[0], etag);
}

#[test]
fn head_returns_length_without_body() {
    let cloud = demo();
    let object = video(&cloud);
    let answer = send("HEAD", &signed_url(&cloud, &object), &[], "");
    assert_eq!((answer.status, answer.body.len()), (200, 0));
    assert_eq!(answer.header("content-length"), Some(object.length.to_string().as_str()));
}

#[test]
fn pattern_file_matches_the_pattern_at_any_offset() {
    let length = 3_000_000_000_000;
    let archive = Archive::with_pattern_files(&[("big", length), ("small", 10)]);
    let cloud =
        DemoCloud::start(DemoCloudOptions { archive, ..DemoCloudOptions::default() }).unwrap();
    let object = object(&cloud, "big", "MP4");
    assert_eq!(object.length, length);
    let file_url = signed_url(&cloud, &object);
    for offset in [0, 5, 12_345_678_901, length - 300_000] {
        let mut expected = vec![0; 300_000];
        pattern_bytes(pattern_seed("big"), offset, &mut expected);
        let answer = get_range(&file_url, &format!("bytes={offset}-{}", offset + 299_999));
        assert!(answer.status == 206 && answer.body == expected, "at {offset}");
    }
    assert!(get_range(&file_url, "bytes=0-99").body.starts_with(&PATTERN_HEAD));
}

#[test]
fn log_records_requests_and_bytes_sent() {
    let cloud = demo();
    let object = video(&cloud);
    let file_url = signed_url(&cloud, &object);
    cloud.clear_requests();
    get_range(&file_url, "bytes=100-299");
    let requests = cloud.requests();
    let [request] = requests.as_slice() else { panic!("{requests:?}") };
    assert_eq!(
        (request.server, request.method.as_str(), request.status),
        (Server::Media, "GET", 206)
    );
    assert_eq!((request.range, request.body_bytes), (Some((100, Some(299))), 200));
    assert_eq!(request.path, object.media_path);
    assert!(request.query.contains("Policy="));
    assert_eq!(request.header("range"), Some("bytes=100-299"));
    let summary = get(&cloud.summary_url()).json();
    assert_eq!((&summary["media_requests"], &summary["media_bytes"]), (&1.into(), &200.into()));
}

#[test]
fn connection_serves_consecutive_requests() {
    let cloud = demo();
    let object = video(&cloud);
    let file_url = signed_url(&cloud, &object);
    cloud.clear_requests();
    let rest = file_url.strip_prefix("http://").unwrap();
    let (authority, path) = rest.split_once('/').unwrap();
    let mut socket = TcpStream::connect(authority).unwrap();
    for first in [0, 70_000, 140_000] {
        let range = format!("bytes={first}-{}", first + 69_999);
        write!(socket, "GET /{path} HTTP/1.1\r\nHost: {authority}\r\nRange: {range}\r\n\r\n")
            .unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            socket.read_exact(&mut byte).unwrap();
            head.extend(byte);
        }
        let mut body = vec![0; 70_000];
        socket.read_exact(&mut body).unwrap();
        assert_eq!(body, object.content.slice(first..first + 70_000));
    }
    let bytes: Vec<u64> = cloud.requests().iter().map(|request| request.body_bytes).collect();
    assert_eq!(bytes, [70_000; 3]);
}

#[test]
fn drop_inside_a_runtime_closes_the_ports() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let authority = runtime.block_on(async {
        let cloud = demo();
        assert_eq!(api(&cloud, "/users/me").status, 200);
        cloud.api_url().split('/').nth(2).unwrap().to_owned()
    });
    assert!(TcpStream::connect(authority).is_err());
}
