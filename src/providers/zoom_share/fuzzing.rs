//! What the fuzz targets reach of this room: first replies of download hosts, and the addresses they lead to.

use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};
use url::Url;

use super::answer::{Answer, judge};
use super::{ZOOM_HOSTS, signed, walk};
use crate::http::{AllowedHosts, ProbeReply};
use crate::model::{BodyKind, SecretUrl};

/// What a reply means: the next address, if it leads to one that may be asked, or what there is to say.
pub fn judged(
    at: &Url,
    glance: &ProbeReply,
    body: BodyKind,
    secret: &SecretString,
) -> Result<SecretUrl, String> {
    match judge(glance, body, secret) {
        Answer::Redirect(location) => {
            let next = at.join(location.expose_secret()).map_err(|error| error.to_string())?;
            let next =
                AllowedHosts::new(ZOOM_HOSTS, at).check(next).map_err(|error| error.to_string())?;
            Ok(walk::without_token(&next))
        }
        Answer::Serves => Err("serves".into()),
        Answer::Unauthorised => Err("unauthorised".into()),
        Answer::TokenRefused(why) | Answer::Refused(why) | Answer::Gone(why) => Err(why),
    }
}

/// Whether a body is an error object.
pub fn is_error_object(body: &[u8]) -> bool {
    super::error_object::is_error_object(body)
}

/// When a signed address ends.
pub fn ends(url: &Url, now: Timestamp) -> Option<Timestamp> {
    signed::is_signed(url).then(|| signed::ends(url, now)).flatten()
}
