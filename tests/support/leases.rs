//! Requests for leases.

// Each test binary uses a part of it.
#![allow(dead_code)]

use meetfs::http::Priority;
use meetfs::model::{FileId, RecordingFile};
use meetfs::providers::{LeaseEffort, LeaseRequest};

/// Returns `file` with another key.
pub(crate) fn with_key(file: &RecordingFile, key: &str) -> RecordingFile {
    let id = FileId { key: key.into(), ..file.id.clone() };
    RecordingFile { id, ..file.clone() }
}

/// Returns the request of a reader who waits for `file`.
pub(crate) fn demand(file: &RecordingFile, effort: LeaseEffort) -> LeaseRequest<'_> {
    let RecordingFile { id, version, .. } = file;
    LeaseRequest { file: id, version: *version, effort, priority: Priority::Demand }
}
