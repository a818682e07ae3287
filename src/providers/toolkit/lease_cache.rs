//! One lease a file, shared by all its readers.

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
use crate::providers::{ErrorClass, LeaseEffort, Provider, ProviderError};

/// Files whose lease is remembered. A lease is below 2 KiB, so this is 8 MiB at most; a file that drops out
/// costs one resolve when it is read again.
const LEASES_KEPT: NonZeroUsize = NonZeroUsize::new(4096).unwrap();

/// Hands out the leases of one source.
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
        Self { provider, slots: Mutex::new(LruCache::new(LEASES_KEPT)) }
    }

    /// The place where readers of `file` share its lease.
    pub fn slot(&self, file: &FileId) -> Arc<dyn LeaseSource> {
        let mut slots = self.slots.lock();
        let slot = slots.get_or_insert(file.clone(), || {
            Arc::new(LeaseSlot {
                provider: self.provider.clone(),
                file: file.clone(),
                resolve: SingleFlight::default(),
                held: Mutex::new(Held { lease: None, refusals: 0 }),
            })
        });
        slot.clone()
    }
}

struct LeaseSlot {
    provider: Arc<dyn Provider>,
    file: FileId,
    /// Taken before `held`, never while holding it.
    resolve: SingleFlight<()>,
    held: Mutex<Held>,
}

struct Held {
    lease: Option<Arc<Lease>>,
    /// Leases refused since one last worked; decides how hard the next resolve tries.
    refusals: u32,
}

#[async_trait]
impl LeaseSource for LeaseSlot {
    async fn current(&self, priority: Priority) -> Result<Arc<Lease>, FetchError> {
        if let Some(lease) = self.in_force() {
            return Ok(lease);
        }
        let mut flight = self.resolve.enter().await;
        if let Some(lease) = self.in_force() {
            return Ok(lease);
        }
        if let Some(error) = flight.shared_failure() {
            return Err(error.clone().into());
        }
        let effort = effort_after(self.held.lock().refusals);
        let resolved = self.provider.lease(&self.file, effort, priority).await;
        let mut held = self.held.lock();
        match resolved {
            Ok(lease) => {
                let lease = Arc::new(lease);
                held.lease = Some(lease.clone());
                flight.succeed(());
                Ok(lease)
            }
            Err(error) => {
                if !error.is_transient() {
                    held.refusals = 0;
                }
                flight.fail(error.clone(), Duration::ZERO);
                Err(error.into())
            }
        }
    }

    fn report_refused(&self, lease: &Arc<Lease>) {
        let mut held = self.held.lock();
        if held.lease.as_ref().is_some_and(|held| Arc::ptr_eq(held, lease)) {
            held.lease = None;
            // After the last resort the next reader begins anew: what failed then may be fixed by then.
            held.refusals = (held.refusals + 1) % MAX_LEASE_ATTEMPTS;
        }
    }

    fn report_served(&self, lease: &Arc<Lease>) {
        let mut held = self.held.lock();
        if held.lease.as_ref().is_some_and(|held| Arc::ptr_eq(held, lease)) {
            held.refusals = 0;
        }
    }

    fn is_error_body(&self, body: &[u8]) -> bool {
        self.provider.is_error_body(body)
    }
}

/// A lease that worked and is refused has most likely ended: its plain renewal comes first.
fn effort_after(refusals: u32) -> LeaseEffort {
    match refusals {
        0 | 1 => LeaseEffort::Listed,
        2 => LeaseEffort::Renewed,
        _ => LeaseEffort::LastResort,
    }
}

impl LeaseSlot {
    /// The lease at hand, unless it has ended.
    fn in_force(&self) -> Option<Arc<Lease>> {
        let mut held = self.held.lock();
        held.lease.take_if(|lease| lease.is_expired(Timestamp::now()));
        held.lease.clone()
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
