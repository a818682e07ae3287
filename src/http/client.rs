//! The HTTP client: connections, rate limiters and circuit breakers, and API calls with retries.

use std::collections::{BTreeMap, HashMap};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use jiff::Timestamp;
use parking_lot::Mutex;
use reqwest::header::{ACCEPT, ACCEPT_ENCODING, AUTHORIZATION, HeaderMap, HeaderValue};
use reqwest::redirect::Policy;
use reqwest::{Certificate, RequestBuilder, Response};
use secrecy::{ExposeSecret, SecretString};
use tokio::time::Instant;

use super::bandwidth_limiter::BandwidthLimiter;
use super::circuit_breaker::{
    BreakerState, CircuitBreaker, MIN_OUTAGE, PROBE_INTERVAL, PendingRequest,
};
use super::connection_pool::{
    ConnectionPermit, ConnectionPool, QueuePosition, TrafficClass, max_brief_permits,
};
use super::error::{HttpError, TransportError, origin};
use super::priority::Priority;
use super::rate_limiter::RateLimiter;
use super::request_counters::{CodeClass, Operation, RequestCounters};
use super::retry;
#[cfg(test)]
use super::simulated_server::SimulatedTransport;
use super::transfer::Transfer;
use super::transport::Transport;
#[cfg(test)]
use crate::model::TableSize;
use crate::model::{SecretUrl, current_time};

/// Maximum length of the body of an API reply. A page of 300 meetings with a dozen files each has
/// less than 3 MiB, and a meeting with 10,000 files has less than 8 MiB. A longer body is a server
/// error or an attack that tries to use up memory. Several replies can be in memory at the same
/// time.
const MAX_REPLY_LENGTH: usize = 16 * 1024 * 1024;

/// Timeout for opening a connection, including TLS. Opening one takes two to three seconds on a
/// slow mobile line, and a lost first packet adds one to three seconds.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Timeout for the head of a reply and for each chunk of its body. If a server sends nothing for
/// this long, the attempt fails, and a retry can still reach a healthy server within the usual
/// timeout of 30 s. The slowest API pages begin within a few seconds. The whole body has no
/// timeout, because a body of three megabytes takes longer than this on a slow line.
const STALL_TIMEOUT: Duration = Duration::from_secs(15);

/// Maximum number of attempts per API call. With the delays of [`retry::backoff`], the attempts
/// outlast two restarts of a server, during which the server returns 5xx. The call still reports an
/// unreachable service within its timeout.
const MAX_CALL_ATTEMPTS: usize = 5;

/// Maximum number of attempts of a diagnostic call. One lost connection must not be reported as an
/// outage, and the user waits for the result.
const MAX_DIAGNOSTIC_ATTEMPTS: usize = 2;

/// Timeout for the probe of a host that is down. A reply that takes longer does not help a reader.
const PROBE_TIMEOUT: Duration = Duration::from_secs(2);

/// An API call, with a credential in a header and JSON in the reply.
#[derive(Debug)]
pub struct ApiRequest {
    pub url: SecretUrl,
    /// The complete value of the `Authorization` header.
    pub authorization: Option<SecretString>,
    /// The form fields of a `POST` request; `None` for a `GET` request.
    pub form: Option<Vec<(&'static str, SecretString)>>,
    /// Maximum duration of the call, including all retries and delays.
    pub timeout: Duration,
    /// The rate limiter that counts the call; `None` if the provider publishes no rate limit.
    pub rate_limiter: Option<Arc<RateLimiter>>,
    pub priority: Priority,
}

impl ApiRequest {
    /// Returns the purpose of the call. Only requests for tokens are sent as a form.
    fn operation(&self) -> Operation {
        match (&self.form, self.priority.is_for_reader()) {
            (Some(_), _) => Operation::Token,
            (None, true) => Operation::Lease,
            (None, false) => Operation::Catalog,
        }
    }
}

/// The encoding of the form fields in the body of a call.
#[derive(Clone, Copy)]
enum Encoding {
    Form,
    Json,
}

/// The reply of an API, with a status that is not retried.
#[derive(Debug)]
pub struct ApiReply {
    pub status: u16,
    pub headers: HeaderMap,
    /// The body, which has at most 16 MiB.
    pub body: Vec<u8>,
}

/// A host that is down: its circuit breaker is open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DownHost {
    /// Origin of the host: scheme, host name and port.
    pub host: String,
    /// The time of the first failure after the last good reply.
    pub failing_since: Timestamp,
    /// The time from which the next read probes the host.
    pub next_probe: Timestamp,
}

/// The connections to one host that requests use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostConnections {
    /// Origin of the host: scheme, host name and port.
    pub host: String,
    /// Number of requests in flight.
    pub in_use: usize,
    /// Number of requests that wait for a connection.
    pub waiting: usize,
    /// Maximum number of requests in flight at present. It is temporarily lower than
    /// `configured_limit` if the host is overloaded.
    pub limit: usize,
    pub configured_limit: usize,
}

/// The HTTP client. All parts of the process share its connections. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Client {
    /// Builds the requests.
    http: reqwest::Client,
    /// Sends the requests.
    transport: Arc<dyn Transport>,
    pools: Arc<Mutex<HashMap<String, Arc<ConnectionPool>>>>,
    breakers: Arc<Mutex<HashMap<String, Arc<CircuitBreaker>>>>,
    rate_limiters: Arc<Mutex<HashMap<String, Arc<RateLimiter>>>>,
    max_connections: usize,
    /// Limits the file contents of all hosts.
    bandwidth_limiter: Option<Arc<BandwidthLimiter>>,
    /// Counts the requests of this client and its clones.
    counters: Arc<RequestCounters>,
}

impl Client {
    /// Creates a client that follows no redirects, sends no `Referer` header and requests no
    /// compression. It opens at most `max_connections` connections per host for transfers that take
    /// longer than one round trip.
    ///
    /// # Errors
    /// [`HttpError::Setup`] if the root certificates or the resolver of the system cannot be used.
    pub fn new(max_connections: usize) -> Result<Self, HttpError> {
        Self::trusting([], max_connections)
    }

    /// Creates a client like [`new`](Self::new), which also trusts the authorities with these
    /// certificates in DER format.
    ///
    /// # Errors
    /// The same as those of [`new`](Self::new), or a certificate is invalid.
    pub fn trusting<'a>(
        certificates: impl IntoIterator<Item = &'a [u8]>,
        max_connections: usize,
    ) -> Result<Self, HttpError> {
        // A second call in the same process fails. That is harmless, because the cryptography
        // provider is already installed.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        let setup_error = |error| HttpError::Setup(TransportError::new(error));
        let certificates = certificates
            .into_iter()
            .map(Certificate::from_der)
            .collect::<Result<Vec<_>, _>>()
            .map_err(setup_error)?;
        let http = reqwest::Client::builder()
            .tls_certs_merge(certificates)
            .user_agent(concat!("meetfs/", env!("CARGO_PKG_VERSION")))
            .default_headers(headers)
            .redirect(Policy::none())
            .referer(false)
            .http1_only()
            .tcp_nodelay(true)
            .connect_timeout(CONNECT_TIMEOUT)
            .pool_max_idle_per_host(max_connections + max_brief_permits(max_connections))
            .build()
            .map_err(setup_error)?;
        Ok(Self {
            transport: Arc::new(http.clone()),
            http,
            pools: Arc::default(),
            breakers: Arc::default(),
            rate_limiters: Arc::default(),
            max_connections,
            bandwidth_limiter: None,
            counters: Arc::default(),
        })
    }

    /// Limits the bandwidth of all file contents. `bytes_per_second` must not be 0.
    pub fn with_bandwidth_limit(self, bytes_per_second: Option<u64>) -> Self {
        let bandwidth_limiter = bytes_per_second.map(BandwidthLimiter::new).map(Arc::new);
        Self { bandwidth_limiter, ..self }
    }

    /// Returns a client that counts its requests in `counters`. It shares everything else with this
    /// client.
    pub fn with_counters(self, counters: Arc<RequestCounters>) -> Self {
        Self { counters, ..self }
    }

    pub(super) fn counters(&self) -> &RequestCounters {
        &self.counters
    }

    /// Returns the bandwidth limiter of all file contents, if there is one.
    pub fn bandwidth_limiter(&self) -> Option<&Arc<BandwidthLimiter>> {
        self.bandwidth_limiter.as_ref()
    }

    /// Creates a client that sends its requests to a server in the same process.
    #[cfg(test)]
    pub(crate) fn with_server(
        connections: usize,
        server: Arc<dyn super::SimulatedServer>,
    ) -> Result<Self, HttpError> {
        let client = Self::new(connections)?;
        let http = client.http.clone();
        Ok(Self { transport: Arc::new(SimulatedTransport { server, http }), ..client })
    }

    /// Calls an API. Retries after transport errors and after status 429 and 5xx, until the maximum
    /// number of attempts or the timeout is reached.
    ///
    /// # Errors
    /// The error of the last attempt. The host is unreachable or too slow, requests a delay beyond
    /// the timeout, still returns server errors, or sent a reply that is too large.
    pub async fn call(&self, request: &ApiRequest) -> Result<ApiReply, HttpError> {
        self.call_with_encoding(request, Encoding::Form, |_status| false).await
    }

    /// Calls an API like [`call`](Self::call), but with at most two attempts.
    ///
    /// # Errors
    /// The same as those of [`call`](Self::call).
    pub async fn call_for_diagnosis(&self, request: &ApiRequest) -> Result<ApiReply, HttpError> {
        let (encoding, max_attempts) = (Encoding::Form, MAX_DIAGNOSTIC_ATTEMPTS);
        self.call_with_attempts(request, encoding, |_status| false, max_attempts).await
    }

    /// Calls an API like [`call`](Self::call), but sends the form fields as a JSON object.
    ///
    /// # Errors
    /// The same as those of [`call`](Self::call).
    pub async fn call_with_json(&self, request: &ApiRequest) -> Result<ApiReply, HttpError> {
        self.call_with_encoding(request, Encoding::Json, |_status| false).await
    }

    /// Calls an API like [`call`](Self::call), but does not retry a reply if `is_accepted` returns
    /// `true` for its status. Such a reply is returned.
    ///
    /// # Errors
    /// The same as those of [`call`](Self::call).
    pub async fn call_accepting(
        &self,
        request: &ApiRequest,
        is_accepted: fn(u16) -> bool,
    ) -> Result<ApiReply, HttpError> {
        self.call_with_encoding(request, Encoding::Form, is_accepted).await
    }

    async fn call_with_encoding(
        &self,
        request: &ApiRequest,
        encoding: Encoding,
        is_accepted: fn(u16) -> bool,
    ) -> Result<ApiReply, HttpError> {
        self.call_with_attempts(request, encoding, is_accepted, MAX_CALL_ATTEMPTS).await
    }

    async fn call_with_attempts(
        &self,
        request: &ApiRequest,
        encoding: Encoding,
        is_accepted: fn(u16) -> bool,
        max_attempts: usize,
    ) -> Result<ApiReply, HttpError> {
        let deadline = Instant::now() + request.timeout;
        let host = origin(&request.url);
        let mut delays = retry::backoff(max_attempts.saturating_sub(1));
        loop {
            let attempt = tokio::time::timeout_at(deadline, async {
                if request.priority.is_for_reader() {
                    self.check_breaker(&request.url).await?;
                }
                let to_rate_limit_error =
                    |wait| HttpError::RateLimited { host: host.clone(), wait };
                let _permit = match &request.rate_limiter {
                    Some(limiter) => {
                        Some(limiter.acquire(request.priority).await.map_err(to_rate_limit_error)?)
                    }
                    None => None,
                };
                self.call_once(request, encoding).await
            });
            let (error, retry_after) = match attempt.await {
                Err(_elapsed) => {
                    return Err(HttpError::TimedOut { host, timeout: request.timeout });
                }
                Ok(Ok(reply)) if is_accepted(reply.status) => return Ok(reply),
                Ok(Ok(reply)) if reply.status == 429 => {
                    let wait = retry::retry_after(&reply.headers, SystemTime::now())
                        .unwrap_or_else(retry::default_retry_after);
                    if let Some(limiter) = &request.rate_limiter
                        && Instant::now() + wait >= deadline
                    {
                        // Closing the limiter also delays the other calls, which would get the same
                        // reply.
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
                "retrying after an error: {}",
                crate::model::one_line(&error)
            );
            self.counters.record_retry(request.operation());
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
            builder = builder.header(AUTHORIZATION, sensitive_header(value.expose_secret())?);
        }
        let mut response = self
            .send(builder, &request.url, STALL_TIMEOUT, request.operation())
            .await
            .map_err(|error| error.into_http_error(&request.url, STALL_TIMEOUT))?;
        let to_stall_error =
            |_| HttpError::TimedOut { host: origin(&request.url), timeout: STALL_TIMEOUT };
        let to_transport_error =
            |error| HttpError::from_transport(error, &request.url, CONNECT_TIMEOUT);
        let mut body = Vec::new();
        while let Some(chunk) = tokio::time::timeout(STALL_TIMEOUT, response.chunk())
            .await
            .map_err(to_stall_error)?
            .map_err(to_transport_error)?
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

    /// Returns the maximum number of connections per host for transfers that take longer than one
    /// round trip.
    pub fn max_connections(&self) -> usize {
        self.max_connections
    }

    /// Returns the rate limiter called `name`, which all callers share. The first call creates it
    /// with `limit` calls per second, and later calls ignore `limit`.
    pub fn rate_limiter(&self, name: &str, limit: NonZeroU32) -> Arc<RateLimiter> {
        self.rate_limiters
            .lock()
            .entry(name.to_owned())
            .or_insert_with(|| Arc::new(RateLimiter::new(limit)))
            .clone()
    }

    /// Returns the hosts that are down, sorted by name.
    pub fn hosts_down(&self) -> Vec<DownHost> {
        let (now, wall_time) = (Instant::now(), current_time());
        let breakers: Vec<_> = self
            .breakers
            .lock()
            .iter()
            .map(|(host, breaker)| (host.clone(), breaker.clone()))
            .collect();
        let mut down_hosts: Vec<_> = breakers
            .into_iter()
            .filter_map(|(host, breaker)| {
                let (failing_for, until_probe) = breaker.outage(now)?;
                let failing_since = wall_time.checked_sub(failing_for).ok()?;
                let next_probe = wall_time.checked_add(until_probe).ok()?;
                Some(DownHost { host, failing_since, next_probe })
            })
            .collect();
        down_hosts.sort_by(|one, other| one.host.cmp(&other.host));
        down_hosts
    }

    /// Returns the connections of each host that has been contacted, sorted by name.
    pub fn connections(&self) -> Vec<HostConnections> {
        let pools: Vec<_> =
            self.pools.lock().iter().map(|(host, pool)| (host.clone(), pool.clone())).collect();
        let mut connections: Vec<_> = pools
            .into_iter()
            .map(|(host, pool)| {
                let load = pool.load();
                HostConnections {
                    host,
                    in_use: load.in_use,
                    waiting: load.waiting,
                    limit: load.limit,
                    configured_limit: load.configured_limit,
                }
            })
            .collect();
        connections.sort_by(|one, other| one.host.cmp(&other.host));
        connections
    }

    /// Checks the circuit breaker of the host of `url`. If the host is down and a probe is due,
    /// sends the probe: a request for the path `/`. If another caller is sending a probe, waits for
    /// its result, for at most [`PROBE_TIMEOUT`].
    ///
    /// # Errors
    /// [`HttpError::Down`] if the host is down, so a read that needs it must fail at once.
    pub async fn check_breaker(&self, url: &SecretUrl) -> Result<(), HttpError> {
        let mut root_url = url.expose().clone();
        root_url.set_path("/");
        root_url.set_query(None);
        self.check_breaker_with(url, self.http.get(root_url)).await
    }

    /// Checks the circuit breaker like [`check_breaker`](Self::check_breaker), with `probe` as the
    /// probe. It should request a few bytes of the file that a reader waits for: a server of files
    /// may fail for all other URLs.
    pub(super) async fn check_breaker_with(
        &self,
        url: &SecretUrl,
        probe: RequestBuilder,
    ) -> Result<(), HttpError> {
        let breaker = self.breaker(url);
        if breaker.outage(Instant::now()).is_none() {
            return Ok(());
        }
        let _probe_flight = breaker.probe_flight.lock().await;
        let start = Instant::now();
        let failing_for = match breaker.state(start) {
            BreakerState::Closed => return Ok(()),
            BreakerState::Open(failing_for) => failing_for,
            BreakerState::HalfOpen => {
                let reply = tokio::time::timeout(PROBE_TIMEOUT, self.execute(probe)).await;
                let code = match &reply {
                    Ok(Ok(reply)) => CodeClass::of(reply.status()),
                    _ => CodeClass::None,
                };
                self.counters.record_request(Operation::Probe, code);
                match reply {
                    Ok(Ok(reply)) if !reply.status().is_server_error() => {
                        breaker.record_success();
                        return Ok(());
                    }
                    _ => breaker.record_failure(start),
                }
                MIN_OUTAGE
            }
        };
        Err(HttpError::Down { host: origin(url), failing_for, retry_interval: PROBE_INTERVAL })
    }

    #[cfg(test)]
    pub(crate) fn table_sizes(&self) -> Vec<TableSize> {
        let breakers = self.breakers.lock().len();
        let pools: Vec<_> = self.pools.lock().values().cloned().collect();
        let loads: Vec<_> = pools.iter().map(|pool| pool.load()).collect();
        let limiters: Vec<_> = self.rate_limiters.lock().values().cloned().collect();
        let (calls, limits): (Vec<_>, Vec<_>) =
            limiters.iter().map(|limiter| limiter.load()).unzip();
        vec![
            TableSize::new("connection pools", pools.len()),
            TableSize::new("connection permits in use", loads.iter().map(|load| load.in_use).sum()),
            TableSize::new(
                "requests that wait for a permit",
                loads.iter().map(|load| load.waiting).sum(),
            ),
            TableSize::new("circuit breakers", breakers),
            TableSize::new("hosts that are down", self.hosts_down().len()),
            TableSize::new("rate limiters", limiters.len()),
            TableSize::new("counted API calls", calls.iter().sum()).with_limit(limits.iter().sum()),
        ]
    }

    /// Returns a `GET` request for the bytes of a file.
    pub(super) fn get(&self, url: &SecretUrl) -> RequestBuilder {
        self.http.get(url.expose().clone())
    }

    /// Sends a request to the host of `url`, counts it, and reports its outcome to the circuit
    /// breaker.
    pub(super) async fn send(
        &self,
        request: RequestBuilder,
        url: &SecretUrl,
        timeout: Duration,
        operation: Operation,
    ) -> Result<Response, SendError> {
        let pending_request = PendingRequest::start(self.breaker(url));
        let error = match tokio::time::timeout(timeout, self.execute(request)).await {
            Ok(Ok(response)) => {
                let status = response.status();
                pending_request.record_reply(status);
                self.counters.record_request(operation, CodeClass::of(status));
                return Ok(response);
            }
            Ok(Err(error)) => SendError::Transport(error),
            Err(_elapsed) => SendError::TimedOut,
        };
        pending_request.record_failure();
        self.counters.record_request(operation, CodeClass::None);
        Err(error)
    }

    async fn execute(&self, request: RequestBuilder) -> Result<Response, reqwest::Error> {
        self.transport.send(request.build()?).await
    }

    /// Waits for a permit to use a connection to the host of `url`. The wait has no timeout of its
    /// own, so the caller must set one.
    pub(super) async fn connection_permit(
        &self,
        url: &SecretUrl,
        class: TrafficClass,
        transfer: Option<&Arc<Transfer>>,
    ) -> Option<ConnectionPermit> {
        self.pool(url).acquire(class, transfer).await
    }

    /// Waits for a connection permit like [`connection_permit`](Self::connection_permit), from the
    /// given position in the queue.
    pub(super) async fn connection_permit_from(
        &self,
        position: QueuePosition,
        url: &SecretUrl,
        class: TrafficClass,
        transfer: Option<&Arc<Transfer>>,
    ) -> Option<ConnectionPermit> {
        self.pool(url).acquire_from(position, class, transfer).await
    }

    fn pool(&self, url: &SecretUrl) -> Arc<ConnectionPool> {
        let new_pool = || ConnectionPool::new(self.max_connections);
        self.pools.lock().entry(origin(url)).or_insert_with(new_pool).clone()
    }

    fn breaker(&self, url: &SecretUrl) -> Arc<CircuitBreaker> {
        let new_breaker = |host: &String| Arc::new(CircuitBreaker::new(host.clone()));
        self.breakers.lock().entry(origin(url)).or_insert_with_key(new_breaker).clone()
    }
}

/// The reason why a request got no reply.
#[derive(Debug)]
pub(super) enum SendError {
    TimedOut,
    Transport(reqwest::Error),
}

impl SendError {
    /// Converts the error of a request that was sent to `url` with the timeout `timeout`.
    pub(super) fn into_http_error(self, url: &SecretUrl, timeout: Duration) -> HttpError {
        match self {
            Self::TimedOut => HttpError::TimedOut { host: origin(url), timeout },
            // The HTTP library itself applies only the timeout for connecting.
            Self::Transport(error) => HttpError::from_transport(error, url, CONNECT_TIMEOUT),
        }
    }
}

/// Returns a header value that is marked as sensitive, so the HTTP library does not log it.
pub(super) fn sensitive_header(value: &str) -> Result<HeaderValue, HttpError> {
    let mut header = HeaderValue::from_str(value).map_err(|_| HttpError::InvalidCredential)?;
    header.set_sensitive(true);
    Ok(header)
}

#[cfg(test)]
mod tests {
    use super::super::{SimulatedHead, SimulatedReply, SimulatedRequest, SimulatedServer};
    use super::*;

    /// A server whose replies take a tenth of a second.
    struct SlowServer;

    impl SimulatedServer for SlowServer {
        fn reply(&self, _request: &SimulatedRequest<'_>) -> SimulatedReply {
            let head = SimulatedHead::Received { status: 404, headers: Vec::new() };
            SimulatedReply { delay: Duration::from_millis(100), head, body: Vec::new() }
        }
    }

    /// A server that serves files and fails for all other paths.
    struct FileServer;

    impl SimulatedServer for FileServer {
        fn reply(&self, request: &SimulatedRequest<'_>) -> SimulatedReply {
            let status = if request.path == "/file" { 206 } else { 503 };
            let head = SimulatedHead::Received { status, headers: Vec::new() };
            SimulatedReply { delay: Duration::ZERO, head, body: Vec::new() }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn host_that_serves_files_is_not_down() {
        let client = Client::with_server(1, Arc::new(FileServer)).unwrap();
        let url = SecretUrl::new("https://files.example/file".parse().unwrap());
        for _ in 0..2 {
            client.breaker(&url).record_failure(Instant::now());
        }
        tokio::time::advance(MIN_OUTAGE).await;
        assert!(client.check_breaker(&url).await.is_err());
        tokio::time::advance(PROBE_INTERVAL).await;
        assert!(client.check_breaker_with(&url, client.get(&url)).await.is_ok());
        assert!(client.check_breaker(&url).await.is_ok(), "the breaker is closed");
    }

    #[tokio::test(start_paused = true)]
    async fn reads_wait_for_the_probe_of_a_host() {
        let client = Client::with_server(1, Arc::new(SlowServer)).unwrap();
        let url = SecretUrl::new("https://down.example/file".parse().unwrap());
        let breaker = client.breaker(&url);
        for _ in 0..2 {
            breaker.record_failure(Instant::now());
        }
        tokio::time::advance(MIN_OUTAGE).await;
        let (first, second) = tokio::join!(client.check_breaker(&url), client.check_breaker(&url));
        assert!(first.is_ok() && second.is_ok(), "{first:?} {second:?}");
    }
}
