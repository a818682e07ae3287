//! A proxy that simulates a slow network in proxy of a fast web server: latency per response and a
//! bandwidth limit per connection.
//!
//! Relays HTTP/1.1 messages with a declared length over one upstream connection per client
//! connection. It parses only where a head ends and how long the body is.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio::time::Instant;

/// Bytes per write: 2.6 ms at 12.5 MB/s. Arrival is smooth at the scale of a request, and eight
/// connections wake this process only a few thousand times per second.
const SLICE: usize = 32 * 1024;

/// Maximum length of a head.
const HEAD: u64 = 64 * 1024;

/// How far a body may fall behind its rate and still catch up: the inaccuracy of a timer, not a
/// reader's pause.
const MAX_LAG: Duration = Duration::from_millis(20);

#[derive(Clone, Copy, Debug)]
pub(crate) struct Network {
    /// From the end of a request to the first byte of its response.
    pub(crate) latency: Duration,
    /// Per connection.
    pub(crate) bytes_per_second: u64,
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
    answering: AtomicU64,
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
    /// Listens on a free port of 127.0.0.1.
    pub(crate) fn start(upstream: SocketAddr, line: Network) -> io::Result<Self> {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
        let listener = runtime.block_on(TcpListener::bind((Ipv4Addr::LOCALHOST, 0)))?;
        let address = listener.local_addr()?;
        let counters = Arc::new(Counters::default());
        let shared = Arc::clone(&counters);
        runtime.spawn(async move {
            loop {
                let Ok((client, _)) = listener.accept().await else {
                    tokio::time::sleep(Duration::from_millis(10)).await;
                    continue;
                };
                let counters = Arc::clone(&shared);
                tokio::spawn(async move {
                    // A client that closes in the middle of a body has canceled its read.
                    let _ = relay(client, upstream, line, &counters).await;
                });
            }
        });
        Ok(Self { address, counters, _runtime: runtime })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn count(&self) -> Count {
        let answering = self.counters.answering.load(Ordering::Relaxed);
        Count {
            requests: self.counters.requests.load(Ordering::Relaxed),
            bytes: self.counters.bytes.load(Ordering::Relaxed),
            peak: self.counters.peak.swap(answering, Ordering::Relaxed),
        }
    }
}

/// A request in progress, until dropped.
struct Answering<'a>(&'a Counters);

impl<'a> Answering<'a> {
    fn begin(counters: &'a Counters) -> Self {
        counters.requests.fetch_add(1, Ordering::Relaxed);
        let now = counters.answering.fetch_add(1, Ordering::Relaxed) + 1;
        counters.peak.fetch_max(now, Ordering::Relaxed);
        Self(counters)
    }
}

impl Drop for Answering<'_> {
    fn drop(&mut self) {
        self.0.answering.fetch_sub(1, Ordering::Relaxed);
    }
}

async fn relay(
    client: TcpStream,
    upstream: SocketAddr,
    line: Network,
    counters: &Counters,
) -> io::Result<()> {
    client.set_nodelay(true)?;
    let mut client = BufReader::new(client);
    let mut upstream = BufReader::with_capacity(SLICE, TcpStream::connect(upstream).await?);
    upstream.get_ref().set_nodelay(true)?;
    while let Some(request) = head(&mut client).await? {
        let _answering = Answering::begin(counters);
        let due = Instant::now() + line.latency;
        upstream.get_mut().write_all(&request).await?;
        let Some(answer) = head(&mut upstream).await? else { return Ok(()) };
        let length = body_length(&request, &answer);
        tokio::time::sleep_until(due).await;
        client.get_mut().write_all(&answer).await?;
        let whole = body(&mut upstream, &mut client, length, line, counters).await?;
        if !whole {
            return Ok(());
        }
    }
    Ok(())
}

/// Returns a head with the empty line that ends it; `None` at the end of the connection.
async fn head(from: &mut BufReader<TcpStream>) -> io::Result<Option<Vec<u8>>> {
    let mut head = Vec::new();
    let mut limited = from.take(HEAD);
    loop {
        let before = head.len();
        limited.read_until(b'\n', &mut head).await?;
        match head.get(before..) {
            Some(b"\r\n") => return Ok(Some(head)),
            Some(line) if line.ends_with(b"\n") => {}
            _ if head.is_empty() => return Ok(None),
            _ => return Err(io::ErrorKind::InvalidData.into()),
        }
    }
}

/// Returns the length of a response body; `None` if it ends with the connection.
fn body_length(request: &[u8], answer: &[u8]) -> Option<u64> {
    let status = answer.split(|byte| *byte == b' ').nth(1);
    if request.starts_with(b"HEAD ") || matches!(status, Some(b"204" | b"304")) {
        return Some(0);
    }
    String::from_utf8_lossy(answer).lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse().ok())?
    })
}

/// Relays a body at the limited rate. Returns false if the connection cannot be used again.
async fn body(
    from: &mut BufReader<TcpStream>,
    to: &mut BufReader<TcpStream>,
    length: Option<u64>,
    line: Network,
    counters: &Counters,
) -> io::Result<bool> {
    let mut due = Instant::now();
    let mut left = length.unwrap_or(u64::MAX);
    while left > 0 {
        let bytes = from.fill_buf().await?;
        let taken = bytes.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        let Some(slice) = bytes.get(..taken).filter(|slice| !slice.is_empty()) else {
            return Ok(false);
        };
        let passes = Duration::from_secs_f64(taken as f64 / line.bytes_per_second as f64);
        due = due.max(Instant::now() - MAX_LAG) + passes;
        tokio::time::sleep_until(due).await;
        to.get_mut().write_all(slice).await?;
        counters.bytes.fetch_add(taken as u64, Ordering::Relaxed);
        from.consume(taken);
        left -= taken as u64;
    }
    Ok(length.is_some())
}
