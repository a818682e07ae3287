//! Arguments of `meetfs expiring`.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use jiff::{Span, SpanRelativeTo};

const AFTER_HELP: &str = "\
Examples:
  meetfs expiring                                most urgent first
  meetfs expiring --within 7d --not-in /backup   next 7 days, not yet saved
  meetfs expiring --not-in /backup --checksum || echo 'save them' | mail ana

A file counts as saved if DIR contains, at any depth, a directory with the name of the meeting, \
and this directory contains a file of the same name and size. With --checksum, the bytes must also \
be equal, so both files are read.

A file in a recycle bin that does not allow downloads cannot be saved. Such files are listed last, \
and do not count as unsaved.

The days that are left are calendar days. Times are shown with their offset from UTC. With --json, \
times are in UTC.

Exits with 1 if --not-in is given and a file is not saved yet, or if the daemon of a mount has \
died. Exits with 2 if DIR cannot be read.";

/// List the recordings that the providers will delete, most urgent first
#[derive(Args, Clone, Debug)]
#[command(after_help = AFTER_HELP)]
pub struct ExpiringArgs {
    /// Mountpoint [default: all your mounts]
    #[arg(value_name = "MOUNTPOINT")]
    pub mountpoint: Option<PathBuf>,

    /// List only files that will be deleted within this time, such as 12h, 7d or 2w
    #[arg(
        long = "within",
        value_name = "TIME",
        value_parser = parse_duration,
        allow_negative_numbers = true
    )]
    pub time_limit: Option<Duration>,

    /// List only files that are not saved in this directory
    #[arg(long = "not-in", value_name = "DIR")]
    pub backup_directory: Option<PathBuf>,

    /// With --not-in, compare SHA-256 checksums too, not only names and sizes
    #[arg(long, requires = "backup_directory")]
    pub checksum: bool,

    /// Print a JSON array with one object for each file
    #[arg(long)]
    pub json: bool,
}

fn parse_duration(text: &str) -> Result<Duration, String> {
    if text.trim().parse::<f64>().is_ok_and(|number| number > 0.0) {
        return Err(format!("the number has no unit\nhint: Write {0}d or {0}h.", text.trim()));
    }
    text.parse::<Span>()
        .and_then(|span| span.to_duration(SpanRelativeTo::days_are_24_hours()))
        .ok()
        .and_then(|duration| Duration::try_from(duration).ok())
        .ok_or_else(|| "not a duration\nhint: Write a duration such as 12h, 7d or 2w.".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn duration_can_be_in_days_or_weeks() {
        let hours = |count: u64| Ok(Duration::from_secs(count * 3600));
        assert_eq!(["12h", "7d", "1w", "0s"].map(parse_duration), [12, 168, 168, 0].map(hours));
        for invalid in ["", "soon", "-1d"] {
            assert!(parse_duration(invalid).is_err(), "{invalid}");
        }
        let message = "the number has no unit\nhint: Write 7d or 7h.".to_owned();
        assert_eq!(parse_duration("7"), Err(message));
    }
}
