//! Access to environment variables through a trait, so that tests can replace the environment.
//!
//! This module reads only `HOME`, `MEETFS_SYSTEM`, the XDG variables and variables that contain a
//! secret. clap reads the other `MEETFS_…` variables as values of flags.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;

/// A set of environment variables.
pub trait Environment {
    /// Returns the value of a variable, or `None` if it is not set.
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

/// Returns the value of a variable, or `None` if it is unset or empty.
///
/// An empty variable counts as unset, because unit files and containers clear an inherited variable
/// by setting it to an empty string.
pub(super) fn non_empty_variable(environment: &dyn Environment, name: &str) -> Option<OsString> {
    environment.variable(name).filter(|value| !value.is_empty())
}

/// Returns the home directory of the user from `HOME`, or `None` if `HOME` is not an absolute path.
pub(super) fn home_directory(environment: &dyn Environment) -> Option<PathBuf> {
    non_empty_variable(environment, "HOME").map(PathBuf::from).filter(|path| path.is_absolute())
}
