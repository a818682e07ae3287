//! Text of a server in messages of this program.

use secrecy::{ExposeSecret, SecretString};

/// Returns text of a server that may be printed: one line of bounded length, without `secret`,
/// which a server may echo, and without anything that looks like a secret.
pub(crate) fn quotable(words: &str, secret: &SecretString) -> String {
    /// Zoom's longest message names six scopes in 330 characters.
    const MAX_LENGTH: usize = 400;
    let secret = secret.expose_secret();
    let words = if secret.is_empty() { words.to_owned() } else { words.replace(secret, "…") };
    let plain = words.split_inclusive(|c| !is_of_token(c)).map(|word| {
        let end = word.trim_end_matches(|c| !is_of_token(c)).len();
        match word.split_at(end) {
            (token, rest) if is_like_token(token) => format!("…{rest}"),
            _ => word.to_owned(),
        }
    });
    plain
        .collect::<String>()
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .take(MAX_LENGTH)
        .collect()
}

/// Returns the message of a server in quotes and parentheses after a space, without its final
/// period; nothing if there is none.
pub(crate) fn in_parentheses(message: &str) -> String {
    let message = message.trim_end_matches('.');
    if message.is_empty() { String::new() } else { format!(" (\"{message}\")") }
}

/// Whether a token may contain the character (RFC 6750, 2.1), or its encoded form in a query.
fn is_of_token(c: char) -> bool {
    c.is_ascii_alphanumeric() || "-._~+/=%".contains(c)
}

/// Whether a word looks like a credential: a server may echo an earlier one, or another form of it.
/// Names of scopes and fields are as long, but have no digits.
fn is_like_token(word: &str) -> bool {
    const MIN_LENGTH: usize = 20;
    word.len() >= MIN_LENGTH && word.contains(|c: char| c.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_redacted() {
        let quoted = |words| quotable(words, &SecretString::from("other"));
        assert_eq!(
            quoted("bad token eyJzdiI6IjAwMDAwMSIsImFsZyI.x_y, try again"),
            "bad token …, try again"
        );
        let scopes = "does not contain scopes:[cloud_recording:read:list_user_recordings:admin]";
        assert_eq!(quoted(scopes), scopes);
        assert_eq!(
            quoted("see developers.zoom.us (code 300)"),
            "see developers.zoom.us (code 300)"
        );
    }
}
