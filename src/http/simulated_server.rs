//! A server in the same process, for tests that run in simulated time.
//!
//! A test implements [`SimulatedServer`], and [`Client::with_server`](super::Client::with_server)
//! sends its requests there. The replies pass through the same checks as those of a real server.

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream;
use http_body_util::StreamBody;
use hyper::body::Frame;
use parking_lot::Mutex;
use reqwest::header::{AUTHORIZATION, HeaderName, RANGE};
use reqwest::{Body, Request, Response};
use tokio::time::Instant;

use super::transport::Transport;

/// Decides what the server replies.
pub(crate) trait SimulatedServer: Send + Sync {
    fn reply(&self, request: &SimulatedRequest<'_>) -> SimulatedReply;
}

/// A request that the server receives.
#[derive(Debug)]
pub(crate) struct SimulatedRequest<'a> {
    pub(crate) host: &'a str,
    pub(crate) path: &'a str,
    pub(crate) query: &'a str,
    /// The value of the `Authorization` header.
    pub(crate) authorization: Option<&'a str>,
    /// The first and the last byte that the `Range` header names.
    pub(crate) range: Option<(u64, u64)>,
}

/// The reply to a request.
#[derive(Debug)]
pub(crate) struct SimulatedReply {
    /// The time until the head of the reply arrives.
    pub(crate) delay: Duration,
    pub(crate) head: SimulatedHead,
    pub(crate) body: Vec<BodyPart>,
}

/// The head of a reply.
#[derive(Debug)]
pub(crate) enum SimulatedHead {
    Received {
        status: u16,
        headers: Vec<(&'static str, String)>,
    },
    /// The connection breaks before the head arrives.
    Broken,
    /// The server never replies.
    Silent,
}

/// A part of the body of a reply.
#[derive(Debug)]
pub(crate) enum BodyPart {
    Bytes(Bytes),
    /// The bytes arrive when each of these links has transmitted them.
    Transmit(Bytes, Vec<Arc<RateLimitedLink>>),
    /// Is dropped when the parts before it have been sent, or when the request is canceled.
    Guard(#[expect(dead_code, reason = "only the drop matters")] Arc<()>),
    /// The server sends nothing for this time.
    Pause(Duration),
    /// The server sends nothing from here on, and the connection stays open.
    Silence,
    /// The connection breaks.
    Break,
}

/// A link with a limited rate. It transmits one part of a body at a time.
#[derive(Debug)]
pub(crate) struct RateLimitedLink {
    bytes_per_second: u64,
    free_at: Mutex<Instant>,
}

impl RateLimitedLink {
    pub(crate) fn new(bytes_per_second: u64) -> Self {
        Self { bytes_per_second, free_at: Mutex::new(Instant::now()) }
    }

    /// Returns the time at which `bytes` bytes have been transmitted.
    fn transmit(&self, bytes: usize) -> Instant {
        let time = Duration::from_secs_f64(bytes as f64 / self.bytes_per_second as f64);
        let mut free_at = self.free_at.lock();
        *free_at = (*free_at).max(Instant::now()) + time;
        *free_at
    }
}

/// A transport that passes requests to a simulated server.
pub(super) struct SimulatedTransport {
    pub(super) server: Arc<dyn SimulatedServer>,
    pub(super) http: reqwest::Client,
}

impl fmt::Debug for SimulatedTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SimulatedTransport").finish_non_exhaustive()
    }
}

#[async_trait]
impl Transport for SimulatedTransport {
    async fn send(&self, request: Request) -> Result<Response, reqwest::Error> {
        let SimulatedReply { delay, head, body } = {
            let url = request.url();
            let header = |name: HeaderName| request.headers().get(name)?.to_str().ok();
            let request = SimulatedRequest {
                host: url.host_str().unwrap_or_default(),
                path: url.path(),
                query: url.query().unwrap_or_default(),
                authorization: header(AUTHORIZATION),
                range: header(RANGE).and_then(parse_range),
            };
            self.server.reply(&request)
        };
        if !delay.is_zero() {
            tokio::time::sleep(delay).await;
        }
        match head {
            SimulatedHead::Silent => std::future::pending().await,
            // The library has no public constructor of a transport error, so this is the error of a
            // request that cannot be sent.
            SimulatedHead::Broken => Err(self.http.get("").build().unwrap_err()),
            SimulatedHead::Received { status, headers } => {
                let mut builder = hyper::Response::builder().status(status);
                for (name, value) in headers {
                    builder = builder.header(name, value);
                }
                Ok(builder.body(body_of(body)).unwrap().into())
            }
        }
    }
}

fn parse_range(value: &str) -> Option<(u64, u64)> {
    let (first, last) = value.strip_prefix("bytes=")?.split_once('-')?;
    Some((first.parse().ok()?, last.parse().ok()?))
}

fn body_of(mut parts: Vec<BodyPart>) -> Body {
    if matches!(parts.as_slice(), [BodyPart::Bytes(_)])
        && let Some(BodyPart::Bytes(bytes)) = parts.pop()
    {
        return bytes.into();
    }
    let parts = VecDeque::from(parts);
    let frames = stream::unfold(parts, |mut parts| async move {
        loop {
            match parts.pop_front()? {
                BodyPart::Bytes(bytes) => return Some((Ok(Frame::data(bytes)), parts)),
                BodyPart::Transmit(bytes, links) => {
                    let arrivals = links.iter().map(|link| link.transmit(bytes.len()));
                    if let Some(arrival) = arrivals.max() {
                        tokio::time::sleep_until(arrival).await;
                    }
                    return Some((Ok(Frame::data(bytes)), parts));
                }
                BodyPart::Guard(_) => {}
                BodyPart::Pause(time) => tokio::time::sleep(time).await,
                BodyPart::Silence => std::future::pending().await,
                BodyPart::Break => {
                    return Some((Err(io::Error::from(io::ErrorKind::ConnectionReset)), parts));
                }
            }
        }
    });
    Body::wrap(StreamBody::new(frames))
}
