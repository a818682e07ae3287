//! The private socket of a mount, by which `meetfs status` and `meetfs refresh` reach its daemon.
//!
//! One request is one line with one word; the answer is JSON, and then the connection ends. The
//! socket is in a directory that is its owner's alone, and is named after the mountpoint. Nothing secret goes over it.

mod absent;
mod client;
mod expiring;
#[cfg(any(fuzzing, test))]
pub mod fuzzing;
mod report;
mod server;
mod wall_clock;

use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use xxhash_rust::xxh3::xxh3_64;

pub use client::ControlError;
pub(crate) use client::{Mounts, mountpoint_of};
pub(crate) use expiring::ExpiringFile;
pub(crate) use report::{MountReport, SourceReport};
pub(crate) use server::Server;
pub(crate) use wall_clock::WallClock;

use crate::config::{Environment, runtime_directories};

/// What a daemon can be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Request {
    /// How it goes.
    Status,
    /// Look for new recordings now; answered once that is done.
    Refresh,
    /// Which files will be deleted.
    Expiring,
}

impl Request {
    const ALL: [Self; 3] = [Self::Status, Self::Refresh, Self::Expiring];

    /// The line without its end.
    fn word(self) -> &'static str {
        match self {
            Self::Status => "status",
            Self::Refresh => "refresh",
            Self::Expiring => "expiring",
        }
    }

    fn parse(line: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|request| request.word() == line.trim_end_matches('\n'))
    }
}

/// Directories in which a socket may be, the best one first.
fn directories(environment: &dyn Environment) -> Vec<PathBuf> {
    runtime_directories(environment, nix::unistd::geteuid().is_root())
}

/// The name of a mount's socket. A path would be too long: a socket's address has 108 bytes (unix(7)).
fn socket_name(mountpoint: &Path) -> String {
    format!("{:016x}.{EXTENSION}", xxh3_64(mountpoint.as_os_str().as_bytes()))
}

/// What sockets of mounts end in.
const EXTENSION: &str = "control";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_one_known_word() {
        for request in Request::ALL {
            assert_eq!(Request::parse(&format!("{}\n", request.word())), Some(request));
        }
        for other in ["", "\n", "status refresh\n", "STATUS\n", "status\0"] {
            assert_eq!(Request::parse(other), None, "{other:?}");
        }
    }

    #[test]
    fn mounts_have_sockets_of_their_own() {
        assert_ne!(socket_name(Path::new("/mnt/a")), socket_name(Path::new("/mnt/b")));
        assert_eq!(socket_name(Path::new("/mnt/a")), socket_name(Path::new("/mnt/a")));
    }
}
