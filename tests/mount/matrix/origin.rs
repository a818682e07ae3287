//! A server of one file that sends raw bytes, so that each reply can be malformed. Each file has a
//! server of its own: a failing host does not affect the reads of other files.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use parking_lot::Mutex;
use socket2::SockRef;

use super::content::content;
use super::replies::{Reply, Step};

/// Creates the reply to a request that a fault affects.
pub(super) type ReplyFn = dyn Fn(&Request) -> Vec<Step> + Send + Sync;

/// A request for a range of the file.
pub(super) struct Request {
    pub(super) path: String,
    /// The requested range within the file.
    pub(super) start: usize,
    pub(super) end: usize,
    /// The number of earlier requests that the fault has affected.
    pub(super) number: u32,
    /// The number of earlier ones of them with the same signed URL.
    pub(super) url_uses: u32,
    pub(super) file: Bytes,
    /// Another version of the file with the same length.
    pub(super) other_version: Bytes,
    /// Scheme, host and port of the server.
    pub(super) origin: String,
}

/// When and how a server fails.
pub(super) struct OriginFault {
    pub(super) reply: Arc<ReplyFn>,
    /// The fault affects bytes from this offset on.
    pub(super) from: u64,
    /// The number of requests that the fault affects.
    pub(super) count: u32,
}

/// What a server does now.
#[derive(Clone, Copy)]
#[repr(u8)]
enum Mode {
    Failing,
    /// It closes each connection without a reply.
    Silent,
    Healthy,
}

pub(super) struct Origin {
    address: SocketAddr,
    state: Arc<State>,
}

struct State {
    fault: OriginFault,
    origin: String,
    file: Bytes,
    other_version: Bytes,
    mode: AtomicU8,
    /// The number of requests that the fault has affected.
    affected: AtomicU32,
    /// The number of requests that the fault has affected, by path and query.
    url_uses: Mutex<HashMap<String, u32>>,
    is_stopped: AtomicBool,
}

impl Origin {
    pub(super) fn start(file: usize, fault: OriginFault) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let state = Arc::new(State {
            fault,
            origin: format!("http://{address}"),
            file: content(file, 0),
            other_version: content(file, 1),
            mode: AtomicU8::new(Mode::Failing as u8),
            affected: AtomicU32::new(0),
            url_uses: Mutex::default(),
            is_stopped: AtomicBool::new(false),
        });
        let accepting = state.clone();
        std::thread::spawn(move || {
            for socket in listener.incoming().flatten() {
                if accepting.is_stopped.load(Ordering::SeqCst) {
                    return;
                }
                let state = accepting.clone();
                std::thread::spawn(move || {
                    // The client can close the connection at any time.
                    let _ = state.serve(&socket);
                });
            }
        });
        Self { address, state }
    }

    pub(super) fn origin(&self) -> &str {
        &self.state.origin
    }

    pub(super) fn affected_requests(&self) -> u32 {
        self.state.affected.load(Ordering::SeqCst)
    }

    /// Closes all connections from now on.
    pub(super) fn silence(&self) {
        self.state.mode.store(Mode::Silent as u8, Ordering::SeqCst);
    }

    /// Continues the fault after [`silence`](Self::silence).
    pub(super) fn resume(&self) {
        self.state.mode.store(Mode::Failing as u8, Ordering::SeqCst);
    }

    /// Ends the fault.
    pub(super) fn heal(&self) {
        self.state.mode.store(Mode::Healthy as u8, Ordering::SeqCst);
    }
}

impl Drop for Origin {
    fn drop(&mut self) {
        self.state.is_stopped.store(true, Ordering::SeqCst);
        self.silence();
        // Wakes the thread that accepts connections.
        let _ = TcpStream::connect(self.address);
    }
}

impl State {
    fn is_failing(&self) -> bool {
        self.mode.load(Ordering::SeqCst) == Mode::Failing as u8
    }

    fn serve(&self, socket: &TcpStream) -> std::io::Result<()> {
        /// Upper bound for the time between two requests of a connection.
        const IDLE_TIMEOUT: Duration = Duration::from_secs(60);
        socket.set_nodelay(true)?;
        socket.set_read_timeout(Some(IDLE_TIMEOUT))?;
        let mut reader = BufReader::new(socket);
        loop {
            let Some(request) = self.receive(&mut reader)? else { return Ok(()) };
            let mode = self.mode.load(Ordering::SeqCst);
            if mode == Mode::Silent as u8 {
                return Ok(());
            }
            let steps = self.reply(request);
            if !self.send(socket, steps)? {
                return Ok(());
            }
        }
    }

    fn receive(&self, reader: &mut BufReader<&TcpStream>) -> std::io::Result<Option<Request>> {
        let mut lines = reader.by_ref().lines();
        let Some(first) = lines.next().transpose()? else { return Ok(None) };
        let path = first.split(' ').nth(1).unwrap_or_default().to_owned();
        let (mut start, mut end) = (0, self.file.len());
        while let Some(line) = lines.next().transpose()? {
            if line.is_empty() {
                break;
            }
            if let Some(range) = line.to_ascii_lowercase().strip_prefix("range: bytes=") {
                let (first, last) = range.split_once('-').unwrap_or_default();
                start = first.parse().unwrap_or(0);
                end = last.parse().map_or(end, |last: usize| end.min(last.saturating_add(1)));
            }
        }
        Ok(Some(Request {
            path,
            start,
            end,
            number: 0,
            url_uses: 0,
            file: self.file.clone(),
            other_version: self.other_version.clone(),
            origin: self.origin.clone(),
        }))
    }

    fn reply(&self, mut request: Request) -> Vec<Step> {
        let from = self.fault.from as usize;
        if !self.is_failing() || request.start >= request.file.len() {
            return Reply::correct(&request).steps();
        }
        if request.start < from {
            // The client requests the rest of the range separately.
            request.end = request.end.min(from);
            return Reply::correct(&request).steps();
        }
        request.number = self.affected.fetch_add(1, Ordering::SeqCst);
        {
            let mut url_uses = self.url_uses.lock();
            let uses = url_uses.entry(request.path.clone()).or_default();
            request.url_uses = *uses;
            *uses += 1;
        }
        if request.number >= self.fault.count {
            return Reply::correct(&request).steps();
        }
        (self.fault.reply)(&request)
    }

    /// Sends a reply. Returns whether the connection can have another request.
    fn send(&self, mut socket: &TcpStream, steps: Vec<Step>) -> std::io::Result<bool> {
        for step in steps {
            match step {
                Step::Send(bytes) => socket.write_all(&bytes)?,
                Step::Drip { bytes, slice, interval } => {
                    for slice in bytes.chunks(slice) {
                        self.wait_while_failing(interval);
                        socket.write_all(slice)?;
                    }
                }
                Step::Hang => {
                    self.wait_while_failing(Duration::MAX);
                    return Ok(false);
                }
                Step::Reset => {
                    SockRef::from(&socket).set_linger(Some(Duration::ZERO))?;
                    return Ok(false);
                }
                Step::Continue => return Ok(true),
            }
        }
        Ok(false)
    }

    fn wait_while_failing(&self, timeout: Duration) {
        let started = Instant::now();
        while self.is_failing() && started.elapsed() < timeout {
            std::thread::sleep(Duration::from_millis(10).min(timeout));
        }
    }
}
