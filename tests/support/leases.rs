//! Requests for leases.

// Each test binary uses a part of it.
#![allow(dead_code)]

use meetfs::http::Priority;
use meetfs::model::FileId;
use meetfs::providers::{LeaseEffort, LeaseRequest};

/// Returns the request of a reader who waits for `file`.
pub(crate) fn demand(file: &FileId, effort: LeaseEffort) -> LeaseRequest<'_> {
    LeaseRequest { file, effort, priority: Priority::Demand }
}
