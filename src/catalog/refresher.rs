//! Requests listings, at regular intervals and on request.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use jiff::civil::Date;
use jiff::{SignedDuration, Timestamp, ToSpan, tz::TimeZone};
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::catalog::Catalog;
use super::refresh_state::RefreshState;
use crate::model::{DaySpan, current_time, line_with_hint};
use crate::providers::{ErrorClass, LateFiles, Provider, ProviderError};

/// Interval between listings of the recent days. A new recording or a late transcript appears
/// within this time.
const RECENT_INTERVAL: Duration = Duration::from_secs(5 * 60);

/// Number of recent days, which are listed at [`RECENT_INTERVAL`]. A recording becomes available
/// hours after its meeting but is listed under the date of the meeting. Processing takes at most
/// three days (Zoom, "Recording processing"), so a week is safe.
const RECENT_DAYS: i32 = 7;

/// Interval between listings of all days. These listings find deletions and late changes of older
/// meetings.
const FULL_INTERVAL: SignedDuration = SignedDuration::from_hours(6);

/// Delay after the first failed listing. It is short, so that the recovery of a provider is noticed
/// soon. The delay doubles with each failure, up to [`RECENT_INTERVAL`], so that a provider that is
/// down is not overloaded.
const MIN_RETRY_DELAY: Duration = Duration::from_secs(60);

/// Replaces [`MIN_RETRY_DELAY`] for a source that was never listed. Nothing of it can be read until
/// then. At boot, the network is often ready a few seconds after the mount.
const FIRST_LISTING_RETRY_DELAY: Duration = Duration::from_secs(5);

/// Upper bound for a delay that the provider requests. A wrong value must not stop a source for a
/// day. If the value is correct, the provider receives only one request per hour.
const MAX_REQUESTED_DELAY: Duration = Duration::from_secs(60 * 60);

/// Maximum number of incomplete ranges of days that are listed one by one. If there are more, all
/// days are listed again.
const MAX_INCOMPLETE_RANGES: usize = 32;

/// The background task that keeps the listing of one source up to date.
pub struct Refresher {
    pub provider: Arc<dyn Provider>,
    pub catalog: Arc<Catalog>,
    /// The first day of the archive, in UTC.
    pub since: Date,
    /// The last day of the archive, in UTC. `None` means today.
    pub until: Option<Date>,
    /// Whether the recycle bin is listed.
    pub lists_trash: bool,
    /// Notified when a full listing is requested.
    pub refresh_request: Arc<Notify>,
    pub state: watch::Sender<RefreshState>,
}

impl std::fmt::Debug for Refresher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Refresher").field("source", self.provider.source()).finish_non_exhaustive()
    }
}

/// The parts of a span of days that could not be listed.
struct ListingGaps {
    incomplete_days: Vec<(DaySpan, ProviderError)>,
    /// One error for each user that the provider refuses to list.
    refused_users: Vec<ProviderError>,
}

/// The days that a refresh lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum RefreshKind {
    /// All days.
    Full,
    /// The recent days, and days whose listing is incomplete.
    Recent,
}

impl Refresher {
    /// Refreshes the source at once and then repeatedly, until `shutdown` is canceled. Recent days
    /// are listed often, and all days rarely or on request. If an earlier run listed the source,
    /// the first refresh covers only the days since then.
    pub async fn run(self, shutdown: CancellationToken) {
        let refresher = Arc::new(self);
        let mut late_files_and_trash_task: Option<JoinHandle<bool>> = None;
        let mut kind = match refresher.state.borrow().fully_listed_at {
            Some(_) => RefreshKind::Recent,
            None => RefreshKind::Full,
        };
        let mut failures = 0u32;
        let mut is_trash_due = refresher.lists_trash;
        loop {
            refresher
                .state
                .send_modify(|state| (state.is_running, state.next_refresh_at) = (true, None));
            let days = refresher.day_spans(kind).first().copied();
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = refresher.refresh(kind) => {}
            }
            // A user who waits for the mount waits for the listing, not for the recycle bin.
            refresher.state.send_modify(|state| state.is_first_listing_done = true);
            is_trash_due |= refresher.lists_trash && kind == RefreshKind::Full;
            // A requested refresh does not wait for the recycle bin, whose listing can take minutes
            // or hang. The task continues during the next listing. It is not canceled, because it
            // may be requesting a token.
            let was_requested = loop {
                let is_new_task = late_files_and_trash_task.is_none();
                let task = late_files_and_trash_task.get_or_insert_with(|| {
                    let (refresher, shutdown) = (refresher.clone(), shutdown.clone());
                    tokio::spawn(async move {
                        let refresh = refresher.refresh_late_files_and_trash(days, is_trash_due);
                        tokio::select! {
                            () = shutdown.cancelled() => false,
                            is_due = refresh => is_due,
                        }
                    })
                });
                tokio::select! {
                    () = shutdown.cancelled() => return,
                    result = task => {
                        late_files_and_trash_task = None;
                        if let Err(error) = &result
                            && !error.is_cancelled()
                        {
                            tracing::error!(
                                "the task for late files and the recycle bin ended unexpectedly: \
                                 {error}"
                            );
                        }
                        if is_new_task {
                            is_trash_due = result.unwrap_or(false);
                            break false;
                        }
                    }
                    () = refresher.refresh_request.notified() => break true,
                }
            };
            failures = if refresher.is_successful() { 0 } else { failures.saturating_add(1) };
            let was_listed = refresher.state.borrow().fully_listed_at.is_some();
            let delay = delay_after(failures, was_listed).max(refresher.requested_delay());
            let delay = with_jitter(delay);
            refresher.state.send_modify(|state| {
                state.is_running = false;
                state.completed_refreshes += 1;
                state.failed_refreshes += u64::from(failures > 0);
                state.next_refresh_at = current_time().checked_add(delay).ok();
            });
            let is_requested = tokio::select! {
                () = shutdown.cancelled() => return,
                () = std::future::ready(()), if was_requested => true,
                () = refresher.refresh_request.notified() => true,
                () = tokio::time::sleep(delay) => false,
            };
            kind = match is_requested || refresher.is_full_listing_due() {
                true => RefreshKind::Full,
                false => RefreshKind::Recent,
            };
        }
    }

    /// Requests data that listings omit: late files, and the recycle bin if it is due. Returns
    /// whether the recycle bin is still due.
    async fn refresh_late_files_and_trash(
        &self,
        days: Option<DaySpan>,
        is_trash_due: bool,
    ) -> bool {
        if self.state.borrow().last_failure.is_some() {
            return is_trash_due;
        }
        self.refresh_late_files(days).await;
        if !is_trash_due {
            return false;
        }
        self.refresh_trash().await;
        // If the recycle bin was unavailable, the next attempt must not wait for the next full
        // listing.
        self.state.borrow().trash_error.as_ref().is_some_and(|error| {
            matches!(error.class(), ErrorClass::Unavailable | ErrorClass::Down)
        })
    }

    fn is_successful(&self) -> bool {
        let state = self.state.borrow();
        state.last_failure.is_none() && state.incomplete_days.is_empty()
    }

    /// Returns the longest delay that the provider requested, but at most [`MAX_REQUESTED_DELAY`].
    fn requested_delay(&self) -> Duration {
        let state = self.state.borrow();
        let failures = state.last_failure.iter().map(|(_, error)| error);
        let errors = failures.chain(state.incomplete_days.iter().map(|(_, error)| error));
        let delays = errors.filter_map(|error| match error.class() {
            ErrorClass::RateLimited { wait } => Some(wait),
            _ => None,
        });
        delays.max().unwrap_or_default().min(MAX_REQUESTED_DELAY)
    }

    fn is_full_listing_due(&self) -> bool {
        let state = self.state.borrow();
        state.incomplete_days.len() > MAX_INCOMPLETE_RANGES
            || state.fully_listed_at.is_none_or(|at| is_full_listing_old(at, current_time()))
    }

    async fn refresh(&self, kind: RefreshKind) {
        let source = self.provider.source();
        let mut remaining_spans: VecDeque<DaySpan> = self.day_spans(kind).into();
        let (mut incomplete_days, mut refused_users) = (Vec::new(), Vec::new());
        while let Some(span) = remaining_spans.pop_front() {
            match self.list_span(span).await {
                Ok(gaps) => {
                    incomplete_days.extend(gaps.incomplete_days);
                    refused_users.extend(gaps.refused_users);
                }
                Err(error) => {
                    // Each retry would log the same error.
                    let former_error = self.state.borrow().last_failure.clone();
                    if former_error.is_none_or(|(_, former_error)| former_error != error) {
                        let error = line_with_hint(&error);
                        tracing::warn!(%source, "cannot list recordings: {error}");
                    }
                    // Days that were not requested stay incomplete. A failed full listing does not
                    // add incomplete days.
                    self.state.send_modify(|state| {
                        if kind == RefreshKind::Recent {
                            state.incomplete_days.retain(|(days, _)| {
                                *days == span || remaining_spans.contains(days)
                            });
                        }
                        state.incomplete_days.append(&mut incomplete_days);
                        state.last_failure = Some((current_time(), error));
                    });
                    return;
                }
            }
        }
        let now = current_time();
        let mut is_complete = false;
        self.state.send_modify(|state| {
            state.incomplete_days = incomplete_days;
            self.replace_refused_users(state, refused_users);
            state.last_failure = None;
            if kind == RefreshKind::Full || state.fully_listed_at.is_none() {
                // Incomplete days are listed one by one later.
                state.fully_listed_at = Some(now);
            }
            is_complete = kind == RefreshKind::Full && state.incomplete_days.is_empty();
        });
        if is_complete {
            let name = source.clone();
            self.call_catalog(move |catalog| catalog.record_full_listing(&name, now)).await;
        }
    }

    /// Returns the ranges of days to list: the recent days first, then incomplete days.
    fn day_spans(&self, kind: RefreshKind) -> Vec<DaySpan> {
        let today = TimeZone::UTC.to_datetime(current_time()).date();
        let all_days = self.all_days(today);
        if kind == RefreshKind::Full {
            return vec![all_days];
        }
        let to = all_days.to;
        let state = self.state.borrow();
        // An earlier run may have listed the source days ago.
        let listed_until = state
            .fully_listed_at
            .map_or(all_days.from, |at| TimeZone::UTC.to_datetime(at).date())
            .min(today);
        let from = listed_until.checked_sub(RECENT_DAYS.days()).unwrap_or(listed_until);
        let recent_days = DaySpan { from: from.clamp(all_days.from, to), to };
        let incomplete_days = state.incomplete_days.iter().map(|(days, _)| *days);
        let incomplete_days = incomplete_days.filter(|days| days.from < recent_days.from);
        std::iter::once(recent_days).chain(incomplete_days).collect()
    }

    fn all_days(&self, today: Date) -> DaySpan {
        // Tomorrow is included, because the day of the provider may start before the UTC day.
        let tomorrow = today.checked_add(1.day()).unwrap_or(today);
        let to = self.until.map_or(tomorrow, |until| until.min(tomorrow));
        DaySpan { from: self.since.min(to), to }
    }

    /// Requests late files of the meetings on `days`. A late file is a file that was created after
    /// the details of its meeting were requested. An error is reported and otherwise ignored.
    async fn refresh_late_files(&self, days: Option<DaySpan>) {
        let source = self.provider.source();
        let meetings = days
            .map(|days| self.catalog.meetings_without_transcript(source, days))
            .unwrap_or_default();
        let late_files = match meetings.is_empty() {
            true => LateFiles::default(),
            false => self.provider.late_files(&meetings).await,
        };
        let error = late_files.failed.clone();
        if !late_files.files.is_empty() {
            tracing::info!(%source, files = late_files.files.len(), "found late files");
            let name = source.clone();
            self.call_catalog(move |catalog| catalog.record_late_files(&name, late_files)).await;
        }
        self.state.send_if_modified(|state| {
            let is_new = error != state.late_files_error;
            if let Some(error) = error.as_ref().filter(|_| is_new) {
                tracing::warn!(%source, "cannot request late transcripts: {}", line_with_hint(error));
            }
            state.late_files_error = error;
            is_new
        });
    }

    /// Lists the recycle bin. An error is reported and otherwise ignored.
    async fn refresh_trash(&self) {
        let source = self.provider.source();
        let span = self.all_days(TimeZone::UTC.to_datetime(current_time()).date());
        let (listing, error) = match self.provider.list_trash(span).await {
            Ok(listing) => {
                let error = listing.failed.clone();
                (Some(listing), error)
            }
            Err(error) => (None, Some(error)),
        };
        if let Some(listing) = listing {
            tracing::info!(%source, meetings = listing.meetings.len(), "listed the recycle bin");
            let name = source.clone();
            self.call_catalog(move |catalog| catalog.apply_trash(&name, listing)).await;
        }
        if let Some(error) = &error {
            // If the permission is missing, every full listing fails with the same error. It is
            // logged once.
            if self.state.borrow().trash_error.as_ref() != Some(error) {
                tracing::warn!(%source, "cannot list the recycle bin: {}", line_with_hint(error));
            }
        }
        self.state.send_modify(|state| state.trash_error = error);
    }

    /// Stores the users that the last refresh found to be refused. Logs a refusal only when it is
    /// new, because it lasts until the configuration or the account is changed.
    fn replace_refused_users(&self, state: &mut RefreshState, errors: Vec<ProviderError>) {
        let mut refused_users = Vec::new();
        for error in errors {
            if refused_users.contains(&error) {
                continue;
            }
            if !state.refused_users.contains(&error) {
                let source = self.provider.source();
                tracing::warn!(%source, "a user is not listed: {}", line_with_hint(&error));
            }
            refused_users.push(error);
        }
        state.refused_users = refused_users;
    }

    /// Lists the days in `span` and returns what could not be listed.
    async fn list_span(&self, span: DaySpan) -> Result<ListingGaps, ProviderError> {
        let source = self.provider.source();
        let listing = self.provider.list(span).await?;
        let known_gaps = self.state.borrow().incomplete_days.clone();
        for (days, error) in listing.failed.iter().filter(|gap| !known_gaps.contains(gap)) {
            let error = line_with_hint(error);
            tracing::warn!(
                %source,
                "the listing of the days {} to {} is incomplete: {error}",
                days.from,
                days.to
            );
        }
        let (received, unchanged) = (listing.meetings.len(), listing.unchanged.len());
        tracing::info!(%source, received, unchanged, from = %span.from, to = %span.to, "listed");
        self.state.send_modify(|state| state.listed_at = Some(current_time()));
        let refused_users = listing.refused_users.as_ref().map(|users| users.errors.clone());
        let gaps = ListingGaps {
            incomplete_days: listing.failed.clone(),
            refused_users: refused_users.unwrap_or_default(),
        };
        let name = source.clone();
        self.call_catalog(move |catalog| catalog.apply(&name, span, listing)).await;
        Ok(gaps)
    }

    async fn call_catalog(&self, call: impl FnOnce(&Catalog) + Send + 'static) {
        if let Err(error) = self.catalog.run_blocking(call).await {
            let source = self.provider.source();
            tracing::error!(%source, "cannot update the catalog: {error}");
        }
    }
}

/// Whether a full listing at `listed_at` is too old. If the clock was set back, `listed_at` is in
/// the future. Then the next listing is due at once, instead of when the clock reaches that time
/// again.
fn is_full_listing_old(listed_at: Timestamp, now: Timestamp) -> bool {
    let age = now.duration_since(listed_at);
    age.is_negative() || age >= FULL_INTERVAL
}

/// Returns the delay before the next refresh, which depends on the number of consecutive failures.
fn delay_after(failures: u32, was_listed: bool) -> Duration {
    let first_delay = if was_listed { MIN_RETRY_DELAY } else { FIRST_LISTING_RETRY_DELAY };
    match failures {
        0 => RECENT_INTERVAL,
        failures => first_delay.saturating_mul(1 << (failures - 1).min(8)).min(RECENT_INTERVAL),
    }
}

/// Adds up to ten percent to a delay, so several mounts of one account do not send their requests
/// at the same time.
fn with_jitter(delay: Duration) -> Duration {
    delay + delay.mul_f32(fastrand::f32() / 10.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listing_in_the_future_is_old() {
        let listed_at = Timestamp::from_second(1_791_270_000).unwrap();
        for (hours, is_old) in [(-9000, true), (-1, true), (0, false), (5, false), (6, true)] {
            let now = listed_at + SignedDuration::from_hours(hours);
            assert_eq!(is_full_listing_old(listed_at, now), is_old, "{hours}");
        }
    }
}
