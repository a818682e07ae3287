//! Signals that a mount handles.

use tokio::signal::unix::{Signal, SignalKind, signal};

use super::error::DaemonError;

/// The action that a signal requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SignalAction {
    /// SIGINT or SIGTERM: unmount and exit.
    Unmount,
    /// SIGHUP: refresh the catalog now.
    Refresh,
}

/// Listeners for the signals of [`SignalAction`].
#[derive(Debug)]
pub(crate) struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hangup: Signal,
}

impl Signals {
    /// Installs the listeners. Must be called in the context of a runtime.
    ///
    /// # Errors
    /// [`DaemonError::System`]
    pub(crate) fn listen() -> Result<Self, DaemonError> {
        let listen = |kind| {
            signal(kind)
                .map_err(|source| DaemonError::System { action: "listen for signals", source })
        };
        Ok(Self {
            interrupt: listen(SignalKind::interrupt())?,
            terminate: listen(SignalKind::terminate())?,
            hangup: listen(SignalKind::hangup())?,
        })
    }

    pub(crate) async fn next(&mut self) -> SignalAction {
        tokio::select! {
            _ = self.interrupt.recv() => SignalAction::Unmount,
            _ = self.terminate.recv() => SignalAction::Unmount,
            _ = self.hangup.recv() => SignalAction::Refresh,
        }
    }

    /// Waits for a signal that requests an unmount.
    pub(crate) async fn wait_for_unmount_signal(&mut self) {
        while self.next().await != SignalAction::Unmount {}
    }
}
