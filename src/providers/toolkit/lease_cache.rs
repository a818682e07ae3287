//! Caches one lease for each version of a file. All readers of the version share the lease.
//!
//! A refusal is cached as well: at first for [`MIN_REFUSAL_TTL`], and for up to [`MAX_REFUSAL_TTL`]
//! if it is repeated. Otherwise, a program that opens a refused file again and again would send the
//! same requests each time.
//!
//! Lock order: the single flight of a slot, then the state of that slot.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use lru::LruCache;
use parking_lot::Mutex;
use tokio::time::Instant;

use super::single_flight::SingleFlight;
use crate::http::{
    BandwidthLimiter, FetchCause, FetchError, LeaseSource, MAX_LEASE_ATTEMPTS, Priority,
    RequestCounters,
};
#[cfg(test)]
use crate::model::TableSize;
use crate::model::{FileId, Lease, Version, current_time};
use crate::providers::{ErrorClass, LeaseEffort, LeaseRequest, Provider, ProviderError};

/// Maximum number of cached leases. A lease takes less than 2 KiB, so all leases take at most 8
/// MiB. If a lease was evicted, the next read of its file costs one more request.
const MAX_LEASES: NonZeroUsize = NonZeroUsize::new(4096).unwrap();

/// How long a new lease is used in any case. If the local clock is wrong by almost the lifetime of
/// the leases, each new lease seems to expire at once, and every request would need its own. With
/// this minimum, a file needs one lease per second.
const MIN_LEASE_USE: Duration = Duration::from_secs(1);

/// How long the first refusal of a file is cached. Some refusals end within seconds, for example
/// when the meeting host allows the download.
const MIN_REFUSAL_TTL: Duration = Duration::from_secs(5);

/// Upper bound for the time that a repeated refusal is cached. The time doubles with each refusal.
/// With this limit, a program that opens a refused file in a loop causes a few requests per minute.
const MAX_REFUSAL_TTL: Duration = Duration::from_secs(60);

/// What is known about the lease of a file.
#[derive(Clone, Debug, Default)]
pub struct LeaseStatus {
    /// Whether a lease is known and has not expired.
    pub is_known: bool,
    /// The time at which the known lease ends, if the provider states it.
    pub expires: Option<Timestamp>,
    /// The error of the last refusal, and the time until which it is returned without a request.
    pub refusal: Option<(Instant, FetchError)>,
}

/// Caches the leases of one source.
pub struct LeaseCache {
    provider: Arc<dyn Provider>,
    bandwidth_limiter: Option<Arc<BandwidthLimiter>>,
    request_counters: Arc<RequestCounters>,
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
        let slots = Mutex::new(LruCache::new(MAX_LEASES));
        Self { provider, bandwidth_limiter: None, request_counters: Arc::default(), slots }
    }

    /// Limits the bandwidth of the source. `bytes_per_second` must not be 0.
    pub fn with_bandwidth_limit(self, bytes_per_second: Option<u64>) -> Self {
        let bandwidth_limiter = bytes_per_second.map(BandwidthLimiter::new).map(Arc::new);
        Self { bandwidth_limiter, ..self }
    }

    /// Counts the requests of all readers in `request_counters`.
    pub fn with_request_counters(self, request_counters: Arc<RequestCounters>) -> Self {
        Self { request_counters, ..self }
    }

    #[cfg(test)]
    pub(crate) fn table_sizes(&self) -> Vec<TableSize> {
        let slots = self.slots.lock();
        vec![TableSize::new("leases", slots.len()).with_limit(MAX_LEASES.get())]
    }

    /// Returns what is known about the lease of a version of `file`. Sends no request, and does not
    /// count as a use of the lease.
    pub fn status(&self, file: &FileId, version: Version) -> LeaseStatus {
        let Some(slot) = self.slots.lock().peek(&(file.clone(), version)).cloned() else {
            return LeaseStatus::default();
        };
        let state = slot.state.lock();
        let lease = state.lease.as_ref().filter(|lease| !lease.is_expired(current_time()));
        let refusal = state.refusal.as_ref().filter(|it| Instant::now() < it.expires_at);
        LeaseStatus {
            is_known: lease.is_some(),
            expires: lease.and_then(|lease| lease.expires),
            refusal: refusal.map(|refusal| (refusal.expires_at, refusal.error.clone())),
        }
    }

    /// Returns the lease source that all readers of a version of `file` share.
    pub fn slot(&self, file: &FileId, version: Version) -> Arc<dyn LeaseSource> {
        let mut slots = self.slots.lock();
        let slot = slots.get_or_insert((file.clone(), version), || {
            Arc::new(LeaseSlot {
                provider: self.provider.clone(),
                bandwidth_limiter: self.bandwidth_limiter.clone(),
                request_counters: self.request_counters.clone(),
                file: file.clone(),
                version,
                request_flight: SingleFlight::default(),
                state: Mutex::default(),
            })
        });
        slot.clone()
    }
}

struct LeaseSlot {
    provider: Arc<dyn Provider>,
    bandwidth_limiter: Option<Arc<BandwidthLimiter>>,
    request_counters: Arc<RequestCounters>,
    file: FileId,
    version: Version,
    request_flight: SingleFlight<()>,
    state: Mutex<LeaseState>,
}

#[derive(Default)]
struct LeaseState {
    lease: Option<Arc<Lease>>,
    /// The end of [`MIN_LEASE_USE`] of the lease.
    usable_until: Option<Instant>,
    /// The last refusal of the file. It is kept after its TTL, because the TTL of the next refusal
    /// is twice as long.
    refusal: Option<Refusal>,
    /// Number of refused leases since a lease last worked. It determines the effort of the next
    /// request.
    refused_leases: u32,
}

struct Refusal {
    expires_at: Instant,
    ttl: Duration,
    error: FetchError,
}

impl LeaseState {
    fn record_refusal(&mut self, error: &FetchError) {
        let doubled_ttl = self.refusal.as_ref().map(|last| last.ttl * 2);
        let ttl = doubled_ttl.unwrap_or(MIN_REFUSAL_TTL).min(MAX_REFUSAL_TTL);
        self.refusal = Some(Refusal {
            expires_at: Instant::now() + ttl,
            ttl,
            error: error_for_later_readers(error),
        });
    }
}

#[async_trait]
impl LeaseSource for LeaseSlot {
    fn bandwidth_limiter(&self) -> Option<&Arc<BandwidthLimiter>> {
        self.bandwidth_limiter.as_ref()
    }

    fn request_counters(&self) -> Option<&Arc<RequestCounters>> {
        Some(&self.request_counters)
    }

    async fn current_lease(&self, priority: Priority) -> Result<Arc<Lease>, FetchError> {
        if let Some(result) = self.cached_result() {
            return result;
        }
        let mut flight = self.request_flight.enter().await;
        if let Some(result) = self.cached_result() {
            return result;
        }
        if let Some(error) = flight.shared_failure() {
            return Err(error.clone().into());
        }
        let effort = effort_after(self.state.lock().refused_leases);
        let request = LeaseRequest { file: &self.file, version: self.version, effort, priority };
        let result = self.provider.lease(request).await;
        let mut state = self.state.lock();
        match result {
            Ok(lease) => {
                let lease = Arc::new(lease);
                state.lease = Some(lease.clone());
                state.usable_until = Some(Instant::now() + MIN_LEASE_USE);
                flight.succeed(());
                Ok(lease)
            }
            Err(error) => {
                if !error.is_transient() {
                    state.refused_leases = 0;
                }
                flight.fail(error.clone(), Duration::ZERO);
                // A credential error applies to all files and has its own back-off.
                let applies_to_file = !error.is_transient() && !error.is_credential();
                let error = FetchError::from(error);
                if applies_to_file {
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
            state.refused_leases = (state.refused_leases + 1) % MAX_LEASE_ATTEMPTS;
        }
    }

    fn report_final_refusal(&self, lease: &Arc<Lease>, error: &FetchError) {
        let mut state = self.state.lock();
        if state.lease.as_ref().is_some_and(|current| Arc::ptr_eq(current, lease)) {
            state.lease = None;
            state.refused_leases = 0;
            state.record_refusal(error);
        }
    }

    fn report_served(&self, lease: &Arc<Lease>) {
        let mut state = self.state.lock();
        if state.lease.as_ref().is_some_and(|current| Arc::ptr_eq(current, lease)) {
            state.refused_leases = 0;
            state.refusal = None;
        }
    }

    fn is_error_body(&self, body: &[u8]) -> bool {
        self.provider.is_error_body(body)
    }
}

/// Returns the effort of the next request after a number of refused leases. A lease that worked
/// before its refusal has probably expired, so the request after the first refusal uses the listed
/// URL again.
fn effort_after(refused_leases: u32) -> LeaseEffort {
    match refused_leases {
        0 | 1 => LeaseEffort::Listed,
        2 => LeaseEffort::Renewed,
        _ => LeaseEffort::LastResort,
    }
}

impl LeaseSlot {
    /// Returns the cached lease if it has not expired. Otherwise, returns the cached refusal if its
    /// TTL has not passed.
    fn cached_result(&self) -> Option<Result<Arc<Lease>, FetchError>> {
        let mut state = self.state.lock();
        let is_new = state.usable_until.is_some_and(|until| Instant::now() < until);
        state.lease.take_if(|lease| !is_new && lease.is_expired(current_time()));
        let valid_refusal =
            state.refusal.as_ref().filter(|refusal| Instant::now() < refusal.expires_at);
        let refusal = || valid_refusal.map(|refusal| Err(refusal.error.clone()));
        state.lease.clone().map(Ok).or_else(refusal)
    }
}

/// Returns the error for all readers after the first. A change is reported only once, because it
/// causes a refresh.
fn error_for_later_readers(error: &FetchError) -> FetchError {
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
    use crate::model::{DaySpan, SecretUrl, SimulatedTimeOfDay, SourceName};
    use crate::providers::{ArchiveIdentity, Listing, SourceDescriptor};

    /// A provider that returns `error`, if any, for leases of version 1.
    struct FakeProvider {
        descriptor: SourceDescriptor,
        request_count: AtomicUsize,
        error: Mutex<Option<ProviderError>>,
        /// The expiry of its leases.
        expires: Mutex<Option<Timestamp>>,
    }

    #[async_trait]
    impl Provider for FakeProvider {
        fn descriptor(&self) -> &SourceDescriptor {
            &self.descriptor
        }

        async fn list(&self, _span: DaySpan) -> Result<Listing, ProviderError> {
            Ok(Listing::default())
        }

        async fn lease(&self, request: LeaseRequest<'_>) -> Result<Lease, ProviderError> {
            self.request_count.fetch_add(1, Ordering::Relaxed);
            match &*self.error.lock() {
                Some(error) if request.version == Version(1) => Err(error.clone()),
                _ => {
                    let url = SecretUrl::new(Url::parse("https://example.org/file").unwrap());
                    Ok(Lease { url, authorization: None, expires: *self.expires.lock() })
                }
            }
        }
    }

    fn provider(error: Option<ProviderError>) -> Arc<FakeProvider> {
        let identity = ArchiveIdentity { words: Vec::new(), names_account: true };
        let name = SourceName::new("acme").unwrap();
        let descriptor = SourceDescriptor { name, identity, base_urls: Vec::new() };
        let request_count = AtomicUsize::new(0);
        let (error, expires) = (Mutex::new(error), Mutex::default());
        Arc::new(FakeProvider { descriptor, request_count, error, expires })
    }

    fn slot(cache: &LeaseCache, version: u64) -> Arc<dyn LeaseSource> {
        let source = cache.provider.source().clone();
        let file = FileId { source, meeting: "m".into(), key: "video".into() };
        cache.slot(&file, Version(version))
    }

    #[tokio::test(start_paused = true)]
    async fn ttl_doubles_with_each_refusal() {
        let provider = provider(Some(ProviderError::not_allowed("no")));
        let cache = LeaseCache::new(provider.clone());
        let mut ttl = MIN_REFUSAL_TTL;
        for round in 1..=6 {
            for _ in 0..10 {
                let error = slot(&cache, 1).current_lease(Priority::Demand).await.unwrap_err();
                assert!(matches!(error, FetchError::NotAllowed(_)), "{error}");
            }
            assert_eq!(provider.request_count.load(Ordering::Relaxed), round);
            tokio::time::advance(ttl - Duration::from_millis(1)).await;
            assert!(slot(&cache, 1).current_lease(Priority::Demand).await.is_err());
            assert_eq!(provider.request_count.load(Ordering::Relaxed), round);
            tokio::time::advance(Duration::from_millis(1)).await;
            ttl = (ttl * 2).min(MAX_REFUSAL_TTL);
        }
        *provider.error.lock() = None;
        let lease = slot(&cache, 1).current_lease(Priority::Demand).await.unwrap();
        slot(&cache, 1).report_served(&lease);
        slot(&cache, 1).report_final_refusal(&lease, &FetchError::NotAllowed("again".into()));
        tokio::time::advance(MIN_REFUSAL_TTL).await;
        assert!(
            slot(&cache, 1).current_lease(Priority::Demand).await.is_ok(),
            "the TTL is short again"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn wrong_clock_does_not_cost_a_lease_per_request() {
        let provider = provider(None);
        let cache = LeaseCache::new(provider.clone());
        let issued_at = Timestamp::from_second(1_791_270_000).unwrap();
        let hour = Duration::from_secs(3600);
        // The clock is an hour ahead, which is almost the lifetime of a lease.
        let _time_of_day = SimulatedTimeOfDay::start(issued_at + hour);
        *provider.expires.lock() = Some(issued_at + hour + Duration::from_secs(3));
        for expected_requests in 1..=3 {
            for _ in 0..10 {
                slot(&cache, 1).current_lease(Priority::Demand).await.unwrap();
                tokio::time::advance(MIN_LEASE_USE / 20).await;
            }
            assert_eq!(provider.request_count.load(Ordering::Relaxed), expected_requests);
            tokio::time::advance(MIN_LEASE_USE / 2).await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn transient_error_is_not_cached() {
        let provider = provider(Some(ProviderError::unavailable("down")));
        let cache = LeaseCache::new(provider.clone());
        for _ in 0..3 {
            assert!(slot(&cache, 1).current_lease(Priority::Demand).await.is_err());
        }
        assert_eq!(provider.request_count.load(Ordering::Relaxed), 3);
    }

    #[tokio::test(start_paused = true)]
    async fn versions_share_neither_lease_nor_refusal() {
        let provider = provider(Some(ProviderError::changed("another version")));
        let cache = LeaseCache::new(provider.clone());
        let first_error = slot(&cache, 1).current_lease(Priority::Demand).await.unwrap_err();
        assert!(matches!(first_error, FetchError::Changed(_)), "{first_error}");
        let second_error = slot(&cache, 1).current_lease(Priority::Demand).await.unwrap_err();
        assert!(
            matches!(second_error, FetchError::Gone(_)),
            "a change is reported once: {second_error}"
        );
        let lease = slot(&cache, 2).current_lease(Priority::Demand).await.unwrap();
        let other_lease = slot(&cache, 3).current_lease(Priority::Demand).await.unwrap();
        assert!(!Arc::ptr_eq(&lease, &other_lease));
    }

    #[tokio::test(start_paused = true)]
    async fn final_refusal_is_cached() {
        let provider = provider(None);
        let cache = LeaseCache::new(provider.clone());
        let lease = slot(&cache, 1).current_lease(Priority::Demand).await.unwrap();
        let refusal = FetchError::NotAllowed("status 403".into());
        slot(&cache, 1).report_final_refusal(&lease, &refusal);
        assert!(slot(&cache, 1).current_lease(Priority::Demand).await.is_err());
        assert_eq!(provider.request_count.load(Ordering::Relaxed), 1);
        tokio::time::advance(MIN_REFUSAL_TTL).await;
        assert!(slot(&cache, 1).current_lease(Priority::Demand).await.is_ok());
    }
}
