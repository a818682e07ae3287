//! Arguments of `meetfs expiring`.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::duration::parse_duration;

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
