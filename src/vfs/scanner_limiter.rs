//! Limits the bytes that are fetched for scanners, so that an indexer or a file manager does not
//! download an archive.
//!
//! A scanner has a budget of bytes for each file. Only bytes that must be fetched from the server
//! count. A file that a scanner opens bypasses the kernel's pages, so the kernel does not read
//! ahead.
//!
//! A scanner can also read pages: of a file that another program opened, or of a mapped file. The
//! kernel then reads ahead, and its requests name the thread for which it does, so they count in
//! the same way. A request for pages that exceeds the budget fails as a whole: a short reply would
//! mean the end of the file to the kernel. The kernel repeats it page by page when a process reads
//! these pages, and each of these requests names the thread that reads then. So other processes get
//! pages that failed for a scanner.
//!
//! The name of a program is in `/proc`, which is not accessed on an event thread. The result for a
//! thread is cached for a moment.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::time::Duration;

use lru::LruCache;
use parking_lot::Mutex;
use tokio::time::Instant;

use super::open_recording::ReaderId;
use super::scanner::Scanner;
use crate::tree::Ino;

/// Time for which it is known whether a thread belongs to a scanner. After that, the thread can run
/// another program (execve(2)).
const IDENTITY_TTL: Duration = Duration::from_secs(1);

/// Maximum time to find out whether a thread belongs to a scanner. Reading `/proc` takes 50
/// microseconds, or much longer if the processors are busy. In rare cases, it waits for a lock of a
/// process that waits for this read. The timeout is half of the shortest deadline of a read.
const IDENTIFICATION_TIMEOUT: Duration = Duration::from_millis(500);

/// Maximum number of threads in each [`IdentityCache`]. A thread that is dropped too early is
/// looked up again.
const MAX_THREADS: NonZeroUsize = NonZeroUsize::new(1024).unwrap();

/// Maximum number of budgets, of one process and one file each. A process that reads another file
/// after this number of files gets a new budget for the first one.
const MAX_BUDGETS: NonZeroUsize = NonZeroUsize::new(16 * 1024).unwrap();

/// Maximum number of processes whose first refused read is remembered.
const MAX_LOGGED_PROCESSES: NonZeroUsize = NonZeroUsize::new(64).unwrap();

/// Limits the bytes that are fetched for scanners.
#[derive(Debug)]
pub struct ScannerLimiter {
    /// Maximum number of bytes for each process and file; `None` if scanners are not limited.
    limit: Option<u64>,
    /// Threads that have opened a file. They are not in `readers`: a shell opens a file, and then
    /// the same thread runs the program that reads it.
    openers: IdentityCache,
    /// Threads that have read.
    readers: IdentityCache,
    /// The bytes that have been fetched for a scanner from a file.
    spent_bytes: Mutex<LruCache<(Scanner, Ino), u64>>,
    logged_processes: Mutex<LruCache<Scanner, ()>>,
    counts: Mutex<BTreeMap<&'static str, ScannerCounts>>,
}

/// The scanners that some threads belong to, and when this was found out.
#[derive(Debug)]
struct IdentityCache(Mutex<LruCache<ReaderId, (Instant, Option<Scanner>)>>);

impl Default for IdentityCache {
    fn default() -> Self {
        Self(Mutex::new(LruCache::new(MAX_THREADS)))
    }
}

impl IdentityCache {
    fn get(&self, thread: ReaderId) -> Option<Option<Scanner>> {
        let mut identities = self.0.lock();
        let (found_at, scanner) = identities.get(&thread)?;
        (found_at.elapsed() < IDENTITY_TTL).then_some(*scanner)
    }

    fn put(&self, thread: ReaderId, scanner: Option<Scanner>) {
        self.0.lock().put(thread, (Instant::now(), scanner));
    }
}

/// What a scanner has read since the mount started, in all its processes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ScannerCounts {
    /// Number of bytes that were fetched for it.
    pub fetched_bytes: u64,
    /// Number of reads that failed because a budget was used up.
    pub refused_reads: u64,
}

impl ScannerLimiter {
    /// Creates a limiter that allows each process of a scanner `limit` bytes of each file. Without
    /// a limit, scanners are not recognized.
    pub fn new(limit: Option<u64>) -> Self {
        Self {
            limit,
            openers: IdentityCache::default(),
            readers: IdentityCache::default(),
            spent_bytes: Mutex::new(LruCache::new(MAX_BUDGETS)),
            logged_processes: Mutex::new(LruCache::new(MAX_LOGGED_PROCESSES)),
            counts: Mutex::default(),
        }
    }

    /// Returns the maximum number of bytes for each process and file, if there is one.
    pub fn limit(&self) -> Option<u64> {
        self.limit
    }

    /// Returns the counts of each program that has read bytes that were not cached. The names are
    /// those of the list in the documentation.
    pub fn counts(&self) -> BTreeMap<&'static str, ScannerCounts> {
        self.counts.lock().clone()
    }

    /// Returns the scanner that opens a file, or `Some(None)` if its program is not a scanner.
    /// Returns `None` if [`identify_opener`](Self::identify_opener) must find this out.
    pub(super) fn known_opener(&self, opener: ReaderId) -> Option<Option<Scanner>> {
        self.known(&self.openers, opener)
    }

    /// Returns the scanner that opens a file, if any.
    pub(super) async fn identify_opener(&self, opener: ReaderId) -> Option<Scanner> {
        self.identify(&self.openers, opener).await
    }

    /// Returns the scanner that reads a file, or `Some(None)` if its program is not a scanner.
    /// Returns `None` if [`identify_reader`](Self::identify_reader) must find this out.
    pub(super) fn known_reader(&self, reader: ReaderId) -> Option<Option<Scanner>> {
        self.known(&self.readers, reader)
    }

    /// Returns the scanner that reads a file, if any.
    pub(super) async fn identify_reader(&self, reader: ReaderId) -> Option<Scanner> {
        self.identify(&self.readers, reader).await
    }

    fn known(&self, identities: &IdentityCache, thread: ReaderId) -> Option<Option<Scanner>> {
        if self.limit.is_none() || thread == ReaderId::UNKNOWN {
            return Some(None);
        }
        identities.get(thread)
    }

    async fn identify(&self, identities: &IdentityCache, thread: ReaderId) -> Option<Scanner> {
        if let Some(scanner) = self.known(identities, thread) {
            return scanner;
        }
        let scanner = find_scanner(thread).await?;
        identities.put(thread, scanner);
        scanner
    }

    /// Takes `bytes` from the budget of a scanner for a file. Returns false, and takes nothing, if
    /// the budget has less.
    pub(super) fn spend(&self, scanner: Scanner, ino: Ino, bytes: u64) -> bool {
        if bytes == 0 {
            return true;
        }
        let mut spent_bytes = self.spent_bytes.lock();
        let spent = spent_bytes.get_or_insert_mut((scanner, ino), || 0);
        let sum = spent.saturating_add(bytes);
        if self.limit.is_some_and(|limit| sum > limit) {
            return false;
        }
        *spent = sum;
        drop(spent_bytes);
        self.counts.lock().entry(scanner.program).or_default().fetched_bytes += bytes;
        true
    }

    /// Counts a refused read. Returns whether it is the first one of the process.
    pub(super) fn record_refusal(&self, scanner: Scanner) -> bool {
        self.counts.lock().entry(scanner.program).or_default().refused_reads += 1;
        self.logged_processes.lock().put(scanner, ()).is_none()
    }
}

impl Default for ScannerLimiter {
    fn default() -> Self {
        Self::new(None)
    }
}

/// Looks up the program of a thread. Returns `None` if that takes too long.
async fn find_scanner(reader: ReaderId) -> Option<Option<Scanner>> {
    let scanner = tokio::task::spawn_blocking(move || Scanner::of_thread(reader.0));
    tokio::time::timeout(IDENTIFICATION_TIMEOUT, scanner).await.ok()?.ok()
}
