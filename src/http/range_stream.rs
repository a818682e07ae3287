//! Reads a range as a stream that survives broken bodies and expired leases.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use super::client::Client;
use super::connection_pool::TrafficClass;
use super::fetch_error::{FetchCause, FetchError};
use super::lease_source::{LeaseSource, MAX_LEASE_ATTEMPTS};
use super::length_proof::is_length_proved;
use super::priority::Priority;
use super::range::{ByteRange, ExpectedFile};
use super::range_body::{RangeBody, RangeRequest};
use super::range_error::RangeError;
use super::retry;
use super::transfer::Transfer;
use super::validator::{HEAD_LENGTH, Validator};
use crate::model::{Lease, one_line};

/// Maximum number of consecutive attempts without a new byte. The attempts are also bounded by the
/// timeout. This limit only prevents a flood of requests to a server that fails at once.
const MAX_ATTEMPTS: usize = 40;

/// Maximum wait for a reply or a chunk, regardless of the timeout of the stream. A viewer gives up
/// after ten seconds.
const MAX_STALL_TIMEOUT: Duration = Duration::from_secs(10);

/// Minimum length of a partial reply to a longer range. RFC 9110, 15.3.7 allows any length, but a
/// server that sends less would cost one request for every few bytes.
const MIN_PARTIAL_REPLY: u64 = 16 * 1024;

/// Maximum number of retries after replies with another version of the file. Servers that share the
/// load may send different tags for the same bytes, and a retry may reach the server whose tag is
/// known. If the file has really changed, this costs two more requests.
const MAX_OTHER_VERSIONS: u32 = 2;

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
    /// Maximum time without a new byte.
    timeout: Duration,
    body: Option<RangeBody>,
    transfer: Arc<Transfer>,
    total: Option<u64>,
    /// Number of consecutive refused leases.
    refusals: u32,
    /// Number of consecutive replies with another version of the file.
    other_versions: u32,
    /// Whether the version is checked because the bytes are joined with those of other requests. It
    /// is not checked if the stream is only used to find out the length of the file.
    checks_version: bool,
    /// Whether the circuit breaker has been checked. It is checked only once, when the stream
    /// begins.
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
    /// Creates a stream over `range`. The first call of [`chunk`](Self::chunk) or
    /// [`open`](Self::open) sends the first request.
    ///
    /// `timeout` is the maximum time without a new byte, including all retries.
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
            checks_version: expected.total.is_some(),
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
            other_versions: 0,
            is_admitted: false,
        }
    }

    /// Returns the served length of the whole file, which is known after the first reply.
    pub fn total(&self) -> Option<u64> {
        self.total
    }

    /// Returns the validator of the served version, which is known after the first reply.
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
    /// The error that persists after retries: new leases are refused, too, the file no longer
    /// exists or has changed, its length differs, or no byte arrives within the timeout.
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
                Ok(Err(StepError::Repeat)) => continue,
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
        self.other_versions = 0;
        if self.position >= body.end() {
            self.body = None;
        }
        Ok(chunk)
    }

    async fn open_body(&mut self) -> Result<RangeBody, StepError> {
        let lease = self.leases.current(self.priority).await.map_err(StepError::from)?;
        if !std::mem::replace(&mut self.is_admitted, true) {
            let down = |error| StepError::Final(FetchError::Down(FetchCause::new(error)));
            self.client.check_breaker(&lease.url).await.map_err(down)?;
        }
        let leases = self.leases.clone();
        let request = RangeRequest {
            lease: &lease,
            range: ByteRange { start: self.position, end: self.end },
            expected: &self.expected,
            class: self.class,
            transfer: &self.transfer,
            stall_timeout: self.stall_timeout(),
            is_error_body: &|body| leases.is_error_body(body),
        };
        tracing::debug!(origin = %lease.url, start = self.position, end = self.end, "range request");
        let mut body = match RangeBody::open(&self.client, request).await {
            Ok(body) => body,
            Err(error) => return Err(self.classify(error, &lease).await),
        };
        tracing::debug!(start = self.position, total = body.total, "range reply");
        if body.end() < self.end.min(body.total) && body.end() - self.position < MIN_PARTIAL_REPLY {
            let length = body.end() - self.position;
            return Err(StepError::Transient(
                format!("only {length} of the requested bytes were sent").into(),
                None,
            ));
        }
        if self.checks_version {
            self.check_version(&mut body, &lease).await?;
        }
        self.leases.report_served(&lease);
        self.total = Some(body.total);
        self.expected.total = Some(body.total);
        self.end = self.end.min(body.total);
        Ok(body)
    }

    /// Checks that a reply contains the same version as the earlier replies. The version of the
    /// first reply becomes the expected one.
    async fn check_version(
        &mut self,
        body: &mut RangeBody,
        lease: &Arc<Lease>,
    ) -> Result<(), StepError> {
        let expected = self.expected.validator.clone();
        let needs_head = match &expected {
            Some(validator) => validator.needs_head(),
            None => body.version.strong_tag.is_none(),
        };
        let head_length = HEAD_LENGTH.min(body.total);
        let is_inside = body.contains_head(head_length);
        let head = match (needs_head, is_inside) {
            (false, _) => None,
            (true, true) => Some(body.peek(head_length as usize).await.map_err(StepError::from)?),
            (true, false) => Some(self.fetch_head(lease, head_length, body.total).await?),
        };
        let Some(expected) = expected else {
            let version = &body.version;
            let validator = match (&version.strong_tag, &head) {
                (Some(tag), _) => Validator::strong(tag),
                (None, head) => Validator::of_head(version, head.as_deref().unwrap_or_default()),
            };
            self.expected.validator = Some(validator);
            // The file may have changed between this reply and the one with the head.
            return if needs_head && !is_inside { Err(StepError::Repeat) } else { Ok(()) };
        };
        if expected.agrees_with(&body.version, head.as_deref()) {
            return Ok(());
        }
        let cause = "the content at this URL has changed".to_owned();
        Err(self.classify(RangeError::Changed(cause), lease).await)
    }

    /// Fetches the start of the file, to determine the version of a reply without a strong tag.
    async fn fetch_head(
        &mut self,
        lease: &Arc<Lease>,
        length: u64,
        total: u64,
    ) -> Result<Bytes, StepError> {
        let leases = self.leases.clone();
        let request = RangeRequest {
            lease,
            range: ByteRange { start: 0, end: length },
            expected: &ExpectedFile { total: Some(total), ..self.expected.clone() },
            // The stream already holds a permit. If it waited for another one of the same kind, two
            // streams could wait for each other.
            class: TrafficClass::Brief,
            transfer: &Arc::default(),
            stall_timeout: self.stall_timeout(),
            is_error_body: &|body| leases.is_error_body(body),
        };
        let reply = async {
            let mut body = RangeBody::open(&self.client, request).await?;
            body.peek(length as usize).await
        };
        match reply.await {
            Ok(head) if head.len() as u64 == length => Ok(head),
            Ok(_short) => Err(RangeError::transient("the start of the file was not sent").into()),
            Err(error) => Err(self.classify(error, lease).await),
        }
    }

    /// Returns a third of the timeout, so a stalled request can be repeated in time.
    fn stall_timeout(&self) -> Duration {
        (self.timeout / 3).min(MAX_STALL_TIMEOUT)
    }

    async fn classify(&mut self, error: RangeError, lease: &Arc<Lease>) -> StepError {
        match error {
            // The download URL may point to another file by now. If the reply is the same with
            // another lease, it is final.
            RangeError::NotTheFile(cause) if self.refusals == 0 => self.refuse(&cause, lease),
            RangeError::Refused(cause) | RangeError::Missing(cause)
                if self.refusals + 1 < MAX_LEASE_ATTEMPTS =>
            {
                self.refuse(&cause, lease)
            }
            RangeError::Refused(cause) => {
                let cause = format!("{cause} from {}", lease.url);
                self.refuse_finally(FetchError::NotAllowed(cause.into()), lease)
            }
            RangeError::Missing(cause) => {
                let cause = format!("{cause} from {}", lease.url);
                self.refuse_finally(FetchError::Gone(cause.into()), lease)
            }
            RangeError::WrongTotal { served } => self.check_total(served, lease).await,
            RangeError::Changed(cause) if self.other_versions < MAX_OTHER_VERSIONS => {
                self.other_versions += 1;
                StepError::Transient(cause.into(), None)
            }
            other => StepError::from(other),
        }
    }

    /// Decides about a stated length that differs from the expected one. The error is final only if
    /// the length is proved.
    async fn check_total(&self, served: u64, lease: &Lease) -> StepError {
        match is_length_proved(&self.client, lease, served, self.stall_timeout()).await {
            Ok(true) => StepError::Final(FetchError::WrongTotal {
                expected: self.expected.total.unwrap_or_default(),
                served,
            }),
            Ok(false) => {
                let expected = self.expected.total.unwrap_or_default();
                let statement = format!(
                    "the server states a length of {served} bytes in place of {expected}, and does \
                     not serve a file of that length"
                );
                StepError::Transient(statement.into(), None)
            }
            Err(error) => error.into(),
        }
    }

    fn refuse(&mut self, cause: &str, lease: &Arc<Lease>) -> StepError {
        tracing::debug!(at = self.position, "{cause}; requesting another lease");
        self.refusals += 1;
        self.leases.report_refused(lease);
        StepError::Repeat
    }

    fn refuse_finally(&self, error: FetchError, lease: &Arc<Lease>) -> StepError {
        self.leases.report_final_refusal(lease, &error);
        StepError::Final(error)
    }
}

/// The reason why a step returned no bytes.
enum StepError {
    Final(FetchError),
    /// The next step starts at once, with another lease or with a known version.
    Repeat,
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
            RangeError::Transient(cause, retry_after) => Self::Transient(cause.into(), retry_after),
            RangeError::Refused(cause) => Self::Final(FetchError::NotAllowed(cause.into())),
            RangeError::Missing(cause) => Self::Final(FetchError::Gone(cause.into())),
            RangeError::NotTheFile(cause) => Self::Final(FetchError::NotTheFile(cause.into())),
            RangeError::Changed(cause) => Self::Final(FetchError::Changed(cause.into())),
            RangeError::WrongTotal { served } => {
                Self::Final(FetchError::WrongTotal { expected: 0, served })
            }
        }
    }
}
