//! The `meetfs refresh` command.

use std::path::Path;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use super::error::{CommandError, Error};
use super::output::print_to_stderr;
use super::progress_line::{PROGRESS_DELAY, PROGRESS_INTERVAL, ProgressLine};
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
    let (done_sender, done_receiver) = mpsc::channel::<()>();
    let mountpoint = arguments.mountpoint.clone();
    let progress = std::thread::spawn(move || show_progress(mountpoint.as_deref(), &done_receiver));
    let replies = send_request(arguments.mountpoint.as_deref(), Request::Refresh);
    drop(done_sender);
    // A panic in the progress thread does not affect the refresh.
    let _ = progress.join();
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

/// Prints the names of the sources that are still being refreshed. On a terminal, updates one line.
/// Otherwise, prints a single line.
fn show_progress(mountpoint: Option<&Path>, done_receiver: &mpsc::Receiver<()>) {
    let mut progress = ProgressLine::new();
    let start = Instant::now();
    let mut delay = if progress.is_terminal() { PROGRESS_DELAY } else { LOGGED_PROGRESS_DELAY };
    while done_receiver.recv_timeout(delay) == Err(mpsc::RecvTimeoutError::Timeout) {
        delay = PROGRESS_INTERVAL;
        let Ok(replies) = send_request(mountpoint, Request::Status) else { continue };
        let reports: Vec<_> = replies.into_iter().flatten().collect();
        let names: Vec<_> = reports.iter().flat_map(refreshing_sources).collect();
        if names.is_empty() {
            continue;
        }
        let line =
            format!("still refreshing {} after {} s", names.join(", "), start.elapsed().as_secs());
        if !progress.is_terminal() {
            print_to_stderr(format_args!("{line}"));
            return;
        }
        progress.show(&line);
    }
    progress.clear();
}

fn refreshing_sources(report: &MountReport) -> impl Iterator<Item = &str> {
    report.sources.iter().filter(|source| source.is_refreshing).map(|source| source.name.as_str())
}
