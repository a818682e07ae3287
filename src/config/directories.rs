//! The directories of a user according to the XDG Base Directory Specification 0.8.

use std::path::PathBuf;

use super::environment::{Environment, home_directory, non_empty_variable};
use super::error::ConfigError;

/// A base directory as the XDG Base Directory Specification defines it: an environment variable,
/// and a default path below the home directory.
#[derive(Clone, Copy, Debug)]
pub(super) struct BaseDirectory {
    variable: &'static str,
    /// The default path, relative to the home directory.
    path_below_home: &'static str,
    /// The path for a mount of the system.
    system_path: &'static str,
    /// The action that needs the directory. In an error message, it follows "cannot".
    purpose: &'static str,
    /// The hint of the error if neither the variable nor `HOME` is set.
    hint: &'static str,
}

/// The base directory for the configuration file.
pub(super) const CONFIG_HOME: BaseDirectory = BaseDirectory {
    variable: "XDG_CONFIG_HOME",
    path_below_home: ".config",
    system_path: "/etc",
    purpose: "find the configuration file",
    hint: "Pass --config FILE or set MEETFS_CONFIG.",
};

/// The base directory for the cache.
pub(super) const CACHE_HOME: BaseDirectory = BaseDirectory {
    variable: "XDG_CACHE_HOME",
    path_below_home: ".cache",
    system_path: "/var/cache",
    purpose: "find the cache directory",
    hint: "Pass --cache-dir DIR, set MEETFS_CACHE_DIR, or set `dir` in [cache].",
};

/// The base directory for logs.
const STATE_HOME: BaseDirectory = BaseDirectory {
    variable: "XDG_STATE_HOME",
    path_below_home: ".local/state",
    system_path: "/var/lib",
    purpose: "find a directory for the log",
    hint: "Pass --log-file FILE.",
};

/// The base directory for the tokens of sign-ins.
pub(super) const SIGN_IN_HOME: BaseDirectory = BaseDirectory {
    variable: "XDG_STATE_HOME",
    path_below_home: ".local/state",
    system_path: "/var/lib",
    purpose: "find a directory for sign-in tokens",
    hint: "Set XDG_STATE_HOME.",
};

impl BaseDirectory {
    /// Returns the path in the variable, or the default path below the home directory. A relative
    /// path in the variable is ignored, as the specification requires. If [`SYSTEM_VARIABLE`] is
    /// set, returns the path of the system.
    ///
    /// # Errors
    /// Returns an error if neither the variable nor `HOME` is set, as in a systemd system service.
    pub(super) fn locate(self, environment: &dyn Environment) -> Result<PathBuf, ConfigError> {
        if uses_system_directories(environment) {
            return Ok(PathBuf::from(self.system_path));
        }
        let variable_path = non_empty_variable(environment, self.variable)
            .map(PathBuf::from)
            .filter(|path| path.is_absolute());
        variable_path
            .or_else(|| home_directory(environment).map(|home| home.join(self.path_below_home)))
            .ok_or(ConfigError::NoHome {
                purpose: self.purpose,
                variable: self.variable,
                hint: self.hint,
            })
    }
}

/// If this variable is set, the directories are those of the system. An administrator has a `HOME`
/// and can have XDG variables, but the system has neither at boot. With this variable, `mount -a`
/// uses the same directories in both cases.
pub const SYSTEM_VARIABLE: &str = "MEETFS_SYSTEM";

fn uses_system_directories(environment: &dyn Environment) -> bool {
    non_empty_variable(environment, SYSTEM_VARIABLE).is_some()
}

/// Returns the directory for the logs of background mounts without `--log-file`.
///
/// # Errors
/// Returns an error if neither `XDG_STATE_HOME` nor `HOME` is set.
pub fn log_directory(environment: &dyn Environment) -> Result<PathBuf, ConfigError> {
    Ok(STATE_HOME.locate(environment)?.join("meetfs"))
}

/// Returns the directories in which a mount can create its control socket, in order of preference.
///
/// 1. The runtime directory of the XDG specification.
/// 2. `/run/meetfs`, for root only. A system service has no runtime directory of the first kind,
///    and its directory for logs is not that of the shell in which root runs `meetfs status`.
/// 3. The directory for logs.
pub fn runtime_directories(environment: &dyn Environment, is_root: bool) -> Vec<PathBuf> {
    // The runtime directory of a login session is removed at logout.
    let runtime_directory = non_empty_variable(environment, "XDG_RUNTIME_DIR")
        .filter(|_| !uses_system_directories(environment))
        .map(PathBuf::from)
        .filter(|path| path.is_absolute())
        .map(|directory| directory.join("meetfs"));
    let system_directory = is_root.then(|| PathBuf::from("/run/meetfs"));
    let state_directory = log_directory(environment).ok();
    runtime_directory.into_iter().chain(system_directory).chain(state_directory).collect()
}
