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

pub(crate) fn checks(settings: &Config) -> Vec<Check> {
    let DiskLimit::Bytes(limit) = settings.cache.disk else {
        return vec![directory(&settings.cache.dir, false), Check::ok("blocks on disk", "off")];
    };
    let blocks = settings.cache.blocks_directory();
    let mut checks = vec![directory(&settings.cache.dir, true)];
    let surveyed = disk::usage(&blocks).and_then(|survey| {
        if survey.is_some() {
            // It may be on another file system.
            disk::probe_directory(&blocks, true)?;
        }
        Ok(survey.unwrap_or_else(|| DiskUsage::of_missing(&blocks)))
    });
    match surveyed {
        Err(error) => checks.push(failure("blocks on disk", &error)),
        Ok(survey) => {
            let (held, limit_text) = (ByteSize(survey.held), ByteSize(limit));
            let found = format!("{held} of {limit_text}");
            checks.push(match survey.free {
                Some(free) if free < limit.saturating_sub(survey.held) => Check::warning(
                    "blocks on disk",
                    format!("{found}, and the file system has only {} free", ByteSize(free)),
                    "Free space there, or lower `disk` in [cache].",
                ),
                _ => Check::ok("blocks on disk", found),
            });
        }
    }
    checks
}

fn failure(subject: &str, error: &impl Diagnostic) -> Check {
    let fix = "Choose another directory with --cache-dir.";
    Check::of_error(Verdict::Failure, subject, error, fix).of_configuration()
}

/// Checks that files can be created, written, read and removed there, by doing so. With blocks,
/// also that parts of a file can be freed.
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
