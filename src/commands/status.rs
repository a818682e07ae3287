//! `meetfs status` and `meetfs refresh`

use std::io::{IsTerminal, Write};
use std::path::Path;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use jiff::Timestamp;

use super::{print, say};
use crate::cli::{RefreshArgs, StatusArgs};
use crate::commands::error::Error;
use crate::config::ProcessEnvironment;
use crate::daemon::control::{
    ControlError, MountReport, Mounts, Request, SourceReport, WallClock, mountpoint_of,
};

/// After how long a person at a terminal is told what is being waited for.
const SAY_AFTER: Duration = Duration::from_secs(2);

/// The same for a log or a pipe, where most listings had better leave no line.
const SAY_ELSEWHERE_AFTER: Duration = Duration::from_secs(10);

/// Says how mounts are doing. Returns whether all of them are served.
///
/// # Errors
/// There is no such mount, or a daemon does not answer.
pub fn status(arguments: &StatusArgs) -> Result<bool, Error> {
    let answers = ask(arguments.mountpoint.as_deref(), Request::Status)?;
    if answers.is_empty() && !arguments.json {
        return print("nothing is mounted\n").map(|()| true);
    }
    let reports = print_all(answers, arguments.json)?;
    Ok(reports.iter().all(|report| report.dead.is_none()))
}

/// Looks for new recordings now.
///
/// # Errors
/// There is no such mount, a daemon does not answer, or a source could not be listed whole.
pub fn refresh(arguments: &RefreshArgs) -> Result<(), Error> {
    let (done, waiting) = mpsc::channel::<()>();
    let mountpoint = arguments.mountpoint.clone();
    let teller =
        std::thread::spawn(move || say_what_is_waited_for(mountpoint.as_deref(), &waiting));
    let answers = ask(arguments.mountpoint.as_deref(), Request::Refresh);
    drop(done);
    let _it_only_talks = teller.join();
    let answers = answers?;
    if answers.is_empty() {
        return Err(ControlError::NothingMounted.into());
    }
    let reports = print_all(answers, arguments.json)?;
    let unfinished = reports.iter().filter(|report| report.is_unfinished).flat_map(listed_now);
    let unfinished: Vec<_> = unfinished.map(str::to_owned).collect();
    if reports.iter().any(|report| report.dead.is_some()) {
        return Err(ControlError::SomeDead.into());
    }
    if !unfinished.is_empty() {
        return Err(Error::StillRefreshing { sources: unfinished.join(", ") });
    }
    let troubled: Vec<_> = reports
        .iter()
        .flat_map(|report| &report.sources)
        .filter(|source| source.is_troubled())
        .map(|source: &SourceReport| source.name.clone())
        .collect();
    if troubled.is_empty() {
        Ok(())
    } else {
        Err(Error::NotRefreshed { sources: troubled.join(", ") })
    }
}

/// Says which sources are still being listed: on a terminal in one line that is kept up to date, elsewhere once.
fn say_what_is_waited_for(mountpoint: Option<&Path>, done: &mpsc::Receiver<()>) {
    let is_terminal = std::io::stderr().is_terminal();
    let begun = Instant::now();
    let mut pause = if is_terminal { SAY_AFTER } else { SAY_ELSEWHERE_AFTER };
    let mut shown = 0_usize;
    while done.recv_timeout(pause) == Err(mpsc::RecvTimeoutError::Timeout) {
        pause = Duration::from_secs(1);
        let Ok(answers) = ask(mountpoint, Request::Status) else { continue };
        let reports: Vec<_> = answers.into_iter().flatten().collect();
        let names: Vec<_> = reports.iter().flat_map(listed_now).collect();
        if names.is_empty() {
            continue;
        }
        let line = format!(
            "meetfs: still listing {}, for {} s",
            names.join(", "),
            begun.elapsed().as_secs()
        );
        if !is_terminal {
            say(std::io::stderr(), format_args!("{line}"));
            return;
        }
        let length = line.chars().count();
        let _nobody_looks =
            write!(std::io::stderr(), "\r{line}{}", " ".repeat(shown.saturating_sub(length)));
        shown = length;
    }
    if shown > 0 {
        let _nobody_looks = write!(std::io::stderr(), "\r{}\r", " ".repeat(shown));
    }
}

/// The sources of a mount that are being listed.
fn listed_now(report: &MountReport) -> impl Iterator<Item = &str> {
    report.sources.iter().filter(|source| source.is_refreshing).map(|source| source.name.as_str())
}

type Answer = Result<MountReport, ControlError>;

fn ask(mountpoint: Option<&Path>, request: Request) -> Result<Vec<Answer>, Error> {
    let mounts = Mounts::new(&ProcessEnvironment);
    match mountpoint {
        Some(mountpoint) => Ok(vec![mounts.report(&mountpoint_of(mountpoint)?, request)]),
        None => Ok(mounts.all_reports(request)),
    }
}

/// Prints what was answered, before the first failure is returned.
fn print_all(answers: Vec<Answer>, as_json: bool) -> Result<Vec<MountReport>, Error> {
    let (mut reports, mut failed) = (Vec::new(), None);
    for answer in answers {
        match answer {
            Ok(report) => reports.push(report),
            Err(error) => {
                // In text the error says all there is to say.
                let dead = match &error {
                    ControlError::Dead(mountpoint) if as_json => {
                        Some(MountReport::of_dead(mountpoint))
                    }
                    _ => None,
                };
                reports.extend(dead);
                failed = failed.or(Some(error));
            }
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
