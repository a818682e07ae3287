//! The result of one check.

use serde::Serialize;

use crate::commands::exit_status::ExitStatus;
use crate::commands::output::print_line;
use crate::model::{Diagnostic, one_line};

/// The outcome of a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Verdict {
    Ok,
    /// A mount works, with a limitation.
    Warning,
    Failure,
}

/// The result of one check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Check {
    pub(crate) verdict: Verdict,
    /// What was checked.
    subject: String,
    /// What the check found.
    #[serde(rename = "found")]
    finding: String,
    /// The suggested fix; empty if none is needed.
    fix: String,
    /// Whether a failure is in the configuration or in a credential.
    #[serde(skip)]
    is_configuration: bool,
}

impl Check {
    pub(crate) fn ok(subject: impl Into<String>, finding: impl Into<String>) -> Self {
        Self::new(Verdict::Ok, subject, finding, "")
    }

    pub(crate) fn warning(
        subject: impl Into<String>,
        finding: impl Into<String>,
        fix: impl Into<String>,
    ) -> Self {
        Self::new(Verdict::Warning, subject, finding, fix)
    }

    pub(crate) fn failure(
        subject: impl Into<String>,
        finding: impl Into<String>,
        fix: impl Into<String>,
    ) -> Self {
        Self::new(Verdict::Failure, subject, finding, fix)
    }

    /// Reports an error with its hint, or with `default_fix` if it has none.
    pub(crate) fn of_error(
        verdict: Verdict,
        subject: impl Into<String>,
        error: &dyn Diagnostic,
        default_fix: &str,
    ) -> Self {
        Self::of_error_with_context(verdict, subject, "", error, default_fix)
    }

    /// Same as [`Check::of_error`], with a finding that starts with `context`.
    pub(crate) fn of_error_with_context(
        verdict: Verdict,
        subject: impl Into<String>,
        context: &str,
        error: &dyn Diagnostic,
        default_fix: &str,
    ) -> Self {
        let fix = error.hint().unwrap_or_else(|| default_fix.to_owned().into());
        Self::new(verdict, subject, format!("{context}{}", one_line(error)), fix)
    }

    fn new(
        verdict: Verdict,
        subject: impl Into<String>,
        finding: impl Into<String>,
        fix: impl Into<String>,
    ) -> Self {
        let (subject, finding, fix) = (subject.into(), finding.into(), fix.into());
        Self { verdict, subject, finding, fix, is_configuration: false }
    }

    /// Marks a failure as one of the configuration or of a credential.
    pub(crate) fn of_configuration(self) -> Self {
        Self { is_configuration: true, ..self }
    }

    pub(crate) fn as_text(&self) -> String {
        let verdict = match self.verdict {
            Verdict::Ok => "ok     ",
            Verdict::Warning => "WARNING",
            Verdict::Failure => "FAILURE",
        };
        // A fix may be several lines of configuration.
        let fix = self.fix.lines().map(|line| match line {
            "" => "\n".to_owned(),
            line => format!("\n         {line}"),
        });
        format!("{verdict}  {}: {}{}\n", self.subject, self.finding, fix.collect::<String>())
    }
}

/// The results so far. In text output, each result is printed when its check ends: a check of a
/// server that does not answer takes the whole timeout.
#[derive(Debug)]
pub(crate) struct Report {
    pub(crate) is_json: bool,
    pub(crate) checks: Vec<Check>,
}

impl Report {
    pub(crate) fn add(&mut self, check: Check) {
        if !self.is_json {
            print_line(format_args!("{}", check.as_text().trim_end_matches('\n')));
        }
        self.checks.push(check);
    }
}

/// Returns the exit status of the command. A failure in the configuration takes precedence over
/// others.
pub(crate) fn exit_status(checks: &[Check]) -> ExitStatus {
    let is_failure = |check: &&Check| check.verdict == Verdict::Failure;
    match checks.iter().filter(is_failure).map(|check| check.is_configuration).max() {
        None => ExitStatus::Success,
        Some(true) => ExitStatus::Configuration,
        Some(false) => ExitStatus::Failure,
    }
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use super::*;
    use crate::model::ErrorKind;

    #[test]
    fn configuration_failure_outweighs_other_failures() {
        let (ok, warning) = (Check::ok("a", ""), Check::warning("b", "", ""));
        let (failure, configuration) =
            (Check::failure("c", "", ""), Check::failure("d", "", "").of_configuration());
        assert_eq!(exit_status(&[ok.clone(), warning]), ExitStatus::Success);
        assert_eq!(exit_status(&[ok.clone(), failure.clone()]), ExitStatus::Failure);
        assert_eq!(exit_status(&[configuration, failure, ok]), ExitStatus::Configuration);
    }

    #[test]
    fn fix_is_indented_below_the_finding() {
        assert_eq!(
            Check::failure("FUSE", "it is missing", "install it").as_text(),
            "FAILURE  FUSE: it is missing\n         install it\n"
        );
        assert_eq!(Check::ok("FUSE", "available").as_text(), "ok       FUSE: available\n");
        assert_eq!(
            Check::failure("a", "b", "write:\n\n[c]\nd = 1").as_text(),
            "FAILURE  a: b\n         write:\n\n         [c]\n         d = 1\n"
        );
    }

    #[derive(Debug, thiserror::Error)]
    #[error("the check failed")]
    struct Broken {
        hint: Option<&'static str>,
        source: std::io::Error,
    }

    impl Diagnostic for Broken {
        fn kind(&self) -> ErrorKind {
            ErrorKind::System
        }

        fn hint(&self) -> Option<Cow<'static, str>> {
            self.hint.map(Into::into)
        }
    }

    #[test]
    fn fix_is_the_hint_of_the_error() {
        let check = |hint| {
            let error = Broken { hint, source: std::io::Error::other("no; never") };
            Check::of_error(Verdict::Warning, "a", &error, "Ask.")
        };
        assert_eq!(
            check(Some("Fix it.")),
            Check::warning("a", "the check failed: no; never", "Fix it.")
        );
        assert_eq!(check(None), Check::warning("a", "the check failed: no; never", "Ask."));
    }
}
