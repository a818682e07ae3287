//! Arguments of `meetfs unmount`.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::duration::parse_duration;

const AFTER_HELP: &str = "\
Examples:
  meetfs unmount ~/meetings
  meetfs unmount --timeout 1m ~/meetings    wait for a copy that is about to end

If the mount is still busy after the timeout, prints the processes that use it and exits with 4. It \
is not unmounted.

With --lazy, the mount leaves the directory at once. Programs that use it continue to read their \
open files, and the daemon exits when none of them is left.";

/// Unmount a meetfs file system
#[derive(Args, Clone, Debug)]
#[command(after_help = AFTER_HELP)]
pub struct UnmountArgs {
    /// Time for which a busy mount is retried, such as 30s
    ///
    /// A program that lists a directory keeps the mount busy only for milliseconds.
    #[arg(long, value_name = "TIME", value_parser = parse_duration, default_value = "1s")]
    pub timeout: Duration,

    /// Unmount even if programs use the mount
    #[arg(long, conflicts_with = "timeout")]
    pub lazy: bool,

    /// Mountpoint
    #[arg(value_name = "MOUNTPOINT")]
    pub mountpoint: PathBuf,
}
