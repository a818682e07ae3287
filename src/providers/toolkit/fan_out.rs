//! Runs many calls to one service with limited concurrency. Stops early if the service is down.

use std::collections::BTreeMap;

use futures_util::{StreamExt, stream};
use tokio::time::{Instant, timeout_at};

use crate::providers::ProviderError;

/// The limits of one run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FanOutLimits {
    pub(crate) concurrency: usize,
    /// The number of consecutive jobs without a reply from the service after which the run ends.
    /// Each of these jobs has already retried. Without this limit, hundreds of jobs would fail one
    /// after the other for minutes while the service is down.
    pub(crate) max_consecutive_failures: usize,
    pub(crate) deadline: Option<Instant>,
}

/// The outcome of a finished job.
pub(crate) enum JobOutcome {
    /// The service replied, perhaps with a refusal.
    Answered,
    /// The service did not reply.
    Unreachable(ProviderError),
    /// Every other job would fail in the same way, so the run ends early.
    Fatal(ProviderError),
}

/// The reason why a run ended early.
pub(crate) enum StopReason {
    Failure(ProviderError),
    Deadline,
}

/// The unfinished jobs of a run that ended early. Jobs in flight are also unfinished: each of them
/// would take as long as the failed jobs and probably fail as well.
pub(crate) struct UnfinishedJobs<K> {
    pub(crate) keys: Vec<K>,
    pub(crate) reason: StopReason,
}

/// Runs `jobs`, each of which has a key. Passes each result to `on_result` as soon as it is
/// available.
///
/// Returns the unfinished jobs, or `None` if all were finished.
pub(crate) async fn fan_out<K, T>(
    limits: FanOutLimits,
    jobs: impl IntoIterator<Item = (K, impl Future<Output = T>)>,
    mut on_result: impl FnMut(K, T) -> JobOutcome,
) -> Option<UnfinishedJobs<K>> {
    let mut unfinished_keys = BTreeMap::new();
    let mut numbered_jobs = Vec::new();
    for (number, (key, job)) in jobs.into_iter().enumerate() {
        unfinished_keys.insert(number, key);
        numbered_jobs.push(async move { (number, job.await) });
    }
    let mut finished_jobs = stream::iter(numbered_jobs).buffer_unordered(limits.concurrency);
    let mut consecutive_failures = 0;
    let reason = loop {
        let next_result = match limits.deadline {
            Some(deadline) => timeout_at(deadline, finished_jobs.next()).await,
            None => Ok(finished_jobs.next().await),
        };
        let (number, result) = match next_result {
            Ok(Some(finished_job)) => finished_job,
            Ok(None) => return None,
            Err(_elapsed) => break StopReason::Deadline,
        };
        let Some(key) = unfinished_keys.remove(&number) else { continue };
        match on_result(key, result) {
            JobOutcome::Answered => consecutive_failures = 0,
            JobOutcome::Unreachable(error) => {
                consecutive_failures += 1;
                if consecutive_failures == limits.max_consecutive_failures {
                    break StopReason::Failure(error);
                }
            }
            JobOutcome::Fatal(error) => break StopReason::Failure(error),
        }
    };
    Some(UnfinishedJobs { keys: unfinished_keys.into_values().collect(), reason })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const LIMITS: FanOutLimits =
        FanOutLimits { concurrency: 2, max_consecutive_failures: 3, deadline: None };

    fn unavailable_error() -> ProviderError {
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
        let mut finished_kinds = String::new();
        let unfinished = fan_out(limits, jobs, |kind, ()| {
            finished_kinds.push(kind);
            match kind {
                'x' => JobOutcome::Unreachable(unavailable_error()),
                '!' => JobOutcome::Fatal(unavailable_error()),
                _ => JobOutcome::Answered,
            }
        })
        .await;
        let unfinished =
            unfinished.map(|jobs| (jobs.keys.len(), matches!(jobs.reason, StopReason::Deadline)));
        (finished_kinds, unfinished)
    }

    #[tokio::test(start_paused = true)]
    async fn consecutive_failures_end_the_run() {
        assert_eq!(run(LIMITS, "xx.xx.").await, ("xx.xx.".into(), None));
        assert_eq!(run(LIMITS, ".xxx....").await, (".xxx".into(), Some((4, false))));
        assert_eq!(run(LIMITS, ".!..").await, (".!".into(), Some((2, false))));
        assert_eq!(run(LIMITS, "").await, (String::new(), None));
    }

    #[tokio::test(start_paused = true)]
    async fn deadline_ends_the_run() {
        let limits =
            FanOutLimits { deadline: Some(Instant::now() + Duration::from_secs(30)), ..LIMITS };
        assert_eq!(run(limits, "..z.z.").await, ("...".into(), Some((3, true))));
    }
}
