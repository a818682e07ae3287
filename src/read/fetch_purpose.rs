//! What a fetch is for.

use std::sync::{Arc, Weak};

use tokio_util::sync::CancellationToken;

use super::open_file::OpenFile;
use super::stream::StreamId;
use crate::http::{Priority, TrafficClass};

/// What a fetch is for. It decides the priority, the budget, and which handle measures the fetch.
#[derive(Clone, Debug)]
pub(super) enum FetchPurpose {
    /// A reader of the handle waits for the bytes.
    Demand(TrafficClass, Weak<OpenFile>),
    /// A chunk of a stream's prefetch window; the token ends it.
    Chunk(Weak<OpenFile>, StreamId, CancellationToken),
    /// The index of a media file, which its players read next.
    MediaIndex,
    /// A small file that is expected to be opened next.
    WholeFile,
}

impl FetchPurpose {
    pub(super) fn is_demand(&self) -> bool {
        matches!(self, Self::Demand(..))
    }

    /// A word for the log.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Demand(..) => "demand",
            Self::Chunk(..) => "window",
            Self::MediaIndex => "media index",
            Self::WholeFile => "whole file",
        }
    }

    pub(super) fn traffic_class(&self) -> TrafficClass {
        match self {
            Self::Demand(class, _) => *class,
            // Few bytes, for which a reader will wait.
            Self::MediaIndex => TrafficClass::Interactive,
            Self::Chunk(..) => TrafficClass::Bulk,
            Self::WholeFile => TrafficClass::Brief,
        }
    }

    pub(super) fn priority(&self) -> Priority {
        if self.is_demand() { Priority::Demand } else { Priority::Prefetch }
    }

    /// Returns the handle whose reader the bytes are for, while it is open.
    pub(super) fn handle(&self) -> Option<Arc<OpenFile>> {
        match self {
            Self::Demand(_, file) | Self::Chunk(file, ..) => file.upgrade(),
            Self::MediaIndex | Self::WholeFile => None,
        }
    }

    /// Returns the token that ends the fetch when its reader leaves the place.
    pub(super) fn token(&self) -> CancellationToken {
        match self {
            Self::Chunk(_, _, token) => token.clone(),
            Self::Demand(..) | Self::MediaIndex | Self::WholeFile => CancellationToken::new(),
        }
    }
}
