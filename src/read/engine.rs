//! The engine reads recording files and is the entry point of the module.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::time::Instant;
use tracing::Instrument;

use super::block_loader::BlockLoader;
use super::cache_tiers::{CacheTiers, CachedBytes, DiskLookups};
use super::content::Content;
use super::content_table::{ContentTable, FailingFile};
use super::deadline::DeadlineExceeded;
use super::fetch_purpose::FetchPurpose;
use super::fetch_request::FetchListener;
use super::fetch_scope::FetchScope;
use super::file_breaker::Admission;
use super::file_status::FileStatus;
use super::observer::Observer;
use super::open_file::OpenFile;
use super::prefetcher::{IndexRecorder, Prefetcher};
use super::range_fetch::FetchContext;
use super::range_fetcher::RangeFetcher;
use super::read_forecast::{ReadForecast, is_medium_sized};
use super::recording::Recording;
#[cfg(test)]
use crate::cache::BLOCK_LENGTH;
use crate::cache::disk::{CompleteFile, DiskCache};
use crate::cache::{BlockIndex, BlockSpan, MemoryCache, MemoryStatus};
use crate::http::{
    ByteRange, Client, ExpectedFile, FetchCause, FetchError, LeaseSource, Priority, RangeStream,
    TrafficClass, VersionCheck,
};
#[cfg(test)]
use crate::model::TableSize;
use crate::model::{BodyKind, FileId, SourceName, Version};
use crate::providers::LeaseCache;

/// Maximum time that an `open` waits for the server or the disk. The kernel cannot interrupt an
/// `open` that is being answered, so Ctrl-C has no effect in this time, and the timeout must be
/// well below a second. If the server takes longer, the file opens with the listed size. If that
/// size is wrong, the first read fails.
const OPEN_TIMEOUT: Duration = Duration::from_millis(700);

/// Minimum number of files that the memory for prefetched bytes must hold if they are requested as
/// a whole. A demand-driven request keeps memory for the rest of the file while its reader reads
/// nothing, and others need this memory for their windows.
const MIN_DEMAND_DRIVEN_FILES: u64 = 8;

/// The components and settings of an [`Engine`].
pub struct EngineOptions {
    pub client: Client,
    pub cache: Arc<MemoryCache>,
    /// The disk cache; `None` if it is turned off.
    pub disk: Option<Arc<DiskCache>>,
    /// The lease caches of the mounted sources.
    pub lease_caches: HashMap<SourceName, LeaseCache>,
    /// Maximum duration of a read.
    pub deadline: Duration,
    pub observer: Arc<dyn Observer>,
    /// The runtime on which fetches run.
    pub runtime: tokio::runtime::Handle,
}

/// Reads recording files.
pub struct Engine {
    client: Client,
    lease_caches: HashMap<SourceName, LeaseCache>,
    deadline: Duration,
    runtime: tokio::runtime::Handle,
    caches: Arc<CacheTiers>,
    contents: Arc<ContentTable>,
    loader: Arc<BlockLoader>,
    prefetcher: Arc<Prefetcher>,
    forecast: Arc<ReadForecast>,
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine").field("deadline", &self.deadline).finish_non_exhaustive()
    }
}

impl Engine {
    pub fn new(options: EngineOptions) -> Arc<Self> {
        let EngineOptions { client, cache, disk, lease_caches, deadline, observer, runtime } =
            options;
        let caches = Arc::new(CacheTiers::new(cache, disk));
        let contents = Arc::new(ContentTable::new(caches.clone(), observer));
        let context = Arc::new(FetchContext {
            client: client.clone(),
            deadline,
            contents: contents.clone(),
            runtime: runtime.clone(),
        });
        let loader = Arc::new(BlockLoader {
            caches: caches.clone(),
            in_flight: Arc::default(),
            fetcher: Arc::new(RangeFetcher::new(context)),
            meter: Arc::default(),
            runtime: runtime.clone(),
        });
        let bandwidth = client.bandwidth_limiter().map(|limiter| limiter.bytes_per_second());
        let prefetcher = Prefetcher::new(loader.clone(), client.max_connections(), bandwidth);
        Arc::new(Self {
            client,
            lease_caches,
            deadline,
            runtime,
            caches,
            contents,
            loader,
            prefetcher,
            forecast: Arc::default(),
        })
    }

    /// Opens a handle. Does not send requests or do blocking I/O.
    ///
    /// # Errors
    /// [`FetchError::Gone`] if the source of the file is not mounted any more.
    pub fn open(&self, recording: &Recording) -> Result<Arc<OpenFile>, FetchError> {
        let content =
            self.contents.open(recording, self.lease_source(&recording.id, recording.version)?);
        let active_readers = self.prefetcher.active_readers();
        let forecast = self.forecast.clone();
        Ok(Arc::new(OpenFile::new(content, active_readers, forecast, self.runtime.clone())))
    }

    /// Opens a handle whose leases come from `leases`.
    #[cfg(test)]
    pub(super) fn open_with_leases(
        &self,
        recording: &Recording,
        leases: Arc<dyn LeaseSource>,
    ) -> Arc<OpenFile> {
        let content = self.contents.open(recording, leases);
        let (readers, forecast) = (self.prefetcher.active_readers(), self.forecast.clone());
        Arc::new(OpenFile::new(content, readers, forecast, self.runtime.clone()))
    }

    fn lease_source(
        &self,
        id: &FileId,
        version: Version,
    ) -> Result<Arc<dyn LeaseSource>, FetchError> {
        let lease_source = self.lease_caches.get(&id.source).map(|cache| cache.slot(id, version));
        lease_source.ok_or_else(|| FetchError::Gone("the source of the file is not mounted".into()))
    }

    /// Confirms the size of a file that has not been read yet: requests its first byte, or the
    /// first bytes that its reader is expected to read, and waits briefly for the reply. The result
    /// is recorded in the content of the handle.
    pub async fn confirm_size(&self, file: &Arc<OpenFile>) {
        self.confirm_size_in_scope(file, FetchScope::WithPrefetch).await;
    }

    /// Confirms the size like [`confirm_size`](Self::confirm_size), but requests one byte in any
    /// case. How the file is read does not affect the forecast for other readers.
    pub async fn probe_size(&self, file: &Arc<OpenFile>) {
        self.confirm_size_in_scope(file, FetchScope::Exact { length: 1 }).await;
    }

    async fn confirm_size_in_scope(&self, file: &Arc<OpenFile>, scope: FetchScope) {
        let content = &file.content;
        if content.is_size_confirmed() || content.recent_failure(BlockIndex(0)).is_some() {
            return;
        }
        if self.caches.is_on_disk(content, BlockIndex(0)) {
            // The block was stored under this size, so the server has confirmed the size before.
            content.confirm_size();
            return;
        }
        let may_prefetch = scope == FetchScope::WithPrefetch;
        if may_prefetch {
            file.record_unconfirmed_open();
        }
        // A request for the first bytes confirms the size as well.
        if content.begin_size_request()
            && !self.loader.is_head_in_flight(content)
            && !(may_prefetch && self.forecast.expects_read() && self.request_first_bytes(file))
        {
            let request = self.request_size(content.clone());
            self.runtime.spawn(request.in_current_span());
        }
        // If the server takes longer than the timeout, the file opens with the listed size.
        let _ = tokio::time::timeout(OPEN_TIMEOUT, content.wait_for_size_request()).await;
        // The probe window begins after the wait, because the wait can be for a request that was
        // sent before the server recovered.
        let head = BlockIndex(0).span(content.recording.size);
        content.breaker.begin_probe(head, &file.probe_window, self.deadline);
    }

    /// Requests the bytes that the reader of a handle is expected to read first. Returns false if
    /// no request was started.
    fn request_first_bytes(&self, file: &Arc<OpenFile>) -> bool {
        if self.request_whole_file(file, 0) {
            return true;
        }
        let head = BlockIndex(0).span(file.content.recording.size);
        let purpose = FetchPurpose::Demand(TrafficClass::Interactive, Arc::downgrade(file));
        let first_bytes = BlockSpan::new(0, head.end.min(1));
        self.prefetcher.request_for_reader(&file.content, first_bytes, head, &purpose) > 0
    }

    /// Requests a file of medium size as a whole if `offset` is 0. If its reader is not expected to
    /// read all of it, the request delivers little more than the reader needs. Returns whether a
    /// request was started.
    fn request_whole_file(&self, file: &Arc<OpenFile>, offset: u64) -> bool {
        let size = file.content.recording.size;
        if offset > 0 || !is_medium_sized(size) {
            return false;
        }
        let purpose = if self.forecast.expects_whole_read(size) {
            FetchPurpose::WholeFile(Arc::downgrade(file))
        } else if !self.forecast.expects_partial_read()
            && size <= self.caches.memory.max_prefetch() / MIN_DEMAND_DRIVEN_FILES
            && self.loader.is_head_missing(&file.content)
        {
            FetchPurpose::DemandDrivenFile(Arc::downgrade(file))
        } else {
            return false;
        };
        let (whole_file, listener) = (BlockSpan::new(0, size), self.prefetcher.listener());
        self.loader.request_missing(&file.content, whole_file, &purpose, &listener).requests > 0
    }

    /// Requests one byte of a file. Confirms the size, or makes the content stale if the server
    /// proves another size or serves other bytes.
    fn request_size(&self, content: Arc<Content>) -> impl Future<Output = ()> + Send + 'static {
        // The class whose permits are free sooner: with a bandwidth limit, copies hold the other
        // permits for seconds; without one, prefetched small files can hold the brief permits for
        // as long.
        let is_limited = self.client.bandwidth_limiter().is_some()
            || content.leases.bandwidth_limiter().is_some();
        let traffic_class =
            if is_limited { TrafficClass::Brief } else { TrafficClass::Interactive };
        let (client, contents, deadline) =
            (self.client.clone(), self.contents.clone(), self.deadline);
        async move {
            let request_first_byte = |expected_file| {
                let (client, leases) = (client.clone(), content.leases.clone());
                let class = (traffic_class, Priority::Demand);
                let range = ByteRange { start: 0, end: 1 };
                RangeStream::new(client, leases, range, expected_file, class, deadline)
                    .with_version_check(VersionCheck::StrongTag)
            };
            let expected_file = content.expected_file();
            // An empty file has no first byte. The reply that rejects the range states the length.
            if content.recording.size == 0 {
                let expected_file = ExpectedFile { total_length: None, ..expected_file.clone() };
                let result = request_first_byte(expected_file).open().await;
                if let Err(FetchError::WrongTotal { served_length: 0, .. }) = result {
                    content.confirm_size();
                    return;
                }
            }
            let is_first_reply = expected_file.validator.is_none();
            let open_reply = async || {
                let mut reply = request_first_byte(content.expected_file());
                reply.open().await?;
                if reply.sends_whole_file() {
                    content.record_ignored_range();
                }
                contents.record_reply(&content, reply.validator())
            };
            let result = match open_reply().await {
                // Another request has recorded a validator in the meantime, so this request is sent
                // again and checked against it.
                Err(FetchError::Changed(_)) if is_first_reply => open_reply().await,
                result => result,
            };
            if let Err(error) = result {
                contents.record_error(&content, &error);
            }
        }
    }

    /// Requests one byte of a file to find out its size.
    ///
    /// # Errors
    /// The server does not state the size within the deadline.
    pub async fn find_size(
        &self,
        id: &FileId,
        version: Version,
        body: BodyKind,
    ) -> Result<u64, FetchError> {
        let mut reply = self.stream_first_bytes(id, version, body, 1)?;
        match reply.open().await {
            // An empty file has no first byte. The reply that rejects the range contains the size.
            Err(FetchError::WrongTotal { served_length, .. }) => return Ok(served_length),
            opened => opened?,
        }
        stated_size(&reply)
    }

    /// Requests the first bytes of a file of any format to find out its format and its size.
    /// Returns up to `length` bytes and the size.
    ///
    /// # Errors
    /// The server does not send the bytes and the size within the deadline.
    pub async fn fetch_first_bytes(
        &self,
        id: &FileId,
        version: Version,
        length: u64,
    ) -> Result<(Bytes, u64), FetchError> {
        let mut reply = self.stream_first_bytes(id, version, BodyKind::Opaque, length)?;
        match reply.open().await {
            Err(FetchError::WrongTotal { served_length: 0, .. }) => return Ok((Bytes::new(), 0)),
            opened => opened?,
        }
        let mut bytes = BytesMut::new();
        while let Some(chunk) = reply.chunk().await? {
            bytes.extend_from_slice(&chunk);
        }
        Ok((bytes.freeze(), stated_size(&reply)?))
    }

    fn stream_first_bytes(
        &self,
        id: &FileId,
        version: Version,
        body: BodyKind,
        length: u64,
    ) -> Result<RangeStream, FetchError> {
        Ok(RangeStream::new(
            self.client.clone(),
            self.lease_source(id, version)?,
            ByteRange { start: 0, end: length },
            ExpectedFile { total_length: None, body, validator: None },
            (TrafficClass::Bulk, Priority::Prefetch),
            self.deadline,
        ))
    }

    /// Returns `length` bytes at `offset` if all of them are in memory. Also fills the prefetch
    /// window of the reader. Returns fewer bytes only at the end of the file.
    pub fn read_from_memory(
        &self,
        file: &Arc<OpenFile>,
        offset: u64,
        length: u32,
    ) -> Option<Bytes> {
        let content = &file.content;
        if content.is_stale() {
            return None;
        }
        let span = BlockSpan::for_read(offset, length, content.recording.size);
        file.record_read();
        if span.is_empty() {
            return Some(Bytes::new());
        }
        let bytes = self.loader.available_bytes(content, span)?;
        let read = file.pattern.lock().observe(span, file.meter.read()).describe_read(span);
        self.prefetcher.on_read(file, read);
        Some(bytes)
    }

    /// Returns `length` bytes at `offset` if all of them are in memory. Prefetches nothing, and
    /// does not count as a read of the handle.
    pub fn peek_memory(&self, file: &OpenFile, offset: u64, length: u32) -> Option<Bytes> {
        let content = &file.content;
        let span = BlockSpan::for_read(offset, length, content.recording.size);
        match content.is_stale() {
            true => None,
            false if span.is_empty() => Some(Bytes::new()),
            false => self.loader.available_bytes(content, span),
        }
    }

    /// Returns how many bytes must be transferred for a read of `length` bytes at `offset`: those
    /// that are neither cached nor in flight.
    pub fn missing_bytes(&self, file: &OpenFile, offset: u64, length: u32) -> u64 {
        let content = &file.content;
        let mut span = BlockSpan::for_read(offset, length, content.recording.size);
        // The server sends all bytes from the start of the file on.
        if content.ignores_ranges() {
            span.start = 0;
        }
        self.loader.missing_bytes(content, span)
    }

    /// Reads `length` bytes at `offset`. Returns fewer bytes only at the end of the file.
    ///
    /// # Errors
    /// The exact bytes cannot be fetched within the deadline.
    pub async fn read(
        &self,
        file: &Arc<OpenFile>,
        offset: u64,
        length: u32,
    ) -> Result<Bytes, FetchError> {
        self.read_since(Instant::now(), file, offset, length, FetchScope::WithPrefetch).await
    }

    /// Reads like [`read`](Self::read), but the deadline counts from `call_start`. This time is in
    /// the past if the kernel sent earlier requests for the same system call of the program. If
    /// bytes are missing, fetches those of `scope`.
    ///
    /// # Errors
    /// The same as those of [`read`](Self::read).
    pub async fn read_since(
        &self,
        call_start: Instant,
        file: &Arc<OpenFile>,
        offset: u64,
        length: u32,
        scope: FetchScope,
    ) -> Result<Bytes, FetchError> {
        let content = &file.content;
        let span = BlockSpan::for_read(offset, length, content.recording.size);
        if span.is_empty() {
            return Ok(Bytes::new());
        }
        if let Some(error) = file.recent_timeout(offset) {
            return Err(error);
        }
        let start = Instant::now();
        let deadline = call_start + self.deadline;
        if content.breaker.is_open(span) {
            let purpose = FetchPurpose::Demand(TrafficClass::Interactive, Arc::downgrade(file));
            let cached_bytes = self.loader.read_cached(content, span, &purpose);
            if let Ok(Some(bytes)) = tokio::time::timeout_at(deadline, cached_bytes).await {
                return Ok(bytes);
            }
        }
        let mut admission = content.breaker.admit(span, &file.probe_window, self.deadline);
        if let Admission::Refused(error) = admission {
            return Err(error);
        }
        let (purpose, listener) = match scope {
            FetchScope::WithPrefetch => {
                let (span_to_fetch, class, read) = {
                    let mut pattern = file.pattern.lock();
                    let stream = pattern.observe(span, file.meter.read());
                    let span_to_fetch = stream.span_to_fetch(span, content.recording.size);
                    (span_to_fetch, stream.traffic_class(), stream.describe_read(span))
                };
                let purpose = FetchPurpose::Demand(class, Arc::downgrade(file));
                self.request_whole_file(file, offset);
                self.prefetcher.request_for_reader(content, span, span_to_fetch, &purpose);
                self.prefetcher.on_read(file, read);
                (purpose, self.prefetcher.listener())
            }
            FetchScope::Exact { length } => {
                let purpose = FetchPurpose::Demand(TrafficClass::Interactive, Arc::downgrade(file));
                let listener: Arc<dyn FetchListener> = Arc::new(IndexRecorder);
                let span = BlockSpan::for_read(offset, length, content.recording.size);
                self.loader.request_missing(content, span, &purpose, &listener);
                (purpose, listener)
            }
        };
        let bytes = self.loader.read(file, span, &purpose, &listener);
        tokio::pin!(bytes);
        loop {
            let wait_end = match admission {
                Admission::Admitted => deadline,
                Admission::Probe(probe_end) => probe_end.min(deadline),
                Admission::Refused(error) => return Err(error),
            };
            let is_probe = wait_end < deadline;
            let error = match tokio::time::timeout_at(wait_end, &mut bytes).await {
                Ok(Ok(bytes)) => return Ok(bytes),
                Ok(Err(error)) => error,
                Err(_elapsed) if is_probe => {
                    admission = content.breaker.admit(span, &file.probe_window, self.deadline);
                    continue;
                }
                // Earlier requests of the same system call took at least a quarter of the deadline,
                // so this timeout does not count as a failure of the file. A late start of this
                // task takes much less time.
                Err(_elapsed) if start > call_start + self.deadline / 4 => {
                    return Err(self.deadline_error(file, start));
                }
                // The server is only slow, so the next read gets bytes.
                Err(_elapsed) if content.delivery.lock().is_advancing() => {
                    return Err(self.deadline_error(file, start));
                }
                Err(_elapsed) => self.record_timeout(file, span, start),
            };
            if is_probe {
                content.breaker.record_failed_probe(&error);
            } else {
                let missing_span = self.loader.skip_cached_start(content, span);
                content.breaker.record_failure(missing_span, &error, start, self.deadline);
            }
            return Err(error);
        }
    }

    fn deadline_error(&self, file: &OpenFile, start: Instant) -> FetchError {
        let last_failure = file.content.failure_since(start);
        let cause = DeadlineExceeded { deadline: self.deadline, last_failure };
        FetchError::Deadline(FetchCause::new(cause))
    }

    fn record_timeout(&self, file: &OpenFile, span: BlockSpan, start: Instant) -> FetchError {
        let error = self.deadline_error(file, start);
        file.record_timeout(span.start..span.end, &error);
        file.content.mark_size_unconfirmed();
        error
    }

    /// Returns the state of the memory cache.
    pub fn memory_status(&self) -> MemoryStatus {
        self.caches.memory.status()
    }

    /// Returns how often a block was and was not found in the disk cache.
    pub fn disk_lookups(&self) -> DiskLookups {
        self.caches.disk_lookups()
    }

    /// Counts the cached bytes of a file. Does not access the disk.
    pub fn cached_bytes(&self, recording: &Recording) -> CachedBytes {
        let content = self.contents.find(recording);
        let key = match &content {
            Some(content) => content.disk_key(),
            None => self.contents.disk_key_of_closed(recording),
        };
        self.caches.cached_bytes(content.map(|content| content.id), key, recording.size)
    }

    /// Returns the state of a file, which can be closed. Sends no request and does not access the
    /// disk.
    pub fn file_status(&self, recording: &Recording) -> FileStatus {
        let content = self.contents.find(recording);
        let lease_cache = self.lease_caches.get(&recording.id.source);
        let lease = lease_cache.map(|cache| cache.status(&recording.id, recording.version));
        let lease = lease.unwrap_or_default();
        let outage = content.as_ref().and_then(|content| content.breaker.last_outage());
        FileStatus {
            cached: self.cached_bytes(recording),
            is_size_confirmed: match &content {
                Some(content) => content.is_size_confirmed(),
                None => self.contents.has_confirmed_size(recording),
            },
            has_lease: lease.is_known,
            lease_expiry: lease.expires,
            failure: outage.or(lease.refusal),
        }
    }

    /// Returns the files whose reads currently fail at once.
    pub fn failing_files(&self) -> Vec<FailingFile> {
        self.contents.failing_files()
    }

    /// Returns the number of in-flight fetches and the number of handles with chunks in flight.
    #[cfg(test)]
    pub(crate) fn pending_work(&self) -> (usize, usize) {
        let active_readers = self.prefetcher.active_readers();
        let active_readers = active_readers.load(std::sync::atomic::Ordering::Relaxed);
        (self.loader.in_flight.lock().len(), active_readers)
    }

    #[cfg(test)]
    pub(crate) fn table_sizes(&self) -> Vec<TableSize> {
        let (fetches, readers) = self.pending_work();
        let MemoryStatus { cached_bytes, reserved_bytes, .. } = self.caches.memory.status();
        // Blocks that wait to be written to disk, or whose bytes are in a reply, are not evicted.
        let max_bytes_in_use = self.caches.memory.budget() / 4 + BLOCK_LENGTH;
        let max_cached_bytes = (self.caches.memory.budget() + max_bytes_in_use) as usize;
        let mut sizes = vec![
            TableSize::new("in-flight fetches", fetches),
            TableSize::new("readers with chunks in flight", readers),
            TableSize::new("bytes in the memory cache", cached_bytes as usize)
                .with_limit(max_cached_bytes),
            TableSize::new("reserved MiB", reserved_bytes.div_ceil(1 << 20) as usize),
        ];
        if let Some(disk) = self.caches.disk.as_ref().map(|disk| disk.status()) {
            let used_bytes = TableSize::new("bytes in the disk cache", disk.used_bytes as usize);
            sizes.push(used_bytes.with_limit(disk.limit as usize));
        }
        sizes.extend(self.contents.table_sizes());
        sizes.extend(self.lease_caches.values().flat_map(|cache| cache.table_sizes()));
        sizes
    }

    /// Whether the reader of a file of `size` bytes is expected to read all of it, as the readers
    /// of the last files of similar size did.
    pub fn expects_whole_read(&self, size: u64) -> bool {
        self.forecast.expects_whole_read(size)
    }

    /// Prefetches all bytes of a small file. Returns `false` if the memory budget does not allow
    /// it. The requests continue while the handle is open.
    pub fn prefetch_whole_file(&self, file: &OpenFile) -> bool {
        self.prefetcher.prefetch_whole_file(file)
    }

    /// Whether the index of the disk cache lists all blocks of the file as verified. Does not
    /// access the disk. Always `false` for a file of one block, because such a file takes a single
    /// read in any case.
    pub fn has_complete_file(&self, file: &OpenFile) -> bool {
        self.caches.has_complete_file(&file.content)
    }

    /// Opens the file in the disk cache if all its blocks are there and the disk responds in time.
    pub async fn open_complete_file(&self, file: &OpenFile) -> Option<CompleteFile> {
        let complete_file = self.caches.open_complete_file(&file.content, OPEN_TIMEOUT).await?;
        // The file was stored under this size, so the server has confirmed the size before.
        file.content.confirm_size();
        Some(complete_file)
    }
}

/// Returns the size of the whole file that a reply states.
fn stated_size(reply: &RangeStream) -> Result<u64, FetchError> {
    reply
        .total_length()
        .ok_or_else(|| FetchError::Failed("the reply does not state the size of the file".into()))
}
