//! The cost of a read whose bytes are in memory: finding blocks, inserting them, joining a read
//! across two.
//!
//! `cargo bench --bench blocks` prints the median and the range of many batches. `scripts/bench`
//! measures reads through the kernel and from a server.

use std::collections::HashMap;
use std::error::Error;
use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;
use meetfs::cache::{BLOCK_LENGTH, BlockIndex, BlockKey, ContentId, MemoryCache};
use meetfs::http::Client;
use meetfs::model::{BodyKind, DaySpan, Details, FileId, Lease, MeetingId, SourceName, Version};
use meetfs::providers::{
    ArchiveIdentity, LeaseCache, LeaseRequest, Listing, Provider, ProviderError, SourceDescriptor,
};
use meetfs::read::{Engine, EngineOptions, Observer, OpenFile, Recording};

/// Blocks of the file: half of the cache, so that nothing is evicted or fetched.
const BLOCKS: u64 = 64;

const BUDGET: u64 = 2 * BLOCKS * BLOCK_LENGTH;

/// The maximum size of a kernel request, and its default.
const MAX_READ: u32 = 1024 * 1024;
const DEFAULT_READ: u32 = 128 * 1024;

fn main() -> Result<(), Box<dyn Error>> {
    println!("{:44} {:>10} {:>22}", "", "median", "min – max");
    let cache = MemoryCache::new(BUDGET);
    let block = Bytes::from(vec![7; BLOCK_LENGTH as usize]);
    // The first content that an engine opens.
    let content = ContentId(1);
    let key = |index| BlockKey { content, index: BlockIndex(index) };
    for index in 0..BLOCKS {
        cache.insert(key(index), 0, &block);
    }

    let piece = |index| cache.bytes(key(index), 0, DEFAULT_READ as usize);
    measure("get a piece of a block that is held", |turn| piece(turn % BLOCKS).is_some())?;
    measure("miss a block", |turn| piece(BLOCKS + turn).is_none())?;
    let crowded = MemoryCache::new(BUDGET);
    measure("insert a block, the oldest makes way", |turn| {
        crowded.insert(key(turn), 0, &block);
        true
    })?;

    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let (engine, file) = engine(cache.clone(), runtime.handle())?;
    let within = |turn: u64, length: u32| (turn % BLOCKS) * BLOCK_LENGTH + u64::from(length);
    let across =
        |turn: u64, length: u32| (turn % (BLOCKS - 1) + 1) * BLOCK_LENGTH - u64::from(length) / 2;
    let read = |offset, length| {
        engine.read_now(&file, offset, length).is_some_and(|got| got.len() == length as usize)
    };
    measure("read 128 KiB within a block", |turn| read(within(turn, DEFAULT_READ), DEFAULT_READ))?;
    measure("read 128 KiB across two blocks", |turn| {
        read(across(turn, DEFAULT_READ), DEFAULT_READ)
    })?;
    measure("read 1 MiB of one block", |turn| read((turn % BLOCKS) * BLOCK_LENGTH, MAX_READ))?;
    measure("read 1 MiB across two blocks", |turn| read(across(turn, MAX_READ), MAX_READ))?;
    Ok(())
}

/// Prints the time of one call. `call` receives an increasing number and returns whether it found
/// its bytes: a read that finds nothing is fast and proves nothing.
fn measure(what: &str, mut call: impl FnMut(u64) -> bool) -> Result<(), String> {
    const BATCHES: usize = 51;
    const BATCH: Duration = Duration::from_millis(5);
    let mut turn = 0;
    let mut batch = |calls: u64| {
        let began = Instant::now();
        for _ in 0..calls {
            if !black_box(call(turn)) {
                return Err(format!("{what}: turn {turn} did not find what it should"));
            }
            turn += 1;
        }
        Ok(began.elapsed())
    };
    let mut calls = 1;
    while batch(calls)? < BATCH {
        calls *= 2;
    }
    let mut each = Vec::with_capacity(BATCHES);
    for _ in 0..BATCHES {
        each.push(batch(calls)?.as_nanos() as f64 / calls as f64);
    }
    each.sort_by(f64::total_cmp);
    if let (Some(least), Some(median), Some(most)) =
        (each.first(), each.get(BATCHES / 2), each.last())
    {
        println!("{what:44} {median:>7.0} ns {:>22}", format!("{least:.0} – {most:.0}"));
    }
    Ok(())
}

fn engine(
    cache: Arc<MemoryCache>,
    runtime: &tokio::runtime::Handle,
) -> Result<(Arc<Engine>, Arc<OpenFile>), Box<dyn Error>> {
    let source = SourceName::new("bench").ok_or("no source name")?;
    let identity = ArchiveIdentity { words: Vec::new(), names_account: true };
    let descriptor = SourceDescriptor { name: source.clone(), identity, base_urls: Vec::new() };
    let leases = LeaseCache::new(Arc::new(Nothing(descriptor)));
    let engine = Engine::new(EngineOptions {
        disk: None,
        client: Client::new(8)?,
        cache,
        lease_caches: HashMap::from([(source.clone(), leases)]),
        deadline: Duration::from_secs(1),
        observer: Arc::new(Deaf),
        runtime: runtime.clone(),
    });
    let id = FileId { source, meeting: "meeting".into(), key: "file".into() };
    let size = BLOCKS * BLOCK_LENGTH;
    let file = engine.open(&Recording { id, version: Version(1), size, body: BodyKind::Opaque })?;
    Ok((engine, file))
}

/// A source without recordings: all bytes are in memory.
struct Nothing(SourceDescriptor);

fn nothing<T>() -> Result<T, ProviderError> {
    Err(ProviderError::not_found("there is nothing here"))
}

#[async_trait]
impl Provider for Nothing {
    fn descriptor(&self) -> &SourceDescriptor {
        &self.0
    }

    async fn list(&self, _span: DaySpan) -> Result<Listing, ProviderError> {
        nothing()
    }

    async fn details(&self, _meeting: &MeetingId) -> Result<Option<Details>, ProviderError> {
        nothing()
    }

    async fn lease(&self, _request: LeaseRequest<'_>) -> Result<Lease, ProviderError> {
        nothing()
    }
}

/// Discards everything.
struct Deaf;

impl Observer for Deaf {
    fn on_validator(&self, _: &meetfs::model::FileId, _: Version, _: &meetfs::http::Validator) {}

    fn last_validator(
        &self,
        _: &meetfs::model::FileId,
        _: Version,
    ) -> Option<meetfs::http::Validator> {
        None
    }

    fn on_size_found(&self, _id: &FileId, _version: Version, _size: u64) {}

    fn on_content_changed(&self, _id: &FileId) {}
}
