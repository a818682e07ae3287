//! Decides which files the kernel reads without the daemon (FUSE passthrough, Linux 6.9).
//!
//! A file that is complete and verified in the disk cache is registered with the kernel as the
//! backing file of its inode. The kernel then reads the cached file directly and sends no requests
//! for it to the daemon.
//!
//! 1. The kernel fails an `open` with `EIO` if it does not match the handles that are open on the
//!    inode (`fs/fuse/iomode.c`). An inode is read either through its pages or from a backing file,
//!    and all its handles share one backing file.
//! 2. Therefore this module counts every open handle. The kernel counts a handle after it has
//!    received the reply, and stops counting it before it sends the release. So the count of this
//!    module is never lower than that of the kernel.
//! 3. If another program modifies a cached file while it is registered, new handles do not read it.
//!    The reply must still name the file while other handles are open on it, but the additional
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
    /// Registers an open file as a backing file.
    ///
    /// # Errors
    /// The kernel rejects the file: the process lacks `CAP_SYS_ADMIN`, or the file is on a stacked
    /// file system.
    fn register(&self, file: BorrowedFd<'_>) -> io::Result<B>;
}

/// A file that can be the backing file of an inode.
pub(super) trait BackingSource: AsFd {
    /// Whether `self` and `other` are the same file on disk. A file that has replaced another file
    /// is a different file.
    fn is_same(&self, other: &Self) -> bool;
}

impl BackingSource for CompleteFile {
    fn is_same(&self, other: &Self) -> bool {
        CompleteFile::is_same(self, other)
    }
}

/// Decides which handles the kernel reads without the daemon, and counts the open handles.
#[derive(Debug)]
pub(super) struct Passthrough<B, F = CompleteFile> {
    /// Whether new handles can get a backing file. It is false if passthrough is off for the mount,
    /// or if the kernel has rejected a backing file.
    is_enabled: AtomicBool,
    /// The lock is held while the kernel registers a file, so an inode never gets two backing
    /// files. The system call that registers a file does not block.
    inodes: Mutex<HashMap<Ino, OpenInode<B, F>>>,
}

/// The number of open handles of an inode, and the backing file that they share.
#[derive(Debug)]
struct OpenInode<B, F> {
    handle_count: usize,
    backing_file: Option<Arc<BackingFile<B, F>>>,
}

/// A cached file from which the kernel serves the reads of an inode. The cache does not evict the
/// file until this value is dropped.
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
    /// The daemon answers reads through the kernel's page cache.
    Daemon,
    /// The kernel reads this file without the daemon.
    Backing(Arc<BackingFile<B, F>>),
    /// The daemon answers reads, and the kernel bypasses its page cache. Other open handles read
    /// this backing file, but it was modified or is not verified.
    DaemonWithStaleBacking(Arc<BackingFile<B, F>>),
    /// The handle cannot be opened, because open handles read another revision from a backing file.
    Conflict,
}

impl<B, F: BackingSource> Passthrough<B, F> {
    pub(super) fn new(is_enabled: bool) -> Self {
        Self { is_enabled: AtomicBool::new(is_enabled), inodes: Mutex::new(HashMap::new()) }
    }

    /// Whether new handles can get a backing file. If not, callers need not check whether a file is
    /// complete.
    pub(super) fn is_enabled(&self) -> bool {
        self.is_enabled.load(Ordering::Relaxed)
    }

    /// Disables passthrough for the rest of the mount.
    pub(super) fn disable(&self, reason: &dyn std::fmt::Display) {
        if self.is_enabled.swap(false, Ordering::Relaxed) {
            tracing::debug!("FUSE passthrough is disabled: {reason}");
        }
    }

    /// Counts a new handle, and decides how it is read. `complete_file` is the cached file if it is
    /// complete and verified.
    ///
    /// A handle with [`ReadRoute::Conflict`] is not counted. For every other route, the caller must
    /// call [`close`](Self::close) after the kernel has released the handle.
    pub(super) fn open(
        &self,
        ino: Ino,
        revision: ContentRevision,
        complete_file: Option<F>,
        kernel: &dyn BackingRegistrar<B>,
    ) -> ReadRoute<B, F> {
        // `complete_file` is dropped after the lock is released.
        let mut inodes = self.inodes.lock();
        let Some(inode) = inodes.get_mut(&ino) else {
            let backing_file = complete_file.and_then(|file| self.register(revision, file, kernel));
            inodes.insert(ino, OpenInode { handle_count: 1, backing_file: backing_file.clone() });
            return backing_file.map_or(ReadRoute::Daemon, ReadRoute::Backing);
        };
        let route = match &inode.backing_file {
            None => ReadRoute::Daemon,
            Some(backing_file) if backing_file.revision != revision => return ReadRoute::Conflict,
            Some(backing_file)
                if complete_file.as_ref().is_some_and(|file| file.is_same(&backing_file.file)) =>
            {
                ReadRoute::Backing(backing_file.clone())
            }
            Some(backing_file) => ReadRoute::DaemonWithStaleBacking(backing_file.clone()),
        };
        inode.handle_count += 1;
        route
    }

    /// Stops counting a handle. Closing the last handle of an inode ends the registration of its
    /// backing file.
    pub(super) fn close(&self, ino: Ino) {
        let mut inodes = self.inodes.lock();
        let Some(inode) = inodes.get_mut(&ino) else { return };
        inode.handle_count -= 1;
        let closed_inode = if inode.handle_count == 0 { inodes.remove(&ino) } else { None };
        // The registration and the file are dropped after the lock is released.
        drop(inodes);
        drop(closed_inode);
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
    const OLD_REVISION: ContentRevision = ContentRevision(1);
    const NEW_REVISION: ContentRevision = ContentRevision(2);

    fn cached_file(number: u32) -> Option<CachedFile> {
        Some(CachedFile::new(number))
    }

    type TestPassthrough = Passthrough<Arc<()>, CachedFile>;

    #[test]
    fn first_handle_decides_how_an_inode_is_read() {
        let (passthrough, kernel) = (TestPassthrough::new(true), FakeKernel::default());
        let open = |complete_file| passthrough.open(INO, OLD_REVISION, complete_file, &kernel);
        assert!(matches!(open(None), ReadRoute::Daemon));
        assert!(matches!(open(cached_file(1)), ReadRoute::Daemon));
        assert_eq!(kernel.registered_count(), 0);
        passthrough.close(INO);
        assert!(matches!(open(cached_file(1)), ReadRoute::Daemon), "one handle is still open");
        passthrough.close(INO);
        passthrough.close(INO);
        assert!(matches!(open(cached_file(1)), ReadRoute::Backing(_)));
        assert_eq!(kernel.registered_count(), 1);
    }

    #[test]
    fn handles_share_one_backing_file() {
        let (passthrough, kernel) = (TestPassthrough::new(true), FakeKernel::default());
        let open = |complete_file| passthrough.open(INO, OLD_REVISION, complete_file, &kernel);
        let (ReadRoute::Backing(first), ReadRoute::Backing(second)) =
            (open(cached_file(1)), open(cached_file(1)))
        else {
            panic!("both handles have a backing file")
        };
        assert!(Arc::ptr_eq(&first, &second));
        drop((first, second));
        passthrough.close(INO);
        assert_eq!(kernel.registered_count(), 1);
        passthrough.close(INO);
        assert_eq!(kernel.registered_count(), 0);
    }

    #[test]
    fn unverified_backing_file_is_bypassed() {
        let (passthrough, kernel) = (TestPassthrough::new(true), FakeKernel::default());
        let open = |complete_file| passthrough.open(INO, OLD_REVISION, complete_file, &kernel);
        assert!(matches!(open(cached_file(1)), ReadRoute::Backing(_)));
        // The file is not verified any more, or it was replaced on disk.
        assert!(matches!(open(None), ReadRoute::DaemonWithStaleBacking(_)));
        assert!(matches!(open(cached_file(2)), ReadRoute::DaemonWithStaleBacking(_)));
        assert!(matches!(open(cached_file(1)), ReadRoute::Backing(_)));
    }

    #[test]
    fn other_revision_conflicts_and_is_not_counted() {
        let (passthrough, kernel) = (TestPassthrough::new(true), FakeKernel::default());
        let open =
            |revision, complete_file| passthrough.open(INO, revision, complete_file, &kernel);
        assert!(matches!(open(OLD_REVISION, cached_file(1)), ReadRoute::Backing(_)));
        assert!(matches!(open(NEW_REVISION, cached_file(2)), ReadRoute::Conflict));
        assert!(matches!(open(NEW_REVISION, None), ReadRoute::Conflict));
        passthrough.close(INO);
        assert_eq!(kernel.registered_count(), 0);
        assert!(matches!(open(NEW_REVISION, cached_file(2)), ReadRoute::Backing(_)));
    }

    #[test]
    fn inodes_are_independent() {
        let (passthrough, kernel) = (TestPassthrough::new(true), FakeKernel::default());
        assert!(matches!(passthrough.open(INO, OLD_REVISION, None, &kernel), ReadRoute::Daemon));
        let route = passthrough.open(Ino(8), OLD_REVISION, cached_file(1), &kernel);
        assert!(matches!(route, ReadRoute::Backing(_)));
    }

    #[test]
    fn rejection_disables_passthrough() {
        let (passthrough, kernel) = (TestPassthrough::new(true), FakeKernel::default());
        kernel.set_rejects_files(true);
        assert!(passthrough.is_enabled());
        assert!(matches!(
            passthrough.open(INO, OLD_REVISION, cached_file(1), &kernel),
            ReadRoute::Daemon
        ));
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

    const SCHEDULE_COUNT: usize = 10_000;
    const INO: Ino = Ino(7);

    /// The state of an inode in the kernel. Uses `std::sync::Mutex`, which shuttle does not
    /// instrument: the model checker treats each kernel operation as atomic.
    #[derive(Default)]
    struct Kernel(std::sync::Mutex<KernelState>);

    #[derive(Default)]
    struct KernelState {
        /// The backing file of each open handle, or `None` for a handle that is read through the
        /// page cache.
        handles: Vec<Option<usize>>,
        registered_ids: Vec<usize>,
        next_id: usize,
    }

    impl Kernel {
        /// Receives the reply to an `open`. Panics if the handles of the inode do not all have the
        /// same backing file, because the kernel would fail this `open` with `EIO`
        /// (`fs/fuse/iomode.c`).
        fn receive_reply(&self, backing_id: Option<usize>) {
            let mut state = self.0.lock().unwrap();
            assert!(
                state.handles.iter().all(|handle| *handle == backing_id),
                "{:?}",
                state.handles
            );
            state.handles.push(backing_id);
        }

        /// Removes a handle. The daemon handles the release later.
        fn release(&self, backing_id: Option<usize>) {
            let mut state = self.0.lock().unwrap();
            let index = state.handles.iter().position(|handle| *handle == backing_id).unwrap();
            state.handles.remove(index);
        }

        fn unregister(&self, id: usize) {
            let mut state = self.0.lock().unwrap();
            assert!(!state.handles.contains(&Some(id)), "a backing file of an open handle");
            state.registered_ids.retain(|registered_id| *registered_id != id);
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
        rejects_randomly: bool,
    }

    impl BackingRegistrar<Registration> for Registrar {
        fn register(&self, _file: BorrowedFd<'_>) -> io::Result<Registration> {
            if self.rejects_randomly && thread_rng().gen_bool(0.5) {
                return Err(io::ErrorKind::PermissionDenied.into());
            }
            let mut state = self.kernel.0.lock().unwrap();
            state.next_id += 1;
            let id = state.next_id;
            state.registered_ids.push(id);
            drop(state);
            Ok(Registration { id, kernel: self.kernel.clone() })
        }
    }

    /// Opens and releases the inode in three threads, with random files and revisions.
    fn open_and_release(revisions: u64, rejects_randomly: bool) {
        let kernel = Arc::new(Kernel::default());
        let passthrough = Arc::new(Passthrough::new(true));
        let threads: Vec<_> = (0..3)
            .map(|_| {
                let (kernel, passthrough) = (kernel.clone(), passthrough.clone());
                thread::spawn(move || {
                    let registrar = Registrar { kernel: kernel.clone(), rejects_randomly };
                    for _ in 0..2 {
                        let revision = ContentRevision(thread_rng().gen_range(0..revisions));
                        let number = thread_rng().gen_range(0..3);
                        let complete_file = (number > 0).then(|| CachedFile::new(number));
                        let route = passthrough.open(INO, revision, complete_file, &registrar);
                        let backing_id = match &route {
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
                        kernel.receive_reply(backing_id);
                        drop(route);
                        thread::yield_now();
                        kernel.release(backing_id);
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
        assert!(kernel.0.lock().unwrap().registered_ids.is_empty());
    }

    #[test]
    fn schedules_never_mix_pages_and_backing_files() {
        shuttle::check_random(|| open_and_release(1, false), SCHEDULE_COUNT);
    }

    #[test]
    fn schedules_never_mix_revisions_of_an_inode() {
        shuttle::check_random(|| open_and_release(2, false), SCHEDULE_COUNT);
    }

    #[test]
    fn schedules_survive_rejected_backing_files() {
        shuttle::check_random(|| open_and_release(1, true), SCHEDULE_COUNT);
    }
}
