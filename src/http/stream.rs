//! A range as a stream that survives broken bodies and ended leases.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use tokio::time::Instant;

use super::client::Client;
use super::connection_pool::TrafficClass;
use super::error::{FetchError, HttpError};
use super::priority::Priority;
use super::range::{ByteRange, ExpectedFile, RangeBody, RangeError, Validator};
use super::retry;
use crate::model::Lease;

/// Where a stream gets its lease, shared by every stream of one file.
#[async_trait]
pub trait LeaseSource: Send + Sync {
    /// The lease in force, resolved if there is none. Callers bound the wait.
    ///
    /// # Errors
    /// Why there is none to be had.
    async fn current(&self, priority: Priority) -> Result<Arc<Lease>, FetchError>;

    /// Says that the server would not serve `lease`. The next [`current`](Self::current) resolves a new one,
    /// unless somebody else has already.
    fn refused(&self, lease: &Arc<Lease>);

    /// Says that `lease` brought a believed reply, so that its refusal later means it has ended.
    fn served(&self, lease: &Arc<Lease>);
}

/// Leases a stream may see refused before it takes the provider at its word: the one at hand, its plain
/// renewal, one by way of the meeting's detail, and one by the provider's last resort.
pub const LEASES_TRIED: u32 = 4;

/// Yields exactly the bytes of a range, in order; on a broken body it goes on at the missing byte.
pub struct RangeStream {
    client: Client,
    leases: Arc<dyn LeaseSource>,
    expected: ExpectedFile,
    position: u64,
    end: u64,
    class: TrafficClass,
    priority: Priority,
    /// Bound on the time without a new byte.
    patience: Duration,
    body: Option<RangeBody>,
    total: Option<u64>,
    refusals: u32,
    /// Whether the host was asked already: a stream that is under way does not ask whether it may begin.
    is_under_way: bool,
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
    /// A stream over `range`; nothing is asked before the first [`chunk`](Self::chunk).
    ///
    /// `patience` is the longest it goes on without a new byte, with all retries.
    pub fn new(
        client: Client,
        leases: Arc<dyn LeaseSource>,
        range: ByteRange,
        expected: ExpectedFile,
        (class, priority): (TrafficClass, Priority),
        patience: Duration,
    ) -> Self {
        Self {
            client,
            leases,
            expected,
            position: range.start,
            end: range.end,
            class,
            priority,
            patience,
            body: None,
            total: None,
            refusals: 0,
            is_under_way: false,
        }
    }

    /// Length of the whole file as served, known from the first reply on.
    pub fn total(&self) -> Option<u64> {
        self.total
    }

    /// The strong validator served, known from the first reply on.
    pub fn validator(&self) -> Option<&Validator> {
        self.expected.validator.as_ref()
    }

    /// Waits for the reply's head without taking bytes.
    ///
    /// # Errors
    /// As [`chunk`](Self::chunk).
    pub async fn open(&mut self) -> Result<(), FetchError> {
        if self.body.is_some() || self.position >= self.end {
            return Ok(());
        }
        self.retrying(false).await.map(|_nothing| ())
    }

    /// The next bytes; `None` after the last one of the range.
    ///
    /// # Errors
    /// Whatever stays wrong after retries: refused with fresh leases, gone, changed, another length, or no byte
    /// within the stream's patience.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, FetchError> {
        if self.position >= self.end {
            return Ok(None);
        }
        self.retrying(true).await
    }

    async fn retrying(&mut self, want_bytes: bool) -> Result<Option<Bytes>, FetchError> {
        /// Tries without a new byte are bounded by time; this only keeps a server that fails instantly from
        /// being asked more often than a person would think polite.
        const TRIES: usize = 40;
        let deadline = Instant::now() + self.patience;
        let mut waits = retry::backoff(TRIES);
        let mut last = String::from("the server did not answer");
        loop {
            let step = tokio::time::timeout_at(deadline, self.step(want_bytes)).await;
            let (why, asked) = match step {
                Err(_elapsed) => return Err(FetchError::Deadline(last)),
                Ok(Ok(bytes)) => return Ok(bytes),
                Ok(Err(StepError::Final(error))) => return Err(error),
                Ok(Err(StepError::NewLease)) => continue,
                Ok(Err(StepError::Again(why, asked))) => (why, asked),
            };
            self.body = None;
            let Some(backoff) = waits.next() else { return Err(FetchError::Deadline(why)) };
            let wait = asked.map_or(backoff, |asked| asked.max(backoff));
            if Instant::now() + wait >= deadline {
                return Err(FetchError::Deadline(why));
            }
            tracing::debug!(at = self.position, "{why}; going on at the missing byte");
            last = why;
            tokio::time::sleep(wait).await;
        }
    }

    async fn step(&mut self, want_bytes: bool) -> Result<Option<Bytes>, StepError> {
        let body = match &mut self.body {
            Some(body) => body,
            None => {
                let lease =
                    self.leases.current(self.priority).await.map_err(StepError::from_lease)?;
                if !std::mem::replace(&mut self.is_under_way, true) {
                    let down =
                        |error: HttpError| StepError::Final(FetchError::Down(error.to_string()));
                    self.client.admit(&lease.url).await.map_err(down)?;
                }
                let range = ByteRange { start: self.position, end: self.end };
                match self
                    .client
                    .open_range(&lease, range, &self.expected, self.class, self.idle())
                    .await
                {
                    Ok(body) => {
                        self.leases.served(&lease);
                        self.total = Some(body.total);
                        self.expected.total = Some(body.total);
                        self.end = self.end.min(body.total);
                        if body.validator.is_some() {
                            self.expected.validator.clone_from(&body.validator);
                        }
                        self.body.insert(body)
                    }
                    Err(error) => return Err(self.judge(error, &lease)),
                }
            }
        };
        if !want_bytes {
            return Ok(None);
        }
        let piece = body.chunk().await.map_err(StepError::from_body)?;
        self.position = body.position();
        self.refusals = 0;
        if self.position >= self.end {
            self.body = None;
        }
        Ok(piece)
    }

    /// A third of the patience, so that a server that stands still is asked anew in time; never above ten
    /// seconds, after which a person watching would long have given up.
    fn idle(&self) -> Duration {
        (self.patience / 3).min(Duration::from_secs(10))
    }

    fn judge(&mut self, error: RangeError, lease: &Arc<Lease>) -> StepError {
        match error {
            // The link may lead elsewhere by now; under another one there is no second doubt.
            RangeError::NotTheFile(why) if self.refusals == 0 => {
                tracing::debug!(at = self.position, "{why}; asking for another lease");
                self.refusals += 1;
                self.leases.refused(lease);
                StepError::NewLease
            }
            RangeError::Refused(why) | RangeError::Missing(why)
                if self.refusals + 1 < LEASES_TRIED =>
            {
                tracing::debug!(at = self.position, "{why}; asking for another lease");
                self.refusals += 1;
                self.leases.refused(lease);
                StepError::NewLease
            }
            RangeError::Refused(why) => {
                self.leases.refused(lease);
                StepError::Final(FetchError::NotAllowed(format!("{why} from {}", lease.url)))
            }
            RangeError::Missing(why) => {
                self.leases.refused(lease);
                StepError::Final(FetchError::Gone(format!("{why} from {}", lease.url)))
            }
            RangeError::WrongTotal { served } => StepError::Final(FetchError::WrongTotal {
                expected: self.expected.total.unwrap_or_default(),
                served,
            }),
            other => StepError::from_body(other),
        }
    }
}

enum StepError {
    Final(FetchError),
    NewLease,
    Again(String, Option<Duration>),
}

impl StepError {
    fn from_lease(error: FetchError) -> Self {
        match error {
            FetchError::Failed(why) => Self::Again(why, None),
            other => Self::Final(other),
        }
    }

    fn from_body(error: RangeError) -> Self {
        match error {
            RangeError::Again(why, wait) => Self::Again(why, wait),
            RangeError::Refused(why) => Self::Final(FetchError::NotAllowed(why)),
            RangeError::Missing(why) => Self::Final(FetchError::Gone(why)),
            RangeError::NotTheFile(why) => Self::Final(FetchError::NotTheFile(why)),
            RangeError::Changed(why) => Self::Final(FetchError::Changed(why)),
            RangeError::WrongTotal { served } => {
                Self::Final(FetchError::WrongTotal { expected: 0, served })
            }
        }
    }
}
