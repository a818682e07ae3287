//! What the system must have.

use std::fs::OpenOptions;
use std::io::ErrorKind;
use std::path::PathBuf;

use super::Check;

/// The most file descriptors that a mount with a few hundred readers needs: a connection and a cache file each.
const DESCRIPTORS: u64 = 4096;

pub(crate) fn checks() -> Vec<Check> {
    let is_root = nix::unistd::geteuid().is_root();
    let mut checks = vec![fuse()];
    if !is_root {
        checks.push(helper());
        checks.push(other_users());
    }
    checks.extend(descriptors());
    checks
}

fn fuse() -> Check {
    match OpenOptions::new().read(true).write(true).open("/dev/fuse") {
        Ok(_) => Check::ok("FUSE", "/dev/fuse can be opened"),
        Err(error) if error.kind() == ErrorKind::NotFound => Check::failure(
            "FUSE",
            "there is no /dev/fuse",
            "load the kernel's module with `modprobe fuse`; in a container, give it the device (--device /dev/fuse)",
        ),
        Err(error) if error.kind() == ErrorKind::PermissionDenied => Check::failure(
            "FUSE",
            "/dev/fuse may not be opened",
            "allow it with `chmod 666 /dev/fuse`, as distributions do; in a container, add --cap-add SYS_ADMIN",
        ),
        Err(error) => Check::failure(
            "FUSE",
            format!("/dev/fuse cannot be opened ({error})"),
            "load the kernel's module with `modprobe fuse`",
        ),
    }
}

/// Mounting without being root goes through a helper.
fn helper() -> Check {
    let directories = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&directories)
        .map(|directory| directory.join("fusermount3"))
        .find(|path| path.is_file());
    match found {
        Some(path) => Check::ok("fusermount3", path.display().to_string()),
        None => Check::failure("fusermount3", "it is not in PATH", "install the package fuse3"),
    }
}

/// Whether `-o allow_other` may be used.
fn other_users() -> Check {
    let path = PathBuf::from("/etc/fuse.conf");
    let text = std::fs::read_to_string(&path).unwrap_or_default();
    if text.lines().any(|line| line.trim() == "user_allow_other") {
        return Check::ok("other users", "-o allow_other may be used");
    }
    Check::warning(
        "other users",
        "-o allow_other may not be used, so nobody else can read a mount of yours",
        "if somebody should, write the line `user_allow_other` into /etc/fuse.conf",
    )
}

fn descriptors() -> Option<Check> {
    let limits = std::fs::read_to_string("/proc/self/limits").ok()?;
    let line = limits.lines().find(|line| line.starts_with("Max open files"))?;
    let most = line.split_whitespace().nth(4)?;
    // "unlimited" is no number.
    let few = most.parse::<u64>().ok().filter(|most| *most < DESCRIPTORS);
    Some(match few {
        Some(few) => Check::warning(
            "open files",
            format!("at most {few}, which hundreds of readers at once can use up"),
            "raise it with `ulimit -Hn 65536`, or LimitNOFILE= in a unit file",
        ),
        None => Check::ok("open files", format!("up to {most}")),
    })
}
