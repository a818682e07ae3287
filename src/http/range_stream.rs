//! Reads a byte range as a stream that survives broken bodies and expired leases.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use reqwest::header::RANGE;
use tokio::time::Instant;

use super::bandwidth_limiter::TransferLimiters;
use super::client::Client;
use super::connection_pool::{ConnectionPermit, QueuePosition, TrafficClass};
use super::fetch_error::{FetchCause, FetchError};
use super::lease_source::{LeaseSource, MAX_LEASE_ATTEMPTS};
use super::length_proof::is_length_proved;
use super::priority::Priority;
use super::range::{ByteRange, ExpectedFile};
use super::range_body::{BodyPart, RangeBody, RangeRequest, lease_request};
use super::range_error::RangeError;
use super::request_counters::Operation;
use super::retry;
use super::transfer::Transfer;
use super::validator::{HEAD_LENGTH, Validator};
use crate::model::{Lease, current_time, one_line};

/// Maximum number of consecutive attempts without a new byte. The timeout bounds the attempts as
/// well. This limit only prevents a flood of requests to a server that fails at once.
const MAX_ATTEMPTS: usize = 40;

/// Maximum wait for a reply or a chunk, even if the timeout of the stream is longer. A viewer gives
/// up after ten seconds.
const MAX_STALL_TIMEOUT: Duration = Duration::from_secs(10);

/// Minimum length of a reply that contains only a part of the requested range. RFC 9110, 15.3.7
/// allows any length, but with shorter replies every few bytes would cost a request.
const MIN_PARTIAL_REPLY_LENGTH: u64 = 16 * 1024;

/// Maximum number of retries after replies with another version of the file. Servers behind a load
/// balancer may send different tags for the same bytes, and a retry may reach the server whose tag
/// is known. With two such servers, one request in five hundred fails. If the file has really
/// changed, the retries cost eight more requests, once.
const MAX_VERSION_MISMATCHES: u32 = 8;

/// Maximum number of bytes that a stream receives and drops because the server sends the whole file
/// instead of a range. A line of 100 Mbit/s transfers this many bytes in 21 s, and the default
/// deadline of a read is 30 s.
pub const MAX_SKIPPED_BYTES: u64 = 256 * 1024 * 1024;

/// Minimum number of bytes that a body must deliver before it breaks off, so that the stream
/// resumes without a delay. The server and the line work, so the failure is probably isolated. A
/// server that breaks each body off after fewer bytes would receive a flood of requests.
const MIN_IMMEDIATE_RESUME_LENGTH: u64 = 128 * 1024;

/// How a stream checks that its replies contain the expected version of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VersionCheck {
    /// No check. This is sufficient if the stream only finds out the length of the file.
    Skip,
    /// Compares the strong tag of the reply with that of the file. If the tag of the file is not
    /// known, the tag of the reply becomes it. Sends no request.
    StrongTag,
    /// Every reply is compared. Required if the bytes are joined with those of other requests.
    /// Without a strong tag, the check can send a request for the first bytes of the file.
    Full,
}

/// Yields exactly the bytes of a range, in order. After a body breaks off, it resumes at the first
/// missing byte.
pub struct RangeStream {
    client: Client,
    leases: Arc<dyn LeaseSource>,
    expected: ExpectedFile,
    position: u64,
    /// The position at which the current or the last body began.
    body_start: u64,
    end: u64,
    class: TrafficClass,
    priority: Priority,
    /// Maximum time without a new byte.
    timeout: Duration,
    body: Option<RangeBody>,
    transfer: Arc<Transfer>,
    total_length: Option<u64>,
    /// Number of bytes before the range in all replies so far.
    skipped_bytes: u64,
    /// Number of consecutive leases that the server has refused.
    refusals: u32,
    /// Number of consecutive replies with another version of the file.
    version_mismatches: u32,
    version_check: VersionCheck,
    /// The queue position of the next request: [`QueuePosition::First`] after the server refused a
    /// request because it received too many.
    queue_position: QueuePosition,
    /// Whether the circuit breaker has been checked. It is checked only once, when the stream
    /// begins.
    is_breaker_checked: bool,
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
    /// Creates a stream of the bytes of `range`. The first call of [`chunk`](Self::chunk) or
    /// [`open`](Self::open) sends the first request.
    ///
    /// `timeout` is the maximum time without a new byte, including all retries. The time in which
    /// bytes before the range arrive does not count.
    pub fn new(
        client: Client,
        leases: Arc<dyn LeaseSource>,
        range: ByteRange,
        expected: ExpectedFile,
        (class, priority): (TrafficClass, Priority),
        timeout: Duration,
    ) -> Self {
        let client = match leases.request_counters() {
            Some(counters) => client.with_counters(counters.clone()),
            None => client,
        };
        Self {
            client,
            leases,
            version_check: match expected.total_length {
                Some(_) => VersionCheck::Full,
                None => VersionCheck::Skip,
            },
            expected,
            position: range.start,
            body_start: range.start,
            end: range.end,
            class,
            priority,
            timeout,
            body: None,
            transfer: Arc::default(),
            total_length: None,
            skipped_bytes: 0,
            refusals: 0,
            version_mismatches: 0,
            queue_position: QueuePosition::Last,
            is_breaker_checked: false,
        }
    }

    /// Sets how the version of each reply is checked. The default is a full check if the length of
    /// the file is known, and no check otherwise.
    pub fn with_version_check(self, version_check: VersionCheck) -> Self {
        Self { version_check, ..self }
    }

    /// Returns the length of the whole file as the server states it. It is known after the first
    /// reply.
    pub fn total_length(&self) -> Option<u64> {
        self.total_length
    }

    /// Returns the validator of the file version that the server serves. It is known after the
    /// first reply.
    pub fn validator(&self) -> Option<&Validator> {
        self.expected.validator.as_ref()
    }

    /// Waits for the head of the reply without consuming bytes.
    ///
    /// # Errors
    /// The same as those of [`chunk`](Self::chunk).
    pub async fn open(&mut self) -> Result<(), FetchError> {
        if self.body.is_some() || self.position >= self.end {
            return Ok(());
        }
        self.retry_until_deadline(false).await.map(|_no_bytes| ())
    }

    /// Returns the next bytes of the range, or `None` after the last byte.
    ///
    /// # Errors
    /// An error that persists after retries: the server also refuses new leases, the file no longer
    /// exists, the file or its length has changed, or no byte arrives within the timeout.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, FetchError> {
        if self.position >= self.end {
            return Ok(None);
        }
        self.retry_until_deadline(true).await
    }

    /// Whether the server sends the whole file instead of the requested range. It is known after
    /// [`open`](Self::open).
    pub fn sends_whole_file(&self) -> bool {
        self.body.as_ref().is_some_and(|body| {
            body.is_whole_file() && (self.position > 0 || self.end < body.total_length)
        })
    }

    /// Extends the range to all bytes of the file, because the server
    /// [sends the whole file](Self::sends_whole_file). Must be called before the first
    /// [`chunk`](Self::chunk).
    pub fn extend_to_whole_file(&mut self) {
        let Some(body) = self.body.as_mut().filter(|body| body.is_whole_file()) else { return };
        body.extend_to_whole_file();
        self.position = 0;
        self.body_start = 0;
        self.end = body.total_length;
        self.skipped_bytes = 0;
        self.class = TrafficClass::Bulk;
    }

    /// Waits for `event` without receiving bytes. If another request needs the connection during
    /// the wait, the stream closes it, and the next [`chunk`](Self::chunk) sends a new request.
    pub async fn pause(&mut self, event: impl Future<Output = ()>) {
        tokio::pin!(event);
        if self.body.is_some() && self.transfer.wait(&mut event).await.is_some() {
            return;
        }
        self.body = None;
        event.await;
    }

    /// Waits for `event` like [`pause`](Self::pause), but gives up the connection as soon as
    /// another request needs it, and not only if the transfer has been slow for some time. A server
    /// that ignores ranges would then send the file again.
    pub async fn pause_and_yield(&mut self, event: impl Future<Output = ()>) {
        self.transfer.set_paused(true);
        self.pause(event).await;
        self.transfer.set_paused(false);
    }

    async fn retry_until_deadline(
        &mut self,
        needs_bytes: bool,
    ) -> Result<Option<Bytes>, FetchError> {
        let mut deadline = Instant::now() + self.timeout;
        let mut delays = retry::backoff(MAX_ATTEMPTS);
        let mut last_cause = FetchCause::from("the server did not answer");
        loop {
            let result = tokio::time::timeout_at(deadline, self.try_once(needs_bytes)).await;
            let (cause, retry_after) = match result {
                Err(_elapsed) => return Err(FetchError::Deadline(last_cause)),
                Ok(Ok(bytes)) => return Ok(bytes),
                Ok(Err(AttemptError::Final(error))) => return Err(error),
                Ok(Err(AttemptError::Repeat)) => continue,
                Ok(Err(AttemptError::Skipped(time))) => {
                    deadline += time;
                    continue;
                }
                Ok(Err(AttemptError::Transient(cause, retry_after))) => (cause, retry_after),
            };
            self.body = None;
            let has_received = self.position - self.body_start >= MIN_IMMEDIATE_RESUME_LENGTH;
            self.body_start = self.position;
            let backoff = if has_received { Some(Duration::ZERO) } else { delays.next() };
            let Some(backoff) = backoff else { return Err(FetchError::Deadline(cause)) };
            let delay = retry_after.map_or(backoff, |wait| wait.max(backoff));
            if Instant::now() + delay >= deadline {
                return Err(FetchError::Deadline(cause));
            }
            tracing::debug!(
                at = self.position,
                "resuming at the first missing byte after an error: {}",
                one_line(&cause)
            );
            last_cause = cause;
            self.client.counters().record_retry(Operation::Read);
            tokio::time::sleep(delay).await;
        }
    }

    async fn try_once(&mut self, needs_bytes: bool) -> Result<Option<Bytes>, AttemptError> {
        let body = match self.body.take() {
            Some(body) => body,
            None => self.open_body().await?,
        };
        let body = self.body.insert(body);
        if !needs_bytes {
            return Ok(None);
        }
        let start = Instant::now();
        let chunk = match body.next_part().await.map_err(AttemptError::from)? {
            BodyPart::BeforeRange => return Err(AttemptError::Skipped(start.elapsed())),
            BodyPart::Range(bytes) => {
                self.client.counters().add_fetched_bytes(bytes.len());
                Some(bytes)
            }
            BodyPart::End => None,
        };
        self.position = body.position();
        self.refusals = 0;
        self.version_mismatches = 0;
        if self.position >= body.end() {
            self.body = None;
        }
        Ok(chunk)
    }

    async fn open_body(&mut self) -> Result<RangeBody, AttemptError> {
        let (lease, permit) = self.acquire_lease_and_permit().await?;
        let leases = self.leases.clone();
        let request = RangeRequest {
            lease: &lease,
            range: ByteRange { start: self.position, end: self.end },
            expected: &self.expected,
            transfer: &self.transfer,
            stall_timeout: self.stall_timeout(),
            bandwidth: self.limiters(self.class, self.end - self.position),
            is_error_body: &|body| leases.is_error_body(body),
        };
        tracing::debug!(origin = %lease.url, start = self.position, end = self.end, "range request");
        let mut body = match RangeBody::open(&self.client, request, permit).await {
            Ok(body) => body,
            Err(error) => return Err(self.classify(error, &lease).await),
        };
        let skipped = body.bytes_to_skip();
        tracing::debug!(start = self.position, total = body.total_length, skipped, "range reply");
        self.skipped_bytes += skipped;
        if self.skipped_bytes > MAX_SKIPPED_BYTES {
            return Err(AttemptError::Final(skip_limit_error(self.skipped_bytes)));
        }
        if body.end() < self.end.min(body.total_length)
            && body.end() - self.position < MIN_PARTIAL_REPLY_LENGTH
        {
            let length = body.end() - self.position;
            return Err(AttemptError::Transient(
                format!("the reply contains only {length} of the requested bytes").into(),
                None,
            ));
        }
        if self.should_check_version(&body) {
            self.check_version(&mut body, &lease).await?;
        }
        self.leases.report_served(&lease);
        self.body_start = self.position;
        self.total_length = Some(body.total_length);
        self.expected.total_length = Some(body.total_length);
        self.end = self.end.min(body.total_length);
        Ok(body)
    }

    /// Returns a lease and a connection permit for its host.
    ///
    /// The wait for a limited bandwidth comes first: a stream that waited with a permit would
    /// occupy a connection, and the pool would take it for a slow transfer.
    ///
    /// The wait for a permit can outlast a lease. The permit is returned before the lease is
    /// renewed, because the renewal can send requests to the same host. The request is then the
    /// first in the queue, so the second wait is short.
    async fn acquire_lease_and_permit(
        &mut self,
    ) -> Result<(Arc<Lease>, Option<ConnectionPermit>), AttemptError> {
        self.limiters(self.class, self.end - self.position).wait().await;
        let lease = self.current_lease().await?;
        if !std::mem::replace(&mut self.is_breaker_checked, true) {
            let to_down_error =
                |error| AttemptError::Final(FetchError::Down(FetchCause::new(error)));
            let probe = match lease_request(&self.client, &lease) {
                Ok(request) => request.header(RANGE, "bytes=0-0"),
                Err(error) => return Err(self.classify(error, &lease).await),
            };
            self.client.check_breaker_with(&lease.url, probe).await.map_err(to_down_error)?;
        }
        let transfer = Some(&self.transfer);
        let position = std::mem::replace(&mut self.queue_position, QueuePosition::Last);
        let permit =
            self.client.connection_permit_from(position, &lease.url, self.class, transfer).await;
        if !lease.has_ended(current_time()) {
            return Ok((lease, permit));
        }
        drop(permit);
        let lease = self.current_lease().await?;
        let position = QueuePosition::First;
        let permit =
            self.client.connection_permit_from(position, &lease.url, self.class, transfer).await;
        Ok((lease, permit))
    }

    fn limiters(&self, class: TrafficClass, length: u64) -> TransferLimiters {
        let limiters = [self.client.bandwidth_limiter(), self.leases.bandwidth_limiter()];
        TransferLimiters::new(limiters, class, length)
    }

    async fn current_lease(&self) -> Result<Arc<Lease>, AttemptError> {
        self.leases.current_lease(self.priority).await.map_err(AttemptError::from)
    }

    fn should_check_version(&self, body: &RangeBody) -> bool {
        match (self.version_check, &self.expected.validator) {
            (VersionCheck::Skip, _) => false,
            (VersionCheck::StrongTag, Some(validator)) => !validator.needs_head(),
            (VersionCheck::StrongTag, None) => body.version.strong_tag.is_some(),
            (VersionCheck::Full, _) => true,
        }
    }

    /// Checks that a reply contains the same version of the file as the earlier replies. The
    /// version of the first reply becomes the expected version.
    async fn check_version(
        &mut self,
        body: &mut RangeBody,
        lease: &Arc<Lease>,
    ) -> Result<(), AttemptError> {
        let expected = self.expected.validator.clone();
        let needs_head = match &expected {
            Some(validator) => validator.needs_head(),
            None => body.version.strong_tag.is_none(),
        };
        let head_length = HEAD_LENGTH.min(body.total_length);
        let contains_head = body.contains_head(head_length);
        let head = match (needs_head, contains_head) {
            (false, _) => None,
            (true, true) => {
                Some(body.peek(head_length as usize).await.map_err(AttemptError::from)?)
            }
            (true, false) => Some(self.fetch_head(lease, head_length, body).await?),
        };
        let Some(expected) = expected else {
            let version = &body.version;
            let validator = match (&version.strong_tag, &head) {
                (Some(tag), _) => Validator::from_strong_tag(tag),
                (None, head) => Validator::from_head(version, head.as_deref().unwrap_or_default()),
            };
            self.expected.validator = Some(validator);
            // The file may have changed between this reply and the reply with the start of the
            // file.
            return if needs_head && !contains_head { Err(AttemptError::Repeat) } else { Ok(()) };
        };
        if expected.agrees_with(&body.version, head.as_deref()) {
            return Ok(());
        }
        let cause = "the content at this URL has changed".to_owned();
        if expected.needs_head() {
            // Other first bytes prove another version. A retry that reaches a server with the old
            // version would join bytes of both.
            return Err(AttemptError::Final(FetchError::Changed(cause.into())));
        }
        Err(self.classify(RangeError::Changed(cause), lease).await)
    }

    /// Fetches the start of the file to determine the version of a reply without a strong tag.
    /// `checked_body` is the body of that reply.
    async fn fetch_head(
        &mut self,
        lease: &Arc<Lease>,
        length: u64,
        checked_body: &RangeBody,
    ) -> Result<Bytes, AttemptError> {
        let total_length = checked_body.total_length;
        let leases = self.leases.clone();
        let request = RangeRequest {
            lease,
            range: ByteRange { start: 0, end: length },
            expected: &ExpectedFile { total_length: Some(total_length), ..self.expected.clone() },
            transfer: &Arc::default(),
            stall_timeout: self.stall_timeout(),
            bandwidth: self.limiters(TrafficClass::Brief, length),
            is_error_body: &|body| leases.is_error_body(body),
        };
        let reply = async {
            // The stream already holds a permit. If it waited for another permit of the same kind,
            // two streams could wait for each other.
            let class = TrafficClass::Brief;
            let permit =
                self.client.connection_permit(&lease.url, class, Some(request.transfer)).await;
            let mut body = RangeBody::open(&self.client, request, permit).await?;
            if body.version.contradicts(&checked_body.version) {
                let cause = "two replies contain different versions of the file";
                return Err(RangeError::Changed(cause.into()));
            }
            body.peek(length as usize).await
        };
        match reply.await {
            Ok(head) if head.len() as u64 == length => Ok(head),
            Ok(_short) => {
                Err(RangeError::transient("the reply does not contain the start of the file")
                    .into())
            }
            Err(error) => Err(self.classify(error, lease).await),
        }
    }

    /// Returns a third of the timeout, so there is time to repeat a request that stalls.
    fn stall_timeout(&self) -> Duration {
        (self.timeout / 3).min(MAX_STALL_TIMEOUT)
    }

    async fn classify(&mut self, error: RangeError, lease: &Arc<Lease>) -> AttemptError {
        self.queue_position = match error {
            RangeError::Throttled(..) => QueuePosition::First,
            _ => QueuePosition::Last,
        };
        match error {
            // The download URL may point to another file by now. If the reply is the same with
            // another lease, the error is final.
            RangeError::NotTheFile(cause) if self.refusals == 0 => {
                self.handle_refusal(&cause, lease)
            }
            RangeError::Refused(cause) | RangeError::Missing(cause)
                if self.refusals + 1 < MAX_LEASE_ATTEMPTS =>
            {
                self.handle_refusal(&cause, lease)
            }
            RangeError::Refused(cause) => {
                let cause = format!("{cause} from {}", lease.url);
                self.handle_final_refusal(FetchError::NotAllowed(cause.into()), lease)
            }
            RangeError::Missing(cause) => {
                let cause = format!("{cause} from {}", lease.url);
                self.handle_final_refusal(FetchError::Gone(cause.into()), lease)
            }
            RangeError::WrongTotal { served_length } => {
                self.check_total(served_length, lease).await
            }
            RangeError::Changed(_) if self.version_mismatches < MAX_VERSION_MISMATCHES => {
                self.version_mismatches += 1;
                AttemptError::Repeat
            }
            other => AttemptError::from(other),
        }
    }

    /// Returns the error for a reply that states the length `served_length` instead of the expected
    /// length. The error is final only if the server proves the stated length.
    async fn check_total(&mut self, served_length: u64, lease: &Arc<Lease>) -> AttemptError {
        let listed_length = self.expected.total_length;
        let timeout = self.stall_timeout();
        let kind = self.expected.body;
        let proof =
            is_length_proved(&self.client, lease, kind, served_length, listed_length, timeout);
        match proof.await {
            Ok(true) => AttemptError::Final(FetchError::WrongTotal {
                expected_length: self.expected.total_length.unwrap_or_default(),
                served_length,
            }),
            Ok(false) => {
                let expected = self.expected.total_length.unwrap_or_default();
                let statement = format!(
                    "the server states a length of {served_length} bytes instead of {expected}, \
                     but does not serve a file of that length"
                );
                AttemptError::Transient(statement.into(), None)
            }
            Err(RangeError::NotTheFile(cause)) if self.refusals == 0 => {
                self.handle_refusal(&cause, lease)
            }
            Err(error) => error.into(),
        }
    }

    fn handle_refusal(&mut self, cause: &str, lease: &Arc<Lease>) -> AttemptError {
        tracing::debug!(at = self.position, "{cause}; requesting another lease");
        self.refusals += 1;
        self.leases.report_refused(lease);
        AttemptError::Repeat
    }

    fn handle_final_refusal(&self, error: FetchError, lease: &Arc<Lease>) -> AttemptError {
        self.leases.report_final_refusal(lease, &error);
        AttemptError::Final(error)
    }
}

/// Returns the error of a read that would have to receive and drop `skipped` bytes, which is more
/// than [`MAX_SKIPPED_BYTES`].
pub fn skip_limit_error(skipped: u64) -> FetchError {
    const MIB: u64 = 1024 * 1024;
    let statement = format!(
        "{} MiB before the requested bytes would have to be transferred, and the limit is {} MiB",
        skipped.div_ceil(MIB),
        MAX_SKIPPED_BYTES / MIB
    );
    FetchError::RangesIgnored(statement.into())
}

/// The reason why an attempt returned no bytes.
enum AttemptError {
    Final(FetchError),
    /// The attempt must be repeated at once, with another lease or with the version that is now
    /// known.
    Repeat,
    /// Bytes before the range have arrived, which took this time. The attempt continues.
    Skipped(Duration),
    Transient(FetchCause, Option<Duration>),
}

impl From<FetchError> for AttemptError {
    fn from(error: FetchError) -> Self {
        match error {
            FetchError::Failed(cause) => Self::Transient(cause, None),
            other => Self::Final(other),
        }
    }
}

impl From<RangeError> for AttemptError {
    fn from(error: RangeError) -> Self {
        match error {
            RangeError::Transient(cause, retry_after)
            | RangeError::Throttled(cause, retry_after)
            | RangeError::Broken(cause, retry_after) => Self::Transient(cause.into(), retry_after),
            RangeError::Refused(cause) => Self::Final(FetchError::NotAllowed(cause.into())),
            RangeError::Missing(cause) => Self::Final(FetchError::Gone(cause.into())),
            RangeError::NotTheFile(cause) => Self::Final(FetchError::NotTheFile(cause.into())),
            RangeError::Changed(cause) => Self::Final(FetchError::Changed(cause.into())),
            RangeError::ExcessBytes => Self::Final(FetchError::Failed(
                "the server sends more bytes than the file has".into(),
            )),
            RangeError::WrongTotal { served_length } => {
                Self::Final(FetchError::WrongTotal { expected_length: 0, served_length })
            }
        }
    }
}
