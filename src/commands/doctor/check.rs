//! The result of one check.

use serde::Serialize;

use crate::commands::exit_status::ExitStatus;
use crate::commands::output::print_line;
use crate::model::{Diagnostic, ErrorReport};

/// The outcome of a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Verdict {
    Ok,
    /// A mount works, but with a limitation.
    Warning,
    Failure,
}

/// What a check has found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
enum Finding {
    State {
        found: String,
    },
    /// The reason for a warning or a failure.
    Problem {
        error: String,
        caused_by: Vec<String>,
        hint: String,
    },
}

/// The result of one check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Check {
    pub(crate) verdict: Verdict,
    /// The subject of the check, such as `FUSE`.
    subject: String,
    #[serde(flatten)]
    finding: Finding,
    /// Whether a failure is caused by the configuration or a credential.
    #[serde(skip)]
    is_configuration_failure: bool,
}

impl Check {
    pub(crate) fn ok(subject: impl Into<String>, finding: impl Into<String>) -> Self {
        Self::new(Verdict::Ok, subject, Finding::State { found: finding.into() })
    }

    pub(crate) fn warning(
        subject: impl Into<String>,
        error: impl Into<String>,
        hint: impl Into<String>,
    ) -> Self {
        let (error, hint) = (error.into(), hint.into());
        Self::new(
            Verdict::Warning,
            subject,
            Finding::Problem { error, caused_by: Vec::new(), hint },
        )
    }

    pub(crate) fn failure(
        subject: impl Into<String>,
        error: impl Into<String>,
        hint: impl Into<String>,
    ) -> Self {
        let (error, hint) = (error.into(), hint.into());
        Self::new(
            Verdict::Failure,
            subject,
            Finding::Problem { error, caused_by: Vec::new(), hint },
        )
    }

    /// Creates a check from an error. If the error has no hint, the check has `default_hint`.
    pub(crate) fn from_error(
        verdict: Verdict,
        subject: impl Into<String>,
        error: &dyn Diagnostic,
        default_hint: &str,
    ) -> Self {
        Self::from_error_with_context(verdict, subject, "", error, default_hint)
    }

    /// Same as [`Check::from_error`], but the message starts with `context`.
    pub(crate) fn from_error_with_context(
        verdict: Verdict,
        subject: impl Into<String>,
        context: &str,
        error: &dyn Diagnostic,
        default_hint: &str,
    ) -> Self {
        let ErrorReport { error, caused_by, hint, .. } = ErrorReport::of(error);
        let problem = Finding::Problem {
            error: format!("{context}{error}"),
            caused_by,
            hint: hint.unwrap_or_else(|| default_hint.to_owned()),
        };
        Self::new(verdict, subject, problem)
    }

    fn new(verdict: Verdict, subject: impl Into<String>, finding: Finding) -> Self {
        Self { verdict, subject: subject.into(), finding, is_configuration_failure: false }
    }

    /// Marks a failure as caused by the configuration or a credential.
    pub(crate) fn caused_by_configuration(self) -> Self {
        Self { is_configuration_failure: true, ..self }
    }

    pub(crate) fn as_text(&self) -> String {
        let verdict = match self.verdict {
            Verdict::Ok => "ok     ",
            Verdict::Warning => "WARNING",
            Verdict::Failure => "FAILURE",
        };
        let (message, hint) = match &self.finding {
            Finding::State { found } => (found.clone(), ""),
            Finding::Problem { error, caused_by, hint } => {
                let messages = std::iter::once(error).chain(caused_by);
                (messages.map(String::as_str).collect::<Vec<_>>().join(": "), hint.as_str())
            }
        };
        // A hint may be several lines of configuration.
        let hint = hint.lines().map(|line| match line {
            "" => "\n".to_owned(),
            line => format!("\n         {line}"),
        });
        format!("{verdict}  {}: {message}{}\n", self.subject, hint.collect::<String>())
    }
}

/// The results of the checks so far. In text output, each result is printed as soon as its check
/// ends, because the check of a server that does not answer takes as long as its timeout.
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

/// Returns the exit status of the command. A failure that is caused by the configuration or a
/// credential takes precedence over other failures.
pub(crate) fn exit_status(checks: &[Check]) -> ExitStatus {
    let is_failure = |check: &&Check| check.verdict == Verdict::Failure;
    match checks.iter().filter(is_failure).map(|check| check.is_configuration_failure).max() {
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
            (Check::failure("c", "", ""), Check::failure("d", "", "").caused_by_configuration());
        assert_eq!(exit_status(&[ok.clone(), warning]), ExitStatus::Success);
        assert_eq!(exit_status(&[ok.clone(), failure.clone()]), ExitStatus::Failure);
        assert_eq!(exit_status(&[configuration, failure, ok]), ExitStatus::Configuration);
    }

    #[test]
    fn hint_is_indented_below_the_message() {
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
    struct FailedProbe {
        hint: Option<&'static str>,
        source: std::io::Error,
    }

    impl Diagnostic for FailedProbe {
        fn kind(&self) -> ErrorKind {
            ErrorKind::System
        }

        fn hint(&self) -> Option<Cow<'static, str>> {
            self.hint.map(Into::into)
        }
    }

    #[test]
    fn check_has_the_fields_of_its_error() {
        let check = |hint| {
            let error = FailedProbe { hint, source: std::io::Error::other("no; never") };
            Check::from_error(Verdict::Warning, "a", &error, "Ask.")
        };
        assert_eq!(
            serde_json::to_value(check(Some("Fix it."))).unwrap(),
            serde_json::json!({
                "verdict": "warning", "subject": "a", "error": "the check failed",
                "caused_by": ["no; never"], "hint": "Fix it."
            })
        );
        assert_eq!(
            check(None).as_text(),
            "WARNING  a: the check failed: no; never\n         Ask.\n"
        );
        assert_eq!(
            serde_json::to_value(Check::ok("FUSE", "available")).unwrap(),
            serde_json::json!({ "verdict": "ok", "subject": "FUSE", "found": "available" })
        );
    }
}
