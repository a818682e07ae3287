//! Tests of valid and invalid range replies. The server sends raw bytes, and a stream returns
//! exactly the bytes of one version of the file, or an error.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use meetfs::http::{
    ByteRange, Client, ExpectedFile, FetchError, LeaseSource, MAX_SKIPPED_BYTES, Priority,
    RangeStream, TrafficClass,
};
use meetfs::model::{BodyKind, Lease, SecretUrl};

const LENGTH: u64 = 100_000;

/// The deadline of a stream. A stream that fails takes this long.
const DEADLINE: Duration = Duration::from_secs(3);

/// A request that the server received.
#[derive(Clone, Debug)]
struct Request {
    /// The number of earlier requests.
    number: usize,
    /// The request line.
    line: String,
    /// The requested bytes, or `None` if the request has no `Range`.
    range: Option<Range<u64>>,
}

/// Sends the raw reply to a request. The server closes the connection after the reply. An error
/// means that the client has closed the connection.
type Script = dyn Fn(&Request, &mut TcpStream) -> std::io::Result<()> + Send + Sync;

/// The name of a kind of reply, and the function that creates it.
type NamedReply = (&'static str, fn(&Request) -> Vec<u8>);

/// Returns the bytes of a version of the file.
fn file(version: u8) -> Vec<u8> {
    (0..LENGTH).map(|at| (at as u8).wrapping_mul(31).wrapping_add(version)).collect()
}

/// Returns a correct reply to a range request, with additional header lines.
fn partial(content: &[u8], request: &Request, lines: &str) -> Vec<u8> {
    let total = content.len() as u64;
    let Some(range) = request.range.clone() else {
        return whole(content, lines);
    };
    if range.start >= total {
        return range_not_satisfiable(total);
    }
    let end = range.end.min(total);
    let body = &content[range.start as usize..end as usize];
    let head = format!(
        "HTTP/1.1 206 Partial Content\r\nContent-Range: bytes {}-{}/{total}\r\nContent-Length: {}\r\n\
         {lines}Connection: close\r\n\r\n",
        range.start,
        end - 1,
        body.len()
    );
    [head.as_bytes(), body].concat()
}

fn whole(content: &[u8], lines: &str) -> Vec<u8> {
    [whole_head(content.len() as u64, lines), content.to_vec()].concat()
}

fn whole_head(length: u64, lines: &str) -> Vec<u8> {
    format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n{lines}Connection: close\r\n\r\n")
        .into_bytes()
}

fn range_not_satisfiable(total: u64) -> Vec<u8> {
    format!(
        "HTTP/1.1 416 Range Not Satisfiable\r\nContent-Range: bytes */{total}\r\n\
         Content-Length: 0\r\nConnection: close\r\n\r\n"
    )
    .into_bytes()
}

/// A server that replies as a script determines. It receives one request per connection.
struct Server {
    url: String,
    requests: Arc<Mutex<Vec<Request>>>,
}

impl Server {
    fn new(script: impl Fn(&Request) -> Vec<u8> + Send + Sync + 'static) -> Self {
        Self::streaming(move |request, socket| socket.write_all(&script(request)))
    }

    /// Starts a server whose script sends its replies in parts.
    fn streaming(
        script: impl Fn(&Request, &mut TcpStream) -> std::io::Result<()> + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let url = format!("http://{}/file", listener.local_addr().expect("an address"));
        let requests = Arc::new(Mutex::new(Vec::new()));
        let script: Arc<Script> = Arc::new(script);
        let log = requests.clone();
        std::thread::spawn(move || {
            for socket in listener.incoming().flatten() {
                let (script, log) = (script.clone(), log.clone());
                std::thread::spawn(move || answer(socket, &*script, &log));
            }
        });
        Self { url, requests }
    }

    fn requests(&self) -> usize {
        self.requests.lock().expect("no panic").len()
    }

    fn stream(&self, range: Range<u64>, expected: ExpectedFile) -> RangeStream {
        self.stream_of(&Client::new(4).expect("a client"), range, expected)
    }

    fn stream_of(&self, client: &Client, range: Range<u64>, expected: ExpectedFile) -> RangeStream {
        let lease = Lease {
            url: SecretUrl::new(self.url.parse().expect("a URL")),
            authorization: None,
            expires: None,
        };
        RangeStream::new(
            client.clone(),
            Arc::new(OneLease(Arc::new(lease))),
            ByteRange { start: range.start, end: range.end },
            expected,
            (TrafficClass::Bulk, Priority::Demand),
            DEADLINE,
        )
    }

    /// Reads the whole file in pieces, each with its own stream, like a copy. The validator of the
    /// first reply is expected in all other replies.
    async fn copy(&self, pieces: &[Range<u64>]) -> Result<Vec<u8>, FetchError> {
        let mut expected = expected_file();
        let mut copy = Vec::new();
        for piece in pieces {
            let mut stream = self.stream(piece.clone(), expected.clone());
            copy.extend_from_slice(&read_all(&mut stream).await?);
            expected.validator = stream.validator().cloned();
        }
        Ok(copy)
    }
}

fn answer(mut socket: TcpStream, script: &Script, log: &Mutex<Vec<Request>>) {
    let mut range = None;
    let mut lines = BufReader::new(socket.try_clone().expect("a socket")).lines();
    let Some(Ok(request_line)) = lines.next() else { return };
    for line in lines.map_while(Result::ok).take_while(|line| !line.is_empty()) {
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("range: bytes=") {
            let (first, last) = value.split_once('-').expect("a range");
            let (first, last): (u64, u64) =
                (first.parse().expect("a number"), last.parse().expect("a number"));
            range = Some(first..last + 1);
        }
    }
    let request = {
        let mut log = log.lock().expect("no panic");
        let request = Request { number: log.len(), line: request_line, range };
        log.push(request.clone());
        request
    };
    // The client may have closed the connection.
    let _ = script(&request, &mut socket);
}

#[derive(Debug)]
struct OneLease(Arc<Lease>);

#[async_trait]
impl LeaseSource for OneLease {
    async fn current_lease(&self, _priority: Priority) -> Result<Arc<Lease>, FetchError> {
        Ok(self.0.clone())
    }

    fn report_refused(&self, _lease: &Arc<Lease>) {}

    fn report_served(&self, _lease: &Arc<Lease>) {}

    fn is_error_body(&self, _body: &[u8]) -> bool {
        false
    }
}

/// Provides leases that end within two seconds. Their URL states the end, in seconds since the
/// epoch.
struct ShortLeases {
    url: String,
    refusals: Arc<AtomicUsize>,
}

#[async_trait]
impl LeaseSource for ShortLeases {
    async fn current_lease(&self, _priority: Priority) -> Result<Arc<Lease>, FetchError> {
        let end = jiff::Timestamp::now().as_second() + 2;
        let url = format!("{}?end={end}", self.url);
        Ok(Arc::new(Lease {
            url: SecretUrl::new(url.parse().expect("a URL")),
            authorization: None,
            expires: Some(jiff::Timestamp::from_second(end).expect("a time")),
        }))
    }

    fn report_refused(&self, _lease: &Arc<Lease>) {
        self.refusals.fetch_add(1, Ordering::Relaxed);
    }

    fn report_served(&self, _lease: &Arc<Lease>) {}

    fn is_error_body(&self, _body: &[u8]) -> bool {
        false
    }
}

async fn read_all(stream: &mut RangeStream) -> Result<Vec<u8>, FetchError> {
    let mut copy = Vec::new();
    while let Some(bytes) = stream.chunk().await? {
        copy.extend_from_slice(&bytes);
    }
    Ok(copy)
}

fn expected_file() -> ExpectedFile {
    ExpectedFile { total_length: Some(LENGTH), body: BodyKind::Opaque, validator: None }
}

const HALVES: [Range<u64>; 2] = [0..50_000, 50_000..LENGTH];

/// Asserts that a copy in two pieces is exact.
async fn assert_exact(server: &Server, description: &str) {
    let copy = server.copy(&HALVES).await;
    assert!(copy.as_ref().is_ok_and(|copy| *copy == file(0)), "{description}: {:?}", copy.err());
}

/// Asserts that a copy in two pieces fails in the second piece, with an error that `is_expected`
/// accepts.
async fn assert_fails(
    server: &Server,
    description: &str,
    is_expected: impl Fn(&FetchError) -> bool,
) {
    match server.copy(&HALVES).await {
        Ok(copy) => panic!("{description}: {} bytes, exact: {}", copy.len(), copy == file(0)),
        Err(error) => assert!(is_expected(&error), "{description}: {error:?}"),
    }
}

fn is_deadline(error: &FetchError) -> bool {
    matches!(error, FetchError::Deadline(_))
}

fn is_changed(error: &FetchError) -> bool {
    matches!(error, FetchError::Changed(_))
}

#[tokio::test]
async fn short_partial_reply_is_continued() {
    let server = Server::new(|request| {
        let short =
            request.range.clone().map(|range| range.start..range.end.min(range.start + 20_000));
        partial(&file(0), &Request { range: short, ..request.clone() }, "ETag: \"a\"\r\n")
    });
    assert_exact(&server, "20,000 bytes per reply").await;
    assert_eq!(server.requests(), 6);
}

#[tokio::test]
async fn reply_of_few_bytes_ends_at_the_deadline() {
    let server = Server::new(|request| {
        let short = request.range.clone().map(|range| range.start..range.start + 1);
        partial(&file(0), &Request { range: short, ..request.clone() }, "ETag: \"a\"\r\n")
    });
    assert_fails(&server, "one byte per reply", is_deadline).await;
    assert!(server.requests() < 40, "{} requests", server.requests());
}

#[tokio::test]
async fn unknown_total_in_content_range_is_accepted() {
    let server = Server::new(|request| {
        let reply = partial(&file(0), request, "ETag: \"a\"\r\n");
        replace(&reply, &format!("/{LENGTH}"), "/*")
    });
    assert_exact(&server, "a-b/*").await;
}

#[tokio::test]
async fn valid_framings_are_accepted() {
    let framings: [NamedReply; 6] = [
        ("equal headers twice", |request| {
            let reply = partial(&file(0), request, "ETag: \"a\"\r\n");
            let length = request.range.clone().map_or(0, |range| range.end - range.start);
            replace(&reply, "ETag", &format!("Content-Length: {length}\r\nETag"))
        }),
        ("HTTP/1.0", |request| {
            replace(&partial(&file(0), request, "ETag: \"a\"\r\n"), "HTTP/1.1", "HTTP/1.0")
        }),
        ("no Content-Length", |request| {
            let length = request.range.clone().map_or(0, |range| range.end - range.start);
            let reply = partial(&file(0), request, "ETag: \"a\"\r\n");
            replace(&reply, &format!("Content-Length: {length}\r\n"), "")
        }),
        ("100 Continue and 103 Early Hints before", |request| {
            let reply = partial(&file(0), request, "ETag: \"a\"\r\n");
            let before =
                b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n";
            [before.as_slice(), &reply].concat()
        }),
        ("chunked with a trailer", |request| chunked(request, "X-Checksum: 1\r\n")),
        ("the whole file in place of a range", |_request| whole(&file(0), "ETag: \"a\"\r\n")),
    ];
    for (description, script) in framings {
        assert_exact(&Server::new(script), description).await;
    }
}

#[tokio::test]
async fn whole_file_without_length_header_must_be_complete() {
    let sent = |content: Vec<u8>| {
        move |_: &Request| {
            let head = b"HTTP/1.1 200 OK\r\nETag: \"a\"\r\nConnection: close\r\n\r\n";
            [head.as_slice(), &content].concat()
        }
    };
    assert_exact(&Server::new(sent(file(0))), "no length").await;
    // Another request for a longer file would transfer the whole file again.
    let longer = Server::new(sent([file(0), vec![0; 10]].concat()));
    assert_fails(&longer, "a longer file", |error| matches!(error, FetchError::Failed(_))).await;
    assert_eq!(longer.requests(), 2);
    let shorter = file(0)[..LENGTH as usize - 1].to_vec();
    assert_fails(&Server::new(sent(shorter)), "a shorter file", is_deadline).await;
}

#[tokio::test]
async fn endless_body_fails_at_the_end_of_the_file() {
    // The body never ends. It is chunked, or ends with the connection.
    for encoding in ["Transfer-Encoding: chunked\r\n", ""] {
        let server = Server::streaming(move |_request, socket| {
            let head = format!("HTTP/1.1 200 OK\r\n{encoding}ETag: \"a\"\r\n\r\n");
            socket.write_all(head.as_bytes())?;
            let mut bytes = file(0);
            loop {
                if encoding.is_empty() {
                    socket.write_all(&bytes)?;
                } else {
                    write!(socket, "{:x}\r\n", bytes.len())?;
                    socket.write_all(&bytes)?;
                    socket.write_all(b"\r\n")?;
                }
                bytes.fill(0);
            }
        });
        let mut stream = server.stream(0..50_000, expected_file());
        let start = Instant::now();
        assert_eq!(read_all(&mut stream).await.unwrap(), file(0)[..50_000], "{encoding}");
        let mut stream = server.stream(50_000..LENGTH, expected_file());
        let error = read_all(&mut stream).await.expect_err("a body without an end");
        assert!(matches!(error, FetchError::Failed(_)), "{encoding}: {error:?}");
        assert!(start.elapsed() < DEADLINE, "{encoding}: {:?}", start.elapsed());
        assert_eq!(server.requests(), 2, "{encoding}");
    }
}

#[tokio::test]
async fn skipped_bytes_do_not_use_up_the_deadline() {
    // The bytes before the range arrive for longer than the deadline.
    let server = Server::streaming(|_request, socket| {
        socket.write_all(&whole_head(LENGTH, ""))?;
        for part in file(0).chunks(LENGTH as usize / 16) {
            std::thread::sleep(DEADLINE / 10);
            socket.write_all(part)?;
        }
        Ok(())
    });
    let mut stream = server.stream(LENGTH - 100..LENGTH, expected_file());
    let start = Instant::now();
    assert_eq!(read_all(&mut stream).await.unwrap(), file(0)[LENGTH as usize - 100..]);
    assert!(start.elapsed() > DEADLINE, "{:?}", start.elapsed());
    assert_eq!(server.requests(), 1);
}

#[tokio::test]
async fn whole_file_can_be_read_in_place_of_a_range() {
    // The first reply breaks off, and the second one begins at the start of the file again.
    for lines in ["ETag: \"a\"\r\n", ""] {
        let server = Server::new(move |request| {
            let mut reply = whole(&file(0), lines);
            reply.truncate(reply.len() - if request.number == 0 { 20_000 } else { 0 });
            reply
        });
        let mut stream = server.stream(70_000..80_000, expected_file());
        stream.open().await.unwrap();
        assert!(stream.sends_whole_file());
        stream.extend_to_whole_file();
        assert!(read_all(&mut stream).await.unwrap() == file(0), "{lines}");
        assert_eq!(server.requests(), 2, "the start of the file needs no request of its own");
    }
}

#[tokio::test]
async fn whole_file_of_another_version_is_not_joined() {
    for (before, after) in [("ETag: \"a\"\r\n", "ETag: \"b\"\r\n"), ("", "")] {
        let server = Server::new(move |request| match request.number {
            0 => {
                let mut reply = whole(&file(0), before);
                reply.truncate(reply.len() - 20_000);
                reply
            }
            _ => whole(&file(1), after),
        });
        let mut stream = server.stream(70_000..80_000, expected_file());
        stream.open().await.unwrap();
        stream.extend_to_whole_file();
        let error = read_all(&mut stream).await.expect_err("another version");
        assert!(is_changed(&error), "{before:?}, then {after:?}: {error:?}");
    }
}

#[tokio::test]
async fn paused_stream_gives_up_its_connection() {
    let server = Server::new(|_request| whole(&file(0), "ETag: \"a\"\r\n"));
    let client = Client::new(1).expect("a client");
    let mut paused = server.stream_of(&client, 70_000..80_000, expected_file());
    paused.open().await.unwrap();
    paused.extend_to_whole_file();
    let end = tokio::sync::Notify::new();
    let pause = paused.pause(end.notified());
    let other = async {
        let mut stream = server.stream_of(&client, 0..LENGTH, expected_file());
        // The paused stream counts as slow after three seconds, which is the deadline of a stream.
        let _first_attempt = stream.open().await;
        let bytes = read_all(&mut stream).await;
        end.notify_one();
        bytes
    };
    let ((), bytes) = tokio::join!(pause, other);
    assert!(bytes.unwrap() == file(0));
    assert!(read_all(&mut paused).await.unwrap() == file(0));
    assert_eq!(server.requests(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn lease_ended_during_a_wait_is_renewed() {
    let server = Server::new(|request| {
        let (_, end) = request.line.split_once("end=").expect("an end");
        let end: i64 = end.split(' ').next().and_then(|end| end.parse().ok()).expect("a number");
        if jiff::Timestamp::now().as_second() >= end {
            return b"HTTP/1.1 403 Forbidden\r\nConnection: close\r\n\r\n".to_vec();
        }
        std::thread::sleep(Duration::from_millis(2200));
        partial(&file(0), request, "ETag: \"a\"\r\n")
    });
    // With a single connection, the second stream waits for the first one.
    let client = Client::new(1).expect("a client");
    let refusals = Arc::<AtomicUsize>::default();
    let read = |range: Range<u64>| {
        let leases = ShortLeases { url: server.url.clone(), refusals: refusals.clone() };
        let range = ByteRange { start: range.start, end: range.end };
        let class = (TrafficClass::Bulk, Priority::Demand);
        let mut stream = RangeStream::new(
            client.clone(),
            Arc::new(leases),
            range,
            expected_file(),
            class,
            4 * DEADLINE,
        );
        async move { read_all(&mut stream).await }
    };
    let [first, second] = HALVES;
    let (first, second) = tokio::join!(read(first), read(second));
    let copy = [first.expect("the first half"), second.expect("the second half")].concat();
    assert!(copy == file(0));
    assert_eq!((refusals.load(Ordering::Relaxed), server.requests()), (0, 2));
}

#[tokio::test]
async fn range_beyond_the_skip_limit_fails_at_once() {
    let total = 2 * MAX_SKIPPED_BYTES;
    let server = Server::streaming(move |_request, socket| {
        socket.write_all(&whole_head(total, "ETag: \"a\"\r\n"))?;
        loop {
            socket.write_all(&file(0))?;
        }
    });
    let expected = ExpectedFile { total_length: Some(total), ..expected_file() };
    let mut stream = server.stream(MAX_SKIPPED_BYTES + 1..MAX_SKIPPED_BYTES + 2, expected);
    let start = Instant::now();
    let error = stream.open().await.expect_err("a range that is too far away");
    assert!(matches!(error, FetchError::RangesIgnored(_)), "{error:?}");
    assert!(start.elapsed() < DEADLINE / 3, "{:?}", start.elapsed());
    assert_eq!(server.requests(), 1);
}

#[tokio::test]
async fn contradictory_headers_return_no_bytes() {
    let contradictions: [(&str, &str); 5] = [
        ("two ranges", "Content-Range: bytes 0-49999/100000\r\n"),
        ("two totals", "Content-Range: bytes 50000-99999/100001\r\n"),
        ("a content coding", "Content-Encoding: identity\r\nContent-Encoding: gzip\r\n"),
        ("a transfer coding", "Transfer-Encoding: gzip, chunked\r\n"),
        ("two lengths", "Content-Length: 59\r\n"),
    ];
    for (description, lines) in contradictions {
        let server = Server::new(move |request| {
            let is_second = request.range.as_ref().is_some_and(|range| range.start > 0);
            let lines = if is_second { lines } else { "" };
            partial(&file(0), request, &format!("ETag: \"a\"\r\n{lines}"))
        });
        assert_fails(&server, description, is_deadline).await;
    }
}

#[tokio::test]
async fn length_is_corrected_only_by_received_bytes() {
    let wrong_lengths: [NamedReply; 5] = [
        ("half of the file, and another end", |request| {
            let is_past_end = request.range.as_ref().is_some_and(|range| range.start >= 50_000);
            match is_past_end {
                true => range_not_satisfiable(LENGTH),
                false => partial(&file(0)[..50_000], request, ""),
            }
        }),
        ("416 of an empty file", |_request| range_not_satisfiable(0)),
        ("416 of a shorter file", |_request| range_not_satisfiable(5)),
        ("half of the total", |request| {
            replace(&partial(&file(0), request, ""), "/100000", "/50000")
        }),
        ("twice the total", |request| {
            replace(&partial(&file(0), request, ""), "/100000", "/200000")
        }),
    ];
    for (description, script) in wrong_lengths {
        assert_fails(&Server::new(script), description, is_deadline).await;
    }
}

#[tokio::test]
async fn range_with_status_200_proves_no_length() {
    let with_status_200 = |request: &Request| {
        replace(&partial(&file(0), request, ""), "206 Partial Content", "200 OK")
    };
    let without_content_range = move |request: &Request| {
        replace(&with_status_200(request), "Content-Range", "X-Content-Range")
    };
    for server in [Server::new(with_status_200), Server::new(without_content_range)] {
        let error = server.copy(std::slice::from_ref(&(0..1))).await.expect_err("no valid reply");
        assert!(is_deadline(&error), "{error:?}");
    }
}

#[tokio::test]
async fn proven_length_is_reported() {
    for (length, name) in [(0, "empty"), (30, "shorter"), (LENGTH + 1, "longer")] {
        let content = move || file(0).into_iter().cycle().take(length as usize).collect::<Vec<_>>();
        let ranges = Server::new(move |request| partial(&content(), request, "ETag: \"a\"\r\n"));
        let no_ranges = Server::new(move |_request| whole(&content(), ""));
        // An empty reply to a range request is not sufficient.
        let no_ranges = (length > 0).then_some(no_ranges);
        for server in std::iter::once(ranges).chain(no_ranges) {
            let error = server.copy(&HALVES).await.expect_err("another length");
            let is_expected = matches!(error, FetchError::WrongTotal { served_length, .. } if served_length == length);
            assert!(is_expected, "{name}: {error:?}");
        }
    }
}

#[tokio::test]
async fn empty_reply_does_not_prove_an_empty_file() {
    let empty_replies: [NamedReply; 3] = [
        ("200 without bytes", |_request| whole(b"", "")),
        ("200 without length and bytes", |_request| {
            b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n".to_vec()
        }),
        ("206 without bytes", |_request| replace(&whole(b"", ""), "200 OK", "206 Partial Content")),
    ];
    for (description, script) in empty_replies {
        assert_fails(&Server::new(script), description, is_deadline).await;
    }
}

#[tokio::test]
async fn alternating_tags_do_not_fail_a_copy() {
    let server = Server::new(|request| {
        let tag = ["\"a\"", "\"b\""][request.number % 2];
        partial(&file(0), request, &format!("ETag: {tag}\r\n"))
    });
    assert_exact(&server, "two alternating tags").await;
}

#[tokio::test]
async fn bytes_of_two_versions_are_never_mixed() {
    // The headers of the first version and of the second version.
    let validators = [
        ("ETag: \"a\"\r\n", "ETag: \"b\"\r\n"),
        ("ETag: \"a\"\r\n", ""),
        ("ETag: \"a\"\r\n", "ETag: W/\"a\"\r\n"),
        ("ETag: W/\"a\"\r\n", "ETag: W/\"a\"\r\n"),
        ("", ""),
        ("", "ETag: \"a\"\r\n"),
        (
            "Last-Modified: Sun, 06 Nov 1994 08:49:37 GMT\r\n",
            "Last-Modified: Mon, 07 Nov 1994 08:49:37 GMT\r\n",
        ),
        ("Last-Modified: Sun, 06 Nov 1994 08:49:37 GMT\r\n", ""),
    ];
    for (before, after) in validators {
        let server = Server::new(move |request| match request.number {
            0 => partial(&file(0), request, before),
            _ => partial(&file(1), request, after),
        });
        assert_fails(&server, &format!("{before:?}, then {after:?}"), is_changed).await;
    }
}

#[tokio::test]
async fn changed_modification_time_fails_a_copy() {
    // The two versions begin with the same 50,000 bytes.
    let server = Server::new(|request| {
        let changed = [&file(0)[..50_000], &file(1)[50_000..]].concat();
        match request.number {
            0 => partial(&file(0), request, "Last-Modified: Sun, 06 Nov 1994 08:49:37 GMT\r\n"),
            _ => partial(&changed, request, "Last-Modified: Mon, 07 Nov 1994 08:49:37 GMT\r\n"),
        }
    });
    assert_fails(&server, "another modification time", is_changed).await;
}

#[tokio::test]
async fn server_without_validators_serves_an_exact_copy() {
    let server = Server::new(|request| partial(&file(0), request, ""));
    assert_exact(&server, "no validator").await;
    // The second half needs one more request, for the start of the file.
    assert_eq!(server.requests(), 3);
    let backwards = [50_000..LENGTH, 0..50_000];
    let copy = server.copy(&backwards).await.expect("a copy");
    assert_eq!(copy, [&file(0)[50_000..], &file(0)[..50_000]].concat());
}

#[tokio::test]
async fn resumed_body_of_another_version_fails() {
    // The first reply breaks off in the middle, and the file changes.
    for lines in ["ETag: \"a\"\r\n", ""] {
        let server = Server::new(move |request| match request.number {
            0 => {
                let mut reply = partial(&file(0), request, lines);
                reply.truncate(reply.len() - 20_000);
                reply
            }
            _ => partial(&file(1), request, &lines.replace('a', "b")),
        });
        assert_fails(&server, lines, is_changed).await;
    }
}

#[tokio::test]
async fn html_page_is_not_a_file() {
    let server = Server::new(|request| {
        let mut page = b"\r\n<!DOCTYPE html><html><body>Sign in</body></html>".to_vec();
        page.resize(LENGTH as usize, b' ');
        partial(&page, request, "ETag: \"a\"\r\nContent-Type: video/mp4\r\n")
    });
    assert_fails(&server, "a page", |error| matches!(error, FetchError::NotTheFile(_))).await;
}

/// Replaces a part of the head.
fn replace(reply: &[u8], from: &str, to: &str) -> Vec<u8> {
    let end = reply.windows(4).position(|window| window == b"\r\n\r\n").expect("a head");
    let head = String::from_utf8_lossy(&reply[..end]).replace(from, to);
    [head.as_bytes(), &reply[end..]].concat()
}

/// Returns a chunked reply to a range request.
fn chunked(request: &Request, trailer: &str) -> Vec<u8> {
    let range = request.range.clone().unwrap_or(0..LENGTH);
    let mut reply = format!(
        "HTTP/1.1 206 Partial Content\r\nContent-Range: bytes {}-{}/{LENGTH}\r\nETag: \"a\"\r\n\
         Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n",
        range.start,
        range.end - 1
    )
    .into_bytes();
    let mut chunks: VecDeque<Vec<u8>> =
        file(0)[range.start as usize..range.end as usize].chunks(999).map(<[u8]>::to_vec).collect();
    while let Some(chunk) = chunks.pop_front() {
        reply.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
        reply.extend_from_slice(&chunk);
        reply.extend_from_slice(b"\r\n");
    }
    reply.extend_from_slice(format!("0\r\n{trailer}\r\n").as_bytes());
    reply
}
