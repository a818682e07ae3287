//! Requests of the kernel, each answered from the snapshot or handed to the read engine.

use std::ffi::OsStr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use fuser::{
    AccessFlags, Errno, FileHandle, Filesystem, FopenFlags, Generation, INodeNo, InitFlags,
    KernelConfig, LockOwner, OpenFlags, ReplyAttr, ReplyData, ReplyDirectory, ReplyDirectoryPlus,
    ReplyEmpty, ReplyEntry, ReplyLseek, ReplyOpen, ReplyStatfs, ReplyXattr, Request,
};
use tokio::sync::watch;

use super::attributes::{Owner, STAT_BLOCK, ino, kind_of};
use super::errno::errno_of;
use super::handles::{Handle, Handles};
use super::invalidate::{Invalidation, Invalidator};
use super::pages::{OpenRecording, Pages};
use super::passthrough::{Passthrough, Way};
use super::read_log::Complaints;
use super::requester;
use super::sibling_prefetch::{SMALL, Walks, recording_of};
use super::xattr;
use crate::http::FetchError;
use crate::read::{CompleteFile, Engine, OpenFile};
use crate::tree::{Content, Ino, LiveTree, Node};

/// How long the kernel may believe names and attributes. Changes are announced, so this only bounds how long a
/// lost announcement is noticed by nobody; short ones would cost a request a file in every `ls`.
const TTL: Duration = Duration::from_secs(3600);

/// How long the kernel may believe that a name does not exist. Players look for a dozen names of subtitles
/// beside every video, again and again; new names are announced, so this could be longer, but a person who has
/// just been told "No such file" tries again within seconds.
const ABSENT_TTL: Duration = Duration::from_secs(5);

/// Requests the kernel keeps under way in the background (readahead): with its default of 16 a reader over a
/// slow line reaches half the speed.
const MAX_BACKGROUND: u16 = 64;

/// Inode numbers are never reused, so there is only ever one generation.
const GENERATION: Generation = Generation(0);

/// How long an `open` waits for a corrected length to reach the tree and the kernel.
const CORRECTION_TIMEOUT: Duration = Duration::from_millis(500);

/// What an [`Adapter`] is made of.
#[derive(Debug)]
pub struct AdapterOptions {
    /// The newest snapshot.
    pub tree: Arc<LiveTree>,
    /// Reads recording files.
    pub engine: Arc<Engine>,
    /// Whose the tree is.
    pub owner: Owner,
    /// Where slow replies come from.
    pub runtime: tokio::runtime::Handle,
    /// Announces changes to the kernel.
    pub invalidator: Arc<Invalidator>,
    /// Whether the kernel may read files that lie whole in the disk cache by itself.
    pub passthrough: bool,
    /// Set to true when the kernel has taken the mount down.
    pub ended: watch::Sender<bool>,
}

/// The file system as the kernel sees it.
#[derive(Debug)]
pub struct Adapter {
    shared: Arc<Shared>,
    ended: watch::Sender<bool>,
}

#[derive(Debug)]
struct Shared {
    tree: Arc<LiveTree>,
    engine: Arc<Engine>,
    owner: Owner,
    runtime: tokio::runtime::Handle,
    invalidator: Arc<Invalidator>,
    handles: Handles,
    pages: Pages,
    passthrough: Arc<Passthrough>,
    walks: Arc<Walks>,
    complaints: Complaints,
}

/// A read as the kernel asks for it.
#[derive(Clone, Copy, Debug)]
struct Asked {
    number: Ino,
    offset: u64,
    size: u32,
    thread: u32,
}

impl Adapter {
    /// An adapter without open handles.
    pub fn new(options: AdapterOptions) -> Self {
        let AdapterOptions { tree, engine, owner, runtime, invalidator, passthrough, ended } =
            options;
        let walks = Arc::new(Walks::new(tree.clone(), engine.clone()));
        let shared = Shared {
            tree,
            engine,
            owner,
            runtime,
            invalidator,
            handles: Handles::default(),
            pages: Pages::default(),
            passthrough: Passthrough::new(passthrough),
            walks,
            complaints: Complaints::default(),
        };
        Self { shared: Arc::new(shared), ended }
    }
}

impl Shared {
    fn open_recording(&self, node: &Node) -> Result<Arc<OpenFile>, FetchError> {
        let recording = recording_of(node);
        self.engine.open(
            &recording
                .ok_or_else(|| FetchError::Gone("it is no recording file any more".into()))?,
        )
    }

    fn open_text(&self, text: Bytes, reply: ReplyOpen) {
        // Cached pages are dropped: a text can change and keep its length and time.
        reply.opened(self.handles.insert(Handle::Text(text)), FopenFlags::empty());
    }

    /// Opens a file at once where everything is known, else from a task.
    fn open(self: &Arc<Self>, number: Ino, file: Arc<OpenFile>, reply: ReplyOpen) {
        let may_be_whole = self.passthrough.is_on() && self.engine.has_complete_file(&file);
        if file.content().is_confirmed() && !may_be_whole {
            return self.opened(number, file, None, reply);
        }
        let shared = self.clone();
        self.runtime.spawn(async move {
            let whole =
                if may_be_whole { shared.engine.open_complete_file(&file).await } else { None };
            if whole.is_some() || file.content().is_confirmed() {
                shared.opened(number, file, whole, reply);
            } else {
                shared.open_unconfirmed(number, file, reply).await;
            }
        });
    }

    fn opened(
        &self,
        number: Ino,
        file: Arc<OpenFile>,
        whole: Option<CompleteFile>,
        reply: ReplyOpen,
    ) {
        let (counted, way) =
            self.passthrough.open(number, file.content().revision(), whole, &reply);
        let insert = |open| self.handles.insert(Handle::Recording(Arc::new(open)));
        match way {
            Way::Asked => {
                let (open, flags) = self.pages.open(number, file, counted);
                reply.opened(insert(open), flags);
            }
            Way::Passed(behind) => {
                let handle = insert(OpenRecording::passed(file, counted));
                // No flag that speaks of pages: the kernel refuses it here (fs/fuse/iomode.c).
                reply.opened_passthrough(handle, FopenFlags::empty(), behind.number());
            }
            Way::Doubted(behind) => {
                let handle = insert(OpenRecording::passed(file, counted));
                reply.opened_passthrough(handle, FopenFlags::FOPEN_DIRECT_IO, behind.number());
            }
            Way::Barred => reply.error(Errno::ESTALE),
        }
    }

    /// Opens a file whose length no server has confirmed yet. When it turns out to be another, the corrected
    /// one is in the tree and out of the kernel's cache before the program that opens the file can ask for it.
    async fn open_unconfirmed(&self, number: Ino, mut file: Arc<OpenFile>, reply: ReplyOpen) {
        self.engine.confirm_size(&file).await;
        let node = match file.content().stale_reason() {
            None => None,
            Some(FetchError::WrongTotal { .. }) => self.corrected(number, &file).await,
            // Its length is the one shown: the tree has nothing to correct.
            Some(_) => self.tree.current().node(number).cloned(),
        };
        if let Some(node) = node {
            match self.open_recording(&node) {
                Ok(again) => file = again,
                Err(error) => return reply.error(Errno::from_i32(errno_of(&error))),
            }
        }
        self.opened(number, file, None, reply);
    }

    /// Waits until the tree and the kernel know another length than that of `file`.
    async fn corrected(&self, number: Ino, file: &OpenFile) -> Option<Node> {
        let before = file.content().recording.size;
        let corrected = async {
            let snapshot = self
                .tree
                .wait_for(|snapshot| match snapshot.node(number).map(|node| &node.content) {
                    Some(Content::Recording { size, .. }) => *size != before,
                    _ => true,
                })
                .await;
            self.invalidator.push_and_wait(Invalidation::Attributes(number)).await;
            snapshot.node(number).cloned()
        };
        tokio::time::timeout(CORRECTION_TIMEOUT, corrected).await.ok().flatten()
    }

    /// Notes a step of somebody who goes through the tree, off the event thread: it opens what is to come.
    fn walk(&self, number: Ino) {
        let (walks, runtime) = (self.walks.clone(), self.runtime.clone());
        self.runtime.spawn(async move { walks.step(number, &runtime) });
    }

    async fn read(&self, asked: Asked, file: Arc<OpenFile>, reply: ReplyData) {
        let read = tokio::select! {
            read = self.engine.read(&file, asked.offset, asked.size) => read,
            () = requester::told_to_stop(asked.thread) => return reply.error(Errno::EINTR),
        };
        match read {
            Ok(bytes) => reply.data(&bytes),
            Err(error) => {
                self.complaints.say(&self.tree, asked.number, &error);
                if matches!(error, FetchError::WrongTotal { .. }) {
                    // Whoever opens the file again because of this error must find the length that it states.
                    let _not_in_time = self.corrected(asked.number, &file).await;
                }
                reply.error(Errno::from_i32(errno_of(&error)));
            }
        }
    }
}

impl Filesystem for Adapter {
    fn init(&mut self, _request: &Request, config: &mut KernelConfig) -> std::io::Result<()> {
        for capability in [
            InitFlags::FUSE_PARALLEL_DIROPS,
            InitFlags::FUSE_DO_READDIRPLUS,
            InitFlags::FUSE_READDIRPLUS_AUTO,
            InitFlags::FUSE_AUTO_INVAL_DATA,
        ] {
            if config.add_capabilities(capability).is_err() {
                tracing::debug!("the kernel does not offer {capability:?}");
            }
        }
        if let Err(nearest) = config.set_max_background(MAX_BACKGROUND) {
            tracing::debug!("the kernel takes at most {nearest} background requests");
        }
        let passthrough = &self.shared.passthrough;
        if passthrough.is_on() {
            let offered = config.add_capabilities(InitFlags::FUSE_PASSTHROUGH).is_ok();
            if !offered || config.set_max_stack_depth(1).is_err() {
                passthrough.switch_off(&"the kernel does not offer it");
            }
        }
        Ok(())
    }

    fn destroy(&mut self) {
        self.ended.send_replace(true);
    }

    fn lookup(&self, _request: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let tree = self.shared.tree.current();
        let owner = &self.shared.owner;
        if name.len() > 255 {
            return reply.error(Errno::ENAMETOOLONG);
        }
        // The tree holds UTF-8 names only.
        let found = name.to_str().and_then(|name| tree.lookup(ino(parent), name));
        match found {
            Some(node) => reply.entry(&TTL, &owner.attributes(node), GENERATION),
            None => reply.entry(&ABSENT_TTL, &owner.absent(), GENERATION),
        }
    }

    fn getattr(
        &self,
        _request: &Request,
        number: INodeNo,
        _handle: Option<FileHandle>,
        reply: ReplyAttr,
    ) {
        match self.shared.tree.current().node(ino(number)) {
            Some(node) => reply.attr(&TTL, &self.shared.owner.attributes(node)),
            None => reply.error(Errno::ESTALE),
        }
    }

    fn access(&self, _request: &Request, _number: INodeNo, mask: AccessFlags, reply: ReplyEmpty) {
        if mask.contains(AccessFlags::W_OK) { reply.error(Errno::EROFS) } else { reply.ok() }
    }

    fn open(&self, _request: &Request, number: INodeNo, _flags: OpenFlags, reply: ReplyOpen) {
        let tree = self.shared.tree.current();
        let Some(node) = tree.node(ino(number)) else { return reply.error(Errno::ESTALE) };
        match &node.content {
            Content::Directory { .. } => reply.error(Errno::EISDIR),
            Content::Text(text) | Content::Note { text, .. } => {
                self.shared.open_text(text.clone(), reply)
            }
            Content::Document(document) => self.shared.open_text(document.text(), reply),
            Content::Recording { .. } => match self.shared.open_recording(node) {
                Err(error) => reply.error(Errno::from_i32(errno_of(&error))),
                Ok(file) => self.shared.open(node.ino, file, reply),
            },
        }
    }

    fn read(
        &self,
        request: &Request,
        number: INodeNo,
        handle: FileHandle,
        offset: u64,
        size: u32,
        _flags: OpenFlags,
        _lock_owner: Option<LockOwner>,
        reply: ReplyData,
    ) {
        match self.shared.handles.get(handle) {
            Some(Handle::Recording(open)) => {
                self.shared.pages.read_from(ino(number), &open);
                if open.is_first_read() && open.file.content().recording.size <= SMALL {
                    self.shared.walk(ino(number));
                }
                match self.shared.engine.read_now(&open.file, offset, size) {
                    Some(bytes) => reply.data(&bytes),
                    None => {
                        let asked =
                            Asked { number: ino(number), offset, size, thread: request.pid() };
                        let (shared, file) = (self.shared.clone(), open.file.clone());
                        self.shared
                            .runtime
                            .spawn(async move { shared.read(asked, file, reply).await });
                    }
                }
            }
            Some(Handle::Text(text)) => {
                let start = usize::try_from(offset).unwrap_or(usize::MAX).min(text.len());
                let end = start.saturating_add(size as usize).min(text.len());
                reply.data(&text.slice(start..end));
            }
            Some(Handle::Directory(..)) => reply.error(Errno::EISDIR),
            None => reply.error(Errno::EBADF),
        }
    }

    fn flush(
        &self,
        _request: &Request,
        _number: INodeNo,
        _handle: FileHandle,
        _lock_owner: LockOwner,
        reply: ReplyEmpty,
    ) {
        reply.ok();
    }

    fn release(
        &self,
        _request: &Request,
        _number: INodeNo,
        handle: FileHandle,
        _flags: OpenFlags,
        _lock_owner: Option<LockOwner>,
        _flush: bool,
        reply: ReplyEmpty,
    ) {
        // Forgotten first: whoever opens the file next may then be given it whole.
        drop(self.shared.handles.remove(handle));
        reply.ok();
    }

    fn lseek(
        &self,
        _request: &Request,
        number: INodeNo,
        _handle: FileHandle,
        offset: i64,
        whence: i32,
        reply: ReplyLseek,
    ) {
        let tree = self.shared.tree.current();
        let Some(node) = tree.node(ino(number)) else { return reply.error(Errno::ESTALE) };
        let size = i64::try_from(self.shared.owner.attributes(node).size).unwrap_or(i64::MAX);
        // The kernel asks for data and holes only; a recording has no holes but the end.
        match whence {
            libc::SEEK_DATA | libc::SEEK_HOLE if !(0..size).contains(&offset) => {
                reply.error(Errno::ENXIO)
            }
            libc::SEEK_DATA => reply.offset(offset),
            libc::SEEK_HOLE => reply.offset(size),
            _ => reply.error(Errno::EINVAL),
        }
    }

    fn opendir(&self, _request: &Request, number: INodeNo, _flags: OpenFlags, reply: ReplyOpen) {
        let tree = self.shared.tree.current();
        match tree.node(ino(number)).map(|node| &node.content) {
            Some(Content::Directory { .. }) => {
                let handle = self.shared.handles.insert(Handle::Directory(tree, ino(number)));
                reply.opened(handle, FopenFlags::empty());
            }
            Some(_) => reply.error(Errno::ENOTDIR),
            None => reply.error(Errno::ESTALE),
        }
    }

    fn readdir(
        &self,
        _request: &Request,
        _number: INodeNo,
        handle: FileHandle,
        offset: u64,
        mut reply: ReplyDirectory,
    ) {
        let Some(Handle::Directory(tree, directory)) = self.shared.handles.get(handle) else {
            return reply.error(Errno::EBADF);
        };
        for (position, name, node) in listing(&tree, directory, offset) {
            if reply.add(INodeNo(node.ino.0), position, kind_of(node), name) {
                break;
            }
        }
        reply.ok();
    }

    fn readdirplus(
        &self,
        _request: &Request,
        _number: INodeNo,
        handle: FileHandle,
        offset: u64,
        mut reply: ReplyDirectoryPlus,
    ) {
        let Some(Handle::Directory(tree, directory)) = self.shared.handles.get(handle) else {
            return reply.error(Errno::EBADF);
        };
        // The names are those of when the directory was opened. The kernel was told meanwhile what it must not believe any
        // more, and would believe what it is told now for as long again.
        let current = self.shared.tree.current();
        let is_current = Arc::ptr_eq(&current, &tree);
        for (position, name, node) in listing(&tree, directory, offset) {
            let is_there = is_current
                || matches!(name, "." | "..")
                || current
                    .lookup(node.parent, &node.name)
                    .is_some_and(|found| found.ino == node.ino);
            let ttl = if is_there { TTL } else { Duration::ZERO };
            let attributes = self.shared.owner.attributes(current.node(node.ino).unwrap_or(node));
            if reply.add(INodeNo(node.ino.0), position, name, &ttl, &attributes, GENERATION) {
                break;
            }
        }
        reply.ok();
    }

    fn releasedir(
        &self,
        _request: &Request,
        _number: INodeNo,
        handle: FileHandle,
        _flags: OpenFlags,
        reply: ReplyEmpty,
    ) {
        let closed = self.shared.handles.remove(handle);
        reply.ok();
        drop(closed);
    }

    fn statfs(&self, _request: &Request, _number: INodeNo, reply: ReplyStatfs) {
        let totals = self.shared.tree.current().totals();
        let blocks = totals.bytes.div_ceil(u64::from(STAT_BLOCK));
        reply.statfs(
            blocks,
            0,
            0,
            totals.files + totals.directories,
            0,
            STAT_BLOCK,
            255,
            STAT_BLOCK,
        );
    }

    fn getxattr(
        &self,
        _request: &Request,
        number: INodeNo,
        name: &OsStr,
        size: u32,
        reply: ReplyXattr,
    ) {
        xattr::get(self.shared.tree.current().node(ino(number)), name, size, reply);
    }

    fn listxattr(&self, _request: &Request, number: INodeNo, size: u32, reply: ReplyXattr) {
        xattr::list(self.shared.tree.current().node(ino(number)), size, reply);
    }
}

/// The entries of a directory from `offset` on, each with the offset that continues behind it.
fn listing(
    tree: &crate::tree::Snapshot,
    directory: Ino,
    offset: u64,
) -> impl Iterator<Item = (u64, &str, &Node)> {
    let this = tree.node(directory);
    let parent = this.and_then(|this| tree.node(this.parent)).or(this);
    let dots = [(".", this), ("..", parent)];
    let dots = dots.into_iter().filter_map(|(name, node)| node.map(|node| (name, node)));
    let entries =
        tree.entries(directory).unwrap_or_default().iter().filter_map(|ino| tree.node(*ino));
    dots.chain(entries.map(|node| (&*node.name, node)))
        .enumerate()
        .skip(usize::try_from(offset).unwrap_or(usize::MAX))
        .map(|(index, (name, node))| (index as u64 + 1, name, node))
}
