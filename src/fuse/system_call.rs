//! Finds the start time of the system call that a request belongs to.
//!
//! The kernel splits one read(2) into consecutive requests of 128 KiB or less, and the program
//! waits for all of them. A call of up to 1 MiB has one deadline; a longer call has one for each
//! MiB. Two requests of a thread belong to the same call if the thread has not completed a read in
//! between, which its counter in `/proc` shows. If the counter cannot be read, each request has its
//! own deadline.

use std::collections::HashMap;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

/// How long a request waits before its system call is recorded. A request that is answered sooner
/// causes no extra work.
const MIN_WAIT: Duration = Duration::from_millis(250);

/// Number of bytes of one system call that share a deadline. Some programs read gigabytes with a
/// single call, which must not fail only because it takes long.
const BYTES_PER_DEADLINE: u64 = 1024 * 1024;

/// Maximum number of recorded system calls. Each belongs to a thread that is waiting or has just
/// waited.
const MAX_CALLS: usize = 1024;

/// The read system calls that are waiting or have just waited, by thread id.
#[derive(Debug, Default)]
pub(super) struct SystemCalls(Mutex<HashMap<u32, SystemCall>>);

#[derive(Clone, Copy, Debug)]
struct SystemCall {
    /// Number of reads that the thread had completed before the call.
    completed_reads: u64,
    start: Instant,
    /// Offset of the first request of the call.
    offset: u64,
}

impl SystemCalls {
    /// Returns the start time of the system call that a request belongs to. The thread `tid` sent
    /// the request, and `offset` is the start of the requested bytes.
    pub(super) async fn start_time(&self, tid: u32, offset: u64) -> Instant {
        let now = Instant::now();
        let Some(call) = self.0.lock().get(&tid).copied() else { return now };
        let is_same_call = offset.abs_diff(call.offset) < BYTES_PER_DEADLINE
            && run_blocking(tid, completed_reads).await == Some(call.completed_reads);
        if is_same_call {
            return call.start;
        }
        self.0.lock().remove(&tid);
        now
    }

    /// Records the system call of a request that waits. Never returns.
    pub(super) async fn record(&self, tid: u32, offset: u64, start: Instant) {
        tokio::time::sleep(MIN_WAIT).await;
        if let Some(completed_reads) = run_blocking(tid, reads_before_call).await {
            let mut calls = self.0.lock();
            if calls.len() >= MAX_CALLS {
                calls.clear();
            }
            calls.entry(tid).or_insert(SystemCall { completed_reads, start, offset });
        }
        std::future::pending().await
    }
}

/// Calls `read` on a thread that may block, because `read` accesses `/proc`.
async fn run_blocking(tid: u32, read: fn(u32) -> Option<u64>) -> Option<u64> {
    tokio::task::spawn_blocking(move || read(tid)).await.ok().flatten()
}

/// Returns the number of reads that a thread has completed.
fn completed_reads(tid: u32) -> Option<u64> {
    let counters = std::fs::read_to_string(format!("/proc/{tid}/task/{tid}/io")).ok()?;
    counters.lines().find_map(|line| line.strip_prefix("syscr: ")?.parse().ok())
}

/// Returns the number of reads that a thread had completed before the read in which it is waiting.
/// Returns `None` if the thread is waiting in another system call, such as sendfile(2), or for a
/// page of a mapped file.
fn reads_before_call(tid: u32) -> Option<u64> {
    const READS: [libc::c_long; 5] =
        [libc::SYS_read, libc::SYS_pread64, libc::SYS_readv, libc::SYS_preadv, libc::SYS_preadv2];
    let call = std::fs::read_to_string(format!("/proc/{tid}/task/{tid}/syscall")).ok()?;
    let call_number = call.split_whitespace().next()?.parse().ok()?;
    if READS.contains(&call_number) { completed_reads(tid) } else { None }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    fn own_thread() -> u32 {
        nix::unistd::gettid().as_raw().unsigned_abs()
    }

    #[test]
    fn completed_reads_are_counted() {
        let mut zero = std::fs::File::open("/dev/zero").unwrap();
        let previous_reads = completed_reads(own_thread()).unwrap();
        zero.read_exact(&mut [0; 8]).unwrap();
        assert!(completed_reads(own_thread()).unwrap() > previous_reads);
    }

    #[test]
    fn thread_outside_a_read_has_no_call() {
        let (tid_sender, tid_receiver) = std::sync::mpsc::channel();
        let (stop_sender, stop_receiver) = std::sync::mpsc::channel::<()>();
        let thread = std::thread::spawn(move || {
            tid_sender.send(own_thread()).unwrap();
            stop_receiver.recv().unwrap_err();
        });
        let tid = tid_receiver.recv().unwrap();
        std::thread::sleep(Duration::from_millis(50));
        assert_eq!(reads_before_call(tid), None);
        drop(stop_sender);
        thread.join().unwrap();
    }

    #[tokio::test]
    async fn requests_of_one_call_share_its_start() {
        let calls = SystemCalls::default();
        // The child waits in read(2).
        let mut child = std::process::Command::new("cat")
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::null())
            .spawn()
            .unwrap();
        let tid = child.id();
        let start = Instant::now() - Duration::from_secs(7);
        let mut recording = std::pin::pin!(calls.record(tid, 0, start));
        let is_recorded = || calls.0.lock().contains_key(&tid);
        for _ in 0..100 {
            if !is_recorded() {
                let _ = tokio::time::timeout(Duration::from_millis(50), &mut recording).await;
            }
        }
        assert!(is_recorded());
        assert_eq!(calls.start_time(tid, BYTES_PER_DEADLINE - 1).await, start);
        assert!(calls.start_time(tid, BYTES_PER_DEADLINE).await > start, "another mebibyte");
        assert!(!is_recorded());
        child.kill().unwrap();
        child.wait().unwrap();
    }
}
