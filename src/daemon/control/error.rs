//! The errors of commands that cannot reach a daemon.

use std::borrow::Cow;
use std::path::{Path, PathBuf};

use crate::daemon::mountpoint::MountpointError;
use crate::model::{Diagnostic, ErrorKind, ErrorReport};

/// The reason why a mount did not answer a request.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    #[error("no meetfs file system is mounted at {}", .0.display())]
    NotMounted(PathBuf),
    #[error("{} is inside the meetfs mount {}", path.display(), mountpoint.display())]
    Inside { path: PathBuf, mountpoint: PathBuf },
    #[error("the daemon of the mount {} has died", .0.display())]
    Dead(PathBuf),
    #[error("{} is not in a meetfs mount", .0.display())]
    NotInMount(PathBuf),
    #[error("{} does not exist in the mount {}", path.display(), mountpoint.display())]
    NoSuchFile { path: PathBuf, mountpoint: PathBuf },
    /// The daemon does not support the request.
    #[error("the daemon of {} cannot change its log level", .0.display())]
    FixedLogLevel(PathBuf),
    /// The mount has no search index.
    #[error("the mount {} has no search index", .0.display())]
    NoSearchIndex(PathBuf),
    #[error("cannot search the mount {}: {}", mountpoint.display(), report.message())]
    Search { mountpoint: PathBuf, report: ErrorReport },
    /// The daemons of some mounts have died. The output marks these mounts.
    #[error("some mounts were not refreshed")]
    SomeMountsDead,
    /// The daemon runs, but no directory of this user contains its socket.
    #[error("cannot find the control socket of the daemon of {}", .0.display())]
    NoSocket(PathBuf),
    #[error("you have no mounts")]
    NoMounts,
    #[error("the daemon of {} does not answer", mountpoint.display())]
    NoReply {
        /// The mountpoint, or the socket if the mountpoint is unknown.
        mountpoint: PathBuf,
        source: std::io::Error,
    },
    /// The daemon has been stopped by a signal, so it cannot answer.
    #[error("{}: the daemon (process {pid}) is stopped", mountpoint.display())]
    Stopped {
        /// The mountpoint, or the socket if the mountpoint is unknown.
        mountpoint: PathBuf,
        pid: u32,
    },
    #[error("{} is a bind mount of the meetfs mount {}", path.display(), mountpoint.display())]
    BindMount {
        path: PathBuf,
        /// The original mountpoint.
        mountpoint: PathBuf,
    },
    #[error(
        "{} is inside {}, a bind mount of the meetfs mount {}",
        path.display(),
        bind_mount.display(),
        mountpoint.display()
    )]
    InsideBindMount {
        path: PathBuf,
        bind_mount: PathBuf,
        /// The original mountpoint.
        mountpoint: PathBuf,
    },
    #[error(transparent)]
    Mountpoint(#[from] MountpointError),
}

impl Diagnostic for ControlError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::NotMounted(_)
            | Self::NotInMount(_)
            | Self::NoSuchFile { .. }
            | Self::Inside { .. }
            | Self::BindMount { .. }
            | Self::InsideBindMount { .. }
            | Self::NoMounts => ErrorKind::NotFound,
            Self::Dead(_) | Self::SomeMountsDead | Self::NoReply { .. } | Self::Stopped { .. } => {
                ErrorKind::Unavailable
            }
            Self::NoSearchIndex(_) => ErrorKind::Configuration,
            Self::NoSocket(_) | Self::FixedLogLevel(_) | Self::Search { .. } => ErrorKind::System,
            Self::Mountpoint(error) => error.kind(),
        }
    }

    fn hint(&self) -> Option<Cow<'static, str>> {
        Some(match self {
            Self::NotMounted(path) => {
                let path = path.display();
                format!("`meetfs status` lists your mounts; `meetfs mount {path}` creates a mount.")
                    .into()
            }
            Self::NotInMount(_) => {
                "Name a file or directory of a mount. `meetfs status` lists your mounts.".into()
            }
            Self::NoSuchFile { mountpoint, .. } => {
                let mountpoint = mountpoint.display();
                format!("`ls {mountpoint}` shows what exists.").into()
            }
            Self::NoSearchIndex(_) => {
                "Mount again with `--search on`, or with `search = \"on\"` in the configuration."
                    .into()
            }
            Self::Search { report, .. } => return report.hint.clone().map(Into::into),
            Self::FixedLogLevel(_) => "Mount again with --log-level.".into(),
            Self::Inside { mountpoint, .. }
            | Self::BindMount { mountpoint, .. }
            | Self::InsideBindMount { mountpoint, .. } => {
                format!("Use the mountpoint {}.", mountpoint.display()).into()
            }
            Self::Dead(mountpoint) => dead_mount_hint(mountpoint).into(),
            Self::SomeMountsDead => {
                "Unmount the mounts that are marked DEAD, then mount them again.".into()
            }
            Self::NoSocket(_) => {
                "Run the command as the user who owns the mount, with the same XDG_RUNTIME_DIR."
                    .into()
            }
            Self::NoMounts => "`meetfs mount MOUNTPOINT` creates a mount.".into(),
            Self::Stopped { pid, .. } => format!("Resume it with `kill -CONT {pid}`.").into(),
            Self::NoReply { .. } => "Its log may show the reason.".into(),
            Self::Mountpoint(error) => return error.hint(),
        })
    }
}

/// Returns the hint for a dead mount.
pub(crate) fn dead_mount_hint(mountpoint: &Path) -> String {
    let mountpoint = mountpoint.display();
    format!(
        "Unmount it with `meetfs unmount {mountpoint}`, or mount it again with `meetfs mount \
         {mountpoint}`."
    )
}
