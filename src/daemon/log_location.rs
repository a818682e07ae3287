//! Where the daemon writes its log, for commands that read it.

use std::sync::OnceLock;

use serde::{Deserialize, Serialize};

/// The place of a log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum LogLocation {
    StandardError,
    /// The journal of systemd.
    Journal,
    File(String),
    /// The directory of the daily logs.
    Directory(String),
}

/// The place of the log of this process.
static LOCATION: OnceLock<LogLocation> = OnceLock::new();

impl LogLocation {
    /// Stores the place of the log of this process.
    pub(super) fn set(self) {
        // A second call in one process (tests) keeps the first subscriber.
        let _ = LOCATION.set(self);
    }

    /// Returns the place of the log of this process, if it has one.
    pub(super) fn of_this_process() -> Option<Self> {
        LOCATION.get().cloned()
    }
}
