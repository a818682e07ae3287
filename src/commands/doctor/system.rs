//! Checks the operating system.

use std::fs::OpenOptions;
use std::io::ErrorKind;
use std::path::PathBuf;

use super::check::Check;

/// Number of file descriptors for a few hundred concurrent readers. Each reader needs a connection
/// and a cache file.
const RECOMMENDED_DESCRIPTORS: u64 = 4096;

pub(crate) fn run_checks() -> Vec<Check> {
    let is_root = nix::unistd::geteuid().is_root();
    let mut checks = vec![check_fuse()];
    if !is_root {
        checks.push(check_fusermount());
        checks.push(check_allow_other());
    }
    checks.extend(check_descriptors());
    checks
}

fn check_fuse() -> Check {
    match OpenOptions::new().read(true).write(true).open("/dev/fuse") {
        Ok(_) => Check::ok("FUSE", "/dev/fuse can be opened"),
        Err(error) if error.kind() == ErrorKind::NotFound => Check::failure(
            "FUSE",
            "/dev/fuse does not exist",
            "Load the kernel module with `modprobe fuse`. In a container, add `--device /dev/fuse`.",
        ),
        Err(error) if error.kind() == ErrorKind::PermissionDenied => Check::failure(
            "FUSE",
            "permission to open /dev/fuse is denied",
            "Run `chmod 666 /dev/fuse`, which is the usual mode on Linux distributions. In a \
             container, add `--cap-add SYS_ADMIN`.",
        ),
        Err(error) => Check::failure(
            "FUSE",
            format!("cannot open /dev/fuse: {error}"),
            "Load the kernel module with `modprobe fuse`.",
        ),
    }
}

/// Checks that the setuid helper `fusermount3` is installed. It mounts for users other than root.
fn check_fusermount() -> Check {
    let directories = std::env::var_os("PATH").unwrap_or_default();
    let path = std::env::split_paths(&directories)
        .map(|directory| directory.join("fusermount3"))
        .find(|path| path.is_file());
    match path {
        Some(path) => Check::ok("fusermount3", path.display().to_string()),
        None => Check::failure(
            "fusermount3",
            "the program is not in PATH",
            "Install the package fuse3.",
        ),
    }
}

fn check_allow_other() -> Check {
    let path = PathBuf::from("/etc/fuse.conf");
    let text = std::fs::read_to_string(&path).unwrap_or_default();
    if text.lines().any(|line| line.trim() == "user_allow_other") {
        return Check::ok("other users", "-o allow_other is allowed");
    }
    Check::warning(
        "other users",
        "-o allow_other is not allowed, so only you can read your mounts",
        "Add the line `user_allow_other` to /etc/fuse.conf to allow this option.",
    )
}

fn check_descriptors() -> Option<Check> {
    let limits = std::fs::read_to_string("/proc/self/limits").ok()?;
    let line = limits.lines().find(|line| line.starts_with("Max open files"))?;
    let limit = line.split_whitespace().nth(4)?;
    // "unlimited" is not a number, so it is never below the recommendation.
    let low_limit = limit.parse::<u64>().ok().filter(|limit| *limit < RECOMMENDED_DESCRIPTORS);
    Some(match low_limit {
        Some(low) => Check::warning(
            "open files",
            format!("the limit is {low}, too low for hundreds of concurrent readers"),
            "Raise the limit with `ulimit -Hn 65536`, or with LimitNOFILE= in a systemd unit.",
        ),
        None => Check::ok("open files", format!("up to {limit}")),
    })
}
