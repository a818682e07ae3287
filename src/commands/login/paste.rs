//! Reads the redirect URL from standard input, for a browser on another machine.

use std::io::{BufRead, IsTerminal, Read};

use secrecy::SecretString;
use secrecy::zeroize::Zeroizing;

use super::error::LoginError;
use super::redirect::Redirect;
use crate::commands::output::print_to_stderr;
use crate::model::SourceName;
use crate::providers::AuthorizationRequest;

/// Limit on the length of the line in bytes. URLs in browsers are far shorter.
const MAX_LINE_LENGTH: u64 = 16 * 1024;

/// Reads a line: the URL, or its query.
pub(crate) async fn read_code(
    consent: &AuthorizationRequest,
    source: &SourceName,
) -> Result<SecretString, LoginError> {
    if std::io::stdin().is_terminal() {
        print_to_stderr(format_args!(
            "Then paste the whole URL that the browser shows and press Enter:"
        ));
    }
    let read = tokio::task::spawn_blocking(|| {
        let mut line = Zeroizing::new(Vec::new());
        std::io::stdin().lock().take(MAX_LINE_LENGTH).read_until(b'\n', &mut line).map(|_| line)
    });
    let line = match read.await {
        Ok(Ok(line)) => line,
        Ok(Err(source)) => {
            return Err(LoginError::System { action: "read standard input", source });
        }
        Err(_) => return Err(LoginError::Pasted("nothing was read")),
    };
    if line.len() as u64 == MAX_LINE_LENGTH {
        return Err(LoginError::Pasted("the pasted line is too long for a URL"));
    }
    let line = std::str::from_utf8(&line)
        .map_err(|_| LoginError::Pasted("the pasted line is not text"))?;
    parse_line(line.trim(), consent, source)
}

/// Returns the code in a URL that belongs to `consent`.
///
/// A code alone is rejected. An attacker who makes a user paste the attacker's code would sign the
/// user in to another account; the verifier of this sign-in prevents that only if the service
/// checks it (RFC 9700, 2.1.1 and 4.7.1). If a page shows nothing but a code, the user can write it
/// as the query of the URL, with the state of the URL that was printed.
pub(crate) fn parse_line(
    line: &str,
    consent: &AuthorizationRequest,
    source: &SourceName,
) -> Result<SecretString, LoginError> {
    if line.is_empty() {
        return Err(LoginError::Pasted("nothing was pasted"));
    }
    // Browsers hide the start of a URL, and users paste what they see.
    let query = match line.split_once('?') {
        Some((_, query)) => Some(query),
        None => (line.contains("://") || line.contains('&')).then_some(line),
    };
    if let Some(query) = query {
        let query = query.split('#').next().unwrap_or_default();
        return Redirect::parse_query(query)
            .code(consent, source)?
            .ok_or(LoginError::Pasted("the pasted URL does not belong to this sign-in"));
    }
    let resembles_code = line.chars().all(|c| c.is_ascii_graphic());
    Err(if resembles_code {
        LoginError::CodeAlone
    } else {
        LoginError::Pasted("the pasted line is not a URL")
    })
}
