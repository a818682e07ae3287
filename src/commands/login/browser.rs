//! Waits on this machine for the browser that comes back with a code (RFC 8252, 7.3).

use std::convert::Infallible;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use secrecy::SecretString;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::time::Instant;

use super::LoginError;
use super::pasted::Answer;
use crate::model::SourceName;
use crate::providers::AuthorizationRequest;

/// How long somebody may take to sign in and agree, a second factor included. Longer, and a port would stay open for
/// nobody.
const WITHIN_MINUTES: u64 = 10;

/// A browser opens a few connections at once, some of which it never uses.
const CONNECTIONS: usize = 16;

/// How long a connection may stay without asking anything. One more than [`CONNECTIONS`] waits for as long.
const ASKED_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a connection may stay at all: longer than the exchange of a code with its wait for other processes, for the
/// page says how that went.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(60);

/// How long a page may take to leave when the process is about to end.
const PAGE_TIMEOUT: Duration = Duration::from_millis(100);

/// The port that the browser comes back to, on this machine alone.
pub(crate) async fn listen(port: u16) -> Result<TcpListener, LoginError> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port))
        .await
        .map_err(|cause| LoginError::Port { port, cause })
}

/// The browser that has brought a code, and waits to hear what came of it.
pub(crate) struct Browser(oneshot::Sender<Page>);

impl Browser {
    /// Says whether somebody is signed in now.
    pub(crate) async fn hear(self, is_signed_in: bool) {
        show(self.0, if is_signed_in { Page::SignedIn } else { Page::Failed }).await;
    }
}

async fn show(browser: oneshot::Sender<Page>, page: Page) {
    if browser.send(page).is_ok() {
        // The process may end a moment later.
        tokio::time::sleep(PAGE_TIMEOUT).await;
    }
}

/// The code that the browser brings, and the browser.
pub(crate) async fn code(
    listener: TcpListener,
    consent: &AuthorizationRequest,
    source: &SourceName,
) -> Result<(SecretString, Browser), LoginError> {
    let (found, mut answers) = mpsc::channel(CONNECTIONS);
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    let until = Instant::now() + Duration::from_secs(WITHIN_MINUTES * 60);
    loop {
        tokio::select! {
            () = tokio::time::sleep_until(until) => {
                return Err(LoginError::Nobody { minutes: WITHIN_MINUTES });
            }
            // A place first: whoever comes while all are taken is not turned away, but waits for one.
            (place, accepted) = async { (places.clone().acquire_owned().await, listener.accept().await) } => {
                let Ok((socket, _)) = accepted else {
                    // Out of sockets, which come back.
                    tokio::time::sleep(Duration::from_millis(20)).await;
                    continue;
                };
                let found = found.clone();
                tokio::spawn(async move {
                    let service = service_fn(move |request| answer(request, found.clone()));
                    let served = http1::Builder::new()
                        .timer(TokioTimer::new())
                        .header_read_timeout(ASKED_TIMEOUT)
                        .keep_alive(false)
                        .serve_connection(TokioIo::new(socket), service);
                    let _however_it_ends = tokio::time::timeout(CONNECTION_TIMEOUT, served).await;
                    drop(place);
                });
            }
            Some((answer, browser)) = answers.recv() => {
                let (answer, browser): Asked = (answer, browser);
                match answer.code(consent, source) {
                    Ok(Some(code)) => return Ok((code, Browser(browser))),
                    // Of another question: whoever sent it has no say.
                    Ok(None) => drop(browser.send(Page::NotAsked)),
                    Err(error) => {
                        show(browser, Page::Refused).await;
                        return Err(error);
                    }
                }
            }
        }
    }
}

/// What the person in front of the browser is told.
#[derive(Clone, Copy)]
enum Page {
    SignedIn,
    Failed,
    Refused,
    NotAsked,
    NotFound,
}

type Asked = (Answer, oneshot::Sender<Page>);

async fn answer(
    request: Request<hyper::body::Incoming>,
    found: mpsc::Sender<Asked>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let page = if request.uri().path() == "/" && request.method() == hyper::Method::GET {
        let answer = Answer::of_query(request.uri().query().unwrap_or_default());
        let (browser, page) = oneshot::channel();
        match found.try_send((answer, browser)) {
            Ok(()) => page.await.unwrap_or(Page::NotAsked),
            Err(_) => Page::NotAsked,
        }
    } else {
        Page::NotFound
    };
    Ok(page.response())
}

impl Page {
    fn response(self) -> Response<Full<Bytes>> {
        let (status, text) = match self {
            Self::SignedIn => (StatusCode::OK, "You are signed in. This page can be closed."),
            Self::Failed => (
                StatusCode::BAD_GATEWAY,
                "You are not signed in. What went wrong is where meetfs was started.",
            ),
            Self::Refused => (StatusCode::OK, "Nothing was permitted. This page can be closed."),
            Self::NotAsked => {
                (StatusCode::BAD_REQUEST, "This does not belong to the sign-in under way.")
            }
            Self::NotFound => (StatusCode::NOT_FOUND, "There is nothing here."),
        };
        let body = format!(
            "<!DOCTYPE html><html lang=\"en\"><meta charset=\"utf-8\"><title>meetfs</title><p>{text}</p></html>\n"
        );
        let mut response = Response::new(Full::new(Bytes::from(body)));
        *response.status_mut() = status;
        for (name, value) in [
            ("content-type", "text/html; charset=utf-8"),
            ("cache-control", "no-store"),
            // The code is in this page's address.
            ("referrer-policy", "no-referrer"),
            ("content-security-policy", "default-src 'none'"),
        ] {
            response.headers_mut().insert(name, hyper::header::HeaderValue::from_static(value));
        }
        response
    }
}
