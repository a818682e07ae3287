//! The cache folder.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use bytesize::ByteSize;

use super::Check;
use crate::cache::disk;
use crate::settings::{DiskLimit, Settings};

const SUBJECT: &str = "cache folder";

pub(super) fn checks(settings: &Settings) -> Vec<Check> {
    let mut checks = vec![folder(&settings.cache.dir)];
    let DiskLimit::Bytes(limit) = settings.cache.disk else {
        checks.push(Check::ok("blocks on disk", "off"));
        return checks;
    };
    match disk::survey(&settings.cache.blocks_folder()) {
        Err(error) => checks.push(Check::failure("blocks on disk", error.to_string(), "")),
        Ok(survey) => {
            let survey = survey.unwrap_or_default();
            let (held, limit_text) = (ByteSize(survey.held), ByteSize(limit));
            let found = format!("{held} of {limit_text}");
            checks.push(match survey.free {
                Some(free) if free < limit.saturating_sub(survey.held) => Check::warning(
                    "blocks on disk",
                    format!("{found}, and only {} are free on the file system", ByteSize(free)),
                    "free space there, or lower `disk` in [cache]",
                ),
                _ => Check::ok("blocks on disk", found),
            });
        }
    }
    checks
}

fn folder(folder: &Path) -> Check {
    let place = folder.display();
    // What is not there yet is made below its nearest parent that is.
    let existing = folder.ancestors().find(|path| path.exists()).unwrap_or(folder);
    let Ok(found) = existing.metadata() else {
        return Check::failure(
            SUBJECT,
            format!("{place} cannot be looked at"),
            "give another with --cache-dir",
        );
    };
    let writable =
        nix::unistd::access(existing, nix::unistd::AccessFlags::W_OK | nix::unistd::AccessFlags::X_OK)
            .is_ok();
    if !found.is_dir() || !writable {
        return Check::failure(
            SUBJECT,
            format!("{place} cannot be written to"),
            "give another with --cache-dir or `dir` in [cache]",
        )
        .of_configuration();
    }
    if existing == folder && found.mode() & 0o077 != 0 {
        return Check::warning(
            SUBJECT,
            format!("others may look into {place}"),
            format!("run `chmod 700 {place}`"),
        );
    }
    Check::ok(SUBJECT, place.to_string())
}
