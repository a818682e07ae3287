//! Error codes that Zoom's API and its download hosts share.

/// Errors in the registration or authorization of the app. A renewed token does not help ("OAuth
/// error messages" in Zoom's documentation).
pub(crate) const APP_CODES: [i64; 13] =
    [4700, 4702, 4704, 4705, 4706, 4709, 4717, 4733, 4734, 4735, 4737, 4738, 4740];

/// The token is invalid or has expired.
pub(crate) const TOKEN: i64 = 124;

/// The authorization was replaced by a newer one, which a renewed token belongs to.
pub(crate) const REPLACED: i64 = 4741;

/// Scopes are missing.
pub(crate) const SCOPES: i64 = 4711;

/// Whether another token may be accepted after a reply with this status and code.
pub(crate) fn is_token_error(status: u16, code: Option<i64>) -> bool {
    match code {
        Some(TOKEN | REPLACED) => true,
        Some(code) => status == 401 && !APP_CODES.contains(&code) && code != SCOPES,
        None => status == 401,
    }
}
