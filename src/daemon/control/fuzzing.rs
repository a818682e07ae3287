//! Functions for the fuzz targets: parse the requests and replies of the control socket.

use std::path::PathBuf;

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::expiring_file::ExpiringFile;
use super::explanation::Explanation;
use super::report::MountReport;
use super::request::Request;
use super::wall_clock::WallClock;

/// Parses a request and returns its canonical line.
pub fn request(line: &str) -> Option<String> {
    Request::parse(line).and_then(|request| request.to_line())
}

/// Parses the reply to `status` and formats it as text.
pub fn report(reply: &[u8]) -> Option<String> {
    let wall_clock = WallClock { zone: TimeZone::UTC, now: Timestamp::UNIX_EPOCH };
    serde_json::from_slice::<MountReport>(reply).ok().map(|report| report.as_text(&wall_clock))
}

/// Parses the reply to `explain` and formats it as text.
pub fn explanation(reply: &[u8]) -> Option<String> {
    let wall_clock = WallClock { zone: TimeZone::UTC, now: Timestamp::UNIX_EPOCH };
    let explanation = serde_json::from_slice::<Explanation>(reply).ok()?;
    Some(explanation.as_text(&explanation.path, &wall_clock))
}

/// Parses the reply to `expiring` and returns the number of files.
pub fn expiring(reply: &[u8]) -> Option<usize> {
    serde_json::from_slice::<(PathBuf, Vec<ExpiringFile>)>(reply).ok().map(|(_, files)| files.len())
}
