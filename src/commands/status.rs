//! The `meetfs status` command.

use std::io::IsTerminal;
use std::path::{Path, PathBuf};

use jiff::Timestamp;

use super::error::{CommandError, Error};
use super::exit_status::ExitStatus;
use super::mount_processes::{describe_holders, describe_unseen_holder};
use super::output::{print, print_json, print_to_stderr};
use super::status_view;
use crate::cli::StatusArgs;
use crate::config::ProcessEnvironment;
use crate::daemon::control::{
    ControlError, MountReport, Mounts, Request, WallClock, resolve_mountpoint,
};
use crate::daemon::metrics;
use crate::fuse::mount_table::{self, MountEntry};
use crate::model::ErrorReport;

/// The reply of one daemon.
pub(crate) type Reply = Result<MountReport, ControlError>;

/// Prints the state of mounts. Fails if one of them is dead.
///
/// # Errors
/// The mount does not exist, or a daemon does not answer.
pub(crate) fn run(arguments: &StatusArgs) -> Result<ExitStatus, Error> {
    let replies = send_request(arguments.mountpoint.as_deref(), Request::Status)?;
    if arguments.watch {
        if std::io::stdout().is_terminal() {
            return watch(arguments.mountpoint.clone(), replies);
        }
        print_to_stderr(format_args!(
            "note: standard output is not a terminal, so the status is printed once"
        ));
    }
    if arguments.prometheus {
        return print_metrics(replies);
    }
    if replies.is_empty() && !arguments.json {
        return print("nothing is mounted\n").map(|()| ExitStatus::Success);
    }
    let reports = print_all(replies, arguments.json)?;
    Ok(if reports.iter().any(|report| report.dead_mount_error.is_some()) {
        ExitStatus::Failure
    } else {
        ExitStatus::Success
    })
}

/// Shows the state of mounts on the terminal until the user ends the view.
///
/// # Errors
/// The first reply is an error, or the terminal cannot be written.
fn watch(mountpoint: Option<PathBuf>, first_replies: Vec<Reply>) -> Result<ExitStatus, Error> {
    for reply in first_replies {
        reply?;
    }
    let render = move || {
        let mounts = match send_request(mountpoint.as_deref(), Request::Status) {
            Ok(replies) if replies.is_empty() => "nothing is mounted\n".to_owned(),
            Ok(replies) => {
                let texts: Vec<_> = replies.into_iter().map(text_of).collect();
                texts.join("\n")
            }
            Err(error) => format!("{}\n", ErrorReport::of(error.diagnostic())),
        };
        let now = WallClock::system(Timestamp::now());
        format!("meetfs status at {}, Ctrl-C ends\n\n{mounts}", now.format(now.now))
    };
    status_view::run(render).map(|()| ExitStatus::Success)
}

fn text_of(reply: Reply) -> String {
    match reply {
        Ok(report) => report.as_text(&WallClock::system(Timestamp::now())),
        Err(error) => format!("{}\n", ErrorReport::of(&error)),
    }
}

/// Prints the metrics of the only mount.
///
/// # Errors
/// There are several mounts, or none, or the mount is dead.
fn print_metrics(replies: Vec<Reply>) -> Result<ExitStatus, Error> {
    let report = single_report(replies, |count| CommandError::SeveralMounts { count })?;
    print(&metrics::encode(report)).map(|()| ExitStatus::Success)
}

/// Returns the report of the only mount.
///
/// # Errors
/// The user has no mount, or a dead one, or several mounts. For those, the error is the one that
/// `several_mounts` returns for their number.
pub(crate) fn single_report(
    mut replies: Vec<Reply>,
    several_mounts: impl FnOnce(usize) -> CommandError,
) -> Result<MountReport, Error> {
    let report = match (replies.pop(), replies.len()) {
        (None, _) => return Err(ControlError::NoMounts.into()),
        (Some(reply), 0) => reply?,
        (Some(_), others) => return Err(several_mounts(others + 1).into()),
    };
    match report.dead_mount_error {
        Some(_) => Err(ControlError::Dead(report.mountpoint.into()).into()),
        None => Ok(report),
    }
}

/// Sends a request to the daemon of one mount, or of all mounts.
pub(crate) fn send_request(
    mountpoint: Option<&Path>,
    request: Request,
) -> Result<Vec<Reply>, Error> {
    let mounts = Mounts::new(&ProcessEnvironment);
    let mut replies = match mountpoint {
        Some(mountpoint) => vec![mounts.request_report(&resolve_mountpoint(mountpoint)?, request)],
        None => mounts.request_all_reports(request),
    };
    for report in replies.iter_mut().flatten() {
        report.holders = describe_detached_holders(report);
    }
    Ok(replies)
}

/// Describes the processes and mounts that use a file system that has left the mount table. Returns
/// `None` if the file system is still mounted.
fn describe_detached_holders(report: &MountReport) -> Option<String> {
    let device = report.device?;
    let is_mounted = |entry: &MountEntry| {
        entry.device == device && entry.mountpoint.to_string_lossy() == report.mountpoint
    };
    match mount_table::entries() {
        Ok(entries) if !entries.iter().any(is_mounted) => {
            Some(describe_holders(device).unwrap_or_else(|| describe_unseen_holder(device)))
        }
        _ => None,
    }
}

/// Returns the report of a mount whose daemon cannot answer.
fn report_of_error(error: &ControlError) -> Option<MountReport> {
    match error {
        ControlError::Dead(mountpoint) => Some(MountReport::for_dead_mount(mountpoint)),
        ControlError::NoReply { mountpoint, .. } | ControlError::Stopped { mountpoint, .. } => {
            Some(MountReport::for_unanswered_request(mountpoint, ErrorReport::of(error)))
        }
        _ => None,
    }
}

/// Prints all reports, then returns the first error, if any.
pub(crate) fn print_all(replies: Vec<Reply>, as_json: bool) -> Result<Vec<MountReport>, Error> {
    let (mut reports, mut failure) = (Vec::new(), None);
    for reply in replies {
        match reply {
            Ok(report) => reports.push(report),
            Err(error) => {
                // In text output, the error message is enough.
                if as_json {
                    reports.extend(report_of_error(&error));
                }
                failure = failure.or(Some(error));
            }
        }
    }
    if as_json {
        print_json(&reports)?;
    } else {
        let wall_clock = WallClock::system(Timestamp::now());
        let texts: Vec<_> = reports.iter().map(|report| report.as_text(&wall_clock)).collect();
        print(&texts.join("\n"))?;
    }
    match failure {
        Some(error) => Err(error.into()),
        None => Ok(reports),
    }
}
