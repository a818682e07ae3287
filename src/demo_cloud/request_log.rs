//! A log of the latest requests, and the totals of requests and bytes.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// Maximum number of logged requests. A stress run makes about ten thousand requests of less than a
/// kilobyte each, so a log that is never cleared stays below 200 MB.
const MAX_LOG_ENTRIES: usize = 200_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Server {
    /// Zoom's API and token endpoint.
    Api,
    /// The host of Zoom's download URLs. It redirects to signed URLs.
    Web,
    /// The host of the signed URLs. It serves the files.
    Media,
    /// Webex's API and token endpoint. Its download URLs point to the media host.
    Webex,
    Rapatin,
}

/// One request as the server received it.
#[derive(Clone, Debug)]
pub struct Request {
    /// Time from the start of the server to the arrival of the request.
    pub received_at: Duration,
    pub server: Server,
    pub method: String,
    /// Path in the request line.
    pub path: String,
    /// Query in the request line; empty if there is none.
    pub query: String,
    /// Headers with lower-case names. They include credentials.
    pub headers: Vec<(String, String)>,
    /// First and last byte of `Range: bytes=first-last`. The last byte is `None` if the header does
    /// not state it.
    pub range: Option<(u64, Option<u64>)>,
    /// Status of the response; 0 without a response.
    pub status: u16,
    /// Number of body bytes that were written to the socket so far.
    pub body_bytes: u64,
}

impl Request {
    /// Returns the value of the header with this lower-case name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

/// A logged request whose response may still be in transit.
#[derive(Debug)]
pub(super) struct LogEntry {
    request: Request,
    body_bytes: AtomicU64,
    totals: Arc<Totals>,
}

impl LogEntry {
    pub(super) fn add_body_bytes(&self, bytes: u64) {
        self.body_bytes.fetch_add(bytes, Ordering::Relaxed);
        if self.request.server == Server::Media {
            self.totals.media_bytes.fetch_add(bytes, Ordering::Relaxed);
        }
    }

    pub(super) fn subtract_body_bytes(&self, bytes: u64) {
        self.body_bytes.fetch_sub(bytes, Ordering::Relaxed);
        if self.request.server == Server::Media {
            self.totals.media_bytes.fetch_sub(bytes, Ordering::Relaxed);
        }
    }
}

/// Totals since the start of the server. Clearing the log does not reset them.
#[derive(Debug, Default)]
pub(super) struct Totals {
    pub(super) requests: AtomicU64,
    pub(super) api_requests: AtomicU64,
    pub(super) media_requests: AtomicU64,
    pub(super) media_bytes: AtomicU64,
}

#[derive(Debug)]
pub(super) struct RequestLog {
    start: Instant,
    entries: Mutex<VecDeque<Arc<LogEntry>>>,
    pub(super) totals: Arc<Totals>,
}

impl RequestLog {
    pub(super) fn new() -> Self {
        Self { start: Instant::now(), entries: Mutex::default(), totals: Arc::default() }
    }

    pub(super) fn elapsed(&self) -> Duration {
        self.start.elapsed()
    }

    pub(super) fn record(&self, request: Request) -> Arc<LogEntry> {
        self.totals.requests.fetch_add(1, Ordering::Relaxed);
        match request.server {
            Server::Api | Server::Webex | Server::Rapatin => {
                self.totals.api_requests.fetch_add(1, Ordering::Relaxed)
            }
            Server::Media => self.totals.media_requests.fetch_add(1, Ordering::Relaxed),
            Server::Web => 0,
        };
        let entry =
            LogEntry { request, body_bytes: AtomicU64::new(0), totals: Arc::clone(&self.totals) };
        let entry = Arc::new(entry);
        let mut entries = self.entries.lock();
        if entries.len() >= MAX_LOG_ENTRIES {
            entries.pop_front();
        }
        entries.push_back(Arc::clone(&entry));
        entry
    }

    pub(super) fn requests(&self) -> Vec<Request> {
        let with_current_bytes = |entry: &Arc<LogEntry>| Request {
            body_bytes: entry.body_bytes.load(Ordering::Relaxed),
            ..entry.request.clone()
        };
        self.entries.lock().iter().map(with_current_bytes).collect()
    }

    pub(super) fn clear(&self) {
        self.entries.lock().clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn log_drops_its_oldest_entries() {
        let log = RequestLog::new();
        for number in 0..MAX_LOG_ENTRIES + 5 {
            log.record(Request {
                received_at: Duration::ZERO,
                server: Server::Web,
                method: String::new(),
                path: number.to_string(),
                query: String::new(),
                headers: Vec::new(),
                range: None,
                status: 200,
                body_bytes: 0,
            });
        }
        let requests = log.requests();
        assert_eq!(requests.len(), MAX_LOG_ENTRIES);
        assert_eq!(requests[0].path, "5");
        assert_eq!(log.totals.requests.load(Ordering::Relaxed), MAX_LOG_ENTRIES as u64 + 5);
    }
}
