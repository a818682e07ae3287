//! Learns in the background what listings omit: sizes, details, and what can be downloaded from the
//! recycle bin.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use jiff::Timestamp;
use tokio::sync::watch;
use tokio::task::{JoinError, JoinSet};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::catalog::Catalog;
use super::enrichment_task::EnrichmentTask;
use crate::http::{FetchError, Priority};
use crate::model::{
    BodyKind, Details, FileId, MeetingId, RecordingFile, Version, WEB_VTT_SIGNATURE_LENGTH,
    is_web_vtt, line_with_hint,
};
use crate::providers::{LeaseEffort, LeaseRequest, Provider, ProviderError};

/// The number of tasks of one source at the same time. Four hide the round trips of a small
/// archive, leave most connections to reads, and exceed the four calls per second of a free plan
/// only briefly.
const MAX_CONCURRENT_TASKS: usize = 4;

/// The delay before a failed task is retried. It doubles with each failure up to
/// [`MAX_RETRY_DELAY`].
const MIN_RETRY_DELAY: Duration = Duration::from_secs(30);

const MAX_RETRY_DELAY: Duration = Duration::from_secs(60 * 60);

/// Measures the length of a file at its server.
#[async_trait]
pub trait SizeFinder: Send + Sync {
    /// Returns the length in bytes.
    ///
    /// # Errors
    /// The server did not return it.
    async fn find_size(
        &self,
        id: &FileId,
        version: Version,
        body: BodyKind,
    ) -> Result<u64, FetchError>;

    /// Returns the first bytes, at most `length`, and the length of the file in bytes.
    ///
    /// # Errors
    /// The server did not return them.
    async fn find_beginning(
        &self,
        id: &FileId,
        version: Version,
        length: u64,
    ) -> Result<(Bytes, u64), FetchError>;
}

/// Completes the catalog of one source.
pub struct Enricher {
    pub provider: Arc<dyn Provider>,
    pub sizes: Arc<dyn SizeFinder>,
    pub catalog: Arc<Catalog>,
    /// The revision of the catalog for which all tasks are done or wait for a retry; `None` while
    /// one is pending.
    pub settled: watch::Sender<Option<u64>>,
}

impl std::fmt::Debug for Enricher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Enricher").field("source", self.provider.source()).finish_non_exhaustive()
    }
}

/// Why a task failed.
#[derive(Debug, thiserror::Error)]
enum EnrichmentError {
    #[error("{}", line_with_hint(.0))]
    Provider(#[from] ProviderError),
    #[error("{}", line_with_hint(.0))]
    Fetch(#[from] FetchError),
    #[error("the catalog call ended unexpectedly: {0}")]
    Catalog(#[from] JoinError),
}

/// When a failed task is retried, and the delay before that.
struct Retry {
    at: Instant,
    delay: Duration,
}

impl Enricher {
    /// Works until `ended`.
    pub async fn run(self, ended: CancellationToken) {
        let mut changes = self.catalog.changes();
        let mut retries: HashMap<EnrichmentTask, Retry> = HashMap::new();
        loop {
            let revision = *changes.borrow_and_update();
            let source = self.provider.source().clone();
            let tasks = self
                .catalog
                .run_blocking(move |catalog| catalog.enrichment_tasks(&source, Timestamp::now()))
                .await;
            let Ok(tasks) = tasks else { return };
            retries.retain(|task, _| tasks.contains(task));
            let now = Instant::now();
            let due: Vec<_> = tasks
                .into_iter()
                .filter(|task| retries.get(task).is_none_or(|retry| retry.at <= now))
                .collect();
            self.settled.send_replace(due.is_empty().then_some(revision));
            if due.is_empty() {
                let next = retries.values().map(|retry| retry.at).min();
                let wake = next.unwrap_or_else(|| now + MAX_RETRY_DELAY);
                tokio::select! {
                    () = ended.cancelled() => return,
                    () = tokio::time::sleep_until(wake) => {}
                    changed = changes.changed() => if changed.is_err() { return },
                }
                continue;
            }
            tokio::select! {
                () = ended.cancelled() => return,
                () = self.complete(due, &mut retries) => {}
            }
        }
    }

    async fn complete(
        &self,
        tasks: Vec<EnrichmentTask>,
        retries: &mut HashMap<EnrichmentTask, Retry>,
    ) {
        let mut running = JoinSet::new();
        let mut waiting = tasks.into_iter();
        loop {
            while running.len() < MAX_CONCURRENT_TASKS {
                let Some(task) = waiting.next() else { break };
                let worker = Worker {
                    provider: self.provider.clone(),
                    sizes: self.sizes.clone(),
                    catalog: self.catalog.clone(),
                };
                running.spawn(async move {
                    let result = worker.complete(&task).await;
                    (task, result)
                });
            }
            let Some(done) = running.join_next().await else { return };
            match done {
                Ok((task, Ok(()))) => {
                    retries.remove(&task);
                }
                Ok((task, Err(error))) => {
                    tracing::debug!(source = %self.provider.source(), "a background request failed: {error}");
                    let delay = retries
                        .get(&task)
                        .map_or(MIN_RETRY_DELAY, |retry| (retry.delay * 2).min(MAX_RETRY_DELAY));
                    retries.insert(task, Retry { at: Instant::now() + delay, delay });
                }
                Err(error) => tracing::error!("a background request ended unexpectedly: {error}"),
            }
        }
    }
}

/// Completes one task.
struct Worker {
    provider: Arc<dyn Provider>,
    sizes: Arc<dyn SizeFinder>,
    catalog: Arc<Catalog>,
}

impl Worker {
    async fn complete(&self, task: &EnrichmentTask) -> Result<(), EnrichmentError> {
        match task {
            EnrichmentTask::Size(id, version, body) => {
                let size = match self.catalog.file_of_details(id) {
                    Some(mut file) if file.may_be_web_vtt() => {
                        let size = self.find_format(&mut file).await?;
                        self.record_format(file).await?;
                        size
                    }
                    _ => self.sizes.find_size(id, *version, *body).await?,
                };
                self.record_size(id, *version, size).await
            }
            EnrichmentTask::Details(meeting) => self.request_details(meeting).await,
            EnrichmentTask::Probe(id, version, body) => {
                let (id, version) = (id.clone(), *version);
                let refusal = self.probe_download(&id, version, *body).await?;
                let record = move |catalog: &Catalog| catalog.record_probe(&id, version, refusal);
                Ok(self.catalog.run_blocking(record).await?)
            }
        }
    }

    async fn record_size(
        &self,
        id: &FileId,
        version: Version,
        size: u64,
    ) -> Result<(), EnrichmentError> {
        let id = id.clone();
        let record = move |catalog: &Catalog| catalog.record_size(&id, version, size);
        Ok(self.catalog.run_blocking(record).await?)
    }

    /// Finds out from its first bytes whether a transcript is WebVTT. A URL says nothing reliable
    /// about it, and no player loads WebVTT under another extension. Returns the size.
    async fn find_format(&self, file: &mut RecordingFile) -> Result<u64, FetchError> {
        let (bytes, size) = self
            .sizes
            .find_beginning(&file.id, file.version, WEB_VTT_SIGNATURE_LENGTH as u64)
            .await?;
        if is_web_vtt(&bytes) {
            file.set_web_vtt();
        }
        Ok(size)
    }

    async fn record_format(&self, file: RecordingFile) -> Result<(), EnrichmentError> {
        let record = move |catalog: &Catalog| catalog.record_format(&file);
        Ok(self.catalog.run_blocking(record).await?)
    }

    /// Measures a file of new details. A failed measurement gets its own task.
    async fn examine(
        &self,
        file: &mut RecordingFile,
        known: Option<&Details>,
    ) -> Result<(), EnrichmentError> {
        let known = known.and_then(|known| known.files.iter().find(|other| other.id == file.id));
        if known
            .is_some_and(|known| known.version == file.version && known.body == BodyKind::WebVtt)
        {
            file.set_web_vtt();
        }
        let size = if file.may_be_web_vtt() {
            self.find_format(file).await
        } else if self.catalog.needs_size(file) {
            self.sizes.find_size(&file.id, file.version, file.body).await
        } else {
            return Ok(());
        };
        match size {
            Ok(size) => self.record_size(&file.id, file.version, size).await,
            Err(_) => Ok(()),
        }
    }

    async fn request_details(&self, meeting: &MeetingId) -> Result<(), EnrichmentError> {
        let source = self.provider.source();
        // Before the request: the listing may change in the meantime.
        let request = self.catalog.details_request(source, meeting);
        let known = request.known;
        let details = match &known {
            Some(known) if request.is_outdated => {
                self.provider.renew_details(meeting, known).await.map(Some)
            }
            Some(known) => self.provider.complete_details(meeting, known).await.map(Some),
            None => self.provider.details(meeting).await,
        };
        let listing_hash = request.listing_hash;
        let mut details = details?.map(|details| Details { listing_hash, ..details });
        // The download URLs of these files may have come with the details, and they are not stored:
        // a later measurement could cost the same request again.
        for file in details.iter_mut().flat_map(|details| &mut details.files) {
            self.examine(file, known.as_deref()).await?;
        }
        let (source, meeting) = (source.clone(), meeting.clone());
        let record = move |catalog: &Catalog| catalog.record_details(&source, &meeting, details);
        Ok(self.catalog.run_blocking(record).await?)
    }

    /// Requests one byte of a file in the recycle bin. Returns the reason if the file cannot be
    /// downloaded. If it can, its size is recorded.
    async fn probe_download(
        &self,
        id: &FileId,
        version: Version,
        body: BodyKind,
    ) -> Result<Option<String>, EnrichmentError> {
        // The provider first: a wrong credential refuses everything, and says nothing of this file.
        let (effort, priority) = (LeaseEffort::Listed, Priority::Background);
        match self.provider.lease(LeaseRequest { file: id, version, effort, priority }).await {
            Ok(_lease) => {}
            Err(error) if error.is_refusal() => return Ok(Some(line_with_hint(&error))),
            Err(error) => return Err(error.into()),
        }
        match self.sizes.find_size(id, version, body).await {
            Ok(size) => {
                self.record_size(id, version, size).await?;
                Ok(None)
            }
            Err(
                FetchError::NotAllowed(cause)
                | FetchError::Gone(cause)
                | FetchError::NotTheFile(cause),
            ) => Ok(Some(line_with_hint(&cause))),
            Err(error) => Err(error.into()),
        }
    }
}
