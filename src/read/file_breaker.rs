//! Detects files that cannot be read. Without it, a program that continues to read after an error,
//! or that reads the file again, would wait for the deadline at each block.
//!
//! Closed: reads send requests. If a read reaches its deadline or fails with an error that persists
//! after retries, the breaker of its content opens.
//!
//! Open: reads that need the network fail at once with the same error. Bytes in memory and on disk
//! are served, and nothing is prefetched. A handle that was opened after the failed read had begun
//! can send requests for the [`probe_timeout`], so a copy that starts after the server has
//! recovered does not fail.
//!
//! Half-open: after the [`retry_interval`], one read sends requests and has the whole deadline.
//!
//! When bytes of the failed range arrive, the breaker closes. When bytes of another range arrive,
//! from a request that was sent after the failure, the breaker closes except for the failed range.
//! If it closed for the failed range, too, each program that reads such a file from its start would
//! wait for the deadline again.
//!
//! This file must not know why a read fails. An error that shows that the bytes or the size have
//! changed is not recorded here: it retires the content.

use std::time::Duration;

use tokio::time::Instant;

use crate::cache::BlockSpan;
use crate::http::FetchError;
use crate::sync::Mutex;

/// Number of bytes of one request that show that the server delivers the file again. A server that
/// sends the first bytes of each reply and then stalls has not recovered.
const MIN_DELIVERED: u64 = 64 * 1024;

/// Maximum number of failed ranges that are remembered per file. All reads that a player and a copy
/// have in flight can fail at the same time.
const MAX_FAILED_RANGES: usize = 16;

/// Returns how long reads that need the network fail at once: ten times the deadline. So a program
/// that reads the file spends at most a tenth of its time waiting for it.
pub(super) fn retry_interval(deadline: Duration) -> Duration {
    deadline.saturating_mul(10)
}

/// Returns how long a handle that probes waits for bytes: a tenth of the deadline. A lease and the
/// first bytes take less than a second on a common line, and up to three seconds on a slow one.
pub(super) fn probe_timeout(deadline: Duration) -> Duration {
    (deadline / 10).clamp(Duration::from_secs(1), Duration::from_secs(3)).min(deadline)
}

/// The circuit breaker of one content.
#[derive(Debug, Default)]
pub(super) struct FileBreaker(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    outage: Option<Outage>,
    /// Changes with each new outage, and when the affected ranges of an outage change.
    epoch: u64,
}

#[derive(Debug)]
struct Outage {
    /// When the first read that failed began.
    since: Instant,
    /// The time from which one read may send requests with the whole deadline.
    retry_at: Instant,
    error: FetchError,
    /// The ranges that could not be read and have not arrived since.
    failed: Vec<BlockSpan>,
    /// Whether the other ranges of the file are affected, too.
    is_whole_file: bool,
}

/// The decision about a read that needs the network.
#[derive(Debug)]
pub(super) enum Admission {
    /// The read may use its whole deadline.
    Admitted,
    /// The read may wait for bytes until this time.
    Probe(Instant),
    /// The read must fail with this error, which opened the breaker.
    Refused(FetchError),
}

/// The time at which a handle was opened, and how long it may wait for bytes of a file that cannot
/// be read.
#[derive(Debug)]
pub(super) struct ProbeWindow {
    opened: Instant,
    /// The epoch of the outage that the handle probes, and the end of its wait.
    end: Mutex<Option<(u64, Instant)>>,
}

impl ProbeWindow {
    pub(super) fn new() -> Self {
        Self { opened: Instant::now(), end: Mutex::default() }
    }
}

impl Outage {
    fn affects(&self, span: BlockSpan) -> bool {
        self.is_whole_file || self.failed.iter().any(|failed| overlap(*failed, span))
    }
}

impl FileBreaker {
    /// Whether reads of `span` that need the network are restricted. If so, nothing of `span` is
    /// prefetched.
    pub(super) fn is_open(&self, span: BlockSpan) -> bool {
        self.0.lock().outage.as_ref().is_some_and(|outage| outage.affects(span))
    }

    /// Decides about a read of `span` that needs the network. A half-open breaker admits only one
    /// read in each [`retry_interval`]. Therefore a read that is canceled needs no clean-up.
    pub(super) fn admit(
        &self,
        span: BlockSpan,
        window: &ProbeWindow,
        deadline: Duration,
    ) -> Admission {
        let mut state = self.0.lock();
        let epoch = state.epoch;
        let Some(outage) = state.outage.as_mut().filter(|outage| outage.affects(span)) else {
            return Admission::Admitted;
        };
        let now = Instant::now();
        if now >= outage.retry_at {
            outage.retry_at = now + retry_interval(deadline);
            return Admission::Admitted;
        }
        match window_end(window, outage, epoch, deadline) {
            Some(end) if now < end => Admission::Probe(end),
            _ => Admission::Refused(outage.error.clone()),
        }
    }

    /// Starts the probe window of a handle that is being opened, if the breaker is open for `span`.
    pub(super) fn begin_probe(&self, span: BlockSpan, window: &ProbeWindow, deadline: Duration) {
        let state = self.0.lock();
        if let Some(outage) = state.outage.as_ref().filter(|outage| outage.affects(span)) {
            window_end(window, outage, state.epoch, deadline);
        }
    }

    /// Records that an admitted read of `span`, which began at `began`, failed. Handles that were
    /// opened in the meantime can probe: the kernel can still wait for a read-ahead of a program
    /// that has ended, and the next program must not fail because of it.
    pub(super) fn record_failure(
        &self,
        span: BlockSpan,
        error: &FetchError,
        began: Instant,
        deadline: Duration,
    ) {
        if !persists(error) || span.is_empty() {
            return;
        }
        let mut state = self.0.lock();
        let now = Instant::now();
        let (since, mut failed) = match state.outage.take() {
            Some(outage) if outage.is_whole_file => (outage.since, outage.failed),
            _ => {
                state.epoch += 1;
                (began, Vec::new())
            }
        };
        if failed.len() < MAX_FAILED_RANGES {
            failed.push(span);
        }
        state.outage = Some(Outage {
            since,
            retry_at: now + retry_interval(deadline),
            error: error.clone(),
            failed,
            is_whole_file: true,
        });
    }

    /// Records the error of a failed probe. If the error persists after retries, reads fail with it
    /// from now on.
    pub(super) fn record_failed_probe(&self, error: &FetchError) {
        if let Some(outage) = &mut self.0.lock().outage
            && persists(error)
        {
            outage.error = error.clone();
        }
    }

    /// Records that a request that was sent at `start` has delivered the range `delivered`.
    /// `is_complete` is true if that is the whole requested range.
    pub(super) fn record_delivery(&self, start: Instant, delivered: BlockSpan, is_complete: bool) {
        let mut state = self.0.lock();
        let Some(outage) = &mut state.outage else { return };
        outage.failed =
            outage.failed.iter().flat_map(|failed| without(*failed, delivered)).collect();
        let has_proved = is_complete || delivered.len() >= MIN_DELIVERED;
        if has_proved && start >= outage.since {
            outage.is_whole_file = false;
        }
        if outage.failed.is_empty() {
            state.outage = None;
        } else if has_proved {
            // A handle that has received bytes gets a new probe window.
            state.epoch += 1;
        }
    }

    /// Closes the breaker because the content is retired.
    pub(super) fn close(&self) {
        self.0.lock().outage = None;
    }

    /// Returns the time until which reads fail at once, and their error.
    pub(super) fn outage(&self) -> Option<(Instant, FetchError)> {
        let state = self.0.lock();
        let outage = state.outage.as_ref().filter(|outage| outage.retry_at > Instant::now())?;
        Some((outage.retry_at, outage.error.clone()))
    }
}

fn overlap(one: BlockSpan, other: BlockSpan) -> bool {
    one.start < other.end && other.start < one.end
}

/// Returns the parts of `span` that are not in `other`.
fn without(span: BlockSpan, other: BlockSpan) -> impl Iterator<Item = BlockSpan> {
    let before = BlockSpan::new(span.start, span.end.min(other.start));
    let after = BlockSpan::new(span.start.max(other.end), span.end);
    [before, after].into_iter().filter(|rest| !rest.is_empty())
}

/// Returns the end of the wait of a handle; `None` if it was opened before the outage.
fn window_end(
    window: &ProbeWindow,
    outage: &Outage,
    epoch: u64,
    deadline: Duration,
) -> Option<Instant> {
    if window.opened < outage.since {
        return None;
    }
    let mut end = window.end.lock();
    match *end {
        Some((probed, end)) if probed == epoch => Some(end),
        _ => Some(end.insert((epoch, Instant::now() + probe_timeout(deadline))).1),
    }
}

/// Whether the next read of the file would most likely fail in the same way, and later. A host that
/// is down has its own breaker, and a file that has changed is read under another content.
fn persists(error: &FetchError) -> bool {
    match error {
        FetchError::NotAllowed(_)
        | FetchError::Gone(_)
        | FetchError::NotTheFile(_)
        | FetchError::Deadline(_)
        | FetchError::Failed(_) => true,
        FetchError::Changed(_) | FetchError::WrongTotal { .. } | FetchError::Down(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEADLINE: Duration = Duration::from_secs(30);
    const FAILED: BlockSpan = BlockSpan { start: 1_000_000, end: 1_100_000 };
    const START: BlockSpan = BlockSpan { start: 0, end: 100_000 };

    fn no_bytes() -> FetchError {
        FetchError::Deadline("no reply".into())
    }

    /// A breaker that is open, and a handle that was opened before.
    async fn open_breaker() -> (FileBreaker, ProbeWindow) {
        let breaker = FileBreaker::default();
        let before = ProbeWindow::new();
        pass(Duration::from_millis(1)).await;
        fail(&breaker, FAILED);
        (breaker, before)
    }

    /// A read that begins now fails.
    fn fail(breaker: &FileBreaker, span: BlockSpan) {
        breaker.record_failure(span, &no_bytes(), Instant::now(), DEADLINE);
    }

    async fn pass(time: Duration) {
        tokio::time::advance(time).await;
    }

    fn admit(breaker: &FileBreaker, span: BlockSpan, window: &ProbeWindow) -> Admission {
        breaker.admit(span, window, DEADLINE)
    }

    fn is_admitted(breaker: &FileBreaker, span: BlockSpan, window: &ProbeWindow) -> bool {
        matches!(admit(breaker, span, window), Admission::Admitted)
    }

    #[tokio::test(start_paused = true)]
    async fn failed_file_refuses_with_the_same_error() {
        let (breaker, before) = open_breaker().await;
        for span in [FAILED, START] {
            assert!(breaker.is_open(span));
            let admission = admit(&breaker, span, &before);
            assert!(matches!(admission, Admission::Refused(FetchError::Deadline(_))));
        }
        assert!(breaker.outage().is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn one_read_tries_after_the_interval() {
        let (breaker, before) = open_breaker().await;
        pass(retry_interval(DEADLINE)).await;
        assert!(breaker.outage().is_none());
        assert!(is_admitted(&breaker, START, &before));
        assert!(!is_admitted(&breaker, START, &before), "one read only");
        fail(&breaker, START);
        pass(retry_interval(DEADLINE) - Duration::from_millis(1)).await;
        assert!(!is_admitted(&breaker, START, &before));
        pass(Duration::from_millis(1)).await;
        assert!(is_admitted(&breaker, START, &before));
    }

    #[tokio::test(start_paused = true)]
    async fn new_handle_waits_for_a_moment_only() {
        let (breaker, _) = open_breaker().await;
        let after = ProbeWindow::new();
        let end = match admit(&breaker, START, &after) {
            Admission::Probe(end) => end,
            other => panic!("{other:?}"),
        };
        assert_eq!(end, Instant::now() + probe_timeout(DEADLINE));
        pass(probe_timeout(DEADLINE)).await;
        assert!(matches!(admit(&breaker, START, &after), Admission::Refused(_)));
        let next = ProbeWindow::new();
        assert!(matches!(admit(&breaker, START, &next), Admission::Probe(_)));
    }

    #[tokio::test(start_paused = true)]
    async fn late_failure_does_not_refuse_a_handle_opened_since() {
        let breaker = FileBreaker::default();
        let before = ProbeWindow::new();
        pass(Duration::from_millis(1)).await;
        let began = Instant::now();
        pass(Duration::from_secs(20)).await;
        let since = ProbeWindow::new();
        pass(Duration::from_secs(10)).await;
        breaker.record_failure(FAILED, &no_bytes(), began, DEADLINE);
        assert!(matches!(admit(&breaker, FAILED, &since), Admission::Probe(_)));
        assert!(matches!(admit(&breaker, FAILED, &before), Admission::Refused(_)));
    }

    #[tokio::test(start_paused = true)]
    async fn open_counts_as_a_part_of_the_wait() {
        let (breaker, _) = open_breaker().await;
        let after = ProbeWindow::new();
        breaker.begin_probe(START, &after, DEADLINE);
        pass(probe_timeout(DEADLINE)).await;
        assert!(matches!(admit(&breaker, START, &after), Admission::Refused(_)));
    }

    #[tokio::test(start_paused = true)]
    async fn failed_bytes_close_it() {
        let (breaker, before) = open_breaker().await;
        breaker.record_delivery(Instant::now(), BlockSpan::new(FAILED.start, FAILED.end), true);
        assert!(!breaker.is_open(FAILED));
        assert!(is_admitted(&breaker, FAILED, &before));
    }

    #[tokio::test(start_paused = true)]
    async fn other_bytes_close_it_except_for_the_failed_range() {
        let (breaker, before) = open_breaker().await;
        breaker.record_delivery(Instant::now(), START, false);
        assert!(is_admitted(&breaker, START, &before));
        assert!(!is_admitted(&breaker, FAILED, &before));
        let after = ProbeWindow::new();
        assert!(matches!(admit(&breaker, FAILED, &after), Admission::Probe(_)));
        // Another range that fails affects the whole file again.
        fail(&breaker, START);
        assert!(breaker.is_open(BlockSpan::new(5_000_000, 5_000_001)));
    }

    #[tokio::test(start_paused = true)]
    async fn probe_window_is_renewed_for_the_failed_range() {
        let (breaker, _) = open_breaker().await;
        let after = ProbeWindow::new();
        assert!(matches!(admit(&breaker, START, &after), Admission::Probe(_)));
        breaker.record_delivery(Instant::now(), START, true);
        pass(2 * probe_timeout(DEADLINE)).await;
        assert!(matches!(admit(&breaker, FAILED, &after), Admission::Probe(_)));
    }

    #[tokio::test(start_paused = true)]
    async fn few_or_late_bytes_prove_nothing() {
        let (breaker, _) = open_breaker().await;
        let earlier = Instant::now() - Duration::from_secs(1);
        breaker.record_delivery(Instant::now(), BlockSpan::new(0, 1), false);
        breaker.record_delivery(earlier, START, true);
        assert!(breaker.is_open(START));
    }

    #[tokio::test(start_paused = true)]
    async fn failed_probe_changes_the_error_and_not_the_time() {
        let (breaker, before) = open_breaker().await;
        pass(Duration::from_secs(1)).await;
        breaker.record_failed_probe(&FetchError::Down("no answer".into()));
        assert!(matches!(breaker.outage(), Some((_, FetchError::Deadline(_)))));
        breaker.record_failed_probe(&FetchError::Gone("deleted".into()));
        let (retry_at, error) = breaker.outage().unwrap();
        assert!(matches!(error, FetchError::Gone(_)));
        assert!(retry_at < Instant::now() + retry_interval(DEADLINE));
        assert!(matches!(admit(&breaker, START, &before), Admission::Refused(FetchError::Gone(_))));
    }

    #[tokio::test(start_paused = true)]
    async fn every_failed_range_is_remembered() {
        let (breaker, before) = open_breaker().await;
        let next = BlockSpan::new(FAILED.end, FAILED.end + 100_000);
        fail(&breaker, next);
        breaker.record_delivery(Instant::now(), START, true);
        assert!(!is_admitted(&breaker, FAILED, &before) && !is_admitted(&breaker, next, &before));
    }

    #[tokio::test(start_paused = true)]
    async fn parts_in_any_order_close_it() {
        let parts = [0, 1, 2, 3].map(|part| {
            let start = FAILED.start + part * 25_000;
            BlockSpan::new(start, start + 25_000)
        });
        for order in [[0, 1, 2, 3], [3, 2, 1, 0], [1, 2, 0, 3], [2, 0, 3, 1]] {
            let (breaker, _) = open_breaker().await;
            for (count, part) in order.into_iter().enumerate() {
                assert!(breaker.is_open(FAILED), "{count} of {order:?}");
                breaker.record_delivery(Instant::now(), parts[part], true);
            }
            assert!(!breaker.is_open(FAILED), "{order:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn handle_that_gets_bytes_waits_for_more() {
        let (breaker, _) = open_breaker().await;
        let after = ProbeWindow::new();
        let start = Instant::now();
        for received in (MIN_DELIVERED..99_000).step_by(5_000) {
            assert!(matches!(admit(&breaker, FAILED, &after), Admission::Probe(_)), "{received}");
            pass(probe_timeout(DEADLINE) - Duration::from_millis(1)).await;
            breaker.record_delivery(
                start,
                BlockSpan::new(FAILED.start, FAILED.start + received),
                false,
            );
        }
    }

    #[tokio::test(start_paused = true)]
    async fn changed_file_and_dead_host_leave_it_closed() {
        let breaker = FileBreaker::default();
        for error in [
            FetchError::Changed("another validator".into()),
            FetchError::WrongTotal { expected_length: 1, served_length: 2 },
            FetchError::Down("no answer".into()),
        ] {
            breaker.record_failure(FAILED, &error, Instant::now(), DEADLINE);
            assert!(!breaker.is_open(FAILED), "{error}");
        }
    }
}
