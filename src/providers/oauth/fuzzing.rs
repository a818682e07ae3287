//! Entry points for the fuzz targets: parsing a sign-in file, storing a grant, and creating an
//! authorization request.

use jiff::Timestamp;
use oauth2::CsrfToken;
use secrecy::SecretString;
use url::Url;

use super::sign_in_store::SignIn;
use super::{AuthorizationRequest, TokenGrant};

/// Parses a sign-in file and serializes it again. Returns `None` if the file is damaged.
pub fn round_trip(bytes: &[u8]) -> Option<Vec<u8>> {
    SignIn::parse(bytes)?.serialize_to_json().ok().map(|text| text.to_vec())
}

/// Returns the content of the sign-in file that stores `grant`. Returns `None` if the grant has no
/// refresh token.
pub(crate) fn file_content_for(grant: &TokenGrant) -> Option<Vec<u8>> {
    SignIn::from_grant(None, grant, Timestamp::UNIX_EPOCH)?
        .serialize_to_json()
        .ok()
        .map(|text| text.to_vec())
}

/// Returns an authorization request with the given `state`.
pub fn authorization_request(state: &str) -> Option<AuthorizationRequest> {
    let url = Url::parse("https://zoom.us/oauth/authorize").ok()?;
    let (redirect, state) = ("http://127.0.0.1:8976/".to_owned(), CsrfToken::new(state.to_owned()));
    Some(AuthorizationRequest { url, redirect, state, verifier: SecretString::from("v3rifier") })
}
