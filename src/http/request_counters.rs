//! Counts the requests of one source, for metrics.

use std::array;
use std::sync::atomic::{AtomicU64, Ordering};

use reqwest::StatusCode;

/// The purpose of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// A call that fills the catalog: a listing, details or the recycle bin.
    Catalog,
    /// A call that finds the download URL of a file for a reader.
    Lease,
    /// A request for an access token.
    Token,
    /// A request that finds out what a download URL returns, or whether a host works again.
    Probe,
    /// A range request for the bytes of a file.
    Read,
}

impl Operation {
    pub const ALL: [Self; 5] = [Self::Catalog, Self::Lease, Self::Token, Self::Probe, Self::Read];

    pub fn name(self) -> &'static str {
        match self {
            Self::Catalog => "catalog",
            Self::Lease => "lease",
            Self::Token => "token",
            Self::Probe => "probe",
            Self::Read => "read",
        }
    }
}

/// The outcome of a request: the class of the status code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CodeClass {
    Success,
    Redirect,
    ClientError,
    /// Status 429: the provider received too many requests.
    TooManyRequests,
    ServerError,
    /// No reply arrived.
    None,
}

impl CodeClass {
    pub const ALL: [Self; 6] = [
        Self::Success,
        Self::Redirect,
        Self::ClientError,
        Self::TooManyRequests,
        Self::ServerError,
        Self::None,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::Success => "2xx",
            Self::Redirect => "3xx",
            Self::ClientError => "4xx",
            Self::TooManyRequests => "429",
            Self::ServerError => "5xx",
            Self::None => "none",
        }
    }

    pub(super) fn of(status: StatusCode) -> Self {
        match status.as_u16() {
            429 => Self::TooManyRequests,
            ..300 => Self::Success,
            300..400 => Self::Redirect,
            400..500 => Self::ClientError,
            _ => Self::ServerError,
        }
    }
}

/// Counts requests by operation and outcome. The number of counters is fixed.
#[derive(Debug)]
pub struct RequestCounters {
    requests: [[AtomicU64; CodeClass::ALL.len()]; Operation::ALL.len()],
    retries: [AtomicU64; Operation::ALL.len()],
    fetched_bytes: AtomicU64,
}

impl Default for RequestCounters {
    fn default() -> Self {
        let counters = |_| array::from_fn(|_| AtomicU64::new(0));
        Self {
            requests: array::from_fn(counters),
            retries: array::from_fn(|_| AtomicU64::new(0)),
            fetched_bytes: AtomicU64::new(0),
        }
    }
}

impl RequestCounters {
    /// Returns the number of requests of an operation that had this outcome.
    pub fn requests(&self, operation: Operation, code: CodeClass) -> u64 {
        self.request_counter(operation, code).map_or(0, read)
    }

    /// Returns the number of requests of an operation that repeated a failed one.
    pub fn retries(&self, operation: Operation) -> u64 {
        self.retries.get(operation as usize).map_or(0, read)
    }

    /// Returns the number of file bytes that have arrived.
    pub fn fetched_bytes(&self) -> u64 {
        read(&self.fetched_bytes)
    }

    pub(super) fn record_request(&self, operation: Operation, code: CodeClass) {
        if let Some(counter) = self.request_counter(operation, code) {
            counter.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(super) fn record_retry(&self, operation: Operation) {
        if let Some(counter) = self.retries.get(operation as usize) {
            counter.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(super) fn add_fetched_bytes(&self, bytes: usize) {
        self.fetched_bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    fn request_counter(&self, operation: Operation, code: CodeClass) -> Option<&AtomicU64> {
        self.requests.get(operation as usize)?.get(code as usize)
    }
}

fn read(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_operation_and_outcome_has_a_counter() {
        let counters = RequestCounters::default();
        for (index, operation) in Operation::ALL.into_iter().enumerate() {
            assert_eq!(operation as usize, index);
            for (index, code) in CodeClass::ALL.into_iter().enumerate() {
                assert_eq!(code as usize, index);
                counters.record_request(operation, code);
                assert_eq!(counters.requests(operation, code), 1);
            }
        }
    }

    #[test]
    fn status_code_has_one_class() {
        for (status, class) in [
            (206, CodeClass::Success),
            (302, CodeClass::Redirect),
            (404, CodeClass::ClientError),
            (429, CodeClass::TooManyRequests),
            (503, CodeClass::ServerError),
            (999, CodeClass::ServerError),
        ] {
            assert_eq!(CodeClass::of(StatusCode::from_u16(status).unwrap()), class, "{status}");
        }
    }
}
