//! When listings are asked for.

use std::sync::Arc;
use std::time::Duration;

use jiff::civil::Date;
use jiff::{Timestamp, ToSpan, tz::TimeZone};
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::Catalog;
use crate::model::DaySpan;
use crate::providers::{Provider, ProviderError};

/// Pause between listings of the last days: a new recording or a late transcript shows within this time.
const RECENT_EVERY: Duration = Duration::from_secs(5 * 60);

/// How far back the frequent listings look. Recordings turn up hours after their meeting but under the meeting's
/// date, and processing takes one to three days at the worst (Zoom, "Recording processing"); a week is safe.
const RECENT_DAYS: i32 = 7;

/// Pause between listings of everything, which find deletions and late changes in the past.
const FULL_EVERY: Duration = Duration::from_secs(6 * 60 * 60);

/// Pause after a listing that failed, so that a cloud that comes back is noticed soon and one that is down is
/// not pressed.
const AFTER_FAILURE: Duration = Duration::from_secs(60);

/// Keeps one source's listing fresh.
pub struct Refresher {
    /// Whom to ask.
    pub provider: Arc<dyn Provider>,
    /// Where the answers go.
    pub catalog: Arc<Catalog>,
    /// The first day of the archive, UTC.
    pub since: Date,
    /// Asks for a full listing now.
    pub now: Arc<Notify>,
}

impl std::fmt::Debug for Refresher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Refresher").field("source", self.provider.source()).finish_non_exhaustive()
    }
}

impl Refresher {
    /// Lists everything once. Says whether it was listed whole; what failed in part is taken over and logged.
    ///
    /// # Errors
    /// Nothing could be listed.
    pub async fn full(&self) -> Result<bool, ProviderError> {
        self.list(self.since).await
    }

    async fn list(&self, from: Date) -> Result<bool, ProviderError> {
        let today = TimeZone::UTC.to_datetime(Timestamp::now()).date();
        // Tomorrow is included: the provider's day may have begun before ours.
        let to = today.checked_add(1.day()).unwrap_or(today);
        let span = DaySpan { from: from.min(to), to };
        let source = self.provider.source();
        let listing = self.provider.list(span).await?;
        for (days, error) in &listing.failed {
            tracing::warn!(%source, "the days {} to {} are incomplete: {error}", days.from, days.to);
        }
        let whole = listing.failed.is_empty();
        tracing::info!(%source, meetings = listing.meetings.len(), from = %span.from, "listed");
        self.catalog.apply(source, span, listing);
        Ok(whole)
    }

    /// Lists again and again until `ended`: the last days often, everything rarely and when asked to. `listed` says
    /// whether a full listing has just been had.
    pub async fn run(self, listed: bool, ended: CancellationToken) {
        let mut last_full = listed.then(Instant::now);
        let mut pause = if listed { RECENT_EVERY } else { AFTER_FAILURE };
        loop {
            let asked = tokio::select! {
                () = ended.cancelled() => return,
                () = self.now.notified() => true,
                () = tokio::time::sleep(jittered(pause)) => false,
            };
            let full = asked || last_full.is_none_or(|at| at.elapsed() >= FULL_EVERY);
            let today = TimeZone::UTC.to_datetime(Timestamp::now()).date();
            let recent = today.checked_sub(RECENT_DAYS.days()).unwrap_or(today).max(self.since);
            let from = if full { self.since } else { recent };
            let outcome = tokio::select! {
                () = ended.cancelled() => return,
                outcome = self.list(from) => outcome,
            };
            pause = match outcome {
                Ok(true) => {
                    if full {
                        last_full = Some(Instant::now());
                    }
                    RECENT_EVERY
                }
                Ok(false) => AFTER_FAILURE,
                Err(error) => {
                    tracing::warn!(source = %self.provider.source(), "could not be listed: {error}");
                    AFTER_FAILURE
                }
            };
        }
    }
}

/// Up to a tenth longer, so that many mounts of one account do not ask in step.
fn jittered(pause: Duration) -> Duration {
    pause + pause.mul_f32(fastrand::f32() / 10.0)
}
