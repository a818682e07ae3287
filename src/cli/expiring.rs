//! `meetfs expiring`

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use jiff::{Span, SpanRelativeTo};

const AFTER_HELP: &str = "\
Examples:
  meetfs expiring                                most urgent first
  meetfs expiring --within 7d --not-in /backup   not yet saved of seven days
  meetfs expiring --not-in /backup --checksum || echo 'save them' | mail ana

A file counts as saved if the directory holds one of the same name and size in a directory with the meeting's name, at any \
depth. With --checksum the bytes must be the same too, for which both are read; without --not-in there is nothing to \
compare with. Times have their offset from UTC; those of --json are UTC.

Exits with 1 when --not-in is given and something is not yet there, or a mount is dead and cannot be asked.";

/// Arguments of `meetfs expiring`.
#[derive(Args, Clone, Debug)]
#[command(after_help = AFTER_HELP)]
pub struct ExpiringArgs {
    /// Where it is mounted [default: every mount of yours]
    #[arg(value_name = "MOUNTPOINT")]
    pub mountpoint: Option<PathBuf>,

    /// Only what is deleted within this time, as in 12h, 7d or 2w
    #[arg(long, value_name = "TIME", value_parser = within)]
    pub within: Option<Duration>,

    /// Only what is not yet saved in this directory
    #[arg(long, value_name = "DIR")]
    pub not_in: Option<PathBuf>,

    /// With --not-in: compare the bytes, by SHA-256, and not only names and sizes
    #[arg(long, requires = "not_in")]
    pub checksum: bool,

    /// Print a JSON array with one object a file
    #[arg(long)]
    pub json: bool,
}

fn within(text: &str) -> Result<Duration, String> {
    text.parse::<Span>()
        .and_then(|span| span.to_duration(SpanRelativeTo::days_are_24_hours()))
        .ok()
        .and_then(|duration| Duration::try_from(duration).ok())
        .ok_or_else(|| "is not a length of time; write one like 12h, 7d or 2w".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_and_weeks_are_lengths_of_time() {
        let hours = |hours: u64| Ok(Duration::from_secs(hours * 3600));
        assert_eq!(
            [within("12h"), within("7d"), within("1w"), within("0s")],
            [12, 168, 168, 0].map(hours)
        );
        for nonsense in ["", "soon", "-1d", "7"] {
            assert!(within(nonsense).is_err(), "{nonsense}");
        }
    }
}
