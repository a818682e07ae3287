//! Access for the fuzz targets: loads a configuration from text instead of a file.

use std::path::PathBuf;

use jiff::Timestamp;

use super::config_file::ConfigFile;
use super::load::{Loader, Purpose};
use super::{Config, ConfigError, Environment, Overrides};

/// Loads the configuration in `text` as of `now`. Secrets are not read.
pub fn load(
    text: &str,
    overrides: &Overrides,
    environment: &dyn Environment,
    now: Timestamp,
) -> Result<Config, ConfigError> {
    let file = ConfigFile::from_text(PathBuf::from("/etc/meetfs/config.toml"), text);
    Loader { overrides, environment, now }.load_from(&file, Purpose::Sources)
}
