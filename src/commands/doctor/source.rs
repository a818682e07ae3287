//! One source: its address, its clock, its credential, a listing, and a byte of a recording.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};

use super::{Check, Verdict, scopes};
use crate::daemon::archive::Archive;
use crate::daemon::source::Source;
use crate::http::{ApiRequest, Client, FetchError, HttpError, Priority};
use crate::model::{Availability, DaySpan, Meeting, RecordingFile, SecretUrl};
use crate::providers::ProviderError;

/// Bound on reaching an address.
const REACHED_TIMEOUT: Duration = Duration::from_secs(15);

/// Bound on listing the last days.
const LISTED_TIMEOUT: Duration = Duration::from_secs(60);

/// How far back a recording is looked for.
const DAYS: i32 = 29;

/// A clock that is further off than this breaks signed links, which end to the second, and is the cause of many a
/// certificate that is "not yet valid".
const MAX_SKEW: Duration = Duration::from_secs(30);

/// What to do about errors that do not say it.
const TRIED_BY_ITSELF: &str =
    "a mount tries it again by itself; if it stays, its log says more with --log-level debug";
const MAY_BE_DOWNLOADED: &str =
    "see in the cloud that its recordings may be downloaded with this credential";
const LATER: &str = "run this again in some minutes; if it stays, the log of a mount says more with --log-level debug";

pub(crate) async fn checks(archive: &Archive) -> Vec<Check> {
    let mut checks = Vec::new();
    for (source, _) in archive.sources() {
        checks.extend(examine(archive, source).await);
    }
    checks
}

async fn examine(archive: &Archive, source: &Source) -> Vec<Check> {
    let name = source.settings.name.to_string();
    let mut checks = reach(archive.client(), source).await;
    checks.extend(scopes::checks(source).await);
    let today = TimeZone::UTC.to_datetime(Timestamp::now()).date();
    let from = today.checked_sub(DAYS.days()).unwrap_or(today);
    let span = DaySpan { from, to: today };
    let listing = match tokio::time::timeout(LISTED_TIMEOUT, source.provider.list(span)).await {
        Ok(listing) => listing,
        Err(_) => Err(ProviderError::unavailable(format!(
            "no answer within {} s",
            LISTED_TIMEOUT.as_secs()
        ))),
    };
    let listing = match listing {
        Ok(listing) => listing,
        Err(error) => {
            let is_of_configuration = !error.is_transient();
            let check = Check::of_error(
                Verdict::Failure,
                format!("{name}, listing"),
                &error,
                TRIED_BY_ITSELF,
            );
            checks.push(if is_of_configuration { check.of_configuration() } else { check });
            return checks;
        }
    };
    let meetings = listing.meetings.len();
    let found = format!("{meetings} meeting{} since {from}", if meetings == 1 { "" } else { "s" });
    checks.push(match listing.failed.first() {
        None => Check::ok(format!("{name}, listing"), found),
        Some((days, error)) => {
            let told = format!(
                "{found}, but the days {} to {} are incomplete: {error}",
                days.from, days.to
            );
            Check::of_error(Verdict::Warning, format!("{name}, listing"), &told, TRIED_BY_ITSELF)
        }
    });
    checks.extend(late_files(source, &listing.meetings).await);
    let mut files: Vec<&RecordingFile> = listing
        .meetings
        .iter()
        .flat_map(|meeting| &meeting.files)
        .filter(|file| file.availability == Availability::Ready)
        .collect();
    files.sort_by_key(|file| (file.recording_start, file.id.clone()));
    let subject = format!("{name}, reading");
    let Some(newest) = files.last() else {
        checks.push(Check::warning(
            subject,
            format!("there is no recording of the last {DAYS} days to read a byte of"),
            "run this again when there is one",
        ));
        return checks;
    };
    checks.push(match archive.engine.find_size(&newest.id, newest.body).await {
        Ok(size) => Check::ok(subject, format!("one byte of a file of {size} bytes")),
        Err(error @ FetchError::NotAllowed(_)) => {
            Check::of_error(Verdict::Failure, subject, &error, MAY_BE_DOWNLOADED).of_configuration()
        }
        Err(error) => Check::of_error(Verdict::Failure, subject, &error, LATER),
    });
    checks
}

/// Whether files that are made late can be looked for, tried with the newest meeting. Nothing where they can.
async fn late_files(source: &Source, meetings: &[Meeting]) -> Option<Check> {
    let newest = meetings.iter().max_by_key(|meeting| (meeting.start, &meeting.id))?.clone();
    let newest = [Arc::new(newest)];
    let looked = tokio::time::timeout(LISTED_TIMEOUT, source.provider.late_files(&newest)).await;
    let error = looked.ok()?.failed?;
    let subject = format!("{}, transcripts", source.settings.name);
    let told = format!("those that are made late do not show: {error}");
    Some(Check::of_error(Verdict::Warning, subject, &told, TRIED_BY_ITSELF))
}

/// Whether the source's addresses can be reached over DNS and TLS, and what time it is there.
async fn reach(client: &Client, source: &Source) -> Vec<Check> {
    let mut checks = Vec::new();
    for address in source.provider.base_urls() {
        let subject = format!("{}, {}", source.settings.name, address.host_str().unwrap_or("?"));
        let request = ApiRequest {
            // Without the path: whether anything is there is not what is asked.
            address: SecretUrl::new(address.join("/").unwrap_or_else(|_| address.clone())),
            authorization: None,
            form: None,
            within: REACHED_TIMEOUT,
            rate_limiter: None,
            priority: Priority::Background,
        };
        let date = match client.call(&request).await {
            Ok(reply) => {
                reply.headers.get("date").and_then(|date| date.to_str().ok()).map(str::to_owned)
            }
            // It answers, whatever it says.
            Err(
                HttpError::ServerError { .. }
                | HttpError::RateLimited { .. }
                | HttpError::TooLarge { .. },
            ) => None,
            Err(error) => {
                checks.push(Check::failure(
                    subject,
                    error.to_string(),
                    "a proxy is taken from HTTPS_PROXY; its certificate must be among the system's",
                ));
                continue;
            }
        };
        let skew = date.and_then(|date| skew(&date, SystemTime::now()));
        checks.push(match skew {
            Some(skew) if skew > MAX_SKEW => Check::warning(
                subject,
                format!("it answers, but this clock is {} s off", skew.as_secs()),
                "set the clock: `timedatectl set-ntp true`",
            ),
            _ => Check::ok(subject, "it answers"),
        });
    }
    checks
}

pub(crate) fn skew(date: &str, now: SystemTime) -> Option<Duration> {
    let then = httpdate::parse_http_date(date).ok()?;
    Some(now.duration_since(then).unwrap_or_else(|ahead| ahead.duration()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_is_compared_with_the_date_of_an_answer() {
        let now = httpdate::parse_http_date("Tue, 06 Oct 2026 07:00:30 GMT").unwrap();
        let off = |date| skew(date, now).map(|skew| skew.as_secs());
        assert_eq!(off("Tue, 06 Oct 2026 07:00:00 GMT"), Some(30));
        assert_eq!(off("Tue, 06 Oct 2026 07:01:30 GMT"), Some(60));
        assert_eq!(off("yesterday"), None);
    }
}
