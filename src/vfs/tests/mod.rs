//! Tests every operation with a real engine and the embedded demo server, without `/dev/fuse`.

mod directories;
pub(super) mod fake_kernel;
mod metadata;
mod model;
mod opening;
mod prefetch;
mod reading;
mod scanners;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};
use parking_lot::Mutex;

use fake_kernel::FakeKernel;

use super::*;
use crate::cache::MemoryCache;
use crate::cache::disk::{DiskCache, DiskOptions};
use crate::demo_cloud::{
    self, DemoCloud, DemoCloudOptions, Effect, Server, Trigger, pattern_bytes, pattern_seed,
};
use crate::http::Client;
use crate::model::{
    Availability, DaySpan, Details, Document, FileId, LastReply, MeetingContents, SourceContents,
    SourceName, Version,
};
use crate::providers::zoom::{Zoom, ZoomConfig, ZoomCredential, ZoomOptions, ZoomPlan};
use crate::providers::{LeaseCache, Provider};
use crate::read::{Engine, EngineOptions, Observer};
use crate::tree::{Content, Ino, LiveTree, Snapshot, TreeBuilder, TreeChange};

/// Timeout of every wait in a test.
const WAIT_TIMEOUT: Duration = Duration::from_secs(20);

/// Deadline of every read.
const DEADLINE: Duration = Duration::from_secs(2);

/// Takes the place of the catalog: stores the meetings, and builds the tree from them.
struct Listing {
    contents: Mutex<Vec<MeetingContents>>,
    builder: Mutex<TreeBuilder>,
    tree: Arc<LiveTree>,
    invalidations: Arc<InvalidationQueue>,
}

impl Listing {
    fn change(&self, change: impl FnOnce(&mut Vec<MeetingContents>)) {
        let mut contents = self.contents.lock();
        change(&mut contents);
        let meetings = contents.clone();
        let source = SourceContents {
            name: source_name(),
            meetings,
            trash: Vec::new(),
            redundant_view_suffix: None,
        };
        let snapshot = self.builder.lock().build(&[source]);
        let changes = TreeChange::between(&self.tree.current(), &snapshot);
        let changes = changes.into_iter().map(Invalidation::from);
        self.invalidations.publish(changes, || self.tree.publish(snapshot));
    }
}

impl Observer for Listing {
    fn on_size_found(&self, id: &FileId, _version: Version, size: u64) {
        self.change(|contents| {
            for contents in contents.iter_mut().filter(|contents| contents.meeting.id == id.meeting)
            {
                contents.sizes.insert(id.key.clone(), size);
            }
        });
    }

    fn on_reply(&self, _id: &FileId, _version: Version, _reply: &LastReply) {}

    fn last_reply(&self, _id: &FileId, _version: Version) -> Option<LastReply> {
        None
    }

    fn on_content_changed(&self, _id: &FileId) {}
}

/// The options of a [`Fixture`].
struct Setup {
    archive: demo_cloud::Archive,
    has_disk: bool,
    directory_mode: u16,
    file_mode: u16,
    is_source_unmounted: bool,
    scanner_limiter: Arc<ScannerLimiter>,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            archive: demo_cloud::Archive::default(),
            has_disk: false,
            directory_mode: 0o500,
            file_mode: 0o400,
            is_source_unmounted: false,
            scanner_limiter: Arc::default(),
        }
    }
}

/// A file system with a real engine that reads from a demo server.
pub(super) struct Fixture {
    cloud: DemoCloud,
    listing: Arc<Listing>,
    engine: Arc<Engine>,
    pub(super) file_system: FileSystem<Arc<()>>,
    kernel: FakeKernel,
    sent_invalidations: Arc<Mutex<Vec<Invalidation>>>,
    _cache: tempfile::TempDir,
}

impl Fixture {
    /// Creates a fixture with a meeting for each topic. Each meeting has one MP4 of the given
    /// number of bytes.
    pub(super) async fn new(files: &[(&str, u64)]) -> Self {
        let archive = demo_cloud::Archive::with_pattern_files(files);
        Self::with_setup(Setup { archive, ..Setup::default() }).await
    }

    async fn with_setup(setup: Setup) -> Self {
        let options = DemoCloudOptions { archive: setup.archive, ..DemoCloudOptions::default() };
        let cloud = DemoCloud::start(options).unwrap();
        let client = Client::new(8).unwrap();
        let provider = Arc::new(zoom(&cloud, &client));
        let tree = Arc::new(LiveTree::default());
        let invalidations = Arc::new(InvalidationQueue::default());
        let listing = Arc::new(Listing {
            contents: Mutex::default(),
            builder: Mutex::new(TreeBuilder::new(TimeZone::UTC)),
            tree: tree.clone(),
            invalidations: invalidations.clone(),
        });
        let meetings = list_meetings(&provider).await;
        listing.change(|contents| *contents = meetings);
        let directory = tempfile::tempdir().unwrap();
        let disk = setup.has_disk.then(|| {
            let options = DiskOptions {
                directory: directory.path().join("blocks"),
                limit: 1 << 30,
                free_floor: Some(0),
                queue_limit: 64 << 20,
            };
            DiskCache::open(options).unwrap()
        });
        let runtime = tokio::runtime::Handle::current();
        let lease_caches = if setup.is_source_unmounted {
            HashMap::new()
        } else {
            HashMap::from([(source_name(), LeaseCache::new(provider))])
        };
        let engine = Engine::new(EngineOptions {
            client,
            cache: MemoryCache::new(64 << 20),
            disk,
            lease_caches,
            deadline: DEADLINE,
            observer: listing.clone(),
            runtime: runtime.clone(),
        });
        let sent_invalidations = Arc::new(Mutex::new(Vec::new()));
        let (queue, sent_log) = (invalidations.clone(), sent_invalidations.clone());
        std::thread::spawn(move || {
            while let Some(batch) = queue.next_batch() {
                sent_log.lock().extend(batch.immediate_invalidations.iter().cloned());
                queue.acknowledge(&batch);
                for ino in &batch.pages {
                    sent_log.lock().push(Invalidation::Pages(*ino));
                    queue.acknowledge_page_drop(*ino);
                }
            }
        });
        let file_system = FileSystem::new(FileSystemOptions {
            tree,
            engine: engine.clone(),
            unlisted_sources: Arc::default(),
            handles: Arc::default(),
            scanner_limiter: setup.scanner_limiter,
            provider_names: HashMap::from([("acme".to_owned(), "zoom".to_owned())]),
            owner: Owner {
                uid: 1000,
                gid: 100,
                directory_mode: setup.directory_mode,
                file_mode: setup.file_mode,
            },
            runtime,
            invalidations,
            allows_passthrough: true,
        });
        cloud.clear_requests();
        Self {
            cloud,
            listing,
            engine,
            file_system,
            kernel: FakeKernel::default(),
            sent_invalidations,
            _cache: directory,
        }
    }

    pub(super) fn tree(&self) -> Arc<LiveTree> {
        self.listing.tree.clone()
    }

    pub(super) fn engine(&self) -> Arc<Engine> {
        self.engine.clone()
    }

    /// Removes a meeting from the tree.
    pub(super) fn remove(&self, topic: &str) {
        self.listing.change(|contents| contents.retain(|contents| contents.meeting.topic != topic));
    }

    /// Changes the size that the listing has for the video of a meeting.
    fn set_listed_size(&self, topic: &str, size: u64) {
        self.change_meeting(topic, |contents| {
            let key = contents.meeting.files[0].id.key.clone();
            contents.sizes.insert(key, size);
        });
    }

    /// Adds a field to the `meeting.json` of a meeting.
    fn add_field(&self, topic: &str, name: &str, value: &str) {
        let value = serde_json::Value::from(value);
        let metadata = [(name.to_owned(), value)].into_iter().collect();
        let details = Arc::new(Details { metadata, ..Details::default() });
        self.change_meeting(topic, |contents| {
            let document = Document::new(contents.meeting.clone(), Some(details));
            contents.document = Some(Arc::new(document));
        });
    }

    fn change_meeting(&self, topic: &str, change: impl FnOnce(&mut MeetingContents)) {
        self.listing.change(|meetings| {
            let meeting = meetings.iter_mut().find(|contents| contents.meeting.topic == topic);
            change(meeting.expect("the meeting is listed"));
        });
    }

    fn snapshot(&self) -> Arc<Snapshot> {
        self.listing.tree.current()
    }

    /// Returns the inode of the directory of a meeting.
    fn directory_of(&self, topic: &str) -> Ino {
        let snapshot = self.snapshot();
        let mut nodes = snapshot.nodes().iter();
        nodes.find(|node| node.is_directory() && node.name.ends_with(topic)).unwrap().ino
    }

    /// Returns the inode of the video of a meeting.
    pub(super) fn video_of(&self, topic: &str) -> Ino {
        let (snapshot, directory) = (self.snapshot(), self.directory_of(topic));
        let entries = snapshot.entries(directory).unwrap();
        let is_video =
            |ino: &&Ino| matches!(snapshot.node(**ino).unwrap().content, Content::Recording { .. });
        *entries.iter().find(is_video).unwrap()
    }

    /// Returns the inode of the file in the directory of a meeting whose name ends with `suffix`.
    fn entry_with_suffix(&self, topic: &str, suffix: &str) -> Ino {
        let snapshot = self.snapshot();
        let entries = snapshot.entries(self.directory_of(topic)).unwrap();
        *entries.iter().find(|ino| snapshot.node(**ino).unwrap().name.ends_with(suffix)).unwrap()
    }

    /// Returns the inode of the `meeting.json` of a meeting.
    fn document_of(&self, topic: &str) -> Ino {
        self.snapshot().lookup(self.directory_of(topic), "meeting.json").unwrap().ino
    }

    pub(super) async fn open(&self, ino: Ino) -> Result<OpenReply<Arc<()>>, Error> {
        let ready = match self.file_system.open(ino, ReaderId::UNKNOWN)? {
            OpenStep::Ready(ready) => ready,
            OpenStep::Pending(pending) => self.file_system.resolve_open(pending).await?,
        };
        self.file_system.finish_open(ready, &self.kernel)
    }

    pub(super) async fn read(
        &self,
        handle: HandleId,
        offset: u64,
        size: u32,
    ) -> Result<Bytes, Error> {
        match self.file_system.read_cached(handle, ReaderId(1), offset, size)? {
            ReadStep::Ready(bytes) => Ok(bytes),
            ReadStep::Pending(request) => {
                self.file_system.read(request, std::future::pending()).await
            }
        }
    }

    /// Opens the video of a meeting and reads all of it. Returns the open handle.
    async fn read_whole(&self, topic: &str) -> HandleId {
        let ino = self.video_of(topic);
        let size = self.file_system.getattr(ino).unwrap().size;
        let handle = self.open(ino).await.unwrap().handle;
        let mut offset = 0;
        while offset < size {
            offset += self.read(handle, offset, 1 << 20).await.unwrap().len() as u64;
        }
        assert_eq!(offset, size);
        handle
    }

    fn media_request_count(&self) -> usize {
        self.cloud.requests().iter().filter(|request| request.server == Server::Media).count()
    }

    pub(super) fn silence_media(&self) {
        self.cloud.inject(Trigger::always(Server::Media).with_effect(Effect::BlackHole));
    }
}

impl Drop for Fixture {
    fn drop(&mut self) {
        self.listing.invalidations.stop();
    }
}

fn source_name() -> SourceName {
    SourceName::new("acme").unwrap()
}

fn zoom(cloud: &DemoCloud, client: &Client) -> Zoom {
    let credentials = cloud.credentials();
    let config = ZoomConfig {
        credential: ZoomCredential::ServerToServer {
            account_id: credentials.account_id,
            client_id: credentials.client_id,
            client_secret: credentials.client_secret.into(),
        },
        users: vec!["me".into()],
        api_url: cloud.api_url().parse().unwrap(),
        oauth_url: cloud.oauth_url().parse().unwrap(),
        api_url_is_default: false,
        plan: ZoomPlan::Business,
    };
    let options = ZoomOptions { source: source_name(), config, download_hosts: Vec::new() };
    Zoom::new(options, client.clone())
}

async fn list_meetings(zoom: &Zoom) -> Vec<MeetingContents> {
    let today = TimeZone::UTC.to_datetime(Timestamp::now()).date();
    let span = DaySpan { from: today.saturating_sub(5.days()), to: today };
    let meetings = zoom.list(span).await.unwrap().meetings.into_iter().map(Arc::new);
    meetings
        .map(|meeting| MeetingContents {
            meeting: meeting.clone(),
            sizes: HashMap::new(),
            document: Some(Arc::new(Document::new(meeting, None))),
        })
        .collect()
}

/// Returns the bytes of the video of a meeting.
fn video_bytes(topic: &str, offset: u64, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    pattern_bytes(pattern_seed(topic), offset, &mut bytes);
    bytes
}

/// Waits until `condition` returns true.
async fn wait_until(description: &str, condition: impl Fn() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < WAIT_TIMEOUT, "timed out: {description}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
