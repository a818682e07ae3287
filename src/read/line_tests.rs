//! Tests of a sequential reader on simulated lines, in simulated time.
//!
//! The prefetch window and the number of connections must bring a copy near the throughput of the
//! best fixed number of connections, whatever the line is.

use std::collections::HashMap;
use std::io::Write;
use std::sync::{Arc, Weak};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use parking_lot::Mutex;
use tokio::time::Instant;

use super::engine::{Engine, EngineOptions};
use super::observer::Observer;
use super::open_file::OpenFile;
use super::test_support::recording;
use crate::cache::MemoryCache;
use crate::http::{
    BodyPart, Client, FetchError, LeaseSource, Priority, RateLimitedLink, SimulatedHead,
    SimulatedReply, SimulatedRequest, SimulatedServer,
};
use crate::model::{FileId, LastReply, Lease, SecretUrl, Version};

const MIB: u64 = 1 << 20;
const FILE_LENGTH: u64 = 16 << 30;

/// The rate of one connection. With a higher rate, the tests would take longer.
const CONNECTION_RATE: u64 = 2 * MIB;

const ROUND_TRIP: Duration = Duration::from_millis(50);

/// The default of `connections`, and the default memory without the buffers of connections.
const CONNECTIONS: usize = 64;
const MEMORY: u64 = 184 * MIB;

/// Length of the reads of the kernel for a program that copies.
const READ_LENGTH: u32 = 128 * 1024;

/// The bytes of a slice that a server sends at once.
const SLICE: Bytes = Bytes::from_static(&[7; 32 * 1024]);

/// A line between the reader and a server.
#[derive(Clone, Copy, Debug)]
struct Line {
    /// Rate of all connections together. `None` if only each connection is limited.
    shared_rate: Option<u64>,
    /// Number of bytes at the start of each reply that are sent at once.
    burst: u64,
    /// Whether one request in a hundred breaks, and another one stalls for 5 s.
    is_lossy: bool,
    /// The number of a request that stalls for a minute in the middle of its reply.
    stalled_request: Option<u64>,
    /// Maximum number of concurrent requests. The server refuses further ones with status 429.
    max_concurrent_requests: usize,
}

const STEADY: Line = Line {
    shared_rate: None,
    burst: 0,
    is_lossy: false,
    stalled_request: None,
    max_concurrent_requests: usize::MAX,
};

struct Server {
    line: Line,
    shared_link: Option<Arc<RateLimitedLink>>,
    /// Each reply in progress holds a reference, in a guard after its body.
    replies: Arc<()>,
    request_count: std::sync::atomic::AtomicU64,
    /// The reply that stalls, as long as a request receives it.
    stalled_reply: Mutex<Weak<()>>,
}

impl Server {
    fn new(line: Line) -> Arc<Self> {
        let shared_link = line.shared_rate.map(RateLimitedLink::new).map(Arc::new);
        Arc::new(Self {
            line,
            shared_link,
            replies: Arc::default(),
            request_count: 0.into(),
            stalled_reply: Mutex::default(),
        })
    }

    fn body(&self, length: u64, fault: Option<BodyPart>) -> Vec<BodyPart> {
        let connection_link = Arc::new(RateLimitedLink::new(CONNECTION_RATE));
        let slice_length = SLICE.len() as u64;
        let mut parts = Vec::new();
        let mut sent = 0;
        let mut fault = fault;
        while sent < length {
            if sent >= length / 2
                && let Some(fault) = fault.take()
            {
                parts.push(fault);
            }
            let slice = SLICE.slice(..slice_length.min(length - sent) as usize);
            let mut links: Vec<_> = self.shared_link.iter().cloned().collect();
            if sent >= self.line.burst {
                links.push(connection_link.clone());
            }
            sent += slice.len() as u64;
            parts.push(BodyPart::Transmit(slice, links));
        }
        parts.push(BodyPart::Guard(self.replies.clone()));
        parts
    }
}

impl SimulatedServer for Server {
    fn reply(&self, request: &SimulatedRequest<'_>) -> SimulatedReply {
        let number = self.request_count.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let active = Arc::strong_count(&self.replies) - 1;
        if active >= self.line.max_concurrent_requests {
            let head = SimulatedHead::Received { status: 429, headers: Vec::new() };
            return SimulatedReply { delay: ROUND_TRIP, head, body: Vec::new() };
        }
        let (first, last) = request.range.unwrap();
        let last = last.min(FILE_LENGTH - 1);
        let headers = vec![
            ("content-range", format!("bytes {first}-{last}/{FILE_LENGTH}")),
            ("content-length", (last + 1 - first).to_string()),
            ("etag", "\"tag\"".to_owned()),
        ];
        let is_stalled = self.line.stalled_request == Some(number);
        let fault = match number % 100 {
            _ if is_stalled => Some(BodyPart::Pause(Duration::from_secs(60))),
            33 if self.line.is_lossy => Some(BodyPart::Break),
            66 if self.line.is_lossy => Some(BodyPart::Pause(Duration::from_secs(5))),
            _ => None,
        };
        let head = SimulatedHead::Received { status: 206, headers };
        let mut body = self.body(last + 1 - first, fault);
        if is_stalled {
            let reply = Arc::new(());
            *self.stalled_reply.lock() = Arc::downgrade(&reply);
            body.push(BodyPart::Guard(reply));
        }
        SimulatedReply { delay: ROUND_TRIP, head, body }
    }
}

struct NoObserver;

impl Observer for NoObserver {
    fn on_size_found(&self, _id: &FileId, _version: Version, _size: u64) {}

    fn on_reply(&self, _id: &FileId, _version: Version, _reply: &LastReply) {}

    fn last_reply(&self, _id: &FileId, _version: Version) -> Option<LastReply> {
        None
    }

    fn on_content_changed(&self, _id: &FileId) {}
}

/// A lease that does not expire.
struct FixedLease(Arc<Lease>);

#[async_trait]
impl LeaseSource for FixedLease {
    async fn current_lease(&self, _priority: Priority) -> Result<Arc<Lease>, FetchError> {
        Ok(self.0.clone())
    }

    fn report_refused(&self, _lease: &Arc<Lease>) {}

    fn report_served(&self, _lease: &Arc<Lease>) {}

    fn is_error_body(&self, _body: &[u8]) -> bool {
        false
    }
}

/// A program that reads a file from its start.
struct SequentialCopy {
    engine: Arc<Engine>,
    file: Arc<OpenFile>,
    position: u64,
    start: Instant,
}

impl SequentialCopy {
    fn start(server: Arc<Server>, connections: usize) -> Self {
        let engine = Engine::new(EngineOptions {
            client: Client::with_server(connections, server).unwrap(),
            cache: MemoryCache::new(MEMORY),
            disk: None,
            lease_caches: HashMap::new(),
            deadline: Duration::from_secs(30),
            observer: Arc::new(NoObserver),
            runtime: tokio::runtime::Handle::current(),
        });
        let url = SecretUrl::new("https://cdn.example/file".parse().unwrap());
        let lease = Lease { url, authorization: None, expires: None };
        let leases = Arc::new(FixedLease(Arc::new(lease)));
        let file = engine.open_with_leases(&recording(FILE_LENGTH), leases);
        Self { engine, file, position: 0, start: Instant::now() }
    }

    /// Reads until `time` after the start of the copy. Returns the number of bytes so far.
    async fn read_until(&mut self, time: Duration) -> u64 {
        let read_all = async {
            loop {
                let (file, offset) = (&self.file, self.position);
                let bytes = match self.engine.read_from_memory(file, offset, READ_LENGTH) {
                    Some(bytes) => bytes,
                    None => self.engine.read(file, offset, READ_LENGTH).await.unwrap(),
                };
                self.position += bytes.len() as u64;
            }
        };
        let _ = tokio::time::timeout_at(self.start + time, read_all).await;
        self.position
    }
}

/// Returns the bytes that a copy has read after each of `times`.
async fn copy(line: Line, connections: usize, times: &[Duration]) -> Vec<u64> {
    let mut copy = SequentialCopy::start(Server::new(line), connections);
    let mut bytes = Vec::new();
    for time in times {
        bytes.push(copy.read_until(*time).await);
    }
    bytes
}

/// Part of the bytes of the best smaller number of connections that a copy must reach.
const NEAR_THE_BEST: f64 = 0.9;

/// Asserts that a copy with the default number of connections reads nearly as many bytes as with
/// the best smaller number.
async fn assert_near_the_best(name: &str, line: Line) {
    let times = [3, 10, 30, 100].map(|round_trips| ROUND_TRIP * round_trips);
    let bytes = copy(line, CONNECTIONS, &times).await;
    let mut best = vec![0; times.len()];
    for connections in [4, 8, 16, 32] {
        for (best, bytes) in best.iter_mut().zip(copy(line, connections, &times).await) {
            *best = bytes.max(*best);
        }
    }
    let in_mib = |bytes: &[u64]| bytes.iter().map(|bytes| bytes / MIB).collect::<Vec<_>>();
    let _ = writeln!(
        std::io::stderr(),
        "{name}: MiB after 3, 10, 30, 100 round trips: {:?}, with 4 to 32 connections: {:?}",
        in_mib(&bytes),
        in_mib(&best)
    );
    for (index, (bytes, best)) in bytes.iter().zip(&best).enumerate() {
        assert!(
            *bytes as f64 >= *best as f64 * NEAR_THE_BEST,
            "{name}, time {index}: {bytes} and {best}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn copy_uses_all_connections_of_a_steady_line() {
    assert_near_the_best("steady", STEADY).await;
    // The ramp is over, so all connections deliver.
    let times = [ROUND_TRIP * 60, ROUND_TRIP * 100];
    let bytes = copy(STEADY, CONNECTIONS, &times).await;
    let limit = CONNECTION_RATE * CONNECTIONS as u64;
    let reached = (bytes[1] - bytes[0]) as f64 / (times[1] - times[0]).as_secs_f64();
    assert!(reached > limit as f64 * 0.8, "{reached} of {limit}");
}

#[tokio::test(start_paused = true)]
async fn copy_is_near_the_best_on_a_bursty_line() {
    assert_near_the_best("bursty", Line { burst: CONNECTION_RATE, ..STEADY }).await;
}

#[tokio::test(start_paused = true)]
async fn copy_is_near_the_best_on_a_shared_line() {
    assert_near_the_best("shared", Line { shared_rate: Some(12 * MIB), ..STEADY }).await;
}

#[tokio::test(start_paused = true)]
async fn copy_is_near_the_best_on_a_lossy_line() {
    assert_near_the_best("lossy", Line { is_lossy: true, ..STEADY }).await;
}

#[tokio::test(start_paused = true)]
async fn copy_is_near_the_best_with_a_request_limit() {
    assert_near_the_best("quota", Line { max_concurrent_requests: 24, ..STEADY }).await;
}

/// A stalled request that continued would hold a connection, and request its bytes again later.
#[tokio::test(start_paused = true)]
async fn replaced_request_ends_at_once() {
    let server = Server::new(Line { stalled_request: Some(100), ..STEADY });
    let mut copy = SequentialCopy::start(server.clone(), CONNECTIONS);
    let mut time = Duration::ZERO;
    while server.stalled_reply.lock().upgrade().is_none() {
        time += ROUND_TRIP;
        copy.read_until(time).await;
    }
    copy.read_until(time + Duration::from_secs(4)).await;
    assert!(server.stalled_reply.lock().upgrade().is_none());
}
