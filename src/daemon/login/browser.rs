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
use tokio::sync::{Semaphore, mpsc};
use tokio::time::Instant;

use super::LoginError;
use super::pasted::Answer;
use crate::model::SourceName;
use crate::providers::Consent;

/// How long somebody may take to sign in and agree, a second factor included. Longer, and a port would stay open for
/// nobody.
const WITHIN_MINUTES: u64 = 10;

/// A browser opens a few connections at once, some of which it never uses.
const CONNECTIONS: usize = 16;

/// How long a connection may stay without asking anything.
const CONNECTION_WITHIN: Duration = Duration::from_secs(10);

/// The port that the browser comes back to, on this machine alone.
pub(super) async fn listen(port: u16) -> Result<TcpListener, LoginError> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await.map_err(|cause| LoginError::Port { port, cause })
}

/// The code that the browser brings.
pub(super) async fn code(
    listener: TcpListener,
    consent: &Consent,
    source: &SourceName,
) -> Result<SecretString, LoginError> {
    let (found, mut answers) = mpsc::channel(CONNECTIONS);
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    let until = Instant::now() + Duration::from_secs(WITHIN_MINUTES * 60);
    loop {
        tokio::select! {
            () = tokio::time::sleep_until(until) => {
                return Err(LoginError::Nobody { minutes: WITHIN_MINUTES });
            }
            accepted = listener.accept() => {
                let (Ok((socket, _)), Ok(place)) = (accepted, places.clone().try_acquire_owned()) else {
                    // Out of sockets or places; both come back.
                    tokio::time::sleep(Duration::from_millis(20)).await;
                    continue;
                };
                let found = found.clone();
                tokio::spawn(async move {
                    let service = service_fn(move |request| answer(request, found.clone()));
                    let served = http1::Builder::new()
                        .timer(TokioTimer::new())
                        .keep_alive(false)
                        .serve_connection(TokioIo::new(socket), service);
                    let _however_it_ends = tokio::time::timeout(CONNECTION_WITHIN, served).await;
                    drop(place);
                });
            }
            Some((answer, reply)) = answers.recv() => {
                let (answer, reply): (Answer, tokio::sync::oneshot::Sender<Page>) = (answer, reply);
                match answer.code(consent, source) {
                    Ok(Some(code)) => {
                        let _closed_meanwhile = reply.send(Page::SignedIn);
                        // The page is on its way when the process ends a moment later.
                        tokio::time::sleep(Duration::from_millis(100)).await;
                        return Ok(code);
                    }
                    // Of another question: whoever sent it has no say.
                    Ok(None) => drop(reply.send(Page::NotAsked)),
                    Err(error) => {
                        let _closed_meanwhile = reply.send(Page::Refused);
                        tokio::time::sleep(Duration::from_millis(100)).await;
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
    Refused,
    NotAsked,
    NotFound,
}

type Asked = (Answer, tokio::sync::oneshot::Sender<Page>);

async fn answer(
    request: Request<hyper::body::Incoming>,
    found: mpsc::Sender<Asked>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let page = if request.uri().path() == "/" && request.method() == hyper::Method::GET {
        let answer = Answer::of_query(request.uri().query().unwrap_or_default());
        let (reply, page) = tokio::sync::oneshot::channel();
        match found.try_send((answer, reply)) {
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
            Self::Refused => (StatusCode::OK, "Nothing was permitted. This page can be closed."),
            Self::NotAsked => (StatusCode::BAD_REQUEST, "This does not belong to the sign-in under way."),
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
