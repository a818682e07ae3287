//! Words of a server in our own messages.

use secrecy::{ExposeSecret, SecretString};

/// Words of a server as they may be printed: on one line, of bounded length, without the secret they may echo,
/// nor anything else that looks like one.
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

/// Whether a token may hold it (RFC 6750, 2.1), or its form in a query.
fn is_of_token(c: char) -> bool {
    c.is_ascii_alphanumeric() || "-._~+/=%".contains(c)
}

/// A server may echo a credential that it was shown earlier, or in another form. Names of scopes and fields are as
/// long, and have no digits.
fn is_like_token(word: &str) -> bool {
    const SHORTEST: usize = 20;
    word.len() >= SHORTEST && word.contains(|c: char| c.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_looks_like_a_token_is_not_repeated_and_the_words_around_it_are() {
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
