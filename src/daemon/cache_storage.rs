//! The storage of a mount in its cache directory: the catalog and the blocks.
//!
//! A backup must not fail because the disk of its cache is full. If the cache directory cannot be
//! written, the mount uses a copy of the catalog in memory, runs without a disk cache, and reports
//! this.

use std::borrow::Cow;
use std::io::ErrorKind as IoErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::error::DaemonError;
use crate::cache::disk::{self, DiskCache, DiskError, DiskOptions};
use crate::catalog::{CatalogDatabase, CatalogDatabaseError, SearchIndex};
use crate::config::{CacheConfig, Config, DiskLimit};
use crate::model::{Diagnostic, ErrorKind, line_with_hint};

/// Divisor of the memory for blocks. The result is the maximum size of the blocks that wait to be
/// written to disk, and the rest of the memory stays available for fetches. If the disk is too
/// slow, further blocks are not written.
const WRITE_QUEUE_DIVISOR: u64 = 4;

/// The open catalog and the open disk cache of a mount.
#[derive(Debug)]
pub struct CacheStorage {
    pub database: CatalogDatabase,
    /// `None` if the disk cache is turned off or cannot be written.
    pub disk: Option<Arc<DiskCache>>,
    /// `None` if the index is turned off or cannot be written.
    pub search_index: Option<Arc<SearchIndex>>,
    /// The write error of the cache directory. `None` if the catalog and the blocks can be written.
    pub unwritable_cache: Option<UnwritableCache>,
}

/// The cache directory is full or read-only, so the mount runs without it.
#[derive(Debug, thiserror::Error)]
#[error("cannot write to the cache {}", directory.display())]
pub struct UnwritableCache {
    pub directory: PathBuf,
    pub source: std::io::Error,
}

impl Diagnostic for UnwritableCache {
    fn kind(&self) -> ErrorKind {
        ErrorKind::System
    }

    fn hint(&self) -> Option<Cow<'static, str>> {
        Some(
            "The mount stores nothing on disk. Free disk space, or choose another directory with \
             --cache-dir, and mount again."
                .into(),
        )
    }
}

impl CacheStorage {
    /// Opens the catalog, the disk cache and the search index. Does blocking I/O.
    ///
    /// # Errors
    /// The catalog or the disk cache cannot be opened, and the reason is not a full or read-only
    /// file system.
    pub fn open(config: &Config) -> Result<Self, DaemonError> {
        let directory = &config.cache.dir;
        let database = match CatalogDatabase::open(directory) {
            Ok(database) => database,
            Err(error) => {
                let unwritable_cache = UnwritableCache {
                    directory: directory.clone(),
                    source: write_error(directory, error)?,
                };
                return Ok(Self {
                    database: CatalogDatabase::copy_to_memory(directory)?,
                    disk: None,
                    search_index: None,
                    unwritable_cache: Some(unwritable_cache),
                });
            }
        };
        match open_disk_cache(&config.cache, config.connections) {
            Ok(disk) => {
                // The disk cache locks the directory, so the index of another mount is safe.
                let search_index = open_search_index(directory, config.indexes_texts);
                Ok(Self { database, disk, search_index, unwritable_cache: None })
            }
            Err(DiskError::Directory { directory, source }) if prevents_writes(&source) => {
                let unwritable_cache = Some(UnwritableCache { directory, source });
                Ok(Self { database, disk: None, search_index: None, unwritable_cache })
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Returns storage that uses no directory. `has_search_index` states whether it has a search
    /// index.
    ///
    /// # Errors
    /// SQLite cannot create a database in memory.
    pub fn in_memory(has_search_index: bool) -> Result<Self, DaemonError> {
        let search_index =
            if has_search_index { Some(Arc::new(SearchIndex::in_memory()?)) } else { None };
        Ok(Self {
            database: CatalogDatabase::in_memory()?,
            disk: None,
            search_index,
            unwritable_cache: None,
        })
    }
}

/// Opens the search index. If it is turned off, removes the index of an earlier mount, because it
/// contains what was said in meetings. A mount does not fail because of the index.
fn open_search_index(directory: &Path, is_on: bool) -> Option<Arc<SearchIndex>> {
    let result = if is_on {
        SearchIndex::open(directory).map(|index| Some(Arc::new(index)))
    } else {
        SearchIndex::remove(directory).map(|()| None)
    };
    result.unwrap_or_else(|error| {
        tracing::warn!("{}", line_with_hint(&error));
        None
    })
}

fn open_disk_cache(
    config: &CacheConfig,
    connections: usize,
) -> Result<Option<Arc<DiskCache>>, DiskError> {
    let DiskLimit::Bytes(limit) = config.disk else { return Ok(None) };
    let options = DiskOptions {
        directory: config.blocks_directory(),
        limit,
        free_floor: None,
        queue_limit: config.memory.block_bytes(connections) / WRITE_QUEUE_DIVISOR,
    };
    DiskCache::open(options).map(Some)
}

/// Returns the write error of `directory` if it is the reason why the catalog could not be opened.
/// SQLite reports a full disk with different codes, so a probe of the directory decides.
///
/// # Errors
/// Returns `error` if it has another reason.
fn write_error(
    directory: &Path,
    error: CatalogDatabaseError,
) -> Result<std::io::Error, CatalogDatabaseError> {
    match error {
        CatalogDatabaseError::Directory { source, .. } if prevents_writes(&source) => Ok(source),
        CatalogDatabaseError::Database { .. } => match disk::probe_directory(directory, false) {
            Err(DiskError::Directory { source, .. }) if prevents_writes(&source) => Ok(source),
            _ => Err(error),
        },
        _ => Err(error),
    }
}

/// Whether the file system does not accept writes now. A missing permission does not count, because
/// it is a mistake in the configuration.
fn prevents_writes(error: &std::io::Error) -> bool {
    matches!(
        error.kind(),
        IoErrorKind::StorageFull | IoErrorKind::QuotaExceeded | IoErrorKind::ReadOnlyFilesystem
    )
}
