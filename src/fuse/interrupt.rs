//! Detects signals that end a thread while it waits for a reply.
//!
//! The kernel announces an interrupted request with `FUSE_INTERRUPT`, which `fuser` 0.18.0 rejects
//! before a file system sees it. The kernel then waits for the reply even if the process has a
//! pending signal. If the server does not answer, `^C` has no effect until the deadline of the
//! read. Programs without a signal handler that read through the page cache are not affected: the
//! kernel's read-ahead sends the request, and the wait of the program can be killed.
//!
//! A signal that the program handles does not interrupt a read of a regular file. Some programs
//! interpret `EINTR` from such a read as the end of the file, and `SA_RESTART` does not apply to an
//! errno in a reply. The handler runs after the read (signal(7), "Interruption of system calls").

use std::time::Duration;

/// Interval between two checks. It is far below one second, within which `^C` must take effect. One
/// check takes a few microseconds, and a request that is answered sooner is never checked.
const POLL_INTERVAL: Duration = Duration::from_millis(250);

/// The signals whose default action does not end a process (signal(7)).
const HARMLESS_SIGNALS: u64 = signal_bit(libc::SIGCHLD)
    | signal_bit(libc::SIGCONT)
    | signal_bit(libc::SIGSTOP)
    | signal_bit(libc::SIGTSTP)
    | signal_bit(libc::SIGTTIN)
    | signal_bit(libc::SIGTTOU)
    | signal_bit(libc::SIGURG)
    | signal_bit(libc::SIGWINCH);

const fn signal_bit(signal: i32) -> u64 {
    1 << (signal - 1)
}

/// Waits until the thread `tid` has a pending signal that ends it. Never returns for thread 0,
/// which means that the kernel itself sent the request.
pub(super) async fn wait_for_signal(tid: u32) {
    if tid == 0 {
        return std::future::pending().await;
    }
    loop {
        tokio::time::sleep(POLL_INTERVAL).await;
        // If the task panics or the runtime cancels it, the result counts as "no signal".
        let check = tokio::task::spawn_blocking(move || has_pending_signal(tid));
        if check.await.unwrap_or(false) {
            return;
        }
    }
}

/// Returns whether the thread has a pending signal that ends it. Reads `/proc`, which can block.
fn has_pending_signal(tid: u32) -> bool {
    // If the thread has ended, it does not wait for the reply, so its request is not interrupted.
    std::fs::read_to_string(format!("/proc/{tid}/status"))
        .is_ok_and(|status| shows_terminating_signal(&status))
}

/// Returns whether the status file of a thread (proc_pid_status(5)) shows a pending signal that
/// ends the thread.
fn shows_terminating_signal(status: &str) -> bool {
    let mask = |name: &str| {
        let mask = status.lines().find_map(|line| line.strip_prefix(name));
        mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or_default()
    };
    let nonfatal_signals = mask("SigBlk:") | mask("SigIgn:") | mask("SigCgt:") | HARMLESS_SIGNALS;
    (mask("SigPnd:") | mask("ShdPnd:")) & !nonfatal_signals != 0
}

#[cfg(test)]
mod tests {
    use nix::sys::signal::{Signal, kill};
    use nix::sys::wait::{WaitPidFlag, waitpid};
    use nix::unistd::Pid;

    use super::*;

    fn status(thread: u64, process: u64, nonfatal_signals: [u64; 3]) -> String {
        let [blocked, ignored, caught] = nonfatal_signals;
        format!(
            "Name:\tcat\nSigPnd:\t{thread:016x}\nShdPnd:\t{process:016x}\nSigBlk:\t{blocked:016x}\n\
             SigIgn:\t{ignored:016x}\nSigCgt:\t{caught:016x}\n"
        )
    }

    #[test]
    fn terminating_signal_is_recognized() {
        let sigint = signal_bit(libc::SIGINT);
        let none = [0; 3];
        for (thread, process, nonfatal, expected) in [
            (signal_bit(libc::SIGKILL), 0, none, true),
            (0, sigint, none, true),
            (0, signal_bit(libc::SIGALRM) | signal_bit(libc::SIGCHLD), none, true),
            (0, signal_bit(libc::SIGRTMIN()), none, true),
            // Neither SIGCHLD nor SIGWINCH ends a program.
            (0, signal_bit(libc::SIGCHLD) | signal_bit(libc::SIGWINCH), none, false),
            (0, signal_bit(libc::SIGSTOP) | signal_bit(libc::SIGCONT), none, false),
            (0, sigint, [sigint, 0, 0], false),
            (0, sigint, [0, sigint, 0], false),
            (sigint, 0, [0, 0, sigint], false),
            // A handler for one signal does not protect the program from another.
            (0, sigint | signal_bit(libc::SIGTERM), [0, 0, sigint], true),
            (0, 0, none, false),
        ] {
            let status = status(thread, process, nonfatal);
            assert_eq!(shows_terminating_signal(&status), expected, "{status}");
        }
        assert!(!shows_terminating_signal("Name:\tcat\n"));
    }

    #[test]
    fn own_thread_has_no_pending_signal() {
        assert!(!has_pending_signal(std::process::id()));
    }

    #[tokio::test(start_paused = true)]
    async fn kernel_request_is_never_interrupted() {
        let limit = Duration::from_secs(3600);
        assert!(tokio::time::timeout(limit, wait_for_signal(0)).await.is_err());
    }

    #[tokio::test]
    async fn pending_signal_of_a_process_ends_the_wait() {
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let pid = Pid::from_raw(child.id() as i32);
        // A stopped process handles only SIGKILL and SIGCONT, so the signal stays pending.
        kill(pid, Signal::SIGSTOP).unwrap();
        waitpid(pid, Some(WaitPidFlag::WUNTRACED)).unwrap();
        kill(pid, Signal::SIGTERM).unwrap();
        let limit = Duration::from_secs(20);
        let result = tokio::time::timeout(limit, wait_for_signal(child.id())).await;
        kill(pid, Signal::SIGKILL).unwrap();
        child.wait().unwrap();
        assert!(result.is_ok());
    }
}
