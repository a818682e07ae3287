//! Requests values that listings omit, in the background: file sizes, meeting details, and whether
//! files in the recycle bin can be downloaded.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::watch;
use tokio::task::{JoinError, JoinSet};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::catalog::Catalog;
use super::enrichment_task::EnrichmentTask;
use crate::http::{FetchError, Priority};
use crate::model::{
    BodyKind, Details, ErrorReport, FileId, MeetingId, RecordingFile, Version,
    WEB_VTT_SIGNATURE_LENGTH, current_time, is_web_vtt, line_with_hint,
};
use crate::providers::{LeaseEffort, LeaseRequest, Provider, ProviderError};

/// Maximum number of concurrent tasks of one source. Four tasks finish a small archive quickly and
/// leave most connections to reads. They exceed the rate limit of a free plan, which is four calls
/// per second, only briefly.
const MAX_CONCURRENT_TASKS: usize = 4;

/// Delay before the first retry of a failed task. The delay doubles with each failure, up to
/// [`MAX_RETRY_DELAY`].
const MIN_RETRY_DELAY: Duration = Duration::from_secs(30);

const MAX_RETRY_DELAY: Duration = Duration::from_secs(60 * 60);

/// Requests the length or the first bytes of a file from its server.
#[async_trait]
pub trait SizeFinder: Send + Sync {
    /// Returns the length of the file in bytes.
    ///
    /// # Errors
    /// Returns an error if the server does not return the length.
    async fn find_size(
        &self,
        id: &FileId,
        version: Version,
        body: BodyKind,
    ) -> Result<u64, FetchError>;

    /// Returns the first bytes of the file, at most `length`, and the length of the whole file in
    /// bytes.
    ///
    /// # Errors
    /// Returns an error if the server does not return the bytes.
    async fn fetch_first_bytes(
        &self,
        id: &FileId,
        version: Version,
        length: u64,
    ) -> Result<(Bytes, u64), FetchError>;
}

/// The background task that runs the enrichment tasks of one source.
pub struct Enricher {
    pub provider: Arc<dyn Provider>,
    pub size_finder: Arc<dyn SizeFinder>,
    pub catalog: Arc<Catalog>,
    /// The revision of the catalog at which all tasks were done or waiting for a retry. `None`
    /// while tasks are running.
    pub settled_revision: watch::Sender<Option<u64>>,
}

impl std::fmt::Debug for Enricher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Enricher").field("source", self.provider.source()).finish_non_exhaustive()
    }
}

/// The reason why a task failed.
#[derive(Debug, thiserror::Error)]
enum EnrichmentError {
    #[error("{}", line_with_hint(.0))]
    Provider(#[from] ProviderError),
    #[error("{}", line_with_hint(.0))]
    Fetch(#[from] FetchError),
    #[error("the catalog operation ended unexpectedly: {0}")]
    Catalog(#[from] JoinError),
}

/// The time of the next retry of a failed task, and the delay before it.
struct Retry {
    due_at: Instant,
    delay: Duration,
}

impl Enricher {
    /// Runs until `shutdown` is canceled.
    pub async fn run(self, shutdown: CancellationToken) {
        let mut changes = self.catalog.changes();
        let mut retries: HashMap<EnrichmentTask, Retry> = HashMap::new();
        loop {
            let revision = *changes.borrow_and_update();
            let source = self.provider.source().clone();
            let tasks = self
                .catalog
                .run_blocking(move |catalog| catalog.enrichment_tasks(&source, current_time()))
                .await;
            let Ok(tasks) = tasks else { return };
            retries.retain(|task, _| tasks.contains(task));
            let now = Instant::now();
            let due_tasks: Vec<_> = tasks
                .into_iter()
                .filter(|task| retries.get(task).is_none_or(|retry| retry.due_at <= now))
                .collect();
            self.settled_revision.send_replace(due_tasks.is_empty().then_some(revision));
            if due_tasks.is_empty() {
                let next_retry = retries.values().map(|retry| retry.due_at).min();
                let wake_at = next_retry.unwrap_or_else(|| now + MAX_RETRY_DELAY);
                tokio::select! {
                    () = shutdown.cancelled() => return,
                    () = tokio::time::sleep_until(wake_at) => {}
                    changed = changes.changed() => if changed.is_err() { return },
                }
                continue;
            }
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = self.run_tasks(due_tasks, &mut retries) => {}
            }
        }
    }

    async fn run_tasks(
        &self,
        tasks: Vec<EnrichmentTask>,
        retries: &mut HashMap<EnrichmentTask, Retry>,
    ) {
        let mut running_tasks = JoinSet::new();
        let mut waiting_tasks = tasks.into_iter();
        loop {
            while running_tasks.len() < MAX_CONCURRENT_TASKS {
                let Some(task) = waiting_tasks.next() else { break };
                let worker = Worker {
                    provider: self.provider.clone(),
                    size_finder: self.size_finder.clone(),
                    catalog: self.catalog.clone(),
                };
                running_tasks.spawn(async move {
                    let result = worker.run_task(&task).await;
                    (task, result)
                });
            }
            let Some(finished) = running_tasks.join_next().await else { return };
            match finished {
                Ok((task, Ok(()))) => {
                    retries.remove(&task);
                }
                Ok((task, Err(error))) => {
                    tracing::debug!(source = %self.provider.source(), "an enrichment task failed: {error}");
                    let delay = retries
                        .get(&task)
                        .map_or(MIN_RETRY_DELAY, |retry| (retry.delay * 2).min(MAX_RETRY_DELAY));
                    retries.insert(task, Retry { due_at: Instant::now() + delay, delay });
                }
                Err(error) => tracing::error!("an enrichment task ended unexpectedly: {error}"),
            }
        }
    }
}

/// Runs one [`EnrichmentTask`].
struct Worker {
    provider: Arc<dyn Provider>,
    size_finder: Arc<dyn SizeFinder>,
    catalog: Arc<Catalog>,
}

impl Worker {
    async fn run_task(&self, task: &EnrichmentTask) -> Result<(), EnrichmentError> {
        match task {
            EnrichmentTask::Size(id, version, body) => {
                let size = match self.catalog.detail_file(id) {
                    Some(mut file) if file.may_be_web_vtt() => {
                        let size = self.detect_format(&mut file).await?;
                        self.record_format(file).await?;
                        size
                    }
                    _ => self.size_finder.find_size(id, *version, *body).await?,
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

    /// Determines from its first bytes whether a transcript is WebVTT, and returns the size of the
    /// file. The format must be known, because players load WebVTT only from a file with the
    /// extension `.vtt`. The URL does not state the format reliably.
    async fn detect_format(&self, file: &mut RecordingFile) -> Result<u64, FetchError> {
        let (bytes, size) = self
            .size_finder
            .fetch_first_bytes(&file.id, file.version, WEB_VTT_SIGNATURE_LENGTH as u64)
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

    /// Measures the size of a file that the details of a meeting contain. If this fails, a separate
    /// task measures the size later.
    async fn measure_detail_file(
        &self,
        file: &mut RecordingFile,
        known_details: Option<&Details>,
    ) -> Result<(), EnrichmentError> {
        let known_file = known_details
            .and_then(|details| details.files.iter().find(|known| known.id == file.id));
        if known_file
            .is_some_and(|known| known.version == file.version && known.body == BodyKind::WebVtt)
        {
            file.set_web_vtt();
        }
        let size = if file.may_be_web_vtt() {
            self.detect_format(file).await
        } else if self.catalog.needs_size(file) {
            self.size_finder.find_size(&file.id, file.version, file.body).await
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
        // The stored data is read before the request, because the listing may change during the
        // request.
        let request = self.catalog.details_request(source, meeting);
        let known_details = request.known_details;
        let details = match &known_details {
            Some(known) if request.is_outdated => {
                self.provider.refetch_details(meeting, known).await.map(Some)
            }
            Some(known) => self.provider.complete_details(meeting, known).await.map(Some),
            None => self.provider.details(meeting).await,
        };
        let listing_hash = request.listing_hash;
        let mut details = details?.map(|details| Details { listing_hash, ..details });
        // The files are measured now, because their download URLs may have come with the details
        // and are not stored. A later measurement could have to request the details again.
        for file in details.iter_mut().flat_map(|details| &mut details.files) {
            self.measure_detail_file(file, known_details.as_deref()).await?;
        }
        let (source, meeting) = (source.clone(), meeting.clone());
        let record = move |catalog: &Catalog| catalog.record_details(&source, &meeting, details);
        Ok(self.catalog.run_blocking(record).await?)
    }

    /// Requests one byte of a file in the recycle bin. If the file cannot be downloaded, returns
    /// the reason. Otherwise records its size and returns `None`.
    async fn probe_download(
        &self,
        id: &FileId,
        version: Version,
        body: BodyKind,
    ) -> Result<Option<String>, EnrichmentError> {
        // The lease is requested first. With a wrong credential the provider refuses every request,
        // and that must not be recorded as a property of this file.
        let (effort, priority) = (LeaseEffort::Listed, Priority::Background);
        match self.provider.lease(LeaseRequest { file: id, version, effort, priority }).await {
            Ok(_lease) => {}
            Err(error) if error.is_refusal() => {
                return Ok(Some(ErrorReport::of(&error).sentence()));
            }
            Err(error) => return Err(error.into()),
        }
        match self.size_finder.find_size(id, version, body).await {
            Ok(size) => {
                self.record_size(id, version, size).await?;
                Ok(None)
            }
            Err(
                FetchError::NotAllowed(cause)
                | FetchError::Gone(cause)
                | FetchError::NotTheFile(cause),
            ) => Ok(Some(ErrorReport::of(&cause).sentence())),
            Err(error) => Err(error.into()),
        }
    }
}
