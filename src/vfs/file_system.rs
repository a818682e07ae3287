//! The operations of the file system.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::ops::ControlFlow;
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use super::attributes::{Attributes, BLOCK_SIZE, FileKind, Owner};
use super::directory_stream::{DirectoryEntry, DirectoryEntryPlus, DirectoryStream};
use super::error::Error;
use super::handle::{Handle, OpenText};
use super::handle_table::HandleId;
use super::handles::Handles;
use super::invalidation::{Invalidation, InvalidationQueue};
use super::open_files::{OpenContent, OpenFiles};
use super::open_recording::{OpenRecording, ReaderId, recording_of};
use super::page_cache::PageCache;
use super::passthrough::{BackingFile, BackingRegistrar, Passthrough, ReadRoute};
use super::read_error_log::ReadErrorLog;
use super::scanner::Scanner;
use super::scanner_limiter::ScannerLimiter;
use super::sibling_prefetch::{MAX_SMALL_FILE_LENGTH, SiblingPrefetcher};
use super::unlisted_sources::UnlistedSources;
use super::xattr::{self, ListedAttributes, XattrReply};
use crate::http::FetchError;
#[cfg(test)]
use crate::model::TableSize;
use crate::model::{line_with_hint, log_event};
use crate::read::{CompleteFile, Engine, FetchScope, OpenFile};
use crate::tree::{Content, Ino, LiveTree, Node, NodeProperties, Snapshot};

/// How long the kernel may cache names and attributes. The daemon reports changes to the kernel
/// with an [`Invalidation`](super::Invalidation), so this TTL only limits the effect of a lost
/// invalidation. With a short TTL, every `ls` would send one request per file.
pub const ATTRIBUTE_TTL: Duration = Duration::from_secs(3600);

/// How long the kernel may cache that a name does not exist. For every video, players repeatedly
/// look up a dozen names of subtitle files. The TTL is short although new names are reported to the
/// kernel: a user who gets "No such file" tries again within seconds.
const ABSENT_TTL: Duration = Duration::from_secs(5);

/// Maximum length of a name in bytes, as statfs(2) reports it.
const MAX_NAME_LENGTH: usize = 255;

/// How long an `open` or a failed read waits until a corrected length has reached the tree and the
/// kernel.
const CORRECTION_TIMEOUT: Duration = Duration::from_millis(500);

/// Timeout for the kernel to drop the pages of a file during an `open`. A drop takes less than a
/// millisecond, but drops are sent one after another, and one can wait for a page fault of a
/// private memory mapping. A program accepts two seconds for an `open`. After the timeout, the
/// handle bypasses the pages.
const PAGE_DROP_TIMEOUT: Duration = Duration::from_secs(2);

/// Number of bytes that are fetched for a read of a scanner that does not use the kernel's pages,
/// if its budget has them. Some scanners read a few kilobytes at a time, and each read would take a
/// round trip. file(1) requests 7 MiB with one call, and needs only the first kilobytes.
///
/// It is also the minimum for a read of pages: after a read-ahead that exceeded the budget, the
/// kernel requests single pages.
const SCANNER_FETCH_LENGTH: u32 = 64 * 1024;

/// The components and settings of a [`FileSystem`].
#[derive(Debug)]
pub struct FileSystemOptions {
    pub tree: Arc<LiveTree>,
    pub engine: Arc<Engine>,
    pub unlisted_sources: Arc<UnlistedSources>,
    pub handles: Arc<Handles>,
    pub scanner_limiter: Arc<ScannerLimiter>,
    /// The provider of each source.
    pub provider_names: HashMap<String, String>,
    pub owner: Owner,
    /// The runtime for tasks that prefetch sibling files.
    pub runtime: tokio::runtime::Handle,
    pub invalidations: Arc<InvalidationQueue>,
    /// Whether the kernel may read complete files directly from the disk cache.
    pub allows_passthrough: bool,
}

/// The file system. `B` is the registration of a backing file with the kernel. It ends when the
/// value is dropped.
#[derive(Debug)]
pub struct FileSystem<B> {
    tree: Arc<LiveTree>,
    engine: Arc<Engine>,
    unlisted_sources: Arc<UnlistedSources>,
    provider_names: HashMap<String, String>,
    owner: Owner,
    runtime: tokio::runtime::Handle,
    invalidations: Arc<InvalidationQueue>,
    handles: Arc<Handles>,
    scanner_limiter: Arc<ScannerLimiter>,
    open_files: OpenFiles,
    pages: PageCache,
    passthrough: Passthrough<B>,
    prefetcher: Arc<SiblingPrefetcher>,
    read_errors: ReadErrorLog,
}

/// The result of looking up a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lookup {
    /// The attributes of the node, or `None` if the name does not exist. The kernel caches either
    /// result.
    pub attributes: Option<Attributes>,
    /// How long the kernel may cache the result.
    pub ttl: Duration,
}

/// The next step of an `open` call.
#[derive(Debug)]
pub enum OpenStep {
    /// The handle can be created with [`FileSystem::finish_open`].
    Ready(ReadyOpen),
    /// The `open` call must wait for the kernel, the disk or the server in
    /// [`FileSystem::resolve_open`].
    Pending(PendingOpen),
}

/// An `open` call that waits for the kernel, the disk or the server.
#[derive(Debug)]
pub struct PendingOpen {
    wait: OpenWait,
    is_scanner: bool,
}

#[derive(Debug)]
enum OpenWait {
    /// It is not known whether the thread belongs to a scanner.
    Opener(ReaderId, Ino),
    /// The kernel may still have earlier attributes of the file.
    Attributes(Ino),
    Content(UnconfirmedFile),
    /// The kernel must drop the pages of the file.
    Pages(ReadyContent),
}

/// A file whose length the server must confirm, or that the disk cache may have as a whole.
#[derive(Debug)]
struct UnconfirmedFile {
    ino: Ino,
    file: Arc<OpenFile>,
    may_be_complete: bool,
}

/// The content of a file that is being opened.
#[derive(Debug)]
enum FoundContent {
    Ready(ReadyContent),
    Unconfirmed(UnconfirmedFile),
}

/// An `open` call that can be finished without waiting.
#[derive(Debug)]
pub struct ReadyOpen {
    content: ReadyContent,
    is_scanner: bool,
}

#[derive(Debug)]
enum ReadyContent {
    Text { ino: Ino, text: Bytes },
    Recording { ino: Ino, file: Arc<OpenFile>, complete_file: Option<CompleteFile> },
}

impl ReadyContent {
    fn ino(&self) -> Ino {
        match self {
            Self::Text { ino, .. } | Self::Recording { ino, .. } => *ino,
        }
    }

    fn content(&self) -> OpenContent {
        match self {
            Self::Text { text, .. } => OpenText::content_of(text),
            Self::Recording { file, .. } => OpenRecording::content_of(file),
        }
    }
}

/// The result of an `open` call: a handle, and how the kernel reads through it.
#[derive(Debug)]
pub struct OpenReply<B> {
    pub handle: HandleId,
    pub mode: OpenMode<B>,
}

/// How the kernel reads an open file.
#[derive(Debug)]
pub enum OpenMode<B> {
    /// The kernel reads through its page cache. The cached pages have the content of the file, so
    /// the kernel keeps them (`FOPEN_KEEP_CACHE`).
    PageCache,
    /// The kernel bypasses its page cache (`FOPEN_DIRECT_IO`).
    DirectIo,
    /// The kernel reads the backing file directly, without the daemon.
    Passthrough(Arc<BackingFile<B>>),
    /// The kernel bypasses its page cache (`FOPEN_DIRECT_IO`). The reply still names the stale
    /// backing file, because other handles read it.
    DirectIoWithStaleBacking(Arc<BackingFile<B>>),
}

/// The next step of a read.
#[derive(Debug)]
pub enum ReadStep {
    /// All bytes were in memory, so the read is complete.
    Ready(Bytes),
    /// The bytes must be read from the disk or the server with [`FileSystem::read`].
    Pending(ReadRequest),
}

/// A read that waits for the disk or the server, or for the name of its program.
#[derive(Debug)]
pub struct ReadRequest {
    recording: Arc<OpenRecording>,
    reader: Reader,
    offset: u64,
    size: u32,
    call_start: Instant,
    /// Whether the bytes do not go to pages, so that the reply may have fewer bytes.
    is_direct: bool,
}

/// The reader of a request.
#[derive(Clone, Copy, Debug)]
enum Reader {
    /// It is not known whether the thread belongs to a scanner.
    Unidentified(ReaderId),
    Program,
    Scanner(Scanner),
}

impl Reader {
    fn new(scanner: Option<Scanner>) -> Self {
        scanner.map_or(Self::Program, Self::Scanner)
    }
}

impl ReadRequest {
    /// Sets the time at which the program made the system call. The deadline counts from this time.
    pub fn with_call_start(self, call_start: Instant) -> Self {
        Self { call_start, ..self }
    }
}

/// The kind of offset that lseek(2) searches for: `SEEK_DATA` or `SEEK_HOLE`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seek {
    /// The next offset that contains data.
    Data,
    /// The next offset that is in a hole.
    Hole,
}

/// A closed directory. Dropping it drops its snapshot.
#[derive(Debug)]
pub struct ClosedDirectory {
    _handle: Option<Handle>,
}

/// The values that statfs(2) returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Statistics {
    /// Total size of all files in units of `block_size`.
    pub blocks: u64,
    pub inode_count: u64,
    pub block_size: u32,
    pub max_name_length: u32,
}

impl<B> FileSystem<B> {
    pub fn new(options: FileSystemOptions) -> Self {
        let FileSystemOptions {
            tree,
            engine,
            unlisted_sources,
            handles,
            scanner_limiter,
            provider_names,
            owner,
            runtime,
            invalidations,
            allows_passthrough,
        } = options;
        let prefetcher = Arc::new(SiblingPrefetcher::new(tree.clone(), engine.clone()));
        Self {
            tree,
            engine,
            unlisted_sources,
            provider_names,
            owner,
            runtime,
            invalidations,
            handles,
            scanner_limiter,
            open_files: OpenFiles::default(),
            pages: PageCache::default(),
            passthrough: Passthrough::new(allows_passthrough),
            prefetcher,
            read_errors: ReadErrorLog::default(),
        }
    }

    /// Whether complete files of the disk cache are offered to the kernel as backing files.
    pub fn is_passthrough_enabled(&self) -> bool {
        self.passthrough.is_enabled()
    }

    /// Stops offering backing files to the kernel. `reason` is logged.
    pub fn disable_passthrough(&self, reason: &dyn std::fmt::Display) {
        self.passthrough.disable(reason);
    }

    /// Looks up a name in a directory.
    ///
    /// # Errors
    /// Returns [`Error::NameTooLong`] if the name has more than 255 bytes.
    pub fn lookup(&self, parent: Ino, name: &OsStr) -> Result<Lookup, Error> {
        if name.len() > MAX_NAME_LENGTH {
            return Err(Error::NameTooLong);
        }
        let tree = self.tree.current();
        // All names in the tree are UTF-8.
        let node = name.to_str().and_then(|name| tree.lookup(parent, name));
        let attributes = node.map(|node| self.attributes(node));
        let ttl = if attributes.is_some() { ATTRIBUTE_TTL } else { ABSENT_TTL };
        Ok(Lookup { attributes, ttl })
    }

    /// Returns the attributes of an inode. They are valid for [`ATTRIBUTE_TTL`].
    ///
    /// # Errors
    /// Returns [`Error::StaleInode`] if the inode is not in the tree.
    pub fn getattr(&self, ino: Ino) -> Result<Attributes, Error> {
        let tree = self.tree.current();
        let node = tree.node(ino).ok_or(Error::StaleInode)?;
        Ok(self.attributes(node))
    }

    /// Returns the attributes of a node. The length of a file is at least that of each open handle.
    fn attributes(&self, node: &Node) -> Attributes {
        let mut attributes = self.owner.attributes(node);
        attributes.size = attributes.size.max(self.open_files.longest(node.ino));
        attributes
    }

    /// Returns the length that the kernel may have for an inode, also after its removal from the
    /// tree.
    fn length(&self, ino: Ino) -> u64 {
        let listed_length = self.tree.current().node(ino).map_or(0, Node::size);
        listed_length.max(self.open_files.longest(ino))
    }

    /// Answers access(2). Rejects only writes, because the kernel checks the mode and the owner.
    ///
    /// # Errors
    /// Returns [`Error::ReadOnly`] if the caller requests write access.
    pub fn access(&self, requests_write: bool) -> Result<(), Error> {
        if requests_write { Err(Error::ReadOnly) } else { Ok(()) }
    }

    /// Starts to open a file for a thread. Does not send a request to a server.
    ///
    /// # Errors
    /// The inode is stale or a directory, or the source of the file is not mounted.
    pub fn open(&self, ino: Ino, opener: ReaderId) -> Result<OpenStep, Error> {
        let pending = |wait, is_scanner| Ok(OpenStep::Pending(PendingOpen { wait, is_scanner }));
        let Some(scanner) = self.scanner_limiter.known_opener(opener) else {
            return pending(OpenWait::Opener(opener, ino), false);
        };
        let is_scanner = scanner.is_some();
        let content = self.find_content(ino)?;
        // A program that has the earlier length of the file would read too little or too much. The
        // tree is read first, because a change of the tree is announced before it is made.
        if self.invalidations.is_changing(ino) {
            return pending(OpenWait::Attributes(ino), is_scanner);
        }
        match content {
            FoundContent::Ready(content) if self.prepare_pages(&content) => {
                Ok(OpenStep::Ready(ReadyOpen { content, is_scanner }))
            }
            FoundContent::Ready(content) => pending(OpenWait::Pages(content), is_scanner),
            FoundContent::Unconfirmed(file) => pending(OpenWait::Content(file), is_scanner),
        }
    }

    /// Prepares the kernel's pages for a handle on `content`. Returns false if the handle must wait
    /// until the kernel has dropped the pages.
    fn prepare_pages(&self, content: &ReadyContent) -> bool {
        let ino = content.ino();
        let drop_pages = || self.invalidations.push([Invalidation::Pages(ino)]);
        self.pages.prepare(ino, content.content(), drop_pages);
        !self.invalidations.is_dropping_pages(ino)
    }

    fn find_content(&self, ino: Ino) -> Result<FoundContent, Error> {
        let tree = self.tree.current();
        let node = tree.node(ino).ok_or(Error::StaleInode)?;
        let text = match &node.content {
            Content::Directory { .. } => return Err(Error::IsDirectory),
            Content::Recording { .. } => return self.find_recording(node),
            Content::Text(text) | Content::Note { text, .. } => text.clone(),
            Content::Document(document) => document.text(),
        };
        Ok(FoundContent::Ready(ReadyContent::Text { ino, text }))
    }

    fn find_recording(&self, node: &Node) -> Result<FoundContent, Error> {
        let (ino, file) = (node.ino, self.open_file(node)?);
        let may_be_complete = self.passthrough.is_enabled() && self.engine.has_complete_file(&file);
        Ok(if file.content().is_size_confirmed() && !may_be_complete {
            FoundContent::Ready(ReadyContent::Recording { ino, file, complete_file: None })
        } else {
            FoundContent::Unconfirmed(UnconfirmedFile { ino, file, may_be_complete })
        })
    }

    fn open_file(&self, node: &Node) -> Result<Arc<OpenFile>, Error> {
        let recording = recording_of(node).ok_or(Error::NotRecording)?;
        Ok(self.engine.open(&recording)?)
    }

    /// Waits until the file can be opened:
    ///
    /// 1. Until it is known whether the thread belongs to a scanner.
    /// 2. If the file has just changed, until the kernel has dropped its earlier attributes.
    /// 3. If the disk cache may have the whole file, until the file is verified. Otherwise, until
    ///    the server confirms the length. If the listed length was wrong, until the tree has the
    ///    right length and the kernel has dropped the old one, so the program that opens the file
    ///    never sees the old length.
    /// 4. If the kernel has pages of another content, until it has dropped them.
    ///
    /// The waits have a timeout.
    ///
    /// # Errors
    /// The file with the corrected length cannot be opened. A server that fails or is slow is not
    /// an error.
    pub async fn resolve_open(&self, pending_open: PendingOpen) -> Result<ReadyOpen, Error> {
        let PendingOpen { wait, mut is_scanner } = pending_open;
        let found_content = match wait {
            OpenWait::Content(file) => FoundContent::Unconfirmed(file),
            OpenWait::Pages(content) => FoundContent::Ready(content),
            OpenWait::Attributes(ino) => self.wait_for_content(ino).await?,
            OpenWait::Opener(opener, ino) => {
                is_scanner = self.scanner_limiter.identify_opener(opener).await.is_some();
                self.wait_for_content(ino).await?
            }
        };
        let content = match found_content {
            FoundContent::Ready(content) => content,
            FoundContent::Unconfirmed(file) => self.confirm_content(file, is_scanner).await?,
        };
        if !self.prepare_pages(&content) {
            let page_drop = self.invalidations.wait_for_page_drop(content.ino());
            let _ = tokio::time::timeout(PAGE_DROP_TIMEOUT, page_drop).await;
        }
        Ok(ReadyOpen { content, is_scanner })
    }

    /// Finds the content of a file. If the file has just changed, waits until the kernel has
    /// dropped its earlier attributes.
    async fn wait_for_content(&self, ino: Ino) -> Result<FoundContent, Error> {
        let content = self.find_content(ino)?;
        if !self.invalidations.is_changing(ino) {
            return Ok(content);
        }
        let change = self.invalidations.wait_for_change(ino);
        let _ = tokio::time::timeout(CORRECTION_TIMEOUT, change).await;
        self.find_content(ino)
    }

    /// Waits until a complete file in the disk cache is verified, or until the server confirms the
    /// length. If the listed length was wrong, also waits until the tree has the right length.
    async fn confirm_content(
        &self,
        file: UnconfirmedFile,
        is_scanner: bool,
    ) -> Result<ReadyContent, Error> {
        let UnconfirmedFile { ino, mut file, may_be_complete } = file;
        let complete_file =
            if may_be_complete { self.engine.open_complete_file(&file).await } else { None };
        if complete_file.is_none() && !file.content().is_size_confirmed() {
            tracing::debug!("the server has not confirmed the length");
            if is_scanner {
                self.engine.probe_size(&file).await;
            } else {
                self.engine.confirm_size(&file).await;
            }
            let node = match file.content().stale_reason() {
                None => None,
                Some(FetchError::WrongTotal { .. }) => self.wait_for_correction(ino, &file).await,
                // The server confirmed the listed length, so there is nothing to correct in the
                // tree.
                Some(_) => self.tree.current().node(ino).cloned(),
            };
            if let Some(node) = node {
                file = self.open_file(&node)?;
            }
        }
        Ok(ReadyContent::Recording { ino, file, complete_file })
    }

    /// Finishes an `open` call by creating the handle. If the kernel can read the file directly,
    /// registers the backing file with `kernel`.
    ///
    /// # Errors
    /// Returns [`Error::EarlierRevisionOpen`] if open handles read an earlier revision from a
    /// backing file, and [`Error::ChangedDuringOpen`] if the file no longer has the length with
    /// which the `open` call started.
    pub fn finish_open(
        &self,
        ready_open: ReadyOpen,
        kernel: &dyn BackingRegistrar<B>,
    ) -> Result<OpenReply<B>, Error> {
        let ReadyOpen { content: ready_content, is_scanner } = ready_open;
        let (ino, content) = (ready_content.ino(), ready_content.content());
        let has_other_content = self.add_open_file(ino, content)?;
        // The pages can still contain another content if they could not be dropped in time.
        let open_pages = || {
            self.pages.open(ino, content, || {
                has_other_content || self.invalidations.is_dropping_pages(ino)
            })
        };
        let (handle, mode) = match ready_content {
            ReadyContent::Text { text, .. } => {
                let uses_pages = open_pages();
                let mode = if uses_pages { OpenMode::PageCache } else { OpenMode::DirectIo };
                (Handle::Text(OpenText { ino, text, uses_pages }), mode)
            }
            ReadyContent::Recording { file, complete_file, .. } => {
                let revision = file.content().revision();
                let mut uses_pages = false;
                let mode = match self.passthrough.open(ino, revision, complete_file, kernel) {
                    ReadRoute::Backing(backing) => OpenMode::Passthrough(backing),
                    ReadRoute::DaemonWithStaleBacking(backing) => {
                        OpenMode::DirectIoWithStaleBacking(backing)
                    }
                    ReadRoute::Daemon => {
                        // A scanner can still map the file, which fills its pages.
                        uses_pages = open_pages();
                        // With direct I/O, the kernel does not read ahead for a scanner, and a read
                        // can return fewer bytes than the scanner requests.
                        if uses_pages && !is_scanner {
                            OpenMode::PageCache
                        } else {
                            OpenMode::DirectIo
                        }
                    }
                    ReadRoute::Conflict => {
                        self.remove_open_file(ino, content);
                        return Err(Error::EarlierRevisionOpen);
                    }
                };
                let recording = OpenRecording::new(ino, file, uses_pages);
                (Handle::Recording(Arc::new(recording)), mode)
            }
        };
        Ok(OpenReply { handle: self.handles.table.insert(handle), mode })
    }

    /// Records the content of a file that is being opened. Returns whether another content of the
    /// inode is open.
    fn add_open_file(&self, ino: Ino, content: OpenContent) -> Result<bool, Error> {
        let has_other_content = self.open_files.add(ino, content);
        // If the tree has a new length, the kernel may already have it. From now on, every new
        // length includes that of this file. The kernel repeats an `open` that fails with `ESTALE`
        // once, and looks up the name again.
        if self.tree.current().node(ino).is_some_and(|node| node.size() == content.length) {
            return Ok(has_other_content);
        }
        self.remove_open_file(ino, content);
        Err(Error::ChangedDuringOpen)
    }

    /// Removes the content of a closed file. If its inode becomes shorter, the kernel must drop the
    /// length.
    fn remove_open_file(&self, ino: Ino, content: OpenContent) {
        let earlier_length = self.open_files.remove(ino, content);
        if earlier_length.is_some_and(|length| length > self.length(ino)) {
            self.invalidations.push([Invalidation::Attributes(ino)]);
        }
    }

    /// Records the thread that has opened a file, for status reports.
    pub fn record_reader(&self, handle: HandleId, reader: ReaderId) {
        if let Some(Handle::Recording(recording)) = self.handles.table.get(handle) {
            recording.set_reader(reader);
        }
    }

    /// Starts a read, and finishes it if all its bytes are in memory.
    ///
    /// # Errors
    /// The handle is not an open file, or the file has become longer since it was opened.
    pub fn read_cached(
        &self,
        handle: HandleId,
        reader: ReaderId,
        offset: u64,
        size: u32,
    ) -> Result<ReadStep, Error> {
        self.begin_read((handle, reader), offset, size, false)
    }

    /// Same as [`read_cached`](Self::read_cached), for a read whose bytes do not go to the kernel's
    /// pages. A scanner may get fewer bytes. Pages would then be filled with zeros, and all readers
    /// of the file would see its end there.
    ///
    /// # Errors
    /// Same as [`read_cached`](Self::read_cached).
    pub fn read_cached_directly(
        &self,
        handle: HandleId,
        reader: ReaderId,
        offset: u64,
        size: u32,
    ) -> Result<ReadStep, Error> {
        self.begin_read((handle, reader), offset, size, true)
    }

    fn begin_read(
        &self,
        (handle, reader): (HandleId, ReaderId),
        offset: u64,
        size: u32,
        is_direct: bool,
    ) -> Result<ReadStep, Error> {
        let recording = match self.handles.table.get(handle) {
            Some(Handle::Recording(recording)) => {
                recording.set_reader(reader);
                recording
            }
            Some(Handle::Text(OpenText { ino, text, uses_pages })) => {
                let length = text.len() as u64;
                if uses_pages {
                    self.check_end(ino, length, offset, size)?;
                }
                let start = offset.min(length) as usize;
                let end = start.saturating_add(size as usize).min(text.len());
                let bytes = text.slice(start..end);
                self.handles.counters.record_read(bytes.len());
                return Ok(ReadStep::Ready(bytes));
            }
            Some(Handle::Directory(_)) => return Err(Error::IsDirectory),
            None => return Err(Error::UnknownHandle),
        };
        let identity = self.scanner_limiter.known_reader(reader);
        let reader = identity.map_or(Reader::Unidentified(reader), Reader::new);
        let call_start = Instant::now();
        self.start_read(ReadRequest { recording, reader, offset, size, call_start, is_direct })
    }

    /// Finishes a read of an identified reader if all its bytes are in memory.
    fn start_read(&self, request: ReadRequest) -> Result<ReadStep, Error> {
        let ReadRequest { recording, reader, offset, size, .. } = &request;
        let bytes = match reader {
            Reader::Unidentified(_) => return Ok(ReadStep::Pending(request)),
            Reader::Program => {
                let length = recording.file.content().recording.size;
                if recording.take_first_read()
                    && (length <= MAX_SMALL_FILE_LENGTH || self.engine.expects_whole_read(length))
                {
                    self.prefetch_siblings(recording.ino);
                }
                self.check_end_of_recording(recording, *offset, *size)?;
                self.engine.read_from_memory(&recording.file, *offset, *size)
            }
            Reader::Scanner(_) => {
                self.check_end_of_recording(recording, *offset, *size)?;
                self.engine.peek_memory(&recording.file, *offset, *size)
            }
        };
        Ok(match bytes {
            Some(bytes) => {
                self.handles.counters.record_memory_hit(bytes.len());
                recording.record_read(bytes.len());
                ReadStep::Ready(bytes)
            }
            None => {
                self.handles.counters.record_memory_miss();
                ReadStep::Pending(request)
            }
        })
    }

    fn check_end_of_recording(
        &self,
        recording: &OpenRecording,
        offset: u64,
        size: u32,
    ) -> Result<(), Error> {
        if !recording.uses_pages {
            return Ok(());
        }
        self.check_end(recording.ino, recording.content().length, offset, size)
    }

    /// Checks that a read of pages may end at the end of an open file of `length` bytes.
    ///
    /// If the inode has become longer, the kernel fills the rest of the page with zeros, and the
    /// program reads them as content. Or it takes `length` as the length of the inode, and programs
    /// that read the longer content see an early end of the file.
    fn check_end(&self, ino: Ino, length: u64, offset: u64, size: u32) -> Result<(), Error> {
        let reaches_end = offset.saturating_add(u64::from(size)) > length;
        if reaches_end && self.length(ino) > length {
            return Err(Error::BecameLonger);
        }
        Ok(())
    }

    /// Reports a read of a file to the sibling prefetcher. Runs in a task and not on the event
    /// thread, because the prefetcher opens the files that follow.
    fn prefetch_siblings(&self, ino: Ino) {
        let (prefetcher, runtime) = (self.prefetcher.clone(), self.runtime.clone());
        self.runtime.spawn(async move { prefetcher.record_step(ino, &runtime) });
    }

    /// Reads from the disk or the server. Returns fewer bytes than requested only at the end of the
    /// file, or to a scanner whose bytes do not go to the kernel's pages.
    ///
    /// # Errors
    /// The bytes could not be fetched within the deadline, the file has become longer since it was
    /// opened, or `interruption` completed first.
    pub async fn read(
        &self,
        request: ReadRequest,
        interruption: impl Future<Output = ()>,
    ) -> Result<Bytes, Error> {
        let request = match request.reader {
            Reader::Unidentified(reader) => {
                let reader = Reader::new(self.scanner_limiter.identify_reader(reader).await);
                match self.start_read(ReadRequest { reader, ..request })? {
                    ReadStep::Ready(bytes) => return Ok(bytes),
                    ReadStep::Pending(request) => request,
                }
            }
            Reader::Program | Reader::Scanner(_) => request,
        };
        let ReadRequest { recording, reader, offset, mut size, call_start, is_direct } = request;
        tracing::debug!(offset, size, "the bytes are not in memory");
        let scope = match reader {
            Reader::Scanner(scanner) => {
                if is_direct {
                    size = size.min(SCANNER_FETCH_LENGTH);
                }
                self.limit_scanner(scanner, &recording, offset, size)?
            }
            Reader::Program | Reader::Unidentified(_) => FetchScope::WithPrefetch,
        };
        let start = Instant::now();
        let file = &recording.file;
        let result = tokio::select! {
            result = self.engine.read_since(call_start, file, offset, size, scope) => result,
            () = interruption => return Err(Error::Interrupted),
        };
        if let Err(error) = &result {
            self.handles.counters.record_failure();
            if self.read_errors.record(recording.ino, error) {
                self.log_failure(recording.ino, error);
            }
            if matches!(error, FetchError::WrongTotal { .. }) {
                // A program that opens the file again because of this error must find the length
                // that the error states. If the correction takes longer than the timeout, a later
                // attempt finds it.
                let _ = self.wait_for_correction(recording.ino, &recording.file).await;
            }
        }
        let bytes = result?;
        // The tree may have changed during the read.
        self.check_end_of_recording(&recording, offset, size)?;
        self.handles.counters.record_read(bytes.len());
        recording.record_read(bytes.len());
        tracing::debug!(bytes = bytes.len(), elapsed = ?start.elapsed(), "read complete");
        Ok(bytes)
    }

    fn log_failure(&self, ino: Ino, error: &FetchError) {
        let (path, reason) = (self.tree.path_of(ino), line_with_hint(error));
        if matches!(error, FetchError::Deadline(_)) {
            tracing::warn!(name: log_event::READ_DEADLINE_EXCEEDED, "cannot read {path}: {reason}");
        } else {
            tracing::warn!("cannot read {path}: {reason}");
        }
    }

    /// Takes the missing bytes of a read from the budget of a scanner, and returns what to fetch.
    ///
    /// # Errors
    /// Returns [`Error::ScannerLimit`] if the budget has less.
    fn limit_scanner(
        &self,
        scanner: Scanner,
        recording: &OpenRecording,
        offset: u64,
        size: u32,
    ) -> Result<FetchScope, Error> {
        for length in [size.max(SCANNER_FETCH_LENGTH), size] {
            let missing_bytes = self.engine.missing_bytes(&recording.file, offset, length);
            if self.scanner_limiter.spend(scanner, recording.ino, missing_bytes) {
                return Ok(FetchScope::Exact { length });
            }
        }
        let error = Error::ScannerLimit(scanner.program);
        let (path, reason) = (self.tree.path_of(recording.ino), line_with_hint(&error));
        if self.scanner_limiter.record_refusal(scanner) {
            tracing::info!("cannot read {path} and possibly other files: {reason}");
        } else {
            tracing::debug!("cannot read {path}: {reason}");
        }
        Err(error)
    }

    /// Waits until the tree has a length other than that of `file` and the kernel has dropped the
    /// old length. Returns the node, or `None` if that takes too long or the node no longer exists.
    async fn wait_for_correction(&self, ino: Ino, file: &OpenFile) -> Option<Node> {
        let wrong_size = file.content().recording.size;
        let correction = async {
            let snapshot = self
                .tree
                .wait_for(|snapshot| match snapshot.node(ino).map(|node| &node.content) {
                    Some(Content::Recording { size, .. }) => *size != wrong_size,
                    _ => true,
                })
                .await;
            self.invalidations.invalidate_attributes(ino).await;
            snapshot.node(ino).cloned()
        };
        tokio::time::timeout(CORRECTION_TIMEOUT, correction).await.ok().flatten()
    }

    /// Closes a file. Call this before the reply to the kernel: otherwise the next `open` of the
    /// file may not get a backing file.
    pub fn release(&self, handle: HandleId) {
        let (ino, content, uses_pages) = match self.handles.table.remove(handle) {
            Some(Handle::Recording(recording)) => {
                self.passthrough.close(recording.ino);
                (recording.ino, recording.content(), recording.uses_pages)
            }
            Some(Handle::Text(text)) => (text.ino, text.content(), text.uses_pages),
            Some(Handle::Directory(_)) | None => return,
        };
        if uses_pages {
            self.pages.close(ino);
        }
        self.remove_open_file(ino, content);
    }

    /// Returns the next offset with data or in a hole. The only hole of a file is at its end.
    ///
    /// # Errors
    /// The inode is stale, or the offset is outside of the file.
    pub fn lseek(&self, ino: Ino, offset: i64, target: Seek) -> Result<i64, Error> {
        let size = i64::try_from(self.getattr(ino)?.size).unwrap_or(i64::MAX);
        match target {
            _ if !(0..size).contains(&offset) => Err(Error::OffsetOutOfRange),
            Seek::Data => Ok(offset),
            Seek::Hole => Ok(size),
        }
    }

    /// Opens a directory.
    ///
    /// # Errors
    /// The inode is stale or not a directory.
    pub fn opendir(&self, ino: Ino) -> Result<HandleId, Error> {
        let tree = self.tree.current();
        let node = tree.node(ino).ok_or(Error::StaleInode)?;
        if !node.is_directory() {
            return Err(Error::NotDirectory);
        }
        if node.parent == Ino::ROOT && self.unlisted_sources.contains(&node.name) {
            return Err(Error::NotListed);
        }
        Ok(self.handles.table.insert(Handle::Directory(DirectoryStream::new(tree, ino))))
    }

    /// Closes a directory. Reply to the kernel before you drop the result: dropping the last
    /// reference to a large snapshot takes milliseconds.
    pub fn releasedir(&self, handle: HandleId) -> ClosedDirectory {
        ClosedDirectory { _handle: self.handles.table.remove(handle) }
    }

    /// Calls `add` for each entry of a directory from `offset` on, until `add` returns `Break`.
    /// After rewinddir(3), a listing starts at offset 0 again and has the entries of the current
    /// tree.
    ///
    /// # Errors
    /// The handle is not an open directory.
    pub fn readdir(
        &self,
        handle: HandleId,
        offset: u64,
        mut add: impl FnMut(DirectoryEntry<'_>) -> ControlFlow<()>,
    ) -> Result<(), Error> {
        let stream = self.directory_stream(handle, offset)?;
        let _ = stream.entries(offset).try_for_each(|(next_offset, name, node)| {
            add(DirectoryEntry {
                next_offset,
                name,
                ino: node.ino,
                kind: FileKind::from_node(node),
            })
        });
        Ok(())
    }

    /// Calls `add` for each entry of a directory and its attributes from `offset` on, until `add`
    /// returns `Break`.
    ///
    /// The names are those that the directory had when it was opened or rewound. If a name has
    /// changed since then, the kernel has received an invalidation of it. The TTL of such a name is
    /// zero, so the kernel does not cache it again.
    ///
    /// # Errors
    /// The handle is not an open directory.
    pub fn readdirplus(
        &self,
        handle: HandleId,
        offset: u64,
        mut add: impl FnMut(DirectoryEntryPlus<'_>) -> ControlFlow<()>,
    ) -> Result<(), Error> {
        let stream = self.directory_stream(handle, offset)?;
        let current_tree = self.tree.current();
        let is_unchanged = Arc::ptr_eq(&current_tree, &stream.snapshot);
        let _ = stream.entries(offset).try_for_each(|(next_offset, name, node)| {
            let is_valid = is_unchanged
                || matches!(name, "." | "..")
                || current_tree
                    .lookup(node.parent, &node.name)
                    .is_some_and(|current_node| current_node.ino == node.ino);
            let attributes = self.attributes(current_tree.node(node.ino).unwrap_or(node));
            let ttl = if is_valid { ATTRIBUTE_TTL } else { Duration::ZERO };
            add(DirectoryEntryPlus { next_offset, name, attributes, ttl })
        });
        Ok(())
    }

    /// Returns the stream of an open directory for a listing from `offset` on.
    fn directory_stream(&self, handle: HandleId, offset: u64) -> Result<DirectoryStream, Error> {
        let Some(Handle::Directory(stream)) = self.handles.table.get(handle) else {
            return Err(Error::UnknownHandle);
        };
        if offset > 0 || !stream.start_listing() {
            return Ok(stream);
        }
        let current_tree = self.tree.current();
        if Arc::ptr_eq(&stream.snapshot, &current_tree) {
            return Ok(stream);
        }
        let new_stream = stream.in_snapshot(current_tree);
        let old_handle = self.handles.table.replace(handle, Handle::Directory(new_stream.clone()));
        // Dropping the last reference to a large snapshot takes milliseconds.
        self.runtime.spawn_blocking(move || drop((stream, old_handle)));
        Ok(new_stream)
    }

    /// Returns the total size of all files and the number of inodes.
    pub fn statfs(&self) -> Statistics {
        let totals = self.tree.current().totals();
        Statistics {
            blocks: totals.bytes.div_ceil(u64::from(BLOCK_SIZE)),
            inode_count: totals.files + totals.directories,
            block_size: BLOCK_SIZE,
            max_name_length: MAX_NAME_LENGTH as u32,
        }
    }

    /// Returns an extended attribute for the user `uid`. `size` is the length of the caller's
    /// buffer in bytes. If it is 0, returns only the length of the value.
    ///
    /// # Errors
    /// The inode is stale, the attribute does not exist, or the buffer is too small.
    pub fn getxattr(
        &self,
        ino: Ino,
        uid: u32,
        name: &OsStr,
        size: u32,
    ) -> Result<XattrReply, Error> {
        let name = name.as_bytes();
        // The answer is the same for a stale inode, so `ls` stops its requests.
        xattr::check_namespace(name)?;
        let tree = self.tree.current();
        let node = tree.node(ino).ok_or(Error::StaleInode)?;
        let value = match name {
            xattr::CACHED_ATTRIBUTE => recording_of(node).map(|recording| {
                let cached_bytes = self.engine.cached_bytes(&recording);
                cached_bytes.percent(recording.size).to_string()
            }),
            _ => self.listed_attributes(&tree, node, uid).get(name),
        };
        xattr::make_reply(value.ok_or(Error::NoSuchAttribute)?, size)
    }

    /// Returns the names of the extended attributes for the user `uid`. `size` has the same meaning
    /// as in [`getxattr`](Self::getxattr).
    ///
    /// # Errors
    /// The inode is stale, or the buffer is too small.
    pub fn listxattr(&self, ino: Ino, uid: u32, size: u32) -> Result<XattrReply, Error> {
        let tree = self.tree.current();
        let node = tree.node(ino).ok_or(Error::StaleInode)?;
        xattr::make_reply(self.listed_attributes(&tree, node, uid).names(), size)
    }

    fn listed_attributes(&self, tree: &Snapshot, node: &Node, uid: u32) -> ListedAttributes<'_> {
        let properties = NodeProperties::of(tree, node);
        let provider = self.provider_names.get(&properties.source).map(String::as_str);
        let shows_share_url = uid == 0 || uid == self.owner.uid;
        ListedAttributes { properties, provider, shows_share_url }
    }

    /// Returns the number of open handles.
    #[cfg(test)]
    pub(super) fn open_handle_count(&self) -> usize {
        self.handles.table.len()
    }

    #[cfg(test)]
    pub(crate) fn table_sizes(&self) -> Vec<TableSize> {
        let mut sizes = vec![
            TableSize::new("open handles", self.open_handle_count()),
            TableSize::new("inodes with open files", self.open_files.len()),
            TableSize::new("queued invalidations", self.invalidations.len()),
            self.prefetcher.table_size(),
        ];
        sizes.extend(self.pages.table_sizes());
        sizes
    }

    /// Returns the path of an inode relative to the mountpoint, for log messages.
    pub fn path_of(&self, ino: Ino) -> String {
        self.tree.path_of(ino)
    }
}
