//! The blocks of a content in the memory cache and the disk cache.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::content::Content;
use crate::cache::disk::{CompleteFile, DiskCache};
use crate::cache::{BLOCK_LENGTH, BlockExtent, BlockIndex, BlockSpan, MemoryCache};

/// Both caches, addressed by content.
pub(super) struct CacheTiers {
    pub(super) memory: Arc<MemoryCache>,
    pub(super) disk: Option<Arc<DiskCache>>,
}

impl CacheTiers {
    /// Whether the disk cache lists a block and has not failed to load it before.
    pub(super) fn is_on_disk(&self, content: &Content, index: BlockIndex) -> bool {
        self.disk.as_ref().is_some_and(|disk| {
            !content.is_disk_miss(index) && disk.holds(content.disk_key(), index)
        })
    }

    /// Whether the disk cache holds the whole file, verified. Answers from memory. A file of one
    /// block never counts: it costs one read either way.
    pub(super) fn has_complete_file(&self, content: &Content) -> bool {
        content.recording.size > BLOCK_LENGTH
            && !content.is_stale()
            && self.disk.as_ref().is_some_and(|disk| disk.is_complete(content.disk_key()))
    }

    /// Opens the file in the disk cache if it is complete there. A disk that takes longer than
    /// `timeout` counts as one that does not have it.
    pub(super) async fn open_complete_file(
        &self,
        content: &Content,
        timeout: Duration,
    ) -> Option<CompleteFile> {
        let opening = self.disk.as_ref()?.complete(content.disk_key());
        tokio::time::timeout(timeout, opening).await.ok().flatten()
    }

    /// Inserts bytes that came from the network. The disk cache gets whole blocks only: those that
    /// arrived whole, and those that are now whole in memory.
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

    /// Marks the blocks whose end a sequential reader has passed: it does not read them again.
    pub(super) fn mark_consumed(&self, content: &Content, span: BlockSpan) {
        for index in span.blocks_ended(content.recording.size) {
            self.memory.mark_consumed(content.key(index));
        }
    }

    /// Drops all blocks of a content.
    pub(super) fn forget(&self, content: &Content) {
        self.memory.forget(content.id);
        if let Some(disk) = &self.disk {
            disk.forget(content.disk_key());
        }
    }
}
