//! Checks one source: its endpoints, the clock, the credential, the listing, and a read of one
//! byte.

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

/// Timeout for a request to an endpoint.
const ENDPOINT_TIMEOUT: Duration = Duration::from_secs(15);

/// Timeout for listing the last [`LISTED_DAYS`] days, and for the search for late files.
const LISTING_TIMEOUT: Duration = Duration::from_secs(60);

/// Number of days before today that are listed.
const LISTED_DAYS: i32 = 29;

/// Maximum tolerated offset of the clock. Signed URLs expire to the second, and with a wrong clock
/// a certificate can be rejected as "not yet valid".
const MAX_CLOCK_OFFSET: Duration = Duration::from_secs(30);

/// The fix for an error without a hint, if a running mount repeats the failed operation.
const MOUNT_RETRIES_FIX: &str = "A running mount retries automatically. If the error persists, \
                                mount with --log-level debug and see the log.";
const DOWNLOAD_PERMISSION_FIX: &str =
    "Check at the provider that this credential is allowed to download the recordings.";
const RUN_LATER_FIX: &str = "Run the command again in a few minutes. If the error persists, mount \
                         with --log-level debug and see the log.";

pub(crate) async fn run_checks(archive: &Archive, report: &mut Report) {
    for (source, _) in archive.sources() {
        check_source(archive, source, report).await;
    }
}

async fn check_source(archive: &Archive, source: &Source, report: &mut Report) {
    let name = source.config.name.to_string();
    if !check_endpoints(archive.client(), source, report).await {
        // The other checks would fail with the same error after several retries.
        return;
    }
    scopes::run_checks(source).await.into_iter().for_each(|check| report.add(check));
    let today = TimeZone::UTC.to_datetime(Timestamp::now()).date();
    let first_day = today.checked_sub(LISTED_DAYS.days()).unwrap_or(today);
    let span = DaySpan { from: first_day, to: today };
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
            let check = Check::from_error(
                Verdict::Failure,
                format!("{name}, listing"),
                &error,
                MOUNT_RETRIES_FIX,
            );
            report.add(if error.is_transient() { check } else { check.caused_by_configuration() });
            return;
        }
    };
    let count = listing.meetings.len();
    let finding = format!("{count} meeting{} since {first_day}", if count == 1 { "" } else { "s" });
    for error in listing.refused_users.iter().flat_map(|users| &users.errors) {
        report.add(Check::from_error(
            Verdict::Warning,
            format!("{name}, users"),
            error,
            MOUNT_RETRIES_FIX,
        ));
    }
    report.add(match listing.failed.first() {
        None => Check::ok(format!("{name}, listing"), finding),
        Some((days, error)) => Check::from_error_with_context(
            Verdict::Warning,
            format!("{name}, listing"),
            &format!("{finding}, but the days {} to {} are incomplete: ", days.from, days.to),
            error,
            MOUNT_RETRIES_FIX,
        ),
    });
    if let Some(check) = check_late_files(source, &listing.meetings).await {
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
    let Some(newest_file) = files.last() else {
        report.add(Check::warning(
            subject,
            format!("no recording from the last {LISTED_DAYS} days is available"),
            "Run the command again when there is a recording.",
        ));
        return;
    };
    let size =
        archive.engine.find_size(&newest_file.id, newest_file.version, newest_file.body).await;
    report.add(match size {
        Ok(size) => Check::ok(subject, format!("read one byte of a file of {size} bytes")),
        Err(error @ FetchError::NotAllowed(_)) => {
            Check::from_error(Verdict::Failure, subject, &error, DOWNLOAD_PERMISSION_FIX)
                .caused_by_configuration()
        }
        Err(error) => Check::from_error(Verdict::Failure, subject, &error, RUN_LATER_FIX),
    });
}

/// Searches for late files of the newest meeting: files that listings do not contain. Returns a
/// warning if the search fails.
async fn check_late_files(source: &Source, meetings: &[Meeting]) -> Option<Check> {
    let newest_meeting = meetings.iter().max_by_key(|meeting| (meeting.start, &meeting.id))?;
    let newest_meeting = [Arc::new(newest_meeting.clone())];
    let late_files = source.provider.late_files(&newest_meeting);
    let lookup = tokio::time::timeout(LISTING_TIMEOUT, late_files).await;
    let error = lookup.ok()?.failed?;
    let subject = format!("{}, transcripts", source.config.name);
    Some(Check::from_error_with_context(
        Verdict::Warning,
        subject,
        "late transcripts are missing: ",
        &error,
        MOUNT_RETRIES_FIX,
    ))
}

/// Checks that the endpoints of the source can be reached (DNS, TCP, TLS), and compares the clock
/// of this system with theirs. Returns whether a connection to each endpoint can be opened.
async fn check_endpoints(client: &Client, source: &Source, report: &mut Report) -> bool {
    let mut are_reachable = true;
    for url in &source.provider.descriptor().base_urls {
        let subject = format!("{}, {}", source.config.name, url.host_str().unwrap_or("?"));
        let request = ApiRequest {
            // Requests the root and not the path, because only the connection is checked.
            url: SecretUrl::new(url.join("/").unwrap_or_else(|_| url.clone())),
            authorization: None,
            form: None,
            timeout: ENDPOINT_TIMEOUT,
            rate_limiter: None,
            priority: Priority::Background,
        };
        let date = match client.call_for_diagnosis(&request).await {
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
                are_reachable &= !matches!(error, HttpError::Unreachable { .. });
                let fix = "Check the network and the configured URL. meetfs uses the proxy in \
                           HTTPS_PROXY; the system must trust its certificate.";
                report.add(Check::from_error(Verdict::Failure, subject, &error, fix));
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
    are_reachable
}

/// Returns the difference between the clock `now` and the `Date` header of a server.
pub(crate) fn clock_offset(date: &str, now: SystemTime) -> Option<Duration> {
    let server_time = httpdate::parse_http_date(date).ok()?;
    Some(now.duration_since(server_time).unwrap_or_else(|error| error.duration()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clock_offset_is_absolute() {
        let now = httpdate::parse_http_date("Tue, 06 Oct 2026 07:00:30 GMT").unwrap();
        let offset = |date| clock_offset(date, now).map(|offset| offset.as_secs());
        assert_eq!(offset("Tue, 06 Oct 2026 07:00:00 GMT"), Some(30));
        assert_eq!(offset("Tue, 06 Oct 2026 07:01:30 GMT"), Some(60));
        assert_eq!(offset("yesterday"), None);
    }
}
