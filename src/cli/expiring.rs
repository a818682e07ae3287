//! `meetfs expiring`

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use jiff::{Span, SpanRelativeTo};

const AFTER_HELP: &str = "\
Examples:
  meetfs expiring                                most urgent first
  meetfs expiring --within 7d --not-in /backup   next 7 days, not saved yet
  meetfs expiring --not-in /backup --checksum || echo 'save them' | mail ana

A file counts as saved if the directory contains, at any depth, a directory with the name of the \
meeting and in it a file of the same name and size. With --checksum the bytes must be equal too, \
so both files are read.

A file in a recycle bin that allows no downloads cannot be saved. Such files are listed last, and \
do not count as unsaved.

Days are those of the calendar. Times have their offset from UTC. Those of --json are UTC.

Exits with 1 if --not-in is given and a file is not saved yet, or if a mount is dead, and with 2 \
if DIR cannot be read.";

/// List the recordings that the providers will delete, most urgent first
#[derive(Args, Clone, Debug)]
#[command(after_help = AFTER_HELP)]
pub struct ExpiringArgs {
    /// Mountpoint [default: all your mounts]
    #[arg(value_name = "MOUNTPOINT")]
    pub mountpoint: Option<PathBuf>,

    /// List only what is deleted within this time, such as 12h, 7d or 2w
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub within: Option<Duration>,

    /// List only what is not saved in this directory
    #[arg(long, value_name = "DIR")]
    pub not_in: Option<PathBuf>,

    /// With --not-in, compare the bytes with SHA-256, not only names and sizes
    #[arg(long, requires = "not_in")]
    pub checksum: bool,

    /// Print a JSON array with one object for each file
    #[arg(long)]
    pub json: bool,
}

fn duration(text: &str) -> Result<Duration, &'static str> {
    text.parse::<Span>()
        .and_then(|span| span.to_duration(SpanRelativeTo::days_are_24_hours()))
        .ok()
        .and_then(|duration| Duration::try_from(duration).ok())
        .ok_or("not a duration\nhint: Write a duration such as 12h, 7d or 2w.")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_can_be_days_and_weeks() {
        let hours = |hours: u64| Ok(Duration::from_secs(hours * 3600));
        assert_eq!(
            [duration("12h"), duration("7d"), duration("1w"), duration("0s")],
            [12, 168, 168, 0].map(hours)
        );
        for nonsense in ["", "soon", "-1d", "7"] {
            assert!(duration(nonsense).is_err(), "{nonsense}");
        }
    }
}
