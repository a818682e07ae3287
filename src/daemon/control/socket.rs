//! Where the control socket of a mount is.

use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use xxhash_rust::xxh3::xxh3_64;

use crate::config::{Environment, runtime_directories};

/// File name extension of control sockets.
pub(crate) const EXTENSION: &str = "control";

/// The runtime directories of users who are logged in, by user id (pam_systemd(8)).
const SESSION_DIRECTORIES: &str = "/run/user";

/// Returns the directories that may hold sockets, in order of preference. A daemon takes the first
/// one in which it can create its socket, and clients search all.
///
/// A directory of another user is not used: `su` and `sudo` keep `XDG_RUNTIME_DIR`, and root would
/// put its sockets into the directory of the user. The directory of the user's session is the last
/// one, for a client without the variable, as in a cron job.
pub(crate) fn directories(environment: &dyn Environment) -> Vec<PathBuf> {
    let user = nix::unistd::geteuid();
    let mut directories = runtime_directories(environment, user.is_root());
    let session = Path::new(SESSION_DIRECTORIES).join(user.to_string());
    if session.is_dir() {
        directories.push(session.join("meetfs"));
    }
    owned_once(directories, user.as_raw())
}

/// Removes the directories of other users, and duplicates under another name.
fn owned_once(directories: Vec<PathBuf>, user: u32) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut identities = Vec::new();
    for directory in directories {
        let identity = directory.canonicalize().unwrap_or_else(|_| directory.clone());
        if belongs_to(&directory, user) && !identities.contains(&identity) {
            identities.push(identity);
            found.push(directory);
        }
    }
    found
}

/// Returns whether the directory belongs to the user. One that does not exist belongs to the owner
/// of the nearest parent that does; in a parent of root, only root can create it.
fn belongs_to(directory: &Path, user: u32) -> bool {
    match std::fs::symlink_metadata(directory) {
        Ok(metadata) => metadata.is_dir() && metadata.uid() == user,
        Err(_) => {
            let mut parents = directory.ancestors().skip(1);
            let owner = parents.find_map(|parent| Some(std::fs::metadata(parent).ok()?.uid()));
            owner.is_none_or(|owner| owner == user || owner == 0)
        }
    }
}

/// Returns the name of a mount's socket. It is a hash, because the path of a socket has 108 bytes
/// at most (unix(7)) and a mountpoint may be longer.
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

    #[test]
    fn directory_of_another_user_is_left_out() {
        let directory = tempfile::tempdir().unwrap();
        let user = std::fs::metadata(directory.path()).unwrap().uid();
        let [present, missing] = ["present", "missing"].map(|name| directory.path().join(name));
        std::fs::create_dir(&present).unwrap();
        let file = directory.path().join("file");
        std::fs::write(&file, "").unwrap();
        let all = vec![present.clone(), missing.join("deeper"), present.join("."), file];
        assert_eq!(owned_once(all.clone(), user), [present, missing.join("deeper")]);
        if user != 0 {
            assert_eq!(owned_once(all, user + 1), Vec::<PathBuf>::new());
        }
    }

    #[test]
    #[ignore = "needs root: gives a directory to another user"]
    fn root_leaves_out_the_directory_of_a_user() {
        let directory = tempfile::tempdir().unwrap();
        std::os::unix::fs::chown(directory.path(), Some(65534), None).unwrap();
        let missing = directory.path().join("meetfs");
        assert_eq!(owned_once(vec![missing.clone()], 0), Vec::<PathBuf>::new());
        assert_eq!(owned_once(vec![missing.clone()], 65534), std::slice::from_ref(&missing));
        // A directory that root created there earlier is not used either.
        std::fs::create_dir(&missing).unwrap();
        assert_eq!(owned_once(vec![missing], 65534), Vec::<PathBuf>::new());
    }
}
