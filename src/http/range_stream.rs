//! A range as a stream that survives broken bodies and expired leases.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use super::client::Client;
use super::connection_pool::TrafficClass;
use super::fetch_error::{FetchCause, FetchError};
use super::lease_source::{LeaseSource, MAX_LEASE_ATTEMPTS};
use super::priority::Priority;
use super::range::{ByteRange, ExpectedFile, Validator};
use super::range_body::{RangeBody, RangeRequest};
use super::range_error::RangeError;
use super::retry;
use super::transfer::Transfer;
use crate::model::{Lease, one_line};

/// Consecutive attempts without a new byte. Time bounds them; this limit only protects a server
/// that fails at once from a flood of requests.
const MAX_ATTEMPTS: usize = 40;

/// Upper bound for the wait for a reply or a chunk, whatever the timeout of the stream. A viewer
/// gives up after ten seconds.
const MAX_STALL_TIMEOUT: Duration = Duration::from_secs(10);

/// Yields exactly the bytes of a range, in order. After a broken body it resumes at the missing
/// byte.
pub struct RangeStream {
    client: Client,
    leases: Arc<dyn LeaseSource>,
    expected: ExpectedFile,
    position: u64,
    end: u64,
    class: TrafficClass,
    priority: Priority,
    /// Bound on the time without a new byte.
    timeout: Duration,
    body: Option<RangeBody>,
    transfer: Arc<Transfer>,
    total: Option<u64>,
    /// Consecutive refused leases.
    refusals: u32,
    /// Whether the circuit breaker was checked: only a stream that begins fails by it.
    is_admitted: bool,
}

impl std::fmt::Debug for RangeStream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RangeStream")
            .field("position", &self.position)
            .field("end", &self.end)
            .finish()
    }
}

impl RangeStream {
    /// Creates a stream over `range`; the first [`chunk`](Self::chunk) sends the first request.
    ///
    /// `timeout` bounds the time without a new byte, with all retries.
    pub fn new(
        client: Client,
        leases: Arc<dyn LeaseSource>,
        range: ByteRange,
        expected: ExpectedFile,
        (class, priority): (TrafficClass, Priority),
        timeout: Duration,
    ) -> Self {
        Self {
            client,
            leases,
            expected,
            position: range.start,
            end: range.end,
            class,
            priority,
            timeout,
            body: None,
            transfer: Arc::default(),
            total: None,
            refusals: 0,
            is_admitted: false,
        }
    }

    /// Returns the length of the whole file as served, known after the first reply.
    pub fn total(&self) -> Option<u64> {
        self.total
    }

    /// Returns the strong validator as served, known after the first reply.
    pub fn validator(&self) -> Option<&Validator> {
        self.expected.validator.as_ref()
    }

    /// Waits for the head of the reply without consuming bytes.
    ///
    /// # Errors
    /// As [`chunk`](Self::chunk).
    pub async fn open(&mut self) -> Result<(), FetchError> {
        if self.body.is_some() || self.position >= self.end {
            return Ok(());
        }
        self.retry_step(false).await.map(|_no_bytes| ())
    }

    /// Returns the next bytes; `None` after the last one of the range.
    ///
    /// # Errors
    /// The error that persists after retries: refused with new leases, gone, changed, another
    /// length, or no byte within the timeout.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, FetchError> {
        if self.position >= self.end {
            return Ok(None);
        }
        self.retry_step(true).await
    }

    async fn retry_step(&mut self, wants_bytes: bool) -> Result<Option<Bytes>, FetchError> {
        let deadline = Instant::now() + self.timeout;
        let mut delays = retry::backoff(MAX_ATTEMPTS);
        let mut last = FetchCause::from("the server did not answer");
        loop {
            let step = tokio::time::timeout_at(deadline, self.step(wants_bytes)).await;
            let (cause, retry_after) = match step {
                Err(_elapsed) => return Err(FetchError::Deadline(last)),
                Ok(Ok(bytes)) => return Ok(bytes),
                Ok(Err(StepError::Final(error))) => return Err(error),
                Ok(Err(StepError::LeaseRefused)) => continue,
                Ok(Err(StepError::Transient(cause, retry_after))) => (cause, retry_after),
            };
            self.body = None;
            let Some(backoff) = delays.next() else { return Err(FetchError::Deadline(cause)) };
            let delay = retry_after.map_or(backoff, |wait| wait.max(backoff));
            if Instant::now() + delay >= deadline {
                return Err(FetchError::Deadline(cause));
            }
            tracing::debug!(
                at = self.position,
                "resuming at the missing byte after: {}",
                one_line(&cause)
            );
            last = cause;
            tokio::time::sleep(delay).await;
        }
    }

    async fn step(&mut self, wants_bytes: bool) -> Result<Option<Bytes>, StepError> {
        let body = match self.body.take() {
            Some(body) => body,
            None => self.open_body().await?,
        };
        let body = self.body.insert(body);
        if !wants_bytes {
            return Ok(None);
        }
        let chunk = body.chunk().await.map_err(StepError::from)?;
        self.position = body.position();
        self.refusals = 0;
        if self.position >= self.end {
            self.body = None;
        }
        Ok(chunk)
    }

    async fn open_body(&mut self) -> Result<RangeBody, StepError> {
        let lease = self.leases.current(self.priority).await.map_err(StepError::from)?;
        if !std::mem::replace(&mut self.is_admitted, true) {
            let down = |error| StepError::Final(FetchError::Down(FetchCause::new(error)));
            self.client.admit(&lease.url).await.map_err(down)?;
        }
        let leases = self.leases.clone();
        let request = RangeRequest {
            lease: &lease,
            range: ByteRange { start: self.position, end: self.end },
            expected: &self.expected,
            class: self.class,
            transfer: &self.transfer,
            // A third of the timeout, so that a stalled request is repeated in time.
            stall_timeout: (self.timeout / 3).min(MAX_STALL_TIMEOUT),
            is_error_body: &|body| leases.is_error_body(body),
        };
        tracing::debug!(origin = %lease.url, start = self.position, end = self.end, "range request");
        let body = match RangeBody::open(&self.client, request).await {
            Ok(body) => body,
            Err(error) => return Err(self.classify(error, &lease)),
        };
        tracing::debug!(start = self.position, total = body.total, "range reply");
        self.leases.report_served(&lease);
        self.total = Some(body.total);
        self.expected.total = Some(body.total);
        self.end = self.end.min(body.total);
        if body.validator.is_some() {
            self.expected.validator.clone_from(&body.validator);
        }
        Ok(body)
    }

    fn classify(&mut self, error: RangeError, lease: &Arc<Lease>) -> StepError {
        match error {
            // The download URL can lead elsewhere by now. Under another lease
            // the reply is final.
            RangeError::NotTheFile(why) if self.refusals == 0 => self.refuse(&why, lease),
            RangeError::Refused(why) | RangeError::Missing(why)
                if self.refusals + 1 < MAX_LEASE_ATTEMPTS =>
            {
                self.refuse(&why, lease)
            }
            RangeError::Refused(why) => {
                let cause = format!("{why} from {}", lease.url);
                self.refuse_finally(FetchError::NotAllowed(cause.into()), lease)
            }
            RangeError::Missing(why) => {
                let cause = format!("{why} from {}", lease.url);
                self.refuse_finally(FetchError::Gone(cause.into()), lease)
            }
            RangeError::WrongTotal { served } => StepError::Final(FetchError::WrongTotal {
                expected: self.expected.total.unwrap_or_default(),
                served,
            }),
            other => StepError::from(other),
        }
    }

    fn refuse(&mut self, why: &str, lease: &Arc<Lease>) -> StepError {
        tracing::debug!(at = self.position, "{why}; requesting another lease");
        self.refusals += 1;
        self.leases.report_refused(lease);
        StepError::LeaseRefused
    }

    fn refuse_finally(&self, error: FetchError, lease: &Arc<Lease>) -> StepError {
        self.leases.report_final_refusal(lease, &error);
        StepError::Final(error)
    }
}

/// Why a step returned no bytes.
enum StepError {
    Final(FetchError),
    /// The next step uses another lease.
    LeaseRefused,
    Transient(FetchCause, Option<Duration>),
}

impl From<FetchError> for StepError {
    fn from(error: FetchError) -> Self {
        match error {
            FetchError::Failed(cause) => Self::Transient(cause, None),
            other => Self::Final(other),
        }
    }
}

impl From<RangeError> for StepError {
    fn from(error: RangeError) -> Self {
        match error {
            RangeError::Transient(why, retry_after) => Self::Transient(why.into(), retry_after),
            RangeError::Refused(why) => Self::Final(FetchError::NotAllowed(why.into())),
            RangeError::Missing(why) => Self::Final(FetchError::Gone(why.into())),
            RangeError::NotTheFile(why) => Self::Final(FetchError::NotTheFile(why.into())),
            RangeError::Changed(why) => Self::Final(FetchError::Changed(why.into())),
            RangeError::WrongTotal { served } => {
                Self::Final(FetchError::WrongTotal { expected: 0, served })
            }
        }
    }
}
