//! `meetfs expiring`

use std::collections::HashSet;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use bytesize::ByteSize;
use jiff::Timestamp;
use serde::Serialize;

use super::error::Error;
use super::exit_status::ExitStatus;
use super::output::{print, print_json, warn_with_context};
use super::saved_copies::{SavedCopies, SourceFile};
use crate::cli::ExpiringArgs;
use crate::config::ProcessEnvironment;
use crate::daemon::control::{ControlError, ExpiringFile, Mounts, WallClock, mountpoint_of};

/// A file that its provider will delete.
#[derive(Clone, Debug, Serialize)]
struct FileToSave {
    path: PathBuf,
    size: Option<u64>,
    expires: Timestamp,
    /// Whole days from now, rounded down; negative after the expiry.
    days_left: i64,
    in_trash: bool,
    is_readable: bool,
}

/// Lists the files that providers will delete, most urgent first. Fails if a file is not in the
/// directory of `--not-in`, or if a mount could not be asked.
///
/// # Errors
/// The mount does not exist, a daemon does not answer, or the directory cannot be read.
pub(crate) fn expiring(arguments: &ExpiringArgs) -> Result<ExitStatus, Error> {
    let now = Timestamp::now();
    let (mut files, is_complete) = files(arguments.mountpoint.as_deref(), now)?;
    if let Some(within) = arguments.within {
        let until = now.checked_add(within).unwrap_or(Timestamp::MAX);
        files.retain(|file| file.expires <= until);
    }
    if let Some(directory) = &arguments.not_in {
        let copies = SavedCopies::in_directory(directory, &devices_of(&files))?;
        files.retain(|file| !copies.contain(&file.original(), arguments.checksum));
    }
    files.sort_by(|a, b| (a.expires, &a.path).cmp(&(b.expires, &b.path)));
    if arguments.json {
        print_json(&files)?;
    } else {
        let wall = WallClock::system(now);
        print(&files.iter().map(|file| file.as_text(&wall)).collect::<String>())?;
    }
    let is_saved = arguments.not_in.is_none() || (is_complete && files.is_empty());
    Ok(if is_saved { ExitStatus::Success } else { ExitStatus::Failure })
}

impl FileToSave {
    fn original(&self) -> SourceFile<'_> {
        SourceFile { path: &self.path, size: self.size, is_readable: self.is_readable }
    }

    fn as_text(&self, wall: &WallClock) -> String {
        let size = self.size.map_or_else(|| "?".to_owned(), |size| ByteSize(size).to_string());
        let note = match (self.in_trash, self.is_readable) {
            (false, _) => "",
            (true, true) => "  (in the recycle bin)",
            (true, false) => {
                "  (in the recycle bin, which allows no downloads; the file says how to restore it)"
            }
        };
        format!(
            "{}  {:>9}  {size:>10}  {}{note}\n",
            wall.format_date_and_minute(self.expires),
            days_left_as_text(self.days_left),
            self.path.display()
        )
    }
}

fn days_left_as_text(days: i64) -> String {
    match days {
        ..0 => "overdue".to_owned(),
        0 => "today".to_owned(),
        1 => "1 day".to_owned(),
        days => format!("{days} days"),
    }
}

/// Returns the expiring files of one mount or of all, and whether every mount answered. Warns about
/// those that did not.
fn files(mountpoint: Option<&Path>, now: Timestamp) -> Result<(Vec<FileToSave>, bool), Error> {
    let mounts = Mounts::new(&ProcessEnvironment);
    let (replies, dead) = match mountpoint {
        Some(mountpoint) => (vec![mounts.expiring(&mountpoint_of(mountpoint)?)?], Vec::new()),
        None => mounts.all_expiring()?,
    };
    let is_complete = dead.is_empty();
    for mountpoint in dead {
        warn_with_context("files are missing from the list: ", &ControlError::Dead(mountpoint));
    }
    let below = |mountpoint: PathBuf, files: Vec<ExpiringFile>| {
        files.into_iter().map(move |file| FileToSave {
            path: mountpoint.join(file.path),
            size: file.size,
            expires: file.expires,
            days_left: file.expires.duration_since(now).as_secs().div_euclid(24 * 3600),
            in_trash: file.in_trash,
            is_readable: file.is_readable,
        })
    };
    let files =
        replies.into_iter().flat_map(|(mountpoint, files)| below(mountpoint, files)).collect();
    Ok((files, is_complete))
}

/// Returns the devices of the files themselves. A copy on one of them is not a copy.
fn devices_of(files: &[FileToSave]) -> HashSet<u64> {
    let directories: HashSet<_> = files.iter().filter_map(|file| file.path.parent()).collect();
    directories
        .into_iter()
        .filter_map(|directory| Some(std::fs::metadata(directory).ok()?.dev()))
        .collect()
}
