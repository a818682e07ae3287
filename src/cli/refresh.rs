//! Arguments of `meetfs refresh`.

use std::path::PathBuf;

use clap::Args;

const AFTER_HELP: &str = "\
Examples:
  meetfs refresh                all your mounts
  meetfs refresh ~/meetings && rsync -a ~/meetings/ /backup/

Waits until the mount shows the new list, and then prints its status, as `meetfs status` does. \
Exits with 1 if a source could not be listed completely.";

/// Refresh the list of recordings now
#[derive(Args, Clone, Debug)]
#[command(after_help = AFTER_HELP)]
pub struct RefreshArgs {
    /// Mountpoint [default: all your mounts]
    #[arg(value_name = "MOUNTPOINT")]
    pub mountpoint: Option<PathBuf>,

    /// Print a JSON array with one object for each mount, as `meetfs status` does
    #[arg(long)]
    pub json: bool,
}
