//! Checks of the cache directory.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use bytesize::ByteSize;

use super::check::{Check, Verdict};
use crate::cache::disk::{self, DiskUsage};
use crate::catalog::CatalogDatabase;
use crate::config::{Config, DiskLimit};
use crate::model::Diagnostic;

const SUBJECT: &str = "cache directory";

pub(crate) fn checks(config: &Config) -> Vec<Check> {
    let DiskLimit::Bytes(limit) = config.cache.disk else {
        return vec![directory(&config.cache.dir, false), Check::ok("blocks on disk", "off")];
    };
    let blocks = config.cache.blocks_directory();
    let mut checks = vec![directory(&config.cache.dir, true)];
    let usage = disk::usage(&blocks).and_then(|usage| {
        if usage.is_some() {
            // The directory of the blocks may be on another file system.
            disk::probe_directory(&blocks, true)?;
        }
        Ok(usage.unwrap_or_else(|| DiskUsage::of_missing(&blocks)))
    });
    match usage {
        Err(error) => checks.push(failure("blocks on disk", &error)),
        Ok(usage) => {
            let finding = format!("{} of {}", ByteSize(usage.held), ByteSize(limit));
            checks.push(match usage.free {
                Some(free) if free < limit.saturating_sub(usage.held) => Check::warning(
                    "blocks on disk",
                    format!("{finding}, and the file system has only {} free", ByteSize(free)),
                    "Free space there, or lower `disk` in [cache].",
                ),
                _ => Check::ok("blocks on disk", finding),
            });
        }
    }
    checks
}

fn failure(subject: &str, error: &impl Diagnostic) -> Check {
    let fix = "Choose another directory with --cache-dir.";
    Check::of_error(Verdict::Failure, subject, error, fix).of_configuration()
}

/// Checks that files can be created, written, read and removed in the directory, by doing so. For a
/// directory of blocks, also checks that parts of a file can be freed.
fn directory(directory: &Path, with_blocks: bool) -> Check {
    let path = directory.display();
    if let Err(error) = disk::probe_directory(directory, with_blocks) {
        return failure(SUBJECT, &error);
    }
    if let Err(error) = CatalogDatabase::check(directory) {
        return failure(SUBJECT, &error);
    }
    if directory.metadata().is_ok_and(|metadata| metadata.mode() & 0o077 != 0) {
        return Check::warning(
            SUBJECT,
            format!("other users may list {path}"),
            format!("Run `chmod 700 {path}`."),
        );
    }
    Check::ok(SUBJECT, path.to_string())
}
