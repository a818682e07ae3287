//! `meetfs mount`

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use nix::sys::stat::Mode;
use tokio::runtime::Runtime;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::say;
use crate::catalog::CatalogDatabase;
use crate::cli::MountArgs;
use crate::commands::error::{Error, Exit};
use crate::config::{Config, DiskLimit, ProcessEnvironment};
use crate::daemon::archive::{Archive, Readiness};
use crate::daemon::logging::{self, Destination};
use crate::daemon::mountpoint::Place;
use crate::daemon::{background, control, demo, malloc, mountpoint};
use crate::demo_cloud;
use crate::fuse::{self, Access, Adapter};
use crate::vfs::{FileSystem, FileSystemOptions, Owner};

/// How long a mount that could be used already waits for sizes and details that listings leave out. A backup
/// that starts right after `mount` then finds everything in an archive of common size; a large one goes on
/// finding out in the background.
const SETTLE_TIMEOUT: Duration = Duration::from_secs(5);

/// How long an unmount waits for requests under way: they are cancelled, so this is for the kernel.
const UNMOUNT_TIMEOUT: Duration = Duration::from_secs(2);

/// How long a sign-in that is just being renewed is waited for, once nothing is mounted any more: a refresh token that
/// works once is spent by then, and without the answer the new one is lost. Token services answer within a second or two;
/// what stops a container kills it ten seconds after it has told it to end.
const RENEWED_TIMEOUT: Duration = Duration::from_secs(5);

/// After how long a person at a terminal is told what is being waited for.
const SAY_AFTER: Duration = Duration::from_secs(2);

/// Mounts, and serves until unmounted: from the background unless asked otherwise.
///
/// # Errors
/// Whatever keeps the mount from being ready; then nothing is left mounted.
pub fn mount(arguments: &MountArgs) -> Result<ExitCode, Error> {
    let in_background = arguments.report_readiness;
    if !arguments.foreground && !in_background {
        return background::start_and_wait();
    }
    malloc::limit_arenas();
    // Logs, catalog and cache are nobody else's, whatever the shell's mask.
    nix::sys::stat::umask(Mode::from_bits_truncate(0o077));
    if let Some(path) = &arguments.log_file {
        // Before it is made there.
        mountpoint::refuse_inside(&arguments.mountpoint, path, "log")?;
    }
    let destination = match (&arguments.log_file, in_background) {
        (Some(path), _) => Destination::File(path),
        (None, true) => Destination::StateDirectory,
        (None, false) => Destination::StandardError,
    };
    logging::start(arguments.log_level, &destination)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(worker_threads())
        .enable_all()
        .build()
        .map_err(|cause| Error::System { what: "starting the runtime", cause })?;
    let served = Server { arguments, runtime: &runtime }.serve();
    // What still runs is cancelled; replies that are dropped with it answer EIO.
    runtime.shutdown_timeout(Duration::from_millis(500));
    served.map(|()| Exit::Done.into())
}

/// Two at least: one may be busy copying while the other keeps deadlines. More than four find nothing to do, for
/// the kernel's few event threads bring the work.
fn worker_threads() -> usize {
    std::thread::available_parallelism().map_or(2, usize::from).clamp(2, 4)
}

struct Server<'a> {
    arguments: &'a MountArgs,
    runtime: &'a Runtime,
}

impl Server<'_> {
    fn serve(&self) -> Result<(), Error> {
        let place = mountpoint::prepare(&self.arguments.mountpoint)?;
        let mountpoint = place.path().to_path_buf();
        let (settings, cloud) = self.settings()?;
        mountpoint::refuse_inside(&mountpoint, &settings.cache.dir, "cache directory")?;
        let mut signals = self.runtime.block_on(async { Signals::new() })?;
        let facts = if cloud.is_some() {
            CatalogDatabase::in_memory()?
        } else {
            CatalogDatabase::open(&settings.cache.dir)?
        };
        let ended = CancellationToken::new();
        let background_work = ended.clone().drop_guard();
        let archive =
            Arc::new(Archive::new(&settings, facts, self.runtime.handle(), ended.clone())?);
        let providers = archive.providers();
        let served = self.serve_until_told(&archive, place, cloud.as_ref(), &mut signals, ended);
        // From here on a second signal ends the process at once.
        self.runtime.spawn(async move {
            signals.end().await;
            std::process::exit(i32::from(Exit::Failed as u8));
        });
        // Also where nothing came to be mounted: what goes on in the background keeps the cache, and asks the cloud.
        drop(background_work);
        let served = served.map(|(mounted, control)| {
            tracing::info!("unmounting {}", mountpoint.display());
            drop(control);
            mounted.unmount(UNMOUNT_TIMEOUT);
        });
        // The directory of the cache is for the next mount, whatever is still waited for.
        drop(archive);
        self.runtime.block_on(async {
            let finished = join_all(providers.iter().map(|provider| provider.finish()));
            if tokio::time::timeout(RENEWED_TIMEOUT, finished).await.is_err() {
                tracing::warn!(
                    "a sign-in that was being renewed may be lost: its token service does not answer"
                );
            }
        });
        drop(cloud);
        served
    }

    /// Mounts and serves until a signal or the kernel ends it. What is mounted then is left to the caller.
    fn serve_until_told(
        &self,
        archive: &Arc<Archive>,
        place: Place,
        cloud: Option<&demo_cloud::DemoCloud>,
        signals: &mut Signals,
        ended: CancellationToken,
    ) -> Result<(fuse::Mounted, Option<control::Server>), Error> {
        let mountpoint = place.path().to_path_buf();
        self.runtime.block_on(async {
            tokio::select! {
                listed = self.until_listed(archive) => listed,
                () = signals.end() => Err(Error::Interrupted),
                () = background::first_process_gone(), if self.arguments.report_readiness => {
                    Err(Error::Interrupted)
                }
            }
        })?;
        let (kernel_ended, mut kernel_end) = watch::channel(false);
        let mounted = self.mount(archive, &mountpoint, kernel_ended)?;
        let control = {
            let _inside = self.runtime.enter();
            control::Server::start(&mountpoint, archive, &ProcessEnvironment, ended)
        };
        // The mount table speaks for itself from now on.
        drop(place);
        if let Some(cloud) = cloud {
            say(
                std::io::stdout(),
                format_args!("the demo's cloud counts its requests at {}", cloud.summary_url()),
            );
        }
        if self.arguments.report_readiness
            && let Err(error) = background::report_ready()
        {
            mounted.unmount(UNMOUNT_TIMEOUT);
            return Err(error);
        }
        tracing::info!("mounted at {}", mountpoint.display());
        self.runtime.block_on(async {
            loop {
                tokio::select! {
                    wish = signals.next() => match wish {
                        Wish::End => break,
                        Wish::Refresh => archive.refresh(),
                    },
                    _ = kernel_end.wait_for(|ended| *ended) => break,
                }
            }
        });
        Ok((mounted, control))
    }

    fn settings(&self) -> Result<(Config, Option<demo_cloud::DemoCloud>), Error> {
        let overrides = self.arguments.overrides();
        if !self.arguments.demo {
            return Ok((Config::load(&overrides, &ProcessEnvironment)?, None));
        }
        let mut settings = Config::load_without_sources(&overrides, &ProcessEnvironment)?;
        let cloud = demo::start()?;
        settings.sources = demo::sources(&cloud)?;
        settings.cache.disk = DiskLimit::Off;
        Ok((settings, Some(cloud)))
    }

    async fn until_listed(&self, archive: &Archive) -> Result<(), Error> {
        let waiting = tokio::spawn(async {
            tokio::time::sleep(SAY_AFTER).await;
            if std::io::IsTerminal::is_terminal(&std::io::stderr()) {
                say(std::io::stderr(), format_args!("meetfs: still listing the recordings …"));
            }
        });
        archive.start(self.runtime.handle());
        let listed = archive
            .first_listing(|error| {
                tracing::warn!("{error}");
                say(
                    std::io::stderr(),
                    format_args!(
                        "meetfs: warning: {error}; what is known is mounted, and this is tried again by itself"
                    ),
                );
            })
            .await;
        waiting.abort();
        if listed? == Readiness::Listed {
            let _the_rest_is_found_out_in_the_background =
                tokio::time::timeout(SETTLE_TIMEOUT, archive.settled()).await;
        }
        archive.shown().await;
        Ok(())
    }

    fn mount(
        &self,
        archive: &Archive,
        mountpoint: &Path,
        ended: watch::Sender<bool>,
    ) -> Result<fuse::Mounted, Error> {
        let shared = self.arguments.mount_options().allow_other;
        let owner = Owner {
            uid: nix::unistd::getuid().as_raw(),
            gid: nix::unistd::getgid().as_raw(),
            shared,
        };
        let file_system = FileSystem::new(FileSystemOptions {
            tree: archive.tree.clone(),
            engine: archive.engine.clone(),
            owner,
            runtime: self.runtime.handle().clone(),
            invalidations: archive.invalidations.clone(),
            passthrough: !self.arguments.no_passthrough,
        });
        let adapter = Adapter::new(file_system, self.runtime.handle().clone(), ended);
        let access = if shared { Access::AllUsers } else { Access::Owner };
        Ok(fuse::mount(adapter, archive.invalidations.clone(), mountpoint, access)?)
    }
}

/// The signals a mount listens to.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hangup: Signal,
}

impl Signals {
    fn new() -> Result<Self, Error> {
        let listen = |kind| {
            signal(kind).map_err(|cause| Error::System { what: "listening to signals", cause })
        };
        Ok(Self {
            interrupt: listen(SignalKind::interrupt())?,
            terminate: listen(SignalKind::terminate())?,
            hangup: listen(SignalKind::hangup())?,
        })
    }

    async fn next(&mut self) -> Wish {
        tokio::select! {
            _ = self.interrupt.recv() => Wish::End,
            _ = self.terminate.recv() => Wish::End,
            _ = self.hangup.recv() => Wish::Refresh,
        }
    }

    async fn end(&mut self) {
        while !matches!(self.next().await, Wish::End) {}
    }
}

/// What a signal asks for.
enum Wish {
    /// SIGINT, SIGTERM: unmount and end.
    End,
    /// SIGHUP: look for new recordings now.
    Refresh,
}
