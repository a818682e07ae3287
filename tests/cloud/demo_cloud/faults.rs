//! Tests that each fault appears on the wire as documented.

use std::time::{Duration, Instant};

use meetfs::demo_cloud::{
    Archive, DemoCloud, DemoCloudOptions, Effect, FaultPlan, Object, RetryAfter, Server, Trigger,
    pattern_bytes, pattern_seed,
};

use super::client::{
    Answer, End, api, bearer, download_url, get, get_range, open, receive, send, signed_url,
};

const LENGTH: u64 = 5_000_000;

fn cloud() -> DemoCloud {
    cloud_with(DemoCloudOptions::default())
}

fn cloud_with(options: DemoCloudOptions) -> DemoCloud {
    let archive = Archive::with_pattern_files(&[("one", LENGTH), ("two", LENGTH)]);
    DemoCloud::start(DemoCloudOptions { archive, ..options }).unwrap()
}

fn first_object(cloud: &DemoCloud) -> Object {
    cloud.objects().into_iter().find(|object| object.topic == "one").unwrap()
}

fn bytes(offset: u64, length: usize) -> Vec<u8> {
    let mut out = vec![0; length];
    pattern_bytes(pattern_seed("one"), offset, &mut out);
    out
}

/// Requests 100,000 bytes under an effect, and returns the reply and the logged body bytes.
fn range_reply_with(effect: Effect) -> (Answer, u64) {
    let cloud = cloud();
    let file_url = signed_url(&cloud, &first_object(&cloud));
    cloud.inject(Trigger::next(Server::Media, 1).with_effect(effect));
    let answer = get_range(&file_url, "bytes=1000000-1099999");
    let logged = cloud.requests().pop().unwrap().body_bytes;
    let healthy = get_range(&file_url, "bytes=1000000-1099999");
    assert!(
        healthy.status == 206 && healthy.body == bytes(1_000_000, 100_000),
        "the fault applies to one request"
    );
    (answer, logged)
}

#[test]
fn status_fault_has_body_and_headers() {
    let effect = Effect::Status {
        status: 503,
        body: "later".into(),
        content_type: "text/plain".into(),
        headers: vec![("retry-after".into(), "7".into())],
    };
    let (answer, _) = range_reply_with(effect);
    assert_eq!((answer.status, answer.body.as_slice()), (503, b"later".as_slice()));
    assert_eq!(answer.header("retry-after"), Some("7"));
    assert_eq!(range_reply_with(Effect::status(500)).0.status, 500);
}

#[test]
fn short_body_declares_full_length() {
    let (answer, logged) = range_reply_with(Effect::ShortBody { missing_bytes: 1 });
    assert_eq!((answer.status, answer.end), (206, End::Short));
    assert_eq!(answer.header("content-length"), Some("100000"));
    assert_eq!(answer.body, bytes(1_000_000, 99_999));
    assert_eq!(logged, 99_999);
    let (answer, _) = range_reply_with(Effect::ShortBody { missing_bytes: u64::MAX });
    assert_eq!((answer.status, answer.body.len(), answer.end), (206, 0, End::Short));
}

#[test]
fn reset_comes_after_the_requested_bytes() {
    let (answer, logged) = range_reply_with(Effect::Reset { after_bytes: 40_000 });
    assert_eq!((answer.status, answer.end), (206, End::Reset));
    assert_eq!(answer.body, bytes(1_000_000, 40_000));
    assert_eq!(logged, 40_000);
}

#[test]
fn stall_lasts_until_faults_are_cleared() {
    let (answer, logged) = range_reply_with(Effect::Stall { after_bytes: 40_000 });
    assert_eq!((answer.status, answer.end), (206, End::Silent));
    assert_eq!(answer.body, bytes(1_000_000, 40_000));
    assert_eq!(logged, 40_000);

    let cloud = cloud();
    let file_url = signed_url(&cloud, &first_object(&cloud));
    cloud.inject(Trigger::always(Server::Media).with_effect(Effect::Stall { after_bytes: 10 }));
    let mut socket = open("GET", &file_url, &[("Range", "bytes=0-99")], "");
    let start = Instant::now();
    while cloud.requests().pop().is_none_or(|request| request.body_bytes < 10) {
        assert!(start.elapsed() < Duration::from_secs(10), "ten bytes are sent");
        std::thread::sleep(Duration::from_millis(5));
    }
    assert_eq!(cloud.requests().pop().unwrap().body_bytes, 10);
    cloud.clear_faults();
    let answer = receive(&mut socket, true);
    assert_eq!((answer.end, answer.body), (End::Complete, bytes(0, 100)));
}

#[test]
fn black_hole_never_answers() {
    let cloud = cloud();
    let file_url = signed_url(&cloud, &first_object(&cloud));
    cloud.inject(Trigger::always(Server::Media).with_effect(Effect::BlackHole));
    let answer = get(&file_url);
    assert_eq!((answer.status, answer.end, answer.body.len()), (0, End::Silent, 0));
    assert_eq!(cloud.requests().pop().unwrap().status, 0);
    let mut socket = open("GET", &file_url, &[], "");
    std::thread::sleep(Duration::from_millis(100));
    cloud.clear_faults();
    let answer = receive(&mut socket, true);
    assert_eq!((answer.status, answer.end), (0, End::Short));
    assert_eq!(get_range(&file_url, "bytes=0-0").status, 206);
}

#[test]
fn range_request_can_return_whole_file() {
    let (answer, _) = range_reply_with(Effect::WholeFile);
    assert_eq!((answer.status, answer.header("content-range")), (200, None));
    assert!(answer.body == bytes(0, LENGTH as usize));
}

#[test]
fn wrong_range_is_declared() {
    let (answer, _) = range_reply_with(Effect::WrongRange { shift: -500 });
    assert_eq!(answer.header("content-range"), Some("bytes 999500-1099499/5000000"));
    assert!(answer.status == 206 && answer.body == bytes(999_500, 100_000));
    let (answer, _) = range_reply_with(Effect::WrongRange { shift: i64::MAX });
    assert_eq!(answer.header("content-range"), Some("bytes 4900000-4999999/5000000"));
}

#[test]
fn wrong_total_comes_with_correct_bytes() {
    let (answer, _) = range_reply_with(Effect::WrongTotal { delta: 3 });
    assert_eq!(answer.header("content-range"), Some("bytes 1000000-1099999/5000003"));
    assert!(answer.body == bytes(1_000_000, 100_000));
}

#[test]
fn web_pages_and_json_replace_the_bytes() {
    let (page, _) = range_reply_with(Effect::Html200);
    assert_eq!((page.status, page.header("content-type")), (200, Some("text/html;charset=UTF-8")));
    let (json, _) = range_reply_with(Effect::Json59);
    assert_eq!((json.status, json.body.len()), (200, 59));
    let (reply, _) = range_reply_with(Effect::ExpiredUrl);
    assert_eq!((reply.status, reply.header("content-type")), (403, Some("text/xml")));
}

#[test]
fn expired_token_reply_depends_on_server() {
    let cloud = cloud();
    let url = download_url(&cloud, &first_object(&cloud));
    for server in [Server::Api, Server::Web] {
        cloud.inject(Trigger::next(server, 1).with_effect(Effect::ExpiredToken));
    }
    let refused = api(&cloud, "/users/me");
    assert_eq!((refused.status, refused.code()), (401, Some(124)));
    assert_eq!(api(&cloud, "/users/me").status, 200);
    let (name, value) = bearer(&cloud.long_lived_token());
    assert_eq!(send("GET", &url, &[(name, &value)], "").body.len(), 59);
    assert_eq!(send("GET", &url, &[(name, &value)], "").status, 302);
}

#[test]
fn retry_after_has_every_form() {
    let cloud = cloud();
    let forms = [
        RetryAfter::None,
        RetryAfter::Seconds(3),
        RetryAfter::HttpDate(30),
        RetryAfter::IsoDate(30),
    ];
    let mut values = Vec::new();
    for form in forms {
        cloud.inject(Trigger::next(Server::Api, 1).with_effect(Effect::TooManyRequests(form)));
        let answer = api(&cloud, "/users/me");
        assert_eq!((answer.status, answer.code()), (429, Some(429)));
        let limit = if form == RetryAfter::IsoDate(30) { "Daily-limit" } else { "QPS" };
        assert_eq!(answer.header("x-ratelimit-type"), Some(limit));
        values.push(answer.header("retry-after").map(str::to_owned));
    }
    assert_eq!((values[0].as_deref(), values[1].as_deref()), (None, Some("3")));
    let http = httpdate::parse_http_date(values[2].as_ref().unwrap()).unwrap();
    let ahead = http.duration_since(std::time::SystemTime::now()).unwrap();
    assert!(ahead > Duration::from_secs(20) && ahead <= Duration::from_secs(30));
    let iso: jiff::Timestamp = values[3].as_ref().unwrap().parse().unwrap();
    let ahead = iso.as_second() - jiff::Timestamp::now().as_second();
    assert!((28..=31).contains(&ahead));
}

#[test]
fn latency_delays_the_response() {
    let cloud = cloud();
    cloud.inject(
        Trigger::next(Server::Api, 1).with_effect(Effect::Latency(Duration::from_millis(200))),
    );
    let start = Instant::now();
    assert_eq!(api(&cloud, "/users/me").status, 200);
    assert!(start.elapsed() >= Duration::from_millis(200));
}

#[test]
fn first_byte_latency_applies_to_every_server() {
    let options = DemoCloudOptions {
        first_byte_latency: Duration::from_millis(60),
        ..DemoCloudOptions::default()
    };
    let cloud = cloud_with(options);
    let start = Instant::now();
    get_range(&signed_url(&cloud, &first_object(&cloud)), "bytes=0-0");
    // One response each of the API, the web host and the media host.
    assert!(start.elapsed() >= Duration::from_millis(180));
}

#[test]
fn bandwidth_is_limited_per_connection() {
    let options =
        DemoCloudOptions { bytes_per_second: Some(1_000_000), ..DemoCloudOptions::default() };
    let cloud = cloud_with(options);
    let file_url = signed_url(&cloud, &first_object(&cloud));
    let timed = |ranges: &[&str]| {
        let start = Instant::now();
        std::thread::scope(|scope| {
            for range in ranges {
                scope.spawn(|| assert_eq!(get_range(&file_url, range).body.len(), 200_000));
            }
        });
        start.elapsed()
    };
    assert!(timed(&["bytes=0-199999"]) >= Duration::from_millis(195));
    // In sequence they would take two seconds.
    let together = timed(&["bytes=0-199999"; 10]);
    assert!(together < Duration::from_millis(1500), "{together:?}");
    cloud.inject(Trigger::next(Server::Media, 1).with_effect(Effect::Bandwidth(500_000)));
    assert!(timed(&["bytes=0-199999"]) >= Duration::from_millis(395));
}

#[test]
fn fault_matches_file_offset_and_count() {
    let cloud = cloud();
    let file_url = signed_url(&cloud, &first_object(&cloud));
    let two = cloud.objects().into_iter().find(|object| object.topic == "two").unwrap();
    let other = signed_url(&cloud, &two);
    let trigger = Trigger::next(Server::Media, 1)
        .with_path(&first_object(&cloud).media_path)
        .from_offset(1000)
        .after_requests(1);
    cloud.inject(trigger.with_effect(Effect::status(500)));
    let statuses = [
        get_range(&other, "bytes=2000-2001").status,
        get_range(&file_url, "bytes=0-1").status,
        get_range(&file_url, "bytes=1000-1001").status,
        get_range(&file_url, "bytes=1000-1001").status,
        get_range(&file_url, "bytes=1000-1001").status,
    ];
    assert_eq!(statuses, [206, 206, 206, 500, 206]);
}

#[test]
fn clearing_faults_removes_pending_faults() {
    let cloud = cloud_with(DemoCloudOptions {
        faults: vec![Trigger::always(Server::Api).with_effect(Effect::status(500))],
        ..DemoCloudOptions::default()
    });
    assert_eq!(api(&cloud, "/users/me").status, 500);
    cloud.clear_faults();
    assert_eq!(api(&cloud, "/users/me").status, 200);
}

#[test]
fn seeded_faults_lose_no_bytes() {
    let cloud = cloud();
    let object = first_object(&cloud);
    let mut file_url = signed_url(&cloud, &object);
    FaultPlan::from_seed(11, 30, 40).into_iter().for_each(|fault| cloud.inject(fault));
    let mut wrong = 0;
    for block in 0..25 {
        let (first, last) = (block * 200_000, block * 200_000 + 199_999);
        let expected = format!("bytes {first}-{last}/{LENGTH}");
        loop {
            let answer = get_range(&file_url, &format!("bytes={first}-{last}"));
            let good = answer.status == 206
                && answer.end == End::Complete
                && answer.header("content-range") == Some(expected.as_str());
            if good {
                assert!(answer.body == bytes(first, 200_000));
                break;
            }
            wrong += 1;
            assert!(wrong < 100, "the fault plan does not end");
            let (name, value) = bearer(&cloud.long_lived_token());
            let answer = send("GET", &download_url(&cloud, &object), &[(name, &value)], "");
            if let Some(location) = answer.header("location") {
                file_url = location.to_owned();
            }
        }
    }
    assert!(wrong >= 5, "only {wrong} faults struck");
}
