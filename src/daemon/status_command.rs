//! `meetfs status` and `meetfs refresh`

use std::io::IsTerminal;
use std::path::Path;
use std::sync::mpsc;
use std::time::Duration;

use jiff::Timestamp;

use super::control::{ControlError, MountReport, Mounts, Request, SourceReport, WallClock};
use super::mountpoint::absolute;
use super::{print, say};
use crate::cli::{RefreshArgs, StatusArgs};
use crate::error::Error;
use crate::settings::ProcessEnvironment;

/// After how long a person at a terminal is told what is being waited for.
const SAY_AFTER: Duration = Duration::from_secs(2);

/// Says how mounts are doing.
///
/// # Errors
/// There is no such mount, or a daemon does not answer.
pub fn status(arguments: &StatusArgs) -> Result<(), Error> {
    let answers = ask(arguments.mountpoint.as_deref(), Request::Status)?;
    if answers.is_empty() && !arguments.json {
        return print("nothing is mounted\n");
    }
    print_all(answers, arguments.json).map(drop)
}

/// Looks for new recordings now.
///
/// # Errors
/// There is no such mount, a daemon does not answer, or a source could not be listed whole.
pub fn refresh(arguments: &RefreshArgs) -> Result<(), Error> {
    let (done, waiting) = mpsc::channel::<()>();
    if std::io::stderr().is_terminal() {
        std::thread::spawn(move || {
            if waiting.recv_timeout(SAY_AFTER) == Err(mpsc::RecvTimeoutError::Timeout) {
                say(std::io::stderr(), format_args!("meetfs: still listing the recordings …"));
            }
        });
    }
    let answers = ask(arguments.mountpoint.as_deref(), Request::Refresh)?;
    drop(done);
    if answers.is_empty() {
        return Err(ControlError::NothingMounted.into());
    }
    let reports = print_all(answers, arguments.json)?;
    let troubled: Vec<_> = reports
        .iter()
        .flat_map(|report| &report.sources)
        .filter(|source| source.is_troubled())
        .map(|source: &SourceReport| source.name.clone())
        .collect();
    if troubled.is_empty() { Ok(()) } else { Err(Error::NotRefreshed { sources: troubled.join(", ") }) }
}

type Answer = Result<MountReport, ControlError>;

fn ask(mountpoint: Option<&Path>, request: Request) -> Result<Vec<Answer>, Error> {
    let mounts = Mounts::new(&ProcessEnvironment);
    match mountpoint {
        Some(mountpoint) => Ok(vec![mounts.report(&absolute(mountpoint)?, request)]),
        None => Ok(mounts.all_reports(request)),
    }
}

/// Prints what was answered, before the first failure is returned.
fn print_all(answers: Vec<Answer>, as_json: bool) -> Result<Vec<MountReport>, Error> {
    let (mut reports, mut failed) = (Vec::new(), None);
    for answer in answers {
        match answer {
            Ok(report) => reports.push(report),
            Err(error) => failed = failed.or(Some(error)),
        }
    }
    if as_json {
        let text = serde_json::to_string_pretty(&reports)
            .map_err(|cause| Error::System { what: "writing JSON", cause: cause.into() })?;
        print(&format!("{text}\n"))?;
    } else {
        let wall = WallClock::here(Timestamp::now());
        let texts: Vec<_> = reports.iter().map(|report| report.as_text(&wall)).collect();
        print(&texts.join("\n"))?;
    }
    match failed {
        Some(error) => Err(error.into()),
        None => Ok(reports),
    }
}
