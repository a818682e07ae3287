//! `meetfs refresh`

use std::path::PathBuf;

use clap::Args;

const AFTER_HELP: &str = "\
Examples:
  meetfs refresh                every mount of yours
  meetfs refresh ~/meetings && rsync -a ~/meetings/ /backup/

Returns once the mount shows what was found, and exits with 1 when a source could not be listed whole.";

/// Arguments of `meetfs refresh`.
#[derive(Args, Clone, Debug)]
#[command(after_help = AFTER_HELP)]
pub struct RefreshArgs {
    /// Where it is mounted [default: every mount of yours]
    #[arg(value_name = "MOUNTPOINT")]
    pub mountpoint: Option<PathBuf>,

    /// Print a JSON array with one object a mount, as `meetfs status` does
    #[arg(long)]
    pub json: bool,
}
