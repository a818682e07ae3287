//! The process environment behind a seam, so that a test can say what it holds without changing its own.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;

use super::error::ConfigError;

/// Where settings look variables up.
pub trait Environment {
    /// The variable's value, or `None` when it is not set.
    fn variable(&self, name: &str) -> Option<OsString>;
}

/// The environment of this process.
#[derive(Clone, Copy, Debug, Default)]
pub struct ProcessEnvironment;

impl Environment for ProcessEnvironment {
    fn variable(&self, name: &str) -> Option<OsString> {
        std::env::var_os(name)
    }
}

impl Environment for BTreeMap<String, OsString> {
    fn variable(&self, name: &str) -> Option<OsString> {
        self.get(name).cloned()
    }
}

/// The variable's value, unless it is unset or empty.
///
/// Empty counts as unset because that is how a unit file or a container takes an inherited variable back.
pub(super) fn filled(environment: &dyn Environment, name: &str) -> Option<OsString> {
    environment.variable(name).filter(|value| !value.is_empty())
}

/// One of the user's base directories of the XDG Base Directory Specification 0.8.
#[derive(Clone, Copy, Debug)]
pub(super) struct BaseDirectory {
    variable: &'static str,
    below_home: &'static str,
    /// What the directory is needed for, and what to set when it cannot be told.
    purpose: &'static str,
    instead: &'static str,
}

/// Where the configuration file is looked for.
pub(super) const CONFIG_HOME: BaseDirectory = BaseDirectory {
    variable: "XDG_CONFIG_HOME",
    below_home: ".config",
    purpose: "find the configuration file",
    instead: "give --config FILE or set MEETFS_CONFIG",
};

/// Where the cache goes.
pub(super) const CACHE_HOME: BaseDirectory = BaseDirectory {
    variable: "XDG_CACHE_HOME",
    below_home: ".cache",
    purpose: "place the cache",
    instead: "give --cache-dir DIR, set MEETFS_CACHE_DIR, or write `dir` in [cache]",
};

/// Where the log of a mount in the background goes.
pub(super) const STATE_HOME: BaseDirectory = BaseDirectory {
    variable: "XDG_STATE_HOME",
    below_home: ".local/state",
    purpose: "place the log",
    instead: "give --log-file FILE",
};

/// Where sign-ins are kept.
pub(super) const SIGN_IN_HOME: BaseDirectory = BaseDirectory {
    variable: "XDG_STATE_HOME",
    below_home: ".local/state",
    purpose: "keep a sign-in",
    instead: "set XDG_STATE_HOME",
};

impl BaseDirectory {
    /// The directory, as the specification derives it: a relative path in the variable is ignored.
    ///
    /// # Errors
    /// When the variable is not set and there is no home directory either, as in a systemd system service.
    pub(super) fn locate(self, environment: &dyn Environment) -> Result<PathBuf, ConfigError> {
        let named =
            filled(environment, self.variable).map(PathBuf::from).filter(|path| path.is_absolute());
        named.or_else(|| home(environment).map(|home| home.join(self.below_home))).ok_or(
            ConfigError::NoHome {
                purpose: self.purpose,
                variable: self.variable,
                instead: self.instead,
            },
        )
    }
}

/// The home directory that `~/` stands for.
pub(super) fn home(environment: &dyn Environment) -> Option<PathBuf> {
    filled(environment, "HOME").map(PathBuf::from).filter(|path| path.is_absolute())
}
