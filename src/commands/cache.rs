//! The `meetfs cache` command.

use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;

use bytesize::ByteSize;
use parking_lot::Mutex;
use serde_json::json;

use super::error::{CommandError, Error};
use super::output::print;
use super::progress::Progress;
use crate::cache::disk::{self, ClearedFiles, DiskUsage};
use crate::catalog::CatalogDatabase;
use crate::cli::{CacheArgs, CacheCommand};
use crate::config::{Config, DiskLimit, ProcessEnvironment};
use crate::daemon::control::pluralize;

/// Prints the state of the disk cache, or clears it.
///
/// # Errors
/// The configuration is invalid, the cache directory cannot be used, or a mount uses the cache that
/// is to be cleared.
pub(crate) fn run(arguments: &CacheArgs) -> Result<(), Error> {
    match &arguments.command {
        CacheCommand::Status { flags, json } => {
            let overrides = flags.overrides();
            let config = Config::load_without_sources(&overrides, &ProcessEnvironment)?;
            check_directory(&config.cache.dir, overrides.cache_dir.is_some(), "inspect", false)?;
            let directory = config.cache.blocks_directory();
            let usage = disk::read_usage(&directory)?
                .unwrap_or_else(|| DiskUsage::for_missing_directory(&directory));
            let limit = config.cache.disk;
            let text = if *json {
                format_json(&directory, limit, &usage)
            } else {
                format_text(&directory, limit, &usage)
            };
            print(&format!("{text}\n"))
        }
        CacheCommand::Clear { flags } => {
            let overrides = flags.overrides();
            let config = Config::load_without_sources(&overrides, &ProcessEnvironment)?;
            check_directory(&config.cache.dir, overrides.cache_dir.is_some(), "clear", true)?;
            let ClearedFiles { files, bytes } = clear(&config.cache.blocks_directory())?;
            print(&format!(
                "removed the blocks of {} ({})\n",
                pluralize(files, "file"),
                ByteSize(bytes)
            ))
        }
    }
}

/// Removes all blocks, and shows the progress.
fn clear(directory: &Path) -> Result<ClearedFiles, Error> {
    let cleared_files = Arc::new(Mutex::new(ClearedFiles::default()));
    let shown_files = cleared_files.clone();
    let _progress = Progress::on_terminal(move |_| {
        let ClearedFiles { files, bytes } = *shown_files.lock();
        let files = pluralize(files, "file");
        Some(format!("clearing the cache: {files} removed so far ({})", ByteSize(bytes)))
    });
    Ok(disk::clear(directory, |files| *cleared_files.lock() = files)?)
}

/// Rejects a directory that no mount uses as its cache. `is_override` states whether a flag or a
/// variable specifies the directory. With `must_exist`, such a directory must exist. Otherwise a
/// misspelled path would be reported as cleared. The configured directory does not exist before the
/// first mount.
fn check_directory(
    directory: &Path,
    is_override: bool,
    action: &'static str,
    must_exist: bool,
) -> Result<(), Error> {
    if is_override && let Err(source) = std::fs::read_dir(directory) {
        let is_missing = source.kind() == ErrorKind::NotFound;
        if must_exist || !is_missing {
            let path = directory.into();
            return Err(CommandError::CacheDirectory { action, path, source }.into());
        }
    }
    Ok(CatalogDatabase::check(directory)?)
}

fn format_json(directory: &Path, limit: DiskLimit, usage: &DiskUsage) -> String {
    let limit = match limit {
        DiskLimit::Off => None,
        DiskLimit::Bytes(bytes) => Some(bytes),
    };
    let status = json!({
        "directory": directory.to_string_lossy(),
        "limit": limit,
        "used": usage.used_bytes,
        "files": usage.files,
        "blocks": usage.blocks,
        "free": usage.free_bytes,
        "in_use": usage.is_in_use,
        "pid": usage.pid,
    });
    format!("{status:#}")
}

fn format_text(directory: &Path, limit: DiskLimit, usage: &DiskUsage) -> String {
    let limit = match limit {
        DiskLimit::Off => "off".to_owned(),
        DiskLimit::Bytes(bytes) => ByteSize(bytes).to_string(),
    };
    let state = match (usage.is_in_use, usage.pid) {
        (false, _) => "not in use".to_owned(),
        (true, Some(pid)) => format!("used by process {pid}"),
        (true, None) => "used by a mount".to_owned(),
    };
    let free =
        usage.free_bytes.map_or_else(|| "unknown".to_owned(), |bytes| ByteSize(bytes).to_string());
    format!(
        "directory  {}\nsize       {} in {} of {}\nlimit      {limit}\n\
         free       {free} on its file system\nstate      {state}",
        directory.display(),
        ByteSize(usage.used_bytes),
        pluralize(usage.blocks, "block"),
        pluralize(usage.files, "file"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const USAGE: DiskUsage = DiskUsage {
        files: 1,
        blocks: 2,
        used_bytes: 3 << 20,
        free_bytes: Some(5 << 30),
        is_in_use: true,
        pid: Some(42),
    };

    #[test]
    fn text_shows_sizes_and_the_process() {
        let text = format_text(Path::new("/c/blocks"), DiskLimit::Bytes(10 << 30), &USAGE);
        assert_eq!(
            text,
            "directory  /c/blocks\nsize       3.0 MiB in 2 blocks of 1 file\nlimit      10.0 GiB\n\
             free       5.0 GiB on its file system\nstate      used by process 42"
        );
    }

    #[test]
    fn json_shows_bytes() {
        let json: serde_json::Value =
            serde_json::from_str(&format_json(Path::new("/c"), DiskLimit::Off, &USAGE)).unwrap();
        assert_eq!(json["used"], 3 << 20);
        assert_eq!(json["limit"], serde_json::Value::Null);
        assert_eq!(json["pid"], 42);
    }
}
