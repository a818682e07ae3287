//! Error codes that Zoom's API and its download hosts share.

/// The codes of errors in the registration or authorization of the app. A renewed token does not
/// resolve them ("OAuth error messages" in Zoom's documentation).
pub(crate) const APP_CODES: [i64; 13] =
    [4700, 4702, 4704, 4705, 4706, 4709, 4717, 4733, 4734, 4735, 4737, 4738, 4740];

/// The code of an invalid or expired token.
pub(crate) const INVALID_TOKEN: i64 = 124;

/// The code of a token whose authorization was replaced by a newer one. A renewed token belongs to
/// the newer authorization.
pub(crate) const REPLACED_AUTHORIZATION: i64 = 4741;

/// The code of a token that lacks scopes.
pub(crate) const MISSING_SCOPES: i64 = 4711;

/// Whether Zoom may accept another token after a reply with this status and code.
pub(crate) fn is_token_error(status: u16, code: Option<i64>) -> bool {
    match code {
        Some(INVALID_TOKEN | REPLACED_AUTHORIZATION) => true,
        Some(code) => status == 401 && !APP_CODES.contains(&code) && code != MISSING_SCOPES,
        None => status == 401,
    }
}
