//! Runs a mount in its process: lists, mounts, serves and unmounts.
//!
//! Input: a validated configuration and a locked mountpoint. On failure nothing stays mounted.
//! Messages for the user go through [`StartupEvent`]; this module prints nothing.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use nix::sys::stat::Mode;
use tokio::runtime::Runtime;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::archive::{Archive, Readiness};
use super::cache_storage::{CacheStorage, UnwritableCache};
use super::control::ServedMount;
use super::error::{DaemonError, ListingError};
use super::metrics::MetricsListener;
use super::mountpoint::LockedMountpoint;
use super::naming_zones::ZoneChange;
use super::service_manager::ServiceManager;
use super::signals::{SignalAction, Signals};
use super::startup_progress::StartupProgress;
use super::{background, control, malloc, mountpoint};
use crate::config::{Config, MetricsAddress, ProcessEnvironment};
use crate::demo_cloud::DemoCloud;
use crate::fuse::{self, Access, Adapter};
use crate::model::{line_with_hint, log_event, one_line};
use crate::vfs::{FileSystem, FileSystemOptions, Owner};

/// Maximum wait for sizes and details that the listing omits. With this wait, a backup that starts
/// right after `mount` finds a complete tree in an archive of common size. For a large archive, the
/// enrichment continues in the background.
const SETTLE_TIMEOUT: Duration = Duration::from_secs(5);

/// Maximum wait for the kernel to finish an unmount. Requests in flight are canceled first.
const UNMOUNT_TIMEOUT: Duration = Duration::from_secs(2);

/// Maximum wait for a token renewal that is in flight when the mount ends. A refresh token that can
/// be used only once is invalid after it is sent, so a lost reply would lose the sign-in. Token
/// services answer within a second or two; container runtimes kill a process ten seconds after
/// SIGTERM.
const TOKEN_RENEWAL_TIMEOUT: Duration = Duration::from_secs(5);

/// Maximum wait for tasks that ignore cancellation.
const RUNTIME_SHUTDOWN_TIMEOUT: Duration = Duration::from_millis(500);

/// Delay before the first [`StartupEvent::Waiting`].
const PROGRESS_DELAY: Duration = Duration::from_secs(2);

/// Interval between further [`StartupEvent::Waiting`] events.
const PROGRESS_INTERVAL: Duration = Duration::from_secs(10);

/// The permission bits of a directory that every user can read.
const ALL_DIRECTORY_BITS: u16 = 0o555;

/// The permission bits of a file that every user can read.
const ALL_FILE_BITS: u16 = 0o444;

/// The permission bits of the owner.
const OWNER_BITS: u16 = 0o700;

/// Exit code (general failure) if a second signal ends the process during its shutdown.
const FORCED_EXIT_CODE: i32 = 1;

/// The options of a mount process.
pub struct ServeOptions<'a> {
    pub config: Config,
    /// The demo server, which runs as long as the mount.
    pub demo_cloud: Option<DemoCloud>,
    /// The source of the file system in the mount table, unless it is the default.
    pub mount_source: Option<String>,
    /// Whether other users may read the mount.
    pub allow_other: bool,
    /// Whether root may read the mount of another user.
    pub allow_root: bool,
    /// The user and the group that stat(2) shows for every file. The default is those of the
    /// process.
    pub uid: Option<u32>,
    pub gid: Option<u32>,
    /// Permission bits that are removed from the default modes. If it is set, the modes of the
    /// configuration have no effect.
    pub umask: Option<u16>,
    pub passthrough: bool,
    /// Whether the mount fails if no source can be listed and none was listed earlier.
    pub require_online: bool,
    /// Whether this process was started by [`background::start_and_wait`].
    pub report_readiness: bool,
    pub report: &'a dyn Fn(StartupEvent<'_>),
}

/// A message for the user who waits for the mount to be ready.
#[derive(Clone, Copy, Debug)]
pub enum StartupEvent<'a> {
    /// The mount is not ready yet. Reported after two seconds, and then every ten seconds.
    Waiting(&'a StartupProgress),
    /// Nothing is stored in the cache directory.
    CacheUnwritable(&'a UnwritableCache),
    /// The configuration changes the time zone of a source's directory names.
    ZoneChanged(&'a ZoneChange),
    /// A source could not be listed completely. The mount starts without its missing recordings.
    SourceFailed(&'a ListingError),
    /// The demo server is running. The URL shows its request counts.
    DemoServerStarted(&'a str),
}

/// Prepares the process to serve a mount. Must be called before any thread starts.
pub fn prepare_process() {
    malloc::limit_arenas();
    // Logs, catalog and cache are private to the user, regardless of the umask of the shell.
    nix::sys::stat::umask(Mode::from_bits_truncate(0o077));
}

/// Lists, mounts and serves until a signal or the kernel ends the mount.
///
/// # Errors
/// The mount could not become ready. Nothing stays mounted in this case.
pub fn serve(mountpoint: LockedMountpoint, options: ServeOptions<'_>) -> Result<(), DaemonError> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(worker_threads())
        .enable_all()
        .build()
        .map_err(|source| DaemonError::System { action: "start the runtime", source })?;
    let service_manager = ServiceManager::new(!options.report_readiness);
    service_manager.feed_watchdog(runtime.handle());
    let result = MountProcess { options, runtime: &runtime, service_manager }.run(mountpoint);
    // Remaining tasks are canceled. Requests whose replies are dropped fail with EIO.
    runtime.shutdown_timeout(RUNTIME_SHUTDOWN_TIMEOUT);
    result
}

/// Returns the number of worker threads. With two, one can copy data while the other handles
/// timers. More than four would be idle, because the work comes from the few event threads of the
/// kernel interface.
fn worker_threads() -> usize {
    std::thread::available_parallelism().map_or(2, usize::from).clamp(2, 4)
}

struct MountProcess<'a> {
    options: ServeOptions<'a>,
    runtime: &'a Runtime,
    service_manager: ServiceManager,
}

impl MountProcess<'_> {
    fn run(&self, mountpoint: LockedMountpoint) -> Result<(), DaemonError> {
        let config = &self.options.config;
        let path = mountpoint.path().to_path_buf();
        mountpoint::check_outside(&path, &config.cache.dir, "cache directory")?;
        let mut signals = self.runtime.block_on(async { Signals::listen() })?;
        if let Some(MetricsAddress::Unix(socket)) = &config.metrics {
            mountpoint::check_outside(&path, socket, "metrics socket")?;
        }
        let metrics_listener = {
            let _runtime_guard = self.runtime.enter();
            config.metrics.as_ref().map(MetricsListener::bind).transpose()?
        };
        let storage = if self.options.demo_cloud.is_some() {
            CacheStorage::in_memory(config.indexes_texts)?
        } else {
            CacheStorage::open(config)?
        };
        let shutdown = CancellationToken::new();
        let shutdown_guard = shutdown.clone().drop_guard();
        let archive =
            Arc::new(Archive::new(config, storage, self.runtime.handle(), shutdown.clone())?);
        if let Some(unwritable_cache) = archive.unwritable_cache() {
            tracing::warn!("{}", one_line(unwritable_cache));
            (self.options.report)(StartupEvent::CacheUnwritable(unwritable_cache));
        }
        for change in archive.zone_changes() {
            tracing::warn!("{}", line_with_hint(change));
            (self.options.report)(StartupEvent::ZoneChanged(change));
        }
        let providers = archive.providers();
        let listeners = (metrics_listener, shutdown);
        let result = self.serve_until_ended(&archive, mountpoint, &mut signals, listeners);
        self.service_manager.report_unmount();
        // From here on a second signal ends the process at once.
        self.runtime.spawn(async move {
            signals.wait_for_unmount_signal().await;
            std::process::exit(FORCED_EXIT_CODE);
        });
        // Ends the background tasks even if nothing was mounted, because they lock the cache and
        // send requests.
        drop(shutdown_guard);
        let result = result.map(|(session, control_server)| {
            tracing::info!(name: log_event::UNMOUNT, "unmounting {}", path.display());
            drop(control_server);
            session.unmount(UNMOUNT_TIMEOUT);
        });
        // The cache directory is released for the next mount before the wait below.
        drop(archive);
        self.runtime.block_on(async {
            let renewals = join_all(providers.iter().map(|provider| provider.finish()));
            if tokio::time::timeout(TOKEN_RENEWAL_TIMEOUT, renewals).await.is_err() {
                tracing::warn!(
                    "a sign-in may be lost: the token service did not answer a token renewal within {} s",
                    TOKEN_RENEWAL_TIMEOUT.as_secs()
                );
            }
        });
        result
    }

    /// Mounts and serves until a signal or the kernel ends the mount. The caller unmounts.
    fn serve_until_ended(
        &self,
        archive: &Arc<Archive>,
        mountpoint: LockedMountpoint,
        signals: &mut Signals,
        (metrics_listener, shutdown): (Option<MetricsListener>, CancellationToken),
    ) -> Result<(fuse::MountedSession, Option<control::Server>), DaemonError> {
        let path = mountpoint.path().to_path_buf();
        self.runtime.block_on(async {
            tokio::select! {
                result = self.list_with_progress(archive) => result,
                () = signals.wait_for_unmount_signal() => Err(DaemonError::Interrupted),
                () = background::wait_for_parent_exit(), if self.options.report_readiness => {
                    Err(DaemonError::Interrupted)
                }
            }
        })?;
        let (unmount_sender, mut unmount_receiver) = watch::channel(false);
        let session = self.mount(archive, &path, unmount_sender)?;
        let served_mount = Arc::new(ServedMount::new(path.clone(), session.device(), archive));
        if let Some(listener) = metrics_listener {
            self.runtime.spawn(listener.serve(served_mount.clone(), shutdown.clone()));
        }
        let control_server = {
            let _runtime_guard = self.runtime.enter();
            control::Server::start(served_mount, &ProcessEnvironment, shutdown)
        };
        // From here on the mount table keeps other processes from mounting here.
        drop(mountpoint);
        if let Some(cloud) = &self.options.demo_cloud {
            (self.options.report)(StartupEvent::DemoServerStarted(&cloud.summary_url()));
        }
        if self.options.report_readiness
            && let Err(error) = background::report_ready()
        {
            session.unmount(UNMOUNT_TIMEOUT);
            return Err(error);
        }
        self.service_manager.report_ready(&path);
        tracing::info!(name: log_event::MOUNT_READY, "mounted at {}", path.display());
        self.runtime.block_on(async {
            loop {
                tokio::select! {
                    action = signals.next() => match action {
                        SignalAction::Unmount => break,
                        SignalAction::Refresh => {
                            archive.refresh();
                            self.service_manager.report_refresh();
                        }
                    },
                    _ = unmount_receiver.wait_for(|is_unmounted| *is_unmounted) => break,
                }
            }
        });
        Ok((session, control_server))
    }

    /// Waits until the tree can be shown. Reports progress in the meantime.
    async fn list_with_progress(&self, archive: &Archive) -> Result<(), DaemonError> {
        let report = self.options.report;
        let start = Instant::now();
        let progress = async {
            tokio::time::sleep(PROGRESS_DELAY).await;
            loop {
                let sources = archive.unlisted_sources();
                let progress = StartupProgress { sources, elapsed: start.elapsed() };
                self.service_manager.report_progress(&progress);
                report(StartupEvent::Waiting(&progress));
                tokio::time::sleep(PROGRESS_INTERVAL).await;
            }
        };
        tokio::select! {
            result = self.list(archive) => result,
            never = progress => match never {},
        }
    }

    async fn list(&self, archive: &Archive) -> Result<(), DaemonError> {
        let report = self.options.report;
        archive.start(self.runtime.handle());
        let require_online = self.options.require_online;
        let first_listing = archive.wait_for_first_listing(require_online, |error| {
            tracing::warn!("{}", one_line(error));
            report(StartupEvent::SourceFailed(error));
        });
        let readiness = first_listing.await?;
        if readiness == Readiness::Listed {
            // Enrichment that takes longer continues in the background.
            let _ = tokio::time::timeout(SETTLE_TIMEOUT, archive.wait_until_settled()).await;
        }
        archive.wait_until_shown().await;
        Ok(())
    }

    fn mount(
        &self,
        archive: &Archive,
        mountpoint: &Path,
        is_unmounted: watch::Sender<bool>,
    ) -> Result<fuse::MountedSession, DaemonError> {
        let options = &self.options;
        let (directory_mode, file_mode) = self.modes();
        let owner = Owner {
            uid: options.uid.unwrap_or_else(|| nix::unistd::getuid().as_raw()),
            gid: options.gid.unwrap_or_else(|| nix::unistd::getgid().as_raw()),
            directory_mode,
            file_mode,
        };
        let file_system = FileSystem::new(FileSystemOptions {
            tree: archive.tree.clone(),
            engine: archive.engine.clone(),
            unlisted_sources: archive.unlisted_sources.clone(),
            handles: archive.handles.clone(),
            scanner_limiter: archive.scanner_limiter.clone(),
            provider_names: archive.provider_names(),
            owner,
            runtime: self.runtime.handle().clone(),
            invalidations: archive.invalidations.clone(),
            allows_passthrough: options.passthrough,
        });
        let adapter = Adapter::new(file_system, self.runtime.handle().clone(), is_unmounted);
        let source = options.mount_source.as_deref().unwrap_or(fuse::DEFAULT_MOUNT_SOURCE);
        let access = match options {
            ServeOptions { allow_other: true, .. } => Access::AllUsers,
            ServeOptions { allow_root: true, .. } => Access::OwnerAndRoot,
            ServeOptions { .. } => Access::Owner,
        };
        Ok(fuse::mount(adapter, archive.invalidations.clone(), mountpoint, source, access)?)
    }

    /// Returns the permission bits of directories and of recordings.
    ///
    /// With `allow_root`, only the owner has bits. The kernel knows only `allow_other`, and `fuser`
    /// rejects the requests of others. But the kernel also answers from its caches.
    fn modes(&self) -> (u16, u16) {
        let (directory_mode, file_mode) = self.configured_modes();
        if self.options.allow_root {
            (directory_mode & OWNER_BITS, file_mode & OWNER_BITS)
        } else {
            (directory_mode, file_mode)
        }
    }

    fn configured_modes(&self) -> (u16, u16) {
        if let Some(umask) = self.options.umask {
            return (ALL_DIRECTORY_BITS & !umask, ALL_FILE_BITS & !umask);
        }
        let (directory_mode, file_mode) = if self.options.allow_other {
            (ALL_DIRECTORY_BITS, ALL_FILE_BITS)
        } else {
            (0o500, 0o400)
        };
        let config = &self.options.config;
        (config.directory_mode.unwrap_or(directory_mode), config.file_mode.unwrap_or(file_mode))
    }
}
