//! A proxy in front of a fast web server. It simulates a slow network with a latency per response
//! and a bandwidth limit per connection.
//!
//! Relays HTTP/1.1 messages with a declared length. Each client connection has one upstream
//! connection. The proxy parses only the end of a head and the length of a body.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio::time::Instant;

/// Number of bytes per write, which take 2.6 ms at 12.5 MB/s. The bytes of a request arrive evenly,
/// and eight connections wake this process only a few thousand times per second.
const SLICE_SIZE: usize = 32 * 1024;

/// Maximum length of a message head.
const MAX_HEAD_SIZE: u64 = 64 * 1024;

/// Maximum delay that a body may catch up on after it fell behind its rate. This compensates for
/// the inaccuracy of a timer, and not for a pause of the reader.
const MAX_LAG: Duration = Duration::from_millis(20);

#[derive(Clone, Copy, Debug)]
pub(crate) struct Network {
    /// Time from the end of a request to the first byte of its response.
    pub(crate) latency: Duration,
    /// Limit on the bytes per second of each connection.
    pub(crate) bytes_per_second: u64,
    /// Limit on the bytes per second of all connections together. They get equal shares of it.
    pub(crate) line_bytes_per_second: Option<u64>,
    /// Number of bytes at the start of each body that are not limited, as with `limit_rate` of
    /// nginx.
    pub(crate) burst_bytes: u64,
    /// Whether 1 % of the requests are reset in the middle of the body, and another 1 % stall.
    pub(crate) is_lossy: bool,
}

/// A fault in the middle of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    Reset,
    Stall,
}

/// Duration of a stall.
const STALL: Duration = Duration::from_secs(5);

impl Network {
    /// Returns the fault of the request with this number. The faults come at fixed numbers, so all
    /// compared programs have the same share of them.
    fn fault_of(self, request: u64) -> Option<Fault> {
        match request % 100 {
            33 if self.is_lossy => Some(Fault::Reset),
            66 if self.is_lossy => Some(Fault::Stall),
            _ => None,
        }
    }
}

/// A line with a limited rate. Each connection waits for one slice at a time, in the order of their
/// requests, so all busy connections get the same share.
#[derive(Debug)]
struct Line {
    bytes_per_second: u64,
    /// The time at which the line has transferred all slices so far.
    free_at: Mutex<Instant>,
}

impl Line {
    fn new(bytes_per_second: u64) -> Self {
        Self { bytes_per_second, free_at: Mutex::new(Instant::now()) }
    }

    /// Waits until the line has transferred `bytes` bytes.
    async fn transfer(&self, bytes: u64) {
        let end = {
            let mut free_at = self.free_at.lock().unwrap_or_else(PoisonError::into_inner);
            let duration = Duration::from_secs_f64(bytes as f64 / self.bytes_per_second as f64);
            *free_at = (*free_at).max(Instant::now() - MAX_LAG) + duration;
            *free_at
        };
        tokio::time::sleep_until(end).await;
    }
}

/// Totals since the start, and the maximum number of concurrent requests since the last count.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Count {
    pub(crate) requests: u64,
    pub(crate) bytes: u64,
    pub(crate) peak: u64,
}

#[derive(Debug, Default)]
struct Counters {
    requests: AtomicU64,
    bytes: AtomicU64,
    active_requests: AtomicU64,
    peak: AtomicU64,
}

/// A running proxy. It ends with the process.
#[derive(Debug)]
pub(crate) struct ThrottledProxy {
    address: SocketAddr,
    counters: Arc<Counters>,
    _runtime: Runtime,
}

impl ThrottledProxy {
    /// Starts a proxy on a free port of 127.0.0.1.
    pub(crate) fn start(upstream: SocketAddr, network: Network) -> io::Result<Self> {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
        let listener = runtime.block_on(TcpListener::bind((Ipv4Addr::LOCALHOST, 0)))?;
        let address = listener.local_addr()?;
        let counters = Arc::new(Counters::default());
        let shared = Arc::clone(&counters);
        let line = network.line_bytes_per_second.map(|rate| Arc::new(Line::new(rate)));
        runtime.spawn(async move {
            loop {
                let Ok((client, _)) = listener.accept().await else {
                    tokio::time::sleep(Duration::from_millis(10)).await;
                    continue;
                };
                let (counters, line) = (Arc::clone(&shared), line.clone());
                tokio::spawn(async move {
                    // A client that closes the connection in the middle of a body has canceled its
                    // read.
                    let _ = relay(client, upstream, (network, line.as_deref()), &counters).await;
                });
            }
        });
        Ok(Self { address, counters, _runtime: runtime })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn count(&self) -> Count {
        let active_requests = self.counters.active_requests.load(Ordering::Relaxed);
        Count {
            requests: self.counters.requests.load(Ordering::Relaxed),
            bytes: self.counters.bytes.load(Ordering::Relaxed),
            peak: self.counters.peak.swap(active_requests, Ordering::Relaxed),
        }
    }
}

/// Counts a request as in progress until it is dropped.
struct ActiveRequest<'a> {
    counters: &'a Counters,
    number: u64,
}

impl<'a> ActiveRequest<'a> {
    fn begin(counters: &'a Counters) -> Self {
        let number = counters.requests.fetch_add(1, Ordering::Relaxed);
        let active_requests = counters.active_requests.fetch_add(1, Ordering::Relaxed) + 1;
        counters.peak.fetch_max(active_requests, Ordering::Relaxed);
        Self { counters, number }
    }
}

impl Drop for ActiveRequest<'_> {
    fn drop(&mut self) {
        self.counters.active_requests.fetch_sub(1, Ordering::Relaxed);
    }
}

async fn relay(
    client: TcpStream,
    upstream: SocketAddr,
    (network, line): (Network, Option<&Line>),
    counters: &Counters,
) -> io::Result<()> {
    client.set_nodelay(true)?;
    let mut client = BufReader::new(client);
    let mut upstream = BufReader::with_capacity(SLICE_SIZE, TcpStream::connect(upstream).await?);
    upstream.get_ref().set_nodelay(true)?;
    while let Some(request) = read_head(&mut client).await? {
        let active_request = ActiveRequest::begin(counters);
        let fault = network.fault_of(active_request.number);
        let send_time = Instant::now() + network.latency;
        upstream.get_mut().write_all(&request).await?;
        let Some(response) = read_head(&mut upstream).await? else { return Ok(()) };
        let length = body_length(&request, &response);
        tokio::time::sleep_until(send_time).await;
        client.get_mut().write_all(&response).await?;
        let is_reusable =
            relay_body(&mut upstream, &mut client, length, (network, line), fault, counters)
                .await?;
        if !is_reusable {
            return Ok(());
        }
    }
    Ok(())
}

/// Reads a message head up to and including its empty line. Returns `None` at the end of the
/// connection.
async fn read_head(source: &mut BufReader<TcpStream>) -> io::Result<Option<Vec<u8>>> {
    let mut head = Vec::new();
    let mut limited = source.take(MAX_HEAD_SIZE);
    loop {
        let line_start = head.len();
        limited.read_until(b'\n', &mut head).await?;
        match head.get(line_start..) {
            Some(b"\r\n") => return Ok(Some(head)),
            Some(line) if line.ends_with(b"\n") => {}
            _ if head.is_empty() => return Ok(None),
            _ => return Err(io::ErrorKind::InvalidData.into()),
        }
    }
}

/// Returns the length of a response body, or `None` if the body ends with the connection.
fn body_length(request: &[u8], response: &[u8]) -> Option<u64> {
    let status = response.split(|byte| *byte == b' ').nth(1);
    if request.starts_with(b"HEAD ") || matches!(status, Some(b"204" | b"304")) {
        return Some(0);
    }
    String::from_utf8_lossy(response).lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse().ok())?
    })
}

/// Relays a body at the limited rate. Returns `false` if the connection cannot be used again.
async fn relay_body(
    source: &mut BufReader<TcpStream>,
    target: &mut BufReader<TcpStream>,
    length: Option<u64>,
    (network, line): (Network, Option<&Line>),
    mut fault: Option<Fault>,
    counters: &Counters,
) -> io::Result<bool> {
    let mut send_time = Instant::now();
    let mut remaining = length.unwrap_or(u64::MAX);
    let fault_at = length.unwrap_or_default() / 2;
    let mut burst_bytes = network.burst_bytes;
    while remaining > 0 {
        if remaining <= fault_at {
            match fault.take() {
                Some(Fault::Reset) => return Ok(false),
                Some(Fault::Stall) => tokio::time::sleep(STALL).await,
                None => {}
            }
        }
        let bytes = source.fill_buf().await?;
        let slice_len = bytes.len().min(usize::try_from(remaining).unwrap_or(usize::MAX));
        let Some(slice) = bytes.get(..slice_len).filter(|slice| !slice.is_empty()) else {
            return Ok(false);
        };
        let limited_bytes = (slice_len as u64).saturating_sub(burst_bytes);
        burst_bytes = burst_bytes.saturating_sub(slice_len as u64);
        let transfer_time =
            Duration::from_secs_f64(limited_bytes as f64 / network.bytes_per_second as f64);
        send_time = send_time.max(Instant::now() - MAX_LAG) + transfer_time;
        tokio::time::sleep_until(send_time).await;
        if let Some(line) = line {
            line.transfer(slice_len as u64).await;
        }
        target.get_mut().write_all(slice).await?;
        counters.bytes.fetch_add(slice_len as u64, Ordering::Relaxed);
        source.consume(slice_len);
        remaining -= slice_len as u64;
    }
    Ok(length.is_some())
}
