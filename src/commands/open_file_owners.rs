//! Who keeps a mount busy.
//!
//! Found out from `/proc` alone, without looking at any file of any mount: one whose daemon hangs would not answer.

use std::path::{Path, PathBuf};

use crate::daemon::mount_table::MountEntry;

/// Programs named before the rest is only counted.
const NAMED: usize = 5;

/// The programs that have a file or directory of the mount open or mapped, work in one, or run from one; for a person.
pub(crate) fn holders_of(mount: &MountEntry) -> String {
    let mut found: Vec<String> =
        processes().filter(|process| holds(process, mount)).map(name).collect();
    if found.is_empty() {
        return "another user's program or another mount in it holds it".into();
    }
    let more = found.len().saturating_sub(NAMED);
    found.truncate(NAMED);
    let list = found.join(", ");
    match (more, found.len()) {
        (0, 1) => format!("{list} holds it"),
        (0, _) => format!("{list} hold it"),
        _ => format!("{list} and {more} more hold it"),
    }
}

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

fn holds(process: &Path, mount: &MountEntry) -> bool {
    let in_it = |link: &str| {
        std::fs::read_link(process.join(link))
            .is_ok_and(|target| target.starts_with(&mount.mountpoint))
    };
    ["cwd", "root", "exe"].into_iter().any(in_it)
        || has_open(process, mount.id)
        || has_mapped(process, mount)
}

/// `/proc/PID/fdinfo/FD` names the mount of the open file (proc_pid_fdinfo(5)).
fn has_open(process: &Path, mount: u64) -> bool {
    let files = std::fs::read_dir(process.join("fdinfo")).into_iter().flatten().flatten();
    files.filter_map(|file| std::fs::read_to_string(file.path()).ok()).any(|info| {
        let id = info.lines().find_map(|line| line.strip_prefix("mnt_id:"));
        id.is_some_and(|id| id.trim().parse() == Ok(mount))
    })
}

/// The sixth field of a line of `/proc/PID/maps` is the file's path (proc_pid_maps(5)).
fn has_mapped(process: &Path, mount: &MountEntry) -> bool {
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
