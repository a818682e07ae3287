//! What the fuzz targets reach of this room: what comes over the socket, on both sides.

use std::path::PathBuf;

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::{ExpiringFile, MountReport, Request, WallClock};

/// The word of the request that a line is.
pub fn request(line: &str) -> Option<&'static str> {
    Request::parse(line).map(Request::word)
}

/// An answer about a mount as a person reads it.
pub fn report(answer: &[u8]) -> Option<String> {
    let wall = WallClock { zone: TimeZone::UTC, now: Timestamp::UNIX_EPOCH };
    serde_json::from_slice::<MountReport>(answer).ok().map(|report| report.as_text(&wall))
}

/// How many files an answer says will be deleted.
pub fn expiring(answer: &[u8]) -> Option<usize> {
    serde_json::from_slice::<(PathBuf, Vec<ExpiringFile>)>(answer)
        .ok()
        .map(|(_, files)| files.len())
}
