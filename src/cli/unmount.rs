//! Arguments of `meetfs unmount`.

use std::path::PathBuf;

use clap::Args;

const AFTER_HELP: &str = "\
Examples:
  meetfs unmount ~/meetings

If the mount is busy, prints the processes that use it and exits with 4. It is not unmounted.";

/// Unmount a meetfs file system
#[derive(Args, Clone, Debug)]
#[command(after_help = AFTER_HELP)]
pub struct UnmountArgs {
    /// Mountpoint
    #[arg(value_name = "MOUNTPOINT")]
    pub mountpoint: PathBuf,
}
