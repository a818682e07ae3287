//! Reads the redirect URL from standard input, for a browser on another machine.

use std::io::{BufRead, IsTerminal, Read};

use secrecy::SecretString;
use secrecy::zeroize::Zeroizing;

use super::error::LoginError;
use super::redirect::Redirect;
use crate::commands::output::print_to_stderr;
use crate::model::SourceName;
use crate::providers::AuthorizationRequest;

/// Maximum length of the line in bytes. URLs in browsers are far shorter.
const MAX_LINE_LENGTH: u64 = 16 * 1024;

/// Reads the redirect URL, or its query, from one line of standard input.
pub(crate) async fn read_code(
    authorization_request: &AuthorizationRequest,
    source: &SourceName,
) -> Result<SecretString, LoginError> {
    if std::io::stdin().is_terminal() {
        print_to_stderr(format_args!(
            "Then paste the whole URL that the browser shows and press Enter:"
        ));
    }
    let task = tokio::task::spawn_blocking(|| {
        let mut line = Zeroizing::new(Vec::new());
        std::io::stdin().lock().take(MAX_LINE_LENGTH).read_until(b'\n', &mut line).map(|_| line)
    });
    let line = match task.await {
        Ok(Ok(line)) => line,
        Ok(Err(source)) => {
            return Err(LoginError::System { action: "read standard input", source });
        }
        Err(_) => return Err(LoginError::InvalidPaste("nothing was read")),
    };
    if line.len() as u64 == MAX_LINE_LENGTH {
        return Err(LoginError::InvalidPaste("the pasted line is too long for a URL"));
    }
    let line = std::str::from_utf8(&line)
        .map_err(|_| LoginError::InvalidPaste("the pasted line is not text"))?;
    parse_line(line.trim(), authorization_request, source)
}

/// Returns the code in a URL that answers `authorization_request`.
///
/// A code without a state is rejected. Otherwise, an attacker could make the user paste a code of
/// the attacker, which would sign the user in to the account of the attacker. The code verifier
/// (PKCE) prevents this only if the service checks it (RFC 9700, sections 2.1.1 and 4.7.1). If a
/// page shows only a code, the user can paste `code=CODE&state=STATE`, with the state of the
/// printed URL.
pub(crate) fn parse_line(
    line: &str,
    authorization_request: &AuthorizationRequest,
    source: &SourceName,
) -> Result<SecretString, LoginError> {
    if line.is_empty() {
        return Err(LoginError::InvalidPaste("nothing was pasted"));
    }
    // Browsers hide the start of a URL, and users paste what they see.
    let query = match line.split_once('?') {
        Some((_, query)) => Some(query),
        None => (line.contains("://") || line.contains('&')).then_some(line),
    };
    if let Some(query) = query {
        let query = query.split('#').next().unwrap_or_default();
        return Redirect::parse_query(query)
            .code(authorization_request, source)?
            .ok_or(LoginError::InvalidPaste("the pasted URL does not belong to this sign-in"));
    }
    let resembles_code = line.chars().all(|c| c.is_ascii_graphic());
    Err(if resembles_code {
        LoginError::CodeWithoutState
    } else {
        LoginError::InvalidPaste("the pasted line is not a URL")
    })
}
