//! Arguments of `meetfs explain`.

use std::path::PathBuf;

use clap::Args;

const AFTER_HELP: &str = "\
Examples:
  meetfs explain ~/meetings/acme/2026/*Plan*/audio_only.m4a
  meetfs explain --json ~/meetings/acme | jq .provider

Shows what a file or directory is, how much of it is in memory and on disk, whether its size is \
confirmed and its download URL is known, why its last read failed and when it is tried again, and \
what a read of the whole file costs. Sends no request to the provider.

Exits with 1 if the path is not in a meetfs mount or does not exist.";

/// Show which bytes of a file are cached and why its last read failed
#[derive(Args, Clone, Debug)]
#[command(after_help = AFTER_HELP)]
pub struct ExplainArgs {
    /// File or directory in a mount
    #[arg(value_name = "PATH")]
    pub path: PathBuf,

    /// Print a JSON object
    #[arg(long)]
    pub json: bool,
}
