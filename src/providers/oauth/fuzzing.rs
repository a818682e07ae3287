//! What the fuzz targets reach of this room: the file that is kept, what of a grant goes into it, and a question that a
//! browser answers.

use jiff::Timestamp;
use oauth2::CsrfToken;
use secrecy::SecretString;
use url::Url;

use super::kept::SignIn;
use super::{AuthorizationRequest, TokenGrant};

/// The bytes of a sign-in's file as they would be written again, unless it is damaged.
pub fn reread(bytes: &[u8]) -> Option<Vec<u8>> {
    SignIn::of_file(bytes)?.to_file().ok().map(|text| text.to_vec())
}

/// The bytes of the file that keeps a grant, where that is one that lasts.
pub(crate) fn kept(granted: &TokenGrant) -> Option<Vec<u8>> {
    SignIn::after(None, granted, Timestamp::UNIX_EPOCH)?.to_file().ok().map(|text| text.to_vec())
}

/// The question that is answered with this `state`.
pub fn consent(state: &str) -> Option<AuthorizationRequest> {
    let address = Url::parse("https://zoom.us/oauth/authorize").ok()?;
    let (redirect, state) = ("http://127.0.0.1:8976/".to_owned(), CsrfToken::new(state.to_owned()));
    Some(AuthorizationRequest {
        address,
        redirect,
        state,
        verifier: SecretString::from("v3rifier"),
    })
}
