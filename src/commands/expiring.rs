//! The `meetfs expiring` command.

use std::collections::HashSet;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use bytesize::ByteSize;
use jiff::Timestamp;
use serde::Serialize;

use super::copy_progress::CopyProgress;
use super::error::Error;
use super::exit_status::ExitStatus;
use super::output::{print, print_json, print_to_stderr, warn_with_context};
use super::progress::Progress;
use super::saved_copies::{SavedCopies, SourceFile};
use crate::cli::ExpiringArgs;
use crate::config::ProcessEnvironment;
use crate::daemon::control::{ControlError, ExpiringFile, Mounts, WallClock, resolve_mountpoint};

/// A file that its provider will delete.
#[derive(Clone, Debug, Serialize)]
struct FileToSave {
    path: PathBuf,
    size: Option<u64>,
    expires: Timestamp,
    /// Calendar days until the expiry in the local time zone. Negative after the expiry.
    days_left: i64,
    in_trash: bool,
    is_readable: bool,
}

/// Lists the files that providers will delete. The most urgent files come first, and the files that
/// cannot be downloaded come last. With `--not-in`, the exit status is a failure if a file that can
/// be downloaded is not saved, or if a mount did not answer.
///
/// # Errors
/// The mount does not exist, a daemon does not answer, or the directory cannot be read.
pub(crate) fn run(arguments: &ExpiringArgs) -> Result<ExitStatus, Error> {
    if let Some(directory) = &arguments.backup_directory {
        SavedCopies::check_directory(directory)?;
    }
    let now = Timestamp::now();
    let wall_clock = WallClock::system(now);
    let (mut files, is_complete) = expiring_files(arguments.mountpoint.as_deref(), &wall_clock)?;
    if let Some(time_limit) = arguments.time_limit {
        let deadline = now.checked_add(time_limit).unwrap_or(Timestamp::MAX);
        files.retain(|file| file.expires <= deadline);
    }
    if let Some(directory) = &arguments.backup_directory {
        let counts = CopyProgress::default();
        let shown_counts = counts.clone();
        let _progress = Progress::on_terminal(move |_| Some(shown_counts.describe()));
        let copies = SavedCopies::in_directory(directory, &devices_of(&files), &counts)?;
        counts.start_comparison(files.len());
        files.retain(|file| {
            let has_copy = copies.has_copy_of(&file.as_source_file(), arguments.checksum, &counts);
            counts.record_compared_file();
            !has_copy
        });
    }
    files.sort_by(|a, b| {
        (!a.is_readable, a.expires, &a.path).cmp(&(!b.is_readable, b.expires, &b.path))
    });
    if arguments.json {
        print_json(&files)?;
    } else {
        print(&files.iter().map(|file| file.as_text(&wall_clock)).collect::<String>())?;
    }
    let unsaved_count = files.iter().filter(|file| file.is_readable).count();
    if arguments.backup_directory.is_some() && unsaved_count < files.len() && !arguments.json {
        print_to_stderr(format_args!(
            "note: files in a recycle bin that cannot be downloaded do not count as unsaved: {}",
            files.len() - unsaved_count
        ));
    }
    let is_everything_saved =
        arguments.backup_directory.is_none() || (is_complete && unsaved_count == 0);
    Ok(if is_everything_saved { ExitStatus::Success } else { ExitStatus::Failure })
}

impl FileToSave {
    fn as_source_file(&self) -> SourceFile<'_> {
        SourceFile { path: &self.path, size: self.size, is_readable: self.is_readable }
    }

    fn as_text(&self, wall_clock: &WallClock) -> String {
        let size = self.size.map_or_else(|| "?".to_owned(), |size| ByteSize(size).to_string());
        let note = match (self.in_trash, self.is_readable) {
            (false, _) => "",
            (true, true) => "  (in the recycle bin)",
            (true, false) => {
                "  (in the recycle bin, which does not allow downloads; the file explains how to \
                 restore it)"
            }
        };
        format!(
            "{}  {:>9}  {size:>10}  {}{note}\n",
            wall_clock.format_date_and_minute(self.expires),
            days_left_as_text(self.days_left),
            self.path.display()
        )
    }
}

/// Returns the number of calendar days until the expiry. A file that expires tomorrow has one day
/// left, at any time of day. Negative after the expiry.
fn days_left(expires: Timestamp, wall_clock: &WallClock) -> i64 {
    let local_date = |time: Timestamp| time.to_zoned_datetime(wall_clock.zone.clone()).date();
    let days = local_date(expires).duration_since(local_date(wall_clock.now)).as_hours() / 24;
    if expires <= wall_clock.now { days.min(-1) } else { days }
}

fn days_left_as_text(days: i64) -> String {
    match days {
        ..0 => "overdue".to_owned(),
        0 => "today".to_owned(),
        1 => "1 day".to_owned(),
        days => format!("{days} days"),
    }
}

/// Returns the expiring files of one mount or of all mounts, and whether every mount answered.
/// Warns about each mount that did not answer.
fn expiring_files(
    mountpoint: Option<&Path>,
    wall_clock: &WallClock,
) -> Result<(Vec<FileToSave>, bool), Error> {
    let mounts = Mounts::new(&ProcessEnvironment);
    let (replies, dead_mounts) = match mountpoint {
        Some(mountpoint) => {
            (vec![mounts.request_expiring_files(&resolve_mountpoint(mountpoint)?)?], Vec::new())
        }
        None => mounts.request_all_expiring_files()?,
    };
    let is_complete = dead_mounts.is_empty();
    for mountpoint in dead_mounts {
        warn_with_context("files are missing from the list: ", &ControlError::Dead(mountpoint));
    }
    let files_of_mount = |mountpoint: PathBuf, files: Vec<ExpiringFile>| {
        files.into_iter().map(move |file| FileToSave {
            path: mountpoint.join(file.path),
            size: file.size,
            expires: file.expires,
            days_left: days_left(file.expires, wall_clock),
            in_trash: file.in_trash,
            is_readable: file.is_readable,
        })
    };
    let files = replies
        .into_iter()
        .flat_map(|(mountpoint, files)| files_of_mount(mountpoint, files))
        .collect();
    Ok((files, is_complete))
}

/// Returns the devices that the files themselves are on. A file on one of these devices does not
/// count as a backup.
fn devices_of(files: &[FileToSave]) -> HashSet<u64> {
    let directories: HashSet<_> = files.iter().filter_map(|file| file.path.parent()).collect();
    directories
        .into_iter()
        .filter_map(|directory| Some(std::fs::metadata(directory).ok()?.dev()))
        .collect()
}

#[cfg(test)]
mod tests {
    use jiff::tz::TimeZone;

    use super::*;

    #[test]
    fn days_left_are_calendar_days() {
        for (zone, now, expires, days) in [
            // Tomorrow, 19 hours from now.
            ("UTC", "2026-10-06T22:00:00Z", "2026-10-07T17:00:00Z", 1),
            ("UTC", "2026-10-06T10:00:00Z", "2026-10-08T03:00:00Z", 2),
            ("UTC", "2026-10-06T10:00:00Z", "2026-10-06T23:59:59Z", 0),
            ("Asia/Kolkata", "2026-10-06T10:00:00Z", "2026-10-06T18:30:00Z", 1),
            // A day of 25 hours, and one of 23.
            ("Europe/Paris", "2026-10-24T22:00:00Z", "2026-10-25T22:30:00Z", 0),
            ("Europe/Paris", "2026-10-24T22:00:00Z", "2026-10-25T23:00:00Z", 1),
            ("Europe/Paris", "2026-03-28T23:00:00Z", "2026-03-29T22:00:00Z", 1),
            // Expired this morning, and the day before yesterday.
            ("UTC", "2026-10-06T22:00:00Z", "2026-10-06T08:00:00Z", -1),
            ("UTC", "2026-10-06T22:00:00Z", "2026-10-04T08:00:00Z", -2),
        ] {
            let zone = TimeZone::get(zone).unwrap();
            let wall_clock = WallClock { zone, now: now.parse().unwrap() };
            assert_eq!(days_left(expires.parse().unwrap(), &wall_clock), days, "{now} {expires}");
        }
    }
}
