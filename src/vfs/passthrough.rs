//! Decides which files the kernel reads without the daemon (FUSE passthrough, Linux 6.9).
//!
//! A file that is complete and verified in the disk cache is registered with the kernel as the
//! backing file of its inode. The kernel then reads the cached file directly and sends no requests
//! for it to the daemon.
//!
//! 1. The kernel fails an `open` with `EIO` if it does not match the handles that are open on the
//!    inode (`fs/fuse/iomode.c`). An inode is read either through its pages or from a backing file,
//!    and all its handles share one backing file.
//! 2. So this module counts every open handle. The kernel counts a handle after our reply has
//!    arrived, and stops counting it before it sends the release. Therefore our count is never
//!    lower than the kernel's.
//! 3. If another program modifies a cached file while it is registered, no new handle reads that
//!    file. The reply must still name it while other handles are open on it, but the additional
//!    flag `FOPEN_DIRECT_IO` makes the kernel send reads to the daemon (`fs/fuse/file.c`,
//!    `fuse_file_read_iter`). A memory mapping reads the backing file in any case.

use std::collections::HashMap;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;

use crate::read::{CompleteFile, ContentRevision};
use crate::sync::Mutex;
use crate::sync::atomic::{AtomicBool, Ordering};
use crate::tree::Ino;

/// Registers backing files with the kernel. `B` is the type of a registration, which ends when it
/// is dropped.
pub trait BackingRegistrar<B> {
    /// # Errors
    /// The kernel rejects the file: the process lacks `CAP_SYS_ADMIN`, or the file is on a stacked
    /// file system.
    fn register(&self, file: BorrowedFd<'_>) -> io::Result<B>;
}

/// A file that can back an inode.
pub(super) trait BackingSource: AsFd {
    /// Returns whether both are the same file on disk. A file that has replaced another one is
    /// different.
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
    /// False if passthrough is off for the mount, or if the kernel has rejected a backing file.
    enabled: AtomicBool,
    /// This lock is held while the kernel registers a file, so an inode never gets two backing
    /// files. That system call does not block.
    inodes: Mutex<HashMap<Ino, OpenInode<B, F>>>,
}

/// The open handles of an inode.
#[derive(Debug)]
struct OpenInode<B, F> {
    handles: usize,
    backing: Option<Arc<BackingFile<B, F>>>,
}

/// The cached file that the kernel reads in place of an inode. The cache does not evict the file
/// while this value lives.
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
    /// The daemon answers reads, through the kernel's page cache.
    Daemon,
    /// The kernel reads this file.
    Backing(Arc<BackingFile<B, F>>),
    /// The daemon answers reads, and the page cache is bypassed. Handles that are still open read
    /// this backing file, but it was modified or is not verified.
    DaemonWithStaleBacking(Arc<BackingFile<B, F>>),
    /// The handle cannot be opened: handles that are still open read another revision from a
    /// backing file.
    Conflict,
}

impl<B, F: BackingSource> Passthrough<B, F> {
    pub(super) fn new(enabled: bool) -> Self {
        Self { enabled: AtomicBool::new(enabled), inodes: Mutex::new(HashMap::new()) }
    }

    /// Returns whether passthrough is enabled. If not, callers need not find out whether a file is
    /// complete.
    pub(super) fn is_enabled(&self) -> bool {
        self.enabled.load(Ordering::Relaxed)
    }

    /// Disables passthrough for the rest of the mount.
    pub(super) fn disable(&self, reason: &dyn std::fmt::Display) {
        if self.enabled.swap(false, Ordering::Relaxed) {
            tracing::debug!("FUSE passthrough is disabled: {reason}");
        }
    }

    /// Counts a handle that is about to open, and decides how it is read. `complete` is the cached
    /// file if this `open` found it complete and verified.
    ///
    /// A [`ReadRoute::Conflict`] is not counted. For every other route the caller must call
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
            Some(backing) => ReadRoute::DaemonWithStaleBacking(backing.clone()),
        };
        inode.handles += 1;
        route
    }

    /// Removes a handle from the count. Closing the last handle of an inode ends the registration
    /// of its backing file.
    pub(super) fn close(&self, ino: Ino) {
        let mut inodes = self.inodes.lock();
        let Some(inode) = inodes.get_mut(&ino) else { return };
        inode.handles -= 1;
        let closed = if inode.handles == 0 { inodes.remove(&ino) } else { None };
        // The registration and the file are dropped after the lock is released.
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

#[cfg(test)]
mod cached_file {
    use std::fs::File;

    use super::*;

    /// A file of the disk cache. Equal numbers stand for the same file on disk.
    #[derive(Debug)]
    pub(super) struct CachedFile(u32, File);

    impl CachedFile {
        pub(super) fn new(number: u32) -> Self {
            Self(number, File::open("/dev/null").unwrap())
        }
    }

    impl AsFd for CachedFile {
        fn as_fd(&self) -> BorrowedFd<'_> {
            self.1.as_fd()
        }
    }

    impl BackingSource for CachedFile {
        fn is_same(&self, other: &Self) -> bool {
            self.0 == other.0
        }
    }
}

#[cfg(test)]
mod tests {
    use super::cached_file::CachedFile;
    use super::*;
    use crate::vfs::tests::fake_kernel::FakeKernel;

    const INO: Ino = Ino(7);
    const OLD: ContentRevision = ContentRevision(1);
    const NEW: ContentRevision = ContentRevision(2);

    fn file(number: u32) -> Option<CachedFile> {
        Some(CachedFile::new(number))
    }

    type TestPassthrough = Passthrough<Arc<()>, CachedFile>;

    #[test]
    fn first_handle_decides_for_the_inode() {
        let (passthrough, kernel) = (TestPassthrough::new(true), FakeKernel::default());
        let open = |complete| passthrough.open(INO, OLD, complete, &kernel);
        assert!(matches!(open(None), ReadRoute::Daemon));
        assert!(matches!(open(file(1)), ReadRoute::Daemon));
        assert_eq!(kernel.registered(), 0);
        passthrough.close(INO);
        assert!(matches!(open(file(1)), ReadRoute::Daemon), "one handle is still open");
        passthrough.close(INO);
        passthrough.close(INO);
        assert!(matches!(open(file(1)), ReadRoute::Backing(_)));
        assert_eq!(kernel.registered(), 1);
    }

    #[test]
    fn handles_share_one_backing_file() {
        let (passthrough, kernel) = (TestPassthrough::new(true), FakeKernel::default());
        let open = |complete| passthrough.open(INO, OLD, complete, &kernel);
        let (ReadRoute::Backing(first), ReadRoute::Backing(second)) =
            (open(file(1)), open(file(1)))
        else {
            panic!("both handles have a backing file")
        };
        assert!(Arc::ptr_eq(&first, &second));
        drop((first, second));
        passthrough.close(INO);
        assert_eq!(kernel.registered(), 1);
        passthrough.close(INO);
        assert_eq!(kernel.registered(), 0);
    }

    #[test]
    fn unverified_backing_file_is_bypassed() {
        let (passthrough, kernel) = (TestPassthrough::new(true), FakeKernel::default());
        let open = |complete| passthrough.open(INO, OLD, complete, &kernel);
        assert!(matches!(open(file(1)), ReadRoute::Backing(_)));
        // The file is not verified any more, or it was replaced on disk.
        assert!(matches!(open(None), ReadRoute::DaemonWithStaleBacking(_)));
        assert!(matches!(open(file(2)), ReadRoute::DaemonWithStaleBacking(_)));
        assert!(matches!(open(file(1)), ReadRoute::Backing(_)));
    }

    #[test]
    fn other_revision_conflicts_and_is_not_counted() {
        let (passthrough, kernel) = (TestPassthrough::new(true), FakeKernel::default());
        let open = |revision, complete| passthrough.open(INO, revision, complete, &kernel);
        assert!(matches!(open(OLD, file(1)), ReadRoute::Backing(_)));
        assert!(matches!(open(NEW, file(2)), ReadRoute::Conflict));
        assert!(matches!(open(NEW, None), ReadRoute::Conflict));
        passthrough.close(INO);
        assert_eq!(kernel.registered(), 0);
        assert!(matches!(open(NEW, file(2)), ReadRoute::Backing(_)));
    }

    #[test]
    fn inodes_are_independent() {
        let (passthrough, kernel) = (TestPassthrough::new(true), FakeKernel::default());
        assert!(matches!(passthrough.open(INO, OLD, None, &kernel), ReadRoute::Daemon));
        let other = passthrough.open(Ino(8), OLD, file(1), &kernel);
        assert!(matches!(other, ReadRoute::Backing(_)));
    }

    #[test]
    fn rejection_disables_passthrough() {
        let (passthrough, kernel) = (TestPassthrough::new(true), FakeKernel::default());
        kernel.set_rejects_files(true);
        assert!(passthrough.is_enabled());
        assert!(matches!(passthrough.open(INO, OLD, file(1), &kernel), ReadRoute::Daemon));
        assert!(!passthrough.is_enabled());
    }

    #[test]
    fn release_without_an_open_is_ignored() {
        let passthrough = TestPassthrough::new(true);
        passthrough.close(INO);
        assert!(passthrough.inodes.lock().is_empty());
    }
}

#[cfg(all(test, feature = "model-check"))]
mod model_check {
    use shuttle::rand::{Rng, thread_rng};
    use shuttle::thread;

    use super::cached_file::CachedFile;
    use super::*;

    const SCHEDULES: usize = 10_000;
    const INO: Ino = Ino(7);

    /// The kernel's state of an inode. Uses `std::sync::Mutex`, which shuttle does not instrument:
    /// the model checker treats each kernel operation as atomic.
    #[derive(Default)]
    struct Kernel(std::sync::Mutex<KernelState>);

    #[derive(Default)]
    struct KernelState {
        /// The backing file of each open handle; `None` for a handle that is read through the page
        /// cache.
        handles: Vec<Option<usize>>,
        registered: Vec<usize>,
        next: usize,
    }

    impl Kernel {
        /// Receives the reply to an `open`. Panics if not all handles of the inode have the same
        /// backing file. In that case the kernel would fail the `open` with `EIO`
        /// (`fs/fuse/iomode.c`).
        fn receive(&self, backing: Option<usize>) {
            let mut state = self.0.lock().unwrap();
            assert!(state.handles.iter().all(|other| *other == backing), "{:?}", state.handles);
            state.handles.push(backing);
        }

        /// Removes a handle. The daemon receives the release afterwards.
        fn forget(&self, backing: Option<usize>) {
            let mut state = self.0.lock().unwrap();
            let index = state.handles.iter().position(|other| *other == backing).unwrap();
            state.handles.remove(index);
        }

        fn unregister(&self, id: usize) {
            let mut state = self.0.lock().unwrap();
            assert!(!state.handles.contains(&Some(id)), "a backing file of an open handle");
            state.registered.retain(|other| *other != id);
        }
    }

    struct Registration {
        id: usize,
        kernel: Arc<Kernel>,
    }

    impl Drop for Registration {
        fn drop(&mut self) {
            self.kernel.unregister(self.id);
        }
    }

    struct Registrar {
        kernel: Arc<Kernel>,
        rejects_some: bool,
    }

    impl BackingRegistrar<Registration> for Registrar {
        fn register(&self, _file: BorrowedFd<'_>) -> io::Result<Registration> {
            if self.rejects_some && thread_rng().gen_bool(0.5) {
                return Err(io::ErrorKind::PermissionDenied.into());
            }
            let mut state = self.kernel.0.lock().unwrap();
            state.next += 1;
            let id = state.next;
            state.registered.push(id);
            drop(state);
            Ok(Registration { id, kernel: self.kernel.clone() })
        }
    }

    /// Opens and releases the inode in three threads, with random files and revisions.
    fn open_and_release(revisions: u64, rejects_some: bool) {
        let kernel = Arc::new(Kernel::default());
        let passthrough = Arc::new(Passthrough::new(true));
        let threads: Vec<_> = (0..3)
            .map(|_| {
                let (kernel, passthrough) = (kernel.clone(), passthrough.clone());
                thread::spawn(move || {
                    let registrar = Registrar { kernel: kernel.clone(), rejects_some };
                    for _ in 0..2 {
                        let revision = ContentRevision(thread_rng().gen_range(0..revisions));
                        let number = thread_rng().gen_range(0..3);
                        let complete = (number > 0).then(|| CachedFile::new(number));
                        let route = passthrough.open(INO, revision, complete, &registrar);
                        let backing = match &route {
                            ReadRoute::Conflict => {
                                assert!(revisions > 1);
                                continue;
                            }
                            ReadRoute::Daemon => None,
                            ReadRoute::Backing(file) | ReadRoute::DaemonWithStaleBacking(file) => {
                                assert_eq!(file.revision, revision);
                                Some(file.registration().id)
                            }
                        };
                        thread::yield_now();
                        kernel.receive(backing);
                        drop(route);
                        thread::yield_now();
                        kernel.forget(backing);
                        thread::yield_now();
                        passthrough.close(INO);
                    }
                })
            })
            .collect();
        for thread in threads {
            thread.join().unwrap();
        }
        assert!(passthrough.inodes.lock().is_empty());
        assert!(kernel.0.lock().unwrap().registered.is_empty());
    }

    #[test]
    fn schedules_never_mix_ways_to_read_an_inode() {
        shuttle::check_random(|| open_and_release(1, false), SCHEDULES);
    }

    #[test]
    fn schedules_never_mix_revisions_of_an_inode() {
        shuttle::check_random(|| open_and_release(2, false), SCHEDULES);
    }

    #[test]
    fn schedules_survive_rejected_backing_files() {
        shuttle::check_random(|| open_and_release(1, true), SCHEDULES);
    }
}
