//! Probes: single requests that show what a URL returns. A probe follows no redirect and downloads
//! no file.

use std::time::{Duration, SystemTime};

use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, LOCATION, RANGE};
use secrecy::{ExposeSecret, SecretString};
use tokio::time::Instant;

use super::client::{Client, sensitive_header};
use super::connection_pool::TrafficClass;
use super::error::{HttpError, origin};
use super::header_url::single_url;
use super::headers::first_value;
use super::request_counters::Operation;
use super::retry;
use crate::model::SecretUrl;

/// Maximum number of bytes that are read from a body. The error objects and pages that are
/// recognized by their text have less than one KiB. Without this limit, a server that ignores the
/// range would send a whole video.
const MAX_BODY_START: usize = 4096;

/// The head of a reply and the first bytes of its body.
#[derive(Debug)]
pub struct ProbeReply {
    pub status: u16,
    /// The `Location` header, in ASCII. It may be a relative URL, and it may be a credential.
    /// `None` if the reply has no such header, or several different ones.
    pub location: Option<SecretString>,
    /// The media type in lower case, without parameters; empty if the reply does not state one.
    pub media_type: String,
    /// The delay in the `Retry-After` header.
    pub retry_after: Option<Duration>,
    /// The first bytes of the body: up to 4 KiB, or fewer if the body broke off or stalled.
    pub body_start: Vec<u8>,
}

/// Requests the first `bytes` bytes at `url` with a single request.
///
/// The method is `GET` and not `HEAD`, because it is not known whether download URLs support
/// `HEAD`.
///
/// # Errors
/// [`HttpError::Unreachable`], [`HttpError::TimedOut`], [`HttpError::Down`] or
/// [`HttpError::InvalidCredential`].
pub async fn probe(
    client: &Client,
    url: &SecretUrl,
    authorization: Option<&SecretString>,
    bytes: u64,
    timeout: Duration,
) -> Result<ProbeReply, HttpError> {
    let deadline = Instant::now() + timeout;
    let create_request = || {
        let range = format!("bytes=0-{}", bytes.saturating_sub(1));
        let request = client.get(url).header(RANGE, range);
        match authorization {
            Some(value) => {
                Ok(request.header(AUTHORIZATION, sensitive_header(value.expose_secret())?))
            }
            None => Ok(request),
        }
    };
    client.check_breaker_with(url, create_request()?).await?;
    let _permit =
        tokio::time::timeout_at(deadline, client.connection_permit(url, TrafficClass::Brief, None))
            .await
            .map_err(|_elapsed| HttpError::TimedOut { host: origin(url), timeout })?;
    let remaining_time = deadline.saturating_duration_since(Instant::now());
    let mut response = client
        .send(create_request()?, url, remaining_time, Operation::Probe)
        .await
        .map_err(|error| error.into_http_error(url, timeout))?;
    let mut body_start = Vec::new();
    // Only the head of the reply is required. A body that breaks off or stalls is not an error.
    while body_start.len() < MAX_BODY_START
        && let Ok(Ok(Some(chunk))) = tokio::time::timeout_at(deadline, response.chunk()).await
    {
        body_start.extend_from_slice(&chunk);
    }
    body_start.truncate(MAX_BODY_START);
    let headers = response.headers();
    Ok(ProbeReply {
        status: response.status().as_u16(),
        location: single_url(headers, &LOCATION).map(SecretString::from),
        media_type: media_type(first_value(headers, &CONTENT_TYPE).unwrap_or_default()),
        retry_after: retry::retry_after(headers, SystemTime::now()),
        body_start,
    })
}

pub(super) fn media_type(content_type: &str) -> String {
    content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn media_type_has_no_parameters() {
        assert_eq!(media_type("Text/HTML; charset=utf-8"), "text/html");
        assert_eq!(media_type(" video/mp4 "), "video/mp4");
        assert_eq!(media_type(""), "");
    }
}
