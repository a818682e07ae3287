//! Starts range fetches, and lets all fetches of a content share one download if its server ignores
//! ranges.
//!
//! If a content is known to be on such a server, its first fetch sends the only request, and all
//! others join the queue of the content. If the server sends the whole file, the fetches are filled
//! by a [`Download`]. If it sends the range, the queued fetches are repeated as usual.
//!
//! Lock order: the table of in-flight fetches, then the table of queues, then a queue.

use std::collections::HashMap;
use std::sync::Arc;

use tracing::Instrument;

use super::download::{Download, FetchQueue};
use super::fetch_request::{FetchRequest, Fetcher};
use super::in_flight::FetchFailure;
use super::range_fetch::{FetchContext, RangeFetch};
use crate::cache::ContentId;
use crate::http::{FetchError, MAX_SKIPPED_BYTES, skip_limit_error};
use crate::sync::Mutex;

/// Starts range fetches over HTTP.
pub(super) struct RangeFetcher {
    context: Arc<FetchContext>,
    queues: Arc<FetchQueues>,
}

/// The queues of the contents whose fetches share a download.
#[derive(Default)]
struct FetchQueues(Mutex<HashMap<ContentId, Arc<FetchQueue>>>);

impl RangeFetcher {
    pub(super) fn new(context: Arc<FetchContext>) -> Self {
        Self { context, queues: Arc::default() }
    }
}

impl Fetcher for RangeFetcher {
    fn start(&self, request: FetchRequest) {
        let span = tracing::debug_span!(
            "fetch",
            content = request.content.id.0,
            start = request.span.start,
            end = request.span.end,
            purpose = request.purpose.name(),
        );
        let ignores_ranges = request.content.ignores_ranges();
        let fetch = RangeFetch::new(self.context.clone(), request);
        let queues = self.queues.clone();
        let run = match ignores_ranges {
            false => queues.run(fetch, None),
            true => match queues.join_or_open(fetch) {
                Some((fetch, queue)) => queues.run(fetch, Some(queue)),
                None => return,
            },
        };
        self.context.runtime.spawn(run.instrument(span));
    }
}

impl FetchQueues {
    /// Adds a fetch to the queue of its content. If the content has none, opens one and returns
    /// it together with the fetch.
    fn join_or_open(&self, fetch: RangeFetch) -> Option<(RangeFetch, Arc<FetchQueue>)> {
        let mut queues = self.0.lock();
        let content = fetch.request().content.id;
        if let Some(queue) = queues.get(&content) {
            queue.push(fetch);
            return None;
        }
        let queue = Arc::<FetchQueue>::default();
        queues.insert(content, queue.clone());
        Some((fetch, queue))
    }

    /// Runs a fetch. `queue` is the queue of its content if the server is known to ignore ranges.
    async fn run(self: Arc<Self>, mut fetch: RangeFetch, mut queue: Option<Arc<FetchQueue>>) {
        let content = fetch.request().content.clone();
        loop {
            let start = fetch.request().span.start;
            let result = if queue.is_some() && start > MAX_SKIPPED_BYTES {
                Err(FetchFailure::Failed(skip_limit_error(start)))
            } else {
                fetch.run().await
            };
            if let Err(FetchFailure::Failed(FetchError::RangesIgnored(_))) | Ok(Some(_)) = &result {
                content.record_ignored_range();
            }
            let stream = match result {
                Ok(Some(stream)) => stream,
                Ok(None) => {
                    content.record_served_range();
                    fetch.finish(Ok(()));
                    break;
                }
                Err(failure) => {
                    fetch.finish(Err(failure));
                    break;
                }
            };
            let own_queue = match queue.take() {
                Some(queue) => queue,
                None => {
                    let Some((own_fetch, queue)) = self.join_or_open(fetch) else { return };
                    fetch = own_fetch;
                    queue
                }
            };
            let next_fetch = Download::new(fetch).run(stream, &own_queue).await;
            queue = Some(own_queue);
            match next_fetch {
                Some(next_fetch) => fetch = next_fetch,
                None => break,
            }
        }
        if let Some(queue) = queue {
            self.0.lock().remove(&content.id);
            queue.drain().into_iter().for_each(|fetch| fetch.finish(Err(FetchFailure::Abandoned)));
        }
    }
}
