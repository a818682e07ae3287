//! `meetfs doctor`: what keeps a mount from working, each with its fix.
//!
//! Every check ends within its own bound, and none needs another to have gone well but the configuration, without which
//! there is nothing to look at.

mod cache;
#[cfg(any(fuzzing, test))]
pub mod fuzzing;
mod scopes;
mod source;
mod system;

use std::fmt::Display;

use serde::Serialize;
use tokio_util::sync::CancellationToken;

use super::print;
use crate::catalog::CatalogDatabase;
use crate::cli::DoctorArgs;
use crate::commands::error::{Error, Exit};
use crate::config::{Config, DiskLimit, ProcessEnvironment};
use crate::daemon::archive::Archive;

/// How a check went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
enum Verdict {
    Ok,
    /// It works, but not as well as it could.
    Warning,
    Failure,
}

/// One check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct Check {
    verdict: Verdict,
    /// What was looked at.
    subject: String,
    /// What was found.
    found: String,
    /// What to do; empty where nothing is.
    fix: String,
    /// Whether a failure is one of the configuration or a credential.
    #[serde(skip)]
    is_of_configuration: bool,
}

impl Check {
    fn ok(subject: impl Into<String>, found: impl Into<String>) -> Self {
        Self::new(Verdict::Ok, subject, found, "")
    }

    fn warning(
        subject: impl Into<String>,
        found: impl Into<String>,
        fix: impl Into<String>,
    ) -> Self {
        Self::new(Verdict::Warning, subject, found, fix)
    }

    fn failure(
        subject: impl Into<String>,
        found: impl Into<String>,
        fix: impl Into<String>,
    ) -> Self {
        Self::new(Verdict::Failure, subject, found, fix)
    }

    /// An error, which says after its last semicolon what to do about it, as all of this program do. `otherwise` is for
    /// one that does not.
    fn of_error(
        verdict: Verdict,
        subject: impl Into<String>,
        error: &impl Display,
        otherwise: &str,
    ) -> Self {
        let told = error.to_string();
        // A semicolon in somebody's quoted words is none of ours.
        let is_outside =
            |fix: &str| ['"', '`'].iter().all(|mark| fix.matches(*mark).count().is_multiple_of(2));
        let (found, fix) = told
            .rsplit_once("; ")
            .filter(|(_, fix)| is_outside(fix))
            .unwrap_or((told.as_str(), otherwise));
        Self::new(verdict, subject, found, fix)
    }

    fn new(
        verdict: Verdict,
        subject: impl Into<String>,
        found: impl Into<String>,
        fix: impl Into<String>,
    ) -> Self {
        let (subject, found, fix) = (subject.into(), found.into(), fix.into());
        Self { verdict, subject, found, fix, is_of_configuration: false }
    }

    fn of_configuration(self) -> Self {
        Self { is_of_configuration: true, ..self }
    }

    fn as_text(&self) -> String {
        let verdict = match self.verdict {
            Verdict::Ok => "ok     ",
            Verdict::Warning => "WARNING",
            Verdict::Failure => "FAILURE",
        };
        // A fix may be lines to write somewhere.
        let fix = self.fix.lines().map(|line| match line {
            "" => "\n".to_owned(),
            line => format!("\n         {line}"),
        });
        format!("{verdict}  {}: {}{}\n", self.subject, self.found, fix.collect::<String>())
    }
}

/// Checks everything that a mount needs.
///
/// # Errors
/// The checks cannot be made at all, or told.
pub fn doctor(arguments: &DoctorArgs) -> Result<Exit, Error> {
    let mut checks = system::checks();
    match Config::load(&arguments.overrides(), &ProcessEnvironment) {
        Ok(settings) => {
            checks.push(Check::ok("configuration", counted(settings.sources.len())));
            checks.extend(cache::checks(&settings));
            checks.extend(examine_sources(settings)?);
        }
        Err(error) => {
            let otherwise = "correct it there and run this again";
            let check = Check::of_error(Verdict::Failure, "configuration", &error, otherwise);
            checks.push(check.of_configuration());
        }
    }
    if arguments.json {
        let text = serde_json::to_string_pretty(&checks)
            .map_err(|cause| Error::System { what: "writing JSON", cause: cause.into() })?;
        print(&format!("{text}\n"))?;
    } else {
        print(&checks.iter().map(Check::as_text).collect::<String>())?;
    }
    Ok(exit(&checks))
}

fn examine_sources(mut settings: Config) -> Result<Vec<Check>, Error> {
    // A mount may have the blocks, and none is needed here.
    settings.cache.disk = DiskLimit::Off;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|cause| Error::System { what: "starting the runtime", cause })?;
    let ended = CancellationToken::new();
    let archive =
        Archive::new(&settings, CatalogDatabase::in_memory()?, runtime.handle(), ended.clone())?;
    let checks = runtime.block_on(source::checks(&archive));
    ended.cancel();
    Ok(checks)
}

fn counted(sources: usize) -> String {
    if sources == 1 { "1 source".into() } else { format!("{sources} sources") }
}

fn exit(checks: &[Check]) -> Exit {
    let failed = |check: &&Check| check.verdict == Verdict::Failure;
    match checks.iter().filter(failed).map(|check| check.is_of_configuration).max() {
        None => Exit::Done,
        Some(true) => Exit::Configuration,
        Some(false) => Exit::Failed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_credential_weighs_more_than_what_else_failed() {
        let (fine, odd) = (Check::ok("a", ""), Check::warning("b", "", ""));
        let (broken, wrong) =
            (Check::failure("c", "", ""), Check::failure("d", "", "").of_configuration());
        assert_eq!(exit(&[fine.clone(), odd]), Exit::Done);
        assert_eq!(exit(&[fine.clone(), broken.clone()]), Exit::Failed);
        assert_eq!(exit(&[wrong, broken, fine]), Exit::Configuration);
    }

    #[test]
    fn a_mend_stands_below_what_was_found() {
        assert_eq!(
            Check::failure("FUSE", "it is not there", "install it").as_text(),
            "FAILURE  FUSE: it is not there\n         install it\n"
        );
        assert_eq!(Check::ok("FUSE", "there").as_text(), "ok       FUSE: there\n");
        assert_eq!(
            Check::failure("a", "b", "write:\n\n[c]\nd = 1").as_text(),
            "FAILURE  a: b\n         write:\n\n         [c]\n         d = 1\n"
        );
    }

    #[test]
    fn what_an_error_says_to_do_is_its_mend() {
        let check = |told: &str| {
            let check = Check::of_error(Verdict::Warning, "a", &told, "ask");
            (check.found, check.fix)
        };
        let pair = |found: &str, fix: &str| (found.to_owned(), fix.to_owned());
        assert_eq!(check("it broke; fix it"), pair("it broke", "fix it"));
        assert_eq!(check("it broke; so it seems; fix it"), pair("it broke; so it seems", "fix it"));
        assert_eq!(check("it broke"), pair("it broke", "ask"));
        let quoted = "it said \"no; never\"";
        assert_eq!(check(quoted), pair(quoted, "ask"));
        assert_eq!(check("it said \"no; never\"; ask why"), pair(quoted, "ask why"));
    }
}
