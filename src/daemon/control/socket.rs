//! The location of the control socket of a mount.

use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use xxhash_rust::xxh3::xxh3_64;

use crate::config::{Environment, runtime_directories};

/// File name extension of control sockets.
pub(crate) const EXTENSION: &str = "control";

/// The parent of the runtime directories of logged-in users, which are named by user id
/// (pam_systemd(8)).
const USER_RUNTIME_DIRECTORIES: &str = "/run/user";

/// Returns the directories that can contain sockets, in order of preference. A daemon creates its
/// socket in the first directory that allows it. Clients search all directories.
///
/// Directories of other users are excluded: `su` and `sudo` keep `XDG_RUNTIME_DIR`, and root would
/// create its sockets in the directory of another user. The directory of the user's session comes
/// last, for a client without the variable, such as a cron job.
pub(crate) fn directories(environment: &dyn Environment) -> Vec<PathBuf> {
    let user = nix::unistd::geteuid();
    let mut directories = runtime_directories(environment, user.is_root());
    let session_directory = Path::new(USER_RUNTIME_DIRECTORIES).join(user.to_string());
    if session_directory.is_dir() {
        directories.push(session_directory.join("meetfs"));
    }
    own_unique_directories(directories, user.as_raw())
}

/// Removes the directories of other users, and all but the first path of each directory.
fn own_unique_directories(directories: Vec<PathBuf>, user: u32) -> Vec<PathBuf> {
    let mut unique_directories = Vec::new();
    let mut canonical_paths = Vec::new();
    for directory in directories {
        let canonical_path = directory.canonicalize().unwrap_or_else(|_| directory.clone());
        if belongs_to(&directory, user) && !canonical_paths.contains(&canonical_path) {
            canonical_paths.push(canonical_path);
            unique_directories.push(directory);
        }
    }
    unique_directories
}

/// Returns whether the directory belongs to the user. If it does not exist, the nearest existing
/// parent must belong to the user or to root: no other user can create the directory there.
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

/// Returns the file name of a mount's socket. It is a hash of the mountpoint, because the path of a
/// socket is limited to 108 bytes (unix(7)) and a mountpoint can be longer.
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
    fn directory_of_another_user_is_excluded() {
        let directory = tempfile::tempdir().unwrap();
        let user = std::fs::metadata(directory.path()).unwrap().uid();
        let [present, missing] = ["present", "missing"].map(|name| directory.path().join(name));
        std::fs::create_dir(&present).unwrap();
        let file = directory.path().join("file");
        std::fs::write(&file, "").unwrap();
        let candidates = vec![present.clone(), missing.join("deeper"), present.join("."), file];
        assert_eq!(
            own_unique_directories(candidates.clone(), user),
            [present, missing.join("deeper")]
        );
        if user != 0 {
            assert_eq!(own_unique_directories(candidates, user + 1), Vec::<PathBuf>::new());
        }
    }

    #[test]
    #[ignore = "needs root: gives a directory to another user"]
    fn root_excludes_the_directory_of_a_user() {
        let directory = tempfile::tempdir().unwrap();
        std::os::unix::fs::chown(directory.path(), Some(65534), None).unwrap();
        let missing = directory.path().join("meetfs");
        assert_eq!(own_unique_directories(vec![missing.clone()], 0), Vec::<PathBuf>::new());
        assert_eq!(
            own_unique_directories(vec![missing.clone()], 65534),
            std::slice::from_ref(&missing)
        );
        // A directory that root created there earlier is not used either.
        std::fs::create_dir(&missing).unwrap();
        assert_eq!(own_unique_directories(vec![missing], 65534), Vec::<PathBuf>::new());
    }
}
