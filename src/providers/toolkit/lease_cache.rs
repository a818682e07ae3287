//! Leases, one for each file, shared by all its readers.
//!
//! Lock order: the single flight of a slot, then its state.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use lru::LruCache;
use parking_lot::Mutex;

use super::single_flight::SingleFlight;
use crate::http::{FetchCause, FetchError, LeaseSource, MAX_LEASE_ATTEMPTS, Priority};
use crate::model::{FileId, Lease};
use crate::providers::{ErrorClass, LeaseEffort, LeaseRequest, Provider, ProviderError};

/// A lease is below 2 KiB, so this is 8 MiB at most. An evicted lease costs one request when its
/// file is read again.
const MAX_LEASES: NonZeroUsize = NonZeroUsize::new(4096).unwrap();

/// The leases of one source.
pub struct LeaseCache {
    provider: Arc<dyn Provider>,
    slots: Mutex<LruCache<FileId, Arc<LeaseSlot>>>,
}

impl std::fmt::Debug for LeaseCache {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LeaseCache").field("source", self.provider.source()).finish()
    }
}

impl LeaseCache {
    /// Returns an empty cache.
    pub fn new(provider: Arc<dyn Provider>) -> Self {
        Self { provider, slots: Mutex::new(LruCache::new(MAX_LEASES)) }
    }

    /// Returns the lease source that all readers of `file` share.
    pub fn slot(&self, file: &FileId) -> Arc<dyn LeaseSource> {
        let mut slots = self.slots.lock();
        let slot = slots.get_or_insert(file.clone(), || {
            Arc::new(LeaseSlot {
                provider: self.provider.clone(),
                file: file.clone(),
                resolve: SingleFlight::default(),
                state: Mutex::new(LeaseState { lease: None, refusals: 0 }),
            })
        });
        slot.clone()
    }
}

struct LeaseSlot {
    provider: Arc<dyn Provider>,
    file: FileId,
    resolve: SingleFlight<()>,
    state: Mutex<LeaseState>,
}

struct LeaseState {
    lease: Option<Arc<Lease>>,
    /// Leases refused since one last worked. It determines the effort of the next request.
    refusals: u32,
}

#[async_trait]
impl LeaseSource for LeaseSlot {
    async fn current(&self, priority: Priority) -> Result<Arc<Lease>, FetchError> {
        if let Some(lease) = self.unexpired() {
            return Ok(lease);
        }
        let mut flight = self.resolve.enter().await;
        if let Some(lease) = self.unexpired() {
            return Ok(lease);
        }
        if let Some(error) = flight.shared_failure() {
            return Err(error.clone().into());
        }
        let effort = effort_after(self.state.lock().refusals);
        let request = LeaseRequest { file: &self.file, effort, priority };
        let resolved = self.provider.lease(request).await;
        let mut state = self.state.lock();
        match resolved {
            Ok(lease) => {
                let lease = Arc::new(lease);
                state.lease = Some(lease.clone());
                flight.succeed(());
                Ok(lease)
            }
            Err(error) => {
                if !error.is_transient() {
                    state.refusals = 0;
                }
                flight.fail(error.clone(), Duration::ZERO);
                Err(error.into())
            }
        }
    }

    fn report_refused(&self, lease: &Arc<Lease>) {
        let mut state = self.state.lock();
        if state.lease.as_ref().is_some_and(|current| Arc::ptr_eq(current, lease)) {
            state.lease = None;
            // After the last resort, the next reader starts again: the cause may be gone by then.
            state.refusals = (state.refusals + 1) % MAX_LEASE_ATTEMPTS;
        }
    }

    fn report_served(&self, lease: &Arc<Lease>) {
        let mut state = self.state.lock();
        if state.lease.as_ref().is_some_and(|current| Arc::ptr_eq(current, lease)) {
            state.refusals = 0;
        }
    }

    fn is_error_body(&self, body: &[u8]) -> bool {
        self.provider.is_error_body(body)
    }
}

/// Returns the effort after some refusals. A lease that worked and is then refused has probably
/// expired, so a plain renewal comes first.
fn effort_after(refusals: u32) -> LeaseEffort {
    match refusals {
        0 | 1 => LeaseEffort::Listed,
        2 => LeaseEffort::Renewed,
        _ => LeaseEffort::LastResort,
    }
}

impl LeaseSlot {
    /// Returns the current lease, unless it has expired.
    fn unexpired(&self) -> Option<Arc<Lease>> {
        let mut state = self.state.lock();
        state.lease.take_if(|lease| lease.is_expired(Timestamp::now()));
        state.lease.clone()
    }
}

impl From<ProviderError> for FetchError {
    fn from(error: ProviderError) -> Self {
        let class = error.class();
        let why = FetchCause::new(error);
        match class {
            ErrorClass::Credential | ErrorClass::NotAllowed => Self::NotAllowed(why),
            ErrorClass::NotFound => Self::Gone(why),
            ErrorClass::Down => Self::Down(why),
            ErrorClass::Unavailable | ErrorClass::RateLimited { .. } => Self::Failed(why),
        }
    }
}
