//! Where the control socket of a mount is.

use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use xxhash_rust::xxh3::xxh3_64;

use crate::config::{Environment, runtime_directories};

/// File name extension of control sockets.
pub(crate) const EXTENSION: &str = "control";

/// Returns the directories that may hold sockets, in order of preference.
pub(crate) fn directories(environment: &dyn Environment) -> Vec<PathBuf> {
    runtime_directories(environment, nix::unistd::geteuid().is_root())
}

/// Returns the name of a mount's socket. It is a hash, because the address of a socket has 108
/// bytes at most (unix(7)) and a mountpoint may be longer.
pub(crate) fn file_name(mountpoint: &Path) -> String {
    format!("{:016x}.{EXTENSION}", xxh3_64(mountpoint.as_os_str().as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_mountpoint_has_its_own_socket() {
        assert_ne!(file_name(Path::new("/mnt/a")), file_name(Path::new("/mnt/b")));
        assert_eq!(file_name(Path::new("/mnt/a")), file_name(Path::new("/mnt/a")));
    }
}
