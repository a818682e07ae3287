//! What a browser brings back and what a person pastes: nobody is signed in with an address that answers another
//! question, and what is said of it has no code in it.

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
    match login::browsed(&source, STATE, text) {
        Ok(None) => {}
        Ok(Some(_)) => assert!(is_answer(text), "{text}"),
        Err(said) => {
            assert!(is_answer(text), "{text}");
            is_plain(&said);
        }
    }
    match login::pasted(&source, STATE, text) {
        Ok(code) => {
            assert!(!code.is_empty());
            let is_of_query = |query: &str| is_answer(query.split('#').next().unwrap_or_default());
            assert!(
                text.trim()
                    .split_once('?')
                    .map_or(is_of_query(text.trim()), |(_, query)| is_of_query(query))
            );
        }
        Err(said) => is_plain(&said),
    }
}

/// One line, of bounded length.
fn is_plain(said: &str) {
    assert!(!said.is_empty() && !said.contains(char::is_control) && said.len() < 500, "{said:?}");
}
