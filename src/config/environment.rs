//! The process environment behind a trait, so that tests can replace it.
//!
//! Only `HOME`, the XDG variables and variables that hold a secret are read here. clap reads the
//! `MEETFS_…` variables, as the values of their flags.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;

/// Environment variables by name.
pub trait Environment {
    /// Returns `None` if the variable is not set.
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

/// Returns the value of a variable, unless it is unset or empty.
///
/// Empty counts as unset because a unit file or a container clears an inherited variable this way.
pub(super) fn non_empty_variable(environment: &dyn Environment, name: &str) -> Option<OsString> {
    environment.variable(name).filter(|value| !value.is_empty())
}

/// Returns the home directory, which `~/` stands for.
pub(super) fn home_directory(environment: &dyn Environment) -> Option<PathBuf> {
    non_empty_variable(environment, "HOME").map(PathBuf::from).filter(|path| path.is_absolute())
}
