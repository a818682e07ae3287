//! Detects files that cannot be read. Without this, a program would wait for the deadline at each
//! block if it continues to read after an error or reads the file again.
//!
//! Closed: reads send requests. If a read reaches its deadline or fails with an error that persists
//! after retries, the breaker of the file opens.
//!
//! Open: reads that need the network fail at once with the same error. Bytes in memory and on disk
//! are still returned, and no bytes are prefetched. A handle that was opened after the start of the
//! failed read can send requests for the [`probe_timeout`]. So a copy that starts after the server
//! has recovered does not fail.
//!
//! Half-open: after the [`retry_interval`], one read sends requests and has the whole deadline.
//! Reads that start in the meantime wait for its result: the kernel splits one read of a program
//! into several, and a program must not get an error for a file that has recovered.
//!
//! When bytes of the failed range arrive, the breaker closes. When a request that was sent after
//! the failure delivers bytes of another range, the breaker closes except for the failed range. If
//! it also closed for the failed range, each program that reads the file from its start would wait
//! for the deadline again.
//!
//! The breaker must not depend on the cause of a failure. An error that shows that the bytes or the
//! size have changed is not recorded here: it makes the content stale.

use std::time::Duration;

use tokio::time::Instant;

use crate::cache::BlockSpan;
use crate::http::FetchError;
use crate::sync::Mutex;

/// Minimum number of bytes of one request that show that the server delivers the file again. A
/// server that sends the first bytes of each reply and then stalls has not recovered.
const MIN_DELIVERED_BYTES: u64 = 64 * 1024;

/// Maximum number of failed ranges that are stored per file. All reads that a player and a copy
/// have in flight can fail at the same time.
const MAX_FAILED_RANGES: usize = 16;

/// How long after its deadline the read that a half-open breaker admitted has to record its result.
/// Without this time, reads that wait for the result would be admitted at the moment at which it
/// fails, and each of them would wait for its own deadline.
const TRIAL_GRACE_PERIOD: Duration = Duration::from_millis(100);

/// Returns the time for which reads that need the network fail at once: ten times the deadline. So
/// a program that reads the file spends at most a tenth of its time waiting for the server.
pub(super) fn retry_interval(deadline: Duration) -> Duration {
    deadline.saturating_mul(10)
}

/// Returns the time for which a handle that probes waits for bytes: a tenth of the deadline. A
/// lease and the first bytes take less than a second on a common line, and up to three seconds on a
/// slow one.
pub(super) fn probe_timeout(deadline: Duration) -> Duration {
    (deadline / 10).clamp(Duration::from_secs(1), Duration::from_secs(3)).min(deadline)
}

/// The circuit breaker of one file content.
#[derive(Debug, Default)]
pub(super) struct FileBreaker(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    outage: Option<Outage>,
    /// A number that changes with each new outage and when the affected ranges of an outage change.
    epoch: u64,
}

#[derive(Debug)]
struct Outage {
    /// The time at which the first failed read started.
    start: Instant,
    /// The time from which one read may send requests and use the whole deadline.
    retry_at: Instant,
    /// The time by which the read that the half-open breaker admitted has recorded its result. If
    /// the time has passed, the read was canceled. `None` after the result.
    trial_end: Option<Instant>,
    error: FetchError,
    /// The ranges that could not be read and have not arrived since.
    failed_ranges: Vec<BlockSpan>,
    /// Whether the outage affects the whole file and not only the failed ranges.
    affects_whole_file: bool,
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

/// The time at which a handle was opened, and the time until which it may wait for bytes during an
/// outage.
#[derive(Debug)]
pub(super) struct ProbeWindow {
    opened_at: Instant,
    /// The epoch of the outage that the handle probes, and the end of the probe window.
    probe_end: Mutex<Option<(u64, Instant)>>,
}

impl ProbeWindow {
    pub(super) fn new() -> Self {
        Self { opened_at: Instant::now(), probe_end: Mutex::default() }
    }
}

impl Outage {
    fn affects(&self, span: BlockSpan) -> bool {
        self.affects_whole_file || self.failed_ranges.iter().any(|range| overlaps(*range, span))
    }
}

impl FileBreaker {
    /// Whether reads of `span` that need the network are restricted. If so, no bytes of `span` are
    /// prefetched.
    pub(super) fn is_open(&self, span: BlockSpan) -> bool {
        self.0.lock().outage.as_ref().is_some_and(|outage| outage.affects(span))
    }

    /// Decides about a read of `span` that needs the network. A half-open breaker admits one read
    /// per [`retry_interval`], and other reads wait for its result until shortly after its
    /// deadline. If it has no result by then, it was canceled, and the next read takes its place. A
    /// canceled read therefore needs no cleanup.
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
        let is_trial_over = outage.trial_end.is_some_and(|end| now >= end);
        if now >= outage.retry_at || is_trial_over {
            outage.retry_at = now + retry_interval(deadline);
            outage.trial_end = Some(now + deadline + TRIAL_GRACE_PERIOD);
            return Admission::Admitted;
        }
        if let Some(end) = outage.trial_end {
            return Admission::Probe(end);
        }
        match probe_window_end(window, outage, epoch, deadline) {
            Some(end) if now < end => Admission::Probe(end),
            _ => Admission::Refused(outage.error.clone()),
        }
    }

    /// Starts the probe window of a handle that is being opened, if the breaker is open for `span`.
    pub(super) fn begin_probe(&self, span: BlockSpan, window: &ProbeWindow, deadline: Duration) {
        let state = self.0.lock();
        if let Some(outage) = state.outage.as_ref().filter(|outage| outage.affects(span)) {
            probe_window_end(window, outage, state.epoch, deadline);
        }
    }

    /// Records that an admitted read of `span`, which started at `read_start`, has failed. Handles
    /// that were opened since then can probe: the kernel may still wait for a read-ahead of a
    /// program that has ended, and the next program must not fail because of it.
    pub(super) fn record_failure(
        &self,
        span: BlockSpan,
        error: &FetchError,
        read_start: Instant,
        deadline: Duration,
    ) {
        let mut state = self.0.lock();
        let now = Instant::now();
        if !is_persistent(error) {
            // The read of a half-open breaker has shown nothing about the file, so the next read
            // takes its place.
            if let Some(outage) = state.outage.as_mut().filter(|outage| outage.trial_end.is_some())
            {
                outage.retry_at = now;
                outage.trial_end = None;
            }
            return;
        }
        if span.is_empty() {
            return;
        }
        let (start, mut failed_ranges) = match state.outage.take() {
            Some(outage) if outage.affects_whole_file => (outage.start, outage.failed_ranges),
            _ => {
                state.epoch += 1;
                (read_start, Vec::new())
            }
        };
        if failed_ranges.len() < MAX_FAILED_RANGES {
            failed_ranges.push(span);
        }
        state.outage = Some(Outage {
            start,
            retry_at: now + retry_interval(deadline),
            trial_end: None,
            error: error.clone(),
            failed_ranges,
            affects_whole_file: true,
        });
    }

    /// Records the error of a failed probe. If the error persists after retries, reads fail with it
    /// from now on.
    pub(super) fn record_failed_probe(&self, error: &FetchError) {
        if let Some(outage) = &mut self.0.lock().outage
            && is_persistent(error)
        {
            outage.error = error.clone();
        }
    }

    /// Records that a request that was sent at `start` has delivered the bytes of `delivered_span`.
    /// `is_complete` states whether that is the whole requested range.
    pub(super) fn record_delivery(
        &self,
        start: Instant,
        delivered_span: BlockSpan,
        is_complete: bool,
    ) {
        let mut state = self.0.lock();
        let Some(outage) = &mut state.outage else { return };
        let failed_ranges = outage.failed_ranges.iter();
        outage.failed_ranges =
            failed_ranges.flat_map(|range| subtract(*range, delivered_span)).collect();
        let shows_recovery = is_complete || delivered_span.len() >= MIN_DELIVERED_BYTES;
        if shows_recovery && start >= outage.start {
            outage.affects_whole_file = false;
        }
        if outage.failed_ranges.is_empty() {
            state.outage = None;
        } else if shows_recovery {
            // A handle that has received bytes gets a new probe window.
            state.epoch += 1;
        }
    }

    /// Closes the breaker because the content becomes stale.
    pub(super) fn close(&self) {
        self.0.lock().outage = None;
    }

    /// Returns the error of the last failed read, and the time from which a read sends requests
    /// again, which can be in the past. Returns `None` if the failed ranges have arrived.
    pub(super) fn last_outage(&self) -> Option<(Instant, FetchError)> {
        let state = self.0.lock();
        state.outage.as_ref().map(|outage| (outage.retry_at, outage.error.clone()))
    }

    /// Returns the time until which reads fail at once, and the error of these reads.
    pub(super) fn outage(&self) -> Option<(Instant, FetchError)> {
        let state = self.0.lock();
        let outage = state.outage.as_ref().filter(|outage| outage.retry_at > Instant::now())?;
        Some((outage.retry_at, outage.error.clone()))
    }
}

fn overlaps(first: BlockSpan, second: BlockSpan) -> bool {
    first.start < second.end && second.start < first.end
}

/// Returns the parts of `span` that are not in `removed`.
fn subtract(span: BlockSpan, removed: BlockSpan) -> impl Iterator<Item = BlockSpan> {
    let part_before = BlockSpan::new(span.start, span.end.min(removed.start));
    let part_after = BlockSpan::new(span.start.max(removed.end), span.end);
    [part_before, part_after].into_iter().filter(|part| !part.is_empty())
}

/// Returns the end of the probe window of a handle. Returns `None` if the handle was opened before
/// the outage.
fn probe_window_end(
    window: &ProbeWindow,
    outage: &Outage,
    epoch: u64,
    deadline: Duration,
) -> Option<Instant> {
    if window.opened_at < outage.start {
        return None;
    }
    let mut probe_end = window.probe_end.lock();
    match *probe_end {
        Some((probed_epoch, end)) if probed_epoch == epoch => Some(end),
        _ => Some(probe_end.insert((epoch, Instant::now() + probe_timeout(deadline))).1),
    }
}

/// Whether the next read of the file would most likely fail in the same way after a wait. A host
/// that is down has its own breaker, and a file that has changed is read with a new content. A
/// range that is too far away fails without a wait, and other ranges of the file can be read.
fn is_persistent(error: &FetchError) -> bool {
    match error {
        FetchError::NotAllowed(_)
        | FetchError::Gone(_)
        | FetchError::NotTheFile(_)
        | FetchError::Deadline(_)
        | FetchError::Failed(_) => true,
        FetchError::Changed(_)
        | FetchError::WrongTotal { .. }
        | FetchError::Down(_)
        | FetchError::RangesIgnored(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEADLINE: Duration = Duration::from_secs(30);
    const FAILED_RANGE: BlockSpan = BlockSpan { start: 1_000_000, end: 1_100_000 };
    const FILE_START: BlockSpan = BlockSpan { start: 0, end: 100_000 };

    fn timeout_error() -> FetchError {
        FetchError::Deadline("no reply".into())
    }

    /// Returns an open breaker, and a handle that was opened before the outage.
    async fn open_breaker() -> (FileBreaker, ProbeWindow) {
        let breaker = FileBreaker::default();
        let old_handle = ProbeWindow::new();
        advance_time(Duration::from_millis(1)).await;
        fail_read(&breaker, FAILED_RANGE);
        (breaker, old_handle)
    }

    /// Simulates a read that starts now and fails.
    fn fail_read(breaker: &FileBreaker, span: BlockSpan) {
        breaker.record_failure(span, &timeout_error(), Instant::now(), DEADLINE);
    }

    #[tokio::test(start_paused = true)]
    async fn read_that_shows_nothing_about_the_file_is_repeated() {
        let (breaker, old_handle) = open_breaker().await;
        advance_time(retry_interval(DEADLINE)).await;
        for _ in 0..2 {
            assert!(is_admitted(&breaker, FAILED_RANGE, &old_handle));
            let host_is_down = FetchError::Down("no connection".into());
            breaker.record_failure(FAILED_RANGE, &host_is_down, Instant::now(), DEADLINE);
        }
        assert!(is_admitted(&breaker, FAILED_RANGE, &old_handle));
        fail_read(&breaker, FAILED_RANGE);
        assert!(!is_admitted(&breaker, FAILED_RANGE, &old_handle));
    }

    async fn advance_time(time: Duration) {
        tokio::time::advance(time).await;
    }

    fn admit(breaker: &FileBreaker, span: BlockSpan, window: &ProbeWindow) -> Admission {
        breaker.admit(span, window, DEADLINE)
    }

    fn is_admitted(breaker: &FileBreaker, span: BlockSpan, window: &ProbeWindow) -> bool {
        matches!(admit(breaker, span, window), Admission::Admitted)
    }

    #[tokio::test(start_paused = true)]
    async fn open_breaker_refuses_reads_with_the_same_error() {
        let (breaker, old_handle) = open_breaker().await;
        for span in [FAILED_RANGE, FILE_START] {
            assert!(breaker.is_open(span));
            let admission = admit(&breaker, span, &old_handle);
            assert!(matches!(admission, Admission::Refused(FetchError::Deadline(_))));
        }
        assert!(breaker.outage().is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn one_read_is_admitted_after_the_retry_interval() {
        let (breaker, old_handle) = open_breaker().await;
        advance_time(retry_interval(DEADLINE)).await;
        assert!(breaker.outage().is_none());
        assert!(is_admitted(&breaker, FILE_START, &old_handle));
        assert!(!is_admitted(&breaker, FILE_START, &old_handle), "one read only");
        fail_read(&breaker, FILE_START);
        advance_time(retry_interval(DEADLINE) - Duration::from_millis(1)).await;
        assert!(!is_admitted(&breaker, FILE_START, &old_handle));
        advance_time(Duration::from_millis(1)).await;
        assert!(is_admitted(&breaker, FILE_START, &old_handle));
    }

    #[tokio::test(start_paused = true)]
    async fn later_reads_wait_for_the_admitted_read() {
        let (breaker, old_handle) = open_breaker().await;
        advance_time(retry_interval(DEADLINE)).await;
        assert!(is_admitted(&breaker, FILE_START, &old_handle));
        let trial_end = Instant::now() + DEADLINE + TRIAL_GRACE_PERIOD;
        advance_time(DEADLINE / 2).await;
        for window in [&old_handle, &ProbeWindow::new()] {
            let admission = admit(&breaker, FAILED_RANGE, window);
            assert!(
                matches!(admission, Admission::Probe(end) if end == trial_end),
                "{admission:?}"
            );
        }
        fail_read(&breaker, FILE_START);
        let admission = admit(&breaker, FAILED_RANGE, &old_handle);
        assert!(matches!(admission, Admission::Refused(_)), "{admission:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn next_read_takes_the_place_of_a_canceled_one() {
        let (breaker, old_handle) = open_breaker().await;
        advance_time(retry_interval(DEADLINE)).await;
        assert!(is_admitted(&breaker, FILE_START, &old_handle));
        advance_time(DEADLINE + TRIAL_GRACE_PERIOD).await;
        // The error of the outage is older than the canceled read, so it is not returned.
        assert!(is_admitted(&breaker, FAILED_RANGE, &old_handle));
        assert!(!is_admitted(&breaker, FAILED_RANGE, &old_handle), "one read only");
    }

    #[tokio::test(start_paused = true)]
    async fn new_handle_waits_only_for_the_probe_timeout() {
        let (breaker, _) = open_breaker().await;
        let new_handle = ProbeWindow::new();
        let end = match admit(&breaker, FILE_START, &new_handle) {
            Admission::Probe(end) => end,
            other => panic!("{other:?}"),
        };
        assert_eq!(end, Instant::now() + probe_timeout(DEADLINE));
        advance_time(probe_timeout(DEADLINE)).await;
        assert!(matches!(admit(&breaker, FILE_START, &new_handle), Admission::Refused(_)));
        let next_handle = ProbeWindow::new();
        assert!(matches!(admit(&breaker, FILE_START, &next_handle), Admission::Probe(_)));
    }

    #[tokio::test(start_paused = true)]
    async fn handle_opened_during_the_failed_read_can_probe() {
        let breaker = FileBreaker::default();
        let old_handle = ProbeWindow::new();
        advance_time(Duration::from_millis(1)).await;
        let read_start = Instant::now();
        advance_time(Duration::from_secs(20)).await;
        let new_handle = ProbeWindow::new();
        advance_time(Duration::from_secs(10)).await;
        breaker.record_failure(FAILED_RANGE, &timeout_error(), read_start, DEADLINE);
        assert!(matches!(admit(&breaker, FAILED_RANGE, &new_handle), Admission::Probe(_)));
        assert!(matches!(admit(&breaker, FAILED_RANGE, &old_handle), Admission::Refused(_)));
    }

    #[tokio::test(start_paused = true)]
    async fn probe_window_begins_when_the_file_is_opened() {
        let (breaker, _) = open_breaker().await;
        let new_handle = ProbeWindow::new();
        breaker.begin_probe(FILE_START, &new_handle, DEADLINE);
        advance_time(probe_timeout(DEADLINE)).await;
        assert!(matches!(admit(&breaker, FILE_START, &new_handle), Admission::Refused(_)));
    }

    #[tokio::test(start_paused = true)]
    async fn delivery_of_the_failed_range_closes_the_breaker() {
        let (breaker, old_handle) = open_breaker().await;
        breaker.record_delivery(
            Instant::now(),
            BlockSpan::new(FAILED_RANGE.start, FAILED_RANGE.end),
            true,
        );
        assert!(!breaker.is_open(FAILED_RANGE));
        assert!(is_admitted(&breaker, FAILED_RANGE, &old_handle));
    }

    #[tokio::test(start_paused = true)]
    async fn only_the_failed_range_is_refused_after_delivery() {
        let (breaker, old_handle) = open_breaker().await;
        breaker.record_delivery(Instant::now(), FILE_START, false);
        assert!(is_admitted(&breaker, FILE_START, &old_handle));
        assert!(!is_admitted(&breaker, FAILED_RANGE, &old_handle));
        let new_handle = ProbeWindow::new();
        assert!(matches!(admit(&breaker, FAILED_RANGE, &new_handle), Admission::Probe(_)));
        // If a read of another range fails, the whole file is affected again.
        fail_read(&breaker, FILE_START);
        assert!(breaker.is_open(BlockSpan::new(5_000_000, 5_000_001)));
    }

    #[tokio::test(start_paused = true)]
    async fn probe_window_is_renewed_for_the_failed_range() {
        let (breaker, _) = open_breaker().await;
        let new_handle = ProbeWindow::new();
        assert!(matches!(admit(&breaker, FILE_START, &new_handle), Admission::Probe(_)));
        breaker.record_delivery(Instant::now(), FILE_START, true);
        advance_time(2 * probe_timeout(DEADLINE)).await;
        assert!(matches!(admit(&breaker, FAILED_RANGE, &new_handle), Admission::Probe(_)));
    }

    #[tokio::test(start_paused = true)]
    async fn short_or_earlier_delivery_does_not_close_breaker() {
        let (breaker, _) = open_breaker().await;
        let before_outage = Instant::now() - Duration::from_secs(1);
        breaker.record_delivery(Instant::now(), BlockSpan::new(0, 1), false);
        breaker.record_delivery(before_outage, FILE_START, true);
        assert!(breaker.is_open(FILE_START));
    }

    #[tokio::test(start_paused = true)]
    async fn failed_probe_changes_only_the_error() {
        let (breaker, old_handle) = open_breaker().await;
        advance_time(Duration::from_secs(1)).await;
        breaker.record_failed_probe(&FetchError::Down("no answer".into()));
        assert!(matches!(breaker.outage(), Some((_, FetchError::Deadline(_)))));
        breaker.record_failed_probe(&FetchError::Gone("deleted".into()));
        let (retry_at, error) = breaker.outage().unwrap();
        assert!(matches!(error, FetchError::Gone(_)));
        assert!(retry_at < Instant::now() + retry_interval(DEADLINE));
        assert!(matches!(
            admit(&breaker, FILE_START, &old_handle),
            Admission::Refused(FetchError::Gone(_))
        ));
    }

    #[tokio::test(start_paused = true)]
    async fn every_failed_range_is_stored() {
        let (breaker, old_handle) = open_breaker().await;
        let second_range = BlockSpan::new(FAILED_RANGE.end, FAILED_RANGE.end + 100_000);
        fail_read(&breaker, second_range);
        breaker.record_delivery(Instant::now(), FILE_START, true);
        assert!(!is_admitted(&breaker, FAILED_RANGE, &old_handle));
        assert!(!is_admitted(&breaker, second_range, &old_handle));
    }

    #[tokio::test(start_paused = true)]
    async fn parts_of_failed_range_may_arrive_in_any_order() {
        let parts = [0, 1, 2, 3].map(|part| {
            let start = FAILED_RANGE.start + part * 25_000;
            BlockSpan::new(start, start + 25_000)
        });
        for order in [[0, 1, 2, 3], [3, 2, 1, 0], [1, 2, 0, 3], [2, 0, 3, 1]] {
            let (breaker, _) = open_breaker().await;
            for (count, part) in order.into_iter().enumerate() {
                assert!(breaker.is_open(FAILED_RANGE), "{count} of {order:?}");
                breaker.record_delivery(Instant::now(), parts[part], true);
            }
            assert!(!breaker.is_open(FAILED_RANGE), "{order:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn delivered_bytes_extend_the_probe_window() {
        let (breaker, _) = open_breaker().await;
        let new_handle = ProbeWindow::new();
        let start = Instant::now();
        for received in (MIN_DELIVERED_BYTES..99_000).step_by(5_000) {
            assert!(
                matches!(admit(&breaker, FAILED_RANGE, &new_handle), Admission::Probe(_)),
                "{received}"
            );
            advance_time(probe_timeout(DEADLINE) - Duration::from_millis(1)).await;
            breaker.record_delivery(
                start,
                BlockSpan::new(FAILED_RANGE.start, FAILED_RANGE.start + received),
                false,
            );
        }
    }

    #[tokio::test(start_paused = true)]
    async fn changed_file_or_down_host_keeps_breaker_closed() {
        let breaker = FileBreaker::default();
        for error in [
            FetchError::Changed("another validator".into()),
            FetchError::WrongTotal { expected_length: 1, served_length: 2 },
            FetchError::Down("no answer".into()),
        ] {
            breaker.record_failure(FAILED_RANGE, &error, Instant::now(), DEADLINE);
            assert!(!breaker.is_open(FAILED_RANGE), "{error}");
        }
    }
}
