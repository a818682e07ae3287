//! One configured source in a running archive.

use std::sync::Arc;

use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

use crate::catalog::{Catalog, Filter, RecordingKind, RefreshState, Refresher};
use crate::commands::error::Error;
use crate::config::{FileKind, SourceConfig};
use crate::providers::{Provider, ProviderError, RecycleBin};

/// A source with what it is doing.
#[derive(Debug)]
pub(crate) struct Source {
    pub(crate) settings: SourceConfig,
    pub(crate) provider: Arc<dyn Provider>,
    /// Asks for a full listing now.
    pub(crate) refresh: Arc<Notify>,
    pub(crate) state: watch::Sender<RefreshState>,
    /// The change of the catalog up to which nothing is left to be found out.
    pub(crate) settled: watch::Sender<Option<u64>>,
}

impl Source {
    /// What is wrong with its listing so far; that it `is_awaited` and has not ended is, too.
    pub(crate) fn trouble(&self, is_awaited: bool) -> Option<Error> {
        let source_name = self.settings.name.clone();
        let state = self.state.borrow();
        match &state.last_failure {
            Some((_, cause)) => Some(Error::Source { source_name, cause: cause.clone() }),
            None if !state.incomplete_days.is_empty() => Some(Error::Incomplete { source_name }),
            None if is_awaited && !state.is_first_listing_done => {
                Some(Error::Unanswered { source_name })
            }
            None => None,
        }
    }

    /// Its recycle bin, where it has one and that is to be shown.
    pub(crate) fn recycle_bin(&self) -> Option<RecycleBin> {
        self.provider.recycle_bin().filter(|_| self.settings.trash)
    }

    pub(crate) fn filter(&self, timezone: &TimeZone) -> Filter {
        let SourceConfig { since, filter, .. } = &self.settings;
        let kind = |kind: &FileKind| match kind {
            FileKind::Video => RecordingKind::Video,
            FileKind::Audio => RecordingKind::Audio,
            FileKind::Transcript => RecordingKind::Transcript,
            FileKind::Chat => RecordingKind::Chat,
            FileKind::Other => RecordingKind::Other,
        };
        Filter {
            timezone: timezone.clone(),
            since: *since,
            until: filter.until,
            topics: filter.topics.clone(),
            hosts: filter.hosts.clone(),
            kinds: filter.kinds.as_ref().map(|kinds| kinds.iter().map(kind).collect()),
            min_duration: filter.min_duration.unwrap_or_default(),
        }
    }

    /// Lists it until `ended`. A listing that comes to an unexpected end is told as one that failed, so that nobody
    /// waits for it.
    pub(crate) async fn keep_fresh(refresher: Refresher, ended: CancellationToken) {
        let state = refresher.state.clone();
        let Err(stopped) = tokio::spawn(refresher.run(ended)).await else { return };
        if stopped.is_panic() {
            let why =
                ProviderError::unavailable(format!("its listing ended unexpectedly ({stopped})"));
            state.send_modify(|state| {
                state.is_running = false;
                state.is_first_listing_done = true;
                state.completed_refreshes += 1;
                state.last_failure = Some((Timestamp::now(), why));
            });
        }
    }

    pub(crate) fn refresher(&self, catalog: &Arc<Catalog>) -> Refresher {
        let SourceConfig { since, filter, .. } = &self.settings;
        let since = *since;
        Refresher {
            provider: self.provider.clone(),
            catalog: catalog.clone(),
            // A day begins earlier or later in the user's zone than in UTC.
            since: since.checked_sub(1.day()).unwrap_or(since),
            until: filter.until.map(|until| until.checked_add(1.day()).unwrap_or(until)),
            trash: self.recycle_bin().is_some(),
            now: self.refresh.clone(),
            state: self.state.clone(),
        }
    }
}
