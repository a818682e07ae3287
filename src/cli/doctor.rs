//! Arguments of `meetfs doctor`.

use std::path::PathBuf;

use clap::Args;

use super::config_args::{ConfigArgs, SourceArgs, hide};
use crate::config::Overrides;

const AFTER_HELP: &str = "\
Examples:
  meetfs doctor
  meetfs doctor --config /etc/meetfs/config.toml --source acme
  meetfs doctor --json
  meetfs doctor --bundle meetfs.tar.gz

Lists the recordings of the last days of each source and reads one byte of one recording. This \
takes a few requests. Nothing is mounted or changed.

Exits with 0 if no check failed, with 3 if a check of the configuration or of a credential failed, \
and with 1 if another check failed.";

/// Ids of the flags in [`ConfigArgs`] that have no effect on this command.
const HIDDEN_FLAGS: [&str; 2] = ["metrics", "search"];

/// Check configuration, credentials, network, FUSE and cache, and suggest fixes
#[derive(Args, Clone, Debug)]
#[command(after_help = AFTER_HELP)]
#[command(mut_args(|argument| hide(argument, &HIDDEN_FLAGS)))]
pub struct DoctorArgs {
    #[command(flatten)]
    pub config: ConfigArgs,

    #[command(flatten)]
    pub sources: SourceArgs,

    /// Print a JSON array with one object for each check
    #[arg(long)]
    pub json: bool,

    /// Also write an archive for a bug report to this new file
    ///
    /// The archive (tar, gzip) contains the version, the configuration, the checks, the status of
    /// your mounts at two times, and the end of their logs. It contains no secrets. Topics, names,
    /// e-mail addresses, ids, URLs and paths below a mount are replaced by short digests, which
    /// are equal for equal values of one archive.
    #[arg(long, value_name = "FILE", conflicts_with = "json")]
    pub bundle: Option<PathBuf>,
}

impl DoctorArgs {
    pub fn overrides(&self) -> Overrides {
        Overrides { sources: self.sources.names(), ..self.config.overrides() }
    }
}
