//! Checks of one source: its endpoints, the clock, the credential, a listing, and a byte of a
//! recording.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};

use super::check::{Check, Report, Verdict};
use super::scopes;
use crate::daemon::archive::Archive;
use crate::daemon::source::Source;
use crate::http::{ApiRequest, Client, FetchError, HttpError, Priority};
use crate::model::{Availability, DaySpan, Meeting, RecordingFile, SecretUrl};
use crate::providers::ProviderError;

/// Timeout for the connection to an endpoint.
const ENDPOINT_TIMEOUT: Duration = Duration::from_secs(15);

/// Timeout for the listing of the last days.
const LISTING_TIMEOUT: Duration = Duration::from_secs(60);

/// How far back to look for a recording.
const LISTED_DAYS: i32 = 29;

/// Limit on the offset of the clock. Signed URLs expire to the second, and a wrong clock is a
/// common cause of a certificate that is "not yet valid".
const MAX_CLOCK_OFFSET: Duration = Duration::from_secs(30);

/// Suggestions for errors that have no hint.
const RETRIED_BY_MOUNT: &str = "A running mount retries automatically. If the error persists, see \
                                its log with --log-level debug.";
const CHECK_DOWNLOAD_PERMISSION: &str =
    "Check at the provider that this credential may download the recordings.";
const RUN_LATER: &str = "Run the command again in a few minutes. If the error persists, see the log \
                         of a mount with --log-level debug.";

pub(crate) async fn checks(archive: &Archive, report: &mut Report) {
    for (source, _) in archive.sources() {
        check_source(archive, source, report).await;
    }
}

async fn check_source(archive: &Archive, source: &Source, report: &mut Report) {
    let name = source.config.name.to_string();
    endpoints(archive.client(), source, report).await;
    scopes::checks(source).await.into_iter().for_each(|check| report.add(check));
    let today = TimeZone::UTC.to_datetime(Timestamp::now()).date();
    let from = today.checked_sub(LISTED_DAYS.days()).unwrap_or(today);
    let span = DaySpan { from, to: today };
    let listing = match tokio::time::timeout(LISTING_TIMEOUT, source.provider.list(span)).await {
        Ok(listing) => listing,
        Err(_) => Err(ProviderError::unavailable(format!(
            "no answer within {} s",
            LISTING_TIMEOUT.as_secs()
        ))),
    };
    let listing = match listing {
        Ok(listing) => listing,
        Err(error) => {
            let is_configuration = !error.is_transient();
            let check = Check::of_error(
                Verdict::Failure,
                format!("{name}, listing"),
                &error,
                RETRIED_BY_MOUNT,
            );
            report.add(if is_configuration { check.of_configuration() } else { check });
            return;
        }
    };
    let meetings = listing.meetings.len();
    let finding =
        format!("{meetings} meeting{} since {from}", if meetings == 1 { "" } else { "s" });
    report.add(match listing.failed.first() {
        None => Check::ok(format!("{name}, listing"), finding),
        Some((days, error)) => Check::of_error_with_context(
            Verdict::Warning,
            format!("{name}, listing"),
            &format!("{finding}, but the days {} to {} are incomplete: ", days.from, days.to),
            error,
            RETRIED_BY_MOUNT,
        ),
    });
    if let Some(check) = late_files(source, &listing.meetings).await {
        report.add(check);
    }
    let mut files: Vec<&RecordingFile> = listing
        .meetings
        .iter()
        .flat_map(|meeting| &meeting.files)
        .filter(|file| file.availability == Availability::Ready)
        .collect();
    files.sort_by_key(|file| (file.recording_start, file.id.clone()));
    let subject = format!("{name}, reading");
    let Some(newest) = files.last() else {
        report.add(Check::warning(
            subject,
            format!("the last {LISTED_DAYS} days have no recording to read from"),
            "Run the command again when there is one.",
        ));
        return;
    };
    report.add(match archive.engine.find_size(&newest.id, newest.version, newest.body).await {
        Ok(size) => Check::ok(subject, format!("read one byte of a file of {size} bytes")),
        Err(error @ FetchError::NotAllowed(_)) => {
            Check::of_error(Verdict::Failure, subject, &error, CHECK_DOWNLOAD_PERMISSION)
                .of_configuration()
        }
        Err(error) => Check::of_error(Verdict::Failure, subject, &error, RUN_LATER),
    });
}

/// Requests the late files of the newest meeting. Returns `None` if that succeeds.
async fn late_files(source: &Source, meetings: &[Meeting]) -> Option<Check> {
    let newest = meetings.iter().max_by_key(|meeting| (meeting.start, &meeting.id))?.clone();
    let newest = [Arc::new(newest)];
    let lookup = tokio::time::timeout(LISTING_TIMEOUT, source.provider.late_files(&newest)).await;
    let error = lookup.ok()?.failed?;
    let subject = format!("{}, transcripts", source.config.name);
    Some(Check::of_error_with_context(
        Verdict::Warning,
        subject,
        "late transcripts are missing: ",
        &error,
        RETRIED_BY_MOUNT,
    ))
}

/// Checks that the endpoints of the source can be reached over DNS and TLS, and compares clocks.
async fn endpoints(client: &Client, source: &Source, report: &mut Report) {
    for url in &source.provider.descriptor().base_urls {
        let subject = format!("{}, {}", source.config.name, url.host_str().unwrap_or("?"));
        let request = ApiRequest {
            // Requests the root instead of the path: only the connection matters here.
            url: SecretUrl::new(url.join("/").unwrap_or_else(|_| url.clone())),
            authorization: None,
            form: None,
            timeout: ENDPOINT_TIMEOUT,
            rate_limiter: None,
            priority: Priority::Background,
        };
        let date = match client.call(&request).await {
            Ok(reply) => {
                reply.headers.get("date").and_then(|date| date.to_str().ok()).map(str::to_owned)
            }
            // Any response shows that the endpoint can be reached.
            Err(
                HttpError::ServerError { .. }
                | HttpError::RateLimited { .. }
                | HttpError::TooLarge { .. },
            ) => None,
            Err(error) => {
                let fix = "Check the network and the URL. A proxy is taken from HTTPS_PROXY; the \
                           system must trust its certificate.";
                report.add(Check::of_error(Verdict::Failure, subject, &error, fix));
                continue;
            }
        };
        let offset = date.and_then(|date| clock_offset(&date, SystemTime::now()));
        report.add(match offset {
            Some(offset) if offset > MAX_CLOCK_OFFSET => Check::warning(
                subject,
                format!("reachable, but the clock of this system is {} s off", offset.as_secs()),
                "Set the clock with `timedatectl set-ntp true`.",
            ),
            _ => Check::ok(subject, "reachable"),
        });
    }
}

/// Returns the offset of the clock from the `Date` header of a server.
pub(crate) fn clock_offset(date: &str, now: SystemTime) -> Option<Duration> {
    let then = httpdate::parse_http_date(date).ok()?;
    Some(now.duration_since(then).unwrap_or_else(|ahead| ahead.duration()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clock_offset_is_absolute() {
        let now = httpdate::parse_http_date("Tue, 06 Oct 2026 07:00:30 GMT").unwrap();
        let off = |date| clock_offset(date, now).map(|offset| offset.as_secs());
        assert_eq!(off("Tue, 06 Oct 2026 07:00:00 GMT"), Some(30));
        assert_eq!(off("Tue, 06 Oct 2026 07:01:30 GMT"), Some(60));
        assert_eq!(off("yesterday"), None);
    }
}
