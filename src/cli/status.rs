//! `meetfs status`

use std::path::PathBuf;

use clap::Args;

const AFTER_HELP: &str = "\
Examples:
  meetfs status                 every mount of yours
  meetfs status ~/meetings
  meetfs status --json | jq '.[].sources[] | select(.error)'

Says of each source how much there is, when it was and will be listed, and what failed and why. Times have their \
offset from UTC; those of --json are UTC. A mount whose daemon has died is DEAD (\"dead\" in JSON, where it says what \
to do; null of one that lives).

Exits with 0 when every daemon that was asked has answered, whatever it said, and with 1 when one is dead.";

/// Arguments of `meetfs status`.
#[derive(Args, Clone, Debug)]
#[command(after_help = AFTER_HELP)]
pub struct StatusArgs {
    /// Where it is mounted [default: every mount of yours]
    #[arg(value_name = "MOUNTPOINT")]
    pub mountpoint: Option<PathBuf>,

    /// Print a JSON array with one object a mount
    #[arg(long)]
    pub json: bool,
}
