//! The `meetfs refresh` command.

use std::path::Path;
use std::time::Duration;

use super::error::{CommandError, Error};
use super::progress::Progress;
use super::status::{print_all, send_request};
use crate::cli::RefreshArgs;
use crate::daemon::control::{ControlError, MountReport, Request};

/// Delay before the only progress line in a log or a pipe. Most refreshes end sooner and print
/// none.
const LOGGED_PROGRESS_DELAY: Duration = Duration::from_secs(10);

/// Refreshes the catalog of one or all mounts and prints their state.
///
/// # Errors
/// The mount does not exist, a daemon does not answer, or a source could not be listed completely.
pub(crate) fn run(arguments: &RefreshArgs) -> Result<(), Error> {
    let mountpoint = arguments.mountpoint.clone();
    let progress = Progress::on_terminal_or_once_after(LOGGED_PROGRESS_DELAY, move |elapsed| {
        describe_progress(mountpoint.as_deref(), elapsed)
    });
    let replies = send_request(arguments.mountpoint.as_deref(), Request::Refresh);
    drop(progress);
    let replies = replies?;
    if replies.is_empty() {
        return Err(ControlError::NoMounts.into());
    }
    let reports = print_all(replies, arguments.json)?;
    if reports.iter().any(|report| report.dead_mount_error.is_some()) {
        return Err(ControlError::SomeMountsDead.into());
    }
    let unfinished_sources: Vec<_> =
        reports.iter().filter(|report| report.is_unfinished).flat_map(refreshing_sources).collect();
    if !unfinished_sources.is_empty() {
        let sources = unfinished_sources.join(", ");
        return Err(CommandError::UnfinishedRefresh { sources }.into());
    }
    let incomplete_sources: Vec<_> = reports
        .iter()
        .flat_map(|report| &report.sources)
        .filter(|source| source.is_incomplete())
        .map(|source| source.name.as_str())
        .collect();
    if incomplete_sources.is_empty() {
        Ok(())
    } else {
        Err(CommandError::IncompleteRefresh { sources: incomplete_sources.join(", ") }.into())
    }
}

/// Names the sources that are still being refreshed.
fn describe_progress(mountpoint: Option<&Path>, elapsed: Duration) -> Option<String> {
    let replies = send_request(mountpoint, Request::Status).ok()?;
    let reports: Vec<_> = replies.into_iter().flatten().collect();
    let names: Vec<_> = reports.iter().flat_map(refreshing_sources).collect();
    let line = format!("still refreshing {} after {} s", names.join(", "), elapsed.as_secs());
    (!names.is_empty()).then_some(line)
}

fn refreshing_sources(report: &MountReport) -> impl Iterator<Item = &str> {
    report.sources.iter().filter(|source| source.is_refreshing).map(|source| source.name.as_str())
}
