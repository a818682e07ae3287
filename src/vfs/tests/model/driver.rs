//! Random operations on the mount, and the checks of their results.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::ffi::OsStr;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use fastrand::Rng;
use futures_util::FutureExt;
use parking_lot::Mutex;
use tokio::runtime::{Builder, Handle};
use tokio::time::{Instant, sleep};

use super::archive::Outcome;

use super::mount::{
    FileVersion, MAX_CORRECTION_DELAY, MEMORY_BUDGET, Mount, OpenLength, PageContents,
    PendingOpenModel, PublishedContent, PublishedTree, ensure,
};
use super::open_file::OpenRecordingModel;
use super::variable;
use crate::cache::MemoryStatus;
use crate::http::FetchError;
use crate::model::{BodyKind, Diagnostic, ErrorKind, Version};
use crate::tree::Ino;
use crate::vfs::tests::FakeKernel;
use crate::vfs::{
    ATTRIBUTE_TTL, Error, FileKind, HandleId, OpenMode, OpenReply, OpenStep, ReadStep, ReaderId,
    Seek, XattrReply,
};

/// Longest time for which the file system may return an error after its cause has ended: a file
/// whose reads failed is not requested for ten deadlines, a refusal is cached for a minute, and a
/// read that started before that lasts for a deadline.
const ERROR_MEMORY: Duration = Duration::from_secs(60 + 60 + 6 + 4);

/// Longest time of an `open`: it waits for the server and for the correction of a size.
const MAX_OPEN_TIME: Duration = Duration::from_millis(700 + 500 + 20);

/// Longest time of a read: its deadline, and the wait for the correction of a size.
const MAX_READ_TIME: Duration = Duration::from_millis(6000 + 500 + 20);

const MAX_OPEN_FILES: usize = 24;
const MAX_OPEN_DIRECTORIES: usize = 12;
const MAX_PENDING_READS: usize = 8;
const MAX_PENDING_OPENS: usize = 4;

/// Number of operations that a failure lists, unless `MEETFS_MODEL_LOG` states another number.
const DEFAULT_LOG_LENGTH: u64 = 40;

type Check = Result<(), String>;

/// How often each kind of result occurred.
pub(super) type Counts = BTreeMap<&'static str, u64>;

/// Runs the steps of one episode. Returns how often each kind of result occurred.
///
/// # Errors
/// The file system did something that the model does not allow.
pub(super) fn run_episode(seed: u64, steps: u64) -> Result<Counts, String> {
    // The jitter of retries comes from the generator of the thread.
    fastrand::seed(seed);
    let runtime = Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    runtime.block_on(async {
        let mut rng = Rng::with_seed(seed);
        let mount = Mount::new(&mut rng);
        let correction_task = tokio::spawn(mount.clone().publish_corrections(rng.fork()));
        let mut driver = Driver::new(mount, rng);
        let result = driver.run(steps).await;
        correction_task.abort();
        result.map_err(|failure| driver.describe(&failure))?;
        Ok(driver.counts)
    })
}

/// An open file.
#[derive(Debug)]
struct OpenFileModel {
    content: OpenContent,
    /// The offset after the last read.
    position: u64,
    pending_reads: usize,
    is_released: bool,
}

#[derive(Debug)]
enum OpenContent {
    Text { ino: Ino, text: Bytes, uses_pages: bool },
    Recording { ino: Ino, model: OpenRecordingModel, uses_pages: bool },
}

impl OpenContent {
    fn ino(&self) -> Ino {
        match self {
            Self::Text { ino, .. } | Self::Recording { ino, .. } => *ino,
        }
    }

    fn uses_pages(&self) -> bool {
        match self {
            Self::Text { uses_pages, .. } | Self::Recording { uses_pages, .. } => *uses_pages,
        }
    }

    /// Returns the possible lengths of the file.
    fn lengths(&self) -> Vec<u64> {
        match self {
            Self::Text { text, .. } => vec![text.len() as u64],
            Self::Recording { model, .. } => {
                model.sizes.iter().map(|possible| possible.size).collect()
            }
        }
    }
}

/// An open directory.
#[derive(Debug)]
struct OpenDirectoryModel {
    handle: HandleId,
    ino: Ino,
    /// The entries, with `.` and `..`.
    entries: Vec<(String, Ino)>,
    has_listing_started: bool,
    position: u64,
}

/// The result of a task.
enum Completion {
    Open {
        pending: Arc<PendingOpenModel>,
        content: OpenedNode,
        result: Result<OpenReply<Arc<()>>, Error>,
        end: Instant,
    },
    Read {
        handle: HandleId,
        offset: u64,
        size: u32,
        /// The time from which the deadline counts.
        start: Instant,
        can_be_interrupted: bool,
        result: Result<Bytes, Error>,
        end: Instant,
    },
    SizeProbe {
        file: FileVersion,
        start: Instant,
        result: Result<u64, Error>,
    },
}

/// The node that an open found in the published tree.
#[derive(Clone, Debug)]
struct OpenedNode {
    file: FileVersion,
    is_mounted: bool,
}

struct Driver {
    mount: Arc<Mount>,
    kernel: Arc<FakeKernel>,
    rng: Rng,
    log: VecDeque<String>,
    log_length: u64,
    step: u64,
    start: Instant,
    files: HashMap<HandleId, OpenFileModel>,
    /// The files that are not released.
    handles: Vec<HandleId>,
    directories: Vec<OpenDirectoryModel>,
    completions: Arc<Mutex<Vec<Completion>>>,
    pending_opens: usize,
    pending_reads: usize,
    /// Names of earlier trees.
    earlier_names: Vec<String>,
    counts: Counts,
}

impl Driver {
    fn new(mount: Arc<Mount>, rng: Rng) -> Self {
        Self {
            mount,
            kernel: Arc::default(),
            rng,
            log: VecDeque::new(),
            log_length: variable("MEETFS_MODEL_LOG").unwrap_or(DEFAULT_LOG_LENGTH),
            step: 0,
            start: Instant::now(),
            files: HashMap::new(),
            handles: Vec::new(),
            directories: Vec::new(),
            completions: Arc::default(),
            pending_opens: 0,
            pending_reads: 0,
            earlier_names: Vec::new(),
            counts: Counts::new(),
        }
    }

    async fn run(&mut self, steps: u64) -> Check {
        self.mount.publish()?;
        let tasks_at_start = Handle::current().metrics().num_alive_tasks();
        for step in 0..steps {
            self.step = step;
            self.step().await?;
            self.check_completions()?;
            if let Some(failure) = self.mount.failure.lock().take() {
                return Err(failure);
            }
            self.check_memory()?;
        }
        self.finish(tasks_at_start).await?;
        let page_drops = self.mount.page_drop_count();
        self.counts.extend((page_drops > 0).then_some(("page drops", page_drops)));
        Ok(())
    }

    fn describe(&self, failure: &str) -> String {
        let log: Vec<_> = self.log.iter().map(String::as_str).collect();
        format!("step {}: {failure}\nLast operations:\n  {}", self.step, log.join("\n  "))
    }

    fn record(&mut self, operation: impl FnOnce() -> String) {
        if self.log.len() as u64 >= self.log_length {
            self.log.pop_front();
        }
        let time = self.start.elapsed().as_secs_f64();
        self.log.push_back(format!("{} at {time:.3} s: {}", self.step, operation()));
    }

    fn count(&mut self, result: &'static str) {
        *self.counts.entry(result).or_default() += 1;
    }

    fn published(&self) -> Arc<PublishedTree> {
        self.mount.published.lock().clone()
    }

    fn choose<T: Copy>(&mut self, values: &[T]) -> Option<T> {
        (!values.is_empty()).then(|| values[self.rng.usize(0..values.len())])
    }

    async fn step(&mut self) -> Check {
        match self.rng.u32(0..10_000) {
            0..1400 => self.lookup(),
            1400..2600 => self.getattr(),
            2600..2900 => self.opendir(),
            2900..4100 => self.readdir(),
            4100..4350 => self.releasedir(),
            4350..4650 => self.xattr(),
            4650..4800 => self.lseek(),
            4800..5700 => self.open(),
            5700..8000 => self.read(),
            8000..8800 => {
                self.release();
                Ok(())
            }
            8800..9550 => {
                let time = Duration::from_micros(self.rng.u64(0..60_000));
                sleep(time).await;
                Ok(())
            }
            9550..9620 => {
                let time = Duration::from_millis(self.rng.u64(0..9_000));
                self.record(|| format!("{time:?} pass"));
                sleep(time).await;
                Ok(())
            }
            9620..9720 => {
                let change = self.mount.archive.lock().change(&mut self.rng);
                self.record(|| change);
                Ok(())
            }
            9720..9780 => self.publish(),
            9780..9840 => {
                let fault = self.mount.archive.lock().set_random_fault(&mut self.rng);
                self.record(|| fault);
                Ok(())
            }
            9840..9930 => {
                let fault = self.mount.archive.lock().lift_random_fault(&mut self.rng);
                self.record(|| fault);
                Ok(())
            }
            9930..9960 => {
                let expiry = self.mount.archive.lock().expire_leases(&mut self.rng);
                self.record(|| expiry);
                Ok(())
            }
            9960..9997 => {
                self.probe_size();
                Ok(())
            }
            _ => self.recover().await,
        }
    }

    fn publish(&mut self) -> Check {
        self.record(|| "publish".to_owned());
        let published = self.published();
        let directory = self.choose(&published.directories).unwrap_or(Ino::ROOT);
        let names = published.entries(directory).iter().map(|(name, _)| name.clone());
        self.earlier_names = names.collect();
        self.mount.publish()
    }

    fn lookup(&mut self) -> Check {
        let published = self.published();
        let parent = match self.rng.u32(0..20) {
            0 => self.choose(&published.files),
            1 => {
                let learned = self.mount.learned.lock();
                let index = self.rng.usize(0..learned.all_inos.len());
                Some(learned.all_inos[index])
            }
            _ => self.choose(&published.directories),
        };
        let parent = parent.unwrap_or(Ino::ROOT);
        let entries = published.entries(parent);
        let name = match self.rng.u32(0..20) {
            0 => "absent".to_owned(),
            1 => "x".repeat(self.rng.usize(250..260)),
            2 => [".", "..", "", "meeting.json"][self.rng.usize(0..4)].to_owned(),
            3 if !self.earlier_names.is_empty() => {
                self.earlier_names[self.rng.usize(0..self.earlier_names.len())].clone()
            }
            _ if entries.is_empty() => "trash".to_owned(),
            _ => entries[self.rng.usize(0..entries.len())].0.clone(),
        };
        let result = self.mount.file_system.lookup(parent, OsStr::new(&name));
        if name.len() > 255 {
            return ensure(matches!(result, Err(Error::NameTooLong)), || {
                format!("lookup of a name of {} bytes: {result:?}", name.len())
            });
        }
        let expected = published.lookup(parent, &name).map(|ino| published.nodes[&ino].attributes);
        let lookup = result.map_err(|error| format!("lookup of {name}: {error}"))?;
        if let Some(attributes) = lookup.attributes {
            self.mount.cache_entry(parent, &name, attributes);
        }
        let is_expected = match (&lookup.attributes, &expected) {
            (Some(attributes), Some(expected)) => self.mount.agrees(attributes, expected),
            (attributes, expected) => attributes == expected,
        };
        ensure(is_expected, || {
            format!("lookup of {name} in {parent}: {:?} instead of {expected:?}", lookup.attributes)
        })
    }

    /// Returns a random inode number. It may be that of a removed file.
    fn random_ino(&mut self) -> Ino {
        let published = self.published();
        match self.rng.u32(0..10) {
            0 => {
                let learned = self.mount.learned.lock();
                learned.all_inos[self.rng.usize(0..learned.all_inos.len())]
            }
            1 => Ino(self.rng.u64(..)),
            2..=4 => self.choose(&published.directories).unwrap_or(Ino::ROOT),
            _ => self.choose(&published.files).unwrap_or(Ino::ROOT),
        }
    }

    fn getattr(&mut self) -> Check {
        let ino = self.random_ino();
        let published = self.published();
        match (self.mount.file_system.getattr(ino), published.nodes.get(&ino)) {
            (Ok(attributes), Some(node)) if self.mount.agrees(&attributes, &node.attributes) => {
                if attributes.size > node.attributes.size {
                    self.count("sizes of longer open files");
                }
                Ok(())
            }
            (Err(Error::StaleInode), None) => Ok(()),
            (result, node) => Err(format!("getattr of {ino}: {result:?} instead of {node:?}")),
        }
    }

    fn opendir(&mut self) -> Check {
        if self.directories.len() >= MAX_OPEN_DIRECTORIES {
            return Ok(());
        }
        let ino = self.random_ino();
        let published = self.published();
        let result = self.mount.file_system.opendir(ino);
        match (result, published.nodes.get(&ino)) {
            (Ok(handle), Some(node)) if node.attributes.kind == FileKind::Directory => {
                let entries = directory_entries(&published, ino);
                self.directories.push(OpenDirectoryModel {
                    handle,
                    ino,
                    entries,
                    has_listing_started: false,
                    position: 0,
                });
                Ok(())
            }
            (Err(Error::NotDirectory), Some(node))
                if node.attributes.kind == FileKind::RegularFile =>
            {
                Ok(())
            }
            (Err(Error::StaleInode), None) => Ok(()),
            (result, node) => Err(format!("opendir of {ino}: {result:?} for {node:?}")),
        }
    }

    fn readdir(&mut self) -> Check {
        if self.directories.is_empty() {
            return Ok(());
        }
        let published = self.published();
        let index = self.rng.usize(0..self.directories.len());
        let length = self.directories[index].entries.len() as u64;
        let offset = match self.rng.u32(0..10) {
            0 | 1 => 0,
            2 | 3 => self.rng.u64(0..length + 3),
            4 if self.rng.u32(0..20) == 0 => u64::MAX,
            _ => self.directories[index].position,
        };
        let directory = &mut self.directories[index];
        if offset == 0 && std::mem::replace(&mut directory.has_listing_started, true) {
            directory.entries = directory_entries(&published, directory.ino);
            self.counts.entry("rewound directories").and_modify(|count| *count += 1).or_insert(1);
        }
        let limit = self.rng.usize(1..12);
        let expected: Vec<_> = directory
            .entries
            .iter()
            .enumerate()
            .skip(usize::try_from(offset).unwrap_or(usize::MAX))
            .take(limit)
            .map(|(index, (name, ino))| (index as u64 + 1, name.clone(), *ino))
            .collect();
        let mut listed = Vec::new();
        let mut attributes = Vec::new();
        let stop_at = |count: usize| {
            if count == limit { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        let file_system = &self.mount.file_system;
        let result = if self.rng.bool() {
            file_system.readdir(directory.handle, offset, |entry| {
                listed.push((entry.next_offset, entry.name.to_owned(), entry.ino));
                stop_at(listed.len())
            })
        } else {
            file_system.readdirplus(directory.handle, offset, |entry| {
                let ino = entry.attributes.ino;
                listed.push((entry.next_offset, entry.name.to_owned(), ino));
                attributes.push((entry.name.to_owned(), entry.attributes, entry.ttl));
                stop_at(listed.len())
            })
        };
        result.map_err(|error| format!("readdir: {error}"))?;
        ensure(listed == expected, || {
            format!("readdir of {} at {offset}: {listed:?} instead of {expected:?}", directory.ino)
        })?;
        if let Some((next_offset, ..)) = listed.last() {
            directory.position = *next_offset;
        }
        let parent = directory.ino;
        for (name, attributes, ttl) in attributes {
            if let Some(node) = published.nodes.get(&attributes.ino) {
                ensure(self.mount.agrees(&attributes, &node.attributes), || {
                    format!("readdirplus of {name}: {attributes:?} instead of {node:?}")
                })?;
            }
            if matches!(name.as_str(), "." | "..") {
                continue;
            }
            let is_current = published.lookup(parent, &name) == Some(attributes.ino);
            let expected_ttl = if is_current { ATTRIBUTE_TTL } else { Duration::ZERO };
            ensure(ttl == expected_ttl, || format!("readdirplus of {name} has the TTL {ttl:?}"))?;
            if is_current {
                self.mount.cache_entry(parent, &name, attributes);
            }
        }
        Ok(())
    }

    fn releasedir(&mut self) -> Check {
        if self.directories.is_empty() {
            return Ok(());
        }
        let index = self.rng.usize(0..self.directories.len());
        let directory = self.directories.swap_remove(index);
        drop(self.mount.file_system.releasedir(directory.handle));
        let result =
            self.mount.file_system.readdir(directory.handle, 0, |_| ControlFlow::Continue(()));
        ensure(matches!(result, Err(Error::UnknownHandle)), || {
            format!("readdir of a closed directory: {result:?}")
        })
    }

    fn xattr(&mut self) -> Check {
        let ino = self.random_ino();
        let published = self.published();
        let node = published.nodes.get(&ino);
        let name = ["user.meetfs.expires", "user.other", "security.selinux"][self.rng.usize(0..3)];
        let size = [0, 5, 255][self.rng.usize(0..3)];
        let result = self.mount.file_system.getxattr(ino, 1000, OsStr::new(name), size);
        let value = node.and_then(|node| node.expires).map(|expires| expires.to_string());
        let is_expected = match (&result, name, node, &value) {
            (Err(Error::UnsupportedNamespace), "security.selinux", ..) => true,
            (_, "security.selinux", ..) => false,
            (Err(Error::StaleInode), _, None, _) => true,
            (Err(Error::NoSuchAttribute), "user.other", Some(_), _) => true,
            (Err(Error::NoSuchAttribute), _, Some(_), None) => true,
            (result, "user.meetfs.expires", Some(_), Some(value)) => {
                is_xattr_reply(result, value, size)
            }
            _ => false,
        };
        ensure(is_expected, || format!("getxattr of {name} of {node:?}: {result:?}"))?;
        let result = self.mount.file_system.listxattr(ino, 1000, size);
        let all_names = self.mount.file_system.listxattr(ino, 1000, u32::MAX);
        let is_expected = match (&result, node, &all_names) {
            (Err(Error::StaleInode), None, _) => true,
            (result, Some(_), Ok(XattrReply::Value(names))) => {
                let names = String::from_utf8_lossy(names);
                let has_expiry = names.split('\0').any(|name| name == "user.meetfs.expires");
                has_expiry == value.is_some() && is_xattr_reply(result, &names, size)
            }
            _ => false,
        };
        ensure(is_expected, || format!("listxattr of {node:?}: {result:?}"))
    }

    fn lseek(&mut self) -> Check {
        let ino = self.random_ino();
        let published = self.published();
        let node = published.nodes.get(&ino);
        let size =
            self.mount.file_system.getattr(ino).map_or(0, |attributes| attributes.size) as i64;
        let offset = self.rng.i64(-2..size + 3);
        let target = if self.rng.bool() { Seek::Data } else { Seek::Hole };
        let result = self.mount.file_system.lseek(ino, offset, target);
        let is_expected = match (&result, node) {
            (Err(Error::StaleInode), None) => true,
            (Err(Error::OffsetOutOfRange), Some(_)) => offset < 0 || offset >= size,
            (Ok(found), Some(_)) => {
                let expected = if target == Seek::Data { offset } else { size };
                (0..size).contains(&offset) && *found == expected
            }
            _ => false,
        };
        ensure(is_expected, || format!("lseek to {offset} of {node:?}: {result:?}"))
    }

    /// Returns a random inode: in one of three cases that of an open file, whose content may have
    /// changed.
    fn random_ino_to_open(&mut self) -> Ino {
        let handles = self.handles.clone();
        match self.choose(&handles) {
            Some(handle) if self.rng.u32(0..3) == 0 => self.files[&handle].content.ino(),
            _ => self.random_ino(),
        }
    }

    fn open(&mut self) -> Check {
        if self.handles.len() >= MAX_OPEN_FILES || self.pending_opens >= MAX_PENDING_OPENS {
            return Ok(());
        }
        let ino = self.random_ino_to_open();
        let published = self.published();
        let result = self.mount.file_system.open(ino, ReaderId::UNKNOWN);
        let node = published.nodes.get(&ino);
        let (file, size, is_mounted) = match (node.map(|node| &node.content), &result) {
            (None, Err(Error::StaleInode))
            | (Some(PublishedContent::Directory(_)), Err(Error::IsDirectory)) => return Ok(()),
            (Some(PublishedContent::Text(text)), Ok(_)) => {
                return self.finish_open_of_text(ino, result, text.clone());
            }
            (Some(PublishedContent::Recording { file, size, is_mounted }), _) => {
                (file.clone(), *size, *is_mounted)
            }
            (content, result) => return Err(format!("open of {content:?}: {result:?}")),
        };
        self.record(|| format!("open of {file}, {size} bytes"));
        let pending = PendingOpenModel::new(ino, size);
        let content = OpenedNode { file, is_mounted };
        self.pending_opens += 1;
        self.mount.pending_opens.lock().push(pending.clone());
        let (mount, kernel) = (self.mount.clone(), self.kernel.clone());
        let completions = self.completions.clone();
        let finish = async move {
            let ready = match result {
                Ok(OpenStep::Ready(ready)) => Ok(ready),
                Ok(OpenStep::Pending(step)) => mount.resolve_open(step).await,
                Err(error) => Err(error),
            };
            let result =
                ready.and_then(|ready| mount.file_system.finish_open(ready, kernel.as_ref()));
            if let Ok(reply) = &result {
                mount.record_open(reply.handle, &pending);
            }
            let end = Instant::now();
            completions.lock().push(Completion::Open { pending, content, result, end });
        };
        tokio::spawn(finish);
        Ok(())
    }

    fn finish_open_of_text(
        &mut self,
        ino: Ino,
        result: Result<OpenStep, Error>,
        text: Bytes,
    ) -> Check {
        let ready = match result {
            Ok(OpenStep::Ready(ready)) => ready,
            Ok(OpenStep::Pending(step)) => {
                self.mount.deliver_invalidations();
                let ready = self.mount.file_system.resolve_open(step).now_or_never();
                let ready = ready.ok_or("the open of a text file waits for the server")?;
                ready.map_err(|error| format!("open of a text file: {error}"))?
            }
            Err(error) => return Err(format!("open of a text file: {error}")),
        };
        let reply = self.mount.file_system.finish_open(ready, self.kernel.as_ref());
        let reply = reply.map_err(|error| format!("open of a text file: {error}"))?;
        let open_texts = self.handles.iter().map(|handle| &self.files[handle].content);
        let has_other_text = open_texts.into_iter().any(|content| {
            matches!(content, OpenContent::Text { ino: other_ino, text: other, .. }
                if *other_ino == ino && *other != text)
        });
        let uses_pages = matches!(reply.mode, OpenMode::PageCache);
        let is_expected = uses_pages || has_other_text && matches!(reply.mode, OpenMode::DirectIo);
        let open_length =
            OpenLength { handle: reply.handle, ino, possible: vec![text.len() as u64] };
        self.mount.open_lengths.lock().push(open_length);
        let file = OpenContent::Text { ino, text, uses_pages };
        self.add_file(reply.handle, file);
        ensure(is_expected && uses_pages != has_other_text, || {
            format!("a text file is opened with {:?}", reply.mode)
        })
    }

    fn add_file(&mut self, handle: HandleId, content: OpenContent) {
        let file = OpenFileModel { content, position: 0, pending_reads: 0, is_released: false };
        self.files.insert(handle, file);
        self.handles.push(handle);
    }

    fn read(&mut self) -> Check {
        if self.pending_reads >= MAX_PENDING_READS {
            return Ok(());
        }
        let handles = self.handles.clone();
        let Some(handle) = self.choose(&handles) else { return Ok(()) };
        let file = &self.files[&handle];
        let length = file.content.lengths().into_iter().max().unwrap_or(0);
        let rng = &mut self.rng;
        let offset = match rng.u32(0..12) {
            0..=6 => file.position,
            7 => 0,
            8 => length.saturating_sub(rng.u64(0..100)),
            9 => length + rng.u64(0..10),
            10 => (rng.u64(0..5) << 20).saturating_sub(rng.u64(0..3)),
            _ if rng.u32(0..20) == 0 => u64::MAX - rng.u64(0..10),
            _ => rng.u64(0..length + 1),
        };
        let size = match rng.u32(0..12) {
            0 => 0,
            1 => rng.u32(1..100),
            2..=8 => 4096 * rng.u32(1..33),
            9 | 10 => 131_072,
            _ => rng.u32(1..2 << 20),
        };
        let reads_ahead = offset == file.position;
        self.start_read(handle, offset, size)?;
        if reads_ahead && let Some(file) = self.files.get_mut(&handle) {
            file.position = offset.saturating_add(u64::from(size));
        }
        Ok(())
    }

    fn start_read(&mut self, handle: HandleId, offset: u64, size: u32) -> Check {
        let now = Instant::now();
        let step = self.mount.file_system.read_cached(handle, ReaderId(1), offset, size);
        let request = match step {
            Ok(ReadStep::Ready(bytes)) => {
                self.count("reads from memory");
                self.check_end(handle, offset, size)?;
                return self.check_bytes(handle, offset, size, &bytes);
            }
            Ok(ReadStep::Pending(request)) => request,
            Err(error) => return self.check_read_error(handle, &error),
        };
        self.record(|| format!("read of {size} bytes at {offset} of {handle:?}"));
        // Other requests of the same system call may have used up some of the time.
        let used_time = match self.rng.u32(0..10) {
            0 => Duration::from_millis(self.rng.u64(0..1000)),
            _ => Duration::ZERO,
        };
        let start = now.checked_sub(used_time).unwrap_or(now);
        let request = request.with_call_start(start);
        let interruption_delay =
            (self.rng.u32(0..25) == 0).then(|| Duration::from_millis(self.rng.u64(0..60)));
        let can_be_interrupted = interruption_delay.is_some();
        self.pending_reads += 1;
        if let Some(file) = self.files.get_mut(&handle) {
            file.pending_reads += 1;
        }
        let (mount, completions) = (self.mount.clone(), self.completions.clone());
        tokio::spawn(async move {
            let interruption = async {
                match interruption_delay {
                    Some(delay) => sleep(delay).await,
                    None => std::future::pending().await,
                }
            };
            let result = mount.file_system.read(request, interruption).await;
            let end = Instant::now();
            completions.lock().push(Completion::Read {
                handle,
                offset,
                size,
                start,
                can_be_interrupted,
                result,
                end,
            });
        });
        Ok(())
    }

    fn release(&mut self) {
        if self.handles.is_empty() {
            return;
        }
        let index = self.rng.usize(0..self.handles.len());
        let handle = self.handles.swap_remove(index);
        self.release_handle(handle);
    }

    fn release_handle(&mut self, handle: HandleId) {
        self.mount.file_system.release(handle);
        self.mount.deliver_invalidations();
        self.mount.open_lengths.lock().retain(|open| open.handle != handle);
        if let Some(file) = self.files.get_mut(&handle) {
            file.is_released = true;
            if file.pending_reads == 0 {
                self.files.remove(&handle);
            }
        }
    }

    /// Measures the size of a listed file, as the catalog does if the listing omits it.
    fn probe_size(&mut self) {
        let published = self.published();
        let Some(ino) = self.choose(&published.files) else { return };
        let PublishedContent::Recording { file, is_mounted: true, .. } =
            &published.nodes[&ino].content
        else {
            return;
        };
        let (mount, completions, file) =
            (self.mount.clone(), self.completions.clone(), file.clone());
        let start = Instant::now();
        tokio::spawn(async move {
            let version = Version(file.version);
            let size = mount.engine.find_size(&file.id, version, BodyKind::Opaque).await;
            // No other evidence contradicts the length that a server states.
            if let Ok(size) = size
                && !mount.archive.lock().may_state_wrong_total(file.number, start)
            {
                mount.catalog.record_size(&file.id, version, size);
            }
            let result = size.map_err(Error::from);
            completions.lock().push(Completion::SizeProbe { file, start, result });
        });
    }

    fn check_completions(&mut self) -> Check {
        let completions = std::mem::take(&mut *self.completions.lock());
        for completion in completions {
            match completion {
                Completion::Open { pending, content, result, end } => {
                    self.pending_opens -= 1;
                    self.mount.pending_opens.lock().retain(|other| !Arc::ptr_eq(other, &pending));
                    self.check_open(&pending, content, result, end)?;
                }
                Completion::Read {
                    handle,
                    offset,
                    size,
                    start,
                    can_be_interrupted,
                    result,
                    end,
                } => {
                    self.pending_reads -= 1;
                    match result {
                        Ok(bytes) => {
                            self.count("reads from the server");
                            self.check_bytes(handle, offset, size, &bytes)?;
                        }
                        Err(Error::Interrupted) if can_be_interrupted => {
                            self.count("interrupted reads");
                        }
                        Err(error) => self.check_read_error(handle, &error)?,
                    }
                    ensure(end - start <= MAX_READ_TIME, || {
                        format!("the read at {offset} of {handle:?} took {:?}", end - start)
                    })?;
                    if let Some(file) = self.files.get_mut(&handle) {
                        file.pending_reads -= 1;
                        if file.is_released && file.pending_reads == 0 {
                            self.files.remove(&handle);
                        }
                    }
                }
                Completion::SizeProbe { file, start, result } => {
                    self.check_size_probe(&file, start, result)?;
                }
            }
        }
        Ok(())
    }

    fn check_open(
        &mut self,
        pending: &PendingOpenModel,
        OpenedNode { file, is_mounted }: OpenedNode,
        result: Result<OpenReply<Arc<()>>, Error>,
        end: Instant,
    ) -> Check {
        let time = end - pending.started_at;
        ensure(time <= MAX_OPEN_TIME, || format!("the open of {file} took {time:?}"))?;
        let reply = match result {
            Ok(reply) => reply,
            Err(Error::ChangedDuringOpen) => {
                self.count("opens during a change");
                return ensure(pending.was_changed.load(Ordering::Relaxed), || {
                    format!("open of {file}, which has not changed")
                });
            }
            Err(error) => {
                return ensure(outcome_of(&error) == Outcome::Changed && !is_mounted, || {
                    format!("open of {file}: {error:?}")
                });
            }
        };
        ensure(is_mounted, || "a file of a source that is not mounted is open".to_owned())?;
        let uses_pages = match reply.mode {
            OpenMode::PageCache => true,
            OpenMode::DirectIo => false,
            mode => return Err(format!("{file} is opened with {mode:?}")),
        };
        let sizes = pending.sizes.lock().clone();
        let model = OpenRecordingModel::new(file.clone(), pending.started_at, sizes);
        self.count(if uses_pages { "opens that use pages" } else { "opens that bypass pages" });
        if model.sizes.len() > 1 {
            self.count("sizes that are corrected during the open");
        }
        let handle = reply.handle;
        let (ino, mode) = (pending.ino, reply.mode);
        self.record(|| format!("{file} is open as {handle:?} with {mode:?}"));
        self.add_file(handle, OpenContent::Recording { ino, model, uses_pages });
        Ok(())
    }

    fn check_bytes(&mut self, handle: HandleId, offset: u64, size: u32, bytes: &Bytes) -> Check {
        let Some(file) = self.files.get_mut(&handle) else {
            return Err(format!("{handle:?} is not open"));
        };
        match &mut file.content {
            OpenContent::Text { text, .. } => {
                let start = usize::try_from(offset).unwrap_or(usize::MAX).min(text.len());
                let end = start.saturating_add(size as usize).min(text.len());
                ensure(text[start..end] == *bytes, || {
                    format!("a read of {size} bytes at {offset} of a text file is wrong")
                })?;
            }
            OpenContent::Recording { model, .. } => {
                model.record_read(&self.mount.archive, offset, size, bytes)?;
            }
        }
        // The kernel releases a handle after its reads.
        if !file.content.uses_pages() || file.is_released || bytes.is_empty() {
            return Ok(());
        }
        let contents = match &file.content {
            OpenContent::Text { text, .. } => PageContents::Text(text.clone()),
            OpenContent::Recording { model, .. } => {
                PageContents::Recording(model.revisions().unwrap_or_default())
            }
        };
        self.mount.fill_pages(file.content.ino(), contents)
    }

    /// Checks that a short read does not tell the kernel a length that is shorter than that of the
    /// inode.
    fn check_end(&self, handle: HandleId, offset: u64, size: u32) -> Check {
        let content = &self.files[&handle].content;
        let end = offset.saturating_add(u64::from(size));
        let visible_size =
            self.mount.file_system.getattr(content.ino()).map_or(0, |file| file.size);
        let is_shorter = content.lengths().iter().all(|length| *length < visible_size.min(end));
        ensure(!content.uses_pages() || !is_shorter, || {
            format!("a read of {size} bytes at {offset} of {handle:?} ends too early")
        })
    }

    /// Returns whether the inode of an open file can be longer than the file.
    fn can_be_shorter(&self, handle: HandleId) -> bool {
        let content = &self.files[&handle].content;
        let length = content.lengths().into_iter().min().unwrap_or(0);
        let longest = self.mount.longest_sizes.lock().get(&content.ino()).copied();
        length < longest.unwrap_or(0)
    }

    fn check_read_error(&mut self, handle: HandleId, error: &Error) -> Check {
        let Some(file) = self.files.get(&handle) else {
            return Err(format!("{handle:?} is not open"));
        };
        if matches!(error, Error::BecameLonger) {
            let uses_pages = file.content.uses_pages();
            let can_be_shorter = self.can_be_shorter(handle);
            self.count("reads of a file that became longer");
            return ensure(uses_pages && can_be_shorter, || {
                format!("{handle:?} has not become longer")
            });
        }
        let OpenContent::Recording { model, .. } = &file.content else {
            return Err(format!("read of a text file: {error}"));
        };
        let (file, opened_at) = (model.file.clone(), model.opened_at);
        let since = opened_at.checked_sub(ERROR_MEMORY).unwrap_or(self.start);
        let outcome = outcome_of(error);
        let result = match outcome {
            Outcome::Unavailable => "reads that fail with EIO",
            Outcome::NotAllowed => "reads that fail with EACCES",
            Outcome::Changed => "reads that fail with ESTALE",
        };
        let mut archive = self.mount.archive.lock();
        let is_allowed = model
            .sizes
            .iter()
            .any(|possible| archive.allows(outcome, &file, possible.size, (opened_at, since)));
        if matches!(error, Error::Fetch(FetchError::Changed(_) | FetchError::WrongTotal { .. })) {
            archive.record_change_report(&file);
        }
        drop(archive);
        self.count(result);
        self.record(|| format!("the read of {handle:?}, {file}, failed: {error:?}"));
        ensure(is_allowed, || format!("a read of {file} must not fail: {error:?}"))
    }

    fn check_size_probe(
        &mut self,
        file: &FileVersion,
        start: Instant,
        result: Result<u64, Error>,
    ) -> Check {
        self.record(|| format!("the size of {file} is {result:?}"));
        let archive = self.mount.archive.lock();
        let since = start.checked_sub(ERROR_MEMORY).unwrap_or(self.start);
        let allows = |outcome, size| archive.allows(outcome, file, size, (start, since));
        let served = archive.files[file.number].version(file.version);
        match result {
            Ok(size) => {
                let mut revisions = served.into_iter().flat_map(|served| &served.revisions);
                let is_known = served.is_none() || revisions.any(|other| other.length == size);
                ensure(is_known || allows(Outcome::Unavailable, size), || {
                    format!("{file} never had {size} bytes")
                })
            }
            Err(error) => {
                let size = served.map_or(0, |served| served.length());
                ensure(allows(outcome_of(&error), size), || {
                    format!("the size of {file} is unknown: {error:?}")
                })
            }
        }
    }

    fn check_memory(&mut self) -> Check {
        let MemoryStatus { cached_bytes, reserved_bytes, .. } = self.mount.cache.status();
        if cached_bytes + reserved_bytes > MEMORY_BUDGET / 8 * 7 {
            self.count("steps with a full cache");
        }
        // A reader that waits gets memory even if the budget is used up. It reads at most 2 MiB,
        // and its request is at most a block longer at both ends.
        let demand = (self.pending_reads + self.pending_opens) as u64 * (4 << 20);
        ensure(cached_bytes + reserved_bytes <= MEMORY_BUDGET + demand, || {
            format!("{cached_bytes} bytes are cached and {reserved_bytes} reserved")
        })
    }

    /// Waits until all opens and reads have ended.
    async fn wait_for_completions(&mut self) -> Check {
        sleep(MAX_READ_TIME.max(MAX_OPEN_TIME)).await;
        self.check_completions()?;
        ensure((self.pending_opens, self.pending_reads) == (0, 0), || {
            format!("{} opens and {} reads do not end", self.pending_opens, self.pending_reads)
        })
    }

    /// Ends all faults, waits until they have no effect, and reads some files as a whole.
    async fn recover(&mut self) -> Check {
        self.record(|| "all faults end".to_owned());
        self.mount.archive.lock().lift_all_faults();
        self.wait_for_completions().await?;
        sleep(ERROR_MEMORY).await;
        self.publish()?;
        let published = self.published();
        for _ in 0..10 {
            let Some(ino) = self.choose(&published.files) else { break };
            if let PublishedContent::Recording { file, is_mounted: true, .. } =
                &published.nodes[&ino].content
            {
                self.read_whole_file(ino, file).await?;
            }
        }
        Ok(())
    }

    /// Opens a file and reads it as a whole. Opens it again if the read fails because the size or
    /// the bytes have changed.
    async fn read_whole_file(&mut self, ino: Ino, file: &FileVersion) -> Check {
        const MAX_OPENS: usize = 3;
        for _ in 0..MAX_OPENS {
            self.record(|| format!("{file} is read as a whole"));
            let published = self.published();
            let Some(PublishedContent::Recording { size, .. }) =
                published.nodes.get(&ino).map(|node| &node.content)
            else {
                return Err(format!("{file} is not listed"));
            };
            let size = *size;
            let pending = PendingOpenModel::new(ino, size);
            self.mount.pending_opens.lock().push(pending.clone());
            let file_system = &self.mount.file_system;
            let ready = match file_system
                .open(ino, ReaderId::UNKNOWN)
                .map_err(|error| error.to_string())?
            {
                OpenStep::Ready(ready) => Ok(ready),
                OpenStep::Pending(step) => self.mount.resolve_open(step).await,
            };
            let result =
                ready.and_then(|ready| file_system.finish_open(ready, self.kernel.as_ref()));
            self.mount.pending_opens.lock().retain(|other| !Arc::ptr_eq(other, &pending));
            if matches!(result, Err(Error::ChangedDuringOpen)) {
                continue;
            }
            let reply = result.map_err(|error| format!("open of {file}: {error}"))?;
            let (handle, end) = (reply.handle, Instant::now());
            self.mount.record_open(handle, &pending);
            let content = OpenedNode { file: file.clone(), is_mounted: true };
            self.check_open(&pending, content, Ok(reply), end)?;
            self.count("files that are read as a whole");
            let is_read = self.read_until_end(handle).await?;
            self.handles.retain(|other| *other != handle);
            self.release_handle(handle);
            if is_read {
                return Ok(());
            }
            sleep(MAX_CORRECTION_DELAY).await;
        }
        Err(format!("{file} cannot be read after all faults have ended"))
    }

    /// Reads a file from its start to its end. Returns `false` if it has changed.
    async fn read_until_end(&mut self, handle: HandleId) -> Result<bool, String> {
        let mut offset = 0;
        loop {
            let size = 131_072;
            let file_system = &self.mount.file_system;
            let result = match file_system.read_cached(handle, ReaderId(1), offset, size) {
                Ok(ReadStep::Ready(bytes)) => Ok(bytes),
                Ok(ReadStep::Pending(request)) => {
                    file_system.read(request, std::future::pending()).await
                }
                Err(error) => Err(error),
            };
            match result {
                Ok(bytes) => {
                    self.check_bytes(handle, offset, size, &bytes)?;
                    if bytes.is_empty() {
                        break;
                    }
                    offset += bytes.len() as u64;
                }
                Err(error) => {
                    self.check_read_error(handle, &error)?;
                    return Ok(false);
                }
            }
        }
        let archive = self.mount.archive.lock();
        let Some(OpenContent::Recording { model, .. }) =
            self.files.get(&handle).map(|file| &file.content)
        else {
            return Err(format!("{handle:?} is not open"));
        };
        let is_whole = model.sizes.iter().all(|possible| possible.size == offset);
        let served = archive.files[model.file.number].version(model.file.version);
        ensure(is_whole && served.is_some(), || {
            format!("{} ends after {offset} bytes: {model:?}", model.file)
        })?;
        Ok(true)
    }

    /// Closes all handles, and checks that nothing is left.
    async fn finish(&mut self, tasks_at_start: usize) -> Check {
        self.record(|| "the end".to_owned());
        self.mount.archive.lock().lift_all_faults();
        self.wait_for_completions().await?;
        for handle in std::mem::take(&mut self.handles) {
            self.release_handle(handle);
        }
        for directory in std::mem::take(&mut self.directories) {
            drop(self.mount.file_system.releasedir(directory.handle));
        }
        sleep(ERROR_MEMORY).await;
        ensure(self.files.is_empty(), || format!("{:?} are open", self.files))?;
        let handle_count = self.mount.file_system.open_handle_count();
        ensure(handle_count == 0, || format!("{handle_count} handles are left"))?;
        let pending_work = self.mount.engine.pending_work();
        ensure(pending_work == (0, 0), || {
            format!("fetches and readers are left: {pending_work:?}")
        })?;
        let MemoryStatus { cached_bytes, reserved_bytes, .. } = self.mount.cache.status();
        ensure(reserved_bytes == 0 && cached_bytes <= MEMORY_BUDGET, || {
            format!("{cached_bytes} bytes are cached and {reserved_bytes} reserved")
        })?;
        let task_count = Handle::current().metrics().num_alive_tasks();
        ensure(task_count <= tasks_at_start, || {
            format!("{task_count} tasks are left, and {tasks_at_start} were running at the start")
        })
    }
}

/// Returns the entries of a directory, with `.` and `..`. Returns nothing if it does not exist.
fn directory_entries(published: &PublishedTree, ino: Ino) -> Vec<(String, Ino)> {
    let Some(node) = published.nodes.get(&ino) else { return Vec::new() };
    let mut entries = vec![(".".to_owned(), ino), ("..".to_owned(), node.parent)];
    entries.extend_from_slice(published.entries(ino));
    entries
}

fn is_xattr_reply(result: &Result<XattrReply, Error>, value: &str, size: u32) -> bool {
    match result {
        Ok(XattrReply::Length(length)) => size == 0 && *length as usize == value.len(),
        Ok(XattrReply::Value(bytes)) => size != 0 && bytes == value.as_bytes(),
        Err(Error::BufferTooSmall(_)) => size != 0 && (size as usize) < value.len(),
        Err(_) => false,
    }
}

/// Returns the outcome that a program sees.
fn outcome_of(error: &Error) -> Outcome {
    match error.kind() {
        ErrorKind::NotAllowed | ErrorKind::Credential => Outcome::NotAllowed,
        ErrorKind::NotFound | ErrorKind::Changed => Outcome::Changed,
        _ => Outcome::Unavailable,
    }
}
