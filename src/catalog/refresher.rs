//! Decides when listings are requested.

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
use crate::model::{DaySpan, line_with_hint};
use crate::providers::{ErrorClass, LateFiles, Provider, ProviderError};

/// The interval between listings of the last days. A new recording or a late transcript appears
/// within this time.
const RECENT_INTERVAL: Duration = Duration::from_secs(5 * 60);

/// The number of days that frequent listings cover. Recordings appear hours after their meeting but
/// under its date, and processing takes at most three days (Zoom, "Recording processing"). A week
/// is safe.
const RECENT_DAYS: i32 = 7;

/// The interval between listings of all days, which find deletions and late changes in the past.
const FULL_INTERVAL: SignedDuration = SignedDuration::from_hours(6);

/// The delay after a failed listing, so the recovery of a provider is noticed soon. It doubles with
/// each failure up to [`RECENT_INTERVAL`], so a provider that is down is not overloaded.
const MIN_RETRY_DELAY: Duration = Duration::from_secs(60);

/// Upper bound for a delay that the provider requests. A wrong value must not stop a source for a
/// day, and one listing per hour is acceptable to a provider that means it.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(60 * 60);

/// The number of incomplete ranges of days that are listed one by one. If there are more, all days
/// are listed again.
const MAX_INCOMPLETE_RANGES: usize = 32;

/// Keeps the listing of one source up to date.
pub struct Refresher {
    pub provider: Arc<dyn Provider>,
    pub catalog: Arc<Catalog>,
    /// The first day of the archive, UTC.
    pub since: Date,
    /// The last day of the archive, UTC; `None` is today.
    pub until: Option<Date>,
    /// Whether the recycle bin is listed.
    pub trash: bool,
    /// Requests a full listing now.
    pub now: Arc<Notify>,
    pub state: watch::Sender<RefreshState>,
}

impl std::fmt::Debug for Refresher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Refresher").field("source", self.provider.source()).finish_non_exhaustive()
    }
}

/// The days that a refresh lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum RefreshKind {
    /// All days.
    Full,
    /// The last days, and incomplete ones.
    Recent,
}

impl Refresher {
    /// Refreshes at once, and then until `ended`: the last days often, all days rarely and on
    /// request. If an earlier run listed the source, the first refresh covers the days since then.
    pub async fn run(self, ended: CancellationToken) {
        let this = Arc::new(self);
        let mut follow_up: Option<JoinHandle<bool>> = None;
        let mut kind = match this.state.borrow().fully_listed_at {
            Some(_) => RefreshKind::Recent,
            None => RefreshKind::Full,
        };
        let mut failures = 0u32;
        let mut is_trash_due = this.trash;
        loop {
            this.state.send_modify(|state| (state.is_running, state.next_at) = (true, None));
            let days = this.spans(kind).first().copied();
            tokio::select! {
                () = ended.cancelled() => return,
                () = this.refresh(kind) => {}
            }
            // A user who waits for the mount waits for the listing, not for the recycle bin.
            this.state.send_modify(|state| state.is_first_listing_done = true);
            is_trash_due |= this.trash && kind == RefreshKind::Full;
            // A request for a refresh does not wait for the recycle bin, which can take minutes or
            // hang. The follow-up continues beside the next listing: a canceled request could be
            // one for a token.
            let was_requested = loop {
                let is_current = follow_up.is_none();
                let running = follow_up.get_or_insert_with(|| {
                    let (this, ended) = (this.clone(), ended.clone());
                    tokio::spawn(async move {
                        tokio::select! {
                            () = ended.cancelled() => false,
                            is_due = this.follow_up(days, is_trash_due) => is_due,
                        }
                    })
                });
                tokio::select! {
                    () = ended.cancelled() => return,
                    result = running => {
                        follow_up = None;
                        if let Err(error) = &result {
                            tracing::error!("the follow-up of a listing ended unexpectedly: {error}");
                        }
                        if is_current {
                            is_trash_due = result.unwrap_or(false);
                            break false;
                        }
                    }
                    () = this.now.notified() => break true,
                }
            };
            failures = if this.is_successful() { 0 } else { failures.saturating_add(1) };
            let delay = with_jitter(delay_after(failures).max(this.requested_delay()));
            this.state.send_modify(|state| {
                state.is_running = false;
                state.completed_refreshes += 1;
                state.next_at = Timestamp::now().checked_add(delay).ok();
            });
            let is_requested = tokio::select! {
                () = ended.cancelled() => return,
                () = std::future::ready(()), if was_requested => true,
                () = this.now.notified() => true,
                () = tokio::time::sleep(delay) => false,
            };
            kind = match is_requested || this.is_full_due() {
                true => RefreshKind::Full,
                false => RefreshKind::Recent,
            };
        }
    }

    /// Requests what listings omit: late files, and the recycle bin if it is due. Returns whether
    /// the recycle bin is still due.
    async fn follow_up(&self, days: Option<DaySpan>, is_trash_due: bool) -> bool {
        if self.state.borrow().last_failure.is_some() {
            return is_trash_due;
        }
        self.refresh_late_files(days).await;
        if !is_trash_due {
            return false;
        }
        self.refresh_trash().await;
        // If it was unavailable, the next attempt must not wait for the next full listing.
        self.state.borrow().trash_error.as_ref().is_some_and(|error| {
            matches!(error.class(), ErrorClass::Unavailable | ErrorClass::Down)
        })
    }

    fn is_successful(&self) -> bool {
        let state = self.state.borrow();
        state.last_failure.is_none() && state.incomplete_days.is_empty()
    }

    /// Returns the delay that the provider requested, at most [`MAX_RETRY_AFTER`].
    fn requested_delay(&self) -> Duration {
        let state = self.state.borrow();
        let failures = state.last_failure.iter().map(|(_, error)| error);
        let errors = failures.chain(state.incomplete_days.iter().map(|(_, error)| error));
        let delays = errors.filter_map(|error| match error.class() {
            ErrorClass::RateLimited { wait } => Some(wait),
            _ => None,
        });
        delays.max().unwrap_or_default().min(MAX_RETRY_AFTER)
    }

    fn is_full_due(&self) -> bool {
        let state = self.state.borrow();
        state.incomplete_days.len() > MAX_INCOMPLETE_RANGES
            || state
                .fully_listed_at
                .is_none_or(|at| Timestamp::now().duration_since(at) >= FULL_INTERVAL)
    }

    async fn refresh(&self, kind: RefreshKind) {
        let source = self.provider.source();
        let mut remaining: VecDeque<DaySpan> = self.spans(kind).into();
        let mut incomplete = Vec::new();
        while let Some(span) = remaining.pop_front() {
            match self.list(span).await {
                Ok(days) => incomplete.extend(days),
                Err(error) => {
                    tracing::warn!(%source, "cannot list recordings: {}", line_with_hint(&error));
                    // Days that were not requested stay incomplete. A failed full listing adds
                    // none.
                    self.state.send_modify(|state| {
                        if kind == RefreshKind::Recent {
                            state
                                .incomplete_days
                                .retain(|(days, _)| *days == span || remaining.contains(days));
                        }
                        state.incomplete_days.append(&mut incomplete);
                        state.last_failure = Some((Timestamp::now(), error));
                    });
                    return;
                }
            }
        }
        let now = Timestamp::now();
        let mut is_complete = false;
        self.state.send_modify(|state| {
            state.incomplete_days = incomplete;
            state.last_failure = None;
            if kind == RefreshKind::Full || state.fully_listed_at.is_none() {
                // Incomplete days are listed one by one.
                state.fully_listed_at = Some(now);
            }
            is_complete = kind == RefreshKind::Full && state.incomplete_days.is_empty();
        });
        if is_complete {
            let name = source.clone();
            self.call_catalog(move |catalog| catalog.record_full_listing(&name, now)).await;
        }
    }

    /// Returns the days to list: the last ones first, then incomplete ones.
    fn spans(&self, kind: RefreshKind) -> Vec<DaySpan> {
        let today = TimeZone::UTC.to_datetime(Timestamp::now()).date();
        let all = self.all_days(today);
        if kind == RefreshKind::Full {
            return vec![all];
        }
        let to = all.to;
        let state = self.state.borrow();
        // An earlier run may have listed the source days ago.
        let listed_until = state
            .fully_listed_at
            .map_or(all.from, |at| TimeZone::UTC.to_datetime(at).date())
            .min(today);
        let recent = listed_until.checked_sub(RECENT_DAYS.days()).unwrap_or(listed_until);
        let recent = DaySpan { from: recent.clamp(all.from, to), to };
        let incomplete = state.incomplete_days.iter().map(|(days, _)| *days);
        let incomplete = incomplete.filter(|days| days.from < recent.from);
        std::iter::once(recent).chain(incomplete).collect()
    }

    fn all_days(&self, today: Date) -> DaySpan {
        // Tomorrow is included: the provider's day may start before UTC's.
        let tomorrow = today.checked_add(1.day()).unwrap_or(today);
        let to = self.until.map_or(tomorrow, |until| until.min(tomorrow));
        DaySpan { from: self.since.min(to), to }
    }

    /// Requests files of meetings on these days that were made after their details were requested.
    /// A failure is reported and has no other effect.
    async fn refresh_late_files(&self, days: Option<DaySpan>) {
        let source = self.provider.source();
        let meetings = days
            .map(|days| self.catalog.meetings_without_transcript(source, days))
            .unwrap_or_default();
        let late = match meetings.is_empty() {
            true => LateFiles::default(),
            false => self.provider.late_files(&meetings).await,
        };
        let failed = late.failed.clone();
        if !late.files.is_empty() {
            tracing::info!(%source, files = late.files.len(), "found late files");
            let name = source.clone();
            self.call_catalog(move |catalog| catalog.record_late_files(&name, late)).await;
        }
        self.state.send_if_modified(|state| {
            let is_new = failed != state.late_files_error;
            if let Some(error) = failed.as_ref().filter(|_| is_new) {
                tracing::warn!(%source, "cannot request late transcripts: {}", line_with_hint(error));
            }
            state.late_files_error = failed;
            is_new
        });
    }

    /// Lists the recycle bin. A failure is reported and has no other effect.
    async fn refresh_trash(&self) {
        let source = self.provider.source();
        let span = self.all_days(TimeZone::UTC.to_datetime(Timestamp::now()).date());
        let (listing, failed) = match self.provider.list_trash(span).await {
            Ok(listing) => {
                let failed = listing.failed.clone();
                (Some(listing), failed)
            }
            Err(error) => (None, Some(error)),
        };
        if let Some(listing) = listing {
            tracing::info!(%source, meetings = listing.meetings.len(), "listed the recycle bin");
            let name = source.clone();
            self.call_catalog(move |catalog| catalog.apply_trash(&name, listing)).await;
        }
        if let Some(error) = &failed {
            // Without the permission, every full listing would log the same error.
            if self.state.borrow().trash_error.as_ref() != Some(error) {
                tracing::warn!(%source, "cannot list the recycle bin: {}", line_with_hint(error));
            }
        }
        self.state.send_modify(|state| state.trash_error = failed);
    }

    /// Lists some days and returns those that could not be listed.
    async fn list(&self, span: DaySpan) -> Result<Vec<(DaySpan, ProviderError)>, ProviderError> {
        let source = self.provider.source();
        let listing = self.provider.list(span).await?;
        for (days, error) in &listing.failed {
            let error = line_with_hint(error);
            tracing::warn!(%source, "the days {} to {} are incomplete: {error}", days.from, days.to);
        }
        let (changed, unchanged) = (listing.meetings.len(), listing.unchanged.len());
        tracing::info!(%source, changed, unchanged, from = %span.from, to = %span.to, "listed");
        self.state.send_modify(|state| state.listed_at = Some(Timestamp::now()));
        let failed = listing.failed.clone();
        let name = source.clone();
        self.call_catalog(move |catalog| catalog.apply(&name, span, listing)).await;
        Ok(failed)
    }

    async fn call_catalog(&self, call: impl FnOnce(&Catalog) + Send + 'static) {
        if let Err(error) = self.catalog.run_blocking(call).await {
            let source = self.provider.source();
            tracing::error!(%source, "cannot update the catalog: {error}");
        }
    }
}

/// Returns the delay after this number of consecutive failures.
fn delay_after(failures: u32) -> Duration {
    match failures {
        0 => RECENT_INTERVAL,
        failures => MIN_RETRY_DELAY.saturating_mul(1 << (failures - 1).min(8)).min(RECENT_INTERVAL),
    }
}

/// Adds up to ten percent, so several mounts of one account do not send requests at the same time.
fn with_jitter(delay: Duration) -> Duration {
    delay + delay.mul_f32(fastrand::f32() / 10.0)
}
