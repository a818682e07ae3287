//! Whether somebody still waits for a reply.
//!
//! The kernel tells of an interrupted request with `FUSE_INTERRUPT`, which `fuser` 0.18.0 refuses before anybody
//! sees it. From then on a process that was told to stop while the daemon holds its request waits for the reply all
//! the same: `^C` on a silent server would seem dead until the read's deadline. A program without a handler that
//! reads through the page cache is not concerned, for there the kernel asks on its own and lets it go.

use std::time::Duration;

/// How often a requester is looked at. Well below the second in which `^C` has to work; a look costs some
/// microseconds, and only those requests that have waited as long as this get any.
const POLL_INTERVAL: Duration = Duration::from_millis(250);

/// The signals that ask a program to stop. One with a handler of its own for them sees `EINTR` and runs it.
const STOPPING: u64 = bit(libc::SIGHUP)
    | bit(libc::SIGINT)
    | bit(libc::SIGQUIT)
    | bit(libc::SIGKILL)
    | bit(libc::SIGTERM);

const fn bit(signal: i32) -> u64 {
    1 << (signal - 1)
}

/// Waits until the thread that made a request has been told to stop. Never ends for a request of the kernel's own.
pub(super) async fn told_to_stop(thread: u32) {
    loop {
        tokio::time::sleep(POLL_INTERVAL).await;
        if thread != 0 && is_told_to_stop(thread) {
            return;
        }
    }
}

fn is_told_to_stop(thread: u32) -> bool {
    // A thread that is gone waits for nothing: its request is one that goes on without it, such as readahead.
    std::fs::read_to_string(format!("/proc/{thread}/status"))
        .is_ok_and(|status| has_to_stop(&status))
}

/// Hexadecimal masks of signals (proc_pid_status(5)): pending for the thread, for its process, and blocked. Ignored
/// ones are never pending.
fn has_to_stop(status: &str) -> bool {
    let mask = |name: &str| {
        let mask = status.lines().find_map(|line| line.strip_prefix(name));
        mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or_default()
    };
    (mask("SigPnd:") | mask("ShdPnd:")) & !mask("SigBlk:") & STOPPING != 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signal_that_stops_is_told_from_others_and_from_blocked_ones() {
        assert!(has_to_stop(
            "SigPnd:\t0000000000000100\nShdPnd:\t0000000000000000\nSigBlk:\t0000000000000000\n"
        ));
        assert!(has_to_stop(
            "SigPnd:\t0000000000000000\nShdPnd:\t0000000000000002\nSigBlk:\t0000000000000000\n"
        ));
        // SIGCHLD and SIGWINCH stop nobody.
        assert!(!has_to_stop(
            "SigPnd:\t0000000000000000\nShdPnd:\t0000000008010000\nSigBlk:\t0000000000000000\n"
        ));
        assert!(!has_to_stop(
            "SigPnd:\t0000000000000000\nShdPnd:\t0000000000000002\nSigBlk:\t0000000000000002\n"
        ));
        assert!(!has_to_stop("Name:\tcat\n"));
    }

    #[test]
    fn a_thread_left_in_peace_is_not_told_to_stop() {
        assert!(!is_told_to_stop(std::process::id()));
    }
}
