//! The processes that keep a mount busy.
//!
//! Reads `/proc` alone and no file of any mount: a mount whose daemon hangs would block.

use std::path::{Path, PathBuf};

use crate::daemon::mount_table::MountEntry;

/// Limit on processes to name; the rest is counted.
const MAX_NAMED_PROCESSES: usize = 5;

/// Returns the processes that have a file or directory of the mount open or mapped, work in one, or
/// run from one, for a person.
pub(crate) fn users_of(mount: &MountEntry) -> String {
    let mut users: Vec<String> =
        processes().filter(|process| uses(process, mount)).map(name).collect();
    if users.is_empty() {
        return "a program of another user uses it, or another mount is inside".into();
    }
    let more = users.len().saturating_sub(MAX_NAMED_PROCESSES);
    users.truncate(MAX_NAMED_PROCESSES);
    let list = users.join(", ");
    match (more, users.len()) {
        (0, 1) => format!("{list} uses it"),
        (0, _) => format!("{list} use it"),
        _ => format!("{list} and {more} more use it"),
    }
}

/// Returns the directories in `/proc` of all other processes.
fn processes() -> impl Iterator<Item = PathBuf> {
    let own = std::process::id().to_string();
    std::fs::read_dir("/proc").into_iter().flatten().flatten().map(|entry| entry.path()).filter(
        move |path| {
            path.file_name()
                .and_then(|name| name.to_str())
                .is_some_and(|name| name != own && name.bytes().all(|byte| byte.is_ascii_digit()))
        },
    )
}

fn uses(process: &Path, mount: &MountEntry) -> bool {
    let is_inside = |link: &str| {
        std::fs::read_link(process.join(link))
            .is_ok_and(|target| target.starts_with(&mount.mountpoint))
    };
    ["cwd", "root", "exe"].into_iter().any(is_inside)
        || has_open_file(process, mount.id)
        || has_mapped_file(process, mount)
}

/// `/proc/PID/fdinfo/FD` has the mount id of the open file (proc_pid_fdinfo(5)).
fn has_open_file(process: &Path, mount_id: u64) -> bool {
    let files = std::fs::read_dir(process.join("fdinfo")).into_iter().flatten().flatten();
    files.filter_map(|file| std::fs::read_to_string(file.path()).ok()).any(|info| {
        let id = info.lines().find_map(|line| line.strip_prefix("mnt_id:"));
        id.is_some_and(|id| id.trim().parse() == Ok(mount_id))
    })
}

/// The sixth field of a line of `/proc/PID/maps` is the path of the file (proc_pid_maps(5)).
fn has_mapped_file(process: &Path, mount: &MountEntry) -> bool {
    let maps = std::fs::read_to_string(process.join("maps")).unwrap_or_default();
    maps.lines()
        .filter_map(|line| line.find('/').and_then(|at| line.get(at..)))
        .any(|path| Path::new(path).starts_with(&mount.mountpoint))
}

fn name(process: PathBuf) -> String {
    let pid = process.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let command = std::fs::read_to_string(process.join("comm")).unwrap_or_default();
    format!("{} (process {pid})", command.trim())
}
