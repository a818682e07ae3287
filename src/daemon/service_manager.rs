//! Reports the state of the mount to systemd, or to another program that understands its protocol
//! (sd_notify(3)).
//!
//! A service manager that wants these messages sets `NOTIFY_SOCKET`. Without this variable, nothing
//! is sent.

use std::path::Path;
use std::time::Duration;

use sd_notify::NotifyState;
use tokio::runtime::Handle;

use super::startup_progress::StartupProgress;

/// How long systemd waits after a progress message before it assumes that the start has failed.
/// Its limit for the whole start, 90 s by default, is shorter than the first listing of a large
/// archive. A progress message is sent every ten seconds, so a busy machine can delay two of them.
const START_EXTENSION: Duration = Duration::from_secs(30);

/// The connection to the service manager that started this process.
#[derive(Clone, Copy, Debug)]
pub(super) struct ServiceManager {
    is_enabled: bool,
}

impl ServiceManager {
    /// Creates the connection. `is_main_process` is false for a process in the background: the
    /// service manager waits for the process that it started, and `NOTIFY_SOCKET` can be inherited
    /// from a service that only runs `meetfs mount`.
    pub(super) fn new(is_main_process: bool) -> Self {
        Self { is_enabled: is_main_process }
    }

    /// Reports that the mount is not ready yet, and extends the time limit of the start.
    pub(super) fn report_progress(self, progress: &StartupProgress) {
        let extension = u32::try_from(START_EXTENSION.as_micros()).unwrap_or(u32::MAX);
        self.notify(&[
            NotifyState::Status(&progress.to_string()),
            NotifyState::ExtendTimeoutUsec(extension),
        ]);
    }

    pub(super) fn report_ready(self, mountpoint: &Path) {
        let status = format!("mounted at {}", mountpoint.display());
        self.notify(&[NotifyState::Ready, NotifyState::Status(&status)]);
    }

    /// Reports that a refresh was requested. The refresh runs in the background, so the service is
    /// ready again at once. systemd requires both messages from a service that it reloads with a
    /// signal (`Type=notify-reload`, systemd.service(5)).
    pub(super) fn report_refresh(self) {
        match NotifyState::monotonic_usec_now() {
            Ok(now) => self.notify(&[NotifyState::Reloading, now]),
            Err(error) => log_failure(&error),
        }
        self.notify(&[NotifyState::Ready]);
    }

    pub(super) fn report_unmount(self) {
        self.notify(&[NotifyState::Stopping, NotifyState::Status("unmounting")]);
    }

    /// Tells the watchdog of systemd that the runtime runs tasks, twice as often as systemd
    /// requires (`WatchdogSec=`). Ends with the runtime, or when a message cannot be sent.
    pub(super) fn feed_watchdog(self, runtime: &Handle) {
        // systemd has no watchdog with a timeout of zero.
        let timeout = sd_notify::watchdog_enabled().filter(|timeout| !timeout.is_zero());
        let Some(timeout) = timeout.filter(|_| self.is_enabled) else { return };
        runtime.spawn(async move {
            // A timer of zero would panic.
            let mut timer = tokio::time::interval((timeout / 2).max(Duration::from_millis(1)));
            loop {
                timer.tick().await;
                if let Err(error) = sd_notify::notify(&[NotifyState::Watchdog]) {
                    // Each further message would fail and be logged too.
                    return log_failure(&error);
                }
            }
        });
    }

    fn notify(self, states: &[NotifyState<'_>]) {
        if self.is_enabled
            && let Err(error) = sd_notify::notify(states)
        {
            log_failure(&error);
        }
    }
}

fn log_failure(error: &std::io::Error) {
    tracing::warn!("the service manager does not get the state of the mount: {error}");
}
