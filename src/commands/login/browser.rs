//! The loopback server that the browser is redirected to (RFC 8252, section 7.3).

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

use super::error::LoginError;
use super::redirect::Redirect;
use crate::model::SourceName;
use crate::providers::AuthorizationRequest;

/// Time limit for the sign-in in the browser, including a second factor. Afterwards, the port is
/// closed.
const SIGN_IN_TIMEOUT_MINUTES: u64 = 10;

/// Maximum number of open connections. A browser opens a few at once and uses one of them. Further
/// connections wait.
const MAX_CONNECTIONS: usize = 16;

/// Timeout for receiving the request on a connection.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// Timeout for a whole connection. The response reports whether the token exchange succeeded, so
/// this timeout must be longer than the exchange.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(60);

/// Delay before the process exits, in which the last response is sent.
const LAST_RESPONSE_DELAY: Duration = Duration::from_millis(100);

/// Delay after a failed `accept`. The usual cause is that no file descriptor is free. One becomes
/// free when a connection closes.
const ACCEPT_RETRY_DELAY: Duration = Duration::from_millis(20);

/// Opens the port for the redirect, on the loopback interface only.
pub(crate) async fn listen(port: u16) -> Result<TcpListener, LoginError> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port))
        .await
        .map_err(|source| LoginError::Port { port, source })
}

/// The browser that delivered the code and waits for a response.
pub(crate) struct Browser(oneshot::Sender<Page>);

impl Browser {
    pub(crate) async fn show_result(self, is_signed_in: bool) {
        respond(self.0, if is_signed_in { Page::SignedIn } else { Page::Failed }).await;
    }
}

/// Sends the last response before the process exits.
async fn respond(browser: oneshot::Sender<Page>, page: Page) {
    if browser.send(page).is_ok() {
        tokio::time::sleep(LAST_RESPONSE_DELAY).await;
    }
}

/// Waits for the redirect that answers `authorization_request`, and returns its code.
///
/// # Errors
/// [`LoginError::TimedOut`] and [`LoginError::Refused`]
pub(crate) async fn wait_for_code(
    listener: TcpListener,
    authorization_request: &AuthorizationRequest,
    source: &SourceName,
) -> Result<(SecretString, Browser), LoginError> {
    let (sender, mut redirects) = mpsc::channel(MAX_CONNECTIONS);
    let permits = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let deadline = Instant::now() + Duration::from_secs(SIGN_IN_TIMEOUT_MINUTES * 60);
    loop {
        tokio::select! {
            () = tokio::time::sleep_until(deadline) => {
                return Err(LoginError::TimedOut { minutes: SIGN_IN_TIMEOUT_MINUTES });
            }
            // The permit is acquired first, so a connection over the limit waits in the backlog and
            // is not closed.
            (permit, accepted) = async {
                (permits.clone().acquire_owned().await, listener.accept().await)
            } => {
                let Ok((socket, _)) = accepted else {
                    tokio::time::sleep(ACCEPT_RETRY_DELAY).await;
                    continue;
                };
                let sender = sender.clone();
                tokio::spawn(async move {
                    let service = service_fn(move |request| serve(request, sender.clone()));
                    let connection = http1::Builder::new()
                        .timer(TokioTimer::new())
                        .header_read_timeout(REQUEST_TIMEOUT)
                        .keep_alive(false)
                        .serve_connection(TokioIo::new(socket), service);
                    // If a connection fails, the browser repeats the request.
                    let _ = tokio::time::timeout(CONNECTION_TIMEOUT, connection).await;
                    drop(permit);
                });
            }
            Some(BrowserRequest { redirect, response }) = redirects.recv() => {
                match redirect.code(authorization_request, source) {
                    Ok(Some(code)) => return Ok((code, Browser(response))),
                    // A request that does not belong to this sign-in must not end it.
                    Ok(None) => drop(response.send(Page::OtherSignIn)),
                    Err(error) => {
                        respond(response, Page::Refused).await;
                        return Err(error);
                    }
                }
            }
        }
    }
}

/// A redirect, and the channel for the response to the browser.
struct BrowserRequest {
    redirect: Redirect,
    response: oneshot::Sender<Page>,
}

async fn serve(
    request: Request<hyper::body::Incoming>,
    redirects: mpsc::Sender<BrowserRequest>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let page = if request.uri().path() == "/" && request.method() == hyper::Method::GET {
        let redirect = Redirect::parse_query(request.uri().query().unwrap_or_default());
        let (response, page) = oneshot::channel();
        match redirects.try_send(BrowserRequest { redirect, response }) {
            Ok(()) => page.await.unwrap_or(Page::OtherSignIn),
            Err(_) => Page::OtherSignIn,
        }
    } else {
        Page::NotFound
    };
    Ok(page.response())
}

/// The page that the browser shows.
#[derive(Clone, Copy)]
enum Page {
    SignedIn,
    Failed,
    Refused,
    /// The redirect does not belong to this sign-in.
    OtherSignIn,
    NotFound,
}

impl Page {
    fn response(self) -> Response<Full<Bytes>> {
        let (status, text) = match self {
            Self::SignedIn => (StatusCode::OK, "You are signed in. You can close this page."),
            Self::Failed => (
                StatusCode::BAD_GATEWAY,
                "The sign-in failed. The terminal that runs meetfs shows the reason.",
            ),
            Self::Refused => (StatusCode::OK, "Permission was refused. You can close this page."),
            Self::OtherSignIn => {
                (StatusCode::BAD_REQUEST, "This request does not belong to the current sign-in.")
            }
            Self::NotFound => (StatusCode::NOT_FOUND, "Not found."),
        };
        let body = format!(
            "<!DOCTYPE html><html lang=\"en\"><meta charset=\"utf-8\"><title>meetfs</title>\
             <p>{text}</p></html>\n"
        );
        let mut response = Response::new(Full::new(Bytes::from(body)));
        *response.status_mut() = status;
        for (name, value) in [
            ("content-type", "text/html; charset=utf-8"),
            ("cache-control", "no-store"),
            // The URL of this page contains the code.
            ("referrer-policy", "no-referrer"),
            ("content-security-policy", "default-src 'none'"),
        ] {
            response.headers_mut().insert(name, hyper::header::HeaderValue::from_static(value));
        }
        response
    }
}
