//! An entry point for fuzz targets, which loads a configuration from text instead of a file.

use std::path::PathBuf;

use jiff::Timestamp;

use super::config_file::ConfigFile;
use super::load::{Loader, Purpose};
use super::{Config, ConfigError, Environment, Overrides};

/// Loads the configuration in `text` as if the current time were `now`. Does not read secrets.
pub fn load(
    text: &str,
    overrides: &Overrides,
    environment: &dyn Environment,
    now: Timestamp,
) -> Result<Config, ConfigError> {
    let file = ConfigFile::from_text(PathBuf::from("/etc/meetfs/config.toml"), text);
    Loader { overrides, environment, now }.load_from(&file, Purpose::Sources)
}
