//! The printed form of an error.

use std::borrow::Cow;
use std::fmt::{Display, Formatter};

use serde::{Deserialize, Serialize};

use super::diagnostic::Diagnostic;

/// An error with its causes and its hint, as text or as JSON.
///
/// In text form, a single cause is printed on the line of the message, because most causes are
/// short. If there are more causes, each has its own `caused by:` line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorReport {
    pub error: String,
    /// The messages of the causes, the nearest first.
    pub caused_by: Vec<String>,
    pub hint: Option<String>,
    /// The name of the [`ErrorKind`](super::ErrorKind).
    pub kind: Cow<'static, str>,
}

impl ErrorReport {
    /// Returns the report of an error.
    pub fn of(error: &dyn Diagnostic) -> Self {
        let mut caused_by = Vec::new();
        let mut cause = error.source();
        while let Some(error) = cause {
            caused_by.push(error.to_string());
            cause = error.source();
        }
        Self {
            error: error.to_string(),
            caused_by,
            hint: error.hint().map(Into::into),
            kind: error.kind().name().into(),
        }
    }

    /// Returns the error and its causes, joined by colons.
    pub fn message(&self) -> String {
        let causes = self.caused_by.iter().map(String::as_str);
        std::iter::once(self.error.as_str()).chain(causes).collect::<Vec<_>>().join(": ")
    }

    /// Returns the [message](Self::message) as a sentence, followed by the hint, for texts that
    /// users read.
    pub fn sentence(&self) -> String {
        match &self.hint {
            Some(hint) => format!("{}. {hint}", self.message()),
            None => self.message(),
        }
    }
}

impl Display for ErrorReport {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        write!(f, "error: {}", self.error)?;
        match self.caused_by.as_slice() {
            [cause] => write!(f, ": {cause}")?,
            causes => {
                for cause in causes {
                    write!(f, "\ncaused by: {cause}")?;
                }
            }
        }
        if let Some(hint) = &self.hint {
            write!(f, "\nhint: {hint}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ErrorKind;

    #[derive(Debug, thiserror::Error)]
    #[error("{message}")]
    struct Failure {
        message: &'static str,
        source: Option<Box<Failure>>,
    }

    impl Diagnostic for Failure {
        fn kind(&self) -> ErrorKind {
            ErrorKind::Busy
        }

        fn hint(&self) -> Option<Cow<'static, str>> {
            self.source.is_some().then(|| "Wait.".into())
        }
    }

    fn failure(messages: &[&'static str]) -> Failure {
        let (message, causes) = messages.split_first().unwrap();
        let source = (!causes.is_empty()).then(|| Box::new(failure(causes)));
        Failure { message, source }
    }

    #[test]
    fn text_has_error_causes_and_hint() {
        let text = |messages| ErrorReport::of(&failure(messages)).to_string();
        assert_eq!(text(&["a"]), "error: a");
        assert_eq!(text(&["a", "b"]), "error: a: b\nhint: Wait.");
        assert_eq!(text(&["a", "b", "c"]), "error: a\ncaused by: b\ncaused by: c\nhint: Wait.");
    }

    #[test]
    fn sentence_has_message_and_hint() {
        let report = |messages| ErrorReport::of(&failure(messages));
        assert_eq!(report(&["a"]).sentence(), "a");
        assert_eq!(report(&["a", "b", "c"]).sentence(), "a: b: c. Wait.");
    }

    #[test]
    fn json_has_error_causes_hint_and_kind() {
        let json = serde_json::to_value(ErrorReport::of(&failure(&["a", "b"]))).unwrap();
        assert_eq!(
            json,
            serde_json::json!({
                "error": "a", "caused_by": ["b"], "hint": "Wait.", "kind": "busy"
            })
        );
    }
}
