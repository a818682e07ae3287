//! Redirects from the browser and pasted text: a redirect that answers another sign-in is rejected,
//! and the error contains no code.

use meetfs::fuzzing::login;
use url::form_urlencoded;

use super::replies;

const STATE: &str = "st4te";

pub fn check(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let source = replies::source();
    let is_answer = |query: &str| {
        form_urlencoded::parse(query.as_bytes())
            .any(|(name, value)| name == "state" && value == STATE)
    };
    match login::code_in_query(&source, STATE, text) {
        Ok(None) => {}
        Ok(Some(_)) => assert!(is_answer(text), "{text}"),
        Err(message) => {
            assert!(is_answer(text), "{text}");
            assert_one_line(&message);
        }
    }
    match login::code_in_pasted_line(&source, STATE, text) {
        Ok(code) => {
            assert!(!code.is_empty());
            let is_of_query = |query: &str| is_answer(query.split('#').next().unwrap_or_default());
            assert!(
                text.trim()
                    .split_once('?')
                    .map_or(is_of_query(text.trim()), |(_, query)| is_of_query(query))
            );
        }
        Err(message) => assert_one_line(&message),
    }
}

/// Fails unless the message is one line of bounded length.
fn assert_one_line(message: &str) {
    assert!(
        !message.is_empty() && !message.contains(char::is_control) && message.len() < 500,
        "{message:?}"
    );
}
