//! What the disk cache holds, for a catalog that knows no cache.

use std::sync::Arc;

use crate::cache::disk::{DiskCache, DiskKey};
use crate::catalog::CachedFiles;
use crate::model::{FileId, Version};

/// Files whose every block is on disk.
#[derive(Debug)]
pub(crate) struct OnDisk(Arc<DiskCache>);

impl OnDisk {
    /// Those of a cache.
    pub(crate) fn holdings(cache: &Arc<DiskCache>) -> Arc<dyn CachedFiles> {
        Arc::new(Self(cache.clone()))
    }
}

impl CachedFiles for OnDisk {
    fn is_complete(
        &self,
        file: &FileId,
        version: Version,
        size: u64,
        validator: Option<&str>,
    ) -> bool {
        self.0.holds_whole(DiskKey::of(file, version, size, validator.unwrap_or_default()))
    }
}
