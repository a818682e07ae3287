//! Runs all checks and prints them.

use tokio_util::sync::CancellationToken;

use super::check::{Check, Verdict, exit_status};
use super::{cache, source, system};
use crate::catalog::CatalogDatabase;
use crate::cli::DoctorArgs;
use crate::commands::error::{CommandError, Error};
use crate::commands::exit_status::ExitStatus;
use crate::commands::output::{print, print_json};
use crate::config::{Config, DiskLimit, ProcessEnvironment};
use crate::daemon::archive::Archive;

/// Checks everything that a mount needs.
///
/// # Errors
/// The checks cannot run, or their results cannot be printed.
pub(crate) fn doctor(arguments: &DoctorArgs) -> Result<ExitStatus, Error> {
    let mut checks = system::checks();
    match Config::load(&arguments.overrides(), &ProcessEnvironment) {
        Ok(config) => {
            let sources = config.sources.len();
            let plural = if sources == 1 { "" } else { "s" };
            checks.push(Check::ok("configuration", format!("{sources} source{plural}")));
            checks.extend(cache::checks(&config));
            checks.extend(check_sources(config)?);
        }
        Err(error) => {
            let fix = "Correct it and run the command again.";
            let check = Check::of_error(Verdict::Failure, "configuration", &error, fix);
            checks.push(check.of_configuration());
        }
    }
    if arguments.json {
        print_json(&checks)?;
    } else {
        print(&checks.iter().map(Check::as_text).collect::<String>())?;
    }
    Ok(exit_status(&checks))
}

fn check_sources(mut config: Config) -> Result<Vec<Check>, Error> {
    // A running mount may have the disk cache, and the checks need none.
    config.cache.disk = DiskLimit::Off;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|source| CommandError::System { action: "start the runtime", source })?;
    let ended = CancellationToken::new();
    let archive =
        Archive::new(&config, CatalogDatabase::in_memory()?, runtime.handle(), ended.clone())?;
    let checks = runtime.block_on(source::checks(&archive));
    ended.cancel();
    Ok(checks)
}
