//! Finds out in the background what listings leave out: sizes, and details for `meeting.json`.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::Catalog;
use super::store::EnrichmentTask;
use crate::http::{FetchError, Priority};
use crate::model::{BodyKind, Details, FileId, Version, line_with_hint};
use crate::providers::{LeaseEffort, Provider};

/// Questions under way at once for one source: enough to hide the round trips of a small archive, few enough
/// that reads keep most of the connections and a free plan's four calls a second are not passed for long.
const AT_ONCE: usize = 4;

/// First pause before a failed question is asked again; doubles up to [`MAX_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_secs(30);
const MAX_PAUSE: Duration = Duration::from_secs(60 * 60);

/// Learns a file's length from its server.
#[async_trait]
pub trait SizeFinder: Send + Sync {
    /// The length in bytes.
    ///
    /// # Errors
    /// It could not be learned.
    async fn find_size(&self, id: &FileId, body: BodyKind) -> Result<u64, FetchError>;
}

/// Answers the catalog's questions about one source.
pub struct Enricher {
    /// Whom to ask for details.
    pub provider: Arc<dyn Provider>,
    /// Whom to ask for sizes.
    pub sizes: Arc<dyn SizeFinder>,
    /// Where the answers go.
    pub catalog: Arc<Catalog>,
    /// Set to the change of the catalog up to which every question that can be answered has been; `None` while one is
    /// open.
    pub settled: watch::Sender<Option<u64>>,
}

impl std::fmt::Debug for Enricher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Enricher").field("source", self.provider.source()).finish_non_exhaustive()
    }
}

/// A question that failed: when to ask again, and the pause after that.
struct Failed {
    again: Instant,
    pause: Duration,
}

impl Enricher {
    /// Works until `ended`.
    pub async fn run(self, ended: CancellationToken) {
        let mut changes = self.catalog.changes();
        let mut failed: HashMap<EnrichmentTask, Failed> = HashMap::new();
        loop {
            let seen = *changes.borrow_and_update();
            let questions = self.catalog.questions(self.provider.source());
            failed.retain(|question, _| questions.contains(question));
            let now = Instant::now();
            let due: Vec<_> = questions
                .into_iter()
                .filter(|question| failed.get(question).is_none_or(|failed| failed.again <= now))
                .collect();
            self.settled.send_replace(due.is_empty().then_some(seen));
            if due.is_empty() {
                let next = failed.values().map(|failed| failed.again).min();
                let wake = next.unwrap_or_else(|| now + MAX_PAUSE);
                tokio::select! {
                    () = ended.cancelled() => return,
                    () = tokio::time::sleep_until(wake) => {}
                    changed = changes.changed() => if changed.is_err() { return },
                }
                continue;
            }
            tokio::select! {
                () = ended.cancelled() => return,
                () = self.answer(due, &mut failed) => {}
            }
        }
    }

    async fn answer(
        &self,
        questions: Vec<EnrichmentTask>,
        failed: &mut HashMap<EnrichmentTask, Failed>,
    ) {
        let mut asked = JoinSet::new();
        let mut waiting = questions.into_iter();
        loop {
            while asked.len() < AT_ONCE {
                let Some(question) = waiting.next() else { break };
                let (provider, sizes, catalog) =
                    (self.provider.clone(), self.sizes.clone(), self.catalog.clone());
                asked.spawn(async move {
                    let answered = ask(&question, &*provider, &*sizes, &catalog).await;
                    (question, answered)
                });
            }
            let Some(done) = asked.join_next().await else { return };
            match done {
                Ok((question, Ok(()))) => {
                    failed.remove(&question);
                }
                Ok((question, Err(why))) => {
                    tracing::debug!(source = %self.provider.source(), "not found out yet: {why}");
                    let pause = failed
                        .get(&question)
                        .map_or(FIRST_PAUSE, |failed| (failed.pause * 2).min(MAX_PAUSE));
                    failed.insert(question, Failed { again: Instant::now() + pause, pause });
                }
                Err(stopped) => {
                    tracing::error!("a background question ended unexpectedly: {stopped}")
                }
            }
        }
    }
}

async fn ask(
    question: &EnrichmentTask,
    provider: &dyn Provider,
    sizes: &dyn SizeFinder,
    catalog: &Catalog,
) -> Result<(), String> {
    match question {
        EnrichmentTask::Size(id, version, body) => {
            let size = sizes.find_size(id, *body).await.map_err(|error| line_with_hint(&error))?;
            catalog.record_size(id, *version, size);
        }
        EnrichmentTask::Details(meeting) => {
            // What is listed meanwhile may be another thing already.
            let told = catalog.told(provider.source(), meeting);
            let details = match told.known {
                Some(known) if told.is_outdated => provider.renew(meeting, &known).await.map(Some),
                Some(known) => provider.complete(meeting, &known).await.map(Some),
                None => provider.details(meeting).await,
            };
            let details = details.map_err(|error| error.to_string())?;
            let details = details.map(|details| Details { listing_hash: told.listed, ..details });
            // The links of these files may have come with the details, and are not kept over a restart: a length that was
            // left for later could cost the same question again. One that fails is asked for by itself.
            for file in details.iter().flat_map(|details| &details.files) {
                if catalog.needs_size(file)
                    && let Ok(size) = sizes.find_size(&file.id, file.body).await
                {
                    catalog.record_size(&file.id, file.version, size);
                }
            }
            catalog.record_details(provider.source(), meeting, details);
        }
        EnrichmentTask::Trial(id, version, body) => {
            let refusal = try_file(id, *body, provider, sizes, catalog, *version).await?;
            catalog.record_probe(id, *version, refusal);
        }
    }
    Ok(())
}

/// Asks for one byte of a file in the recycle bin. Why it is not given out; `None` if it is, and then its size is known.
async fn try_file(
    id: &FileId,
    body: BodyKind,
    provider: &dyn Provider,
    sizes: &dyn SizeFinder,
    catalog: &Catalog,
    version: Version,
) -> Result<Option<String>, String> {
    // The provider's own word first: a wrong credential refuses everything, and says nothing of this file.
    match provider.lease(id, LeaseEffort::Listed, Priority::Background).await {
        Ok(_lease) => {}
        Err(error) if error.is_refusal() => return Ok(Some(line_with_hint(&error))),
        Err(error) => return Err(line_with_hint(&error)),
    }
    match sizes.find_size(id, body).await {
        Ok(size) => {
            catalog.record_size(id, version, size);
            Ok(None)
        }
        Err(
            FetchError::NotAllowed(cause) | FetchError::Gone(cause) | FetchError::NotTheFile(cause),
        ) => Ok(Some(line_with_hint(&cause))),
        Err(error) => Err(line_with_hint(&error)),
    }
}
