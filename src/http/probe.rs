//! One look at what an address answers: no redirect followed, no body fetched.

use std::time::{Duration, SystemTime};

use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, LOCATION, RANGE};
use secrecy::{ExposeSecret, SecretString};
use tokio::time::Instant;

use super::client::{Client, sensitive};
use super::connection_pool::TrafficClass;
use super::error::{HttpError, origin};
use super::retry;
use crate::model::SecretUrl;

/// How much of a body is looked at. The error objects and pages that are told apart by their text are below one
/// KiB; a server that ignores the range would send a film.
const BEGINNING: usize = 4096;

/// The head of a reply, and the beginning of its body.
#[derive(Debug)]
pub struct ProbeReply {
    /// The HTTP status.
    pub status: u16,
    /// The `Location` header as it came: perhaps relative, perhaps a credential.
    pub location: Option<SecretString>,
    /// The media type in lower case without parameters; empty where there is none.
    pub media_type: String,
    /// The wait that `Retry-After` asks for.
    pub retry_after: Option<Duration>,
    /// The body's first bytes, at most 4 KiB; fewer where it broke off or stood still.
    pub beginning: Vec<u8>,
}

impl Client {
    /// Asks once for the first `bytes` of what is at `address`, within the time given.
    ///
    /// `GET` and not `HEAD`, for links that are made for downloads are not known to answer `HEAD`.
    ///
    /// # Errors
    /// [`HttpError::Unreachable`], [`HttpError::TimedOut`], [`HttpError::Down`], or [`HttpError::Setup`] for a credential that no
    /// header may hold.
    pub async fn probe(
        &self,
        address: &SecretUrl,
        authorization: Option<&SecretString>,
        bytes: u64,
        within: Duration,
    ) -> Result<ProbeReply, HttpError> {
        let deadline = Instant::now() + within;
        self.admit(address).await?;
        let too_slow = |_elapsed| HttpError::TimedOut { host: origin(address), after: within };
        let _place = tokio::time::timeout_at(deadline, self.place(address, TrafficClass::Brief))
            .await
            .map_err(too_slow)?;
        let mut request =
            self.get(address).header(RANGE, format!("bytes=0-{}", bytes.saturating_sub(1)));
        if let Some(value) = authorization {
            request = request.header(AUTHORIZATION, sensitive(value.expose_secret())?);
        }
        let asked = self.asked(address);
        let mut response = match tokio::time::timeout_at(deadline, request.send()).await {
            Ok(Ok(response)) => {
                asked.answered_with(response.status());
                response
            }
            failure => {
                asked.failed();
                failure
                    .map_err(too_slow)?
                    .map_err(|error| HttpError::from_transport(error, address, within))?
            }
        };
        let mut beginning = Vec::new();
        // The head has come and decides; a body that breaks off or stands still only says less.
        while beginning.len() < BEGINNING
            && let Ok(Ok(Some(piece))) = tokio::time::timeout_at(deadline, response.chunk()).await
        {
            beginning.extend_from_slice(&piece);
        }
        beginning.truncate(BEGINNING);
        let headers = response.headers();
        Ok(ProbeReply {
            status: response.status().as_u16(),
            location: text(headers, &LOCATION).map(SecretString::from),
            media_type: media_type(text(headers, &CONTENT_TYPE).unwrap_or_default()),
            retry_after: retry::retry_after(headers, SystemTime::now()),
            beginning,
        })
    }
}

fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name)?.to_str().ok().map(str::trim)
}

pub(super) fn media_type(content_type: &str) -> String {
    content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_media_type_is_read_without_its_parameters() {
        assert_eq!(media_type("Text/HTML; charset=utf-8"), "text/html");
        assert_eq!(media_type(" video/mp4 "), "video/mp4");
        assert_eq!(media_type(""), "");
    }
}
