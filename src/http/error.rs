//! What can go wrong between a request and its bytes.

use std::time::Duration;

use crate::model::SecretUrl;

/// An interface call that brought no usable reply.
#[derive(Clone, Debug, thiserror::Error)]
pub enum HttpError {
    /// No connection, or it broke before the reply was whole.
    #[error("{host} cannot be reached ({cause}); check the network and the address")]
    Unreachable {
        /// Scheme and host.
        host: String,
        /// The transport's own words, without the address.
        cause: String,
    },
    /// The server was reached but did not answer in time.
    #[error("{host} did not answer within {} s", .after.as_secs())]
    TimedOut {
        /// Scheme and host.
        host: String,
        /// How long it was given.
        after: Duration,
    },
    /// The server asked to wait longer than the caller could.
    #[error("{host} limits the rate of requests and asks to wait {}; a mount that runs asks again by itself", readable(*.wait))]
    RateLimited {
        /// Scheme and host.
        host: String,
        /// How long it asked for.
        wait: Duration,
    },
    /// The server keeps failing.
    #[error(
        "{host} answers with status {status}, a failure of its own; a mount that runs asks again by itself"
    )]
    ServerError {
        /// Scheme and host.
        host: String,
        /// The last status, 500 to 599.
        status: u16,
    },
    /// The server has been failing for a while and is not asked.
    #[error("{host} has not answered for {} s; it is tried again every {} s", .failing.as_secs(), .next.as_secs())]
    Down {
        /// Scheme and host.
        host: String,
        /// For how long nothing good was heard of it.
        failing: Duration,
        /// How often it is tried.
        next: Duration,
    },
    /// A reply longer than any real one.
    #[error("{host} sent a reply of more than {limit} bytes; it was dropped")]
    TooLarge {
        /// Scheme and host.
        host: String,
        /// The limit in bytes.
        limit: usize,
    },
    /// The address may not be asked: not https, or not a host of the provider.
    #[error(
        "an address on {host} is outside the hosts of this source (https only); a host that is right goes into download_hosts"
    )]
    HostNotAllowed {
        /// Scheme and host.
        host: String,
    },
    /// The TLS or connection machinery could not be set up.
    #[error("the HTTP client cannot be set up: {0}")]
    Setup(String),
}

/// A wait as people say it: a limit of a day is not one of 43,200 seconds.
fn readable(wait: Duration) -> String {
    match wait.as_secs() {
        seconds @ 0..=120 => format!("{seconds} s"),
        seconds @ 121..=7200 => format!("{} min", seconds.div_ceil(60)),
        seconds => format!("{} h", seconds.div_ceil(3600)),
    }
}

impl HttpError {
    /// Sorts a transport error by what a person can do about it; the address stays out of the text.
    pub(crate) fn from_transport(
        error: reqwest::Error,
        address: &SecretUrl,
        given: Duration,
    ) -> Self {
        let host = origin(address);
        if error.is_timeout() {
            return Self::TimedOut { host, after: given };
        }
        Self::Unreachable { host, cause: cause_of(error) }
    }
}

/// The innermost reason of a transport error, which is the one that says something ("Connection refused").
pub(crate) fn cause_of(error: reqwest::Error) -> String {
    let error = error.without_url();
    let mut innermost: &dyn std::error::Error = &error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}

/// Scheme, host and port of an address: all of it that may be printed.
pub(crate) fn origin(address: &SecretUrl) -> String {
    let url = address.expose();
    match url.origin() {
        url::Origin::Opaque(_) => format!("{}:", url.scheme()),
        origin => origin.ascii_serialization(),
    }
}

/// Why bytes of a file could not be had. The read path maps it to an errno, once.
#[derive(Clone, Debug, thiserror::Error)]
pub enum FetchError {
    /// The provider refuses, with a fresh lease too.
    #[error("not allowed: {0}")]
    NotAllowed(String),
    /// The provider has it no longer.
    #[error("gone: {0}")]
    Gone(String),
    /// Another content is served than the one this file version stands for.
    #[error("changed: {0}")]
    Changed(String),
    /// The server has been failing for a while and is not asked.
    #[error("{0}")]
    Down(String),
    /// What is served is no such file.
    #[error("not the file: {0}")]
    NotTheFile(String),
    /// The file served has another length than the one shown. The served one is the truth.
    #[error("the file is {served} bytes long where {expected} were listed")]
    WrongTotal {
        /// Length shown so far, in bytes.
        expected: u64,
        /// Length served, in bytes.
        served: u64,
    },
    /// The deadline passed; the text is the last thing that went wrong.
    #[error("no bytes within the deadline: {0}")]
    Deadline(String),
    /// Anything else.
    #[error("{0}")]
    Failed(String),
}
