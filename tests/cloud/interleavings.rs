//! A read returns the bytes of one content of its file or fails, regardless of the events that the
//! read engine sees and of their order.
//!
//! The engine runs over real HTTP against the embedded cloud. Memory and disk cache are smaller
//! than the files, so blocks come from the network, the disk and memory, and are evicted while
//! other blocks are read.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use meetfs::cache::MemoryCache;
use meetfs::cache::disk::{DiskCache, DiskOptions};
use meetfs::demo_cloud::{
    Archive, Content, DemoCloud, DemoCloudOptions, Effect, FaultPlan, PATTERN_HEAD, Server,
    Trigger, pattern_bytes, pattern_seed,
};
use meetfs::http::{Client, FetchError};
use meetfs::model::{Availability, DaySpan, FileId, LastReply, Version};
use meetfs::providers::{LeaseCache, Provider};
use meetfs::read::{Engine, EngineOptions, Observer, OpenFile, Recording};
use parking_lot::Mutex;
use proptest::prelude::*;

const KIB: u64 = 1024;
const MIB: u64 = 1024 * KIB;

/// The lengths of the files: less than a block, a few blocks, and more than memory and disk cache
/// store together.
const FILES: [(&str, u64); 3] =
    [("short", 200_001), ("middle", 3 * MIB + 17), ("long", 21 * MIB + 5)];

/// The smallest budgets that are allowed.
const MEMORY: u64 = 8 * MIB;
const DISK: u64 = 6 * MIB;

/// The deadline of a read. Some faults request a delay of a second.
const DEADLINE: Duration = Duration::from_secs(8);

#[derive(Clone, Debug)]
enum Step {
    Open(usize),
    Close(usize),
    /// Consecutive reads of the same length in one handle. The offset of the first read is in
    /// sixteenths of the file.
    Read {
        handle: usize,
        sixteenths: u64,
        length: u32,
        count: u32,
    },
    /// The same reads in all handles at the same time.
    ReadEverywhere {
        sixteenths: u64,
        length: u32,
    },
    Prefetch(usize),
    ExpireLeases,
    ExpireTokens,
    /// The server answers this number of requests with the whole file.
    IgnoreRanges(u32),
    /// The file gets other bytes of the same length, and its listing stays the same.
    Change(usize),
    Pause(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let length = prop_oneof![1u32..5000, Just(131_072), Just(262_144), Just(1_048_576)];
    prop_oneof![
        3 => (0..FILES.len()).prop_map(Step::Open),
        1 => (0usize..8).prop_map(Step::Close),
        8 => (0usize..8, 0u64..17, length.clone(), 1u32..24)
            .prop_map(|(handle, sixteenths, length, count)| Step::Read { handle, sixteenths, length, count }),
        3 => (0u64..17, length).prop_map(|(sixteenths, length)| Step::ReadEverywhere { sixteenths, length }),
        1 => (0..FILES.len()).prop_map(Step::Prefetch),
        1 => Just(Step::ExpireLeases),
        1 => Just(Step::ExpireTokens),
        1 => (1u32..12).prop_map(Step::IgnoreRanges),
        1 => (0..FILES.len()).prop_map(Step::Change),
        1 => (1u64..60).prop_map(Step::Pause),
    ]
}

/// Stores the last replies like the catalog.
#[derive(Default)]
struct ReplyStore(Mutex<HashMap<FileId, LastReply>>);

impl Observer for ReplyStore {
    fn on_size_found(&self, _id: &FileId, _version: Version, _size: u64) {}

    fn on_reply(&self, id: &FileId, _version: Version, reply: &LastReply) {
        self.0.lock().insert(id.clone(), reply.clone());
    }

    fn last_reply(&self, id: &FileId, _version: Version) -> Option<LastReply> {
        self.0.lock().get(id).cloned()
    }

    fn on_content_changed(&self, id: &FileId) {
        self.0.lock().remove(id);
    }
}

/// A handle, and the content that its reads have returned so far.
struct Reader {
    file: usize,
    open: Arc<OpenFile>,
    content_seed: Option<u64>,
}

struct Model {
    cloud: DemoCloud,
    engine: Arc<Engine>,
    recordings: Vec<Recording>,
    /// The seeds of all contents that each file has had so far.
    seeds: Vec<Vec<u64>>,
    readers: Vec<Reader>,
    changes: u64,
}

impl Model {
    async fn new(seed: u64, directory: &std::path::Path) -> Self {
        let faults = FaultPlan::from_seed(seed, 12, 80);
        let cloud = DemoCloud::start(DemoCloudOptions {
            archive: Archive::with_pattern_files(&FILES),
            faults,
            ..DemoCloudOptions::default()
        })
        .unwrap();
        let provider: Arc<dyn Provider> = Arc::new(crate::support::zoom::zoom(&cloud));
        let today = jiff::tz::TimeZone::UTC.to_datetime(jiff::Timestamp::now()).date();
        let span = DaySpan { from: today - jiff::SignedDuration::from_hours(72), to: today };
        let listing = provider.list(span).await.unwrap();
        let recordings = FILES.iter().map(|(name, size)| {
            let meeting = listing.meetings.iter().find(|meeting| meeting.topic == *name).unwrap();
            let file =
                meeting.files.iter().find(|file| file.availability == Availability::Ready).unwrap();
            Recording { id: file.id.clone(), version: file.version, size: *size, body: file.body }
        });
        let recordings: Vec<_> = recordings.collect();
        let options = DiskOptions {
            directory: directory.into(),
            limit: DISK,
            free_floor: Some(0),
            queue_limit: 2 * MIB,
        };
        let engine = Engine::new(EngineOptions {
            client: Client::new(4).unwrap(),
            cache: MemoryCache::new(MEMORY),
            disk: Some(DiskCache::open(options).unwrap()),
            lease_caches: HashMap::from([(
                provider.source().clone(),
                LeaseCache::new(provider.clone()),
            )]),
            deadline: DEADLINE,
            observer: Arc::new(ReplyStore::default()),
            runtime: tokio::runtime::Handle::current(),
        });
        let seeds = FILES.iter().map(|(name, _)| vec![pattern_seed(name)]).collect();
        Self { cloud, engine, recordings, seeds, readers: Vec::new(), changes: 0 }
    }

    async fn apply(&mut self, step: Step) -> Result<(), TestCaseError> {
        match step {
            Step::Open(file) => {
                let open = self.engine.open(&self.recordings[file]).unwrap();
                self.engine.confirm_size(&open).await;
                self.readers.push(Reader { file, open, content_seed: None });
                if self.readers.len() > 8 {
                    self.readers.remove(0);
                }
            }
            Step::Close(handle) if !self.readers.is_empty() => {
                self.readers.remove(handle % self.readers.len());
            }
            Step::Read { handle, sixteenths, length, count } if !self.readers.is_empty() => {
                let handle = handle % self.readers.len();
                let size = FILES[self.readers[handle].file].1;
                let mut offset = size * sixteenths / 16;
                for _ in 0..count {
                    let read = read(&self.engine, &self.readers[handle].open, offset, length).await;
                    self.check_read(handle, offset, length, read)?;
                    offset += u64::from(length);
                }
            }
            Step::ReadEverywhere { sixteenths, length } => {
                let mut reads = Vec::new();
                for reader in &self.readers {
                    let (engine, open) = (self.engine.clone(), reader.open.clone());
                    let offset = FILES[reader.file].1 * sixteenths / 16;
                    let read = async move { (offset, read(&engine, &open, offset, length).await) };
                    reads.push(tokio::spawn(read));
                }
                for (handle, read) in reads.into_iter().enumerate() {
                    let (offset, read) = read.await.unwrap();
                    self.check_read(handle, offset, length, read)?;
                }
            }
            Step::Prefetch(file) => {
                let open = self.engine.open(&self.recordings[file]).unwrap();
                self.engine.prefetch_whole_file(&open);
            }
            Step::ExpireLeases => self.cloud.expire_signed_urls(),
            Step::ExpireTokens => self.cloud.expire_tokens(),
            Step::IgnoreRanges(requests) => {
                let trigger = Trigger::next(Server::Media, requests);
                self.cloud.inject(trigger.with_effect(Effect::WholeFile));
            }
            Step::Change(file) => {
                self.changes += 1;
                let seed = pattern_seed(&format!("{} {}", FILES[file].0, self.changes));
                self.seeds[file].push(seed);
                let uuid = self.recordings[file].id.meeting.as_str().to_owned();
                let length = FILES[file].1;
                assert!(self.cloud.change_meeting(&uuid, |meeting| {
                    meeting.files[0].content = Content::Pattern { seed, length };
                }));
            }
            Step::Pause(milliseconds) => {
                tokio::time::sleep(Duration::from_millis(milliseconds)).await
            }
            Step::Close(_) | Step::Read { .. } => {}
        }
        Ok(())
    }

    /// Asserts that the bytes are complete and belong to one content of the file. All reads of a
    /// handle must return the same content.
    fn check_read(
        &mut self,
        handle: usize,
        offset: u64,
        length: u32,
        read: Result<bytes::Bytes, FetchError>,
    ) -> Result<(), TestCaseError> {
        let reader = &mut self.readers[handle];
        let (name, size) = FILES[reader.file];
        let Ok(bytes) = read else { return Ok(()) };
        let expected_len = u64::from(length).min(size.saturating_sub(offset)) as usize;
        prop_assert_eq!(bytes.len(), expected_len, "{} at {}", name, offset);
        let matches_seed = |seed: u64| {
            let mut expected = vec![0; expected_len];
            pattern_bytes(seed, offset, &mut expected);
            bytes == expected
        };
        // All contents begin with the same bytes.
        if expected_len == 0 || offset + expected_len as u64 <= PATTERN_HEAD.len() as u64 {
            return Ok(());
        }
        match reader.content_seed {
            Some(seed) => {
                prop_assert!(matches_seed(seed), "a mix of two contents of {name} at {offset}")
            }
            None => {
                reader.content_seed =
                    self.seeds[reader.file].iter().copied().find(|seed| matches_seed(*seed));
                prop_assert!(
                    reader.content_seed.is_some(),
                    "bytes of no content of {name} at {offset}"
                );
            }
        }
        Ok(())
    }
}

/// Reads like the file system: from memory if possible.
async fn read(
    engine: &Arc<Engine>,
    open: &Arc<OpenFile>,
    offset: u64,
    length: u32,
) -> Result<bytes::Bytes, FetchError> {
    match engine.read_from_memory(open, offset, length) {
        Some(bytes) => Ok(bytes),
        None => engine.read(open, offset, length).await,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, max_shrink_iters: 40, ..ProptestConfig::default() })]

    #[test]
    fn any_interleaving_reads_one_content_or_fails(
        seed in any::<u64>(), steps in prop::collection::vec(step(), 5..40)
    ) {
        let directory = tempfile::tempdir().unwrap();
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let outcome: Result<(), TestCaseError> = runtime.block_on(async {
            let mut model = Model::new(seed, &directory.path().join("blocks")).await;
            for step in steps {
                model.apply(step).await?;
            }
            Ok(())
        });
        runtime.shutdown_timeout(Duration::from_secs(2));
        outcome?;
    }
}
