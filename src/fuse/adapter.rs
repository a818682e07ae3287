//! Translates FUSE requests into operations of the file system, and their results into replies.

use std::ffi::OsStr;
use std::ops::ControlFlow;
use std::sync::Arc;

use fuser::{
    AccessFlags, BackingId, Errno, FileHandle, Filesystem, FopenFlags, Generation, INodeNo,
    InitFlags, KernelConfig, LockOwner, OpenFlags, ReplyAttr, ReplyData, ReplyDirectory,
    ReplyDirectoryPlus, ReplyEmpty, ReplyEntry, ReplyLseek, ReplyOpen, ReplyStatfs, ReplyXattr,
    Request,
};
use tokio::sync::watch;
use tracing::{Instrument, Span};
use xxhash_rust::xxh3::xxh3_64;

use super::attributes::{absent_attr, file_attr, file_type};
use super::backing::KernelRegistrar;
use super::errno::errno;
use super::interrupt;
use super::system_call::SystemCalls;
use crate::tree::Ino;
use crate::vfs::{
    ATTRIBUTE_TTL, Error, FileSystem, HandleId, OpenMode, OpenStep, ReadStep, ReaderId, ReadyOpen,
    Seek, XattrReply,
};

/// Maximum number of background requests (read-ahead) that the kernel sends at once. With the
/// default of 16, a reader over a connection with high latency reaches only half the throughput.
const MAX_BACKGROUND: u16 = 64;

/// The generation of every inode. Inode numbers are never reused, so one generation is enough.
const GENERATION: Generation = Generation(0);

/// Answers the requests of the kernel with the operations of a [`FileSystem`].
#[derive(Debug)]
pub struct Adapter {
    file_system: Arc<FileSystem<BackingId>>,
    runtime: tokio::runtime::Handle,
    is_unmounted: watch::Sender<bool>,
    system_calls: Arc<SystemCalls>,
}

impl Adapter {
    /// Creates an adapter. Replies that cannot be sent at once are sent by tasks on `runtime`. When
    /// the kernel has unmounted the file system, `is_unmounted` is set to true.
    pub fn new(
        file_system: FileSystem<BackingId>,
        runtime: tokio::runtime::Handle,
        is_unmounted: watch::Sender<bool>,
    ) -> Self {
        Self {
            file_system: Arc::new(file_system),
            runtime,
            is_unmounted,
            system_calls: Arc::default(),
        }
    }

    /// Returns the span of a request. All debug lines in the span name the request.
    fn span(&self, request: &Request, operation: &'static str, inode: INodeNo) -> Span {
        tracing::debug_span!(
            "request",
            id = request.unique().0,
            operation,
            // The path is hashed because it can contain the names of people.
            path_hash = format_args!("{:016x}", self.path_hash(inode)),
            pid = request.pid(),
        )
    }

    fn path_hash(&self, inode: INodeNo) -> u64 {
        xxh3_64(self.file_system.path_of(ino(inode)).as_bytes())
    }
}

fn ino(inode: INodeNo) -> Ino {
    Ino(inode.0)
}

/// Returns the thread that made the request. In a FUSE request the process id is that of the
/// calling thread.
fn reader_id(request: &Request) -> ReaderId {
    ReaderId(request.pid())
}

fn handle_id(handle: FileHandle) -> HandleId {
    HandleId(handle.0)
}

fn reply_open(
    file_system: &FileSystem<BackingId>,
    result: Result<ReadyOpen, Error>,
    reader: ReaderId,
    reply: ReplyOpen,
) {
    let registrar = KernelRegistrar(&reply);
    let file = match result.and_then(|ready| file_system.finish_open(ready, &registrar)) {
        Ok(file) => file,
        Err(error) => return reply.error(errno(&error)),
    };
    file_system.record_reader(file.handle, reader);
    let handle = FileHandle(file.handle.0);
    match file.mode {
        OpenMode::PageCache => reply.opened(handle, FopenFlags::FOPEN_KEEP_CACHE),
        // Without `FOPEN_KEEP_CACHE`, the kernel would drop the pages that other handles use, and
        // wait for their reads.
        OpenMode::DirectIo => {
            reply.opened(handle, FopenFlags::FOPEN_DIRECT_IO | FopenFlags::FOPEN_KEEP_CACHE);
        }
        // With passthrough, the kernel rejects the flags that concern its page cache
        // (fs/fuse/iomode.c).
        OpenMode::Passthrough(backing) => {
            reply.opened_passthrough(handle, FopenFlags::empty(), backing.registration());
        }
        OpenMode::DirectIoWithStaleBacking(backing) => {
            let flags = FopenFlags::FOPEN_DIRECT_IO;
            reply.opened_passthrough(handle, flags, backing.registration());
        }
    }
}

fn reply_xattr(result: Result<XattrReply, Error>, reply: ReplyXattr) {
    match result {
        Ok(XattrReply::Length(length)) => reply.size(length),
        Ok(XattrReply::Value(value)) => reply.data(&value),
        Err(error) => reply.error(errno(&error)),
    }
}

/// Stops a directory listing of `vfs` if the reply buffer is full.
fn break_if_full(is_full: bool) -> ControlFlow<()> {
    if is_full { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
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
                tracing::debug!("the kernel does not support {capability:?}");
            }
        }
        if let Err(limit) = config.set_max_background(MAX_BACKGROUND) {
            tracing::debug!("the kernel accepts at most {limit} background requests");
        }
        if self.file_system.is_passthrough_enabled() {
            let is_supported = config.add_capabilities(InitFlags::FUSE_PASSTHROUGH).is_ok();
            if !is_supported || config.set_max_stack_depth(1).is_err() {
                self.file_system.disable_passthrough(&"the kernel does not support passthrough");
            }
        }
        Ok(())
    }

    fn destroy(&mut self) {
        self.is_unmounted.send_replace(true);
    }

    fn lookup(&self, request: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let _span = self.span(request, "lookup", parent).entered();
        match self.file_system.lookup(ino(parent), name) {
            Ok(lookup) => {
                let attributes = lookup.attributes.as_ref().map_or_else(absent_attr, file_attr);
                reply.entry(&lookup.ttl, &attributes, GENERATION);
            }
            Err(error) => reply.error(errno(&error)),
        }
    }

    fn getattr(
        &self,
        request: &Request,
        inode: INodeNo,
        _handle: Option<FileHandle>,
        reply: ReplyAttr,
    ) {
        let _span = self.span(request, "getattr", inode).entered();
        match self.file_system.getattr(ino(inode)) {
            Ok(attributes) => reply.attr(&ATTRIBUTE_TTL, &file_attr(&attributes)),
            Err(error) => reply.error(errno(&error)),
        }
    }

    fn access(&self, request: &Request, inode: INodeNo, mask: AccessFlags, reply: ReplyEmpty) {
        let _span = self.span(request, "access", inode).entered();
        match self.file_system.access(mask.contains(AccessFlags::W_OK)) {
            Ok(()) => reply.ok(),
            Err(error) => reply.error(errno(&error)),
        }
    }

    fn open(&self, request: &Request, inode: INodeNo, _flags: OpenFlags, reply: ReplyOpen) {
        let _span = self.span(request, "open", inode).entered();
        let reader = reader_id(request);
        let result = match self.file_system.open(ino(inode), reader) {
            Ok(OpenStep::Ready(ready)) => Ok(ready),
            Ok(OpenStep::Pending(pending)) => {
                let file_system = self.file_system.clone();
                let task = async move {
                    let result = file_system.resolve_open(pending).await;
                    reply_open(&file_system, result, reader, reply);
                };
                self.runtime.spawn(task.in_current_span());
                return;
            }
            Err(error) => Err(error),
        };
        reply_open(&self.file_system, result, reader, reply);
    }

    fn read(
        &self,
        request: &Request,
        inode: INodeNo,
        handle: FileHandle,
        offset: u64,
        size: u32,
        _flags: OpenFlags,
        lock_owner: Option<LockOwner>,
        reply: ReplyData,
    ) {
        let _span = self.span(request, "read", inode).entered();
        let (handle, reader) = (handle_id(handle), reader_id(request));
        // The kernel sends the owner of locks only with direct I/O (fs/fuse/file.c,
        // `fuse_send_read`). With the same handle, it also requests the pages of a mapping.
        let step = if lock_owner.is_some() {
            self.file_system.read_cached_directly(handle, reader, offset, size)
        } else {
            self.file_system.read_cached(handle, reader, offset, size)
        };
        match step {
            Ok(ReadStep::Ready(bytes)) => reply.data(&bytes),
            Ok(ReadStep::Pending(pending)) => {
                let file_system = self.file_system.clone();
                // In a FUSE request the process id is that of the calling thread.
                let (tid, system_calls) = (request.pid(), self.system_calls.clone());
                let task = async move {
                    let start = system_calls.start_time(tid, offset).await;
                    let interruption = async {
                        tokio::select! {
                            () = interrupt::wait_for_signal(tid) => {}
                            () = system_calls.record(tid, offset, start) => {}
                        }
                    };
                    match file_system.read(pending.with_call_start(start), interruption).await {
                        Ok(bytes) => reply.data(&bytes),
                        Err(error) => reply.error(errno(&error)),
                    }
                };
                self.runtime.spawn(task.in_current_span());
            }
            Err(error) => reply.error(errno(&error)),
        }
    }

    fn flush(
        &self,
        _request: &Request,
        _inode: INodeNo,
        _handle: FileHandle,
        _lock_owner: LockOwner,
        reply: ReplyEmpty,
    ) {
        reply.ok();
    }

    fn release(
        &self,
        request: &Request,
        inode: INodeNo,
        handle: FileHandle,
        _flags: OpenFlags,
        _lock_owner: Option<LockOwner>,
        _flush: bool,
        reply: ReplyEmpty,
    ) {
        let _span = self.span(request, "release", inode).entered();
        self.file_system.release(handle_id(handle));
        reply.ok();
    }

    fn lseek(
        &self,
        request: &Request,
        inode: INodeNo,
        _handle: FileHandle,
        offset: i64,
        whence: i32,
        reply: ReplyLseek,
    ) {
        let _span = self.span(request, "lseek", inode).entered();
        // The kernel handles the other values itself.
        let target = match whence {
            libc::SEEK_DATA => Seek::Data,
            libc::SEEK_HOLE => Seek::Hole,
            _ => return reply.error(Errno::EINVAL),
        };
        match self.file_system.lseek(ino(inode), offset, target) {
            Ok(offset) => reply.offset(offset),
            Err(error) => reply.error(errno(&error)),
        }
    }

    fn opendir(&self, request: &Request, inode: INodeNo, _flags: OpenFlags, reply: ReplyOpen) {
        let _span = self.span(request, "opendir", inode).entered();
        match self.file_system.opendir(ino(inode)) {
            Ok(handle) => reply.opened(FileHandle(handle.0), FopenFlags::empty()),
            Err(error) => reply.error(errno(&error)),
        }
    }

    fn readdir(
        &self,
        request: &Request,
        inode: INodeNo,
        handle: FileHandle,
        offset: u64,
        mut reply: ReplyDirectory,
    ) {
        let _span = self.span(request, "readdir", inode).entered();
        let result = self.file_system.readdir(handle_id(handle), offset, |entry| {
            let (inode, kind) = (INodeNo(entry.ino.0), file_type(entry.kind));
            break_if_full(reply.add(inode, entry.next_offset, kind, entry.name))
        });
        match result {
            Ok(()) => reply.ok(),
            Err(error) => reply.error(errno(&error)),
        }
    }

    fn readdirplus(
        &self,
        request: &Request,
        inode: INodeNo,
        handle: FileHandle,
        offset: u64,
        mut reply: ReplyDirectoryPlus,
    ) {
        let _span = self.span(request, "readdirplus", inode).entered();
        let result = self.file_system.readdirplus(handle_id(handle), offset, |entry| {
            let (inode, attributes) =
                (INodeNo(entry.attributes.ino.0), file_attr(&entry.attributes));
            let (offset, name, ttl) = (entry.next_offset, entry.name, &entry.ttl);
            break_if_full(reply.add(inode, offset, name, ttl, &attributes, GENERATION))
        });
        match result {
            Ok(()) => reply.ok(),
            Err(error) => reply.error(errno(&error)),
        }
    }

    fn releasedir(
        &self,
        request: &Request,
        inode: INodeNo,
        handle: FileHandle,
        _flags: OpenFlags,
        reply: ReplyEmpty,
    ) {
        let _span = self.span(request, "releasedir", inode).entered();
        let directory = self.file_system.releasedir(handle_id(handle));
        reply.ok();
        // Dropping a large snapshot takes milliseconds, so the reply is sent first.
        drop(directory);
    }

    fn statfs(&self, request: &Request, inode: INodeNo, reply: ReplyStatfs) {
        let _span = self.span(request, "statfs", inode).entered();
        let statistics = self.file_system.statfs();
        let (block_size, max_name_length) = (statistics.block_size, statistics.max_name_length);
        // The free space is 0 because the file system is read-only.
        reply.statfs(
            statistics.blocks,
            0,
            0,
            statistics.inode_count,
            0,
            block_size,
            max_name_length,
            block_size,
        );
    }

    fn getxattr(
        &self,
        request: &Request,
        inode: INodeNo,
        name: &OsStr,
        size: u32,
        reply: ReplyXattr,
    ) {
        let _span = self.span(request, "getxattr", inode).entered();
        reply_xattr(self.file_system.getxattr(ino(inode), request.uid(), name, size), reply);
    }

    fn listxattr(&self, request: &Request, inode: INodeNo, size: u32, reply: ReplyXattr) {
        let _span = self.span(request, "listxattr", inode).entered();
        reply_xattr(self.file_system.listxattr(ino(inode), request.uid(), size), reply);
    }
}
