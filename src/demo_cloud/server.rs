//! The HTTP servers: each receives requests, applies faults, logs the requests and answers them.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use jiff::{SignedDuration, Timestamp};
use parking_lot::RwLock;
use serde_json::json;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

use super::body::{Bandwidth, BodyInterruption, ReplyBody};
use super::faults::{Effect, FaultOutcome, Faults, RetryAfter};
use super::metered_socket::{Connection, MeteredSocket};
use super::oauth::{Tokens, UserApp};
use super::page_tokens::PageTokens;
use super::rapatin::{self, Rapatin};
use super::reply::Reply;
use super::request_head::{RangeHeader, RequestHead};
use super::request_log::{LogEntry, Request, RequestLog, Server};
use super::signed_urls::SignedUrls;
use super::store::Store;
use super::webex_api::{self, WebexSite};
use super::zoom_api::Api;
use super::zoom_limits::CallCounter;
use super::{media_host, rapatin_api, zoom_web};

/// Maximum number of connections per server. Further connections wait until one closes.
const MAX_CONNECTIONS: usize = 1024;

/// Maximum size of a request body in bytes. A token request has a few hundred bytes.
const REQUEST_BODY_LIMIT: usize = 64 * 1024;

/// State that all servers share. No lock is held while another is acquired.
#[derive(Debug)]
pub(super) struct SharedState {
    pub(super) store: RwLock<Store>,
    pub(super) tokens: Tokens,
    pub(super) signed_urls: SignedUrls,
    pub(super) page_tokens: PageTokens,
    pub(super) webex: WebexSite,
    pub(super) rapatin: Rapatin,
    pub(super) faults: Faults,
    pub(super) log: RequestLog,
    pub(super) zoom_calls: CallCounter,
    pub(super) origins: Origins,
    pub(super) max_page_size: u32,
    pub(super) accepted_credentials: zoom_web::AcceptedCredentials,
    pub(super) first_byte_latency: Duration,
    pub(super) bytes_per_second: Option<u64>,
}

/// Scheme, host and port of each server: `http://127.0.0.1:PORT`.
#[derive(Debug)]
pub(super) struct Origins {
    pub(super) api: String,
    pub(super) web: String,
    pub(super) media: String,
    pub(super) rapatin: String,
}

/// The error that makes hyper close a connection without answering the request.
#[derive(Debug, thiserror::Error)]
#[error("the request was not answered")]
struct DroppedRequest;

/// Accepts connections until the runtime stops.
pub(super) async fn accept(shared_state: Arc<SharedState>, server: Server, listener: TcpListener) {
    /// Pause after a failed `accept`. If the process has no free file descriptors, every call fails
    /// at once, and a loop without a pause would use a whole core.
    const ACCEPT_RETRY_DELAY: Duration = Duration::from_millis(10);
    let permits = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    loop {
        let Ok(permit) = Arc::clone(&permits).acquire_owned().await else { return };
        match listener.accept().await {
            Ok((socket, _)) => {
                let shared_state = Arc::clone(&shared_state);
                tokio::spawn(async move {
                    // The client or a fault decides how a connection ends, so an error needs no
                    // handling.
                    let _ = serve_connection(shared_state, server, socket).await;
                    drop(permit);
                });
            }
            Err(_) => tokio::time::sleep(ACCEPT_RETRY_DELAY).await,
        }
    }
}

async fn serve_connection(
    shared_state: Arc<SharedState>,
    server: Server,
    socket: TcpStream,
) -> io::Result<()> {
    socket.set_nodelay(true)?;
    let connection = Arc::new(Connection::default());
    let stream = TokioIo::new(MeteredSocket::new(socket, Arc::clone(&connection)));
    let service = service_fn(|request| answer(&shared_state, server, &connection, request));
    http1::Builder::new()
        .timer(TokioTimer::new())
        .serve_connection(stream, service)
        .await
        .map_err(io::Error::other)
}

async fn answer(
    shared_state: &SharedState,
    server: Server,
    connection: &Arc<Connection>,
    request: hyper::Request<Incoming>,
) -> Result<hyper::Response<ReplyBody>, DroppedRequest> {
    let received_at = shared_state.log.elapsed();
    let (parts, body) = request.into_parts();
    let request = RequestHead::new(&parts);
    if server == Server::Api && request.path == "/demo/summary" {
        let body =
            |reply: Reply| ReplyBody::new(reply.content, reply.span, None, Arc::clone(connection));
        return Ok(hyper::Response::new(body(summary_reply(&shared_state.log))));
    }
    let body = match Limited::new(body, REQUEST_BODY_LIMIT).collect().await {
        Ok(body) => body.to_bytes(),
        Err(_) => return Err(DroppedRequest),
    };
    let range = match request.range() {
        Some(RangeHeader::FromOffset(first, last)) => Some((first, last)),
        _ => None,
    };
    let outcome = shared_state.faults.outcome_for(
        server,
        &request.path,
        &request.query,
        range.map(|(first, _)| first),
    );
    let is_black_hole = matches!(outcome.effect, Some(Effect::BlackHole));
    let faults_cleared = shared_state.faults.subscribe_to_clearing();
    let reply_effect = match outcome.ignores_range {
        true => Some(&Effect::WholeFile),
        false => outcome.effect.as_ref(),
    };
    let reply =
        (!is_black_hole).then(|| create_reply(shared_state, server, &request, &body, reply_effect));
    let is_head = request.method == "HEAD";
    let entry = shared_state.log.record(Request {
        received_at,
        server,
        method: request.method,
        path: request.path,
        query: request.query,
        headers: request.headers,
        range,
        status: reply.as_ref().map_or(0, |reply| reply.status),
        body_bytes: 0,
    });
    let Some(mut reply) = reply else {
        wait_until_faults_cleared(faults_cleared).await;
        return Err(DroppedRequest);
    };
    let latency = shared_state.first_byte_latency + outcome.latency;
    if !latency.is_zero() {
        tokio::time::sleep(latency).await;
    }
    for change in &outcome.header_changes {
        reply.change_header(change);
    }
    Ok(build_response(shared_state, connection, reply, outcome, is_head, entry, faults_cleared))
}

async fn wait_until_faults_cleared(mut faults_cleared: tokio::sync::watch::Receiver<u64>) {
    // An error means that the server is stopping, so the wait ends as well.
    let _ = faults_cleared.changed().await;
}

fn build_response(
    shared_state: &SharedState,
    connection: &Arc<Connection>,
    reply: Reply,
    outcome: FaultOutcome,
    is_head: bool,
    entry: Arc<LogEntry>,
    faults_cleared: tokio::sync::watch::Receiver<u64>,
) -> hyper::Response<ReplyBody> {
    connection.begin_response(entry);
    let mut builder = hyper::Response::builder().status(reply.status);
    for (name, value) in &reply.headers {
        builder = builder.header(name, value);
    }
    let length = reply.span.end - reply.span.start;
    let span = if is_head {
        builder = builder.header("content-length", length);
        reply.span.start..reply.span.start
    } else {
        reply.span
    };
    let rate = outcome.bandwidth.or(shared_state.bytes_per_second.map(Bandwidth::from_rate));
    let mut body = ReplyBody::new(reply.content, span, rate, Arc::clone(connection));
    body.hides_length = outcome.hides_length;
    let body = match outcome.effect {
        Some(Effect::ShortBody { missing_bytes }) => {
            body.interrupted_after(length.saturating_sub(missing_bytes), BodyInterruption::Close)
        }
        Some(Effect::Reset { after_bytes }) => {
            body.interrupted_after(after_bytes, BodyInterruption::Reset)
        }
        Some(Effect::Stall { after_bytes }) => body.interrupted_after(
            after_bytes,
            BodyInterruption::Stall(Box::pin(wait_until_faults_cleared(faults_cleared))),
        ),
        _ => body,
    };
    builder.body(body).unwrap_or_else(|_| {
        // The response is invalid only if a fault specifies an invalid status or header.
        let empty_content = super::archive::Content::Stored(Bytes::new());
        hyper::Response::new(ReplyBody::new(empty_content, 0..0, None, Arc::clone(connection)))
    })
}

fn create_reply(
    shared_state: &SharedState,
    server: Server,
    request: &RequestHead,
    body: &[u8],
    effect: Option<&Effect>,
) -> Reply {
    if let Some(reply) = effect.and_then(|effect| replacement_reply(effect, server, request)) {
        return reply;
    }
    match server {
        Server::Api if request.path == "/oauth/authorize" && request.method == "GET" => {
            let apps = [UserApp::demo().client_id, UserApp::public().client_id];
            shared_state.tokens.sign_ins().authorize(request, &apps.each_ref().map(String::as_str))
        }
        Server::Api if request.path == "/oauth/token" && request.method == "POST" => {
            shared_state.tokens.answer(request, body, &shared_state.origins.api)
        }
        Server::Api if !shared_state.zoom_calls.admit(&request.path) => {
            rate_limit_reply(server, RetryAfter::None)
        }
        Server::Api => {
            let api = Api {
                store: &shared_state.store.read(),
                tokens: &shared_state.tokens,
                page_tokens: &shared_state.page_tokens,
                max_page_size: shared_state.max_page_size,
                web_origin: &shared_state.origins.web,
            };
            api.answer(request)
        }
        Server::Web if request.path.starts_with(rapatin::URL_PREFIX) => shared_state
            .rapatin
            .redirect(request, &shared_state.signed_urls, &shared_state.origins.media),
        Server::Web => zoom_web::answer(
            &shared_state.store.read(),
            &shared_state.tokens,
            &shared_state.signed_urls,
            shared_state.accepted_credentials,
            &shared_state.origins.media,
            request,
        ),
        Server::Webex => shared_state.webex.answer(request, body),
        Server::Media if request.path.starts_with("/nbr/") => {
            shared_state.webex.serve_file(request, effect)
        }
        Server::Media => {
            let find_file = |opaque_id: &str| {
                let zoom_file =
                    shared_state.store.read().find_file(opaque_id).map(|(_, file)| file.clone());
                zoom_file.or_else(|| shared_state.rapatin.find_file(opaque_id))
            };
            media_host::answer(find_file, &shared_state.signed_urls, request, effect)
        }
        Server::Rapatin => {
            rapatin_api::answer(&shared_state.rapatin, request, body, &shared_state.origins.web)
        }
    }
}

/// Returns the reply that an effect sends in place of the real one, if any.
fn replacement_reply(effect: &Effect, server: Server, request: &RequestHead) -> Option<Reply> {
    match effect {
        Effect::Status { status, body, content_type, headers } => {
            let reply = Reply::new(*status, content_type, body.clone());
            Some(headers.iter().fold(reply, |reply, (name, value)| reply.with_header(name, value)))
        }
        Effect::Html200 => Some(Reply::password_page()),
        Effect::Json59 => Some(Reply::forbidden_json()),
        Effect::Json(body) => Some(Reply::new(200, "application/json;charset=UTF-8", body.clone())),
        Effect::ExpiredToken => Some(match server {
            Server::Api => Reply::expired_token(),
            Server::Web | Server::Media => Reply::forbidden_json(),
            Server::Webex => webex_api::expired_token(),
            Server::Rapatin => rapatin_api::unauthenticated_reply(),
        }),
        Effect::ExpiredUrl => Some(Reply::expired_url()),
        Effect::InvalidPageToken => request
            .parameter("next_page_token")
            .filter(|token| !token.is_empty())
            .map(|_| Reply::invalid_page_token()),
        Effect::TooManyRequests(retry_after) => Some(rate_limit_reply(server, *retry_after)),
        Effect::ShortBody { .. }
        | Effect::Stall { .. }
        | Effect::Reset { .. }
        | Effect::WholeFile
        | Effect::UnknownLength
        | Effect::WrongRange { .. }
        | Effect::WrongTotal { .. }
        | Effect::ShortRange { .. }
        | Effect::UnknownTotal
        | Effect::BlackHole
        | Effect::Latency(_)
        | Effect::Headers(_)
        | Effect::Bandwidth(_)
        | Effect::Drip { .. } => None,
    }
}

/// Returns a 429 reply with the headers of the limit. The daily limit states its end, and the limit
/// per second does not.
fn rate_limit_reply(server: Server, retry_after: RetryAfter) -> Reply {
    let is_daily = matches!(retry_after, RetryAfter::IsoDate(_));
    let (limit, period) = if is_daily { ("Daily-limit", "daily") } else { ("QPS", "per-second") };
    let message =
        format!("You have reached the maximum {period} rate limit for this API. Try again later.");
    let reply = match server {
        Server::Webex => {
            webex_api::error(429, "Too many requests have been sent in a given amount of time.")
        }
        _ => Reply::error(429, 429, &message)
            .with_header("x-ratelimit-category", "Medium")
            .with_header("x-ratelimit-type", limit)
            .with_header("x-ratelimit-limit", "20")
            .with_header("x-ratelimit-remaining", "0"),
    };
    match retry_after {
        RetryAfter::None => reply,
        RetryAfter::Seconds(seconds) => reply.with_header("retry-after", seconds.to_string()),
        RetryAfter::HttpDate(seconds) => {
            let end_time = SystemTime::now().checked_add(Duration::from_secs(seconds));
            reply.with_header(
                "retry-after",
                httpdate::fmt_http_date(end_time.unwrap_or_else(SystemTime::now)),
            )
        }
        RetryAfter::IsoDate(seconds) => {
            let delay = SignedDuration::from_secs(i64::try_from(seconds).unwrap_or(i64::MAX));
            let end_time = Timestamp::from_second(Timestamp::now().as_second())
                .and_then(|now| now.checked_add(delay))
                .unwrap_or(Timestamp::MAX);
            reply.with_header("retry-after", end_time.to_string())
        }
    }
}

/// Returns the totals so far. Requests for the totals are not counted.
fn summary_reply(log: &RequestLog) -> Reply {
    let total = |counter: &std::sync::atomic::AtomicU64| counter.load(Ordering::Relaxed);
    Reply::json(
        200,
        &json!({"requests": total(&log.totals.requests), "api_requests": total(&log.totals.api_requests),
                "media_requests": total(&log.totals.media_requests),
                "media_bytes": total(&log.totals.media_bytes)}),
    )
}
