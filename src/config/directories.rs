//! The directories of the user after the XDG Base Directory Specification 0.8.

use std::path::PathBuf;

use super::environment::{Environment, home_directory, non_empty_variable};
use super::error::ConfigError;

/// One of the base directories.
#[derive(Clone, Copy, Debug)]
pub(super) struct BaseDirectory {
    variable: &'static str,
    path_below_home: &'static str,
    /// What the directory is needed for. It completes "cannot …".
    purpose: &'static str,
    /// What to do if neither the variable nor `HOME` is set.
    hint: &'static str,
}

/// The parent of the directory of the configuration file.
pub(super) const CONFIG_HOME: BaseDirectory = BaseDirectory {
    variable: "XDG_CONFIG_HOME",
    path_below_home: ".config",
    purpose: "find the configuration file",
    hint: "Pass --config FILE or set MEETFS_CONFIG.",
};

/// The parent of the cache directory.
pub(super) const CACHE_HOME: BaseDirectory = BaseDirectory {
    variable: "XDG_CACHE_HOME",
    path_below_home: ".cache",
    purpose: "find the cache directory",
    hint: "Pass --cache-dir DIR, set MEETFS_CACHE_DIR, or set `dir` in [cache].",
};

/// The parent of the directory of the logs.
const STATE_HOME: BaseDirectory = BaseDirectory {
    variable: "XDG_STATE_HOME",
    path_below_home: ".local/state",
    purpose: "find the directory of the log",
    hint: "Pass --log-file FILE.",
};

/// The parent of the directory of the sign-ins.
pub(super) const SIGN_IN_HOME: BaseDirectory = BaseDirectory {
    variable: "XDG_STATE_HOME",
    path_below_home: ".local/state",
    purpose: "find the directory of the sign-ins",
    hint: "Set XDG_STATE_HOME.",
};

impl BaseDirectory {
    /// Returns the directory as the specification derives it: a relative path in the variable is
    /// ignored.
    ///
    /// # Errors
    /// Neither the variable nor the home directory is set, as in a systemd system service.
    pub(super) fn locate(self, environment: &dyn Environment) -> Result<PathBuf, ConfigError> {
        let from_variable = non_empty_variable(environment, self.variable)
            .map(PathBuf::from)
            .filter(|path| path.is_absolute());
        from_variable
            .or_else(|| home_directory(environment).map(|home| home.join(self.path_below_home)))
            .ok_or(ConfigError::NoHome {
                purpose: self.purpose,
                variable: self.variable,
                hint: self.hint,
            })
    }
}

/// Returns the directory for the logs of background mounts without `--log-file`.
///
/// # Errors
/// Neither `XDG_STATE_HOME` nor `HOME` is set.
pub fn log_directory(environment: &dyn Environment) -> Result<PathBuf, ConfigError> {
    Ok(STATE_HOME.locate(environment)?.join("meetfs"))
}

/// Returns the directories for the sockets of mounts, the best one first.
///
/// 1. The runtime directory of the XDG specification.
/// 2. The directory of the logs.
/// 3. For root, which has neither in a system service, one that only root can create.
pub fn runtime_directories(environment: &dyn Environment, is_root: bool) -> Vec<PathBuf> {
    let runtime = non_empty_variable(environment, "XDG_RUNTIME_DIR")
        .map(PathBuf::from)
        .filter(|path| path.is_absolute());
    let own = runtime
        .into_iter()
        .chain(STATE_HOME.locate(environment).ok())
        .map(|directory| directory.join("meetfs"));
    own.chain(is_root.then(|| PathBuf::from("/run/meetfs"))).collect()
}
