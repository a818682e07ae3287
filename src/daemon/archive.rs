//! Composes the parts of one running archive.
//!
//! Providers fill the catalog, the tree is built from the catalog, and reads acquire leases from
//! the providers. Every background task ends with the [`CancellationToken`] of the archive.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::cache_storage::{CacheStorage, UnwritableCache};
use super::error::{DaemonError, ListingError};
use super::malloc;
use super::naming_zones::{NamingZones, ZoneChange};
use super::read_observer::{self, ReadObserver};
use super::retained_files::RetainedFiles;
use super::source::Source;
use crate::cache::MemoryCache;
use crate::cache::disk::{DiskCache, DiskStatus};
use crate::catalog::{
    Catalog, Coverage, Enricher, Indexer, ListingScope, SearchIndex, SizeFinder, SourceCounts,
    SourceOptions,
};
use crate::config::{BandwidthLimit, Config};
use crate::http::{Client, FetchError, RequestCounters};
#[cfg(test)]
use crate::model::TableSize;
use crate::model::{BodyKind, FileId, SourceName, Version, current_time};
use crate::providers::{LeaseCache, ListingProgress, Provider, Registry};
use crate::read::{Engine, EngineOptions};
use crate::tree::{LiveTree, TreeBuilder, TreeChange};
use crate::vfs::{Handles, Invalidation, InvalidationQueue, ScannerLimiter, UnlistedSources};

/// Minimum interval between snapshots. While the enrichment delivers sizes one by one, a rebuild
/// per size would keep a core busy.
const MIN_SNAPSHOT_INTERVAL: Duration = Duration::from_millis(100);

/// Pause after a rebuild that no caller waits for, as a multiple of the duration of the rebuild.
/// The details of ten thousand meetings arrive over minutes. With this pause, rebuilds use at most
/// a tenth of a core.
const PAUSE_PER_REBUILD: u32 = 9;

/// Timeout for the other sources after one source is listed. Most providers answer within a second;
/// a provider that hangs fails after half a minute.
const OTHER_SOURCES_TIMEOUT: Duration = Duration::from_secs(3);

/// Timeout for sources without a stored listing if another source has one. Their files appear
/// later, without a remount. The wait only lets the command report an error, such as a wrong secret
/// or an unreachable server. An error takes three round trips (TCP, TLS, request), so 300 ms are
/// enough for round trips of 100 ms.
const NEW_SOURCES_TIMEOUT: Duration = Duration::from_millis(300);

/// Delay before the first refresh of a source with a stored listing. A provider with a quota per
/// second still counts the requests of the previous run. Without the delay, the two runs together
/// exceed the quota after a quick restart.
const RESTART_DELAY: Duration = Duration::from_secs(1);

/// The listing that the tree shows when the mount is ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Readiness {
    /// The listing of an earlier run, or none.
    Stored,
    /// A listing of this run.
    Listed,
}

/// A running archive. Canceling its token ends its tasks.
#[derive(Debug)]
pub struct Archive {
    pub tree: Arc<LiveTree>,
    pub engine: Arc<Engine>,
    pub invalidations: Arc<InvalidationQueue>,
    pub unlisted_sources: Arc<UnlistedSources>,
    pub handles: Arc<Handles>,
    pub scanner_limiter: Arc<ScannerLimiter>,
    catalog: Arc<Catalog>,
    sources: Vec<Source>,
    client: Client,
    disk: Option<Arc<DiskCache>>,
    search_index: Option<Arc<SearchIndex>>,
    search_coverage: Arc<Coverage>,
    unwritable_cache: Option<UnwritableCache>,
    /// The catalog revision that the tree shows.
    shown_revision: watch::Sender<Option<u64>>,
    zone_changes: Vec<ZoneChange>,
    shutdown: CancellationToken,
}

impl Archive {
    /// Creates an archive without sending a request.
    ///
    /// # Errors
    /// The HTTP client or the client of a provider cannot be created.
    pub fn new(
        config: &Config,
        storage: CacheStorage,
        runtime: &Handle,
        shutdown: CancellationToken,
    ) -> Result<Self, DaemonError> {
        Self::with_providers(config, &Registry::default(), storage, runtime, shutdown)
    }

    /// Same as [`Archive::new`], but with the providers of `registry`.
    ///
    /// # Errors
    /// Same as [`Archive::new`], or the provider of a source is not registered.
    pub fn with_providers(
        config: &Config,
        registry: &Registry,
        storage: CacheStorage,
        runtime: &Handle,
        shutdown: CancellationToken,
    ) -> Result<Self, DaemonError> {
        let bandwidth_limit = config.bandwidth_limit.map(BandwidthLimit::bytes_per_second);
        let client = Client::trusting(config.ca_certificates.as_der(), config.max_connections())?
            .with_bandwidth_limit(bandwidth_limit);
        Self::with_client(config, registry, client, storage, runtime, shutdown)
    }

    /// Same as [`Archive::with_providers`], but sends all requests with `client`.
    pub(super) fn with_client(
        config: &Config,
        registry: &Registry,
        client: Client,
        storage: CacheStorage,
        runtime: &Handle,
        shutdown: CancellationToken,
    ) -> Result<Self, DaemonError> {
        let CacheStorage { database, disk, search_index, unwritable_cache } = storage;
        let zones = NamingZones::resolve(config, &database);
        let zone_of =
            |source: &Source| zones.by_source.get(&source.config.name).unwrap_or(&config.timezone);
        let sources: Vec<Source> = config
            .sources
            .iter()
            .map(|source| {
                let request_counters = Arc::<RequestCounters>::default();
                let client = client.clone().with_counters(request_counters.clone());
                let provider = registry.open(source, &client).map_err(|error| {
                    ListingError::Failed { source_name: source.name.clone(), source: error }
                })?;
                Ok(Source {
                    config: source.clone(),
                    provider,
                    request_counters,
                    refresh_request: Arc::default(),
                    state: watch::Sender::default(),
                    settled_revision: watch::Sender::default(),
                })
            })
            .collect::<Result<_, DaemonError>>()?;
        let options = sources.iter().map(|source| SourceOptions {
            name: source.config.name.clone(),
            scope: ListingScope::from_parts(
                source.provider.descriptor().identity.words.iter().map(String::as_str),
            ),
            filter: source.create_filter(zone_of(source)),
            redundant_view_suffix: source.provider.conventions().redundant_view_suffix,
            recycle_bin: source.recycle_bin(),
            retention_cache: disk
                .as_ref()
                .filter(|_| source.config.keeps_deleted_files)
                .map(RetainedFiles::of),
        });
        let catalog = Catalog::new(options, Arc::new(database));
        for source in &sources {
            source.provider.set_known_meetings(catalog.clone());
            source.provider.restore(&catalog.meetings(&source.config.name));
            source.provider.restore(&catalog.trashed_meetings(&source.config.name));
            let listed_at = catalog.earlier_listing(&source.config.name).flatten();
            source.state.send_modify(|state| {
                state.fully_listed_at =
                    listed_at.filter(|_| source.provider.descriptor().identity.names_account);
            });
        }
        let invalidations = Arc::new(InvalidationQueue::default());
        let tree = Arc::new(LiveTree::default());
        let (observer, facts) = ReadObserver::new(catalog.clone());
        let lease_caches: HashMap<_, _> = sources
            .iter()
            .map(|source| {
                let bandwidth_limit = source.config.bandwidth_limit;
                let leases = LeaseCache::new(source.provider.clone())
                    .with_bandwidth_limit(bandwidth_limit.map(BandwidthLimit::bytes_per_second))
                    .with_request_counters(source.request_counters.clone());
                (source.config.name.clone(), leases)
            })
            .collect();
        let engine = Engine::new(EngineOptions {
            client: client.clone(),
            cache: MemoryCache::new(config.cache.memory.block_bytes(config.connections)),
            disk: disk.clone(),
            lease_caches,
            deadline: config.read_deadline,
            observer: Arc::new(observer),
            runtime: runtime.clone(),
        });
        let unlisted_sources = sources
            .iter()
            .map(|source| &source.config.name)
            .filter(|source| catalog.earlier_listing(source).is_none());
        let unlisted_sources = Arc::new(UnlistedSources::new(unlisted_sources.cloned()));
        let shown_revision = watch::Sender::new(None);
        let archive = Self {
            tree,
            engine,
            invalidations,
            unlisted_sources,
            handles: Arc::default(),
            scanner_limiter: Arc::new(ScannerLimiter::new(config.scanner_limit)),
            catalog,
            sources,
            client,
            disk,
            search_index,
            search_coverage: Arc::default(),
            unwritable_cache,
            shown_revision,
            zone_changes: zones.changes,
            shutdown,
        };
        let builder =
            TreeBuilder::new(config.timezone.clone()).with_source_timezones(zones.by_source);
        runtime.spawn(publish(
            builder,
            archive.catalog.clone(),
            archive.tree.clone(),
            archive.invalidations.clone(),
            archive.shown_revision.clone(),
            archive.shutdown.clone(),
        ));
        let refresh_requests =
            archive.sources.iter().map(|source| source.refresh_request.clone()).collect();
        runtime.spawn(read_observer::apply(facts, archive.catalog.clone(), refresh_requests));
        Ok(archive)
    }

    /// Returns the sources whose directory names use a different time zone than before.
    pub fn zone_changes(&self) -> &[ZoneChange] {
        &self.zone_changes
    }

    /// Returns the reason why the cache directory is not used, or `None` if it is used as
    /// configured.
    pub fn unwritable_cache(&self) -> Option<&UnwritableCache> {
        self.unwritable_cache.as_ref()
    }

    /// Starts the background tasks, which refresh and enrich each source.
    pub fn start(&self, runtime: &Handle) {
        for source in &self.sources {
            let delay =
                if self.has_stored_listing(source) { RESTART_DELAY } else { Duration::ZERO };
            if delay > Duration::ZERO {
                let next_refresh = current_time().checked_add(delay).ok();
                source.state.send_modify(|state| state.next_refresh_at = next_refresh);
            }
            let refresh = Source::run_refresher(
                source.create_refresher(&self.catalog),
                self.shutdown.clone(),
            );
            runtime.spawn(run_after(delay, refresh));
            let enricher = Enricher {
                provider: source.provider.clone(),
                size_finder: Arc::new(EngineSizeFinder(self.engine.clone())),
                catalog: self.catalog.clone(),
                settled_revision: source.settled_revision.clone(),
            };
            runtime.spawn(run_after(delay, enricher.run(self.shutdown.clone())));
            runtime.spawn(self.show_when_listed(source));
        }
        if let Some(index) = &self.search_index {
            let indexer = Indexer {
                catalog: self.catalog.clone(),
                fetcher: Arc::new(EngineSizeFinder(self.engine.clone())),
                index: index.clone(),
                coverage: self.search_coverage.clone(),
            };
            runtime.spawn(run_after(RESTART_DELAY, indexer.run(self.shutdown.clone())));
        }
    }

    /// Returns a task that makes the directory of a source readable as soon as the tree shows its
    /// first listing.
    fn show_when_listed(&self, source: &Source) -> impl Future<Output = ()> + use<> {
        let mut state = source.state.subscribe();
        let shown_tree = self.shown_tree();
        let (name, unlisted_sources) = (source.config.name.clone(), self.unlisted_sources.clone());
        let shutdown = self.shutdown.clone();
        async move {
            let is_listed = state.wait_for(|state| state.fully_listed_at.is_some());
            tokio::select! {
                () = shutdown.cancelled() => return,
                result = is_listed => if result.is_err() { return },
            }
            shown_tree.wait_for_current_revision().await;
            unlisted_sources.remove(&name);
        }
    }

    fn shown_tree(&self) -> ShownTree {
        ShownTree {
            catalog: self.catalog.clone(),
            tree: self.tree.clone(),
            revision: self.shown_revision.subscribe(),
        }
    }

    /// Whether an earlier run stored a listing of the source.
    fn has_stored_listing(&self, source: &Source) -> bool {
        self.catalog.earlier_listing(&source.config.name).is_some()
    }

    /// Whether an earlier run stored a complete listing of the source. A listing is incomplete if
    /// the first run ended before it was complete, or if rows of the catalog are damaged.
    fn is_stored_completely(&self, source: &Source) -> bool {
        self.catalog.earlier_listing(&source.config.name).flatten().is_some()
    }

    /// Waits until the tree can be shown. If a complete listing of every source is stored, returns
    /// almost at once. Otherwise, waits for the first listing of each source without a stored
    /// complete listing. The wait has a timeout once one source is listed. Calls `on_failure` for
    /// each source that failed or has not answered by then.
    ///
    /// # Errors
    /// No source could be listed, and a retry would not help or `require_online` is set. Returns
    /// the failure of the first such source.
    pub async fn wait_for_first_listing(
        &self,
        require_online: bool,
        on_failure: impl Fn(&ListingError),
    ) -> Result<Readiness, ListingError> {
        let awaited_sources: Vec<_> =
            self.sources.iter().filter(|source| !self.is_stored_completely(source)).collect();
        let has_stored_listing = self.sources.iter().any(|source| self.has_stored_listing(source));
        let mut readiness = has_stored_listing.then_some(Readiness::Stored);
        let mut deadline = readiness.map(|_| {
            let has_partial_listing =
                awaited_sources.iter().any(|source| self.has_stored_listing(source));
            let timeout =
                if has_partial_listing { OTHER_SOURCES_TIMEOUT } else { NEW_SOURCES_TIMEOUT };
            Instant::now() + timeout
        });
        let mut pending_listings: FuturesUnordered<_> = awaited_sources
            .iter()
            .map(|source| async move {
                let mut state = source.state.subscribe();
                // `wait_for` returns a read guard, which must be released before `borrow` takes
                // another one. With a writer in between, both would deadlock. The sender lives as
                // long as `self`.
                let _ = state.wait_for(|state| state.is_first_listing_done).await.is_ok();
                source.state.borrow().last_failure.is_none()
            })
            .collect();
        while !pending_listings.is_empty() {
            let result = match deadline {
                Some(deadline) => {
                    tokio::time::timeout_at(deadline, pending_listings.next()).await.ok().flatten()
                }
                None => pending_listings.next().await,
            };
            let Some(is_listed) = result else { break };
            if is_listed {
                readiness = Some(Readiness::Listed);
                deadline = deadline.or_else(|| Some(Instant::now() + OTHER_SOURCES_TIMEOUT));
            }
        }
        drop(pending_listings);
        let is_awaited =
            |source: &Source| awaited_sources.iter().any(|awaited| std::ptr::eq(*awaited, source));
        let errors =
            self.sources.iter().filter_map(|source| source.listing_error(is_awaited(source)));
        match readiness {
            Some(readiness) => {
                errors.for_each(|error| on_failure(&error));
                Ok(readiness)
            }
            // The first listing of every source has failed.
            None => {
                let errors: Vec<_> = errors.collect();
                let is_final = |error: &ListingError| require_online || !error.is_temporary();
                if !errors.iter().any(is_final) {
                    errors.iter().for_each(on_failure);
                    return Ok(Readiness::Stored);
                }
                errors.into_iter().find(is_final).map_or(Ok(Readiness::Stored), Err)
            }
        }
    }

    /// Returns the sources whose first listing has not ended, with its progress.
    pub(crate) fn unlisted_sources(&self) -> Vec<(SourceName, Option<ListingProgress>)> {
        let unlisted_sources =
            self.sources.iter().filter(|source| !source.state.borrow().is_first_listing_done);
        let progress_of =
            |source: &Source| (source.config.name.clone(), source.provider.listing_progress());
        unlisted_sources.map(progress_of).collect()
    }

    /// Waits until the tree shows the current revision of the catalog. The directories of all
    /// sources that are listed are readable then.
    pub async fn wait_until_shown(&self) {
        let is_listed = |source: &&Source| source.state.borrow().fully_listed_at.is_some();
        let listed_sources: Vec<_> = self.sources.iter().filter(is_listed).collect();
        self.shown_tree().wait_for_current_revision().await;
        for source in listed_sources {
            self.unlisted_sources.remove(&source.config.name);
        }
    }

    /// Waits until the enrichment of the current revision is complete. Has no timeout.
    pub async fn wait_until_settled(&self) {
        let revision = Some(*self.catalog.changes().borrow());
        for source in &self.sources {
            let mut settled_revision = source.settled_revision.subscribe();
            // The sender lives as long as `self`.
            let _ = settled_revision.wait_for(|settled| *settled >= revision).await.is_ok();
        }
    }

    /// Requests a full refresh of every source.
    pub fn refresh(&self) {
        self.sources.iter().for_each(|source| source.refresh_request.notify_one());
    }

    /// Requests a full refresh of every source, and waits until the tree shows the result. Has no
    /// timeout.
    pub(crate) async fn refresh_and_wait(&self) {
        let refresh_counts: Vec<_> = self
            .sources
            .iter()
            .map(|source| {
                let state = source.state.borrow();
                // A running refresh may already have listed the days of a new recording.
                state.completed_refreshes + 1 + u64::from(state.is_running)
            })
            .collect();
        self.refresh();
        for (source, refresh_count) in self.sources.iter().zip(refresh_counts) {
            let mut state = source.state.subscribe();
            // The sender lives as long as `self`.
            let _ =
                state.wait_for(|state| state.completed_refreshes >= refresh_count).await.is_ok();
        }
        self.wait_until_shown().await;
    }

    /// Returns the sources with their counts.
    pub(crate) fn sources(&self) -> impl Iterator<Item = (&Source, SourceCounts)> {
        self.sources.iter().map(|source| (source, self.catalog.counts(&source.config.name)))
    }

    /// Returns the provider of each source.
    pub(crate) fn provider_names(&self) -> HashMap<String, String> {
        let names = self.sources.iter().map(|source| {
            (source.config.name.to_string(), source.config.provider.name().to_owned())
        });
        names.collect()
    }

    pub(crate) fn providers(&self) -> Vec<Arc<dyn Provider>> {
        self.sources.iter().map(|source| source.provider.clone()).collect()
    }

    /// Waits until the disk cache has stored all blocks. Blocks the calling thread.
    #[cfg(test)]
    pub(super) fn flush_disk_cache(&self) {
        let timeout = Duration::from_secs(60);
        assert!(self.disk.as_ref().is_none_or(|disk| disk.flush(timeout)));
    }

    #[cfg(test)]
    pub(super) fn table_sizes(&self) -> Vec<TableSize> {
        let mut sizes = self.client.table_sizes();
        sizes.extend(self.engine.table_sizes());
        sizes.extend(self.catalog.table_sizes());
        sizes.extend(self.sources.iter().flat_map(|source| source.provider.table_sizes()));
        sizes.push(TableSize::new("nodes of the tree", self.tree.current().nodes().len()));
        sizes
    }

    /// Returns the search index and the part of the archive that it contains; `None` if it is
    /// turned off.
    pub(crate) fn search_index(&self) -> Option<(&Arc<SearchIndex>, &Coverage)> {
        self.search_index.as_ref().map(|index| (index, &*self.search_coverage))
    }

    pub(crate) fn client(&self) -> &Client {
        &self.client
    }

    /// Returns the state of the disk cache; `None` if it is off.
    pub(crate) fn disk(&self) -> Option<DiskStatus> {
        self.disk.as_ref().map(|disk| disk.status())
    }
}

async fn run_after(delay: Duration, task: impl Future<Output = ()>) {
    tokio::time::sleep(delay).await;
    task.await;
}

/// Builds and publishes a snapshot whenever the catalog has changed, and invalidates the changed
/// entries in the caches of the kernel.
async fn publish(
    mut builder: TreeBuilder,
    catalog: Arc<Catalog>,
    tree: Arc<LiveTree>,
    invalidations: Arc<InvalidationQueue>,
    shown_revision: watch::Sender<Option<u64>>,
    shutdown: CancellationToken,
) {
    let mut changes = catalog.changes();
    changes.mark_changed();
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return,
            changed = changes.changed() => if changed.is_err() { return },
        }
        let revision = *changes.borrow_and_update();
        let start = Instant::now();
        let (catalog, current_tree) = (catalog.clone(), tree.current());
        let result = tokio::task::spawn_blocking(move || {
            // The nodes of a tree are mapped separately and do not reuse free memory. So free
            // memory is returned to the kernel before the build.
            malloc::return_free_memory();
            let snapshot = builder.build(&catalog.contents());
            let changes = TreeChange::between(&current_tree, &snapshot);
            (builder, snapshot, changes)
        });
        let (snapshot, changes);
        match result.await {
            Ok(result) => (builder, snapshot, changes) = result,
            Err(error) => {
                tracing::error!(
                    "cannot rebuild the tree, so the previous tree stays in use: {error}"
                );
                return;
            }
        }
        let changes = changes.into_iter().map(Invalidation::from);
        let previous_snapshot = invalidations.publish(changes, || tree.publish(snapshot));
        shown_revision.send_replace(Some(revision));
        // Never panics. Dropping a large snapshot takes milliseconds.
        let _ = tokio::task::spawn_blocking(move || {
            drop(previous_snapshot);
            malloc::return_free_memory();
        })
        .await;
        let elapsed = start.elapsed();
        tracing::debug!(took = ?elapsed, "rebuilt the tree");
        tokio::time::sleep(MIN_SNAPSHOT_INTERVAL).await;
        let pause = (elapsed * PAUSE_PER_REBUILD).saturating_sub(MIN_SNAPSHOT_INTERVAL);
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = tree.wait_for_request() => {}
        }
    }
}

/// The catalog and the tree that shows it.
struct ShownTree {
    catalog: Arc<Catalog>,
    tree: Arc<LiveTree>,
    /// The catalog revision that the tree shows.
    revision: watch::Receiver<Option<u64>>,
}

impl ShownTree {
    /// Waits until the tree shows the current revision of the catalog, or until the archive ends.
    async fn wait_for_current_revision(mut self) {
        let revision = Some(*self.catalog.changes().borrow());
        let _expedite_guard = self.tree.expedite();
        let _ = self.revision.wait_for(|shown| *shown >= revision).await.is_ok();
    }
}

struct EngineSizeFinder(Arc<Engine>);

#[async_trait]
impl SizeFinder for EngineSizeFinder {
    async fn find_size(
        &self,
        id: &FileId,
        version: Version,
        body: BodyKind,
    ) -> Result<u64, FetchError> {
        self.0.find_size(id, version, body).await
    }

    async fn fetch_first_bytes(
        &self,
        id: &FileId,
        version: Version,
        length: u64,
    ) -> Result<(Bytes, u64), FetchError> {
        self.0.fetch_first_bytes(id, version, length).await
    }
}
