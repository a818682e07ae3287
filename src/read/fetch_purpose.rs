//! The purposes for which bytes are fetched.

use std::sync::{Arc, Weak};

use tokio_util::sync::CancellationToken;

use super::open_file::OpenFile;
use super::stream::StreamId;
use crate::http::{Priority, TrafficClass};

/// The purpose of a fetch. It determines the priority of the fetch, the memory budget, and the
/// handle whose meter counts the bytes.
#[derive(Clone, Debug)]
pub(super) enum FetchPurpose {
    /// A reader of the handle is waiting for the bytes.
    Demand(TrafficClass, Weak<OpenFile>),
    /// The bytes are a chunk in the prefetch window of a stream. The token cancels the fetch.
    Chunk(Weak<OpenFile>, StreamId, CancellationToken),
    /// A player is expected to read the bytes next: the index of a media file, or the bytes after a
    /// seek.
    Playback,
    /// The bytes are a file that is expected to be opened next.
    UpcomingFile(TrafficClass),
    /// The bytes are a whole file, which the reader of the handle is expected to read to its end.
    WholeFile(Weak<OpenFile>),
    /// The bytes are a whole file, of which the reader of the handle may read only the start. They
    /// are received while the reader needs them.
    DemandDrivenFile(Weak<OpenFile>),
}

impl FetchPurpose {
    pub(super) fn is_demand(&self) -> bool {
        matches!(self, Self::Demand(..))
    }

    /// Whether a reader waits for the bytes or is expected to wait for them soon.
    pub(super) fn is_urgent(&self) -> bool {
        matches!(self, Self::Demand(..) | Self::Playback)
    }

    /// Whether the request receives little more than its readers need.
    pub(super) fn is_demand_driven(&self) -> bool {
        matches!(self, Self::DemandDrivenFile(_))
    }

    /// Returns the name of the purpose for log messages.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Demand(..) => "demand",
            Self::Chunk(..) => "window",
            Self::Playback => "playback",
            Self::UpcomingFile(_) => "upcoming file",
            Self::WholeFile(_) => "whole file",
            Self::DemandDrivenFile(_) => "demand-driven file",
        }
    }

    pub(super) fn traffic_class(&self) -> TrafficClass {
        match self {
            Self::Demand(class, _) | Self::UpcomingFile(class) => *class,
            // A reader waits for the first bytes of the file, and a player is expected to wait for
            // its few bytes soon.
            Self::WholeFile(_) | Self::DemandDrivenFile(_) | Self::Playback => {
                TrafficClass::Interactive
            }
            Self::Chunk(..) => TrafficClass::Bulk,
        }
    }

    pub(super) fn priority(&self) -> Priority {
        match self {
            Self::Demand(..) | Self::WholeFile(_) | Self::DemandDrivenFile(_) => Priority::Demand,
            Self::Chunk(..) | Self::Playback | Self::UpcomingFile(_) => Priority::Prefetch,
        }
    }

    /// Returns the handle whose reader needs the bytes, if the handle is still open.
    pub(super) fn handle(&self) -> Option<Arc<OpenFile>> {
        match self {
            Self::Demand(_, file)
            | Self::Chunk(file, ..)
            | Self::WholeFile(file)
            | Self::DemandDrivenFile(file) => file.upgrade(),
            Self::Playback | Self::UpcomingFile(_) => None,
        }
    }

    /// Returns the token that cancels the fetch when the reader continues elsewhere in the file.
    pub(super) fn cancellation_token(&self) -> CancellationToken {
        match self {
            Self::Chunk(_, _, cancellation_token) => cancellation_token.clone(),
            Self::Demand(..)
            | Self::Playback
            | Self::UpcomingFile(_)
            | Self::WholeFile(_)
            | Self::DemandDrivenFile(_) => CancellationToken::new(),
        }
    }
}
