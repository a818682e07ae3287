//! Reports to the catalog which files are completely in the disk cache. The catalog itself must not
//! depend on the cache.

use std::sync::Arc;

use crate::cache::disk::{DiskCache, DiskKey};
use crate::catalog::CachedFiles;
use crate::model::{FileId, Version};

#[derive(Debug)]
pub(crate) struct RetainedFiles(Arc<DiskCache>);

impl RetainedFiles {
    pub(crate) fn of(cache: &Arc<DiskCache>) -> Arc<dyn CachedFiles> {
        Arc::new(Self(cache.clone()))
    }
}

impl CachedFiles for RetainedFiles {
    fn is_complete(
        &self,
        file: &FileId,
        version: Version,
        size: u64,
        validator: Option<&str>,
    ) -> bool {
        self.0.contains_all_blocks(DiskKey::new(file, version, size, validator.unwrap_or_default()))
    }
}
