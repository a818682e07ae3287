//! `meetfs status`

use std::path::Path;

use jiff::Timestamp;

use super::error::Error;
use super::exit_status::ExitStatus;
use super::mount_users::{holders_of, unseen_holder};
use super::output::{print, print_json};
use crate::cli::StatusArgs;
use crate::config::ProcessEnvironment;
use crate::daemon::control::{
    ControlError, MountReport, Mounts, Request, WallClock, mountpoint_of,
};
use crate::daemon::mount_table::{self, MountEntry};

/// The reply of one daemon.
pub(crate) type Reply = Result<MountReport, ControlError>;

/// Prints the state of mounts. Fails if one of them is dead.
///
/// # Errors
/// The mount does not exist, or a daemon does not answer.
pub(crate) fn status(arguments: &StatusArgs) -> Result<ExitStatus, Error> {
    let replies = request(arguments.mountpoint.as_deref(), Request::Status)?;
    if replies.is_empty() && !arguments.json {
        return print("nothing is mounted\n").map(|()| ExitStatus::Success);
    }
    let reports = print_all(replies, arguments.json)?;
    Ok(if reports.iter().any(|report| report.dead.is_some()) {
        ExitStatus::Failure
    } else {
        ExitStatus::Success
    })
}

/// Sends a request to the daemon of one mount, or of all.
pub(crate) fn request(mountpoint: Option<&Path>, request: Request) -> Result<Vec<Reply>, Error> {
    let mounts = Mounts::new(&ProcessEnvironment);
    let mut replies = match mountpoint {
        Some(mountpoint) => vec![mounts.report(&mountpoint_of(mountpoint)?, request)],
        None => mounts.all_reports(request),
    };
    for report in replies.iter_mut().flatten() {
        report.held_by = held_by(report);
    }
    Ok(replies)
}

/// Returns what uses a mount that is not in the mount table; `None` if it is mounted.
fn held_by(report: &MountReport) -> Option<String> {
    let device = report.device?;
    let is_mounted = |entry: &MountEntry| {
        entry.device == device && entry.mountpoint.to_string_lossy() == report.mountpoint
    };
    match mount_table::entries() {
        Ok(entries) if !entries.iter().any(is_mounted) => {
            Some(holders_of(device).unwrap_or_else(|| unseen_holder(device)))
        }
        _ => None,
    }
}

/// Prints every report and then returns the first failure.
pub(crate) fn print_all(replies: Vec<Reply>, as_json: bool) -> Result<Vec<MountReport>, Error> {
    let (mut reports, mut failure) = (Vec::new(), None);
    for reply in replies {
        match reply {
            Ok(report) => reports.push(report),
            Err(error) => {
                // As text, the error alone is sufficient.
                if let ControlError::Dead(mountpoint) = &error
                    && as_json
                {
                    reports.push(MountReport::of_dead(mountpoint));
                }
                failure = failure.or(Some(error));
            }
        }
    }
    if as_json {
        print_json(&reports)?;
    } else {
        let wall = WallClock::system(Timestamp::now());
        let texts: Vec<_> = reports.iter().map(|report| report.as_text(&wall)).collect();
        print(&texts.join("\n"))?;
    }
    match failure {
        Some(error) => Err(error.into()),
        None => Ok(reports),
    }
}
