//! The one HTTP client, and interface calls through it.

use std::collections::{BTreeMap, HashMap};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use parking_lot::Mutex;
use reqwest::header::{ACCEPT, ACCEPT_ENCODING, AUTHORIZATION, HeaderMap, HeaderValue};
use reqwest::redirect::Policy;
use secrecy::{ExposeSecret, SecretString};
use tokio::time::Instant;

use super::circuit_breaker::CircuitBreaker;
use super::connection_pool::{
    BRIEF_PER_CONNECTION, ConnectionPermit, ConnectionPool, TrafficClass,
};
use super::error::{HttpError, origin};
use super::priority::Priority;
use super::rate_limiter::RateLimiter;
use super::retry;
use crate::model::SecretUrl;

/// The longest interface reply taken. A page of 300 meetings with a dozen files each is below 3 MiB; anything
/// near this limit is a mistake or an attack on memory.
const REPLY_LIMIT: usize = 32 * 1024 * 1024;

/// Time to open a connection, TLS included: over a slow mobile line it takes two to three seconds, a dropped
/// first packet adds one or three.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Times one interface call is tried: enough for two server restarts' worth of 5xx with the waits of
/// [`retry::backoff`], few enough that a dead service is reported within its deadline.
const CALL_TRIES: usize = 5;

/// An interface call: JSON in the reply, a credential in the header, a bound on the time.
#[derive(Debug)]
pub struct ApiRequest {
    /// Where to ask.
    pub address: SecretUrl,
    /// The whole `Authorization` header value.
    pub authorization: Option<SecretString>,
    /// Fields of a form to `POST`; `None` makes it a `GET`.
    pub form: Option<Vec<(&'static str, SecretString)>>,
    /// Bound on the call with all its retries and waits.
    pub within: Duration,
    /// The limiter that counts the call; `None` if the provider publishes no limit.
    pub rate_limiter: Option<Arc<RateLimiter>>,
    /// What the call is for.
    pub priority: Priority,
}

/// How the fields of a call are written into its body.
#[derive(Clone, Copy)]
enum Encoding {
    Form,
    Json,
}

/// What an interface call brought: any status but those that were retried to the end.
#[derive(Debug)]
pub struct ApiReply {
    /// The HTTP status.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// The body, at most 32 MiB.
    pub body: Vec<u8>,
}

/// HTTP connections shared by everything in the process. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Client {
    http: reqwest::Client,
    hosts: Arc<Mutex<HashMap<String, Arc<ConnectionPool>>>>,
    breakers: Arc<Mutex<HashMap<String, Arc<CircuitBreaker>>>>,
    rate_limiters: Arc<Mutex<HashMap<String, Arc<RateLimiter>>>>,
    connections: usize,
}

impl Client {
    /// A client that follows no redirect, sends no `Referer`, asks for no compression, and has at most `connections`
    /// to a host for what takes longer than a round trip.
    ///
    /// # Errors
    /// [`HttpError::Setup`] when the system's root certificates or the resolver cannot be used.
    pub fn new(connections: usize) -> Result<Self, HttpError> {
        // A second installation in one process is refused and harmless: the provider is the same.
        let _already_installed = rustls::crypto::ring::default_provider().install_default();
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
            .map_err(|error| HttpError::Setup(super::error::cause_of(error)))?;
        Ok(Self {
            http,
            hosts: Arc::default(),
            breakers: Arc::default(),
            rate_limiters: Arc::default(),
            connections,
        })
    }

    /// Asks once more after transport errors, 429 and 5xx, as long as tries and time last.
    ///
    /// # Errors
    /// Whatever the last try met: unreachable, too slow, rate limited for longer than the call may take, still
    /// failing, or too large.
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

    /// As [`call`](Self::call), but a reply whose status is `taken` comes back at once: its caller has something
    /// better to do than to ask the same again.
    ///
    /// # Errors
    /// As [`call`](Self::call).
    pub async fn call_accepting(
        &self,
        request: &ApiRequest,
        taken: fn(u16) -> bool,
    ) -> Result<ApiReply, HttpError> {
        self.call_as(request, Encoding::Form, taken).await
    }

    async fn call_as(
        &self,
        request: &ApiRequest,
        encoding: Encoding,
        taken: fn(u16) -> bool,
    ) -> Result<ApiReply, HttpError> {
        let deadline = Instant::now() + request.within;
        let host = origin(&request.address);
        let mut waits = retry::backoff(CALL_TRIES - 1);
        loop {
            let attempt = tokio::time::timeout_at(deadline, async {
                if request.priority.is_for_reader() {
                    self.admit(&request.address).await?;
                }
                let closed = |wait| HttpError::RateLimited { host: host.clone(), wait };
                let _permit = match &request.rate_limiter {
                    Some(limiter) => Some(limiter.acquire(request.priority).await.map_err(closed)?),
                    None => None,
                };
                self.call_once(request, encoding).await
            });
            let (failure, asked) = match attempt.await {
                Err(_elapsed) => return Err(HttpError::TimedOut { host, after: request.within }),
                Ok(Ok(reply)) if taken(reply.status) => return Ok(reply),
                Ok(Ok(reply)) if reply.status == 429 => {
                    let wait = retry::retry_after(&reply.headers, SystemTime::now())
                        .unwrap_or_else(retry::unstated_wait);
                    if let Some(limiter) = &request.rate_limiter
                        && Instant::now() + wait >= deadline
                    {
                        // Others need not find out one by one.
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
            let Some(backoff) = waits.next() else { return Err(failure) };
            let wait = asked.map_or(backoff, |asked| asked.max(backoff));
            if Instant::now() + wait >= deadline {
                return Err(failure);
            }
            tracing::debug!(%host, wait_ms = wait.as_millis(), "{failure}; trying again");
            tokio::time::sleep(wait).await;
        }
    }

    async fn call_once(
        &self,
        request: &ApiRequest,
        encoding: Encoding,
    ) -> Result<ApiReply, HttpError> {
        /// Bound on the wait for a reply to begin, and for each piece of it: a server that says nothing for
        /// this long has lost the call, and a second try in a call's usual half minute may meet a healthy one.
        /// Zoom's slowest pages begin within a few seconds. It is no bound on the whole: three megabytes take
        /// their time on a slow line.
        const SILENCE: Duration = Duration::from_secs(15);
        let _place = self.place(&request.address, TrafficClass::Interactive).await;
        let transport = |error| HttpError::from_transport(error, &request.address, CONNECT_TIMEOUT);
        let silent = |_| HttpError::TimedOut { host: origin(&request.address), after: SILENCE };
        let url = request.address.expose().clone();
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
        let asked = self.asked(&request.address);
        let mut response = match tokio::time::timeout(SILENCE, builder.send()).await {
            Ok(Ok(response)) => {
                asked.answered_with(response.status());
                response
            }
            failure => {
                asked.failed();
                failure.map_err(silent)?.map_err(transport)?
            }
        };
        let mut body = Vec::new();
        while let Some(chunk) = tokio::time::timeout(SILENCE, response.chunk())
            .await
            .map_err(silent)?
            .map_err(transport)?
        {
            if body.len() + chunk.len() > REPLY_LIMIT {
                return Err(HttpError::TooLarge {
                    host: origin(&request.address),
                    limit: REPLY_LIMIT,
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

    /// The most connections to a host for what takes longer than a round trip.
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

    /// A `GET` for bytes; the caller reads the response.
    pub(super) fn get(&self, address: &SecretUrl) -> reqwest::RequestBuilder {
        self.http.get(address.expose().clone())
    }

    /// What was heard of the address's host.
    pub(super) fn breaker(&self, address: &SecretUrl) -> Arc<CircuitBreaker> {
        self.breakers.lock().entry(origin(address)).or_default().clone()
    }

    /// What was heard of every host that was asked.
    pub(super) fn breakers(&self) -> Vec<(String, Arc<CircuitBreaker>)> {
        self.breakers.lock().iter().map(|(host, breaker)| (host.clone(), breaker.clone())).collect()
    }

    /// Waits for one of the places of the address's host. Callers bound the wait by their deadline.
    pub(super) async fn place(
        &self,
        address: &SecretUrl,
        class: TrafficClass,
    ) -> Option<ConnectionPermit> {
        let new = || ConnectionPool::new(self.connections);
        let places = self.hosts.lock().entry(origin(address)).or_insert_with(new).clone();
        places.take(class).await
    }
}

/// A header value that the HTTP stack's own logs will not print.
pub(super) fn sensitive(value: &str) -> Result<HeaderValue, HttpError> {
    let mut header = HeaderValue::from_str(value).map_err(|_| {
        HttpError::Setup("a credential holds a character that no header may hold".into())
    })?;
    header.set_sensitive(true);
    Ok(header)
}
