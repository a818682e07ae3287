//! Zoom's error codes that its interface and its download hosts share.

/// Mistakes in the app's registration or its authorisation, that no renewed token mends ("OAuth error messages" in
/// Zoom's documentation says what each means).
pub(super) const APP_CODES: [i64; 13] =
    [4700, 4702, 4704, 4705, 4706, 4709, 4717, 4733, 4734, 4735, 4737, 4738, 4740];

/// The token is invalid or has expired.
pub(super) const TOKEN: i64 = 124;

/// The authorisation was replaced by a newer one; a renewed token belongs to that.
pub(super) const REPLACED: i64 = 4741;

/// Scopes are missing.
pub(super) const SCOPES: i64 = 4711;

/// Whether another token may be taken where this one was answered by `code` under the HTTP status.
pub(super) fn is_of_token(status: u16, code: Option<i64>) -> bool {
    match code {
        Some(TOKEN | REPLACED) => true,
        Some(code) => status == 401 && !APP_CODES.contains(&code) && code != SCOPES,
        None => status == 401,
    }
}
