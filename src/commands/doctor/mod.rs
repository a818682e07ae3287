//! `meetfs doctor`: checks what a mount needs and suggests a fix for each problem.
//!
//! Every check has its own timeout. The checks of the cache and the sources require a valid
//! configuration. `--bundle` writes an archive for a bug report.

mod anonymizer;
mod bundle;
pub(crate) mod cache;
pub(crate) mod check;
pub(crate) mod command;
#[cfg(any(fuzzing, test))]
pub mod fuzzing;
mod log_excerpt;
pub(crate) mod scopes;
pub(crate) mod source;
pub(crate) mod system;

pub(crate) use command::run;
