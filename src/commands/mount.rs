//! The `meetfs mount` command.

use std::ffi::OsString;
use std::io::IsTerminal;
use std::process::{Command, ExitCode};
use std::time::Duration;

use jiff::tz::TimeZone;

use super::error::Error;
use super::exit_status::ExitStatus;
use super::log_level::to_filter;
use super::output::{print_line, print_to_stderr, warn};
use crate::cache::disk;
use crate::catalog::CatalogDatabase;
use crate::cli::MountArgs;
use crate::config::{self, Config, DiskLimit, Origin, ProcessEnvironment};
use crate::daemon::background::{self, BackgroundStart};
use crate::daemon::logging::{self, LogDestination};
use crate::daemon::serve::{self, ServeOptions, StartupEvent};
use crate::daemon::{demo, journal, mountpoint};
use crate::demo_cloud::DemoCloud;

/// Time after which progress is printed only on a terminal. Only one progress event occurs earlier,
/// so a log gets one line.
const LOGGED_PROGRESS_PERIOD: Duration = Duration::from_secs(10);

/// Mounts and serves until the file system is unmounted. Does so in a background process unless the
/// arguments request the foreground.
///
/// # Errors
/// The mount could not become ready. Nothing stays mounted in this case.
pub(crate) fn run(arguments: &MountArgs) -> Result<ExitCode, Error> {
    let options = arguments.mount_options()?;
    let is_background = arguments.report_readiness;
    if !arguments.foreground && !is_background {
        let own_arguments = std::env::args_os().skip(1).collect();
        return start_in_background(own_arguments, |_| {}).map(ExitCode::from);
    }
    serve::prepare_process();
    if let Some(path) = &arguments.log_file {
        // Checked before the log is created. Otherwise the log could be created in the mountpoint.
        mountpoint::check_outside(&arguments.mountpoint, path, "log")?;
    }
    let destination = log_destination(arguments)?;
    let _log = logging::start(to_filter(arguments.log_level), &destination)?;
    let mountpoint = mountpoint::prepare(&arguments.mountpoint)?;
    let (config, demo_cloud) = load_config(arguments)?;
    serve::serve(
        mountpoint,
        ServeOptions {
            config,
            demo_cloud,
            mount_source: arguments.mount_source.clone(),
            allow_other: options.allow_other,
            allow_root: options.allow_root,
            uid: options.uid,
            gid: options.gid,
            umask: options.umask,
            passthrough: !arguments.no_passthrough,
            require_online: arguments.require_online,
            report_readiness: is_background,
            report: if matches!(destination, LogDestination::Journal { .. }) {
                &print_unlogged_event
            } else {
                &print_event
            },
        },
    )?;
    Ok(ExitStatus::Success.into())
}

/// Starts a background process with the given arguments, in an environment that
/// `change_environment` can change. Waits until its mount is ready. Returns the exit code of the
/// command.
///
/// # Errors
/// The process could not be started, or a signal ended it.
pub(super) fn start_in_background(
    arguments: Vec<OsString>,
    change_environment: impl FnOnce(&mut Command),
) -> Result<u8, Error> {
    let forward = |line: &str| print_line(format_args!("{line}"));
    Ok(match background::start_and_wait(arguments, change_environment, forward)? {
        BackgroundStart::Ready => ExitStatus::Success as u8,
        BackgroundStart::Exited(code) => code,
    })
}

/// Returns the destination of the log.
fn log_destination(arguments: &MountArgs) -> Result<LogDestination<'_>, Error> {
    Ok(match (&arguments.log_file, arguments.report_readiness) {
        (Some(path), _) => LogDestination::File(path),
        (None, true) => LogDestination::DailyFiles(config::log_directory(&ProcessEnvironment)?),
        (None, false) if journal::is_connected_to_stderr() => {
            LogDestination::Journal { mountpoint: &arguments.mountpoint }
        }
        (None, false) => LogDestination::StandardError,
    })
}

fn load_config(arguments: &MountArgs) -> Result<(Config, Option<DemoCloud>), Error> {
    let overrides = arguments.overrides();
    if !arguments.demo {
        return Ok((Config::load(&overrides, &ProcessEnvironment)?, None));
    }
    let mut config = Config::load_for_demo(&overrides, &ProcessEnvironment)?;
    if overrides.cache_dir.is_some_and(|dir| matches!(dir.origin, Origin::Flag(_))) {
        // The demo does not use the cache directory, but a directory that cannot be used is an
        // error for every mount.
        CatalogDatabase::check(&config.cache.dir)?;
        disk::probe_directory(&config.cache.dir, false)?;
    }
    let cloud = demo::start()?;
    config.sources = demo::sources(&cloud)?;
    if !config.is_timezone_configured {
        // The demo does not store its catalog, but its directory names must be the same in each
        // mount.
        config.timezone = TimeZone::UTC;
    }
    config.cache.disk = DiskLimit::Off;
    Ok((config, Some(cloud)))
}

/// Prints the events that are not in the log. If both standard error and the log are the journal,
/// the other events would occur twice in it.
fn print_unlogged_event(event: StartupEvent<'_>) {
    match event {
        StartupEvent::Waiting(_) | StartupEvent::DemoServerStarted(_) => print_event(event),
        StartupEvent::CacheUnwritable(_)
        | StartupEvent::ZoneChanged(_)
        | StartupEvent::SourceFailed(_) => {}
    }
}

fn print_event(event: StartupEvent<'_>) {
    match event {
        StartupEvent::Waiting(progress) => {
            if progress.elapsed < LOGGED_PROGRESS_PERIOD || std::io::stderr().is_terminal() {
                print_to_stderr(format_args!("{progress}"));
            }
        }
        StartupEvent::CacheUnwritable(error) => warn(error),
        StartupEvent::ZoneChanged(change) => warn(change),
        StartupEvent::SourceFailed(error) => warn(error),
        StartupEvent::DemoServerStarted(url) => {
            print_line(format_args!("the demo server shows its request counts at {url}"));
        }
    }
}
