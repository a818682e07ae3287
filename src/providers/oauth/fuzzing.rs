//! Functions for the fuzz targets: the file of a sign-in, what a grant adds to it, and an
//! authorization request.

use jiff::Timestamp;
use oauth2::CsrfToken;
use secrecy::SecretString;
use url::Url;

use super::sign_in_store::SignIn;
use super::{AuthorizationRequest, TokenGrant};

/// Returns the bytes of a sign-in's file as they would be written again, unless it is damaged.
pub fn reread(bytes: &[u8]) -> Option<Vec<u8>> {
    SignIn::from_file(bytes)?.to_file().ok().map(|text| text.to_vec())
}

/// Returns the bytes of the file that stores a grant, if it has a refresh token.
pub(crate) fn stored(grant: &TokenGrant) -> Option<Vec<u8>> {
    SignIn::after(None, grant, Timestamp::UNIX_EPOCH)?.to_file().ok().map(|text| text.to_vec())
}

/// Returns a request that is answered with `state`.
pub fn authorization_request(state: &str) -> Option<AuthorizationRequest> {
    let url = Url::parse("https://zoom.us/oauth/authorize").ok()?;
    let (redirect, state) = ("http://127.0.0.1:8976/".to_owned(), CsrfToken::new(state.to_owned()));
    Some(AuthorizationRequest { url, redirect, state, verifier: SecretString::from("v3rifier") })
}
