//! The servers: they take a request, settle its fate, answer it, and write it down.

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

use super::asked::{Asked, RangeAsked};
use super::body::{Break, ReplyBody};
use super::faults::{Effect, Fate, Faults, RetryAfter};
use super::links::Links;
use super::log::{Entry, Log, Request, Server};
use super::oauth::{Tokens, UserApp};
use super::pages::PageTokens;
use super::rapatin::{self, Rapatin};
use super::reply::Reply;
use super::store::Store;
use super::webex_api::{self, WebexSite};
use super::wire::{Connection, Wire};
use super::zoom_api::Api;
use super::zoom_limits::Counter;
use super::{media, rapatin_api, web};

/// Connections a server holds at once; more wait to be accepted.
const CONNECTIONS: usize = 1024;

/// Bytes of a request body that are read. A token request has some hundred.
const REQUEST_BODY_LIMIT: usize = 64 * 1024;

/// Everything the servers share. No two of its locks are held at once.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) store: RwLock<Store>,
    pub(super) tokens: Tokens,
    pub(super) links: Links,
    pub(super) pages: PageTokens,
    pub(super) webex: WebexSite,
    pub(super) rapatin: Rapatin,
    pub(super) faults: Faults,
    pub(super) log: Log,
    pub(super) zoom_calls: Counter,
    pub(super) origins: Origins,
    pub(super) page_cap: u32,
    pub(super) download_header: web::DownloadHeader,
    pub(super) first_byte_latency: Duration,
    pub(super) bytes_per_second: Option<u64>,
}

/// `http://127.0.0.1:PORT` of each server.
#[derive(Debug)]
pub(super) struct Origins {
    pub(super) api: String,
    pub(super) web: String,
    pub(super) media: String,
    pub(super) rapatin: String,
}

/// No answer will be given; the connection is to be closed.
#[derive(Debug, thiserror::Error)]
#[error("the request was left without an answer")]
struct NoAnswer;

/// Accepts connections for ever.
pub(super) async fn accept(shared: Arc<Shared>, server: Server, listener: TcpListener) {
    /// A process out of file descriptors gets the same error from every accept; without a pause that is a busy loop.
    const PAUSE: Duration = Duration::from_millis(10);
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        match listener.accept().await {
            Ok((socket, _)) => {
                let shared = Arc::clone(&shared);
                tokio::spawn(async move {
                    // How a connection ends is the client's affair, or a fault's doing.
                    let _ = connection(shared, server, socket).await;
                    drop(place);
                });
            }
            Err(_) => tokio::time::sleep(PAUSE).await,
        }
    }
}

async fn connection(shared: Arc<Shared>, server: Server, socket: TcpStream) -> io::Result<()> {
    socket.set_nodelay(true)?;
    let connection = Arc::new(Connection::default());
    let wire = TokioIo::new(Wire::new(socket, Arc::clone(&connection)));
    let service = service_fn(|request| answer(&shared, server, &connection, request));
    http1::Builder::new()
        .timer(TokioTimer::new())
        .serve_connection(wire, service)
        .await
        .map_err(io::Error::other)
}

async fn answer(
    shared: &Shared,
    server: Server,
    connection: &Arc<Connection>,
    request: hyper::Request<Incoming>,
) -> Result<hyper::Response<ReplyBody>, NoAnswer> {
    let at = shared.log.now();
    let (parts, body) = request.into_parts();
    let asked = Asked::new(&parts);
    if server == Server::Api && asked.path == "/demo/summary" {
        let body =
            |reply: Reply| ReplyBody::new(reply.content, reply.span, None, Arc::clone(connection));
        return Ok(hyper::Response::new(body(summary(&shared.log))));
    }
    let form = match Limited::new(body, REQUEST_BODY_LIMIT).collect().await {
        Ok(body) => body.to_bytes(),
        Err(_) => return Err(NoAnswer),
    };
    let range = match asked.range() {
        Some(RangeAsked::From(first, last)) => Some((first, last)),
        _ => None,
    };
    let fate = shared.faults.fate(server, &asked.path, range.map(|(first, _)| first));
    let black_hole = matches!(fate.effect, Some(Effect::BlackHole));
    let healing = shared.faults.healing();
    let reply = (!black_hole).then(|| reply(shared, server, &asked, &form, fate.effect.as_ref()));
    let head = asked.method == "HEAD";
    let entry = shared.log.record(Request {
        at,
        server,
        method: asked.method,
        path: asked.path,
        query: asked.query,
        headers: asked.headers,
        range,
        status: reply.as_ref().map_or(0, |reply| reply.status),
        body_bytes: 0,
    });
    let Some(reply) = reply else {
        healed(healing).await;
        return Err(NoAnswer);
    };
    let latency = shared.first_byte_latency + fate.latency;
    if !latency.is_zero() {
        tokio::time::sleep(latency).await;
    }
    Ok(response(shared, connection, reply, fate, head, entry, healing))
}

async fn healed(mut healing: tokio::sync::watch::Receiver<u64>) {
    // An error means that the cloud is going away, which ends the wait as well.
    let _ = healing.changed().await;
}

fn response(
    shared: &Shared,
    connection: &Arc<Connection>,
    reply: Reply,
    fate: Fate,
    head: bool,
    entry: Arc<Entry>,
    healing: tokio::sync::watch::Receiver<u64>,
) -> hyper::Response<ReplyBody> {
    connection.begin(entry);
    let mut builder = hyper::Response::builder().status(reply.status);
    for (name, value) in &reply.headers {
        builder = builder.header(name, value);
    }
    let length = reply.span.end - reply.span.start;
    let span = if head {
        builder = builder.header("content-length", length);
        reply.span.start..reply.span.start
    } else {
        reply.span
    };
    let rate = fate.bandwidth.or(shared.bytes_per_second);
    let body = ReplyBody::new(reply.content, span, rate, Arc::clone(connection));
    let body = match fate.effect {
        Some(Effect::ShortBody { missing }) => {
            body.broken_after(length.saturating_sub(missing), Break::Close)
        }
        Some(Effect::Reset { after }) => body.broken_after(after, Break::Reset),
        Some(Effect::Stall { after }) => {
            body.broken_after(after, Break::Stall(Box::pin(healed(healing))))
        }
        _ => body,
    };
    builder.body(body).unwrap_or_else(|_| {
        // Only a fault with an impossible status or header leads here.
        let empty = super::archive::Content::Stored(Bytes::new());
        hyper::Response::new(ReplyBody::new(empty, 0..0, None, Arc::clone(connection)))
    })
}

fn reply(
    shared: &Shared,
    server: Server,
    asked: &Asked,
    form: &[u8],
    effect: Option<&Effect>,
) -> Reply {
    if let Some(reply) = effect.and_then(|effect| instead(effect, server, asked)) {
        return reply;
    }
    match server {
        Server::Api if asked.path == "/oauth/authorize" && asked.method == "GET" => {
            let apps = [UserApp::demo().client_id, UserApp::public().client_id];
            shared.tokens.sign_ins().page(asked, &apps.each_ref().map(String::as_str))
        }
        Server::Api if asked.path == "/oauth/token" && asked.method == "POST" => {
            shared.tokens.answer(asked, form, &shared.origins.api)
        }
        Server::Api if !shared.zoom_calls.admit(&asked.path) => {
            too_many_requests(server, RetryAfter::None)
        }
        Server::Api => {
            let api = Api {
                store: &shared.store.read(),
                tokens: &shared.tokens,
                pages: &shared.pages,
                page_cap: shared.page_cap,
                web_origin: &shared.origins.web,
            };
            api.answer(asked)
        }
        Server::Web if asked.path.starts_with(rapatin::LINKS) => {
            shared.rapatin.follow(asked, &shared.links, &shared.origins.media)
        }
        Server::Web => web::answer(
            &shared.store.read(),
            &shared.tokens,
            &shared.links,
            shared.download_header,
            &shared.origins.media,
            asked,
        ),
        Server::Webex => shared.webex.answer(asked, form),
        Server::Media if asked.path.starts_with("/nbr/") => shared.webex.media(asked, effect),
        Server::Media => {
            let file = |opaque: &str| {
                let known = shared.store.read().by_link(opaque).map(|(_, file)| file.clone());
                known.or_else(|| shared.rapatin.file(opaque))
            };
            media::answer(file, &shared.links, asked, effect)
        }
        Server::Rapatin => rapatin_api::answer(&shared.rapatin, asked, form, &shared.origins.web),
    }
}

/// The answer that an effect puts in the place of the true one, if it does.
fn instead(effect: &Effect, server: Server, asked: &Asked) -> Option<Reply> {
    match effect {
        Effect::Status { status, body, content_type, headers } => {
            let reply = Reply::new(*status, content_type, body.clone());
            Some(headers.iter().fold(reply, |reply, (name, value)| reply.with(name, value)))
        }
        Effect::Html200 => Some(Reply::password_page()),
        Effect::Json59 => Some(Reply::forbidden_json()),
        Effect::ExpiredToken => Some(match server {
            Server::Api => Reply::expired_token(),
            Server::Web | Server::Media => Reply::forbidden_json(),
            Server::Webex => webex_api::expired_token(),
            Server::Rapatin => rapatin_api::unauthenticated(),
        }),
        Effect::ExpiredLink => Some(Reply::expired_link()),
        Effect::DeadPageToken => asked
            .parameter("next_page_token")
            .filter(|token| !token.is_empty())
            .map(|_| Reply::dead_page_token()),
        Effect::TooManyRequests(retry_after) => Some(too_many_requests(server, *retry_after)),
        Effect::ShortBody { .. }
        | Effect::Stall { .. }
        | Effect::Reset { .. }
        | Effect::WholeFile
        | Effect::WrongRange { .. }
        | Effect::WrongTotal { .. }
        | Effect::BlackHole
        | Effect::Latency(_)
        | Effect::Bandwidth(_) => None,
    }
}

/// 429 with the headers of the limit that was hit: the daily one says when it ends, the one a second does not.
fn too_many_requests(server: Server, retry_after: RetryAfter) -> Reply {
    let daily = matches!(retry_after, RetryAfter::IsoDate(_));
    let (limit, period) = if daily { ("Daily-limit", "daily") } else { ("QPS", "per-second") };
    let message =
        format!("You have reached the maximum {period} rate limit for this API. Try again later.");
    let reply = match server {
        Server::Webex => {
            webex_api::error(429, "Too many requests have been sent in a given amount of time.")
        }
        _ => Reply::error(429, 429, &message)
            .with("x-ratelimit-category", "Medium")
            .with("x-ratelimit-type", limit)
            .with("x-ratelimit-limit", "20")
            .with("x-ratelimit-remaining", "0"),
    };
    match retry_after {
        RetryAfter::None => reply,
        RetryAfter::Seconds(seconds) => reply.with("retry-after", seconds.to_string()),
        RetryAfter::HttpDate(seconds) => {
            let when = SystemTime::now().checked_add(Duration::from_secs(seconds));
            reply.with("retry-after", httpdate::fmt_http_date(when.unwrap_or_else(SystemTime::now)))
        }
        RetryAfter::IsoDate(seconds) => {
            let ahead = SignedDuration::from_secs(i64::try_from(seconds).unwrap_or(i64::MAX));
            let when = Timestamp::from_second(Timestamp::now().as_second())
                .and_then(|now| now.checked_add(ahead))
                .unwrap_or(Timestamp::MAX);
            reply.with("retry-after", when.to_string())
        }
    }
}

/// What has been asked so far; asking this is not counted.
fn summary(log: &Log) -> Reply {
    let total = |counter: &std::sync::atomic::AtomicU64| counter.load(Ordering::Relaxed);
    Reply::json(
        200,
        &json!({"requests": total(&log.totals.requests), "api_requests": total(&log.totals.api_requests),
                "media_requests": total(&log.totals.media_requests),
                "media_bytes": total(&log.totals.media_bytes)}),
    )
}
