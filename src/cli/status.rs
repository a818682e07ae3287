//! Arguments of `meetfs status`.

use std::path::PathBuf;

use clap::Args;

const AFTER_HELP: &str = "\
Examples:
  meetfs status                 all your mounts
  meetfs status ~/meetings
  meetfs status --json | jq '.[].sources[] | select(.error)'
  meetfs status --prometheus ~/meetings
  meetfs status --watch

Shows for each source the number of its recordings, the time of the last and of the next refresh, \
and its errors. Shows the open files with their readers, the caches, \
and the hosts in use. Times are shown with their offset from UTC. With --json, they are in UTC.

A mount whose daemon has died is shown as DEAD. In JSON, its field \"dead\" contains a suggested \
fix. The field is null for a mount that works.

--prometheus prints one mount. The lines that begin with `# HELP` describe the metrics.

Exits with 0 if every daemon answered, and with 1 if a daemon has died.";

/// Show sources, open files, caches, errors and the time of the next retry
#[derive(Args, Clone, Debug)]
#[command(after_help = AFTER_HELP)]
pub struct StatusArgs {
    /// Mountpoint [default: all your mounts]
    #[arg(value_name = "MOUNTPOINT")]
    pub mountpoint: Option<PathBuf>,

    /// Print a JSON array with one object for each mount
    #[arg(long)]
    pub json: bool,

    /// Show the state on the terminal and update it every second
    ///
    /// Ctrl-C ends the view and restores the terminal. If standard output is not a terminal, the
    /// state is printed once.
    #[arg(long, conflicts_with_all = ["json", "prometheus"])]
    pub watch: bool,

    /// Print metrics in the text format of Prometheus
    #[arg(long, conflicts_with = "json")]
    pub prometheus: bool,
}
