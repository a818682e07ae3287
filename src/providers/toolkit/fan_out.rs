//! Runs many calls to one service with bounded concurrency. Stops early when the service is down.

use std::collections::BTreeMap;

use futures_util::{StreamExt, stream};
use tokio::time::{Instant, timeout_at};

use crate::providers::ProviderError;

/// The limits of one run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FanOutLimits {
    pub(crate) concurrency: usize,
    /// The run ends after this many jobs in a row that did not reach the service. Each of them has
    /// already retried. Without this limit, hundreds of jobs would fail one after the other for
    /// minutes while the service is down.
    pub(crate) max_failures_in_a_row: usize,
    pub(crate) deadline: Option<Instant>,
}

/// The outcome of a finished job.
pub(crate) enum JobOutcome {
    /// The service replied, perhaps with a refusal.
    Answered,
    /// The service did not reply.
    Unreachable(ProviderError),
    /// Every other job would fail in the same way, so the run ends.
    Fatal(ProviderError),
}

/// The reason why a run ended early.
pub(crate) enum StopReason {
    Failure(ProviderError),
    Deadline,
}

/// The unfinished jobs of a run that ended early. They include jobs in flight, because each of
/// these would wait as long as the jobs that failed.
pub(crate) struct UnfinishedJobs<K> {
    pub(crate) keys: Vec<K>,
    pub(crate) reason: StopReason,
}

/// Runs `jobs`, each of which has a key, and passes each result to `on_done` as soon as it is
/// available.
///
/// Returns the unfinished jobs, or `None` if all were finished.
pub(crate) async fn fan_out<K, T>(
    limits: FanOutLimits,
    jobs: impl IntoIterator<Item = (K, impl Future<Output = T>)>,
    mut on_done: impl FnMut(K, T) -> JobOutcome,
) -> Option<UnfinishedJobs<K>> {
    let mut unfinished = BTreeMap::new();
    let mut numbered = Vec::new();
    for (number, (key, job)) in jobs.into_iter().enumerate() {
        unfinished.insert(number, key);
        numbered.push(async move { (number, job.await) });
    }
    let mut done = stream::iter(numbered).buffer_unordered(limits.concurrency);
    let mut in_a_row = 0;
    let reason = loop {
        let next = match limits.deadline {
            Some(deadline) => timeout_at(deadline, done.next()).await,
            None => Ok(done.next().await),
        };
        let (number, outcome) = match next {
            Ok(Some(done)) => done,
            Ok(None) => return None,
            Err(_elapsed) => break StopReason::Deadline,
        };
        let Some(key) = unfinished.remove(&number) else { continue };
        match on_done(key, outcome) {
            JobOutcome::Answered => in_a_row = 0,
            JobOutcome::Unreachable(error) => {
                in_a_row += 1;
                if in_a_row == limits.max_failures_in_a_row {
                    break StopReason::Failure(error);
                }
            }
            JobOutcome::Fatal(error) => break StopReason::Failure(error),
        }
    };
    Some(UnfinishedJobs { keys: unfinished.into_values().collect(), reason })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const LIMITS: FanOutLimits =
        FanOutLimits { concurrency: 2, max_failures_in_a_row: 3, deadline: None };

    fn down() -> ProviderError {
        ProviderError::unavailable("down")
    }

    /// Runs one job per character: `.` is answered, `x` is unreachable, `!` is fatal, and `z` takes
    /// a minute.
    async fn run(limits: FanOutLimits, jobs: &str) -> (String, Option<(usize, bool)>) {
        let jobs = jobs.chars().map(|kind| {
            let job = async move {
                if kind == 'z' {
                    tokio::time::sleep(Duration::from_secs(60)).await;
                }
            };
            (kind, job)
        });
        let mut seen = String::new();
        let unfinished = fan_out(limits, jobs, |kind, ()| {
            seen.push(kind);
            match kind {
                'x' => JobOutcome::Unreachable(down()),
                '!' => JobOutcome::Fatal(down()),
                _ => JobOutcome::Answered,
            }
        })
        .await;
        let rest = unfinished.map(|it| (it.keys.len(), matches!(it.reason, StopReason::Deadline)));
        (seen, rest)
    }

    #[tokio::test(start_paused = true)]
    async fn failures_in_a_row_end_the_run() {
        assert_eq!(run(LIMITS, "xx.xx.").await, ("xx.xx.".into(), None));
        assert_eq!(run(LIMITS, ".xxx....").await, (".xxx".into(), Some((4, false))));
        assert_eq!(run(LIMITS, ".!..").await, (".!".into(), Some((2, false))));
        assert_eq!(run(LIMITS, "").await, (String::new(), None));
    }

    #[tokio::test(start_paused = true)]
    async fn the_deadline_ends_the_run() {
        let limits =
            FanOutLimits { deadline: Some(Instant::now() + Duration::from_secs(30)), ..LIMITS };
        assert_eq!(run(limits, "..z.z.").await, ("...".into(), Some((3, true))));
    }
}
