//! Functions for the fuzz targets: the file of a sign-in, the effect of a grant on it, and an
//! authorization request.

use jiff::Timestamp;
use oauth2::CsrfToken;
use secrecy::SecretString;
use url::Url;

use super::sign_in_store::SignIn;
use super::{AuthorizationRequest, TokenGrant};

/// Parses the file of a sign-in and returns the bytes that would be written for it. Returns `None`
/// if the file is damaged.
pub fn reread(bytes: &[u8]) -> Option<Vec<u8>> {
    SignIn::from_file(bytes)?.to_file().ok().map(|text| text.to_vec())
}

/// Returns the bytes of the file in which `grant` is stored. Returns `None` if it has no refresh
/// token.
pub(crate) fn stored(grant: &TokenGrant) -> Option<Vec<u8>> {
    SignIn::from_grant(None, grant, Timestamp::UNIX_EPOCH)?.to_file().ok().map(|text| text.to_vec())
}

/// Returns an authorization request with the given `state`.
pub fn authorization_request(state: &str) -> Option<AuthorizationRequest> {
    let url = Url::parse("https://zoom.us/oauth/authorize").ok()?;
    let (redirect, state) = ("http://127.0.0.1:8976/".to_owned(), CsrfToken::new(state.to_owned()));
    Some(AuthorizationRequest { url, redirect, state, verifier: SecretString::from("v3rifier") })
}
