//! Redacts text of a server for use in messages.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use secrecy::{ExposeSecret, SecretString};

use crate::model::is_printable;

/// Minimum length of a part of a secret that is redacted. A shorter part is of no use to an
/// attacker and may occur in common words.
const MIN_PART_LENGTH: usize = 8;

/// Returns text of a server in a form that can be printed: one line of limited length, without
/// `secret` or anything else that looks like a secret. A server may repeat the secret, encoded or
/// in part.
pub(crate) fn redact(text: &str, secret: &SecretString) -> String {
    /// Maximum length of the result. Zoom's longest message lists six scopes in 330 characters.
    const MAX_LENGTH: usize = 400;
    /// Maximum number of examined characters. Redaction shortens the text.
    const MAX_EXAMINED: usize = 8 * MAX_LENGTH;
    let secret = secret.expose_secret();
    // Remove invisible characters first. A secret with an invisible character in its middle can
    // still be read.
    let mut text: String = text
        .chars()
        .map(|c| if c.is_whitespace() { ' ' } else { c })
        .filter(|c| is_visible(*c))
        .take(MAX_EXAMINED)
        .collect();
    let encoded_secrets = [
        secret.to_owned(),
        utf8_percent_encode(secret, NON_ALPHANUMERIC).to_string(),
        STANDARD_NO_PAD.encode(secret),
        URL_SAFE_NO_PAD.encode(secret),
    ];
    for form in encoded_secrets.iter().filter(|form| !form.is_empty()) {
        text = replace_secret(&text, form);
    }
    let redacted_words = text.split_inclusive(|c| !is_token_char(c)).map(|word| {
        let end = word.trim_end_matches(|c| !is_token_char(c)).len();
        match word.split_at(end) {
            (token, suffix)
                if looks_like_token(token) || contains_part_of(token, &encoded_secrets) =>
            {
                format!("…{suffix}")
            }
            _ => word.to_owned(),
        }
    });
    redacted_words.collect::<String>().chars().take(MAX_LENGTH).collect()
}

fn is_visible(c: char) -> bool {
    let is_zero_width = matches!(
        c,
        '\u{ad}' | '\u{180e}' | '\u{200b}'..='\u{200d}' | '\u{2060}'..='\u{2064}' | '\u{feff}'
    );
    is_printable(c) && !is_zero_width
}

/// Replaces a secret with an ellipsis, ignoring the case of letters.
fn replace_secret(text: &str, secret: &str) -> String {
    // The conversion to lower case does not change the length in bytes.
    let (lowercase, secret) = (text.to_ascii_lowercase(), secret.to_ascii_lowercase());
    let mut copied_length = 0;
    let mut redacted_text = String::with_capacity(text.len());
    for (index, _) in lowercase.match_indices(&secret) {
        redacted_text.push_str(text.get(copied_length..index).unwrap_or_default());
        redacted_text.push('…');
        copied_length = index + secret.len();
    }
    redacted_text.push_str(text.get(copied_length..).unwrap_or_default());
    redacted_text
}

/// Whether a word contains a part of a secret.
fn contains_part_of(word: &str, secrets: &[String]) -> bool {
    word.as_bytes().windows(MIN_PART_LENGTH).any(|part| {
        secrets.iter().any(|secret| {
            secret
                .as_bytes()
                .windows(MIN_PART_LENGTH)
                .any(|secret_part| secret_part.eq_ignore_ascii_case(part))
        })
    })
}

/// Returns a space, followed by the message of a server in quotes and parentheses, without its
/// final period. Returns an empty string if the message is empty.
pub(crate) fn quote_in_parentheses(message: &str) -> String {
    let message = message.trim_end_matches('.');
    if message.is_empty() { String::new() } else { format!(" (\"{message}\")") }
}

/// Whether a token (RFC 6750, 2.1) or its percent-encoded form may contain the character.
fn is_token_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || "-._~+/=%".contains(c)
}

/// Whether a word looks like a credential. A server may echo an earlier credential or another form
/// of it. Names of scopes and fields can be as long, but do not contain digits.
fn looks_like_token(word: &str) -> bool {
    const MIN_LENGTH: usize = 20;
    word.len() >= MIN_LENGTH && word.contains(|c: char| c.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn echoed_secret_is_redacted_in_every_form() {
        let secret = SecretString::from("Correct-horse/battery");
        for echo in [
            "Correct-horse/battery",
            "correct-horse/BATTERY",
            "Correct%2Dhorse%2Fbattery",
            "Q29ycmVjdC1ob3JzZS9iYXR0ZXJ5",
            "Correct-horse/…",
            "Correct\u{200b}-horse\u{202e}/battery",
            "x=Correct-horse/battery&y",
        ] {
            let message = redact(&format!("the token {echo} is wrong"), &secret);
            let lowercase = message.to_lowercase();
            assert!(!lowercase.contains("correct") && !lowercase.contains("q29y"), "{message}");
            assert!(
                message.starts_with("the token ") && message.ends_with(" is wrong"),
                "{message}"
            );
        }
        let message = redact("wrong:\u{1b}[31m\u{202e}\u{e0041}password\nagain", &secret);
        assert_eq!(message, "wrong:[31mpassword again");
    }

    #[test]
    fn tokens_are_redacted() {
        let redact_text = |text| redact(text, &SecretString::from("other"));
        assert_eq!(
            redact_text("bad token eyJzdiI6IjAwMDAwMSIsImFsZyI.x_y, try again"),
            "bad token …, try again"
        );
        let scopes = "does not contain scopes:[cloud_recording:read:list_user_recordings:admin]";
        assert_eq!(redact_text(scopes), scopes);
        assert_eq!(
            redact_text("see developers.zoom.us (code 300)"),
            "see developers.zoom.us (code 300)"
        );
    }
}
