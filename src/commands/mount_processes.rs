//! Finds the processes and mounts that keep a mount busy, or that keep its daemon running after the
//! unmount.
//!
//! Reads `/proc` and the device numbers of open files, which the kernel has in memory. A request to
//! the mount itself would block if its daemon hangs.

use std::fmt::Display;
use std::io;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, StatxFlags, makedev, minor, statx};

use crate::fuse::mount_table::{self, MountEntry, original_mount};

/// Maximum number of processes that are named. Further processes are only counted.
const MAX_NAMED_PROCESSES: usize = 5;

/// The file system type of an overlay in the mount table.
const OVERLAY: &str = "overlay";

/// A mount that depends on another mount.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DependentMount {
    pub(crate) mountpoint: PathBuf,
    relation: Relation,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Relation {
    /// The dependent mount is mounted on a directory of the mount.
    Inside,
    /// The dependent mount shows the same file system, or a directory of it.
    Bind,
    /// The dependent mount is an overlay with a layer in the mount.
    Overlay,
}

impl Display for DependentMount {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mountpoint = self.mountpoint.display();
        match self.relation {
            Relation::Inside => write!(f, "{mountpoint} is mounted inside it"),
            Relation::Bind => write!(f, "it is also mounted at {mountpoint}"),
            Relation::Overlay => write!(f, "the overlay mounted at {mountpoint} uses it"),
        }
    }
}

/// The mounts in this mount namespace that depend on a given mount.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Dependents {
    pub(crate) mounts: Vec<DependentMount>,
    /// Whether the given mount is a bind mount. Its file system then stays mounted after the
    /// unmount.
    pub(crate) is_bind_mount: bool,
}

/// Returns the mounts that depend on `mount` in this mount namespace.
///
/// # Errors
/// The mount table cannot be read.
pub(crate) fn dependents_of(mount: &MountEntry) -> io::Result<Dependents> {
    Ok(dependents_in(&mount_table::entries()?, mount))
}

/// Returns the mounts in `table` that depend on `mount`. The table is in the order of mounting.
fn dependents_in(table: &[MountEntry], mount: &MountEntry) -> Dependents {
    let is_bind_mount = original_mount(table, mount).is_some();
    let relation_of = |entry: &MountEntry| {
        if entry.parent == mount.id {
            Some(Relation::Inside)
        } else if is_bind_mount || entry.id == mount.id {
            None
        } else if entry.device == mount.device {
            Some(Relation::Bind)
        } else if entry.fs_type == OVERLAY
            && entry.layers.iter().any(|layer| layer.starts_with(&mount.mountpoint))
        {
            Some(Relation::Overlay)
        } else {
            None
        }
    };
    let mounts = table.iter().filter_map(|entry| {
        let relation = relation_of(entry)?;
        Some(DependentMount { mountpoint: entry.mountpoint.clone(), relation })
    });
    Dependents { mounts: mounts.collect(), is_bind_mount }
}

/// Describes the processes that keep a mount busy. Such a process has a file of the mount open or
/// mapped, or its working directory, root directory or program is in the mount.
pub(crate) fn describe_processes(device: u64) -> String {
    let search = Search::of(device);
    search.processes_text().unwrap_or_else(|| search.unknown_processes_text())
}

/// Describes what keeps the daemon of an unmounted file system running: processes that use the file
/// system, its mounts, and processes in whose mount namespace it is mounted. Returns `None` if
/// nothing is visible.
pub(crate) fn describe_holders(device: u64) -> Option<String> {
    let search = Search::of(device);
    let namespace_holders = join_with_verb(&search.processes_with_mount, "has", "have")
        .map(|processes_have| format!("{processes_have} it mounted in another mount namespace"));
    let bind_mounts = search.own_mounts.iter().map(|entry| {
        let mountpoint = entry.mountpoint.clone();
        DependentMount { mountpoint, relation: Relation::Bind }.to_string()
    });
    let descriptions: Vec<_> =
        search.processes_text().into_iter().chain(bind_mounts).chain(namespace_holders).collect();
    (!descriptions.is_empty()).then(|| descriptions.join("; "))
}

/// Returns the id of the process that serves a FUSE file system. This process has `/dev/fuse` open.
/// Returns `None` if the process is hidden, or on a kernel before Linux 6.17, which does not show
/// the connection in `fdinfo` (fs/fuse/dev.c, `fuse_dev_show_fdinfo`).
pub(crate) fn daemon_of(device: u64) -> Option<u32> {
    let connection = format!("fuse_connection:\t{}", minor(device));
    let serves = |process: &Path| {
        let files = std::fs::read_dir(process.join("fd")).into_iter().flatten().flatten();
        files
            .filter(|file| {
                std::fs::read_link(file.path()).is_ok_and(|path| path == Path::new("/dev/fuse"))
            })
            .filter_map(|file| {
                std::fs::read_to_string(process.join("fdinfo").join(file.file_name())).ok()
            })
            .any(|info| info.lines().any(|line| line == connection))
    };
    let process = other_processes().find(|process| serves(process))?;
    process.file_name()?.to_str()?.parse().ok()
}

/// Describes a file system that is in use although no process that uses it is visible.
pub(crate) fn describe_unseen_holder(device: u64) -> String {
    Search::of(device).unknown_processes_text()
}

/// The result of a search for the processes and mounts that use a file system.
#[derive(Debug, Default)]
struct Search {
    /// Processes that use the file system.
    processes: Vec<String>,
    /// The mounts of the file system in this mount namespace.
    own_mounts: Vec<MountEntry>,
    /// Processes that do not use the file system, but in whose mount namespace it is mounted.
    processes_with_mount: Vec<String>,
    /// Whether the files of every process could be examined.
    is_complete: bool,
}

impl Search {
    fn of(device: u64) -> Self {
        let mut own_mounts = mount_table::entries().unwrap_or_default();
        own_mounts.retain(|entry| entry.device == device);
        let mut search = Self { is_complete: true, own_mounts, ..Self::default() };
        for process in other_processes() {
            match uses_device(&process, device) {
                Some(true) => search.processes.push(describe_process(&process)),
                uses_it => {
                    search.is_complete &= uses_it.is_some();
                    if search.has_other_mount(&process, device) {
                        search.processes_with_mount.push(describe_process(&process));
                    }
                }
            }
        }
        search
    }

    /// Whether the mount table of the process has a mount of the file system that is not in
    /// `own_mounts`. No two mounts have the same id.
    fn has_other_mount(&self, process: &Path, device: u64) -> bool {
        let entries = mount_table::entries_of(process).unwrap_or_default();
        entries.iter().any(|entry| {
            entry.device == device
                && self.own_mounts.iter().all(|own_mount| own_mount.id != entry.id)
        })
    }

    fn processes_text(&self) -> Option<String> {
        join_with_verb(&self.processes, "uses", "use")
            .map(|processes_use| format!("{processes_use} it"))
    }

    fn unknown_processes_text(&self) -> String {
        if self.is_complete {
            "no process that uses the file system was found; an overlay, a loop device, an NFS \
             export or a mount namespace without processes can use it"
                .into()
        } else {
            "none of your processes uses the file system; a process of another user may use it"
                .into()
        }
    }
}

/// Joins the names and appends the verb. Returns `None` for an empty list.
fn join_with_verb(names: &[String], singular: &str, plural: &str) -> Option<String> {
    let unnamed_count = names.len().saturating_sub(MAX_NAMED_PROCESSES);
    let named_processes: Vec<_> =
        names.iter().take(MAX_NAMED_PROCESSES).map(String::as_str).collect();
    let list = named_processes.join(", ");
    match (names.len(), unnamed_count) {
        (0, _) => None,
        (1, _) => Some(format!("{list} {singular}")),
        (_, 0) => Some(format!("{list} {plural}")),
        _ => Some(format!("{list} and {unnamed_count} more {plural}")),
    }
}

/// Returns the `/proc` directories of all processes except this one.
fn other_processes() -> impl Iterator<Item = PathBuf> {
    let own_pid = std::process::id().to_string();
    std::fs::read_dir("/proc").into_iter().flatten().flatten().map(|entry| entry.path()).filter(
        move |path| {
            path.file_name().and_then(|name| name.to_str()).is_some_and(|name| {
                name != own_pid && name.bytes().all(|byte| byte.is_ascii_digit())
            })
        },
    )
}

/// Returns whether a process uses a file of the file system. Returns `None` if its files are
/// hidden.
fn uses_device(process: &Path, device: u64) -> Option<bool> {
    let is_on_device = |link: &Path| device_of(link) == Some(device);
    if ["cwd", "root", "exe"].iter().any(|link| is_on_device(&process.join(link))) {
        return Some(true);
    }
    let files = match std::fs::read_dir(process.join("fd")) {
        Ok(files) => files,
        // The process has ended.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Some(false),
        Err(_) => return None,
    };
    let has_open_file = files.flatten().any(|file| is_on_device(&file.path()));
    Some(has_open_file || has_mapped_file(process, device))
}

/// Returns the device number of the file that a link in `/proc` leads to, in any mount namespace.
///
/// The kernel answers from its cache (statx(2), `AT_STATX_DONT_SYNC`), even if the user may not
/// access the mount (fs/fuse/dir.c, `fuse_getattr`).
fn device_of(link: &Path) -> Option<u64> {
    let status = statx(CWD, link, AtFlags::STATX_DONT_SYNC, StatxFlags::empty()).ok()?;
    Some(makedev(status.stx_dev_major, status.stx_dev_minor))
}

/// Returns whether the process has mapped a file of the device. The fourth field of a line in
/// `/proc/PID/maps` is the device number in hexadecimal (proc_pid_maps(5)).
fn has_mapped_file(process: &Path, device: u64) -> bool {
    let maps = std::fs::read(process.join("maps")).unwrap_or_default();
    let maps = String::from_utf8_lossy(&maps);
    maps.lines().filter_map(|line| line.split_ascii_whitespace().nth(3)).any(|field| {
        let parse_hex = |text: &str| u32::from_str_radix(text, 16).ok();
        let (major, minor) = field.split_once(':').unwrap_or_default();
        parse_hex(major).zip(parse_hex(minor)).map(|(major, minor)| makedev(major, minor))
            == Some(device)
    })
}

fn describe_process(process: &Path) -> String {
    let pid = process.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let command_name = std::fs::read_to_string(process.join("comm")).unwrap_or_default();
    format!("{} (process {pid})", command_name.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(id: u64, parent: u64, device: u64, root: &str, mountpoint: &str) -> MountEntry {
        MountEntry {
            id,
            parent,
            device,
            root: root.into(),
            mountpoint: mountpoint.into(),
            fs_type: "fuse".into(),
            source: "meetfs".into(),
            is_automount_point: false,
            owner: Some(0),
            layers: Vec::new(),
        }
    }

    fn texts(dependents: &Dependents) -> Vec<String> {
        dependents.mounts.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn dependent_mounts_are_named() {
        let mut overlay = entry(24, 1, 9, "/", "/o");
        overlay.fs_type = OVERLAY.into();
        overlay.layers = vec!["/low".into(), "/m/acme".into()];
        let table = [
            entry(20, 1, 7, "/", "/m"),
            entry(21, 1, 7, "/acme", "/b"),
            entry(22, 20, 8, "/", "/m/acme"),
            entry(23, 1, 8, "/", "/other"),
            overlay,
        ];
        let dependents = dependents_in(&table, &table[0]);
        assert_eq!(
            texts(&dependents),
            [
                "it is also mounted at /b",
                "/m/acme is mounted inside it",
                "the overlay mounted at /o uses it"
            ]
        );
        assert!(!dependents.is_bind_mount);
    }

    #[test]
    fn bind_mount_has_no_dependents() {
        let table = [
            entry(20, 1, 7, "/", "/m"),
            entry(21, 1, 7, "/acme", "/b"),
            entry(22, 1, 7, "/", "/c"),
        ];
        for bind in &table[1..] {
            let expected = Dependents { mounts: Vec::new(), is_bind_mount: true };
            assert_eq!(dependents_in(&table, bind), expected);
        }
        // The original mount does not exist any more: the file system ends with this mount.
        assert!(!dependents_in(&table[1..], &table[2]).is_bind_mount);
        assert!(!dependents_in(&table[1..2], &table[1]).is_bind_mount);
    }

    #[test]
    fn many_processes_are_counted() {
        let names: Vec<_> = (1..=7).map(|id| format!("cat (process {id})")).collect();
        assert_eq!(join_with_verb(&names[..0], "uses", "use"), None);
        assert_eq!(join_with_verb(&names[..1], "uses", "use").unwrap(), "cat (process 1) uses");
        assert_eq!(
            join_with_verb(&names[..2], "uses", "use").unwrap(),
            "cat (process 1), cat (process 2) use"
        );
        assert!(
            join_with_verb(&names, "uses", "use").unwrap().ends_with("(process 5) and 2 more use")
        );
    }

    #[test]
    fn processes_that_use_a_device_are_found() {
        let directory = tempfile::tempdir().unwrap();
        let mut child = std::process::Command::new("sleep")
            .arg("60")
            .current_dir(directory.path())
            .spawn()
            .unwrap();
        let process = PathBuf::from(format!("/proc/{}", child.id()));
        let device = device_of(directory.path()).unwrap();
        let uses_it = [uses_device(&process, device), uses_device(&process, u64::MAX)];
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(uses_it, [Some(true), Some(false)]);
        assert_eq!(uses_device(&process, device), Some(false));
    }
}
