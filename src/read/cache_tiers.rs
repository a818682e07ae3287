//! The cached blocks of file contents, in memory and on disk.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::content::Content;
use crate::cache::disk::{CompleteFile, DiskCache, DiskKey};
use crate::cache::{
    BLOCK_LENGTH, BlockExtent, BlockIndex, BlockKey, BlockSpan, ContentId, MemoryCache,
};
use crate::sync::atomic::{AtomicU64, Ordering};

/// The memory cache and the disk cache of the read path.
pub(super) struct CacheTiers {
    pub(super) memory: Arc<MemoryCache>,
    pub(super) disk: Option<Arc<DiskCache>>,
    disk_hits: AtomicU64,
    disk_misses: AtomicU64,
}

/// How often a block was searched for in the disk cache since the mount started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DiskLookups {
    /// Number of blocks that were loaded from disk.
    pub hits: u64,
    /// Number of blocks, or parts of blocks, that were fetched because they were not on disk.
    pub misses: u64,
}

/// The cached bytes of a file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CachedBytes {
    pub in_memory: u64,
    pub on_disk: u64,
    /// Number of bytes that are in at least one of the caches.
    pub total: u64,
    /// Number of contiguous ranges that are not cached.
    pub gaps: u64,
}

impl CachedBytes {
    /// Returns the cached share of a file of `size` bytes in percent, rounded down.
    pub fn percent(&self, size: u64) -> u64 {
        let percent = u128::from(self.total.min(size)) * 100 / u128::from(size.max(1));
        if size == 0 { 100 } else { u64::try_from(percent).unwrap_or(100) }
    }
}

impl CacheTiers {
    pub(super) fn new(memory: Arc<MemoryCache>, disk: Option<Arc<DiskCache>>) -> Self {
        let (disk_hits, disk_misses) = (AtomicU64::new(0), AtomicU64::new(0));
        Self { memory, disk, disk_hits, disk_misses }
    }

    pub(super) fn disk_lookups(&self) -> DiskLookups {
        DiskLookups {
            hits: self.disk_hits.load(Ordering::Relaxed),
            misses: self.disk_misses.load(Ordering::Relaxed),
        }
    }

    pub(super) fn record_disk_hit(&self) {
        self.disk_hits.fetch_add(1, Ordering::Relaxed);
    }

    /// Records that `blocks` blocks are fetched. Without a disk cache, they count as neither.
    pub(super) fn record_fetch(&self, blocks: usize) {
        if self.disk.is_some() {
            self.disk_misses.fetch_add(blocks as u64, Ordering::Relaxed);
        }
    }

    /// Whether the disk cache lists the block and has not failed to load it before.
    pub(super) fn is_on_disk(&self, content: &Content, index: BlockIndex) -> bool {
        self.disk.as_ref().is_some_and(|disk| {
            !content.is_disk_miss(index) && disk.may_contain(content.disk_key(), index)
        })
    }

    /// Counts the cached bytes of a file of `size` bytes. Neither accesses the disk nor counts as
    /// an access to the blocks. Takes a lock for each block, which can take a millisecond for a
    /// large file. `content` is `None` if the file was not open recently.
    pub(super) fn cached_bytes(
        &self,
        content: Option<ContentId>,
        key: DiskKey,
        size: u64,
    ) -> CachedBytes {
        let blocks_on_disk = self.disk.as_ref().and_then(|disk| disk.stored_blocks(key));
        let mut cached_bytes = CachedBytes::default();
        let mut is_in_gap = false;
        for index in BlockSpan::new(0, size).blocks() {
            let is_on_disk = blocks_on_disk.as_ref().is_some_and(|blocks| {
                u32::try_from(index.0).is_ok_and(|index| blocks.contains(&index))
            });
            let length = index.length(size) as u64;
            let in_memory =
                content.map_or(0, |content| self.memory.cached_length(BlockKey { content, index }));
            let on_disk = if is_on_disk { length } else { 0 };
            let cached = in_memory.max(on_disk);
            cached_bytes.in_memory += in_memory;
            cached_bytes.on_disk += on_disk;
            cached_bytes.total += cached;
            // A block with several cached extents counts as one gap.
            let begins_gap = cached < length && !(is_in_gap && cached == 0);
            cached_bytes.gaps += u64::from(begins_gap);
            is_in_gap = cached < length;
        }
        cached_bytes
    }

    /// Whether the index of the disk cache lists all blocks of the file as verified. Does not
    /// access the disk. Always `false` for a file of one block, because such a file takes a single
    /// read in any case.
    pub(super) fn has_complete_file(&self, content: &Content) -> bool {
        content.recording.size > BLOCK_LENGTH
            && !content.is_stale()
            && self.disk.as_ref().is_some_and(|disk| disk.is_complete(content.disk_key()))
    }

    /// Opens the file in the disk cache if all its blocks are there. Returns `None` if the disk
    /// does not respond within `timeout`.
    pub(super) async fn open_complete_file(
        &self,
        content: &Content,
        timeout: Duration,
    ) -> Option<CompleteFile> {
        let file = self.disk.as_ref()?.open_complete(content.disk_key());
        tokio::time::timeout(timeout, file).await.ok().flatten()
    }

    /// Inserts bytes that arrived from the network. The disk cache gets only whole blocks: a block
    /// that arrived as a whole, or a block that is now complete in memory.
    pub(super) fn insert(&self, content: &Content, extent: BlockExtent, bytes: &Bytes) {
        let key = content.key(extent.index);
        self.memory.insert(key, extent.from, bytes);
        let Some(disk) = &self.disk else { return };
        let length = content.block_length(extent.index);
        let block = if bytes.len() == length {
            Some(bytes.clone())
        } else {
            self.memory.bytes(key, 0, length)
        };
        if let Some(block) = block {
            disk.store(content.disk_key(), extent.index, block);
        }
    }

    /// Marks the blocks that end in `span` as consumed, because a sequential reader has passed them
    /// and will not read them again.
    pub(super) fn mark_consumed(&self, content: &Content, span: BlockSpan) {
        for index in span.ending_blocks(content.recording.size) {
            self.memory.mark_consumed(content.key(index));
        }
    }

    /// Drops all blocks of the content from both caches.
    pub(super) fn forget(&self, content: &Content) {
        self.memory.forget(content.id);
        if let Some(disk) = &self.disk {
            disk.forget(content.disk_key());
        }
    }
}
