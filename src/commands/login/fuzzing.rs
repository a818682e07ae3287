//! What the fuzz targets reach of this room: what a browser or a person brings, as an answer to one question.

use secrecy::{ExposeSecret, SecretString};

use super::pasted::{Answer, of_line};
use crate::model::SourceName;
use crate::providers::oauth_fuzzing::consent;

/// The code in the query of an address that a browser comes to; an error's text where permission was refused.
pub fn browsed(
    source: &SourceName,
    state: &str,
    query: &str,
) -> Result<Option<SecretString>, String> {
    let Some(consent) = consent(state) else { return Ok(None) };
    Answer::of_query(query).code(&consent, source).map_err(|error| error.to_string())
}

/// The code in a line that somebody pastes, or the text of what is wrong with it.
pub fn pasted(source: &SourceName, state: &str, line: &str) -> Result<String, String> {
    let Some(consent) = consent(state) else { return Err("no question".into()) };
    let code = of_line(line.trim(), &consent, source).map_err(|error| error.to_string())?;
    Ok(code.expose_secret().to_owned())
}
