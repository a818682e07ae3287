//! The life of a mount in its process: list, mount, serve, unmount.
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
use super::error::{DaemonError, ListingError};
use super::mountpoint::LockedMountpoint;
use super::naming_zones::ZoneChange;
use super::signals::{SignalAction, Signals};
use super::{background, control, malloc, mountpoint};
use crate::config::{Config, ProcessEnvironment};
use crate::demo_cloud::DemoCloud;
use crate::fuse::{self, Access, Adapter};
use crate::model::{SourceName, line_with_hint, one_line};
use crate::vfs::{FileSystem, FileSystemOptions, Owner};

/// Limit on the wait for sizes and details that listings omit, once the tree can be listed. A
/// backup that starts right after `mount` then finds everything in an archive of common size. For a
/// large archive the enrichment continues in the background.
const SETTLE_TIMEOUT: Duration = Duration::from_secs(5);

/// Limit on the wait for the kernel to finish an unmount. Requests in flight are canceled before.
const UNMOUNT_TIMEOUT: Duration = Duration::from_secs(2);

/// Limit on the wait for a token renewal that is in flight when the mount ends. A single-use
/// refresh token is spent once it is sent, so a lost reply would lose the sign-in. Token services
/// answer within a second or two; container runtimes kill a process ten seconds after SIGTERM.
const TOKEN_RENEWAL_TIMEOUT: Duration = Duration::from_secs(5);

/// Limit on the wait for tasks that ignore cancellation.
const RUNTIME_SHUTDOWN_TIMEOUT: Duration = Duration::from_millis(500);

/// Delay before the first [`StartupEvent::Waiting`].
const PROGRESS_DELAY: Duration = Duration::from_secs(2);

/// Interval between further ones.
const PROGRESS_INTERVAL: Duration = Duration::from_secs(10);

/// Exit code when a second signal ends the process during its shutdown: `failure`.
const FORCED_EXIT_CODE: i32 = 1;

/// What to serve and how.
pub struct ServeOptions<'a> {
    pub config: Config,
    /// Lives as long as the mount.
    pub demo_cloud: Option<DemoCloud>,
    /// Whether other users may read the mount.
    pub allow_other: bool,
    pub passthrough: bool,
    /// Whether this process was started by [`background::start_and_wait`].
    pub report_readiness: bool,
    pub report: &'a dyn Fn(StartupEvent<'_>),
}

/// A message for the user who waits for the mount to be ready.
#[derive(Clone, Copy, Debug)]
pub enum StartupEvent<'a> {
    /// The mount is not ready after two seconds, and after every ten seconds from then on.
    Waiting {
        /// The sources whose recordings are not listed yet. Without one, their files are examined.
        sources: &'a [SourceName],
        elapsed: Duration,
    },
    /// Nothing is stored in the cache directory.
    CacheUnwritable(&'a UnwritableCache),
    /// The configuration changes the time zone of a source's directory names.
    ZoneChanged(&'a ZoneChange),
    /// A source is missing or incomplete; the mount starts without it.
    SourceFailed(&'a ListingError),
    /// The demo server runs; the URL shows its request counts.
    DemoServerStarted(&'a str),
}

/// Prepares a process to serve a mount. Call it first, before any thread starts.
pub fn prepare_process() {
    malloc::limit_arenas();
    // Logs, catalog and cache are private to the user, whatever the umask of the shell.
    nix::sys::stat::umask(Mode::from_bits_truncate(0o077));
}

/// Lists, mounts and serves until a signal or the kernel ends the mount.
///
/// # Errors
/// Anything that keeps the mount from being ready; then nothing stays mounted.
pub fn serve(mountpoint: LockedMountpoint, options: ServeOptions<'_>) -> Result<(), DaemonError> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(worker_threads())
        .enable_all()
        .build()
        .map_err(|source| DaemonError::System { action: "start the runtime", source })?;
    let result = Server { options, runtime: &runtime }.run(mountpoint);
    // Remaining tasks are canceled; replies that are dropped with them answer EIO.
    runtime.shutdown_timeout(RUNTIME_SHUTDOWN_TIMEOUT);
    result
}

/// At least two: one may copy while the other keeps deadlines. More than four stay idle, because
/// the work comes from the kernel's few event threads.
fn worker_threads() -> usize {
    std::thread::available_parallelism().map_or(2, usize::from).clamp(2, 4)
}

struct Server<'a> {
    options: ServeOptions<'a>,
    runtime: &'a Runtime,
}

impl Server<'_> {
    fn run(&self, mountpoint: LockedMountpoint) -> Result<(), DaemonError> {
        let config = &self.options.config;
        let path = mountpoint.path().to_path_buf();
        mountpoint::check_outside(&path, &config.cache.dir, "cache directory")?;
        let mut signals = self.runtime.block_on(async { Signals::listen() })?;
        let storage = if self.options.demo_cloud.is_some() {
            CacheStorage::in_memory()?
        } else {
            CacheStorage::open(&config.cache)?
        };
        let ended = CancellationToken::new();
        let background_work = ended.clone().drop_guard();
        let archive =
            Arc::new(Archive::new(config, storage, self.runtime.handle(), ended.clone())?);
        if let Some(unwritable) = archive.unwritable_cache() {
            tracing::warn!("{}", one_line(unwritable));
            (self.options.report)(StartupEvent::CacheUnwritable(unwritable));
        }
        for change in archive.zone_changes() {
            tracing::warn!("{}", line_with_hint(change));
            (self.options.report)(StartupEvent::ZoneChanged(change));
        }
        let providers = archive.providers();
        let served = self.serve_until_ended(&archive, mountpoint, &mut signals, ended);
        // From here on a second signal ends the process at once.
        self.runtime.spawn(async move {
            signals.unmount_requested().await;
            std::process::exit(FORCED_EXIT_CODE);
        });
        // Also when nothing was mounted: background tasks hold the cache and send requests.
        drop(background_work);
        let result = served.map(|(mounted, control)| {
            tracing::info!("unmounting {}", path.display());
            drop(control);
            mounted.unmount(UNMOUNT_TIMEOUT);
        });
        // Releases the cache directory for the next mount before the wait below.
        drop(archive);
        self.runtime.block_on(async {
            let finished = join_all(providers.iter().map(|provider| provider.finish()));
            if tokio::time::timeout(TOKEN_RENEWAL_TIMEOUT, finished).await.is_err() {
                tracing::warn!(
                    "a sign-in may be lost: the token service did not answer a renewal within {} s",
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
        ended: CancellationToken,
    ) -> Result<(fuse::MountedSession, Option<control::Server>), DaemonError> {
        let path = mountpoint.path().to_path_buf();
        self.runtime.block_on(async {
            tokio::select! {
                listed = self.list(archive) => listed,
                () = signals.unmount_requested() => Err(DaemonError::Interrupted),
                () = background::parent_exited(), if self.options.report_readiness => {
                    Err(DaemonError::Interrupted)
                }
            }
        })?;
        let (kernel_ended, mut kernel_end) = watch::channel(false);
        let mounted = self.mount(archive, &path, kernel_ended)?;
        let control = {
            let _context = self.runtime.enter();
            control::Server::start(&path, mounted.device(), archive, &ProcessEnvironment, ended)
        };
        // From here on the mount table keeps other processes from mounting here.
        drop(mountpoint);
        if let Some(cloud) = &self.options.demo_cloud {
            (self.options.report)(StartupEvent::DemoServerStarted(&cloud.summary_url()));
        }
        if self.options.report_readiness
            && let Err(error) = background::report_ready()
        {
            mounted.unmount(UNMOUNT_TIMEOUT);
            return Err(error);
        }
        tracing::info!("mounted at {}", path.display());
        self.runtime.block_on(async {
            loop {
                tokio::select! {
                    action = signals.next() => match action {
                        SignalAction::Unmount => break,
                        SignalAction::Refresh => archive.refresh(),
                    },
                    _ = kernel_end.wait_for(|ended| *ended) => break,
                }
            }
        });
        Ok((mounted, control))
    }

    /// Waits until the tree has something to show.
    async fn list(&self, archive: &Archive) -> Result<(), DaemonError> {
        let report = self.options.report;
        let started = Instant::now();
        let progress = async {
            tokio::time::sleep(PROGRESS_DELAY).await;
            loop {
                let sources = archive.unlisted_sources();
                report(StartupEvent::Waiting { sources: &sources, elapsed: started.elapsed() });
                tokio::time::sleep(PROGRESS_INTERVAL).await;
            }
        };
        tokio::select! {
            listed = self.list_quietly(archive) => listed,
            never = progress => match never {},
        }
    }

    async fn list_quietly(&self, archive: &Archive) -> Result<(), DaemonError> {
        let report = self.options.report;
        archive.start(self.runtime.handle());
        let first_listing = archive.first_listing(|error| {
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
        ended: watch::Sender<bool>,
    ) -> Result<fuse::MountedSession, DaemonError> {
        let shared = self.options.allow_other;
        let config = &self.options.config;
        let default_modes = if shared { (0o555, 0o444) } else { (0o500, 0o400) };
        let owner = Owner {
            uid: nix::unistd::getuid().as_raw(),
            gid: nix::unistd::getgid().as_raw(),
            directory_mode: config.directory_mode.unwrap_or(default_modes.0),
            file_mode: config.file_mode.unwrap_or(default_modes.1),
        };
        let file_system = FileSystem::new(FileSystemOptions {
            tree: archive.tree.clone(),
            engine: archive.engine.clone(),
            owner,
            runtime: self.runtime.handle().clone(),
            invalidations: archive.invalidations.clone(),
            passthrough: self.options.passthrough,
        });
        let adapter = Adapter::new(file_system, self.runtime.handle().clone(), ended);
        let access = if shared { Access::AllUsers } else { Access::Owner };
        Ok(fuse::mount(adapter, archive.invalidations.clone(), mountpoint, access)?)
    }
}
