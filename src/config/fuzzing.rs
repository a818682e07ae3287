//! What the fuzz targets reach of this room: the configuration, from text instead of a file.

use std::path::PathBuf;

use jiff::Timestamp;

use super::file::ConfigFile;
use super::{Config, ConfigError, Environment, Loader, Overrides, Wanted};

/// The settings that a file of this text makes at that time with flags and variables. No secret is fetched.
pub fn load(
    text: &str,
    overrides: &Overrides,
    environment: &dyn Environment,
    now: Timestamp,
) -> Result<Config, ConfigError> {
    let file = ConfigFile::of_text(PathBuf::from("/etc/meetfs/config.toml"), text);
    Loader { overrides, environment, now }.load_from(&file, Wanted::Sources)
}
