//! `meetfs doctor`

use std::path::PathBuf;

use clap::Args;

use crate::config::Overrides;

const AFTER_HELP: &str = "\
Examples:
  meetfs doctor
  meetfs doctor --config /etc/meetfs/config.toml --source acme
  meetfs doctor --json

Lists the last days of each source and reads one byte of one recording, which costs a handful of requests. Nothing is \
mounted or changed.

Exits with 0 when nothing failed, with 3 when the configuration or a credential did, and with 1 otherwise.";

/// Arguments of `meetfs doctor`.
#[derive(Args, Clone, Debug)]
#[command(after_help = AFTER_HELP)]
pub struct DoctorArgs {
    /// Configuration file [default: $XDG_CONFIG_HOME/meetfs/config.toml]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,

    /// Look at this source only; give it again for more [default: all]
    #[arg(long = "source", value_name = "NAME")]
    pub sources: Vec<String>,

    /// Directory for downloaded blocks [default: $XDG_CACHE_HOME/meetfs]
    #[arg(long, value_name = "DIR")]
    pub cache_dir: Option<PathBuf>,

    /// Print a JSON array with one object a check
    #[arg(long)]
    pub json: bool,
}

impl DoctorArgs {
    /// What the flags say about the settings.
    pub fn overrides(&self) -> Overrides {
        Overrides {
            config: self.config.clone(),
            sources: self.sources.clone(),
            cache_dir: self.cache_dir.clone(),
            ..Overrides::default()
        }
    }
}
