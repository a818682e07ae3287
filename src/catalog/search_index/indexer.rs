//! Fetches the texts that the index does not contain yet.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::task::{JoinError, JoinSet};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::coverage::{Coverage, SourceCoverage};
use super::error::SearchIndexError;
use super::search_index::SearchIndex;
use super::text_plan::{PlannedContent, PlannedText, TextId, TextPlan};
use crate::catalog::{Catalog, SizeFinder};
use crate::http::FetchError;
use crate::model::{SourceName, line_with_hint};
use crate::text::Cue;

/// Maximum number of bytes of a text that are indexed. A transcript of ten hours has one megabyte.
const MAX_TEXT_LENGTH: u64 = 4 * 1024 * 1024;

/// Maximum number of texts that are fetched at the same time. The requests are in the background,
/// and each text can take several times its length of memory while it is parsed.
const MAX_CONCURRENT_TEXTS: usize = 2;

/// Delay between a change of the catalog and the comparison with the index. The details of
/// meetings arrive one by one, and a comparison takes milliseconds for each thousand meetings.
const CHANGE_DELAY: Duration = Duration::from_secs(1);

const MIN_RETRY_DELAY: Duration = Duration::from_secs(60);
const MAX_RETRY_DELAY: Duration = Duration::from_secs(6 * 60 * 60);

/// The background task that keeps the index up to date. It requests each version of a text once.
pub struct Indexer {
    pub catalog: Arc<Catalog>,
    pub fetcher: Arc<dyn SizeFinder>,
    pub index: Arc<SearchIndex>,
    pub coverage: Arc<Coverage>,
}

impl std::fmt::Debug for Indexer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Indexer").field("index", &self.index).finish_non_exhaustive()
    }
}

/// The reason why a text is not indexed.
#[derive(Debug, thiserror::Error)]
enum IndexingError {
    #[error("{}", line_with_hint(.0))]
    Fetch(#[from] FetchError),
    #[error("{}", line_with_hint(.0))]
    Index(#[from] SearchIndexError),
    #[error("the operation ended unexpectedly: {0}")]
    Task(#[from] JoinError),
}

/// The time of the next retry of a failed text, and the delay before it.
struct Retry {
    due_at: Instant,
    delay: Duration,
}

type Retries = HashMap<TextId, Retry>;

impl Indexer {
    /// Runs until `shutdown` is canceled.
    pub async fn run(self, shutdown: CancellationToken) {
        tokio::select! {
            () = shutdown.cancelled() => {}
            () = self.run_until_dropped() => {}
        }
    }

    async fn run_until_dropped(self) {
        let mut changes = self.catalog.changes();
        let mut retries = Retries::new();
        let mut is_failing = false;
        loop {
            changes.mark_unchanged();
            match self.compare().await {
                Ok(missing_texts) => {
                    is_failing = false;
                    self.index_texts(missing_texts, &mut retries).await;
                }
                Err(error) => {
                    if !is_failing {
                        tracing::warn!("cannot update the search index: {error}");
                    }
                    is_failing = true;
                    tokio::time::sleep(MIN_RETRY_DELAY).await;
                    continue;
                }
            }
            let next_retry = retries.values().map(|retry| retry.due_at).min();
            let wake_at = next_retry.unwrap_or_else(|| Instant::now() + MAX_RETRY_DELAY);
            tokio::select! {
                () = tokio::time::sleep_until(wake_at) => {}
                changed = changes.changed() => if changed.is_err() { return },
            }
            tokio::time::sleep(CHANGE_DELAY).await;
        }
    }

    /// Compares the index with the catalog. Removes the texts that the catalog no longer contains,
    /// and returns those that are missing from the index.
    async fn compare(&self) -> Result<Vec<(TextId, PlannedText)>, IndexingError> {
        let (index, coverage) = (self.index.clone(), self.coverage.clone());
        let compare = move |catalog: &Catalog| {
            let mut missing_texts = Vec::new();
            // Read before the contents, so that a listing that ends in between has no effect.
            let listed_sources: HashSet<_> = catalog.fully_listed_sources();
            for contents in catalog.contents() {
                let plan = TextPlan::of(&contents.name, &contents.meetings);
                let indexed_texts = index.indexed_texts(&contents.name)?;
                if listed_sources.contains(&contents.name) {
                    let removed_texts: Vec<_> = indexed_texts
                        .keys()
                        .filter(|id| !plan.texts.contains_key(id))
                        .cloned()
                        .collect();
                    index.remove_texts(&removed_texts)?;
                }
                let is_missing = |(id, text): &(TextId, PlannedText)| {
                    indexed_texts.get(id) != Some(&text.version)
                };
                let missing: Vec<_> = plan.texts.into_iter().filter(is_missing).collect();
                let source_coverage = SourceCoverage {
                    source: contents.name.to_string(),
                    meetings: plan.meetings,
                    meetings_with_text: plan.meetings_with_text,
                    missing_texts: missing.len(),
                    failed_texts: 0,
                };
                coverage.set(&contents.name, source_coverage);
                missing_texts.extend(missing);
            }
            // The newest recordings are searched most.
            missing_texts.sort_by_key(|(_, text)| std::cmp::Reverse(text.started_at));
            Ok::<_, SearchIndexError>(missing_texts)
        };
        Ok(self.catalog.run_blocking(compare).await??)
    }

    async fn index_texts(&self, texts: Vec<(TextId, PlannedText)>, retries: &mut Retries) {
        let missing_ids: HashSet<_> = texts.iter().map(|(id, _)| id).collect();
        retries.retain(|id, _| missing_ids.contains(id));
        let now = Instant::now();
        let is_due = |(id, _): &(TextId, PlannedText)| {
            retries.get(id).is_none_or(|retry| retry.due_at <= now)
        };
        let mut due_texts = texts.into_iter().filter(is_due).collect::<Vec<_>>().into_iter();
        let mut running_tasks = JoinSet::new();
        loop {
            while running_tasks.len() < MAX_CONCURRENT_TEXTS {
                let Some((id, text)) = due_texts.next() else { break };
                let (fetcher, index) = (self.fetcher.clone(), self.index.clone());
                running_tasks.spawn(async move {
                    let result = index_text(&*fetcher, index, &id, text).await;
                    (id, result)
                });
            }
            match running_tasks.join_next().await {
                None => break,
                Some(Ok((id, Ok(())))) => {
                    retries.remove(&id);
                    self.coverage.record_indexed_text(&id.source);
                }
                Some(Ok((id, Err(error)))) => {
                    tracing::debug!(source = %id.source, "cannot index a text: {error}");
                    let delay = retries
                        .get(&id)
                        .map_or(MIN_RETRY_DELAY, |retry| (retry.delay * 2).min(MAX_RETRY_DELAY));
                    retries.insert(id, Retry { due_at: Instant::now() + delay, delay });
                }
                Some(Err(error)) => tracing::error!("a text was not indexed: {error}"),
            }
        }
        let mut failed_texts: HashMap<&SourceName, usize> = HashMap::new();
        for id in retries.keys() {
            *failed_texts.entry(&id.source).or_default() += 1;
        }
        for (source, count) in failed_texts {
            self.coverage.record_failed_texts(source, count);
        }
    }
}

async fn index_text(
    fetcher: &dyn SizeFinder,
    index: Arc<SearchIndex>,
    id: &TextId,
    text: PlannedText,
) -> Result<(), IndexingError> {
    let PlannedText { version, started_at, content } = text;
    let id = id.clone();
    match content {
        PlannedContent::Topic(topic) => {
            let save = move || {
                let cue = Cue { text: topic, ..Cue::default() };
                index.save(&id, version, started_at, &[cue])
            };
            tokio::task::spawn_blocking(save).await??;
        }
        PlannedContent::File(file, kind) => {
            let (bytes, _size) = fetcher.fetch_first_bytes(&file, version, MAX_TEXT_LENGTH).await?;
            let save = move || index.save(&id, version, started_at, &kind.parse(&bytes));
            tokio::task::spawn_blocking(save).await??;
        }
    }
    Ok(())
}
