//! `meetfs unmount`

use std::path::PathBuf;

use clap::Args;

const AFTER_HELP: &str = "\
Examples:
  meetfs unmount ~/meetings

Says who holds a busy mount and exits with 4; nothing is forced.";

/// Arguments of `meetfs unmount`.
#[derive(Args, Clone, Debug)]
#[command(after_help = AFTER_HELP)]
pub struct UnmountArgs {
    /// Where it is mounted
    #[arg(value_name = "MOUNTPOINT")]
    pub mountpoint: PathBuf,
}
