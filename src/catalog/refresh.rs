//! When listings are asked for.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use jiff::civil::Date;
use jiff::{SignedDuration, Timestamp, ToSpan, tz::TimeZone};
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::Catalog;
use crate::model::DaySpan;
use crate::providers::{ErrorClass, LateFiles, Provider, ProviderError};

/// Pause between listings of the last days: a new recording or a late transcript shows within this time.
const RECENT_INTERVAL: Duration = Duration::from_secs(5 * 60);

/// How far back the frequent listings look. Recordings turn up hours after their meeting but under the meeting's
/// date, and processing takes one to three days at the worst (Zoom, "Recording processing"); a week is safe.
const RECENT_DAYS: i32 = 7;

/// Pause between listings of everything, which find deletions and late changes in the past.
const FULL_INTERVAL: SignedDuration = SignedDuration::from_hours(6);

/// Pause after a listing that failed, so that a cloud that comes back is noticed soon. It doubles with each that fails
/// behind it, up to the usual one, so that one that is down is not pressed.
const AFTER_FAILURE: Duration = Duration::from_secs(60);

/// The longest wait that a source is believed to want: one wrong word must not shut it out for a day, and a listing an
/// hour is nothing to one that means it.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(60 * 60);

/// Spans of days that are remembered as incomplete, and asked for again by themselves. Where there are more, all of
/// the archive is listed again.
const GAPS: usize = 32;

/// Keeps one source's listing fresh.
pub struct Refresher {
    /// Whom to ask.
    pub provider: Arc<dyn Provider>,
    /// Where the answers go.
    pub catalog: Arc<Catalog>,
    /// The first day of the archive, UTC.
    pub since: Date,
    /// The last day of the archive, UTC; `None` is today, whenever that is.
    pub until: Option<Date>,
    /// Whether the recycle bin is listed too.
    pub trash: bool,
    /// Asks for a full listing now.
    pub now: Arc<Notify>,
    /// How it goes.
    pub state: watch::Sender<RefreshState>,
}

/// How the listing of a source goes.
#[derive(Clone, Debug, Default)]
pub struct RefreshState {
    /// Whether somebody is being asked now.
    pub is_running: bool,
    /// Whether a listing has ended, well or not; what belongs to it may still be asked for.
    pub is_first_listing_done: bool,
    /// Listings that have ended since the start, well or not.
    pub completed_refreshes: u64,
    /// When something was listed last.
    pub listed_at: Option<Timestamp>,
    /// When all of it was listed last, in this run or an earlier one.
    pub fully_listed_at: Option<Timestamp>,
    /// Why the last listing failed, and when; `None` if it did not.
    pub last_failure: Option<(Timestamp, ProviderError)>,
    /// Days that could not be listed, and why. Meetings known there are shown as they were.
    pub incomplete_days: Vec<(DaySpan, ProviderError)>,
    /// When the next listing is due.
    pub next_at: Option<Timestamp>,
    /// Why the recycle bin could not be listed, whole or in part; `None` if it could, or was not.
    pub trash_error: Option<ProviderError>,
    /// Why files that are made late could not be looked for; `None` if they could, or none can be missing.
    pub late_files_error: Option<ProviderError>,
}

impl std::fmt::Debug for Refresher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Refresher").field("source", self.provider.source()).finish_non_exhaustive()
    }
}

/// What one listing looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reach {
    /// Everything.
    Full,
    /// The last days, and the days that are missing.
    Recent,
}

impl Refresher {
    /// Lists at once, and then again and again until `ended`: the last days often, everything rarely and when asked
    /// to. What was kept of an earlier run makes the first listing one of the days since.
    pub async fn run(self, ended: CancellationToken) {
        let this = Arc::new(self);
        let mut rest: Option<JoinHandle<bool>> = None;
        let mut reach =
            if this.state.borrow().fully_listed_at.is_some() { Reach::Recent } else { Reach::Full };
        let mut failures = 0u32;
        let mut bin_is_due = this.trash;
        loop {
            this.state.send_modify(|state| (state.is_running, state.next_at) = (true, None));
            let days = this.spans(reach).first().copied();
            tokio::select! {
                () = ended.cancelled() => return,
                () = this.refresh(reach) => {}
            }
            // Whoever waits at a prompt waits for what is there, and not for what was deleted.
            this.state.send_modify(|state| state.is_first_listing_done = true);
            bin_is_due |= this.trash && reach == Reach::Full;
            // Who asks for what is new does not wait for what was deleted: a bin can take minutes, or hang. It goes on beside
            // the listing, for what is given up in the middle may be a token that was about to come.
            let asked_meanwhile = loop {
                let is_of_now = rest.is_none();
                let looking = rest.get_or_insert_with(|| {
                    let (this, ended) = (this.clone(), ended.clone());
                    tokio::spawn(async move {
                        tokio::select! {
                            () = ended.cancelled() => false,
                            due = this.look_at_the_rest(days, bin_is_due) => due,
                        }
                    })
                });
                tokio::select! {
                    () = ended.cancelled() => return,
                    looked = looking => {
                        rest = None;
                        if let Err(stopped) = &looked {
                            tracing::error!("what a listing leaves out could not be looked at: {stopped}");
                        }
                        if is_of_now {
                            bin_is_due = looked.unwrap_or(false);
                            break false;
                        }
                    }
                    () = this.now.notified() => break true,
                }
            };
            failures = if this.went_well() { 0 } else { failures.saturating_add(1) };
            let pause = jittered(pause_after(failures).max(this.asked_to_wait()));
            this.state.send_modify(|state| {
                state.is_running = false;
                state.completed_refreshes += 1;
                state.next_at = Timestamp::now().checked_add(pause).ok();
            });
            let asked = tokio::select! {
                () = ended.cancelled() => return,
                () = std::future::ready(()), if asked_meanwhile => true,
                () = this.now.notified() => true,
                () = tokio::time::sleep(pause) => false,
            };
            reach = if asked || this.is_full_due() { Reach::Full } else { Reach::Recent };
        }
    }

    /// What a listing leaves out: files that are made late, and the recycle bin where that `is_due`. Returns whether it still
    /// is.
    async fn look_at_the_rest(&self, days: Option<DaySpan>, is_due: bool) -> bool {
        if self.state.borrow().last_failure.is_some() {
            return is_due;
        }
        self.look_for_late_files(days).await;
        if !is_due {
            return false;
        }
        self.refresh_trash().await;
        // One that was out of reach is not left alone for six hours.
        self.state.borrow().trash_error.as_ref().is_some_and(|error| {
            matches!(error.class(), ErrorClass::Unavailable | ErrorClass::Down)
        })
    }

    fn went_well(&self) -> bool {
        let state = self.state.borrow();
        state.last_failure.is_none() && state.incomplete_days.is_empty()
    }

    /// How long the source has asked to be left alone, as far as that is believed.
    fn asked_to_wait(&self) -> Duration {
        let state = self.state.borrow();
        let failed = state.last_failure.iter().map(|(_, error)| error);
        let waits =
            failed.chain(state.incomplete_days.iter().map(|(_, error)| error)).map(|error| {
                match error.class() {
                    ErrorClass::RateLimited { wait } => wait,
                    _ => Duration::ZERO,
                }
            });
        waits.max().unwrap_or_default().min(MAX_RETRY_AFTER)
    }

    fn is_full_due(&self) -> bool {
        let state = self.state.borrow();
        state.incomplete_days.len() > GAPS
            || state
                .fully_listed_at
                .is_none_or(|at| Timestamp::now().duration_since(at) >= FULL_INTERVAL)
    }

    async fn refresh(&self, reach: Reach) {
        let mut left: VecDeque<DaySpan> = self.spans(reach).into();
        let mut gaps = Vec::new();
        while let Some(span) = left.pop_front() {
            match self.list(span).await {
                Ok(missing) => gaps.extend(missing),
                Err(error) => {
                    tracing::warn!(source = %self.provider.source(), "could not be listed: {error}");
                    // Gaps that were not come to stay gaps. A failed listing of everything leaves no new ones.
                    self.state.send_modify(|state| {
                        if reach == Reach::Recent {
                            state
                                .incomplete_days
                                .retain(|(days, _)| *days == span || left.contains(days));
                        }
                        state.incomplete_days.append(&mut gaps);
                        state.last_failure = Some((Timestamp::now(), error));
                    });
                    return;
                }
            }
        }
        let now = Timestamp::now();
        let mut whole = false;
        self.state.send_modify(|state| {
            state.incomplete_days = gaps;
            state.last_failure = None;
            if reach == Reach::Full || state.fully_listed_at.is_none() {
                // Its gaps are asked for by themselves.
                state.fully_listed_at = Some(now);
            }
            whole = reach == Reach::Full && state.incomplete_days.is_empty();
        });
        if whole {
            self.catalog.record_full_listing(self.provider.source(), now);
        }
    }

    /// The days to ask for: with the last ones, those that are missing.
    fn spans(&self, reach: Reach) -> Vec<DaySpan> {
        let today = TimeZone::UTC.to_datetime(Timestamp::now()).date();
        let all = self.all_days(today);
        if reach == Reach::Full {
            return vec![all];
        }
        let to = all.to;
        let state = self.state.borrow();
        // Since it was listed whole, an earlier run may be days ago.
        let known = state
            .fully_listed_at
            .map_or(all.from, |at| TimeZone::UTC.to_datetime(at).date())
            .min(today);
        let recent = known.checked_sub(RECENT_DAYS.days()).unwrap_or(known).clamp(all.from, to);
        let recent = DaySpan { from: recent, to };
        let gaps = state
            .incomplete_days
            .iter()
            .map(|(days, _)| *days)
            .filter(|days| days.from < recent.from);
        std::iter::once(recent).chain(gaps).collect()
    }

    fn all_days(&self, today: Date) -> DaySpan {
        // Tomorrow is included: the provider's day may have begun before ours.
        let tomorrow = today.checked_add(1.day()).unwrap_or(today);
        let to = self.until.map_or(tomorrow, |until| until.min(tomorrow));
        DaySpan { from: self.since.min(to), to }
    }

    /// Looks for what was made since the details of meetings on these days were asked for. What fails there is told, and
    /// troubles nothing else.
    async fn look_for_late_files(&self, days: Option<DaySpan>) {
        let source = self.provider.source();
        let wanting =
            days.map(|days| self.catalog.without_transcript(source, days)).unwrap_or_default();
        let late = match wanting.is_empty() {
            true => LateFiles::default(),
            false => self.provider.late_files(&wanting).await,
        };
        let failed = late.failed.clone();
        if !late.files.is_empty() {
            tracing::info!(%source, files = late.files.len(), "found files that were made late");
            let (catalog, name) = (self.catalog.clone(), source.clone());
            let learned =
                tokio::task::spawn_blocking(move || catalog.record_late_files(&name, late)).await;
            if let Err(stopped) = learned {
                tracing::error!(%source, "files that were made late could not be taken over: {stopped}");
            }
        }
        self.state.send_if_modified(|state| {
            let is_new = failed != state.late_files_error;
            if let Some(error) = failed.as_ref().filter(|_| is_new) {
                tracing::warn!(%source, "transcripts that are made late could not be looked for: {error}");
            }
            state.late_files_error = failed;
            is_new
        });
    }

    /// Lists the recycle bin. What fails there is told, and troubles nothing else.
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
            let (catalog, name) = (self.catalog.clone(), source.clone());
            let applied =
                tokio::task::spawn_blocking(move || catalog.apply_trash(&name, listing)).await;
            if let Err(stopped) = applied {
                tracing::error!(%source, "a listing of the recycle bin could not be taken over: {stopped}");
            }
        }
        if let Some(error) = &failed {
            // Every six hours the same would be said for good where the permission is missing.
            if self.state.borrow().trash_error.as_ref() != Some(error) {
                tracing::warn!(%source, "the recycle bin could not be listed: {error}");
            }
        }
        self.state.send_modify(|state| state.trash_error = failed);
    }

    /// Lists some days; returns those of them that could not be.
    async fn list(&self, span: DaySpan) -> Result<Vec<(DaySpan, ProviderError)>, ProviderError> {
        let source = self.provider.source();
        let listing = self.provider.list(span).await?;
        for (days, error) in &listing.failed {
            tracing::warn!(%source, "the days {} to {} are incomplete: {error}", days.from, days.to);
        }
        let (changed, unchanged) = (listing.meetings.len(), listing.unchanged.len());
        tracing::info!(%source, changed, unchanged, from = %span.from, to = %span.to, "listed");
        self.state.send_modify(|state| state.listed_at = Some(Timestamp::now()));
        let failed = listing.failed.clone();
        let (catalog, name) = (self.catalog.clone(), source.clone());
        // Writing ten thousand meetings down takes longer than an event loop may stand still.
        let applied =
            tokio::task::spawn_blocking(move || catalog.apply(&name, span, listing)).await;
        if let Err(stopped) = applied {
            tracing::error!(%source, "a listing could not be taken over: {stopped}");
        }
        Ok(failed)
    }
}

/// The pause after so many listings in a row that failed, whole or in part.
fn pause_after(failures: u32) -> Duration {
    match failures {
        0 => RECENT_INTERVAL,
        again => AFTER_FAILURE.saturating_mul(1 << (again - 1).min(8)).min(RECENT_INTERVAL),
    }
}

/// Up to a tenth longer, so that many mounts of one account do not ask in step.
fn jittered(pause: Duration) -> Duration {
    pause + pause.mul_f32(fastrand::f32() / 10.0)
}
