//! `meetfs expiring`

use std::collections::{HashMap, HashSet};
use std::ffi::OsString;
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use bytesize::ByteSize;
use jiff::Timestamp;
use serde::Serialize;
use sha2::{Digest, Sha256};

use super::{print, say};
use crate::cli::ExpiringArgs;
use crate::commands::error::Error;
use crate::config::ProcessEnvironment;
use crate::daemon::control::{ControlError, ExpiringFile, Mounts, WallClock, mountpoint_of};
use crate::tree::UNAVAILABLE_SUFFIX;

/// A file that will be deleted.
#[derive(Clone, Debug, Serialize)]
struct Due {
    path: PathBuf,
    size: Option<u64>,
    expires: Timestamp,
    /// Whole days from now on, rounded down; negative where it should be gone.
    days_left: i64,
    in_trash: bool,
    is_readable: bool,
}

/// Lists what will be deleted, most urgent first. Returns whether everything asked for
/// is saved, as far as every mount could be asked.
///
/// # Errors
/// There is no such mount, a daemon does not answer, or the directory cannot be read.
pub fn expiring(arguments: &ExpiringArgs) -> Result<bool, Error> {
    let now = Timestamp::now();
    let (mut due, is_all) = files(arguments.mountpoint.as_deref(), now)?;
    if let Some(within) = arguments.within {
        let until = now.checked_add(within).unwrap_or(Timestamp::MAX);
        due.retain(|file| file.expires <= until);
    }
    if let Some(directory) = &arguments.not_in {
        let saved = Saved::in_directory(directory, devices_of(&due))?;
        due.retain(|file| !saved.has(file, arguments.checksum));
    }
    due.sort_by(|a, b| (a.expires, &a.path).cmp(&(b.expires, &b.path)));
    if arguments.json {
        let text = serde_json::to_string_pretty(&due)
            .map_err(|cause| Error::System { what: "writing JSON", cause: cause.into() })?;
        print(&format!("{text}\n"))?;
    } else {
        let wall = WallClock::here(now);
        let lines = due.iter().map(|file| {
            let size = file.size.map_or_else(|| "?".to_owned(), |size| ByteSize(size).to_string());
            let left = left(file.days_left);
            let note = match (file.in_trash, file.is_readable) {
                (false, _) => "",
                (true, true) => "  (in the trash)",
                (true, false) => {
                    "  (in the trash, which does not give it out; the file there says how to have it back)"
                }
            };
            let at = wall.day_and_time(file.expires);
            format!("{at}  {left:>9}  {size:>10}  {}{note}\n", file.path.display())
        });
        print(&lines.collect::<String>())?;
    }
    Ok(arguments.not_in.is_none() || (is_all && due.is_empty()))
}

/// How long there is, for a person.
fn left(days: i64) -> String {
    match days {
        ..0 => "overdue".to_owned(),
        0 => "today".to_owned(),
        1 => "1 day".to_owned(),
        days => format!("{days} days"),
    }
}

/// What will be deleted, of one mount or of all, and whether all could be asked. Those that could not are told.
fn files(mountpoint: Option<&Path>, now: Timestamp) -> Result<(Vec<Due>, bool), Error> {
    let mounts = Mounts::new(&ProcessEnvironment);
    let (answers, dead) = match mountpoint {
        Some(mountpoint) => (vec![mounts.expiring(&mountpoint_of(mountpoint)?)?], Vec::new()),
        None => mounts.all_expiring()?,
    };
    let is_all = dead.is_empty();
    for mountpoint in dead {
        let error = ControlError::Dead(mountpoint);
        say(
            std::io::stderr(),
            format_args!("meetfs: warning: what is in it is not listed: {error}"),
        );
    }
    let below = |mountpoint: PathBuf, files: Vec<ExpiringFile>| {
        files.into_iter().map(move |file| Due {
            path: mountpoint.join(file.path),
            size: file.size,
            expires: file.expires,
            days_left: file.expires.duration_since(now).as_secs().div_euclid(24 * 3600),
            in_trash: file.in_trash,
            is_readable: file.is_readable,
        })
    };
    Ok((
        answers.into_iter().flat_map(|(mountpoint, files)| below(mountpoint, files)).collect(),
        is_all,
    ))
}

/// The file systems that the files themselves lie on: a copy in there is no copy.
fn devices_of(due: &[Due]) -> HashSet<u64> {
    let directories: HashSet<_> = due.iter().filter_map(|file| file.path.parent()).collect();
    directories
        .into_iter()
        .filter_map(|directory| Some(std::fs::metadata(directory).ok()?.dev()))
        .collect()
}

/// The files of a backup by the names of their directory and their own, and by size.
struct Saved(HashMap<(OsString, OsString, u64), Vec<PathBuf>>);

impl Saved {
    /// Looks through a directory and all below it but what lies on one of `mounts`.
    fn in_directory(directory: &Path, mounts: HashSet<u64>) -> Result<Self, Error> {
        let failed = |cause| Error::Backup { path: directory.into(), cause };
        let top = std::fs::metadata(directory).map_err(failed)?;
        if mounts.contains(&top.dev()) {
            let cause = std::io::Error::other("it is in the mount itself, which saves nothing");
            return Err(failed(cause));
        }
        std::fs::read_dir(directory).map_err(failed)?;
        let mut saved = Self(HashMap::new());
        let mut left = vec![directory.to_path_buf()];
        // Links lead anywhere, also back: each directory is looked into once.
        let mut seen = HashSet::from([(top.dev(), top.ino())]);
        while let Some(directory) = left.pop() {
            let entries = match std::fs::read_dir(&directory) {
                Ok(entries) => entries,
                Err(error) => {
                    say(
                        std::io::stderr(),
                        format_args!(
                            "meetfs: warning: what is in {} does not count ({error})",
                            directory.display()
                        ),
                    );
                    continue;
                }
            };
            for path in entries.flatten().map(|entry| entry.path()) {
                // Through links: a backup may be put together of several disks.
                let Ok(found) = std::fs::metadata(&path) else { continue };
                if mounts.contains(&found.dev()) {
                    continue;
                }
                if found.is_dir() {
                    if seen.insert((found.dev(), found.ino())) {
                        left.push(path);
                    }
                } else if found.is_file()
                    && let (Some(parent), Some(name)) = (directory.file_name(), path.file_name())
                {
                    let key = (parent.to_owned(), name.to_owned(), found.len());
                    saved.0.entry(key).or_default().push(path);
                }
            }
        }
        Ok(saved)
    }

    fn has(&self, file: &Due, by_content: bool) -> bool {
        let (Some(parent), Some(name), Some(size)) =
            (file.path.parent().and_then(Path::file_name), file.path.file_name(), file.size)
        else {
            return false;
        };
        // Where a note stands, what counts is the file itself, saved while it was there.
        let name = match name.to_str().and_then(|name| name.strip_suffix(UNAVAILABLE_SUFFIX)) {
            Some(name) if !file.is_readable => name.as_ref(),
            _ => name,
        };
        let Some(copies) = self.0.get(&(parent.to_owned(), name.to_owned(), size)) else {
            return false;
        };
        // Bytes that are not given out cannot be compared.
        if !by_content || !file.is_readable {
            return true;
        }
        // What cannot be read is not known to be saved.
        let Ok(wanted) = digest(&file.path) else { return false };
        copies.iter().any(|copy| digest(copy).is_ok_and(|found| found == wanted))
    }
}

fn digest(path: &Path) -> std::io::Result<[u8; 32]> {
    let mut file = File::open(path)?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 1024 * 1024];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(hash.finalize().into()),
            read => hash.update(buffer.get(..read).unwrap_or_default()),
        }
    }
}
