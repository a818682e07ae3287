//! Loads the configuration from a file, the environment and flags, and validates all values.
//!
//! Inputs:
//! 1. [`Overrides`]: the values of flags and of `MEETFS_…` variables, which [`crate::cli`] reads
//!    with clap. A flag overrides its variable, and a variable overrides the file.
//! 2. The configuration file, and the sources of secrets that it names: files, environment
//!    variables, and commands, which this module runs.
//! 3. [`Environment`]: `HOME`, the XDG variables, and variables that contain a secret.
//!
//! Output: a [`Config`] that needs no further checks. Paths are absolute, secrets can safely be
//! sent to base URLs, and sizes and durations are within their limits.
//!
//! Failure: a [`ConfigError`], which names the file and line, the variable or the flag, and
//! suggests a fix. No message contains a value that can be a secret.
//!
//! This module must not depend on the network, the cache or FUSE. It creates no files or
//! directories and takes no locks.
//!
//! The keys that every source has are in `source` and `filter`. Each provider has one file with its
//! keys, defaults and credentials, and one entry in `provider::SECTIONS`.

mod bandwidth_limit;
mod base_url;
mod ca_certificates;
mod cache;
mod config_file;
mod description;
mod directories;
mod environment;
mod error;
mod file_problem;
mod filter;
#[cfg(any(fuzzing, test))]
pub mod fuzzing;
mod keys;
mod limits;
mod load;
mod metrics_address;
mod origin;
mod overrides;
mod provider;
mod rapatin;
mod secret;
mod secret_problem;
mod section;
mod setting;
mod sign_in;
mod source;
pub(crate) mod suggestion;
mod table;
#[cfg(test)]
mod tests;
mod text_file;
mod toml_key;
mod value;
mod value_problem;
mod webex;
mod zoom;

pub use bandwidth_limit::BandwidthLimit;
pub use ca_certificates::CaCertificates;
pub use cache::{CacheConfig, DiskLimit, MemoryBudget};
pub use description::{KeyDescription, describe_config};
pub use directories::{SYSTEM_VARIABLE, log_directory, runtime_directories};
pub use environment::{Environment, ProcessEnvironment};
pub use error::{ConfigError, KeyFix};
pub use file_problem::FileProblem;
pub use filter::{FileKind, FilterConfig};
pub use limits::{
    DEFAULT_CONNECTIONS, DEFAULT_DISK, DEFAULT_MEMORY, DEFAULT_READ_DEADLINE, METRICS_OFF,
    SEARCH_OFF,
};
pub use load::Config;
pub use metrics_address::MetricsAddress;
pub use origin::Origin;
pub use overrides::Overrides;
pub use provider::ProviderConfig;
pub use rapatin::{RAPATIN_API_URL, RapatinConfig, RapatinCredential};
pub use secret_problem::SecretProblem;
pub use setting::Setting;
pub use sign_in::SignInFile;
pub use source::SourceConfig;
pub use value_problem::ValueProblem;
pub use webex::{WEBEX_API_URL, WEBEX_OAUTH_URL, WebexConfig, WebexCredential};
pub use zoom::{ZOOM_API_URL, ZOOM_OAUTH_URL, ZoomConfig, ZoomCredential, ZoomPlan};
