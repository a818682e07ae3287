//! Measures the time of a read whose bytes are in memory: to find a block, to insert a block, to
//! join a read across two blocks, and to plan the prefetch.
//!
//! `cargo bench --bench blocks` prints the times. `scripts/bench` measures reads through the kernel
//! and from a server. `src/read/line_tests.rs` measures the prefetch on simulated lines.

#![allow(clippy::expect_used)]

use std::collections::HashMap;
use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use divan::Bencher;
use meetfs::cache::{BLOCK_LENGTH, BlockIndex, BlockKey, ContentId, MemoryCache};
use meetfs::http::Client;
use meetfs::model::{
    BodyKind, DaySpan, Details, FileId, LastReply, Lease, MeetingId, SourceName, Version,
};
use meetfs::providers::{
    ArchiveIdentity, LeaseCache, LeaseRequest, Listing, Provider, ProviderError, SourceDescriptor,
};
use meetfs::read::{Engine, EngineOptions, Observer, OpenFile, Recording};

/// Number of blocks of the file. They fill half of the cache, so no block is evicted or fetched.
const BLOCKS: u64 = 64;

const CACHE_SIZE: u64 = 2 * BLOCKS * BLOCK_LENGTH;

/// Maximum and default size of a kernel request in bytes.
const MAX_READ: usize = 1024 * 1024;
const DEFAULT_READ: usize = 128 * 1024;

/// The id of the first content that an engine opens.
const CONTENT: ContentId = ContentId(1);

fn main() {
    divan::main();
}

/// Returns a full block.
fn block() -> Bytes {
    Bytes::from(vec![7; BLOCK_LENGTH as usize])
}

fn key(index: u64) -> BlockKey {
    BlockKey { content: CONTENT, index: BlockIndex(index) }
}

/// Returns a cache that contains all blocks of the file.
fn filled_cache() -> Arc<MemoryCache> {
    let cache = MemoryCache::new(CACHE_SIZE);
    let block = block();
    for index in 0..BLOCKS {
        cache.insert(key(index), 0, &block);
    }
    cache
}

/// Returns the numbers from 0 on, one for each call.
fn numbers() -> impl FnMut() -> u64 {
    let mut next = 0;
    move || {
        next += 1;
        next - 1
    }
}

#[divan::bench]
fn get_a_part_of_a_cached_block(bencher: Bencher) {
    let cache = filled_cache();
    bencher.with_inputs(numbers()).bench_local_values(|number| {
        cache.bytes(key(number % BLOCKS), 0, DEFAULT_READ).expect("a cached block")
    });
}

#[divan::bench]
fn look_up_a_missing_block(bencher: Bencher) {
    let cache = filled_cache();
    bencher
        .with_inputs(numbers())
        .bench_local_values(|number| cache.bytes(key(BLOCKS + number), 0, DEFAULT_READ));
}

#[divan::bench]
fn insert_a_block_and_evict_the_oldest(bencher: Bencher) {
    let cache = filled_cache();
    let block = block();
    bencher
        .with_inputs(numbers())
        .bench_local_values(|number| cache.insert(key(BLOCKS + number), 0, &block));
}

/// Finds the bytes of a read, follows the pattern of the reads, and plans the prefetch.
#[divan::bench(args = [DEFAULT_READ, MAX_READ])]
fn read_within_a_block(bencher: Bencher, length: usize) {
    bench_reads(bencher, length, |number| number % BLOCKS * BLOCK_LENGTH);
}

/// Joins the bytes of two blocks.
#[divan::bench(args = [DEFAULT_READ, MAX_READ])]
fn read_across_two_blocks(bencher: Bencher, length: usize) {
    bench_reads(bencher, length, |number| {
        (number % (BLOCKS - 1) + 1) * BLOCK_LENGTH - length as u64 / 2
    });
}

/// Reads the file in order, so each read updates the prefetch window of the stream.
#[divan::bench]
fn read_in_order(bencher: Bencher) {
    let reads_per_file = BLOCKS * BLOCK_LENGTH / DEFAULT_READ as u64;
    bench_reads(bencher, DEFAULT_READ, |number| number % reads_per_file * DEFAULT_READ as u64);
}

fn bench_reads(bencher: Bencher, length: usize, offset_of: impl Fn(u64) -> u64) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .expect("a runtime");
    let (engine, file) = engine(filled_cache(), runtime.handle()).expect("an engine");
    let length = u32::try_from(length).expect("a length");
    bencher.with_inputs(numbers()).bench_local_values(|number| {
        let bytes = engine.read_from_memory(&file, offset_of(number), length);
        // The time of a read that finds no bytes would say nothing.
        bytes.filter(|bytes| bytes.len() == length as usize).expect("cached bytes")
    });
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
    fn on_reply(&self, _id: &FileId, _version: Version, _reply: &LastReply) {}

    fn last_reply(&self, _id: &FileId, _version: Version) -> Option<LastReply> {
        None
    }

    fn on_size_found(&self, _id: &FileId, _version: Version, _size: u64) {}

    fn on_content_changed(&self, _id: &FileId) {}
}
