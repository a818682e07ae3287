//! Which files the kernel reads without the daemon (FUSE passthrough, Linux 6.9).
//!
//! A file that is complete and verified in the disk cache is registered with the kernel as the
//! backing file of its inode. Reads then go to the file of the cache and cost no request.
//!
//! 1. The kernel fails an `open` with `EIO` if it does not match the handles that are open on the
//!    inode (`fs/fuse/iomode.c`). An inode is read either through its pages or from a backing file,
//!    and all its handles share one backing file.
//! 2. So every open handle is counted. The kernel forgets a handle before it sends the release, and
//!    knows of a handle after our reply has arrived. The count is therefore never lower than the
//!    kernel's.
//! 3. If a file of the cache was modified by another program while it was registered, no new handle
//!    reads it. The reply must name it while handles are open on it, but with `FOPEN_DIRECT_IO`
//!    beside it reads come to the daemon (`fs/fuse/file.c`, `fuse_file_read_iter`). A memory mapping
//!    reads the backing file in any case.

use std::collections::HashMap;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;

use crate::read::{CompleteFile, ContentRevision};
use crate::sync::Mutex;
use crate::sync::atomic::{AtomicBool, Ordering};
use crate::tree::Ino;

/// Registers backing files with the kernel. `B` is the kernel's registration, which ends when it is
/// dropped.
pub trait BackingRegistrar<B> {
    /// # Errors
    /// The kernel rejects the file: the process lacks `CAP_SYS_ADMIN`, or the file is on a stacked
    /// file system.
    fn register(&self, file: BorrowedFd<'_>) -> io::Result<B>;
}

/// A file that can back an inode.
pub(super) trait BackingSource: AsFd {
    /// Returns whether both are the same file on disk, and not one that replaced the other.
    fn is_same(&self, other: &Self) -> bool;
}

impl BackingSource for CompleteFile {
    fn is_same(&self, other: &Self) -> bool {
        CompleteFile::is_same(self, other)
    }
}

/// The policy and the state of passthrough.
#[derive(Debug)]
pub(super) struct Passthrough<B, F = CompleteFile> {
    /// False when the mount does not want passthrough, and after the kernel rejected it once.
    enabled: AtomicBool,
    /// Held while the kernel registers a file, so that an inode gets one backing file. That system
    /// call waits for nothing.
    inodes: Mutex<HashMap<Ino, OpenInode<B, F>>>,
}

/// The open handles of an inode.
#[derive(Debug)]
struct OpenInode<B, F> {
    handles: usize,
    backing: Option<Arc<BackingFile<B, F>>>,
}

/// The file that the kernel reads in place of an inode. The cache does not evict it while this
/// lives.
#[derive(Debug)]
pub struct BackingFile<B, F = CompleteFile> {
    revision: ContentRevision,
    registration: B,
    file: F,
}

impl<B, F> BackingFile<B, F> {
    pub fn registration(&self) -> &B {
        &self.registration
    }
}

/// How the reads of a new handle are served.
#[derive(Debug)]
pub(super) enum ReadRoute<B, F = CompleteFile> {
    /// By the daemon, through the kernel's pages.
    Daemon,
    /// By the kernel, from this file.
    Backing(Arc<BackingFile<B, F>>),
    /// By the daemon, past the kernel's pages. The kernel reads the file for handles that are still
    /// open, but it is no longer known to be right.
    DaemonBesideBacking(Arc<BackingFile<B, F>>),
    /// Not at all: the kernel reads another revision for handles that are still open.
    Conflict,
}

impl<B, F: BackingSource> Passthrough<B, F> {
    pub(super) fn new(enabled: bool) -> Self {
        Self { enabled: AtomicBool::new(enabled), inodes: Mutex::new(HashMap::new()) }
    }

    /// Returns whether it is worth finding out if a file is complete.
    pub(super) fn is_enabled(&self) -> bool {
        self.enabled.load(Ordering::Relaxed)
    }

    /// Disables passthrough for the rest of the mount.
    pub(super) fn disable(&self, reason: &dyn std::fmt::Display) {
        if self.enabled.swap(false, Ordering::Relaxed) {
            tracing::debug!("FUSE passthrough is disabled: {reason}");
        }
    }

    /// Counts a handle that is about to open, and decides how it is read. `complete` is the file in
    /// the cache if it was found complete and verified for this `open`.
    ///
    /// A [`ReadRoute::Conflict`] is not counted. For every other route the caller calls
    /// [`close`](Self::close) after the kernel has released the handle.
    pub(super) fn open(
        &self,
        ino: Ino,
        revision: ContentRevision,
        complete: Option<F>,
        kernel: &dyn BackingRegistrar<B>,
    ) -> ReadRoute<B, F> {
        let mut inodes = self.inodes.lock();
        let Some(inode) = inodes.get_mut(&ino) else {
            let backing = complete.and_then(|file| self.register(revision, file, kernel));
            inodes.insert(ino, OpenInode { handles: 1, backing: backing.clone() });
            return backing.map_or(ReadRoute::Daemon, ReadRoute::Backing);
        };
        let route = match &inode.backing {
            None => ReadRoute::Daemon,
            Some(backing) if backing.revision != revision => return ReadRoute::Conflict,
            Some(backing) if complete.is_some_and(|file| file.is_same(&backing.file)) => {
                ReadRoute::Backing(backing.clone())
            }
            Some(backing) => ReadRoute::DaemonBesideBacking(backing.clone()),
        };
        inode.handles += 1;
        route
    }

    /// Removes a handle from the count. The last one ends the registration of the backing file.
    pub(super) fn close(&self, ino: Ino) {
        let mut inodes = self.inodes.lock();
        let Some(inode) = inodes.get_mut(&ino) else { return };
        inode.handles -= 1;
        let closed = if inode.handles == 0 { inodes.remove(&ino) } else { None };
        // The registration and the file close outside of the lock.
        drop(inodes);
        drop(closed);
    }

    fn register(
        &self,
        revision: ContentRevision,
        file: F,
        kernel: &dyn BackingRegistrar<B>,
    ) -> Option<Arc<BackingFile<B, F>>> {
        match kernel.register(file.as_fd()) {
            Ok(registration) => Some(Arc::new(BackingFile { revision, registration, file })),
            Err(error) => {
                self.disable(&error);
                None
            }
        }
    }
}
