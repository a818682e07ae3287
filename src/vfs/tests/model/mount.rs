//! The file system under test, with the tree that was published last.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use fastrand::Rng;
use jiff::Timestamp;
use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio::time::Instant;

use super::archive::{Archive, SOURCES, Servers, SimulatedProvider};
use super::listing::{Catalog, ExpectedContent, ExpectedName, ExpectedNode};
use crate::cache::MemoryCache;
use crate::http::{Client, Revision};
use crate::model::{FileId, SourceName};
use crate::providers::LeaseCache;
use crate::read::{Engine, EngineOptions};
use crate::tree::{Ino, LiveTree, TreeChange};
use crate::vfs::{
    Attributes, Error, FileKind, FileSystem, FileSystemOptions, HandleId, Invalidation,
    InvalidationQueue, Owner, PendingOpen, ReadyOpen,
};

/// Deadline of every read.
pub(super) const DEADLINE: Duration = Duration::from_secs(6);

/// Budget of the memory cache. It is smaller than the archive, so blocks are evicted.
pub(super) const MEMORY_BUDGET: u64 = 8 << 20;

/// Longest time for which the correction of a size can be delayed.
pub(super) const MAX_CORRECTION_DELAY: Duration = Duration::from_millis(1200);

/// How long before the end of a recording the time of a generated file can be.
const MAX_CONTENT_TIME_OFFSET: Duration = Duration::from_secs(4 * 86_400);

/// A node of the published tree.
#[derive(Debug)]
pub(super) struct PublishedNode {
    pub(super) content: PublishedContent,
    pub(super) attributes: Attributes,
    pub(super) parent: Ino,
    pub(super) expires: Option<Timestamp>,
}

#[derive(Debug)]
pub(super) enum PublishedContent {
    /// The entries, ordered by name.
    Directory(Vec<(String, Ino)>),
    Recording {
        file: FileVersion,
        size: u64,
        is_mounted: bool,
    },
    Text(Bytes),
}

/// A version of a file. The library and the recycle bin list it under different ids.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct FileVersion {
    pub(super) id: FileId,
    pub(super) number: usize,
    pub(super) version: u64,
}

impl fmt::Display for FileVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = if self.id.meeting.is_in_trash() { " in the trash" } else { "" };
        write!(f, "file {} version {}{place}", self.number, self.version)
    }
}

/// The tree that was published last. Its names, sizes and times have been checked.
#[derive(Debug, Default)]
pub(super) struct PublishedTree {
    pub(super) nodes: HashMap<Ino, PublishedNode>,
    pub(super) directories: Vec<Ino>,
    pub(super) files: Vec<Ino>,
}

impl PublishedTree {
    pub(super) fn entries(&self, ino: Ino) -> &[(String, Ino)] {
        match self.nodes.get(&ino).map(|node| &node.content) {
            Some(PublishedContent::Directory(entries)) => entries,
            _ => &[],
        }
    }

    pub(super) fn lookup(&self, parent: Ino, name: &str) -> Option<Ino> {
        let entries = self.entries(parent);
        let index = entries.binary_search_by(|(other, _)| other.as_str().cmp(name)).ok()?;
        Some(entries[index].1)
    }
}

/// The inode numbers that have been seen, and the times of generated files.
#[derive(Debug, Default)]
pub(super) struct Learned {
    inos: HashMap<String, Ino>,
    identities: HashMap<Ino, String>,
    /// The text, the end of the recording, and the time of each generated file.
    text_times: HashMap<String, (Bytes, SystemTime, SystemTime)>,
    /// All numbers, also those of removed files.
    pub(super) all_inos: Vec<Ino>,
}

/// An open that has not finished yet, and the sizes that its file had in the meantime.
#[derive(Debug)]
pub(super) struct PendingOpenModel {
    pub(super) ino: Ino,
    pub(super) started_at: Instant,
    pub(super) sizes: Mutex<Vec<u64>>,
    /// Whether the file got another size or was removed in the meantime.
    pub(super) was_changed: AtomicBool,
}

impl PendingOpenModel {
    pub(super) fn new(ino: Ino, size: u64) -> Arc<Self> {
        let sizes = Mutex::new(vec![size]);
        Arc::new(Self { ino, started_at: Instant::now(), sizes, was_changed: false.into() })
    }

    /// Records the node that a new tree has for the file.
    fn record_node(&self, node: Option<&PublishedNode>) {
        let mut sizes = self.sizes.lock();
        if let Some(PublishedContent::Recording { size, .. }) = node.map(|node| &node.content) {
            sizes.push(*size);
        }
        if node.map(|node| node.attributes.size) != sizes.first().copied() {
            self.was_changed.store(true, Ordering::Relaxed);
        }
    }
}

/// The length of an open file. There are several possible lengths if the size was corrected during
/// the open.
#[derive(Debug)]
pub(super) struct OpenLength {
    pub(super) handle: HandleId,
    pub(super) ino: Ino,
    pub(super) possible: Vec<u64>,
}

/// The mounted file system.
pub(super) struct Mount {
    pub(super) archive: Arc<Mutex<Archive>>,
    pub(super) catalog: Arc<Catalog>,
    pub(super) cache: Arc<MemoryCache>,
    pub(super) engine: Arc<Engine>,
    pub(super) file_system: FileSystem<Arc<()>>,
    pub(super) published: Mutex<Arc<PublishedTree>>,
    pub(super) learned: Mutex<Learned>,
    pub(super) pending_opens: Mutex<Vec<Arc<PendingOpenModel>>>,
    /// The lengths of the files that are open.
    pub(super) open_lengths: Mutex<Vec<OpenLength>>,
    /// The greatest size that each file has had.
    pub(super) longest_sizes: Mutex<HashMap<Ino, u64>>,
    /// The first failure in a background task.
    pub(super) failure: Mutex<Option<String>>,
    invalidations: Arc<InvalidationQueue>,
    kernel: Mutex<KernelCache>,
}

/// What the cached pages of a file contain.
#[derive(Debug)]
pub(super) enum PageContents {
    Text(Bytes),
    /// The bytes agree with each of these revisions.
    Recording(Vec<Arc<Revision>>),
}

/// The names, attributes and pages that a kernel caches until they are invalidated.
#[derive(Debug, Default)]
struct KernelCache {
    entries: HashMap<(Ino, String), Ino>,
    attributes: HashMap<Ino, Attributes>,
    pages: HashMap<Ino, PageContents>,
    page_drop_count: u64,
}

impl KernelCache {
    fn invalidate(&mut self, invalidation: &Invalidation) {
        match invalidation {
            Invalidation::Entry { parent, name } => {
                if let Some(ino) = self.entries.remove(&(*parent, name.to_string())) {
                    self.drop_subtree(ino);
                }
            }
            Invalidation::Attributes(ino) => {
                self.attributes.remove(ino);
            }
            Invalidation::Pages(ino) => {
                self.attributes.remove(ino);
                self.page_drop_count += u64::from(self.pages.remove(ino).is_some());
            }
        }
    }

    /// Drops the entries below a directory, as the kernel does.
    fn drop_subtree(&mut self, root: Ino) {
        let mut dropped_inos = HashSet::from([root]);
        loop {
            let count = dropped_inos.len();
            self.entries.retain(|(parent, _), ino| {
                let is_below = dropped_inos.contains(parent);
                if is_below {
                    dropped_inos.insert(*ino);
                }
                !is_below
            });
            if dropped_inos.len() == count {
                break;
            }
        }
        self.attributes.retain(|ino, _| !dropped_inos.contains(ino));
    }
}

impl Mount {
    pub(super) fn new(rng: &mut Rng) -> Arc<Self> {
        let archive = Arc::new(Mutex::new(Archive::new(rng.fork())));
        let tree = Arc::new(LiveTree::default());
        let catalog = Catalog::new(archive.clone(), tree.clone());
        let client = Client::with_server(8, Arc::new(Servers(archive.clone()))).unwrap();
        let cache = MemoryCache::new(MEMORY_BUDGET);
        let mounted_sources = &SOURCES[..SOURCES.len() - 1];
        let lease_caches = mounted_sources.iter().map(|source| {
            let provider = SimulatedProvider::new(source, archive.clone());
            (SourceName::new(source).unwrap(), LeaseCache::new(Arc::new(provider)))
        });
        let engine = Engine::new(EngineOptions {
            client,
            cache: cache.clone(),
            disk: None,
            lease_caches: lease_caches.collect(),
            deadline: DEADLINE,
            observer: catalog.clone(),
            runtime: Handle::current(),
        });
        let invalidations = Arc::new(InvalidationQueue::default());
        let file_system = FileSystem::new(FileSystemOptions {
            scanner_limiter: Arc::default(),
            tree,
            engine: engine.clone(),
            unlisted_sources: Arc::default(),
            handles: Arc::default(),
            provider_names: HashMap::from([("acme".to_owned(), "zoom".to_owned())]),
            owner: Owner { uid: 1000, gid: 100, directory_mode: 0o550, file_mode: 0o440 },
            runtime: Handle::current(),
            invalidations: invalidations.clone(),
            allows_passthrough: false,
        });
        Arc::new(Self {
            archive,
            catalog,
            cache,
            engine,
            file_system,
            published: Mutex::default(),
            learned: Mutex::default(),
            pending_opens: Mutex::default(),
            open_lengths: Mutex::default(),
            longest_sizes: Mutex::default(),
            failure: Mutex::default(),
            invalidations,
            kernel: Mutex::default(),
        })
    }

    /// Publishes the listing again after each fact that a read has found, with a random delay.
    pub(super) async fn publish_corrections(self: Arc<Self>, mut rng: Rng) {
        /// Interval at which the kernel handles invalidations, and the number of intervals after a
        /// correction. An open waits for a correction for half a second.
        const INTERVAL: Duration = Duration::from_millis(5);
        const INTERVALS: usize = 110;
        loop {
            self.catalog.corrections.notified().await;
            let delay = match rng.u32(0..4) {
                0 => Duration::from_micros(rng.u64(0..MAX_CORRECTION_DELAY.as_micros() as u64)),
                _ => Duration::ZERO,
            };
            tokio::time::sleep(delay).await;
            if let Err(failure) = self.publish() {
                self.failure.lock().get_or_insert(failure);
            }
            for _ in 0..INTERVALS {
                tokio::time::sleep(INTERVAL).await;
                self.deliver_invalidations();
            }
        }
    }

    /// Passes the invalidations to the kernel.
    pub(super) fn deliver_invalidations(&self) {
        // The queue is not empty, so `next_batch` does not block.
        self.invalidations.push([Invalidation::Attributes(Ino::ROOT)]);
        let batch = self.invalidations.next_batch().unwrap();
        let mut kernel = self.kernel.lock();
        batch
            .immediate_invalidations
            .iter()
            .for_each(|invalidation| kernel.invalidate(invalidation));
        batch.pages.iter().for_each(|ino| kernel.invalidate(&Invalidation::Pages(*ino)));
        drop(kernel);
        self.invalidations.acknowledge(&batch);
        batch.pages.iter().for_each(|ino| self.invalidations.acknowledge_page_drop(*ino));
    }

    /// Finishes an `open` that waits, and passes the invalidations to the kernel in the meantime.
    pub(super) async fn resolve_open(&self, open: PendingOpen) -> Result<ReadyOpen, Error> {
        const INTERVAL: Duration = Duration::from_millis(5);
        let mut result = std::pin::pin!(self.file_system.resolve_open(open));
        loop {
            if let Ok(result) = tokio::time::timeout(INTERVAL, &mut result).await {
                return result;
            }
            self.deliver_invalidations();
        }
    }

    /// Returns how often the kernel dropped the pages of a file.
    pub(super) fn page_drop_count(&self) -> u64 {
        self.kernel.lock().page_drop_count
    }

    /// Records that a read fills pages of a file.
    ///
    /// # Errors
    /// The pages also have bytes of another content.
    pub(super) fn fill_pages(&self, ino: Ino, contents: PageContents) -> Result<(), String> {
        let mut kernel = self.kernel.lock();
        let Some(pages) = kernel.pages.get_mut(&ino) else {
            kernel.pages.insert(ino, contents);
            return Ok(());
        };
        let is_one_content = match (pages, contents) {
            (PageContents::Text(text), PageContents::Text(other)) => *text == other,
            (PageContents::Recording(revisions), PageContents::Recording(others)) => {
                revisions.retain(|page| others.iter().any(|other| Arc::ptr_eq(page, other)));
                !revisions.is_empty()
            }
            _ => false,
        };
        ensure(is_one_content, || format!("the pages of {ino:?} have two contents"))
    }

    /// Records that the kernel caches the result of a lookup.
    pub(super) fn cache_entry(&self, parent: Ino, name: &str, attributes: Attributes) {
        let mut kernel = self.kernel.lock();
        kernel.entries.insert((parent, name.to_owned()), attributes.ino);
        kernel.attributes.insert(attributes.ino, attributes);
    }

    /// Publishes the current listing, and checks the whole tree.
    pub(super) fn publish(&self) -> Result<(), String> {
        let (snapshot, expected) = self.catalog.refresh();
        let changes = TreeChange::between(&self.catalog.tree.current(), &snapshot);
        let changes = changes.into_iter().map(Invalidation::from);
        self.invalidations.publish(changes, || self.catalog.tree.publish(snapshot));
        self.deliver_invalidations();
        let mut tree = PublishedTree::default();
        self.check_node(&mut tree, Ino::ROOT, Ino::ROOT, &expected)?;
        self.check_statistics(&tree)?;
        self.check_kernel_cache(&tree)?;
        for (ino, node) in &tree.nodes {
            let mut longest_sizes = self.longest_sizes.lock();
            let longest_size = longest_sizes.entry(*ino).or_default();
            *longest_size = node.attributes.size.max(*longest_size);
        }
        for pending in &*self.pending_opens.lock() {
            pending.record_node(tree.nodes.get(&pending.ino));
        }
        *self.published.lock() = Arc::new(tree);
        Ok(())
    }

    /// Checks a node and everything below it, and adds it to `tree`.
    fn check_node(
        &self,
        tree: &mut PublishedTree,
        ino: Ino,
        parent: Ino,
        expected: &ExpectedNode,
    ) -> Result<(), String> {
        let identity = &expected.identity;
        let attributes = self
            .file_system
            .getattr(ino)
            .map_err(|error| format!("getattr {identity}: {error}"))?;
        self.learn_ino(identity, ino)?;
        let (kind, size, mode) = match &expected.content {
            ExpectedContent::Directory(_) => (FileKind::Directory, 0, 0o550),
            ExpectedContent::Recording { size, .. } => (FileKind::RegularFile, *size, 0o440),
            ExpectedContent::Note(text) => (FileKind::RegularFile, text.len() as u64, 0o440),
            ExpectedContent::Document(text) => (FileKind::RegularFile, text.len() as u64, 0o400),
        };
        self.check_time(identity, expected, &attributes)?;
        let expected_attributes = Attributes {
            ino,
            kind,
            size: self.visible_size(ino, size, attributes.size),
            mode,
            modification_time: attributes.modification_time,
            uid: 1000,
            gid: 100,
        };
        ensure(attributes == expected_attributes, || {
            format!("{identity} has {attributes:?} instead of {expected_attributes:?}")
        })?;
        // The tree has the listed size, whatever files are open.
        let attributes = Attributes { size, ..attributes };
        let content = match &expected.content {
            ExpectedContent::Directory(entries) => {
                tree.directories.push(ino);
                PublishedContent::Directory(self.check_entries(tree, ino, identity, entries)?)
            }
            ExpectedContent::Recording { id, number, version, size } => {
                tree.files.push(ino);
                let is_mounted = Some(&id.source.as_str()) != SOURCES.last();
                let file = FileVersion { id: id.clone(), number: *number, version: *version };
                PublishedContent::Recording { file, size: *size, is_mounted }
            }
            ExpectedContent::Note(text) | ExpectedContent::Document(text) => {
                tree.files.push(ino);
                PublishedContent::Text(text.clone())
            }
        };
        let expires = expected.expires;
        tree.nodes.insert(ino, PublishedNode { content, attributes, parent, expires });
        Ok(())
    }

    /// Checks that an inode number belongs to one file or directory, permanently.
    fn learn_ino(&self, identity: &str, ino: Ino) -> Result<(), String> {
        let mut learned = self.learned.lock();
        match (learned.inos.get(identity), learned.identities.get(&ino)) {
            (Some(earlier_ino), _) if *earlier_ino == ino => Ok(()),
            (None, None) => {
                learned.inos.insert(identity.to_owned(), ino);
                learned.identities.insert(ino, identity.to_owned());
                learned.all_inos.push(ino);
                Ok(())
            }
            earlier => Err(format!("{identity} has the inode {ino}, but earlier: {earlier:?}")),
        }
    }

    fn check_time(
        &self,
        identity: &str,
        expected: &ExpectedNode,
        attributes: &Attributes,
    ) -> Result<(), String> {
        let (end, modified) =
            (SystemTime::try_from(expected.end).unwrap(), attributes.modification_time);
        let text = match &expected.content {
            ExpectedContent::Note(text) | ExpectedContent::Document(text) => text,
            _ => {
                return ensure(modified == end, || {
                    format!("{identity} has the time {modified:?} instead of {end:?}")
                });
            }
        };
        let mut learned = self.learned.lock();
        let value = (text.clone(), end, modified);
        let earlier = learned.text_times.insert(identity.to_owned(), value);
        let is_unchanged = earlier.is_none_or(|(earlier_text, earlier_end, earlier_time)| {
            (earlier_text, earlier_end) != (text.clone(), end) || earlier_time == modified
        });
        ensure(is_unchanged && (end - MAX_CONTENT_TIME_OFFSET..=end).contains(&modified), || {
            format!("{identity} has the time {modified:?}, and its recording ends at {end:?}")
        })
    }

    /// Checks the entries of a directory and everything below them. Returns the entries.
    fn check_entries(
        &self,
        tree: &mut PublishedTree,
        directory: Ino,
        identity: &str,
        expected: &[ExpectedNode],
    ) -> Result<Vec<(String, Ino)>, String> {
        let handle = self.file_system.opendir(directory).map_err(|error| error.to_string())?;
        let mut entries = Vec::new();
        let add = |entry: crate::vfs::DirectoryEntryPlus<'_>| {
            entries.push((entry.name.to_owned(), entry.attributes));
            ControlFlow::Continue(())
        };
        self.file_system.readdirplus(handle, 0, add).map_err(|error| error.to_string())?;
        drop(self.file_system.releasedir(handle));
        entries.drain(..2);
        let mut nodes_by_name = BTreeMap::new();
        let mut nodes_with_suffix = Vec::new();
        for node in expected {
            match &node.name {
                ExpectedName::Exact(name) => {
                    nodes_by_name.insert(name.as_str(), node);
                }
                ExpectedName::WithSuffix(name) => nodes_with_suffix.push((name, node)),
            }
        }
        let mut listed = Vec::new();
        for (name, attributes) in entries {
            let node = nodes_by_name.remove(name.as_str()).or_else(|| {
                let has_suffix = |(start, _): &(&String, _)| name.starts_with(start.as_str());
                let index = nodes_with_suffix.iter().position(has_suffix)?;
                Some(nodes_with_suffix.remove(index).1)
            });
            let node = node.ok_or_else(|| format!("{identity} must not contain {name}"))?;
            self.check_node(tree, attributes.ino, directory, node)?;
            let listed_attributes = tree.nodes[&attributes.ino].attributes;
            ensure(self.agrees(&attributes, &listed_attributes), || {
                format!("readdirplus and getattr of {name} differ: {attributes:?}")
            })?;
            listed.push((name, attributes.ino));
        }
        ensure(nodes_by_name.is_empty() && nodes_with_suffix.is_empty(), || {
            format!("{identity} does not contain {nodes_by_name:?} {nodes_with_suffix:?}")
        })?;
        ensure(listed.is_sorted_by(|(one, _), (other, _)| one < other), || {
            format!("{identity} is not sorted: {listed:?}")
        })?;
        Ok(listed)
    }

    /// Records the length of a file that has just been opened.
    pub(super) fn record_open(&self, handle: HandleId, pending: &PendingOpenModel) {
        let possible = pending.sizes.lock().clone();
        self.open_lengths.lock().push(OpenLength { handle, ino: pending.ino, possible });
    }

    /// Returns the size that the file system must report for a file. Returns `size` if it is
    /// allowed. It is the listed size, or that of a longer open file.
    fn visible_size(&self, ino: Ino, listed_size: u64, size: u64) -> u64 {
        let open_lengths = self.open_lengths.lock();
        let mut lengths = open_lengths.iter().filter(|open| open.ino == ino);
        let shortest = |open: &OpenLength| open.possible.iter().copied().min().unwrap_or(0);
        let least = lengths.clone().map(shortest).fold(listed_size, u64::max);
        let is_length = size == listed_size || lengths.any(|open| open.possible.contains(&size));
        if is_length && size >= least { size } else { least }
    }

    /// Returns whether the file system may report `attributes` for a node.
    pub(super) fn agrees(&self, attributes: &Attributes, listed: &Attributes) -> bool {
        let size = self.visible_size(listed.ino, listed.size, attributes.size);
        *attributes == Attributes { size, ..*listed }
    }

    fn check_statistics(&self, tree: &PublishedTree) -> Result<(), String> {
        let statistics = self.file_system.statfs();
        let bytes: u64 = tree.nodes.values().map(|node| node.attributes.size).sum();
        let expected = (bytes.div_ceil(4096), tree.nodes.len() as u64);
        ensure((statistics.blocks, statistics.inode_count) == expected, || {
            format!("{statistics:?} instead of {expected:?}")
        })
    }

    /// Checks that everything that the kernel still caches agrees with the tree.
    fn check_kernel_cache(&self, tree: &PublishedTree) -> Result<(), String> {
        let mut kernel = self.kernel.lock();
        kernel.entries.retain(|(parent, _), _| tree.nodes.contains_key(parent));
        kernel.attributes.retain(|ino, _| tree.nodes.contains_key(ino));
        for ((parent, name), ino) in &kernel.entries {
            let current_ino = tree.lookup(*parent, name);
            ensure(current_ino == Some(*ino), || {
                format!(
                    "the kernel was not told that {name} in {parent} changed to {current_ino:?}"
                )
            })?;
        }
        for (ino, attributes) in &kernel.attributes {
            let current = tree.nodes[ino].attributes;
            ensure(self.agrees(attributes, &current), || {
                format!("the kernel was not told that {attributes:?} changed to {current:?}")
            })?;
        }
        Ok(())
    }
}

/// Returns an error with the description if the condition is false.
pub(super) fn ensure(condition: bool, description: impl FnOnce() -> String) -> Result<(), String> {
    if condition { Ok(()) } else { Err(description()) }
}
