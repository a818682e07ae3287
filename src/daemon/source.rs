//! One configured source of a running archive: its provider and its refresh state.

use std::sync::Arc;

use jiff::ToSpan;
use jiff::tz::TimeZone;
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

use super::error::ListingError;
use crate::catalog::{Catalog, Filter, RecordingKind, RefreshState, Refresher};
use crate::config::{FileKind, SourceConfig};
use crate::http::RequestCounters;
use crate::model::current_time;
use crate::providers::{Provider, ProviderError, RecycleBin};

#[derive(Debug)]
pub(crate) struct Source {
    pub(crate) config: SourceConfig,
    pub(crate) provider: Arc<dyn Provider>,
    pub(crate) request_counters: Arc<RequestCounters>,
    /// Notified to request a full refresh.
    pub(crate) refresh_request: Arc<Notify>,
    pub(crate) state: watch::Sender<RefreshState>,
    /// The catalog revision up to which the enrichment is complete.
    pub(crate) settled_revision: watch::Sender<Option<u64>>,
}

impl Source {
    /// Returns the reason why the listing is still incomplete. A pending first listing counts as
    /// incomplete only if `is_awaited` is set.
    pub(crate) fn listing_error(&self, is_awaited: bool) -> Option<ListingError> {
        let source_name = self.config.name.clone();
        let state = self.state.borrow();
        match &state.last_failure {
            Some((_, source)) => Some(ListingError::Failed { source_name, source: source.clone() }),
            None if !state.incomplete_days.is_empty() => {
                Some(ListingError::Incomplete { source_name })
            }
            None if is_awaited && !state.is_first_listing_done => {
                Some(ListingError::Pending { source_name })
            }
            None => {
                let (source, others) = state.refused_users.split_first()?;
                let (source, other_users) = (source.clone(), others.len());
                Some(ListingError::UserRefused { source_name, source, other_users })
            }
        }
    }

    /// Returns the recycle bin, if the provider has one and the configuration shows it.
    pub(crate) fn recycle_bin(&self) -> Option<RecycleBin> {
        self.provider.recycle_bin().filter(|_| self.config.shows_trash)
    }

    pub(crate) fn create_filter(&self, timezone: &TimeZone) -> Filter {
        let SourceConfig { since, filter, .. } = &self.config;
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
            meeting_hosts: filter.meeting_hosts.clone(),
            meeting_host_field: self.provider.conventions().meeting_host_field,
            kinds: filter.kinds.as_ref().map(|kinds| kinds.iter().map(kind).collect()),
            min_duration: filter.min_duration.unwrap_or_default(),
        }
    }

    /// Refreshes the source until `shutdown`. A panic becomes a failed listing, so that no caller
    /// waits forever.
    pub(crate) async fn run_refresher(refresher: Refresher, shutdown: CancellationToken) {
        let state = refresher.state.clone();
        let Err(error) = tokio::spawn(refresher.run(shutdown)).await else { return };
        if error.is_panic() {
            let error = ProviderError::unavailable(format!("the refresh task failed: {error}"));
            state.send_modify(|state| {
                state.is_running = false;
                state.is_first_listing_done = true;
                state.completed_refreshes += 1;
                state.failed_refreshes += 1;
                state.last_failure = Some((current_time(), error));
            });
        }
    }

    pub(crate) fn create_refresher(&self, catalog: &Arc<Catalog>) -> Refresher {
        let SourceConfig { since, filter, .. } = &self.config;
        let since = *since;
        Refresher {
            provider: self.provider.clone(),
            catalog: catalog.clone(),
            // A day starts at another time in the configured time zone than in UTC.
            since: since.checked_sub(1.day()).unwrap_or(since),
            until: filter.until.map(|until| until.checked_add(1.day()).unwrap_or(until)),
            lists_trash: self.recycle_bin().is_some(),
            refresh_request: self.refresh_request.clone(),
            state: self.state.clone(),
        }
    }
}
