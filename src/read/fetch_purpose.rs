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
    /// The bytes are the index of a media file, which a player is expected to read next.
    MediaIndex,
    /// The bytes are a small file that is expected to be opened next.
    WholeFile,
}

impl FetchPurpose {
    pub(super) fn is_demand(&self) -> bool {
        matches!(self, Self::Demand(..))
    }

    /// Returns the name of the purpose for log messages.
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
            // The index has few bytes, and a reader is expected to wait for them soon.
            Self::MediaIndex => TrafficClass::Interactive,
            Self::Chunk(..) => TrafficClass::Bulk,
            Self::WholeFile => TrafficClass::Brief,
        }
    }

    pub(super) fn priority(&self) -> Priority {
        if self.is_demand() { Priority::Demand } else { Priority::Prefetch }
    }

    /// Returns the handle whose reader needs the bytes, if the handle is still open.
    pub(super) fn handle(&self) -> Option<Arc<OpenFile>> {
        match self {
            Self::Demand(_, file) | Self::Chunk(file, ..) => file.upgrade(),
            Self::MediaIndex | Self::WholeFile => None,
        }
    }

    /// Returns the token that cancels the fetch when the reader continues elsewhere in the file.
    pub(super) fn cancellation_token(&self) -> CancellationToken {
        match self {
            Self::Chunk(_, _, cancellation_token) => cancellation_token.clone(),
            Self::Demand(..) | Self::MediaIndex | Self::WholeFile => CancellationToken::new(),
        }
    }
}
