//! The log level, which can be changed temporarily.

use std::sync::OnceLock;
use std::time::Duration;

use jiff::Timestamp;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use tracing::Subscriber;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::reload;

use crate::fuse::FUSER_REPLY_LOG_TARGET;

/// A temporary change of the log level.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LogLevelChange {
    pub level: String,
    /// Time at which the change ends.
    pub until: Timestamp,
    /// The level that the mount was started with, which applies again after the end.
    pub configured_level: String,
}

/// Maximum duration of a change. A level that is forgotten at `debug` would fill the disk with
/// logs.
const MAX_DURATION: Duration = Duration::from_secs(24 * 3600);

/// The level of the only subscriber of the process.
static LEVEL: OnceLock<LogLevel> = OnceLock::new();

struct LogLevel {
    /// Changes the level of the subscriber. Returns false if the subscriber has ended.
    set: Box<dyn Fn(LevelFilter) -> bool + Send + Sync>,
    /// The level that the mount was started with.
    configured: LevelFilter,
    /// Counts the changes. Only the end of the last change restores the level.
    change_count: Mutex<u64>,
}

/// Returns the filter of the subscriber, whose level can be changed with [`set_for`]. The level
/// applies only to meetfs: at finer levels the HTTP libraries log URLs, and a URL can be a
/// credential.
pub(super) fn filter<S: Subscriber + 'static>(level: LevelFilter) -> reload::Layer<Targets, S> {
    let (filter, handle) = reload::Layer::new(targets(level));
    let set = move |level| handle.reload(targets(level)).is_ok();
    // A second call in one process (tests) keeps the first subscriber.
    let _ = LEVEL.set(LogLevel {
        set: Box::new(set),
        configured: level,
        change_count: Mutex::default(),
    });
    filter
}

fn targets(level: LevelFilter) -> Targets {
    Targets::new()
        .with_default(LevelFilter::ERROR)
        .with_target("meetfs", level)
        .with_target(FUSER_REPLY_LOG_TARGET, LevelFilter::OFF)
}

/// Changes the level for a time, which begins again with each change. Then the level is again the
/// one that the mount was started with. Returns `None` if nothing is logged.
///
/// Must be called in the context of a runtime.
pub(crate) fn set_for(level: LevelFilter, duration: Duration) -> Option<LogLevelChange> {
    let log = LEVEL.get()?;
    let duration = duration.min(MAX_DURATION);
    let until = Timestamp::now().checked_add(duration).ok()?;
    let mut change_count = log.change_count.lock();
    if !(log.set)(level) {
        return None;
    }
    *change_count += 1;
    let own_change = *change_count;
    drop(change_count);
    let configured = log.configured;
    tracing::info!("the log level is {level} until {until}, then {configured}");
    tokio::spawn(async move {
        tokio::time::sleep(duration).await;
        let change_count = log.change_count.lock();
        if *change_count == own_change && (log.set)(configured) {
            tracing::info!("the log level is {configured} again");
        }
    });
    let configured_level = configured.to_string();
    Some(LogLevelChange { level: level.to_string(), until, configured_level })
}
