//! Functions for the fuzz targets. They read the first reply of a download host and the expiry of a
//! signed URL.

use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};
use url::Url;

use super::hosts::ZOOM_HOSTS;
use super::probe_verdict::ProbeVerdict;
use super::{resolver, signed_url};
use crate::http::{AllowedHosts, ProbeReply};
use crate::model::{BodyKind, SecretUrl};

/// Returns the target of a redirect to an allowed host, or an error message for any other reply.
pub fn next_url(
    url: &Url,
    reply: &ProbeReply,
    body: BodyKind,
    secret: &SecretString,
) -> Result<SecretUrl, String> {
    match ProbeVerdict::of(reply, &url.origin().ascii_serialization(), body, secret) {
        ProbeVerdict::Redirect(location) => {
            let next = resolver::redirect_target(url, location.expose_secret());
            let next = next.ok_or("the target of the redirect is not a URL")?;
            let next = AllowedHosts::new(ZOOM_HOSTS, url)
                .check(next)
                .map_err(|error| error.to_string())?;
            Ok(resolver::without_token(&next))
        }
        ProbeVerdict::ServesFile => Err("serves".into()),
        ProbeVerdict::Unauthorized => Err("unauthorized".into()),
        ProbeVerdict::TokenRefused(message)
        | ProbeVerdict::Refused(message)
        | ProbeVerdict::NotFound(message)
        | ProbeVerdict::InvalidRedirect(message) => Err(message),
    }
}

/// Whether a body is an error object.
pub fn is_error_object(body: &[u8]) -> bool {
    super::error_object::is_error_object(body)
}

/// Returns the expiry of a signed URL.
pub fn url_expiry(url: &Url, now: Timestamp) -> Option<Timestamp> {
    signed_url::is_signed(url).then(|| signed_url::expires_at(url, now)).flatten()
}
