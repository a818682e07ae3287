//! What a browser brings back, and a person who brings it from one on another machine.

use std::io::{BufRead, IsTerminal, Read};

use secrecy::SecretString;
use secrecy::zeroize::Zeroizing;
use url::form_urlencoded;

use super::LoginError;
use crate::commands::say;
use crate::model::SourceName;
use crate::providers::AuthorizationRequest;

/// The longest line that is read: addresses in browsers are far below.
const MAX_LENGTH: u64 = 16 * 1024;

/// The fields of the address that the browser was sent back to (RFC 6749, 4.1.2).
#[derive(Default)]
pub(crate) struct Answer {
    code: Option<SecretString>,
    state: Option<String>,
    error: Option<String>,
}

impl Answer {
    pub(crate) fn of_query(query: &str) -> Self {
        let mut answer = Self::default();
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            match &*name {
                "code" if !value.is_empty() => {
                    answer.code = Some(SecretString::from(value.into_owned()))
                }
                "state" => answer.state = Some(value.into_owned()),
                // The description is for developers, and whoever sends the browser here may write anything in it.
                "error" => answer.error = Some(plain(&value)),
                _ => {}
            }
        }
        answer
    }

    /// The code, if this is the answer to `consent`; `None` if it is not.
    pub(crate) fn code(
        self,
        consent: &AuthorizationRequest,
        source: &SourceName,
    ) -> Result<Option<SecretString>, LoginError> {
        if !self.state.is_some_and(|state| consent.is_answered_with(&state)) {
            return Ok(None);
        }
        match (self.code, self.error) {
            (Some(code), _) => Ok(Some(code)),
            (None, Some(why)) => Err(LoginError::Refused { source_name: source.clone(), why }),
            (None, None) => Ok(None),
        }
    }
}

/// An error's name as it may be printed: `access_denied` and the like.
fn plain(error: &str) -> String {
    error.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '_').take(64).collect()
}

/// Reads a line: the address, or what follows `?` in it.
pub(crate) async fn code(
    consent: &AuthorizationRequest,
    source: &SourceName,
) -> Result<SecretString, LoginError> {
    if std::io::stdin().is_terminal() {
        say(
            std::io::stderr(),
            format_args!("Then paste the whole address that the browser shows, and press Enter:"),
        );
    }
    let read = tokio::task::spawn_blocking(|| {
        let mut line = Zeroizing::new(Vec::new());
        std::io::stdin().lock().take(MAX_LENGTH).read_until(b'\n', &mut line).map(|_| line)
    });
    let line = match read.await {
        Ok(Ok(line)) => line,
        Ok(Err(cause)) => return Err(LoginError::System { what: "reading standard input", cause }),
        Err(_) => return Err(LoginError::Pasted("nothing was read")),
    };
    if line.len() as u64 == MAX_LENGTH {
        return Err(LoginError::Pasted("this is longer than any address"));
    }
    let line = std::str::from_utf8(&line).map_err(|_| LoginError::Pasted("this is no text"))?;
    of_line(line.trim(), consent, source)
}

/// The code in the address, which has to answer `consent`.
///
/// A code alone is refused. Whoever gets somebody to paste one of theirs would have them signed in to another account;
/// that the exchange takes this question's verifier keeps it out only where the service looks at that (RFC 9700, 2.1.1
/// and 4.7.1). Where a page shows nothing but a code it can be written as the address would have it, with the state of
/// the address that was shown.
pub(crate) fn of_line(
    line: &str,
    consent: &AuthorizationRequest,
    source: &SourceName,
) -> Result<SecretString, LoginError> {
    if line.is_empty() {
        return Err(LoginError::Pasted("nothing was pasted"));
    }
    // Browsers show addresses without their beginning, and people paste what they see.
    let query = match line.split_once('?') {
        Some((_, query)) => Some(query),
        None => (line.contains("://") || line.contains('&')).then_some(line),
    };
    if let Some(query) = query {
        let query = query.split('#').next().unwrap_or_default();
        return Answer::of_query(query)
            .code(consent, source)?
            .ok_or(LoginError::Pasted("this is not the address of the sign-in under way"));
    }
    let is_like_a_code = line.chars().all(|c| c.is_ascii_graphic());
    Err(if is_like_a_code {
        LoginError::CodeAlone
    } else {
        LoginError::Pasted("this is no address")
    })
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;

    use super::*;

    #[test]
    fn an_answer_holds_what_a_browser_brings_and_an_error_is_printed_as_a_name() {
        let answer =
            Answer::of_query("code=a%2Fb&state=s&error=x&error=access_denied%1b[31m%0a&other=1");
        assert_eq!(answer.code.unwrap().expose_secret(), "a/b");
        assert_eq!(answer.state.as_deref(), Some("s"));
        assert_eq!(answer.error.as_deref(), Some("access_denied31m"));
        assert!(Answer::of_query("code=&state=s").code.is_none());
    }
}
