//! Runs all checks and prints their results.

use tokio_util::sync::CancellationToken;

use super::bundle::Bundle;
use super::check::{Check, Report, Verdict, exit_status};
use super::{cache, source, system};
use crate::cli::DoctorArgs;
use crate::commands::error::{CommandError, Error};
use crate::commands::exit_status::ExitStatus;
use crate::commands::output::{print_json, print_line};
use crate::config::{Config, DiskLimit, ProcessEnvironment};
use crate::daemon::archive::Archive;
use crate::daemon::cache_storage::CacheStorage;
use crate::model::{Diagnostic, ErrorKind};

/// Checks everything that a mount needs. With `--bundle`, also writes an archive for a bug report.
///
/// # Errors
/// The checks cannot run, their results cannot be printed, or the archive cannot be written.
pub(crate) fn run(arguments: &DoctorArgs) -> Result<ExitStatus, Error> {
    let bundle = arguments.bundle.as_deref().map(Bundle::create).transpose()?;
    let mut report = Report { is_json: arguments.json, checks: Vec::new() };
    system::run_checks().into_iter().for_each(|check| report.add(check));
    match Config::load(&arguments.overrides(), &ProcessEnvironment) {
        Ok(config) => {
            let source_count = config.sources.len();
            let plural = if source_count == 1 { "" } else { "s" };
            report.add(Check::ok("configuration", format!("{source_count} source{plural}")));
            cache::run_checks(&config).into_iter().for_each(|check| report.add(check));
            check_sources(config, &mut report)?;
        }
        Err(error) if error.kind() == ErrorKind::Usage => return Err(error.into()),
        Err(error) => {
            let fix = "Correct the configuration and run the command again.";
            let check = Check::from_error(Verdict::Failure, "configuration", &error, fix);
            report.add(check.caused_by_configuration());
        }
    }
    if arguments.json {
        print_json(&report.checks)?;
    }
    if let (Some(bundle), Some(path)) = (bundle, &arguments.bundle) {
        bundle.write(&arguments.overrides(), &report.checks)?;
        print_line(format_args!("wrote {}; look at it before you send it", path.display()));
    }
    Ok(exit_status(&report.checks))
}

fn check_sources(mut config: Config, report: &mut Report) -> Result<(), Error> {
    // A running mount may be using the disk cache, and the checks do not need it.
    config.cache.disk = DiskLimit::Off;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|source| CommandError::System { action: "start the runtime", source })?;
    let shutdown = CancellationToken::new();
    let archive =
        Archive::new(&config, CacheStorage::in_memory(false)?, runtime.handle(), shutdown.clone())?;
    runtime.block_on(source::run_checks(&archive, report));
    shutdown.cancel();
    Ok(())
}
