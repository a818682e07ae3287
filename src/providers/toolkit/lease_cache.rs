//! Leases, one for each version of a file, shared by all its readers.
//!
//! A refusal is also the answer to the next readers, for [`MIN_REFUSAL_TTL`] at first and for up to
//! [`MAX_REFUSAL_TTL`] if it is repeated: a program that opens a refused file again and again must
//! not send the same requests each time.
//!
//! Lock order: the single flight of a slot, then its state.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use lru::LruCache;
use parking_lot::Mutex;
use tokio::time::Instant;

use super::single_flight::SingleFlight;
use crate::http::{FetchCause, FetchError, LeaseSource, MAX_LEASE_ATTEMPTS, Priority};
use crate::model::{FileId, Lease, Version};
use crate::providers::{ErrorClass, LeaseEffort, LeaseRequest, Provider, ProviderError};

/// Maximum number of leases. A lease takes less than 2 KiB, so all of them take at most 8 MiB. An
/// evicted lease costs one request when its file is read again.
const MAX_LEASES: NonZeroUsize = NonZeroUsize::new(4096).unwrap();

/// How long the first refusal of a file is the answer to the requests for its lease. Some refusals
/// end within seconds, for example when the host of a meeting allows the download.
const MIN_REFUSAL_TTL: Duration = Duration::from_secs(5);

/// The limit of the time for repeated refusals, which doubles each time. A program that opens a
/// refused file in a loop then costs a few requests per minute.
const MAX_REFUSAL_TTL: Duration = Duration::from_secs(60);

/// Caches the leases of one source.
pub struct LeaseCache {
    provider: Arc<dyn Provider>,
    slots: Mutex<LruCache<(FileId, Version), Arc<LeaseSlot>>>,
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

    /// Returns the lease source that all readers of a version of `file` share.
    pub fn slot(&self, file: &FileId, version: Version) -> Arc<dyn LeaseSource> {
        let mut slots = self.slots.lock();
        let slot = slots.get_or_insert((file.clone(), version), || {
            Arc::new(LeaseSlot {
                provider: self.provider.clone(),
                file: file.clone(),
                version,
                resolve: SingleFlight::default(),
                state: Mutex::default(),
            })
        });
        slot.clone()
    }
}

struct LeaseSlot {
    provider: Arc<dyn Provider>,
    file: FileId,
    version: Version,
    resolve: SingleFlight<()>,
    state: Mutex<LeaseState>,
}

#[derive(Default)]
struct LeaseState {
    lease: Option<Arc<Lease>>,
    /// The last refusal of the file. It is kept after its end, because the next one lasts longer.
    refusal: Option<Refusal>,
    /// Number of refused leases since a lease last worked. Determines the effort of the next
    /// request.
    refusals: u32,
}

struct Refusal {
    until: Instant,
    ttl: Duration,
    error: FetchError,
}

impl LeaseState {
    fn record_refusal(&mut self, error: &FetchError) {
        let doubled = self.refusal.as_ref().map(|last| last.ttl * 2);
        let ttl = doubled.unwrap_or(MIN_REFUSAL_TTL).min(MAX_REFUSAL_TTL);
        self.refusal = Some(Refusal { until: Instant::now() + ttl, ttl, error: repeated(error) });
    }
}

#[async_trait]
impl LeaseSource for LeaseSlot {
    async fn current(&self, priority: Priority) -> Result<Arc<Lease>, FetchError> {
        if let Some(known) = self.known() {
            return known;
        }
        let mut flight = self.resolve.enter().await;
        if let Some(known) = self.known() {
            return known;
        }
        if let Some(error) = flight.shared_failure() {
            return Err(error.clone().into());
        }
        let effort = effort_after(self.state.lock().refusals);
        let request = LeaseRequest { file: &self.file, version: self.version, effort, priority };
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
                // A credential is the same for all files, and has a back-off of its own.
                let is_of_file = !error.is_transient() && !error.is_credential();
                let error = FetchError::from(error);
                if is_of_file {
                    state.record_refusal(&error);
                }
                Err(error)
            }
        }
    }

    fn report_refused(&self, lease: &Arc<Lease>) {
        let mut state = self.state.lock();
        if state.lease.as_ref().is_some_and(|current| Arc::ptr_eq(current, lease)) {
            state.lease = None;
            // After the last resort, the next reader starts with the least effort again, because
            // the cause of the refusals may have ended.
            state.refusals = (state.refusals + 1) % MAX_LEASE_ATTEMPTS;
        }
    }

    fn report_final_refusal(&self, lease: &Arc<Lease>, error: &FetchError) {
        let mut state = self.state.lock();
        if state.lease.as_ref().is_some_and(|current| Arc::ptr_eq(current, lease)) {
            state.lease = None;
            state.refusals = 0;
            state.record_refusal(error);
        }
    }

    fn report_served(&self, lease: &Arc<Lease>) {
        let mut state = self.state.lock();
        if state.lease.as_ref().is_some_and(|current| Arc::ptr_eq(current, lease)) {
            state.refusals = 0;
            state.refusal = None;
        }
    }

    fn is_error_body(&self, body: &[u8]) -> bool {
        self.provider.is_error_body(body)
    }
}

/// Returns the effort of the next request after `refusals`. A lease that worked before its refusal
/// has probably expired, so the first request after it uses the listed URL again.
fn effort_after(refusals: u32) -> LeaseEffort {
    match refusals {
        0 | 1 => LeaseEffort::Listed,
        2 => LeaseEffort::Renewed,
        _ => LeaseEffort::LastResort,
    }
}

impl LeaseSlot {
    /// Returns the current lease, unless it has expired, or the refusal of the last one.
    fn known(&self) -> Option<Result<Arc<Lease>, FetchError>> {
        let mut state = self.state.lock();
        state.lease.take_if(|lease| lease.is_expired(Timestamp::now()));
        let current = state.refusal.as_ref().filter(|refusal| Instant::now() < refusal.until);
        let refusal = || current.map(|refusal| Err(refusal.error.clone()));
        state.lease.clone().map(Ok).or_else(refusal)
    }
}

/// Returns the error for the readers after the first. Each change is reported once, because it
/// causes a refresh.
fn repeated(error: &FetchError) -> FetchError {
    match error {
        FetchError::Changed(cause) => FetchError::Gone(cause.clone()),
        other => other.clone(),
    }
}

impl From<ProviderError> for FetchError {
    fn from(error: ProviderError) -> Self {
        let class = error.class();
        let cause = FetchCause::new(error);
        match class {
            ErrorClass::Credential | ErrorClass::NotAllowed => Self::NotAllowed(cause),
            ErrorClass::NotFound => Self::Gone(cause),
            ErrorClass::Changed => Self::Changed(cause),
            ErrorClass::Down => Self::Down(cause),
            ErrorClass::Unavailable | ErrorClass::RateLimited { .. } => Self::Failed(cause),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use url::Url;

    use super::*;
    use crate::model::{DaySpan, Details, MeetingId, SecretUrl, SourceName};
    use crate::providers::{ArchiveIdentity, Listing, SourceDescriptor};

    /// Refuses the leases of version 1.
    struct FakeProvider {
        descriptor: SourceDescriptor,
        requests: AtomicUsize,
        error: Mutex<Option<ProviderError>>,
    }

    #[async_trait]
    impl Provider for FakeProvider {
        fn descriptor(&self) -> &SourceDescriptor {
            &self.descriptor
        }

        async fn list(&self, _span: DaySpan) -> Result<Listing, ProviderError> {
            Ok(Listing::default())
        }

        async fn details(&self, _meeting: &MeetingId) -> Result<Option<Details>, ProviderError> {
            Ok(None)
        }

        async fn lease(&self, request: LeaseRequest<'_>) -> Result<Lease, ProviderError> {
            self.requests.fetch_add(1, Ordering::Relaxed);
            match &*self.error.lock() {
                Some(error) if request.version == Version(1) => Err(error.clone()),
                _ => {
                    let url = SecretUrl::new(Url::parse("https://example.org/file").unwrap());
                    Ok(Lease { url, authorization: None, expires: None })
                }
            }
        }
    }

    fn provider(error: Option<ProviderError>) -> Arc<FakeProvider> {
        let identity = ArchiveIdentity { words: Vec::new(), names_account: true };
        let name = SourceName::new("acme").unwrap();
        let descriptor = SourceDescriptor { name, identity, base_urls: Vec::new() };
        let requests = AtomicUsize::new(0);
        Arc::new(FakeProvider { descriptor, requests, error: Mutex::new(error) })
    }

    fn slot(leases: &LeaseCache, version: u64) -> Arc<dyn LeaseSource> {
        let source = leases.provider.source().clone();
        let file = FileId { source, meeting: "m".into(), key: "video".into() };
        leases.slot(&file, Version(version))
    }

    #[tokio::test(start_paused = true)]
    async fn refusal_is_requested_ever_less_often() {
        let provider = provider(Some(ProviderError::not_allowed("no")));
        let leases = LeaseCache::new(provider.clone());
        let mut ttl = MIN_REFUSAL_TTL;
        for round in 1..=6 {
            for _ in 0..10 {
                let error = slot(&leases, 1).current(Priority::Demand).await.unwrap_err();
                assert!(matches!(error, FetchError::NotAllowed(_)), "{error}");
            }
            assert_eq!(provider.requests.load(Ordering::Relaxed), round);
            tokio::time::advance(ttl - Duration::from_millis(1)).await;
            assert!(slot(&leases, 1).current(Priority::Demand).await.is_err());
            assert_eq!(provider.requests.load(Ordering::Relaxed), round);
            tokio::time::advance(Duration::from_millis(1)).await;
            ttl = (ttl * 2).min(MAX_REFUSAL_TTL);
        }
        *provider.error.lock() = None;
        let lease = slot(&leases, 1).current(Priority::Demand).await.unwrap();
        slot(&leases, 1).report_served(&lease);
        slot(&leases, 1).report_final_refusal(&lease, &FetchError::NotAllowed("again".into()));
        tokio::time::advance(MIN_REFUSAL_TTL).await;
        assert!(slot(&leases, 1).current(Priority::Demand).await.is_ok(), "it starts again");
    }

    #[tokio::test(start_paused = true)]
    async fn transient_error_is_not_kept() {
        let provider = provider(Some(ProviderError::unavailable("down")));
        let leases = LeaseCache::new(provider.clone());
        for _ in 0..3 {
            assert!(slot(&leases, 1).current(Priority::Demand).await.is_err());
        }
        assert_eq!(provider.requests.load(Ordering::Relaxed), 3);
    }

    #[tokio::test(start_paused = true)]
    async fn versions_share_neither_lease_nor_refusal() {
        let provider = provider(Some(ProviderError::changed("another version")));
        let leases = LeaseCache::new(provider.clone());
        let change = slot(&leases, 1).current(Priority::Demand).await.unwrap_err();
        assert!(matches!(change, FetchError::Changed(_)), "{change}");
        let again = slot(&leases, 1).current(Priority::Demand).await.unwrap_err();
        assert!(matches!(again, FetchError::Gone(_)), "a change is reported once: {again}");
        let lease = slot(&leases, 2).current(Priority::Demand).await.unwrap();
        let other = slot(&leases, 3).current(Priority::Demand).await.unwrap();
        assert!(!Arc::ptr_eq(&lease, &other));
    }

    #[tokio::test(start_paused = true)]
    async fn final_refusal_by_a_server_is_kept() {
        let provider = provider(None);
        let leases = LeaseCache::new(provider.clone());
        let lease = slot(&leases, 1).current(Priority::Demand).await.unwrap();
        let refusal = FetchError::NotAllowed("status 403".into());
        slot(&leases, 1).report_final_refusal(&lease, &refusal);
        assert!(slot(&leases, 1).current(Priority::Demand).await.is_err());
        assert_eq!(provider.requests.load(Ordering::Relaxed), 1);
        tokio::time::advance(MIN_REFUSAL_TTL).await;
        assert!(slot(&leases, 1).current(Priority::Demand).await.is_ok());
    }
}
