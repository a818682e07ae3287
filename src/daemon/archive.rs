//! The rooms joined into one running archive: providers list into the catalog, the catalog becomes the tree, and
//! reads find their leases.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::findings::{self, Findings};
use super::holdings::OnDisk;
use super::malloc;
use super::source::Source;
use crate::cache::MemoryCache;
use crate::cache::disk::{DiskCache, DiskOptions, DiskStatus};
use crate::catalog::{
    Catalog, CatalogDatabase, Enricher, ListingScope, SizeFinder, SourceCounts, SourceOptions,
};
use crate::commands::error::Error;
use crate::config::{Config, DiskLimit};
use crate::http::{Client, FetchError};
use crate::model::{BodyKind, FileId};
use crate::providers::{LeaseCache, Provider, Registry};
use crate::read::{Engine, EngineOptions};
use crate::tree::{LiveTree, TreeBuilder};
use crate::vfs::{Invalidation, InvalidationQueue};

/// Pause after a new snapshot before the next is built: while the background finds out sizes one by one, a tree
/// a tenth of a second old is new enough, and building it for every answer would keep a core busy.
const BETWEEN_SNAPSHOTS: Duration = Duration::from_millis(100);

/// The least pause as a multiple of the time that the last snapshot took, while nobody waits for the next: the details
/// of ten thousand meetings come in for minutes, and what they add to a tree of 90,000 files may show a second later.
const PAUSE_SHARE: u32 = 9;

/// The part of the memory budget whose blocks may wait to be written to disk. The cache counts them for as long, so they
/// are few enough to leave room for what is fetched; what a slow disk does not take in time is not kept.
const WRITES_WAITING_SHARE: u64 = 4;

/// How long a source that can be shown waits for the first listing of others. Most answer within a second; one that
/// hangs is given up after half a minute, and nobody should wait that long for files that are there.
const OTHERS_TIMEOUT: Duration = Duration::from_secs(3);

/// How long a mount that shows what an earlier run has listed waits for sources that were never listed. They show later
/// without a remount, so this is not for their files but for a word at the prompt: a wrong secret, or an address where
/// nobody listens, is told within three round trips (TCP, TLS, the request), and those take this long across an ocean. One
/// that is down is never listed, so each mount waits this long for it.
const NEW_BESIDE_KEPT_TIMEOUT: Duration = Duration::from_millis(300);

/// How long the background leaves a source alone that an earlier run has listed. Providers that count calls by the second
/// still count those of a run that ended a moment ago, of which this one knows nothing: after a quick restart the two
/// together passed a limit that each had kept to. What was listed is shown meanwhile.
const AFTER_EARLIER_RUN: Duration = Duration::from_secs(1);

/// What there is to show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Readiness {
    /// What an earlier run has listed.
    Kept,
    /// What was listed now.
    Listed,
}

/// A running archive; ends with its token.
#[derive(Debug)]
pub struct Archive {
    /// The newest tree.
    pub tree: Arc<LiveTree>,
    /// Reads its files.
    pub engine: Arc<Engine>,
    /// Announces changes to the kernel once it is mounted.
    pub invalidations: Arc<InvalidationQueue>,
    catalog: Arc<Catalog>,
    sources: Vec<Source>,
    client: Client,
    disk: Option<Arc<DiskCache>>,
    /// Up to which change of the catalog the tree shows it.
    shown: watch::Sender<Option<u64>>,
    ended: CancellationToken,
}

impl Archive {
    /// An archive that has asked nobody yet.
    ///
    /// # Errors
    /// The HTTP client cannot be set up, or another process has the cache directory.
    pub fn new(
        settings: &Config,
        facts: CatalogDatabase,
        runtime: &Handle,
        ended: CancellationToken,
    ) -> Result<Self, Error> {
        Self::with_providers(settings, &Registry::default(), facts, runtime, ended)
    }

    /// As [`new`](Self::new), with the providers of `registry`.
    ///
    /// # Errors
    /// As [`new`](Self::new), or the provider of a source is not registered.
    pub fn with_providers(
        settings: &Config,
        registry: &Registry,
        facts: CatalogDatabase,
        runtime: &Handle,
        ended: CancellationToken,
    ) -> Result<Self, Error> {
        let client = Client::new(settings.connections)?;
        let disk = match settings.cache.disk {
            DiskLimit::Off => None,
            DiskLimit::Bytes(limit) => Some(DiskCache::open(DiskOptions {
                directory: settings.cache.blocks_directory(),
                limit,
                free_floor: None,
                queue: settings.cache.memory.bytes() / WRITES_WAITING_SHARE,
            })?),
        };
        let sources: Vec<Source> = settings
            .sources
            .iter()
            .map(|settings| {
                let provider = registry
                    .open(settings, &client)
                    .map_err(|cause| Error::Source { source_name: settings.name.clone(), cause })?;
                Ok(Source {
                    settings: settings.clone(),
                    provider,
                    refresh: Arc::default(),
                    state: watch::Sender::default(),
                    settled: watch::Sender::default(),
                })
            })
            .collect::<Result<_, Error>>()?;
        let options = sources.iter().map(|source| SourceOptions {
            name: source.settings.name.clone(),
            scope: ListingScope::of(source.provider.identity().words.iter().map(String::as_str)),
            filter: source.filter(&settings.timezone),
            recycle_bin: source.recycle_bin(),
            keep_deleted: disk
                .as_ref()
                .filter(|_| source.settings.keep_deleted)
                .map(OnDisk::holdings),
        });
        let catalog = Catalog::new(options, Arc::new(facts));
        for source in &sources {
            source.provider.set_known_meetings(catalog.clone());
            source.provider.recall(&catalog.meetings(&source.settings.name));
            source.provider.recall(&catalog.trashed_meetings(&source.settings.name));
            let kept = catalog.earlier_listing(&source.settings.name).flatten();
            source.state.send_modify(|state| {
                state.fully_listed_at = kept.filter(|_| source.provider.identity().names_account);
            });
        }
        let invalidations = Arc::new(InvalidationQueue::default());
        let tree = Arc::new(LiveTree::default());
        let (findings, found) = Findings::new(catalog.clone());
        let lease_caches: HashMap<_, _> = sources
            .iter()
            .map(|source| (source.settings.name.clone(), LeaseCache::new(source.provider.clone())))
            .collect();
        let engine = Engine::new(EngineOptions {
            client: client.clone(),
            cache: MemoryCache::new(settings.cache.memory.bytes()),
            disk: disk.clone(),
            lease_caches,
            deadline: settings.read_deadline,
            observer: Arc::new(findings),
            runtime: runtime.clone(),
        });
        let shown = watch::Sender::new(None);
        let archive =
            Self { tree, engine, invalidations, catalog, sources, client, disk, shown, ended };
        let builder = TreeBuilder::new(settings.timezone.clone());
        runtime.spawn(publish(
            builder,
            archive.catalog.clone(),
            archive.tree.clone(),
            archive.invalidations.clone(),
            archive.shown.clone(),
            archive.ended.clone(),
        ));
        let everyone = archive.sources.iter().map(|source| source.refresh.clone()).collect();
        runtime.spawn(findings::take(
            found,
            archive.catalog.clone(),
            archive.tree.clone(),
            archive.invalidations.clone(),
            everyone,
        ));
        Ok(archive)
    }

    /// Starts what goes on in the background: listings, and finding out what they leave out.
    pub fn start(&self, runtime: &Handle) {
        for source in &self.sources {
            let pause = if self.is_kept(source) { AFTER_EARLIER_RUN } else { Duration::ZERO };
            let listing = Source::keep_fresh(source.refresher(&self.catalog), self.ended.clone());
            runtime.spawn(after(pause, listing));
            let enricher = Enricher {
                provider: source.provider.clone(),
                sizes: Arc::new(Sizes(self.engine.clone())),
                catalog: self.catalog.clone(),
                settled: source.settled.clone(),
            };
            runtime.spawn(after(pause, enricher.run(self.ended.clone())));
        }
    }

    /// Whether an earlier run has listed the source.
    fn is_kept(&self, source: &Source) -> bool {
        self.catalog.earlier_listing(&source.settings.name).is_some()
    }

    /// Waits until there is something to show: hardly where an earlier run has listed, else for the first listing of each
    /// source. One that works does not wait long for others. What failed by then, and who has not answered yet, is told to
    /// `troubled`.
    ///
    /// # Errors
    /// The failure of the first source, when none could be listed.
    pub async fn first_listing(&self, troubled: impl Fn(&Error)) -> Result<Readiness, Error> {
        let (kept, new): (Vec<_>, Vec<_>) =
            self.sources.iter().partition(|source| self.is_kept(source));
        let mut readiness = (!kept.is_empty()).then_some(Readiness::Kept);
        let mut others_until = readiness.map(|_| Instant::now() + NEW_BESIDE_KEPT_TIMEOUT);
        let mut waiting: FuturesUnordered<_> = new
            .iter()
            .map(|source| async move {
                let mut state = source.state.subscribe();
                // What it returns is a lock for reading. Held while another is taken, with a writer that waits between the
                // two, it would be waited for for ever.
                let _sender_lives_as_long_as_self =
                    state.wait_for(|state| state.is_first_listing_done).await.is_ok();
                source.state.borrow().last_failure.is_none()
            })
            .collect();
        while !waiting.is_empty() {
            let next = match others_until {
                Some(until) => tokio::time::timeout_at(until, waiting.next()).await.ok().flatten(),
                None => waiting.next().await,
            };
            let Some(is_listed) = next else { break };
            if is_listed {
                readiness = Some(Readiness::Listed);
                others_until = others_until.or_else(|| Some(Instant::now() + OTHERS_TIMEOUT));
            }
        }
        drop(waiting);
        let is_new = |source: &Source| new.iter().any(|other| std::ptr::eq(*other, source));
        let mut errors = self.sources.iter().filter_map(|source| source.trouble(is_new(source)));
        match readiness {
            Some(readiness) => {
                errors.for_each(|error| troubled(&error));
                Ok(readiness)
            }
            // Nobody works, and everybody has answered.
            None => errors.next().map_or(Ok(Readiness::Listed), Err),
        }
    }

    /// Waits until the tree shows what the catalog holds now.
    pub async fn shown(&self) {
        let wanted = Some(*self.catalog.changes().borrow());
        let mut shown = self.shown.subscribe();
        let _awaited = self.tree.expedite();
        let _sender_lives_as_long_as_self = shown.wait_for(|shown| *shown >= wanted).await.is_ok();
    }

    /// Waits until everything that can be found out has been. Callers bound the wait.
    pub async fn settled(&self) {
        let wanted = Some(*self.catalog.changes().borrow());
        for source in &self.sources {
            let mut settled = source.settled.subscribe();
            let _sender_lives_as_long_as_self =
                settled.wait_for(|settled| *settled >= wanted).await.is_ok();
        }
    }

    /// Asks every source for a full listing now.
    pub fn refresh(&self) {
        self.sources.iter().for_each(|source| source.refresh.notify_one());
    }

    /// Asks every source for a full listing now, and waits until the tree shows what came of it. Callers bound the
    /// wait.
    pub(crate) async fn refreshed(&self) {
        let wanted: Vec<_> = self
            .sources
            .iter()
            .map(|source| {
                let state = source.state.borrow();
                // One under way may have passed what is looked for.
                state.completed_refreshes + 1 + u64::from(state.is_running)
            })
            .collect();
        self.refresh();
        for (source, wanted) in self.sources.iter().zip(wanted) {
            let mut state = source.state.subscribe();
            let _sender_lives_as_long_as_self =
                state.wait_for(|state| state.completed_refreshes >= wanted).await.is_ok();
        }
        self.shown().await;
    }

    /// The sources with what they are doing and how much there is of each.
    pub(crate) fn sources(&self) -> impl Iterator<Item = (&Source, SourceCounts)> {
        self.sources.iter().map(|source| (source, self.catalog.counts(&source.settings.name)))
    }

    /// Who lists the sources.
    pub(crate) fn providers(&self) -> Vec<Arc<dyn Provider>> {
        self.sources.iter().map(|source| source.provider.clone()).collect()
    }

    /// What everything is fetched with.
    pub(crate) fn client(&self) -> &Client {
        &self.client
    }

    /// What the disk cache holds; `None` where there is none.
    pub(crate) fn disk(&self) -> Option<DiskStatus> {
        self.disk.as_ref().map(|disk| disk.status())
    }
}

async fn after(pause: Duration, work: impl Future<Output = ()>) {
    tokio::time::sleep(pause).await;
    work.await;
}

/// Builds a snapshot whenever the catalog has changed, and tells the kernel what it must forget.
async fn publish(
    mut builder: TreeBuilder,
    catalog: Arc<Catalog>,
    tree: Arc<LiveTree>,
    invalidations: Arc<InvalidationQueue>,
    shown: watch::Sender<Option<u64>>,
    ended: CancellationToken,
) {
    let mut changes = catalog.changes();
    changes.mark_changed();
    loop {
        tokio::select! {
            () = ended.cancelled() => return,
            changed = changes.changed() => if changed.is_err() { return },
        }
        let change = *changes.borrow_and_update();
        let began = Instant::now();
        let views = catalog.clone();
        let built = tokio::task::spawn_blocking(move || {
            // A tree's nodes are mapped by themselves and fill no holes: what was left free counts beside them.
            malloc::give_back();
            let snapshot = builder.build(&views.contents());
            (builder, snapshot)
        });
        let snapshot;
        match built.await {
            Ok(done) => (builder, snapshot) = done,
            Err(error) => {
                tracing::error!("the tree could not be built and stays as it is: {error}");
                return;
            }
        }
        let changed = tree.publish(snapshot);
        invalidations.push(changed.into_iter().map(Invalidation::from));
        shown.send_replace(Some(change));
        let _panics_never = tokio::task::spawn_blocking(malloc::give_back).await;
        let took = began.elapsed();
        tracing::debug!(?took, "a new tree");
        tokio::time::sleep(BETWEEN_SNAPSHOTS).await;
        tokio::select! {
            () = tokio::time::sleep((took * PAUSE_SHARE).saturating_sub(BETWEEN_SNAPSHOTS)) => {}
            () = tree.wait_for_waiter() => {}
        }
    }
}

struct Sizes(Arc<Engine>);

#[async_trait]
impl SizeFinder for Sizes {
    async fn find_size(&self, id: &FileId, body: BodyKind) -> Result<u64, FetchError> {
        self.0.find_size(id, body).await
    }
}
