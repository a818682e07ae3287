//! Functions for the fuzz targets: redirects from a browser or a user, for one sign-in.

use secrecy::{ExposeSecret, SecretString};

use super::paste::parse_line;
use super::redirect::Redirect;
use crate::model::SourceName;
use crate::providers::oauth_fuzzing::authorization_request;

/// Returns the code in the query of a redirect, or the error message if permission was refused.
pub fn code_in_query(
    source: &SourceName,
    state: &str,
    query: &str,
) -> Result<Option<SecretString>, String> {
    let Some(request) = authorization_request(state) else { return Ok(None) };
    Redirect::parse_query(query).code(&request, source).map_err(|error| error.to_string())
}

/// Returns the code in a pasted line, or the error message.
pub fn code_in_pasted_line(source: &SourceName, state: &str, line: &str) -> Result<String, String> {
    let Some(request) = authorization_request(state) else { return Err("invalid state".into()) };
    let code = parse_line(line.trim(), &request, source).map_err(|error| error.to_string())?;
    Ok(code.expose_secret().to_owned())
}
