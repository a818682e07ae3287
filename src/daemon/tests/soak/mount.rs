//! The mount under test: an archive with a real Zoom provider, and the file system.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;
use jiff::ToSpan;
use jiff::tz::TimeZone;
use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::faults::FaultSchedule;
use super::zoom_cloud::ZoomCloud;
use super::zoom_server::ZoomServer;
use crate::config::{
    CaCertificates, CacheConfig, Config, DiskLimit, FilterConfig, MemoryBudget, ProviderConfig,
    SourceConfig,
};
use crate::daemon::archive::Archive;
use crate::daemon::cache_storage::CacheStorage;
use crate::http::Client;
use crate::model::{FileId, SourceName, TableSize, current_time};
use crate::providers::Registry;
use crate::providers::zoom::{ZoomConfig, ZoomCredential, ZoomPlan};
use crate::vfs::{FakeKernel, FileSystem, FileSystemOptions, HandleId, InvalidationQueue, Owner};

/// Deadline of every read.
pub(super) const DEADLINE: Duration = Duration::from_secs(10);

/// Longest time for which the file system may return an error after its cause has ended: a file
/// whose reads failed is not requested for ten deadlines, a refusal is cached for a minute, and a
/// read that started before that lasts for a deadline.
pub(super) const ERROR_MEMORY: Duration = Duration::from_secs(100 + 60 + 10 + 10);

/// Longest time until the tree shows a change: the interval of the refresh with its jitter, and the
/// refresh.
const REFRESH_DELAY: Duration = Duration::from_secs(6 * 60);

/// Longest time until the tree shows a change of the recycle bin, which is listed with all days.
const TRASH_REFRESH_DELAY: Duration = Duration::from_secs(7 * 3600);

/// Maximum disk space of the cache. It is smaller than the recordings, so blocks are evicted.
const DISK_LIMIT: u64 = 24 << 20;

pub(super) struct Mount {
    pub(super) archive: Archive,
    pub(super) file_system: FileSystem<Arc<()>>,
    pub(super) kernel: FakeKernel,
    pub(super) server: Arc<ZoomServer>,
    pub(super) stop_programs: CancellationToken,
    pub(super) shutdown: CancellationToken,
    pub(super) counts: Mutex<BTreeMap<&'static str, u64>>,
    failure: Mutex<Option<String>>,
}

impl Mount {
    /// Creates a mount whose cache is in `directory`. Its background tasks are running.
    pub(super) fn new(directory: &Path, cycle: Duration, rng: &mut Rng) -> Arc<Self> {
        let cloud = ZoomCloud::new(rng.fork());
        let server = Arc::new(ZoomServer::new(cloud, FaultSchedule::new(cycle), rng.fork()));
        let config = config(directory);
        let client = Client::with_server(config.connections, server.clone()).unwrap();
        let storage = CacheStorage::open(&config).unwrap();
        let (runtime, shutdown) = (Handle::current(), CancellationToken::new());
        let registry = Registry::default();
        let archive =
            Archive::with_client(&config, &registry, client, storage, &runtime, shutdown.clone());
        let archive = archive.unwrap();
        let file_system = FileSystem::new(FileSystemOptions {
            scanner_limiter: Arc::default(),
            tree: archive.tree.clone(),
            engine: archive.engine.clone(),
            unlisted_sources: archive.unlisted_sources.clone(),
            handles: archive.handles.clone(),
            provider_names: archive.provider_names(),
            owner: Owner { uid: 1000, gid: 100, directory_mode: 0o550, file_mode: 0o440 },
            runtime: runtime.clone(),
            invalidations: archive.invalidations.clone(),
            allows_passthrough: false,
        });
        archive.start(&runtime);
        Arc::new(Self {
            archive,
            file_system,
            kernel: FakeKernel::default(),
            server,
            stop_programs: CancellationToken::new(),
            shutdown,
            counts: Mutex::default(),
            failure: Mutex::default(),
        })
    }

    /// Passes invalidations to the kernel, until the mount ends.
    ///
    /// The thread that does this in a real mount blocks while the queue is empty, and the simulated
    /// clock does not wait for it.
    pub(super) async fn deliver_invalidations(
        invalidations: Arc<InvalidationQueue>,
        shutdown: CancellationToken,
    ) {
        const INTERVAL: Duration = Duration::from_millis(100);
        while tokio::time::timeout(INTERVAL, shutdown.cancelled()).await.is_err() {
            // The queue is not empty, so `next_batch` does not block.
            if invalidations.len() > 0
                && let Some(batch) = invalidations.next_batch()
            {
                invalidations.acknowledge(&batch);
                batch.pages.iter().for_each(|ino| invalidations.acknowledge_page_drop(*ino));
            }
        }
    }

    /// Closes a handle.
    pub(super) fn close(&self, handle: HandleId) {
        self.file_system.release(handle);
    }

    pub(super) fn count(&self, result: &'static str) {
        self.count_many(result, 1);
    }

    pub(super) fn count_many(&self, result: &'static str, count: u64) {
        *self.counts.lock().entry(result).or_default() += count;
    }

    pub(super) fn record_failure(&self, failure: String) {
        self.failure.lock().get_or_insert(failure);
    }

    /// Returns the first failure of a program.
    pub(super) fn take_failure(&self) -> Option<String> {
        self.failure.lock().take()
    }

    /// Whether an operation on a file may fail now. `opened_at` is the time at which its handle was
    /// opened.
    pub(super) fn may_fail(&self, id: &FileId, opened_at: Instant) -> bool {
        let (now, state) = (Instant::now(), self.server.0.lock());
        let earliest_fault = opened_at.checked_sub(ERROR_MEMORY).unwrap_or(opened_at);
        if state.faults.has_fault_between(earliest_fault, now) {
            return true;
        }
        // The file may be another one since the last listing.
        let Some(changed_at) = state.cloud.changed_at(id) else { return true };
        let is_in_trash = id.meeting.is_in_trash();
        let delay = if is_in_trash { TRASH_REFRESH_DELAY } else { REFRESH_DELAY };
        let listed_at = opened_at.checked_sub(delay).unwrap_or(opened_at);
        let outage = state.faults.recent_api_outage(opened_at, REFRESH_DELAY);
        let listed_at = outage.map_or(listed_at, |outage| outage.min(listed_at));
        changed_at >= listed_at.checked_sub(REFRESH_DELAY).unwrap_or(listed_at)
    }

    /// Returns the sizes of all tables.
    pub(super) fn table_sizes(&self) -> Vec<TableSize> {
        let mut sizes = self.archive.table_sizes();
        sizes.extend(self.file_system.table_sizes());
        sizes
    }
}

fn config(directory: &Path) -> Config {
    let today = TimeZone::UTC.to_datetime(current_time()).date();
    let url = |url: &str| url.parse().unwrap();
    let zoom = ZoomConfig {
        credential: ZoomCredential::ServerToServer {
            account_id: "account".into(),
            client_id: "client".into(),
            client_secret: "s3cret".into(),
        },
        users: vec!["all".into()],
        api_url: url("https://api.zoom.us/v2"),
        oauth_url: url("https://zoom.us/oauth/token"),
        api_url_is_default: false,
        plan: ZoomPlan::Business,
    };
    let source = SourceConfig {
        name: SourceName::new("acme").unwrap(),
        since: today.saturating_sub(60.days()),
        download_hosts: Vec::new(),
        filter: FilterConfig::default(),
        shows_trash: true,
        keeps_deleted_files: false,
        bandwidth_limit: None,
        provider: ProviderConfig::Zoom(zoom),
    };
    Config {
        timezone: TimeZone::UTC,
        is_timezone_configured: true,
        cache: CacheConfig {
            dir: directory.to_owned(),
            memory: MemoryBudget::MIN,
            disk: DiskLimit::Bytes(DISK_LIMIT),
        },
        read_deadline: DEADLINE,
        connections: 8,
        bandwidth_limit: None,
        scanner_limit: None,
        ca_certificates: CaCertificates::default(),
        metrics: None,
        indexes_texts: false,
        directory_mode: None,
        file_mode: None,
        sources: vec![source],
    }
}
