//! The values of flags and environment variables, which override the configuration file.

use std::ffi::OsString;

use super::setting::Setting;

/// The values of flags and `MEETFS_…` variables, not yet validated. [`super::Config::load`]
/// validates them. Each value overrides the key of the same name in the file.
#[derive(Clone, Debug, Default)]
pub struct Overrides {
    /// The path of the configuration file.
    pub config: Option<Setting<OsString>>,
    /// The names of the sources to load. An empty list selects all sources.
    pub sources: Vec<Setting<OsString>>,
    pub cache_dir: Option<Setting<OsString>>,
    pub memory: Option<Setting<OsString>>,
    pub disk: Option<Setting<OsString>>,
    pub timezone: Option<Setting<OsString>>,
    pub read_deadline: Option<Setting<OsString>>,
    pub connections: Option<Setting<OsString>>,
    pub bandwidth_limit: Option<Setting<OsString>>,
    pub metrics: Option<Setting<OsString>>,
    pub search: Option<Setting<OsString>>,
}
