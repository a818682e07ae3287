//! Checks the cache directory.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use bytesize::ByteSize;

use super::check::{Check, Verdict};
use crate::cache::disk::{self, DiskUsage};
use crate::catalog::CatalogDatabase;
use crate::config::{Config, DiskLimit};
use crate::model::Diagnostic;

const DIRECTORY_SUBJECT: &str = "cache directory";
const BLOCKS_SUBJECT: &str = "disk cache";

pub(crate) fn run_checks(config: &Config) -> Vec<Check> {
    let DiskLimit::Bytes(limit) = config.cache.disk else {
        return vec![check_directory(&config.cache.dir, false), Check::ok(BLOCKS_SUBJECT, "off")];
    };
    let blocks_directory = config.cache.blocks_directory();
    let mut checks = vec![check_directory(&config.cache.dir, true)];
    let usage = disk::read_usage(&blocks_directory).and_then(|usage| {
        if usage.is_some() {
            // The directory of the blocks may be on another file system.
            disk::probe_directory(&blocks_directory, true)?;
        }
        Ok(usage.unwrap_or_else(|| DiskUsage::for_missing_directory(&blocks_directory)))
    });
    match usage {
        Err(error) => checks.push(failed_check(BLOCKS_SUBJECT, &error)),
        Ok(usage) => {
            let finding = format!("{} of {}", ByteSize(usage.used_bytes), ByteSize(limit));
            checks.push(match usage.free_bytes {
                Some(free) if free < limit.saturating_sub(usage.used_bytes) => Check::warning(
                    BLOCKS_SUBJECT,
                    format!("{finding}, and the file system has only {} free", ByteSize(free)),
                    "Free some space on the file system, or lower `disk` in [cache].",
                ),
                _ => Check::ok(BLOCKS_SUBJECT, finding),
            });
        }
    }
    checks
}

fn failed_check(subject: &str, error: &impl Diagnostic) -> Check {
    let fix = "Choose another directory with --cache-dir.";
    Check::from_error(Verdict::Failure, subject, error, fix).caused_by_configuration()
}

/// Checks the directory by creating, writing, reading and removing a file. If the directory holds
/// blocks, also checks that the file system can free a part of a file (fallocate(2),
/// `FALLOC_FL_PUNCH_HOLE`).
fn check_directory(directory: &Path, holds_blocks: bool) -> Check {
    let path = directory.display();
    if let Err(error) = disk::probe_directory(directory, holds_blocks) {
        return failed_check(DIRECTORY_SUBJECT, &error);
    }
    if let Err(error) = CatalogDatabase::check(directory) {
        return failed_check(DIRECTORY_SUBJECT, &error);
    }
    if directory.metadata().is_ok_and(|metadata| metadata.mode() & 0o077 != 0) {
        return Check::warning(
            DIRECTORY_SUBJECT,
            format!("other users can list {path}"),
            format!("Run `chmod 700 {path}`."),
        );
    }
    Check::ok(DIRECTORY_SUBJECT, path.to_string())
}
