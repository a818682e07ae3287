//! The values that flags and variables give.

use std::ffi::OsString;

use super::setting::Setting;

/// Values of flags and `MEETFS_…` variables as they were given. [`super::Config::load`] checks
/// them. Each beats the key of the same name in the file.
#[derive(Clone, Debug, Default)]
pub struct Overrides {
    /// The configuration file.
    pub config: Option<Setting<OsString>>,
    /// The sources to load. None means all.
    pub sources: Vec<Setting<OsString>>,
    pub cache_dir: Option<Setting<OsString>>,
    pub memory: Option<Setting<OsString>>,
    pub disk: Option<Setting<OsString>>,
    pub timezone: Option<Setting<OsString>>,
    pub read_deadline: Option<Setting<OsString>>,
    pub connections: Option<Setting<OsString>>,
}
