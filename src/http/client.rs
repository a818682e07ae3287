//! The HTTP client: connections, rate limiters and circuit breakers, and API calls with retries.

use std::collections::{BTreeMap, HashMap};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use jiff::Timestamp;
use parking_lot::Mutex;
use reqwest::header::{ACCEPT, ACCEPT_ENCODING, AUTHORIZATION, HeaderMap, HeaderValue};
use reqwest::redirect::Policy;
use reqwest::{RequestBuilder, Response};
use secrecy::{ExposeSecret, SecretString};
use tokio::time::Instant;

use super::circuit_breaker::{
    BreakerState, CircuitBreaker, FAILING_TIMEOUT, PROBE_INTERVAL, PendingRequest,
};
use super::connection_pool::{
    BRIEF_PER_CONNECTION, ConnectionPermit, ConnectionPool, TrafficClass,
};
use super::error::{HttpError, TransportError, origin};
use super::priority::Priority;
use super::rate_limiter::RateLimiter;
use super::retry;
use super::transfer::Transfer;
use crate::model::SecretUrl;

/// Upper bound for the body of an API reply. A page of 300 meetings with a dozen files each is
/// below 3 MiB. Anything near this limit is a fault or an attack on memory.
const MAX_REPLY_LENGTH: usize = 32 * 1024 * 1024;

/// Time to open a connection, TLS included. It takes two to three seconds on a slow mobile line,
/// and a lost first packet adds one or three.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Time for the head of a reply, and for each part of its body. A server that sends nothing for
/// this long has lost the call, and a retry can reach a healthy one within the usual timeout of 30
/// s. The slowest API pages begin within a few seconds. The whole body has no bound of its own:
/// three megabytes take longer on a slow line.
const STALL_TIMEOUT: Duration = Duration::from_secs(15);

/// Attempts per API call. With the delays of [`retry::backoff`] they outlast the 5xx of two server
/// restarts, and a dead service is reported within the timeout of the call.
const MAX_CALL_ATTEMPTS: usize = 5;

/// Time for the probe of a host that is down. A reply that takes longer does not help a reader.
const PROBE_TIMEOUT: Duration = Duration::from_secs(2);

/// A call of an API: a credential in the header, JSON in the reply.
#[derive(Debug)]
pub struct ApiRequest {
    pub url: SecretUrl,
    /// The complete value of the `Authorization` header.
    pub authorization: Option<SecretString>,
    /// The fields of a form to `POST`; `None` makes it a `GET`.
    pub form: Option<Vec<(&'static str, SecretString)>>,
    /// Bound on the call with all its retries and delays.
    pub timeout: Duration,
    /// The limiter that counts the call; `None` if the provider publishes no limit.
    pub rate_limiter: Option<Arc<RateLimiter>>,
    /// What the call is for.
    pub priority: Priority,
}

/// How the fields of a call are encoded in its body.
#[derive(Clone, Copy)]
enum Encoding {
    Form,
    Json,
}

/// A reply of an API, with any status that is not retried.
#[derive(Debug)]
pub struct ApiReply {
    pub status: u16,
    pub headers: HeaderMap,
    /// The body, at most 32 MiB.
    pub body: Vec<u8>,
}

/// A host whose circuit breaker is open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DownHost {
    /// Scheme and host.
    pub host: String,
    /// Time of the first failure after the last good reply.
    pub since: Timestamp,
    /// Time from which the next read probes the host.
    pub next: Timestamp,
}

/// HTTP connections shared by the whole process. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Client {
    http: reqwest::Client,
    pools: Arc<Mutex<HashMap<String, Arc<ConnectionPool>>>>,
    breakers: Arc<Mutex<HashMap<String, Arc<CircuitBreaker>>>>,
    rate_limiters: Arc<Mutex<HashMap<String, Arc<RateLimiter>>>>,
    connections: usize,
}

impl Client {
    /// Creates a client that follows no redirect, sends no `Referer`, requests no compression, and
    /// opens at most `connections` per host for transfers that take longer than a round trip.
    ///
    /// # Errors
    /// [`HttpError::Setup`] if the root certificates or the resolver of the system cannot be used.
    pub fn new(connections: usize) -> Result<Self, HttpError> {
        // A second installation in one process is rejected and harmless: the provider is the same.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        let http = reqwest::Client::builder()
            .user_agent(concat!("meetfs/", env!("CARGO_PKG_VERSION")))
            .default_headers(headers)
            .redirect(Policy::none())
            .referer(false)
            .http1_only()
            .tcp_nodelay(true)
            .connect_timeout(CONNECT_TIMEOUT)
            .pool_max_idle_per_host(connections * (1 + BRIEF_PER_CONNECTION))
            .build()
            .map_err(|error| HttpError::Setup(TransportError::new(error)))?;
        Ok(Self {
            http,
            pools: Arc::default(),
            breakers: Arc::default(),
            rate_limiters: Arc::default(),
            connections,
        })
    }

    /// Calls an API. Retries after transport errors, 429 and 5xx while attempts and time last.
    ///
    /// # Errors
    /// The error of the last attempt: unreachable, too slow, rate limited for longer than the
    /// timeout, still failing, or too large.
    pub async fn call(&self, request: &ApiRequest) -> Result<ApiReply, HttpError> {
        self.call_as(request, Encoding::Form, |_status| false).await
    }

    /// As [`call`](Self::call), with the fields of the form posted as a JSON object.
    ///
    /// # Errors
    /// As [`call`](Self::call).
    pub async fn call_with_json(&self, request: &ApiRequest) -> Result<ApiReply, HttpError> {
        self.call_as(request, Encoding::Json, |_status| false).await
    }

    /// As [`call`](Self::call), but a reply with an `accepted` status is returned without a retry.
    ///
    /// # Errors
    /// As [`call`](Self::call).
    pub async fn call_accepting(
        &self,
        request: &ApiRequest,
        accepted: fn(u16) -> bool,
    ) -> Result<ApiReply, HttpError> {
        self.call_as(request, Encoding::Form, accepted).await
    }

    async fn call_as(
        &self,
        request: &ApiRequest,
        encoding: Encoding,
        accepted: fn(u16) -> bool,
    ) -> Result<ApiReply, HttpError> {
        let deadline = Instant::now() + request.timeout;
        let host = origin(&request.url);
        let mut delays = retry::backoff(MAX_CALL_ATTEMPTS - 1);
        loop {
            let attempt = tokio::time::timeout_at(deadline, async {
                if request.priority.is_for_reader() {
                    self.admit(&request.url).await?;
                }
                let closed = |wait| HttpError::RateLimited { host: host.clone(), wait };
                let _permit = match &request.rate_limiter {
                    Some(limiter) => Some(limiter.acquire(request.priority).await.map_err(closed)?),
                    None => None,
                };
                self.call_once(request, encoding).await
            });
            let (error, retry_after) = match attempt.await {
                Err(_elapsed) => {
                    return Err(HttpError::TimedOut { host, timeout: request.timeout });
                }
                Ok(Ok(reply)) if accepted(reply.status) => return Ok(reply),
                Ok(Ok(reply)) if reply.status == 429 => {
                    let wait = retry::retry_after(&reply.headers, SystemTime::now())
                        .unwrap_or_else(retry::default_retry_after);
                    if let Some(limiter) = &request.rate_limiter
                        && Instant::now() + wait >= deadline
                    {
                        // Other calls would receive the same reply.
                        limiter.close(wait);
                    }
                    (HttpError::RateLimited { host: host.clone(), wait }, Some(wait))
                }
                Ok(Ok(reply)) if reply.status >= 500 => (
                    HttpError::ServerError { host: host.clone(), status: reply.status },
                    retry::retry_after(&reply.headers, SystemTime::now()),
                ),
                Ok(Ok(reply)) => return Ok(reply),
                Ok(Err(error @ (HttpError::Unreachable { .. } | HttpError::TimedOut { .. }))) => {
                    (error, None)
                }
                Ok(Err(error)) => return Err(error),
            };
            let Some(backoff) = delays.next() else { return Err(error) };
            let delay = retry_after.map_or(backoff, |wait| wait.max(backoff));
            if Instant::now() + delay >= deadline {
                return Err(error);
            }
            tracing::debug!(
                %host,
                delay_ms = delay.as_millis(),
                "retrying after: {}",
                crate::model::one_line(&error)
            );
            tokio::time::sleep(delay).await;
        }
    }

    async fn call_once(
        &self,
        request: &ApiRequest,
        encoding: Encoding,
    ) -> Result<ApiReply, HttpError> {
        let _permit = self.connection_permit(&request.url, TrafficClass::Interactive, None).await;
        let url = request.url.expose().clone();
        let mut builder = match &request.form {
            None => self.http.get(url),
            Some(fields) => {
                let fields: BTreeMap<_, _> =
                    fields.iter().map(|(name, value)| (*name, value.expose_secret())).collect();
                match encoding {
                    Encoding::Form => self.http.post(url).form(&fields),
                    Encoding::Json => self.http.post(url).json(&fields),
                }
            }
        };
        builder = builder.header(ACCEPT, "application/json");
        if let Some(value) = &request.authorization {
            builder = builder.header(AUTHORIZATION, sensitive(value.expose_secret())?);
        }
        let mut response = self
            .send(builder, &request.url, STALL_TIMEOUT)
            .await
            .map_err(|error| error.into_http_error(&request.url, STALL_TIMEOUT))?;
        let stalled =
            |_| HttpError::TimedOut { host: origin(&request.url), timeout: STALL_TIMEOUT };
        let broken = |error| HttpError::from_transport(error, &request.url, CONNECT_TIMEOUT);
        let mut body = Vec::new();
        while let Some(chunk) = tokio::time::timeout(STALL_TIMEOUT, response.chunk())
            .await
            .map_err(stalled)?
            .map_err(broken)?
        {
            if body.len() + chunk.len() > MAX_REPLY_LENGTH {
                return Err(HttpError::TooLarge {
                    host: origin(&request.url),
                    limit: MAX_REPLY_LENGTH,
                });
            }
            body.extend_from_slice(&chunk);
        }
        Ok(ApiReply {
            status: response.status().as_u16(),
            headers: response.headers().clone(),
            body,
        })
    }

    /// Returns the maximum of connections per host for transfers that take longer than a round
    /// trip.
    pub fn connections(&self) -> usize {
        self.connections
    }

    /// Returns the rate limiter called `name`, shared by all callers. It is created with `limit`
    /// calls per second; a later `limit` is ignored.
    pub fn rate_limiter(&self, name: &str, limit: NonZeroU32) -> Arc<RateLimiter> {
        self.rate_limiters
            .lock()
            .entry(name.to_owned())
            .or_insert_with(|| Arc::new(RateLimiter::new(limit)))
            .clone()
    }

    /// Returns the hosts whose circuit breaker is open, by name.
    pub fn hosts_down(&self) -> Vec<DownHost> {
        let (now, clock) = (Instant::now(), Timestamp::now());
        let breakers: Vec<_> = self
            .breakers
            .lock()
            .iter()
            .map(|(host, breaker)| (host.clone(), breaker.clone()))
            .collect();
        let mut down: Vec<_> = breakers
            .into_iter()
            .filter_map(|(host, breaker)| {
                let (failing, next_probe) = breaker.outage(now)?;
                let since = clock.checked_sub(failing).ok()?;
                let next = clock.checked_add(next_probe).ok()?;
                Some(DownHost { host, since, next })
            })
            .collect();
        down.sort_by(|one, other| one.host.cmp(&other.host));
        down
    }

    /// Checks the circuit breaker of the host of `url`. Probes the host if it is down and a probe
    /// is due.
    ///
    /// # Errors
    /// [`HttpError::Down`] if a read that needs the host should fail at once.
    pub async fn admit(&self, url: &SecretUrl) -> Result<(), HttpError> {
        let breaker = self.breaker(url);
        let began = Instant::now();
        let failing = match breaker.state(began) {
            BreakerState::Closed => return Ok(()),
            BreakerState::Open(failing) => failing,
            BreakerState::HalfOpen => {
                let mut root = url.expose().clone();
                root.set_path("/");
                root.set_query(None);
                let probe = self.http.get(root).send();
                match tokio::time::timeout(PROBE_TIMEOUT, probe).await {
                    Ok(Ok(reply)) if !reply.status().is_server_error() => {
                        breaker.record_success();
                        return Ok(());
                    }
                    _ => breaker.record_failure(began),
                }
                FAILING_TIMEOUT
            }
        };
        Err(HttpError::Down { host: origin(url), failing, retry_interval: PROBE_INTERVAL })
    }

    /// Returns a `GET` request for bytes.
    pub(super) fn get(&self, url: &SecretUrl) -> RequestBuilder {
        self.http.get(url.expose().clone())
    }

    /// Sends a request to the host of `url` and reports its outcome to the circuit breaker.
    pub(super) async fn send(
        &self,
        request: RequestBuilder,
        url: &SecretUrl,
        timeout: Duration,
    ) -> Result<Response, SendError> {
        let pending = PendingRequest::start(self.breaker(url));
        match tokio::time::timeout(timeout, request.send()).await {
            Ok(Ok(response)) => {
                pending.record_reply(response.status());
                Ok(response)
            }
            Ok(Err(error)) => {
                pending.record_failure();
                Err(SendError::Transport(error))
            }
            Err(_elapsed) => {
                pending.record_failure();
                Err(SendError::TimedOut)
            }
        }
    }

    /// Waits for a connection to the host of `url`. Callers bound the wait by their deadline.
    pub(super) async fn connection_permit(
        &self,
        url: &SecretUrl,
        class: TrafficClass,
        transfer: Option<&Arc<Transfer>>,
    ) -> Option<ConnectionPermit> {
        let new = || ConnectionPool::new(self.connections);
        let pool = self.pools.lock().entry(origin(url)).or_insert_with(new).clone();
        pool.acquire(class, transfer).await
    }

    fn breaker(&self, url: &SecretUrl) -> Arc<CircuitBreaker> {
        self.breakers.lock().entry(origin(url)).or_default().clone()
    }
}

/// Why a request has no reply.
#[derive(Debug)]
pub(super) enum SendError {
    TimedOut,
    Transport(reqwest::Error),
}

impl SendError {
    /// Converts the error of a request to `url` that was given `timeout`.
    pub(super) fn into_http_error(self, url: &SecretUrl, timeout: Duration) -> HttpError {
        match self {
            Self::TimedOut => HttpError::TimedOut { host: origin(url), timeout },
            // The client sets no other timeout of its own.
            Self::Transport(error) => HttpError::from_transport(error, url, CONNECT_TIMEOUT),
        }
    }
}

/// Returns a header value that the HTTP stack does not log.
pub(super) fn sensitive(value: &str) -> Result<HeaderValue, HttpError> {
    let mut header = HeaderValue::from_str(value).map_err(|_| HttpError::InvalidCredential)?;
    header.set_sensitive(true);
    Ok(header)
}
