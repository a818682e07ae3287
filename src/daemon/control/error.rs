//! Why a command could not reach a daemon.

use std::borrow::Cow;
use std::path::{Path, PathBuf};

use crate::daemon::mountpoint::MountpointError;
use crate::model::{Diagnostic, ErrorKind};

/// A mount that did not answer a request.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    #[error("no meetfs file system is mounted at {}", .0.display())]
    NotMounted(PathBuf),
    #[error("{} is inside the meetfs mount {}", path.display(), mountpoint.display())]
    Inside { path: PathBuf, mountpoint: PathBuf },
    #[error("the daemon of the mount {} has died", .0.display())]
    Dead(PathBuf),
    /// Other mounts answered, and the output marks the dead ones.
    #[error("not every mount was refreshed")]
    SomeDead,
    /// The daemon runs and has no socket in the directories of this user.
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
    #[error(transparent)]
    Mountpoint(#[from] MountpointError),
}

impl Diagnostic for ControlError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::NotMounted(_) | Self::Inside { .. } | Self::NoMounts => ErrorKind::NotFound,
            Self::Dead(_) | Self::SomeDead | Self::NoReply { .. } => ErrorKind::Unavailable,
            Self::NoSocket(_) => ErrorKind::System,
            Self::Mountpoint(error) => error.kind(),
        }
    }

    fn hint(&self) -> Option<Cow<'static, str>> {
        Some(match self {
            Self::NotMounted(path) => {
                let path = path.display();
                format!("`meetfs status` lists your mounts; `meetfs mount {path}` mounts there.")
                    .into()
            }
            Self::Inside { mountpoint, .. } => {
                format!("Give {} instead.", mountpoint.display()).into()
            }
            Self::Dead(mountpoint) => dead_mount_hint(mountpoint).into(),
            Self::SomeDead => "Unmount the mounts that are marked DEAD, then mount again.".into(),
            Self::NoSocket(_) => {
                "Run the command as the user who mounted it, with the same XDG_RUNTIME_DIR.".into()
            }
            Self::NoMounts => "`meetfs mount MOUNTPOINT` creates one.".into(),
            Self::NoReply { .. } => "If the daemon is stopped, continue it with `kill -CONT`. Otherwise its log may say why."
                .into(),
            Self::Mountpoint(error) => return error.hint(),
        })
    }
}

/// Returns what to do about a dead mount.
pub(crate) fn dead_mount_hint(mountpoint: &Path) -> String {
    let mountpoint = mountpoint.display();
    format!("Unmount it with `meetfs unmount {mountpoint}`, or run `meetfs mount {mountpoint}`.")
}
