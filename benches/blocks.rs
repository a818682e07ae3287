//! Measures the time of a read whose bytes are in memory: to find a block, to insert a block, and
//! to join a read across two blocks.
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

/// Number of blocks of the file. They fill half of the cache, so no block is evicted or fetched.
const BLOCKS: u64 = 64;

const CACHE_SIZE: u64 = 2 * BLOCKS * BLOCK_LENGTH;

/// Maximum and default size of a kernel request in bytes.
const MAX_READ: u32 = 1024 * 1024;
const DEFAULT_READ: u32 = 128 * 1024;

fn main() -> Result<(), Box<dyn Error>> {
    println!("{:44} {:>10} {:>22}", "", "median", "min – max");
    let cache = MemoryCache::new(CACHE_SIZE);
    let block = Bytes::from(vec![7; BLOCK_LENGTH as usize]);
    // The id of the first content that an engine opens.
    let content = ContentId(1);
    let key = |index| BlockKey { content, index: BlockIndex(index) };
    for index in 0..BLOCKS {
        cache.insert(key(index), 0, &block);
    }

    let read_part = |index| cache.bytes(key(index), 0, DEFAULT_READ as usize);
    measure("get a part of a cached block", |number| read_part(number % BLOCKS).is_some())?;
    measure("look up a missing block", |number| read_part(BLOCKS + number).is_none())?;
    let full_cache = MemoryCache::new(CACHE_SIZE);
    measure("insert a block and evict the oldest", |number| {
        full_cache.insert(key(number), 0, &block);
        true
    })?;

    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let (engine, file) = engine(cache.clone(), runtime.handle())?;
    let offset_within =
        |number: u64, length: u32| (number % BLOCKS) * BLOCK_LENGTH + u64::from(length);
    let offset_across = |number: u64, length: u32| {
        (number % (BLOCKS - 1) + 1) * BLOCK_LENGTH - u64::from(length) / 2
    };
    let read = |offset, length| {
        engine
            .read_from_memory(&file, offset, length)
            .is_some_and(|bytes| bytes.len() == length as usize)
    };
    measure("read 128 KiB within a block", |number| {
        read(offset_within(number, DEFAULT_READ), DEFAULT_READ)
    })?;
    measure("read 128 KiB across two blocks", |number| {
        read(offset_across(number, DEFAULT_READ), DEFAULT_READ)
    })?;
    measure("read 1 MiB of one block", |number| read((number % BLOCKS) * BLOCK_LENGTH, MAX_READ))?;
    measure("read 1 MiB across two blocks", |number| {
        read(offset_across(number, MAX_READ), MAX_READ)
    })?;
    Ok(())
}

/// Prints the time of one call. `call` receives an increasing number and returns whether it found
/// its bytes. The time of a read that finds no bytes would say nothing.
fn measure(name: &str, mut call: impl FnMut(u64) -> bool) -> Result<(), String> {
    const BATCH_COUNT: usize = 51;
    const MIN_BATCH_TIME: Duration = Duration::from_millis(5);
    let mut number = 0;
    let mut batch = |calls: u64| {
        let start = Instant::now();
        for _ in 0..calls {
            if !black_box(call(number)) {
                return Err(format!("{name}: call {number} did not find its bytes"));
            }
            number += 1;
        }
        Ok(start.elapsed())
    };
    let mut calls = 1;
    while batch(calls)? < MIN_BATCH_TIME {
        calls *= 2;
    }
    let mut batch_times = Vec::with_capacity(BATCH_COUNT);
    for _ in 0..BATCH_COUNT {
        batch_times.push(batch(calls)?.as_nanos() as f64 / calls as f64);
    }
    batch_times.sort_by(f64::total_cmp);
    if let (Some(minimum), Some(median), Some(maximum)) =
        (batch_times.first(), batch_times.get(BATCH_COUNT / 2), batch_times.last())
    {
        println!("{name:44} {median:>7.0} ns {:>22}", format!("{minimum:.0} – {maximum:.0}"));
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
    let leases = LeaseCache::new(Arc::new(EmptyProvider(descriptor)));
    let engine = Engine::new(EngineOptions {
        disk: None,
        client: Client::new(8)?,
        cache,
        lease_caches: HashMap::from([(source.clone(), leases)]),
        deadline: Duration::from_secs(1),
        observer: Arc::new(SilentObserver),
        runtime: runtime.clone(),
    });
    let id = FileId { source, meeting: "meeting".into(), key: "file".into() };
    let size = BLOCKS * BLOCK_LENGTH;
    let file = engine.open(&Recording { id, version: Version(1), size, body: BodyKind::Opaque })?;
    Ok((engine, file))
}

/// A provider without recordings, because all bytes are in memory.
struct EmptyProvider(SourceDescriptor);

fn not_found<T>() -> Result<T, ProviderError> {
    Err(ProviderError::not_found("this provider has no recordings"))
}

#[async_trait]
impl Provider for EmptyProvider {
    fn descriptor(&self) -> &SourceDescriptor {
        &self.0
    }

    async fn list(&self, _span: DaySpan) -> Result<Listing, ProviderError> {
        not_found()
    }

    async fn details(&self, _meeting: &MeetingId) -> Result<Option<Details>, ProviderError> {
        not_found()
    }

    async fn lease(&self, _request: LeaseRequest<'_>) -> Result<Lease, ProviderError> {
        not_found()
    }
}

/// An observer that ignores all events.
struct SilentObserver;

impl Observer for SilentObserver {
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
